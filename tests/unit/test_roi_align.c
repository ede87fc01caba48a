/* rcnn/roi_align: torchvision's numbers, sample by sample in double, adjoint, limits. */
#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"
#include "model/rcnn/roi_align.h"
#include "tests/golden/rcnn_roi_align.h"
#include "tests/unit/run.h"

enum { HEIGHT = 6, WIDTH = 5, CHANNELS = 3, POOLED = 3, ROIS = 8 };

static void check_all_near(const float *got, const float *want, size_t n, float tolerance)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabsf(got[i] - want[i]) <= tolerance, "at %zu: %g, not %g", i, got[i],
                      want[i]);
}

static const struct {
    int sampling_ratio;
    const float *out, *grad;
} cases[] = {{2, golden_out_two, golden_grad_two}, {-1, golden_out_adaptive, golden_grad_adaptive}};

START_TEST(forward_agrees_with_torchvision)
{
    float out[sizeof golden_out_two / sizeof(float)];
    const struct box *rois = (const struct box *)golden_rois;
    roi_align_forward(out, golden_features, HEIGHT, WIDTH, CHANNELS, rois, ROIS, POOLED, 1 / 32.0f,
                      cases[_i].sampling_ratio);
    check_all_near(out, cases[_i].out, sizeof out / sizeof out[0], 1e-6f);
}
END_TEST

START_TEST(backward_agrees_with_torchvision_and_accumulates)
{
    float grad[HEIGHT * WIDTH * CHANNELS];
    const struct box *rois = (const struct box *)golden_rois;
    for (size_t i = 0; i < sizeof grad / sizeof grad[0]; i++)
        grad[i] = 1;
    roi_align_backward(grad, golden_grad_out, HEIGHT, WIDTH, CHANNELS, rois, ROIS, POOLED,
                       1 / 32.0f, cases[_i].sampling_ratio);
    for (size_t i = 0; i < sizeof grad / sizeof grad[0]; i++)
        grad[i] -= 1;
    check_all_near(grad, cases[_i].grad, sizeof grad / sizeof grad[0], 4e-6f);
}
END_TEST

/* ---- the definition: every sample, in double where rounding does not choose the cell ---- */

static double sample(const float *features, int height, int width, int channels, int c, float y,
                     float x)
{
    if (y < -1 || y > (float)height || x < -1 || x > (float)width)
        return 0;
    double yy = fmin(fmax(y, 0), height - 1), xx = fmin(fmax(x, 0), width - 1);
    int y0 = (int)yy, x0 = (int)xx, y1 = y0 + (y0 < height - 1), x1 = x0 + (x0 < width - 1);
    double fy = yy - y0, fx = xx - x0;
#define AT(row, column) (double)features[((row)*width + (column)) * channels + c]
    return (1 - fy) * ((1 - fx) * AT(y0, x0) + fx * AT(y0, x1)) +
           fy * ((1 - fx) * AT(y1, x0) + fx * AT(y1, x1));
#undef AT
}

static double bin(const float *features, int height, int width, int channels, int c,
                  const struct box *roi, int pooled, float scale, int ratio, int ph, int pw)
{
    float y = roi->y0 * scale, x = roi->x0 * scale;
    float bin_h = fmaxf(roi->y1 * scale - y, 1) / (float)pooled;
    float bin_w = fmaxf(roi->x1 * scale - x, 1) / (float)pooled;
    int rows = ratio > 0 ? ratio : (int)ceilf(bin_h),
        columns = ratio > 0 ? ratio : (int)ceilf(bin_w);
    double sum = 0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            sum += sample(features, height, width, channels, c,
                          y + (float)ph * bin_h + ((float)i + 0.5f) * bin_h / (float)rows,
                          x + (float)pw * bin_w + ((float)j + 0.5f) * bin_w / (float)columns);
    return sum / (rows * columns);
}

static struct box random_box(struct rng *rng, float side)
{
    float x = side * (1.4f * rng_float(rng) - 0.2f), y = side * (1.4f * rng_float(rng) - 0.2f);
    float w = side * rng_float(rng), h = side * rng_float(rng);
    return (struct box){x - w / 2, y - h / 2, x + w / 2, y + h / 2};
}

START_TEST(forward_agrees_with_its_definition)
{
    static float features[20 * 20 * 20], out[4 * 14 * 14 * 20];
    static const int pooleds[] = {7, 14, 1, 3}, ratios[] = {2, -1, 1, 5};
    struct rng rng;
    rng_seed(&rng, 3);
    for (int trial = 0; trial < 64; trial++) {
        int height = 1 + (int)rng_below(&rng, 20), width = 1 + (int)rng_below(&rng, 20);
        int channels = 1 + (int)rng_below(&rng, 20), pooled = pooleds[trial % 4];
        int ratio = ratios[trial / 4 % 4];
        struct box rois[4];
        for (int r = 0; r < 4; r++)
            rois[r] = random_box(&rng, 16.0f * (float)(height > width ? height : width));
        for (int i = 0; i < height * width * channels; i++)
            features[i] = rng_normal(&rng);
        roi_align_forward(out, features, height, width, channels, rois, 4, pooled, 1 / 16.0f,
                          ratio);
        const float *at = out;
        double worst = 0;
        for (int r = 0; r < 4; r++)
            for (int ph = 0; ph < pooled; ph++)
                for (int pw = 0; pw < pooled; pw++)
                    for (int c = 0; c < channels; c++, at++)
                        worst = fmax(worst,
                                     fabs(*at - bin(features, height, width, channels, c, &rois[r],
                                                    pooled, 1 / 16.0f, ratio, ph, pw)));
        ck_assert_double_le(worst, 4e-6);
    }
}
END_TEST

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* RoIAlign is linear in the features, so that a difference quotient is exact for any step. */
START_TEST(backward_is_the_derivative_of_forward)
{
    enum { H = 9, W = 11, C = 70, P = 7, N = 6 };
    static float features[H * W * C], grad[H * W * C], out[N * P * P * C], weights[N * P * P * C];
    struct box rois[N];
    struct rng rng;
    rng_seed(&rng, 4);
    for (int r = 0; r < N; r++)
        rois[r] = random_box(&rng, 320);
    for (size_t i = 0; i < sizeof weights / sizeof(float); i++)
        weights[i] = rng_normal(&rng);
    for (int ratio = -1; ratio <= 2; ratio += 3) {
        memset(grad, 0, sizeof grad);
        roi_align_backward(grad, weights, H, W, C, rois, N, P, 1 / 32.0f, ratio);
        for (int trial = 0; trial < 200; trial++) {
            size_t at = rng_below(&rng, H * W * C);
            memset(features, 0, sizeof features);
            features[at] = 1;
            roi_align_forward(out, features, H, W, C, rois, N, P, 1 / 32.0f, ratio);
            ck_assert_double_eq_tol(dot(out, weights, N * P * P * C), grad[at], 2e-5);
        }
    }
}
END_TEST

START_TEST(threads_do_not_change_a_bit)
{
    enum { H = 16, W = 16, C = 200, P = 7, N = 20 };
    static float features[H * W * C], out[2][N * P * P * C], grad[2][H * W * C];
    struct box rois[N];
    struct rng rng;
    int threads = omp_get_max_threads();
    rng_seed(&rng, 5);
    for (int r = 0; r < N; r++)
        rois[r] = random_box(&rng, 512);
    for (size_t i = 0; i < sizeof features / sizeof(float); i++)
        features[i] = rng_normal(&rng);
    for (int k = 0; k < 2; k++) {
        omp_set_num_threads(k ? 3 : 1);
        roi_align_forward(out[k], features, H, W, C, rois, N, P, 1 / 32.0f, 2);
        roi_align_backward(grad[k], out[k], H, W, C, rois, N, P, 1 / 32.0f, 2);
    }
    omp_set_num_threads(threads);
    ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
    ck_assert_mem_eq(grad[0], grad[1], sizeof grad[0]);
}
END_TEST

START_TEST(any_box_is_survived)
{
    static const struct box rois[] = {
        {NAN, NAN, NAN, NAN},
        {0, 0, NAN, INFINITY},
        {-INFINITY, -INFINITY, INFINITY, INFINITY},
        {FLT_MAX, FLT_MAX, -FLT_MAX, -FLT_MAX},
        {-FLT_MAX, -FLT_MAX, FLT_MAX, FLT_MAX},
        {1e9f, 1e9f, 2e9f, 2e9f},
    };
    enum { N = sizeof rois / sizeof rois[0] };
    float out[N * POOLED * POOLED * CHANNELS], grad[HEIGHT * WIDTH * CHANNELS] = {0};
    for (int ratio = -1; ratio <= 2; ratio += 3) {
        roi_align_forward(out, golden_features, HEIGHT, WIDTH, CHANNELS, rois, N, POOLED, 1, ratio);
        for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
            ck_assert_float_finite(out[i]);
        roi_align_backward(grad, out, HEIGHT, WIDTH, CHANNELS, rois, N, POOLED, 1, ratio);
        for (size_t i = 0; i < sizeof grad / sizeof grad[0]; i++)
            ck_assert_float_finite(grad[i]);
    }
    roi_align_forward(out, golden_features, HEIGHT, WIDTH, CHANNELS, rois, 0, POOLED, 1, 2);
}
END_TEST

START_TEST(nan_counts_as_zero)
{
    static const struct box rois[] = {{NAN, NAN, 100, 120}, {0, 0, 100, 120}};
    float out[2 * POOLED * POOLED * CHANNELS];
    const size_t half = sizeof out / 2;
    roi_align_forward(out, golden_features, HEIGHT, WIDTH, CHANNELS, rois, 2, POOLED, 1 / 32.0f, 2);
    ck_assert_mem_eq(out, (char *)out + half, half);
}
END_TEST

START_TEST(largest_map_fits_the_tables)
{
    enum { SIDE = ROI_ALIGN_MAX_SIDE, P = ROI_ALIGN_MAX_POOLED };
    static const struct box roi = {0, 0, SIDE, 1};
    float *row = malloc(SIDE * sizeof *row), *out = malloc(P * P * sizeof *out);
    ck_assert_ptr_nonnull(row);
    ck_assert_ptr_nonnull(out);
    for (int i = 0; i < SIDE; i++)
        row[i] = 1;
    roi_align_forward(out, row, 1, SIDE, 1, &roi, 1, P, 1, -1);
    for (int i = 0; i < P * P; i++)
        ck_assert_float_eq_tol(out[i], 1, 1e-5f);
    free(row);
    free(out);
}
END_TEST

/* ---- mask targets ---- */

START_TEST(mask_target_agrees_with_torchvision)
{
    float out[49];
    for (int r = 0; r < 3; r++) {
        roi_align_mask_target(out, golden_plane, 40, 36, 36, 1,
                              (const struct box *)golden_mask_rois + r, 7);
        check_all_near(out, golden_mask_targets + 49 * r, 49, 1e-6f);
    }
}
END_TEST

/* A plane of component numbers with a padded stride, against the same boxes on a float map. */
START_TEST(mask_target_is_roi_align_of_one_component)
{
    enum { MAX = 300 };
    static uint8_t plane[MAX * (MAX + 13)];
    static float map[MAX * MAX];
    float out[28 * 28], want[28 * 28];
    struct rng rng;
    rng_seed(&rng, 6);
    for (int trial = 0; trial < 60; trial++) {
        int height = 1 + (int)rng_below(&rng, MAX), width = 1 + (int)rng_below(&rng, MAX);
        size_t stride = (size_t)width + rng_below(&rng, 13);
        struct box roi = random_box(&rng, (float)(trial % 3 ? MAX : 20));
        memset(plane, 7, sizeof plane);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                uint8_t id = (uint8_t)rng_below(&rng, 3);
                plane[(size_t)y * stride + (size_t)x] = id;
                map[y * width + x] = id == 2;
            }
        roi_align_mask_target(out, plane, height, width, stride, 2, &roi, 28);
        roi_align_forward(want, map, height, width, 1, &roi, 1, 28, 1, -1);
        check_all_near(out, want, 28 * 28, 2e-6f);
    }
}
END_TEST

START_TEST(mask_target_of_any_box)
{
    static const struct box rois[] = {{NAN, 0, INFINITY, 5},
                                      {-FLT_MAX, -FLT_MAX, FLT_MAX, FLT_MAX},
                                      {500, 500, 600, 600},
                                      {20, 20, 10, 10}};
    float out[28 * 28];
    for (int r = 0; r < 4; r++) {
        roi_align_mask_target(out, golden_plane, 40, 36, 36, 1, &rois[r], 28);
        for (int i = 0; i < 28 * 28; i++)
            ck_assert(out[i] >= 0 && out[i] <= 1 + 1e-5f);
    }
    roi_align_mask_target(out, golden_plane, 40, 36, 36, 1, &rois[2], 28); /* off the plane */
    for (int i = 0; i < 28 * 28; i++)
        ck_assert_float_eq(out[i], 0);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("roi_align");
    tcase_set_timeout(tc, 60); /* sanitizers are slow */
    tcase_add_loop_test(tc, forward_agrees_with_torchvision, 0, 2);
    tcase_add_loop_test(tc, backward_agrees_with_torchvision_and_accumulates, 0, 2);
    tcase_add_test(tc, forward_agrees_with_its_definition);
    tcase_add_test(tc, backward_is_the_derivative_of_forward);
    tcase_add_test(tc, threads_do_not_change_a_bit);
    tcase_add_test(tc, any_box_is_survived);
    tcase_add_test(tc, nan_counts_as_zero);
    tcase_add_test(tc, largest_map_fits_the_tables);
    tcase_add_test(tc, mask_target_agrees_with_torchvision);
    tcase_add_test(tc, mask_target_is_roi_align_of_one_component);
    tcase_add_test(tc, mask_target_of_any_box);
    return run_case("roi_align", tc);
}
