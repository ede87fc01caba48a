#include "model/nn/winograd.h"

#include <stddef.h>

enum { POINTS = WINOGRAD_POINTS, SIDE = 4 };

int64_t winograd_tiles(const struct winograd_shape *s)
{
    return s->n * (s->h / 2) * (s->w / 2);
}

/* G g G', G = (1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1) */
void winograd_filter(float *points, const float *filter, int64_t filters)
{
    static const float g[SIDE][3] = {{1, 0, 0}, {.5f, .5f, .5f}, {.5f, -.5f, .5f}, {0, 0, 1}};
#pragma omp parallel for schedule(static)
    for (int64_t f = 0; f < filters; f++) {
        const float *k = filter + 9 * f;
        for (int p = 0; p < POINTS; p++) {
            float sum = 0;
            for (int t = 0; t < 9; t++)
                sum += g[p / SIDE][t / 3] * g[p % SIDE][t % 3] * k[t];
            points[p * filters + f] = sum;
        }
    }
}

/* B' d: (d0 - d2, d1 + d2, d2 - d1, d1 - d3), for rows and then for columns. */
static inline void data_tile(float *points, int64_t stride, const float d[POINTS])
{
    float r[POINTS];
    for (int x = 0; x < SIDE; x++) {
        r[x] = d[x] - d[8 + x];
        r[4 + x] = d[4 + x] + d[8 + x];
        r[8 + x] = d[8 + x] - d[4 + x];
        r[12 + x] = d[4 + x] - d[12 + x];
    }
    for (int y = 0; y < SIDE; y++) {
        const float *row = r + SIDE * y;
        points[(4 * y + 0) * stride] = row[0] - row[2];
        points[(4 * y + 1) * stride] = row[1] + row[2];
        points[(4 * y + 2) * stride] = row[2] - row[1];
        points[(4 * y + 3) * stride] = row[1] - row[3];
    }
}

void winograd_data(float *points, const float *x, const struct winograd_shape *s)
{
    int64_t rows = s->h / 2, columns = s->w / 2, tiles = winograd_tiles(s);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t c = 0; c < s->channels; c++)
        for (int64_t row = 0; row < s->n * rows; row++) {
            const float *plane = x + (row / rows * s->channels + c) * s->h * s->w;
            float *out = points + c * tiles + row * columns;
            for (int64_t column = 0; column < columns; column++) {
                float d[POINTS];
                for (int k = 0; k < POINTS; k++) {
                    int64_t py = row % rows * 2 - 1 + k / SIDE, px = column * 2 - 1 + k % SIDE;
                    bool inside = py >= 0 && py < s->h && px >= 0 && px < s->w;
                    d[k] = inside ? plane[py * s->w + px] : 0;
                }
                data_tile(out + column, s->channels * tiles, d);
            }
        }
}

/* A' m: (m0 + m1 + m2, m1 - m2 - m3), for rows and then for columns. */
static inline void result_tile(float y[4], const float *m, int64_t stride)
{
    float r[2][SIDE];
    for (int x = 0; x < SIDE; x++) {
        float m0 = m[x * stride], m1 = m[(4 + x) * stride], m2 = m[(8 + x) * stride],
              m3 = m[(12 + x) * stride];
        r[0][x] = m0 + m1 + m2;
        r[1][x] = m1 - m2 - m3;
    }
    for (int k = 0; k < 2; k++) {
        y[2 * k] = r[k][0] + r[k][1] + r[k][2];
        y[2 * k + 1] = r[k][1] - r[k][2] - r[k][3];
    }
}

void winograd_result(float *y, const float *products, const float *bias, const float *residual,
                     bool relu, const struct winograd_shape *s)
{
    int64_t rows = s->h / 2, columns = s->w / 2, tiles = winograd_tiles(s);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t c = 0; c < s->channels; c++)
        for (int64_t row = 0; row < s->n * rows; row++) {
            int64_t plane = (row / rows * s->channels + c) * s->h * s->w;
            const float *m = products + c * tiles + row * columns;
            for (int64_t column = 0; column < columns; column++) {
                float tile[4];
                result_tile(tile, m + column, s->channels * tiles);
                for (int k = 0; k < 4; k++) {
                    int64_t at = plane + (row % rows * 2 + k / 2) * s->w + column * 2 + k % 2;
                    float v = tile[k] + bias[c] + (residual ? residual[at] : 0);
                    y[at] = relu && !(v > 0) ? 0 : v;
                }
            }
        }
}
