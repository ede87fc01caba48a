#include "model/nn/winograd4.h"

#include <omp.h>
#include <string.h>

#include "model/nn/strip.h"
#include "model/nn/winograd4_product.h"
#include "model/nn/winograd4_transform.h"

enum {
    POINTS = WINOGRAD4_POINTS,
    REACH = WINOGRAD4_REACH,
    SIDE = WINOGRAD4_SIDE,
    TAPS = WINOGRAD4_TAPS,
    MOST_LANES = 16,
    LINE = 16,       /* floats: keeps the points of a tile out of one another's cache sets */
    FEW_TILES = 48,  /* transformed at a time where filters stay in the second-level cache */
    MANY_TILES = 96, /* where they do not: filters are read once for as many */
    CACHED = 1 << 18 /* floats that stay there */
};

bool winograd4_able(void)
{
    return product_fast();
}

int64_t winograd4_tiles(const struct winograd4_shape *s)
{
    return s->n * ceil_div(s->h, SIDE) * ceil_div(s->w, SIDE);
}

/* ---- tiles ---- */

/* The tile's results; its data begin a pixel before and reach a pixel further. */
static struct winograd4_window tile_of(const struct winograd4_shape *s,
                                       const struct winograd4_plane *plane, int64_t index)
{
    int64_t rows = ceil_div(s->h, SIDE), columns = ceil_div(s->w, SIDE);
    return (struct winograd4_window){plane, index / (rows * columns), index / columns % rows * SIDE,
                                     index % columns * SIDE, SIDE};
}

static struct winograd4_window data_of(struct winograd4_window tile)
{
    tile.y--;
    tile.x--;
    tile.side = REACH;
    return tile;
}

/* ---- filters: (panel of columns, point, row, column of the panel) ---- */

static const struct strip_kernels *kernels_for(int64_t columns)
{
    return strip_kernels_for(strip_lanes(), columns);
}

static void pack_filter(float *packed, const float *weight, int64_t rows, int64_t columns,
                        int64_t row_stride, int64_t column_stride, bool turned)
{
    int64_t width = kernels_for(columns)->width;
    const struct winograd4_transform *transform = winograd4_transform_for(width);
    int lanes = transform->lanes;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t to = 0; to < columns; to += lanes)
        for (int64_t from = 0; from < rows; from++) {
            float taps[TAPS * MOST_LANES];
            const float *w = weight + from * row_stride + to * column_stride;
            for (int l = 0; l < lanes; l++)
                for (int t = 0; t < TAPS; t++)
                    taps[t * lanes + l] = w[l * column_stride + (turned ? TAPS - 1 - t : t)];
            int64_t first = (to / width * POINTS * rows + from) * width + to % width;
            transform->filter(packed + first, rows * width, taps);
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

/* How its work is cut: groups, blocks of tiles, and where those are few, parts of the results'
 * channels of a group. */
struct cut {
    const struct strip_kernels *kernels;
    int64_t in, out;                      /* channels of a group */
    int64_t blocks, tiles, parts, panels; /* tiles of a block, panels of a part */
};

static struct cut cut_of(const struct winograd4_shape *s)
{
    struct cut cut = {.in = s->in / s->groups, .out = s->out / s->groups, .parts = 1};
    cut.kernels = kernels_for(cut.out);
    int64_t tiles = winograd4_tiles(s), panels = cut.out / cut.kernels->width;
    int64_t most = POINTS * cut.in * cut.out <= CACHED ? FEW_TILES : MANY_TILES;
    int64_t items = ceil_div(tiles, most) * s->groups;
    cut.blocks = ceil_div(tiles, most);
    if (items < s->threads)
        cut.parts = ceil_div(s->threads, items) < panels ? ceil_div(s->threads, items) : panels;
    else if (s->groups == 1)
        cut.blocks = ceil_div(cut.blocks, s->threads) * s->threads; /* as many for each */
    cut.tiles = ceil_div(tiles, cut.blocks);
    cut.panels = ceil_div(panels, cut.parts);
    return cut;
}

static int64_t thread_scratch(const struct cut *cut)
{
    int64_t out = cut->panels * cut->kernels->width;
    return POINTS * (cut->tiles * (cut->in + out) + 2 * LINE);
}

int64_t winograd4_scratch(const struct winograd4_shape *s)
{
    struct cut cut = cut_of(s);
    return s->threads * thread_scratch(&cut);
}

/* One block of tiles for one part of the results' channels of one group. */
static void convolve_block(const struct winograd4_finish *f, const float *x, const float *packed,
                           float *scratch, const struct winograd4_shape *s, const struct cut *cut,
                           int64_t group, int64_t block, int64_t part)
{
    const struct winograd4_plane from = {s->h, s->w, s->in, s->in_inner},
                                 to = {s->h, s->w, s->out, s->out_inner};
    const struct winograd4_transform *before = winograd4_transform_for(s->in_inner),
                                     *after = winograd4_transform_for(s->out_inner);
    int64_t width = cut->kernels->width, lanes = cut->kernels->lanes;
    int64_t all = winograd4_tiles(s), first = block * cut->tiles;
    int64_t tiles = all - first < cut->tiles ? all - first : cut->tiles;
    int64_t panel = part * cut->panels, panels = cut->out / width - panel;
    panels = panels < cut->panels ? panels : cut->panels;
    if (tiles <= 0 || panels <= 0)
        return;
    int64_t in = cut->in, out = panels * width, filters = in * width;
    const struct winograd4_points given = {tiles * in + LINE, tiles * lanes, lanes},
                                  made = {tiles * out + LINE, tiles * lanes, lanes};
    float *data = scratch, *products = scratch + POINTS * given.point;
    packed += (group * (cut->out / width) + panel) * POINTS * filters;
    for (int64_t t = 0; t < tiles; t++) {
        struct winograd4_window window = data_of(tile_of(s, &from, first + t));
        before->window(data + t * lanes, &given, x, &window, group * in, in);
    }
    for (int p = 0; p < POINTS; p++) /* whose data stay in the cache for all panels */
        for (int64_t k = 0; k < panels; k++) {
            const float *filter = packed + (k * POINTS + p) * filters;
            int64_t ahead = k + 1 < panels ? POINTS : 1 - k * POINTS;
            bool last = p + 1 == POINTS && k + 1 == panels;
            strip_run(cut->kernels, &(struct strip_product){
                                        .y = products + p * made.point + k * width * tiles,
                                        .x = data + p * given.point,
                                        .panel = filter,
                                        .next = last ? NULL : filter + ahead * filters,
                                        .rows = tiles,
                                        .in = in,
                                        .x_block = given.block,
                                        .y_block = made.block,
                                    });
        }
    for (int64_t t = 0; t < tiles; t++) {
        struct winograd4_window tile = tile_of(s, &to, first + t);
        after->results(f, &tile, group * cut->out + panel * width, out, products + t * lanes,
                       &made);
    }
}

void winograd4_convolution(float *y, const float *x, const float *packed, const float *bias,
                           const float *residual, bool relu, float *scratch,
                           const struct winograd4_shape *s)
{
    const struct winograd4_finish finish = {y, bias, residual, relu};
    const struct cut cut = cut_of(s);
    int64_t own = thread_scratch(&cut);
    int64_t items = cut.blocks * cut.parts; /* of a group, whose filters stay in the cache */
#pragma omp parallel for schedule(static) num_threads(s->threads)
    for (int64_t item = 0; item < s->groups * items; item++)
        convolve_block(&finish, x, packed, scratch + omp_get_thread_num() * own, s, &cut,
                       item / items, item % items / cut.parts, item % items % cut.parts);
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
    const struct winograd4_transform *transform = winograd4_transform_for(COLUMNS);
    int lanes = transform->lanes;
    for (int64_t o = 0; o < COLUMNS; o += lanes)
        for (int64_t i = 0; i < rows; i++) {
            float taps[TAPS * MOST_LANES];
            transform->weight(taps, sums + i * COLUMNS + o, point);
            for (int l = 0; l < lanes; l++)
                for (int t = 0; t < TAPS; t++)
                    dw[((o0 + o + l) * s->in + i0 + i) * TAPS + t] = taps[t * lanes + l];
        }
}

void winograd4_weight_gradient(float *dw, const float *x, const float *dy, float *scratch,
                               const struct winograd4_shape *s)
{
    const struct winograd4_plane in = {s->h, s->w, s->in, s->in_inner},
                                 out = {s->h, s->w, s->out, s->out_inner};
    const struct winograd4_transform *before = winograd4_transform_for(s->in_inner),
                                     *after = winograd4_transform_for(s->out_inner);
    int64_t tiles = winograd4_tiles(s), columns = s->out / COLUMNS;
    /* Channels of a tile one behind the other. */
    const struct winograd4_points x_points = {tiles * s->in + LINE, MOST_LANES, MOST_LANES},
                                  y_points = {tiles * s->out + LINE, MOST_LANES, MOST_LANES};
    float *data = scratch, *grads = data + points_floats(s, s->in);
    float *sums = grads + points_floats(s, s->out);
#pragma omp parallel num_threads(s->threads)
    {
        float *own = sums + omp_get_thread_num() * POINTS * (ROWS * COLUMNS + LINE);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < tiles; t++) {
            struct winograd4_window x_window = data_of(tile_of(s, &in, t));
            struct winograd4_window y_window = tile_of(s, &out, t);
            before->window(data + t * s->in, &x_points, x, &x_window, 0, s->in);
            after->window(grads + t * s->out, &y_points, dy, &y_window, 0, s->out);
        }
#pragma omp for schedule(static)
        for (int64_t piece = 0; piece < ceil_div(s->in, ROWS) * columns; piece++)
            sum_piece(dw, own, data, grads, piece / columns * ROWS, piece % columns * COLUMNS, s);
    }
}
