#include "model/nn/pointwise.h"

#include <omp.h>
#include <string.h>

#ifndef __clang__
#pragma GCC optimize("fp-contract=fast") /* products may be fused into sums here */
#endif

enum {
    LANES = POINTWISE_IN, /* channels of a block, a vector */
    VECTORS = POINTWISE_OUT / LANES,
    ROWS = 6,        /* pixels whose sums fill the registers */
    CHUNK = 128,     /* input channels at a time: their weights stay in the nearest cache */
    TILE = 768 << 10 /* bytes of a tile: a good part of a second-level cache */
};

typedef float vector __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t mask __attribute__((vector_size(64), may_alias));

/* Pixels that follow each other, by the results of one panel, from one chunk of channels. */
struct strip {
    float *y;
    const float *x, *panel;
    const float *bias, *residual; /* with the first chunk, or NULL */
    const float *next, *next_end; /* weights that will be wanted, or the panel itself */
    int64_t fetch;                /* lines of them to call for each block of channels */
    int64_t count;                /* times as many pixels as the kernel takes */
    int64_t blocks;               /* of input channels */
    int64_t x_block, y_block;     /* floats between blocks of channels */
    bool first, relu;             /* the first chunk; the last one, where a ReLU follows */
};

#define EACH_VECTOR _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++)
#define EACH_PIXEL(COUNT) _Pragma("GCC unroll 6") for (int r = 0; r < (COUNT); r++)
#define AT(POINTER) (*(vector *)(POINTER))
#define AT_CONST(POINTER) (*(const vector *)(POINTER))

/* Calls the lines of the pixels behind these into the cache: 0 to read them, 1 to write. */
#define FETCH(COUNT, FROM, WRITE)                                                                  \
    EACH_PIXEL(COUNT)                                                                              \
    {                                                                                              \
        __builtin_prefetch((FROM) + ((COUNT) + r) * LANES, WRITE, 3);                              \
    }

#define KERNEL(NAME, TARGET, COUNT)                                                                \
    __attribute__((target(TARGET))) static void NAME##_##COUNT(const struct strip *strip)          \
    {                                                                                              \
        const struct strip s = *strip; /* so that the compiler sees nothing change it */           \
        const float *next = s.next;                                                                \
        for (int64_t i = 0; i < s.count; i++) {                                                    \
            vector sum[COUNT][VECTORS];                                                            \
            float *y = s.y + i * (COUNT * LANES);                                                  \
            const float *x = s.x + i * (COUNT * LANES), *panel = s.panel;                          \
            EACH_VECTOR                                                                            \
            {                                                                                      \
                vector begin = s.bias ? AT_CONST(s.bias + v * LANES) : (vector){0};                \
                EACH_PIXEL(COUNT)                                                                  \
                {                                                                                  \
                    sum[r][v] = begin;                                                             \
                }                                                                                  \
            }                                                                                      \
            const float *held = !s.first ? y : s.residual ? s.residual + (y - s.y) : NULL;         \
            if (held) {                                                                            \
                EACH_VECTOR EACH_PIXEL(COUNT)                                                      \
                {                                                                                  \
                    sum[r][v] += AT_CONST(held + v * s.y_block + r * LANES);                       \
                }                                                                                  \
            }                                                                                      \
            for (int64_t b = 0; b < s.blocks; b++, x += s.x_block) {                               \
                for (int64_t f = 0; f < s.fetch; f++, next += LANES)                               \
                    __builtin_prefetch(next, 0, 2);                                                \
                FETCH(COUNT, x, 0)                                                                 \
                if (s.first && b < VECTORS) {                                                      \
                    FETCH(COUNT, y + b * s.y_block, 1)                                             \
                }                                                                                  \
                _Pragma("GCC unroll 8") for (int c = 0; c < LANES; c++)                            \
                {                                                                                  \
                    vector weight[VECTORS];                                                        \
                    EACH_VECTOR                                                                    \
                    {                                                                              \
                        weight[v] = AT_CONST(panel + v * LANES);                                   \
                    }                                                                              \
                    EACH_PIXEL(COUNT)                                                              \
                    {                                                                              \
                        vector pixel = x[r * LANES + c] - (vector){0};                             \
                        EACH_VECTOR                                                                \
                        {                                                                          \
                            sum[r][v] += pixel * weight[v];                                        \
                        }                                                                          \
                    }                                                                              \
                    panel += POINTWISE_OUT;                                                        \
                }                                                                                  \
            }                                                                                      \
            if (next >= s.next_end)                                                                \
                next = s.panel;                                                                    \
            if (s.relu) {                                                                          \
                EACH_VECTOR EACH_PIXEL(COUNT)                                                      \
                {                                                                                  \
                    sum[r][v] = (vector)((mask)sum[r][v] & (mask)(sum[r][v] > 0));                 \
                }                                                                                  \
            }                                                                                      \
            EACH_VECTOR EACH_PIXEL(COUNT)                                                          \
            {                                                                                      \
                AT(y + v * s.y_block + r * LANES) = sum[r][v];                                     \
            }                                                                                      \
        }                                                                                          \
    }

#define KERNELS(NAME, TARGET)                                                                      \
    KERNEL(NAME, TARGET, 1)                                                                        \
    KERNEL(NAME, TARGET, 2)                                                                        \
    KERNEL(NAME, TARGET, 3)                                                                        \
    KERNEL(NAME, TARGET, 4)                                                                        \
    KERNEL(NAME, TARGET, 5)                                                                        \
    KERNEL(NAME, TARGET, 6)

KERNELS(avx512, "avx512f,fma")
KERNELS(plain, "sse2")

typedef void strip_kernel(const struct strip *strip);

/* By the number of pixels, from one. */
static strip_kernel *const wide[ROWS] = {avx512_1, avx512_2, avx512_3,
                                         avx512_4, avx512_5, avx512_6};
static strip_kernel *const portable[ROWS] = {plain_1, plain_2, plain_3, plain_4, plain_5, plain_6};

bool pointwise_able(void)
{
    return __builtin_cpu_supports("avx512f");
}

void pointwise_pack(float *packed, const float *weight, int64_t in, int64_t out)
{
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            packed[(o / POINTWISE_OUT * in + i) * POINTWISE_OUT + o % POINTWISE_OUT] =
                weight[o * in + i];
}

/* ---- where the work is ---- */

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t columns_of(const struct pointwise_shape *s)
{
    return up(s->w, s->stride);
}

static int64_t pixels_of(const struct pointwise_shape *s)
{
    return up(s->h, s->stride) * columns_of(s);
}

/* Most pixels of a tile. */
static int64_t tile_of(const struct pointwise_shape *s)
{
    int64_t rows = TILE / (int64_t)sizeof(float) / s->in / ROWS;
    return smaller(rows > 0 ? rows : 1, up(pixels_of(s), ROWS)) * ROWS;
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
    int64_t pixels = pixels_of(s), panels = s->out / POINTWISE_OUT, rows = up(pixels, ROWS);
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

struct call {
    float *y;
    const float *x, *packed, *bias, *residual;
    bool relu;
};

/* Results of one panel for `count` pixels from `pixel` on; x: of the first of them. */
static void run_panel(const struct call *call, const struct pointwise_shape *s, const float *x,
                      int64_t x_block, int64_t pixel, int64_t count, int64_t panel, bool last_panel)
{
    strip_kernel *const *kernel = pointwise_able() ? wide : portable;
    int64_t pixels = pixels_of(s), begin = (panel * VECTORS * pixels + pixel) * LANES;
    for (int64_t c = 0; c < s->in; c += CHUNK) {
        int64_t channels = smaller(s->in - c, CHUNK), whole = count / ROWS, rest = count % ROWS;
        const float *weights = call->packed + (panel * s->in + c) * POINTWISE_OUT;
        bool last = c + channels == s->in;
        const float *next = last && last_panel ? weights : weights + channels * POINTWISE_OUT;
        struct strip strip = {
            .y = call->y + begin,
            .x = x + c / LANES * x_block,
            .panel = weights,
            .bias = c == 0 && call->bias ? call->bias + panel * POINTWISE_OUT : NULL,
            .residual = c == 0 && call->residual ? call->residual + begin : NULL,
            .next = next,
            .next_end = next + channels * POINTWISE_OUT,
            .fetch = up(POINTWISE_OUT, whole > 0 ? whole : 1),
            .count = whole,
            .blocks = channels / LANES,
            .x_block = x_block,
            .y_block = pixels * LANES,
            .first = c == 0,
            .relu = last && call->relu,
        };
        if (whole > 0)
            kernel[ROWS - 1](&strip);
        if (rest == 0)
            continue;
        strip.y += whole * ROWS * LANES;
        strip.x += whole * ROWS * LANES;
        strip.residual = strip.residual ? strip.residual + whole * ROWS * LANES : NULL;
        strip.fetch = 0;
        strip.count = 1;
        kernel[rest - 1](&strip);
    }
}

void pointwise_convolution(float *y, const float *x, const float *packed, const float *bias,
                           const float *residual, bool relu, float *scratch,
                           const struct pointwise_shape *s)
{
    const struct call call = {y, x, packed, bias, residual, relu};
    int64_t largest = tile_of(s);
#pragma omp parallel num_threads(s->threads)
    {
        int64_t thread = omp_get_thread_num();
        struct part part = part_of(s, thread);
        int64_t mine = part.pixel_end - part.pixel, tiles = up(mine, largest);
        int64_t tile = tiles > 0 ? up(up(mine, tiles), ROWS) * ROWS : 0;
        bool dense = s->stride == 1;
        float *gathered = dense ? NULL : scratch + thread * largest * s->in;
        for (int64_t p = part.pixel; p < part.pixel_end; p += tile) {
            int64_t count = smaller(part.pixel_end - p, tile);
            if (!dense)
                gather(gathered, x, p, count, s);
            for (int64_t k = part.panel; k < part.panel_end; k++)
                run_panel(&call, s, dense ? x + p * LANES : gathered,
                          (dense ? s->h * s->w : count) * LANES, p, count, k,
                          k + 1 == part.panel_end);
        }
    }
}
