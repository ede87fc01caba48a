/*
 * A 3x3 convolution right behind a 2x2 transposed convolution, as one op for inference.
 *
 * Both are linear, so nothing of the fine plane between them has to exist. The result's pixels of
 * one parity (2y + a, 2x + b) see two coarse rows and columns only, y + a - 1 and y + a: for each
 * of the four parities the two layers are one 2x2 convolution of the coarse plane. That is computed
 * by Winograd's minimal filtering F(2x2, 2x2), nine products for sixteen, over tiles of 2x2
 * results; a block of tiles is transformed, multiplied and transformed back while it is in the
 * cache:
 *
 *   row of data    (d0 - d1, d1, d1 - d2)
 *   row of filter  (g0, g0 + g1, g1)
 *   results        m0 + m1, m1 - m2
 *
 * The transposed convolution's bias reaches the result through as many of the nine taps as lie in
 * the plane: one bias vector for each of the nine combinations of first, inner, last row and
 * column.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/vector.h"
#include "model/nn/compile.h"
#include "model/nn/strip.h"

enum {
    POINTS = 9,
    PARITIES = 4,
    TAPS = 2,
    EDGES = 3,
    MOST_TILES = 96, /* of a block */
    LINE = 16        /* floats: keeps points out of one another's cache sets */
};

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

static const struct strip_kernels *kernels_for(int64_t out)
{
    return strip_kernels_for(strip_lanes(), out);
}

/* (point, panel, in, width) from (point, in, out). */
static void pack_panels(float *packed, const float *points, int64_t in, int64_t out)
{
    int64_t width = kernels_for(out)->width;
    for (int64_t point = 0; point < POINTS; point++, points += in * out)
        for (int64_t o = 0; o < out; o += width)
            for (int64_t i = 0; i < in; i++, packed += width)
                memcpy(packed, points + i * out + o, (size_t)width * sizeof *packed);
}

/* (parity, point, panel, in, width). */
static int fill_weight(struct plan *plan, struct pack *pack, struct error *err)
{
    struct sources s = sources_of(plan, pack->node);
    int64_t count = s.in * s.out;
    int rc = 0;
    float *spread = split_taps(s.spread, 4, false), *conv = split_taps(s.conv, 9, true);
    float *kernel = malloc((size_t)((TAPS * TAPS + POINTS) * count) * sizeof *kernel);
    TRY(spread && conv && kernel ? 0
                                 : error_set(err, ERR_MEMORY, "out of memory for packing weights"));
    float *points = kernel + TAPS * TAPS * count;
    for (int p = 0; p < PARITIES; p++) {
        TRY(parity_kernel(kernel, spread, conv, &s, p / 2, p % 2, err));
        filter_points(points, kernel, count);
        pack_panels(pack->plain + (int64_t)p * POINTS * count, points, s.in, s.out);
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

/* ---- transforms, eight channels at a time ---- */

typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t eight_bits __attribute__((vector_size(32), may_alias));

/* Channel c of point k of a tile lies at k * point + c / lanes * block + c % lanes. */
struct points {
    int64_t point, block, lanes;
};

/* Macros, since functions would pass vectors that not all processors have. */
#define AT(POINTER) (*(const eight *)(const void *)(POINTER))
#define PUT(POINTER) (*(eight *)(void *)(POINTER))

static inline int64_t offset_of(const struct points *l, int64_t channel)
{
    return channel / l->lanes * l->block + channel % l->lanes;
}

VECTORIZED static void data_points(float *points, const struct points *l,
                                   const float *const d[POINTS], int64_t channels)
{
    for (int64_t c = 0; c < channels; c += 8) {
        float *out = points + offset_of(l, c);
        for (int row = 0; row < 3; row++) {
            const float *const *one = d + (row ? 3 : 0), *const *two = d + (row ? 6 : 3);
            eight r[3];
            for (int x = 0; x < 3; x++) {
                r[x] = AT(one[x] + c);
                if (row != 1)
                    r[x] -= AT(two[x] + c);
            }
            PUT(out + row * 3 * l->point) = r[0] - r[1];
            PUT(out + (row * 3 + 1) * l->point) = r[1];
            PUT(out + (row * 3 + 2) * l->point) = r[1] - r[2];
        }
    }
}

VECTORIZED static void results(float *const out[4], const float *products, const struct points *l,
                               const float *const bias[4], int64_t channels, bool relu)
{
    for (int64_t c = 0; c < channels; c += 8) {
        const float *m = products + offset_of(l, c);
        eight p[3], q[3];
        for (int x = 0; x < 3; x++) {
            eight middle = AT(m + (3 + x) * l->point);
            p[x] = AT(m + x * l->point) + middle;
            q[x] = middle - AT(m + (6 + x) * l->point);
        }
        eight made[4] = {p[0] + p[1], p[1] - p[2], q[0] + q[1], q[1] - q[2]};
        for (int k = 0; k < 4; k++) {
            eight v = made[k] + AT(bias[k] + c);
            if (relu)
                v = (eight)((eight_bits)v & (v > 0));
            PUT(out[k] + c) = v;
        }
    }
}

/* ---- a block of tiles ---- */

/* step->number[]; h and w: of the coarse plane, both even */
enum { N, H, W, IN, OUT, RELU, THREADS, NUMBERS };

struct tiling {
    int64_t rows, columns, all; /* tiles of an image, of all */
    int64_t blocks, tiles;      /* of a parity; at most of a block */
    int64_t scratch;            /* floats of a thread */
};

static struct tiling tiling_of(const int64_t number[NUMBERS])
{
    struct tiling t = {.rows = number[H] / 2, .columns = number[W] / 2};
    t.all = number[N] * t.rows * t.columns;
    t.blocks = (t.all + MOST_TILES - 1) / MOST_TILES;
    t.tiles = (t.all + t.blocks - 1) / t.blocks;
    t.scratch = POINTS * (t.tiles * (number[IN] + number[OUT]) + 2 * LINE);
    return t;
}

struct call {
    const float *plane, *weight, *bias, *zeros; /* zeros: (in) */
    float *result;
    const int64_t *number;
    struct tiling tiling;
};

static void data_of(float *points, const struct points *l, const struct call *call, int64_t tile,
                    int parity)
{
    const struct tiling *t = &call->tiling;
    int64_t h = call->number[H], w = call->number[W], in = call->number[IN];
    int64_t image = tile / (t->rows * t->columns);
    int64_t y0 = tile / t->columns % t->rows * 2 + parity / 2 - 1;
    int64_t x0 = tile % t->columns * 2 + parity % 2 - 1;
    const float *d[POINTS];
    for (int k = 0; k < POINTS; k++) {
        int64_t y = y0 + k / 3, x = x0 + k % 3;
        bool inside = y >= 0 && y < h && x >= 0 && x < w;
        d[k] = inside ? call->plane + ((image * h + y) * w + x) * in : call->zeros;
    }
    data_points(points, l, d, in);
}

static int64_t edge_of(int64_t i, int64_t count)
{
    return i == 0 ? 0 : i == count - 1 ? 2 : 1;
}

static void results_of(const float *products, const struct points *l, const struct call *call,
                       int64_t tile, int parity)
{
    const struct tiling *t = &call->tiling;
    int64_t h = 2 * call->number[H], w = 2 * call->number[W], c = call->number[OUT];
    int64_t image = tile / (t->rows * t->columns);
    float *out[4];
    const float *bias[4];
    for (int k = 0; k < 4; k++) {
        int64_t y = (tile / t->columns % t->rows * 2 + k / 2) * 2 + parity / 2;
        int64_t x = (tile % t->columns * 2 + k % 2) * 2 + parity % 2;
        out[k] = call->result + ((image * h + y) * w + x) * c;
        bias[k] = call->bias + (edge_of(y, h) * EDGES + edge_of(x, w)) * c;
    }
    results(out, products, l, bias, c, call->number[RELU]);
}

static void run_block(const struct call *call, float *scratch, int parity, int64_t block)
{
    const struct tiling *t = &call->tiling;
    const struct strip_kernels *kernels = kernels_for(call->number[OUT]);
    int64_t in = call->number[IN], out = call->number[OUT], width = kernels->width;
    int64_t first = block * t->tiles, lanes = kernels->lanes, panel = in * width;
    int64_t tiles = t->all - first < t->tiles ? t->all - first : t->tiles;
    const struct points given = {tiles * in + LINE, tiles * lanes, lanes},
                        made = {tiles * out + LINE, tiles * lanes, lanes};
    float *data = scratch, *products = scratch + POINTS * given.point;
    const float *weight = call->weight + parity * POINTS * in * out;
    for (int64_t k = 0; k < tiles; k++)
        data_of(data + k * lanes, &given, call, first + k, parity);
    for (int p = 0; p < POINTS; p++)
        for (int64_t o = 0; o < out; o += width, weight += panel) {
            bool last = p + 1 == POINTS && o + width == out;
            strip_run(kernels, &(struct strip_product){
                                   .y = products + p * made.point + o * tiles,
                                   .x = data + p * given.point,
                                   .panel = weight,
                                   .next = last ? NULL : weight + panel,
                                   .rows = tiles,
                                   .in = in,
                                   .x_block = given.block,
                                   .y_block = made.block,
                               });
        }
    for (int64_t k = 0; k < tiles; k++)
        results_of(products + k * lanes, &made, call, first + k, parity);
}

/* p: 0 coarse plane (n, h, w, in), 1 weights, 2 biases, 3 zeros (in), 4 scratch, 5 result (n, 2h,
 * 2w, out) */
static void kernel_upconv(const struct step *step, void *const *p)
{
    const struct call call = {p[0], p[1], p[2], p[3], p[5], step->number, tiling_of(step->number)};
    float *scratch = p[4];
    int64_t blocks = call.tiling.blocks;
#pragma omp parallel for schedule(static) num_threads(step->number[THREADS])
    for (int64_t item = 0; item < PARITIES * blocks; item++)
        run_block(&call, scratch + omp_get_thread_num() * call.tiling.scratch, (int)(item / blocks),
                  item % blocks);
}

/* ---- the op ---- */

static int upconv_forward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct shape in = plan_shape(plan, node->input[0]), out = plan_shape(plan, index);
    const int64_t number[NUMBERS] = {
        in.n, in.h, in.w, in.c, out.c, node->relu, omp_get_max_threads()};
    dnnl_memory_desc_t coarse = md_4d(in, dnnl_nhwc), fine = md_4d(out, dnnl_nhwc);
    dnnl_memory_desc_t weight =
        md_of(1, (const int64_t[]){(int64_t)PARITIES * POINTS * in.c * out.c}, dnnl_a);
    dnnl_memory_desc_t bias = md_of(1, (const int64_t[]){EDGES * EDGES * out.c}, dnnl_a);
    dnnl_memory_desc_t zeros = md_of(1, (const int64_t[]){in.c}, dnnl_a);
    const int slots[] = {
        plan_in_layout(plan, plan_value(plan, node->input[0]), &coarse, err),
        plan_pack(plan, index, 0, &weight, &weight, fill_weight, err),
        plan_pack(plan, index, 1, &bias, &bias, fill_bias, err),
        plan_constant(plan, &zeros, err),
        plan_floats(plan, number[THREADS] * tiling_of(number).scratch, err),
        plan_new_slot(plan, &fine, err),
    };
    struct step *step = plan_add_kernel(plan, kernel_upconv, 6, slots, err);
    if (!step)
        return -1;
    plan_set_value(plan, index, slots[5]);
    memcpy(step->number, number, sizeof number);
    step->product = true;
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
