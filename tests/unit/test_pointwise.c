/* nn/pointwise: the convolution against loops in double, for planes that do and do not divide into
 * blocks and tiles, with and without stride, and any number of threads. */
#include <math.h>
#include <string.h>

#include "model/nn/pointwise.h"
#include "tests/unit/run.h"

/* Rounding of sums over `in` products, relative to the largest result. */
#define TOLERANCE 4e-6

static const struct pointwise_shape shapes[] = {
    {1, 1, 16, 64, 1, 1},     /* one pixel, less than a block of six */
    {7, 9, 48, 64, 1, 1},     /* 63 pixels: ten blocks and three more */
    {12, 12, 128, 192, 1, 1}, /* one chunk of channels exactly */
    {5, 5, 144, 128, 1, 1},   /* a chunk and one block; panels split among two threads */
    {40, 40, 432, 64, 1, 1},  /* several tiles */
    {8, 8, 32, 64, 2, 1},     /* every other pixel of even and odd planes */
    {9, 7, 160, 128, 2, 1},   {60, 58, 256, 128, 2, 1}, /* several gathered tiles */
};

static float *random_floats(int64_t count, unsigned seed)
{
    float *p = malloc((size_t)count * sizeof *p);
    for (int64_t i = 0; i < count; i++)
        p[i] = (float)random_next(&seed) / 16777216 - .5f;
    return p;
}

struct values {
    struct pointwise_shape s;
    int64_t columns, pixels; /* of the result */
    float *x, *weight, *packed, *bias, *residual;
};

static struct values open_values(const struct pointwise_shape *s)
{
    int64_t rows = (s->h + s->stride - 1) / s->stride, columns = (s->w + s->stride - 1) / s->stride;
    struct values v = {*s,
                       columns,
                       rows * columns,
                       random_floats(s->h * s->w * s->in, 1),
                       random_floats(s->in * s->out, 2),
                       malloc((size_t)(s->in * s->out) * sizeof(float)),
                       random_floats(s->out, 3),
                       random_floats(rows * columns * s->out, 4)};
    pointwise_pack(v.packed, v.weight, s->in, s->out);
    return v;
}

static void close_values(struct values *v)
{
    free(v->x);
    free(v->weight);
    free(v->packed);
    free(v->bias);
    free(v->residual);
}

/* The whole result on some threads; in place: over the residual itself. */
static float *convolve(const struct values *v, int64_t threads, bool in_place)
{
    struct pointwise_shape s = v->s;
    s.threads = threads;
    size_t size = (size_t)(v->pixels * s.out) * sizeof(float);
    float *y = malloc(size), *scratch = malloc((size_t)pointwise_scratch(&s) * sizeof(float) + 1);
    memcpy(y, v->residual, size);
    pointwise_convolution(y, v->x, v->packed, v->bias, in_place ? y : v->residual, true, scratch,
                          &s);
    free(scratch);
    return y;
}

static double expected(const struct values *v, const float *bias, const float *residual, bool relu,
                       int64_t o, int64_t p)
{
    const struct pointwise_shape *s = &v->s;
    int64_t y = p / v->columns * s->stride, x = p % v->columns * s->stride;
    double sum = bias ? (double)bias[o] : 0;
    for (int64_t i = 0; i < s->in; i++)
        sum += (double)v->weight[o * s->in + i] *
               (double)v->x[((i / 16 * s->h + y) * s->w + x) * 16 + i % 16];
    if (residual)
        sum += (double)residual[(o / 16 * v->pixels + p) * 16 + o % 16];
    return relu && sum < 0 ? 0 : sum;
}

static void check_all(const struct values *v, const float *y, const float *bias,
                      const float *residual, bool relu, const char *what)
{
    double largest = 0, worst = 0;
    for (int64_t o = 0; o < v->s.out; o++)
        for (int64_t p = 0; p < v->pixels; p++) {
            double e = expected(v, bias, residual, relu, o, p);
            largest = fmax(largest, fabs(e));
            worst = fmax(worst, fabs(e - (double)y[(o / 16 * v->pixels + p) * 16 + o % 16]));
        }
    ck_assert_msg(worst <= TOLERANCE * largest, "%s, %d x %d, %d to %d: off by %g of %g", what,
                  (int)v->s.h, (int)v->s.w, (int)v->s.in, (int)v->s.out, worst, largest);
}

static void agrees(struct values *v)
{
    float *y = convolve(v, 1, false);
    check_all(v, y, v->bias, v->residual, true, "all");
    free(y);
}

static void does_without(struct values *v)
{
    float *y = malloc((size_t)(v->pixels * v->s.out) * sizeof *y);
    float *scratch = malloc((size_t)pointwise_scratch(&v->s) * sizeof(float) + 1);
    pointwise_convolution(y, v->x, v->packed, NULL, NULL, false, scratch, &v->s);
    check_all(v, y, NULL, NULL, false, "plain");
    pointwise_convolution(y, v->x, v->packed, v->bias, NULL, true, scratch, &v->s);
    check_all(v, y, v->bias, NULL, true, "with bias and ReLU");
    free(scratch);
    free(y);
}

static void is_the_same(struct values *v)
{
    size_t size = (size_t)(v->pixels * v->s.out) * sizeof(float);
    float *one = convolve(v, 1, false);
    for (int64_t threads = 1; threads <= 4; threads++) {
        float *more = convolve(v, threads, true);
        ck_assert_msg(memcmp(one, more, size) == 0, "differs on %d threads", (int)threads);
        free(more);
    }
    free(one);
}

/* Inside a parallel region OpenMP gives one thread, however many are asked for. */
static void does_all_with_fewer_threads(struct values *v)
{
    size_t size = (size_t)(v->pixels * v->s.out) * sizeof(float);
    float *one = convolve(v, 1, false), *fewer = NULL;
#pragma omp parallel num_threads(2)
#pragma omp single
    fewer = convolve(v, 3, false);
    ck_assert(memcmp(one, fewer, size) == 0);
    free(fewer);
    free(one);
}

static void for_all_shapes(void (*check)(struct values *))
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct values v = open_values(&shapes[i]);
        check(&v);
        close_values(&v);
    }
}

START_TEST(agrees_with_loops)
{
    for_all_shapes(agrees);
}
END_TEST

START_TEST(parts_may_be_left_out)
{
    for_all_shapes(does_without);
}
END_TEST

START_TEST(same_in_place_and_on_any_number_of_threads)
{
    for_all_shapes(is_the_same);
}
END_TEST

START_TEST(all_parts_are_done_by_fewer_threads)
{
    for_all_shapes(does_all_with_fewer_threads);
}
END_TEST

int main(void)
{
    RUN("pointwise", agrees_with_loops, parts_may_be_left_out,
        same_in_place_and_on_any_number_of_threads, all_parts_are_done_by_fewer_threads);
}
