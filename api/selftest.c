#include "api/selftest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 512 };

/* Two dark ellipses in a body on air, with some texture: enough like a slice to pass every stage.
 */
static void draw_phantom(struct image *image)
{
    uint32_t noise = 1;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            float u = ((float)x - 255.5f) / 256, v = ((float)y - 255.5f) / 256;
            float body = u * u / 0.72f + v * v / 0.42f;
            float lung = (fabsf(u) - 0.38f) * (fabsf(u) - 0.38f) / 0.06f + v * v / 0.16f;
            float patch = (u - 0.45f) * (u - 0.45f) / 0.012f + (v - 0.15f) * (v - 0.15f) / 0.01f;
            float value = body < 1 ? 0.85f : 0;
            if (lung < 1)
                value = patch < 1 ? 0.55f : 0.15f;
            noise = noise * 1664525u + 1013904223u;
            image->pixels[y * SIDE + x] = value + 0.05f * (float)(noise >> 24) / 255;
        }
}

static bool within(float value, float low, float high)
{
    return isfinite(value) && value >= low && value <= high;
}

static bool box_is_sound(const struct box *box)
{
    return within(box->x0, 0, SIDE) && within(box->x1, box->x0, SIDE) && within(box->y0, 0, SIDE) &&
           within(box->y1, box->y0, SIDE);
}

static int check_detections(const struct prediction *p, struct error *err)
{
    for (int i = 0; i < p->detections_count; i++) {
        const struct detection *d = &p->detections[i];
        if (d->label < 1 || d->label >= MODEL_OBJECT_CLASSES || !within(d->score, 0, 1) ||
            !box_is_sound(&d->box))
            return error_set(err, ERR_INTERNAL, "self-test: detection %d is out of range", i);
        for (int k = 0; k < MODEL_MASK_SIDE * MODEL_MASK_SIDE; k++)
            if (!within(d->mask[k], 0, 1))
                return error_set(err, ERR_INTERNAL, "self-test: mask %d is out of range", i);
    }
    return 0;
}

static int check_class(const struct prediction *p, struct error *err)
{
    for (int i = 0; i < MODEL_IMAGE_CLASSES; i++)
        if (!isfinite(p->logits[i]) || !within(p->probabilities[i], 0, 1))
            return error_set(err, ERR_INTERNAL, "self-test: class %d is out of range", i);
    for (int i = 0; i < p->regions_count; i++) {
        const struct region *r = &p->regions[i];
        if (!box_is_sound(&r->box) || !within(r->score, 0, 1) || !within(r->attention_for, 0, 1) ||
            !within(r->attention_against, 0, 1))
            return error_set(err, ERR_INTERNAL, "self-test: region %d is out of range", i);
    }
    return 0;
}

static bool same(const struct prediction *a, const struct prediction *b)
{
    return a->detections_count == b->detections_count && a->regions_count == b->regions_count &&
           a->classified == b->classified && a->predicted == b->predicted &&
           memcmp(a->logits, b->logits, sizeof a->logits) == 0 &&
           memcmp(a->detections, b->detections,
                  (size_t)a->detections_count * sizeof *a->detections) == 0;
}

int selftest_run(struct slice_worker *worker, struct error *err)
{
    int rc = 0;
    struct image image = {SIDE, SIDE, 8, false, malloc(sizeof(float) * SIDE * SIDE)};
    struct prediction *first = malloc(sizeof *first);
    if (!image.pixels || !first) {
        rc = error_set(err, ERR_MEMORY, "no memory for the self-test");
        goto done;
    }
    draw_phantom(&image);
    TRY(session_predict(worker->session, &image, NULL, first, err));
    TRY(session_predict(worker->session, &image, NULL, worker->prediction, err));
    TRY(check_detections(first, err));
    TRY(check_class(first, err));
    if (first->width != SIDE || first->height != SIDE)
        rc = error_set(err, ERR_INTERNAL, "self-test: the prediction is of another size");
    else if (!same(first, worker->prediction))
        rc = error_set(err, ERR_INTERNAL, "self-test: two runs of one slice gave two answers");
done:
    free(image.pixels);
    free(first);
    return rc;
}
