#include "server/http.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/http_private.h"
#include "server/listen.h"
#include "server/tls.h"

enum {
    DISCARD = 64 * 1024, /* bodies up to this are read to their end before a refusal */
    LATE_MS = 2000,      /* for the first request of a connection that is there at the end */
};

static struct peer *peer_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* ---- the response out ---- */

enum MHD_Result http_queue(struct request_state *state, struct MHD_Response *response)
{
    struct ticket *ticket = state->ticket;
    struct response *from = &ticket->exchange.response;
    struct request request = {ticket->method, ticket->target, http_header, state, ticket->id};
    api_finish(from, &state->http->service->api, &request);
    for (int i = 0; i < from->headers_count; i++)
        MHD_add_response_header(response, from->headers[i].name, from->headers[i].value);
    if (from->close || atomic_load(&state->http->closing))
        MHD_add_response_header(response, "Connection", "close");
    ticket->status = from->status;
    ticket->stage = TICKET_SENT;
    enum MHD_Result result =
        MHD_queue_response(state->connection, (unsigned)ticket->status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result http_send(struct request_state *state)
{
    struct ticket *ticket = state->ticket;
    struct response *from = &ticket->exchange.response;
    enum MHD_ResponseMemoryMode mode =
        from->borrowed ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        from->length, from->body, from->body ? mode : MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    ticket->sent = from->length;
    ticket->code = from->code;
    from->body = NULL; /* the library's now */
    if (!from->borrowed) {
        state->unsent = from->length;
        atomic_fetch_add(&ticket->service->buffered, state->unsent);
    }
    double allowed = ticket->service->config->timeout_ms + (double)ticket->sent / SLOWEST;
    watch_set(&state->http->watch, state->peer, PEER_SENDING, clock_ms() + allowed, NULL);
    return http_queue(state, response);
}

/* ---- the life of a request ---- */

static enum MHD_Result begin(struct request_state *state, const char *method, const char *version)
{
    struct ticket *ticket = state->ticket;
    const struct config *config = state->http->service->config;
    struct request_body body;
    struct request request = {method, ticket->target, http_header, state, ticket->id};
    struct problem problem;
    ticket->method = method;
    ticket->stage = TICKET_BODY;
    request_id_choose(ticket->id, request_header(&request, "X-Request-Id"));
    /* What can be read in two ways is refused, and its connection closed. */
    bool sound = http_read_headers(state, &body, version, &problem) == 0;
    if (sound) {
        ticket_begin(ticket, &request, &body);
    } else {
        ticket_fail(ticket, &problem);
        ticket->exchange.response.close = true;
    }
    bool refused = ticket->exchange.response.status != 0;
    bool has_body = body.chunked || body.length > 0;
    if (refused && (!sound || has_body)) {
        /* Short bodies are taken in, so that the connection can go on; long ones are not. */
        bool brief =
            sound && !body.chunked && body.length <= DISCARD && !request_header(&request, "Expect");
        if (!brief) {
            ticket->exchange.response.close = true;
            state->peer->linger = true;
            return http_send(state);
        }
    }
    state->allowance = config->max_body + DISCARD;
    double deadline = ticket->started_ms + config->timeout_ms;
    if (body.length > 0 && ticket->job)
        deadline += (double)body.length / SLOWEST;
    deadline = ticket->job ? fmin(deadline, ticket->deadline_ms) : deadline;
    watch_set(&state->http->watch, state->peer, PEER_RECEIVING, deadline, NULL);
    return MHD_YES;
}

static enum MHD_Result receive(struct request_state *state, const char *bytes, size_t length)
{
    bool refused = state->ticket->exchange.response.status != 0;
    if (refused) {
        if (length > state->allowance) {
            state->peer->linger = true;
            return MHD_NO;
        }
        state->allowance -= length;
    }
    ticket_receive(state->ticket, bytes, length);
    return MHD_YES;
}

void http_suspend(struct request_state *state)
{
    state->suspended = true;
    atomic_fetch_add(&state->http->suspended, 1);
    MHD_suspend_connection(state->connection);
}

void http_no_longer_suspended(struct request_state *state)
{
    if (state->suspended)
        atomic_fetch_sub(&state->http->suspended, 1);
    state->suspended = false;
}

/* The worker's side: the response is there. */
static void job_done(void *context)
{
    struct request_state *state = context;
    state->ticket->outcome = OUTCOME_DONE;
    MHD_resume_connection(state->connection);
}

enum ticket_outcome http_outcome(enum expiry why)
{
    return why == EXPIRED_GONE  ? OUTCOME_GONE
           : why == EXPIRED_END ? OUTCOME_ENDED
                                : OUTCOME_DEADLINE;
}

/* The watch's side: does anybody wait any longer? */
static double expired(void *context, enum expiry why)
{
    struct request_state *state = context;
    struct ticket *ticket = state->ticket;
    if (ticket->stream)
        return http_stream_expired(state, why);
    double limit = ticket_limit(ticket);
    if (why == EXPIRED_DEADLINE && limit > clock_ms())
        return limit;
    enum job_state was = queue_abandon(&state->http->service->queue, ticket->job);
    if (was == JOB_FINISHED)
        return 0;
    if (was == JOB_RUNNING)
        ticket_leave_job(ticket);
    ticket->outcome = http_outcome(why);
    MHD_resume_connection(state->connection);
    return 0;
}

/* The queue has no room. */
static void refuse(struct ticket *ticket)
{
    struct api_state now;
    struct problem problem;
    service_state(ticket->service, &now);
    api_queue_full(&problem, &now, &ticket->service->api.limits);
    ticket_fail(ticket, &problem);
}

/* Hands the job to the queue, and answers at once with a stream of what becomes of it. */
static enum MHD_Result submit_stream(struct request_state *state)
{
    enum MHD_Result result;
    if (http_stream_submit(state, &result))
        return result;
    refuse(state->ticket);
    return http_send(state);
}

static enum MHD_Result submit(struct request_state *state)
{
    struct ticket *ticket = state->ticket;
    struct service *service = state->http->service;
    if (answer_streams(ticket->job->predict.answer))
        return submit_stream(state);
    ticket->job->done = job_done;
    ticket->job->context = state;
    ticket->stage = TICKET_WAITING;
    /* Suspended first: the worker may be done before this function is. */
    http_suspend(state);
    struct job *job = ticket->job;
    double deadline = fmin(ticket->deadline_ms, clock_ms() + service->config->timeout_ms);
    if (queue_push(&service->queue, job)) {
        watch_set(&state->http->watch, state->peer, PEER_WAITING, deadline, state);
        return MHD_YES;
    }
    ticket->outcome = OUTCOME_DONE;
    refuse(ticket);
    MHD_resume_connection(state->connection);
    return MHD_YES;
}

static enum MHD_Result resumed(struct request_state *state)
{
    struct ticket *ticket = state->ticket;
    http_no_longer_suspended(state);
    watch_set(&state->http->watch, state->peer, PEER_UNWATCHED, 0, NULL);
    if (ticket->exchange.response.status == 0)
        ticket_settle(ticket);
    if (ticket->outcome == OUTCOME_GONE) {
        ticket->status = 499;
        return MHD_NO;
    }
    return http_send(state);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *length, void **request)
{
    struct request_state *state = *request;
    (void)context;
    (void)url;
    if (!state)
        return MHD_NO;
    switch (state->ticket->stage) {
    case TICKET_HEADERS:
        state->connection = connection;
        state->peer = peer_of(connection);
        return state->peer ? begin(state, method, version) : MHD_NO;
    case TICKET_BODY:
        if (*length > 0) {
            enum MHD_Result result = receive(state, bytes, *length);
            *length = 0;
            return result;
        }
        return state->ticket->exchange.response.status != 0 ? http_send(state) : submit(state);
    case TICKET_WAITING:
        return resumed(state);
    case TICKET_SENT:
        break;
    }
    return MHD_NO;
}

/* ---- callbacks around it ---- */

/* A connection has asked for something for the first time, or is gone. */
static void arrived(struct http *http, struct peer *peer)
{
    if (!peer || !peer->arriving)
        return;
    peer->arriving = false;
    atomic_fetch_sub(&http->arriving, 1);
}

/* The request line is there; what is returned becomes the request's state. */
static void *on_request_line(void *context, const char *target, struct MHD_Connection *connection)
{
    struct http *http = context;
    struct request_state *state = calloc(1, sizeof *state);
    if (state) {
        state->http = http;
        state->ticket = ticket_new(http->service, target);
    }
    if (state && state->ticket) {
        atomic_fetch_add(&http->service->in_flight, 1);
    } else {
        free(state);
        state = NULL;
    }
    arrived(http, peer_of(connection));
    http_forget_query(target);
    return state;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    struct http *http = context;
    struct request_state *state = *request;
    (void)connection;
    if (!state)
        return;
    *request = NULL;
    if (state->peer) /* from here on the watch leaves it alone */
        watch_set(&http->watch, state->peer, PEER_IDLE,
                  clock_ms() + http->service->config->idle_timeout_ms, NULL);
    if (state->ticket->stream)
        http_stream_completed(state);
    atomic_fetch_sub(&http->service->buffered, state->unsent);
    http_no_longer_suspended(state); /* the client left before it was resumed */
    if (state->ticket->stage != TICKET_HEADERS) {
        bool reached =
            why == MHD_REQUEST_TERMINATED_COMPLETED_OK && state->ticket->outcome != OUTCOME_GONE;
        if (state->ticket->status == 0)
            state->ticket->status = 499;
        ticket_log(state->ticket, reached);
        ticket_count(state->ticket);
    }
    ticket_free(state->ticket);
    free(state->accept);
    free(state);
    atomic_fetch_sub(&http->service->in_flight, 1);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *http = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        int socket =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        bool late = atomic_load(&http->closing);
        double patience = late ? LATE_MS : http->service->config->idle_timeout_ms;
        struct peer *peer = watch_add(&http->watch, socket, clock_ms() + patience);
        if (peer) {
            peer->arriving = true;
            atomic_fetch_add(&http->arriving, 1);
        }
        if (atomic_load(&http->handed) > 0)
            atomic_fetch_sub(&http->handed, 1);
        *socket_context = peer;
    } else if (*socket_context) {
        arrived(http, *socket_context);
        watch_remove(&http->watch, *socket_context);
        *socket_context = NULL;
    }
}

static void on_library_log(void *context, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void on_library_log(void *context, const char *format, va_list arguments)
{
    struct http *http = context;
    char text[256];
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = 0;
    log_event(&http->service->log, LOG_DEBUG, "http_library", LOG_STR("detail", text));
}

/* ---- start and stop ---- */

static void release(struct http *http)
{
    tls_close(http->tls);
    free(http);
}

static int open_tls(struct http *http, const struct config *config, struct error *err)
{
    if (!*config->tls_cert)
        return 0;
    if (MHD_is_feature_supported(MHD_FEATURE_HTTPS_CERT_CALLBACK2) != MHD_YES)
        return error_set(err, ERR_UNSUPPORTED, "the HTTP library was built without TLS");
    return tls_open(&http->tls, config->tls_cert, config->tls_key, err);
}

void http_reload(struct http *http)
{
    struct service *service = http->service;
    struct error err;
    if (!http->tls)
        return;
    int rc = tls_reload(http->tls, &err);
    service_note_reload(service, "certificate", rc == 0 ? NULL : &err);
}

/* Starts the library; NULL where it will not. */
static struct MHD_Daemon *start_daemon(struct http *http, const struct config *config)
{
    unsigned timeout = (unsigned)((config->idle_timeout_ms + 999) / 1000);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, tls_callback()},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (char *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(
        flags | (http->tls ? MHD_USE_TLS : 0), 0, NULL, NULL, on_request, http,
        MHD_OPTION_EXTERNAL_LOGGER, on_library_log, http, MHD_OPTION_LISTEN_SOCKET, http->listener,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, timeout, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, http,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY,
        http->tls ? tls : &tls[2], MHD_OPTION_END);
}

int http_start(struct http **out, struct service *service, int listener, struct error *err)
{
    struct http *http = calloc(1, sizeof *http);
    const struct config *config = service->config;
    if (!http)
        return error_set(err, ERR_MEMORY, "no memory for the server");
    http->service = service;
    http->listener = listener;
    if (open_tls(http, config, err) != 0 || watch_start(&http->watch, expired, err) != 0) {
        release(http);
        return -1;
    }
    http->daemon = start_daemon(http, config);
    if (!http->daemon) {
        watch_stop(&http->watch);
        error_set(err, ERR_INTERNAL, "the HTTP library does not start on this socket");
        release(http);
        return -1;
    }
    *out = http;
    return 0;
}

/*
 * Takes in the connections that the kernel has accepted and the library has not yet: closing the
 * socket would reset them, though their clients believe them open. Those that come meanwhile cannot
 * draw it out.
 */
static void take_backlog(struct http *http, int socket)
{
    for (int i = 0; i <= LISTEN_BACKLOG; i++) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        int fd = accept4(socket, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            return;
        if (fd < 0)
            continue;
        atomic_fetch_add(&http->handed, 1);
        /* On failure the library closes it. */
        if (MHD_add_connection(http->daemon, fd, (struct sockaddr *)&from, size) != MHD_YES)
            atomic_fetch_sub(&http->handed, 1);
    }
}

void http_quiesce(struct http *http)
{
    http->late_ms = clock_ms() + LATE_MS;
    atomic_store(&http->closing, true);
    MHD_socket socket = MHD_quiesce_daemon(http->daemon);
    if (socket == MHD_INVALID_SOCKET)
        return;
    take_backlog(http, socket);
    close(socket);
}

int http_in_flight(struct http *http)
{
    int requests = atomic_load(&http->service->in_flight);
    if (atomic_load(&http->closing) && clock_ms() < http->late_ms)
        requests += atomic_load(&http->handed) + atomic_load(&http->arriving);
    return requests;
}

void http_call_off(struct http *http)
{
    watch_expire_all(&http->watch);
}

void http_stop(struct http *http)
{
    if (!http)
        return;
    http_call_off(http);
    /* Each of these is about to be resumed, if not by the watch then by its worker. */
    while (atomic_load(&http->suspended) > 0)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    MHD_stop_daemon(http->daemon);
    watch_stop(&http->watch);
    release(http);
}
