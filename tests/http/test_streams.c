/* Answers that come while they are made: events, clients that leave or dawdle, and the end. */
#include <sys/socket.h>

#include "tests/http/volume_scene.h"
#include "tests/unit/run.h"

/* The stream's events, an array. */
static json_t *ask_events(const char *query, const char *accept)
{
    struct answer answer = ask(query, WORDS(accept));
    ck_assert_int_eq(answer.status, 200);
    ck_assert_str_eq(answer_header(&answer, "X-Accel-Buffering"), "no");
    ck_assert_str_eq(answer_header(&answer, "Cache-Control"), "no-store");
    json_t *events = json_array();
    char *rest = (char *)answer.body, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        bool data = strncmp(line, "data: ", 6) == 0;
        if (data || *line == '{')
            json_array_append_new(events,
                                  parse(line + (data ? 6 : 0), strlen(line) - (data ? 6 : 0)));
    }
    answer_free(&answer);
    return events;
}

static void check_stream(const char *accept)
{
    json_t *whole = ask_json(""), *events = ask_events("", accept);
    size_t count = json_array_size(events);
    ck_assert_uint_eq(count, 5 + 4);
    static const char *const order[] = {"accepted", "volume", "slice",   "slice", "slice",
                                        "slice",    "slice",  "summary", "done"};
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(text(json_array_get(events, i), "event"), order[i]);
    ck_assert(json_equal(find(events, "1.volume"), find(whole, "volume")));
    ck_assert(json_equal(find(events, "7.summary"), find(whole, "summary")));
    ck_assert_str_eq(text(events, "7.input.sha256"), text(whole, "input.sha256"));
    for (size_t i = 0; i < 5; i++) {
        json_t *one = json_array_get(events, 2 + i);
        json_t *other = json_array_get(find(whole, "slices"), i);
        ck_assert_int_eq((int)number(one, "progress.done"), (int)i + 1);
        ck_assert_int_eq((int)number(one, "progress.total"), 5);
        ck_assert_double_ge(number(one, "progress.eta_ms"), 0);
        static const char *const same[] = {"slice",       "classification", "detections",
                                           "explanation", "burden",         "warnings"};
        for (int k = 0; k < 6; k++)
            ck_assert_msg(json_equal(find(one, same[k]), find(other, same[k])), "%s", same[k]);
    }
    ck_assert_int_eq((int)number(events, "8.slices_done"), 5);
    json_decref(whole);
    json_decref(events);
}

START_TEST(streams_say_the_same_one_after_another)
{
    begin(NULL, NULL, 64, 48, 5);
    check_stream("Accept: application/x-ndjson");
    check_stream("Accept: text/event-stream");
    end();
}
END_TEST

START_TEST(what_goes_wrong_is_the_last_event)
{
    begin(NULL, WORDS("FAKE_PREDICT_MS=100"), 40, 32, 40);
    json_t *events = ask_events("?slice=99", "Accept: application/x-ndjson");
    ck_assert_uint_eq(json_array_size(events), 2);
    ck_assert_str_eq(text(events, "1.event"), "error");
    ck_assert_str_eq(text(events, "1.error.code"), "bad_option");
    ck_assert_str_eq(text(events, "1.error.request_id"), text(events, "0.request_id"));
    json_decref(events);
    /* Cut off in the middle: what came before stays. */
    volume.length = volume.length * 2 / 3;
    events = ask_events("?masks=none", "Accept: application/x-ndjson");
    size_t count = json_array_size(events);
    ck_assert_uint_gt(count, 5);
    json_t *last = json_array_get(events, count - 1);
    ck_assert_str_eq(text(last, "event"), "error");
    ck_assert_str_eq(text(last, "error.code"), "bad_nifti");
    ck_assert_str_eq(text(json_array_get(events, count - 2), "event"), "slice");
    json_decref(events);
    process_expect_log(&service, "\"code\":\"bad_nifti\"", 1);
    end();
    /* Too slow for the client: some slices, then the deadline. */
    begin(NULL, WORDS("FAKE_PREDICT_MS=200"), 40, 32, 200);
    struct answer answer =
        ask("?masks=none", WORDS("Accept: application/x-ndjson", "X-Request-Timeout-Ms: 1500"));
    ck_assert_int_eq(answer.status, 200);
    ck_assert(answer_has(&answer, "\"event\":\"volume\""));
    ck_assert(answer_has(&answer, "\"code\":\"deadline_exceeded\""));
    answer_free(&answer);
    end();
}
END_TEST

static int open_stream_with(const char *id, const char *query, const char *more)
{
    char head[400];
    int fd = raw_open(&service);
    snprintf(head, sizeof head,
             "POST /v1/predict%s HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\n%s"
             "Accept: application/x-ndjson\r\nContent-Length: %zu\r\n\r\n",
             query, id, more, volume.length);
    raw_text(fd, head);
    ck_assert(raw_send(fd, volume.data, volume.length));
    return fd;
}

static int open_stream(const char *id, const char *query)
{
    return open_stream_with(id, query, "Connection: close\r\n");
}

START_TEST(a_client_that_leaves_frees_its_worker)
{
    begin(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=200"), 40, 32, 400);
    int fd = open_stream("leaver", "?masks=none");
    free(raw_read(fd, "\"event\":\"slice\""));
    close(fd);
    wait_for(0, 0); /* 400 slices would take 80 s */
    process_expect_log(&service, "\"client\":\"gone\"", 1);
    check(predict(NULL), 200, "burden");
    end();
}
END_TEST

/* Who still reads sees a broken answer, not one that ended early as if it were whole. */
START_TEST(half_a_goodbye_breaks_the_stream)
{
    begin(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=50"), 40, 32, 400);
    int fd = open_stream_with("half", "?masks=none", ""); /* in chunks */
    free(raw_read(fd, "\"event\":\"slice\""));
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    char *rest = raw_read(fd, NULL);
    ck_assert_msg(strstr(rest, "0\r\n\r\n") == NULL, "ended as if it were whole");
    free(rest);
    close(fd);
    process_expect_log(&service, "\"client\":\"gone\"", 1);
    end();
}
END_TEST

START_TEST(a_slice_overtakes_a_volume)
{
    begin(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=100"), 40, 32, 300);
    int fd = open_stream("long", "?masks=none&explain=false");
    free(raw_read(fd, "\"event\":\"slice\""));
    for (int i = 0; i < 3; i++)
        check(predict(NULL), 200, "burden");
    char *log = process_log(&service);
    ck_assert_msg(strstr(log, "\"request_id\":\"long\"") == NULL, "the volume is over already");
    free(log);
    close(fd);
    end();
}
END_TEST

/* A reader that stops: its job is put aside, and goes on when it reads again. */
START_TEST(a_slow_reader_lets_its_volume_wait)
{
    begin(WORDS("--workers", "1"), WORDS("FAKE_DETECTIONS=128"), 200, 200, 300);
    int fd = open_stream("slow", "?max_detections=128&explain=false");
    free(raw_read(fd, "\"event\":\"slice\""));
    wait_for(0, 0);
    char *log = process_log(&service);
    ck_assert_msg(strstr(log, "\"request_id\":\"slow\"") == NULL, "nothing was kept waiting");
    free(log);
    check(predict(NULL), 200, "burden");
    char *all = raw_read(fd, NULL);
    ck_assert_ptr_nonnull(strstr(all, "\"event\":\"done\""));
    ck_assert_ptr_nonnull(strstr(all, "\"slices_done\":300"));
    free(all);
    close(fd);
    end();
}
END_TEST

START_TEST(silence_is_broken_by_pings)
{
    begin(NULL, WORDS("FAKE_PREDICT_MS=6000"), 40, 32, 1);
    json_t *events = ask_events("?masks=none", "Accept: application/x-ndjson");
    bool pinged = false;
    json_t *one;
    size_t i;
    json_array_foreach(events, i, one) pinged |= strcmp(text(one, "event"), "ping") == 0;
    ck_assert(pinged);
    json_decref(events);
    end();
}
END_TEST

/* Ends the service in the middle of a stream, whose last events say `has`. */
static void end_during_stream(int slices, const char *patience, const char *const *has)
{
    struct nifti_maker m = nifti_default(40, 32, slices);
    setup(WORDS("--drain-timeout", patience), WORDS("FAKE_PREDICT_MS=50"));
    volume = make_volume(&m, true);
    int fd = open_stream("last", "?masks=none");
    free(raw_read(fd, "\"event\":\"slice\""));
    ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
    char *all = raw_read(fd, NULL);
    for (; *has; has++)
        ck_assert_msg(strstr(all, *has) != NULL, "no %s", *has);
    free(all);
    close(fd);
    ck_assert_int_eq(process_wait(&service), 0);
    free(volume.data);
    free(slice.data);
}

START_TEST(a_stream_under_way_is_finished_before_the_end)
{
    end_during_stream(10, "30s", WORDS("\"event\":\"summary\"", "\"event\":\"done\""));
}
END_TEST

START_TEST(a_stream_that_the_end_cuts_off_says_so)
{
    end_during_stream(300, "100ms", WORDS("\"event\":\"error\"", "\"code\":\"draining\""));
}
END_TEST

int main(void)
{
    RUN("streams", streams_say_the_same_one_after_another, what_goes_wrong_is_the_last_event,
        a_client_that_leaves_frees_its_worker, half_a_goodbye_breaks_the_stream,
        a_slice_overtakes_a_volume, a_slow_reader_lets_its_volume_wait, silence_is_broken_by_pings,
        a_stream_under_way_is_finished_before_the_end, a_stream_that_the_end_cuts_off_says_so);
}
