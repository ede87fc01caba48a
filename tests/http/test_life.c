/* The service from start to end. */
#include <sys/socket.h>
#include <sys/un.h>

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
    char *said = raw_read(one, "\"}");
    ck_assert_ptr_nonnull(strstr(said, "\"code\":\"draining\""));
    ck_assert_ptr_nonnull(strstr(said, "Retry-After: "));
    free(said);
    close(one);
    expect_raw(two, "503");
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
    expect_raw(half, "503");
    free(slice.data);
    ck_assert_int_eq(process_wait(&service), 0);
}
END_TEST

START_TEST(connections_that_wait_to_be_accepted_are_answered)
{
    enum { ROUNDS = 6, CONNECTIONS = 30 };
    for (int round = 0; round < ROUNDS; round++) {
        int sockets[CONNECTIONS];
        setup(NULL, NULL);
        /* While it stands still, the kernel accepts in its name. */
        ck_assert_int_eq(kill(service.pid, SIGSTOP), 0);
        for (int i = 0; i < CONNECTIONS; i++) {
            sockets[i] = raw_open(&service);
            raw_text(sockets[i], "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
        ck_assert_int_eq(kill(service.pid, SIGCONT), 0);
        for (int i = 0; i < CONNECTIONS; i++) {
            char *text = raw_read(sockets[i], NULL);
            ck_assert_msg(strncmp(text, "HTTP/1.1 200", 12) == 0, "round %d, connection %d: \"%s\"",
                          round, i, text);
            free(text);
            close(sockets[i]);
        }
        free(slice.data);
        ck_assert_int_eq(process_wait(&service), 0);
    }
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

START_TEST(the_next_service_takes_over_the_socket)
{
    char path[64];
    struct process next, check;
    snprintf(path, sizeof path, "/tmp/oneshot-test-%d-next.sock", (int)getpid());
    /* One that listens keeps its place; what is no socket stays as it is. */
    process_start_ready(&service, WORDS("--unix-socket", path), WORDS("FAKE_PREDICT_MS=1500"));
    ck_assert_int_eq(process_run(&check, WORDS("serve", "--unix-socket", path), NULL), 1);
    close(check.log);
    ck_assert_int_eq(process_run(&check, WORDS("serve", "--unix-socket", "openapi.yaml"), NULL), 1);
    close(check.log);
    ck_assert_int_eq(access("openapi.yaml", R_OK), 0);
    /* The old one finishes a request while the new one has begun. */
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    snprintf(where.sun_path, sizeof where.sun_path, "%s", path);
    slice = slice_png(64, 48, 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    char head[128];
    snprintf(head, sizeof head,
             "POST /v1/predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
             "Content-Length: %zu\r\n\r\n",
             slice.length);
    raw_text(fd, head);
    free(raw_read(fd, "100 Continue\r\n\r\n"));
    raw_send(fd, slice.data, slice.length);
    ck_assert_int_eq(kill(service.pid, SIGTERM), 0);
    process_expect_log(&service, "\"event\":\"draining\"", 1);
    for (bool heard = true; heard; nanosleep(&(struct timespec){0, 1000000}, NULL)) {
        int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        heard = connect(probe, (struct sockaddr *)&where, sizeof where) == 0;
        close(probe);
    }
    process_start_ready(&next, WORDS("--unix-socket", path), NULL);
    char *text = raw_read(fd, "\"disclaimer\"");
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 200", 12), 0);
    free(text);
    close(fd);
    ck_assert_int_eq(process_wait(&service), 0);
    ck_assert_int_eq(
        process_run(&check, WORDS("healthcheck", "--unix-socket", path, "http://localhost"), NULL),
        0);
    close(check.log);
    ck_assert_int_eq(process_stop(&next, SIGTERM), 0);
    ck_assert_int_ne(access(path, F_OK), 0);
    free(slice.data);
}
END_TEST

/* ---- another model while it runs ---- */

static const char *model_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/oneshot-life-%d", (int)getpid());
    return path;
}

static void write_model(const char *word)
{
    FILE *file = fopen(model_path(), "wb");
    ck_assert_ptr_nonnull(file);
    fputs(word, file);
    fclose(file);
}

static void reload(void)
{
    ck_assert_int_eq(kill(service.pid, SIGHUP), 0);
}

START_TEST(a_new_model_takes_over)
{
    write_model("one");
    setup(WORDS("--model", model_path(), "--workers", "2"), NULL);
    check(predict(NULL), 200, "\"version\":\"one\"");
    write_model("two");
    reload();
    process_expect_log(&service, "\"event\":\"reloaded\"", 1);
    for (int i = 0; i < 4; i++)
        check(predict(NULL), 200, "\"version\":\"two\"");
    check(get("/v1/info"), 200, "\"version\":\"two\"");
    check(get("/metrics"), 200, "oneshot_model_reloads_total{outcome=\"ok\"} 1\n");
    check(get("/metrics"), 200, "version=\"two\"");
    unlink(model_path());
    teardown();
}
END_TEST

START_TEST(a_bad_model_changes_nothing)
{
    static const char *const bad[] = {"fail", "nan"};
    write_model("one");
    setup(WORDS("--model", model_path()), NULL);
    for (int i = 0; i < 2; i++) {
        write_model(bad[i]);
        reload();
        process_expect_log(&service, "\"event\":\"reload_failed\"", i + 1);
        check(get("/readyz"), 200, "ready");
        check(predict(NULL), 200, "\"version\":\"one\"");
        check(get("/v1/info"), 200, "\"version\":\"one\"");
    }
    check(get("/metrics"), 200, "oneshot_model_reloads_total{outcome=\"failed\"} 2\n");
    write_model("three"); /* and a good one is taken after all */
    reload();
    process_expect_log(&service, "\"event\":\"reloaded\"", 1);
    check(predict(NULL), 200, "\"version\":\"three\"");
    unlink(model_path());
    teardown();
}
END_TEST

START_TEST(a_model_is_exchanged_between_two_slices)
{
    enum { SLICES = 8 };
    write_model("one");
    setup(WORDS("--model", model_path(), "--workers", "1"), WORDS("FAKE_PREDICT_MS=80"));
    struct part parts[SLICES];
    for (int i = 0; i < SLICES; i++)
        parts[i] = (struct part){"file", "a.png", NULL, slice.data, slice.length};
    struct bytes body = multipart(parts, SLICES);
    char head[256];
    int fd = raw_open(&service);
    snprintf(head, sizeof head,
             "POST /v1/predict?masks=none&explain=false HTTP/1.1\r\nHost: x\r\nContent-Type: "
             "multipart/form-data; boundary=XX\r\nContent-Length: %zu\r\n\r\n",
             body.length);
    raw_text(fd, head);
    raw_send(fd, body.data, body.length);
    wait_for(0, 1);
    write_model("two");
    reload();
    process_expect_log(&service, "\"event\":\"reloaded\"", 1);
    char *text = raw_read(fd, "\"results\"");
    close(fd);
    /* None was lost, and the first was computed by the old model. */
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 200", 12), 0);
    ck_assert_ptr_nonnull(strstr(text, "\"version\":\"one\""));
    free(text);
    check(predict(NULL), 200, "\"version\":\"two\"");
    free(body.data);
    unlink(model_path());
    teardown();
}
END_TEST

START_TEST(reloads_that_come_at_once_or_too_early)
{
    write_model("one");
    process_start(&service, WORDS("--model", model_path()), WORDS("FAKE_LOAD_MS=400"));
    slice = slice_png(64, 48, 1);
    reload();
    process_expect_log(&service, "\"event\":\"reload_ignored\"", 1);
    process_expect_log(&service, "\"event\":\"ready\"", 1);
    write_model("two");
    reload();
    process_expect_log(&service, "\"event\":\"reloading\"", 1);
    write_model("three");
    for (int i = 0; i < 20; i++)
        reload();
    process_expect_log(&service, "\"event\":\"reloading\"", 2);
    process_expect_log(&service, "\"event\":\"reloaded\"", 2);
    check(predict(NULL), 200, "\"version\":\"three\"");
    reload(); /* and ended in the middle of one */
    process_expect_log(&service, "\"event\":\"reloading\"", 3);
    unlink(model_path());
    teardown();
}
END_TEST

int main(void)
{
    RUN("life", connections_that_wait_to_be_accepted_are_answered, a_new_model_takes_over,
        a_bad_model_changes_nothing, a_model_is_exchanged_between_two_slices,
        reloads_that_come_at_once_or_too_early, while_the_model_loads,
        a_model_that_cannot_be_used_ends_the_service, stopping_while_the_model_loads, draining,
        what_is_under_way_is_finished, what_takes_too_long_is_called_off,
        a_body_that_ends_when_all_is_called_off, a_second_signal_hurries,
        the_next_service_takes_over_the_socket);
}
