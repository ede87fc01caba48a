/* Mean, deviation, bilinear resize. Leaf loops are plain so that they vectorise. */
#include "model/data/normalize.h"

#include <math.h>
#include <string.h>

#include "model/base/vector.h"

enum {
    LANES = 16,   /* independent partial sums, so that adding up can run in vectors */
    BLOCKS = 32,  /* of rows; fixed, so that sums do not depend on the number of threads */
    COLUMNS = 128 /* of the resize's table of taps, which lives on the stack */
};

struct sums {
    double sum;
    float least, most;
};

VECTORIZED static struct sums sum_pixels(const float *in, size_t count)
{
    double sum[LANES] = {0};
    float least[LANES], most[LANES];
    for (int l = 0; l < LANES; l++)
        least[l] = most[l] = in[0];
    size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            float v = in[i + (size_t)l];
            sum[l] += (double)v;
            least[l] = v < least[l] ? v : least[l];
            most[l] = v > most[l] ? v : most[l];
        }
    }
    struct sums s = {0, least[0], most[0]};
    for (size_t i = whole; i < count; i++) {
        s.sum += (double)in[i];
        s.least = in[i] < s.least ? in[i] : s.least;
        s.most = in[i] > s.most ? in[i] : s.most;
    }
    for (int l = 0; l < LANES; l++) {
        s.sum += sum[l];
        s.least = least[l] < s.least ? least[l] : s.least;
        s.most = most[l] > s.most ? most[l] : s.most;
    }
    return s;
}

VECTORIZED static double sum_squares(const float *in, size_t count, double mean)
{
    double sum[LANES] = {0};
    double total = 0;
    size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            double d = (double)in[i + (size_t)l] - mean;
            sum[l] += d * d;
        }
    }
    for (size_t i = whole; i < count; i++)
        total += ((double)in[i] - mean) * ((double)in[i] - mean);
    for (int l = 0; l < LANES; l++)
        total += sum[l];
    return total;
}

static size_t block_start(size_t count, int block)
{
    return count / BLOCKS * (size_t)block + count % BLOCKS * (size_t)block / BLOCKS;
}

static int measure(struct placement *p, const struct image *image, struct error *err)
{
    const float *in = image->pixels;
    size_t count = (size_t)image->width * (size_t)image->height;
    struct sums part[BLOCKS];
    double squares[BLOCKS];

#pragma omp parallel for schedule(static)
    for (int b = 0; b < BLOCKS; b++) {
        size_t from = block_start(count, b), n = block_start(count, b + 1) - from;
        part[b] = n > 0 ? sum_pixels(in + from, n) : (struct sums){0, in[0], in[0]};
    }
    double sum = 0;
    float least = in[0], most = in[0];
    for (int b = 0; b < BLOCKS; b++) {
        sum += part[b].sum;
        least = part[b].least < least ? part[b].least : least;
        most = part[b].most > most ? part[b].most : most;
    }
    /* A NaN or an infinity anywhere reaches the sum. */
    if (!isfinite(sum))
        return error_set(err, ERR_ARGUMENT, "the slice holds pixels that are not finite numbers");
    if ((double)most - (double)least < 1e-6)
        return error_set(err, ERR_CONSTANT_IMAGE,
                         "every pixel of the %dx%d slice has the same value (%.6g): nothing to "
                         "analyse",
                         image->width, image->height, (double)in[0]);
    p->mean = sum / (double)count;

#pragma omp parallel for schedule(static)
    for (int b = 0; b < BLOCKS; b++) {
        size_t from = block_start(count, b);
        squares[b] = sum_squares(in + from, block_start(count, b + 1) - from, p->mean);
    }
    double square = 0;
    for (int b = 0; b < BLOCKS; b++)
        square += squares[b];
    p->deviation = sqrt(square / (double)(count - 1));
    return 0;
}

/* ---- resize ---- */

VECTORIZED static void standardise_row(float *restrict out, const float *restrict in, int count,
                                       float mean, float deviation)
{
    for (int i = 0; i < count; i++)
        out[i] = (in[i] - mean) / deviation;
}

struct taps {
    int32_t low[COLUMNS], high[COLUMNS];
    float weight[COLUMNS]; /* of high */
};

/*
 * Source position of an output pixel's centre, clamped to the first pixel's centre. In double: a
 * float's last bit, far from the origin, is a hundred times what the pixels are rounded to.
 */
static inline double source_position(int i, double ratio)
{
    double at = ratio * (i + 0.5) - 0.5;
    return at < 0 ? 0 : at;
}

VECTORIZED static void make_taps(struct taps *t, int first, int count, int in_size, double ratio)
{
    for (int i = 0; i < count; i++) {
        double at = source_position(first + i, ratio);
        int32_t low = (int32_t)at;
        low = low > in_size - 1 ? in_size - 1 : low;
        t->low[i] = low;
        t->high[i] = low < in_size - 1 ? low + 1 : low;
        t->weight[i] = (float)(at - low);
    }
}

VECTORIZED static void blend_row(float *restrict out, const float *restrict upper,
                                 const float *restrict lower, float below,
                                 const struct taps *restrict t, int count, float mean,
                                 float deviation)
{
    for (int i = 0; i < count; i++) {
        float w = t->weight[i];
        float u = (1 - w) * upper[t->low[i]] + w * upper[t->high[i]];
        float l = (1 - w) * lower[t->low[i]] + w * lower[t->high[i]];
        out[i] = ((1 - below) * u + below * l - mean) / deviation;
    }
}

static void resize_rows(float *out, int side, const struct placement *p, const struct image *image,
                        int from, int to)
{
    double ratio_x = (double)image->width / p->width;
    double ratio_y = (double)image->height / p->height;
    struct taps taps;
    for (int x = 0; x < p->width; x += COLUMNS) {
        int count = p->width - x < COLUMNS ? p->width - x : COLUMNS;
        make_taps(&taps, x, count, image->width, ratio_x);
        for (int y = from; y < to; y++) {
            double at = source_position(y, ratio_y);
            int low = (int)at;
            low = low > image->height - 1 ? image->height - 1 : low;
            int high = low < image->height - 1 ? low + 1 : low;
            blend_row(out + (size_t)y * (size_t)side + x,
                      image->pixels + (size_t)low * (size_t)image->width,
                      image->pixels + (size_t)high * (size_t)image->width, (float)(at - low), &taps,
                      count, (float)p->mean, (float)p->deviation);
        }
    }
}

static void fill_rows(float *out, int side, const struct placement *p, const struct image *image,
                      int from, int to)
{
    int stop = to < p->height ? to : p->height;
    if (p->width == image->width && p->height == image->height) {
        for (int y = from; y < stop; y++)
            standardise_row(out + (size_t)y * (size_t)side,
                            image->pixels + (size_t)y * (size_t)image->width, p->width,
                            (float)p->mean, (float)p->deviation);
    } else {
        resize_rows(out, side, p, image, from, stop);
    }
    for (int y = from; y < to; y++) {
        int used = y < p->height ? p->width : 0;
        memset(out + (size_t)y * (size_t)side + used, 0, (size_t)(side - used) * sizeof *out);
    }
}

struct placement placement_make(int width, int height, int side)
{
    struct placement p = {.width = side, .height = side};
    int longer = width > height ? width : height;
    int shorter = width > height ? height : width;
    int64_t resized = (2 * (int64_t)shorter * side + longer) / (2 * (int64_t)longer);
    if (resized < 1)
        resized = 1;
    if (width > height)
        p.height = (int)resized;
    else
        p.width = (int)resized;
    p.scale_x = (float)p.width / (float)width;
    p.scale_y = (float)p.height / (float)height;
    return p;
}

int normalize_slice(float *out, int side, struct placement *placement, const struct image *image,
                    struct error *err)
{
    *placement = (struct placement){0};
    if (image->pixels == NULL || image->width < 1 || image->height < 1 || side < 1)
        return error_set(err, ERR_ARGUMENT, "cannot fit a slice of %dx%d pixels into %dx%d",
                         image->width, image->height, side, side);
    struct placement p = placement_make(image->width, image->height, side);
    if (measure(&p, image, err) != 0)
        return -1;

    enum { ROWS = 16 };
    int chunks = (side + ROWS - 1) / ROWS;
#pragma omp parallel for schedule(static)
    for (int c = 0; c < chunks; c++)
        fill_rows(out, side, &p, image, c * ROWS, (c + 1) * ROWS < side ? (c + 1) * ROWS : side);
    *placement = p;
    return 0;
}
