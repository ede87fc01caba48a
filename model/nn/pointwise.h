/*
 * 1x1 convolutions where channels lie by sixteens: products of a matrix of weights and a plane.
 *
 * Pixels are taken in tiles that stay in the second-level cache for all results.
 *
 * A plane is (channels / 16, h, w, 16). Sums run in the same order for any number of threads. Plain
 * arrays, no allocation; a call runs on as many OpenMP threads as the shape names.
 */
#ifndef ONESHOT_NN_POINTWISE_H
#define ONESHOT_NN_POINTWISE_H

#include <stdbool.h>
#include <stdint.h>

enum { POINTWISE_IN = 16, POINTWISE_OUT = 32 /* in and out are multiples of these */ };

struct pointwise_shape {
    int64_t h, w; /* of x */
    int64_t in, out, stride;
    int64_t threads;
};

/* Whether this processor has vectors wide enough for it to pay. */
bool pointwise_able(void);

/* in x out floats from weights (out, in). */
void pointwise_pack(float *packed, const float *weight, int64_t in, int64_t out);

/* y = relu(x * weight + bias + residual). bias (out) and residual (like y, or y itself) may be
 * NULL. `scratch` holds pointwise_scratch() floats, which may be none. */
int64_t pointwise_scratch(const struct pointwise_shape *shape);
void pointwise_convolution(float *y, const float *x, const float *packed, const float *bias,
                           const float *residual, bool relu, float *scratch,
                           const struct pointwise_shape *shape);

#endif
