/* One slice: its findings, in pixels and, where its volume knows, in millimetres. */
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "api/json.h"
#include "api/json_parts.h"
#include "api/polygon.h"
#include "api/rle.h"

json_t *milliseconds(double value)
{
    return decimals(value, 1e3);
}

/* A number that was given: whole where it was. */
static json_t *number(float value)
{
    return value == (float)(int)value ? json_integer((int)value) : significant((double)value);
}

json_t *point_mm(const double world[3])
{
    return json_pack("[o,o,o]", decimals(world[0], 100), decimals(world[1], 100),
                     decimals(world[2], 100));
}

static json_t *box_xywh(const struct box *box)
{
    return json_pack("[o,o,o,o]", decimals(box->x0, 100), decimals(box->y0, 100),
                     decimals((double)box->x1 - box->x0, 100),
                     decimals((double)box->y1 - box->y0, 100));
}

json_t *model_brief(const struct model_info *model)
{
    return json_pack("{s:o,s:o,s:s,s:b}", "name", outside_text(model->name), "version",
                     outside_text(model->version), "sha256", model->sha256, "trained",
                     model->trained);
}

json_t *input_json(const struct slice_input *input)
{
    const struct slice_intensity *how = &input->intensity;
    json_t *intensity =
        json_pack("{s:s,s:o,s:o,s:b}", "mode", intensity_name(how->mode), "window",
                  number(how->window), "level", number(how->level), "assumed", how->assumed);
    json_t *root = json_pack("{s:s,s:i,s:i,s:i,s:I,s:o}", "kind", input->kind, "width",
                             input->width, "height", input->height, "bit_depth", input->bit_depth,
                             "bytes", (json_int_t)input->bytes, "intensity", intensity);
    if (root &&
        ((input->sha256[0] &&
          json_object_set_new(root, "sha256", json_string(input->sha256)) != 0) ||
         (input->file[0] && json_object_set_new(root, "file", outside_text(input->file)) != 0))) {
        json_decref(root);
        return NULL;
    }
    return root;
}

static json_t *input_of(const struct slice *slice)
{
    const struct slice_input input = {
        slice->kind,  slice->image.width, slice->image.height, slice->image.bit_depth,
        slice->bytes, slice->sha256,      slice->file,         slice->intensity};
    return input_json(&input);
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

/* Adds a box's first and last corner in mm, where they are known. Takes and gives `one`. */
static json_t *with_world(json_t *one, const struct slice *slice, const struct box *box)
{
    double a[3], b[3];
    if (!one || !slice->volume)
        return one;
    volume_to_world(a, slice->volume, (double)box->x0, (double)box->y0, slice->index);
    volume_to_world(b, slice->volume, (double)box->x1, (double)box->y1, slice->index);
    if (json_object_set_new(one, "bbox_world_mm", json_pack("[o,o]", point_mm(a), point_mm(b))) ==
        0)
        return one;
    json_decref(one);
    return NULL;
}

static json_t *explanation_json(const struct slice *slice)
{
    const struct prediction *p = slice->prediction;
    json_t *rois = json_array();
    for (int i = 0; i < p->regions_count; i++) {
        const struct region *r = &p->regions[i];
        json_t *one = json_pack("{s:i,s:o,s:s,s:i,s:o,s:o,s:o,s:b}", "rank", i + 1, "bbox_xywh",
                                box_xywh(&r->box), "class", model_object_class_name(r->label),
                                "class_id", r->label, "score", significant(r->score),
                                "attention_for", significant(r->attention_for), "attention_against",
                                significant(r->attention_against), "padded", r->padded);
        if (json_array_append_new(rois, with_world(one, slice, &r->box)) != 0) {
            json_decref(rois);
            return NULL;
        }
    }
    return json_pack("{s:o,s:i}", "rois", rois, "unique_rois", p->unique_regions);
}

json_t *warnings_json(const struct slice_warning *warnings, int count)
{
    json_t *all = json_array();
    for (int i = 0; i < count; i++)
        if (json_array_append_new(all, json_pack("{s:s,s:s}", "code", warnings[i].code, "detail",
                                                 warnings[i].detail)) != 0) {
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
    return json_array_append_new(m->detections, with_world(one, m->slice, &d->box));
}

static json_t *burden_json(const struct slice *slice)
{
    const struct burden *b = &slice->burden;
    json_t *share = b->lung_found ? decimals(b->affected_pct, 100) : json_null();
    json_t *root =
        json_pack("{s:I,s:I,s:I,s:I,s:o}", "lung_px", (json_int_t)b->lung_px, "ggo_px",
                  (json_int_t)b->ggo_px, "consolidation_px", (json_int_t)b->consolidation_px,
                  "affected_px", (json_int_t)b->affected_px, "affected_pct", share);
    if (!slice->volume)
        return root;
    double mm2 = volume_pixel_mm2(slice->volume);
    json_t *areas =
        json_pack("{s:o,s:o,s:o,s:o}", "lung_mm2", decimals((double)b->lung_px * mm2, 10),
                  "ggo_mm2", decimals((double)b->ggo_px * mm2, 10), "consolidation_mm2",
                  decimals((double)b->consolidation_px * mm2, 10), "affected_mm2",
                  decimals((double)b->affected_px * mm2, 10));
    return merged(root, areas);
}

json_t *timing_json(const struct slice_timing *t)
{
    return json_pack("{s:o,s:o,s:o,s:o}", "queue", milliseconds(t->queue), "decode",
                     milliseconds(t->decode), "infer", milliseconds(t->infer), "encode",
                     milliseconds(t->encode));
}

json_t *merged(json_t *root, json_t *more)
{
    bool good = root && more && json_object_update(root, more) == 0;
    json_decref(more);
    if (good)
        return root;
    json_decref(root);
    return NULL;
}

json_t *findings_json(struct slice *slice, struct slice_worker *worker,
                      const struct slice_options *options, struct error *err)
{
    double start = clock_ms();
    const struct prediction *p = slice->prediction;
    size_t pixels = (size_t)p->width * (size_t)p->height;
    struct masks masks = {slice, worker, options->masks, json_array(), {0}, err};
    buffer_init(&masks.text, 64 + 4 * pixels);
    int rc = slice_masks(slice, worker, add_detection, &masks);
    buffer_free(&masks.text);
    if (rc != 0) {
        json_decref(masks.detections);
        return NULL;
    }
    json_t *root = json_pack("{s:o,s:o}", "classification", classification_json(p), "detections",
                             masks.detections);
    if (options->explain)
        root = merged(root, json_pack("{s:o}", "explanation", explanation_json(slice)));
    root = merged(root, json_pack("{s:o,s:o}", "burden", burden_json(slice), "warnings",
                                  warnings_json(slice->warnings, slice->warnings_count)));
    slice->timing.encode = clock_ms() - start;
    return merged(root, json_pack("{s:o}", "timing_ms", timing_json(&slice->timing)));
}

json_t *slice_json(struct slice *slice, struct slice_worker *worker, const char *request_id,
                   const struct slice_options *options, struct error *err)
{
    json_t *findings = findings_json(slice, worker, options, err);
    json_t *root =
        json_pack("{s:s,s:s,s:o,s:o}", "schema_version", SCHEMA_VERSION, "request_id", request_id,
                  "model", model_brief(slice->model), "input", input_of(slice));
    return merged(merged(root, findings), json_pack("{s:s}", "disclaimer", DISCLAIMER));
}
