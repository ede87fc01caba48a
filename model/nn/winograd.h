/*
 * Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, 2016) for wide layers on small planes:
 * sixteen products for the thirty-six of a 3x3 convolution's four results. The products are a
 * batched matrix product, filters (16, out, in) times data (16, in, tiles), and its caller's
 * business; here are the transforms before and behind it. oneDNN's own F(4x4, 3x3) spends its gain
 * on reading filters four times as large as the weights when the planes are this small.
 *
 * Planes are (n, channels, h, w) with even h and w; a tile is 2x2 results; tiles run over n, then
 * rows, then columns. Plain arrays, no allocation; kernels run on the calling thread's OpenMP team.
 */
#ifndef ONESHOT_NN_WINOGRAD_H
#define ONESHOT_NN_WINOGRAD_H

#include <stdbool.h>
#include <stdint.h>

enum { WINOGRAD_POINTS = 16 };

struct winograd_shape {
    int64_t n, channels, h, w;
};

int64_t winograd_tiles(const struct winograd_shape *shape);

/* (16, filters) from 3x3 filters (filters, 9). */
void winograd_filter(float *points, const float *filter, int64_t filters);

/* points (16, channels, tiles) from x, whose border of zeros (padding 1) is implied. */
void winograd_data(float *points, const float *x, const struct winograd_shape *shape);

/* y from products (16, channels, tiles), plus bias (channels), plus residual like y unless NULL. */
void winograd_result(float *y, const float *products, const float *bias, const float *residual,
                     bool relu, const struct winograd_shape *shape);

#endif
