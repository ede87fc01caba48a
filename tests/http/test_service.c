/* The service, one exchange at a time. */
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/http/service.h"
#include "tests/unit/rle_reader.h"
#include "tests/unit/run.h"

static struct process service;
static struct bytes slice;

static void setup(const char *const *words, const char *const *environment)
{
    process_start_ready(&service, words, environment);
    slice = slice_png(256, 200, 1);
}

static void teardown(void)
{
    free(slice.data);
    ck_assert_int_eq(process_stop(&service, SIGTERM), 0);
}

#define HEADERS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define WORDS HEADERS

static struct answer predict(const char *path, const char *const *headers)
{
    return http(&service, "POST", path, headers, slice.data, slice.length);
}

static json_t *parse(const struct answer *answer)
{
    json_error_t why;
    json_t *root = json_loadb((const char *)answer->body, answer->length, 0, &why);
    ck_assert_msg(root != NULL, "%s in %.300s", why.text, answer->body);
    return root;
}

static const char *text_at(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    ck_assert_msg(text != NULL, "no string %s", name);
    return text;
}

/* A problem document with the code, the status in it, the id, and a sentence. */
static void check_problem(const struct answer *answer, int status, const char *code)
{
    ck_assert_msg(answer->status == status, "%d instead of %d %s: %s", answer->status, status, code,
                  answer->body ? (const char *)answer->body : "");
    ck_assert_str_eq(answer_header(answer, "Content-Type"), "application/problem+json");
    ck_assert_str_eq(answer_header(answer, "Cache-Control"), "no-store");
    json_t *root = parse(answer);
    ck_assert_str_eq(text_at(root, "code"), code);
    ck_assert_int_eq((int)json_integer_value(json_object_get(root, "status")), status);
    ck_assert_str_eq(text_at(root, "request_id"), answer_header(answer, "X-Request-Id"));
    ck_assert_uint_gt(strlen(text_at(root, "detail")), 20);
    json_decref(root);
}

START_TEST(a_slice)
{
    setup(NULL, NULL);
    struct answer answer = predict("/v1/predict", HEADERS("X-Request-Id: scan-12"));
    ck_assert_int_eq(answer.status, 200);
    ck_assert_str_eq(answer_header(&answer, "Content-Type"), "application/json");
    ck_assert_str_eq(answer_header(&answer, "X-Request-Id"), "scan-12");
    ck_assert_str_eq(answer_header(&answer, "Cache-Control"), "no-store");
    ck_assert_str_eq(answer_header(&answer, "X-Content-Type-Options"), "nosniff");
    ck_assert_ptr_nonnull(strstr(answer_header(&answer, "Server-Timing"), "infer;dur="));
    json_t *root = parse(&answer);
    ck_assert_str_eq(text_at(root, "request_id"), "scan-12");
    json_t *input = json_object_get(root, "input");
    ck_assert_int_eq((int)json_integer_value(json_object_get(input, "width")), 256);
    ck_assert_int_eq((int)json_integer_value(json_object_get(input, "height")), 200);
    ck_assert(json_is_false(json_object_get(json_object_get(root, "model"), "trained")));
    ck_assert(answer_has(&answer, "\"code\":\"untrained_model\""));
    json_t *one;
    size_t i;
    static uint8_t plane[256 * 200];
    json_array_foreach(json_object_get(root, "detections"), i, one)
    {
        json_t *mask = json_object_get(one, "segmentation");
        ck_assert(rle_read(plane, 256, 200, text_at(mask, "counts")));
        int area = 0;
        for (size_t k = 0; k < sizeof plane; k++)
            area += plane[k];
        ck_assert_int_eq(area, (int)json_integer_value(json_object_get(one, "area_px")));
        ck_assert_int_gt(area, 0);
    }
    ck_assert_uint_eq(i, 4);
    json_decref(root);
    answer_free(&answer);
    teardown();
}
END_TEST

START_TEST(the_same_slice_gives_the_same_answer)
{
    setup(NULL, NULL);
    char *first = NULL;
    for (int i = 0; i < 3; i++) {
        struct answer answer = predict("/v1/predict", HEADERS("X-Request-Id: x"));
        char *end = strstr((char *)answer.body, "\"timing_ms\"");
        ck_assert_ptr_nonnull(end);
        *end = 0;
        if (first)
            ck_assert_str_eq((char *)answer.body, first);
        else
            first = strdup((char *)answer.body);
        answer_free(&answer);
    }
    free(first);
    teardown();
}
END_TEST

START_TEST(options_change_the_answer)
{
    static const struct {
        const char *query, *has, *lacks;
    } cases[] = {
        {"explain=false&masks=none", "\"area_px\"", "segmentation"},
        {"masks=polygon", "\"segmentation\":[[", "counts"},
        {"masks=png", "\"png_base64\":\"iVBOR", "counts"},
        {"explain=false", "classification", "explanation"},
        {"max_detections=1", "\"id\":1,\"class\"", "\"id\":2,\"class\""},
        {"explain=false&score_threshold=0.8", "lungs", "consolidation\",\"class_id"},
    };
    setup(NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        snprintf(path, sizeof path, "/v1/predict?%s", cases[i].query);
        struct answer answer = predict(path, NULL);
        ck_assert_int_eq(answer.status, 200);
        ck_assert_msg(answer_has(&answer, cases[i].has), "%s lacks %s", path, cases[i].has);
        ck_assert_msg(!answer_has(&answer, cases[i].lacks), "%s has %s", path, cases[i].lacks);
        answer_free(&answer);
    }
    teardown();
}
END_TEST

START_TEST(a_picture)
{
    setup(NULL, NULL);
    struct answer answer = predict("/v1/predict", HEADERS("Accept: image/png"));
    ck_assert_int_eq(answer.status, 200);
    ck_assert_str_eq(answer_header(&answer, "Content-Type"), "image/png");
    ck_assert_uint_gt(answer.length, 1000);
    ck_assert_mem_eq(answer.body, "\x89PNG\r\n\x1a\n", 8);
    answer_free(&answer);
    teardown();
}
END_TEST

START_TEST(forms)
{
    setup(NULL, NULL);
    struct bytes flat = flat_png(32);
    const char *const type[] = {"Content-Type: multipart/form-data; boundary=XX", NULL};
    const char *const picture[] = {type[0], "Accept: image/png", NULL};
    const struct part file = {"file", "a.png", "image/png", slice.data, slice.length};
    const struct part none = {"file", "flat.png", NULL, flat.data, flat.length};
    const struct part jpeg = {"file", "c.jpg", "image/jpeg", slice.data, slice.length};
    const struct part options = {"options", NULL, "application/json", "{\"masks\":\"none\"}", 0};
    const struct part wrong = {"options", NULL, NULL, "{\"masks\":\"mesh\"}", 0};
    const struct part other = {"threshold", NULL, NULL, "0.5", 0};

    struct bytes body = multipart((struct part[]){file, options}, 2);
    struct answer answer =
        http(&service, "POST", "/v1/predict?masks=rle", type, body.data, body.length);
    ck_assert_int_eq(answer.status, 200);
    ck_assert(!answer_has(&answer, "segmentation")); /* the part wins over the query */
    ck_assert(!answer_has(&answer, "\"results\""));
    ck_assert(answer_has(&answer, "\"file\":\"a.png\""));
    answer_free(&answer);
    free(body.data);

    body = multipart((struct part[]){file, none, options, jpeg}, 4);
    answer = http(&service, "POST", "/v1/predict", type, body.data, body.length);
    ck_assert_int_eq(answer.status, 200);
    json_t *root = parse(&answer);
    json_t *results = json_object_get(root, "results");
    ck_assert_uint_eq(json_array_size(results), 3);
    ck_assert_ptr_nonnull(json_object_get(json_array_get(results, 0), "detections"));
    json_t *flat_error = json_object_get(json_array_get(results, 1), "error");
    ck_assert_str_eq(text_at(flat_error, "code"), "constant_image");
    json_t *jpeg_error = json_object_get(json_array_get(results, 2), "error");
    ck_assert_str_eq(text_at(jpeg_error, "code"), "unsupported_media");
    json_decref(root);
    answer_free(&answer);
    free(body.data);

    static const struct {
        int status;
        const char *code;
    } wanted[] = {{400, "bad_option"},
                  {400, "bad_multipart"},
                  {400, "bad_multipart"},
                  {415, "unsupported_media"}};
    const struct part cases[][2] = {
        {file, wrong}, {file, other}, {options, options}, {jpeg, options}};
    for (size_t i = 0; i < 4; i++) {
        body = multipart(cases[i], 2);
        answer = http(&service, "POST", "/v1/predict", type, body.data, body.length);
        check_problem(&answer, wanted[i].status, wanted[i].code);
        answer_free(&answer);
        free(body.data);
    }
    body = multipart((struct part[]){file, file}, 2);
    answer = http(&service, "POST", "/v1/predict", picture, body.data, body.length);
    check_problem(&answer, 406, "not_acceptable");
    answer_free(&answer);
    answer = http(&service, "POST", "/v1/predict", type, body.data, body.length - 8);
    check_problem(&answer, 400, "bad_multipart");
    answer_free(&answer);
    free(body.data);
    free(flat.data);
    teardown();
}
END_TEST

START_TEST(problems)
{
    setup(WORDS("--max-body", "200K", "--max-pixels", "65536"), HEADERS("FAKE_PREDICT_FAILS=1"));
    struct bytes flat = flat_png(16), large = slice_png(300, 300, 2), odd = slice_png(20, 600, 3);
    struct bytes wide = slice_png(600, 20, 3);
    uint8_t nifti[400] = {0};
    memcpy(nifti + 344, "n+1", 4);
    uint8_t *huge = calloc(1, 300 * 1024);
    memcpy(huge, slice.data, 100);
    const struct {
        const char *method, *path, *header;
        const void *body;
        size_t length;
        int status;
        const char *code;
    } cases[] = {
        {"POST", "/v1/predict?masks=mesh", NULL, slice.data, slice.length, 400, "bad_option"},
        {"POST", "/v1/predict?x=1", NULL, slice.data, slice.length, 400, "bad_option"},
        {"POST", "/v1/predict", NULL, "", 0, 400, "empty_body"},
        {"POST", "/v1/predict", "Content-Type: multipart/form-data; boundary=XX", "x", 1, 400,
         "bad_multipart"},
        {"GET", "/v3", NULL, NULL, 0, 404, "not_found"},
        {"GET", "/v1/predict", NULL, NULL, 0, 405, "method_not_allowed"},
        {"DELETE", "/livez", NULL, NULL, 0, 405, "method_not_allowed"},
        {"POST", "/", NULL, "x", 1, 405, "method_not_allowed"},
        {"POST", "/v1/predict", "Accept: text/csv", slice.data, slice.length, 406,
         "not_acceptable"},
        {"POST", "/v1/predict", NULL, huge, 300 * 1024, 413, "payload_too_large"},
        {"POST", "/v1/predict", NULL, large.data, large.length, 413, "payload_too_large"},
        {"POST", "/v1/predict", NULL, nifti, sizeof nifti, 422, "bad_nifti"},
        {"POST", "/v1/predict", NULL, "\x1f\x8b\x08....", 7, 422, "bad_nifti"},
        {"POST", "/v1/predict", "Content-Type: image/jpeg", slice.data, slice.length, 415,
         "unsupported_media"},
        {"POST", "/v1/predict", "Content-Type: image/png", nifti, sizeof nifti, 415,
         "unsupported_media"},
        {"POST", "/v1/predict", "Content-Encoding: br", slice.data, slice.length, 415,
         "unsupported_media"},
        {"POST", "/v1/predict", NULL, slice.data, slice.length / 2, 422, "bad_png"},
        {"POST", "/v1/predict", NULL, flat.data, flat.length, 422, "constant_image"},
        {"POST", "/v1/predict", NULL, wide.data, wide.length, 500, "internal"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer answer =
            http(&service, cases[i].method, cases[i].path,
                 cases[i].header ? HEADERS(cases[i].header) : NULL, cases[i].body, cases[i].length);
        check_problem(&answer, cases[i].status, cases[i].code);
        if (cases[i].status == 405)
            ck_assert_ptr_nonnull(answer_header(&answer, "Allow"));
        answer_free(&answer);
    }
    free(flat.data);
    free(large.data);
    free(odd.data);
    free(wide.data);
    free(huge);
    teardown();
}
END_TEST

START_TEST(numbers_that_are_none_never_leave)
{
    setup(NULL, HEADERS("FAKE_NAN=1"));
    struct bytes wide = slice_png(600, 100, 3);
    struct answer answer = http(&service, "POST", "/v1/predict", NULL, wide.data, wide.length);
    check_problem(&answer, 500, "internal");
    ck_assert(!answer_has(&answer, "finite")); /* the reason is nobody's business outside */
    answer_free(&answer);
    free(wide.data);
    teardown();
}
END_TEST

START_TEST(reads_and_their_heads)
{
    static const char *const paths[] = {"/",      "/openapi.yaml", "/v1/info",
                                        "/livez", "/readyz",       "/readyz?verbose"};
    setup(NULL, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct answer get = http(&service, "GET", paths[i], NULL, NULL, 0);
        struct answer head = http(&service, "HEAD", paths[i], NULL, NULL, 0);
        ck_assert_int_eq(get.status, 200);
        ck_assert_int_eq(head.status, 200);
        ck_assert_uint_gt(get.length, 3);
        ck_assert_uint_eq(head.length, 0);
        ck_assert_int_eq((int)strtol(answer_header(&head, "Content-Length"), NULL, 10) > 0, 1);
        if (get.length < 1000)
            ck_assert_str_eq(answer_header(&get, "Cache-Control"), "no-store");
        answer_free(&get);
        answer_free(&head);
        struct answer options = http(&service, "OPTIONS", paths[i], NULL, NULL, 0);
        ck_assert_int_eq(options.status, 204);
        ck_assert_str_eq(answer_header(&options, "Allow"), "GET, HEAD, OPTIONS");
        answer_free(&options);
    }
    teardown();
}
END_TEST

START_TEST(the_viewer_is_cached_and_fenced)
{
    setup(NULL, NULL);
    struct answer answer = http(&service, "GET", "/", NULL, NULL, 0);
    ck_assert_ptr_nonnull(strstr(answer_header(&answer, "Content-Security-Policy"),
                                 "default-src 'none'; script-src 'self'"));
    ck_assert_str_eq(answer_header(&answer, "X-Frame-Options"), "DENY");
    ck_assert_str_eq(answer_header(&answer, "Referrer-Policy"), "no-referrer");
    char match[128];
    snprintf(match, sizeof match, "If-None-Match: %s", answer_header(&answer, "ETag"));
    answer_free(&answer);
    answer = http(&service, "GET", "/", HEADERS(match), NULL, 0);
    ck_assert_int_eq(answer.status, 304);
    ck_assert_uint_eq(answer.length, 0);
    answer_free(&answer);
    teardown();
}
END_TEST

START_TEST(under_a_prefix_without_viewer)
{
    setup(WORDS("--api-prefix", "/ct/one", "--ui", "off"), NULL);
    struct answer answer = predict("/ct/one/v1/predict", NULL);
    ck_assert_int_eq(answer.status, 200);
    answer_free(&answer);
    static const char *const gone[] = {"/v1/info", "/livez", "/ct/one/", "/ct/one",
                                       "/ct/one/app.js"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        answer = http(&service, "GET", gone[i], NULL, NULL, 0);
        check_problem(&answer, 404, "not_found");
        answer_free(&answer);
    }
    answer = http(&service, "GET", "/ct/one/openapi.yaml", NULL, NULL, 0);
    ck_assert_int_eq(answer.status, 200);
    answer_free(&answer);
    teardown();
}
END_TEST

START_TEST(the_log_tells_what_happened_and_no_more)
{
    setup(WORDS("--log-level", "debug"), NULL);
    const struct part file = {"file", "Jane-Doe.png", "image/png", slice.data, slice.length};
    struct bytes body = multipart(&file, 1);
    struct answer answer =
        http(&service, "POST", "/v1/predict?masks=none",
             HEADERS("Content-Type: multipart/form-data; boundary=XX", "X-Request-Id: id-7",
                     "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
             body.data, body.length);
    ck_assert_int_eq(answer.status, 200);
    answer_free(&answer);
    answer = http(&service, "GET", "/Jane-Doe?name=Jane-Doe",
                  HEADERS("X-Request-Id: a b", "traceparent: 00-forged\"", "User-Agent: Jane-Doe"),
                  NULL, 0);
    check_problem(&answer, 404, "not_found");
    answer_free(&answer);
    process_expect_log(&service, "\"event\":\"request\"", 2);
    char *log = process_log(&service);
    ck_assert_ptr_null(strstr(log, "Jane"));
    ck_assert_ptr_null(strstr(log, "forged"));
    char *line = strstr(log, "\"request_id\":\"id-7\"");
    ck_assert_ptr_nonnull(line);
    line[strcspn(line, "\n")] = 0;
    static const char *const facts[] = {
        "\"route\":\"/v1/predict\"",
        "\"status\":200",
        "\"method\":\"POST\"",
        "\"slices\":1",
        "\"bytes_in\":",
        "\"duration_ms\":",
        "\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\""};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        ck_assert_msg(strstr(line, facts[i]) != NULL, "no %s in %s", facts[i], line);
    free(log);
    /* Every line is JSON. */
    log = process_log(&service);
    for (char *at = log, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = 0;
        json_t *root = json_loads(at, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(root != NULL, "%s", at);
        json_decref(root);
    }
    free(log);
    free(body.data);
    teardown();
}
END_TEST

START_TEST(on_a_unix_socket)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/oneshot-test-%d.sock", (int)getpid());
    for (int round = 0; round < 2; round++) {
        process_start_ready(&service, WORDS("--unix-socket", path), NULL);
        struct process check;
        ck_assert_int_eq(
            process_run(&check, WORDS("healthcheck", "--unix-socket", path, "http://localhost"),
                        NULL),
            0);
        /* Killed, it leaves its socket behind, which the next one replaces. */
        ck_assert_int_eq(process_stop(&service, round == 0 ? SIGKILL : SIGTERM),
                         round == 0 ? 128 + SIGKILL : 0);
        ck_assert_int_eq(access(path, F_OK) == 0, round == 0);
    }
}
END_TEST

START_TEST(commands_and_their_exit_codes)
{
    static const struct {
        const char *words[8];
        int code;
        const char *says;
    } cases[] = {
        {{"serve", "--port", "99999", NULL}, 2, "--port"},
        {{"serve", "--nonsense", NULL}, 2, "--nonsense"},
        {{"serve", "--host", "256.0.0.1", NULL}, 1, "256.0.0.1"},
        {{"serve", "--help", NULL}, 0, ""},
        {{"nonsense", NULL}, 2, "nonsense"},
        {{"--version", NULL}, 0, ""},
        {{"predict", NULL}, 2, "PNG"},
        {{"predict", "--labels", "x", "a", "b", NULL}, 2, "--labels take one file"},
        {{"predict", "--slices", "3:", "--level", "x", "a", NULL}, 2, "level"},
        {{"predict", "--masks", "mesh", "x", NULL}, 2, "mesh"},
        {{"predict", "/nonexistent.png", NULL}, 1, "/nonexistent.png"},
        {{"predict", "/dev/null", NULL}, 1, "no bytes"},
        {{"info", NULL}, 0, ""},
        {{"info", "extra", NULL}, 2, "flags only"},
        {{"selftest", NULL}, 0, ""},
        {{"healthcheck", "http://127.0.0.1:1", NULL}, 1, "127.0.0.1:1"},
        {{"request", "http://127.0.0.1:1", NULL}, 2, "file"},
        {{"request", "--retries", "0", "http://127.0.0.1:1", "/dev/null", NULL}, 3, "127.0.0.1:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct process run;
        int code = process_run(&run, cases[i].words, NULL);
        char *log = process_log(&run);
        ck_assert_msg(code == cases[i].code && strstr(log, cases[i].says), "%s %s: %d %s",
                      cases[i].words[0], cases[i].words[1] ? cases[i].words[1] : "", code, log);
        free(log);
        close(run.log);
    }
}
END_TEST

/* A file in /tmp with these bytes. */
static void write_file(char path[64], const char *name, const void *bytes, size_t length)
{
    snprintf(path, 64, "/tmp/oneshot-test-%d-%s", (int)getpid(), name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

START_TEST(the_client_gets_answers)
{
    char file[64], flat_file[64], out[80], url[64], folder[80], again[160];
    struct process run;
    setup(NULL, NULL);
    struct bytes flat = flat_png(16);
    write_file(file, "a.png", slice.data, slice.length);
    write_file(flat_file, "flat.png", flat.data, flat.length);
    snprintf(out, sizeof out, "%.60s.out.png", file);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", service.port);
    ck_assert_int_eq(
        process_run(&run, WORDS("request", "--query", "masks=none", "-o", out, url, file), NULL),
        0);
    ck_assert_int_eq(process_run(&run, WORDS("request", "--as", "png", "-o", out, url, file), NULL),
                     0);
    FILE *picture = fopen(out, "rb");
    char head[4] = "";
    ck_assert_ptr_nonnull(picture);
    ck_assert_uint_eq(fread(head, 1, 4, picture), 4);
    fclose(picture);
    ck_assert_mem_eq(head, "\x89PNG", 4);
    ck_assert_int_eq(process_run(&run, WORDS("request", "-o", out, url, flat_file), NULL), 1);
    char *log = process_log(&run);
    ck_assert_ptr_nonnull(strstr(log, "constant_image"));
    free(log);
    ck_assert_int_eq(process_run(&run, WORDS("predict", "-o", out, file), NULL), 0);
    ck_assert_int_eq(process_run(&run, WORDS("predict", "-o", file, file), NULL), 1);
    /* A second file of the same name does not replace what the first one gave. */
    snprintf(folder, sizeof folder, "%.60s.d", file);
    snprintf(again, sizeof again, "/tmp/../%.80s", file);
    ck_assert_int_eq(process_run(&run, WORDS("predict", "-d", folder, file, again), NULL), 1);
    process_expect_log(&run, "is there from another file of this name", 1);
    process_expect_log(&run, "1 of 2 files failed", 1);
    snprintf(again, sizeof again, "%.80s%.40s", folder, strrchr(file, '/'));
    ck_assert_int_eq(unlink(again), 0);
    ck_assert_int_eq(rmdir(folder), 0);
    unlink(file);
    unlink(flat_file);
    unlink(out);
    free(flat.data);
    teardown();
}
END_TEST

int main(void)
{
    RUN("service", a_slice, the_same_slice_gives_the_same_answer, options_change_the_answer,
        a_picture, forms, problems, numbers_that_are_none_never_leave, reads_and_their_heads,
        the_viewer_is_cached_and_fenced, under_a_prefix_without_viewer,
        the_log_tells_what_happened_and_no_more, on_a_unix_socket, commands_and_their_exit_codes,
        the_client_gets_answers);
}
