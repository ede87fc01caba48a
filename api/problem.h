/*
 * Everything that can go wrong, as the client sees it: one row per problem with its HTTP status and
 * code, one table from the model's error codes to these rows. A problem is a value like struct
 * error: set once where it happens, its detail says what to do.
 * Bodies are application/problem+json (RFC 9457) with `code` and `request_id`.
 */
#ifndef ONESHOT_API_PROBLEM_H
#define ONESHOT_API_PROBLEM_H

#include <stdint.h>

#include "api/message.h"
#include "model/base/error.h"

enum problem_kind {
    PROBLEM_NONE,
    PROBLEM_BAD_REQUEST,
    PROBLEM_BAD_OPTION,
    PROBLEM_EMPTY_BODY,
    PROBLEM_BAD_MULTIPART,
    PROBLEM_UNAUTHORIZED,
    PROBLEM_NOT_FOUND,
    PROBLEM_METHOD_NOT_ALLOWED,
    PROBLEM_NOT_ACCEPTABLE,
    PROBLEM_LENGTH_REQUIRED,
    PROBLEM_PAYLOAD_TOO_LARGE,
    PROBLEM_UNSUPPORTED_MEDIA,
    PROBLEM_BAD_PNG,
    PROBLEM_BAD_NIFTI,
    PROBLEM_BAD_DICOM,
    PROBLEM_CONSTANT_IMAGE,
    PROBLEM_BAD_IMAGE,
    PROBLEM_QUEUE_FULL,
    PROBLEM_INTERNAL,
    PROBLEM_MODEL_LOADING,
    PROBLEM_DRAINING,
    PROBLEM_DEADLINE_EXCEEDED,
    PROBLEM_KINDS
};

struct problem {
    enum problem_kind kind;
    char detail[768];
    const char *allow; /* 405: the methods; static */
    int retry_after;   /* seconds; 0: no Retry-After */
};

/* Fills problem and returns -1. */
int problem_set(struct problem *problem, enum problem_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The problem an error of the model amounts to. Texts of internal errors stay inside. */
int problem_from_error(struct problem *problem, const struct error *err);

int problem_status(enum problem_kind kind);
const char *problem_code(enum problem_kind kind);  /* "bad_option" */
const char *problem_title(enum problem_kind kind); /* "Bad Request": the status in words */

/*
 * Turns a problem into the response, replacing what it held. Never fails: without memory for the
 * document, the response has the status and no body.
 */
void problem_answer(struct response *response, const struct problem *problem,
                    const char *request_id);

/* The same with a member `error`, as the Open Inference Protocol wants it. */
void problem_answer_infer(struct response *response, const struct problem *problem,
                          const char *request_id);

#endif
