/* What the control groups of this process allow it (cgroup v1 and v2). Any thread. */
#ifndef ONESHOT_SERVER_CGROUP_H
#define ONESHOT_SERVER_CGROUP_H

#include <stdbool.h>

/* The smallest CPU quota of its groups in whole cores, at least 1; 0 where there is none. */
int cgroup_cores(void);

/* The same for groups listed in a file like /proc/self/cgroup, with /sys/fs/cgroup at `root`. */
int cgroup_cores_at(const char *list, const char *root);

/* How often a quota has stopped the process's own group. */
struct cgroup_throttling {
    double periods, throttled; /* counts */
    double seconds;            /* stopped, all threads together */
};

/* False where the system does not say; then all are 0. */
bool cgroup_throttling(struct cgroup_throttling *out);

#endif
