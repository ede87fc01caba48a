/* 1x1 convolutions of an inference whose channels lie by sixteens, see pointwise.h. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/nn/op_conv.h"
#include "model/nn/pointwise.h"

/* step->number[] */
enum { H, W, IN, OUT, STRIDE, THREADS, RELU, BIAS, RESIDUAL, SCRATCH, NUMBERS };

bool conv_pointwise_pays(const struct plan *plan, int index, const struct conv_shape *c)
{
    return plan_inference(plan) && conv_blocks_of_16() && pointwise_able() && c->in.n == 1 &&
           c->kernel == 1 && c->pad == 0 && c->groups == 1 && c->in.c % POINTWISE_IN == 0 &&
           c->out.c % POINTWISE_OUT == 0 && plan_node(plan, index)->composed < 0;
}

static int fill_panels(struct plan *plan, struct pack *pack, struct error *err)
{
    struct conv_shape c = conv_describe(plan, pack->node);
    float *made;
    const float *weight = conv_weights(plan, pack, &made, err);
    if (!weight)
        return -1;
    pointwise_pack(pack->plain, weight, c.in.c, c.out.c);
    free(made);
    return 0;
}

/* p: 0 x, 1 weights, 2 y, then bias, residual and scratch as far as there are any */
static void kernel_pointwise(const struct step *step, void *const *p)
{
    const int64_t *k = step->number;
    const struct pointwise_shape s = {k[H], k[W], k[IN], k[OUT], k[STRIDE], k[THREADS]};
    void *const *more = p + 3;
    const float *bias = k[BIAS] ? *more++ : NULL;
    const float *residual = k[RESIDUAL] ? *more++ : NULL;
    float *scratch = k[SCRATCH] ? *more : NULL;
    pointwise_convolution(p[2], p[0], p[1], bias, residual, k[RELU], scratch, &s);
}

int conv_pointwise_forward(struct plan *plan, int index, const struct conv_shape *c,
                           struct error *err)
{
    const struct node *node = plan_node(plan, index);
    const struct pointwise_shape s = {c->in.h,  c->in.w,   c->in.c,
                                      c->out.c, c->stride, omp_get_max_threads()};
    int64_t count = s.in * s.out, scratch = pointwise_scratch(&s);
    dnnl_memory_desc_t x_md = md_4d(c->in, dnnl_nChw16c), y_md = md_4d(c->out, dnnl_nChw16c);
    dnnl_memory_desc_t panels = md_of(1, &count, dnnl_a), vector = md_of(1, &s.out, dnnl_a);
    int slots[6] = {plan_in_layout(plan, plan_value(plan, node->input[0]), &x_md, err),
                    plan_pack(plan, index, 0, &panels, &panels, fill_panels, err)},
        used = 3;
    slots[2] =
        c->sum ? conv_residual_slot(plan, index, &y_md, err) : plan_new_slot(plan, &y_md, err);
    if (c->bias)
        slots[used++] = plan_pack(plan, index, 1, &vector, &vector, conv_fill_bias, err);
    if (c->sum)
        slots[used++] = slots[2];
    if (scratch > 0)
        slots[used++] = plan_floats(plan, scratch, err);
    plan_set_value(plan, index, slots[2]);
    struct step *step = plan_add_kernel(plan, kernel_pointwise, used, slots, err);
    if (!step)
        return -1;
    const int64_t numbers[NUMBERS] = {s.h,       s.w,     s.in,    s.out,  s.stride,
                                      s.threads, c->relu, c->bias, c->sum, scratch > 0};
    memcpy(step->number, numbers, sizeof numbers);
    step->product = true;
    return 0;
}
