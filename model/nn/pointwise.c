#include "model/nn/pointwise.h"

#include <string.h>

#include "model/nn/strip.h"

enum {
    LANES = POINTWISE_IN, /* channels of a block, a vector */
    ROWS = 6,             /* tiles are multiples of as many pixels */
    TILE = 768 << 10      /* bytes of a tile: a good part of a second-level cache */
};

bool pointwise_able(void)
{
    return strip_lanes() == LANES;
}

void pointwise_pack(float *packed, const float *weight, int64_t in, int64_t out)
{
    int64_t width = strip_kernels_for(LANES, out)->width;
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            packed[(o / width * in + i) * width + o % width] = weight[o * in + i];
}

/* ---- where the work is ---- */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t columns_of(const struct pointwise_shape *s)
{
    return ceil_div(s->w, s->stride);
}

static int64_t pixels_of(const struct pointwise_shape *s)
{
    return ceil_div(s->h, s->stride) * columns_of(s);
}

/* Most pixels of a tile. */
static int64_t tile_of(const struct pointwise_shape *s)
{
    int64_t rows = TILE / (int64_t)sizeof(float) / s->in / ROWS;
    return smaller(rows > 0 ? rows : 1, ceil_div(pixels_of(s), ROWS)) * ROWS;
}

int64_t pointwise_scratch(const struct pointwise_shape *s)
{
    return s->stride == 1 ? 0 : s->threads * tile_of(s) * s->in;
}

/* A thread's part: of the pixels, or of the panels where weights are larger than planes. */
struct part {
    int64_t pixel, pixel_end, panel, panel_end;
};

static struct part part_of(const struct pointwise_shape *s, int64_t thread)
{
    int64_t pixels = pixels_of(s), rows = ceil_div(pixels, ROWS);
    int64_t panels = s->out / strip_kernels_for(LANES, s->out)->width;
    struct part all = {0, pixels, 0, panels};
    if (s->out > pixels && panels % s->threads == 0) {
        all.panel = panels * thread / s->threads;
        all.panel_end = panels * (thread + 1) / s->threads;
    } else {
        all.pixel = smaller(rows * thread / s->threads * ROWS, pixels);
        all.pixel_end = smaller(rows * (thread + 1) / s->threads * ROWS, pixels);
    }
    return all;
}

/* ---- the convolution ---- */

/* Pixels that are not each other's neighbours, gathered: (channels / 16, count, 16). */
static void gather(float *tile, const float *x, int64_t pixel, int64_t count,
                   const struct pointwise_shape *s)
{
    int64_t columns = columns_of(s);
    for (int64_t b = 0; b < s->in / LANES; b++)
        for (int64_t p = pixel; p < pixel + count; p++, tile += LANES) {
            int64_t at = (b * s->h + p / columns * s->stride) * s->w + p % columns * s->stride;
            memcpy(tile, x + at * LANES, LANES * sizeof *tile);
        }
}

void pointwise_convolution(float *y, const float *x, const float *packed, const float *bias,
                           const float *residual, bool relu, float *scratch,
                           const struct pointwise_shape *s)
{
    const struct strip_kernels *kernels = strip_kernels_for(LANES, s->out);
    int64_t largest = tile_of(s), pixels = pixels_of(s), width = kernels->width;
    bool dense = s->stride == 1;
    /* All parts, also where OpenMP gives fewer threads than asked for. */
#pragma omp parallel for schedule(static) num_threads(s->threads)
    for (int64_t thread = 0; thread < s->threads; thread++) {
        struct part part = part_of(s, thread);
        int64_t mine = part.pixel_end - part.pixel, tiles = ceil_div(mine, largest);
        int64_t tile = tiles > 0 ? ceil_div(ceil_div(mine, tiles), ROWS) * ROWS : 0;
        float *gathered = dense ? NULL : scratch + thread * largest * s->in;
        for (int64_t p = part.pixel; p < part.pixel_end; p += tile) {
            int64_t count = smaller(part.pixel_end - p, tile);
            if (!dense)
                gather(gathered, x, p, count, s);
            for (int64_t k = part.panel; k < part.panel_end; k++) {
                int64_t results = (k * width * pixels) + p * LANES;
                const float *panel = packed + k * s->in * width;
                strip_run(kernels,
                          &(struct strip_product){
                              .y = y + results,
                              .x = dense ? x + p * LANES : gathered,
                              .panel = panel,
                              .next = k + 1 < part.panel_end ? panel + s->in * width : NULL,
                              .bias = bias ? bias + k * width : NULL,
                              .residual = residual ? residual + results : NULL,
                              .rows = count,
                              .in = s->in,
                              .x_block = (dense ? s->h * s->w : count) * LANES,
                              .y_block = pixels * LANES,
                              .relu = relu,
                          });
            }
        }
    }
}
