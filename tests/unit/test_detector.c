/*
 * net/detector: the steps between sub-networks against plain loops, how sub-networks are fed, and
 * what serving leaves out.
 */
#include "model/net/detector.h"

#include <math.h>
#include <stdio.h>

#include "model/rcnn/anchor.h"
#include "model/rcnn/score.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

enum { GRID = 16, CELLS = GRID * GRID, POST = 40, BETA = 6 };

static struct network *network;
static struct detector *detector;
static struct bench *bench;

static struct model_config small(void)
{
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "resnet18");
    config.out_channels = 16;
    config.representation = 8;
    config.anchor_sizes_n = config.anchor_ratios_n = 2;
    config.anchor_sizes[0] = 32;
    config.anchor_sizes[1] = 96;
    config.rpn_pre_nms_top_n = 120;
    config.rpn_post_nms_top_n = POST;
    config.beta = BETA;
    config.box_detections_per_img = 20; /* more than one batch of masks */
    return config;
}

static void make(struct network **n, struct detector **d, const struct model_config *config,
                 enum detector_use use)
{
    struct error err = {.text = ""};
    ck_assert_msg(network_create(n, config, &err) == 0, "%s", err.text);
    ck_assert_int_eq(params_fill((*n)->params, 3, &err), 0);
    ck_assert_msg(detector_compile(d, *n, use, NULL, NULL, &err) == 0, "%s", err.text);
}

static void set_up(void)
{
    struct error err = {.text = ""};
    struct model_config config = small();
    make(&network, &detector, &config, DETECT_INSPECT);
    ck_assert_msg(bench_open(&bench, detector, &err) == 0, "%s", err.text);
}

static void tear_down(void)
{
    bench_close(bench);
    detector_free(detector);
    network_free(network);
}

/* ---- hand-made inputs ---- */

static unsigned state;

static float uniform(float low, float high)
{
    state = state * 1664525u + 1013904223u;
    return low + (high - low) * (float)(state >> 8) / (float)(1 << 24);
}

static void random_values(float *out, int64_t count, float low, float high)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = uniform(low, high);
}

static struct box random_box(float least, float most)
{
    float x = uniform(0, 480), y = uniform(0, 480);
    return (struct box){x, y, x + uniform(least, most), y + uniform(least, most)};
}

static void random_proposals(int count)
{
    bench->proposals_count = count;
    for (int i = 0; i < count; i++)
        bench->proposals[i] = random_box(4, 200);
}

/* ---- plain versions of the steps ---- */

struct candidate {
    struct box box;
    float score;
    int label, index;
};

static int better(const void *a, const void *b)
{
    const struct candidate *p = a, *q = b;
    return p->score > q->score ? -1 : p->score < q->score ? 1 : p->index - q->index;
}

/* Sorts, then keeps what overlaps nothing kept before of its label; returns how many. */
static int keep_best(struct candidate *c, int count, float iou, int most)
{
    int kept = 0;
    qsort(c, (size_t)count, sizeof *c, better);
    for (int i = 0; i < count && kept < most; i++) {
        bool hidden = false;
        for (int k = 0; k < kept; k++)
            hidden |= c[k].label == c[i].label && box_iou(&c[k].box, &c[i].box) > iou;
        if (!hidden)
            c[kept++] = c[i];
    }
    return kept;
}

static int plain_proposals(struct candidate *c)
{
    static const struct box_coder coder = {1, 1, 1, 1};
    const struct model_config *config = &network->config;
    int per_cell = network_anchors(network), count = per_cell * CELLS;
    struct box *anchors = calloc((size_t)count, sizeof *anchors);
    anchor_grid(anchors, config->anchor_sizes, config->anchor_sizes_n, config->anchor_ratios,
                config->anchor_ratios_n, GRID, GRID, 32);
    for (int i = 0; i < count; i++)
        c[i] = (struct candidate){.score = bench->objectness[i], .index = i};
    qsort(c, (size_t)count, sizeof *c, better);
    for (int i = 0; i < config->rpn_pre_nms_top_n; i++) {
        box_decode(&c[i].box, &anchors[c[i].index], bench->rpn_deltas + 4 * c[i].index, &coder);
        box_clip(&c[i].box, bench->width, bench->height);
    }
    free(anchors);
    return keep_best(c, config->rpn_pre_nms_top_n, config->rpn_nms_thresh, POST);
}

static int plain_candidates(struct candidate *c, int branch, float threshold, float least_area)
{
    static const struct box_coder coder = {10, 10, 5, 5};
    int count = 0;
    for (int i = 0; i < bench->proposals_count; i++) {
        float p[OBJECT_CLASSES];
        softmax_rows(p, bench->logits[branch] + i * OBJECT_CLASSES, 1, OBJECT_CLASSES);
        for (int label = 1; label < OBJECT_CLASSES; label++) {
            int index = i * OBJECT_CLASSES + label;
            c[count] = (struct candidate){{0, 0, 0, 0}, p[label], label, index};
            box_decode(&c[count].box, &bench->proposals[i], bench->deltas[branch] + 4 * index,
                       &coder);
            box_clip(&c[count].box, bench->width, bench->height);
            count += p[label] > threshold && box_area(&c[count].box) > least_area;
        }
    }
    return count;
}

static void same_found(const struct found *ours, const struct candidate *right)
{
    ck_assert_int_eq(ours->candidate, right->index);
    ck_assert_int_eq(ours->label, right->label);
    ck_assert(ours->score == right->score);
    ck_assert_mem_eq(&ours->box, &right->box, sizeof ours->box);
}

/* ---- proposals ---- */

START_TEST(proposals_are_the_best_that_do_not_overlap)
{
    static struct candidate c[8 * CELLS];
    int anchors = network_anchors(network);
    state = 100 + (unsigned)_i;
    bench->width = _i % 2 ? 512 : 333.5f;
    bench->height = _i % 3 ? 512 : 17;
    random_values(bench->objectness, (int64_t)CELLS * anchors, -3, 3);
    random_values(bench->rpn_deltas, (int64_t)CELLS * anchors * 4, -0.7f, 0.7f);
    if (_i > 2) /* many ties: the lower index is first */
        for (int i = 0; i < CELLS * anchors; i++)
            bench->objectness[i] = floorf(bench->objectness[i]);
    detect_proposals(bench);
    int count = plain_proposals(c);
    ck_assert_int_gt(count, 5);
    ck_assert_int_eq(bench->proposals_count, count);
    for (int i = 0; i < count; i++)
        ck_assert_mem_eq(&bench->proposals[i], &c[i].box, sizeof c[i].box);
    bench->width = bench->height = 512;
}
END_TEST

/* ---- detections ---- */

static void random_branch(int branch, int count)
{
    random_proposals(count);
    random_values(bench->logits[branch], (int64_t)count * OBJECT_CLASSES, -2, 2);
    random_values(bench->deltas[branch], (int64_t)count * 4 * OBJECT_CLASSES, -1, 1);
}

START_TEST(detections_follow_the_options)
{
    static const struct {
        float threshold;
        int most;
    } options[] = {{0, 128}, {0, 3}, {.4f, 20}, {.05f, 1}, {.95f, 20}, {.2f, 1000}};
    static struct candidate c[POST * OBJECT_CLASSES];
    state = 200 + (unsigned)_i;
    random_branch(0, _i % 2 ? POST : 7);
    detect_objects(bench, options[_i].threshold, options[_i].most);
    int count =
        keep_best(c, plain_candidates(c, 0, options[_i].threshold, -1),
                  network->config.box_nms_thresh, options[_i].most < 128 ? options[_i].most : 128);
    ck_assert_int_eq(bench->detections_count, count);
    for (int i = 0; i < count; i++)
        same_found(&bench->detections[i], &c[i]);
}
END_TEST

START_TEST(a_score_at_the_threshold_is_below_it)
{
    state = 300;
    random_branch(0, 5);
    for (int i = 0; i < 5 * OBJECT_CLASSES; i++)
        bench->logits[0][i] = 1; /* all four classes 1/4 */
    detect_objects(bench, .25f, 128);
    ck_assert_int_eq(bench->detections_count, 0);
    detect_objects(bench, nextafterf(.25f, 0), 128);
    ck_assert_int_gt(bench->detections_count, 0);
    bench->proposals_count = 0;
    detect_objects(bench, 0, 128);
    ck_assert_int_eq(bench->detections_count, 0);
}
END_TEST

/* Masks of a batch are those of their boxes alone, and of their label's channel. */
START_TEST(masks_belong_to_their_detections)
{
    enum { MANY = 35, MASK = MASK_SIDE * MASK_SIDE };
    struct error err;
    struct found all[MANY];
    static float masks[MANY * MASK];
    state = 400;
    random_values(bench->features, (int64_t)CELLS * network->config.out_channels, -1, 1);
    for (int i = 0; i < MANY; i++)
        all[i] = (struct found){.box = random_box(4, 300), .score = .5f, .label = 1 + i % 3};
    memcpy(bench->detections, all, sizeof all);
    bench->detections_count = MANY;
    ck_assert_int_eq(detect_masks(bench, &err), 0);
    memcpy(masks, bench->masks, sizeof masks);
    for (int i = 0; i < MANY; i++) {
        bench->detections[0] = all[i];
        bench->detections_count = 1;
        ck_assert_int_eq(detect_masks(bench, &err), 0);
        double worst = 0, other = 0;
        for (int k = 0; k < MASK; k++)
            worst = fmax(worst, fabs((double)bench->masks[k] - (double)masks[i * MASK + k]));
        ck_assert_double_le(worst, 1e-5);
        bench->detections[0].label = 1 + (i + 1) % 3;
        ck_assert_int_eq(detect_masks(bench, &err), 0);
        for (int k = 0; k < MASK; k++)
            other = fmax(other, fabs((double)bench->masks[k] - (double)masks[i * MASK + k]));
        ck_assert_double_gt(other, 1e-3);
    }
    bench->detections_count = 0;
    ck_assert_int_eq(detect_masks(bench, &err), 0);
}
END_TEST

/* ---- regions ---- */

static float from_origin(const struct box *b)
{
    return sqrtf(b->x0 * b->x0 + b->y0 * b->y0);
}

/* What should be in bench->regions: slot i takes box floor(i n / beta), then by distance. */
static int plain_regions(struct candidate *out, bool *padded)
{
    static struct candidate c[POST * OBJECT_CLASSES];
    int n = keep_best(c, plain_candidates(c, 1, -0.01f, 1e-5f), network->config.region_nms_thresh,
                      BETA);
    bool used[BETA] = {false};
    struct candidate slot[BETA];
    if (n == 0)
        return 0;
    for (int i = 0; i < BETA; i++)
        slot[i] = c[i * n / BETA];
    for (int rank = 0; rank < BETA; rank++) { /* the nearest that is left, the first of equals */
        int best = -1;
        for (int i = 0; i < BETA; i++)
            if (!used[i] && (best < 0 || from_origin(&slot[i].box) < from_origin(&slot[best].box)))
                best = i;
        used[best] = true;
        out[rank] = slot[best];
        padded[rank] = best > 0 && slot[best - 1].index == slot[best].index;
    }
    return n;
}

START_TEST(regions_are_filled_up_and_sorted)
{
    struct candidate right[BETA];
    bool padded[BETA];
    static const int proposals[] = {POST, 20, 2, 1, 1, 1, 2};
    state = 500 + (unsigned)_i;
    random_branch(1, proposals[_i]);
    if (_i >= 3 && _i <= 5) /* one, two or three classes of one box that are large enough */
        for (int label = 1; label < OBJECT_CLASSES; label++)
            bench->deltas[1][4 * label + 2] = label <= _i - 2 ? 0 : -500;
    int n = plain_regions(right, padded);
    detect_regions(bench);
    if (_i >= 3 && _i <= 5)
        ck_assert_int_eq(n, _i - 2);
    ck_assert_int_eq(bench->unique_regions, n);
    ck_assert_int_eq(bench->regions_count, BETA);
    for (int i = 0; i < BETA; i++) {
        same_found(&bench->regions[i], &right[i]);
        ck_assert_int_eq(bench->padded[i], padded[i]);
    }
}
END_TEST

START_TEST(no_region_is_invented)
{
    state = 600;
    random_branch(1, 10);
    for (int i = 0; i < 10; i++) { /* nothing is left of them inside the slice */
        bench->proposals[i].x0 += 600;
        bench->proposals[i].x1 += 600;
    }
    detect_regions(bench);
    ck_assert_int_eq(bench->regions_count, 0);
    ck_assert_int_eq(bench->unique_regions, 0);
    random_branch(1, 10);
    for (int i = 0; i < 10 * OBJECT_CLASSES; i++)
        bench->logits[1][i] = NAN;
    detect_regions(bench);
    ck_assert_int_eq(bench->regions_count, 0);
    bench->proposals_count = 0;
    detect_regions(bench);
    ck_assert_int_eq(bench->regions_count, 0);
}
END_TEST

/* ---- sub-networks at work ---- */

static double distance_of(const float *a, const float *b, int64_t count)
{
    double worst = 0;
    for (int64_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

/* Rows behind the last proposal hold whatever was there before: they must not matter. */
START_TEST(few_proposals_are_answered_as_among_many)
{
    struct error err;
    float logits[2][POST * 4], deltas[2][POST * 16];
    state = 700;
    random_values(bench->features, (int64_t)CELLS * network->config.out_channels, -1, 1);
    random_proposals(POST);
    ck_assert_int_eq(detect_boxes(bench, &err), 0);
    for (int b = 0; b < 2; b++) {
        memcpy(logits[b], bench->logits[b], sizeof logits[b]);
        memcpy(deltas[b], bench->deltas[b], sizeof deltas[b]);
    }
    bench->proposals_count = 3;
    ck_assert_int_eq(detect_boxes(bench, &err), 0);
    for (int b = 0; b < 2; b++) {
        ck_assert_double_le(distance_of(bench->logits[b], logits[b], 3 * 4), 1e-5);
        ck_assert_double_le(distance_of(bench->deltas[b], deltas[b], 3 * 16), 1e-5);
    }
    ck_assert_double_gt(distance_of(logits[0], logits[1], 3 * 4), 1e-3);
}
END_TEST

static void random_regions(struct bench *b)
{
    b->regions_count = b->unique_regions = BETA;
    for (int i = 0; i < BETA; i++)
        b->regions[i] = (struct found){.box = random_box(10, 300), .label = 1};
}

/* The same features and regions into a bench; its vectors. */
static void vectors_of(struct bench *b, float *out)
{
    struct error err;
    state = 800;
    random_values(b->features, (int64_t)CELLS * network->config.out_channels, -1, 1);
    random_regions(b);
    ck_assert_int_eq(detect_evidence(b, &err), 0);
    memcpy(out, b->vectors, (size_t)(BETA * network->config.out_channels) * sizeof *out);
}

START_TEST(serving_computes_what_is_inspected)
{
    struct error err;
    struct network *n;
    struct detector *d;
    struct bench *serving;
    struct model_config config = small();
    float seen[BETA * 16], served[BETA * 16];
    make(&n, &d, &config, DETECT_SERVE);
    params_drop_values(n->params); /* packed by now */
    ck_assert_int_eq(bench_open(&serving, d, &err), 0);
    ck_assert_ptr_null(serving->region_features);
    ck_assert_ptr_nonnull(bench->region_features);
    vectors_of(bench, seen);
    vectors_of(serving, served);
    ck_assert_double_le(distance_of(seen, served, BETA * 16), 2e-5);

    state = 900;
    random_values(bench->image, 512 * 512, -2, 2);
    memcpy(serving->image, bench->image, sizeof(float) * 512 * 512);
    ck_assert_int_eq(detect_features(bench, &err), 0);
    ck_assert_int_eq(detect_features(serving, &err), 0);
    ck_assert_mem_eq(bench->features, serving->features, sizeof(float) * CELLS * 16);
    bench_close(serving);
    detector_free(d);
    network_free(n);
}
END_TEST

START_TEST(attention_is_what_the_paper_says)
{
    struct error err;
    int channels = network->config.out_channels;
    float vectors[BETA * 16];
    vectors_of(bench, vectors);
    ck_assert_int_eq(detect_sequence(bench, &err), 0);
    ck_assert_int_eq(detect_attention(bench, &err), 0);
    ck_assert_int_eq(detect_classes(bench, &err), 0);
    for (int b = 0; b < BRANCHES; b++) {
        double weight[BETA], sum = 0, given = 0;
        for (int k = 0; k < BETA; k++) {
            double dot = 0;
            for (int c = 0; c < channels; c++)
                dot += (double)bench->states[b][k * channels + c] * (double)bench->z[b][c];
            sum += weight[k] = exp(dot);
            given += (double)bench->alpha[b][k];
        }
        ck_assert_double_eq_tol(given, 1, 1e-6);
        for (int k = 0; k < BETA; k++)
            ck_assert_double_eq_tol(weight[k] / sum, (double)bench->alpha[b][k], 1e-6);
        for (int c = 0; c < channels; c++) {
            double o = (double)bench->z[b][c];
            for (int k = 0; k < BETA; k++)
                o += weight[k] / sum * (double)bench->states[b][k * channels + c];
            ck_assert_double_eq_tol(o, (double)bench->o[b][c], 1e-6);
        }
    }
    ck_assert_double_gt(distance_of(bench->o[0], bench->o[1], channels), 1e-4);
}
END_TEST

/* ---- memory ---- */

START_TEST(no_memory_is_an_error)
{
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 25};
    while (oom_next(&walk)) {
        struct bench *b;
        int rc = bench_open(&b, detector, &err);
        bench_close(b);
        oom_judge(&walk, rc);
        if (rc != 0)
            ck_assert_ptr_null(b);
    }
}
END_TEST

/* Compiling takes long: the steps become larger. */
START_TEST(no_memory_to_compile_is_an_error)
{
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 100, .growing = 2};
    while (oom_next(&walk)) {
        struct detector *d;
        int rc = detector_compile(&d, network, DETECT_SERVE, NULL, NULL, &err);
        detector_free(d);
        oom_judge(&walk, rc);
        if (rc != 0)
            ck_assert_ptr_null(d);
    }
}
END_TEST

int main(void)
{
    TCase *tc = test_case("detector");
    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, proposals_are_the_best_that_do_not_overlap, 0, 6);
    tcase_add_loop_test(tc, detections_follow_the_options, 0, 6);
    tcase_add_test(tc, a_score_at_the_threshold_is_below_it);
    tcase_add_test(tc, masks_belong_to_their_detections);
    tcase_add_loop_test(tc, regions_are_filled_up_and_sorted, 0, 7);
    tcase_add_test(tc, no_region_is_invented);
    tcase_add_test(tc, few_proposals_are_answered_as_among_many);
    tcase_add_test(tc, serving_computes_what_is_inspected);
    tcase_add_test(tc, attention_is_what_the_paper_says);
    tcase_add_test(tc, no_memory_is_an_error);
    tcase_add_test(tc, no_memory_to_compile_is_an_error);
    return run_case_here("detector", tc);
}
