/* nn/winograd4: the convolution and both gradients against loops in double, for planes that do and
 * do not divide into tiles, both kinds of layout, and any number of threads. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/nn/winograd4.h"

/* Rounding of sums over 36 products of transformed values, relative to the largest result. */
#define TOLERANCE 2e-5

static const struct winograd4_shape shapes[] = {
    {2, 7, 9, 32, 64, 8, 32, 1, 1},   {1, 8, 8, 64, 32, 64, 8, 1, 1},
    {3, 5, 4, 32, 32, 16, 16, 1, 1},  {1, 1, 1, 32, 32, 32, 8, 1, 1},
    {1, 33, 30, 32, 64, 8, 8, 1, 1},  {5, 14, 14, 32, 32, 32, 32, 1, 1},
    {1, 9, 10, 96, 160, 8, 16, 1, 1}, {1, 47, 45, 32, 32, 16, 32, 1, 1},
};

/* Gradients are there for one group alone. */
static const struct winograd4_shape grouped[] = {
    {1, 9, 10, 96, 96, 16, 16, 1, 3},
    {2, 7, 5, 64, 64, 64, 8, 1, 2},
    {1, 30, 31, 64, 128, 8, 32, 1, 2},
    {1, 3, 3, 128, 128, 16, 128, 1, 2},
};

struct values {
    struct winograd4_shape s;
    float *x, *y, *weight, *bias, *residual;
};

static float *random_floats(int64_t count, unsigned seed)
{
    float *p = malloc((size_t)count * sizeof *p);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)(seed >> 8) / 16777216 - .5f;
    }
    return p;
}

static struct values open_values(const struct winograd4_shape *s)
{
    int64_t pixels = s->n * s->h * s->w;
    return (struct values){*s,
                           random_floats(pixels * s->in, 1),
                           random_floats(pixels * s->out, 2),
                           random_floats(9 * s->in / s->groups * s->out, 3),
                           random_floats(s->out, 4),
                           random_floats(pixels * s->out, 5)};
}

static void close_values(struct values *v)
{
    free(v->x);
    free(v->y);
    free(v->weight);
    free(v->bias);
    free(v->residual);
}

static int64_t place(const struct winograd4_shape *s, int64_t channels, int64_t inner, int64_t n,
                     int64_t c, int64_t y, int64_t x)
{
    return (((n * (channels / inner) + c / inner) * s->h + y) * s->w + x) * inner + c % inner;
}

/* Calls visit for every product of the convolution: indices of x, weight and y. */
#define FOR_PRODUCTS(s, VISIT)                                                                     \
    for (int64_t n = 0; n < (s)->n; n++)                                                           \
        for (int64_t o = 0; o < (s)->out; o++)                                                     \
            for (int64_t k = 0; k < (s)->in / (s)->groups; k++)                                    \
                for (int64_t p = 0; p < (s)->h * (s)->w * 9; p++) {                                \
                    int64_t y = p / 9 / (s)->w, x = p / 9 % (s)->w, t = p % 9;                     \
                    int64_t fy = y + t / 3 - 1, fx = x + t % 3 - 1;                                \
                    if (fy < 0 || fy >= (s)->h || fx < 0 || fx >= (s)->w)                          \
                        continue;                                                                  \
                    int64_t per = (s)->in / (s)->groups,                                           \
                            i = o / ((s)->out / (s)->groups) * per + k;                            \
                    int64_t xi = place(s, (s)->in, (s)->in_inner, n, i, fy, fx);                   \
                    int64_t wi = (o * per + k) * 9 + t;                                            \
                    int64_t yi = place(s, (s)->out, (s)->out_inner, n, o, y, x);                   \
                    VISIT;                                                                         \
                }

static void check_close(const float *got, const double *expected, int64_t count, const char *what)
{
    double largest = 0, worst = 0;
    for (int64_t k = 0; k < count; k++) {
        largest = fmax(largest, fabs(expected[k]));
        worst = fmax(worst, fabs((double)got[k] - expected[k]));
    }
    ck_assert_msg(worst <= TOLERANCE * largest, "%s is off by %g of %g", what, worst, largest);
}

static void convolve(const struct values *v, int64_t threads, float *y)
{
    struct winograd4_shape s = v->s;
    s.threads = threads;
    float *packed = malloc((size_t)(WINOGRAD4_POINTS * s.in * s.out) * sizeof(float));
    float *scratch = malloc((size_t)winograd4_scratch(&s) * sizeof(float));
    int64_t in = s.in / s.groups, out = s.out / s.groups;
    for (int64_t g = 0; g < s.groups; g++)
        winograd4_filter(packed + g * WINOGRAD4_POINTS * in * out, v->weight + g * 9 * in * out, in,
                         out);
    winograd4_convolution(y, v->x, packed, v->bias, v->residual, true, scratch, &s);
    free(packed);
    free(scratch);
}

static void input_gradient(const struct values *v, int64_t threads, float *dx)
{
    struct winograd4_shape s = v->s;
    struct winograd4_shape turned = {s.n,         s.h,        s.w,     s.out, s.in,
                                     s.out_inner, s.in_inner, threads, 1};
    float *packed = malloc((size_t)(WINOGRAD4_POINTS * s.in * s.out) * sizeof(float));
    float *scratch = malloc((size_t)winograd4_scratch(&turned) * sizeof(float));
    winograd4_filter_turned(packed, v->weight, s.in, s.out);
    winograd4_convolution(dx, v->y, packed, NULL, NULL, false, scratch, &turned);
    free(packed);
    free(scratch);
}

static void weight_gradient(const struct values *v, int64_t threads, float *dw)
{
    struct winograd4_shape s = v->s;
    s.threads = threads;
    float *scratch = malloc((size_t)winograd4_weight_scratch(&s) * sizeof(float));
    winograd4_weight_gradient(dw, v->x, v->y, scratch, &s);
    free(scratch);
}

/* What `run` writes is near `expected`, and the same for one, two and three threads. */
static void check_run(const struct values *v, void (*run)(const struct values *, int64_t, float *),
                      const double *expected, int64_t count, const char *what)
{
    float *one = malloc((size_t)count * sizeof *one), *more = malloc((size_t)count * sizeof *more);
    run(v, 1, one);
    check_close(one, expected, count, what);
    for (int64_t threads = 2; threads <= 3; threads++) {
        run(v, threads, more);
        ck_assert_msg(memcmp(one, more, (size_t)count * sizeof *one) == 0,
                      "%s differs on %d threads", what, (int)threads);
    }
    free(one);
    free(more);
}

static void check_results(const struct winograd4_shape *shape)
{
    struct values v = open_values(shape);
    const struct winograd4_shape *s = &v.s;
    int64_t pixels = s->n * s->h * s->w, count = pixels * s->out;
    double *expected = calloc((size_t)count, sizeof *expected);
    FOR_PRODUCTS(s, expected[yi] += (double)v.x[xi] * (double)v.weight[wi])
    for (int64_t k = 0; k < count; k++) {
        int64_t block = k / s->out_inner / (s->h * s->w) % (s->out / s->out_inner);
        expected[k] += (double)v.bias[block * s->out_inner + k % s->out_inner];
        expected[k] = fmax(expected[k] + (double)v.residual[k], 0);
    }
    check_run(&v, convolve, expected, count, "the result");
    free(expected);
    close_values(&v);
}

START_TEST(results)
{
    check_results(&shapes[_i]);
}
END_TEST

START_TEST(results_of_groups)
{
    check_results(&grouped[_i]);
}
END_TEST

START_TEST(gradients)
{
    struct values v = open_values(&shapes[_i]);
    const struct winograd4_shape *s = &v.s;
    int64_t inputs = s->n * s->h * s->w * s->in, weights = 9 * s->in * s->out;
    double *dx = calloc((size_t)inputs, sizeof *dx), *dw = calloc((size_t)weights, sizeof *dw);
    FOR_PRODUCTS(s, dx[xi] += (double)v.y[yi] * (double)v.weight[wi];
                 dw[wi] += (double)v.y[yi] * (double)v.x[xi])
    check_run(&v, input_gradient, dx, inputs, "the input's gradient");
    check_run(&v, weight_gradient, dw, weights, "the filters' gradient");
    free(dx);
    free(dw);
    close_values(&v);
}
END_TEST

/* Rounding must not make a pattern of tiles where there is none. */
START_TEST(flat_planes_stay_flat)
{
    const struct winograd4_shape shape = {1, 20, 20, 32, 32, 8, 8, 1, 1};
    struct values v = open_values(&shape);
    for (int64_t k = 0; k < 400 * 32; k++) {
        v.x[k] = .1f + .01f * (float)(k % 8);
        v.residual[k] = 1;
    }
    convolve(&v, 1, v.y);
    for (int64_t o = 0; o < 32; o++)
        for (int64_t p = 0; p < 18 * 18; p++)
            ck_assert(v.y[place(&shape, 32, 8, 0, o, 1 + p / 18, 1 + p % 18)] ==
                      v.y[place(&shape, 32, 8, 0, o, 1, 1)]);
    close_values(&v);
}
END_TEST

int main(void)
{
    enum { SHAPES = sizeof shapes / sizeof *shapes, GROUPED = sizeof grouped / sizeof *grouped };
    Suite *suite = suite_create("winograd4");
    TCase *tc = tcase_create("winograd4");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, results, 0, SHAPES);
    tcase_add_loop_test(tc, results_of_groups, 0, GROUPED);
    tcase_add_loop_test(tc, gradients, 0, SHAPES);
    tcase_add_test(tc, flat_planes_stay_flat);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* OpenMP does not survive a fork */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
