#include "server/ticket.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/stream.h"

struct ticket *ticket_new(struct service *service, const char *target)
{
    struct ticket *ticket = calloc(1, sizeof *ticket);
    if (!ticket)
        return NULL;
    ticket->service = service;
    ticket->target = strdup(target);
    ticket->started_ms = clock_ms();
    ticket->exchange.route = "unmatched";
    ticket->method = "";
    ticket->code = "";
    response_init(&ticket->exchange.response);
    if (!ticket->target) {
        free(ticket);
        return NULL;
    }
    return ticket;
}

static void drop_job(struct ticket *ticket)
{
    if (ticket->job)
        atomic_fetch_sub(&ticket->service->buffered, ticket->received);
    job_free(ticket->job);
    ticket->job = NULL;
}

void ticket_free(struct ticket *ticket)
{
    if (!ticket)
        return;
    drop_job(ticket);
    stream_release(ticket->stream);
    response_free(&ticket->exchange.response);
    free(ticket->target);
    free(ticket);
}

double ticket_limit(const struct ticket *ticket)
{
    double progress = (double)atomic_load(&ticket->job->progress_ms);
    return fmin(ticket->deadline_ms, progress + ticket->service->config->timeout_ms);
}

void ticket_leave_job(struct ticket *ticket)
{
    atomic_fetch_sub(&ticket->service->buffered, ticket->received);
    ticket->job = NULL;
}

void ticket_expired(const struct ticket *ticket, struct problem *problem)
{
    if (ticket->outcome == OUTCOME_ENDED) {
        api_draining(problem);
        return;
    }
    problem_set(problem, PROBLEM_DEADLINE_EXCEEDED,
                "No result within %d ms (X-Request-Timeout-Ms for all, --timeout for each slice). "
                "Try again when the service is less busy, or allow more time.",
                ticket->exchange.timeout_ms);
}

void ticket_fail(struct ticket *ticket, const struct problem *problem)
{
    api_fail(&ticket->exchange, problem, ticket->id);
}

/* Bodies of all requests and answers together are limited: what is announced must still fit. */
static bool memory_is_short(const struct ticket *ticket, size_t more)
{
    size_t limit = ticket->service->api.limits.max_buffered;
    size_t held = atomic_load(&ticket->service->buffered);
    return more > limit || held > limit - more;
}

static void fail_memory(struct ticket *ticket)
{
    struct api_state state;
    struct problem problem;
    service_state(ticket->service, &state);
    problem_set(&problem, PROBLEM_QUEUE_FULL,
                "Other requests and answers fill the memory set aside for them (--max-buffered). "
                "Try again in about %d s.",
                state.retry_after);
    problem.retry_after = state.retry_after;
    ticket_fail(ticket, &problem);
}

static void fail_internal(struct ticket *ticket)
{
    struct error err;
    struct problem problem;
    error_set(&err, ERR_MEMORY, "no memory for a request");
    problem_from_error(&problem, &err);
    ticket_fail(ticket, &problem);
}

/*
 * A traceparent is passed on to the log where it has the form of W3C Trace Context, level 1:
 * version, trace, parent and flags in hexadecimal, the ids not all zero.
 */
static void keep_trace(struct ticket *ticket, const char *trace)
{
    static const char form[] = "00-00000000000000000000000000000000-0000000000000000-00";
    if (!trace || strlen(trace) != sizeof form - 1 || strncmp(trace, "ff", 2) == 0 ||
        strspn(trace + 3, "0") >= 32 || strspn(trace + 36, "0") >= 16)
        return;
    for (size_t i = 0; form[i]; i++)
        if (form[i] == '-' ? trace[i] != '-' : !strchr("0123456789abcdef", trace[i]))
            return;
    snprintf(ticket->trace, sizeof ticket->trace, "%s", trace);
}

void ticket_begin(struct ticket *ticket, const struct request *request,
                  const struct request_body *body)
{
    struct api_state state;
    struct service *service = ticket->service;
    keep_trace(ticket, request_header(request, "traceparent"));
    service_state(service, &state);
    pthread_mutex_lock(&service->keys_lock);
    enum api_next next = api_begin(&ticket->exchange, &service->api, &state, request, body);
    pthread_mutex_unlock(&service->keys_lock);
    if (next == API_ANSWERED)
        return;
    if (memory_is_short(ticket, body->length > 0 ? (size_t)body->length : 0)) {
        fail_memory(ticket);
        return;
    }
    struct job *job = calloc(1, sizeof *job);
    if (!job) {
        fail_internal(ticket);
        return;
    }
    job->predict = ticket->exchange.predict;
    job->route = ticket->exchange.route;
    response_init(&job->response);
    buffer_init(&job->body, service->api.limits.max_body);
    ticket->job = job;
    job->predict.scan_limits.held = &service->buffered;
    job->predict.scan_limits.called_off = &job->abandoned;
    int total = ticket->exchange.total_ms;
    ticket->deadline_ms = total > 0 ? ticket->started_ms + total : INFINITY;
    if (body->length > 0 && buffer_reserve(&job->body, (size_t)body->length, NULL) != 0) {
        drop_job(ticket);
        fail_internal(ticket);
    }
}

void ticket_receive(struct ticket *ticket, const void *bytes, size_t length)
{
    struct error err;
    struct problem problem;
    if (!ticket->job) { /* answered already: thrown away */
        ticket->received += length;
        return;
    }
    if (memory_is_short(ticket, length)) {
        drop_job(ticket);
        fail_memory(ticket);
    } else if (buffer_append(&ticket->job->body, bytes, length, &err) != 0) {
        drop_job(ticket);
        if (err.code == ERR_TOO_LARGE)
            api_too_large(&problem, &ticket->service->api.limits);
        else
            problem_from_error(&problem, &err);
        ticket_fail(ticket, &problem);
    } else {
        ticket->received += length;
        atomic_fetch_add(&ticket->service->buffered, length);
    }
}

void ticket_settle(struct ticket *ticket)
{
    struct problem problem;
    struct job *job = ticket->job;
    if (ticket->outcome == OUTCOME_DONE && job) {
        ticket->queue_ms = job->predict.queue_ms;
        ticket->slices = job->predict.slices_done;
        ticket->exchange.response = job->response;
        response_init(&job->response);
    } else if (ticket->outcome == OUTCOME_DEADLINE || ticket->outcome == OUTCOME_ENDED) {
        ticket_expired(ticket, &problem);
        ticket_fail(ticket, &problem);
    }
    drop_job(ticket);
}

void ticket_count(const struct ticket *ticket)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "OPTIONS"};
    struct metrics *metrics = &ticket->service->metrics;
    const char *method = "other";
    char code[16];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(ticket->method, known[i]) == 0)
            method = known[i];
    snprintf(code, sizeof code, "%d", ticket->status);
    metrics_count(metrics, METRIC_REQUESTS, ticket->exchange.route, method, code);
    metrics_observe(metrics, METRIC_DURATION, (clock_ms() - ticket->started_ms) / 1e3,
                    ticket->exchange.route);
    if (ticket->code[0])
        metrics_count(metrics, METRIC_REJECTIONS, ticket->code, NULL, NULL);
}

void ticket_log(const struct ticket *ticket, bool reached)
{
    enum log_level level = ticket->status >= 500 ? LOG_WARN : LOG_INFO;
    bool probe = ticket->status == 200 && (strcmp(ticket->exchange.route, "/livez") == 0 ||
                                           strcmp(ticket->exchange.route, "/readyz") == 0);
    log_event(&ticket->service->log, probe ? LOG_DEBUG : level, "request",
              LOG_STR("request_id", ticket->id), LOG_STR("method", ticket->method),
              LOG_STR("route", ticket->exchange.route), LOG_NUM("status", ticket->status),
              LOG_STR("code", ticket->code[0] ? ticket->code : NULL),
              LOG_NUM("bytes_in", (int64_t)ticket->received),
              LOG_NUM("bytes_out", (int64_t)ticket->sent), LOG_NUM("slices", ticket->slices),
              LOG_MSEC("queue_ms", ticket->queue_ms),
              LOG_MSEC("duration_ms", clock_ms() - ticket->started_ms),
              LOG_STR("traceparent", ticket->trace[0] ? ticket->trace : NULL),
              LOG_STR("client", reached ? NULL : "gone"));
}
