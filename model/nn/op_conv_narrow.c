/* Convolutions of narrow groups by our own kernel, see grouped.h. Inference only. */
#include <stdlib.h>
#include <string.h>

#include "model/nn/grouped.h"
#include "model/nn/op_conv.h"

/* Where oneDNN is slower. */
bool conv_narrow_pays(const struct plan *plan, const struct conv_shape *c)
{
    int per_group = c->in.c / c->groups;
    return plan_inference(plan) && c->groups > 1 && c->kernel == 3 && c->pad == 1 && !c->sum &&
           c->in.c == c->out.c && c->in.c % GROUPED_LANES == 0 &&
           (per_group == 4 || per_group == 8 ||
            (per_group == 16 && c->stride == 2 && !conv_blocks_of_16()));
}

static struct grouped_shape grouped_shape_of(const struct conv_shape *c, int64_t inner)
{
    return (struct grouped_shape){.n = c->in.n,
                                  .h = c->in.h,
                                  .w = c->in.w,
                                  .channels = c->in.c,
                                  .inner = inner,
                                  .per_group = c->in.c / c->groups,
                                  .stride = c->stride,
                                  .relu = c->relu};
}

static int fill_grouped(struct plan *plan, struct pack *pack, struct error *err)
{
    struct conv_shape c = conv_describe(plan, pack->node);
    struct grouped_shape shape = grouped_shape_of(&c, 0);
    float *made;
    const float *weight = conv_weights(plan, pack, &made, err);
    if (!weight)
        return -1;
    grouped_pack(pack->plain, weight, &shape);
    free(made);
    return 0;
}

/* p: 0 x, 1 packed weight, 2 bias, 3 zeros, 4 y. number: n, h, w, channels, inner, per group,
 * stride, ReLU */
static void kernel_grouped(const struct step *step, void *const *p)
{
    const int64_t *k = step->number;
    const struct grouped_shape shape = {k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7]};
    grouped_convolution(p[4], p[0], p[1], p[2], p[3], &shape);
}

int conv_narrow_forward(struct plan *plan, int index, const struct conv_shape *c, struct error *err)
{
    struct grouped_shape shape = grouped_shape_of(c, conv_blocks_of_16() ? 16 : c->in.c);
    dnnl_format_tag_t layout = shape.inner == GROUPED_LANES ? dnnl_nChw16c : dnnl_nhwc;
    dnnl_memory_desc_t x_md = md_4d(c->in, layout), y_md = md_4d(c->out, layout);
    dnnl_memory_desc_t w_md = md_of(1, (const int64_t[]){grouped_weight_count(&shape)}, dnnl_a);
    dnnl_memory_desc_t vector = md_of(1, (const int64_t[]){c->out.c}, dnnl_a);
    int x = plan_in_layout(plan, plan_value(plan, plan_node(plan, index)->input[0]), &x_md, err);
    int weight = plan_pack(plan, index, 0, &w_md, &w_md, fill_grouped, err);
    int bias = plan_pack(plan, index, 1, &vector, &vector, conv_fill_bias, err);
    int zeros = plan_constant(plan, &vector, err), y = plan_new_slot(plan, &y_md, err);
    plan_set_value(plan, index, y);
    struct step *step =
        plan_add_kernel(plan, kernel_grouped, 5, (const int[]){x, weight, bias, zeros, y}, err);
    if (!step)
        return -1;
    const int64_t numbers[] = {shape.n,     shape.h,         shape.w,      shape.channels,
                               shape.inner, shape.per_group, shape.stride, shape.relu};
    memcpy(step->number, numbers, sizeof numbers);
    step->product = true;
    return 0;
}
