/*
 * Products of a matrix of values by a panel of weights, with the sums in registers: what 1x1
 * convolutions (pointwise.h), Winograd's (winograd4.h) and those of upsampled planes (op_upconv.c)
 * spend their time in.
 *
 * Values are (channels / lanes, rows, lanes), so that the distances inside a block of rows are
 * constants. Weights are panels of `width` results, (in, width), one panel behind the other. What
 * comes next (rows, weights, the memory of results) is called into the cache meanwhile: layers are
 * larger than caches.
 *
 * Sums run in the same order whatever rows are done together. Plain arrays, no allocation; any
 * number of threads may run products at once.
 */
#ifndef ONESHOT_NN_STRIP_H
#define ONESHOT_NN_STRIP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    STRIP_CHUNK = 128,  /* input channels at a time: their weights stay in the nearest cache */
    STRIP_CHANNELS = 32 /* there are kernels for multiples of this, whatever the processor */
};

struct strip;

/* Kernels for one width of panels. */
struct strip_kernels {
    int lanes;                                  /* of values: 8 or 16 */
    int width;                                  /* of a panel, in results: a multiple of lanes */
    int rows;                                   /* most at a time */
    void (*run[12])(const struct strip *strip); /* by the number of rows, from one */
};

/* Lanes of this processor's vectors: 16 with AVX-512, else 8. */
int strip_lanes(void);

/* The widest for values of `lanes` (8 or 16) whose panels divide `out`, a multiple of
 * STRIP_CHANNELS. */
const struct strip_kernels *strip_kernels_for(int lanes, int64_t out);

/* y = relu(x * panel + bias + residual) for some rows and the results of one panel. */
struct strip_product {
    float *y;
    const float *x, *panel;
    const float *next;            /* the panel that will be wanted, or NULL */
    const float *bias, *residual; /* (width), and like y or y itself; or NULL */
    int64_t rows, in;             /* in: a multiple of lanes */
    int64_t x_block, y_block;     /* floats from a block of channels to the next */
    bool relu;
};
void strip_run(const struct strip_kernels *kernels, const struct strip_product *product);

/* How many pieces of `size` hold `count`. */
static inline int64_t ceil_div(int64_t count, int64_t size)
{
    return (count + size - 1) / size;
}

#endif
