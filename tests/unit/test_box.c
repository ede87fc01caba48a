/* rcnn/box: torchvision's numbers, brute force on random boxes, and boxes that are none. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "model/base/rng.h"
#include "model/rcnn/box.h"
#include "tests/golden/rcnn_box.h"
#include "tests/unit/run.h"

enum { MANY = 3000 };

static const struct box_coder unit_coder = {1, 1, 1, 1}, head_coder = {10, 10, 5, 5};

static struct box box_at(const float *values, int i)
{
    return (struct box){values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]};
}

/* exp and log may differ in the last bit between C libraries, nothing else may. */
static void check_near(float got, float want)
{
    ck_assert_float_eq_tol(got, want, 2e-6f * fmaxf(1, fabsf(want)));
}

static void check_box_near(const struct box *got, const float *want)
{
    float size =
        fmaxf(fmaxf(fabsf(want[0]), fabsf(want[1])), fmaxf(fabsf(want[2]), fabsf(want[3])));
    const float values[4] = {got->x0, got->y0, got->x1, got->y1};
    for (int k = 0; k < 4; k++)
        ck_assert_float_eq_tol(values[k], want[k], 2e-6f * fmaxf(1, size));
}

START_TEST(iou_is_torchvisions_to_the_bit)
{
    for (int i = 0; i < golden_pairs; i++) {
        struct box a = box_at(golden_a, i), b = box_at(golden_b, i);
        ck_assert_float_eq(box_iou(&a, &b), golden_iou[i]);
    }
}
END_TEST

START_TEST(iou_of_what_is_no_box_is_zero)
{
    const struct box empty = {5, 5, 5, 5}, nan = {NAN, 0, 10, 10}, whole = {0, 0, 10, 10};
    const struct box endless = {-INFINITY, -INFINITY, INFINITY, INFINITY}, inverted = {9, 9, 1, 1};
    const struct box *odd[] = {&empty, &nan, &endless, &inverted};
    for (int i = 0; i < 4; i++) {
        ck_assert_float_eq(box_iou(odd[i], &whole), 0);
        ck_assert_float_eq(box_iou(&whole, odd[i]), 0);
        ck_assert_float_eq(box_iou(odd[i], odd[i]), 0);
    }
    ck_assert_float_eq(box_iou(&whole, &whole), 1);
    ck_assert_float_eq(box_area(&whole), 100);
}
END_TEST

START_TEST(coder_agrees_with_torchvision)
{
    for (int i = 0; i < golden_pairs; i++) {
        struct box a = box_at(golden_a, i), truth = box_at(golden_truth, i), out;
        float delta[4];
        box_decode(&out, &a, &golden_delta[4 * i], &unit_coder);
        check_box_near(&out, &golden_decoded_unit[4 * i]);
        box_clip(&out, 90, 80);
        check_box_near(&out, &golden_clipped_unit[4 * i]);
        box_decode(&out, &a, &golden_delta[4 * i], &head_coder);
        check_box_near(&out, &golden_decoded_head[4 * i]);
        box_clip(&out, 90, 80);
        check_box_near(&out, &golden_clipped_head[4 * i]);
        box_encode(delta, &truth, &a, &unit_coder);
        for (int k = 0; k < 4; k++)
            check_near(delta[k], golden_encoded_unit[4 * i + k]);
        box_encode(delta, &truth, &a, &head_coder);
        for (int k = 0; k < 4; k++)
            check_near(delta[k], golden_encoded_head[4 * i + k]);
    }
}
END_TEST

START_TEST(growth_is_limited)
{
    const struct box anchor = {0, 0, 16, 16};
    const float delta[4] = {0, 0, 1e30f, INFINITY};
    struct box out;
    box_decode(&out, &anchor, delta, &unit_coder);
    ck_assert_float_eq_tol(out.x1 - out.x0, 1000, 0.01f);
    ck_assert_float_eq_tol(out.y1 - out.y0, 1000, 0.01f);
}
END_TEST

START_TEST(what_is_clipped_is_finite)
{
    struct box b = {NAN, -INFINITY, INFINITY, NAN};
    box_clip(&b, 100, 50);
    ck_assert_float_eq(b.x0, 0);
    ck_assert_float_eq(b.y0, 0);
    ck_assert_float_eq(b.x1, 100);
    ck_assert_float_eq(b.y1, 0);
}
END_TEST

/* Whether a comes before b in the documented order. */
static bool ranks_before(const float *scores, int a, int b)
{
    if (isnan(scores[a]) || isnan(scores[b]))
        return isnan(scores[a]) && isnan(scores[b]) ? a < b : isnan(scores[b]);
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
}

START_TEST(order_is_descending_and_stable)
{
    static float scores[MANY];
    static int order[MANY], top[MANY];
    static uint64_t scratch[2 * MANY];
    static const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, 1e-42f, -1e-42f};
    struct rng rng;
    rng_seed(&rng, 1);
    for (int trial = 0; trial < 40; trial++) {
        int n = 1 + (int)rng_below(&rng, MANY);
        for (int i = 0; i < n; i++) {
            scores[i] = rng_normal(&rng);
            if (trial % 2) /* many ties */
                scores[i] = rintf(scores[i] * 8) / 8;
            if (trial % 4 == 3 && rng_below(&rng, 10) == 0)
                scores[i] = odd[rng_below(&rng, 8)];
        }
        box_sort_desc(order, scores, n, scratch);
        for (int i = 1; i < n; i++)
            ck_assert_msg(ranks_before(scores, order[i - 1], order[i]), "trial %d at %d", trial, i);
        int k = (int)rng_below(&rng, (uint32_t)n + 10);
        ck_assert_int_eq(box_top_k(top, scores, n, k, scratch), k < n ? k : n);
        for (int i = 0; i < k && i < n; i++)
            ck_assert_int_eq(top[i], order[i]);
    }
    ck_assert_int_eq(box_top_k(top, scores, 0, 5, scratch), 0);
    ck_assert_int_eq(box_top_k(top, scores, 5, -1, scratch), 0);
}
END_TEST

START_TEST(nms_agrees_with_torchvision)
{
    static const struct {
        float threshold;
        const int *plain, *per_class;
        size_t plain_n, per_class_n;
    } cases[] = {
        {.25f, golden_nms_25, golden_nms_labels_25, sizeof golden_nms_25 / sizeof(int),
         sizeof golden_nms_labels_25 / sizeof(int)},
        {.5f, golden_nms_50, golden_nms_labels_50, sizeof golden_nms_50 / sizeof(int),
         sizeof golden_nms_labels_50 / sizeof(int)},
        {.75f, golden_nms_75, golden_nms_labels_75, sizeof golden_nms_75 / sizeof(int),
         sizeof golden_nms_labels_75 / sizeof(int)},
    };
    struct box boxes[golden_nms_n];
    int order[golden_nms_n], keep[golden_nms_n];
    uint64_t scratch[2 * golden_nms_n];
    for (int i = 0; i < golden_nms_n; i++)
        boxes[i] = box_at(golden_nms_boxes, i);
    box_sort_desc(order, golden_nms_scores, golden_nms_n, scratch);
    for (int c = 0; c < 3; c++) {
        int n = box_nms(keep, boxes, NULL, order, golden_nms_n, cases[c].threshold, 1000);
        ck_assert_int_eq(n, (int)cases[c].plain_n);
        ck_assert_mem_eq(keep, cases[c].plain, cases[c].plain_n * sizeof(int));
        n = box_nms(keep, boxes, golden_nms_labels, order, golden_nms_n, cases[c].threshold, 1000);
        ck_assert_int_eq(n, (int)cases[c].per_class_n);
        ck_assert_mem_eq(keep, cases[c].per_class, cases[c].per_class_n * sizeof(int));
    }
}
END_TEST

/* The definition, with no shortcuts. */
static int nms_plainly(int *keep, const struct box *boxes, const int *labels, int n,
                       float threshold, int max_keep)
{
    int count = 0;
    for (int i = 0; i < n && count < max_keep; i++) {
        bool drop = false;
        for (int k = 0; k < count; k++)
            drop |= labels[keep[k]] == labels[i] && box_iou(&boxes[keep[k]], &boxes[i]) > threshold;
        if (!drop)
            keep[count++] = i;
    }
    return count;
}

START_TEST(nms_agrees_with_its_definition)
{
    static struct box boxes[MANY];
    static int labels[MANY], keep[MANY], want[MANY];
    static const int limits[] = {1, 16, 17, 200, BOX_NMS_MAX_KEEP};
    struct rng rng;
    rng_seed(&rng, 2);
    for (int trial = 0; trial < 60; trial++) {
        int n = (int)rng_below(&rng, trial % 10 ? 300 : MANY), limit = limits[trial % 5];
        float threshold = 0.2f + 0.6f * rng_float(&rng);
        for (int i = 0; i < n; i++) {
            float x = 100 * rng_float(&rng), y = 100 * rng_float(&rng);
            float w = 60 * rng_float(&rng), h = 60 * rng_float(&rng);
            boxes[i] = (struct box){x, y, x + w, y + (i % 9 ? h : 0)}; /* some are empty */
            labels[i] = (int)rng_below(&rng, 3);
        }
        int n_want = nms_plainly(want, boxes, labels, n, threshold, limit);
        int n_keep = box_nms(keep, boxes, labels, NULL, n, threshold, limit);
        ck_assert_int_eq(n_keep, n_want);
        if (n_keep > 0)
            ck_assert_mem_eq(keep, want, (size_t)n_keep * sizeof(int));
    }
}
END_TEST

START_TEST(nms_keeps_what_is_at_its_threshold)
{
    const struct box boxes[] = {{0, 0, 4, 4}, {0, 0, 4, 2}, {0, 0, 4, 3}}; /* IoU .5, then .75 */
    const int want[] = {0, 1};
    int keep[3];
    ck_assert_int_eq(box_nms(keep, boxes, NULL, NULL, 3, 0.5f, 3), 2);
    ck_assert_mem_eq(keep, want, sizeof want);
}
END_TEST

START_TEST(nms_stops_at_its_limit)
{
    static struct box boxes[MANY];
    static int keep[MANY];
    for (int i = 0; i < MANY; i++)
        boxes[i] = (struct box){2.0f * (float)i, 0, 2.0f * (float)i + 1, 1};
    ck_assert_int_eq(box_nms(keep, boxes, NULL, NULL, MANY, 0.5f, 7), 7);
    ck_assert_int_eq(box_nms(keep, boxes, NULL, NULL, MANY, 0.5f, MANY), BOX_NMS_MAX_KEEP);
    ck_assert_int_eq(box_nms(keep, boxes, NULL, NULL, 0, 0.5f, 7), 0);
    ck_assert_int_eq(box_nms(keep, boxes, NULL, NULL, MANY, 0.5f, 0), 0);
}
END_TEST

START_TEST(nms_keeps_what_has_no_overlap_with_anything)
{
    const struct box boxes[] = {
        {NAN, NAN, NAN, NAN}, {5, 5, 5, 5}, {5, 5, 5, 5}, {0, 0, INFINITY, INFINITY}, {1, 1, 2, 2}};
    int keep[5];
    ck_assert_int_eq(box_nms(keep, boxes, NULL, NULL, 5, 0.5f, 5), 5);
}
END_TEST

int main(void)
{
    RUN("box", iou_is_torchvisions_to_the_bit, iou_of_what_is_no_box_is_zero,
        coder_agrees_with_torchvision, growth_is_limited, what_is_clipped_is_finite,
        order_is_descending_and_stable, nms_agrees_with_torchvision, nms_agrees_with_its_definition,
        nms_keeps_what_is_at_its_threshold, nms_stops_at_its_limit,
        nms_keeps_what_has_no_overlap_with_anything);
}
