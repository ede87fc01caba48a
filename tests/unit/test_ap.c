/* model/eval: packed masks, both average precisions; golden numbers and small cases. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/eval/detection.h"
#include "tests/golden/metrics_ap.h"
#include "tests/unit/eval_check.h"
#include "tests/unit/run.h"

/* ---- packed masks ---- */

START_TEST(packs_every_size)
{
    struct error err;
    for (int width = 1; width < 140; width += 3) {
        enum { HEIGHT = 3 };
        uint8_t a[140 * HEIGHT];
        uint8_t b[140 * HEIGHT];
        int64_t ones = 0;
        int64_t sevens = 0;
        int64_t both = 0;
        for (int i = 0; i < width * HEIGHT; i++) {
            a[i] = (uint8_t)(i * 37 % 11 < 5 ? 1 + i * 29 % 255 : 0);
            b[i] = (uint8_t)(i * 53 % 7 < 3 ? 7 : i % 2 ? 0 : 135);
            ones += a[i] != 0;
            sevens += b[i] == 7;
            both += a[i] != 0 && b[i] == 7;
        }
        struct bitmask x;
        struct bitmask y;
        ck_assert_int_eq(bitmask_pack(&x, a, width, HEIGHT, &err), 0);
        ck_assert_int_eq(bitmask_pack_label(&y, b, 7, width, HEIGHT, &err), 0);
        ck_assert_int_eq(x.area, ones);
        ck_assert_int_eq(y.area, sevens);
        ck_assert_int_eq(bitmask_intersection(&x, &y), both);
        ck_assert_int_eq(bitmask_intersection(&x, &x), ones);
        for (int i = 0; i < width * HEIGHT; i++)
            ck_assert_int_eq(x.bits[i / 64] >> (i % 64) & 1, a[i] != 0);
        bitmask_free(&x);
        bitmask_free(&y);
    }
}
END_TEST

/* Empty words at both ends are skipped: two pixels must be found wherever they are. */
START_TEST(finds_lone_pixels)
{
    struct error err;
    struct bitmask lone;
    struct bitmask full;
    uint8_t plane[300] = {0};
    ck_assert_int_eq(bitmask_pack_label(&full, plane, 0, 30, 10, &err), 0);
    for (int i = 0; i < 300; i++) {
        for (int j = i; j < 300; j += 23) {
            plane[i] = plane[j] = 9;
            ck_assert_int_eq(bitmask_pack(&lone, plane, 30, 10, &err), 0);
            ck_assert_int_eq(lone.area, 1 + (j > i));
            ck_assert_int_eq(bitmask_intersection(&lone, &full), lone.area);
            ck_assert_int_eq(bitmask_intersection(&full, &lone), lone.area);
            bitmask_free(&lone);
            plane[i] = plane[j] = 0;
        }
    }
    bitmask_free(&full);
}
END_TEST

START_TEST(packs_nothing_and_refuses_no_pixels)
{
    struct error err;
    struct bitmask empty;
    struct bitmask full;
    uint8_t plane[256] = {0};
    ck_assert_int_eq(bitmask_pack(&empty, plane, 16, 16, &err), 0);
    ck_assert_int_eq(bitmask_pack_label(&full, plane, 0, 16, 16, &err), 0);
    ck_assert_int_eq(empty.area, 0);
    ck_assert_int_eq(full.area, 256);
    ck_assert_int_eq(bitmask_intersection(&empty, &full), 0);
    bitmask_free(&empty);
    bitmask_free(&full);
    ck_assert_int_ne(bitmask_pack(&empty, plane, 0, 16, &err), 0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
    ck_assert_int_ne(bitmask_pack(&empty, plane, 1 << 16, 1 << 16, &err), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_ptr_null(empty.bits);
}
END_TEST

/* ---- golden sets ---- */

enum { GOLDEN_WIDTH = 23, GOLDEN_HEIGHT = 17 };

static void paint(struct bitmask *out, const int *rectangles)
{
    struct error err;
    uint8_t plane[GOLDEN_HEIGHT][GOLDEN_WIDTH] = {{0}};
    for (const int *r = rectangles; r < rectangles + 8; r += 4)
        for (int y = r[1]; y < r[3]; y++)
            for (int x = r[0]; x < r[2]; x++)
                plane[y][x] = 1;
    ck_assert_int_eq(bitmask_pack(out, plane[0], GOLDEN_WIDTH, GOLDEN_HEIGHT, &err), 0);
}

struct golden {
    int images;
    const int *truths_of, *predictions_of; /* how many an image has */
    const int *truths, *predictions;       /* nine numbers each: label, two rectangles */
    const float *scores;
    const int32_t *groups;
    int seed, resamples;
    const double *estimates;
};

#define GOLDEN(name)                                                                               \
    {                                                                                              \
        name##_images, name##_truths_of, name##_predictions_of, name##_truths, name##_predictions, \
            name##_scores, name##_groups, name##_seed, name##_resamples, name##_estimates          \
    }

static void add_golden_image(struct ap_evaluation *evaluation, int truths_count, const int *truths,
                             int predictions_count, const int *predictions, const float *scores)
{
    struct error err;
    struct bitmask masks[2][200];
    struct ap_truth t[200] = {{0}};
    struct ap_prediction p[200] = {{0}};
    for (int k = 0; k < truths_count; k++) {
        paint(&masks[0][k], truths + 9 * k + 1);
        t[k] = (struct ap_truth){truths[9 * k], &masks[0][k]};
    }
    for (int k = 0; k < predictions_count; k++) {
        paint(&masks[1][k], predictions + 9 * k + 1);
        p[k] = (struct ap_prediction){predictions[9 * k], scores[k], &masks[1][k]};
    }
    struct ap_image image;
    ck_assert_int_eq(ap_match(&image, t, truths_count, p, predictions_count, &err), 0);
    ck_assert_int_eq(ap_add(evaluation, &image, &err), 0);
    for (int k = 0; k < truths_count; k++)
        bitmask_free(&masks[0][k]);
    for (int k = 0; k < predictions_count; k++)
        bitmask_free(&masks[1][k]);
}

static void measure_golden(struct detection_result *out, const struct golden *golden)
{
    struct error err;
    struct ap_evaluation *evaluation;
    ck_assert_int_eq(ap_open(&evaluation, &err), 0);
    int t = 0;
    int p = 0;
    for (int i = 0; i < golden->images; i++) {
        add_golden_image(evaluation, golden->truths_of[i], golden->truths + 9 * t,
                         golden->predictions_of[i], golden->predictions + 9 * p,
                         golden->scores + p);
        t += golden->truths_of[i];
        p += golden->predictions_of[i];
    }
    struct bootstrap_options options = bootstrap_defaults();
    options.seed = (uint64_t)golden->seed;
    options.resamples = golden->resamples;
    ck_assert_int_eq(ap_measure(out, evaluation, golden->groups, &options, &err), 0);
    ap_close(evaluation);
}

static int check_scores(const struct ap_scores *scores, const double *golden, int next)
{
    for (int k = 0; k < AP_THRESHOLDS; k++, next++)
        check_estimate(scores->at[k], golden + 3 * next, next);
    check_estimate(scores->mean, golden + 3 * next, next);
    return next + 1;
}

START_TEST(average_precision_equals_golden)
{
    const struct golden sets[] = {GOLDEN(mixed), GOLDEN(crowded)};
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        struct detection_result result;
        measure_golden(&result, &sets[s]);
        int next = 0;
        for (int c = 0; c <= AP_CLASSES; c++)
            next = check_scores(&result.per_image[c], sets[s].estimates, next);
        for (int c = 0; c <= AP_CLASSES; c++)
            next = check_scores(&result.coco[c], sets[s].estimates, next);
        for (int c = 0; c <= AP_CLASSES; c++, next++)
            check_estimate(result.coco_recall[c], sets[s].estimates + 3 * next, next);
        ck_assert_int_eq(result.images, sets[s].images);
        ck_assert_int_eq(result.per_image_count[0], sets[s].images);
    }
}
END_TEST

START_TEST(crowded_image_keeps_a_hundred)
{
    const struct golden set = GOLDEN(crowded);
    struct detection_result result;
    measure_golden(&result, &set);
    ck_assert_int_eq(result.predictions[0], 100);
    ck_assert_int_eq(result.predictions[1], 2);
    ck_assert_int_eq(result.truths[2], 0);
    ck_assert(!result.coco[3].mean.defined);
}
END_TEST

/* ---- by hand: a mask is a row of twenty pixels, its overlap a number of twentieths ---- */

struct row {
    int label;
    float score; /* unused for truths */
    int from, to;
};

static void match_rows(struct ap_image *out, const struct row *truths, int truths_count,
                       const struct row *predictions, int predictions_count)
{
    struct error err;
    struct bitmask masks[2][8];
    struct ap_truth t[8] = {{0}};
    struct ap_prediction p[8] = {{0}};
    for (int k = 0; k < truths_count + predictions_count; k++) {
        bool truth = k < truths_count;
        int index = truth ? k : k - truths_count;
        const struct row *row = truth ? &truths[index] : &predictions[index];
        uint8_t plane[40] = {0};
        memset(plane + row->from, 255, (size_t)(row->to - row->from));
        struct bitmask *mask = &masks[truth][index];
        ck_assert_int_eq(bitmask_pack(mask, plane, 40, 1, &err), 0);
        if (truth)
            t[index] = (struct ap_truth){row->label, mask};
        else
            p[index] = (struct ap_prediction){row->label, row->score, mask};
    }
    ck_assert_int_eq(ap_match(out, t, truths_count, p, predictions_count, &err), 0);
    for (int k = 0; k < truths_count; k++)
        bitmask_free(&masks[1][k]);
    for (int k = 0; k < predictions_count; k++)
        bitmask_free(&masks[0][k]);
}

/* The paper's matching wants more than the threshold, COCO's at least the threshold. */
START_TEST(overlap_on_the_threshold)
{
    const struct row truth = {1, 0, 0, 20};
    for (int twentieths = 9; twentieths <= 20; twentieths++) {
        struct ap_image image;
        match_rows(&image, &truth, 1, &(struct row){1, 0.5f, 0, twentieths}, 1);
        for (int k = 0; k < AP_THRESHOLDS; k++) {
            ck_assert_double_eq(image.ap[0][k], twentieths > 10 + k ? 1 : 0);
            ck_assert_int_eq(image.hits[0][0] >> k & 1, twentieths >= 10 + k);
        }
    }
}
END_TEST

START_TEST(empty_images)
{
    const struct row thing = {2, 0.5f, 0, 20};
    struct ap_image image;
    match_rows(&image, NULL, 0, NULL, 0);
    ck_assert_double_eq(image.ap[0][0], 1);
    ck_assert(image.present[0] && !image.present[1] && !image.present[2]);
    match_rows(&image, &thing, 1, NULL, 0);
    ck_assert_double_eq(image.ap[0][0], 0);
    ck_assert(image.present[2] && image.truths[1] == 1);
    match_rows(&image, NULL, 0, &thing, 1);
    ck_assert_double_eq(image.ap[0][0], 0);
    ck_assert(image.present[2] && image.predictions[1] == 1);
}
END_TEST

START_TEST(the_class_must_fit)
{
    const struct row truth = {1, 0, 0, 20};
    const struct row predictions[2] = {{2, 0.9f, 0, 20}, {1, 0.3f, 0, 19}};
    struct ap_image image;
    match_rows(&image, &truth, 1, predictions, 2);
    ck_assert_double_eq(image.ap[0][0], 0.5); /* a false positive above the hit */
    ck_assert_double_eq(image.ap[1][0], 1);
    ck_assert_double_eq(image.ap[2][0], 0);
    ck_assert(!image.present[3]);
}
END_TEST

/* Two truths may take one prediction in the paper's matching: one hit of two. COCO: one is free. */
START_TEST(one_prediction_for_two_truths)
{
    const struct row truths[2] = {{3, 0, 0, 16}, {3, 0, 4, 20}};
    const struct row predictions[2] = {{3, 0.8f, 1, 19}, {3, 0.7f, 4, 24}};
    struct ap_image image;
    match_rows(&image, truths, 2, predictions, 2);
    /* Overlaps: 15/19 and 15/19 with the first, 12/24 (not above .5) and 16/20 with the second. */
    ck_assert_double_eq(image.ap[0][0], 1);
    ck_assert_int_eq(image.hits[2][0] & 1, 1);
    /* The first prediction takes the last of its equals, the second truth; the second prediction
     * then has the first truth, at 12/24 = .5. */
    ck_assert_int_eq(image.hits[2][1] & 1, 1);
    ck_assert_int_eq(image.hits[2][1] & 2, 0);
    match_rows(&image, truths, 2, predictions, 1);
    ck_assert_double_eq(image.ap[0][0], 0.5);
    match_rows(&image, truths, 1, (struct row[]){{3, 0.8f, 0, 15}, {3, 0.7f, 0, 16}}, 2);
    ck_assert_double_eq(image.ap[0][0], 0.5);  /* the better overlap ranks second */
    ck_assert_int_eq(image.hits[2][0] & 1, 1); /* COCO goes by score */
    ck_assert_int_eq(image.hits[2][1] & 1, 0);
}
END_TEST

START_TEST(perfect_predictions_score_one)
{
    struct error err;
    struct ap_evaluation *evaluation;
    ck_assert_int_eq(ap_open(&evaluation, &err), 0);
    for (int i = 0; i < 300; i++) { /* more than the first room for records */
        const struct row rows[2] = {{1, 0.9f, 0, 20}, {2, 0.8f, 5, 9 + i % 9}};
        struct ap_image image;
        match_rows(&image, rows, 2, rows, 2);
        ck_assert_int_eq(ap_add(evaluation, &image, &err), 0);
    }
    struct detection_result result;
    struct bootstrap_options options = bootstrap_defaults();
    options.resamples = 20;
    ck_assert_int_eq(ap_measure(&result, evaluation, NULL, &options, &err), 0);
    ck_assert_double_eq_tol(result.per_image[0].mean.value, 1, 1e-12);
    ck_assert_double_eq_tol(result.coco[0].mean.value, 1, 1e-12);
    ck_assert_double_eq_tol(result.coco[0].mean.low, 1, 1e-12);
    ck_assert_double_eq_tol(result.coco_recall[2].value, 1, 1e-12);
    ck_assert_int_eq(result.groups, 300);
    ap_close(evaluation);
}
END_TEST

START_TEST(nothing_added)
{
    struct error err;
    struct ap_evaluation *evaluation;
    struct detection_result result;
    struct bootstrap_options options = bootstrap_defaults();
    ck_assert_int_eq(ap_open(&evaluation, &err), 0);
    ck_assert_int_eq(ap_measure(&result, evaluation, NULL, &options, &err), 0);
    ck_assert(!result.per_image[0].mean.defined && !result.coco[0].mean.defined);
    ap_close(evaluation);
    ap_close(NULL);
}
END_TEST

START_TEST(refuses_what_cannot_be_matched)
{
    struct error err;
    struct ap_image image;
    struct bitmask small;
    struct bitmask large;
    const uint8_t plane[20] = {1};
    ck_assert_int_eq(bitmask_pack(&small, plane, 4, 4, &err), 0);
    ck_assert_int_eq(bitmask_pack(&large, plane, 5, 4, &err), 0);
    struct ap_truth truth = {1, &small};
    struct ap_prediction prediction = {1, 0.5f, &large};
    ck_assert_int_ne(ap_match(&image, &truth, 1, &prediction, 1, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    prediction = (struct ap_prediction){4, 0.5f, &small};
    ck_assert_int_ne(ap_match(&image, &truth, 1, &prediction, 1, &err), 0);
    prediction = (struct ap_prediction){1, NAN, &small};
    ck_assert_int_ne(ap_match(&image, &truth, 1, &prediction, 1, &err), 0);
    truth.label = 0;
    ck_assert_int_ne(ap_match(&image, &truth, 1, NULL, 0, &err), 0);
    ck_assert_msg(strstr(err.text, "truth 0: label 0") != NULL, "%s", err.text);
    bitmask_free(&small);
    bitmask_free(&large);
}
END_TEST

START_TEST(thresholds)
{
    ck_assert_double_eq(ap_threshold(AP_AT_50), 0.5);
    ck_assert_double_eq(ap_threshold(AP_AT_75), 0.75);
    ck_assert_double_eq(ap_threshold(AP_THRESHOLDS - 1), 0.95);
}
END_TEST

int main(void)
{
    RUN("ap", packs_every_size, finds_lone_pixels, packs_nothing_and_refuses_no_pixels,
        average_precision_equals_golden, crowded_image_keeps_a_hundred, overlap_on_the_threshold,
        empty_images, the_class_must_fit, one_prediction_for_two_truths,
        perfect_predictions_score_one, nothing_added, refuses_what_cannot_be_matched, thresholds);
}
