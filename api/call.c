#include "api/call.h"

#include <stdlib.h>
#include <string.h>

enum { RETRY_SOON = 2 }; /* seconds */

enum api_next call_fail(struct call *call, const struct problem *problem)
{
    api_fail(call->exchange, problem, call->request->id);
    return API_ANSWERED;
}

enum api_next call_give_text(struct call *call, int status, const char *type, int rc, char *text,
                             size_t length, const struct error *err)
{
    struct problem problem;
    if (rc != 0) {
        problem_from_error(&problem, err);
        return call_fail(call, &problem);
    }
    response_give(&call->exchange->response, status, type, (uint8_t *)text, length);
    response_header(&call->exchange->response, "Cache-Control", "no-store");
    return API_ANSWERED;
}

enum api_next call_give_json(struct call *call, int status, int rc, char *text, size_t length,
                             const struct error *err)
{
    return call_give_text(call, status, "application/json", rc, text, length, err);
}

enum api_next call_give_nothing(struct call *call, int status)
{
    response_lend(&call->exchange->response, status, NULL, NULL, 0);
    response_header(&call->exchange->response, "Cache-Control", "no-store");
    return API_ANSWERED;
}

int api_draining(struct problem *problem)
{
    problem_set(problem, PROBLEM_DRAINING,
                "This server is shutting down. Try again: another one may answer.");
    problem->retry_after = RETRY_SOON;
    return -1;
}

int call_check_ready(struct problem *problem, const struct api_state *state)
{
    if (state->model && (state->phase == PHASE_READY || state->phase == PHASE_DRAINING))
        return 0;
    if (state->phase == PHASE_STOPPING)
        return api_draining(problem);
    problem_set(problem, PROBLEM_MODEL_LOADING, "The model is not ready: %s. Try again soon.",
                state->reason);
    problem->retry_after = RETRY_SOON;
    return -1;
}

int call_check_room(const struct call *call, struct problem *problem)
{
    if (call_check_ready(problem, call->state) != 0)
        return -1;
    return call->state->queued < call->api->limits.queue_capacity
               ? 0
               : api_queue_full(problem, call->state, &call->api->limits);
}

int call_check_size(const struct api_limits *limits, const struct request_body *body,
                    struct problem *problem)
{
    if (body->length < 0 && !body->chunked)
        return problem_set(problem, PROBLEM_LENGTH_REQUIRED,
                           "Say how long the body is (Content-Length), or send it in chunks.");
    if (body->length == 0 && !body->chunked)
        return problem_set(problem, PROBLEM_EMPTY_BODY,
                           "There is no body. Send the slice itself, for example with "
                           "curl --data-binary @slice.png.");
    if (body->length > 0 && (uint64_t)body->length > limits->max_body)
        return api_too_large(problem, limits);
    return 0;
}

int call_read_timeout(struct exchange *exchange, const struct request *request, int limit,
                      struct problem *problem)
{
    const char *text = request_header(request, "X-Request-Timeout-Ms");
    exchange->timeout_ms = limit;
    exchange->total_ms = 0;
    if (!text)
        return 0;
    size_t digits = strspn(text, "0123456789");
    long value = digits > 0 && digits <= 8 && text[digits] == 0 ? strtol(text, NULL, 10) : 0;
    if (value < 1)
        return problem_set(problem, PROBLEM_BAD_OPTION,
                           "X-Request-Timeout-Ms takes a whole number from 1 to 99999999, not "
                           "\"%.40s\".",
                           text);
    exchange->total_ms = (int)value;
    if (value < limit)
        exchange->timeout_ms = (int)value;
    return 0;
}
