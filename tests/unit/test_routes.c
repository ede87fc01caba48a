/* api/routes, api/message: every route judged by its headers, without a socket. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/api.h"
#include "tests/unit/findings.h"
#include "tests/unit/run.h"

static const struct asset assets[] = {
    {"/index.html", "text/html", "\"1\"", (const uint8_t *)"<p>", 3},
    {"/app.js", "text/javascript", "\"2\"", (const uint8_t *)"//", 2},
    {"/openapi.yaml", "application/yaml", "\"3\"", (const uint8_t *)"a: 1", 4},
};

static struct api api;
static struct api_state state;
static struct exchange exchange;
static enum api_next next;

static void reset(void)
{
    api = (struct api){
        .prefix = "",
        .ui = true,
        .assets = assets,
        .assets_count = 3,
        .limits = {.max_body = 1000,
                   .max_pixels = 1000,
                   .max_files = 4,
                   .queue_capacity = 3,
                   .workers = 1,
                   .timeout_ms = 5000},
    };
    state = (struct api_state){
        .phase = PHASE_READY, .model = &findings_model, .alive = true, .retry_after = 7};
}

/* Headers as name, value, name, value, ..., NULL. */
static const char *find_header(void *context, const char *name)
{
    const char *const *headers = context;
    for (; headers && *headers; headers += 2)
        if (strcasecmp(headers[0], name) == 0)
            return headers[1];
    return NULL;
}

static int send_request(const char *method, const char *target, int64_t length, bool chunked,
                        const char *const *headers)
{
    struct request request = {method, target, find_header, (void *)headers, "an-id"};
    struct request_body body = {length, chunked};
    response_free(&exchange.response);
    memset(&exchange.predict, 0, sizeof exchange.predict);
    next = api_begin(&exchange, &api, &state, &request, &body);
    return exchange.response.status;
}

static int get(const char *target)
{
    return send_request("GET", target, -1, false, NULL);
}

static int post(const char *target, const char *name, const char *value)
{
    const char *headers[] = {name, value, NULL};
    return send_request("POST", target, 100, false, headers);
}

static bool body_has(const char *text)
{
    const struct response *r = &exchange.response;
    return r->body && memmem(r->body, r->length, text, strlen(text)) != NULL;
}

START_TEST(answers_without_a_model)
{
    reset();
    state.model = NULL;
    state.phase = PHASE_LOADING;
    strncpy(state.reason, "because", sizeof state.reason);
    ck_assert_int_eq(get("/livez"), 200);
    ck_assert_int_eq(get("/readyz"), 503);
    ck_assert(body_has("loading"));
    ck_assert_int_eq(get("/readyz?verbose"), 503);
    ck_assert(body_has("\"reason\":\"because\""));
    ck_assert_int_eq(get("/v1/info"), 503);
    ck_assert(body_has("model_loading"));
    ck_assert_str_eq(response_find(&exchange.response, "Retry-After"), "2");
    ck_assert_int_eq(post("/v1/predict", NULL, NULL), 503);
    ck_assert_int_eq(get("/"), 200);
    state.alive = false;
    ck_assert_int_eq(get("/livez"), 503);
    ck_assert_int_eq(get("/v2/health/live"), 503);
}
END_TEST

START_TEST(answers_when_ready)
{
    reset();
    ck_assert_int_eq(get("/readyz"), 200);
    ck_assert_int_eq(get("/v1/info"), 200);
    ck_assert(body_has("\"max_body_bytes\":1000"));
    ck_assert_str_eq(response_find(&exchange.response, "cache-control"), "no-store");
    ck_assert_int_eq(post("/v1/predict?masks=none", NULL, NULL), 0);
    ck_assert_int_eq(next, API_PREDICT);
    ck_assert_int_eq(exchange.predict.options.masks, MASKS_NONE);
    ck_assert_int_eq(exchange.timeout_ms, 5000);
    ck_assert_str_eq(exchange.route, "/v1/predict");
    state.phase = PHASE_DRAINING;
    ck_assert_int_eq(get("/readyz"), 503);
    ck_assert_int_eq(post("/v1/predict", NULL, NULL), 0);
    state.phase = PHASE_STOPPING;
    ck_assert_int_eq(post("/v1/predict", NULL, NULL), 503);
    ck_assert(body_has("draining"));
}
END_TEST

START_TEST(methods)
{
    static const char *const paths[] = {"/v1/predict", "/v1/info",      "/v1/status", "/livez",
                                        "/readyz",     "/openapi.yaml", "/",          "/app.js"};
    reset();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        ck_assert_int_eq(send_request("OPTIONS", paths[i], -1, false, NULL), 204);
        char allow[64];
        snprintf(allow, sizeof allow, "%s", response_find(&exchange.response, "Allow"));
        ck_assert_int_eq(send_request("DELETE", paths[i], -1, false, NULL), 405);
        ck_assert_str_eq(response_find(&exchange.response, "Allow"), allow);
        bool reads = strstr(allow, "GET") != NULL;
        ck_assert_int_eq(send_request("GET", paths[i], -1, false, NULL), reads ? 200 : 405);
        ck_assert_int_eq(send_request("HEAD", paths[i], -1, false, NULL), reads ? 200 : 405);
        ck_assert_int_eq(send_request("POST", paths[i], 10, false, NULL), reads ? 405 : 0);
    }
    ck_assert_int_eq(send_request("PUT", "/v1/predict", 10, false, NULL), 0);
    ck_assert_int_eq(send_request("OPTIONS", "*", -1, false, NULL), 204);
    ck_assert_int_eq(send_request("", "/livez", -1, false, NULL), 405);
}
END_TEST

START_TEST(paths_that_lead_nowhere)
{
    static const char *const paths[] = {
        "",   "*",   "/nothing",  "/v1",        "/v1/predict/", "/%00",  "/%zz",
        "//", "/..", "/livez%20", "/index.htm", "/app.js/..",   "livez", "/LIVEZ"};
    reset();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        ck_assert_msg(get(paths[i]) == 404, "%s: %d", paths[i], exchange.response.status);
        ck_assert_str_eq(exchange.route, "unmatched");
        ck_assert_str_eq(response_find(&exchange.response, "Content-Type"),
                         "application/problem+json");
    }
}
END_TEST

START_TEST(under_a_prefix)
{
    reset();
    api.prefix = "/ct";
    ck_assert_int_eq(get("/livez"), 404);
    ck_assert_int_eq(get("/ct/livez"), 200);
    ck_assert_int_eq(get("/ctlivez"), 404);
    ck_assert_int_eq(get("/ct/"), 200);
    ck_assert_int_eq(get("/ct"), 308);
    ck_assert_str_eq(response_find(&exchange.response, "Location"), "/ct/");
    api.ui = false;
    ck_assert_int_eq(get("/ct"), 404);
    ck_assert_int_eq(get("/ct/"), 404);
    ck_assert_int_eq(get("/ct/app.js"), 404);
    ck_assert_int_eq(get("/ct/openapi.yaml"), 200);
}
END_TEST

START_TEST(refusals_at_the_headers)
{
    static const struct {
        const char *target, *name, *value;
        int status;
        const char *says;
    } cases[] = {
        {"/v1/predict", "Accept", "text/html", 406, "application/json"},
        {"/v1/predict", "Content-Type", "application/json", 415, "application/json"},
        {"/v1/predict", "Content-Type", "application/dicom+json", 415, "application/dicom"},
        {"/v1/predict", "Content-Type", "application/x-tar", 415, "application/zip"},
        {"/v1/predict", "Content-Encoding", "gzip", 415, "Content-Encoding"},
        {"/v1/predict", "Content-Type", "multipart/form-data", 400, "boundary"},
        {"/v1/predict?masks=x", NULL, NULL, 400, "masks"},
        {"/v1/predict?window=0", NULL, NULL, 400, "window"},
        {"/v1/predict?slices=3:2:0", NULL, NULL, 400, "slices"},
        {"/v1/predict?slice=3&slices=1:2", NULL, NULL, 400, "not both"},
        {"/v1/predict", "X-Request-Timeout-Ms", "soon", 400, "X-Request-Timeout-Ms"},
        {"/v1/predict", "X-Request-Timeout-Ms", "0", 400, "X-Request-Timeout-Ms"},
        {"/v1/predict", "X-Request-Timeout-Ms", "-5", 400, "X-Request-Timeout-Ms"},
        {"/v1/predict", "X-Request-Timeout-Ms", "999999999999", 400, "X-Request-Timeout-Ms"},
    };
    reset();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = post(cases[i].target, cases[i].name, cases[i].value);
        ck_assert_msg(status == cases[i].status && body_has(cases[i].says), "case %zu: %d %.*s", i,
                      status, (int)exchange.response.length, exchange.response.body);
        ck_assert(body_has("\"request_id\":\"an-id\""));
    }
}
END_TEST

START_TEST(sizes_and_the_queue)
{
    reset();
    ck_assert_int_eq(send_request("POST", "/v1/predict", -1, false, NULL), 411);
    ck_assert_int_eq(send_request("POST", "/v1/predict", -1, true, NULL), 0);
    ck_assert_int_eq(send_request("POST", "/v1/predict", 0, false, NULL), 400);
    ck_assert(body_has("empty_body"));
    ck_assert_int_eq(send_request("POST", "/v1/predict", 1000, false, NULL), 0);
    ck_assert_int_eq(send_request("POST", "/v1/predict", 1001, false, NULL), 413);
    ck_assert(body_has("1000") && body_has("--max-body"));
    ck_assert_int_eq(send_request("POST", "/v1/predict", INT64_MAX, false, NULL), 413);
    state.queued = 2;
    ck_assert_int_eq(send_request("POST", "/v1/predict", 10, false, NULL), 0);
    state.queued = 3;
    ck_assert_int_eq(send_request("POST", "/v1/predict", 10, false, NULL), 429);
    ck_assert_str_eq(response_find(&exchange.response, "Retry-After"), "7");
    ck_assert_int_eq(post("/v1/predict", "X-Request-Timeout-Ms", "99999999"), 429);
    state.queued = 0;
    ck_assert_int_eq(post("/v1/predict", "X-Request-Timeout-Ms", "99999999"), 0);
    ck_assert_int_eq(exchange.timeout_ms, 5000);
    ck_assert_int_eq(post("/v1/predict", "X-Request-Timeout-Ms", "20"), 0);
    ck_assert_int_eq(exchange.timeout_ms, 20);
}
END_TEST

START_TEST(assets_are_cached_by_their_tag)
{
    static const struct {
        const char *tag;
        int status;
    } cases[] = {{"\"1\"", 304}, {"W/\"1\"", 304},    {"\"9\", \"1\"", 304},
                 {"*", 304},     {"\"2\"", 200},      {"1", 200},
                 {"", 200},      {"\"9\" \"1\"", 200}};
    reset();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *headers[] = {"If-None-Match", cases[i].tag, NULL};
        ck_assert_msg(send_request("GET", "/", -1, false, headers) == cases[i].status, "%s",
                      cases[i].tag);
        ck_assert_str_eq(response_find(&exchange.response, "ETag"), "\"1\"");
        ck_assert_ptr_nonnull(strstr(response_find(&exchange.response, "Content-Security-Policy"),
                                     "default-src 'none'"));
    }
}
END_TEST

START_TEST(request_ids)
{
    char id[REQUEST_ID_SIZE], other[REQUEST_ID_SIZE], big[REQUEST_ID_SIZE + 1];
    request_id_choose(id, "ward-7/scan:12");
    ck_assert_str_eq(id, "ward-7/scan:12");
    memset(big, 'x', sizeof big);
    big[REQUEST_ID_SIZE - 1] = 0;
    request_id_choose(id, big);
    ck_assert_str_eq(id, big);
    big[REQUEST_ID_SIZE - 1] = 'x';
    big[REQUEST_ID_SIZE] = 0;
    const char *const refused[] = {NULL, "", "a b", "a\"b", "a\\b", "a\tb", "caf\xc3\xa9", big};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        request_id_choose(id, refused[i]);
        request_id_choose(other, refused[i]);
        ck_assert_uint_eq(strlen(id), 32);
        ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 32);
        ck_assert_str_ne(id, other);
    }
}
END_TEST

START_TEST(headers_are_bounded)
{
    struct response response;
    char big[1000];
    memset(big, 'a', sizeof big);
    big[sizeof big - 1] = 0;
    response_init(&response);
    for (int i = 0; i < RESPONSE_HEADERS + 5; i++)
        response_header(&response, "X-Big", "%s", big);
    ck_assert_int_eq(response.headers_count, RESPONSE_HEADERS);
    ck_assert_uint_eq(strlen(response_find(&response, "x-big")), RESPONSE_VALUE_SIZE - 1);
    ck_assert_ptr_null(response_find(&response, "other"));
    response_free(&response);
}
END_TEST

int main(void)
{
    RUN("routes", answers_without_a_model, answers_when_ready, methods, paths_that_lead_nowhere,
        under_a_prefix, refusals_at_the_headers, sizes_and_the_queue,
        assets_are_cached_by_their_tag, request_ids, headers_are_bounded);
}
