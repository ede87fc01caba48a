/*
 * One request on its way to its answer: what routes.c hands to the function that a route names, and
 * what those functions share. They run on the network's thread and do not wait.
 */
#ifndef ONESHOT_API_CALL_H
#define ONESHOT_API_CALL_H

#include "api/api.h"

struct call {
    struct exchange *exchange;
    const struct api *api;
    const struct api_state *state;
    const struct request *request;
    const struct request_body *body;
    const char *path; /* below the prefix */
    char model[96];   /* what stands for {model} in it */
};

typedef enum api_next answer_function(struct call *call);

/* The Open Inference Protocol (routes_v2.c). */
answer_function answer_v2, answer_v2_live, answer_v2_ready, answer_v2_model, answer_v2_model_ready,
    answer_v2_infer;

/* ---- answers ---- */

enum api_next call_fail(struct call *call, const struct problem *problem);

/* Answers with a text that was written (malloc'ed, taken over), or with the problem where rc says
 * that it was not. */
enum api_next call_give_text(struct call *call, int status, const char *type, int rc, char *text,
                             size_t length, const struct error *err);
enum api_next call_give_json(struct call *call, int status, int rc, char *text, size_t length,
                             const struct error *err);
enum api_next call_give_nothing(struct call *call, int status);

/* ---- checks: 0, or -1 with the problem ---- */

/* The service is ready. */
int call_check_ready(struct problem *problem, const struct api_state *state);

/* It is, and there is room in the queue. */
int call_check_room(const struct call *call, struct problem *problem);

/* There is a body, and it is not too large. */
int call_check_size(const struct api_limits *limits, const struct request_body *body,
                    struct problem *problem);

/* X-Request-Timeout-Ms is for the whole request, `limit`, the service's own, for each slice. */
int call_read_timeout(struct exchange *exchange, const struct request *request, int limit,
                      struct problem *problem);

#endif
