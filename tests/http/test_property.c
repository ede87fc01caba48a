/*
 * Requests made up from openapi.yaml, some that it allows and some that it forbids in exactly one
 * way. What is allowed is answered as described; what is forbidden is refused with the documented
 * status and code, and the service goes on. SEED and CASES in the environment choose others.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "tests/http/scene.h"
#include "tests/http/schema.h"
#include "tests/unit/run.h"

enum { CASES = 2400, TARGET = 2048, MOST_HEADERS = 12 };

static json_t *contract;
static unsigned chance;
static CURL *curl;

/* One request, and what is to come of it. */
struct made {
    char method[16], target[TARGET], headers[MOST_HEADERS][256];
    int headers_count;
    const void *body; /* NULL: none */
    size_t length;
    struct bytes form; /* owned, where the body is one */
    int status;        /* expected; 0: one that the operation documents */
    const char *code;  /* of the problem; "" for none */
    const char *what;  /* for messages */
    bool query_begun;
};

static unsigned below(unsigned n)
{
    return random_next(&chance) % n;
}

#define ONE_OF(...)                                                                                \
    (((const char *const[]){                                                                       \
        __VA_ARGS__})[below(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))])

static json_t *at(json_t *object, const char *name)
{
    return schema_resolve(contract, json_object_get(object, name));
}

static void add_header(struct made *made, const char *name, const char *value)
{
    ck_assert_int_lt(made->headers_count, MOST_HEADERS);
    snprintf(made->headers[made->headers_count++], sizeof made->headers[0], "%s: %s", name, value);
}

static void add_query(struct made *made, const char *name, const char *value)
{
    size_t n = strlen(made->target);
    char *text = curl_easy_escape(curl, value, 0);
    ck_assert_ptr_nonnull(text);
    snprintf(made->target + n, sizeof made->target - n, "%c%s=%s", made->query_begun ? '&' : '?',
             name, text);
    made->query_begun = true;
    curl_free(text);
}

static void forbid(struct made *made, const char *what, int status, const char *code)
{
    made->what = what;
    made->status = status;
    made->code = code;
}

/* ---- values ---- */

static double number_at(json_t *schema, const char *name, double otherwise)
{
    json_t *value = json_object_get(schema, name);
    return value ? json_number_value(value) : otherwise;
}

static const char *type_of(json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    return type ? type : "";
}

/* Writes a value that the schema allows. False where this cannot tell. */
static bool allowed_value(char *out, size_t size, json_t *schema)
{
    json_t *choices = json_object_get(schema, "enum");
    const char *type = type_of(schema);
    double low = number_at(schema, "minimum", 0), high = number_at(schema, "maximum", low + 1000);
    if (choices) {
        json_t *one = json_array_get(choices, below((unsigned)json_array_size(choices)));
        /* HU need a picture of 16 bits, which the slice that is sent is not. */
        const char *chosen = json_string_value(one);
        snprintf(out, size, "%s", strcmp(chosen, "hu") == 0 ? "auto" : chosen);
    } else if (strcmp(type, "boolean") == 0) {
        snprintf(out, size, "%s", below(2) ? "true" : "false");
    } else if (strcmp(type, "integer") == 0) {
        snprintf(out, size, "%.0f", low + below((unsigned)fmin(high - low + 1, 1e6)));
    } else if (strcmp(type, "number") == 0) {
        high = number_at(schema, "exclusiveMaximum", high);
        snprintf(out, size, "%.6g", low + (high - low) * below(999) / 1000);
    } else {
        return false;
    }
    return true;
}

/* Writes one that it does not. False where this cannot tell. */
static bool forbidden_value(char *out, size_t size, json_t *schema)
{
    const char *type = type_of(schema);
    json_t *maximum = json_object_get(schema, "maximum");
    json_t *beyond = json_object_get(schema, "exclusiveMaximum");
    if (json_object_get(schema, "enum")) {
        allowed_value(out, size, schema);
        switch (below(4)) {
        case 0:
            snprintf(out + strlen(out), size - strlen(out), "x");
            break;
        case 1:
            out[0] = (char)toupper((unsigned char)out[0]);
            break;
        case 2:
            out[strlen(out) - 1] = 0;
            break;
        default:
            snprintf(out, size, "%s", ONE_OF("", " ", "0", "null", "\x01", "\xff\xfe"));
        }
    } else if (strcmp(type, "boolean") == 0) {
        snprintf(out, size, "%s", ONE_OF("True", "1", "0", "yes", "", "tru", "truefalse", "null"));
    } else if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0) {
        double low = number_at(schema, "minimum", 0);
        switch (below(3)) {
        case 0:
            snprintf(out, size, "%s",
                     ONE_OF("", "nan", "inf", "0x10", "1e999", "ten", "1 ", " 1", "1,5", "--1",
                            "1e", "+", "99999999999999999999"));
            break;
        case 1:
            snprintf(out, size, "%.0f", low - 1 - below(1000));
            break;
        default:
            if (!maximum && !beyond)
                snprintf(out, size, "%s", "x");
            else
                snprintf(out, size, "%.0f",
                         json_number_value(beyond ? beyond : maximum) + (beyond ? 0 : 1) +
                             below(1000));
        }
    } else {
        return false;
    }
    return true;
}

/* ---- requests ---- */

/* Adds each of the operation's parameters by chance, with allowed values. */
static void add_parameters(struct made *made, json_t *operation)
{
    json_t *parameter;
    size_t i;
    char value[128];
    json_array_foreach(json_object_get(operation, "parameters"), i, parameter)
    {
        parameter = schema_resolve(contract, parameter);
        json_t *schema = at(parameter, "schema");
        const char *name = json_string_value(json_object_get(parameter, "name"));
        if (below(3) != 0 || !allowed_value(value, sizeof value, schema))
            continue;
        if (strcmp(name, "X-Request-Timeout-Ms") == 0)
            snprintf(value, sizeof value, "%u", 30000 + below(1000000));
        if (strcmp(json_string_value(json_object_get(parameter, "in")), "query") == 0)
            add_query(made, name, value);
        else
            add_header(made, name, value);
    }
}

static bool sends(json_t *operation)
{
    return json_object_get(operation, "requestBody") != NULL;
}

/* Gives the request a body, raw or as a form; options (NULL: none) are a part of it. */
static void add_body(struct made *made, const struct bytes *bytes, const char *options)
{
    struct part parts[2] = {{"file", "a.png", "image/png", bytes->data, bytes->length},
                            {"options", NULL, "application/json", options, 0}};
    if (options || (below(4) == 0 && strcmp(made->method, "PUT") != 0)) {
        made->form = multipart(parts, options ? 2 : 1);
        made->body = made->form.data;
        made->length = made->form.length;
        add_header(made, "Content-Type", "multipart/form-data; boundary=XX");
    } else {
        made->body = bytes->data;
        made->length = bytes->length;
        if (below(2))
            add_header(made, "Content-Type", ONE_OF("image/png", "application/octet-stream"));
    }
}

static void begin(struct made *made, const char *path, const char *method)
{
    memset(made, 0, sizeof *made);
    for (size_t i = 0; method[i] && i < sizeof made->method - 1; i++)
        made->method[i] = (char)toupper((unsigned char)method[i]);
    snprintf(made->target, sizeof made->target, "%s", path);
    made->what = "allowed";
    made->code = "";
}

/* One parameter that has a value it must not have, or a name that is none. */
static bool spoil_parameter(struct made *made, json_t *operation)
{
    json_t *all = json_object_get(operation, "parameters");
    char value[128];
    if (below(6) == 0) {
        add_query(made, ONE_OF("mask", "Masks", "score", "x", "_", "slicez"), "1");
        forbid(made, "a parameter that is none", 400, "bad_option");
        return true;
    }
    json_t *parameter =
        schema_resolve(contract, json_array_get(all, below((unsigned)json_array_size(all))));
    const char *name = json_string_value(json_object_get(parameter, "name"));
    bool query = strcmp(json_string_value(json_object_get(parameter, "in")), "query") == 0;
    if (!forbidden_value(value, sizeof value, at(parameter, "schema")))
        return false;
    if (query) {
        add_query(made, name, value);
        forbid(made, "a value that is not allowed", 400, "bad_option");
        return true;
    }
    /* HTTP cuts spaces around a header's value, and knows no empty or binary one from none. */
    for (const char *p = value; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    if (!*value)
        return false;
    add_header(made, name, value);
    forbid(made, "a header that is not allowed", 400, "bad_option");
    return true;
}

/* The same in the part "options" of a form. */
static bool spoil_option(struct made *made, json_t *operation, const struct bytes *bytes)
{
    json_t *content = json_object_get(json_object_get(operation, "requestBody"), "content");
    json_t *form = at(json_object_get(content, "multipart/form-data"), "schema");
    json_t *options = form ? at(json_object_get(form, "properties"), "options") : NULL;
    json_t *properties = options ? json_object_get(options, "properties") : NULL;
    char value[128], text[512];
    const char *name;
    json_t *schema;
    unsigned chosen, i = 0;
    if (!properties)
        return false;
    chosen = below((unsigned)json_object_size(properties));
    json_object_foreach(properties, name, schema)
    {
        if (i++ != chosen)
            continue;
        if (!forbidden_value(value, sizeof value, schema_resolve(contract, schema)))
            return false;
        for (const char *p = value; *p; p++)
            if (*p < ' ' || *p > '~')
                return false;
        snprintf(text, sizeof text, "{\"%s\":\"%s\"}", name, value);
        add_body(made, bytes, text);
        forbid(made, "an option that is not allowed", 400, "bad_option");
        return true;
    }
    return false;
}

/* Makes a forbidden request of an operation that takes a body. False: this draw is none. */
static bool make_forbidden(struct made *made, json_t *operation, const struct bytes *bytes)
{
    static uint8_t waste[4096];
    switch (below(8)) {
    case 0:
    case 1:
    case 2:
        add_body(made, bytes, NULL);
        return spoil_parameter(made, operation);
    case 3:
        if (strcmp(made->method, "PUT") == 0)
            return false;
        return spoil_option(made, operation, bytes);
    case 4:
        add_body(made, bytes, NULL);
        add_header(made, "Accept",
                   ONE_OF("text/html", "application/xml", "image/jpeg", "image/*;q=0", "audio/*",
                          "application/json;q=0, image/png;q=0", "nonsense"));
        forbid(made, "an answer that there is not", 406, "not_acceptable");
        return true;
    case 5:
        made->body = bytes->data;
        made->length = bytes->length;
        add_header(made, "Content-Type",
                   ONE_OF("image/jpeg", "text/plain", "application/json", "image/tiff", "x",
                          "application/xml; charset=utf-8", "multipart/mixed; boundary=XX"));
        forbid(made, "a type that is not taken", 415, "unsupported_media");
        return true;
    case 6: /* cut off, anywhere behind the signature */
        made->body = bytes->data;
        made->length = 8 + below((unsigned)bytes->length - 24);
        forbid(made, "half a picture", 422, "bad_png");
        return true;
    default:
        for (size_t i = 0; i < sizeof waste; i++)
            waste[i] = (uint8_t)('a' + below(26));
        made->body = waste;
        made->length = below(sizeof waste);
        forbid(made, "bytes of no kind", made->length ? 415 : 400,
               made->length ? "unsupported_media" : "empty_body");
        return true;
    }
}

/* A method that the path does not know, or a path that is none. */
static void make_misplaced(struct made *made, json_t *operations)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "BREW"};
    const char *method = methods[below(sizeof methods / sizeof *methods)];
    char name[8];
    snprintf(name, sizeof name, "%s", method);
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    snprintf(made->method, sizeof made->method, "%s", method);
    if (below(3) == 0) {
        size_t n = strlen(made->target);
        snprintf(made->target + n, sizeof made->target - n, "%s",
                 ONE_OF("/x", "%20", "/../x", "//", "%00", ".", "%2e%2e"));
        forbid(made, "a path that is none", 404, "not_found");
        return;
    }
    if (json_object_get(operations, name))
        return; /* allowed, if without a body */
    forbid(made, "a method that is not for it", 405, "method_not_allowed");
}

/* ---- sending and judging ---- */

static struct answer send_made(const struct made *made)
{
    struct answer answer = {.status = 0};
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    char url[TARGET + 64], *type = NULL;
    long status = 0;
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", service.port, made->target);
    curl_easy_reset(curl); /* the connection stays open */
    for (int i = 0; i < made->headers_count; i++)
        list = curl_slist_append(list, made->headers[i]);
    if (made->body) {
        list = curl_slist_append(list, "Content-Type;");
        for (int i = 0; i < made->headers_count; i++)
            if (strncmp(made->headers[i], "Content-Type:", 13) == 0) {
                curl_slist_free_all(list);
                list = curl_slist_append(NULL, "Expect:");
                for (int k = 0; k < made->headers_count; k++)
                    list = curl_slist_append(list, made->headers[k]);
                break;
            }
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)made->length);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, made->body);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, made->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 60000L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    CURLcode code = curl_easy_perform(curl);
    ck_assert_msg(code == CURLE_OK, "%s %s: %s", made->method, url, curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    answer.status = (int)status;
    snprintf(answer.headers, sizeof answer.headers, "%.200s", type ? type : "");
    answer.headers[strcspn(answer.headers, ";")] = 0;
    curl_slist_free_all(list);
    return answer;
}

static const char *described(const struct made *made)
{
    static char text[TARGET + 1024];
    int n = snprintf(text, sizeof text, "%s: %s %s", made->what, made->method, made->target);
    for (int i = 0; i < made->headers_count; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " [%s]", made->headers[i]);
    return text;
}

/* The answer's body fits the schema that the operation gives for its status and type. */
static void check_described(const struct made *made, json_t *operation, const struct answer *answer)
{
    char status[8], why[400];
    snprintf(status, sizeof status, "%d", answer->status);
    json_t *response = at(json_object_get(operation, "responses"), status);
    ck_assert_msg(response != NULL, "%s: %d is not documented: %.400s", described(made),
                  answer->status, answer->body);
    json_t *content = json_object_get(json_object_get(response, "content"), answer->headers);
    ck_assert_msg(content != NULL, "%s: %d in %s is not documented", described(made),
                  answer->status, answer->headers);
    if (!strstr(answer->headers, "json"))
        return;
    json_t *value = json_loadb((char *)answer->body, answer->length, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(value != NULL, "%s: no JSON: %.400s", described(made), answer->body);
    ck_assert_msg(schema_check(contract, at(content, "schema"), value, why, sizeof why), "%s: %s",
                  described(made), why);
    json_decref(value);
}

static void judge(const struct made *made, json_t *operation, const struct answer *answer)
{
    char code[80];
    snprintf(code, sizeof code, "\"code\":\"%s\"", made->code);
    if (made->status) {
        ck_assert_msg(answer->status == made->status && answer_has(answer, code),
                      "%s: %d instead of %d %s: %.400s", described(made), answer->status,
                      made->status, made->code, answer->body ? (char *)answer->body : "");
        ck_assert_msg(strcmp(answer->headers, "application/problem+json") == 0, "%s: %s",
                      described(made), answer->headers);
        if (made->status == 404 || made->status == 405)
            return;
    } else {
        ck_assert_msg(answer->status < 400, "%s: %d %.400s", described(made), answer->status,
                      answer->body ? (char *)answer->body : "");
    }
    check_described(made, operation, answer);
}

/* ---- the test ---- */

struct operation {
    const char *path, *method;
    json_t *all, *one; /* of the path; this */
};

static int collect(struct operation *out, int most)
{
    const char *path, *method;
    json_t *operations, *operation;
    int count = 0;
    json_object_foreach(json_object_get(contract, "paths"), path, operations)
        json_object_foreach(operations, method, operation)
    {
        ck_assert_int_lt(count, most);
        if (!strchr(path, '{'))
            out[count++] = (struct operation){path, method, operations, operation};
    }
    return count;
}

static bool make(struct made *made, const struct operation *operation, const struct bytes *bytes)
{
    unsigned kind = below(10);
    begin(made, operation->path, operation->method);
    if (kind == 0 && strcmp(operation->path, "/") != 0) {
        make_misplaced(made, operation->all);
        return made->status != 0;
    }
    if (!sends(operation->one)) {
        add_parameters(made, operation->one);
        return true;
    }
    if (kind < 4) {
        add_parameters(made, operation->one);
        add_body(made, bytes, NULL);
        if (below(3) == 0)
            add_header(made, "Accept", ONE_OF("*/*", "application/json", "image/png", "image/*"));
        return true;
    }
    return make_forbidden(made, operation->one, bytes);
}

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

START_TEST(what_is_forbidden_is_refused_and_what_is_not_is_not)
{
    struct operation operations[64];
    struct bytes small;
    int refused = 0, done = 0, wanted = (int)setting("CASES", CASES);
    chance = (unsigned)setting("SEED", 20240229);
    contract = yaml_load("openapi.yaml");
    setup(NULL, NULL);
    small = slice_png(24, 20, 3);
    curl = curl_easy_init();
    ck_assert_ptr_nonnull(curl);
    int count = collect(operations, 64);
    while (done < wanted) {
        /* Most of them for what takes a body: there is most to get wrong. */
        const struct operation *operation = &operations[below((unsigned)count)];
        while (below(6) && !sends(operation->one))
            operation = &operations[below((unsigned)count)];
        struct made made;
        if (make(&made, operation, &small)) {
            struct answer answer = send_made(&made);
            judge(&made, operation->one, &answer);
            answer_free(&answer);
            refused += made.status != 0;
            done++;
        }
        free(made.form.data);
    }
    ck_assert_int_gt(refused, wanted / 3);
    ck_assert_int_lt(refused, wanted * 5 / 6);
    check(predict(NULL), 200, "burden");
    curl_easy_cleanup(curl);
    free(small.data);
    teardown();
    json_decref(contract);
}
END_TEST

int main(void)
{
    RUN("property", what_is_forbidden_is_refused_and_what_is_not_is_not);
}
