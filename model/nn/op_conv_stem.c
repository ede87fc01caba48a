/*
 * The gradient of a stem's filters: one input channel under many taps. oneDNN 2 wants vectors of
 * input channels there and reaches a tenth of the machine's speed.
 *
 * For eight output channels and one row of taps the sums stay in registers while a row of results
 * comes by. Rows are gathered in pieces whose number depends on the shape alone, so that sums are
 * the same for any number of threads.
 */
#include <string.h>

#include "model/base/vector.h"
#include "model/nn/op_conv.h"

#ifndef __clang__
#pragma GCC optimize("fp-contract=fast") /* products may be fused into sums here */
#endif

enum { LANES = 8, KERNEL = 7, TAPS = KERNEL * KERNEL, PIECES = 16 };

typedef float lanes_f __attribute__((vector_size(32), aligned(4), may_alias));

/* step->number[] */
enum { N, H, W, OUT, OUT_H, OUT_W, INNER, STRIDE, NUMBERS };

bool conv_stem_trains(const struct conv_shape *c)
{
    return c->in.c == 1 && c->kernel == KERNEL && c->pad == KERNEL / 2 && c->groups == 1 &&
           !c->bias && c->out.c % LANES == 0;
}

/* sums (KERNEL, 8) += products of a row of gradients and the pixels under one row of taps. */
VECTORIZED static void row_sums(float *sums, const float *x, const float *dy, int64_t count,
                                int64_t stride, int64_t pixel)
{
    lanes_f s[KERNEL];
    for (int t = 0; t < KERNEL; t++)
        s[t] = *(const lanes_f *)(const void *)(sums + t * LANES);
    for (int64_t i = 0; i < count; i++) {
        lanes_f g = *(const lanes_f *)(const void *)(dy + i * pixel);
#pragma GCC unroll 7
        for (int t = 0; t < KERNEL; t++)
            s[t] += x[i * stride + t] * g;
    }
    for (int t = 0; t < KERNEL; t++)
        *(lanes_f *)(void *)(sums + t * LANES) = s[t];
}

/* p: 0 x (n, h, w), 1 the same within a border of zeros */
static void kernel_border(const struct step *step, void *const *p)
{
    int64_t h = step->number[H], w = step->number[W], wide = w + 2 * (KERNEL / 2);
    const float *x = p[0];
    float *framed = p[1];
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < step->number[N] * (h + 2 * (KERNEL / 2)); row++) {
        int64_t image = row / (h + 2 * (KERNEL / 2)), y = row % (h + 2 * (KERNEL / 2)) - KERNEL / 2;
        float *to = framed + row * wide;
        memset(to, 0, (size_t)wide * sizeof *to);
        if (y >= 0 && y < h)
            memcpy(to + KERNEL / 2, x + (image * h + y) * w, (size_t)w * sizeof *to);
    }
}

/* p: 0 framed x, 1 dy (n, out / inner, h', w', inner), 2 sums (out / 8, PIECES, TAPS, 8) */
static void kernel_sums(const struct step *step, void *const *p)
{
    const int64_t *k = step->number;
    const float *x = p[0], *dy = p[1];
    float *sums = p[2];
    int64_t tall = k[H] + 2 * (KERNEL / 2), wide = k[W] + 2 * (KERNEL / 2);
    int64_t rows = k[N] * k[OUT_H], groups = k[OUT] / k[INNER];
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t block = 0; block < k[OUT] / LANES; block++)
        for (int64_t piece = 0; piece < PIECES; piece++) {
            float *own = sums + (block * PIECES + piece) * TAPS * LANES;
            memset(own, 0, TAPS * LANES * sizeof *own);
            for (int64_t r = rows * piece / PIECES; r < rows * (piece + 1) / PIECES; r++) {
                int64_t image = r / k[OUT_H], y = r % k[OUT_H], o = block * LANES;
                int64_t plane = image * groups + o / k[INNER];
                const float *grad =
                    dy + (plane * k[OUT_H] + y) * k[OUT_W] * k[INNER] + o % k[INNER];
                const float *from = x + (image * tall + y * k[STRIDE]) * wide;
                for (int t = 0; t < KERNEL; t++)
                    row_sums(own + t * KERNEL * LANES, from + t * wide, grad, k[OUT_W], k[STRIDE],
                             k[INNER]);
            }
        }
}

/* p: 0 sums, 1 dw (out, TAPS) */
static void kernel_gather(const struct step *step, void *const *p)
{
    const float *sums = p[0];
    float *dw = p[1];
    for (int64_t o = 0; o < step->number[OUT]; o++)
        for (int t = 0; t < TAPS; t++) {
            double sum = 0;
            for (int64_t piece = 0; piece < PIECES; piece++)
                sum += (double)sums[((o / LANES * PIECES + piece) * TAPS + t) * LANES + o % LANES];
            dw[o * TAPS + t] = (float)sum;
        }
}

static int add_step(struct plan *plan, void (*kernel)(const struct step *, void *const *),
                    int count, const int *slots, const int64_t numbers[NUMBERS], struct error *err)
{
    struct step *step = plan_add_kernel(plan, kernel, count, slots, err);
    if (!step)
        return -1;
    memcpy(step->number, numbers, NUMBERS * sizeof *numbers);
    step->product = true;
    return 0;
}

int conv_stem_grad_weight(struct plan *plan, const struct conv_shape *c, int source, int grad,
                          int *weight, struct error *err)
{
    int64_t inner = 0;
    enum { BORDER = 2 * (KERNEL / 2) };
    dnnl_memory_desc_t plain = conv_plain_weight(c), x_md = md_4d(c->in, dnnl_nchw);
    int x = plan_in_layout(plan, source, &x_md, err);
    int dy = conv_by_channels(plan, grad, &inner, err);
    int framed = plan_floats(plan, (int64_t)c->in.n * (c->in.h + BORDER) * (c->in.w + BORDER), err);
    int sums = plan_floats(plan, (int64_t)c->out.c * PIECES * TAPS, err);
    *weight = plan_new_slot(plan, &plain, err);
    const int64_t numbers[NUMBERS] = {c->in.n,  c->in.h,  c->in.w, c->out.c,
                                      c->out.h, c->out.w, inner,   c->stride};
    if (add_step(plan, kernel_border, 2, (const int[]){x, framed}, numbers, err) != 0 ||
        add_step(plan, kernel_sums, 3, (const int[]){framed, dy, sums}, numbers, err) != 0)
        return -1;
    return add_step(plan, kernel_gather, 2, (const int[]){sums, *weight}, numbers, err);
}
