/* Answers that are sent while they are made. */
#include <math.h>
#include <string.h>
#include <sys/socket.h>

#include "server/http_private.h"
#include "server/stream.h"

/* The worker's side, under the stream's lock: there is something to read. */
static void wake(void *context)
{
    struct request_state *state = context;
    MHD_resume_connection(state->connection);
}

/* The library's side, under the stream's lock: there is nothing to read. */
static void sleep_until_woken(void *context)
{
    http_suspend(context);
}

static ssize_t read_events(void *context, uint64_t position, char *out, size_t room)
{
    struct request_state *state = context;
    (void)position;
    http_no_longer_suspended(state);
    ssize_t n = stream_read(out, room, state->ticket->stream, sleep_until_woken, state);
    if (n == STREAM_BROKEN)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == STREAM_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    state->ticket->sent += (size_t)n;
    return n;
}

/* Passes on what a step left in its predict. */
static void pass_on(struct stream *stream, struct buffer *events)
{
    stream_put(stream, events->bytes, events->length);
    buffer_clear(events);
}

static enum MHD_Result answer(struct request_state *state)
{
    enum { PIECE = 32 * 1024 };
    struct ticket *ticket = state->ticket;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, read_events, state, NULL);
    if (!response)
        return MHD_NO;
    predict_stream_headers(&ticket->exchange.response, ticket->exchange.predict.answer);
    return http_queue(state, response);
}

bool http_stream_submit(struct request_state *state, enum MHD_Result *result)
{
    struct ticket *ticket = state->ticket;
    struct service *service = ticket->service;
    struct job *job = ticket->job;
    struct queue_counts counts = queue_count(&service->queue);
    struct stream *stream;
    if (stream_new(&stream, &service->queue, wake, state, NULL) != 0)
        return false;
    job->stream = stream_hold(stream);
    if (predict_accepted(&job->predict, counts.waiting, NULL) == 0)
        pass_on(stream, &job->predict.events);
    if (!queue_push(&service->queue, job)) {
        stream_release(stream);
        return false;
    }
    ticket->stream = stream;
    double now = clock_ms();
    double limit = fmin(ticket->deadline_ms, now + service->config->timeout_ms);
    watch_set(&state->http->watch, state->peer, PEER_WAITING, fmin(limit, now + STREAM_PING_MS),
              state);
    *result = answer(state);
    return true;
}

/* The client has so long to take what is left; then its connection is cut. */
static double drain(struct request_state *state, double now)
{
    if (state->draining) {
        shutdown(state->peer->socket, SHUT_RDWR);
        return 0;
    }
    state->draining = true;
    return now + state->http->service->config->timeout_ms + (double)STREAM_FULL / SLOWEST;
}

/* The last event of a stream that is called off. */
static void put_problem(struct ticket *ticket, const struct problem *problem)
{
    struct buffer event;
    buffer_init(&event, 1 << 16);
    if (predict_error_event(&event, ticket->exchange.predict.answer, ticket->id, problem, NULL) ==
        0)
        pass_on(ticket->stream, &event);
    buffer_free(&event);
}

double http_stream_expired(struct request_state *state, enum expiry why)
{
    struct ticket *ticket = state->ticket;
    struct queue *queue = &ticket->service->queue;
    double now = clock_ms(), put = stream_put_ms(ticket->stream);
    if (put == INFINITY)
        return why == EXPIRED_GONE ? 0 : drain(state, now);
    double limit = ticket_limit(ticket);
    if (why == EXPIRED_DEADLINE && now < limit) {
        const char *ping = predict_ping(ticket->exchange.predict.answer);
        if (now >= put + STREAM_PING_MS) {
            stream_put(ticket->stream, ping, strlen(ping));
            put = now;
        }
        return fmin(limit, put + STREAM_PING_MS);
    }
    struct problem problem;
    ticket->outcome = http_outcome(why);
    ticket_expired(ticket, &problem);
    /* Ended first: what is parked is woken by nobody then, and may be freed. */
    if (why == EXPIRED_GONE) { /* or said half a goodbye, and still reads */
        stream_break(ticket->stream);
    } else {
        put_problem(ticket, &problem);
        stream_end(ticket->stream, problem_code(problem.kind));
    }
    if (queue_abandon(queue, ticket->job) == JOB_RUNNING)
        ticket_leave_job(ticket);
    return why == EXPIRED_GONE ? 0 : drain(state, now);
}

void http_stream_completed(struct request_state *state)
{
    struct ticket *ticket = state->ticket;
    struct stream *stream = ticket->stream;
    stream_close(stream);
    pthread_mutex_lock(&stream->lock); /* a worker may still be at its last slice */
    ticket->slices = stream->slices;
    ticket->queue_ms = stream->queue_ms;
    ticket->code = stream->code;
    pthread_mutex_unlock(&stream->lock);
    if (ticket->job && queue_abandon(&ticket->service->queue, ticket->job) == JOB_RUNNING)
        ticket_leave_job(ticket);
}
