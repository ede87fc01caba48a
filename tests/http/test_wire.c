/* The service and what comes over the wire: slow, cut, doubtful, too much, or all at once. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "model/data/image.h"
#include "tests/http/scene.h"
#include "tests/unit/run.h"

START_TEST(half_a_body_then_silence_or_goodbye)
{
    setup(WORDS("--timeout", "3s", "--idle-timeout", "2s"), NULL);
    int leaver = raw_open(&service);
    raw_text(leaver, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-Request-Id: leaver\r\n"
                     "Content-Length: 5000\r\n\r\nhalf");
    close(leaver);
    process_expect_log(&service, "\"request_id\":\"leaver\"", 1);
    int silent = raw_open(&service);
    raw_text(silent, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-Request-Id: silent\r\n"
                     "Content-Length: 5000\r\n\r\nhalf");
    char *text = raw_read(silent, NULL);
    ck_assert_str_eq(text, ""); /* cut off */
    free(text);
    close(silent);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

/* Sends a byte every now and then until the other side has enough. */
static void drip(int fd, const char *byte)
{
    char waste[256];
    for (int i = 0; i < 400; i++) {
        raw_text(fd, byte);
        nanosleep(&(struct timespec){0, 50000000}, NULL);
        ssize_t n = recv(fd, waste, sizeof waste, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            close(fd);
            return;
        }
    }
    ck_abort_msg("a client that sends a byte every 50 ms is never cut off");
}

START_TEST(slow_headers_and_slow_bodies_are_cut_off)
{
    setup(WORDS("--timeout", "3s", "--idle-timeout", "2s"), NULL);
    int headers = raw_open(&service), body = raw_open(&service);
    raw_text(headers, "GET /livez HTTP/1.1\r\nX-Slow: ");
    drip(headers, "a");
    raw_text(body, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n");
    drip(body, "b");
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

START_TEST(floods_of_headers)
{
    setup(NULL, NULL);
    char *big = malloc(200001);
    memset(big, 'a', 200000);
    big[200000] = 0;
    static const char *const starts[] = {"GET /livez HTTP/1.1\r\nHost: x\r\nX-Big: ", "GET /", ""};
    static const char *const statuses[] = {"431", "414", ""};
    for (int i = 0; i < 3; i++) {
        int fd = raw_open(&service);
        raw_text(fd, starts[i]);
        raw_text(fd, big);
        raw_text(fd, "\r\n\r\n");
        char *text = raw_read(fd, NULL);
        ck_assert_msg(*text == 0 || strstr(text, statuses[i]) != NULL, "%.100s", text);
        free(text);
        close(fd);
    }
    int fd = raw_open(&service);
    raw_text(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 20000; i++)
        raw_text(fd, "X-Y: z\r\n");
    raw_text(fd, "\r\n");
    char *text = raw_read(fd, NULL);
    ck_assert_msg(*text == 0 || strstr(text, "431") != NULL, "%.100s", text);
    free(text);
    close(fd);
    free(big);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

START_TEST(a_hundred_thousand_parts)
{
    enum { PARTS = 100000 };
    static const char *const parts[] = {
        "--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\r\n", /* empty files */
        "--XX\r\nContent-Disposition: form-data; name=\"options\"\r\n\r\n{}\r\n",
        "--XX\r\n\r\n\r\n", /* of no name */
        "--XX\r\nX: y\r\n", /* one header after another, never a part */
        "--XX--\r\n",
    };
    setup(NULL, NULL);
    check(predict(NULL), 200, "burden");
    long before = process_peak_kb(&service);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct bytes body = {NULL, 0};
        FILE *out = open_memstream((char **)&body.data, &body.length);
        ck_assert_ptr_nonnull(out);
        for (int k = 0; k < PARTS; k++)
            fputs(parts[i], out);
        fputs("--XX--\r\n", out);
        fclose(out);
        check(http(&service, "POST", "/v1/predict",
                   WORDS("Content-Type: multipart/form-data; boundary=XX"), body.data, body.length),
              400, "bad_multipart");
        free(body.data);
    }
    /* The body itself, and no more than that again. */
    ck_assert_int_lt(process_peak_kb(&service) - before, 100 * 1024);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

START_TEST(framing_that_can_be_read_in_two_ways)
{
    static const char *const requests[] = {
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: "
        "3\r\n"
        "\r\n0\r\n\r\n",
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: "
        "4\r\n\r\nabcd",
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3,3\r\n\r\nabc",
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /v1/predict HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    };
    setup(NULL, NULL);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int fd = raw_open(&service);
        raw_text(fd, requests[i]);
        raw_text(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
        char *text = raw_read(fd, NULL); /* up to the end of the connection */
        ck_assert_msg(strncmp(text, "HTTP/1.1 400", 12) == 0, "case %zu: %.300s", i, text);
        ck_assert_msg(strstr(text, "alive") == NULL, "case %zu goes on: %s", i, text);
        free(text);
        close(fd);
    }
    teardown();
}
END_TEST

START_TEST(bodies_in_chunks)
{
    setup(WORDS("--max-body", "20K"), NULL);
    int fd = raw_open(&service);
    char head[32];
    raw_text(
        fd,
        "POST /v1/predict?masks=none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < slice.length; at += 100) {
        size_t n = slice.length - at < 100 ? slice.length - at : 100;
        snprintf(head, sizeof head, "%zx;extension=1\r\n", n);
        raw_text(fd, head);
        raw_send(fd, slice.data + at, n);
        raw_text(fd, "\r\n");
    }
    raw_text(fd, "0\r\nTrailer: x\r\n\r\n");
    expect_raw(fd, "200");

    fd = raw_open(&service);
    raw_text(fd,
             "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    expect_raw(fd, "400");

    /* Past the limit, up to twice of it, the answer still comes; then the connection is cut. */
    char chunk[1024 + 16];
    snprintf(chunk, sizeof chunk, "400\r\n%01024d\r\n", 0);
    fd = raw_open(&service);
    raw_text(fd, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 30; i++)
        raw_text(fd, chunk);
    raw_text(fd, "0\r\n\r\n");
    expect_raw(fd, "413");
    fd = raw_open(&service);
    raw_text(fd, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 200; i++)
        raw_text(fd, chunk);
    char *text = raw_read(fd, NULL);
    ck_assert_str_eq(text, "");
    free(text);
    close(fd);
    teardown();
}
END_TEST

START_TEST(bodies_that_are_announced)
{
    setup(WORDS("--max-body", "20K"), NULL);
    char head[256];
    int fd = raw_open(&service);
    snprintf(head, sizeof head,
             "POST /v1/predict?masks=none HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
             "Content-Length: %zu\r\n\r\n",
             slice.length);
    raw_text(fd, head);
    char *text = raw_read(fd, "\r\n\r\n");
    ck_assert_str_eq(text, "HTTP/1.1 100 Continue\r\n\r\n");
    free(text);
    raw_send(fd, slice.data, slice.length);
    expect_raw(fd, "200");
    static const struct {
        const char *request, *status;
    } cases[] = {
        {"POST /v1/predict HTTP/1.1\r\nContent-Length: 30000000000\r\n", "413"},
        {"POST /v1/predict?masks=x HTTP/1.1\r\nContent-Length: 100\r\n", "400"},
        {"POST /v1/predict HTTP/1.1\r\nContent-Length: 100\r\nAccept: text/css\r\n", "406"},
        {"POST /v1/predict HTTP/1.1\r\nContent-Length: 100\r\nContent-Type: a/b\r\n", "415"},
        {"POST /nowhere HTTP/1.1\r\nContent-Length: 100\r\n", "404"},
        {"POST /livez HTTP/1.1\r\nContent-Length: 100\r\n", "405"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fd = raw_open(&service);
        raw_text(fd, cases[i].request);
        raw_text(fd, "Host: x\r\nExpect: 100-continue\r\n\r\n");
        expect_raw(fd, cases[i].status); /* first of all, without 100 */
    }
    teardown();
}
END_TEST

START_TEST(a_refusal_is_read_though_the_client_goes_on_sending)
{
    setup(NULL, NULL);
    enum { PIECE = 65536, PIECES = 300 };
    char *piece = calloc(1, PIECE);
    for (int round = 0; round < 5; round++) {
        int fd = raw_open(&service);
        raw_text(
            fd, "POST /v1/predict?masks=x HTTP/1.1\r\nHost: x\r\nContent-Length: 19660800\r\n\r\n");
        /* Taken in for a moment, so that no reset overtakes the answer. */
        for (int i = 0; i < PIECES; i++)
            ck_assert(raw_send(fd, piece, PIECE));
        expect_raw(fd, "400");
    }
    free(piece);
    teardown();
}
END_TEST

START_TEST(one_connection_many_requests)
{
    setup(NULL, NULL);
    char head[256];
    int fd = raw_open(&service);
    snprintf(head, sizeof head,
             "POST /v1/predict?masks=none HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
             slice.length);
    for (int i = 0; i < 3; i++) { /* one after another, also after a refusal with a short body */
        raw_text(fd, head);
        raw_send(fd, slice.data, slice.length);
        char *text = raw_read(fd, "decisions.\"}");
        ck_assert_int_eq(strncmp(text, "HTTP/1.1 200", 12), 0);
        free(text);
        raw_text(fd, "POST /v1/predict?x=y HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd");
        text = raw_read(fd, "\"}");
        ck_assert_int_eq(strncmp(text, "HTTP/1.1 400", 12), 0);
        ck_assert_ptr_null(strstr(text, "close"));
        free(text);
    }
    /* All at once. */
    raw_text(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_text(fd, head);
    raw_send(fd, slice.data, slice.length);
    raw_text(fd, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
                 "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char *text = raw_read(fd, NULL);
    const char *at = text;
    static const char *const order[] = {"alive\n", "\"burden\"", "Content-Security-Policy",
                                        "ready\n"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        at = strstr(at, order[i]);
        ck_assert_msg(at != NULL, "no %s in its place: %s", order[i], text);
    }
    free(text);
    close(fd);
    teardown();
}
END_TEST

START_TEST(all_bodies_together_are_limited)
{
    setup(WORDS("--max-body", "40K", "--max-buffered", "50K", "--workers", "1"), NULL);
    char *half = calloc(1, 30000);
    int holder = raw_open(&service);
    raw_text(holder, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-Request-Id: holder\r\n"
                     "Content-Length: 40000\r\n\r\n");
    raw_send(holder, half, 30000);
    /* Until the first half has been taken in, there is room. */
    for (int tries = 0;; tries++) {
        int fd = raw_open(&service);
        raw_text(fd, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                     "Content-Length: 30000\r\n\r\n");
        char *text = raw_read(fd, "\r\n\r\n");
        bool full = strncmp(text, "HTTP/1.1 429", 12) == 0;
        free(text);
        close(fd);
        ck_assert_int_lt(tries, 1000);
        if (full)
            break;
    }
    /* In chunks it is noticed on the way. */
    int fd = raw_open(&service);
    raw_text(fd,
             "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7530\r\n");
    raw_send(fd, half, 30000);
    raw_text(fd, "\r\n0\r\n\r\n");
    expect_raw(fd, "429");
    close(holder);
    process_expect_log(&service, "\"request_id\":\"holder\"", 1);
    for (int i = 0; i < 40; i++) { /* what is done is not counted any more */
        check(predict(NULL), 200, "burden");
        check(predict(WORDS("Content-Type: multipart/form-data; boundary=XX")), 400,
              "bad_multipart");
    }
    free(half);
    teardown();
}
END_TEST

/* A PNG of noise, so that a picture of it is larger than what sockets hold. */
static struct bytes noise_png(int side)
{
    unsigned state = 7;
    struct bytes png = {NULL, 0};
    struct error err;
    uint8_t *pixels = malloc((size_t)side * (size_t)side);
    ck_assert_ptr_nonnull(pixels);
    for (int i = 0; i < side * side; i++)
        pixels[i] = (uint8_t)random_next(&state);
    ck_assert_int_eq(image_write_png(&png.data, &png.length, pixels, side, side, 1, &err), 0);
    free(pixels);
    return png;
}

START_TEST(an_answer_that_is_not_taken)
{
    enum { LIMIT = 6 << 20 };
    setup(WORDS("--max-body", "6M", "--max-buffered", "6M", "--timeout", "5s"), NULL);
    struct bytes noise = noise_png(2200);
    ck_assert_uint_lt(noise.length, LIMIT);
    char head[256];
    int fd = raw_open(&service), small = 2048;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    snprintf(head, sizeof head,
             "POST /v1/predict HTTP/1.1\r\nHost: x\r\nAccept: image/png\r\nX-Request-Id: slow\r\n"
             "Content-Length: %zu\r\n\r\n",
             noise.length);
    raw_text(fd, head);
    raw_send(fd, noise.data, noise.length);
    char *text = raw_read(fd, "HTTP/1.1 200");
    free(text);
    check(predict(NULL), 429, "--max-buffered"); /* it counts */
    drip(fd, "x");                               /* reads 256 bytes at a time */
    process_expect_log(&service, "\"request_id\":\"slow\"", 1);
    check(predict(NULL), 200, "burden");
    free(noise.data);
    teardown();
}
END_TEST

int main(void)
{
    RUN("wire", half_a_body_then_silence_or_goodbye, slow_headers_and_slow_bodies_are_cut_off,
        floods_of_headers, a_hundred_thousand_parts, framing_that_can_be_read_in_two_ways,
        bodies_in_chunks, bodies_that_are_announced,
        a_refusal_is_read_though_the_client_goes_on_sending, one_connection_many_requests,
        all_bodies_together_are_limited, an_answer_that_is_not_taken);
}
