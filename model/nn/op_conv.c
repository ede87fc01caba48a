/* Convolution: forward, weights, backward. The transposed convolution (op_deconv.c) builds on it.
 */
#include "model/nn/op_conv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/nn/norm.h"

static dnnl_memory_desc_t weight_md(const struct conv_shape *c, bool any)
{
    if (c->groups > 1)
        return md_of(5,
                     (const int64_t[]){c->groups, c->out.c / c->groups, c->in.c / c->groups,
                                       c->kernel, c->kernel},
                     any ? dnnl_format_tag_any : dnnl_goihw);
    return md_of(4, (const int64_t[]){c->out.c, c->in.c, c->kernel, c->kernel},
                 any ? dnnl_format_tag_any : dnnl_oihw);
}

dnnl_memory_desc_t conv_plain_weight(const struct conv_shape *c)
{
    return weight_md(c, false);
}

/* Layouts values of a convolution must have, or NULL where oneDNN may choose. */
struct layouts {
    dnnl_memory_desc_t x, y;
};

static int make_forward(struct plan *plan, const struct conv_shape *c,
                        const struct layouts *layouts, bool inference, dnnl_primitive_desc_t *pd,
                        struct error *err)
{
    int rc;
    dnnl_primitive_attr_t attr = NULL;
    *pd = NULL;
    dnnl_memory_desc_t w = weight_md(c, true), b = md_of(1, (const int64_t[]){c->out.c}, dnnl_a);
    dnnl_memory_desc_t x = layouts ? layouts->x : md_4d(c->in, dnnl_format_tag_any);
    dnnl_memory_desc_t y = layouts ? layouts->y : md_4d(c->out, dnnl_format_tag_any);
    const dnnl_dims_t stride = {c->stride, c->stride}, pad = {c->pad, c->pad};
    dnnl_convolution_desc_t desc;
    TRY(dnn_attr_after(&attr, c->sum, c->relu, err));
    TRY(dnn_check(dnnl_convolution_forward_desc_init(
                      &desc, inference ? dnnl_forward_inference : dnnl_forward_training,
                      dnnl_convolution_direct, &x, &w, c->bias ? &b : NULL, &y, stride, pad, pad),
                  "a convolution", err));
    TRY(dnn_check(dnnl_primitive_desc_create(pd, &desc, attr, plan_engine(plan), NULL),
                  "a convolution", err));
done:
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

static bool is_reference(dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return name && (strncmp(name, "ref", 3) == 0 || strncmp(name, "gemm:ref", 8) == 0);
}

bool conv_blocks_of_16(void)
{
    return dnnl_get_effective_cpu_isa() >= dnnl_cpu_isa_avx512_core;
}

/*
 * With AVX-512 the backbone's channels lie by sixteens: grouped convolutions then run twice as fast
 * as channels last. Elsewhere oneDNN chooses, but for grouped convolutions, which gain less from a
 * layout of their own than two reorders cost.
 */
static bool preferred_layouts(struct plan *plan, const struct conv_shape *c, int source,
                              struct layouts *layouts)
{
    struct blocked view;
    if (plan_inference(plan) && conv_blocks_of_16() && c->in.n == 1 && c->out.c % 16 == 0 &&
        (c->in.c % 16 == 0 || c->in.c == 1)) {
        layouts->x = md_4d(c->in, c->in.c == 1 ? dnnl_nchw : dnnl_nChw16c);
        layouts->y = md_4d(c->out, dnnl_nChw16c);
        return true;
    }
    layouts->x = *plan_md(plan, source);
    if (c->groups == 1 || !md_blocked(&layouts->x, &view))
        return false;
    /* The result in the layout of the source: channels last, or blocks of as many channels. */
    layouts->y = md_4d(c->out, view.blocks == 1   ? dnnl_nhwc
                               : view.inner == 16 ? dnnl_nChw16c
                               : view.inner == 8  ? dnnl_nChw8c
                                                  : dnnl_nchw);
    return true;
}

int conv_forward_desc(struct plan *plan, const struct conv_shape *c, int source,
                      dnnl_primitive_desc_t *pd, struct error *err)
{
    bool inference = plan_inference(plan);
    struct layouts layouts;
    if (preferred_layouts(plan, c, source, &layouts) &&
        make_forward(plan, c, &layouts, inference, pd, err) == 0) {
        if (!is_reference(*pd))
            return 0;
        dnnl_primitive_desc_destroy(*pd);
    }
    return make_forward(plan, c, NULL, inference, pd, err);
}

struct conv_shape conv_describe(const struct plan *plan, int index)
{
    const struct node *node = plan_node(plan, index);
    struct conv_shape c = {
        .in = plan_shape(plan, node->input[0]),
        .out = plan_shape(plan, index),
        .kernel = node->kernel,
        .stride = node->stride,
        .pad = node->pad,
        .groups = node->groups,
        .bias = node->param[1] >= 0 || node->folded_norm >= 0 || node->composed >= 0,
        .relu = node->relu,
        .sum = node->residual >= 0,
    };
    return c;
}

/* ---- weights ---- */

/* Per output channel: what a folded norm multiplies by and adds. */
static void norm_affine(const struct plan *plan, int norm, int channel, float *scale, float *shift)
{
    float gamma = node_param(plan, norm, 0)[channel], beta = node_param(plan, norm, 1)[channel];
    float mean = node_param(plan, norm, 2)[channel], var = node_param(plan, norm, 3)[channel];
    *scale = gamma / sqrtf(var + NORM_EPSILON);
    *shift = beta - mean * *scale;
}

/*
 * The product of a transposed convolution (in, middle, taps) and the convolution (out, middle,
 * taps) that gathers what it spread: both rows run over (middle, taps) in the same order.
 */
static int fill_composed(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const struct node *node = plan_node(plan, pack->node);
    const struct params *params = plan_graph(plan)->params;
    const struct param *gather = params_peek(params, node->param[0]);
    const struct param *spread = params_peek(params, plan_node(plan, node->composed)->param[0]);
    int64_t out = gather->dim[0], in = spread->dim[0], row = gather->count / out;
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            double sum = 0;
            for (int64_t k = 0; k < row; k++)
                sum += (double)gather->value[o * row + k] * (double)spread->value[i * row + k];
            pack->plain[o * in + i] = (float)sum;
        }
    return 0;
}

/* The transposed convolution's bias, seen through the convolution behind it. */
static float composed_bias(const struct plan *plan, const struct node *node, int o)
{
    const struct param *gather = params_peek(plan_graph(plan)->params, node->param[0]);
    const float *spread = node_param(plan, node->composed, 1);
    int64_t middle = gather->dim[1], taps = gather->dim[2] * gather->dim[3];
    double sum = 0;
    for (int64_t m = 0; m < middle; m++)
        for (int64_t t = 0; t < taps; t++)
            sum += (double)gather->value[(o * middle + m) * taps + t] * (double)spread[m];
    return (float)sum;
}

/* Weights with the folded norm's scale, and with equal input channels summed into one. */
int conv_fill_weight(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const struct node *node = plan_node(plan, pack->node);
    const struct param *weight = params_peek(plan_graph(plan)->params, node->param[0]);
    int64_t out = weight->dim[0], in = weight->dim[1], taps = weight->dim[2] * weight->dim[3];
    int64_t stored = node->equal_channels ? 1 : in;
    for (int64_t o = 0; o < out; o++) {
        float scale = 1, shift;
        if (node->folded_norm >= 0)
            norm_affine(plan, node->folded_norm, (int)o, &scale, &shift);
        for (int64_t i = 0; i < stored; i++)
            for (int64_t t = 0; t < taps; t++) {
                double sum = (double)weight->value[(o * in + i) * taps + t];
                for (int64_t k = 1; node->equal_channels && k < in; k++)
                    sum += (double)weight->value[(o * in + k) * taps + t];
                pack->plain[(o * stored + i) * taps + t] = (float)((double)scale * sum);
            }
    }
    return 0;
}

const float *conv_weights(struct plan *plan, const struct pack *pack, float **made,
                          struct error *err)
{
    const struct node *node = plan_node(plan, pack->node);
    const struct param *weight = params_peek(plan_graph(plan)->params, node->param[0]);
    struct pack plain = *pack;
    *made = NULL;
    if (node->folded_norm < 0 && !node->equal_channels)
        return weight->value;
    size_t count = 1;
    for (int i = 0; i < 4; i++)
        count *= (size_t)weight->dim[i];
    plain.plain = *made = malloc(count * sizeof(float));
    if (!*made) {
        error_set(err, ERR_MEMORY, "out of memory for packing weights");
        return NULL;
    }
    conv_fill_weight(plan, &plain, err);
    return *made;
}

int conv_fill_bias(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const struct node *node = plan_node(plan, pack->node);
    const float *bias = node_param(plan, pack->node, 1);
    for (int o = 0; o < node->shape.c; o++) {
        float scale = 1, shift = 0;
        if (node->folded_norm >= 0)
            norm_affine(plan, node->folded_norm, o, &scale, &shift);
        float own = bias ? bias[o] : 0;
        if (node->composed >= 0)
            own += composed_bias(plan, node, o);
        pack->plain[o] = own * scale + shift;
    }
    return 0;
}

/* ---- the op ---- */

int conv_residual_slot(struct plan *plan, int index, const dnnl_memory_desc_t *md,
                       struct error *err)
{
    const struct node *node = plan_node(plan, index);
    int residual = node->residual, value = plan_value(plan, residual);
    int slot = plan_in_layout(plan, value, md, err);
    if (slot != value || slot < 0)
        return slot; /* a private copy */
    /* Not where the convolution itself still reads what it would overwrite. */
    if (plan_last_reader(plan, index, residual) && plan_value(plan, node->input[0]) != value)
        return plan_alias_slot(plan, slot, md, err);
    return plan_copy(plan, slot, err);
}

static int conv_forward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct conv_shape c = conv_describe(plan, index);
    if (conv_winograd4_pays(plan, index, &c))
        return conv_winograd4_forward(plan, index, &c, err);
    if (conv_pointwise_pays(plan, index, &c))
        return conv_pointwise_forward(plan, index, &c, err);
    if (conv_narrow_pays(plan, &c))
        return conv_narrow_forward(plan, index, &c, err);
    dnnl_primitive_desc_t pd;
    int x = plan_value(plan, node->input[0]);
    if (conv_forward_desc(plan, &c, x, &pd, err) != 0)
        return -1;
    const dnnl_memory_desc_t src = *dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0);
    const dnnl_memory_desc_t wei = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t dst = *dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
    bool computed = node->folded_norm >= 0 || node->equal_channels;
    int (*fill)(struct plan *, struct pack *, struct error *) = node->composed >= 0 ? fill_composed
                                                                : computed ? conv_fill_weight
                                                                           : NULL;
    dnnl_memory_desc_t plain = conv_plain_weight(&c), vector = md_of(1, &wei.dims[0], dnnl_a);
    vector = md_of(1, (const int64_t[]){c.out.c}, dnnl_a);
    int source = plan_in_layout(plan, x, &src, err);
    int weight = plan_pack(plan, index, 0, &plain, &wei, fill, err);
    int bias = c.bias ? plan_pack(plan, index, 1, &vector, &vector, conv_fill_bias, err) : 0;
    int y = c.sum ? conv_residual_slot(plan, index, &dst, err) : plan_new_slot(plan, &dst, err);
    if (source < 0 || weight < 0 || bias < 0 || y < 0) {
        dnnl_primitive_desc_destroy(pd);
        return -1;
    }
    plan_set_value(plan, index, y);
    return plan_add_primitive(
        plan, pd, c.bias ? 4 : 3,
        (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS},
        (const int[]){source, weight, y, bias}, err);
}

/* ---- backward ---- */

/* The forward descriptor oneDNN wants as a hint; it must be of the direct algorithm. */
static int hint_desc(struct plan *plan, const struct conv_shape *c, dnnl_primitive_desc_t *pd,
                     struct error *err)
{
    struct conv_shape plain = *c;
    plain.relu = plain.sum = false;
    return make_forward(plan, &plain, NULL, false, pd, err);
}

int conv_grad_input(struct plan *plan, const struct conv_shape *c, int grad, int node, int param,
                    int (*fill)(struct plan *, struct pack *, struct error *), int *out,
                    struct error *err)
{
    int rc;
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    const dnnl_dims_t stride = {c->stride, c->stride}, pad = {c->pad, c->pad};
    dnnl_memory_desc_t dx = md_4d(c->in, dnnl_format_tag_any), w = weight_md(c, true);
    dnnl_memory_desc_t dy = md_4d(c->out, dnnl_format_tag_any), plain = conv_plain_weight(c);
    dnnl_convolution_desc_t desc;
    TRY(hint_desc(plan, c, &hint, err));
    TRY(dnn_attr(&attr, err));
    TRY(dnn_check(dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &dx, &w,
                                                           &dy, stride, pad, pad),
                  "a convolution's input gradient", err));
    TRY(dnn_check(dnnl_primitive_desc_create(&pd, &desc, attr, plan_engine(plan), hint),
                  "a convolution's input gradient", err));
    dx = *dnnl_primitive_desc_query_md(pd, dnnl_query_diff_src_md, 0);
    w = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dy = *dnnl_primitive_desc_query_md(pd, dnnl_query_diff_dst_md, 0);
    int dy_slot = plan_in_layout(plan, grad, &dy, err);
    int w_slot = plan_pack(plan, node, param, &plain, &w, fill, err);
    *out = plan_new_slot(plan, &dx, err);
    TRY(dy_slot < 0 || w_slot < 0 || *out < 0 ? -1 : 0);
    dnnl_primitive_desc_t taken = pd;
    pd = NULL;
    TRY(plan_add_primitive(plan, taken, 3,
                           (const int[]){DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
                           (const int[]){dy_slot, w_slot, *out}, err));
done:
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

int conv_grad_weight(struct plan *plan, const struct conv_shape *c, int source, int grad,
                     int *weight, int *bias, struct error *err)
{
    int rc;
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    const dnnl_dims_t stride = {c->stride, c->stride}, pad = {c->pad, c->pad};
    dnnl_memory_desc_t x = md_4d(c->in, dnnl_format_tag_any), dw = weight_md(c, true);
    dnnl_memory_desc_t dy = md_4d(c->out, dnnl_format_tag_any);
    dnnl_memory_desc_t db = md_of(1, (const int64_t[]){c->out.c}, dnnl_a);
    dnnl_convolution_desc_t desc;
    TRY(hint_desc(plan, c, &hint, err));
    TRY(dnn_attr(&attr, err));
    TRY(dnn_check(dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &x,
                                                              &dw, bias ? &db : NULL, &dy, stride,
                                                              pad, pad),
                  "a convolution's weight gradient", err));
    TRY(dnn_check(dnnl_primitive_desc_create(&pd, &desc, attr, plan_engine(plan), hint),
                  "a convolution's weight gradient", err));
    x = *dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0);
    dw = *dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 0);
    dy = *dnnl_primitive_desc_query_md(pd, dnnl_query_diff_dst_md, 0);
    int x_slot = plan_in_layout(plan, source, &x, err);
    int dy_slot = plan_in_layout(plan, grad, &dy, err);
    *weight = plan_new_slot(plan, &dw, err);
    int db_slot = bias ? *bias = plan_new_slot(plan, &db, err) : 0;
    TRY(x_slot < 0 || dy_slot < 0 || *weight < 0 || db_slot < 0 ? -1 : 0);
    dnnl_primitive_desc_t taken = pd;
    pd = NULL;
    TRY(plan_add_primitive(
        plan, taken, bias ? 4 : 3,
        (const int[]){DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS},
        (const int[]){x_slot, dy_slot, *weight, db_slot}, err));
done:
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

/* The one stored channel stands for all: each of its copies gets the same gradient. */
static void kernel_spread_grad(const struct step *step, void *const *p)
{
    const float *grad = p[0];
    int64_t out = step->number[0], in = step->number[1], taps = step->number[2];
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t t = 0; t < taps; t++)
                step->param[0][(o * in + i) * taps + t] += grad[o * taps + t];
}

static int conv_backward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct conv_shape c = conv_describe(plan, index);
    int grad = plan_output_grad(plan, index, err), dx, dw, db, rc;
    bool winograd = conv_winograd4_trains(plan, index, &c);
    if (grad < 0)
        return -1;
    if (plan_wants_grad(plan, node->input[0])) {
        rc = winograd ? conv_winograd4_grad_input(plan, index, &c, grad, &dx, err)
                      : conv_grad_input(plan, &c, grad, index, 0,
                                        node->equal_channels ? conv_fill_weight : NULL, &dx, err);
        if (rc != 0 || plan_give_grad(plan, node->input[0], dx, err) != 0)
            return -1;
    }
    float *weight_grad = node_param_grad(plan, index, 0);
    if (!weight_grad && !node_param_grad(plan, index, 1))
        return 0;
    int source = plan_value(plan, node->input[0]);
    if (winograd)
        rc = conv_winograd4_grad_weight(plan, &c, source, grad, &dw, c.bias ? &db : NULL, err);
    else if (conv_stem_trains(&c))
        rc = conv_stem_grad_weight(plan, &c, source, grad, &dw, err);
    else
        rc = conv_grad_weight(plan, &c, source, grad, &dw, c.bias ? &db : NULL, err);
    if (rc != 0)
        return -1;
    dnnl_memory_desc_t plain = conv_plain_weight(&c);
    dnnl_memory_desc_t vector = md_of(1, (const int64_t[]){c.out.c}, dnnl_a);
    if (c.bias && plan_give_param_grad(plan, index, 1, &vector, db, err) != 0)
        return -1;
    if (!node->equal_channels)
        return plan_give_param_grad(plan, index, 0, &plain, dw, err);
    if (!weight_grad)
        return 0;
    const struct param *weight = params_peek(plan_graph(plan)->params, node->param[0]);
    dw = plan_in_layout(plan, dw, &plain, err);
    struct step *step = plan_add_kernel(plan, kernel_spread_grad, 1, &dw, err);
    if (!step)
        return -1;
    step->number[0] = weight->dim[0];
    step->number[1] = weight->dim[1];
    step->number[2] = weight->dim[2] * weight->dim[3];
    step->param[0] = weight_grad;
    return 0;
}

const struct op op_conv = {"convolution", conv_forward, conv_backward};
