#include "server/cgroup.h"

#include <stdio.h>
#include <string.h>

/* Quota of a cgroup directory in cores, rounded up; 0 where it has none. */
static int quota_of(const char *directory)
{
    char path[512];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%.480s/cpu.max", directory);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%lf %lf", &quota, &period) != 2)
            quota = 0; /* "max" */
        fclose(file);
    } else {
        snprintf(path, sizeof path, "%.470s/cpu.cfs_quota_us", directory);
        if (!(file = fopen(path, "re")))
            return 0;
        if (fscanf(file, "%lf", &quota) != 1)
            quota = 0;
        fclose(file);
        snprintf(path, sizeof path, "%.470s/cpu.cfs_period_us", directory);
        if (!(file = fopen(path, "re")))
            return 0;
        if (fscanf(file, "%lf", &period) != 1)
            period = 0;
        fclose(file);
    }
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

/* The smallest quota from a group up to the root of its mount. */
static int smallest_quota(const char *mount, const char *group)
{
    char path[512];
    int smallest = 0;
    snprintf(path, sizeof path, "%s%.400s", mount, group);
    for (;;) {
        int quota = quota_of(path);
        if (quota > 0 && (smallest == 0 || quota < smallest))
            smallest = quota;
        char *slash = strrchr(path, '/');
        if (!slash || strlen(path) <= strlen(mount))
            return smallest;
        *slash = 0;
    }
}

/* The next group that counts processor time: where its hierarchy is mounted, and its name. */
static bool next_group(FILE *file, char *line, size_t size, const char **mount, const char **group)
{
    while (fgets(line, (int)size, file)) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *name = names ? strchr(names + 1, ':') : NULL;
        if (!name)
            continue;
        *name++ = 0;
        *mount = names[1] == 0                      ? "/sys/fs/cgroup"
                 : strstr(names + 1, "cpu,cpuacct") ? "/sys/fs/cgroup/cpu,cpuacct"
                 : strcmp(names + 1, "cpu") == 0    ? "/sys/fs/cgroup/cpu"
                                                    : NULL;
        *group = strcmp(name, "/") == 0 ? "" : name;
        if (*mount)
            return true;
    }
    return false;
}

int cgroup_cores(void)
{
    char line[512];
    const char *mount, *group;
    int smallest = 0;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return 0;
    while (next_group(file, line, sizeof line, &mount, &group)) {
        int quota = smallest_quota(mount, group);
        if (quota > 0 && (smallest == 0 || quota < smallest))
            smallest = quota;
    }
    fclose(file);
    return smallest;
}

/* Reads a cpu.stat; false where it does not tell of throttling. */
static bool read_statistics(struct cgroup_throttling *out, const char *mount, const char *group)
{
    char path[512], name[64];
    double value;
    bool found = false;
    /* Inside a container the group's own folder is the root of the mount. */
    snprintf(path, sizeof path, "%s%.400s/cpu.stat", mount, group);
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(path, sizeof path, "%s/cpu.stat", mount);
        file = fopen(path, "re");
    }
    if (!file)
        return false;
    while (fscanf(file, "%63s %lf", name, &value) == 2) {
        if (strcmp(name, "nr_periods") == 0) {
            out->periods = value;
            found = true;
        } else if (strcmp(name, "nr_throttled") == 0) {
            out->throttled = value;
        } else if (strcmp(name, "throttled_usec") == 0) {
            out->seconds = value / 1e6;
        } else if (strcmp(name, "throttled_time") == 0) {
            out->seconds = value / 1e9;
        }
    }
    fclose(file);
    return found;
}

bool cgroup_throttling(struct cgroup_throttling *out)
{
    char line[512];
    const char *mount, *group;
    bool found = false;
    *out = (struct cgroup_throttling){0};
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return false;
    while (!found && next_group(file, line, sizeof line, &mount, &group))
        found = read_statistics(out, mount, group);
    fclose(file);
    return found;
}
