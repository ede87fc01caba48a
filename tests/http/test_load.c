/* The service under pressure: a full queue, deadlines, clients that leave, many at once. */
#include <pthread.h>
#include <sys/socket.h>

#include "tests/http/scene.h"
#include "tests/unit/run.h"

START_TEST(a_full_queue_and_probes_that_do_not_care)
{
    setup(WORDS("--queue", "2", "--workers", "1"), WORDS("FAKE_PREDICT_MS=700"));
    int sockets[3];
    sockets[0] = send_predict("a");
    wait_for(0, 1);
    sockets[1] = send_predict("b");
    wait_for(1, 1);
    sockets[2] = send_predict("c");
    wait_for(2, 1);
    int refused = raw_open(&service); /* at its headers, without 100 Continue */
    raw_text(refused, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                      "Content-Length: 100\r\n\r\n");
    expect_raw(refused, "429");
    struct answer answer = predict(NULL);
    ck_assert_int_eq(answer.status, 429);
    ck_assert_int_ge((int)strtol(answer_header(&answer, "Retry-After"), NULL, 10), 1);
    check(answer, 429, "queue_full");
    check(get("/livez"), 200, "alive");
    check(get("/readyz"), 200, "ready");
    check(get("/v1/info"), 200, "queue_capacity");
    check(get("/"), 200, "<!doctype html>");
    for (int i = 0; i < 3; i++)
        expect_raw(sockets[i], "200");
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

START_TEST(the_last_place_goes_to_who_comes_first)
{
    setup(WORDS("--queue", "1", "--workers", "1"), WORDS("FAKE_PREDICT_MS=800"));
    int first = send_half(), second = send_half(); /* there is a place as yet */
    int busy = send_predict("busy");
    wait_for(0, 1);
    raw_send(first, slice.data + slice.length / 2, slice.length - slice.length / 2);
    wait_for(1, 1);
    raw_send(second, slice.data + slice.length / 2, slice.length - slice.length / 2);
    expect_raw(second, "429");
    expect_raw(busy, "200");
    expect_raw(first, "200");
    teardown();
}
END_TEST

START_TEST(deadlines_while_waiting_and_while_computed)
{
    setup(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=600"));
    int busy = send_predict("busy");
    wait_for(0, 1);
    check(predict(WORDS("X-Request-Timeout-Ms: 50")), 504, "deadline_exceeded");
    wait_for(0, 1); /* the one that waited has left the queue */
    expect_raw(busy, "200");
    wait_for(0, 0);
    check(predict(WORDS("X-Request-Timeout-Ms: 100")), 504, "100 ms");
    check(predict(WORDS("X-Request-Timeout-Ms: 20000")), 200, "burden");
    teardown();
}
END_TEST

START_TEST(a_client_that_leaves_leaves_the_queue)
{
    setup(WORDS("--queue", "1", "--workers", "1"), WORDS("FAKE_PREDICT_MS=600"));
    int busy = send_predict("busy");
    wait_for(0, 1);
    int leaver = send_predict("leaver");
    wait_for(1, 1);
    close(leaver);
    wait_for(0, 1);
    process_expect_log(&service,
                       "\"request_id\":\"leaver\",\"method\":\"POST\","
                       "\"route\":\"/v1/predict\",\"status\":499",
                       1);
    int next = send_predict("next"); /* there is room again */
    expect_raw(busy, "200");
    wait_for(0, 1);
    shutdown(next, SHUT_WR); /* half a goodbye while being computed is one, too */
    process_expect_log(&service,
                       "\"request_id\":\"next\",\"method\":\"POST\","
                       "\"route\":\"/v1/predict\",\"status\":499",
                       1);
    close(next);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

START_TEST(a_single_slice_overtakes_a_batch)
{
    enum { BATCH = 12 };
    setup(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=60"));
    struct part parts[BATCH];
    for (int i = 0; i < BATCH; i++)
        parts[i] = (struct part){"file", "a.png", NULL, slice.data, slice.length};
    struct bytes body = multipart(parts, BATCH);
    char head[256];
    int fd = raw_open(&service);
    snprintf(
        head, sizeof head,
        "POST /v1/predict?masks=none&explain=false HTTP/1.1\r\nHost: x\r\nX-Request-Id: batch\r\n"
        "Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: %zu\r\n\r\n",
        body.length);
    raw_text(fd, head);
    raw_send(fd, body.data, body.length);
    wait_for(0, 1);
    check(predict(WORDS("X-Request-Id: single")), 200, "burden");
    char *text = raw_read(fd, "\"results\"");
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 200", 12), 0);
    free(text);
    close(fd);
    process_expect_log(&service, "\"request_id\":\"batch\"", 1);
    process_expect_log(&service, "\"request_id\":\"single\"", 1);
    char *log = process_log(&service);
    ck_assert(strstr(log, "\"request_id\":\"single\"") < strstr(log, "\"request_id\":\"batch\""));
    ck_assert_ptr_nonnull(strstr(log, "\"slices\":12"));
    free(log);
    free(body.data);
    teardown();
}
END_TEST

/* ---- many clients ---- */

enum { CLIENTS = 64, EACH = 4 };

static void *client(void *context)
{
    unsigned seed = (unsigned)(size_t)context;
    struct bytes mine = slice_png(40 + (int)(seed % 7), 30 + (int)(seed % 11), seed);
    char id[64], width[64];
    for (int i = 0; i < EACH; i++) {
        snprintf(id, sizeof id, "X-Request-Id: client-%u-%d", seed, i);
        snprintf(width, sizeof width, "\"width\":%u,\"height\":%u", 40 + seed % 7, 30 + seed % 11);
        struct answer answer =
            http(&service, "POST", "/v1/predict", WORDS(id), mine.data, mine.length);
        ck_assert_int_eq(answer.status, 200);
        ck_assert(answer_has(&answer, width));
        ck_assert(answer_has(&answer, id + 14));
        answer_free(&answer);
    }
    free(mine.data);
    return NULL;
}

START_TEST(many_clients_each_get_their_own_answer)
{
    setup(WORDS("--workers", "2", "--queue", "100"), WORDS("FAKE_PREDICT_MS=1"));
    pthread_t threads[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, client, (void *)i), 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    process_expect_log(&service, "\"route\":\"/v1/predict\",\"status\":200", CLIENTS * EACH);
    wait_for(0, 0);
    teardown();
}
END_TEST

START_TEST(many_clients_that_leave_at_any_moment)
{
    setup(WORDS("--workers", "2", "--queue", "30"), WORDS("FAKE_PREDICT_MS=3"));
    unsigned state = 5;
    for (int i = 0; i < 150; i++) {
        int fd = send_predict("leaver");
        nanosleep(&(struct timespec){0, (long)(random_next(&state) % 8) * 1000000}, NULL);
        if (i % 3 == 0) { /* with a reset */
            struct linger now = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        close(fd);
    }
    wait_for(0, 0);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

int main(void)
{
    RUN("load", a_full_queue_and_probes_that_do_not_care, the_last_place_goes_to_who_comes_first,
        deadlines_while_waiting_and_while_computed, a_client_that_leaves_leaves_the_queue,
        a_single_slice_overtakes_a_batch, many_clients_each_get_their_own_answer,
        many_clients_that_leave_at_any_moment);
}
