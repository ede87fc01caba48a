/* rcnn/loss and rcnn/score: PyTorch's values and gradients, difference quotients, extreme logits.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/rcnn/loss.h"
#include "model/rcnn/score.h"
#include "tests/golden/rcnn_loss.h"
#include "tests/unit/run.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Every loss of this file on the golden inputs, behind one signature. */
static double bce(float *grad, const float *x, float scale)
{
    return loss_bce(grad, x, golden_bce_targets, golden_bce_selected, COUNT(golden_bce_selected),
                    scale);
}

static double cross_entropy(float *grad, const float *x, float scale)
{
    return loss_softmax(grad, x, golden_softmax_labels, 9, 4, scale);
}

static double l1(float *grad, const float *x, float scale)
{
    return loss_smooth_l1(grad, x, golden_l1_rows, golden_l1_targets, 4, 0, 10, scale);
}

static double smooth_l1(float *grad, const float *x, float scale)
{
    return loss_smooth_l1(grad, x, golden_l1_rows, golden_l1_targets, 4, 1, 10, scale);
}

static double mask(float *grad, const float *x, float scale)
{
    return loss_mask(grad, x, golden_mask_targets, golden_mask_labels, 3, 4, 25, false, scale);
}

enum { LARGEST = COUNT(golden_mask_logits) };

static const struct {
    double (*loss)(float *, const float *, float);
    const float *input, *grad;
    int n;
    double value;
} cases[] = {
    {bce, golden_bce_logits, golden_bce_grad, COUNT(golden_bce_logits), golden_bce},
    {cross_entropy, golden_softmax_logits, golden_softmax_grad, COUNT(golden_softmax_logits),
     golden_softmax},
    {l1, golden_l1_deltas, golden_l1_grad, COUNT(golden_l1_deltas), golden_l1},
    {smooth_l1, golden_l1_deltas, golden_smooth_l1_grad, COUNT(golden_l1_deltas), golden_smooth_l1},
    {mask, golden_mask_logits, golden_mask_grad, COUNT(golden_mask_logits), golden_mask},
};

START_TEST(values_and_gradients_are_pytorchs)
{
    float grad[LARGEST] = {0};
    ck_assert_double_eq_tol(cases[_i].loss(grad, cases[_i].input, 1), cases[_i].value, 1e-6);
    for (int i = 0; i < cases[_i].n; i++)
        ck_assert_float_eq_tol(grad[i], cases[_i].grad[i], 1e-7f);
}
END_TEST

START_TEST(gradients_accumulate_and_scale)
{
    float grad[LARGEST];
    for (int i = 0; i < LARGEST; i++)
        grad[i] = 2;
    double value = cases[_i].loss(grad, cases[_i].input, 0.25f);
    ck_assert_double_eq_tol(value, cases[_i].value, 1e-6); /* not scaled */
    for (int i = 0; i < cases[_i].n; i++)
        ck_assert_float_eq_tol(grad[i], 2 + 0.25f * cases[_i].grad[i], 3e-7f);
    ck_assert_double_eq(cases[_i].loss(NULL, cases[_i].input, 1), value);
}
END_TEST

START_TEST(gradients_are_difference_quotients)
{
    const float step = 1.0f / 128;
    float grad[LARGEST] = {0}, x[LARGEST];
    memcpy(x, cases[_i].input, (size_t)cases[_i].n * sizeof(float));
    cases[_i].loss(grad, x, 1);
    for (int i = 0; i < cases[_i].n; i++) {
        float middle = x[i];
        x[i] = middle + step;
        double above = cases[_i].loss(NULL, x, 1);
        x[i] = middle - step;
        double below = cases[_i].loss(NULL, x, 1);
        double width = (double)(middle + step) - (double)x[i];
        x[i] = middle;
        ck_assert_double_eq_tol((above - below) / width, grad[i], 2e-5);
    }
}
END_TEST

START_TEST(masks_may_have_their_channels_last)
{
    float last[LARGEST], grad[LARGEST] = {0};
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++)
            for (int i = 0; i < 25; i++)
                last[(r * 25 + i) * 4 + c] = golden_mask_logits[(r * 4 + c) * 25 + i];
    double value =
        loss_mask(grad, last, golden_mask_targets, golden_mask_labels, 3, 4, 25, true, 1);
    ck_assert_double_eq_tol(value, golden_mask, 1e-6);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++)
            for (int i = 0; i < 25; i++)
                ck_assert_float_eq_tol(grad[(r * 25 + i) * 4 + c],
                                       golden_mask_grad[(r * 4 + c) * 25 + i], 1e-7f);
}
END_TEST

START_TEST(nothing_selected_costs_nothing)
{
    float grad[4] = {1, 2, 3, 4};
    const float x[4] = {0}, before[4] = {1, 2, 3, 4};
    ck_assert_double_eq(loss_bce(grad, x, x, NULL, 0, 1), 0);
    ck_assert_double_eq(loss_softmax(grad, x, NULL, 0, 4, 1), 0);
    ck_assert_double_eq(loss_smooth_l1(grad, x, NULL, x, 0, 1, 0, 1), 0);
    ck_assert_double_eq(loss_mask(grad, x, x, NULL, 0, 4, 1, false, 1), 0);
    ck_assert_mem_eq(grad, before, sizeof grad);
}
END_TEST

START_TEST(extreme_logits_stay_finite)
{
    const float x[4] = {1e30f, -1e30f, 200, -200}, targets[4] = {0, 1, 0, 1};
    const int label = 1;
    float grad[4] = {0};
    ck_assert_double_eq_tol(loss_bce(grad, x + 2, targets + 2, NULL, 2, 1), 200, 1e-6);
    ck_assert(isfinite(loss_bce(grad, x, targets, NULL, 4, 1)));
    ck_assert_double_eq_tol(loss_softmax(grad, x, &label, 1, 4, 1), 2e30, 1e24);
    for (int i = 0; i < 4; i++)
        ck_assert_float_finite(grad[i]);
    ck_assert_float_eq(sigmoid(1e30f), 1);
    ck_assert_float_eq(sigmoid(-1e30f), 0);
    ck_assert_float_eq(sigmoid(0), 0.5f);
    ck_assert_float_gt(sigmoid(-80), 0); /* a small probability is not rounded to none */
    float row[3] = {1000, 1000, -1000};
    softmax_rows(row, row, 1, 3);
    ck_assert_float_eq(row[0], 0.5f);
    ck_assert_float_eq(row[1], 0.5f);
    ck_assert_float_eq(row[2], 0);
}
END_TEST

START_TEST(softmax_rows_are_pytorchs)
{
    float out[COUNT(golden_softmax_rows)];
    softmax_rows(out, golden_softmax_logits, 9, 4);
    for (int i = 0; i < COUNT(out); i++)
        ck_assert_float_eq_tol(out[i], golden_softmax_rows[i], 2e-7f);
    memcpy(out, golden_softmax_logits, sizeof out);
    softmax_rows(out, out, 9, 4);
    for (int i = 0; i < COUNT(out); i++)
        ck_assert_float_eq_tol(out[i], golden_softmax_rows[i], 2e-7f);
}
END_TEST

START_TEST(sigmoid_all_is_sigmoid_of_each)
{
    float x[37], out[37];
    for (int i = 0; i < 37; i++)
        x[i] = 0.5f * (float)(i - 18);
    sigmoid_all(out, x, 37);
    for (int i = 0; i < 37; i++)
        ck_assert_float_eq_tol(out[i], (float)(1 / (1 + exp(-(double)x[i]))), 1e-7f);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("loss");
    tcase_add_loop_test(tc, values_and_gradients_are_pytorchs, 0, COUNT(cases));
    tcase_add_loop_test(tc, gradients_accumulate_and_scale, 0, COUNT(cases));
    tcase_add_loop_test(tc, gradients_are_difference_quotients, 0, COUNT(cases));
    tcase_add_test(tc, masks_may_have_their_channels_last);
    tcase_add_test(tc, nothing_selected_costs_nothing);
    tcase_add_test(tc, extreme_logits_stay_finite);
    tcase_add_test(tc, softmax_rows_are_pytorchs);
    tcase_add_test(tc, sigmoid_all_is_sigmoid_of_each);
    return run_case("loss", tc);
}
