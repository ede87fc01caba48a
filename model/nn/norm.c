#include "model/nn/norm.h"

#include <stddef.h>

#include "model/base/vector.h"

enum { LANES = 16 };

static inline __attribute__((always_inline)) void
moments(const float *restrict x, int64_t rows, int64_t width, const float *restrict centre,
        float *restrict sum, float *restrict square)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            float d = x[r * width + c] - centre[c];
            sum[c] += d;
            square[c] += d * d;
        }
}

/* The compiler does not see that sixteen channels are a vector: it is told. */
typedef float sixteen __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t sixteen_bits __attribute__((vector_size(64), aligned(4), may_alias));

VECTORIZED static void moments_16(const float *x, int64_t rows, const float *centre, float *sum,
                                  float *square)
{
    const sixteen *row = (const sixteen *)(const void *)x;
    const sixteen middle = *(const sixteen *)(const void *)centre;
    sixteen *s = (sixteen *)(void *)sum, *q = (sixteen *)(void *)square;
    sixteen s0 = *s, q0 = *q, s1 = {0}, q1 = {0}; /* two of each: sums wait for one another */
    int64_t r = 0;
    for (; r + 1 < rows; r += 2) {
        sixteen d0 = row[r] - middle, d1 = row[r + 1] - middle;
        s0 += d0;
        s1 += d1;
        q0 += d0 * d0;
        q1 += d1 * d1;
    }
    if (r < rows) {
        sixteen d0 = row[r] - middle;
        s0 += d0;
        q0 += d0 * d0;
    }
    *s = s0 + s1;
    *q = q0 + q1;
}

VECTORIZED static void moments_any(const float *x, int64_t rows, int64_t width, const float *centre,
                                   float *sum, float *square)
{
    moments(x, rows, width, centre, sum, square);
}

void norm_moments(const float *x, int64_t rows, int64_t width, const float *centre, float *sum,
                  float *square)
{
    if (width == LANES)
        moments_16(x, rows, centre, sum, square);
    else
        moments_any(x, rows, width, centre, sum, square);
}

static inline __attribute__((always_inline)) void affine(float *y, const float *x,
                                                         const float *residual, int64_t rows,
                                                         int64_t width, const float *restrict scale,
                                                         const float *restrict shift, bool relu)
{
    for (int64_t r = 0; r < rows; r++)
#pragma GCC ivdep /* y is x, residual, or apart from both: never shifted against them */
        for (int64_t c = 0; c < width; c++) {
            float v = x[r * width + c] * scale[c] + shift[c];
            if (residual)
                v += residual[r * width + c];
            y[r * width + c] = relu && !(v > 0) ? 0 : v;
        }
}

VECTORIZED static void affine_16(float *y, const float *x, const float *residual, int64_t rows,
                                 const float *scale, const float *shift, bool relu)
{
    const sixteen *from = (const sixteen *)(const void *)x;
    const sixteen *sum = (const sixteen *)(const void *)residual;
    const sixteen factor = *(const sixteen *)(const void *)scale;
    const sixteen offset = *(const sixteen *)(const void *)shift;
    sixteen *to = (sixteen *)(void *)y;
    for (int64_t r = 0; r < rows; r++) {
        sixteen v = from[r] * factor + offset;
        if (sum)
            v += sum[r];
        if (relu)
            v = (sixteen)((sixteen_bits)v & (v > 0));
        to[r] = v;
    }
}

VECTORIZED static void affine_any(float *y, const float *x, const float *residual, int64_t rows,
                                  int64_t width, const float *scale, const float *shift, bool relu)
{
    if (residual && relu)
        affine(y, x, residual, rows, width, scale, shift, true);
    else if (relu)
        affine(y, x, NULL, rows, width, scale, shift, true);
    else if (residual)
        affine(y, x, residual, rows, width, scale, shift, false);
    else
        affine(y, x, NULL, rows, width, scale, shift, false);
}

void norm_apply(float *y, const float *x, const float *residual, int64_t rows, int64_t width,
                const float *scale, const float *shift, bool relu)
{
    if (width == LANES)
        affine_16(y, x, residual, rows, scale, shift, relu);
    else
        affine_any(y, x, residual, rows, width, scale, shift, relu);
}

VECTORIZED void norm_apply_precise(float *y, const float *x, const float *residual, int64_t rows,
                                   int64_t width, const double *restrict scale,
                                   const double *restrict shift, bool relu)
{
    for (int64_t r = 0; r < rows; r++)
#pragma GCC ivdep
        for (int64_t c = 0; c < width; c++) {
            double v = (double)x[r * width + c] * scale[c] + shift[c];
            if (residual)
                v += (double)residual[r * width + c];
            y[r * width + c] = relu && !(v > 0) ? 0 : (float)v;
        }
}

VECTORIZED void norm_grad_sums(const float *x, const float *dy, int64_t rows, int64_t width,
                               const float *mean, const float *rstd, double *sum, double *product)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            float g = dy[r * width + c];
            sum[c] += (double)g;
            product[c] += (double)(g * (x[r * width + c] - mean[c]) * rstd[c]);
        }
}

VECTORIZED void norm_grad_input(float *restrict dx, const float *x, const float *dy, int64_t rows,
                                int64_t width, const float *scale, const float *mean,
                                const float *rstd, const float *d_beta, const float *d_gamma,
                                float share)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            float u = (x[r * width + c] - mean[c]) * rstd[c];
            dx[r * width + c] =
                scale[c] * (dy[r * width + c] - share * (d_beta[c] + u * d_gamma[c]));
        }
}
