#include "server/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char own_groups[] = "/proc/self/cgroup", groups_root[] = "/sys/fs/cgroup";

/* The first line of a file in a folder; false where there is no such file. */
static bool first_line(char line[128], const char *folder, const char *name)
{
    char path[560];
    snprintf(path, sizeof path, "%.511s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    if (!fgets(line, 128, file))
        line[0] = 0;
    fclose(file);
    return true;
}

/* Quota of a cgroup directory in cores, rounded down, at least 1; 0 where it has none. */
static int quota_of(const char *folder)
{
    char line[128], *end = line;
    double quota, period;
    if (first_line(line, folder, "cpu.max")) { /* "max 100000" or "150000 100000" */
        quota = strtod(line, &end);
        period = strtod(end, NULL);
    } else {
        quota = first_line(line, folder, "cpu.cfs_quota_us") ? strtod(line, NULL) : 0;
        period = first_line(line, folder, "cpu.cfs_period_us") ? strtod(line, NULL) : 0;
    }
    if (!(quota > 0 && period > 0))
        return 0;
    double cores = quota / period;
    return cores < 1 ? 1 : cores > INT_MAX ? INT_MAX : (int)cores;
}

/* The smallest quota from a group up to the root of its mount. */
static int smallest_quota(const char *mount, const char *group)
{
    char path[512];
    int smallest = 0;
    snprintf(path, sizeof path, "%.250s%.250s", mount, group);
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

/* One that counts processor time: where its hierarchy is mounted, and its name. */
struct group {
    char mount[256], line[512];
    const char *name; /* in the line */
};

static bool next_group(struct group *group, FILE *file, const char *root)
{
    while (fgets(group->line, sizeof group->line, file)) {
        char *line = group->line;
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *name = names ? strchr(names + 1, ':') : NULL;
        if (!name)
            continue;
        *name++ = 0;
        const char *below = names[1] == 0                      ? ""
                            : strstr(names + 1, "cpu,cpuacct") ? "/cpu,cpuacct"
                            : strcmp(names + 1, "cpu") == 0    ? "/cpu"
                                                               : NULL;
        group->name = strcmp(name, "/") == 0 ? "" : name;
        if (below) {
            snprintf(group->mount, sizeof group->mount, "%.200s%s", root, below);
            return true;
        }
    }
    return false;
}

int cgroup_cores_at(const char *list, const char *root)
{
    struct group group;
    int smallest = 0;
    FILE *file = fopen(list, "re");
    if (!file)
        return 0;
    while (next_group(&group, file, root)) {
        int quota = smallest_quota(group.mount, group.name);
        if (quota > 0 && (smallest == 0 || quota < smallest))
            smallest = quota;
    }
    fclose(file);
    return smallest;
}

int cgroup_cores(void)
{
    return cgroup_cores_at(own_groups, groups_root);
}

/* Reads a cpu.stat; false where it does not tell of throttling. */
static bool read_statistics(struct cgroup_throttling *out, const char *mount, const char *group)
{
    char path[512], line[128];
    bool found = false;
    /* Inside a container the group's own folder is the root of the mount. */
    snprintf(path, sizeof path, "%.250s%.250s/cpu.stat", mount, group);
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(path, sizeof path, "%s/cpu.stat", mount);
        file = fopen(path, "re");
    }
    if (!file)
        return false;
    while (fgets(line, sizeof line, file)) {
        size_t length = strcspn(line, " ");
        double value = strtod(line + length, NULL);
        line[length] = 0;
        if (strcmp(line, "nr_periods") == 0) {
            out->periods = value;
            found = true;
        } else if (strcmp(line, "nr_throttled") == 0) {
            out->throttled = value;
        } else if (strcmp(line, "throttled_usec") == 0) {
            out->seconds = value / 1e6;
        } else if (strcmp(line, "throttled_time") == 0) {
            out->seconds = value / 1e9;
        }
    }
    fclose(file);
    return found;
}

bool cgroup_throttling(struct cgroup_throttling *out)
{
    struct group group;
    bool found = false;
    *out = (struct cgroup_throttling){0};
    FILE *file = fopen(own_groups, "re");
    if (!file)
        return false;
    while (!found && next_group(&group, file, groups_root))
        found = read_statistics(out, group.mount, group.name);
    fclose(file);
    return found;
}
