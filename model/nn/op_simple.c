/* ReLU and sum where they could not be fused, max pooling, and the small dense ops of attention. */
#include <math.h>
#include <string.h>

#include "model/base/vector.h"
#include "model/nn/compile.h"

/* ---- ReLU ---- */

VECTORIZED static void relu_range(float *y, const float *x, int64_t count)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < count; i++)
        y[i] = x[i] > 0 ? x[i] : 0;
}

VECTORIZED static void sum_range(float *y, const float *a, const float *b, int64_t count, bool relu)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < count; i++) {
        float v = a[i] + b[i];
        y[i] = relu && !(v > 0) ? 0 : v;
    }
}

enum { PIECE = 16384 }; /* floats a thread takes at a time */

/* p: 0 x, 1 y. number: floats. */
static void kernel_relu(const struct step *step, void *const *p)
{
    const float *x = p[0];
    float *y = p[1];
    int64_t count = step->number[0];
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i += PIECE)
        relu_range(y + i, x + i, count - i < PIECE ? count - i : PIECE);
}

/* p: 0 a, 1 b, 2 y. number: floats, ReLU. */
static void kernel_add(const struct step *step, void *const *p)
{
    const float *a = p[0], *b = p[1];
    float *y = p[2];
    int64_t count = step->number[0];
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i += PIECE)
        sum_range(y + i, a + i, b + i, count - i < PIECE ? count - i : PIECE, step->number[1]);
}

static int64_t floats_of(const struct plan *plan, int slot)
{
    return (int64_t)(dnnl_memory_desc_get_size(plan_md(plan, slot)) / sizeof(float));
}

static int relu_forward(struct plan *plan, int index, struct error *err)
{
    int x = plan_value(plan, plan_node(plan, index)->input[0]);
    int y = plan_new_slot(plan, plan_md(plan, x), err);
    plan_set_value(plan, index, y);
    struct step *step = plan_add_kernel(plan, kernel_relu, 2, (const int[]){x, y}, err);
    if (!step)
        return -1;
    step->number[0] = floats_of(plan, x);
    return 0;
}

/* node->relu is only set by fusing, so the mask is applied here. */
static int relu_backward(struct plan *plan, int index, struct error *err)
{
    int grad = plan_masked_grad(plan, index, err);
    return grad < 0 ? -1 : plan_give_grad(plan, plan_node(plan, index)->input[0], grad, err);
}

const struct op op_relu = {"ReLU", relu_forward, relu_backward};

/* ---- sum ---- */

static int add_forward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    int a = plan_value(plan, node->input[0]);
    dnnl_memory_desc_t md = *plan_md(plan, a);
    int b = plan_in_layout(plan, plan_value(plan, node->input[1]), &md, err);
    int y = plan_new_slot(plan, &md, err);
    plan_set_value(plan, index, y);
    struct step *step = plan_add_kernel(plan, kernel_add, 3, (const int[]){a, b, y}, err);
    if (!step)
        return -1;
    step->number[0] = floats_of(plan, a);
    step->number[1] = node->relu;
    return 0;
}

static int add_backward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    int grad = plan_output_grad(plan, index, err);
    if (grad < 0 || plan_give_grad(plan, node->input[0], grad, err) != 0)
        return -1;
    return plan_give_grad(plan, node->input[1], grad, err);
}

const struct op op_add = {"sum", add_forward, add_backward};

/* ---- max pooling ---- */

static int pool_desc(struct plan *plan, int index, const dnnl_memory_desc_t *x,
                     dnnl_primitive_desc_t *pd, struct error *err)
{
    int rc;
    const struct node *node = plan_node(plan, index);
    dnnl_primitive_attr_t attr = NULL;
    dnnl_pooling_desc_t desc;
    dnnl_memory_desc_t y = md_4d(plan_shape(plan, index), dnnl_format_tag_any);
    const dnnl_dims_t kernel = {node->kernel, node->kernel};
    const dnnl_dims_t stride = {node->stride, node->stride}, pad = {node->pad, node->pad};
    TRY(dnn_attr(&attr, err));
    TRY(dnn_check(dnnl_pooling_forward_desc_init(
                      &desc, plan_inference(plan) ? dnnl_forward_inference : dnnl_forward_training,
                      dnnl_pooling_max, x, &y, stride, kernel, pad, pad),
                  "max pooling", err));
    TRY(dnn_check(dnnl_primitive_desc_create(pd, &desc, attr, plan_engine(plan), NULL),
                  "max pooling", err));
done:
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

static int pool_forward(struct plan *plan, int index, struct error *err)
{
    int x = plan_value(plan, plan_node(plan, index)->input[0]), workspace = -1;
    dnnl_primitive_desc_t pd;
    if (pool_desc(plan, index, plan_md(plan, x), &pd, err) != 0)
        return -1;
    int y = plan_new_slot(plan, dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0), err);
    if (!plan_inference(plan)) {
        workspace =
            plan_new_slot(plan, dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0), err);
        plan_keep(plan, index, &workspace, 1);
    }
    plan_set_value(plan, index, y);
    return plan_add_primitive(plan, pd, workspace < 0 ? 2 : 3,
                              (const int[]){DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WORKSPACE},
                              (const int[]){x, y, workspace}, err);
}

static int pool_backward(struct plan *plan, int index, struct error *err)
{
    int rc, workspace;
    const struct node *node = plan_node(plan, index);
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_pooling_desc_t desc;
    dnnl_memory_desc_t x = *plan_md(plan, plan_value(plan, node->input[0]));
    dnnl_memory_desc_t y = *plan_md(plan, plan_value(plan, index));
    const dnnl_dims_t kernel = {node->kernel, node->kernel};
    const dnnl_dims_t stride = {node->stride, node->stride}, pad = {node->pad, node->pad};
    plan_kept(plan, index, &workspace, 1);
    int dy = plan_in_layout(plan, plan_output_grad(plan, index, err), &y, err);
    int dx = plan_new_slot(plan, &x, err);
    TRY(pool_desc(plan, index, &x, &hint, err));
    TRY(dnn_attr(&attr, err));
    TRY(dnn_check(
        dnnl_pooling_backward_desc_init(&desc, dnnl_pooling_max, &x, &y, stride, kernel, pad, pad),
        "max pooling's gradient", err));
    TRY(dnn_check(dnnl_primitive_desc_create(&pd, &desc, attr, plan_engine(plan), hint),
                  "max pooling's gradient", err));
    TRY(plan_add_primitive(plan, pd, 3,
                           (const int[]){DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC, DNNL_ARG_WORKSPACE},
                           (const int[]){dy, dx, workspace}, err));
    TRY(plan_give_grad(plan, node->input[0], dx, err));
done:
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

const struct op op_max_pool = {"max pooling", pool_forward, pool_backward};
