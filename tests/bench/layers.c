/* The seeded network of the benchmark, and what of a slice is not its products. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/normalize.h"
#include "model/net/detector.h"
#include "tests/bench/bench.h"

static void open_bench(struct detector **detector, struct bench **b, const struct network *network,
                       const struct image *image)
{
    struct error err;
    struct placement placement;
    bench_must(detector_compile(detector, network, DETECT_SERVE, NULL, NULL, &err), &err);
    bench_must(bench_open(b, *detector, &err), &err);
    bench_must(normalize_slice((*b)->image, BENCH_SIDE, &placement, image, &err), &err);
    (*b)->width = (*b)->height = BENCH_SIDE;
}

/* Seeded weights let activations grow from block to block; boxes and masks then degenerate and half
 * of the work is skipped. */
static void tame_features(struct network *network)
{
    struct error err;
    struct detector *detector;
    struct bench *bench;
    struct image image = bench_image();
    open_bench(&detector, &bench, network, &image);
    bench_must(detect_features(bench, &err), &err);
    double square = 0;
    int64_t count = (int64_t)network->config.out_channels * 16 * 16;
    for (int64_t i = 0; i < count; i++)
        square += (double)bench->features[i] * (double)bench->features[i];
    float factor = (float)(1 / sqrt(square / (double)count));
    static const char *const names[] = {"backbone.fpn.layer_blocks.0.weight",
                                        "backbone.fpn.layer_blocks.0.bias"};
    for (int i = 0; i < 2; i++) {
        struct param *p = params_at(network->params, params_find(network->params, names[i]));
        for (int64_t k = 0; k < p->count; k++)
            p->value[k] *= factor;
    }
    bench_close(bench);
    detector_free(detector);
    image_free(&image);
}

struct network *bench_network(const char *backbone, enum norm_mode mode)
{
    struct error err;
    struct network *network;
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "%s", backbone);
    config.backbone_norm = config.attention_norm = mode;
    config.box_score_thresh = 0;
    bench_must(network_create(&network, &config, &err), &err);
    bench_must(params_fill(network->params, 1, &err), &err);
    tame_features(network);
    return network;
}

struct stopwatch {
    double last, products;
};

static void watch(void *context, const struct run_note *note)
{
    struct stopwatch *w = context;
    double now = bench_now();
    if (note && note->product)
        w->products += now - w->last;
    w->last = bench_now();
}

static void one_slice(struct bench *b)
{
    struct error err;
    const struct model_config *config = &detector_network(b->detector)->config;
    bench_must(detect_features(b, &err), &err);
    bench_must(detect_rpn(b, &err), &err);
    detect_proposals(b);
    bench_must(detect_boxes(b, &err), &err);
    detect_objects(b, config->box_score_thresh, config->box_detections_per_img);
    bench_must(detect_masks(b, &err), &err);
    detect_regions(b);
    bench_must(detect_evidence(b, &err), &err);
    bench_must(detect_sequence(b, &err), &err);
    bench_must(detect_attention(b, &err), &err);
    bench_must(detect_classes(b, &err), &err);
}

double bench_other_share(const struct network *network, const struct image *image)
{
    struct detector *detector;
    struct bench *b;
    double share[BENCH_MOST_SLICES];
    int count = bench_slices();
    struct stopwatch stopwatch;
    struct error err;
    struct placement placement;
    open_bench(&detector, &b, network, image);
    for (int i = 0; i < SUBNETS; i++)
        if (b->run[i])
            run_watch(b->run[i], watch, &stopwatch);
    one_slice(b);
    for (int i = 0; i < count; i++) {
        double since = bench_now();
        stopwatch.products = 0;
        bench_must(normalize_slice(b->image, BENCH_SIDE, &placement, image, &err), &err);
        one_slice(b);
        share[i] = 1 - stopwatch.products / (bench_now() - since);
    }
    bench_close(b);
    detector_free(detector);
    return bench_median(share, count);
}
