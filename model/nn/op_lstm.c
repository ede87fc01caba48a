/*
 * LSTM over the batch as a sequence: rows (t, c) -> states (t, hidden), from a zero state.
 * PyTorch's weights need no transposing: (4 hidden, c) is oneDNN's dims {1, 1, c, 4, hidden} in
 * ldgoi, and the gates i, f, g, o come in the same order. Its two biases are added into one.
 */
#include "model/nn/compile.h"

struct lstm_mds {
    dnnl_memory_desc_t x, wx, wh, b, y;
    dnnl_memory_desc_t h;                  /* one state, hidden or of the cells */
    dnnl_memory_desc_t plain_wx, plain_wh; /* PyTorch's layout */
};

static dnnl_memory_desc_t weight_md(int64_t in, int64_t hidden, dnnl_format_tag_t tag)
{
    return md_of(5, (const int64_t[]){1, 1, in, 4, hidden}, tag);
}

static struct lstm_mds describe(const struct plan *plan, int index)
{
    struct shape x = plan_shape(plan, plan_node(plan, index)->input[0]);
    struct shape y = plan_shape(plan, index);
    return (struct lstm_mds){
        .x = md_of(3, (const int64_t[]){x.n, 1, x.c}, dnnl_abc),
        .wx = weight_md(x.c, y.c, dnnl_format_tag_any),
        .wh = weight_md(y.c, y.c, dnnl_format_tag_any),
        .b = md_of(4, (const int64_t[]){1, 1, 4, y.c}, dnnl_abcd),
        .y = md_of(3, (const int64_t[]){y.n, 1, y.c}, dnnl_abc),
        .h = md_of(4, (const int64_t[]){1, 1, 1, y.c}, dnnl_abcd),
        .plain_wx = weight_md(x.c, y.c, dnnl_ldgoi),
        .plain_wh = weight_md(y.c, y.c, dnnl_ldgoi),
    };
}

static int forward_desc(struct plan *plan, const struct lstm_mds *m, dnnl_primitive_desc_t *pd,
                        struct error *err)
{
    int rc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_rnn_desc_t desc;
    TRY(dnn_attr(&attr, err));
    TRY(dnn_check(dnnl_lstm_forward_desc_init(
                      &desc, plan_inference(plan) ? dnnl_forward_inference : dnnl_forward_training,
                      dnnl_unidirectional_left2right, &m->x, &m->h, &m->h, &m->wx, &m->wh, &m->b,
                      &m->y, NULL, NULL, 0),
                  "an LSTM", err));
    TRY(dnn_check(dnnl_primitive_desc_create(pd, &desc, attr, plan_engine(plan), NULL), "an LSTM",
                  err));
done:
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

static int fill_bias(struct plan *plan, struct pack *pack, struct error *err)
{
    (void)err;
    const float *ih = node_param(plan, pack->node, 2), *hh = node_param(plan, pack->node, 3);
    for (int64_t k = 0; k < 4 * (int64_t)plan_node(plan, pack->node)->shape.c; k++)
        pack->plain[k] = ih[k] + hh[k];
    return 0;
}

/* The sequence (t, 1, c) over the memory of rows (t, c, 1, 1), which are the same bytes. */
static int sequence_slot(struct plan *plan, int rows, const dnnl_memory_desc_t *md,
                         struct error *err)
{
    if (rows < 0)
        return -1;
    dnnl_memory_desc_t dense = md_of(4, plan_md(plan, rows)->dims, dnnl_nchw);
    rows = plan_in_layout(plan, rows, &dense, err);
    return rows < 0 ? -1 : plan_alias_slot(plan, rows, md, err);
}

/* What backward needs again. */
enum { KEPT_X, KEPT_Y, KEPT_BIAS, KEPT_WORKSPACE, KEPT };

/* The zero state a sequence starts from. Left out, oneDNN's backward pass reads garbage for it. */
static int zero_state(struct plan *plan, const struct lstm_mds *m, struct error *err)
{
    return plan_constant(plan, &m->h, err);
}

static int lstm_forward(struct plan *plan, int index, struct error *err)
{
    struct lstm_mds m = describe(plan, index);
    dnnl_primitive_desc_t pd;
    if (forward_desc(plan, &m, &pd, err) != 0)
        return -1;
    const dnnl_memory_desc_t wx = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t wh = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 1);
    dnnl_memory_desc_t rows = md_4d(plan_shape(plan, index), dnnl_nchw);
    int x = sequence_slot(plan, plan_value(plan, plan_node(plan, index)->input[0]), &m.x, err);
    int w_x = plan_pack(plan, index, 0, &m.plain_wx, &wx, NULL, err);
    int w_h = plan_pack(plan, index, 1, &m.plain_wh, &wh, NULL, err);
    int bias = plan_pack(plan, index, 2, &m.b, &m.b, fill_bias, err);
    int value = plan_new_slot(plan, &rows, err);
    int y = value < 0 ? -1 : plan_alias_slot(plan, value, &m.y, err);
    int start = zero_state(plan, &m, err), workspace = 0;
    if (!plan_inference(plan))
        workspace =
            plan_new_slot(plan, dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0), err);
    plan_set_value(plan, index, value);
    if (x < 0 || w_x < 0 || w_h < 0 || bias < 0 || y < 0 || start < 0 || workspace < 0) {
        dnnl_primitive_desc_destroy(pd);
        return -1;
    }
    plan_keep(plan, index, (const int[]){x, y, bias, workspace}, KEPT);
    return plan_add_primitive(plan, pd, plan_inference(plan) ? 7 : 8,
                              (const int[]){DNNL_ARG_SRC_LAYER, DNNL_ARG_SRC_ITER,
                                            DNNL_ARG_SRC_ITER_C, DNNL_ARG_WEIGHTS_LAYER,
                                            DNNL_ARG_WEIGHTS_ITER, DNNL_ARG_BIAS,
                                            DNNL_ARG_DST_LAYER, DNNL_ARG_WORKSPACE},
                              (const int[]){x, start, start, w_x, w_h, bias, y, workspace}, err);
}

static void kernel_zero(const struct step *step, void *const *p)
{
    for (int i = 0; i < step->count; i++)
        for (int64_t k = 0; k < step->number[i]; k++)
            ((float *)p[i])[k] = 0;
}

static int lstm_backward(struct plan *plan, int index, struct error *err)
{
    int rc, kept[KEPT];
    const struct node *node = plan_node(plan, index);
    struct lstm_mds m = describe(plan, index);
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_rnn_desc_t desc;
    dnnl_memory_desc_t dwx = m.wx, dwh = m.wh;
    plan_kept(plan, index, kept, KEPT);
    TRY(forward_desc(plan, &m, &hint, err));
    TRY(dnn_attr(&attr, err));
    TRY(dnn_check(dnnl_lstm_backward_desc_init(&desc, dnnl_backward, dnnl_unidirectional_left2right,
                                               &m.x, &m.h, &m.h, &m.wx, &m.wh, &m.b, &m.y, NULL,
                                               NULL, &m.x, &m.h, &m.h, &dwx, &dwh, &m.b, &m.y, NULL,
                                               NULL, 0),
                  "an LSTM's gradient", err));
    TRY(dnn_check(dnnl_primitive_desc_create(&pd, &desc, attr, plan_engine(plan), hint),
                  "an LSTM's gradient", err));
    const dnnl_memory_desc_t wx = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t wh = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 1);
    dwx = *dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 0);
    dwh = *dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 1);
    dnnl_memory_desc_t rows = md_4d(plan_shape(plan, node->input[0]), dnnl_nchw);
    int w_x = plan_pack(plan, index, 0, &m.plain_wx, &wx, NULL, err);
    int w_h = plan_pack(plan, index, 1, &m.plain_wh, &wh, NULL, err);
    int dy = sequence_slot(plan, plan_output_grad(plan, index, err), &m.y, err);
    int dx_rows = plan_new_slot(plan, &rows, err);
    int dx = dx_rows < 0 ? -1 : plan_alias_slot(plan, dx_rows, &m.x, err);
    int d_wx = plan_new_slot(plan, &dwx, err), d_wh = plan_new_slot(plan, &dwh, err);
    int d_b = plan_new_slot(plan, &m.b, err), start = zero_state(plan, &m, err);
    int d_h = plan_new_slot(plan, &m.h, err), d_c = plan_new_slot(plan, &m.h, err);
    TRY(start < 0 || d_h < 0 || d_c < 0 || w_x < 0 || w_h < 0 || dy < 0 || dx < 0 || d_wx < 0 ||
                d_wh < 0 || d_b < 0
            ? -1
            : 0);
    /* oneDNN adds weight gradients to what it finds. */
    const int sums[] = {d_wx, d_wh, d_b};
    struct step *zero = plan_add_kernel(plan, kernel_zero, 3, sums, err);
    TRY(zero ? 0 : -1);
    for (int i = 0; i < 3; i++)
        zero->number[i] =
            (int64_t)(dnnl_memory_desc_get_size(plan_md(plan, sums[i])) / sizeof(float));
    dnnl_primitive_desc_t taken = pd;
    pd = NULL;
    TRY(plan_add_primitive(
        plan, taken, 15,
        (const int[]){DNNL_ARG_SRC_LAYER, DNNL_ARG_SRC_ITER, DNNL_ARG_SRC_ITER_C,
                      DNNL_ARG_WEIGHTS_LAYER, DNNL_ARG_WEIGHTS_ITER, DNNL_ARG_BIAS,
                      DNNL_ARG_DST_LAYER, DNNL_ARG_WORKSPACE, DNNL_ARG_DIFF_DST_LAYER,
                      DNNL_ARG_DIFF_SRC_LAYER, DNNL_ARG_DIFF_SRC_ITER, DNNL_ARG_DIFF_SRC_ITER_C,
                      DNNL_ARG_DIFF_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_ITER, DNNL_ARG_DIFF_BIAS},
        (const int[]){kept[KEPT_X], start, start, w_x, w_h, kept[KEPT_BIAS], kept[KEPT_Y],
                      kept[KEPT_WORKSPACE], dy, dx, d_h, d_c, d_wx, d_wh, d_b},
        err));
    TRY(plan_give_grad(plan, node->input[0], dx_rows, err));
    TRY(plan_give_param_grad(plan, index, 0, &m.plain_wx, d_wx, err));
    TRY(plan_give_param_grad(plan, index, 1, &m.plain_wh, d_wh, err));
    TRY(plan_give_param_grad(plan, index, 2, &m.b, d_b, err));
    TRY(plan_give_param_grad(plan, index, 3, &m.b, d_b, err));
done:
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

const struct op op_lstm = {"LSTM", lstm_forward, lstm_backward};
