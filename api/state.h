/*
 * What the api has to know of the running service, as values: the server fills a snapshot per
 * request, so that answering needs no lock.
 */
#ifndef ONESHOT_API_STATE_H
#define ONESHOT_API_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/model.h"

/* Fixed while the service runs. */
struct api_limits {
    size_t max_body;     /* bytes of one request body */
    size_t max_buffered; /* bytes of all bodies in memory */
    size_t max_pixels;   /* of one slice */
    int max_files;       /* files in one request */
    int max_slices;      /* wanted of one volume */
    int max_ratio;       /* of inflated to compressed volumes */
    int queue_capacity;  /* requests that may wait */
    int workers, threads;
    int timeout_ms; /* longest a request may take */
    int max_connections;
};

enum { API_MAX_FILES = 64 }; /* in one request */

enum api_phase {
    PHASE_LOADING, /* the model is read, checked and warmed up */
    PHASE_READY,
    PHASE_DRAINING, /* about to shut down: still serves, but says it is not ready */
    PHASE_STOPPING, /* takes no new work */
    PHASE_FAILED,   /* the model cannot be used */
};

/* What a worker does. */
struct api_activity {
    const char *route; /* template of the request it works for; NULL: idle */
    int slice, slices; /* from 1; slices 0: not known yet */
    double for_ms;
};

struct api_state {
    enum api_phase phase;
    char reason[256];               /* why not ready; "" when ready */
    const struct model_info *model; /* NULL until loaded */
    bool alive;                     /* no worker hangs in one slice */
    int queued, busy;               /* requests waiting, workers computing */
    int retry_after;                /* seconds until a place in the queue is likely free */
    double uptime_s;
};

#endif
