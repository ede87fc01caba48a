/*
 * openapi.yaml against the service: every response it lists is provoked and its body checked
 * against the schema, every example fits its schema, every parameter's examples are taken, and
 * nothing the service can answer is missing from it.
 */
#include <ctype.h>
#include <string.h>

#include "api/problem.h"
#include "tests/http/scene.h"
#include "tests/http/schema.h"
#include "tests/unit/nifti_maker.h"
#include "tests/unit/rle_reader.h"
#include "tests/unit/run.h"

#define CONTRACT "openapi.yaml"

static json_t *contract;
static char why[400];

/* How to get each response. Those with `environment` need a service of their own. */
static const struct provocation {
    const char *path, *method, *status, *media;
    const char *query;
    const char *headers[4];
    enum {
        NOTHING,
        SLICE,
        SLICE_TWICE,
        TEXT,
        TORN,
        NO_LENGTH,
        WIDE,
        TENSOR,
        FLAT_TENSOR,
        WIDE_TENSOR,
        VOLUME
    } body;
    const char *words[5], *environment[2];
    bool at_once; /* do not wait until it is ready */
    bool busy;    /* another request is computed, and one more waits */
} provocations[] = {
/* clang-format off */
#define PROBLEM_JSON "application/problem+json"
#define JSON "application/json"
#define PREDICT "/v1/predict", "post"
#define MODEL "/v2/models/{model}"
#define INFER MODEL "/infer", "post"
    {PREDICT, "200", JSON, "", {NULL}, SLICE, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", JSON, "", {"Content-Type: multipart/form-data; boundary=XX"}, SLICE_TWICE, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "image/png", "", {"Accept: image/png"}, SLICE, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", JSON, "", {NULL}, VOLUME, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", JSON, "?masks=polygon", {NULL}, VOLUME, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "application/x-ndjson", "", {"Accept: application/x-ndjson"}, VOLUME, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "application/x-ndjson", "", {"Accept: application/x-ndjson"}, SLICE, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "application/x-ndjson", "", {"Accept: application/x-ndjson"}, TORN, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "application/x-ndjson", "", {"Accept: application/x-ndjson", "Content-Type: multipart/form-data; boundary=XX"}, SLICE_TWICE, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "text/event-stream", "", {"Accept: text/event-stream"}, VOLUME, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "application/x-nifti", "", {"Accept: application/x-nifti"}, VOLUME, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "application/gzip", "", {"Accept: application/gzip"}, VOLUME, {NULL}, {NULL}, 0, 0},
    {PREDICT, "200", "image/png", "?slice=1", {"Accept: image/png"}, VOLUME, {NULL}, {NULL}, 0, 0},
    {PREDICT, "400", PROBLEM_JSON, "?masks=mesh", {NULL}, SLICE, {NULL}, {NULL}, 0, 0},
    {PREDICT, "401", PROBLEM_JSON, "", {NULL}, SLICE, {"--api-key-file", TEST_KEYS}, {NULL}, 0, 0},
    {PREDICT, "406", PROBLEM_JSON, "", {"Accept: text/html"}, SLICE, {NULL}, {NULL}, 0, 0},
    {PREDICT, "411", PROBLEM_JSON, "", {NULL}, NO_LENGTH, {NULL}, {NULL}, 0, 0},
    {PREDICT, "413", PROBLEM_JSON, "", {NULL}, SLICE, {"--max-body", "1K"}, {NULL}, 0, 0},
    {PREDICT, "415", PROBLEM_JSON, "", {NULL}, TEXT, {NULL}, {NULL}, 0, 0},
    {PREDICT, "422", PROBLEM_JSON, "", {NULL}, TORN, {NULL}, {NULL}, 0, 0},
    {PREDICT, "429", PROBLEM_JSON, "", {NULL}, SLICE, {"--queue", "1", "--workers", "1"}, {"FAKE_PREDICT_MS=500"}, 0, 1},
    {PREDICT, "500", PROBLEM_JSON, "", {NULL}, WIDE, {NULL}, {"FAKE_PREDICT_FAILS=1"}, 0, 0},
    {PREDICT, "503", PROBLEM_JSON, "", {NULL}, SLICE, {NULL}, {"FAKE_LOAD_MS=1000"}, 1, 0},
    {PREDICT, "504", PROBLEM_JSON, "", {"X-Request-Timeout-Ms: 20"}, SLICE, {NULL}, {"FAKE_PREDICT_MS=500"}, 0, 0},
    {"/v1/info", "get", "200", JSON, "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/v1/info", "get", "401", PROBLEM_JSON, "", {NULL}, NOTHING, {"--api-key-file", TEST_KEYS}, {NULL}, 0, 0},
    {"/v1/info", "get", "503", PROBLEM_JSON, "", {NULL}, NOTHING, {NULL}, {"FAKE_LOAD_MS=1000"}, 1, 0},
    {"/v1/status", "get", "200", JSON, "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/v1/status", "get", "401", PROBLEM_JSON, "", {NULL}, NOTHING, {"--api-key-file", TEST_KEYS}, {NULL}, 0, 0},
    {"/metrics", "get", "401", PROBLEM_JSON, "", {NULL}, NOTHING, {"--api-key-file", TEST_KEYS, "--metrics", "key"}, {NULL}, 0, 0},
    {"/metrics", "get", "200", "text/plain", "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/livez", "get", "200", "text/plain", "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/livez", "get", "200", JSON, "?verbose", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/readyz", "get", "200", "text/plain", "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/readyz", "get", "200", JSON, "?verbose", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/readyz", "get", "503", "text/plain", "", {NULL}, NOTHING, {NULL}, {"FAKE_LOAD_MS=1000"}, 1, 0},
    {"/readyz", "get", "503", JSON, "?verbose", {NULL}, NOTHING, {NULL}, {"FAKE_LOAD_MS=1000"}, 1, 0},
    {"/v2", "get", "200", JSON, "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/v2", "get", "401", PROBLEM_JSON, "", {NULL}, NOTHING, {"--api-key-file", TEST_KEYS}, {NULL}, 0, 0},
    {"/v2/health/live", "get", "200", JSON, "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/v2/health/ready", "get", "200", JSON, "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/v2/health/ready", "get", "503", JSON, "", {NULL}, NOTHING, {NULL}, {"FAKE_LOAD_MS=1000"}, 1, 0},
    {MODEL, "get", "200", JSON, "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {MODEL, "get", "401", PROBLEM_JSON, "", {NULL}, NOTHING, {"--api-key-file", TEST_KEYS}, {NULL}, 0, 0},
    {MODEL, "get", "404", PROBLEM_JSON, "x", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {MODEL, "get", "503", PROBLEM_JSON, "", {NULL}, NOTHING, {NULL}, {"FAKE_LOAD_MS=1000"}, 1, 0},
    {MODEL "/ready", "get", "200", JSON, "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {MODEL "/ready", "get", "404", PROBLEM_JSON, "x", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {MODEL "/ready", "get", "503", PROBLEM_JSON, "", {NULL}, NOTHING, {NULL}, {"FAKE_LOAD_MS=1000"}, 1, 0},
    {INFER, "200", JSON, "", {NULL}, TENSOR, {NULL}, {NULL}, 0, 0},
    {INFER, "400", PROBLEM_JSON, "", {NULL}, TEXT, {NULL}, {NULL}, 0, 0},
    {INFER, "401", PROBLEM_JSON, "", {NULL}, TENSOR, {"--api-key-file", TEST_KEYS}, {NULL}, 0, 0},
    {INFER, "404", PROBLEM_JSON, "x", {NULL}, TENSOR, {NULL}, {NULL}, 0, 0},
    {INFER, "406", PROBLEM_JSON, "", {"Accept: image/png"}, TENSOR, {NULL}, {NULL}, 0, 0},
    {INFER, "411", PROBLEM_JSON, "", {NULL}, NO_LENGTH, {NULL}, {NULL}, 0, 0},
    {INFER, "413", PROBLEM_JSON, "", {NULL}, TENSOR, {"--max-body", "1K"}, {NULL}, 0, 0},
    {INFER, "415", PROBLEM_JSON, "", {"Content-Type: image/png"}, SLICE, {NULL}, {NULL}, 0, 0},
    {INFER, "422", PROBLEM_JSON, "", {NULL}, FLAT_TENSOR, {NULL}, {NULL}, 0, 0},
    {INFER, "429", PROBLEM_JSON, "", {NULL}, TENSOR, {"--queue", "1", "--workers", "1"}, {"FAKE_PREDICT_MS=500"}, 0, 1},
    {INFER, "500", PROBLEM_JSON, "", {NULL}, WIDE_TENSOR, {NULL}, {"FAKE_PREDICT_FAILS=1"}, 0, 0},
    {INFER, "503", PROBLEM_JSON, "", {NULL}, TENSOR, {NULL}, {"FAKE_LOAD_MS=1000"}, 1, 0},
    {INFER, "504", PROBLEM_JSON, "", {"X-Request-Timeout-Ms: 20"}, TENSOR, {NULL}, {"FAKE_PREDICT_MS=500"}, 0, 0},
    {"/openapi.yaml", "get", "200", "application/yaml", "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/openapi.yaml", "get", "304", "", "", {"If-None-Match: *"}, NOTHING, {NULL}, {NULL}, 0, 0},
    {"/", "get", "200", "text/html", "", {NULL}, NOTHING, {NULL}, {NULL}, 0, 0},
    /* clang-format on */
};

enum { PROVOCATIONS = sizeof provocations / sizeof *provocations };

static json_t *at(json_t *object, const char *name)
{
    return schema_resolve(contract, json_object_get(object, name));
}

/* A response without a body, over a plain socket, since libcurl always says a length. */
static struct answer send_without_length(const char *method, const char *path)
{
    struct answer answer = {.status = 0};
    int fd = raw_open(&service);
    raw_text(fd, method);
    raw_text(fd, " ");
    raw_text(fd, path);
    raw_text(fd, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char *text = raw_read(fd, NULL), *body = strstr(text, "\r\n\r\n");
    ck_assert_ptr_nonnull(body);
    answer.status = (int)strtol(text + 9, NULL, 10);
    memcpy(answer.headers, text, (size_t)(body - text));
    answer.body = (uint8_t *)strdup(body + 4);
    answer.length = strlen(body + 4);
    free(text);
    close(fd);
    return answer;
}

/* A request of the Open Inference Protocol with a ramp, or with zeros, of this size. */
static struct bytes tensor(int width, int height, bool flat)
{
    struct bytes body = {NULL, 0};
    FILE *out = open_memstream((char **)&body.data, &body.length);
    ck_assert_ptr_nonnull(out);
    fprintf(out,
            "{\"inputs\":[{\"name\":\"image\",\"datatype\":\"UINT8\",\"shape\":[%d,%d],"
            "\"data\":[0",
            height, width);
    for (int i = 1; i < width * height; i++)
        fprintf(out, ",%d", flat ? 0 : i % 256);
    fprintf(out, "]}]}");
    fclose(out);
    return body;
}

static double chest_value(int i, int j, int k)
{
    (void)k;
    return 37 * i % 11 * 90 + j * 13 - 1000;
}

/* Two slices and one of nothing but air. */
static double small_value(int i, int j, int k)
{
    return k == 2 ? -1000 : chest_value(i, j, k);
}

static struct bytes small_volume(void)
{
    struct nifti_maker m = nifti_default(32, 24, 3);
    struct bytes volume;
    volume.data = nifti_file(&volume.length, &m, small_value);
    return volume;
}

static struct answer send_body(const struct provocation *p, const char *method, const char *path)
{
    struct part part = {"file", "a.png", NULL, slice.data, slice.length};
    struct bytes wide = {NULL, 0};
    struct answer answer;
    switch (p->body) {
    case NOTHING:
        return http(&service, method, path, p->headers, NULL, 0);
    case NO_LENGTH:
        return send_without_length(method, path);
    case SLICE_TWICE:
        wide = multipart((struct part[]){part, part}, 2);
        break;
    case TENSOR:
        wide = tensor(40, 30, false);
        break;
    case FLAT_TENSOR:
        wide = tensor(40, 30, true);
        break;
    case WIDE_TENSOR:
        wide = tensor(600, 2, false);
        break;
    case VOLUME:
        wide = small_volume();
        break;
    case WIDE:
        wide = slice_png(600, 10, 1);
        break;
    case TEXT:
        return http(&service, method, path, p->headers, "plain text", 10);
    case TORN:
        return http(&service, method, path, p->headers, slice.data, slice.length / 2);
    case SLICE:
        return http(&service, method, path, p->headers, slice.data, slice.length);
    }
    answer = http(&service, method, path, p->headers, wide.data, wide.length);
    free(wide.data);
    return answer;
}

static struct answer provoke(const struct provocation *p, const char *method)
{
    char path[128];
    int sockets[2] = {-1, -1};
    /* {model} is the stand-in's; the query "x" makes it another. */
    const char *mark = strstr(p->path, "{model}");
    if (mark)
        snprintf(path, sizeof path, "%.*soneshot-fake%s%s", (int)(mark - p->path), p->path,
                 p->query, mark + 7);
    else
        snprintf(path, sizeof path, "%s%s", p->path, p->query);
    slice = slice_png(64, 48, 1);
    (p->at_once ? process_start : process_start_ready)(&service, p->words, p->environment);
    for (int i = 0; p->busy && i < 2; i++) {
        sockets[i] = send_predict("busy");
        wait_for(i, 1);
    }
    struct answer answer = send_body(p, method, path);
    for (int i = 0; i < 2; i++)
        if (sockets[i] >= 0)
            expect_raw(sockets[i], "200");
    teardown();
    return answer;
}

static void upper(char out[8], const char *method)
{
    size_t n = 0;
    for (; method[n] && n < 7; n++)
        out[n] = (char)toupper((unsigned char)method[n]);
    out[n] = 0;
}

/* The media type without parameters. */
static void check_type(const struct answer *answer, const char *media)
{
    const char *type = answer_header(answer, "Content-Type");
    if (*media == 0) {
        ck_assert_ptr_null(type);
        return;
    }
    ck_assert_ptr_nonnull(type);
    ck_assert_msg(strncmp(type, media, strlen(media)) == 0 &&
                      (type[strlen(media)] == 0 || type[strlen(media)] == ';'),
                  "%s instead of %s", type, media);
}

/* Each line, or each line of data, is one of the events; the last one ends the stream. */
static void check_events(const struct provocation *p, const struct answer *answer, json_t *schema)
{
    char *text = strdup((char *)answer->body), *rest = text, *line;
    char last[16] = "";
    int events = 0;
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (strncmp(line, "data: ", 6) == 0)
            line += 6;
        if (*line != '{')
            continue;
        json_t *value = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_ptr_nonnull(value);
        ck_assert_msg(schema_check(contract, schema, value, why, sizeof why), "%s %s: %s in %s",
                      p->path, p->media, why, line);
        snprintf(last, sizeof last, "%s", json_string_value(json_object_get(value, "event")));
        json_decref(value);
        events++;
    }
    ck_assert_int_ge(events, 2);
    ck_assert_msg(strcmp(last, "done") == 0 || strcmp(last, "error") == 0, "the last is %s", last);
    free(text);
}

static void check_answer(const struct provocation *p, const char *method, json_t *response)
{
    char name_of_method[8];
    upper(name_of_method, method);
    struct answer answer = provoke(p, name_of_method);
    ck_assert_msg(answer.status == (int)strtol(p->status, NULL, 10), "%s %s: %d instead of %s",
                  p->method, p->path, answer.status, p->status);
    check_type(&answer, p->media);
    const char *name;
    json_t *header;
    json_object_foreach(json_object_get(response, "headers"), name, header) ck_assert_msg(
        answer_header(&answer, name) != NULL ||
            (strcmp(name, "Server-Timing") == 0 && answer_header(&answer, "X-Accel-Buffering")),
        "%s %s lacks %s", p->path, p->status, name);
    bool stream = strstr(p->media, "stream") || strstr(p->media, "ndjson");
    if (stream) {
        check_events(p, &answer, at(at(at(response, "content"), p->media), "schema"));
    } else if (strstr(p->media, "json")) {
        json_t *value =
            json_loadb((char *)answer.body, answer.length, JSON_REJECT_DUPLICATES, NULL);
        json_t *schema = at(at(at(response, "content"), p->media), "schema");
        ck_assert_ptr_nonnull(value);
        ck_assert_ptr_nonnull(schema);
        ck_assert_msg(schema_check(contract, schema, value, why, sizeof why), "%s %s: %s", p->path,
                      p->status, why);
        json_decref(value);
    }
    answer_free(&answer);
}

/* Calls for every operation of the contract. */
static void each_operation(void (*visit)(const char *path, const char *method, json_t *operation))
{
    const char *path, *method;
    json_t *operations, *operation;
    json_object_foreach(json_object_get(contract, "paths"), path, operations)
        json_object_foreach(operations, method, operation) visit(path, method, operation);
}

/* What takes minutes to provoke; test_routes sees them come. */
static bool is_slow(const char *path, const char *status)
{
    return strcmp(status, "503") == 0 &&
           (strcmp(path, "/livez") == 0 || strcmp(path, "/v2/health/live") == 0);
}

static bool provokes(const struct provocation *p, const char *path, const char *method,
                     const char *status, const char *media)
{
    /* PUT is POST under another name: all that provokes the one provokes the other. */
    const char *as = strcmp(method, "put") == 0 ? "post" : method;
    return strcmp(p->path, path) == 0 && strcmp(p->method, as) == 0 &&
           strcmp(p->status, status) == 0 && (!media || strcmp(p->media, media) == 0);
}

static void check_responses(const char *path, const char *method, json_t *operation)
{
    const char *status, *media;
    json_t *response, *content;
    json_object_foreach(json_object_get(operation, "responses"), status, response)
    {
        response = schema_resolve(contract, response);
        int tried = 0;
        if (is_slow(path, status))
            continue;
        for (int i = 0; i < PROVOCATIONS; i++)
            if (provokes(&provocations[i], path, method, status, NULL)) {
                check_answer(&provocations[i], method, response);
                tried++;
            }
        ck_assert_msg(tried > 0, "%s %s %s is never tried", method, path, status);
        json_object_foreach(json_object_get(response, "content"), media, content)
        {
            tried = 0;
            for (int i = 0; i < PROVOCATIONS; i++)
                tried += provokes(&provocations[i], path, method, status, media);
            ck_assert_msg(tried > 0, "%s %s %s %s is never tried", method, path, status, media);
        }
    }
}

START_TEST(every_response_comes_as_described)
{
    contract = yaml_load(CONTRACT);
    each_operation(check_responses);
    json_decref(contract);
}
END_TEST

static int examples_seen;

static void check_examples_of(json_t *content)
{
    const char *name;
    json_t *example;
    json_object_foreach(json_object_get(content, "examples"), name, example)
    {
        json_t *value = json_object_get(schema_resolve(contract, example), "value");
        ck_assert_msg(value != NULL, "example %s has no value", name);
        ck_assert_msg(
            schema_check(contract, json_object_get(content, "schema"), value, why, sizeof why),
            "example %s: %s", name, why);
        examples_seen++;
    }
}

static void check_examples(const char *path, const char *method, json_t *operation)
{
    const char *status, *media;
    json_t *response, *content;
    (void)path;
    (void)method;
    json_object_foreach(json_object_get(operation, "responses"), status, response)
        json_object_foreach(at(schema_resolve(contract, response), "content"), media, content)
            check_examples_of(content);
}

START_TEST(every_example_fits_its_schema)
{
    contract = yaml_load(CONTRACT);
    each_operation(check_examples);
    ck_assert_int_gt(examples_seen, 15);
    /* The masks in it are masks. */
    json_t *slice_example = at(at(at(at(contract, "components"), "examples"), "slice"), "value");
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(slice_example, "detections"), i, one)
    {
        uint8_t plane[64];
        int area = 0;
        json_t *mask = json_object_get(one, "segmentation");
        ck_assert(rle_read(plane, 8, 8, json_string_value(json_object_get(mask, "counts"))));
        for (int k = 0; k < 64; k++)
            area += plane[k];
        ck_assert_int_eq(area, (int)json_integer_value(json_object_get(one, "area_px")));
    }
    json_decref(contract);
}
END_TEST

static int parameters_sent;

static void send_parameter(const char *path, const char *method, json_t *parameter, json_t *value)
{
    char text[64], target[256], header[256];
    const char *name = json_string_value(json_object_get(parameter, "name"));
    if (json_is_string(value))
        snprintf(text, sizeof text, "%s", json_string_value(value));
    else
        text[json_dumpb(value, text, sizeof text - 1, JSON_ENCODE_ANY)] = 0;
    ck_assert_msg(
        schema_check(contract, json_object_get(parameter, "schema"), value, why, sizeof why),
        "%s: %s", name, why);
    bool in_query = strcmp(json_string_value(json_object_get(parameter, "in")), "query") == 0;
    snprintf(target, sizeof target, "%s%s%s%s%s", path, in_query ? "?" : "", in_query ? name : "",
             in_query && *text ? "=" : "", in_query ? text : "");
    snprintf(header, sizeof header, "%s: %s", in_query ? "X-Ignored" : name, text);
    char name_of_method[8];
    upper(name_of_method, method);
    bool sends = strcmp(method, "get") != 0;
    struct answer answer = http(&service, name_of_method, target, WORDS(header),
                                sends ? slice.data : NULL, slice.length);
    ck_assert_msg(answer.status == 200, "%s %s: %d %s", target, header, answer.status, answer.body);
    answer_free(&answer);
    parameters_sent++;
}

static void send_examples(const char *path, const char *method, json_t *operation)
{
    json_t *parameter, *example;
    size_t i;
    const char *name;
    json_array_foreach(json_object_get(operation, "parameters"), i, parameter)
    {
        parameter = schema_resolve(contract, parameter);
        /* What stands in a path is there in all that is provoked, and /infer takes other bodies. */
        if (strchr(path, '{'))
            continue;
        example = json_object_get(parameter, "example");
        json_t *examples = json_object_get(parameter, "examples");
        ck_assert_msg(example || examples, "a parameter of %s has no example", path);
        if (example)
            send_parameter(path, method, parameter, example);
        json_object_foreach(examples, name, example)
            send_parameter(path, method, parameter, json_object_get(example, "value"));
    }
}

START_TEST(every_parameter_is_taken)
{
    contract = yaml_load(CONTRACT);
    setup(NULL, NULL);
    each_operation(send_examples);
    ck_assert_int_gt(parameters_sent, 8);
    teardown();
    json_decref(contract);
}
END_TEST

START_TEST(every_code_is_in_the_contract)
{
    contract = yaml_load(CONTRACT);
    json_t *codes =
        at(at(at(at(at(at(contract, "components"), "schemas"), "Problem"), "properties"), "code"),
           "enum");
    for (int kind = PROBLEM_NONE + 1; kind < PROBLEM_KINDS; kind++) {
        json_t *one;
        size_t i;
        bool found = false;
        json_array_foreach(codes, i, one) found =
            found || strcmp(json_string_value(one), problem_code((enum problem_kind)kind)) == 0;
        ck_assert_msg(found, "%s", problem_code((enum problem_kind)kind));
    }
    ck_assert_uint_eq(json_array_size(codes), PROBLEM_KINDS - 1);
    json_decref(contract);
}
END_TEST

/* Both ways: every metric served is described, by its whole name, and the other way round. */
START_TEST(every_metric_is_in_the_contract)
{
    setup(NULL, NULL);
    contract = yaml_load(CONTRACT);
    const char *described =
        json_string_value(at(at(at(at(contract, "paths"), "/metrics"), "get"), "description"));
    struct answer answer = get("/metrics");
    char name[96], quoted[100];
    int served = 0, named = 0;
    for (const char *line = (char *)answer.body; (line = strstr(line, "# TYPE ")) != NULL;) {
        line += 7;
        ck_assert_int_eq(sscanf(line, "%95[a-z_]", name), 1);
        if (strncmp(name, "process_", 8) == 0)
            continue;
        served++;
        snprintf(quoted, sizeof quoted, "`%s", name);
        const char *there = strstr(described, quoted);
        ck_assert_msg(there && strchr("`{", there[strlen(quoted)]), "%s", name);
    }
    for (const char *at_name = described; (at_name = strstr(at_name, "`oneshot_")) != NULL; named++)
        at_name++;
    ck_assert_int_eq(named, served);
    answer_free(&answer);
    json_decref(contract);
    teardown();
}
END_TEST

START_TEST(the_service_serves_the_contract_it_keeps)
{
    setup(NULL, NULL);
    struct answer answer = get("/openapi.yaml");
    FILE *file = fopen(CONTRACT, "rb");
    ck_assert_ptr_nonnull(file);
    char *text = calloc(1, answer.length + 2);
    ck_assert_uint_eq(fread(text, 1, answer.length + 1, file), answer.length);
    ck_assert_mem_eq(text, answer.body, answer.length);
    fclose(file);
    free(text);
    answer_free(&answer);
    teardown();
}
END_TEST

int main(void)
{
    RUN("contract", every_response_comes_as_described, every_example_fits_its_schema,
        every_parameter_is_taken, every_code_is_in_the_contract, every_metric_is_in_the_contract,
        the_service_serves_the_contract_it_keeps);
}
