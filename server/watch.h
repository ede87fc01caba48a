/*
 * What the HTTP library leaves open, on one thread: connections that take too long over their
 * headers or body are cut; requests that wait for a worker are called off when their deadline
 * passes or their client leaves; connections answered before their body was read are drained for
 * a moment, so that the answer is not lost to a reset.
 * A peer is one connection. Its functions are called on the HTTP library's thread, `expired` on
 * the watch's own, under its lock: it must neither block nor call back.
 */
#ifndef ONESHOT_SERVER_WATCH_H
#define ONESHOT_SERVER_WATCH_H

#include <pthread.h>
#include <stdbool.h>

#include "model/base/error.h"

enum peer_phase {
    PEER_IDLE,      /* between requests, or in the middle of headers */
    PEER_RECEIVING, /* a body is coming */
    PEER_WAITING,   /* for a worker */
    PEER_SENDING,   /* an answer is on its way */
    PEER_UNWATCHED, /* nothing to wait for */
};

enum expiry { EXPIRED_DEADLINE, EXPIRED_GONE, EXPIRED_END /* of the service */ };

struct peer {
    struct peer *next, *previous;
    int socket;
    enum peer_phase phase;
    double deadline_ms; /* clock_ms(); unless unwatched */
    void *context;      /* of the request that waits */
    bool linger;        /* drain after closing */
    bool arriving;      /* its first request is still to come */
};

struct lingering {
    int socket;
    double until_ms;
};

enum { WATCH_LINGERING = 64 };

struct watch {
    pthread_mutex_t lock;
    pthread_t thread;
    bool started, stopping;
    bool over; /* waiting has ended for good */
    int event; /* eventfd: something changed */
    struct peer *peers;
    int peers_count;
    struct lingering lingering[WATCH_LINGERING];
    int lingering_count;
    double (*expired)(void *request, enum expiry why);
};

/*
 * `expired` ends the wait and returns 0, or gives another time to be asked at; that the client has
 * gone ends it in any case.
 */
int watch_start(struct watch *watch, double (*expired)(void *request, enum expiry why),
                struct error *err);

/* Ends the thread; every peer must have been removed. */
void watch_stop(struct watch *watch);

/* A new connection, idle until `deadline_ms`. NULL without memory. */
struct peer *watch_add(struct watch *watch, int socket, double deadline_ms);

/* The connection is about to be closed; frees the peer. */
void watch_remove(struct watch *watch, struct peer *peer);

/* Waiting that begins after watch_expire_all() is called off at once, on the caller's thread. */
void watch_set(struct watch *watch, struct peer *peer, enum peer_phase phase, double deadline_ms,
               void *context);

/* Calls off everything that waits and will wait, as if its deadline had passed. */
void watch_expire_all(struct watch *watch);

#endif
