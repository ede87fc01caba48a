/* How the service is run: metrics, status, headers that everything carries. */
#include <sys/resource.h>

#include "api/base64.h"
#include "model/data/image.h"
#include "tests/http/scene.h"
#include "tests/unit/run.h"

/* Waits until the metrics hold a line. */
static void expect_metric(const char *line)
{
    for (int tries = 0;; tries++) {
        struct answer answer = get("/metrics");
        bool there = answer_has(&answer, line);
        ck_assert_msg(there || tries < 400, "no %s in %s", line, answer.body);
        answer_free(&answer);
        if (there)
            return;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
}

START_TEST(metrics_tell_what_happened)
{
    setup(NULL, NULL);
    struct bytes flat = flat_png(32);
    for (int i = 0; i < 3; i++)
        check(predict(NULL), 200, "burden");
    check(http(&service, "POST", "/v1/predict", NULL, flat.data, flat.length), 422, "constant");
    check(get("/v1/predict"), 405, "method_not_allowed");
    check(get("/no/such/path"), 404, "not_found");
    check(http(&service, "BREW", "/another/path", NULL, NULL, 0), 404, "not_found");
    static const char *const lines[] = {
        "oneshot_http_requests_total{route=\"/v1/predict\",method=\"POST\",code=\"200\"} 3\n",
        "oneshot_http_requests_total{route=\"/v1/predict\",method=\"POST\",code=\"422\"} 1\n",
        "oneshot_http_requests_total{route=\"/v1/predict\",method=\"GET\",code=\"405\"} 1\n",
        "oneshot_http_requests_total{route=\"unmatched\",method=\"GET\",code=\"404\"} 1\n",
        "oneshot_http_requests_total{route=\"unmatched\",method=\"other\",code=\"404\"} 1\n",
        "oneshot_http_request_duration_seconds_count{route=\"/v1/predict\"} 5\n",
        "oneshot_rejections_total{reason=\"constant_image\"} 1\n",
        "oneshot_slices_total{kind=\"png\",outcome=\"ok\"} 3\n",
        "oneshot_slices_total{kind=\"png\",outcome=\"constant_image\"} 1\n",
        "oneshot_input_warnings_total{code=\"window_assumed\"} 3\n",
        "oneshot_queue_wait_seconds_count 4\n",
        "oneshot_stage_duration_seconds_count{stage=\"decode\"} 3\n",
        "oneshot_stage_duration_seconds_count{stage=\"infer\"} 3\n",
        "oneshot_stage_duration_seconds_count{stage=\"encode\"} 3\n",
        "oneshot_ready 1\n",
        "oneshot_in_flight 1\n",
        "oneshot_queue_depth 0\n",
        "oneshot_queue_capacity 64\n",
        "oneshot_model_info{name=\"oneshot-fake\"",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        expect_metric(lines[i]);
    struct answer answer = get("/metrics");
    ck_assert(answer_has(&answer, "oneshot_predictions_total{class=\""));
    ck_assert(!answer_has(&answer, "/no/such/path"));
    ck_assert(!answer_has(&answer, "BREW"));
    answer_free(&answer);
    free(flat.data);
    teardown();
}
END_TEST

START_TEST(metrics_can_be_switched_off)
{
    setup(WORDS("--metrics", "off"), NULL);
    check(get("/metrics"), 404, "not_found");
    teardown();
}
END_TEST

START_TEST(the_status_tells_what_is_done)
{
    setup(WORDS("--workers", "1", "--queue", "5"), WORDS("FAKE_PREDICT_MS=400"));
    check(get("/v1/status"), 200, "\"workers\":[{\"state\":\"idle\"}]");
    struct part parts[3];
    for (int i = 0; i < 3; i++)
        parts[i] = (struct part){"file", "Jane.png", NULL, slice.data, slice.length};
    struct bytes body = multipart(parts, 3);
    char head[256];
    int fd = raw_open(&service);
    snprintf(head, sizeof head,
             "POST /v1/predict?masks=none HTTP/1.1\r\nHost: x\r\nContent-Type: "
             "multipart/form-data; boundary=XX\r\nContent-Length: %zu\r\n\r\n",
             body.length);
    raw_text(fd, head);
    raw_send(fd, body.data, body.length);
    wait_for(0, 1);
    int waiting = send_predict("waits");
    wait_for(1, 1);
    struct answer answer = get("/v1/status");
    ck_assert(answer_has(&answer, "\"state\":\"busy\",\"route\":\"/v1/predict\",\"slice\":"));
    ck_assert(answer_has(&answer, "\"queue\":{\"length\":1,\"capacity\":5,"));
    ck_assert(!answer_has(&answer, "Jane"));
    answer_free(&answer);
    free(raw_read(fd, "\"results\""));
    close(fd);
    expect_raw(waiting, "200");
    free(body.data);
    teardown();
}
END_TEST

START_TEST(every_answer_is_fenced)
{
    static const char *const paths[] = {"/", "/v1/info", "/livez", "/metrics", "/nowhere"};
    setup(NULL, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct answer answer = get(paths[i]);
        ck_assert_ptr_nonnull(
            strstr(answer_header(&answer, "Content-Security-Policy"), "default-src 'none'"));
        ck_assert_str_eq(answer_header(&answer, "X-Content-Type-Options"), "nosniff");
        ck_assert_str_eq(answer_header(&answer, "X-Frame-Options"), "DENY");
        ck_assert_str_eq(answer_header(&answer, "Referrer-Policy"), "no-referrer");
        ck_assert_ptr_nonnull(answer_header(&answer, "X-Request-Id"));
        answer_free(&answer);
    }
    teardown();
}
END_TEST

START_TEST(traces_of_no_valid_form_are_not_logged)
{
    static const char *const forms[] = {
        "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7--01",
        "traceparent: 00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
    };
    setup(NULL, NULL);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct answer answer = http(&service, "GET", "/v1/info", WORDS(forms[i]), NULL, 0);
        ck_assert_int_eq(answer.status, 200);
        answer_free(&answer);
    }
    process_expect_log(&service, "\"route\":\"/v1/info\"", sizeof forms / sizeof *forms);
    char *log = process_log(&service);
    ck_assert_ptr_null(strstr(log, "traceparent"));
    free(log);
    teardown();
}
END_TEST

/* ---- the Open Inference Protocol ---- */

static struct answer infer(const char *body, const char *const *headers)
{
    return http(&service, "POST", "/v2/models/oneshot-fake/infer", headers, body, strlen(body));
}

START_TEST(tensors_in_and_out)
{
    char *body = NULL;
    size_t length;
    setup(NULL, NULL);
    check(get("/v2"), 200, "\"name\":\"oneshot\"");
    check(get("/v2/health/live"), 200, "{\"live\":true}");
    check(get("/v2/health/ready"), 200, "{\"ready\":true}");
    check(get("/v2/models/oneshot-fake"), 200, "\"inputs\":[{\"name\":\"image\"");
    check(get("/v2/models/oneshot-fake/ready"), 200, "\"ready\":true");
    check(get("/v2/models/other"), 404, "\"error\":\"There is no model \\\"other\\\"");
    check(get("/v2/models/"), 404, "not_found");
    check(get("/v2/models/oneshot-fake/infer"), 405, "\"error\":");
    /* The same slice as a picture and as numbers gives the same findings. */
    char *text = malloc(base64_length(slice.length) + 1);
    base64_encode(text, slice.data, slice.length);
    FILE *out = open_memstream(&body, &length);
    fprintf(out,
            "{\"id\":\"scan-7\",\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\","
            "\"shape\":[1],\"data\":[\"%s\"]}]}",
            text);
    fclose(out);
    struct answer picture = infer(body, NULL);
    ck_assert_int_eq(picture.status, 200);
    static const char *const parts[] = {
        "\"model_name\":\"oneshot-fake\"",
        "\"id\":\"scan-7\"",
        "{\"name\":\"logits\",\"datatype\":\"FP32\",\"shape\":[1,3],\"data\":[",
        "{\"name\":\"boxes\",\"datatype\":\"FP32\",\"shape\":[4,4],",
        "{\"name\":\"labels\",\"datatype\":\"INT64\",\"shape\":[4],\"data\":[1,1,",
        "{\"name\":\"masks\",\"datatype\":\"BYTES\",\"shape\":[4],",
        "{\"format\":\"coco_rle\",\"height\":48,\"width\":64}",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(answer_has(&picture, parts[i]), "no %s in %s", parts[i], picture.body);
    free(body);
    free(text);
    struct image image;
    struct error err;
    ck_assert_int_eq(image_read_png(&image, slice.data, slice.length, 100000, &err), 0);
    out = open_memstream(&body, &length);
    fprintf(out, "{\"id\":\"scan-7\",\"inputs\":[{\"name\":\"image\",\"datatype\":"
                 "\"UINT8\",\"shape\":[1,48,64],\"data\":[");
    for (int i = 0; i < 48 * 64; i++)
        fprintf(out, "%s%.0f", i ? "," : "", (double)image.pixels[i] * 255);
    fprintf(out, "]}]}");
    fclose(out);
    struct answer numbers = infer(body, NULL);
    ck_assert_int_eq(numbers.status, 200);
    const char *first = strstr((char *)picture.body, "\"outputs\"");
    const char *second = strstr((char *)numbers.body, "\"outputs\"");
    ck_assert(first && second);
    ck_assert_str_eq(first, second);
    /* And what /v1/predict says of it has the same masks. */
    struct answer plain = http(&service, "POST", "/v1/predict", NULL, slice.data, slice.length);
    const char *counts = strstr((char *)plain.body, "\"counts\":\"");
    ck_assert_ptr_nonnull(counts);
    char mask[64];
    snprintf(mask, sizeof mask, "\"%.40s", counts + 10);
    ck_assert(answer_has(&numbers, mask));
    answer_free(&plain);
    answer_free(&picture);
    answer_free(&numbers);
    image_free(&image);
    free(body);
    check(infer("{}", NULL), 400, "\"error\":\"");
    check(infer("{}", WORDS("Content-Type: application/json")), 400, "bad_request");
    check(infer("{}", WORDS("Inference-Header-Content-Length: 2")), 415, "Binary tensors");
    expect_metric("oneshot_slices_total{kind=\"tensor\",outcome=\"ok\"} 1\n");
    expect_metric("route=\"/v2/models/{model}/infer\",method=\"POST\",code=\"200\"} 2\n");
    teardown();
}
END_TEST

/* Writes a file in /tmp and gives its path, in memory of the next call's but one. */
static const char *write_file(const char *text)
{
    static char paths[2][64];
    static int next;
    char *path = paths[next ^= 1];
    snprintf(path, sizeof paths[0], "/tmp/oneshot-operation-%d-%d", (int)getpid(), next);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
    return path;
}

#define KEY "Authorization: Bearer a-key-for-the-tests"

static struct answer get_with(const char *method, const char *path, const char *const *headers)
{
    return http(&service, method, path, headers, NULL, 0);
}

START_TEST(keys_are_asked_for)
{
    setup(WORDS("--api-key-file", TEST_KEYS), NULL);
    static const char *const open[] = {"/",       "/app.js",         "/openapi.yaml", "/livez",
                                       "/readyz", "/readyz?verbose", "/metrics"};
    static const char *const keyed[] = {"/v1/info", "/v1/status", "/v1/predict"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        check(get(open[i]), 200, "");
    for (size_t i = 0; i < sizeof keyed / sizeof *keyed; i++) {
        struct answer answer = get(keyed[i]);
        ck_assert_ptr_nonnull(strstr(answer_header(&answer, "WWW-Authenticate"), "Bearer"));
        check(answer, 401, "\"code\":\"unauthorized\"");
        check(get_with("GET", keyed[i], WORDS("Authorization: Bearer a-key-for-the-test")), 401,
              "not one of");
        answer = get_with("GET", keyed[i], WORDS(KEY));
        ck_assert_int_eq(answer.status, i < 2 ? 200 : 405);
        answer_free(&answer);
        answer = get_with("OPTIONS", keyed[i], NULL);
        ck_assert_int_eq(answer.status, 204);
        answer_free(&answer);
    }
    check(predict(NULL), 401, "Authorization: Bearer KEY");
    check(predict(WORDS(KEY)), 200, "burden");
    /* At the headers: the body is never asked for. */
    int fd = raw_open(&service);
    raw_text(fd, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                 "Content-Length: 30000000\r\n\r\n");
    expect_raw(fd, "401");
    char *log = process_log(&service);
    ck_assert_ptr_null(strstr(log, "a-key-for"));
    free(log);
    teardown();
    setup(WORDS("--api-key-file", TEST_KEYS, "--metrics", "key"), NULL);
    check(get("/metrics"), 401, "unauthorized");
    check(get_with("GET", "/metrics", WORDS(KEY)), 200, "oneshot_ready 1\n");
    teardown();
}
END_TEST

START_TEST(a_file_without_keys_is_no_open_door)
{
    struct process run;
    const char *empty = write_file("# none\n");
    ck_assert_int_eq(process_run(&run, WORDS("serve", "--port=0", "--api-key-file", empty), NULL),
                     1);
    process_expect_log(&run, "there is no key in it", 1);
    close(run.log);
    unlink(empty);
    ck_assert_int_eq(
        process_run(&run, WORDS("serve", "--port=0", "--api-key-file=/nonexistent"), NULL), 1);
    process_expect_log(&run, "--api-key-file: /nonexistent", 1);
    close(run.log);
}
END_TEST

START_TEST(pages_of_other_origins)
{
    const char *origin = "Origin: https://a.example";
    setup(NULL, NULL);
    struct answer answer = get_with("GET", "/v1/info", WORDS(origin));
    ck_assert_ptr_null(answer_header(&answer, "Access-Control-Allow-Origin"));
    answer_free(&answer);
    teardown();
    setup(
        WORDS("--cors-origins", "https://a.example,https://b.example", "--api-key-file", TEST_KEYS),
        NULL);
    answer = predict(WORDS(origin, KEY));
    ck_assert_int_eq(answer.status, 200);
    ck_assert_str_eq(answer_header(&answer, "Access-Control-Allow-Origin"), "https://a.example");
    ck_assert_str_eq(answer_header(&answer, "Vary"), "Origin");
    answer_free(&answer);
    answer = predict(WORDS(origin)); /* an error, too, can be read */
    ck_assert_int_eq(answer.status, 401);
    ck_assert_str_eq(answer_header(&answer, "Access-Control-Allow-Origin"), "https://a.example");
    answer_free(&answer);
    answer = get_with("OPTIONS", "/v1/predict",
                      WORDS(origin, "Access-Control-Request-Method: POST",
                            "Access-Control-Request-Headers: authorization"));
    ck_assert_int_eq(answer.status, 204);
    ck_assert_str_eq(answer_header(&answer, "Access-Control-Allow-Methods"), "POST, PUT, OPTIONS");
    ck_assert_ptr_nonnull(
        strstr(answer_header(&answer, "Access-Control-Allow-Headers"), "Authorization"));
    answer_free(&answer);
    answer = get_with("OPTIONS", "/v1/predict",
                      WORDS("Origin: https://c.example", "Access-Control-Request-Method: POST"));
    ck_assert_ptr_null(answer_header(&answer, "Access-Control-Allow-Origin"));
    ck_assert_ptr_null(answer_header(&answer, "Access-Control-Allow-Methods"));
    answer_free(&answer);
    teardown();
}
END_TEST

START_TEST(over_tls)
{
    setup(WORDS("--tls-cert", TEST_CERTIFICATE, "--tls-key", TEST_KEY, "--workers", "1"),
          WORDS("FAKE_PREDICT_MS=300"));
    ck_assert(service.tls);
    check(get("/readyz"), 200, "ready");
    check(predict(NULL), 200, "burden");
    check(predict(WORDS("X-Request-Timeout-Ms: 20")), 504, "deadline_exceeded");
    struct bytes wide = slice_png(900, 900, 3);
    check(http(&service, "POST", "/v1/predict?masks=png", NULL, wide.data, wide.length), 200,
          "png_base64");
    free(wide.data);
    /* What is no TLS gets no answer, and does no harm. */
    int fd = raw_open(&service);
    raw_text(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    char *text = raw_read(fd, NULL);
    ck_assert_ptr_null(strstr(text, "alive"));
    free(text);
    close(fd);
    check(get("/readyz"), 200, "ready");
    teardown();
}
END_TEST

START_TEST(certificates_that_are_none)
{
    static const struct {
        const char *certificate, *key, *says;
    } cases[] = {
        {"/nonexistent", TEST_KEY, "--tls-cert: /nonexistent"},
        {TEST_CERTIFICATE, "/nonexistent", "--tls-key: /nonexistent"},
        {TEST_KEY, TEST_CERTIFICATE, "its private key in PEM"},
        {"openapi.yaml", TEST_KEY, "its private key in PEM"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct process run;
        int code = process_run(&run,
                               WORDS("serve", "--port=0", "--tls-cert", cases[i].certificate,
                                     "--tls-key", cases[i].key),
                               NULL);
        ck_assert_int_eq(code, 1);
        process_expect_log(&run, cases[i].says, 1);
        close(run.log);
    }
}
END_TEST

START_TEST(behind_a_proxy_that_takes_a_prefix_away)
{
    const char *prefix = "X-Forwarded-Prefix: /radiology";
    setup(WORDS("--api-prefix", "/ct", "--trust-proxy", "on"), NULL);
    struct answer answer = get_with("GET", "/ct", WORDS(prefix));
    ck_assert_int_eq(answer.status, 308);
    ck_assert_str_eq(answer_header(&answer, "Location"), "/radiology/ct/");
    answer_free(&answer);
    answer = get_with("GET", "/ct", WORDS("X-Forwarded-Prefix: //evil.example"));
    ck_assert_str_eq(answer_header(&answer, "Location"), "/ct/");
    answer_free(&answer);
    teardown();
    setup(WORDS("--api-prefix", "/ct"), NULL); /* nobody said that there is a proxy */
    answer = get_with("GET", "/ct", WORDS(prefix));
    ck_assert_str_eq(answer_header(&answer, "Location"), "/ct/");
    answer_free(&answer);
    teardown();
}
END_TEST

START_TEST(set_up_by_a_file)
{
    const char *path = write_file("# how this one is run\napi-prefix = /ct\nui = off\nqueue = 3\n");
    setup(WORDS("--config", path, "--queue", "9"), NULL);
    check(get("/ct/v1/info"), 200, "\"queue_capacity\":9");
    check(get("/ct/"), 404, "not_found");
    teardown();
    unlink(path);
}
END_TEST

START_TEST(descriptors_for_every_connection)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 100;
    limit.rlim_max = 1000;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0); /* this test runs in its own process */
    setup(WORDS("--max-connections", "500"), NULL);
    check(get("/metrics"), 200, "process_max_fds 628\n");
    char *log = process_log(&service);
    ck_assert_ptr_null(strstr(log, "few_descriptors"));
    free(log);
    teardown();
    setup(WORDS("--max-connections", "5000"), NULL);
    check(get("/metrics"), 200, "process_max_fds 1000\n");
    process_expect_log(&service, "\"event\":\"few_descriptors\",\"limit\":1000,\"wanted\":5128", 1);
    teardown();
}
END_TEST

int main(void)
{
    RUN("operation", descriptors_for_every_connection, tensors_in_and_out, keys_are_asked_for,
        a_file_without_keys_is_no_open_door, pages_of_other_origins, over_tls,
        certificates_that_are_none, behind_a_proxy_that_takes_a_prefix_away, set_up_by_a_file,
        metrics_tell_what_happened, metrics_can_be_switched_off, the_status_tells_what_is_done,
        every_answer_is_fenced, traces_of_no_valid_form_are_not_logged);
}
