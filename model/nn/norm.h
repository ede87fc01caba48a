/*
 * What a batch norm does to rows: `rows` of them behind each other, `width` channels each, and one
 * value of every coefficient per channel. Sixteen channels, a block of oneDNN's layouts, have code
 * of their own. Nothing is allocated, nothing fails; any number of threads, each with its own rows.
 */
#ifndef ONESHOT_NN_NORM_H
#define ONESHOT_NN_NORM_H

#include <stdbool.h>
#include <stdint.h>

#define NORM_EPSILON 1e-5f /* added to every variance */

/* Adds x - centre and its square, summed over the rows, to sum and square. */
void norm_moments(const float *x, int64_t rows, int64_t width, const float *centre, float *sum,
                  float *square);

/*
 * y = x scale + shift, + residual where there is one, clipped at zero with relu. y may be x or the
 * residual, and is apart from them otherwise.
 */
void norm_apply(float *y, const float *x, const float *residual, int64_t rows, int64_t width,
                const float *scale, const float *shift, bool relu);

/*
 * The same in double. A flat part of a slice has one value per channel; where that value lies on
 * the edge of a ReLU, a rounding error decides for thousands of pixels at once whether gradients
 * pass.
 */
void norm_apply_precise(float *y, const float *x, const float *residual, int64_t rows,
                        int64_t width, const double *scale, const double *shift, bool relu);

/* Adds dy and dy u, u = (x - mean) rstd, summed over the rows, to sum and product. */
void norm_grad_sums(const float *x, const float *dy, int64_t rows, int64_t width, const float *mean,
                    const float *rstd, double *sum, double *product);

/* dx = scale (dy - share (d_beta + u d_gamma)), u as above. dx is apart from all others. */
void norm_grad_input(float *dx, const float *x, const float *dy, int64_t rows, int64_t width,
                     const float *scale, const float *mean, const float *rstd, const float *d_beta,
                     const float *d_gamma, float share);

#endif
