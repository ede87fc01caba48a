/*
 * A model of the tests' own behind model.h, which sees what a slice's grey values say: grey 60 k is
 * label k, its findings the boxes around them, and the first pixels of row 0 are orders. One test
 * program includes this; its functions then stand before the library's.
 */
#ifndef ONESHOT_TESTS_GREY_MODEL_H
#define ONESHOT_TESTS_GREY_MODEL_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

enum { GREY_OF_LABEL = 60 };

/* Columns of row 0: the class to answer (3: none), pixels to shift findings by, 1: refuse. */
enum { ORDER_CLASS, ORDER_SHIFT, ORDER_REFUSE };

struct model {
    struct model_info info;
};

#include "tests/unit/stand_in.h"

int model_load(struct model **out, const char *path, const struct model_options *options,
               struct error *err)
{
    ck_assert_int_eq(options->threads, 1); /* else results would depend on the machine */
    if (path && *path)
        return error_set(err, ERR_IO, "%s: no such model", path);
    *out = calloc(1, sizeof **out);
    ck_assert_ptr_nonnull(*out);
    (*out)->info = (struct model_info){.name = "reads-grey",
                                       .sha256 = "00ff",
                                       .trained = true,
                                       .regions = 16,
                                       .default_score_threshold = 0.75f,
                                       .default_max_detections = 4};
    return 0;
}

static int grey(const struct image *image, int x, int y)
{
    return (int)(image->pixels[y * image->width + x] * 255 + 0.5f);
}

static bool find_box(struct box *out, const struct image *image, int label)
{
    *out = (struct box){1e9f, 1e9f, -1, -1};
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            if (grey(image, x, y) != label * GREY_OF_LABEL)
                continue;
            out->x0 = fminf(out->x0, (float)x);
            out->y0 = fminf(out->y0, (float)y);
            out->x1 = fmaxf(out->x1, (float)(x + 1));
            out->y1 = fmaxf(out->y1, (float)(y + 1));
        }
    return out->x1 > out->x0;
}

static void add_detection(struct prediction *out, const struct predict_options *options, int label,
                          float score, struct box box)
{
    if (score <= options->score_threshold || out->detections_count == options->max_detections)
        return;
    out->detections[out->detections_count++] =
        (struct detection){.label = label, .score = score, .box = box};
}

int session_predict(struct session *session, const struct image *image,
                    const struct predict_options *options, struct prediction *out,
                    struct error *err)
{
    ck_assert_ptr_nonnull(session->model);
    if (grey(image, ORDER_REFUSE, 0) == 1)
        return error_set(err, ERR_CONSTANT_IMAGE, "refused");
    memset(out, 0, sizeof *out);
    out->width = image->width;
    out->height = image->height;
    int answer = grey(image, ORDER_CLASS, 0);
    float shift = (float)grey(image, ORDER_SHIFT, 0);
    out->classified = answer < MODEL_IMAGE_CLASSES;
    out->predicted = out->classified ? answer : 0;
    for (int c = 0; c < MODEL_IMAGE_CLASSES && out->classified; c++)
        out->probabilities[c] = c == answer ? 0.9f : 0.1f;
    for (int label = 1; label < MODEL_OBJECT_CLASSES; label++) {
        struct box box;
        if (!find_box(&box, image, label))
            continue;
        box.x0 += shift;
        box.x1 += shift;
        add_detection(out, options, label, 1 - 0.05f * (float)label, box);
    }
    add_detection(out, options, 2, 0.3f, (struct box){1, 1, 9, 9}); /* only COCO should see it */
    return 0;
}

int64_t detection_paste(const struct detection *detection, int width, int height, uint8_t *plane,
                        struct mask_window *window)
{
    const struct box *box = &detection->box;
    *window = (struct mask_window){(int)box->x0, (int)box->y0, (int)fminf(box->x1, (float)width),
                                   (int)fminf(box->y1, (float)height)};
    int64_t area = 0;
    for (int y = window->y0; y < window->y1; y++)
        for (int x = window->x0; x < window->x1; x++, area++)
            plane[y * width + x] = 1;
    return area;
}

#endif
