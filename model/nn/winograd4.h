/*
 * Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, 2016): thirty-six products for the 144
 * of a 3x3 convolution's sixteen results. Forward, and both gradients: the one of the input is a
 * convolution with turned filters, the one of the filters the same products summed over tiles.
 *
 * A tile of data is transformed, multiplied and transformed back while it is in the cache, by
 * kernels for AVX2 and AVX-512 of our own; oneDNN 2 has this for AVX-512 alone, without groups and
 * gradients.
 *
 * Stride 1, padding 1; in and out of a group are multiples of 32. A plane is (n, channels / inner,
 * h, w, inner): channels last where inner is all of them. Sums run in the same order for any number
 * of threads. Plain arrays, no allocation; a call runs on as many OpenMP threads as the shape
 * names.
 */
#ifndef ONESHOT_NN_WINOGRAD4_H
#define ONESHOT_NN_WINOGRAD4_H

#include <stdbool.h>
#include <stdint.h>

enum { WINOGRAD4_POINTS = 36, WINOGRAD4_CHANNELS = 32 /* in and out are multiples of this */ };

struct winograd4_shape {
    int64_t n, h, w, in, out;
    int64_t in_inner, out_inner; /* multiples of 8 */
    int64_t threads;
    int64_t groups; /* gradients: 1 */
};

/* Whether this processor has vectors wide enough for it to pay. */
bool winograd4_able(void);

int64_t winograd4_tiles(const struct winograd4_shape *shape);

/* 36 x in x out floats from weights (out, in, 3, 3). */
void winograd4_filter(float *packed, const float *weight, int64_t in, int64_t out);
/* The same for the gradient of the input, a convolution of `out` channels to `in`. */
void winograd4_filter_turned(float *packed, const float *weight, int64_t in, int64_t out);

/* y = relu(x * filter + bias + residual); bias (out) and residual (like y) may be NULL. `scratch`
 * holds winograd4_scratch() floats. */
int64_t winograd4_scratch(const struct winograd4_shape *shape);
void winograd4_convolution(float *y, const float *x, const float *packed, const float *bias,
                           const float *residual, bool relu, float *scratch,
                           const struct winograd4_shape *shape);

/* dw (out, in, 3, 3) from x and the gradient of y. */
int64_t winograd4_weight_scratch(const struct winograd4_shape *shape);
void winograd4_weight_gradient(float *dw, const float *x, const float *dy, float *scratch,
                               const struct winograd4_shape *shape);

#endif
