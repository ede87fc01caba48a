#include "model/nn/grouped.h"

#include "model/base/vector.h"

#ifndef __clang__
#pragma GCC optimize("fp-contract=fast") /* products may be fused into sums here */
#endif

enum { LANES = GROUPED_LANES, TAPS = GROUPED_TAPS, PIXELS = 8 /* results kept in registers */ };

typedef float lanes_f __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));
typedef int32_t lanes_i __attribute__((vector_size(LANES * sizeof(int32_t))));

int64_t grouped_weight_count(const struct grouped_shape *shape)
{
    return shape->channels * TAPS * shape->per_group;
}

void grouped_pack(float *packed, const float *weight, const struct grouped_shape *shape)
{
    int64_t g = shape->per_group;
    for (int64_t o = 0; o < shape->channels; o++)
        for (int64_t i = 0; i < g; i++)
            for (int64_t t = 0; t < TAPS; t++)
                packed[((o / LANES * TAPS + t) * g + i) * LANES + o % LANES] =
                    weight[(o * g + i) * TAPS + t];
}

/* One row of results for 16 channels. rows[] are the three input rows, NULL outside the plane. */
static inline __attribute__((always_inline)) void row(float *y, const float *const rows[3],
                                                      const float *zeros,
                                                      const struct grouped_shape *s, int64_t width,
                                                      const float *weight, const float *bias, int g)
{
    for (int64_t x0 = 0; x0 < width; x0 += PIXELS) {
        lanes_f sum[PIXELS];
        for (int p = 0; p < PIXELS; p++)
            sum[p] = *(const lanes_f *)(const void *)bias;
        for (int t = 0; t < TAPS; t++) {
            const float *from = rows[t / 3];
            if (!from)
                continue;
            lanes_f in[PIXELS];
            for (int p = 0; p < PIXELS; p++) {
                int64_t x = (x0 + p) * s->stride + t % 3 - 1;
                const float *at = x >= 0 && x < s->w ? from + x * s->inner : zeros;
                in[p] = *(const lanes_f *)(const void *)at;
            }
#pragma GCC unroll 16
            for (int i = 0; i < g; i++) {
                lanes_f w = *(const lanes_f *)(const void *)(weight + (t * g + i) * LANES);
                lanes_i lane;
                for (int l = 0; l < LANES; l++)
                    lane[l] = l / g * g + i;
                for (int p = 0; p < PIXELS; p++) {
#ifdef __clang__
                    lanes_f spread;
                    for (int l = 0; l < LANES; l++)
                        spread[l] = in[p][lane[l]];
#else
                    lanes_f spread = __builtin_shuffle(in[p], lane);
#endif
                    sum[p] += spread * w;
                }
            }
        }
        for (int p = 0; p < PIXELS && x0 + p < width; p++) {
            float *out = y + (x0 + p) * s->inner;
            for (int l = 0; l < LANES; l++)
                out[l] = s->relu && !(sum[p][l] > 0) ? 0 : sum[p][l];
        }
    }
}

VECTORIZED static void row_4(float *y, const float *const rows[3], const float *zeros,
                             const struct grouped_shape *s, int64_t width, const float *weight,
                             const float *bias)
{
    row(y, rows, zeros, s, width, weight, bias, 4);
}

VECTORIZED static void row_8(float *y, const float *const rows[3], const float *zeros,
                             const struct grouped_shape *s, int64_t width, const float *weight,
                             const float *bias)
{
    row(y, rows, zeros, s, width, weight, bias, 8);
}

VECTORIZED static void row_16(float *y, const float *const rows[3], const float *zeros,
                              const struct grouped_shape *s, int64_t width, const float *weight,
                              const float *bias)
{
    row(y, rows, zeros, s, width, weight, bias, 16);
}

void grouped_convolution(float *y, const float *x, const float *packed, const float *bias,
                         const float *zeros, const struct grouped_shape *s)
{
    int64_t height = (s->h - 1) / s->stride + 1, width = (s->w - 1) / s->stride + 1;
    int64_t blocks = s->channels / LANES, weights = TAPS * s->per_group * LANES;
    /* A thread keeps to one block of channels while it walks down the rows: its weights stay in the
     * first-level cache. */
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t item = 0; item < s->n * height; item++) {
            int64_t image = item / height, out_y = item % height;
            const float *rows[3];
            int64_t plane = image * (s->channels / s->inner) + block * LANES / s->inner;
            int64_t lane = block * LANES % s->inner;
            for (int k = 0; k < 3; k++) {
                int64_t in_y = out_y * s->stride + k - 1;
                rows[k] = in_y >= 0 && in_y < s->h
                              ? x + (plane * s->h + in_y) * s->w * s->inner + lane
                              : 0;
            }
            float *out = y + (plane * height + out_y) * width * s->inner + lane;
            const float *w = packed + block * weights, *b = bias + block * LANES;
            if (s->per_group == 4)
                row_4(out, rows, zeros, s, width, w, b);
            else if (s->per_group == 8)
                row_8(out, rows, zeros, s, width, w, b);
            else
                row_16(out, rows, zeros, s, width, w, b);
        }
}
