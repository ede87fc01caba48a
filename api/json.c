#include "api/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_parts.h"
#include "model/base/buffer.h"

enum { MAX_DOCUMENT = 1 << 30 }; /* bytes */

/* ---- numbers and texts ---- */

json_t *decimals(double value, double scale)
{
    double rounded = round(value * scale) / scale;
    return isfinite(rounded) ? json_real(rounded == 0 ? 0 : rounded) : NULL;
}

json_t *significant(double value)
{
    if (!isfinite(value))
        return NULL;
    if (value == 0)
        return json_real(0);
    double scale = pow(10, 5 - floor(log10(fabs(value))));
    double rounded = round(value * scale) / scale;
    return json_real(isfinite(rounded) ? rounded : 0); /* too small to scale */
}

json_t *outside_text(const char *text)
{
    json_t *string = json_string(text);
    if (string)
        return string;
    char *copy = strdup(text);
    if (!copy)
        return NULL;
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    string = json_string(copy);
    free(copy);
    return string;
}

struct sink {
    struct buffer buffer;
    bool failed;
};

/* The library does not always pass a failure on, so it is kept here. */
static int put_text(const char *text, size_t length, void *context)
{
    struct sink *sink = context;
    if (sink->failed || buffer_append(&sink->buffer, text, length, NULL) != 0)
        sink->failed = true;
    return sink->failed ? -1 : 0;
}

int json_write(char **text, size_t *length, json_t *root, size_t flags, struct error *err)
{
    struct sink sink = {.failed = false};
    buffer_init(&sink.buffer, MAX_DOCUMENT);
    bool written = root && json_dump_callback(root, put_text, &sink, flags) == 0 && !sink.failed;
    json_decref(root);
    if (written)
        *text = (char *)buffer_take(&sink.buffer, length);
    buffer_free(&sink.buffer);
    return written ? 0
                   : error_set(err, ERR_INTERNAL,
                               "a document could not be written: out of memory, or a number is "
                               "not finite");
}

/* ---- problems ---- */

json_t *problem_json(const struct problem *problem, const char *request_id)
{
    json_t *root =
        json_pack("{s:s,s:s,s:i,s:s,s:o}", "type", "about:blank", "title",
                  problem_title(problem->kind), "status", problem_status(problem->kind), "code",
                  problem_code(problem->kind), "detail", outside_text(problem->detail));
    if (root && request_id &&
        json_object_set_new(root, "request_id", json_string(request_id)) != 0) {
        json_decref(root);
        return NULL;
    }
    return root;
}

int json_problem(char **text, size_t *length, const struct problem *problem, const char *request_id,
                 struct error *err)
{
    return json_write(text, length, problem_json(problem, request_id), JSON_PLAIN, err);
}

int json_problem_infer(char **text, size_t *length, const struct problem *problem,
                       const char *request_id, struct error *err)
{
    json_t *root = problem_json(problem, request_id);
    if (root && json_object_set_new(root, "error", outside_text(problem->detail)) != 0) {
        json_decref(root);
        root = NULL;
    }
    return json_write(text, length, root, JSON_PLAIN, err);
}

/* ---- results ---- */

struct results {
    json_t *all;
    json_t *slices; /* of the volume under way */
    char request_id[REQUEST_ID_SIZE];
};

int results_new(struct results **out, const char *request_id, struct error *err)
{
    struct results *results = calloc(1, sizeof *results);
    if (!results || !(results->all = json_array()) || !(results->slices = json_array())) {
        results_free(results);
        return error_set(err, ERR_MEMORY, "no memory for results");
    }
    memcpy(results->request_id, request_id, strnlen(request_id, REQUEST_ID_SIZE - 1));
    *out = results;
    return 0;
}

void results_free(struct results *results)
{
    if (!results)
        return;
    json_decref(results->all);
    json_decref(results->slices);
    free(results);
}

static int add(json_t *list, json_t *one, struct error *err)
{
    if (one && json_array_append_new(list, one) == 0)
        return 0;
    return error_set(err, ERR_INTERNAL,
                     "a result could not be written: out of memory, or a number is not finite");
}

int results_add_slice(struct results *results, struct slice *slice, struct slice_worker *worker,
                      const struct slice_options *options, struct error *err)
{
    return add(results->all, slice_json(slice, worker, results->request_id, options, err), err);
}

int results_add_problem(struct results *results, const char *file, const struct problem *problem,
                        struct error *err)
{
    json_t *one = json_pack("{s:o}", "error", problem_json(problem, NULL));
    if (one && file[0] && json_object_set_new(one, "file", outside_text(file)) != 0) {
        json_decref(one);
        one = NULL;
    }
    return add(results->all, one, err);
}

int results_add_scan_slice(struct results *results, struct scan *scan, struct slice *slice,
                           struct slice_worker *worker, const struct slice_options *options,
                           struct error *err)
{
    return add(results->slices, scan_entry_json(scan, slice, worker, options, NULL, err), err);
}

int results_add_scan_problem(struct results *results, const struct scan *scan,
                             const struct problem *problem, struct error *err)
{
    return add(results->slices, scan_entry_json(scan, NULL, NULL, NULL, problem, err), err);
}

int results_end_scan(struct results *results, const struct scan *scan, struct error *err)
{
    json_t *slices = results->slices;
    results->slices = json_array();
    if (!results->slices) {
        json_decref(slices);
        return error_set(err, ERR_MEMORY, "no memory for results");
    }
    return add(results->all, scan_json(scan, results->request_id, slices), err);
}

void results_drop_scan(struct results *results)
{
    json_array_clear(results->slices);
}

int results_write(char **text, size_t *length, const struct results *results, bool single,
                  struct error *err)
{
    json_t *root;
    if (single)
        root = json_incref(json_array_get(results->all, 0));
    else
        root = json_pack("{s:s,s:s,s:O,s:s}", "schema_version", SCHEMA_VERSION, "request_id",
                         results->request_id, "results", results->all, "disclaimer", DISCLAIMER);
    return json_write(text, length, root, JSON_PLAIN, err);
}

/* ---- reading ---- */

/* A scalar as the text one would type; NULL for anything else. */
static const char *scalar_text(char *room, size_t size, const json_t *value)
{
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    if (json_is_number(value) &&
        json_dumpb(value, room, size - 1, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) < size) {
        return room;
    }
    return NULL;
}

int json_each_member(const char *text, size_t length,
                     int (*visit)(void *context, const char *name, const char *value),
                     void *context, char *why, size_t why_size)
{
    json_error_t fault;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
    if (!root) {
        snprintf(why, why_size, "%.100s (line %d, column %d)", fault.text, fault.line,
                 fault.column);
        return -1;
    }
    int rc = 0;
    const char *name;
    json_t *value;
    if (!json_is_object(root)) {
        snprintf(why, why_size, "this is not an object");
        rc = -1;
    }
    json_object_foreach(root, name, value)
    {
        char room[64] = "";
        const char *scalar = scalar_text(room, sizeof room, value);
        if (!scalar) {
            snprintf(why, why_size, "member \"%.40s\" is neither text, number nor true or false",
                     name);
            rc = -1;
        } else {
            rc = visit(context, name, scalar);
        }
        if (rc != 0)
            break;
    }
    json_decref(root);
    return rc;
}
