/* 3x3 convolutions and their gradients by Winograd's F(4x4, 3x3), see winograd4.h. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/nn/op_conv.h"
#include "model/nn/winograd4.h"

enum {
    FEWEST_TILES =
        16, /* with fewer, a filter that changes at every step is transformed for too little */
    NARROWEST = 4 /* channels of a group; of less, too much of a panel would be zeros */
};

/* step->number[] */
enum { N, H, W, IN, OUT, IN_INNER, OUT_INNER, THREADS, GROUPS, RELU, BIAS, RESIDUAL, NUMBERS };

static struct winograd4_shape shape_of(const struct step *step)
{
    const int64_t *k = step->number;
    return (struct winograd4_shape){k[N],        k[H],         k[W],       k[IN],    k[OUT],
                                    k[IN_INNER], k[OUT_INNER], k[THREADS], k[GROUPS]};
}

/* Channels in and out of what is computed as one: those of a group, or of as many narrow groups as
 * fill a panel, with zeros between them. */
static int64_t channels_of_block(const struct conv_shape *c, int channels)
{
    int64_t per_group = channels / c->groups;
    return c->groups == 1 || per_group > WINOGRAD4_CHANNELS ? per_group : WINOGRAD4_CHANNELS;
}

static bool able(const struct conv_shape *c)
{
    return winograd4_able() && c->kernel == 3 && c->stride == 1 && c->pad == 1 &&
           c->in.c % WINOGRAD4_CHANNELS == 0 && c->out.c % WINOGRAD4_CHANNELS == 0;
}

/* Groups that fill panels or of which panels hold several. Where channels lie last, the 36 pixels
 * of a tile fall into the same few sets of the cache, and other ways are faster. */
static bool able_groups(const struct conv_shape *c)
{
    int64_t per_group = c->in.c / c->groups;
    return able(c) && conv_blocks_of_16() && c->in.c == c->out.c &&
           (per_group % WINOGRAD4_CHANNELS == 0 || WINOGRAD4_CHANNELS % per_group == 0) &&
           per_group >= NARROWEST;
}

static bool enough_tiles(const struct conv_shape *c)
{
    const struct winograd4_shape s = {.n = c->in.n, .h = c->in.h, .w = c->in.w};
    return winograd4_tiles(&s) >= FEWEST_TILES;
}

/*
 * Training computes the values of a backbone directly: rounding four times as large, on twenty
 * layers of one slice, moves ReLUs on their edge and gradients with them by more than gradients may
 * be off. The few layers behind RoIs do not mind, and gradients are sums without such edges.
 */
bool conv_winograd4_pays(const struct plan *plan, int index, const struct conv_shape *c)
{
    bool frozen = node_frozen(plan, index), inference = plan_inference(plan);
    if (c->groups > 1)
        return inference && frozen && able_groups(c);
    return able(c) && (inference || c->in.n > 1) && (frozen || enough_tiles(c));
}

bool conv_winograd4_trains(const struct plan *plan, int index, const struct conv_shape *c)
{
    return able(c) && c->groups == 1 && (node_frozen(plan, index) || enough_tiles(c)) &&
           !plan_node(plan, index)->equal_channels;
}

/* ---- filters ---- */

/* Filters of block `block` as one of all its channels, from those of its groups. */
static void spread_groups(float *dense, const float *weight, const struct conv_shape *c,
                          int64_t block)
{
    enum { TAPS = 9 };
    int64_t side = channels_of_block(c, c->in.c), group = c->in.c / c->groups;
    memset(dense, 0, (size_t)(side * side * TAPS) * sizeof *dense);
    for (int64_t o = 0; o < side; o++)
        memcpy(dense + (o * side + o / group * group) * TAPS,
               weight + (block * side + o) * group * TAPS, (size_t)(group * TAPS) * sizeof *dense);
}

static int fill_filter(struct plan *plan, struct pack *pack, struct error *err)
{
    struct conv_shape c = conv_describe(plan, pack->node);
    int64_t in = channels_of_block(&c, c.in.c), out = channels_of_block(&c, c.out.c);
    float *made, *dense = NULL;
    const float *weight = conv_weights(plan, pack, &made, err);
    if (!weight)
        return -1;
    if (c.groups > 1 && !(dense = malloc((size_t)(9 * in * out) * sizeof *dense))) {
        free(made);
        return error_set(err, ERR_MEMORY, "out of memory for packing weights");
    }
    for (int64_t b = 0; b < c.out.c / out; b++) {
        if (dense)
            spread_groups(dense, weight, &c, b);
        winograd4_filter(pack->plain + b * WINOGRAD4_POINTS * in * out, dense ? dense : weight, in,
                         out);
    }
    free(dense);
    free(made);
    return 0;
}

static int fill_turned(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    struct conv_shape c = conv_describe(plan, pack->node);
    winograd4_filter_turned(pack->plain, node_param(plan, pack->node, 0), c.in.c, c.out.c);
    return 0;
}

static int pack_filter(struct plan *plan, int index, const struct conv_shape *c,
                       int (*fill)(struct plan *, struct pack *, struct error *), struct error *err)
{
    int64_t count = WINOGRAD4_POINTS * channels_of_block(c, c->in.c) * c->out.c;
    dnnl_memory_desc_t md = md_of(1, &count, dnnl_a);
    return plan_pack(plan, index, 0, &md, &md, fill, err);
}

/* ---- layouts ---- */

int conv_by_channels(struct plan *plan, int slot, int64_t *inner, struct error *err)
{
    struct blocked view;
    if (slot < 0)
        return -1;
    if (!md_blocked(plan_md(plan, slot), &view) || view.inner % 8 != 0) {
        dnnl_memory_desc_t md = md_of(4, plan_md(plan, slot)->dims, dnnl_nChw8c);
        slot = plan_in_layout(plan, slot, &md, err);
        view.inner = 8;
    }
    *inner = view.inner;
    return slot;
}

/* A new value of another shape in the same kind of layout. */
static int new_alike(struct plan *plan, struct shape shape, int64_t channels, int64_t *inner,
                     struct error *err)
{
    bool last = *inner == channels && *inner != 8 && *inner != 16;
    dnnl_memory_desc_t md = md_4d(shape, last           ? dnnl_nhwc
                                         : *inner == 16 ? dnnl_nChw16c
                                                        : dnnl_nChw8c);
    *inner = last ? shape.c : *inner == 16 ? 16 : 8;
    return plan_new_slot(plan, &md, err);
}

static void set_numbers(struct step *step, const struct winograd4_shape *s,
                        const struct conv_shape *c)
{
    const int64_t numbers[NUMBERS] = {s->n,      s->h,        s->w,         s->in,
                                      s->out,    s->in_inner, s->out_inner, s->threads,
                                      s->groups, c->relu,     c->bias,      c->sum};
    memcpy(step->number, numbers, sizeof numbers);
    step->product = true;
}

static struct winograd4_shape shape_for(const struct conv_shape *c, int64_t in_inner,
                                        int64_t out_inner)
{
    return (struct winograd4_shape){
        .n = c->in.n,
        .h = c->in.h,
        .w = c->in.w,
        .in = c->in.c,
        .out = c->out.c,
        .in_inner = in_inner,
        .out_inner = out_inner,
        .threads = omp_get_max_threads(),
        .groups = c->in.c / channels_of_block(c, c->in.c),
    };
}

/* ---- forward ---- */

/* p: 0 x, 1 filter, 2 scratch, 3 y, then bias and residual as far as there are any */
static void kernel_convolution(const struct step *step, void *const *p)
{
    const struct winograd4_shape s = shape_of(step);
    const float *bias = step->number[BIAS] ? p[4] : NULL;
    const float *residual = step->number[RESIDUAL] ? p[4 + step->number[BIAS]] : NULL;
    winograd4_convolution(p[3], p[0], p[1], bias, residual, step->number[RELU], p[2], &s);
}

int conv_winograd4_forward(struct plan *plan, int index, const struct conv_shape *c,
                           struct error *err)
{
    const struct node *node = plan_node(plan, index);
    int64_t in_inner = 0, out_inner;
    int x = conv_by_channels(plan, plan_value(plan, node->input[0]), &in_inner, err);
    out_inner = in_inner;
    int y = new_alike(plan, c->out, c->in.c, &out_inner, err);
    if (x < 0 || y < 0)
        return -1;
    const struct winograd4_shape s = shape_for(c, in_inner, out_inner);
    dnnl_memory_desc_t y_md = *plan_md(plan, y), vector = md_of(1, &y_md.dims[1], dnnl_a);
    int slots[6] = {x, pack_filter(plan, index, c, fill_filter, err),
                    plan_floats(plan, winograd4_scratch(&s), err), y},
        count = 4;
    if (c->bias)
        slots[count++] = plan_pack(plan, index, 1, &vector, &vector, conv_fill_bias, err);
    if (c->sum)
        slots[count++] = plan_in_layout(plan, plan_value(plan, node->residual), &y_md, err);
    plan_set_value(plan, index, y);
    struct step *step = plan_add_kernel(plan, kernel_convolution, count, slots, err);
    if (!step)
        return -1;
    set_numbers(step, &s, c);
    return 0;
}

/* ---- backward ---- */

int conv_winograd4_grad_input(struct plan *plan, int index, const struct conv_shape *c, int grad,
                              int *out, struct error *err)
{
    int64_t out_inner = 0, in_inner;
    int dy = conv_by_channels(plan, grad, &out_inner, err);
    in_inner = out_inner;
    int dx = new_alike(plan, c->in, c->out.c, &in_inner, err);
    if (dy < 0 || dx < 0)
        return -1;
    const struct conv_shape turned = {.in = c->out, .out = c->in, .groups = 1};
    const struct winograd4_shape s = shape_for(&turned, out_inner, in_inner);
    const int slots[] = {dy, pack_filter(plan, index, c, fill_turned, err),
                         plan_floats(plan, winograd4_scratch(&s), err), dx};
    struct step *step = plan_add_kernel(plan, kernel_convolution, 4, slots, err);
    if (!step)
        return -1;
    set_numbers(step, &s, &turned);
    *out = dx;
    return 0;
}

/* p: 0 x, 1 dy, 2 scratch, 3 dw */
static void kernel_weight_gradient(const struct step *step, void *const *p)
{
    const struct winograd4_shape s = shape_of(step);
    winograd4_weight_gradient(p[3], p[0], p[1], p[2], &s);
}

/* p: 0 dy, 1 db. Summed by rows, and rows in double, so that large planes lose nothing. */
static void kernel_bias_gradient(const struct step *step, void *const *p)
{
    const struct winograd4_shape s = shape_of(step);
    const float *dy = p[0];
    float *db = p[1];
    int64_t inner = s.out_inner, blocks = s.out / inner;
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < s.out; o++) {
        double sum = 0;
        for (int64_t row = 0; row < s.n * s.h; row++) {
            int64_t block = row / s.h * blocks + o / inner;
            const float *from = dy + ((block * s.h + row % s.h) * s.w) * inner + o % inner;
            float part = 0;
            for (int64_t x = 0; x < s.w; x++)
                part += from[x * inner];
            sum += (double)part;
        }
        db[o] = (float)sum;
    }
}

int conv_winograd4_grad_weight(struct plan *plan, const struct conv_shape *c, int source, int grad,
                               int *weight, int *bias, struct error *err)
{
    int64_t in_inner = 0, out_inner = 0;
    int x = conv_by_channels(plan, source, &in_inner, err);
    int dy = conv_by_channels(plan, grad, &out_inner, err);
    const struct winograd4_shape s = shape_for(c, in_inner, out_inner);
    dnnl_memory_desc_t plain = conv_plain_weight(c);
    *weight = plan_new_slot(plan, &plain, err);
    const int slots[] = {x, dy, plan_floats(plan, winograd4_weight_scratch(&s), err), *weight};
    struct step *step = plan_add_kernel(plan, kernel_weight_gradient, 4, slots, err);
    if (!step)
        return -1;
    set_numbers(step, &s, c);
    if (!bias)
        return 0;
    *bias = plan_floats(plan, c->out.c, err);
    step = plan_add_kernel(plan, kernel_bias_gradient, 2, (const int[]){dy, *bias}, err);
    if (!step)
        return -1;
    set_numbers(step, &s, c);
    return 0;
}
