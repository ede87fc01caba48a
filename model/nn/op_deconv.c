/*
 * Transposed convolution whose kernel equals its stride: output blocks do not overlap, so it is a
 * 1x1 convolution to factor² times the channels, then a move of those channels into the block they
 * stand for. oneDNN 2's own deconvolution is an order of magnitude slower here.
 *
 * The wide convolution's channel (fy * factor + fx) * out + o becomes channel o of pixel
 * (y * factor + fy, x * factor + fx).
 */
#include <string.h>

#include "model/nn/op_conv.h"

static struct conv_shape wide_conv(const struct plan *plan, int index)
{
    const struct node *node = plan_node(plan, index);
    struct shape in = plan_shape(plan, node->input[0]), out = plan_shape(plan, index);
    struct conv_shape c = {
        .in = in,
        .out = {in.n, out.c * node->kernel * node->kernel, in.h, in.w},
        .kernel = 1,
        .stride = 1,
        .groups = 1,
        .bias = true,
        .relu = node->relu,
    };
    return c;
}

/* (in, out, fy, fx) in PyTorch -> (fy, fx, out, in). */
static int fill_weight(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const struct param *w =
        params_peek(plan_graph(plan)->params, plan_node(plan, pack->node)->param[0]);
    int64_t in = w->dim[0], out = w->dim[1], taps = w->dim[2] * w->dim[3];
    for (int64_t t = 0; t < taps; t++)
        for (int64_t o = 0; o < out; o++)
            for (int64_t i = 0; i < in; i++)
                pack->plain[(t * out + o) * in + i] = w->value[(i * out + o) * taps + t];
    return 0;
}

static int fill_bias(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const struct node *node = plan_node(plan, pack->node);
    const float *bias = node_param(plan, pack->node, 1);
    int out = node->shape.c;
    for (int t = 0; t < node->kernel * node->kernel; t++)
        memcpy(pack->plain + (size_t)t * (size_t)out, bias, (size_t)out * sizeof *bias);
    return 0;
}

/*
 * Moves between the wide value p[0] (blocks of factor² x out channels, small plane) and the result
 * p[1], in runs of `inner` channels. number: n, blocks per tap, inner, h, w, factor; [6] = 1 for
 * the way back.
 */
static void kernel_shuffle(const struct step *step, void *const *p)
{
    int64_t n = step->number[0], blocks = step->number[1], inner = step->number[2];
    int64_t h = step->number[3], w = step->number[4], f = step->number[5];
    bool back = step->number[6];
    float *wide = p[0], *fine = p[1];
    size_t bytes = (size_t)inner * sizeof(float);
    bool last = step->number[7]; /* channels last: taps lie beside each other in one pixel */
#pragma omp parallel for schedule(static) collapse(2)
    for (int64_t k = 0; k < n * blocks; k++)
        for (int64_t y = 0; y < h * f; y++) {
            int64_t image = k / blocks, block = k % blocks;
            for (int64_t x = 0; x < w * f; x++) {
                int64_t tap = y % f * f + x % f, pixel = y / f * w + x / f;
                int64_t from =
                    last ? (image * h * w + pixel) * f * f + tap
                         : (image * f * f * blocks + tap * blocks + block) * h * w + pixel;
                int64_t to = (k * h * f + y) * w * f + x;
                if (back)
                    memcpy(wide + from * inner, fine + to * inner, bytes);
                else
                    memcpy(fine + to * inner, wide + from * inner, bytes);
            }
        }
}

/* The layout of the result that the wide value's layout turns into; false where it does not. */
static bool fine_layout(const dnnl_memory_desc_t *wide, struct shape fine, dnnl_memory_desc_t *out,
                        struct blocked *view)
{
    if (!md_blocked(wide, view))
        return false;
    if (view->blocks == 1) {
        *out = md_4d(fine, dnnl_nhwc);
        view->inner = fine.c;
        return true;
    }
    if (view->inner == 1 || fine.c % view->inner != 0)
        return false;
    *out = md_4d(fine, view->inner == 16  ? dnnl_nChw16c
                       : view->inner == 8 ? dnnl_nChw8c
                                          : dnnl_nChw4c);
    return true;
}

static int add_shuffle(struct plan *plan, int index, int wide, int fine, const struct blocked *view,
                       bool back, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct shape in = plan_shape(plan, node->input[0]);
    struct step *step = plan_add_kernel(plan, kernel_shuffle, 2, (const int[]){wide, fine}, err);
    if (!step)
        return -1;
    const int64_t numbers[] = {in.n,        node->shape.c / view->inner,
                               view->inner, in.h,
                               in.w,        node->kernel,
                               back,        view->blocks == 1};
    memcpy(step->number, numbers, sizeof numbers);
    return 0;
}

static int deconv_forward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct conv_shape c = wide_conv(plan, index);
    dnnl_primitive_desc_t pd;
    int x = plan_value(plan, node->input[0]);
    if (conv_forward_desc(plan, &c, x, &pd, err) != 0)
        return -1;
    const dnnl_memory_desc_t src = *dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0);
    const dnnl_memory_desc_t wei = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t dst = *dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
    dnnl_memory_desc_t plain = conv_plain_weight(&c), fine_md;
    dnnl_memory_desc_t vector = md_of(1, (const int64_t[]){c.out.c}, dnnl_a);
    int source = plan_in_layout(plan, x, &src, err);
    int weight = plan_pack(plan, index, 0, &plain, &wei, fill_weight, err);
    int bias = plan_pack(plan, index, 1, &vector, &vector, fill_bias, err);
    int wide = plan_new_slot(plan, &dst, err);
    if (source < 0 || weight < 0 || bias < 0 || wide < 0) {
        dnnl_primitive_desc_destroy(pd);
        return -1;
    }
    if (plan_add_primitive(
            plan, pd, 4, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
            (const int[]){source, weight, bias, wide}, err) != 0)
        return -1;
    struct blocked view;
    if (!fine_layout(plan_md(plan, wide), plan_shape(plan, index), &fine_md, &view)) {
        dnnl_memory_desc_t last = md_4d(c.out, dnnl_nhwc);
        wide = plan_in_layout(plan, wide, &last, err);
        fine_layout(&last, plan_shape(plan, index), &fine_md, &view);
    }
    int fine = plan_new_slot(plan, &fine_md, err);
    plan_set_value(plan, index, fine);
    return add_shuffle(plan, index, wide, fine, &view, false, err);
}

/* (fy, fx, out, in) -> adds to PyTorch's (in, out, fy, fx). */
static void kernel_weight_grad(const struct step *step, void *const *p)
{
    const float *grad = p[0];
    float *target = step->param[0];
    int64_t in = step->number[0], out = step->number[1], taps = step->number[2];
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < in; i++)
        for (int64_t o = 0; o < out; o++)
            for (int64_t t = 0; t < taps; t++)
                target[(i * out + o) * taps + t] += grad[(t * out + o) * in + i];
}

static void kernel_bias_grad(const struct step *step, void *const *p)
{
    const float *grad = p[0];
    for (int64_t t = 0; t < step->number[2]; t++)
        for (int64_t o = 0; o < step->number[1]; o++)
            step->param[0][o] += grad[t * step->number[1] + o];
}

static int deconv_backward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    struct conv_shape c = wide_conv(plan, index);
    c.relu = false;
    struct blocked view;
    dnnl_memory_desc_t fine_md = md_4d(plan_shape(plan, index), dnnl_nhwc);
    dnnl_memory_desc_t wide_md = md_4d(c.out, dnnl_nhwc);
    int fine = plan_in_layout(plan, plan_output_grad(plan, index, err), &fine_md, err);
    int wide = plan_new_slot(plan, &wide_md, err), dx, dw, db;
    fine_layout(&wide_md, plan_shape(plan, index), &fine_md, &view);
    if (fine < 0 || wide < 0 || add_shuffle(plan, index, wide, fine, &view, true, err) != 0)
        return -1;
    if (plan_wants_grad(plan, node->input[0]) &&
        (conv_grad_input(plan, &c, wide, index, 0, fill_weight, &dx, err) != 0 ||
         plan_give_grad(plan, node->input[0], dx, err) != 0))
        return -1;
    float *grads[] = {node_param_grad(plan, index, 0), node_param_grad(plan, index, 1)};
    if (!grads[0] && !grads[1])
        return 0;
    dnnl_memory_desc_t plain = conv_plain_weight(&c);
    if (conv_grad_weight(plan, &c, plan_value(plan, node->input[0]), wide, &dw, &db, err) != 0)
        return -1;
    dw = plan_in_layout(plan, dw, &plain, err);
    void (*const kernels[])(const struct step *, void *const *) = {kernel_weight_grad,
                                                                   kernel_bias_grad};
    for (int k = 0; k < 2; k++) {
        if (!grads[k])
            continue;
        struct step *step = plan_add_kernel(plan, kernels[k], 1, k ? &db : &dw, err);
        if (!step)
            return -1;
        step->number[0] = c.in.c;
        step->number[1] = node->shape.c;
        step->number[2] = (int64_t)node->kernel * node->kernel;
        step->param[0] = grads[k];
    }
    return 0;
}

const struct op op_deconv = {"transposed convolution", deconv_forward, deconv_backward};
