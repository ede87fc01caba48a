#include "api/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/cors.h"
#include "api/json.h"
#include "api/media.h"
#include "api/target.h"

enum method { GET = 1, HEAD = 2, POST = 4, PUT = 8, OPTIONS = 16 };

static answer_function answer_predict, answer_info, answer_status, answer_live, answer_ready,
    answer_metrics, answer_asset;

/* ---- the table ---- */

#define READS "GET, HEAD, OPTIONS"
#define WRITES "POST, PUT, OPTIONS" /* PUT: what curl -T sends */
#define POSTS "POST, OPTIONS"

/* Who may ask, where there are keys. */
enum access { KEYED, OPEN, METRICS_KEY };

static const struct route {
    const char *path; /* also the template in logs */
    unsigned methods;
    const char *allow;
    enum access access;
    answer_function *answer;
} routes[] = {
    {"/v1/predict", POST | PUT, WRITES, KEYED, answer_predict},
    {"/v1/info", GET | HEAD, READS, KEYED, answer_info},
    {"/v1/status", GET | HEAD, READS, KEYED, answer_status},
    {"/livez", GET | HEAD, READS, OPEN, answer_live},
    {"/readyz", GET | HEAD, READS, OPEN, answer_ready},
    {"/metrics", GET | HEAD, READS, METRICS_KEY, answer_metrics},
    {"/v2", GET | HEAD, READS, KEYED, answer_v2},
    {"/v2/health/live", GET | HEAD, READS, OPEN, answer_v2_live},
    {"/v2/health/ready", GET | HEAD, READS, OPEN, answer_v2_ready},
    {"/v2/models/{model}", GET | HEAD, READS, KEYED, answer_v2_model},
    {"/v2/models/{model}/ready", GET | HEAD, READS, OPEN, answer_v2_model_ready},
    {"/v2/models/{model}/infer", POST, POSTS, KEYED, answer_v2_infer},
    {"/openapi.yaml", GET | HEAD, READS, OPEN, answer_asset},
};

/* Every other asset, "/" being "/index.html"; gone with --ui off. */
static const struct route asset_route = {"/{asset}", GET | HEAD, READS, OPEN, answer_asset};

static const struct {
    const char *name;
    enum method method;
} methods[] = {{"GET", GET}, {"HEAD", HEAD}, {"POST", POST}, {"PUT", PUT}, {"OPTIONS", OPTIONS}};

static enum api_next answer_info(struct call *call)
{
    struct problem problem;
    struct error err;
    char *text = NULL;
    size_t length = 0;
    if (!call->state->model) {
        call_check_ready(&problem, call->state);
        return call_fail(call, &problem);
    }
    int rc = json_info(&text, &length, &call->api->limits, call->state, false, &err);
    return call_give_json(call, 200, rc, text, length, &err);
}

static enum api_next answer_status(struct call *call)
{
    const struct api_source *source = &call->api->source;
    int workers = call->api->limits.workers;
    struct error err;
    char *text = NULL;
    size_t length = 0;
    struct api_activity *activity = calloc((size_t)workers, sizeof *activity);
    for (int i = 0; activity && source->activity && i < workers; i++)
        source->activity(source->context, i, &activity[i]);
    int rc = activity ? json_status(&text, &length, call->state, &call->api->limits, activity, &err)
                      : error_set(&err, ERR_MEMORY, "no memory for the status");
    free(activity);
    return call_give_json(call, 200, rc, text, length, &err);
}

static enum api_next not_found(struct call *call)
{
    struct problem problem;
    problem_set(&problem, PROBLEM_NOT_FOUND,
                "Nothing is here. The service is described in %s/openapi.yaml.", call->api->prefix);
    return call_fail(call, &problem);
}

static enum api_next answer_metrics(struct call *call)
{
    const struct api_source *source = &call->api->source;
    struct error err;
    char *text = NULL;
    size_t length = 0;
    if (!source->metrics)
        return not_found(call);
    int rc = source->metrics(source->context, call->state, &text, &length, &err);
    return call_give_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", rc, text, length,
                          &err);
}

static bool query_has(const char *target, const char *name)
{
    struct query_field field;
    const char *query = target_query(target);
    while (query_next(&field, &query) > 0)
        if (strcmp(field.name, name) == 0)
            return true;
    return false;
}

static enum api_next give_health(struct call *call, bool good, const char *yes, const char *no)
{
    struct error err;
    char *text = NULL;
    size_t length = 0;
    int status = good ? 200 : 503;
    if (query_has(call->request->target, "verbose")) {
        int rc = json_health(&text, &length, good ? yes : no, call->state, &err);
        return call_give_json(call, status, rc, text, length, &err);
    }
    const char *word = good ? yes : no;
    char *line = NULL;
    int n = asprintf(&line, "%s\n", word);
    response_give(&call->exchange->response, status, "text/plain; charset=utf-8",
                  n < 0 ? NULL : (uint8_t *)line, n < 0 ? 0 : (size_t)n);
    response_header(&call->exchange->response, "Cache-Control", "no-store");
    return API_ANSWERED;
}

static enum api_next answer_live(struct call *call)
{
    return give_health(call, call->state->alive, "alive", "stuck");
}

static enum api_next answer_ready(struct call *call)
{
    static const char *const words[] = {
        [PHASE_LOADING] = "loading",   [PHASE_READY] = "ready",   [PHASE_DRAINING] = "draining",
        [PHASE_STOPPING] = "draining", [PHASE_FAILED] = "failed",
    };
    return give_health(call, call->state->phase == PHASE_READY, "ready", words[call->state->phase]);
}

/* ---- the viewer and the contract ---- */

static const struct asset *find_asset(const struct api *api, const char *path)
{
    if (strcmp(path, "/") == 0)
        path = "/index.html";
    for (size_t i = 0; i < api->assets_count; i++)
        if (strcmp(api->assets[i].path, path) == 0)
            return &api->assets[i];
    return NULL;
}

/* True where an If-None-Match header names the tag. */
static bool etag_matches(const char *header, const char *etag)
{
    size_t length = strlen(etag);
    while (header && *header) {
        header += strspn(header, " \t,");
        if (strncmp(header, "W/", 2) == 0)
            header += 2;
        if (*header == '*' || strncmp(header, etag, length) == 0)
            return true;
        header += strcspn(header, ",");
    }
    return false;
}

static enum api_next answer_asset(struct call *call)
{
    const struct asset *asset = find_asset(call->api, call->path);
    struct response *response = &call->exchange->response;
    struct problem problem;
    if (!asset) {
        problem_set(&problem, PROBLEM_NOT_FOUND, "This build has no such file.");
        return call_fail(call, &problem);
    }
    if (etag_matches(request_header(call->request, "If-None-Match"), asset->etag))
        response_lend(response, 304, NULL, NULL, 0);
    else
        response_lend(response, 200, asset->type, asset->bytes, asset->length);
    response_header(response, "ETag", "%s", asset->etag);
    response_header(response, "Cache-Control", "no-cache");
    response_header(response, "Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; "
                    "img-src 'self' blob: data:; connect-src 'self'; manifest-src 'self'; "
                    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    response_header(response, "X-Frame-Options", "DENY");
    response_header(response, "Referrer-Policy", "no-referrer");
    response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
    response_header(response, "Permissions-Policy",
                    "camera=(), microphone=(), geolocation=(), payment=(), usb=()");
    return API_ANSWERED;
}

/* ---- predict ---- */

int api_too_large(struct problem *problem, const struct api_limits *limits)
{
    return problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE,
                       "The body is larger than the %zu bytes this service takes (--max-body). "
                       "Send fewer files per request, or raise the limit.",
                       limits->max_body);
}

int api_queue_full(struct problem *problem, const struct api_state *state,
                   const struct api_limits *limits)
{
    problem_set(problem, PROBLEM_QUEUE_FULL,
                "%d of %d places in the queue are taken (--queue). Try again in about %d s.",
                state->queued, limits->queue_capacity, state->retry_after);
    problem->retry_after = state->retry_after;
    return -1;
}

static int check_type(struct predict *predict, const struct request *request,
                      struct problem *problem)
{
    const char *type = request_header(request, "Content-Type");
    const char *encoding = request_header(request, "Content-Encoding");
    if (encoding && strcasecmp(encoding, "identity") != 0)
        return problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA,
                           "Content-Encoding \"%.40s\" is not taken; send the bytes as they are.",
                           encoding);
    enum claim claim = media_claim(type);
    if (claim == CLAIM_OTHER)
        return problem_set(
            problem, PROBLEM_UNSUPPORTED_MEDIA,
            "Content-Type \"%.100s\" is not taken. There are image/png, "
            "application/x-nifti, application/gzip, application/dicom, application/zip "
            "(or no type at all) and multipart/form-data.",
            type);
    if (claim == CLAIM_MULTIPART && media_boundary(predict->boundary, type) != 0)
        return problem_set(problem, PROBLEM_BAD_MULTIPART,
                           "Content-Type names no boundary of 1 to 70 characters.");
    if (claim != CLAIM_MULTIPART && type)
        strncat(predict->content_type, type, sizeof predict->content_type - 1);
    return 0;
}

static enum api_next answer_predict(struct call *call)
{
    struct exchange *exchange = call->exchange;
    struct predict *predict = &exchange->predict;
    const struct api_limits *limits = &call->api->limits;
    const struct request *request = call->request;
    struct problem problem;
    options_default(&predict->options);
    predict->max_files = limits->max_files;
    predict->scan_limits = (struct scan_limits){
        .max_slices = limits->max_slices,
        .max_ratio = limits->max_ratio,
        .max_held = limits->max_buffered,
        .retry_after = call->state->retry_after,
    };
    strncat(predict->request_id, request->id, sizeof predict->request_id - 1);
    /* First what the client can mend, then what only time can. */
    if (media_negotiate(&predict->answer, request_header(request, "Accept"), &problem) != 0 ||
        check_type(predict, request, &problem) != 0 ||
        call_check_size(limits, call->body, &problem) != 0 ||
        options_from_query(&predict->options, target_query(request->target), &problem) != 0 ||
        call_read_timeout(exchange, request, limits->timeout_ms, &problem) != 0 ||
        call_check_room(call, &problem) != 0)
        return call_fail(call, &problem);
    return API_PREDICT;
}

/* ---- dispatch ---- */

void api_fail(struct exchange *exchange, const struct problem *problem, const char *request_id)
{
    if (strncmp(exchange->route, "/v2", 3) == 0)
        problem_answer_infer(&exchange->response, problem, request_id);
    else
        problem_answer(&exchange->response, problem, request_id);
}

bool api_prefix_valid(const char *prefix)
{
    if (*prefix == 0)
        return true;
    size_t length = strlen(prefix);
    if (length > 128 || *prefix != '/' || prefix[length - 1] == '/' || strstr(prefix, "//") ||
        strstr(prefix, "/."))
        return false;
    return prefix[strspn(prefix, "/-_.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789")] == 0;
}

/* Whether a path is that of a route; what stands for {model} in it goes to `model`. */
static bool is_route(char model[96], const char *template, const char *path)
{
    const char *mark = strstr(template, "{model}");
    if (!mark)
        return strcmp(template, path) == 0;
    size_t before = (size_t)(mark - template);
    if (strncmp(template, path, before) != 0)
        return false;
    size_t length = strcspn(path + before, "/");
    if (length == 0 || length >= 96 || strcmp(path + before + length, mark + 7) != 0)
        return false;
    memcpy(model, path + before, length);
    model[length] = 0;
    return true;
}

static const struct route *find_route(const struct api *api, const char *path, char model[96])
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (is_route(model, routes[i].path, path))
            return &routes[i];
    return api->ui && find_asset(api, path) ? &asset_route : NULL;
}

static enum method method_of(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, name) == 0)
            return methods[i].method;
    return 0;
}

static enum api_next give_options(struct call *call, const struct route *route)
{
    call_give_nothing(call, 204);
    response_header(&call->exchange->response, "Allow", "%s", route->allow);
    if (route->methods & POST)
        response_header(&call->exchange->response, "Accept-Post",
                        route->methods & PUT ? "image/png, application/x-nifti, application/gzip, "
                                               "application/dicom, application/zip, "
                                               "multipart/form-data"
                                             : "application/json");
    return API_ANSWERED;
}

/* The path that a proxy took away before it passed the request on; "" where there is none. */
static const char *forwarded_prefix(const struct request *request)
{
    const char *prefix = request_header(request, "X-Forwarded-Prefix");
    return prefix && api_prefix_valid(prefix) ? prefix : "";
}

/* 0 where the request may be answered. */
static int check_key(const struct call *call, const struct route *route, struct problem *problem)
{
    const struct keys *keys = &call->api->keys;
    bool open =
        route->access == OPEN || (route->access == METRICS_KEY && !call->api->keyed_metrics);
    const char *header = request_header(call->request, "Authorization");
    if (open || keys->count == 0 || keys_match(keys, header))
        return 0;
    return problem_set(problem, PROBLEM_UNAUTHORIZED,
                       keys_are_given(header)
                           ? "This key is not one of the service's (--api-key-file)."
                           : "Send a key of this service: Authorization: Bearer KEY.");
}

enum api_next api_begin(struct exchange *exchange, const struct api *api,
                        const struct api_state *state, const struct request *request,
                        const struct request_body *body)
{
    char path[TARGET_PATH_SIZE];
    struct call call = {exchange, api, state, request, body, path, ""};
    size_t prefix = strlen(api->prefix);
    exchange->route = "unmatched";
    if (strcmp(request->target, "*") == 0 && strcmp(request->method, "OPTIONS") == 0) {
        call_give_nothing(&call, 204);
        response_header(&exchange->response, "Allow", "GET, HEAD, POST, OPTIONS");
        return API_ANSWERED;
    }
    if (target_path(path, request->target) != 0 || strncmp(path, api->prefix, prefix) != 0)
        return not_found(&call);
    call.path = path + prefix;
    if (*call.path == 0 && prefix && api->ui) {
        call_give_nothing(&call, 308);
        response_header(&exchange->response, "Location", "%s%s/",
                        api->trust_proxy ? forwarded_prefix(request) : "", api->prefix);
        return API_ANSWERED;
    }
    const struct route *route = find_route(api, call.path, call.model);
    if (!route)
        return not_found(&call);
    exchange->route = route->path;
    enum method method = method_of(request->method);
    if (method == OPTIONS)
        return give_options(&call, route);
    struct problem problem;
    if (check_key(&call, route, &problem) != 0)
        return call_fail(&call, &problem);
    if (method & route->methods)
        return route->answer(&call);
    problem_set(&problem, PROBLEM_METHOD_NOT_ALLOWED, "%.16s is not for %s; %s are.",
                request->method, route->path, route->allow);
    problem.allow = route->allow;
    return call_fail(&call, &problem);
}

void api_finish(struct response *response, const struct api *api, const struct request *request)
{
    /* Answers are data: whoever opens one as a page gets no scripts, no frames, no referrer. */
    static const char *const fence[][2] = {
        {"X-Content-Type-Options", "nosniff"},
        {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };
    bool preflight = strcmp(request->method, "OPTIONS") == 0 &&
                     request_header(request, "Access-Control-Request-Method");
    response_header(response, "X-Request-Id", "%s", request->id);
    cors_answer(response, api->cors_origins, request_header(request, "Origin"),
                preflight ? response_find(response, "Allow") : NULL);
    for (size_t i = 0; i < sizeof fence / sizeof *fence; i++)
        if (!response_find(response, fence[i][0]))
            response_header(response, fence[i][0], "%s", fence[i][1]);
}
