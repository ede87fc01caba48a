/* Requests that mean harm, or were put together clumsily: targets, queries, headers, methods. */
#include <sys/socket.h>

#include "tests/http/scene.h"
#include "tests/unit/run.h"

/* Sends a head with the slice behind it, and gives all that comes until the connection closes. */
static char *send_slice(const char *line, const char *headers)
{
    char length[64];
    int fd = raw_open(&service);
    snprintf(length, sizeof length, "Content-Length: %zu\r\n\r\n", slice.length);
    raw_text(fd, line);
    raw_text(fd, "\r\nHost: x\r\nConnection: close\r\n");
    raw_text(fd, headers);
    raw_text(fd, length);
    raw_send(fd, slice.data, slice.length);
    char *text = raw_read(fd, NULL);
    close(fd);
    return text;
}

static void expect_answer(char *text, const char *status, const char *has, const char *what)
{
    ck_assert_msg(strncmp(text, "HTTP/1.1 ", 9) == 0 && strncmp(text + 9, status, 3) == 0 &&
                      strstr(text, has) != NULL,
                  "not %s %s after %.80s: %.600s", status, has, what, text);
    free(text);
}

#define PREDICT "POST /v1/predict?masks=none HTTP/1.1"

START_TEST(headers_that_can_be_read_in_two_ways)
{
    static const struct {
        const char *headers, *says;
    } cases[] = {
        {"Host: y\r\n", "Host is there 2 times"},
        {"Content-Type: image/png\r\nContent-Type: image/jpeg\r\n", "Content-Type is there 2"},
        {"Authorization: Bearer a\r\nauthorization: Bearer b\r\n", "Authorization is there 2"},
        {"Transfer-Encoding\v: chunked\r\n", "name"},
        {"X-F\xc3\xa4: y\r\n", "name"},
        {"X(y): z\r\n", "name"},
        {"Transfer-Encoding: \vchunked\r\n", "where the body ends"},
    };
    setup(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = send_slice(PREDICT, cases[i].headers);
        ck_assert_ptr_nonnull(strstr(text, "Connection: close"));
        expect_answer(text, "400", cases[i].says, cases[i].headers);
    }
    /* HTTP/1.0 knows no chunks. */
    int fd = raw_open(&service);
    raw_text(fd, "POST /v1/predict HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    expect_raw(fd, "400");
    teardown();
}
END_TEST

START_TEST(lists_may_come_in_several_headers)
{
    setup(NULL, NULL);
    expect_answer(send_slice(PREDICT, "Accept: text/html\r\nAccept: application/json\r\n"), "200",
                  "\"burden\"", "two of Accept");
    expect_answer(send_slice(PREDICT, "Accept: text/html\r\nAccept: text/css;q=0.5\r\n"), "406",
                  "\\\"text/html, text/css;q=0.5\\\"", "two of Accept");
    expect_answer(send_slice(PREDICT, "Accept: */*;q=0.1\r\nAccept: image/png\r\n"), "200", "PNG",
                  "two of Accept");
    /* What stands for one thing is taken as it stands, or made anew. */
    expect_answer(send_slice(PREDICT, "X-Request-Id: \xe4\r\n"), "200", "burden", "an id");
    expect_answer(send_slice(PREDICT, "Accept: \xff\r\n"), "406", "not_acceptable", "no ASCII");
    expect_answer(send_slice(PREDICT, "X-Request-Timeout-Ms: 1\xb2\r\n"), "400", "bad_option",
                  "no digit");
    teardown();
}
END_TEST

START_TEST(queries_without_end)
{
    enum { LARGEST = 60000 };
    setup(NULL, NULL);
    char *line = malloc(LARGEST + 100);
    ck_assert_ptr_nonnull(line);
    static const char *const fields[] = {"&", "a&", "a=b&", "%61=%62&", "masks=none&"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        static const size_t sizes[] = {500, 5000, 20000, LARGEST};
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            size_t n = (size_t)snprintf(line, LARGEST, "GET /v1/info?");
            while (n + strlen(fields[i]) < sizes[k])
                n += (size_t)snprintf(line + n, LARGEST - n, "%s", fields[i]);
            snprintf(line + n, 100, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            int fd = raw_open(&service);
            raw_text(fd, line);
            char *text = raw_read(fd, NULL);
            ck_assert_msg(strncmp(text, "HTTP/1.1 200", 12) == 0 ||
                              (k == 3 && (strncmp(text, "HTTP/1.1 414", 12) == 0 ||
                                          strncmp(text, "HTTP/1.1 431", 12) == 0)),
                          "%zu bytes of %s: %.100s", sizes[k], fields[i], text);
            free(text);
            close(fd);
        }
    }
    /* What is read of them is read to the end, and what is meant twice is refused. */
    memset(line, '&', 20000);
    memcpy(line, "POST /v1/predict?", 17);
    snprintf(line + 20000, 100, "masks=none HTTP/1.1");
    expect_answer(send_slice(line, ""), "200", "burden", "many empty fields");
    snprintf(line + 20000, 100, "masks=mesh HTTP/1.1");
    expect_answer(send_slice(line, ""), "400", "mesh", "many empty fields");
    static const char *const twice[] = {"masks=none&masks=none", "m%61sks=none&masks=rle",
                                        "slice=0&slices=:"};
    for (size_t i = 0; i < sizeof twice / sizeof *twice; i++) {
        snprintf(line, 200, "POST /v1/predict?%s HTTP/1.1", twice[i]);
        expect_answer(send_slice(line, ""), "400", "bad_option", line);
    }
    free(line);
    teardown();
}
END_TEST

START_TEST(targets)
{
    static const struct {
        const char *target, *status;
    } cases[] = {
        {"http://x/livez", "200"},
        {"HTTP://x:9/livez?verbose", "200"},
        {"https://u@x/livez", "200"},
        {"http://x", "200"},
        {"ftp://x/livez", "404"},
        {"livez", "404"},
        {"//livez", "404"},
        {"/./livez", "404"},
        {"/v1/../livez", "404"},
        {"/%6civez", "200"},
        {"/livez%00", "404"},
        {"/%00/livez", "404"},
        {"/%2e%2e/livez", "404"},
        {"/%2e%2e/%2e%2e/etc/passwd", "404"},
        {"/v1%2finfo", "404"},
        {"/v1%2Finfo", "404"},
        {"/v1/%2e%2e%2finfo", "404"},
        {"/livez/", "404"},
        {"/livez?%zz", "200"},
        {"/livez#x", "200"},
        {"/livez%", "404"},
        {"/v2/models/%2e%2e", "404"},
        {"/v2/models/a%2fb", "404"},
        {"/v2/models/oneshot%2dfake", "200"},
        {"*", "404"},
        {"/v2/models/oneshot-fake%00", "404"},
        {"/v2//models/oneshot-fake", "404"},
    };
    char line[200];
    setup(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = raw_open(&service);
        snprintf(line, sizeof line, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                 cases[i].target);
        raw_text(fd, line);
        expect_answer(raw_read(fd, NULL), cases[i].status, "", cases[i].target);
        close(fd);
    }
    teardown();
}
END_TEST

/* Every route knows its methods, whatever they are asked with. */
START_TEST(methods_on_every_route)
{
    static const struct {
        const char *path, *allow;
    } routes[] = {
        {"/", "GET, HEAD, OPTIONS"},
        {"/app.js", "GET, HEAD, OPTIONS"},
        {"/openapi.yaml", "GET, HEAD, OPTIONS"},
        {"/livez", "GET, HEAD, OPTIONS"},
        {"/readyz", "GET, HEAD, OPTIONS"},
        {"/metrics", "GET, HEAD, OPTIONS"},
        {"/v1/info", "GET, HEAD, OPTIONS"},
        {"/v1/status", "GET, HEAD, OPTIONS"},
        {"/v1/predict", "POST, PUT, OPTIONS"},
        {"/v2", "GET, HEAD, OPTIONS"},
        {"/v2/health/live", "GET, HEAD, OPTIONS"},
        {"/v2/health/ready", "GET, HEAD, OPTIONS"},
        {"/v2/models/oneshot-fake", "GET, HEAD, OPTIONS"},
        {"/v2/models/oneshot-fake/ready", "GET, HEAD, OPTIONS"},
        {"/v2/models/oneshot-fake/infer", "POST, OPTIONS"},
    };
    static const char *const never[] = {"DELETE", "PATCH", "TRACE", "LINK", "get"};
    setup(NULL, NULL);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        struct answer answer = http(&service, "OPTIONS", routes[i].path, NULL, NULL, 0);
        ck_assert_int_eq(answer.status, 204);
        ck_assert_str_eq(answer_header(&answer, "Allow"), routes[i].allow);
        answer_free(&answer);
        bool reads = strstr(routes[i].allow, "GET") != NULL;
        answer = http(&service, "HEAD", routes[i].path, NULL, NULL, 0);
        ck_assert_int_eq(answer.status, reads ? 200 : 405);
        ck_assert_uint_eq(answer.length, 0);
        ck_assert_int_gt(strtol(answer_header(&answer, "Content-Length"), NULL, 10), 0);
        answer_free(&answer);
        for (size_t k = 0; k < sizeof never / sizeof *never; k++) {
            answer = http(&service, never[k], routes[i].path, NULL, NULL, 0);
            ck_assert_str_eq(answer_header(&answer, "Allow"), routes[i].allow);
            check(answer, 405, "method_not_allowed");
        }
    }
    teardown();
}
END_TEST

START_TEST(keys_in_the_wrong_scheme)
{
    static const struct {
        const char *header, *says;
    } cases[] = {
        {"Authorization: Basic YS1rZXktZm9yLXRoZS10ZXN0cw==", "Authorization: Bearer KEY"},
        {"Authorization: a-key-for-the-tests", "Authorization: Bearer KEY"},
        {"Authorization: Token a-key-for-the-tests", "Authorization: Bearer KEY"},
        {"Authorization: Bearer", "Authorization: Bearer KEY"},
        {"Authorization: Bearer \"a-key-for-the-tests\"", "not one of"},
        {"Authorization: Bearer a-key-for-the-tests, Basic x", "not one of"},
        {"X-Api-Key: a-key-for-the-tests", "Authorization: Bearer KEY"},
    };
    setup(WORDS("--api-key-file", TEST_KEYS), NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(http(&service, "GET", "/v1/info", WORDS(cases[i].header), NULL, 0), 401,
              cases[i].says);
    check(get("/v1/info?api_key=a-key-for-the-tests"), 401, "unauthorized");
    check(http(&service, "GET", "/v1/info", WORDS("authorization: bearer a-key-for-the-tests"),
               NULL, 0),
          200, "model");
    teardown();
}
END_TEST

START_TEST(chunks_and_trailers)
{
    static const char *const trailers[] = {
        "", "X-Checksum: 1\r\n", "Content-Length: 3\r\nTransfer-Encoding: gzip\r\n",
        "Authorization: Bearer x\r\nX-Request-Timeout-Ms: 1\r\nContent-Type: image/jpeg\r\n"};
    char head[64];
    setup(NULL, WORDS("FAKE_PREDICT_MS=30"));
    for (size_t i = 0; i < sizeof trailers / sizeof *trailers; i++) {
        int fd = raw_open(&service);
        raw_text(fd,
                 PREDICT "\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
        snprintf(head, sizeof head, "%zx\r\n", slice.length);
        raw_text(fd, head);
        raw_send(fd, slice.data, slice.length);
        raw_text(fd, "\r\n0\r\n");
        raw_text(fd, trailers[i]);
        raw_text(fd, "\r\n");
        expect_answer(raw_read(fd, NULL), "200", "burden", trailers[i]);
        close(fd);
    }
    static const char *const bad[] = {"-1\r\nx\r\n", "0x5\r\nabcde\r\n", " 5\r\nabcde\r\n",
                                      "5\r\nabcdeXX", "\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = raw_open(&service);
        raw_text(fd, "POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        raw_text(fd, bad[i]);
        raw_text(fd, "0\r\n\r\n");
        expect_answer(raw_read(fd, NULL), "400", "", bad[i]);
        close(fd);
    }
    teardown();
}
END_TEST

/* A side that is closed cannot be told from a client that has left. */
START_TEST(closing_one_side_is_leaving)
{
    setup(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=300"));
    int fd = send_predict("half");
    wait_for(0, 1);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    char *text = raw_read(fd, NULL);
    ck_assert_str_eq(text, "");
    free(text);
    close(fd);
    process_expect_log(&service, "\"client\":\"gone\"", 1);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

int main(void)
{
    RUN("requests", headers_that_can_be_read_in_two_ways, lists_may_come_in_several_headers,
        queries_without_end, targets, methods_on_every_route, keys_in_the_wrong_scheme,
        chunks_and_trailers, closing_one_side_is_leaving);
}
