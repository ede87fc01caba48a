/* data/normalize: standardisation, resize against PyTorch's numbers, placement, refusals. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/normalize.h"
#include "tests/golden/normalize.inc"
#include "tests/unit/run.h"

static struct image make_slice(int width, int height)
{
    struct image image;
    ck_assert_int_eq(image_alloc(&image, width, height, NULL), 0);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            image.pixels[(size_t)y * (size_t)width + (size_t)x] =
                (float)((x * 37 + y * 101 + (x * y) % 17 * 13) % 256) / 255.0f;
    return image;
}

static float *make_plane(int side)
{
    float *plane = malloc((size_t)side * (size_t)side * sizeof *plane);
    ck_assert_ptr_nonnull(plane);
    memset(plane, 0x7f, (size_t)side * (size_t)side * sizeof *plane);
    return plane;
}

START_TEST(agrees_with_pytorch)
{
    const struct golden *g = &goldens[_i];
    struct image image = make_slice(g->width, g->height);
    float *plane = make_plane(g->side);
    struct placement p;
    struct error err;
    ck_assert_msg(normalize_slice(plane, g->side, &p, &image, &err) == 0, "%s", err.text);
    ck_assert_int_eq(p.width, g->placed_width);
    ck_assert_int_eq(p.height, g->placed_height);
    ck_assert_float_eq_tol(p.scale_x, (float)p.width / (float)g->width, 1e-7f);
    ck_assert_float_eq_tol(p.scale_y, (float)p.height / (float)g->height, 1e-7f);
    for (int i = 0; i < g->side * g->side; i++)
        ck_assert_msg(fabsf(plane[i] - g->plane[i]) < 5e-6f,
                      "%dx%d to %d, index %d: %.7g, not %.7g", g->width, g->height, g->side, i,
                      (double)plane[i], (double)g->plane[i]);
    free(plane);
    image_free(&image);
}
END_TEST

/* Reference in plain double loops; the size has rows and columns that fill no vector. */
START_TEST(same_size_is_only_standardised)
{
    enum { W = 509, H = 512 };
    struct image image = make_slice(W, H);
    double sum = 0, square = 0;
    for (int i = 0; i < W * H; i++)
        sum += (double)image.pixels[i];
    double mean = sum / (W * H);
    for (int i = 0; i < W * H; i++)
        square += ((double)image.pixels[i] - mean) * ((double)image.pixels[i] - mean);
    double deviation = sqrt(square / (W * H - 1));

    float *plane = make_plane(H);
    struct placement p;
    ck_assert_int_eq(normalize_slice(plane, H, &p, &image, NULL), 0);
    ck_assert_int_eq(p.width, W);
    ck_assert_int_eq(p.height, H);
    ck_assert_double_eq_tol(p.mean, mean, 1e-13);
    ck_assert_double_eq_tol(p.deviation, deviation, 1e-13);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < H; x++) {
            double want = x < W ? ((double)image.pixels[y * W + x] - mean) / deviation : 0;
            ck_assert_double_eq_tol((double)plane[y * H + x], want, 1e-6);
        }
    }
    free(plane);
    image_free(&image);
}
END_TEST

/* A slice far from zero with little contrast: single sums would lose the deviation. */
START_TEST(small_contrast_keeps_its_deviation)
{
    struct image image = make_slice(512, 512);
    for (int i = 0; i < 512 * 512; i++)
        image.pixels[i] = i % 2 ? 0.9f : 0.9f + 1.0f / 65535;
    float *plane = make_plane(512);
    struct placement p;
    ck_assert_int_eq(normalize_slice(plane, 512, &p, &image, NULL), 0);
    ck_assert_double_eq_tol(p.deviation, ((double)image.pixels[0] - (double)image.pixels[1]) / 2,
                            1e-10);
    ck_assert_float_eq_tol(plane[0], 1, 0.02f);
    ck_assert_float_eq_tol(plane[1], -1, 0.02f);
    free(plane);
    image_free(&image);
}
END_TEST

static enum error_code refusal(const struct image *image, int side)
{
    struct error err = {ERR_NONE, ""};
    struct placement p;
    float plane[16];
    ck_assert_int_ne(normalize_slice(plane, side, &p, image, &err), 0);
    ck_assert_int_eq(p.width, 0);
    return err.code;
}

START_TEST(refuses_what_has_no_contrast)
{
    struct image image = make_slice(40, 30), one = make_slice(1, 1), none = {0};
    for (int i = 0; i < 40 * 30; i++)
        image.pixels[i] = 0.3f;
    ck_assert_int_eq(refusal(&image, 4), ERR_CONSTANT_IMAGE);
    image.pixels[777] = nextafterf(0.3f, 1);
    ck_assert_int_eq(refusal(&image, 4), ERR_CONSTANT_IMAGE);
    image.pixels[777] = NAN;
    ck_assert_int_eq(refusal(&image, 4), ERR_ARGUMENT);
    image.pixels[777] = INFINITY;
    ck_assert_int_eq(refusal(&image, 4), ERR_ARGUMENT);
    image.pixels[777] = 0.3f + 1.0f / 65535;
    ck_assert_int_eq(refusal(&image, 0), ERR_ARGUMENT);
    float plane[16];
    struct placement p;
    ck_assert_int_eq(normalize_slice(plane, 4, &p, &image, NULL), 0);
    ck_assert_int_eq(refusal(&one, 4), ERR_CONSTANT_IMAGE);
    ck_assert_int_eq(refusal(&none, 4), ERR_ARGUMENT);
    image_free(&image);
    image_free(&one);
}
END_TEST

START_TEST(placement_rounds_half_up_and_keeps_a_pixel)
{
    static const struct {
        int width, height, side, placed_width, placed_height;
    } cases[] = {
        {512, 512, 512, 512, 512}, {512, 400, 512, 512, 400},
        {256, 512, 512, 256, 512}, {8, 3, 4, 4, 2},
        {8, 1, 4, 4, 1},           {1000, 1, 512, 512, 1},
        {3000, 1, 512, 512, 1},    {1, 3000, 512, 1, 512},
        {1, 1, 7, 7, 7},           {2147483647, 2147483646, 512, 512, 512},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct placement p = placement_make(cases[i].width, cases[i].height, cases[i].side);
        ck_assert_int_eq(p.width, cases[i].placed_width);
        ck_assert_int_eq(p.height, cases[i].placed_height);
    }
}
END_TEST

int main(void)
{
    TCase *tc = test_case("normalize");
    tcase_add_loop_test(tc, agrees_with_pytorch, 0, (int)(sizeof goldens / sizeof *goldens));
    tcase_add_test(tc, same_size_is_only_standardised);
    tcase_add_test(tc, small_contrast_keeps_its_deviation);
    tcase_add_test(tc, refuses_what_has_no_contrast);
    tcase_add_test(tc, placement_rounds_half_up_and_keeps_a_pixel);
    return run_case("normalize", tc);
}
