/*
 * The one queue between connections and workers: bounded, first come first served, by slice. A
 * job with several slices goes back to the end after each, so a single slice never waits for a
 * whole batch. Each job ends in exactly one of two ways, decided under the queue's lock: finished
 * by a worker, or abandoned (deadline, client gone) by the connection's side.
 * All functions may be called from any thread.
 */
#ifndef ONESHOT_SERVER_QUEUE_H
#define ONESHOT_SERVER_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "api/predict.h"
#include "model/base/buffer.h"

struct stream;

enum job_state {
    JOB_NEW,
    JOB_WAITING,   /* in the queue */
    JOB_RUNNING,   /* with a worker */
    JOB_PARKED,    /* aside, until its client has read what is there */
    JOB_FINISHED,  /* response filled */
    JOB_ABANDONED, /* nobody waits for it any more */
};

struct job {
    struct job *next, *previous;
    enum job_state state;
    double pushed_ms; /* clock_ms() when it entered the queue first, and last */
    double waiting_since_ms;
    const char *route; /* template of its request; static */
    int slices_left;   /* at least 1: as far as is known */
    struct predict predict;
    struct buffer body;
    struct response response;
    struct stream *stream;    /* where its events go; NULL: it has a response; held */
    atomic_bool abandoned;    /* its state, for the worker that is at it */
    atomic_llong progress_ms; /* clock_ms() when it was pushed, or a slice was done */
    /*
     * Called by the worker after queue_finish said that the job is still wanted. Not where there
     * is a stream: its end is what is waited for, and the job is left to its connection.
     */
    void (*done)(void *context);
    void *context;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *first, *last;
    int capacity;
    int waiting, running;
    long long slices; /* left of all that wait */
    bool closed;
    unsigned calls;  /* how often queue_call was called */
    double slice_ms; /* how long a slice takes of late; 0: not known yet */
};

int queue_init(struct queue *queue, int capacity);
void queue_free(struct queue *queue); /* must be empty */

/* A new job at the end; false when the queue is full or closed. */
bool queue_push(struct queue *queue, struct job *job);

enum queue_event {
    QUEUE_JOB,    /* *job is there */
    QUEUE_CALLED, /* queue_call was called since the last time */
    QUEUE_ENDED,  /* closed, and empty */
};

/* Waits for one of these. *calls is the caller's own count of calls, 0 at first. */
enum queue_event queue_wait(struct queue *queue, struct job **job, unsigned *calls);

/* Makes every queue_wait return QUEUE_CALLED once. */
void queue_call(struct queue *queue);

/* Waits for a job and takes it; NULL when the queue is closed and empty. */
struct job *queue_take(struct queue *queue);

/* Puts a running job back to the end, with what it says is left. False where it was abandoned: the
 * caller frees it. */
bool queue_return(struct queue *queue, struct job *job);

/* Puts a running job aside. False where it was abandoned: it still runs then. */
bool queue_park(struct queue *queue, struct job *job);

/* Puts a parked job back to the end, if it is still parked. */
void queue_unpark(struct queue *queue, struct job *job);

/*
 * Ends a running job. True: it is wanted, the caller calls done(), after which it is not his any
 * more. False: it was abandoned, the caller frees it.
 */
bool queue_finish(struct queue *queue, struct job *job);

/*
 * The connection's side does not want the job any more. Returns the state it was in:
 * JOB_WAITING or JOB_PARKED, it left the queue and is the caller's to free; JOB_RUNNING, its worker
 * frees it; JOB_FINISHED, too late, done() is on its way.
 */
enum job_state queue_abandon(struct queue *queue, struct job *job);

/* No new jobs; workers finish what is there, then get NULL. */
void queue_close(struct queue *queue);

/* Notes how long a slice took, for queue_retry_after. */
void queue_measure(struct queue *queue, double ms);

struct queue_counts {
    int waiting, running;
    long long slices; /* left of those that wait */
    double slice_ms;
};
struct queue_counts queue_count(struct queue *queue);

/* Seconds until all that waits is likely done, slice by slice at the measured speed. 1..60. */
int queue_retry_after(const struct queue_counts *counts, int workers);

void job_free(struct job *job); /* NULL is fine */

#endif
