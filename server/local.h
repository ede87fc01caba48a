/* A model and one session on this thread, for commands that need no server. */
#ifndef ONESHOT_SERVER_LOCAL_H
#define ONESHOT_SERVER_LOCAL_H

#include "api/slice.h"

struct local {
    struct model *model;
    struct slice_worker worker;
};

/* `path` "" is the default model, threads 0 every core. Errors of model_load and session_open. */
int local_open(struct local *local, const char *path, int threads, size_t max_pixels,
               struct error *err);
void local_close(struct local *local); /* a zeroed one is fine */

#endif
