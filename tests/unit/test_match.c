/* rcnn/match: torchvision's matches, ties and lone ground truths, fair and repeatable samples. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/rcnn/match.h"
#include "tests/golden/rcnn_match.h"
#include "tests/unit/run.h"

enum { TRUTHS = 6, BOXES = 300, MANY = 2000 };

static struct box box_at(const float *v, int i)
{
    return (struct box){v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]};
}

static int count_matched(const int *match, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += match[i] >= 0;
    return count;
}

START_TEST(matches_are_torchvisions)
{
    struct box truth[TRUTHS], boxes[BOXES];
    int match[BOXES];
    float iou[BOXES];
    for (int i = 0; i < TRUTHS; i++)
        truth[i] = box_at(golden_truth, i);
    for (int i = 0; i < BOXES; i++)
        boxes[i] = box_at(golden_boxes, i);
    int matched = match_boxes(match, iou, truth, TRUTHS, boxes, BOXES, .7f, .3f, true);
    ck_assert_mem_eq(match, golden_rpn, sizeof match);
    ck_assert_int_eq(matched, count_matched(match, BOXES));
    matched = match_boxes(match, iou, truth, TRUTHS, boxes, BOXES, .75f, .5f, false);
    ck_assert_mem_eq(match, golden_head, sizeof match);
    ck_assert_int_eq(matched, count_matched(match, BOXES));
}
END_TEST

START_TEST(iou_is_the_largest)
{
    struct box truth[TRUTHS], box;
    for (int i = 0; i < TRUTHS; i++)
        truth[i] = box_at(golden_truth, i);
    for (int i = 0; i < BOXES; i++) {
        int match;
        float iou, largest = 0;
        box = box_at(golden_boxes, i);
        match_boxes(&match, &iou, truth, TRUTHS, &box, 1, .7f, .3f, false);
        for (int t = 0; t < TRUTHS; t++)
            largest = fmaxf(largest, box_iou(&truth[t], &box));
        ck_assert_float_eq(iou, largest);
    }
}
END_TEST

START_TEST(equal_best_boxes_are_all_kept)
{
    const struct box truth[] = {{0, 0, 10, 10}};
    const struct box boxes[] = {{0, 0, 10, 5}, {20, 20, 30, 30}, {0, 5, 10, 10}, {0, 0, 10, 4}};
    const int want[] = {0, MATCH_BACKGROUND, 0, MATCH_BETWEEN};
    int match[4];
    float iou[4];
    ck_assert_int_eq(match_boxes(match, iou, truth, 1, boxes, 4, .7f, .3f, true), 2);
    ck_assert_mem_eq(match, want, sizeof want);
    ck_assert_int_eq(match_boxes(match, iou, truth, 1, boxes, 4, .7f, .3f, false), 0);
    ck_assert_int_eq(match[0], MATCH_BETWEEN);
}
END_TEST

/* The box is the best there is for both, and overlaps the second more. */
START_TEST(a_claimed_box_goes_to_the_truth_it_overlaps_most)
{
    const struct box truth[] = {{0, 0, 10, 10}, {6, 0, 16, 10}};
    const struct box boxes[] = {{7, 0, 14, 10}};
    int match;
    float iou;
    ck_assert_int_eq(match_boxes(&match, &iou, truth, 2, boxes, 1, .95f, .3f, true), 1);
    ck_assert_int_eq(match, 1);
    const struct box twins[] = {{0, 0, 10, 10}, {0, 0, 10, 10}};
    match_boxes(&match, &iou, twins, 2, &twins[0], 1, .7f, .3f, true);
    ck_assert_int_eq(match, 0);
}
END_TEST

START_TEST(a_truth_without_overlap_claims_nothing)
{
    const struct box truth[] = {{100, 100, 110, 110}, {NAN, 0, 5, 5}, {3, 3, 3, 3}};
    const struct box boxes[] = {{0, 0, 10, 10}, {4, 4, 4, 4}};
    int match[2];
    float iou[2];
    ck_assert_int_eq(match_boxes(match, iou, truth, 3, boxes, 2, .7f, .3f, true), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(match[i], MATCH_BACKGROUND);
        ck_assert_float_eq(iou[i], 0);
    }
}
END_TEST

START_TEST(without_truth_all_is_background)
{
    const struct box boxes[] = {{0, 0, 10, 10}, {4, 4, 9, 9}};
    int match[2];
    float iou[2];
    ck_assert_int_eq(match_boxes(match, iou, NULL, 0, boxes, 2, 0, 0, true), 0);
    ck_assert_int_eq(match[0], MATCH_BACKGROUND);
    ck_assert_int_eq(match[1], MATCH_BACKGROUND);
    ck_assert_int_eq(match_boxes(NULL, NULL, boxes, 2, NULL, 0, .7f, .3f, true), 0);
}
END_TEST

/* ---- samples ---- */

static void check_sample(const int *selected, int n, int positives, const int *match)
{
    for (int i = 0; i < n; i++) {
        if (i < positives)
            ck_assert_int_ge(match[selected[i]], 0);
        else
            ck_assert_int_eq(match[selected[i]], MATCH_BACKGROUND);
        if (i > 0 && i != positives)
            ck_assert_int_gt(selected[i], selected[i - 1]);
    }
}

START_TEST(samples_are_balanced_and_repeatable)
{
    static const struct {
        int positive, negative, batch;
        float fraction;
        int want_positive, want;
    } cases[] = {
        {500, 1500, 256, .75f, 192, 256},
        {500, 1500, 256, .5f, 128, 256},
        {10, 1500, 256, .5f, 10, 256},
        {500, 20, 256, .5f, 128, 148},
        {3, 4, 256, .5f, 3, 7},
        {0, 0, 256, .5f, 0, 0},
        {0, 300, 256, .5f, 0, 256},
        {300, 0, 256, .5f, 128, 128},
        {9, 9, 5, .5f, 2, 5},
    };
    int match[MANY], selected[256], again[256], positives, positives_again;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct rng rng, copy;
        rng_seed(&rng, c);
        for (int i = 0; i < MANY; i++) /* the kinds are spread over the array */
            match[i] = MATCH_BETWEEN;
        for (int i = 0; i < cases[c].positive; i++)
            match[i * 7 % MANY] = i % 5;
        for (int i = 0; i < cases[c].negative; i++)
            match[(cases[c].positive + i) * 7 % MANY] = MATCH_BACKGROUND;
        copy = rng;
        int n = sample_balanced(selected, &positives, match, MANY, cases[c].batch,
                                cases[c].fraction, &rng);
        ck_assert_int_eq(n, cases[c].want);
        ck_assert_int_eq(positives, cases[c].want_positive);
        check_sample(selected, n, positives, match);
        ck_assert_int_eq(n, sample_balanced(again, &positives_again, match, MANY, cases[c].batch,
                                            cases[c].fraction, &copy));
        ck_assert_int_eq(memcmp(selected, again, (size_t)n * sizeof(int)), 0);
    }
}
END_TEST

START_TEST(every_box_has_its_chance)
{
    enum { N = 20, DRAWS = 20000 };
    int match[N], hits[N] = {0}, selected[8], positives;
    struct rng rng;
    rng_seed(&rng, 5);
    for (int i = 0; i < N; i++)
        match[i] = i % 2 ? MATCH_BACKGROUND : 3;
    for (int d = 0; d < DRAWS; d++) {
        int n = sample_balanced(selected, &positives, match, N, 8, .25f, &rng);
        for (int i = 0; i < n; i++)
            hits[selected[i]]++;
    }
    for (int i = 0; i < N; i++) /* 2 of 10, 6 of 10; five standard deviations are 0.018 */
        ck_assert_double_eq_tol((double)hits[i] / DRAWS, i % 2 ? 0.6 : 0.2, 0.018);
}
END_TEST

int main(void)
{
    RUN("match", matches_are_torchvisions, iou_is_the_largest, equal_best_boxes_are_all_kept,
        a_claimed_box_goes_to_the_truth_it_overlaps_most, a_truth_without_overlap_claims_nothing,
        without_truth_all_is_background, samples_are_balanced_and_repeatable,
        every_box_has_its_chance);
}
