#include "model/train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/backbone.h"
#include "model/net/detector.h"
#include "model/nn/plan.h"
#include "model/rcnn/loss.h"
#include "model/rcnn/match.h"
#include "model/rcnn/roi_align.h"

enum {
    GRID = TRAIN_SIDE / BACKBONE_STRIDE,
    SAMPLING = 2,    /* RoIAlign samples per bin and axis */
    MASK_CHUNK = 16, /* masks are trained on in batches of this many; memory grows with it */
    CELLS = MASK_SIDE * MASK_SIDE
};

static const float SCALE = 1.0f / BACKBONE_STRIDE;
static const struct box_coder rpn_coder = {1, 1, 1, 1}, box_coder = {10, 10, 5, 5};

/* The sub-networks a segmentation step needs besides those of the detector. */
enum segment_part { PART_RPN, PART_BOXES, PART_MASKS, PARTS };

struct fate_rule {
    const char *const *freeze;
};

struct trainer {
    struct network *network;
    struct sampling sampling;
    struct fate_rule rule;
    struct detector *detector; /* backbone of both steps, and the classification branch */
    struct bench *bench;
    struct plan *plan[PARTS];
    struct run *run[PARTS];

    float *feature_grad; /* (16, 16, C): what all heads send back */

    /* RPN: by anchor, and by sampled anchor */
    int *match, *selected;
    float *iou, *objectness_target, *delta_target;
    int *delta_row;

    /* RoIs: proposals with the ground truth behind them, and the sampled ones */
    struct box *candidates, *sampled;
    int *sampled_label, *sampled_truth;
    float *mask_target; /* (MASK_CHUNK, 28, 28) */
};

/* ---- names ---- */

struct sampling sampling_default(void)
{
    return (struct sampling){.rpn_fg_iou_thresh = .7f,
                             .rpn_bg_iou_thresh = .3f,
                             .rpn_batch_size_per_image = 256,
                             .rpn_positive_fraction = .75f,
                             .box_fg_iou_thresh = .75f,
                             .box_bg_iou_thresh = .5f,
                             .box_batch_size_per_image = 256,
                             .box_positive_fraction = .5f};
}

const char *loss_name(enum loss loss)
{
    static const char *const names[LOSSES] = {"objectness", "rpn_box_reg", "classifier",
                                              "box_reg",    "mask",        "image"};
    return (unsigned)loss < LOSSES ? names[loss] : NULL;
}

static bool starts_with(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

bool step_updates(enum step_kind kind, const char *name)
{
    bool evidence = starts_with(name, "attn_layer.") || strstr(name, "_classifier_attn.") != NULL;
    if (strstr(name, "_s2."))
        return false;
    if (kind == STEP_CLASSIFY)
        return evidence || starts_with(name, "backbone.");
    return !evidence;
}

double trainer_segment_loss(const double loss[LOSSES])
{
    return loss[LOSS_OBJECTNESS] + loss[LOSS_RPN_BOX] + loss[LOSS_CLASSIFIER] + loss[LOSS_BOX] +
           loss[LOSS_MASK];
}

/* ---- opening ---- */

static enum param_fate fate_of(const char *name, const void *context)
{
    const struct fate_rule *rule = context;
    for (const char *const *prefix = rule->freeze; prefix && *prefix; prefix++)
        if (starts_with(name, *prefix))
            return PARAM_FIXED;
    if (strstr(name, "mask_predictor_s2.conv_reduce."))
        return PARAM_FIXED; /* has no twin to be copied from */
    return strstr(name, "_s2.") ? PARAM_CHANGES : PARAM_TRAINS;
}

static int compile_parts(struct trainer *t, struct error *err)
{
    const struct network *n = t->network;
    const struct {
        int subnet, batch, outputs;
        struct plan_output output[2];
    } parts[PARTS] = {
        [PART_RPN] = {SUBNET_RPN,
                      1,
                      2,
                      {{n->rpn.objectness, LAYOUT_NHWC}, {n->rpn.deltas, LAYOUT_NHWC}}},
        [PART_BOXES] = {SUBNET_BOXES,
                        t->sampling.box_batch_size_per_image,
                        2,
                        {{n->boxes.logits[0], LAYOUT_NCHW}, {n->boxes.deltas[0], LAYOUT_NCHW}}},
        [PART_MASKS] = {SUBNET_MASKS, MASK_CHUNK, 1, {{n->masks.logits, LAYOUT_NHWC}}},
    };
    for (int i = 0; i < PARTS; i++) {
        const struct plan_options options = {.batch = parts[i].batch,
                                             .flags = PLAN_TRAIN_STATS | PLAN_GRAD_INPUT |
                                                      PLAN_GRAD_PARAMS,
                                             .fate = fate_of,
                                             .context = &t->rule};
        if (plan_compile(&t->plan[i], &n->graph[parts[i].subnet], parts[i].output, parts[i].outputs,
                         &options, err) != 0 ||
            run_open(&t->run[i], t->plan[i], NULL, err) != 0)
            return -1;
    }
    return 0;
}

static void *array(int64_t count, size_t size)
{
    return calloc((size_t)(count > 0 ? count : 1), size);
}

int trainer_open(struct trainer **out, struct network *network, const struct sampling *sampling,
                 const char *const *freeze, struct error *err)
{
    int rc;
    *out = NULL;
    struct trainer *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(err, ERR_MEMORY, "out of memory for training");
    t->network = network;
    t->sampling = *sampling;
    t->rule.freeze = freeze;
    TRY(detector_compile(&t->detector, network, DETECT_CLASSIFY, fate_of, &t->rule, err));
    TRY(bench_open(&t->bench, t->detector, err));
    TRY(compile_parts(t, err));
    int64_t anchors = (int64_t)network_anchors(network) * GRID * GRID;
    int64_t candidates = network->config.rpn_post_nms_top_n + TRAIN_MAX_TRUTHS;
    int64_t most = anchors > candidates ? anchors : candidates;
    int64_t rois = sampling->box_batch_size_per_image;
    t->feature_grad = array((int64_t)GRID * GRID * network->config.out_channels, sizeof(float));
    t->match = array(most, sizeof(int));
    t->selected = array(most, sizeof(int));
    t->iou = array(most, sizeof(float));
    t->objectness_target = array(anchors, sizeof(float));
    t->delta_target = array(4 * most, sizeof(float));
    t->delta_row = array(most, sizeof(int));
    t->candidates = array(candidates, sizeof *t->candidates);
    t->sampled = array(rois, sizeof *t->sampled);
    t->sampled_label = array(rois, sizeof(int));
    t->sampled_truth = array(rois, sizeof(int));
    t->mask_target = array((int64_t)MASK_CHUNK * CELLS, sizeof(float));
    TRY(t->feature_grad && t->match && t->selected && t->iou && t->objectness_target &&
                t->delta_target && t->delta_row && t->candidates && t->sampled &&
                t->sampled_label && t->sampled_truth && t->mask_target
            ? 0
            : error_set(err, ERR_MEMORY, "out of memory for training"));
    *out = t;
    t = NULL;
done:
    trainer_close(t);
    return rc;
}

void trainer_close(struct trainer *t)
{
    if (!t)
        return;
    for (int i = 0; i < PARTS; i++) {
        run_close(t->run[i]);
        plan_free(t->plan[i]);
    }
    bench_close(t->bench);
    detector_free(t->detector);
    free(t->feature_grad);
    free(t->match);
    free(t->selected);
    free(t->iou);
    free(t->objectness_target);
    free(t->delta_target);
    free(t->delta_row);
    free(t->candidates);
    free(t->sampled);
    free(t->sampled_label);
    free(t->sampled_truth);
    free(t->mask_target);
    free(t);
}

const struct bench *trainer_bench(const struct trainer *trainer)
{
    return trainer->bench;
}

void trainer_watch(struct trainer *t, void (*watch)(void *, const struct run_note *), void *context)
{
    for (int i = 0; i < PARTS; i++)
        run_watch(t->run[i], watch, context);
    for (int i = 0; i < SUBNETS; i++)
        if (t->bench->run[i])
            run_watch(t->bench->run[i], watch, context);
}

int trainer_refresh(struct trainer *t, struct error *err)
{
    for (int i = 0; i < PARTS; i++)
        if (plan_refresh(t->plan[i], err) != 0)
            return -1;
    return detector_refresh(t->detector, err);
}

void trainer_copy_weights(struct network *network)
{
    static const char *const twins[][2] = {
        {"roi_heads.box_head.", "roi_heads.box_head_s2."},
        {"roi_heads.box_predictor.", "roi_heads.box_predictor_s2."},
        {"roi_heads.mask_head.mask_fcn1.", "roi_heads.mask_head_s2.mask_fcn1."},
        {"roi_heads.mask_predictor.conv_mask.", "roi_heads.mask_predictor_s2.conv_mask."},
    };
    struct params *params = network->params;
    for (int i = 0; i < params_count(params); i++)
        for (size_t k = 0; k < sizeof twins / sizeof *twins; k++) {
            struct param *target = params_at(params, i);
            size_t length = strlen(twins[k][1]);
            if (strncmp(target->name, twins[k][1], length) != 0)
                continue;
            char name[256];
            snprintf(name, sizeof name, "%s%s", twins[k][0], target->name + length);
            int source = params_find(params, name);
            if (source < 0)
                continue;
            memcpy(target->value, params_peek(params, source)->value,
                   (size_t)target->count * sizeof(float));
            target->version++;
        }
}

/* ---- shared by both steps ---- */

static size_t feature_floats(const struct trainer *t)
{
    return (size_t)GRID * GRID * (size_t)t->network->config.out_channels;
}

static int start_step(struct trainer *t, const struct example *example, struct error *err)
{
    struct bench *b = t->bench;
    memcpy(b->image, example->image, (size_t)TRAIN_SIDE * TRAIN_SIDE * sizeof(float));
    b->width = example->width;
    b->height = example->height;
    memset(t->feature_grad, 0, feature_floats(t) * sizeof(float));
    return detect_features(b, err);
}

static int finish_step(struct trainer *t, struct error *err)
{
    struct run *backbone = t->bench->run[SUBNET_BACKBONE];
    float *grad = run_grad(backbone, t->network->backbone.features);
    if (!grad) /* everything below the heads is frozen */
        return 0;
    memcpy(grad, t->feature_grad, feature_floats(t) * sizeof(float));
    return run_backward(backbone, err);
}

static int check_loss(double loss, const char *what, struct error *err)
{
    return isfinite(loss)
               ? 0
               : error_set(err, ERR_BAD_DATA,
                           "the %s loss is not finite: the learning rate is too high, or "
                           "the weights it started from are damaged",
                           what);
}

/* ---- region proposals ---- */

static struct box truth_box(const struct example *example, int i)
{
    return example->instances[i].box;
}

static void copy_truths(struct box *out, const struct example *example)
{
    for (int i = 0; i < example->instances_count; i++)
        out[i] = truth_box(example, i);
}

static int train_rpn(struct trainer *t, const struct example *example, struct rng *rng,
                     double loss[LOSSES], struct error *err)
{
    const struct network *n = t->network;
    const struct sampling *s = &t->sampling;
    struct bench *b = t->bench;
    struct run *run = t->run[PART_RPN];
    int anchors = network_anchors(n) * GRID * GRID, positives;
    memcpy(run_value(run, n->rpn.features), b->features, feature_floats(t) * sizeof(float));
    if (run_forward(run, err) != 0)
        return -1;
    const float *logits = run_value(run, n->rpn.objectness);
    const float *deltas = run_value(run, n->rpn.deltas);
    float *logits_grad = run_grad(run, n->rpn.objectness);
    float *deltas_grad = run_grad(run, n->rpn.deltas);
    memcpy(b->objectness, logits, (size_t)anchors * sizeof(float));
    memcpy(b->rpn_deltas, deltas, 4 * (size_t)anchors * sizeof(float));

    copy_truths(t->candidates, example);
    match_boxes(t->match, t->iou, t->candidates, example->instances_count, b->anchors, anchors,
                s->rpn_fg_iou_thresh, s->rpn_bg_iou_thresh, true);
    int batch = s->rpn_batch_size_per_image < anchors ? s->rpn_batch_size_per_image : anchors;
    int count = sample_balanced(t->selected, &positives, t->match, anchors, batch,
                                s->rpn_positive_fraction, rng);
    for (int i = 0; i < count; i++)
        t->objectness_target[t->selected[i]] = i < positives;
    for (int i = 0; i < positives; i++) {
        int a = t->selected[i];
        t->delta_row[i] = a;
        box_encode(t->delta_target + 4 * (size_t)i, &t->candidates[t->match[a]], &b->anchors[a],
                   &rpn_coder);
    }
    memset(logits_grad, 0, (size_t)anchors * sizeof(float));
    memset(deltas_grad, 0, 4 * (size_t)anchors * sizeof(float));
    loss[LOSS_OBJECTNESS] =
        loss_bce(logits_grad, logits, t->objectness_target, t->selected, count, 1);
    loss[LOSS_RPN_BOX] =
        loss_smooth_l1(deltas_grad, deltas, t->delta_row, t->delta_target, positives, 0, count, 1);
    if (run_backward(run, err) != 0)
        return -1;
    const float *grad = run_grad(run, n->rpn.features);
    for (size_t i = 0; i < feature_floats(t); i++)
        t->feature_grad[i] += grad[i];
    return 0;
}

/* ---- box head ---- */

/* Proposals and ground truth, matched and sampled. Returns how many; the first *positives match. */
static int sample_rois(struct trainer *t, const struct example *example, struct rng *rng,
                       int *positives)
{
    const struct sampling *s = &t->sampling;
    const struct bench *b = t->bench;
    int proposals = b->proposals_count, truths = example->instances_count;
    struct box truth[TRAIN_MAX_TRUTHS];
    copy_truths(truth, example);
    memcpy(t->candidates, b->proposals, (size_t)proposals * sizeof *t->candidates);
    memcpy(t->candidates + proposals, truth, (size_t)truths * sizeof *truth);
    int all = proposals + truths;
    match_boxes(t->match, t->iou, truth, truths, t->candidates, all, s->box_fg_iou_thresh,
                s->box_bg_iou_thresh, false);
    int count = sample_balanced(t->selected, positives, t->match, all, s->box_batch_size_per_image,
                                s->box_positive_fraction, rng);
    for (int i = 0; i < count; i++) {
        int k = t->selected[i];
        t->sampled[i] = t->candidates[k];
        t->sampled_truth[i] = t->match[k];
        t->sampled_label[i] = i < *positives ? example->instances[t->match[k]].label : 0;
    }
    return count;
}

static int train_boxes(struct trainer *t, const struct example *example, int count, int positives,
                       double loss[LOSSES], struct error *err)
{
    const struct network *n = t->network;
    struct run *run = t->run[PART_BOXES];
    int channels = n->config.out_channels, batch = t->sampling.box_batch_size_per_image;
    size_t pooled = (size_t)BOX_POOL * BOX_POOL * (size_t)channels;
    float *rois = run_value(run, n->boxes.rois);
    roi_align_forward(rois, t->bench->features, GRID, GRID, channels, t->sampled, count, BOX_POOL,
                      SCALE, SAMPLING);
    memset(rois + (size_t)count * pooled, 0, (size_t)(batch - count) * pooled * sizeof(float));
    if (run_forward(run, err) != 0)
        return -1;
    float *logits_grad = run_grad(run, n->boxes.logits[0]);
    float *deltas_grad = run_grad(run, n->boxes.deltas[0]);
    memset(logits_grad, 0, (size_t)batch * OBJECT_CLASSES * sizeof(float));
    memset(deltas_grad, 0, (size_t)batch * OBJECT_CLASSES * 4 * sizeof(float));
    for (int i = 0; i < positives; i++) {
        struct box truth = truth_box(example, t->sampled_truth[i]);
        t->delta_row[i] = i * OBJECT_CLASSES + t->sampled_label[i];
        box_encode(t->delta_target + 4 * (size_t)i, &truth, &t->sampled[i], &box_coder);
    }
    loss[LOSS_CLASSIFIER] = loss_softmax(logits_grad, run_value(run, n->boxes.logits[0]),
                                         t->sampled_label, count, OBJECT_CLASSES, 1);
    loss[LOSS_BOX] = loss_smooth_l1(deltas_grad, run_value(run, n->boxes.deltas[0]), t->delta_row,
                                    t->delta_target, positives, 1, count, 1);
    if (run_backward(run, err) != 0)
        return -1;
    roi_align_backward(t->feature_grad, run_grad(run, n->boxes.rois), GRID, GRID, channels,
                       t->sampled, count, BOX_POOL, SCALE, SAMPLING);
    return 0;
}

/* ---- mask head ---- */

static int train_masks(struct trainer *t, const struct example *example, int positives,
                       double loss[LOSSES], struct error *err)
{
    const struct network *n = t->network;
    struct run *run = t->run[PART_MASKS];
    int channels = n->config.out_channels;
    size_t pooled = (size_t)MASK_POOL * MASK_POOL * (size_t)channels;
    float *rois = run_value(run, n->masks.rois), *grad = run_grad(run, n->masks.logits);
    loss[LOSS_MASK] = 0;
    for (int first = 0; first < positives; first += MASK_CHUNK) {
        int count = positives - first < MASK_CHUNK ? positives - first : MASK_CHUNK;
        const struct box *boxes = t->sampled + first;
        roi_align_forward(rois, t->bench->features, GRID, GRID, channels, boxes, count, MASK_POOL,
                          SCALE, SAMPLING);
        memset(rois + (size_t)count * pooled, 0,
               (size_t)(MASK_CHUNK - count) * pooled * sizeof(float));
#pragma omp parallel for schedule(dynamic)
        for (int i = 0; i < count; i++)
            roi_align_mask_target(t->mask_target + (size_t)i * CELLS, example->plane, TRAIN_SIDE,
                                  TRAIN_SIDE, TRAIN_SIDE,
                                  (uint8_t)(t->sampled_truth[first + i] + 1), &boxes[i], MASK_SIDE);
        if (run_forward(run, err) != 0)
            return -1;
        /* The loss is a mean over all positives: a chunk has its share of it. */
        float share = (float)count / (float)positives;
        memset(grad, 0, (size_t)MASK_CHUNK * CELLS * OBJECT_CLASSES * sizeof(float));
        loss[LOSS_MASK] += (double)share * loss_mask(grad, run_value(run, n->masks.logits),
                                                     t->mask_target, t->sampled_label + first,
                                                     count, OBJECT_CLASSES, CELLS, true, share);
        if (run_backward(run, err) != 0)
            return -1;
        roi_align_backward(t->feature_grad, run_grad(run, n->masks.rois), GRID, GRID, channels,
                           boxes, count, MASK_POOL, SCALE, SAMPLING);
    }
    return 0;
}

/* ---- the two steps ---- */

int trainer_segment(struct trainer *t, const struct example *example, struct rng *rng,
                    double loss[LOSSES], struct error *err)
{
    int rc, positives;
    if (example->instances_count > TRAIN_MAX_TRUTHS)
        return error_set(err, ERR_ARGUMENT, "%d instances in one slice; at most %d fit",
                         example->instances_count, TRAIN_MAX_TRUTHS);
    TRY(start_step(t, example, err));
    TRY(train_rpn(t, example, rng, loss, err));
    detect_proposals(t->bench);
    int count = sample_rois(t, example, rng, &positives);
    TRY(train_boxes(t, example, count, positives, loss, err));
    TRY(train_masks(t, example, positives, loss, err));
    TRY(check_loss(trainer_segment_loss(loss), "segmentation", err));
    TRY(finish_step(t, err));
done:
    return rc;
}

/* Binary cross-entropy of (for - against) over the classes that are known, and its gradient. */
static double image_loss(float grad[IMAGE_CLASSES], const struct example *example,
                         const float *logits_for, const float *logits_against)
{
    float logits[IMAGE_CLASSES], targets[IMAGE_CLASSES];
    int known[IMAGE_CLASSES], count = 0;
    for (int c = 0; c < IMAGE_CLASSES; c++) {
        logits[c] = logits_for[c] - logits_against[c];
        targets[c] = example->classes[c] > 0;
        grad[c] = 0;
        if (example->classes[c] >= 0)
            known[count++] = c;
    }
    return loss_bce(grad, logits, targets, known, count, 1);
}

/* Runs a sub-network backwards whose output gradients were filled in, and hands its inputs' on. */
static int pass_back(struct run *run, const int *inputs, struct run *below, const int *outputs,
                     int count, size_t floats, struct error *err)
{
    if (run_backward(run, err) != 0)
        return -1;
    for (int i = 0; i < count; i++)
        memcpy(run_grad(below, outputs[i]), run_grad(run, inputs[i]), floats * sizeof(float));
    return 0;
}

int trainer_classify(struct trainer *t, const struct example *example, double loss[LOSSES],
                     struct error *err)
{
    int rc;
    const struct network *n = t->network;
    struct bench *b = t->bench;
    size_t channels = (size_t)n->config.out_channels, beta = (size_t)n->config.beta;
    TRY(start_step(t, example, err));
    TRY(detect_rpn(b, err));
    detect_proposals(b);
    TRY(detect_boxes(b, err));
    detect_regions(b);
    loss[LOSS_IMAGE] = 0;
    if (b->regions_count == 0)
        return 0; /* no evidence, nothing to learn from it */
    TRY(detect_evidence(b, err));
    TRY(detect_sequence(b, err));
    TRY(detect_attention(b, err));
    TRY(detect_classes(b, err));

    float grad[IMAGE_CLASSES];
    loss[LOSS_IMAGE] =
        image_loss(grad, example, b->class_logits[BRANCH_FOR], b->class_logits[BRANCH_AGAINST]);
    TRY(check_loss(loss[LOSS_IMAGE], "image", err));
    struct run *classifier = b->run[SUBNET_CLASSIFIER], *attention = b->run[SUBNET_ATTENTION];
    struct run *sequence = b->run[SUBNET_SEQUENCE], *evidence = b->run[SUBNET_EVIDENCE];
    for (int c = 0; c < IMAGE_CLASSES; c++) {
        run_grad(classifier, n->classifier.logits[BRANCH_FOR])[c] = grad[c];
        run_grad(classifier, n->classifier.logits[BRANCH_AGAINST])[c] = -grad[c];
    }
    for (int i = 0; i < BRANCHES; i++) { /* z and alpha are read by nobody here but o */
        memset(run_grad(attention, n->attention.z[i]), 0, channels * sizeof(float));
        memset(run_grad(attention, n->attention.alpha[i]), 0, beta * sizeof(float));
    }
    TRY(pass_back(classifier, n->classifier.o, attention, n->attention.o, BRANCHES, channels, err));
    TRY(pass_back(attention, n->attention.states, sequence, n->sequence.states, BRANCHES,
                  beta * channels, err));
    TRY(pass_back(sequence, &n->sequence.vectors, evidence, &n->evidence.vectors, 1,
                  beta * channels, err));
    TRY(run_backward(evidence, err));
    struct box boxes[DETECTOR_MAX_REGIONS];
    for (int i = 0; i < b->regions_count; i++)
        boxes[i] = b->regions[i].box;
    roi_align_backward(t->feature_grad, run_grad(evidence, n->evidence.rois), GRID, GRID,
                       n->config.out_channels, boxes, b->regions_count, MASK_POOL, SCALE, SAMPLING);
    TRY(finish_step(t, err));
done:
    return rc;
}
