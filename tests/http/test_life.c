/* The service from start to end. */
#include "tests/http/scene.h"
#include "tests/unit/run.h"

START_TEST(while_the_model_loads)
{
    slice = slice_png(64, 48, 1);
    process_start(&service, NULL, WORDS("FAKE_LOAD_MS=1500"));
    check(get("/livez"), 200, "alive");
    check(get("/readyz"), 503, "loading");
    check(get("/readyz?verbose"), 503, "being loaded");
    check(get("/v1/info"), 503, "model_loading");
    struct answer answer = predict(NULL);
    ck_assert_ptr_nonnull(answer_header(&answer, "Retry-After"));
    check(answer, 503, "model_loading");
    process_expect_log(&service, "\"event\":\"ready\"", 1);
    check(get("/readyz"), 200, "ready");
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

START_TEST(a_model_that_cannot_be_used_ends_the_service)
{
    process_start(&service, WORDS("--model", "broken"), WORDS("FAKE_LOAD_FAILS=1"));
    int log = dup(service.log);
    ck_assert_int_eq(process_wait(&service), 1);
    service.log = log;
    process_expect_log(&service, "FAKE_LOAD_FAILS is set", 2); /* logged, and said */
    close(log);
    /* A self-test that finds numbers which are none. */
    process_start(&service, NULL, WORDS("FAKE_NAN=2"));
    ck_assert_int_eq(process_wait(&service), 1);
}
END_TEST

START_TEST(stopping_while_the_model_loads)
{
    process_start(&service, NULL, WORDS("FAKE_LOAD_MS=300"));
    ck_assert_int_eq(process_stop(&service, SIGTERM), 0);
}
END_TEST

START_TEST(draining)
{
    setup(WORDS("--workers", "1", "--drain-delay", "1500ms"), WORDS("FAKE_PREDICT_MS=500"));
    int first = send_predict("first");
    wait_for(0, 1);
    ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
    process_expect_log(&service, "\"event\":\"draining\"", 1);
    check(get("/readyz"), 503, "draining");
    check(get("/livez"), 200, "alive");
    check(predict(NULL), 200, "burden"); /* still served */
    expect_raw(first, "200");
    free(slice.data);
    ck_assert_int_eq(process_wait(&service), 0);
}
END_TEST

START_TEST(what_is_under_way_is_finished)
{
    setup(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=400"));
    int idle = raw_open(&service);
    int one = send_predict("one"), two = send_predict("two");
    wait_for(1, 1);
    ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
    process_expect_log(&service, "\"event\":\"draining\"", 1);
    expect_raw(one, "200");
    expect_raw(two, "200");
    char *text = raw_read(idle, NULL); /* closed */
    free(text);
    close(idle);
    free(slice.data);
    ck_assert_int_eq(process_wait(&service), 0);
}
END_TEST

START_TEST(what_takes_too_long_is_called_off)
{
    setup(WORDS("--workers", "1", "--drain-timeout", "100ms"), WORDS("FAKE_PREDICT_MS=4000"));
    int one = send_predict("one"), two = send_predict("two");
    wait_for(1, 1);
    ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
    expect_raw(one, "504");
    expect_raw(two, "504");
    free(slice.data);
    ck_assert_int_eq(process_wait(&service), 0);
}
END_TEST

START_TEST(a_body_that_ends_when_all_is_called_off)
{
    setup(WORDS("--workers", "1", "--drain-timeout", "50ms"), WORDS("FAKE_PREDICT_MS=3000"));
    int half = send_half();
    ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
    process_expect_log(&service, "\"event\":\"draining\"", 1);
    nanosleep(&(struct timespec){0, 400000000}, NULL);
    raw_send(half, slice.data + slice.length / 2, slice.length - slice.length / 2);
    expect_raw(half, "504");
    free(slice.data);
    ck_assert_int_eq(process_wait(&service), 0);
}
END_TEST

START_TEST(a_second_signal_hurries)
{
    setup(WORDS("--workers", "1", "--drain-delay", "1h"), NULL);
    ck_assert_int_eq(kill(service.pid, SIGINT), 0);
    process_expect_log(&service, "\"event\":\"draining\"", 1);
    free(slice.data);
    ck_assert_int_eq(process_stop(&service, SIGINT), 0);
}
END_TEST

int main(void)
{
    RUN("life", while_the_model_loads, a_model_that_cannot_be_used_ends_the_service,
        stopping_while_the_model_loads, draining, what_is_under_way_is_finished,
        what_takes_too_long_is_called_off, a_body_that_ends_when_all_is_called_off,
        a_second_signal_hurries);
}
