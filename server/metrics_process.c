/* The part of the metrics that the system knows, under the names Prometheus' own clients use. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/cgroup.h"
#include "server/metrics.h"

struct usage {
    double cpu_seconds, start_seconds, virtual_bytes, resident_bytes, threads;
    double open_files, max_files;
};

/* When the system was started, in seconds since 1970; 0 where it does not say. */
static double boot_time(void)
{
    char line[256];
    double boot = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "btime ", 6) == 0)
            boot = strtod(line + 6, NULL);
    fclose(file);
    return boot;
}

/* proc(5)'s stat, counted behind the name in brackets. */
static void read_stat(struct usage *usage)
{
    enum { STATE = 3, USER = 14, SYSTEM = 15, THREADS = 20, STARTED = 22, VIRTUAL, RESIDENT, ALL };
    char text[1024];
    double field[ALL] = {0}, ticks = (double)sysconf(_SC_CLK_TCK);
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char *rest = strrchr(text, ')');
    for (int i = STATE; rest && i < ALL; i++) {
        rest = strchr(rest, ' ');
        if (rest)
            field[i] = strtod(++rest, NULL); /* the state, a letter, as 0 */
    }
    if (!rest)
        return;
    usage->cpu_seconds = (field[USER] + field[SYSTEM]) / ticks;
    usage->threads = field[THREADS];
    usage->start_seconds = boot_time() + field[STARTED] / ticks;
    usage->virtual_bytes = field[VIRTUAL];
    usage->resident_bytes = field[RESIDENT] * (double)sysconf(_SC_PAGESIZE);
}

static void count_files(struct usage *usage)
{
    struct rlimit limit;
    DIR *folder = opendir("/proc/self/fd");
    if (folder) {
        while (readdir(folder))
            usage->open_files++;
        usage->open_files -= 3; /* ".", "..", and the folder itself */
        closedir(folder);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        usage->max_files = (double)limit.rlim_cur;
}

int metrics_write_process(struct buffer *out, struct error *err)
{
    struct usage u = {0};
    struct cgroup_throttling t;
    read_stat(&u);
    count_files(&u);
    cgroup_throttling(&t);
    const struct {
        const char *name, *type, *help;
        double value;
    } all[] = {
        {"process_cpu_seconds_total", "counter", "Processor time, user and system.", u.cpu_seconds},
        {"process_resident_memory_bytes", "gauge", "Memory in use.", u.resident_bytes},
        {"process_virtual_memory_bytes", "gauge", "Address space.", u.virtual_bytes},
        {"process_threads", "gauge", "Threads.", u.threads},
        {"process_open_fds", "gauge", "Open files and sockets.", u.open_files},
        {"process_max_fds", "gauge", "How many there may be.", u.max_files},
        {"process_start_time_seconds", "gauge", "Since 1970.", u.start_seconds},
        {"oneshot_cgroup_cpu_periods_total", "counter", "Periods of the processor quota.",
         t.periods},
        {"oneshot_cgroup_cpu_throttled_periods_total", "counter",
         "Periods in which the quota was used up.", t.throttled},
        {"oneshot_cgroup_cpu_throttled_seconds_total", "counter",
         "Time for which threads were stopped by the quota.", t.seconds},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (metrics_write_one(out, all[i].name, all[i].type, all[i].help, all[i].value, err) != 0)
            return -1;
    return 0;
}
