/*
 * Batch normalisation over (n, h, w), with the residual sum and ReLU that may follow it.
 *
 * Ours instead of oneDNN's: a value is read once for its statistics and once to be normalised,
 * summed and clipped. Statistics are gathered in a number of chunks that depends on the shape
 * alone, so they are the same for any number of threads.
 */
#include <math.h>
#include <string.h>

#include "model/nn/compile.h"
#include "model/nn/norm.h"

#define NORM_MOMENTUM 0.1f

enum {
    PIECES = 32,      /* the work of a kernel is split into this many or, with more blocks, those */
    FLUSH_ROWS = 128, /* rows summed in float before they are added to the double sums */
    SAMPLES = 64      /* rows whose mean centres the sums */
};

/* step->number[] of every kernel here */
enum { N, BLOCKS, SPATIAL, INNER, CHANNELS, RELU, RESIDUAL, TRAINING, CHUNKS };

/* Pieces that the rows of a block are split into. */
static int64_t chunks_for(const struct blocked *v)
{
    return v->blocks < PIECES ? PIECES / v->blocks : 1;
}

static inline int64_t rows_begin(const struct step *step, int64_t chunk)
{
    return step->number[N] * step->number[SPATIAL] * chunk / step->number[CHUNKS];
}

/* Row r of block b: rows run over images and pixels, and lie image by image. */
static inline int64_t row_offset(const struct step *step, int64_t block, int64_t row)
{
    int64_t image = row / step->number[SPATIAL], pixel = row % step->number[SPATIAL];
    return ((image * step->number[BLOCKS] + block) * step->number[SPATIAL] + pixel) *
           step->number[INNER];
}

/* Rows from `row` that lie behind each other, at most to `end`. */
static inline int64_t run_length(const struct step *step, int64_t row, int64_t end)
{
    int64_t left = step->number[SPATIAL] - row % step->number[SPATIAL];
    return end - row < left ? end - row : left;
}

/* ---- statistics ---- */

/*
 * Sums are taken around a point near the mean, so that squares do not cancel: the mean of some rows
 * from all over the plane. One row would not do: pixels at the border see padding, and may lie many
 * deviations away from all others.
 */
static void centre_block(float *centre, const struct step *step, const float *x, int64_t block)
{
    int64_t inner = step->number[INNER], rows = step->number[N] * step->number[SPATIAL];
    int64_t samples = rows < SAMPLES ? rows : SAMPLES;
    memset(centre, 0, (size_t)inner * sizeof *centre);
    for (int64_t i = 0; i < samples; i++) {
        const float *row = x + row_offset(step, block, (2 * i + 1) * rows / (2 * samples));
        for (int64_t c = 0; c < inner; c++)
            centre[c] += row[c];
    }
    for (int64_t c = 0; c < inner; c++)
        centre[c] /= (float)samples;
}

/*
 * p: 0 x, 1 partial sums (block, chunk, 2, inner) as doubles, 2 float scratch (block, chunk, 2,
 * inner), 3 centres (blocks x inner).
 */
static void kernel_moments(const struct step *step, void *const *p)
{
    const float *x = p[0];
    double *partial = p[1];
    float *scratch = p[2], *centres = p[3];
    int64_t blocks = step->number[BLOCKS], inner = step->number[INNER];
    int64_t chunks = step->number[CHUNKS];
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < blocks; block++)
        centre_block(centres + block * inner, step, x, block);
#pragma omp parallel for schedule(static)
    for (int64_t item = 0; item < blocks * chunks; item++) {
        int64_t block = item / chunks, chunk = item % chunks;
        double *sum = partial + item * 2 * inner, *square = sum + inner;
        float *s = scratch + item * 2 * inner, *q = s + inner;
        const float *centre = centres + block * inner;
        memset(sum, 0, 2 * (size_t)inner * sizeof *sum);
        int64_t end = rows_begin(step, chunk + 1);
        for (int64_t row = rows_begin(step, chunk); row < end;) {
            int64_t rows = run_length(step, row, end < row + FLUSH_ROWS ? end : row + FLUSH_ROWS);
            const float *at = x + row_offset(step, block, row);
            memset(s, 0, 2 * (size_t)inner * sizeof *s);
            norm_moments(at, rows, inner, centre, s, q);
            for (int64_t c = 0; c < inner; c++) {
                sum[c] += (double)s[c];
                square[c] += (double)q[c];
            }
            row += rows;
        }
    }
}

/*
 * p: 0 centres of the sums, 1 partial sums, 2 gamma, 3 beta, 4 scale, 5 shift,
 * 6 mean, 7 1/std, each (blocks x inner), and 8 scale and shift in double, one behind the other.
 * Padded channels get scale and shift 0.
 */
static void kernel_statistics(const struct step *step, void *const *p)
{
    const float *centres = p[0], *gamma = p[2], *beta = p[3];
    const double *partial = p[1];
    float *scale = p[4], *shift = p[5], *mean = p[6], *rstd = p[7];
    double *precise = p[8];
    int64_t all = step->number[BLOCKS] * step->number[INNER];
    int64_t inner = step->number[INNER], count = step->number[N] * step->number[SPATIAL],
            chunks = step->number[CHUNKS];
    for (int64_t k = 0; k < all; k++) {
        int64_t block = k / inner, c = k % inner;
        if (k >= step->number[CHANNELS]) {
            scale[k] = shift[k] = mean[k] = rstd[k] = 0;
            precise[k] = precise[all + k] = 0;
            continue;
        }
        double sum = 0, square = 0;
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            const double *s = partial + (block * chunks + chunk) * 2 * inner;
            sum += s[c];
            square += s[inner + c];
        }
        double offset = sum / (double)count;
        double var = square / (double)count - offset * offset;
        if (!(var > 0))
            var = 0;
        double centre = (double)centres[k] + offset;
        mean[k] = (float)centre;
        double inverse = 1 / sqrt(var + (double)NORM_EPSILON);
        precise[k] = (double)gamma[k] * inverse;
        precise[all + k] = (double)beta[k] - centre * precise[k];
        rstd[k] = (float)inverse;
        scale[k] = (float)precise[k];
        shift[k] = (float)precise[all + k];
        if (step->number[TRAINING] && step->param[0]) {
            double unbiased = count > 1 ? var * (double)count / (double)(count - 1) : var;
            float *m = &step->param[0][k], *v = &step->param[1][k];
            *m += NORM_MOMENTUM * ((float)centre - *m);
            *v += NORM_MOMENTUM * ((float)unbiased - *v);
        }
    }
}

/* p: 0 x, 1 y, 2 scale, 3 shift, 4 residual if any. TRAINING: p[2] is both of these in double. */
static void kernel_affine(const struct step *step, void *const *p)
{
    const float *x = p[0], *scale = p[2], *shift = p[3];
    const float *residual = step->number[RESIDUAL] ? p[4] : NULL;
    const double *precise = step->number[TRAINING] ? p[2] : NULL;
    float *y = p[1];
    int64_t inner = step->number[INNER], chunks = step->number[CHUNKS];
    bool relu = step->number[RELU];
#pragma omp parallel for schedule(static)
    for (int64_t item = 0; item < step->number[BLOCKS] * chunks; item++) {
        int64_t block = item / chunks, chunk = item % chunks, end = rows_begin(step, chunk + 1);
        for (int64_t row = rows_begin(step, chunk); row < end;) {
            int64_t rows = run_length(step, row, end), at = row_offset(step, block, row);
            const float *r = residual ? residual + at : NULL;
            const float *a = scale + block * inner, *b = shift + block * inner;
            if (precise)
                norm_apply_precise(y + at, x + at, r, rows, inner, precise + block * inner,
                                   precise + (step->number[BLOCKS] + block) * inner, relu);
            else
                norm_apply(y + at, x + at, r, rows, inner, a, b, relu);
            row += rows;
        }
    }
}

/* ---- forward ---- */

static int fill_vector(struct plan *plan, struct pack *pack, const float *from)
{
    memcpy(pack->plain, from, (size_t)plan_node(plan, pack->node)->shape.c * sizeof *from);
    return 0;
}

static int fill_gamma(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    return fill_vector(plan, pack, node_param(plan, pack->node, 0));
}

static int fill_beta(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    return fill_vector(plan, pack, node_param(plan, pack->node, 1));
}

static int fill_scale(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const float *gamma = node_param(plan, pack->node, 0), *var = node_param(plan, pack->node, 3);
    for (int k = 0; k < plan_node(plan, pack->node)->shape.c; k++)
        pack->plain[k] = gamma[k] / sqrtf(var[k] + NORM_EPSILON);
    return 0;
}

static int fill_shift(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const float *gamma = node_param(plan, pack->node, 0), *beta = node_param(plan, pack->node, 1);
    const float *mean = node_param(plan, pack->node, 2), *var = node_param(plan, pack->node, 3);
    for (int k = 0; k < plan_node(plan, pack->node)->shape.c; k++)
        pack->plain[k] = beta[k] - mean[k] * (gamma[k] / sqrtf(var[k] + NORM_EPSILON));
    return 0;
}

/* A constant of one float per (padded) channel. */
static int channel_constant(struct plan *plan, int index, int64_t padded,
                            int (*fill)(struct plan *, struct pack *, struct error *),
                            struct error *err)
{
    dnnl_memory_desc_t md = md_of(1, &padded, dnnl_a);
    return plan_pack(plan, index, 0, &md, &md, fill, err);
}

static bool by_batch(const struct plan *plan, int index)
{
    return plan_node(plan, index)->norm == NORM_BATCH || plan_train_stats(plan);
}

static void set_numbers(struct step *step, const struct plan *plan, int index,
                        const struct blocked *v)
{
    const struct node *node = plan_node(plan, index);
    const int64_t numbers[] = {
        v->n,         v->blocks,  v->spatial,          v->inner,
        v->channels,  node->relu, node->residual >= 0, plan_train_stats(plan),
        chunks_for(v)};
    memcpy(step->number, numbers, sizeof numbers);
}

/* The source in a layout the kernels walk; its view through *view. */
static int walkable(struct plan *plan, int slot, struct blocked *view, struct error *err)
{
    if (slot >= 0 && !md_blocked(plan_md(plan, slot), view)) {
        dnnl_memory_desc_t last = *plan_md(plan, slot);
        last = md_of(4, last.dims, dnnl_nhwc);
        slot = plan_in_layout(plan, slot, &last, err);
        md_blocked(&last, view);
    }
    return slot;
}

/* The slots that hold a batch norm's statistics follow its scale slot in this order. */
enum { SCALE, SHIFT, MEAN, RSTD, PRECISE, STATISTICS };

static int add_statistics(struct plan *plan, int index, int x, const struct blocked *view,
                          int slots[STATISTICS], struct error *err)
{
    int64_t padded = view->blocks * view->inner, sums = padded * chunks_for(view) * 2;
    for (int i = 0; i < PRECISE; i++)
        slots[i] = plan_floats(plan, padded, err);
    slots[PRECISE] = plan_floats(plan, 4 * padded, err); /* two doubles a channel */
    int partial = plan_floats(plan, 2 * sums, err), scratch = plan_floats(plan, sums, err);
    int centres = plan_floats(plan, padded, err);
    int gamma = channel_constant(plan, index, padded, fill_gamma, err);
    int beta = channel_constant(plan, index, padded, fill_beta, err);
    struct step *step =
        plan_add_kernel(plan, kernel_moments, 4, (const int[]){x, partial, scratch, centres}, err);
    if (!step)
        return -1;
    set_numbers(step, plan, index, view);
    step = plan_add_kernel(plan, kernel_statistics, 9,
                           (const int[]){centres, partial, gamma, beta, slots[SCALE], slots[SHIFT],
                                         slots[MEAN], slots[RSTD], slots[PRECISE]},
                           err);
    if (!step)
        return -1;
    set_numbers(step, plan, index, view);
    if (plan_train_stats(plan)) {
        step->param[0] = (float *)(uintptr_t)node_param(plan, index, 2);
        step->param[1] = (float *)(uintptr_t)node_param(plan, index, 3);
    }
    return 0;
}

static int norm_forward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct blocked view;
    int input = plan_value(plan, node->input[0]);
    int x = walkable(plan, input, &view, err), slots[STATISTICS];
    if (x < 0)
        return -1;
    dnnl_memory_desc_t md = *plan_md(plan, x);
    int residual =
        node->residual < 0 ? x : plan_in_layout(plan, plan_value(plan, node->residual), &md, err);
    if (by_batch(plan, index)) {
        if (add_statistics(plan, index, x, &view, slots, err) != 0)
            return -1;
    } else {
        int64_t padded = view.blocks * view.inner;
        slots[SCALE] = channel_constant(plan, index, padded, fill_scale, err);
        slots[SHIFT] = channel_constant(plan, index, padded, fill_shift, err);
        slots[MEAN] = slots[RSTD] = slots[PRECISE] = -1;
    }
    bool in_place = plan_inference(plan) && x == input &&
                    plan_last_reader(plan, index, plan_input_of(plan, index, 0));
    int y = in_place ? plan_alias_slot(plan, x, &md, err) : plan_new_slot(plan, &md, err);
    plan_set_value(plan, index, y);
    plan_keep(plan, index, slots, STATISTICS);
    bool precise = plan_train_stats(plan);
    struct step *step = plan_add_kernel(
        plan, kernel_affine, node->residual < 0 ? 4 : 5,
        (const int[]){x, y, precise ? slots[PRECISE] : slots[SCALE], slots[SHIFT], residual}, err);
    if (!step)
        return -1;
    set_numbers(step, plan, index, &view);
    return 0;
}

/* ---- backward ---- */

/*
 * With u = (x - mean) / std and m rows:  d beta = sum dy,  d gamma = sum dy u,
 * dx = gamma / std (dy - (d beta + u d gamma) / m) where the statistics come from x,
 * dx = gamma / std dy where they are stored.
 * p: 0 x, 1 dy, 2 mean, 3 1/std, 4 partial sums (block, chunk, 2, inner) as doubles.
 */
static void kernel_grad_sums(const struct step *step, void *const *p)
{
    const float *x = p[0], *dy = p[1], *mean = p[2], *rstd = p[3];
    double *partial = p[4];
    int64_t inner = step->number[INNER], chunks = step->number[CHUNKS];
#pragma omp parallel for schedule(static)
    for (int64_t item = 0; item < step->number[BLOCKS] * chunks; item++) {
        int64_t block = item / chunks, chunk = item % chunks, end = rows_begin(step, chunk + 1);
        double *sum = partial + item * 2 * inner;
        memset(sum, 0, 2 * (size_t)inner * sizeof *sum);
        for (int64_t row = rows_begin(step, chunk); row < end;) {
            int64_t rows = run_length(step, row, end), at = row_offset(step, block, row);
            norm_grad_sums(x + at, dy + at, rows, inner, mean + block * inner, rstd + block * inner,
                           sum, sum + inner);
            row += rows;
        }
    }
}

/* p: 0 partial sums, 1 d beta, 2 d gamma (blocks x inner); adds to the store where it wants them */
static void kernel_grad_params(const struct step *step, void *const *p)
{
    const double *partial = p[0];
    float *d_beta = p[1], *d_gamma = p[2];
    int64_t inner = step->number[INNER], chunks = step->number[CHUNKS];
    for (int64_t k = 0; k < step->number[BLOCKS] * inner; k++) {
        double sum = 0, product = 0;
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            const double *s = partial + (k / inner * chunks + chunk) * 2 * inner + k % inner;
            sum += s[0];
            product += s[inner];
        }
        d_beta[k] = (float)sum;
        d_gamma[k] = (float)product;
        if (k < step->number[CHANNELS] && step->param[0])
            step->param[0][k] += d_gamma[k];
        if (k < step->number[CHANNELS] && step->param[1])
            step->param[1][k] += d_beta[k];
    }
}

/* p: 0 x, 1 dy, 2 scale, 3 mean, 4 1/std, 5 d beta, 6 d gamma, 7 dx. TRAINING: x gave the stats. */
static void kernel_grad_input(const struct step *step, void *const *p)
{
    const float *x = p[0], *dy = p[1], *scale = p[2], *mean = p[3], *rstd = p[4];
    const float *d_beta = p[5], *d_gamma = p[6];
    float *dx = p[7];
    int64_t inner = step->number[INNER], chunks = step->number[CHUNKS];
    float share = step->number[TRAINING] ? 1 / (float)(step->number[N] * step->number[SPATIAL]) : 0;
#pragma omp parallel for schedule(static)
    for (int64_t item = 0; item < step->number[BLOCKS] * chunks; item++) {
        int64_t block = item / chunks, chunk = item % chunks, end = rows_begin(step, chunk + 1);
        int64_t k = block * inner;
        for (int64_t row = rows_begin(step, chunk); row < end;) {
            int64_t rows = run_length(step, row, end), at = row_offset(step, block, row);
            norm_grad_input(dx + at, x + at, dy + at, rows, inner, scale + k, mean + k, rstd + k,
                            d_beta + k, d_gamma + k, share);
            row += rows;
        }
    }
}

static int fill_mean(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    return fill_vector(plan, pack, node_param(plan, pack->node, 2));
}

static int fill_rstd(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const float *var = node_param(plan, pack->node, 3);
    for (int k = 0; k < plan_node(plan, pack->node)->shape.c; k++)
        pack->plain[k] = 1 / sqrtf(var[k] + NORM_EPSILON);
    return 0;
}

static int norm_backward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct blocked view;
    int slots[STATISTICS];
    plan_kept(plan, index, slots, STATISTICS);
    int grad = plan_output_grad(plan, index, err);
    if (grad < 0 || (node->residual >= 0 && plan_give_grad(plan, node->residual, grad, err) != 0))
        return -1;
    int x = walkable(plan, plan_value(plan, node->input[0]), &view, err);
    if (x < 0)
        return -1;
    dnnl_memory_desc_t md = *plan_md(plan, x);
    int64_t padded = view.blocks * view.inner;
    bool batch = by_batch(plan, index);
    if (!batch) {
        slots[MEAN] = channel_constant(plan, index, padded, fill_mean, err);
        slots[RSTD] = channel_constant(plan, index, padded, fill_rstd, err);
    }
    int dy = plan_in_layout(plan, grad, &md, err), dx = plan_new_slot(plan, &md, err);
    int partial = plan_floats(plan, padded * chunks_for(&view) * 2 * 2, err);
    int d_beta = plan_floats(plan, padded, err), d_gamma = plan_floats(plan, padded, err);
    struct step *step = plan_add_kernel(
        plan, kernel_grad_sums, 5, (const int[]){x, dy, slots[MEAN], slots[RSTD], partial}, err);
    if (!step)
        return -1;
    set_numbers(step, plan, index, &view);
    step =
        plan_add_kernel(plan, kernel_grad_params, 3, (const int[]){partial, d_beta, d_gamma}, err);
    if (!step)
        return -1;
    set_numbers(step, plan, index, &view);
    step->param[0] = node_param_grad(plan, index, 0);
    step->param[1] = node_param_grad(plan, index, 1);
    if (!plan_wants_grad(plan, node->input[0]))
        return 0;
    step = plan_add_kernel(
        plan, kernel_grad_input, 8,
        (const int[]){x, dy, slots[SCALE], slots[MEAN], slots[RSTD], d_beta, d_gamma, dx}, err);
    if (!step)
        return -1;
    set_numbers(step, plan, index, &view);
    step->number[TRAINING] = batch;
    return plan_give_grad(plan, node->input[0], dx, err);
}

const struct op op_norm = {"batch norm", norm_forward, norm_backward};
