#include "model/rcnn/paste.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "model/base/vector.h"

enum { CHUNK = 256 }; /* columns handled at a time; bounds the stack */

/* One axis of the paste: the grown, truncated box and how its pixels map to the padded mask. */
struct axis {
    int64_t start, length; /* first pixel of the resized mask, and its size; start may be < 0 */
    int first, last;       /* the part of it that lies on the plane: first..last-1 */
    float scale;           /* padded mask cells per pixel */
};

/* A pixel's two neighbours in the padded mask and the weight of the second. */
struct tap {
    int low, high;
    float weight;
};

static const float corner_max =
    1073741824.0f; /* 2^30: keeps every integer below far from INT_MAX */

/* False where the box is not a number on this axis. */
static bool axis_init(struct axis *axis, float low, float high, int side, int limit)
{
    float grow = (float)((double)(side + 2) / side);
    float half = (high - low) * 0.5f * grow;
    float centre = (high + low) * 0.5f;
    float from = centre - half, to = centre + half;
    if (!(fabsf(from) <= corner_max && fabsf(to) <= corner_max))
        return false;
    int64_t start = (int64_t)from, end = (int64_t)to + 1;
    axis->start = start;
    axis->length = end - start; /* not positive: then no pixel is asked for */
    axis->first = start > limit ? limit : start > 0 ? (int)start : 0;
    axis->last = end > limit ? limit : end > axis->first ? (int)end : axis->first;
    axis->scale = (float)(side + 2) / (float)axis->length;
    return true;
}

static struct tap axis_tap(const struct axis *axis, int pixel, int side)
{
    float at = axis->scale * ((float)(pixel - axis->start) + 0.5f) - 0.5f;
    if (at < 0)
        at = 0;
    int low = at < (float)(side + 1) ? (int)at : side + 1;
    float weight = at - (float)low;
    return (struct tap){low, low + (low < side + 1), weight < 1 ? weight : 1};
}

/* Row `y` of the padded mask resampled at `n` columns. */
static void expand_row(float *out, const float *mask, int side, int y, const struct tap *taps,
                       int n)
{
    bool ring = y < 1 || y > side;
    const float *row = ring ? mask : mask + (size_t)(y - 1) * (size_t)side;
    for (int i = 0; i < n; i++) {
        int a = taps[i].low - 1, b = taps[i].high - 1;
        float left = ring || a < 0 || a >= side ? 0 : row[a];
        float right = ring || b < 0 || b >= side ? 0 : row[b];
        out[i] = left * (1 - taps[i].weight) + right * taps[i].weight;
    }
}

/* The hot loop: blends two resampled rows and thresholds. Returns the number of ones. */
VECTORIZED
static int blend_row(uint8_t *restrict out, const float *restrict upper,
                     const float *restrict lower, float weight, float threshold, int n)
{
    int ones = 0;
    for (int i = 0; i < n; i++) {
        int one = upper[i] * (1 - weight) + lower[i] * weight >= threshold;
        out[i] = (uint8_t)one;
        ones += one;
    }
    return ones;
}

int64_t mask_paste(const float *mask, int side, const struct box *box, int width, int height,
                   float threshold, uint8_t *plane, struct mask_window *window)
{
    struct axis ax, ay;
    struct tap taps[CHUNK];
    float upper[CHUNK], lower[CHUNK];
    int64_t area = 0;

    *window = (struct mask_window){0, 0, 0, 0};
    if (!axis_init(&ax, box->x0, box->x1, side, width) ||
        !axis_init(&ay, box->y0, box->y1, side, height))
        return 0;
    *window = (struct mask_window){ax.first, ay.first, ax.last, ay.last};

    for (int x = ax.first; x < ax.last; x += CHUNK) {
        int n = ax.last - x < CHUNK ? ax.last - x : CHUNK;
        int expanded = -1; /* the mask row that `upper` holds */
        for (int i = 0; i < n; i++)
            taps[i] = axis_tap(&ax, x + i, side);
        for (int y = ay.first; y < ay.last; y++) {
            struct tap row = axis_tap(&ay, y, side);
            if (row.low != expanded) {
                expand_row(upper, mask, side, row.low, taps, n);
                expand_row(lower, mask, side, row.high, taps, n);
                expanded = row.low;
            }
            area += blend_row(plane + (size_t)y * (size_t)width + x, upper, lower, row.weight,
                              threshold, n);
        }
    }
    return area;
}
