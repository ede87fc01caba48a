#include "model/train/loop_private.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/vector.h"
#include "model/net/store.h"

/* What random numbers are for: each purpose of an iteration has a generator of its own. */
enum purpose { FOR_SEGMENT_IMAGE, FOR_CLASSIFY_IMAGE, FOR_SAMPLING, PURPOSES };

struct loop_options loop_paper(void)
{
    return (struct loop_options){.adam = adam_default(),
                                 .schedule = SCHEDULE_CONSTANT,
                                 .final_lr = 1,
                                 .iterations = 1,
                                 .sampling = sampling_default(),
                                 .seed = 1};
}

/* ---- opening ---- */

static int check_options(const struct loop_options *o, struct error *err)
{
    if (o->iterations < 1)
        return error_set(err, ERR_ARGUMENT, "a run has at least one iteration, not %lld",
                         (long long)o->iterations);
    if (!(o->adam.lr > 0) || !(o->adam.weight_decay >= 0))
        return error_set(err, ERR_ARGUMENT, "learning rate %g, weight decay %g: too small",
                         (double)o->adam.lr, (double)o->adam.weight_decay);
    if (!(o->average >= 0 && o->average < 1))
        return error_set(err, ERR_ARGUMENT, "the decay of averaged weights is 0 to 1, not %g",
                         (double)o->average);
    return augment_check(&o->augment, err);
}

static int open_average(struct loop *l, struct error *err)
{
    const struct params *params = l->network->params;
    int count = params_count(params);
    l->average = calloc((size_t)count + 1, sizeof *l->average);
    if (!l->average)
        return error_set(err, ERR_MEMORY, "out of memory for averaged weights");
    for (int i = 0; i < count; i++) {
        const struct param *param = params_peek(params, i);
        size_t bytes = (size_t)param->count * sizeof(float);
        l->average[i] = malloc(bytes);
        if (!l->average[i])
            return error_set(err, ERR_MEMORY, "out of memory for averaged weights");
        memcpy(l->average[i], param->value, bytes);
    }
    return 0;
}

int loop_open(struct loop **out, struct network *network, const struct dataset *segmentation,
              const struct dataset *classification, const struct loop_options *options,
              struct error *err)
{
    int rc;
    *out = NULL;
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return error_set(err, ERR_MEMORY, "out of memory for training");
    l->network = network;
    l->options = *options;
    l->segmentation = segmentation;
    l->classification = classification;
    l->previous_segment = (double)INFINITY;
    TRY(check_options(options, err));
    if (options->threads > 0)
        omp_set_num_threads(options->threads); /* plans are compiled for this many */
    if (!segmentation && !classification)
        TRY(error_set(err, ERR_ARGUMENT, "there is nothing to train on"));
    TRY(params_own(network->params, err));
    TRY(params_enable_grad(network->params, err));
    TRY(trainer_open(&l->trainer, network, &l->options.sampling, options->freeze, err));
    TRY(adam_open(&l->adam, network->params, err));
    TRY(example_maker_open(&l->maker, err));
    if (segmentation)
        TRY(draw_open(&l->segmentation_draw, segmentation, 0, options->seed * 2, err));
    if (classification)
        TRY(draw_open(&l->classification_draw, classification, options->balance,
                      options->seed * 2 + 1, err));
    if (options->average > 0)
        TRY(open_average(l, err));
    *out = l;
    l = NULL;
done:
    loop_close(l);
    return rc;
}

void loop_close(struct loop *l)
{
    if (!l)
        return;
    for (int i = 0; l->average && i < params_count(l->network->params); i++)
        free(l->average[i]);
    free(l->average);
    draw_close(l->segmentation_draw);
    draw_close(l->classification_draw);
    example_maker_close(l->maker);
    adam_close(l->adam);
    trainer_close(l->trainer);
    free(l);
}

int64_t loop_position(const struct loop *loop)
{
    return loop->iteration;
}

/* ---- one iteration ---- */

double loop_learning_rate(const struct loop_options *o, int64_t iteration)
{
    double lr = (double)o->adam.lr;
    double at = (double)iteration, all = (double)o->iterations, warm = (double)o->warmup;
    if (at < warm)
        return lr * (at + 1) / warm;
    if (o->schedule == SCHEDULE_CONSTANT || all <= warm)
        return lr;
    double done = (at - warm) / (all - warm), last = (double)o->final_lr;
    return lr * (last + (1 - last) * .5 * (1 + cos(3.14159265358979323846 * done)));
}

static void seed_for(struct rng *rng, const struct loop *l, enum purpose purpose)
{
    rng_seed(rng,
             l->options.seed * 0x9E3779B97F4A7C15u ^
                 ((uint64_t)l->iteration * PURPOSES + (uint64_t)purpose) * 0xD1342543DE82EF95u);
}

/* Loads a sample and makes a variation of it. */
static int make_example(struct example *out, struct loop *l, const struct dataset *data,
                        struct draw *draw, enum purpose purpose, struct error *err)
{
    int rc;
    struct image image = {0};
    uint8_t *labels = NULL;
    struct rng rng;
    size_t index = draw_at(draw, l->iteration);
    const struct sample *sample = &data->samples[index];
    seed_for(&rng, l, purpose);
    TRY(dataset_load(&image, &labels, data, index, err));
    TRY(augment_apply(&image, labels ? &labels : NULL, &l->options.augment, &rng, err));
    rc = example_make(out, l->maker, &image, labels, sample->classes, err);
    if (rc && err->code == ERR_CONSTANT_IMAGE) {
        /* A variation can lose all contrast; the sample itself has some. */
        free(labels);
        labels = NULL;
        TRY(dataset_load(&image, &labels, data, index, err));
        rc = example_make(out, l->maker, &image, labels, sample->classes, err);
    }
    if (rc)
        error_prefix(err, "%s", sample->path);
done:
    image_free(&image);
    free(labels);
    return rc;
}

struct set {
    enum step_kind kind;
    const char *const *freeze;
};

static bool in_set(const char *name, const void *context)
{
    const struct set *set = context;
    for (const char *const *prefix = set->freeze; prefix && *prefix; prefix++)
        if (strncmp(name, *prefix, strlen(*prefix)) == 0)
            return false;
    return step_updates(set->kind, name);
}

static void update(struct loop *l, enum step_kind kind, double lr)
{
    const struct set set = {kind, l->options.freeze};
    struct adam_options adam = l->options.adam;
    adam.lr = (float)lr;
    adam_step(l->adam, l->network->params, &adam, in_set, &set);
}

static int segment(struct loop *l, struct loop_report *report, struct error *err)
{
    struct example example;
    struct rng rng;
    if (make_example(&example, l, l->segmentation, l->segmentation_draw, FOR_SEGMENT_IMAGE, err))
        return -1;
    seed_for(&rng, l, FOR_SAMPLING);
    params_clear_grad(l->network->params);
    if (trainer_segment(l->trainer, &example, &rng, report->loss, err) != 0)
        return -1;
    update(l, STEP_SEGMENT, report->lr);
    double loss = trainer_segment_loss(report->loss);
    report->segmented = true;
    report->copied = loss < l->previous_segment;
    if (report->copied)
        trainer_copy_weights(l->network);
    l->previous_segment = loss;
    return trainer_refresh(l->trainer, err);
}

static int classify(struct loop *l, struct loop_report *report, struct error *err)
{
    struct example example;
    if (make_example(&example, l, l->classification, l->classification_draw, FOR_CLASSIFY_IMAGE,
                     err))
        return -1;
    params_clear_grad(l->network->params);
    if (trainer_classify(l->trainer, &example, report->loss, err) != 0)
        return -1;
    report->classified = true;
    update(l, STEP_CLASSIFY, report->lr);
    return trainer_refresh(l->trainer, err);
}

VECTORIZED static void approach(float *restrict average, const float *restrict value, int64_t count,
                                float step)
{
    for (int64_t i = 0; i < count; i++)
        average[i] += step * (value[i] - average[i]);
}

/* Moves the averaged weights; at first faster, so that the start is soon forgotten. */
static void move_average(struct loop *l)
{
    double n = (double)l->iteration, decay = (double)l->options.average;
    double early = (1 + n) / (10 + n);
    float step = (float)(1 - (early < decay ? early : decay));
    int count = params_count(l->network->params);
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < count; i++) {
        const struct param *param = params_peek(l->network->params, i);
        approach(l->average[i], param->value, param->count, step);
    }
}

int loop_iterate(struct loop *l, struct loop_report *report, struct error *err)
{
    *report = (struct loop_report){.iteration = l->iteration,
                                   .lr = loop_learning_rate(&l->options, l->iteration)};
    if (l->segmentation && segment(l, report, err) != 0)
        return -1;
    if (l->classification && l->iteration >= l->options.classify_from &&
        classify(l, report, err) != 0)
        return -1;
    if (l->average)
        move_average(l);
    l->iteration++;
    return 0;
}

/* ---- the model ---- */

static void swap_average(struct loop *l)
{
    for (int i = 0; l->average && i < params_count(l->network->params); i++) {
        struct param *param = params_at(l->network->params, i);
        float *value = param->value;
        param->value = l->average[i];
        l->average[i] = value;
    }
}

int loop_export(struct loop *l, const char *path, bool half, struct error *err)
{
    swap_average(l);
    int rc = network_save(l->network, path, half, err);
    swap_average(l);
    return rc;
}
