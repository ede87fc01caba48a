/* Linear layers: an inner product over (c, h, w), whatever layout the source comes in. */
#include "model/nn/compile.h"

struct linear_mds {
    dnnl_memory_desc_t x, w, b, y, plain;
};

static struct linear_mds describe(const struct plan *plan, int index)
{
    struct shape in = plan_shape(plan, plan_node(plan, index)->input[0]);
    struct shape out = plan_shape(plan, index);
    struct shape weight = {out.c, in.c, in.h, in.w};
    const dnnl_memory_desc_t *source =
        plan_md(plan, plan_value(plan, plan_node(plan, index)->input[0]));
    dnnl_memory_desc_t last = md_4d(in, dnnl_nhwc);
    return (struct linear_mds){
        /* Left to itself oneDNN would turn channels-last pixels around: pack the weights instead.
         */
        .x = md_same_bytes(source, &last) ? last : md_4d(in, dnnl_format_tag_any),
        .w = md_4d(weight, dnnl_format_tag_any),
        .b = md_of(1, (const int64_t[]){out.c}, dnnl_a),
        .y = md_of(2, (const int64_t[]){out.n, out.c}, dnnl_ab),
        .plain = md_4d(weight, dnnl_oihw),
    };
}

static int forward_desc(struct plan *plan, const struct linear_mds *m, bool relu,
                        dnnl_primitive_desc_t *pd, struct error *err)
{
    int rc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_inner_product_desc_t desc;
    *pd = NULL;
    TRY(dnn_attr_after(&attr, false, relu, err));
    TRY(dnn_check(dnnl_inner_product_forward_desc_init(
                      &desc, plan_inference(plan) ? dnnl_forward_inference : dnnl_forward_training,
                      &m->x, &m->w, &m->b, &m->y),
                  "a linear layer", err));
    TRY(dnn_check(dnnl_primitive_desc_create(pd, &desc, attr, plan_engine(plan), NULL),
                  "a linear layer", err));
done:
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

/* (n, c) and (n, c, 1, 1) are the same bytes. */
static dnnl_memory_desc_t rows_md(const struct plan *plan, int index)
{
    return md_4d(plan_shape(plan, index), dnnl_nchw);
}

static int linear_forward(struct plan *plan, int index, struct error *err)
{
    struct linear_mds m = describe(plan, index);
    dnnl_primitive_desc_t pd;
    if (forward_desc(plan, &m, plan_node(plan, index)->relu, &pd, err) != 0)
        return -1;
    const dnnl_memory_desc_t src = *dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0);
    const dnnl_memory_desc_t wei = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_memory_desc_t rows = rows_md(plan, index);
    int x = plan_in_layout(plan, plan_value(plan, plan_node(plan, index)->input[0]), &src, err);
    int w = plan_pack(plan, index, 0, &m.plain, &wei, NULL, err);
    int b = plan_pack(plan, index, 1, &m.b, &m.b, NULL, err);
    int value = plan_new_slot(plan, &rows, err);
    int y = value < 0 ? -1 : plan_alias_slot(plan, value, &m.y, err);
    plan_set_value(plan, index, value);
    if (x < 0 || w < 0 || b < 0 || y < 0) {
        dnnl_primitive_desc_destroy(pd);
        return -1;
    }
    return plan_add_primitive(
        plan, pd, 4, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
        (const int[]){x, w, b, y}, err);
}

static int grad_input(struct plan *plan, int index, const struct linear_mds *m, int grad,
                      dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr, struct error *err)
{
    dnnl_inner_product_desc_t desc;
    dnnl_primitive_desc_t pd;
    if (dnn_check(dnnl_inner_product_backward_data_desc_init(&desc, &m->x, &m->w, &m->y),
                  "a linear layer's input gradient", err) != 0 ||
        dnn_check(dnnl_primitive_desc_create(&pd, &desc, attr, plan_engine(plan), hint),
                  "a linear layer's input gradient", err) != 0)
        return -1;
    const dnnl_memory_desc_t dx = *dnnl_primitive_desc_query_md(pd, dnnl_query_diff_src_md, 0);
    const dnnl_memory_desc_t wei = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    int w = plan_pack(plan, index, 0, &m->plain, &wei, NULL, err);
    int x = plan_new_slot(plan, &dx, err);
    if (w < 0 || x < 0) {
        dnnl_primitive_desc_destroy(pd);
        return -1;
    }
    if (plan_add_primitive(plan, pd, 3,
                           (const int[]){DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
                           (const int[]){grad, w, x}, err) != 0)
        return -1;
    return plan_give_grad(plan, plan_node(plan, index)->input[0], x, err);
}

static int grad_params(struct plan *plan, int index, const struct linear_mds *m, int grad,
                       dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr, struct error *err)
{
    dnnl_inner_product_desc_t desc;
    dnnl_primitive_desc_t pd;
    if (dnn_check(dnnl_inner_product_backward_weights_desc_init(&desc, &m->x, &m->w, &m->b, &m->y),
                  "a linear layer's weight gradient", err) != 0 ||
        dnn_check(dnnl_primitive_desc_create(&pd, &desc, attr, plan_engine(plan), hint),
                  "a linear layer's weight gradient", err) != 0)
        return -1;
    const dnnl_memory_desc_t src = *dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0);
    const dnnl_memory_desc_t dw = *dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 0);
    int x = plan_in_layout(plan, plan_value(plan, plan_node(plan, index)->input[0]), &src, err);
    int w = plan_new_slot(plan, &dw, err), b = plan_new_slot(plan, &m->b, err);
    if (x < 0 || w < 0 || b < 0) {
        dnnl_primitive_desc_destroy(pd);
        return -1;
    }
    if (plan_add_primitive(plan, pd, 4,
                           (const int[]){DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS,
                                         DNNL_ARG_DIFF_BIAS},
                           (const int[]){x, grad, w, b}, err) != 0 ||
        plan_give_param_grad(plan, index, 0, &m->plain, w, err) != 0)
        return -1;
    return plan_give_param_grad(plan, index, 1, &m->b, b, err);
}

static int linear_backward(struct plan *plan, int index, struct error *err)
{
    int rc;
    struct linear_mds m = describe(plan, index);
    dnnl_memory_desc_t rows = rows_md(plan, index);
    dnnl_primitive_desc_t hint = NULL;
    dnnl_primitive_attr_t attr = NULL;
    int value = plan_in_layout(plan, plan_output_grad(plan, index, err), &rows, err);
    int grad = value < 0 ? -1 : plan_alias_slot(plan, value, &m.y, err);
    TRY(grad < 0 ? -1 : 0);
    TRY(forward_desc(plan, &m, false, &hint, err));
    TRY(dnn_attr(&attr, err));
    if (plan_wants_grad(plan, plan_node(plan, index)->input[0]))
        TRY(grad_input(plan, index, &m, grad, hint, attr, err));
    if (node_param_grad(plan, index, 0) || node_param_grad(plan, index, 1))
        TRY(grad_params(plan, index, &m, grad, hint, attr, err));
done:
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

const struct op op_linear = {"linear layer", linear_forward, linear_backward};
