/*
 * Events on their way from the worker that makes them to the connection that sends them, with a
 * limit: where a client reads more slowly than a worker computes, the job is parked until there is
 * room again, so that memory does not grow with the length of a volume.
 *
 * Two hold a stream, the job and the ticket; the last to let go frees it. The writing side is the
 * worker's (and the watch's, with pings and problems), the reading side the HTTP library's.
 */
#ifndef ONESHOT_SERVER_STREAM_H
#define ONESHOT_SERVER_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "model/base/buffer.h"
#include "server/queue.h"

enum {
    STREAM_FULL = 1 << 20, /* bytes that wait, from which on the job is parked */
    STREAM_ROOM = 1 << 18, /* and up to which it goes on */
    STREAM_PING_MS = 5000, /* longest silence */
};

enum { STREAM_END = -1, STREAM_BROKEN = -2 }; /* what a read finds instead of bytes */

struct stream {
    atomic_int holders;
    pthread_mutex_t lock; /* of all that follows; taken before the queue's */
    struct buffer bytes;
    size_t read;   /* of bytes */
    bool ended;    /* nothing will be written any more */
    bool broken;   /* and what was to be the end is missing */
    bool closed;   /* nobody reads any more */
    bool sleeping; /* the reader waits to be woken */
    double put_ms; /* clock_ms() of the last write */
    struct job *parked;
    struct queue *queue;
    void (*wake)(void *context); /* the reader; called under the lock, never after stream_close */
    void *context;
    int slices; /* done so far, and how long they waited for a worker */
    double queue_ms;
    const char *code; /* of a problem, once it has ended */
};

/* Held once. ERR_MEMORY. */
int stream_new(struct stream **out, struct queue *queue, void (*wake)(void *context), void *context,
               struct error *err);
struct stream *stream_hold(struct stream *stream);
void stream_release(struct stream *stream); /* NULL is fine */

/* ---- writing ---- */

/* Takes nothing once the stream has ended or nobody reads. Without memory the stream breaks. */
void stream_put(struct stream *stream, const void *bytes, size_t length);

/* What the worker has done so far. */
void stream_note(struct stream *stream, int slices, double queue_ms);

/* Nothing follows. The first call counts. `code` is static, "" when all went well. */
void stream_end(struct stream *stream, const char *code);

/* The same where its end is missing, so that whoever still reads does not take it for whole. */
void stream_break(struct stream *stream);

/* Where too much waits to be read: the running job is parked (true) and not the caller's any more.
 */
bool stream_park(struct stream *stream, struct job *job);

/* When something was written last; INFINITY once it has ended. */
double stream_put_ms(struct stream *stream);

/* ---- reading ---- */

/*
 * Takes up to `room` bytes. 0: there is nothing yet, and `sleep` was called under the lock, so that
 * no wake can come before it; STREAM_END, STREAM_BROKEN: nothing will be any more.
 */
ssize_t stream_read(void *out, size_t room, struct stream *stream, void (*sleep)(void *context),
                    void *context);

/* Nobody reads any more; wake is not called after this returns. */
void stream_close(struct stream *stream);

#endif
