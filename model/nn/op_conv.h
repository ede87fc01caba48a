/* What the transposed convolution borrows from the convolution. */
#ifndef ONESHOT_NN_OP_CONV_H
#define ONESHOT_NN_OP_CONV_H

#include "model/nn/compile.h"

struct conv_shape {
    struct shape in, out;
    int kernel, stride, pad, groups;
    bool bias, relu, sum; /* relu(conv + bias + what the result held before) */
};

/* PyTorch's weight layout for this convolution. */
dnnl_memory_desc_t conv_plain_weight(const struct conv_shape *c);

/* Chooses algorithm and layouts for a source that now lies in slot `source`; `frozen`: the weights
 * do not change from run to run. */
int conv_forward_desc(struct plan *plan, const struct conv_shape *c, int source, bool frozen,
                      dnnl_primitive_desc_t *pd, struct error *err);

/* Appends the step that computes the input's gradient from `grad`; its slot through *out. */
int conv_grad_input(struct plan *plan, const struct conv_shape *c, int grad, int node, int param,
                    int (*fill)(struct plan *, struct pack *, struct error *), int *out,
                    struct error *err);

/* Appends the step that computes gradients of weight and, where `bias` is not NULL, bias. */
int conv_grad_weight(struct plan *plan, const struct conv_shape *c, int source, int grad,
                     int *weight, int *bias, struct error *err);

#endif
