/* How the service is run: metrics, status, headers that everything carries. */
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

int main(void)
{
    RUN("operation", metrics_tell_what_happened, metrics_can_be_switched_off,
        the_status_tells_what_is_done, every_answer_is_fenced,
        traces_of_no_valid_form_are_not_logged);
}
