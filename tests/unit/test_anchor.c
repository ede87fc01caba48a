/* rcnn/anchor: torchvision's grid, to the bit. */
#include <stdlib.h>

#include "model/rcnn/anchor.h"
#include "tests/golden/rcnn_anchor.h"
#include "tests/unit/run.h"

static void check_grid(const struct box *got, const float *want, size_t values)
{
    for (size_t i = 0; i < values / 4; i++) {
        ck_assert_float_eq(got[i].x0, want[4 * i]);
        ck_assert_float_eq(got[i].y0, want[4 * i + 1]);
        ck_assert_float_eq(got[i].x1, want[4 * i + 2]);
        ck_assert_float_eq(got[i].y1, want[4 * i + 3]);
    }
}

START_TEST(grid_is_torchvisions)
{
    const float sizes[] = {2, 4, 8, 16, 32}, ratios[] = {.1f, .25f, .5f, 1, 1.5f, 2};
    struct box out[3 * 2 * 30];
    ck_assert_uint_eq(sizeof out / sizeof out[0] * 4, sizeof golden_model / sizeof(float));
    anchor_grid(out, sizes, 5, ratios, 6, 3, 2, 32);
    check_grid(out, golden_model, sizeof golden_model / sizeof(float));
}
END_TEST

START_TEST(sizes_and_ratios_are_the_callers)
{
    const float sizes[] = {32, 64, 128}, ratios[] = {.5f, 1, 2};
    struct box out[2 * 9];
    ck_assert_uint_eq(sizeof out / sizeof out[0] * 4, sizeof golden_large / sizeof(float));
    anchor_grid(out, sizes, 3, ratios, 3, 2, 1, 32);
    check_grid(out, golden_large, sizeof golden_large / sizeof(float));
}
END_TEST

START_TEST(halves_round_to_even)
{
    const float sizes[] = {1, 3, 5, 7}, ratio[] = {1};
    const float half[] = {0, 2, 2, 4}; /* of 0.5, 1.5, 2.5, 3.5 */
    struct box out[4];
    anchor_grid(out, sizes, 4, ratio, 1, 1, 1, 8);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq(out[i].x1, half[i]);
}
END_TEST

int main(void)
{
    RUN("anchor", grid_is_torchvisions, sizes_and_ratios_are_the_callers, halves_round_to_even);
}
