/*
 * The service without its sockets: model, queue, workers, and what state they are in. The model is
 * loaded on a thread of its own while the sockets are open already.
 */
#ifndef ONESHOT_SERVER_SERVICE_H
#define ONESHOT_SERVER_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "server/config.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/worker.h"

struct service {
    const struct config *config;
    struct log log;
    struct api api;
    struct queue queue;
    struct worker *workers; /* config->workers of them */
    atomic_size_t buffered; /* bytes of requests' and answers' bodies in memory */
    atomic_int in_flight;   /* requests under way */
    struct metrics metrics;
    struct models models;
    double started_ms;
    pthread_mutex_t keys_lock; /* of api.keys: held while a request is judged, and exchanged */

    pthread_mutex_t lock; /* of what follows */
    enum api_phase phase;
    char reason[256];
    int opened; /* workers that are ready */
    pthread_t loader;
    bool loading;   /* the loader thread is to be joined: it loads first, and reloads later */
    bool reloading; /* it is at it */
    bool again;     /* and is to begin anew when it is done */
    int moved;      /* workers that have moved over to the newest model */

    int event; /* eventfd: written when the model turned out unusable */
};

/* ERR_MEMORY, ERR_IO. */
int service_init(struct service *service, const struct config *config, struct error *err);

/* Starts loading the model in the background. */
int service_load(struct service *service, struct error *err);

/*
 * Reads the keys again, where there is a file of them; logs how that went. A bad file changes
 * nothing: whoever could ask still can, and nobody else.
 */
void service_reload_keys(struct service *service);

/* Logs and counts that `what` ("keys", "certificate") was read again; err NULL: all went well. */
void service_note_reload(struct service *service, const char *what, const struct error *err);

/*
 * Loads the model anew in the background, tests it, and lets the workers move over to it between
 * two slices. Whatever goes wrong is logged and changes nothing. Asked for during a reload: once
 * more after it. Called by one thread.
 */
void service_reload(struct service *service);

/* What the api has to know now. */
void service_state(struct service *service, struct api_state *state);

/* Moves to PHASE_DRAINING or PHASE_STOPPING; never back. */
void service_leave(struct service *service, enum api_phase phase);

/* Ends workers (the queue must have been emptied or be about to be) and frees everything. */
void service_free(struct service *service);

#endif
