/* What the kinds of convolution share: op_conv.c, op_conv_narrow.c,
 * op_conv_pointwise.c, op_conv_winograd4.c, op_deconv.c. */
#ifndef ONESHOT_NN_OP_CONV_H
#define ONESHOT_NN_OP_CONV_H

#include "model/nn/compile.h"

struct conv_shape {
    struct shape in, out;
    int kernel, stride, pad, groups;
    bool bias, relu, sum; /* relu(conv + bias + what the result held before) */
};

struct conv_shape conv_describe(const struct plan *plan, int index);

/* Fill pack->plain: weights with a folded norm's scale, and equal input channels summed into one;
 * biases with its shift. */
int conv_fill_weight(struct plan *plan, struct pack *pack, struct error *err);
int conv_fill_bias(struct plan *plan, struct pack *pack, struct error *err);

/* The same weights to pack from: the store's own, or *made, which the caller frees in any case.
 * NULL: ERR_MEMORY. */
const float *conv_weights(struct plan *plan, const struct pack *pack, float **made,
                          struct error *err);

/* Where the sum with a residual happens in place, in layout `md`: the residual's own memory, or a
 * copy where others still read it. */
int conv_residual_slot(struct plan *plan, int index, const dnnl_memory_desc_t *md,
                       struct error *err);

/* Whether inference lays out channels by sixteens, for vectors of as many floats. */
bool conv_blocks_of_16(void);

/* Inference only: groups of 4 to 16 channels. */
bool conv_narrow_pays(const struct plan *plan, const struct conv_shape *c);
int conv_narrow_forward(struct plan *plan, int index, const struct conv_shape *c,
                        struct error *err);

/* Inference only: 1x1, channels by sixteens. */
bool conv_pointwise_pays(const struct plan *plan, int index, const struct conv_shape *c);
int conv_pointwise_forward(struct plan *plan, int index, const struct conv_shape *c,
                           struct error *err);

/* 3x3 convolutions whose channels fill vectors, and their gradients. `grad` and `source` are slots,
 * results go through pointers to slots; see conv_grad_input() and conv_grad_weight(). */
bool conv_winograd4_pays(const struct plan *plan, int index, const struct conv_shape *c);
int conv_winograd4_forward(struct plan *plan, int index, const struct conv_shape *c,
                           struct error *err);
bool conv_winograd4_trains(const struct plan *plan, int index, const struct conv_shape *c);
int conv_winograd4_grad_input(struct plan *plan, int index, const struct conv_shape *c, int grad,
                              int *out, struct error *err);
int conv_winograd4_grad_weight(struct plan *plan, const struct conv_shape *c, int source, int grad,
                               int *weight, int *bias, struct error *err);

/* The value in a layout whose channels lie together by eights or more; how many through *inner. */
int conv_by_channels(struct plan *plan, int slot, int64_t *inner, struct error *err);

/* The weight gradient of a 7x7 convolution of one channel, without bias. */
bool conv_stem_trains(const struct conv_shape *c);
int conv_stem_grad_weight(struct plan *plan, const struct conv_shape *c, int source, int grad,
                          int *weight, struct error *err);

/* PyTorch's weight layout for this convolution. */
dnnl_memory_desc_t conv_plain_weight(const struct conv_shape *c);

/* Chooses layouts for a source that now lies in slot `source`. */
int conv_forward_desc(struct plan *plan, const struct conv_shape *c, int source,
                      dnnl_primitive_desc_t *pd, struct error *err);

/* Appends the step that computes the input's gradient from `grad`; its slot through *out. */
int conv_grad_input(struct plan *plan, const struct conv_shape *c, int grad, int node, int param,
                    int (*fill)(struct plan *, struct pack *, struct error *), int *out,
                    struct error *err);

/* Appends the step that computes gradients of weight and, where `bias` is not NULL, bias. */
int conv_grad_weight(struct plan *plan, const struct conv_shape *c, int source, int grad,
                     int *weight, int *bias, struct error *err);

#endif
