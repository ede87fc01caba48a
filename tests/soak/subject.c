#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/soak/soak.h"

enum { MAX_WORDS = 64 };

static char *read_log(const struct subject *subject)
{
    off_t size = lseek(subject->log, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    if (!text || pread(subject->log, text, (size_t)size, 0) != size)
        die("the log cannot be read");
    return text;
}

static void run(char *const *command, const char *model, int workers, int idle, int log)
{
    char idle_timeout[16], timeout[16], count[16];
    const char *const flags[] = {"serve",      "--host",    "127.0.0.1", "--port",
                                 "0",          "--workers", count,       "--queue",
                                 "40",         "--timeout", timeout,     "--idle-timeout",
                                 idle_timeout, NULL};
    snprintf(count, sizeof count, "%d", workers);
    snprintf(idle_timeout, sizeof idle_timeout, "%ds", idle);
    snprintf(timeout, sizeof timeout, "%ds", 20 * idle);
    const char *words[MAX_WORDS];
    int n = 0;
    while (*command && n < MAX_WORDS - 20)
        words[n++] = *command++;
    for (const char *const *flag = flags; *flag; flag++)
        words[n++] = *flag;
    if (*model) {
        words[n++] = "--model";
        words[n++] = model;
    }
    words[n] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execvp(words[0], (char *const *)words);
    fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
    _exit(127);
}

/* The number behind a text in the log; -1 where it is not there. */
static int number_in(const struct subject *subject, const char *event, const char *text)
{
    char *log = read_log(subject);
    const char *line = strstr(log, event);
    const char *at = line ? strstr(line, text) : NULL;
    int number = at ? (int)strtol(at + strlen(text), NULL, 10) : -1;
    free(log);
    return number;
}

double subject_start(struct subject *subject, char *const *command, const char *model, int workers,
                     int idle, double patience_ms)
{
    double start = now_ms();
    *subject = (struct subject){.log = memfd_create("log", MFD_CLOEXEC)};
    subject->pid = fork();
    if (subject->pid == 0)
        run(command, model, workers, idle, subject->log);
    while (number_in(subject, "\"event\":\"ready\"", "\"after_ms\":") < 0) {
        nap_ms(2);
        if (waitpid(subject->pid, NULL, WNOHANG) != 0 || now_ms() - start > patience_ms) {
            fputs(read_log(subject), stderr);
            die("the service does not become ready");
        }
    }
    double ready = now_ms() - start;
    subject->port = number_in(subject, "\"event\":\"listening\"", "http://127.0.0.1:");
    subject->workers = number_in(subject, "\"event\":\"listening\"", "\"workers\":");
    return ready;
}

void subject_end(const struct subject *subject)
{
    kill(subject->pid, SIGTERM);
}

static int events(const struct subject *subject, const char *name)
{
    char *log = read_log(subject), *at = log;
    int count = 0;
    while ((at = strstr(at, name)) != NULL) {
        at += strlen(name);
        count++;
    }
    free(log);
    return count;
}

void subject_reload(const struct subject *subject, double patience_ms)
{
    int before = events(subject, "\"event\":\"reloaded\"");
    double until = now_ms() + patience_ms;
    kill(subject->pid, SIGHUP);
    while (events(subject, "\"event\":\"reloaded\"") == before) {
        if (now_ms() > until)
            die("the model is not reloaded");
        nap_ms(10);
    }
}

int subject_wait(struct subject *subject, double patience_ms)
{
    int status = 0;
    double until = now_ms() + patience_ms;
    while (waitpid(subject->pid, &status, WNOHANG) == 0) {
        if (now_ms() > until)
            die("the service does not end");
        nap_ms(5);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

double subject_status(const struct subject *subject, const char *field)
{
    char path[64], line[256];
    double value = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)subject->pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            value = strtod(line + strlen(field) + 1, NULL);
    if (file)
        fclose(file);
    return strncmp(field, "Vm", 2) == 0 ? value / 1024 : value;
}

int subject_descriptors(const struct subject *subject)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)subject->pid);
    DIR *folder = opendir(path);
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count - 2;
}

/* Columns of a file in /proc that begins with other words, summed, in seconds. */
static double ticks(const char *path, int first, int last)
{
    char text[2048];
    double sum = 0;
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = 0;
    if (file)
        fclose(file);
    const char *at = strrchr(text, ')') ? strrchr(text, ')') : text;
    for (int column = 0; column <= last && *at; column++) {
        at += strcspn(at, " \n");
        at += strspn(at, " ");
        if (column >= first)
            sum += strtod(at, NULL);
    }
    return sum / (double)sysconf(_SC_CLK_TCK);
}

struct cpu_times subject_times(const struct subject *subject)
{
    struct cpu_times times;
    struct rusage self;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)subject->pid);
    times.subject = ticks(path, 11, 12);
    getrusage(RUSAGE_SELF, &self);
    times.self = (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) +
                 1e-6 * (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec);
    times.all = ticks("/proc/stat", 0, 7);
    times.busy = times.all - ticks("/proc/stat", 3, 4);
    return times;
}

int subject_complaints(const struct subject *subject)
{
    char *log = read_log(subject);
    int complaints = 0;
    for (char *line = log, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        if (*line == '{' && !strstr(line, "\"level\":\"error\""))
            continue;
        if (complaints++ < 100)
            printf("  | %s\n", line);
    }
    free(log);
    return complaints;
}
