#include "model/net/detector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/pages.h"
#include "model/net/backbone.h"
#include "model/rcnn/anchor.h"
#include "model/rcnn/roi_align.h"
#include "model/rcnn/score.h"

enum {
    GRID = DETECTOR_SIDE / BACKBONE_STRIDE,
    SAMPLING = 2,       /* RoIAlign samples per bin and axis */
    MASK_BATCH_MAX = 16 /* masks are predicted in batches of at most this many */
};

static const float SCALE = 1.0f / BACKBONE_STRIDE;
static const struct box_coder rpn_coder = {1, 1, 1, 1}, box_coder = {10, 10, 5, 5};

struct detector {
    const struct network *network;
    struct plan *plan[SUBNETS];
    size_t workspace; /* the largest any plan needs: they run one after the other */
    int mask_batch;
    bool training; /* values must outlive the forward pass: no shared workspace */
};

/* ---- compiling ---- */

struct compile_row {
    int batch, outputs;
    struct plan_output output[6];
};

static void describe_plans(const struct network *n, int mask_batch, struct compile_row row[SUBNETS])
{
    int proposals = n->config.rpn_post_nms_top_n, beta = n->config.beta;
    row[SUBNET_BACKBONE] = (struct compile_row){1, 1, {{n->backbone.features, LAYOUT_NHWC}}};
    row[SUBNET_RPN] = (struct compile_row){
        1, 2, {{n->rpn.objectness, LAYOUT_NHWC}, {n->rpn.deltas, LAYOUT_NHWC}}};
    row[SUBNET_BOXES] = (struct compile_row){.batch = proposals, .outputs = 4};
    for (int b = 0; b < 2; b++) {
        struct plan_output *out = &row[SUBNET_BOXES].output[2 * b];
        out[0] = (struct plan_output){n->boxes.logits[b], LAYOUT_NCHW};
        out[1] = (struct plan_output){n->boxes.deltas[b], LAYOUT_NCHW};
    }
    row[SUBNET_MASKS] = (struct compile_row){mask_batch, 1, {{n->masks.logits, LAYOUT_NHWC}}};
    row[SUBNET_EVIDENCE] = (struct compile_row){beta, 1, {{n->evidence.vectors, LAYOUT_NCHW}}};
    row[SUBNET_SEQUENCE] = (struct compile_row){
        beta, 2, {{n->sequence.states[0], LAYOUT_NCHW}, {n->sequence.states[1], LAYOUT_NCHW}}};
    row[SUBNET_ATTENTION] = (struct compile_row){.batch = beta, .outputs = 6};
    for (int b = 0; b < BRANCHES; b++) {
        struct plan_output *out = &row[SUBNET_ATTENTION].output[3 * b];
        out[0] = (struct plan_output){n->attention.z[b], LAYOUT_NCHW};
        out[1] = (struct plan_output){n->attention.alpha[b], LAYOUT_NCHW};
        out[2] = (struct plan_output){n->attention.o[b], LAYOUT_NCHW};
    }
    row[SUBNET_CLASSIFIER] = (struct compile_row){
        1, 2, {{n->classifier.logits[0], LAYOUT_NCHW}, {n->classifier.logits[1], LAYOUT_NCHW}}};
}

/* What backward must reach: boxes are constants, and with them all that only leads to boxes. */
static unsigned training_flags(int subnet)
{
    switch (subnet) {
    case SUBNET_BACKBONE:
        return PLAN_TRAIN_STATS | PLAN_GRAD_PARAMS;
    case SUBNET_EVIDENCE:
        return PLAN_TRAIN_STATS | PLAN_GRAD_PARAMS | PLAN_GRAD_INPUT;
    case SUBNET_SEQUENCE:
    case SUBNET_ATTENTION:
    case SUBNET_CLASSIFIER:
        return PLAN_GRAD_PARAMS | PLAN_GRAD_INPUT;
    default:
        return 0;
    }
}

int detector_compile(struct detector **out, const struct network *network, enum detector_use use,
                     enum param_fate (*fate)(const char *name, const void *context),
                     const void *context, struct error *err)
{
    int rc = 0;
    *out = NULL;
    struct detector *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(err, ERR_MEMORY, "out of memory for the detector");
    d->network = network;
    d->training = use == DETECT_CLASSIFY;
    int detections = network->config.box_detections_per_img;
    d->mask_batch = detections < MASK_BATCH_MAX ? detections : MASK_BATCH_MAX;
    struct compile_row row[SUBNETS];
    describe_plans(network, d->mask_batch, row);
    if (use == DETECT_INSPECT)
        row[SUBNET_EVIDENCE].output[row[SUBNET_EVIDENCE].outputs++] =
            (struct plan_output){network->evidence.features, LAYOUT_NHWC};
    for (int i = 0; i < SUBNETS; i++) {
        const struct plan_options options = {
            .batch = row[i].batch,
            .flags = use == DETECT_CLASSIFY ? training_flags(i) : 0,
            .fate = fate,
            .context = context,
        };
        TRY(plan_compile(&d->plan[i], &network->graph[i], row[i].output, row[i].outputs, &options,
                         err));
        if (plan_workspace(d->plan[i]) > d->workspace)
            d->workspace = plan_workspace(d->plan[i]);
    }
    *out = d;
    d = NULL;
done:
    detector_free(d);
    return rc;
}

void detector_free(struct detector *detector)
{
    if (!detector)
        return;
    for (int i = 0; i < SUBNETS; i++)
        plan_free(detector->plan[i]);
    free(detector);
}

int detector_refresh(struct detector *detector, struct error *err)
{
    for (int i = 0; i < SUBNETS; i++)
        if (plan_refresh(detector->plan[i], err) != 0)
            return -1;
    return 0;
}

const struct network *detector_network(const struct detector *detector)
{
    return detector->network;
}

/* ---- the bench ---- */

static void point_at_values(struct bench *b, const struct network *n)
{
    b->image = run_value(b->run[SUBNET_BACKBONE], n->backbone.image);
    b->features = run_value(b->run[SUBNET_BACKBONE], n->backbone.features);
    b->objectness = run_value(b->run[SUBNET_RPN], n->rpn.objectness);
    b->rpn_deltas = run_value(b->run[SUBNET_RPN], n->rpn.deltas);
    for (int i = 0; i < 2; i++) {
        b->logits[i] = run_value(b->run[SUBNET_BOXES], n->boxes.logits[i]);
        b->deltas[i] = run_value(b->run[SUBNET_BOXES], n->boxes.deltas[i]);
    }
    b->region_features = run_value(b->run[SUBNET_EVIDENCE], n->evidence.features);
    b->vectors = run_value(b->run[SUBNET_EVIDENCE], n->evidence.vectors);
    for (int i = 0; i < BRANCHES; i++) {
        b->states[i] = run_value(b->run[SUBNET_SEQUENCE], n->sequence.states[i]);
        b->z[i] = run_value(b->run[SUBNET_ATTENTION], n->attention.z[i]);
        b->alpha[i] = run_value(b->run[SUBNET_ATTENTION], n->attention.alpha[i]);
        b->o[i] = run_value(b->run[SUBNET_ATTENTION], n->attention.o[i]);
        b->class_logits[i] = run_value(b->run[SUBNET_CLASSIFIER], n->classifier.logits[i]);
    }
}

static void *array(size_t count, size_t size)
{
    return calloc(count ? count : 1, size);
}

int bench_open(struct bench **out, const struct detector *d, struct error *err)
{
    int rc = 0;
    *out = NULL;
    const struct network *n = d->network;
    const struct model_config *config = &n->config;
    struct bench *b = calloc(1, sizeof *b);
    if (!b)
        return error_set(err, ERR_MEMORY, "out of memory for a session");
    b->detector = d;
    b->workspace = pages_take(d->training ? 0 : d->workspace);
    TRY(b->workspace
            ? 0
            : error_set(err, ERR_MEMORY, "out of memory for a session (%zu bytes)", d->workspace));
    for (int i = 0; i < SUBNETS; i++)
        TRY(run_open(&b->run[i], d->plan[i], d->training ? NULL : b->workspace, err));
    point_at_values(b, n);
    b->width = b->height = DETECTOR_SIDE;

    size_t anchors = (size_t)network_anchors(n) * GRID * GRID;
    size_t proposals = (size_t)config->rpn_post_nms_top_n;
    size_t candidates = proposals * (OBJECT_CLASSES - 1);
    size_t most = anchors > candidates ? anchors : candidates;
    b->proposals = array(proposals, sizeof *b->proposals);
    b->detections = array(DETECTOR_MAX_DETECTIONS, sizeof *b->detections);
    b->masks = array((size_t)DETECTOR_MAX_DETECTIONS * MASK_SIDE * MASK_SIDE, sizeof *b->masks);
    b->regions = array((size_t)config->beta, sizeof *b->regions);
    b->padded = array((size_t)config->beta, sizeof *b->padded);
    b->anchors = array(anchors, sizeof *b->anchors);
    b->boxes = array(most, sizeof *b->boxes);
    b->order = array(most, sizeof *b->order);
    b->labels = array(most, sizeof *b->labels);
    b->origin = array(most, sizeof *b->origin);
    b->kept_regions = array((size_t)config->beta, sizeof *b->kept_regions);
    b->keep = array(BOX_NMS_MAX_KEEP, sizeof *b->keep);
    b->scores = array(most + proposals * OBJECT_CLASSES, sizeof *b->scores);
    b->sorting = array(2 * most, sizeof *b->sorting);
    TRY(b->proposals && b->detections && b->masks && b->regions && b->padded && b->anchors &&
                b->boxes && b->order && b->origin && b->kept_regions && b->labels && b->keep &&
                b->scores && b->sorting
            ? 0
            : error_set(err, ERR_MEMORY, "out of memory for a session"));
    anchor_grid(b->anchors, config->anchor_sizes, config->anchor_sizes_n, config->anchor_ratios,
                config->anchor_ratios_n, GRID, GRID, BACKBONE_STRIDE);
    *out = b;
    b = NULL;
done:
    bench_close(b);
    return rc;
}

void bench_close(struct bench *b)
{
    if (!b)
        return;
    for (int i = 0; i < SUBNETS; i++)
        run_close(b->run[i]);
    free(b->workspace);
    free(b->proposals);
    free(b->detections);
    free(b->masks);
    free(b->regions);
    free(b->padded);
    free(b->anchors);
    free(b->boxes);
    free(b->order);
    free(b->labels);
    free(b->keep);
    free(b->origin);
    free(b->kept_regions);
    free(b->scores);
    free(b->sorting);
    free(b);
}

/* ---- stages ---- */

int detect_features(struct bench *b, struct error *err)
{
    return run_forward(b->run[SUBNET_BACKBONE], err);
}

int detect_rpn(struct bench *b, struct error *err)
{
    const struct network *n = b->detector->network;
    memcpy(run_value(b->run[SUBNET_RPN], n->rpn.features), b->features,
           (size_t)GRID * GRID * (size_t)n->config.out_channels * sizeof(float));
    return run_forward(b->run[SUBNET_RPN], err);
}

void detect_proposals(struct bench *b)
{
    const struct model_config *config = &b->detector->network->config;
    int anchors = network_anchors(b->detector->network) * GRID * GRID;
    int top = box_top_k(b->order, b->objectness, anchors, config->rpn_pre_nms_top_n, b->sorting);
    for (int i = 0; i < top; i++) {
        int a = b->order[i];
        /* A box that is clipped to nothing stays: the reference keeps it. */
        box_decode(&b->boxes[i], &b->anchors[a], b->rpn_deltas + 4 * (size_t)a, &rpn_coder);
        box_clip(&b->boxes[i], b->width, b->height);
    }
    b->proposals_count = box_nms(b->keep, b->boxes, NULL, NULL, top, config->rpn_nms_thresh,
                                 config->rpn_post_nms_top_n);
    for (int i = 0; i < b->proposals_count; i++)
        b->proposals[i] = b->boxes[b->keep[i]];
}

int detect_boxes(struct bench *b, struct error *err)
{
    const struct network *n = b->detector->network;
    int channels = n->config.out_channels;
    size_t pooled = (size_t)BOX_POOL * BOX_POOL * (size_t)channels;
    float *rois = run_value(b->run[SUBNET_BOXES], n->boxes.rois);
    roi_align_forward(rois, b->features, GRID, GRID, channels, b->proposals, b->proposals_count,
                      BOX_POOL, SCALE, SAMPLING);
    /* Fewer proposals than the plan's batch: the rest is zeros, whose results nobody reads. */
    memset(rois + (size_t)b->proposals_count * pooled, 0,
           (size_t)(n->config.rpn_post_nms_top_n - b->proposals_count) * pooled * sizeof(float));
    return run_forward(b->run[SUBNET_BOXES], err);
}

/*
 * Candidates of a branch: for every proposal and object class its decoded, clipped box and score,
 * where the score is above the threshold and `big_enough` says so. Fills boxes, labels, scores
 * and where each came from, and returns their number.
 */
static int gather(struct bench *b, int branch, float threshold,
                  bool (*big_enough)(const struct box *), int *origin)
{
    int count = 0, proposals = b->proposals_count;
    float *probability =
        b->scores + (size_t)b->detector->network->config.rpn_post_nms_top_n * (OBJECT_CLASSES - 1);
    softmax_rows(probability, b->logits[branch], proposals, OBJECT_CLASSES);
    for (int i = 0; i < proposals; i++)
        for (int label = 1; label < OBJECT_CLASSES; label++) {
            int candidate = i * OBJECT_CLASSES + label;
            struct box box;
            if (!(probability[candidate] > threshold))
                continue;
            box_decode(&box, &b->proposals[i], b->deltas[branch] + 4 * (size_t)candidate,
                       &box_coder);
            box_clip(&box, b->width, b->height);
            if (!big_enough(&box))
                continue;
            b->boxes[count] = box;
            b->labels[count] = label;
            b->scores[count] = probability[candidate];
            origin[count++] = candidate;
        }
    return count;
}

/* Suppresses per class and writes the best `most` to out. */
static int suppress(struct bench *b, struct found *out, int candidates, const int *origin,
                    float iou, int most)
{
    box_sort_desc(b->order, b->scores, candidates, b->sorting);
    int kept = box_nms(b->keep, b->boxes, b->labels, b->order, candidates, iou, most);
    for (int i = 0; i < kept; i++) {
        int k = b->keep[i];
        out[i] = (struct found){b->boxes[k], b->scores[k], b->labels[k], origin[k]};
    }
    return kept;
}

static bool any_size(const struct box *box)
{
    (void)box;
    return true;
}

static bool has_area(const struct box *box)
{
    return box_area(box) > 1e-5f;
}

void detect_objects(struct bench *b, float score_threshold, int max_detections)
{
    const struct model_config *config = &b->detector->network->config;
    int candidates = gather(b, 0, score_threshold, any_size, b->origin);
    if (max_detections > DETECTOR_MAX_DETECTIONS)
        max_detections = DETECTOR_MAX_DETECTIONS;
    b->detections_count =
        suppress(b, b->detections, candidates, b->origin, config->box_nms_thresh, max_detections);
}

int detect_masks(struct bench *b, struct error *err)
{
    const struct network *n = b->detector->network;
    int channels = n->config.out_channels, batch = b->detector->mask_batch;
    float *rois = run_value(b->run[SUBNET_MASKS], n->masks.rois);
    const float *logits = run_value(b->run[SUBNET_MASKS], n->masks.logits);
    const int cells = MASK_SIDE * MASK_SIDE;
    for (int first = 0; first < b->detections_count; first += batch) {
        int count = b->detections_count - first < batch ? b->detections_count - first : batch;
        struct box boxes[MASK_BATCH_MAX];
        for (int i = 0; i < count; i++)
            boxes[i] = b->detections[first + i].box;
        roi_align_forward(rois, b->features, GRID, GRID, channels, boxes, count, MASK_POOL, SCALE,
                          SAMPLING);
        if (run_forward(b->run[SUBNET_MASKS], err) != 0)
            return -1;
        for (int i = 0; i < count; i++) {
            float *mask = b->masks + (size_t)(first + i) * (size_t)cells;
            int label = b->detections[first + i].label;
            for (int k = 0; k < cells; k++)
                mask[k] = sigmoid(logits[((size_t)i * (size_t)cells + (size_t)k) * OBJECT_CLASSES +
                                         (size_t)label]);
        }
    }
    return 0;
}

static float distance(const struct box *box)
{
    return sqrtf(box->x0 * box->x0 + box->y0 * box->y0);
}

void detect_regions(struct bench *b)
{
    const struct model_config *config = &b->detector->network->config;
    int beta = config->beta;
    int candidates = gather(b, 1, -0.01f, has_area, b->origin);
    int n = suppress(b, b->kept_regions, candidates, b->origin, config->region_nms_thresh, beta);
    b->unique_regions = n;
    b->regions_count = n ? beta : 0;
    if (n == 0)
        return;
    /* Too few: slot i takes box floor(i n / beta), so repeats stand behind their original. */
    for (int i = 0; i < beta; i++) {
        int source = (int)((int64_t)i * n / beta);
        b->regions[i] = b->kept_regions[source];
        b->padded[i] = i > 0 && source == (int)((int64_t)(i - 1) * n / beta);
    }
    /* Insertion sort: stable, and beta is small. */
    for (int i = 1; i < beta; i++) {
        struct found region = b->regions[i];
        bool padded = b->padded[i];
        int k = i;
        for (; k > 0 && distance(&b->regions[k - 1].box) > distance(&region.box); k--) {
            b->regions[k] = b->regions[k - 1];
            b->padded[k] = b->padded[k - 1];
        }
        b->regions[k] = region;
        b->padded[k] = padded;
    }
}

int detect_evidence(struct bench *b, struct error *err)
{
    const struct network *n = b->detector->network;
    struct box boxes[DETECTOR_MAX_REGIONS];
    for (int i = 0; i < b->regions_count; i++)
        boxes[i] = b->regions[i].box;
    roi_align_forward(run_value(b->run[SUBNET_EVIDENCE], n->evidence.rois), b->features, GRID, GRID,
                      n->config.out_channels, boxes, b->regions_count, MASK_POOL, SCALE, SAMPLING);
    return run_forward(b->run[SUBNET_EVIDENCE], err);
}

int detect_sequence(struct bench *b, struct error *err)
{
    const struct network *n = b->detector->network;
    memcpy(run_value(b->run[SUBNET_SEQUENCE], n->sequence.vectors), b->vectors,
           (size_t)n->config.beta * (size_t)n->config.out_channels * sizeof(float));
    return run_forward(b->run[SUBNET_SEQUENCE], err);
}

int detect_attention(struct bench *b, struct error *err)
{
    const struct network *n = b->detector->network;
    for (int i = 0; i < BRANCHES; i++)
        memcpy(run_value(b->run[SUBNET_ATTENTION], n->attention.states[i]), b->states[i],
               (size_t)n->config.beta * (size_t)n->config.out_channels * sizeof(float));
    return run_forward(b->run[SUBNET_ATTENTION], err);
}

int detect_classes(struct bench *b, struct error *err)
{
    const struct network *n = b->detector->network;
    for (int i = 0; i < BRANCHES; i++)
        memcpy(run_value(b->run[SUBNET_CLASSIFIER], n->classifier.o[i]), b->o[i],
               (size_t)n->config.out_channels * sizeof(float));
    return run_forward(b->run[SUBNET_CLASSIFIER], err);
}
