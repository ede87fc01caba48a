/*
 * Compares the core with recorded outputs of the reference implementation, stage by stage (every
 * stage fed with the record's own input) and end to end.
 *
 *   parity FOLDER      runs every infer_*.safetensors and train_*.safetensors in it
 *
 * One line per stage: the largest deviation relative to the tensor's largest magnitude, or how a
 * discrete choice compares. A tensor may be absent only where the record's metadata say
 * "tensors": "reduced"; its line then says so. Exits 1 if one misses its tolerance, 2 if there was
 * nothing to run.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/image.h"
#include "model/data/normalize.h"
#include "model/net/detector.h"
#include "model/nn/safetensors.h"
#include "model/rcnn/paste.h"
#include "tests/golden/parity.h"

static const double STAGE = 1e-3, WHOLE = 5e-3, BOX_PIXELS = 0.05;

/* ---- reading a record ---- */

struct record {
    struct safetensors *file;
    const char *name;
    bool reduced; /* may lack tensors */
    int failures, checks;
};

static const struct tensor_view *need(const struct record *r, const char *name)
{
    const struct tensor_view *t = safetensors_find(r->file, name);
    if (!t)
        fprintf(stderr, "%s: tensor %s is missing\n", r->name, name);
    return t;
}

static float *floats(const struct record *r, const char *name)
{
    struct error err;
    const struct tensor_view *t = need(r, name);
    float *out = t ? malloc(((size_t)t->elements + 1) * sizeof *out) : NULL;
    if (out && tensor_to_f32(out, t, &err) != 0) {
        fprintf(stderr, "%s: %s\n", r->name, err.text);
        free(out);
        out = NULL;
    }
    if (!out)
        exit(1);
    return out;
}

static int64_t rows(const struct record *r, const char *name)
{
    const struct tensor_view *t = need(r, name);
    return t ? t->shape[0] : 0;
}

/* ---- reporting ---- */

static void line(struct record *r, const char *mode, const char *stage, bool good, const char *what,
                 double value, double limit)
{
    r->checks++;
    r->failures += !good;
    printf("%-34s %-6s %-20s %-22s %9.2e  limit %7.0e  %s\n", r->name, mode, stage, what, value,
           limit, good ? "ok" : "FAIL");
}

/* True where the record may, and does, lack this tensor. */
static bool left_out(const struct record *r, const char *mode, const char *stage,
                     const char *tensor)
{
    if (!r->reduced || safetensors_find(r->file, tensor))
        return false;
    printf("%-34s %-6s %-20s %-22s not in this record\n", r->name, mode, stage, tensor);
    return true;
}

static double relative(const float *ours, const float *theirs, int64_t count)
{
    double largest = 0, deviation = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)ours[i] - (double)theirs[i]);
        if (!(d <= deviation)) /* NaN counts as a deviation */
            deviation = isnan(d) ? INFINITY : d;
        if (fabs((double)theirs[i]) > largest)
            largest = fabs((double)theirs[i]);
    }
    return largest > 0 ? deviation / largest : deviation;
}

static void compare(struct record *r, const char *mode, const char *stage, const float *ours,
                    const char *tensor, int64_t count, double limit)
{
    if (left_out(r, mode, stage, tensor))
        return;
    float *theirs = floats(r, tensor);
    double d = relative(ours, theirs, count);
    line(r, mode, stage, d <= limit, tensor, d, limit);
    free(theirs);
}

/* (channels, cells) of the record against (cells, channels) of ours. */
static void compare_transposed(struct record *r, const char *mode, const char *stage,
                               const float *ours, const char *tensor, int64_t channels,
                               int64_t cells, double limit)
{
    float *theirs = floats(r, tensor), *turned = malloc((size_t)(channels * cells) * sizeof(float));
    for (int64_t c = 0; c < channels; c++)
        for (int64_t k = 0; k < cells; k++)
            turned[k * channels + c] = theirs[c * cells + k];
    double d = relative(ours, turned, channels * cells);
    line(r, mode, stage, d <= limit, tensor, d, limit);
    free(theirs);
    free(turned);
}

static double box_distance(const struct box *a, const float *b)
{
    double d[] = {fabs((double)a->x0 - (double)b[0]), fabs((double)a->y0 - (double)b[1]),
                  fabs((double)a->x1 - (double)b[2]), fabs((double)a->y1 - (double)b[3])};
    double most = 0;
    for (int i = 0; i < 4; i++)
        if (!(d[i] <= most))
            most = d[i];
    return most;
}

/* Boxes, labels and scores of a list in order; `prefix` is "det" or "roi". */
static void compare_found(struct record *r, const char *mode, const char *stage,
                          const struct found *ours, int count, const char *prefix, double limit)
{
    char name[3][32];
    static const char *const parts[] = {"boxes", "labels", "scores"};
    for (int i = 0; i < 3; i++)
        snprintf(name[i], sizeof name[i], "%s_%s", prefix, parts[i]);
    int64_t n = rows(r, name[0]);
    line(r, mode, stage, n == count, "count differs by", fabs((double)(n - count)), 0);
    if (n != count)
        return;
    float *boxes = floats(r, name[0]), *labels = floats(r, name[1]), *scores = floats(r, name[2]);
    float *found = malloc(((size_t)n + 1) * sizeof *found);
    double distance = 0;
    int unlike = 0;
    for (int i = 0; i < count; i++) {
        distance = fmax(distance, box_distance(&ours[i].box, boxes + 4 * i));
        unlike += ours[i].label != (int)labels[i];
        found[i] = ours[i].score;
    }
    line(r, mode, stage, distance <= BOX_PIXELS, name[0], distance, BOX_PIXELS);
    line(r, mode, stage, unlike == 0, name[1], unlike, 0);
    double d = relative(found, scores, n);
    line(r, mode, stage, d <= limit, name[2], d, limit);
    free(boxes);
    free(labels);
    free(scores);
    free(found);
}

/* Which regions repeat others; a record that does not say has none that do. */
static void compare_padding(struct record *r, const char *mode, const struct bench *b)
{
    const struct tensor_view *padded = safetensors_find(r->file, "roi_padded");
    int unlike = 0;
    for (int i = 0; i < b->regions_count; i++)
        unlike += b->padded[i] !=
                  (padded && i < padded->elements && ((const uint8_t *)padded->data)[i] != 0);
    line(r, mode, "regions", unlike == 0, "roi_padded", unlike, 0);
}

static void compare_masks(struct record *r, const char *mode, struct bench *b, double limit)
{
    if (rows(r, "det_boxes") != b->detections_count)
        return; /* reported with the boxes */
    compare(r, mode, "masks", b->masks, "det_mask_probs28",
            (int64_t)b->detections_count * MASK_SIDE * MASK_SIDE, limit);
    float *area = floats(r, "det_mask_area");
    uint8_t *plane = calloc(DETECTOR_SIDE, DETECTOR_SIDE);
    double worst = 0;
    for (int i = 0; i < b->detections_count; i++) {
        struct mask_window window;
        int64_t ours =
            mask_paste(b->masks + (size_t)i * MASK_SIDE * MASK_SIDE, MASK_SIDE,
                       &b->detections[i].box, DETECTOR_SIDE, DETECTOR_SIDE, 0.5f, plane, &window);
        double allowed = 0.02 * (double)area[i] + 4;
        worst = fmax(worst, fabs((double)ours - (double)area[i]) / allowed);
    }
    line(r, mode, "paste", worst <= 1, "area / (2 % + 4 px)", worst, 1);
    free(area);
    free(plane);
}

static void compare_region_features(struct record *r, const char *mode, const struct bench *b,
                                    double limit)
{
    const struct model_config *config = &network_of(b)->config;
    int64_t channels = config->out_channels, cells = MASK_SIDE * MASK_SIDE, beta = config->beta;
    float *means = calloc((size_t)(beta * channels), sizeof *means);
    float *first = malloc((size_t)(8 * cells) * sizeof *first);
    for (int64_t i = 0; i < beta; i++)
        for (int64_t c = 0; c < channels; c++) {
            double sum = 0;
            for (int64_t k = 0; k < cells; k++)
                sum += (double)b->region_features[(i * cells + k) * channels + c];
            means[i * channels + c] = (float)(sum / (double)cells);
        }
    for (int64_t c = 0; c < 8; c++)
        for (int64_t k = 0; k < cells; k++)
            first[c * cells + k] = b->region_features[k * channels + c];
    compare(r, mode, "regions", means, "roi_feature_means", beta * channels, limit);
    compare(r, mode, "regions", first, "roi_feature_0", 8 * cells, limit);
    free(means);
    free(first);
}

static void compare_attention(struct record *r, const char *mode, const struct bench *b,
                              double limit)
{
    static const char *const names[BRANCHES][3] = {{"z_pos", "attention_pos", "o_pos"},
                                                   {"z_neg", "attention_neg", "o_neg"}};
    const struct model_config *config = &network_of(b)->config;
    for (int i = 0; i < BRANCHES; i++) {
        compare(r, mode, "attention", b->z[i], names[i][0], config->out_channels, limit);
        compare(r, mode, "attention", b->alpha[i], names[i][1], config->beta, limit);
        compare(r, mode, "attention", b->o[i], names[i][2], config->out_channels, limit);
    }
}

static void compare_classes(struct record *r, const char *mode, const struct bench *b, double limit)
{
    float logits[IMAGE_CLASSES];
    for (int c = 0; c < IMAGE_CLASSES; c++)
        logits[c] = b->class_logits[BRANCH_FOR][c] - b->class_logits[BRANCH_AGAINST][c];
    compare(r, mode, "classifier", b->class_logits[BRANCH_FOR], "logits_pos", IMAGE_CLASSES, limit);
    compare(r, mode, "classifier", b->class_logits[BRANCH_AGAINST], "logits_neg", IMAGE_CLASSES,
            limit);
    compare(r, mode, "classifier", logits, "logits", IMAGE_CLASSES, limit);
}

/* ---- feeding a stage with the record's own values ---- */

static void feed(const struct record *r, float *to, const char *tensor, int64_t count)
{
    float *from = floats(r, tensor);
    memcpy(to, from, (size_t)count * sizeof *to);
    free(from);
}

static void feed_transposed(const struct record *r, float *to, const char *tensor, int64_t channels,
                            int64_t cells)
{
    float *from = floats(r, tensor);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t k = 0; k < cells; k++)
            to[k * channels + c] = from[c * cells + k];
    free(from);
}

/* The record's slice, standardised and fitted into the network's input. */
static int feed_image(const struct record *r, struct bench *b, struct error *err)
{
    const struct tensor_view *u8 = need(r, "image_u8");
    struct placement placement;
    struct image image;
    if (!u8 || u8->rank != 2)
        return error_set(err, ERR_BAD_DATA, "the record has no image");
    if (image_alloc(&image, (int)u8->shape[1], (int)u8->shape[0], err) != 0)
        return -1;
    for (int64_t i = 0; i < u8->elements; i++)
        image.pixels[i] = (float)((const uint8_t *)u8->data)[i] / 255;
    int rc = normalize_slice(b->image, DETECTOR_SIDE, &placement, &image, err);
    b->width = (float)placement.width;
    b->height = (float)placement.height;
    image_free(&image);
    return rc;
}

static void feed_boxes(const struct record *r, struct bench *b)
{
    float *boxes = floats(r, "proposals");
    b->proposals_count = (int)rows(r, "proposals");
    memcpy(b->proposals, boxes, (size_t)b->proposals_count * sizeof *b->proposals);
    free(boxes);
}

/* ---- the two ways ---- */

static int stage_by_stage(struct record *r, struct bench *b, struct error *err)
{
    int rc;
    const struct network *n = network_of(b);
    const int64_t cells = 16 * 16, channels = n->config.out_channels;
    const int64_t anchors = network_anchors(n), beta = n->config.beta;
    float threshold = n->config.box_score_thresh;
    const char *mode = "stage";

    TRY(feed_image(r, b, err));
    if (!left_out(r, mode, "backbone", "input"))
        feed(r, b->image, "input", (int64_t)DETECTOR_SIDE * DETECTOR_SIDE);
    TRY(detect_features(b, err));
    compare_transposed(r, mode, "backbone", b->features, "features", channels, cells, STAGE);

    feed_transposed(r, b->features, "features", channels, cells);
    TRY(detect_rpn(b, err));
    compare_transposed(r, mode, "rpn", b->objectness, "rpn_objectness", anchors, cells, STAGE);
    compare_transposed(r, mode, "rpn", b->rpn_deltas, "rpn_deltas", 4 * anchors, cells, STAGE);

    feed_transposed(r, b->objectness, "rpn_objectness", anchors, cells);
    feed_transposed(r, b->rpn_deltas, "rpn_deltas", 4 * anchors, cells);
    detect_proposals(b);
    int64_t count = rows(r, "proposals");
    line(r, mode, "proposals", count == b->proposals_count, "count differs by",
         fabs((double)(count - b->proposals_count)), 0);
    double distance = 0;
    float *theirs = floats(r, "proposals");
    for (int i = 0; i < b->proposals_count && i < count; i++)
        distance = fmax(distance, box_distance(&b->proposals[i], theirs + 4 * (size_t)i));
    free(theirs);
    line(r, mode, "proposals", distance <= BOX_PIXELS, "proposals", distance, BOX_PIXELS);

    feed_boxes(r, b);
    TRY(detect_boxes(b, err));
    compare(r, mode, "boxes", b->logits[0], "seg_box_logits", 4 * count, STAGE);
    compare(r, mode, "boxes", b->deltas[0], "seg_box_deltas", 16 * count, STAGE);
    compare(r, mode, "boxes", b->logits[1], "cls_box_logits", 4 * count, STAGE);
    compare(r, mode, "boxes", b->deltas[1], "cls_box_deltas", 16 * count, STAGE);

    feed(r, b->logits[0], "seg_box_logits", 4 * count);
    feed(r, b->deltas[0], "seg_box_deltas", 16 * count);
    detect_objects(b, threshold, n->config.box_detections_per_img);
    compare_found(r, mode, "detections", b->detections, b->detections_count, "det", STAGE);
    TRY(detect_masks(b, err));
    compare_masks(r, mode, b, STAGE);

    feed(r, b->logits[1], "cls_box_logits", 4 * count);
    feed(r, b->deltas[1], "cls_box_deltas", 16 * count);
    detect_regions(b);
    compare_found(r, mode, "regions", b->regions, b->regions_count, "roi", STAGE);
    compare_padding(r, mode, b);
    if (rows(r, "roi_boxes") == 0)
        return 0; /* no evidence, nothing to classify */
    TRY(detect_evidence(b, err));
    compare_region_features(r, mode, b, STAGE);
    compare(r, mode, "evidence", b->vectors, "roi_vectors", beta * channels, STAGE);

    feed(r, b->vectors, "roi_vectors", beta * channels);
    TRY(detect_sequence(b, err));
    compare(r, mode, "sequence", b->states[BRANCH_FOR], "lstm_pos", beta * channels, STAGE);
    compare(r, mode, "sequence", b->states[BRANCH_AGAINST], "lstm_neg", beta * channels, STAGE);

    feed(r, b->states[BRANCH_FOR], "lstm_pos", beta * channels);
    feed(r, b->states[BRANCH_AGAINST], "lstm_neg", beta * channels);
    TRY(detect_attention(b, err));
    compare_attention(r, mode, b, STAGE);

    feed(r, b->o[BRANCH_FOR], "o_pos", channels);
    feed(r, b->o[BRANCH_AGAINST], "o_neg", channels);
    TRY(detect_classes(b, err));
    compare_classes(r, mode, b, STAGE);
done:
    return rc;
}

/* Proposals as a set: near-equal objectness may swap, at most 1 % may lack a counterpart. */
static void compare_proposal_sets(struct record *r, const struct bench *b)
{
    int64_t n = rows(r, "proposals");
    float *theirs = floats(r, "proposals");
    int lonely = 0;
    for (int64_t i = 0; i < n; i++) {
        bool met = false;
        for (int k = 0; k < b->proposals_count && !met; k++)
            met = box_distance(&b->proposals[k], theirs + 4 * i) <= BOX_PIXELS;
        lonely += !met;
    }
    lonely += (int)llabs(n - b->proposals_count);
    double share = n ? (double)lonely / (double)n : lonely;
    line(r, "whole", "proposals", share <= 0.01, "without counterpart", share, 0.01);
    free(theirs);
}

static int end_to_end(struct record *r, struct bench *b, struct error *err)
{
    int rc;
    const struct network *n = network_of(b);
    const int64_t cells = 16 * 16, channels = n->config.out_channels;
    const int64_t anchors = network_anchors(n), beta = n->config.beta;
    const char *mode = "whole";
    TRY(feed_image(r, b, err));
    compare(r, mode, "normalize", b->image, "input", (int64_t)DETECTOR_SIDE * DETECTOR_SIDE, STAGE);
    TRY(detect_features(b, err));
    compare_transposed(r, mode, "backbone", b->features, "features", channels, cells, WHOLE);
    TRY(detect_rpn(b, err));
    compare_transposed(r, mode, "rpn", b->objectness, "rpn_objectness", anchors, cells, WHOLE);
    compare_transposed(r, mode, "rpn", b->rpn_deltas, "rpn_deltas", 4 * anchors, cells, WHOLE);
    detect_proposals(b);
    compare_proposal_sets(r, b);
    TRY(detect_boxes(b, err));
    detect_objects(b, n->config.box_score_thresh, n->config.box_detections_per_img);
    compare_found(r, mode, "detections", b->detections, b->detections_count, "det", WHOLE);
    TRY(detect_masks(b, err));
    compare_masks(r, mode, b, WHOLE);
    detect_regions(b);
    compare_found(r, mode, "regions", b->regions, b->regions_count, "roi", WHOLE);
    compare_padding(r, mode, b);
    if (rows(r, "roi_boxes") == 0)
        return 0;
    TRY(detect_evidence(b, err));
    compare_region_features(r, mode, b, WHOLE);
    compare(r, mode, "evidence", b->vectors, "roi_vectors", beta * channels, WHOLE);
    TRY(detect_sequence(b, err));
    compare(r, mode, "sequence", b->states[BRANCH_FOR], "lstm_pos", beta * channels, WHOLE);
    compare(r, mode, "sequence", b->states[BRANCH_AGAINST], "lstm_neg", beta * channels, WHOLE);
    TRY(detect_attention(b, err));
    compare_attention(r, mode, b, WHOLE);
    TRY(detect_classes(b, err));
    compare_classes(r, mode, b, WHOLE);
done:
    return rc;
}

static int run_record(const char *path, const char *name, int *checks)
{
    int rc;
    struct error err = {.code = ERR_NONE};
    struct record r = {.name = name};
    struct network *network = NULL;
    struct detector *detector = NULL;
    struct bench *bench = NULL;
    TRY(safetensors_open(&r.file, path, &err));
    const char *tensors = safetensors_metadata(r.file, "tensors");
    r.reduced = tensors && strcmp(tensors, "reduced") == 0;
    TRY(parity_network(&network, r.file, &err));
    TRY(detector_compile(&detector, network, DETECT_INSPECT, NULL, NULL, &err));
    TRY(bench_open(&bench, detector, &err));
    TRY(stage_by_stage(&r, bench, &err));
    TRY(end_to_end(&r, bench, &err));
done:
    if (rc)
        fprintf(stderr, "%s: %s\n", path, err.text);
    printf("%-34s %d of %d checks passed\n", name, r.checks - r.failures, r.checks);
    *checks += r.checks;
    bench_close(bench);
    detector_free(detector);
    network_free(network);
    safetensors_close(r.file);
    return rc || r.failures || !r.checks;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: parity FOLDER\n");
        return 2;
    }
    struct dirent **entries;
    int n = scandir(argv[1], &entries, NULL, alphasort), failed = 0, ran = 0, checks = 0;
    if (n < 0) {
        perror(argv[1]);
        return 2;
    }
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        size_t length = strlen(name);
        static const char suffix[] = ".safetensors";
        char path[4096];
        bool file =
            length > sizeof suffix - 1 && strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
        bool infer = file && strncmp(name, "infer_", 6) == 0;
        bool train = file && strncmp(name, "train_", 6) == 0;
        snprintf(path, sizeof path, "%s/%s", argv[1], name);
        if (infer || train) {
            ran++;
            failed += infer ? run_record(path, name, &checks) : parity_train(path, name, &checks);
        }
        free(entries[i]);
    }
    free(entries);
    if (!ran)
        fprintf(stderr, "no infer_*.safetensors or train_*.safetensors in %s\n", argv[1]);
    printf("%d of %d records agree (%d checks)\n", ran - failed, ran, checks);
    return !ran ? 2 : failed ? 1 : 0;
}
