#include "model/base/threads.h"

#include <stdlib.h>
#include <unistd.h>

/* The shortest spin that still bridges the gaps between a slice's parallel regions: on cores of
 * their own threads are then as fast as with libgomp's default, 300000. */
#define SPIN "5000"

void threads_wait_briefly(char **argv)
{
    char program[4096];
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    /* By its path, not as /proc/self/exe: that would be its name in ps. */
    ssize_t length = readlink("/proc/self/exe", program, sizeof program);
    if (length <= 0 || length >= (ssize_t)sizeof program)
        return;
    program[length] = 0;
    if (setenv("GOMP_SPINCOUNT", SPIN, 1) == 0)
        execv(program, argv);
}
