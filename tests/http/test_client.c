/*
 * oneshot request against a service that plays a part: each connection gets the next line of a
 * script, so that retries, broken streams and the like come when they are wanted.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/http/scene.h"
#include "tests/unit/run.h"

enum { MOST = 8 };

static struct {
    int listener, port, count, served;
    const char *const *answers; /* "": closes without a word */
    char *requests[MOST];       /* what came, heads only */
    pthread_t thread;
    bool ended;
} stage;

/* Reads a head and the body it announces; the head is kept. */
static void read_request(int fd)
{
    char *text = calloc(1, 1 << 20);
    size_t length = 0;
    ck_assert_ptr_nonnull(text);
    for (;;) {
        ssize_t n = recv(fd, text + length, (1 << 20) - 1 - length, 0);
        if (n <= 0)
            break;
        length += (size_t)n;
        char *body = memmem(text, length, "\r\n\r\n", 4);
        const char *announced = body ? strcasestr(text, "content-length:") : NULL;
        size_t wanted = announced ? strtoul(announced + 15, NULL, 10) : 0;
        if (body && length - (size_t)(body + 4 - text) >= wanted) {
            *body = 0;
            break;
        }
    }
    stage.requests[stage.served] = text;
}

static void *play(void *context)
{
    (void)context;
    while (stage.served < stage.count) {
        int fd = accept(stage.listener, NULL, NULL);
        if (fd < 0)
            break;
        read_request(fd);
        const char *answer = stage.answers[stage.served++];
        raw_text(fd, answer);
        close(fd);
    }
    return NULL;
}

static void raise_curtain(const char *const *answers, int count)
{
    struct sockaddr_in where = {.sin_family = AF_INET};
    socklen_t size = sizeof where;
    memset(&stage, 0, sizeof stage);
    ck_assert_int_le(count, MOST);
    stage.answers = answers;
    stage.count = count;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stage.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(stage.listener, (struct sockaddr *)&where, size), 0);
    ck_assert_int_eq(listen(stage.listener, 8), 0);
    ck_assert_int_eq(getsockname(stage.listener, (struct sockaddr *)&where, &size), 0);
    stage.port = ntohs(where.sin_port);
    ck_assert_int_eq(pthread_create(&stage.thread, NULL, play, NULL), 0);
}

/* Ends the play; stage.requests may be looked at. */
static void end_play(void)
{
    if (!stage.ended) {
        shutdown(stage.listener, SHUT_RDWR);
        pthread_join(stage.thread, NULL);
        close(stage.listener);
    }
    stage.ended = true;
}

/* The same, and lets go of the requests; how many there were. */
static int drop_curtain(void)
{
    end_play();
    for (int i = 0; i < stage.served; i++)
        free(stage.requests[i]);
    return stage.served;
}

static const char *slice_file(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/oneshot-client-%d.png", (int)getpid());
    struct bytes png = slice_png(40, 40, 1);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(png.data, 1, png.length, file), png.length);
    fclose(file);
    free(png.data);
    return path;
}

#define OK                                                                                         \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"fine\":1}"
#define BUSY(status) "HTTP/1.1 " status "\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy"
#define WRONG                                                                                      \
    "HTTP/1.1 422 No\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}"
#define STREAM                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
/* Two chunks, cut in the middle of a line. */
#define SLICES                                                                                     \
    "25\r\n{\"event\":\"accepted\",\"position\":0}\n{\"e\r\n"                                      \
    "43\r\nvent\":\"slice\",\"progress\":{\"done\":1,\"total\":2,\"eta_ms\":5}}\nabcdefgh\n\r\n"
#define DONE "2a\r\n{\"event\":\"done\",\"slices_failed\":0,\"x\":12}\n\r\n0\r\n\r\n"
#define PARTLY "2a\r\n{\"event\":\"done\",\"slices_failed\":1,\"x\":12}\n\r\n0\r\n\r\n"
#define FAILS "1b\r\n{\"event\":\"error\",\"code\":1}\n\r\n0\r\n\r\n"

/* Runs the client; words follow "request", the URL and the file come last. */
static int run_client(char **said, const char *const *words, const char *const *environment)
{
    const char *all[16] = {"request"};
    char url[64];
    struct process run;
    int n = 1;
    for (; words && *words; words++)
        all[n++] = *words;
    snprintf(url, sizeof url, "http://127.0.0.1:%d", stage.port);
    all[n++] = url;
    all[n++] = slice_file();
    all[n] = NULL;
    int code = process_run(&run, all, environment);
    *said = process_log(&run);
    close(run.log);
    return code;
}

START_TEST(retries_and_exit_codes)
{
    static const struct {
        const char *answers[3];
        int count, code, requests;
        const char *retries, *says;
    } cases[] = {
        {{OK}, 1, 0, 1, "3", "{\"fine\":1}\n"},
        {{BUSY("429 Too Many"), OK}, 2, 0, 2, "3", "429 from the service; again in 1 s\n"},
        {{BUSY("503 No"), BUSY("502 No"), OK}, 3, 0, 3, "3", "{\"fine\":1}\n"},
        {{"", OK}, 2, 0, 2, "3", "{\"fine\":1}\n"},
        {{BUSY("503 No"), BUSY("503 No"), OK}, 3, 3, 2, "1", "HTTP 503 busy"},
        {{BUSY("429 No"), OK}, 2, 3, 1, "0", "HTTP 429 busy"},
        {{WRONG, OK}, 2, 1, 1, "3", "HTTP 422 {}"},
        {{"HTTP/1.1 504 No\r\nContent-Length: 0\r\n\r\n", OK}, 2, 1, 1, "3", "HTTP 504"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *said;
        raise_curtain(cases[i].answers, cases[i].count);
        int code = run_client(&said, WORDS("--retries", cases[i].retries), NULL);
        int requests = drop_curtain();
        ck_assert_msg(code == cases[i].code && requests == cases[i].requests &&
                          strstr(said, cases[i].says),
                      "case %zu: exit %d, %d requests, %s", i, code, requests, said);
        free(said);
    }
    unlink(slice_file());
}
END_TEST

START_TEST(streams_pass_through)
{
    static const char events[] = "{\"event\":\"accepted\",\"position\":0}\n{\"event\":\"slice\","
                                 "\"progress\":{\"done\":1,\"total\":2,\"eta_ms\":5}}\nabcdefgh\n";
    static const struct {
        const char *answers[2];
        int code;
        const char *says;
    } cases[] = {
        {{STREAM SLICES DONE, OK}, 0, "\"x\":12}\n"},
        {{STREAM SLICES PARTLY, OK}, 1, "not all of it"},
        {{STREAM SLICES FAILS, OK}, 1, "not all of it"},
        {{STREAM SLICES "0\r\n\r\n", OK}, 3, "broke off"},
        {{STREAM SLICES, OK}, 3, "oneshot request: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *said;
        raise_curtain(cases[i].answers, 2);
        int code = run_client(&said, WORDS("--as", "ndjson", "--retries", "3"), NULL);
        end_play();
        bool asked = strstr(stage.requests[0], "Accept: application/x-ndjson") != NULL;
        int requests = drop_curtain();
        ck_assert_msg(code == cases[i].code && strncmp(said, events, sizeof events - 1) == 0 &&
                          strstr(said, cases[i].says),
                      "case %zu: exit %d, %s", i, code, said);
        ck_assert_int_eq(requests, 1); /* never what has been printed already */
        ck_assert(asked);
        free(said);
    }
    unlink(slice_file());
}
END_TEST

START_TEST(a_stream_is_asked_for_again_before_its_first_byte)
{
    static const char *const answers[] = {BUSY("503 No"), STREAM SLICES DONE};
    char *said;
    raise_curtain(answers, 2);
    ck_assert_int_eq(run_client(&said, WORDS("--as", "ndjson", "--quiet"), NULL), 0);
    ck_assert_int_eq(drop_curtain(), 2);
    ck_assert_ptr_null(strstr(said, "again"));
    free(said);
    unlink(slice_file());
}
END_TEST

START_TEST(keys_are_sent)
{
    static const char *const answers[] = {OK, OK, OK};
    char *said;
    raise_curtain(answers, 3);
    ck_assert_int_eq(run_client(&said, NULL, NULL), 0);
    free(said);
    ck_assert_int_eq(run_client(&said, NULL, WORDS("ONESHOT_API_KEY=of-the-environment")), 0);
    free(said);
    /* The first line of a file, and its word counts. */
    ck_assert_int_eq(run_client(&said, WORDS("--api-key-file", "tests/http/tls/make"),
                                WORDS("ONESHOT_API_KEY=of-the-environment")),
                     0);
    free(said);
    end_play();
    bool none = strcasestr(stage.requests[0], "Authorization:") == NULL;
    bool variable = strstr(stage.requests[1], "Authorization: Bearer of-the-environment") != NULL;
    bool file = strstr(stage.requests[2], "Authorization: Bearer #!/bin/sh") != NULL;
    drop_curtain();
    ck_assert(none && variable && file);
    unlink(slice_file());
}
END_TEST

START_TEST(answers_that_cannot_be_kept)
{
    static const char *const answers[] = {STREAM SLICES DONE, OK};
    char *said;
    raise_curtain(answers, 2);
    ck_assert_int_eq(run_client(&said, WORDS("--as", "ndjson", "-o", "/nonexistent/x"), NULL), 1);
    ck_assert_ptr_nonnull(strstr(said, "/nonexistent/x: No such file"));
    free(said);
    ck_assert_int_eq(run_client(&said, WORDS("-o", "/nonexistent/x"), NULL), 1);
    ck_assert_ptr_nonnull(strstr(said, "/nonexistent/x: No such file"));
    free(said);
    ck_assert_int_eq(run_client(&said, WORDS("-o", slice_file()), NULL), 1);
    ck_assert_ptr_nonnull(strstr(said, "overwrite"));
    free(said);
    ck_assert_int_eq(drop_curtain(), 2);
    unlink(slice_file());
}
END_TEST

START_TEST(several_files_into_a_folder)
{
    char folder[64], name[160], url[64];
    struct process run;
    struct stat status;
    setup(NULL, NULL);
    snprintf(folder, sizeof folder, "/tmp/oneshot-client-%d.d", (int)getpid());
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", service.port);
    const char *file = slice_file();
    ck_assert_int_eq(process_run(&run,
                                 WORDS("request", "--out", folder, url, file, "Makefile",
                                       "docker/../Makefile", "/nonexistent.png"),
                                 NULL),
                     1); /* only one of them is a slice, and of its name the first */
    process_expect_log(&run, "oneshot request: Makefile: HTTP 415", 1);
    process_expect_log(&run, "Makefile.json is there from another file of this name", 1);
    process_expect_log(&run, "request: /nonexistent.png: No such file", 1);
    close(run.log);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/predict", service.port); /* as for curl */
    ck_assert_int_eq(
        process_run(&run, WORDS("request", "--out", folder, "--as", "png", url, file), NULL), 0);
    close(run.log);
    static const char *const suffixes[] = {".json", ".findings.png"};
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%s%s", folder, strrchr(file, '/') + 1, suffixes[i]);
        ck_assert_msg(stat(name, &status) == 0 && status.st_size > 500, "%s", name);
        unlink(name);
    }
    ck_assert_int_eq(rmdir(folder), 0);
    unlink(file);
    teardown();
}
END_TEST

START_TEST(what_has_to_be_mended_is_not_tried_again)
{
    struct process run;
    char *said;
    const char *file = slice_file();
    ck_assert_int_eq(process_run(&run, WORDS("request", "ftp://127.0.0.1", file), NULL), 3);
    said = process_log(&run);
    ck_assert_msg(strstr(said, "ftp") && !strstr(said, "again in"), "%s", said);
    free(said);
    close(run.log);
    ck_assert_int_eq(process_run(&run,
                                 WORDS("request", "--retries=0", "--unix-socket", "/nonexistent/s",
                                       "http://x", file),
                                 NULL),
                     3);
    process_expect_log(&run, "http://x/v1/predict on /nonexistent/s: ", 1);
    close(run.log);
    unlink(file);
}
END_TEST

START_TEST(certificates_are_checked)
{
    char url[64];
    struct process run;
    setup(WORDS("--tls-cert", TEST_CERTIFICATE, "--tls-key", TEST_KEY, "--api-key-file", TEST_KEYS),
          NULL);
    const char *file = slice_file();
    snprintf(url, sizeof url, "https://127.0.0.1:%d", service.port);
    const struct {
        const char *words[7], *key;
        int code;
    } cases[] = {
        {{"request", "--retries=0", "--cacert", TEST_CERTIFICATE, url, file},
         "ONESHOT_API_KEY=a-key-for-the-tests",
         0},
        {{"request", "--retries=0", "--insecure", url, file},
         "ONESHOT_API_KEY=a-key-for-the-tests",
         0},
        {{"request", url, file}, "ONESHOT_API_KEY=a-key-for-the-tests", 3}, /* and at once */
        {{"request", "--retries=0", "-k", url, file}, "ONESHOT_API_KEY=", 1},
        {{"healthcheck", "--cacert", TEST_CERTIFICATE, url}, "X=", 0},
        {{"healthcheck", "-k", url}, "X=", 0},
        {{"healthcheck", url}, "X=", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = process_run(&run, cases[i].words, WORDS(cases[i].key));
        ck_assert_msg(code == cases[i].code, "case %zu: exit %d", i, code);
        char *said = process_log(&run);
        ck_assert_ptr_null(strstr(said, "again in"));
        free(said);
        close(run.log);
    }
    unlink(file);
    teardown();
}
END_TEST

START_TEST(called_wrongly)
{
    static const struct {
        const char *words[8], *says;
    } cases[] = {
        {{"request", "http://x"}, "at least one file"},
        {{"request", "--as", "png", "http://x", "a"}, "need --output"},
        {{"request", "--as", "tiff", "http://x", "a"}, "json, ndjson, png, nifti"},
        {{"request", "-o", "x", "http://x", "a", "b"}, "one file"},
        {{"request", "-o", "x", "--out", "y", "http://x", "a"}, "exclude"},
        {{"request", "--api-key-file", "/nonexistent", "http://x", "a"}, "/nonexistent"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct process run;
        ck_assert_int_eq(process_run(&run, cases[i].words, NULL), 2);
        process_expect_log(&run, cases[i].says, 1);
        close(run.log);
    }
}
END_TEST

int main(void)
{
    RUN("client", retries_and_exit_codes, streams_pass_through,
        a_stream_is_asked_for_again_before_its_first_byte, keys_are_sent,
        answers_that_cannot_be_kept, several_files_into_a_folder,
        what_has_to_be_mended_is_not_tried_again, certificates_are_checked, called_wrongly);
}
