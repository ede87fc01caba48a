/* base/rng: the published sequence, ranges, moments, and continuing from a copied state. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"
#include "tests/unit/run.h"

enum { DRAWS = 100000 };

/* The generator's first outputs from the state 1, 2, 3, 4 follow from its definition by hand. */
START_TEST(sequence_is_xoshiro256)
{
    struct rng rng = {{1, 2, 3, 4}};
    ck_assert_uint_eq(rng_u64(&rng), 11520u);
    ck_assert_uint_eq(rng_u64(&rng), 0u);
    ck_assert_uint_eq(rng_u64(&rng), 1509978240u);
    ck_assert_uint_eq(rng_u64(&rng), 1215971899390074240u);
}
END_TEST

START_TEST(seeds_are_spread_by_splitmix64)
{
    struct rng rng;
    rng_seed(&rng, 1234567);
    ck_assert_uint_eq(rng.state[0], 6457827717110365317u);
    ck_assert_uint_eq(rng.state[1], 3203168211198807973u);
    rng_seed(&rng, 0);
    ck_assert(rng.state[0] | rng.state[1] | rng.state[2] | rng.state[3]);
}
END_TEST

START_TEST(a_copied_state_continues)
{
    struct rng rng, copy;
    rng_seed(&rng, 9);
    for (int i = 0; i < 11; i++)
        rng_normal(&rng);
    memcpy(&copy, &rng, sizeof rng);
    for (int i = 0; i < 100; i++) {
        ck_assert_float_eq(rng_normal(&rng), rng_normal(&copy));
        ck_assert_uint_eq(rng_below(&rng, 1000), rng_below(&copy, 1000));
    }
}
END_TEST

START_TEST(floats_fill_the_unit_interval)
{
    struct rng rng;
    double sum = 0;
    float least = 1, most = 0;
    rng_seed(&rng, 1);
    for (int i = 0; i < DRAWS; i++) {
        float v = rng_float(&rng);
        ck_assert(v >= 0 && v < 1);
        least = fminf(least, v);
        most = fmaxf(most, v);
        sum += v;
    }
    ck_assert_double_eq_tol(sum / DRAWS, 0.5, 0.005);
    ck_assert_float_lt(least, 0.001f);
    ck_assert_float_gt(most, 0.999f);
}
END_TEST

START_TEST(normals_have_their_moments)
{
    struct rng rng;
    double sum = 0, squares = 0, fourth = 0;
    rng_seed(&rng, 2);
    for (int i = 0; i < DRAWS; i++) {
        double v = rng_normal(&rng);
        ck_assert(isfinite(v));
        sum += v;
        squares += v * v;
        fourth += v * v * v * v;
    }
    ck_assert_double_eq_tol(sum / DRAWS, 0, 0.02);
    ck_assert_double_eq_tol(squares / DRAWS, 1, 0.03);
    ck_assert_double_eq_tol(fourth / DRAWS, 3, 0.2);
}
END_TEST

START_TEST(below_is_even)
{
    static const uint32_t limits[] = {1, 2, 3, 7, 10};
    struct rng rng;
    rng_seed(&rng, 3);
    for (int l = 0; l < 5; l++) {
        int hits[10] = {0};
        for (int i = 0; i < DRAWS; i++) {
            uint32_t v = rng_below(&rng, limits[l]);
            ck_assert_uint_lt(v, limits[l]);
            hits[v]++;
        }
        for (uint32_t v = 0; v < limits[l]; v++)
            ck_assert_double_eq_tol((double)hits[v] / DRAWS, 1.0 / limits[l], 0.01);
    }
    /* With a limit of 3/4 of the range, scaling without rejection hits every third value twice. */
    int low = 0;
    for (int i = 0; i < DRAWS; i++)
        low += rng_below(&rng, 0xC0000000u) % 3 == 0;
    ck_assert_double_eq_tol((double)low / DRAWS, 1.0 / 3, 0.01);
}
END_TEST

int main(void)
{
    RUN("rng", sequence_is_xoshiro256, seeds_are_spread_by_splitmix64, a_copied_state_continues,
        floats_fill_the_unit_interval, normals_have_their_moments, below_is_even);
}
