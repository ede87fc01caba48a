#include "model/nn/winograd4.h"

#include <omp.h>
#include <string.h>

#include "model/base/vector.h"
#include "model/nn/winograd4_product.h"

#ifndef __clang__
#pragma GCC optimize("fp-contract=fast") /* products may be fused into sums here */
#endif

enum {
    POINTS = WINOGRAD4_POINTS,
    REACH = 6, /* a tile of data is 6x6 */
    SIDE = 4,  /* a tile of results 4x4 */
    TAPS = 9,
    LANES = 8,
    LINE = 16,      /* floats: keeps the points of a tile out of one another's cache sets */
    MOST_TILES = 48 /* transformed at a time: what a filter is read for */
};

typedef float lanes_f __attribute__((vector_size(32), aligned(4), may_alias));

static int64_t up(int64_t value, int64_t step)
{
    return (value + step - 1) / step;
}

bool winograd4_able(void)
{
    return product_fast();
}

int64_t winograd4_tiles(const struct winograd4_shape *s)
{
    return s->n * up(s->h, SIDE) * up(s->w, SIDE);
}

/* ---- transforms of eight channels at once ---- */

/* B' d, in an order that keeps a flat plane exactly flat. */
static inline __attribute__((always_inline)) void data_column(lanes_f r[REACH],
                                                              const lanes_f d[REACH])
{
    lanes_f e = d[4] - 4 * d[2], f = d[3] - 4 * d[1], g = d[4] - d[2], h = 2 * (d[3] - d[1]);
    r[0] = 4 * (d[0] - d[2]) + g;
    r[1] = e + f;
    r[2] = e - f;
    r[3] = g + h;
    r[4] = g - h;
    r[5] = 4 * (d[1] - d[3]) + (d[5] - d[3]);
}

/* A' m */
static inline __attribute__((always_inline)) void result_column(lanes_f y[SIDE],
                                                                const lanes_f m[REACH])
{
    lanes_f a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = b + 2 * d;
    y[2] = a + 4 * c;
    y[3] = b + 8 * d + m[5];
}

/* A y, the way back of A'. */
static inline __attribute__((always_inline)) void gradient_column(lanes_f z[REACH],
                                                                  const lanes_f y[SIDE])
{
    lanes_f a = y[0] + y[2], b = y[1] + y[3], c = y[0] + 4 * y[2], d = 2 * y[1] + 8 * y[3];
    z[0] = y[0];
    z[1] = a + b;
    z[2] = a - b;
    z[3] = c + d;
    z[4] = c - d;
    z[5] = y[3];
}

/* G g */
static inline __attribute__((always_inline)) void filter_column(lanes_f u[REACH],
                                                                const lanes_f g[3])
{
    lanes_f a = (g[0] + g[2]) * (-1.f / 6), b = g[1] * (-1.f / 6);
    lanes_f c = g[0] * (1.f / 24) + g[2] * (1.f / 6), d = g[1] * (1.f / 12);
    u[0] = g[0] * .25f;
    u[1] = a + b;
    u[2] = a - b;
    u[3] = c + d;
    u[4] = c - d;
    u[5] = g[2];
}

/* G' u */
static inline __attribute__((always_inline)) void weight_column(lanes_f g[3],
                                                                const lanes_f u[REACH])
{
    lanes_f a = (u[1] + u[2]) * (-1.f / 6), b = (u[1] - u[2]) * (-1.f / 6);
    lanes_f c = (u[3] + u[4]) * (1.f / 6), d = (u[3] - u[4]) * (1.f / 12);
    g[0] = u[0] * .25f + a + c * .25f;
    g[1] = b + d;
    g[2] = a + c + u[5];
}

/* out = T in T' for a transform T that makes TO values of FROM; in and out by their strides. */
#define BOTH_WAYS(T, FROM, TO, LOAD, STORE)                                                        \
    do {                                                                                           \
        lanes_f half_[FROM][TO], line_[FROM > TO ? FROM : TO];                                     \
        for (int y = 0; y < FROM; y++) {                                                           \
            for (int x = 0; x < FROM; x++)                                                         \
                line_[x] = LOAD;                                                                   \
            T(half_[y], line_);                                                                    \
        }                                                                                          \
        for (int x = 0; x < TO; x++) {                                                             \
            lanes_f from_[FROM], to_[TO];                                                          \
            for (int y = 0; y < FROM; y++)                                                         \
                from_[y] = half_[y][x];                                                            \
            T(to_, from_);                                                                         \
            for (int y = 0; y < TO; y++)                                                           \
                STORE = to_[y];                                                                    \
        }                                                                                          \
    } while (0)

static inline lanes_f *at(float *p)
{
    return (lanes_f *)(void *)p;
}

static inline const lanes_f *at_const(const float *p)
{
    return (const lanes_f *)(const void *)p;
}

VECTORIZED static void data_points(float *points, int64_t point, const float *from, int64_t row,
                                   int64_t pixel)
{
    BOTH_WAYS(data_column, REACH, REACH, *at_const(from + y * row + x * pixel),
              *at(points + (y * REACH + x) * point));
}

VECTORIZED static void gradient_points(float *points, int64_t point, const float *from, int64_t row,
                                       int64_t pixel)
{
    BOTH_WAYS(gradient_column, SIDE, REACH, *at_const(from + y * row + x * pixel),
              *at(points + (y * REACH + x) * point));
}

VECTORIZED static void filter_points(float *points, int64_t point, const float *taps)
{
    BOTH_WAYS(filter_column, 3, REACH, *at_const(taps + (y * 3 + x) * LANES),
              *at(points + (y * REACH + x) * point));
}

/* Of the tile's results, the first rows and columns that lie in the plane. */
VECTORIZED static void result_pixels(float *to, const float *residual, const float *points,
                                     int64_t point, const float *bias, bool relu, int64_t rows,
                                     int64_t columns, int64_t row, int64_t pixel)
{
    lanes_f pixels[SIDE][SIDE];
    BOTH_WAYS(result_column, REACH, SIDE, *at_const(points + (y * REACH + x) * point),
              pixels[y][x]);
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++) {
            lanes_f v = pixels[y][x] + *at_const(bias);
            if (residual)
                v += *at_const(residual + y * row + x * pixel);
            float *out = to + y * row + x * pixel;
            for (int l = 0; l < LANES; l++)
                out[l] = relu && !(v[l] > 0) ? 0 : v[l];
        }
}

VECTORIZED static void weight_taps(float *taps, const float *points, int64_t point)
{
    BOTH_WAYS(weight_column, REACH, 3, *at_const(points + (y * REACH + x) * point),
              *at(taps + (y * 3 + x) * LANES));
}

/* ---- planes and tiles ---- */

struct plane {
    int64_t h, w, channels, inner;
};

static int64_t offset_of(const struct plane *p, int64_t image, int64_t channel, int64_t y,
                         int64_t x)
{
    int64_t block = image * (p->channels / p->inner) + channel / p->inner;
    return ((block * p->h + y) * p->w + x) * p->inner + channel % p->inner;
}

struct tile {
    int64_t image, y, x; /* of its first result */
};

static struct tile tile_of(const struct winograd4_shape *s, int64_t index)
{
    int64_t rows = up(s->h, SIDE), columns = up(s->w, SIDE);
    return (struct tile){index / (rows * columns), index / columns % rows * SIDE,
                         index % columns * SIDE};
}

/* Transforms a window of `side` pixels from (y0, x0) on, zero outside the plane, of all channels.
 * Channel c of point k goes to points[k * point + c]. */
static void window_points(float *points, int64_t point, const float *from, const struct plane *p,
                          int64_t image, int64_t y0, int64_t x0, int side)
{
    float edge[REACH * REACH * LANES];
    int64_t row = p->w * p->inner, pixel = p->inner;
    bool inside = y0 >= 0 && x0 >= 0 && y0 + side <= p->h && x0 + side <= p->w;
    for (int64_t c = 0; c < p->channels; c += LANES) {
        const float *source = inside ? from + offset_of(p, image, c, y0, x0) : edge;
        for (int k = 0; !inside && k < side * side; k++) {
            int64_t y = y0 + k / side, x = x0 + k % side;
            bool in = y >= 0 && y < p->h && x >= 0 && x < p->w;
            *at(edge + k * LANES) =
                in ? *at_const(from + offset_of(p, image, c, y, x)) : (lanes_f){0};
        }
        if (side == REACH)
            data_points(points + c, point, source, inside ? row : side * LANES,
                        inside ? pixel : LANES);
        else
            gradient_points(points + c, point, source, inside ? row : side * LANES,
                            inside ? pixel : LANES);
    }
}

/* ---- filters: (panel of columns, point, row, column of the panel) ---- */

/* Where row `from` of point 0 begins for column `to`; *point is the stride of points. */
static int64_t filter_offset(int64_t rows, int64_t to, int64_t from, int64_t *point)
{
    int64_t width = product_width();
    *point = rows * width;
    return (to / width * POINTS * rows + from) * width + to % width;
}

static void pack_filter(float *packed, const float *weight, int64_t rows, int64_t columns,
                        int64_t row_stride, int64_t column_stride, bool turned)
{
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t to = 0; to < columns; to += LANES)
        for (int64_t from = 0; from < rows; from++) {
            float taps[TAPS * LANES];
            const float *w = weight + from * row_stride + to * column_stride;
            for (int l = 0; l < LANES; l++)
                for (int t = 0; t < TAPS; t++)
                    taps[t * LANES + l] = w[l * column_stride + (turned ? TAPS - 1 - t : t)];
            int64_t point, offset = filter_offset(rows, to, from, &point);
            filter_points(packed + offset, point, taps);
        }
}

void winograd4_filter(float *packed, const float *weight, int64_t in, int64_t out)
{
    pack_filter(packed, weight, in, out, TAPS, in * TAPS, false);
}

void winograd4_filter_turned(float *packed, const float *weight, int64_t in, int64_t out)
{
    pack_filter(packed, weight, out, in, in * TAPS, TAPS, true);
}

/* ---- the convolution ---- */

/* How its work is cut: blocks of tiles, and where those are few, parts of the results' channels. */
struct cut {
    int64_t blocks, tiles, parts, panels; /* tiles of a block, panels of a part */
};

static struct cut cut_of(const struct winograd4_shape *s)
{
    struct cut cut;
    int64_t tiles = winograd4_tiles(s), panels = s->out / product_width();
    cut.blocks = up(tiles, MOST_TILES);
    cut.parts = 1;
    if (cut.blocks < s->threads)
        cut.parts = up(s->threads, cut.blocks) < panels ? up(s->threads, cut.blocks) : panels;
    else
        cut.blocks = up(cut.blocks, s->threads) * s->threads; /* as many for each */
    cut.tiles = up(tiles, cut.blocks);
    cut.panels = up(panels, cut.parts);
    return cut;
}

static int64_t thread_scratch(const struct winograd4_shape *s, const struct cut *cut)
{
    int64_t out = cut->panels * product_width();
    return POINTS * (cut->tiles * (s->in + out) + 2 * LINE);
}

int64_t winograd4_scratch(const struct winograd4_shape *s)
{
    struct cut cut = cut_of(s);
    return s->threads * thread_scratch(s, &cut);
}

/* What the results of a convolution are made of besides its products. */
struct finish {
    float *y;
    const float *bias, *residual;
    bool relu;
};

/* Brings the products of one tile and one part of the channels into the plane of results. */
static void finish_tile(const struct finish *f, const struct plane *p, struct tile tile,
                        int64_t channel, int64_t channels, const float *products, int64_t point)
{
    int64_t rows = p->h - tile.y < SIDE ? p->h - tile.y : SIDE;
    int64_t columns = p->w - tile.x < SIDE ? p->w - tile.x : SIDE;
    static const float zeros[LANES];
    for (int64_t c = 0; c < channels; c += LANES) {
        int64_t k = offset_of(p, tile.image, channel + c, tile.y, tile.x);
        result_pixels(f->y + k, f->residual ? f->residual + k : NULL, products + c, point,
                      f->bias ? f->bias + channel + c : zeros, f->relu, rows, columns,
                      p->w * p->inner, p->inner);
    }
}

/* One block of tiles for one part of the results' channels. */
static void convolve_block(const struct finish *f, const float *x, const float *packed,
                           float *scratch, const struct winograd4_shape *s, const struct cut *cut,
                           int64_t block, int64_t part)
{
    const struct plane from = {s->h, s->w, s->in, s->in_inner},
                       to = {s->h, s->w, s->out, s->out_inner};
    int64_t width = product_width(), all = winograd4_tiles(s), first = block * cut->tiles;
    int64_t tiles = all - first < cut->tiles ? all - first : cut->tiles;
    int64_t panel = part * cut->panels, panels = s->out / width - panel;
    panels = panels < cut->panels ? panels : cut->panels;
    if (tiles <= 0 || panels <= 0)
        return;
    int64_t data_point = tiles * s->in + LINE, out = panels * width;
    int64_t product_point = tiles * out + LINE;
    float *data = scratch, *products = scratch + POINTS * data_point;
    for (int64_t t = 0; t < tiles; t++) {
        struct tile tile = tile_of(s, first + t);
        window_points(data + t * s->in, data_point, x, &from, tile.image, tile.y - 1, tile.x - 1,
                      REACH);
    }
    for (int p = 0; p < POINTS; p++) /* whose data stay in the cache for all panels */
        for (int64_t k = 0; k < panels; k++)
            product_run(&(struct product){
                .out = products + p * product_point + k * width,
                .a = data + p * data_point,
                .b = packed + ((panel + k) * POINTS + p) * s->in * width,
                .rows = tiles,
                .n = s->in,
                .out_row = out,
                .a_row = s->in,
                .a_next = 1,
                .b_next = width,
            });
    for (int64_t t = 0; t < tiles; t++)
        finish_tile(f, &to, tile_of(s, first + t), panel * width, out, products + t * out,
                    product_point);
}

void winograd4_convolution(float *y, const float *x, const float *packed, const float *bias,
                           const float *residual, bool relu, float *scratch,
                           const struct winograd4_shape *s)
{
    const struct finish finish = {y, bias, residual, relu};
    const struct cut cut = cut_of(s);
    int64_t own = thread_scratch(s, &cut);
#pragma omp parallel for schedule(static) num_threads(s->threads)
    for (int64_t item = 0; item < cut.blocks * cut.parts; item++)
        convolve_block(&finish, x, packed, scratch + omp_get_thread_num() * own, s, &cut,
                       item / cut.parts, item % cut.parts);
}

/* ---- the gradient of the filters ---- */

enum {
    ROWS = 64,    /* filters are summed in pieces of this many input channels */
    COLUMNS = 32, /* by this many results' channels */
    SUMMED = 192  /* tiles that come by before a piece's sums leave the registers */
};

static int64_t points_floats(const struct winograd4_shape *s, int64_t channels)
{
    return POINTS * (winograd4_tiles(s) * channels + LINE);
}

int64_t winograd4_weight_scratch(const struct winograd4_shape *s)
{
    return points_floats(s, s->in) + points_floats(s, s->out) +
           s->threads * POINTS * (ROWS * COLUMNS + LINE);
}

/* Products of one point, summed over all tiles. */
static void sum_tiles(float *sums, const float *data, const float *grads, int64_t rows,
                      const struct winograd4_shape *s)
{
    int64_t tiles = winograd4_tiles(s), width = product_width();
    for (int64_t k = 0; k < COLUMNS; k += width)
        for (int64_t t = 0; t < tiles; t += SUMMED)
            product_run(&(struct product){
                .out = sums + k,
                .a = data + t * s->in,
                .b = grads + t * s->out + k,
                .rows = rows,
                .n = tiles - t < SUMMED ? tiles - t : SUMMED,
                .out_row = COLUMNS,
                .a_row = 1,
                .a_next = s->in,
                .b_next = s->out,
                .add = t > 0,
            });
}

/* Filters of input channels from i0 on and results' channels from o0 on. */
static void sum_piece(float *dw, float *sums, const float *data, const float *grads, int64_t i0,
                      int64_t o0, const struct winograd4_shape *s)
{
    int64_t rows = s->in - i0 < ROWS ? s->in - i0 : ROWS, point = ROWS * COLUMNS + LINE;
    int64_t tiles = winograd4_tiles(s);
    for (int p = 0; p < POINTS; p++)
        sum_tiles(sums + p * point, data + p * (tiles * s->in + LINE) + i0,
                  grads + p * (tiles * s->out + LINE) + o0, rows, s);
    for (int64_t o = 0; o < COLUMNS; o += LANES)
        for (int64_t i = 0; i < rows; i++) {
            float taps[TAPS * LANES];
            weight_taps(taps, sums + i * COLUMNS + o, point);
            for (int l = 0; l < LANES; l++)
                for (int t = 0; t < TAPS; t++)
                    dw[((o0 + o + l) * s->in + i0 + i) * TAPS + t] = taps[t * LANES + l];
        }
}

void winograd4_weight_gradient(float *dw, const float *x, const float *dy, float *scratch,
                               const struct winograd4_shape *s)
{
    const struct plane in = {s->h, s->w, s->in, s->in_inner},
                       out = {s->h, s->w, s->out, s->out_inner};
    int64_t tiles = winograd4_tiles(s), columns = s->out / COLUMNS;
    float *data = scratch, *grads = data + points_floats(s, s->in);
    float *sums = grads + points_floats(s, s->out);
#pragma omp parallel num_threads(s->threads)
    {
        float *own = sums + omp_get_thread_num() * POINTS * (ROWS * COLUMNS + LINE);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < tiles; t++) {
            struct tile tile = tile_of(s, t);
            window_points(data + t * s->in, tiles * s->in + LINE, x, &in, tile.image, tile.y - 1,
                          tile.x - 1, REACH);
            window_points(grads + t * s->out, tiles * s->out + LINE, dy, &out, tile.image, tile.y,
                          tile.x, SIDE);
        }
#pragma omp for schedule(static)
        for (int64_t piece = 0; piece < up(s->in, ROWS) * columns; piece++)
            sum_piece(dw, own, data, grads, piece / columns * ROWS, piece % columns * COLUMNS, s);
    }
}
