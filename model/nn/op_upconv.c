/*
 * A 3x3 convolution right behind a 2x2 transposed convolution, as one op for inference.
 *
 * Both are linear, so nothing of the fine plane between them has to exist. The result's pixels of
 * one parity (2y + a, 2x + b) see two coarse rows and columns only, y + a - 1 and y + a: for each
 * of the four parities the two layers are one 2x2 convolution of the coarse plane. That is computed
 * by Winograd's minimal filtering F(2x2, 2x2), nine products for sixteen, as a batched matrix
 * product over tiles of 2x2 results:
 *
 *   row of data    (d0 - d1, d1, d1 - d2)
 *   row of filter  (g0, g0 + g1, g1)
 *   results        m0 + m1, m1 - m2
 *
 * The transposed convolution's bias reaches the result through as many of the nine taps as lie in
 * the plane: one bias vector for each of the nine combinations of first, inner, last row and
 * column.
 */
#include <stdlib.h>
#include <string.h>

#include "model/base/vector.h"
#include "model/nn/compile.h"

enum { POINTS = 9, PARITIES = 4, TAPS = 2, EDGES = 3 };

/* ---- weights ---- */

struct sources {
    const struct param *conv, *spread; /* (o, f, 3, 3), (i, f, 2, 2) */
    int64_t in, middle, out;
};

static struct sources sources_of(const struct plan *plan, int index)
{
    const struct node *node = plan_node(plan, index);
    const struct params *params = plan_graph(plan)->params;
    struct sources s = {
        .conv = params_peek(params, node->param[0]),
        .spread = params_peek(params, plan_node(plan, node->composed)->param[0]),
    };
    s.in = s.spread->dim[0];
    s.middle = s.spread->dim[1];
    s.out = s.conv->dim[0];
    return s;
}

/* Where tap d (0..2) of the fine convolution lands for parity a: coarse tap and fine parity. */
static int coarse_tap(int parity, int d)
{
    return (parity + d - 1 + 2) / 2 - parity; /* floor((a + d - 1) / 2) - (a - 1) */
}

static int fine_parity(int parity, int d)
{
    return (parity + d + 1) % 2;
}

/* taps[t] (rows, columns) from a weight (rows, columns, taps), or its transpose. */
static float *split_taps(const struct param *w, int taps, bool transpose)
{
    int64_t rows = w->dim[0], columns = w->dim[1];
    float *out = malloc((size_t)w->count * sizeof *out);
    for (int64_t r = 0; out && r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            for (int t = 0; t < taps; t++)
                out[(transpose ? ((int64_t)t * columns + c) * rows + r
                               : ((int64_t)t * rows + r) * columns + c)] =
                    w->value[(r * columns + c) * taps + t];
    return out;
}

/* Filters of one parity: kernel[tap] (in, out), summed over the fine channels between. */
static int parity_kernel(float *kernel, const float *spread, const float *conv,
                         const struct sources *s, int a, int b, struct error *err)
{
    int64_t i = s->in, f = s->middle, o = s->out;
    memset(kernel, 0, (size_t)(TAPS * TAPS * i * o) * sizeof *kernel);
    for (int dy = 0; dy < 3; dy++)
        for (int dx = 0; dx < 3; dx++) {
            int tap = coarse_tap(a, dy) * TAPS + coarse_tap(b, dx);
            int fine = fine_parity(a, dy) * 2 + fine_parity(b, dx);
            if (dnn_check(dnnl_sgemm('N', 'N', i, o, f, 1, spread + fine * i * f, f,
                                     conv + (int64_t)(dy * 3 + dx) * f * o, o, 1,
                                     kernel + tap * i * o, o),
                          "to multiply filters", err) != 0)
                return -1;
        }
    return 0;
}

/* G k G' for every (in, out): point (py, px) sums the taps that row py and column px of G name. */
static void filter_points(float *out, const float *kernel, int64_t count)
{
    static const float g[EDGES][TAPS] = {{1, 0}, {1, 1}, {0, 1}};
    for (int p = 0; p < POINTS; p++)
        for (int64_t k = 0; k < count; k++) {
            float sum = 0;
            for (int t = 0; t < TAPS * TAPS; t++)
                sum += g[p / 3][t / 2] * g[p % 3][t % 2] * kernel[t * count + k];
            out[p * count + k] = sum;
        }
}

/* Plain: (parity, point, in, out). */
static int fill_weight(struct plan *plan, struct pack *pack, struct error *err)
{
    struct sources s = sources_of(plan, pack->node);
    int64_t count = s.in * s.out;
    int rc = 0;
    float *spread = split_taps(s.spread, 4, false), *conv = split_taps(s.conv, 9, true);
    float *kernel = malloc((size_t)(TAPS * TAPS * count) * sizeof *kernel);
    TRY(spread && conv && kernel ? 0
                                 : error_set(err, ERR_MEMORY, "out of memory for packing weights"));
    for (int p = 0; p < PARITIES; p++) {
        TRY(parity_kernel(kernel, spread, conv, &s, p / 2, p % 2, err));
        filter_points(pack->plain + (int64_t)p * POINTS * count, kernel, count);
    }
done:
    free(spread);
    free(conv);
    free(kernel);
    return rc;
}

/* Plain: (edge row, edge column, out); edge 0 is the first row, 1 inside, 2 the last. */
static int fill_bias(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    struct sources s = sources_of(plan, pack->node);
    const struct node *node = plan_node(plan, pack->node);
    const float *own = node_param(plan, pack->node, 1), *fine = node_param(plan, node->composed, 1);
    for (int edge = 0; edge < EDGES * EDGES; edge++)
        for (int64_t o = 0; o < s.out; o++) {
            double sum = own ? (double)own[o] : 0;
            for (int64_t f = 0; f < s.middle; f++)
                for (int d = 0; d < 9; d++) {
                    bool outside = (edge / 3 == 0 && d / 3 == 0) || (edge / 3 == 2 && d / 3 == 2) ||
                                   (edge % 3 == 0 && d % 3 == 0) || (edge % 3 == 2 && d % 3 == 2);
                    if (!outside)
                        sum += (double)s.conv->value[(o * s.middle + f) * 9 + d] * (double)fine[f];
                }
            pack->plain[edge * s.out + o] = (float)sum;
        }
    return 0;
}

/* ---- kernels; number: n, h, w (coarse), channels, parity, ReLU ---- */

/* Written out without inner loops, which the compiler would not vectorise around. */
VECTORIZED static void data_points(float *restrict out, int64_t stride,
                                   const float *const d[POINTS], int64_t channels)
{
    const float *d0 = d[0], *d1 = d[1], *d2 = d[2], *d3 = d[3], *d4 = d[4], *d5 = d[5], *d6 = d[6],
                *d7 = d[7], *d8 = d[8];
#pragma GCC ivdep
    for (int64_t c = 0; c < channels; c++) {
        float a0 = d0[c] - d3[c], a1 = d1[c] - d4[c], a2 = d2[c] - d5[c];
        float b0 = d3[c], b1 = d4[c], b2 = d5[c];
        float e0 = d3[c] - d6[c], e1 = d4[c] - d7[c], e2 = d5[c] - d8[c];
        out[c] = a0 - a1;
        out[stride + c] = a1;
        out[2 * stride + c] = a1 - a2;
        out[3 * stride + c] = b0 - b1;
        out[4 * stride + c] = b1;
        out[5 * stride + c] = b1 - b2;
        out[6 * stride + c] = e0 - e1;
        out[7 * stride + c] = e1;
        out[8 * stride + c] = e1 - e2;
    }
}

/* p: 0 coarse plane (n, h, w, c), 1 points (9, tiles, c), 2 zeros (c) */
static void kernel_data(const struct step *step, void *const *p)
{
    const float *plane = p[0], *zeros = p[2];
    float *points = p[1];
    int64_t n = step->number[0], h = step->number[1], w = step->number[2], c = step->number[3];
    int64_t a = step->number[4] / 2, b = step->number[4] % 2;
    int64_t rows = h / 2, columns = w / 2, tiles = n * rows * columns;
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t image = tile / (rows * columns);
        int64_t y0 = tile / columns % rows * 2 + a - 1, x0 = tile % columns * 2 + b - 1;
        const float *d[POINTS];
        for (int k = 0; k < POINTS; k++) {
            int64_t y = y0 + k / 3, x = x0 + k % 3;
            bool inside = y >= 0 && y < h && x >= 0 && x < w;
            d[k] = inside ? plane + ((image * h + y) * w + x) * c : zeros;
        }
        data_points(points + tile * c, tiles * c, d, c);
    }
}

static inline float clip(float v, bool relu)
{
    return relu && !(v > 0) ? 0 : v;
}

VECTORIZED static void results(float *const out[4], const float *restrict m, int64_t stride,
                               const float *const bias[4], int64_t channels, bool relu)
{
    float *o0 = out[0], *o1 = out[1], *o2 = out[2], *o3 = out[3];
    const float *b0 = bias[0], *b1 = bias[1], *b2 = bias[2], *b3 = bias[3];
#pragma GCC ivdep
    for (int64_t c = 0; c < channels; c++) {
        float m3 = m[3 * stride + c], m4 = m[4 * stride + c], m5 = m[5 * stride + c];
        float p0 = m[c] + m3, p1 = m[stride + c] + m4, p2 = m[2 * stride + c] + m5;
        float q0 = m3 - m[6 * stride + c], q1 = m4 - m[7 * stride + c], q2 = m5 - m[8 * stride + c];
        o0[c] = clip(p0 + p1 + b0[c], relu);
        o1[c] = clip(p1 - p2 + b1[c], relu);
        o2[c] = clip(q0 + q1 + b2[c], relu);
        o3[c] = clip(q1 - q2 + b3[c], relu);
    }
}

static int64_t edge_of(int64_t i, int64_t count)
{
    return i == 0 ? 0 : i == count - 1 ? 2 : 1;
}

/* p: 0 products (9, tiles, c), 1 result (n, 2h, 2w, c), 2 biases. h and w are even. */
static void kernel_results(const struct step *step, void *const *p)
{
    const float *products = p[0], *biases = p[2];
    float *plane = p[1];
    int64_t n = step->number[0], h = step->number[1], w = step->number[2], c = step->number[3];
    int64_t a = step->number[4] / 2, b = step->number[4] % 2;
    int64_t rows = h / 2, columns = w / 2, tiles = n * rows * columns;
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t image = tile / (rows * columns);
        float *out[4];
        const float *bias[4];
        for (int k = 0; k < 4; k++) {
            int64_t y = (tile / columns % rows * 2 + k / 2) * 2 + a;
            int64_t x = (tile % columns * 2 + k % 2) * 2 + b;
            out[k] = plane + ((image * 2 * h + y) * 2 * w + x) * c;
            bias[k] = biases + (edge_of(y, 2 * h) * EDGES + edge_of(x, 2 * w)) * c;
        }
        results(out, products + tile * c, tiles * c, bias, c, step->number[5]);
    }
}

/* ---- the op ---- */

static int upconv_forward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct shape in = plan_shape(plan, node->input[0]), out = plan_shape(plan, index);
    int64_t tiles = (int64_t)in.n * (in.h / 2) * (in.w / 2);
    int64_t filter = (int64_t)in.c * out.c;
    dnnl_memory_desc_t coarse = md_4d(in, dnnl_nhwc), fine = md_4d(out, dnnl_nhwc);
    dnnl_memory_desc_t points_md = md_of(3, (const int64_t[]){POINTS, tiles, in.c}, dnnl_abc);
    dnnl_memory_desc_t weight_md = md_of(3, (const int64_t[]){POINTS, in.c, out.c}, dnnl_abc);
    dnnl_memory_desc_t products_md = md_of(3, (const int64_t[]){POINTS, tiles, out.c}, dnnl_abc);
    dnnl_memory_desc_t all_md = md_of(1, (const int64_t[]){PARITIES * POINTS * filter}, dnnl_a);
    dnnl_memory_desc_t bias_md = md_of(1, (const int64_t[]){EDGES * EDGES * out.c}, dnnl_a);
    dnnl_memory_desc_t zeros_md = md_of(1, (const int64_t[]){in.c}, dnnl_a);

    int plane = plan_in_layout(plan, plan_value(plan, node->input[0]), &coarse, err);
    int weights = plan_pack(plan, index, 0, &all_md, &all_md, fill_weight, err);
    int bias = plan_pack(plan, index, 1, &bias_md, &bias_md, fill_bias, err);
    int zeros = plan_constant(plan, &zeros_md, err), result = plan_new_slot(plan, &fine, err);
    int points = plan_new_slot(plan, &points_md, err);
    int products = plan_new_slot(plan, &products_md, err);
    if (weights < 0)
        return -1;
    plan_set_value(plan, index, result);
    for (int parity = 0; parity < PARITIES; parity++) {
        int weight = plan_constant_part(plan, weights, parity * POINTS * filter, &weight_md, err);
        struct step *step =
            plan_add_kernel(plan, kernel_data, 3, (const int[]){plane, points, zeros}, err);
        const int64_t numbers[] = {in.n, in.h, in.w, in.c, parity, 0};
        if (!step)
            return -1;
        memcpy(step->number, numbers, sizeof numbers);
        if (weight < 0 || plan_add_product(plan, points, weight, products, err) != 0)
            return -1;
        step = plan_add_kernel(plan, kernel_results, 3, (const int[]){products, result, bias}, err);
        if (!step)
            return -1;
        memcpy(step->number, numbers, sizeof numbers);
        step->number[3] = out.c;
        step->number[5] = node->relu;
    }
    return 0;
}

/* Only inference merges the two layers; training runs them one by one. */
static int upconv_backward(struct plan *plan, int index, struct error *err)
{
    (void)plan;
    return error_set(err, ERR_INTERNAL, "node %d was merged for inference and has no gradient",
                     index);
}

const struct op op_upconv = {"convolution of an upsampled plane", upconv_forward, upconv_backward};
