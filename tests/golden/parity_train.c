/*
 * Compares losses and gradients of one segmentation and one classification step with a record of
 * the reference implementation (train_*.safetensors).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/detector.h"
#include "model/train/example.h"
#include "model/train/trainer.h"
#include "tests/golden/parity.h"

enum { HEAD = 16 }; /* values of every gradient that a record holds */

struct tally {
    const char *name;
    int checks, failures;
    double worst; /* deviation over limit */
    char worst_at[352];
};

/* Ten times what the reference's own float32 result was off, and at least 1e-3. */
static double limit_of(const struct safetensors *record, const char *tensor)
{
    char key[400];
    float deviation = 0;
    snprintf(key, sizeof key, "f32_dev/%s", tensor);
    const struct tensor_view *t = safetensors_find(record, key);
    if (t)
        memcpy(&deviation, t->data, sizeof deviation);
    return fmax(1e-3, 10 * (double)deviation);
}

static void judge(struct tally *tally, const char *tensor, double deviation, double limit)
{
    bool good = deviation <= limit;
    tally->checks++;
    tally->failures += !good;
    if (!good)
        printf("%-34s train  %-60s %9.2e  limit %7.0e  FAIL\n", tally->name, tensor, deviation,
               limit);
    if (!(deviation / limit <= tally->worst)) {
        tally->worst = deviation / limit;
        snprintf(tally->worst_at, sizeof tally->worst_at, "%s: %.1e", tensor, deviation);
    }
}

static void finish(struct tally *tally, const char *what)
{
    printf("%-34s train  %-28s %4d checks, worst %.2f of its limit (%s)  %s\n", tally->name, what,
           tally->checks, tally->worst, tally->worst_at, tally->failures ? "FAIL" : "ok");
}

static void judge_value(struct tally *tally, const struct safetensors *record, const char *tensor,
                        double ours)
{
    const struct tensor_view *t = safetensors_find(record, tensor);
    float theirs;
    if (!t)
        return;
    memcpy(&theirs, t->data, sizeof theirs);
    judge(tally, tensor, fabs(ours - (double)theirs) / fmax(fabs((double)theirs), 1e-12),
          limit_of(record, tensor));
}

/* The largest gradient norm of a step: the scale on which a gradient counts as zero. */
static double largest_norm(const struct safetensors *record, const char *prefix)
{
    double largest = 0;
    for (size_t i = 0; i < safetensors_count(record); i++) {
        const struct tensor_view *t = safetensors_at(record, i);
        float norm;
        if (strncmp(t->name, prefix, strlen(prefix)) != 0)
            continue;
        memcpy(&norm, t->data, sizeof norm);
        largest = fmax(largest, (double)norm);
    }
    return largest;
}

/* Gradients of every parameter the step updates; `kind` is "seg" or "cls". */
static void judge_gradients(struct tally *tally, const struct safetensors *record,
                            struct params *params, const char *kind)
{
    char prefix[32], name[320];
    snprintf(prefix, sizeof prefix, "%s_grad_norm/", kind);
    double scale = largest_norm(record, prefix);
    for (size_t i = 0; i < safetensors_count(record); i++) {
        const struct tensor_view *t = safetensors_at(record, i);
        if (strncmp(t->name, prefix, strlen(prefix)) != 0)
            continue;
        const char *leaf = t->name + strlen(prefix);
        int index = params_find(params, leaf);
        if (index < 0) {
            judge(tally, t->name, INFINITY, 0);
            continue;
        }
        const struct param *param = params_peek(params, index);
        float norm, head[HEAD] = {0};
        double sum = 0, largest = 0, deviation = 0;
        memcpy(&norm, t->data, sizeof norm);
        for (int64_t k = 0; k < param->count; k++)
            sum += (double)param->grad[k] * (double)param->grad[k];
        if ((double)norm < 1e-7 * scale) { /* zero but for rounding: compare absolutely */
            judge(tally, t->name, sqrt(sum) / scale, 1e-5);
            continue;
        }
        judge(tally, t->name, fabs(sqrt(sum) - (double)norm) / (double)norm,
              limit_of(record, t->name));
        snprintf(name, sizeof name, "%s_grad_head/%s", kind, leaf);
        const struct tensor_view *h = safetensors_find(record, name);
        if (!h)
            continue;
        int64_t stored = h->elements < HEAD ? h->elements : HEAD;
        memcpy(head, h->data, (size_t)stored * sizeof *head);
        for (int64_t k = 0; k < stored; k++) {
            largest = fmax(largest, fabs((double)head[k]));
            deviation = fmax(deviation, fabs((double)param->grad[k] - (double)head[k]));
        }
        /* The first values may all be small: measure against the tensor's typical value then. */
        double typical = (double)norm / sqrt((double)param->count);
        judge(tally, name, deviation / fmax(largest, typical), limit_of(record, name));
    }
}

static void judge_statistics(struct tally *tally, const struct safetensors *record,
                             const struct params *params)
{
    static const char prefix[] = "after_both/";
    for (size_t i = 0; i < safetensors_count(record); i++) {
        const struct tensor_view *t = safetensors_at(record, i);
        if (strncmp(t->name, prefix, sizeof prefix - 1) != 0)
            continue;
        int index = params_find(params, t->name + sizeof prefix - 1);
        if (index >= 0 && t->elements > params_peek(params, index)->count)
            index = -1;
        double largest = 0, deviation = 0;
        for (int64_t k = 0; index >= 0 && k < t->elements; k++) {
            float theirs;
            memcpy(&theirs, (const char *)t->data + 4 * k, sizeof theirs);
            largest = fmax(largest, fabs((double)theirs));
            deviation = fmax(deviation,
                             fabs((double)params_peek(params, index)->value[k] - (double)theirs));
        }
        judge(tally, t->name, index < 0 ? INFINITY : deviation / largest,
              limit_of(record, t->name));
    }
}

static struct sampling every_candidate(const struct network *network,
                                       const struct safetensors *record)
{
    struct sampling s = sampling_default();
    static const char *const keys[] = {"rpn_fg_iou_thresh", "rpn_bg_iou_thresh",
                                       "box_fg_iou_thresh", "box_bg_iou_thresh"};
    float *const fields[] = {&s.rpn_fg_iou_thresh, &s.rpn_bg_iou_thresh, &s.box_fg_iou_thresh,
                             &s.box_bg_iou_thresh};
    for (int i = 0; i < 4; i++) {
        const char *value = safetensors_metadata(record, keys[i]);
        if (value)
            *fields[i] = strtof(value, NULL);
    }
    s.rpn_batch_size_per_image = network_anchors(network) * 16 * 16;
    s.box_batch_size_per_image = network->config.rpn_post_nms_top_n + TRAIN_MAX_TRUTHS;
    s.rpn_positive_fraction = s.box_positive_fraction = 1;
    return s;
}

/* The slice, and through *labels its map, which stays the record's. */
static int take_image(struct image *image, const uint8_t **labels, const struct safetensors *record,
                      struct error *err)
{
    const struct tensor_view *u8 = safetensors_find(record, "image_u8");
    const struct tensor_view *map = safetensors_find(record, "label_map_u8");
    if (!u8 || !map || u8->rank != 2 || u8->dtype != DTYPE_U8 || map->bytes != u8->bytes)
        return error_set(err, ERR_BAD_DATA, "the record has no image_u8 with a label_map_u8");
    *image =
        (struct image){.width = (int)u8->shape[1], .height = (int)u8->shape[0], .bit_depth = 8};
    image->pixels = malloc(sizeof(float) * (size_t)u8->elements);
    if (!image->pixels)
        return error_set(err, ERR_MEMORY, "out of memory for the record's image");
    for (int64_t i = 0; i < u8->elements; i++)
        image->pixels[i] = (float)((const uint8_t *)u8->data)[i] / 255;
    *labels = map->data;
    return 0;
}

int parity_train(const char *path, const char *name, int *checks)
{
    int rc;
    struct error err = {.code = ERR_NONE};
    struct safetensors *record = NULL;
    struct network *network = NULL;
    struct trainer *trainer = NULL;
    struct example_maker *maker = NULL;
    struct tally losses = {.name = name}, seg = {.name = name}, cls = {.name = name},
                 norms = {.name = name};
    struct image image = {0};
    const uint8_t *labels = NULL;
    TRY(safetensors_open(&record, path, &err));
    TRY(parity_network(&network, record, &err));
    TRY(params_own(network->params, &err));
    TRY(params_enable_grad(network->params, &err));
    const struct sampling sampling = every_candidate(network, record);
    TRY(trainer_open(&trainer, network, &sampling, NULL, &err));
    TRY(example_maker_open(&maker, &err));
    TRY(take_image(&image, &labels, record, &err));
    struct example example;
    int8_t classes[IMAGE_CLASSES] = {0};
    const char *image_class = safetensors_metadata(record, "image_class");
    classes[image_class ? strtol(image_class, NULL, 10) % IMAGE_CLASSES : 0] = 1;
    TRY(example_make(&example, maker, &image, labels, classes, &err));

    struct rng rng;
    double loss[LOSSES] = {0};
    rng_seed(&rng, 1);
    params_clear_grad(network->params);
    TRY(trainer_segment(trainer, &example, &rng, loss, &err));
    judge_gradients(&seg, record, network->params, "seg");
    params_clear_grad(network->params);
    TRY(trainer_classify(trainer, &example, loss, &err));
    judge_gradients(&cls, record, network->params, "cls");
    for (int i = 0; i < LOSSES; i++) {
        char key[64];
        snprintf(key, sizeof key, "loss_%s", loss_name(i));
        judge_value(&losses, record, key, loss[i]);
    }
    judge_statistics(&norms, record, network->params);
    finish(&losses, "losses");
    finish(&seg, "segmentation gradients");
    finish(&cls, "classification gradients");
    finish(&norms, "running statistics");
done:
    if (rc)
        fprintf(stderr, "%s: %s\n", path, err.text);
    int all = losses.checks + seg.checks + cls.checks + norms.checks;
    int failures = losses.failures + seg.failures + cls.failures + norms.failures;
    printf("%-34s %d of %d checks passed\n", name, all - failures, all);
    *checks += all;
    example_maker_close(maker);
    trainer_close(trainer);
    network_free(network);
    safetensors_close(record);
    image_free(&image);
    return rc || failures || !all;
}
