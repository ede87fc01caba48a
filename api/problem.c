#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/json.h"

struct row {
    int status;
    const char *code;
    const char *title;
};

static const struct row rows[PROBLEM_KINDS] = {
    [PROBLEM_NONE] = {500, "internal", "Internal Server Error"},
    [PROBLEM_BAD_REQUEST] = {400, "bad_request", "Bad Request"},
    [PROBLEM_BAD_OPTION] = {400, "bad_option", "Bad Request"},
    [PROBLEM_EMPTY_BODY] = {400, "empty_body", "Bad Request"},
    [PROBLEM_BAD_MULTIPART] = {400, "bad_multipart", "Bad Request"},
    [PROBLEM_UNAUTHORIZED] = {401, "unauthorized", "Unauthorized"},
    [PROBLEM_NOT_FOUND] = {404, "not_found", "Not Found"},
    [PROBLEM_METHOD_NOT_ALLOWED] = {405, "method_not_allowed", "Method Not Allowed"},
    [PROBLEM_NOT_ACCEPTABLE] = {406, "not_acceptable", "Not Acceptable"},
    [PROBLEM_LENGTH_REQUIRED] = {411, "length_required", "Length Required"},
    [PROBLEM_PAYLOAD_TOO_LARGE] = {413, "payload_too_large", "Content Too Large"},
    [PROBLEM_UNSUPPORTED_MEDIA] = {415, "unsupported_media", "Unsupported Media Type"},
    [PROBLEM_BAD_PNG] = {422, "bad_png", "Unprocessable Content"},
    [PROBLEM_BAD_NIFTI] = {422, "bad_nifti", "Unprocessable Content"},
    [PROBLEM_BAD_DICOM] = {422, "bad_dicom", "Unprocessable Content"},
    [PROBLEM_CONSTANT_IMAGE] = {422, "constant_image", "Unprocessable Content"},
    [PROBLEM_BAD_IMAGE] = {422, "bad_image", "Unprocessable Content"},
    [PROBLEM_QUEUE_FULL] = {429, "queue_full", "Too Many Requests"},
    [PROBLEM_INTERNAL] = {500, "internal", "Internal Server Error"},
    [PROBLEM_MODEL_LOADING] = {503, "model_loading", "Service Unavailable"},
    [PROBLEM_DRAINING] = {503, "draining", "Service Unavailable"},
    [PROBLEM_DEADLINE_EXCEEDED] = {504, "deadline_exceeded", "Gateway Timeout"},
};

/* What the model reports while it reads and predicts a slice. The rest is our own fault. */
static const struct {
    enum error_code error;
    enum problem_kind problem;
} from_errors[] = {
    {ERR_ARGUMENT, PROBLEM_BAD_IMAGE},
    {ERR_BAD_PNG, PROBLEM_BAD_PNG},
    {ERR_BAD_NIFTI, PROBLEM_BAD_NIFTI},
    {ERR_BAD_DICOM, PROBLEM_BAD_DICOM},
    {ERR_UNSUPPORTED, PROBLEM_UNSUPPORTED_MEDIA},
    {ERR_TOO_LARGE, PROBLEM_PAYLOAD_TOO_LARGE},
    {ERR_CONSTANT_IMAGE, PROBLEM_CONSTANT_IMAGE},
    {ERR_CANCELLED, PROBLEM_DEADLINE_EXCEEDED},
};

static const struct row *row_of(enum problem_kind kind)
{
    return &rows[(unsigned)kind < PROBLEM_KINDS ? kind : PROBLEM_INTERNAL];
}

int problem_status(enum problem_kind kind)
{
    return row_of(kind)->status;
}

const char *problem_code(enum problem_kind kind)
{
    return row_of(kind)->code;
}

const char *problem_title(enum problem_kind kind)
{
    return row_of(kind)->title;
}

int problem_set(struct problem *problem, enum problem_kind kind, const char *format, ...)
{
    problem->kind = kind;
    problem->allow = NULL;
    problem->retry_after = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(problem->detail, sizeof problem->detail, format, args);
    va_end(args);
    return -1;
}

int problem_from_error(struct problem *problem, const struct error *err)
{
    for (size_t i = 0; i < sizeof from_errors / sizeof *from_errors; i++)
        if (from_errors[i].error == err->code)
            return problem_set(problem, from_errors[i].problem, "%s", err->text);
    return problem_set(problem, PROBLEM_INTERNAL,
                       "The service failed on its side; nothing in the request has to change. "
                       "Its log tells more under this request_id.");
}

static void answer(struct response *response, const struct problem *problem, const char *request_id,
                   bool infer)
{
    const struct row *row = row_of(problem->kind);
    char *text = NULL;
    size_t length = 0;
    int rc = infer ? json_problem_infer(&text, &length, problem, request_id, NULL)
                   : json_problem(&text, &length, problem, request_id, NULL);
    if (rc != 0)
        length = 0;
    response_give(response, row->status, "application/problem+json", (uint8_t *)text, length);
    response->code = row->code;
    response_header(response, "Cache-Control", "no-store");
    if (problem->kind == PROBLEM_UNAUTHORIZED)
        response_header(response, "WWW-Authenticate", "Bearer realm=\"oneshot\"");
    if (problem->allow)
        response_header(response, "Allow", "%s", problem->allow);
    if (problem->retry_after > 0)
        response_header(response, "Retry-After", "%d", problem->retry_after);
}

void problem_answer(struct response *response, const struct problem *problem,
                    const char *request_id)
{
    answer(response, problem, request_id, false);
}

void problem_answer_infer(struct response *response, const struct problem *problem,
                          const char *request_id)
{
    answer(response, problem, request_id, true);
}
