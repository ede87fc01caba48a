#include "api/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "api/json_parts.h"
#include "api/polygon.h"
#include "api/rle.h"

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

static json_t *milliseconds(double value)
{
    return decimals(value, 1e3);
}

static json_t *box_xywh(const struct box *box)
{
    return json_pack("[o,o,o,o]", decimals(box->x0, 100), decimals(box->y0, 100),
                     decimals((double)box->x1 - box->x0, 100),
                     decimals((double)box->y1 - box->y0, 100));
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

/* ---- a slice ---- */

static json_t *model_brief(const struct model_info *model)
{
    return json_pack("{s:o,s:o,s:s,s:b}", "name", outside_text(model->name), "version",
                     outside_text(model->version), "sha256", model->sha256, "trained",
                     model->trained);
}

static json_t *input_json(const struct slice *slice)
{
    json_t *input = json_pack(
        "{s:s,s:i,s:i,s:i,s:I,s:s,s:{s:s,s:i,s:i,s:b}}", "kind", slice->kind, "width",
        slice->image.width, "height", slice->image.height, "bit_depth", slice->image.bit_depth,
        "bytes", (json_int_t)slice->bytes, "sha256", slice->sha256, "intensity", "mode", "windowed",
        "window", SLICE_WINDOW, "level", SLICE_LEVEL, "assumed", 1);
    if (input && slice->file[0] &&
        json_object_set_new(input, "file", outside_text(slice->file)) != 0) {
        json_decref(input);
        return NULL;
    }
    return input;
}

static json_t *classification_json(const struct prediction *p)
{
    json_t *classes = json_array();
    for (int i = 0; p->classified && i < MODEL_IMAGE_CLASSES; i++) {
        json_t *one =
            json_pack("{s:i,s:s,s:o,s:o}", "id", i, "name", model_image_class_name(i), "logit",
                      significant(p->logits[i]), "probability", significant(p->probabilities[i]));
        if (json_array_append_new(classes, one) != 0) {
            json_decref(classes);
            return NULL;
        }
    }
    return json_pack("{s:s,s:o,s:s?}", "activation", "sigmoid", "classes", classes, "predicted",
                     p->classified ? model_image_class_name(p->predicted) : NULL);
}

static json_t *explanation_json(const struct prediction *p)
{
    json_t *rois = json_array();
    for (int i = 0; i < p->regions_count; i++) {
        const struct region *r = &p->regions[i];
        json_t *one = json_pack("{s:i,s:o,s:s,s:i,s:o,s:o,s:o,s:b}", "rank", i + 1, "bbox_xywh",
                                box_xywh(&r->box), "class", model_object_class_name(r->label),
                                "class_id", r->label, "score", significant(r->score),
                                "attention_for", significant(r->attention_for), "attention_against",
                                significant(r->attention_against), "padded", r->padded);
        if (json_array_append_new(rois, one) != 0) {
            json_decref(rois);
            return NULL;
        }
    }
    return json_pack("{s:o,s:i}", "rois", rois, "unique_rois", p->unique_regions);
}

static json_t *warnings_json(const struct slice *slice)
{
    json_t *all = json_array();
    for (int i = 0; i < slice->warnings_count; i++)
        if (json_array_append_new(all, json_pack("{s:s,s:s}", "code", slice->warnings[i].code,
                                                 "detail", slice->warnings[i].detail)) != 0) {
            json_decref(all);
            return NULL;
        }
    return all;
}

/* ---- segmentations ---- */

struct masks {
    const struct slice *slice;
    struct slice_worker *worker;
    enum mask_format format;
    json_t *detections;
    struct buffer text; /* reused */
    struct error *err;
};

static json_t *rle_json(struct masks *m, const struct mask_window *window)
{
    int width = m->slice->prediction->width, height = m->slice->prediction->height;
    buffer_clear(&m->text);
    if (rle_encode(&m->text, m->worker->plane, width, height, window, m->worker->columns, m->err) !=
        0)
        return NULL;
    return json_pack("{s:[i,i],s:s%}", "size", height, width, "counts", m->text.bytes,
                     m->text.length);
}

static json_t *polygons_json(struct masks *m, const struct mask_window *window)
{
    struct polygons polygons = {0};
    json_t *rings = json_array();
    int width = m->slice->prediction->width;
    if (polygons_trace(&polygons, m->worker->plane, width, window, m->worker->columns, m->err) != 0)
        goto failed;
    size_t at = 0;
    for (size_t i = 0; i < polygons.count; i++) {
        json_t *ring = json_array();
        if (json_array_append_new(rings, ring) != 0)
            goto failed;
        for (; at < polygons.ends[i]; at++)
            if (json_array_append_new(ring, json_integer(polygons.points[at].x)) != 0 ||
                json_array_append_new(ring, json_integer(polygons.points[at].y)) != 0)
                goto failed;
    }
    polygons_free(&polygons);
    return rings;
failed:
    polygons_free(&polygons);
    json_decref(rings);
    return NULL;
}

static json_t *png_json(struct masks *m, const struct mask_window *window)
{
    int width = m->slice->prediction->width, height = m->slice->prediction->height;
    uint8_t *full = m->worker->columns, *bytes = NULL;
    size_t length;
    memset(full, 0, (size_t)width * (size_t)height);
    for (int y = window->y0; y < window->y1; y++)
        for (int x = window->x0; x < window->x1; x++) {
            size_t at = (size_t)y * (size_t)width + (size_t)x;
            full[at] = m->worker->plane[at] ? 255 : 0;
        }
    if (image_write_png(&bytes, &length, full, width, height, 1, m->err) != 0)
        return NULL;
    json_t *string = NULL;
    char *text = malloc(base64_length(length) + 1);
    if (text) {
        base64_encode(text, bytes, length);
        string = json_string_nocheck(text);
    }
    free(text);
    free(bytes);
    return json_pack("{s:[i,i],s:o}", "size", height, width, "png_base64", string);
}

static json_t *segmentation_json(struct masks *m, const struct mask_window *window)
{
    switch (m->format) {
    case MASKS_RLE:
        return rle_json(m, window);
    case MASKS_POLYGON:
        return polygons_json(m, window);
    case MASKS_PNG:
        return png_json(m, window);
    case MASKS_NONE:
        break;
    }
    return NULL;
}

static int add_detection(void *context, int index, const struct mask_window *window, int64_t area)
{
    struct masks *m = context;
    const struct detection *d = &m->slice->prediction->detections[index];
    json_t *one = json_pack("{s:i,s:s,s:i,s:o,s:o,s:I}", "id", index + 1, "class",
                            model_object_class_name(d->label), "class_id", d->label, "score",
                            significant(d->score), "bbox_xywh", box_xywh(&d->box), "area_px",
                            (json_int_t)area);
    if (one && m->format != MASKS_NONE &&
        json_object_set_new(one, "segmentation", segmentation_json(m, window)) != 0) {
        json_decref(one);
        one = NULL;
    }
    return json_array_append_new(m->detections, one);
}

static json_t *burden_json(const struct burden *b)
{
    json_t *share = b->lung_found ? decimals(b->affected_pct, 100) : json_null();
    return json_pack("{s:I,s:I,s:I,s:I,s:o}", "lung_px", (json_int_t)b->lung_px, "ggo_px",
                     (json_int_t)b->ggo_px, "consolidation_px", (json_int_t)b->consolidation_px,
                     "affected_px", (json_int_t)b->affected_px, "affected_pct", share);
}

static json_t *timing_json(const struct slice_timing *t)
{
    return json_pack("{s:o,s:o,s:o,s:o}", "queue", milliseconds(t->queue), "decode",
                     milliseconds(t->decode), "infer", milliseconds(t->infer), "encode",
                     milliseconds(t->encode));
}

static json_t *slice_json(struct slice *slice, struct slice_worker *worker, const char *request_id,
                          const struct slice_options *options, struct error *err)
{
    double start = clock_ms();
    const struct prediction *p = slice->prediction;
    size_t pixels = (size_t)p->width * (size_t)p->height;
    struct masks masks = {slice, worker, options->masks, json_array(), {0}, err};
    struct burden burden;
    buffer_init(&masks.text, 64 + 4 * pixels);
    int rc = slice_masks(slice, worker, &burden, add_detection, &masks);
    buffer_free(&masks.text);
    if (rc != 0) {
        json_decref(masks.detections);
        return NULL;
    }
    json_t *root =
        json_pack("{s:s,s:s,s:o,s:o,s:o,s:o}", "schema_version", SCHEMA_VERSION, "request_id",
                  request_id, "model", model_brief(slice->model), "input", input_json(slice),
                  "classification", classification_json(p), "detections", masks.detections);
    if (options->explain && root &&
        json_object_set_new(root, "explanation", explanation_json(p)) != 0) {
        json_decref(root);
        return NULL;
    }
    json_t *rest =
        json_pack("{s:o,s:o}", "burden", burden_json(&burden), "warnings", warnings_json(slice));
    slice->timing.encode = clock_ms() - start;
    json_t *last =
        json_pack("{s:o,s:s}", "timing_ms", timing_json(&slice->timing), "disclaimer", DISCLAIMER);
    if (!root || !rest || !last || json_object_update(root, rest) != 0 ||
        json_object_update(root, last) != 0) {
        json_decref(root);
        root = NULL;
    }
    json_decref(rest);
    json_decref(last);
    return root;
}

/* ---- problems ---- */

static json_t *problem_json(const struct problem *problem, const char *request_id)
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
    char request_id[REQUEST_ID_SIZE];
};

int results_new(struct results **out, const char *request_id, struct error *err)
{
    struct results *results = calloc(1, sizeof *results);
    if (!results || !(results->all = json_array())) {
        free(results);
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
    free(results);
}

static int add(struct results *results, json_t *one, struct error *err)
{
    if (one && json_array_append_new(results->all, one) == 0)
        return 0;
    return error_set(err, ERR_INTERNAL,
                     "a result could not be written: out of memory, or a number is not finite");
}

int results_add_slice(struct results *results, struct slice *slice, struct slice_worker *worker,
                      const struct slice_options *options, struct error *err)
{
    return add(results, slice_json(slice, worker, results->request_id, options, err), err);
}

int results_add_problem(struct results *results, const char *file, const struct problem *problem,
                        struct error *err)
{
    json_t *one = json_pack("{s:o}", "error", problem_json(problem, NULL));
    if (one && file[0] && json_object_set_new(one, "file", outside_text(file)) != 0) {
        json_decref(one);
        one = NULL;
    }
    return add(results, one, err);
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
