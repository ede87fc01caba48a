#include "server/stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 30 }; /* bytes: far beyond STREAM_FULL and one step's events */

int stream_new(struct stream **out, struct queue *queue, void (*wake)(void *context), void *context,
               struct error *err)
{
    struct stream *stream = calloc(1, sizeof *stream);
    *out = NULL;
    if (!stream || pthread_mutex_init(&stream->lock, NULL) != 0) {
        free(stream);
        return error_set(err, ERR_MEMORY, "no memory for a stream");
    }
    atomic_init(&stream->holders, 1);
    buffer_init(&stream->bytes, MOST);
    stream->queue = queue;
    stream->wake = wake;
    stream->context = context;
    stream->put_ms = clock_ms();
    stream->code = "";
    *out = stream;
    return 0;
}

struct stream *stream_hold(struct stream *stream)
{
    atomic_fetch_add(&stream->holders, 1);
    return stream;
}

void stream_release(struct stream *stream)
{
    if (!stream || atomic_fetch_sub(&stream->holders, 1) > 1)
        return;
    buffer_free(&stream->bytes);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static size_t waiting(const struct stream *stream)
{
    return stream->bytes.length - stream->read;
}

static void wake(struct stream *stream)
{
    if (stream->sleeping && !stream->closed)
        stream->wake(stream->context);
    stream->sleeping = false;
}

/* ---- writing ---- */

void stream_put(struct stream *stream, const void *bytes, size_t length)
{
    pthread_mutex_lock(&stream->lock);
    if (!stream->ended && !stream->closed && length > 0) {
        if (buffer_append(&stream->bytes, bytes, length, NULL) != 0)
            stream->ended = stream->broken = true;
        stream->put_ms = clock_ms();
        wake(stream);
    }
    pthread_mutex_unlock(&stream->lock);
}

void stream_note(struct stream *stream, int slices, double queue_ms)
{
    pthread_mutex_lock(&stream->lock);
    stream->slices = slices;
    stream->queue_ms = queue_ms;
    pthread_mutex_unlock(&stream->lock);
}

static void end(struct stream *stream, const char *code, bool broken)
{
    pthread_mutex_lock(&stream->lock);
    if (!stream->ended) {
        stream->ended = true;
        stream->broken = broken;
        stream->code = code;
        stream->parked = NULL;
    }
    wake(stream);
    pthread_mutex_unlock(&stream->lock);
}

void stream_end(struct stream *stream, const char *code)
{
    end(stream, code, false);
}

void stream_break(struct stream *stream)
{
    end(stream, "", true);
}

bool stream_park(struct stream *stream, struct job *job)
{
    pthread_mutex_lock(&stream->lock);
    bool full = !stream->ended && !stream->closed && waiting(stream) > STREAM_FULL;
    bool parked = full && queue_park(stream->queue, job);
    if (parked)
        stream->parked = job;
    pthread_mutex_unlock(&stream->lock);
    return parked;
}

double stream_put_ms(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    double ms = stream->ended ? INFINITY : stream->put_ms;
    pthread_mutex_unlock(&stream->lock);
    return ms;
}

/* ---- reading ---- */

/* Forgets what has been read, now and then. */
static void compact(struct stream *stream)
{
    size_t left = waiting(stream);
    if (stream->read < left && left > 0)
        return;
    memmove(stream->bytes.bytes, stream->bytes.bytes + stream->read, left);
    stream->bytes.length = left;
    stream->read = 0;
}

ssize_t stream_read(void *out, size_t room, struct stream *stream, void (*sleep)(void *context),
                    void *context)
{
    pthread_mutex_lock(&stream->lock);
    ssize_t n = stream->broken ? STREAM_BROKEN : STREAM_END;
    if (waiting(stream) > 0) {
        size_t piece = waiting(stream) < room ? waiting(stream) : room;
        memcpy(out, stream->bytes.bytes + stream->read, piece);
        stream->read += piece;
        compact(stream);
        n = (ssize_t)piece;
    } else if (!stream->ended) {
        stream->sleeping = true;
        sleep(context);
        n = 0;
    }
    /* As long as the stream has not ended, a parked job is there. */
    if (stream->parked && !stream->ended && waiting(stream) < STREAM_ROOM) {
        queue_unpark(stream->queue, stream->parked);
        stream->parked = NULL;
    }
    pthread_mutex_unlock(&stream->lock);
    return n;
}

void stream_close(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->closed = true;
    stream->sleeping = false;
    stream->parked = NULL;
    pthread_mutex_unlock(&stream->lock);
}
