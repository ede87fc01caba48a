/*
 * Worker threads: each opens its own session, proves it with the self-test, and then computes one
 * slice after another from the queue; between two slices it moves over to a newer model when there
 * is one. Sessions never leave their thread.
 */
#ifndef ONESHOT_SERVER_WORKER_H
#define ONESHOT_SERVER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/state.h"
#include "server/metrics.h"
#include "server/models.h"
#include "server/queue.h"

struct worker {
    pthread_t thread;
    bool started;
    struct queue *queue;
    struct models *models;
    struct generation *generation; /* whose session is open; of the thread */
    size_t max_pixels;
    struct metrics *metrics;
    atomic_llong busy_since_ms; /* clock of the slice under way; 0: idle */
    pthread_mutex_t lock;       /* of `activity` */
    struct api_activity activity;
    double activity_since_ms;
    /* Called once on the worker's thread: NULL when it is ready, else why it cannot work. */
    void (*opened)(void *context, const struct error *err);
    /* Called when it has moved over to the newest model, or could not and stays with the old. */
    void (*moved)(void *context, const struct error *err);
    void *context;
};

int worker_init(struct worker *worker); /* -1: no lock */
void worker_free(struct worker *worker);

/* What it does now; any thread. */
void worker_activity(struct worker *worker, struct api_activity *out);

/* Starts the thread; `worker` has queue, models, max_pixels, metrics, opened, moved and context
 * set. */
int worker_start(struct worker *worker, struct error *err);

/* Waits for the thread to end, which it does once the queue is closed and empty. */
void worker_join(struct worker *worker);

#endif
