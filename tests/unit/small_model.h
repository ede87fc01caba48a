/*
 * A model file small enough to be loaded again and again, and slices to show it. Include in one
 * test program.
 */
#ifndef ONESHOT_TESTS_SMALL_MODEL_H
#define ONESHOT_TESTS_SMALL_MODEL_H

#include <check.h>
#include <math.h>
#include <stdio.h>

#include "model/model.h"
#include "model/net/store.h"
#include "tests/unit/scratch.h"

static inline void write_model(const char *to)
{
    struct error err = {.text = ""};
    struct network *network;
    struct model_config config = config_default();
    snprintf(config.name, sizeof config.name, "small");
    snprintf(config.version, sizeof config.version, "7");
    snprintf(config.backbone, sizeof config.backbone, "resnet18");
    snprintf(config.trained_on, sizeof config.trained_on, "nothing");
    config.out_channels = 16;
    config.representation = 16;
    config.backbone_norm = NORM_BATCH; /* keeps seeded features in range */
    config.anchor_sizes_n = 3;
    config.anchor_sizes[0] = 16;
    config.anchor_sizes[1] = 64;
    config.anchor_sizes[2] = 128;
    config.rpn_pre_nms_top_n = 200;
    config.rpn_post_nms_top_n = 50;
    config.beta = 8;
    config.box_score_thresh = .3f;
    config.box_detections_per_img = 6;
    config.trained = true;
    ck_assert_msg(network_create(&network, &config, &err) == 0, "%s", err.text);
    ck_assert_int_eq(params_fill(network->params, 21, &err), 0);
    ck_assert_msg(network_save(network, to, false, &err) == 0, "%s", err.text);
    network_free(network);
}

static inline struct model *load(const char *from, int threads)
{
    struct error err = {.text = ""};
    struct model *m;
    const struct model_options options = {.threads = threads};
    ck_assert_msg(model_load(&m, from, &options, &err) == 0, "%s", err.text);
    return m;
}

static inline struct session *open_session(const struct model *m)
{
    struct error err = {.text = ""};
    struct session *s;
    ck_assert_msg(session_open(&s, m, &err) == 0, "%s", err.text);
    return s;
}

/* Blobs over a gradient, different for every seed; the caller frees it. */
static inline struct image slice(int width, int height, unsigned seed)
{
    struct image image;
    struct error err;
    ck_assert_int_eq(image_alloc(&image, width, height, &err), 0);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double u = (x + .5) / width, v = (y + .5) / height;
            double wave = sin((5 + seed % 7) * u + seed) * cos((4 + seed % 5) * v);
            double blob = exp(-60 * ((u - .4) * (u - .4) + (v - .6) * (v - .6)));
            image.pixels[(size_t)y * (size_t)width + (size_t)x] =
                (float)(.5 + .25 * wave + .2 * blob * sin(40 * u));
        }
    return image;
}

#endif
