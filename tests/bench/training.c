/* The time of a training iteration, on a phantom. */
#include <stdlib.h>
#include <string.h>

#include "model/data/phantom.h"
#include "model/nn/adam.h"
#include "model/train/example.h"
#include "tests/bench/bench.h"

enum { WARM = 1, MASKS = 16 /* trained on at once, at least */ };

/* What is trained runs forward and twice as far backward; detection in a classification step runs
 * forward only, and one of the two box branches in a segmentation step. */
static double iteration_flops(const struct network *n, const struct sampling *sampling)
{
    const struct graph *g = n->graph;
    int beta = n->config.beta;
    double segment = graph_flops(&g[SUBNET_BACKBONE], 1) + graph_flops(&g[SUBNET_RPN], 1) +
                     graph_flops(&g[SUBNET_BOXES], sampling->box_batch_size_per_image) / 2 +
                     graph_flops(&g[SUBNET_MASKS], MASKS);
    double classify = graph_flops(&g[SUBNET_BACKBONE], 1) + graph_flops(&g[SUBNET_EVIDENCE], beta) +
                      graph_flops(&g[SUBNET_SEQUENCE], beta) +
                      graph_flops(&g[SUBNET_ATTENTION], beta) +
                      graph_flops(&g[SUBNET_CLASSIFIER], 1);
    double detect = graph_flops(&g[SUBNET_RPN], 1) +
                    graph_flops(&g[SUBNET_BOXES], n->config.rpn_post_nms_top_n);
    return 3 * segment + 3 * classify + detect;
}

static bool in_set(const char *name, const void *context)
{
    const enum step_kind *kind = context;
    return step_updates(*kind, name);
}

struct rig {
    struct network *network;
    struct trainer *trainer;
    struct adam *adam;
    struct rng rng;
};

/* The optimizer and what follows it; seconds. */
static double update(struct rig *rig, enum step_kind kind)
{
    struct error err;
    struct adam_options options = adam_default();
    double since = bench_now();
    adam_step(rig->adam, rig->network->params, &options, in_set, &kind);
    if (kind == STEP_SEGMENT)
        trainer_copy_weights(rig->network);
    bench_must(trainer_refresh(rig->trainer, &err), &err);
    return bench_now() - since;
}

static struct bench_iteration iterate(struct rig *rig, const struct example *example)
{
    struct error err;
    struct bench_iteration t;
    double loss[LOSSES], start = bench_now(), since;
    params_clear_grad(rig->network->params);
    bench_must(trainer_segment(rig->trainer, example, &rig->rng, loss, &err), &err);
    t.segment = bench_now() - start;
    t.update = update(rig, STEP_SEGMENT);
    since = bench_now();
    params_clear_grad(rig->network->params);
    bench_must(trainer_classify(rig->trainer, example, loss, &err), &err);
    t.classify = bench_now() - since;
    t.update += update(rig, STEP_CLASSIFY);
    t.seconds = bench_now() - start;
    return t;
}

struct bench_iteration bench_training(const char *backbone)
{
    struct error err;
    struct rig rig = {.network = bench_network(backbone, NORM_RUNNING)};
    const struct sampling sampling = sampling_default();
    struct phantom phantom;
    struct image image;
    struct example_maker *maker;
    struct example example;
    const int8_t classes[IMAGE_CLASSES] = {0, 0, 1};
    rng_seed(&rig.rng, 1);
    bench_must(phantom_slice(&phantom, PHANTOM_COVID, 1, BENCH_SIDE, BENCH_SIDE, &err), &err);
    bench_must(phantom_image(&image, &phantom, 0, &err), &err);
    bench_must(example_maker_open(&maker, &err), &err);
    bench_must(example_make(&example, maker, &image, phantom.labels, classes, &err), &err);
    bench_must(params_own(rig.network->params, &err), &err);
    bench_must(params_enable_grad(rig.network->params, &err), &err);
    bench_must(trainer_open(&rig.trainer, rig.network, &sampling, NULL, &err), &err);
    bench_must(adam_open(&rig.adam, rig.network->params, &err), &err);

    double values[4][BENCH_MOST_SLICES];
    int count = bench_slices() / 2 + 1;
    for (int i = -WARM; i < count; i++) {
        struct bench_iteration t = iterate(&rig, &example);
        if (i < 0)
            continue;
        values[0][i] = t.seconds;
        values[1][i] = t.segment;
        values[2][i] = t.classify;
        values[3][i] = t.update;
    }
    struct bench_iteration medians = {
        bench_median(values[0], count), bench_median(values[1], count),
        bench_median(values[2], count), bench_median(values[3], count),
        iteration_flops(rig.network, &sampling)};
    adam_close(rig.adam);
    trainer_close(rig.trainer);
    example_maker_close(maker);
    image_free(&image);
    phantom_free(&phantom);
    network_free(rig.network);
    return medians;
}
