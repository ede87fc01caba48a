/* Wide 3x3 convolutions on small planes by Winograd over a oneDNN matrix product, see winograd.h.
 */
#include <stdlib.h>
#include <string.h>

#include "model/nn/op_conv.h"
#include "model/nn/winograd.h"

/* On larger planes the filter is read for more results and the direct convolution catches up. */
enum { MOST_PIXELS = 1024 };

bool conv_wide_pays(const struct plan *plan, int index, const struct conv_shape *c)
{
    return plan_inference(plan) && node_frozen(plan, index) && c->kernel == 3 && c->stride == 1 &&
           c->pad == 1 && c->groups == 1 && c->in.h % 2 == 0 && c->in.w % 2 == 0 &&
           conv_winograd_bytes(c) > WINOGRAD_FILTER_LIMIT &&
           (int64_t)c->in.n * c->in.h * c->in.w <= MOST_PIXELS;
}

static int fill_points(struct plan *plan, struct pack *pack, struct error *err)
{
    struct conv_shape c = conv_describe(plan, pack->node);
    int64_t filters = (int64_t)c.in.c * c.out.c;
    struct pack plain = *pack;
    plain.plain = malloc((size_t)(9 * filters) * sizeof(float));
    if (!plain.plain)
        return error_set(err, ERR_MEMORY, "out of memory for packing weights");
    int rc = conv_fill_weight(plan, &plain, err);
    winograd_filter(pack->plain, plain.plain, filters);
    free(plain.plain);
    return rc;
}

/* number: n, channels, h, w, ReLU, whether there is a residual */
static struct winograd_shape shape_of(const struct step *step)
{
    const int64_t *k = step->number;
    return (struct winograd_shape){k[0], k[1], k[2], k[3]};
}

/* p: 0 x, 1 points */
static void kernel_data(const struct step *step, void *const *p)
{
    struct winograd_shape shape = shape_of(step);
    winograd_data(p[1], p[0], &shape);
}

/* p: 0 products, 1 bias, 2 y, 3 residual */
static void kernel_result(const struct step *step, void *const *p)
{
    struct winograd_shape shape = shape_of(step);
    winograd_result(p[2], p[0], p[1], step->number[5] ? p[3] : NULL, step->number[4], &shape);
}

int conv_wide_forward(struct plan *plan, int index, const struct conv_shape *c, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    const struct winograd_shape in = {c->in.n, c->in.c, c->in.h, c->in.w};
    int64_t tiles = winograd_tiles(&in);
    enum { P = WINOGRAD_POINTS };
    dnnl_memory_desc_t x_md = md_4d(c->in, dnnl_nchw), y_md = md_4d(c->out, dnnl_nchw);
    dnnl_memory_desc_t u_md = md_of(3, (const int64_t[]){P, c->out.c, c->in.c}, dnnl_abc);
    dnnl_memory_desc_t v_md = md_of(3, (const int64_t[]){P, c->in.c, tiles}, dnnl_abc);
    dnnl_memory_desc_t m_md = md_of(3, (const int64_t[]){P, c->out.c, tiles}, dnnl_abc);
    dnnl_memory_desc_t vector = md_of(1, (const int64_t[]){c->out.c}, dnnl_a);
    int x = plan_in_layout(plan, plan_value(plan, node->input[0]), &x_md, err);
    int filter = plan_pack(plan, index, 0, &u_md, &u_md, fill_points, err);
    int bias = plan_pack(plan, index, 1, &vector, &vector, conv_fill_bias, err);
    int points = plan_new_slot(plan, &v_md, err), products = plan_new_slot(plan, &m_md, err);
    int residual = c->sum ? plan_in_layout(plan, plan_value(plan, node->residual), &y_md, err) : 0;
    int y = plan_new_slot(plan, &y_md, err);
    if (residual < 0)
        return -1;
    plan_set_value(plan, index, y);

    const int64_t numbers[] = {in.n, in.channels, in.h, in.w, c->relu, c->sum};
    struct step *step = plan_add_kernel(plan, kernel_data, 2, (const int[]){x, points}, err);
    if (!step)
        return -1;
    memcpy(step->number, numbers, sizeof numbers);
    if (filter < 0 || plan_add_product(plan, filter, points, products, err) != 0)
        return -1;
    step = plan_add_kernel(plan, kernel_result, c->sum ? 4 : 3,
                           (const int[]){products, bias, y, residual}, err);
    if (!step)
        return -1;
    memcpy(step->number, numbers, sizeof numbers);
    step->number[1] = c->out.c;
    return 0;
}
