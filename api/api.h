/*
 * The service's answers, behind one table of routes. Knows neither sockets nor files: the server
 * calls api_begin when a request's headers are there, and either has its response at once or is
 * told to bring the body and run predict_step on a worker. Any thread; nothing is kept in between.
 */
#ifndef ONESHOT_API_API_H
#define ONESHOT_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/keys.h"
#include "api/message.h"
#include "api/predict.h"
#include "api/problem.h"
#include "api/state.h"

/* A file that is part of the program. */
struct asset {
    const char *path; /* "/app.js"; the page itself is "/index.html" */
    const char *type; /* Content-Type */
    const char *etag; /* quoted */
    const uint8_t *bytes;
    size_t length;
};

/* What the api asks the running service for; any thread, never blocked by a prediction. */
struct api_source {
    /* What worker 0 .. limits.workers - 1 does now. */
    void (*activity)(void *context, int worker, struct api_activity *out);
    /* The text of /metrics; malloc'ed. NULL: there is no such route. */
    int (*metrics)(void *context, const struct api_state *state, char **text, size_t *length,
                   struct error *err);
    void *context;
};

/* Fixed while the service runs. */
struct api {
    const char *prefix; /* "" or "/ct": begins with a slash, does not end in one */
    bool ui;            /* serve the viewer */
    bool keyed_metrics; /* /metrics takes a key, too */
    bool trust_proxy;   /* X-Forwarded-Prefix is believed */
    struct keys keys;   /* owned by whoever filled it; not exchanged during api_begin */
    const char *cors_origins;
    const struct asset *assets;
    size_t assets_count;
    struct api_limits limits;
    struct api_source source;
};

/* What the headers say of the body. */
struct request_body {
    int64_t length; /* Content-Length; -1 when not said */
    bool chunked;
};

enum api_next {
    API_ANSWERED, /* the response is filled */
    API_PREDICT,  /* `predict` is set up: bring the body, then step it */
};

struct exchange {
    const char *route; /* template for the log: "/v1/predict"; "unmatched" */
    struct response response;
    struct predict predict;
    int timeout_ms; /* of a prediction, and of each of its slices */
    int total_ms;   /* of the whole, counted from the headers; 0: the client has set none */
};

/*
 * Judges a request by its headers: route, method, type, size, options, state and queue. `exchange`
 * is the caller's, its response and predict are freed by him.
 */
enum api_next api_begin(struct exchange *exchange, const struct api *api,
                        const struct api_state *state, const struct request *request,
                        const struct request_body *body);

/*
 * Adds what every response carries: X-Request-Id, the headers that fence it off, and those for
 * pages of other origins.
 */
void api_finish(struct response *response, const struct api *api, const struct request *request);

/* Answers an exchange with a problem, in the form its route wants. */
void api_fail(struct exchange *exchange, const struct problem *problem, const char *request_id);

/* The problem of a body that grew past its limit. */
int api_too_large(struct problem *problem, const struct api_limits *limits);

/* The problem of a queue without room. */
int api_queue_full(struct problem *problem, const struct api_state *state,
                   const struct api_limits *limits);

/* The problem of a request that comes, or is not done, when the service ends. */
int api_draining(struct problem *problem);

/* Names of an api prefix: "" or segments of letters, digits, '-', '_', '.'. */
bool api_prefix_valid(const char *prefix);

#endif
