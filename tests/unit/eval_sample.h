/*
 * A report's worth of results for tests: invented images, measured by the real code. Functions are
 * static: one test program includes this.
 */
#ifndef ONESHOT_TESTS_EVAL_SAMPLE_H
#define ONESHOT_TESTS_EVAL_SAMPLE_H

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"
#include "model/data/image.h"
#include "model/eval/report.h"

enum { IMAGES = 600, SLICES = 40, SIDE = 96, PICTURES = 4, SOURCES = 2 };

static const char *const source_names[SOURCES] = {"Clinic <A> & \"partners\"", "Second source"};

struct sample {
    struct eval_results results;
    struct eval_source sources[SOURCES];
    struct eval_picture best[PICTURES], worst[PICTURES];
    struct training_log log;
};

static void invent_classification(struct sample *sample)
{
    static int8_t labels[IMAGES][3];
    static float probabilities[IMAGES][3];
    static int8_t predicted[IMAGES];
    static int32_t patients[IMAGES];
    struct rng rng;
    struct error err;
    struct bootstrap_options options = bootstrap_defaults();
    options.resamples = 200;
    rng_seed(&rng, 8);
    for (int i = 0; i < IMAGES; i++) {
        int truth = (int)rng_below(&rng, 20);
        truth = truth < 9 ? 0 : truth < 16 ? 1 : 2;
        predicted[i] = 0;
        for (int c = 0; c < 3; c++) {
            labels[i][c] = truth == c;
            float logit = (truth == c ? 2.2f : -2.2f) + 1.6f * rng_normal(&rng);
            probabilities[i][c] = 1 / (1 + expf(-logit));
            if (probabilities[i][c] > probabilities[i][predicted[i]])
                predicted[i] = (int8_t)c;
        }
        if (i % 10 == 9 && truth != 2)
            labels[i][0] = labels[i][1] = -1;
        patients[i] = i / 12;
    }
    struct classification_input input = {
        .images = IMAGES,
        .labels = (const int8_t(*)[3])labels,
        .probabilities = (const float(*)[3])probabilities,
        .predicted = predicted,
        .groups = patients,
    };
    ck_assert_int_eq(
        classification_measure(&sample->results.classification, &input, &options, &err), 0);
    sample->results.has_classification = true;
    for (int s = 0; s < SOURCES; s++) {
        input.images = IMAGES / SOURCES;
        input.labels = (const int8_t(*)[3])(labels + s * IMAGES / SOURCES);
        input.probabilities = (const float(*)[3])(probabilities + s * IMAGES / SOURCES);
        input.predicted = predicted + s * IMAGES / SOURCES;
        input.groups = NULL;
        ck_assert_int_eq(
            classification_measure(&sample->sources[s].classification, &input, &options, &err), 0);
        sample->sources[s].has_classification = true;
    }
}

/* A slice's label map: two ellipses of lung, a patch of GGO, sometimes one of consolidation. */
static void draw_map(uint8_t *map, int i, double shift)
{
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            double u = (x + shift) / SIDE - 0.5;
            double v = (y - shift) / SIDE - 0.5;
            double lung = pow((fabs(u) - 0.22) / 0.14, 2) + pow(v / 0.34, 2);
            double patch = pow((u - 0.22) / (0.05 + 0.002 * i), 2) + pow((v - 0.1) / 0.09, 2);
            double dense = pow((u + 0.24) / 0.05, 2) + pow((v - 0.15) / 0.05, 2);
            uint8_t label = lung < 1;
            label = patch < 1 ? 2 : label;
            label = i % 3 == 0 && dense < 1 ? 3 : label;
            map[y * SIDE + x] = label;
        }
    }
}

static void match_maps(struct ap_image *out, const uint8_t *truth, const uint8_t *found, int i)
{
    struct error err;
    struct bitmask masks[2][3];
    struct ap_truth t[3];
    struct ap_prediction p[3];
    int truths = 0;
    int predictions = 0;
    for (int c = 0; c < 3; c++) {
        ck_assert_int_eq(
            bitmask_pack_label(&masks[0][c], truth, (uint8_t)(c + 1), SIDE, SIDE, &err), 0);
        ck_assert_int_eq(
            bitmask_pack_label(&masks[1][c], found, (uint8_t)(c + 1), SIDE, SIDE, &err), 0);
        if (masks[0][c].area > 30)
            t[truths++] = (struct ap_truth){c + 1, &masks[0][c]};
        if (masks[1][c].area > 30)
            p[predictions++] = (struct ap_prediction){
                c + 1, 0.5f + 0.01f * (float)((i * 7 + c) % 40), &masks[1][c]};
    }
    ck_assert_int_eq(ap_match(out, t, truths, p, predictions, &err), 0);
    for (int k = 0; k < 6; k++)
        bitmask_free(&masks[k / 3][k % 3]);
}

static void invent_segmentation(struct sample *sample)
{
    static uint8_t truth[SIDE * SIDE];
    static uint8_t found[SIDE * SIDE];
    static struct segmentation_counts counts[SLICES];
    struct error err;
    struct ap_evaluation *evaluation;
    struct bootstrap_options options = bootstrap_defaults();
    options.resamples = 200;
    ck_assert_int_eq(ap_open(&evaluation, &err), 0);
    for (int i = 0; i < SLICES; i++) {
        struct ap_image image;
        draw_map(truth, i, 0);
        draw_map(found, i, i % 7);
        ck_assert_int_eq(segmentation_count(&counts[i], truth, found, sizeof truth, &err), 0);
        match_maps(&image, truth, found, i);
        ck_assert_int_eq(ap_add(evaluation, &image, &err), 0);
    }
    struct eval_results *r = &sample->results;
    ck_assert_int_eq(segmentation_measure(&r->segmentation, counts, SLICES, NULL, &options, &err),
                     0);
    ck_assert_int_eq(ap_measure(&r->detection, evaluation, NULL, &options, &err), 0);
    ap_close(evaluation);
    r->has_segmentation = true;
    sample->sources[1].has_segmentation = true;
    sample->sources[1].segmentation = r->segmentation;
    sample->sources[1].detection = r->detection;
}

static void invent_pictures(struct sample *sample)
{
    static uint8_t map[SIDE * SIDE];
    static uint8_t pixels[SIDE * SIDE * 3];
    static const uint8_t colours[4][3] = {
        {20, 20, 24}, {60, 90, 110}, {230, 170, 40}, {220, 90, 30}};
    static char captions[2 * PICTURES][40];
    static char titles[2 * PICTURES][40];
    for (int k = 0; k < 2 * PICTURES; k++) {
        struct eval_picture *picture =
            k < PICTURES ? &sample->best[k] : &sample->worst[k - PICTURES];
        struct error err;
        draw_map(map, 3 * k, 0);
        for (int i = 0; i < SIDE * SIDE; i++)
            memcpy(pixels + 3 * i, colours[map[i]], 3);
        uint8_t *png;
        ck_assert_int_eq(image_write_png(&png, &picture->length, pixels, SIDE, SIDE, 3, &err), 0);
        picture->png = png;
        snprintf(captions[k], sizeof captions[k], "lesions Dice 0.%02d", 95 - 9 * k);
        snprintf(titles[k], sizeof titles[k], "slice_%02d_<b>.png", k);
        picture->caption = captions[k];
        picture->title = titles[k];
    }
    sample->results.best = sample->best;
    sample->results.worst = sample->worst;
    sample->results.best_count = sample->results.worst_count = PICTURES;
}

static void invent_log(struct sample *sample)
{
    static const char *const names[] = {"loss_seg",  "loss_cls",     "loss_objectness",
                                        "loss_mask", "loss_box_reg", "val_dice"};
    static const double start[] = {3.1, 0.69, 0.6, 0.7, 0.4, 0.1};
    struct rng rng;
    struct error err;
    rng_seed(&rng, 4);
    for (int i = 1; i <= 5000; i++)
        for (int s = 0; s < 6; s++) {
            double value = start[s] * (0.15 + 0.85 * exp(-i / 1200.0)) +
                           0.1 * start[s] * (double)rng_normal(&rng);
            ck_assert_int_eq(training_log_add(&sample->log, names[s], i, fabs(value), &err), 0);
        }
    sample->log.lines = 5000;
    sample->log.skipped = 2;
    sample->results.log = &sample->log;
}

static void sample_make(struct sample *sample)
{
    static const char *const notes[] = {
        "One patient per class: control against pneumonia is not tested in K\xc3\xb6ln "
        "\xe2\x82\xac.",
        "Names may hold <script>alert('x')</script> & worse: \xff\xc0."};
    memset(sample, 0, sizeof *sample);
    sample->results = (struct eval_results){
        .model = {.name = "oneshot-<sample>",
                  .version = "0.1",
                  .backbone = "resnext50_32x4d",
                  .batch_norm = "running",
                  .file = "sample.safetensors",
                  .sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                  .trained_on = "invented images",
                  .trained = true,
                  .parameters = 32100000,
                  .regions = 16,
                  .flops = 4.1e10},
        .setup = {.segmentation_data = "segmentation/val",
                  .classification_data = "classification/val",
                  .group = "patient",
                  .score_threshold = 0.75,
                  .max_detections = 4,
                  .coco_threshold = 0.05,
                  .coco_detections = 100,
                  .bootstrap = bootstrap_defaults()},
        .sources = sample->sources,
        .sources_count = SOURCES,
        .notes = notes,
        .notes_count = 2,
    };
    for (int s = 0; s < SOURCES; s++)
        sample->sources[s].name = source_names[s];
    invent_classification(sample);
    invent_segmentation(sample);
    invent_pictures(sample);
    invent_log(sample);
}

static void sample_free(struct sample *sample)
{
    for (int k = 0; k < PICTURES; k++) {
        free((void *)sample->best[k].png);
        free((void *)sample->worst[k].png);
    }
    for (int s = 0; s < SOURCES; s++)
        classification_free(&sample->sources[s].classification);
    classification_free(&sample->results.classification);
    training_log_free(&sample->log);
}

#endif
