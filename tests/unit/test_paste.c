/* rcnn/paste: torchvision's planes, pixel by pixel in double, windows, boxes that are none. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"
#include "model/rcnn/paste.h"
#include "tests/golden/rcnn_paste.h"
#include "tests/unit/run.h"

enum { SIDE = 14, WIDTH = 30, HEIGHT = 26, BOXES = 5, UNTOUCHED = 9 };

/* Checks that exactly the window was written, and that the return value counts its ones. */
static void check_window(const uint8_t *plane, int width, int height,
                         const struct mask_window *window, int64_t area)
{
    int64_t ones = 0, wrong = 0;
    ck_assert(window->x0 >= 0 && window->x0 <= window->x1 && window->x1 <= width);
    ck_assert(window->y0 >= 0 && window->y0 <= window->y1 && window->y1 <= height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int inside = x >= window->x0 && x < window->x1 && y >= window->y0 && y < window->y1;
            uint8_t pixel = plane[y * width + x];
            wrong += inside ? pixel > 1 : pixel != UNTOUCHED;
            ones += pixel == 1;
        }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_eq(ones, area);
}

START_TEST(planes_are_torchvisions)
{
    for (int b = 0; b < BOXES; b++) {
        const float *v = &golden_boxes[4 * b];
        const struct box box = {v[0], v[1], v[2], v[3]};
        uint8_t plane[HEIGHT * WIDTH];
        struct mask_window window;
        memset(plane, UNTOUCHED, sizeof plane);
        int64_t area = mask_paste(golden_mask, SIDE, &box, WIDTH, HEIGHT, 0.5f, plane, &window);
        check_window(plane, WIDTH, HEIGHT, &window, area);
        for (int i = 0; i < HEIGHT * WIDTH; i++)
            ck_assert_int_eq(plane[i] == 1, golden_planes[b * HEIGHT * WIDTH + i]);
    }
}
END_TEST

/* ---- the definition ---- */

static double padded(const float *mask, int side, int y, int x)
{
    return x < 1 || y < 1 || x > side || y > side ? 0 : mask[(y - 1) * side + x - 1];
}

static double place(int pixel, int start, int length, int side)
{
    return fmin(fmax((pixel - start + 0.5) * (side + 2) / length - 0.5, 0), side + 1);
}

static double value(const float *mask, int side, const int corner[4], int y, int x)
{
    int w = corner[2] - corner[0] + 1, h = corner[3] - corner[1] + 1;
    double px = place(x, corner[0], w, side), py = place(y, corner[1], h, side);
    int x0 = (int)px, y0 = (int)py;
    double fx = px - x0, fy = py - y0;
    return (1 - fy) *
               ((1 - fx) * padded(mask, side, y0, x0) + fx * padded(mask, side, y0, x0 + 1)) +
           fy * ((1 - fx) * padded(mask, side, y0 + 1, x0) +
                 fx * padded(mask, side, y0 + 1, x0 + 1));
}

static void grow(int corner[4], const struct box *box, int side)
{
    float scale = (float)((side + 2.0) / side);
    float half_w = (box->x1 - box->x0) * 0.5f * scale, half_h = (box->y1 - box->y0) * 0.5f * scale;
    float x = (box->x1 + box->x0) * 0.5f, y = (box->y1 + box->y0) * 0.5f;
    corner[0] = (int)(x - half_w);
    corner[1] = (int)(y - half_h);
    corner[2] = (int)(x + half_w);
    corner[3] = (int)(y + half_h);
}

START_TEST(pixels_agree_with_the_definition)
{
    enum { MAX = 600 }; /* more columns than are handled at a time */
    static uint8_t plane[MAX * MAX];
    static const int sides[] = {28, 14, 7, 1};
    float mask[28 * 28];
    struct rng rng;
    rng_seed(&rng, 1);
    for (int trial = 0; trial < 60; trial++) {
        int side = sides[trial % 4], corner[4];
        int width = 1 + (int)rng_below(&rng, MAX), height = 1 + (int)rng_below(&rng, MAX);
        float x = (float)width * rng_float(&rng), y = (float)height * rng_float(&rng);
        float w = 1.5f * (float)width * rng_float(&rng), h = (float)height * rng_float(&rng);
        struct box box = {x - w / 2, y - h / 2, x + w / 2, y + h / 2};
        struct mask_window window;
        float threshold = 0.3f + 0.4f * rng_float(&rng);
        for (int i = 0; i < side * side; i++)
            mask[i] = rng_float(&rng);
        memset(plane, UNTOUCHED, sizeof plane);
        int64_t area = mask_paste(mask, side, &box, width, height, threshold, plane, &window);
        check_window(plane, width, height, &window, area);
        grow(corner, &box, side);
        int wrong = 0;
        for (int py = 0; py < height; py++)
            for (int px = 0; px < width; px++) {
                uint8_t pixel = plane[py * width + px];
                if (px < corner[0] || px > corner[2] || py < corner[1] || py > corner[3]) {
                    wrong += pixel != UNTOUCHED;
                    continue;
                }
                double v = value(mask, side, corner, py, px);
                if (fabs(v - threshold) > 1e-4) /* nearer than that, rounding decides */
                    wrong += pixel != (v >= threshold);
            }
        ck_assert_msg(wrong == 0, "trial %d: %d pixels", trial, wrong);
    }
}
END_TEST

START_TEST(threshold_itself_is_inside)
{
    const float mask[4] = {0.5f, 0.5f, 0.5f, 0.5f};
    const struct box box = {0, 0, 8, 8};
    uint8_t plane[16 * 16];
    struct mask_window window;
    int64_t at = mask_paste(mask, 2, &box, 16, 16, 0.5f, plane, &window);
    ck_assert_int_gt(at, 0);
    ck_assert_int_eq(mask_paste(mask, 2, &box, 16, 16, nextafterf(0.5f, 1), plane, &window), 0);
}
END_TEST

/* Beyond the centres of the outermost cells the value stays 0; it is not extrapolated below. */
START_TEST(threshold_zero_takes_the_whole_window)
{
    const float mask[1] = {1};
    const struct box box = {12, 11, 17, 15}; /* grows to three times that */
    uint8_t plane[WIDTH * HEIGHT];
    struct mask_window window;
    int64_t area = mask_paste(mask, 1, &box, WIDTH, HEIGHT, 0, plane, &window);
    ck_assert_int_eq(area, (window.x1 - window.x0) * (window.y1 - window.y0));
    ck_assert_int_gt(area, 0);
}
END_TEST

START_TEST(any_box_is_survived)
{
    static const struct box boxes[] = {
        {NAN, 0, 10, 10},
        {0, 0, INFINITY, 10},
        {-INFINITY, -INFINITY, INFINITY, INFINITY},
        {-FLT_MAX, -FLT_MAX, FLT_MAX, FLT_MAX},
        {FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX},
        {-1e9f, -1e9f, 1e9f, 1e9f},
        {20, 20, 5, 5},
        {7, 7, 7, 7},
        {-50, -50, -20, -20},
        {100, 3, 140, 9},
        {3, 100, 9, 140},
        {-1e8f, 3, 1e8f, 9},
    };
    uint8_t plane[HEIGHT * WIDTH];
    struct mask_window window;
    for (size_t b = 0; b < sizeof boxes / sizeof boxes[0]; b++) {
        memset(plane, UNTOUCHED, sizeof plane);
        int64_t area =
            mask_paste(golden_mask, SIDE, &boxes[b], WIDTH, HEIGHT, 0.5f, plane, &window);
        check_window(plane, WIDTH, HEIGHT, &window, area);
        if (b < 5) { /* not finite, or beyond every integer */
            ck_assert_int_eq(window.x1 - window.x0, 0);
            ck_assert_int_eq(window.y1 - window.y0, 0);
        }
    }
    const float full[1] = {1};
    const struct box dot = {7, 7, 7, 7};
    ck_assert_int_eq(mask_paste(full, 1, &dot, WIDTH, HEIGHT, 0.5f, plane, &window), 1);
    ck_assert_int_eq(mask_paste(full, 1, &dot, 0, 0, 0.5f, plane, &window), 0);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("paste");
    tcase_set_timeout(tc, 60); /* sanitizers are slow */
    tcase_add_test(tc, planes_are_torchvisions);
    tcase_add_test(tc, pixels_agree_with_the_definition);
    tcase_add_test(tc, threshold_itself_is_inside);
    tcase_add_test(tc, threshold_zero_takes_the_whole_window);
    tcase_add_test(tc, any_box_is_survived);
    return run_case("paste", tc);
}
