/* A prediction made by hand, for what is done with one after the model. */
#ifndef ONESHOT_TESTS_FINDINGS_H
#define ONESHOT_TESTS_FINDINGS_H

#include <stdlib.h>
#include <string.h>

#include "api/slice.h"

static struct model_info findings_model = {
    .name = "hand-made",
    .version = "1",
    .sha256 = "00",
    .trained = true,
    .default_score_threshold = 0.05f,
    .default_max_detections = 16,
};

struct findings {
    struct slice_worker worker;
    struct slice slice;
};

/* A slice of this size with a ramp as pixels, two lungs, ground glass and consolidation. */
static inline void findings_make(struct findings *f, int width, int height, int detections)
{
    size_t pixels = (size_t)width * (size_t)height;
    memset(f, 0, sizeof *f);
    f->worker.model = &findings_model;
    f->worker.prediction = calloc(1, sizeof *f->worker.prediction);
    f->worker.plane = malloc(3 * pixels);
    f->worker.cover = f->worker.plane + pixels;
    f->worker.columns = f->worker.cover + pixels;
    f->worker.pixels = pixels;
    f->slice.kind = "png";
    f->slice.intensity = (struct slice_intensity){INTENSITY_WINDOWED, 1500, -600, true};
    f->slice.model = &findings_model;
    f->slice.prediction = f->worker.prediction;
    f->slice.image = (struct image){width, height, 8, false, malloc(pixels * sizeof(float))};
    for (size_t i = 0; i < pixels; i++)
        f->slice.image.pixels[i] = (float)(i % (size_t)width) / (float)width;
    f->slice.bytes = 1234;
    struct prediction *p = f->worker.prediction;
    p->width = width;
    p->height = height;
    p->detections_count = detections;
    for (int i = 0; i < detections; i++) {
        struct detection *d = &p->detections[i];
        float left = (float)width * (i % 2 ? 0.55f : 0.08f),
              w = (float)width * (i < 2 ? 0.37f : 0.2f);
        d->label = i < 2 ? 1 : 2 + i % 2;
        d->score = 0.9f - 0.005f * (float)i;
        d->box = (struct box){left + (float)(i / 2), (float)height * 0.2f,
                              left + (float)(i / 2) + w, (float)height * 0.2f + w};
        for (int k = 0; k < MODEL_MASK_SIDE * MODEL_MASK_SIDE; k++) {
            int u = k % MODEL_MASK_SIDE - 14, v = k / MODEL_MASK_SIDE - 14;
            d->mask[k] = u * u + v * v < 169 ? 0.9f : 0.1f;
        }
    }
    p->classified = true;
    p->predicted = 2;
    for (int i = 0; i < MODEL_IMAGE_CLASSES; i++) {
        p->logits[i] = (float)i - 1.23456789f;
        p->probabilities[i] = 0.25f + 0.123456789f * (float)i;
    }
    p->regions_count = 16;
    p->unique_regions = 15;
    for (int i = 0; i < 16; i++)
        p->regions[i] =
            (struct region){{1.005f, 2, 3.14159f, 4.5f}, 2, 0.5f, 1 / 16.0f, 1 / 16.0f, i == 15};
}

static inline void findings_free(struct findings *f)
{
    slice_free(&f->slice);
    free(f->worker.prediction);
    free(f->worker.plane);
}

#endif
