#include "model/rcnn/roi_align.h"

#include <math.h>

#include "model/base/vector.h"

/* One cell of one axis and its share of a bin. */
struct tap {
    int cell;
    float weight;
};

/*
 * The taps of bin b are taps[first[b]] .. taps[first[b + 1] - 1], cells ascending.
 * Samples ascend as well, so a bin from cell l to cell h has at most h - l + 2 taps and all bins
 * together have at most cells + 2 * pooled.
 */
struct axis {
    int first[ROI_ALIGN_MAX_POOLED + 1];
    struct tap taps[ROI_ALIGN_MAX_SIDE + 2 * ROI_ALIGN_MAX_POOLED];
};

/* Makes every box finite, and the number of adaptive samples with it. NaN fails the comparisons. */
static float limit_coordinate(float v)
{
    const float reach = 65536;
    return v > reach ? reach : v < -reach ? -reach : v == v ? v : 0;
}

/* Adds to the bin whose taps begin at `first`; returns the new number of taps. */
static int add_tap(struct tap *taps, int first, int n, int cell, float weight)
{
    for (int k = n; k > first && k > n - 2; k--)
        if (taps[k - 1].cell == cell) {
            taps[k - 1].weight += weight;
            return n;
        }
    taps[n] = (struct tap){cell, weight};
    return n + 1;
}

/* Positions are computed in torchvision's order: a sample's cell hangs on the last bit. */
static void axis_init(struct axis *axis, float low, float high, float scale, int pooled,
                      int sampling_ratio, int cells)
{
    float start = limit_coordinate(low * scale);
    float length = limit_coordinate(high * scale) - start;
    if (!(length > 1))
        length = 1;
    float bin = length / (float)pooled;
    int samples = sampling_ratio > 0 ? sampling_ratio : (int)ceilf(bin);
    float share = 1 / (float)samples;
    int n = 0;
    for (int b = 0; b < pooled; b++) {
        axis->first[b] = n;
        for (int i = 0; i < samples; i++) {
            float at = start + (float)b * bin + ((float)i + 0.5f) * bin / (float)samples;
            if (at < -1 || at > (float)cells)
                continue;
            int cell = at > 0 ? (int)at : 0;
            if (cell >= cells - 1) {
                n = add_tap(axis->taps, axis->first[b], n, cells - 1, share);
                continue;
            }
            float part = at > 0 ? at - (float)cell : 0;
            n = add_tap(axis->taps, axis->first[b], n, cell, (1 - part) * share);
            n = add_tap(axis->taps, axis->first[b], n, cell + 1, part * share);
        }
    }
    axis->first[pooled] = n;
}

/* ---- features ---- */

/* One bin: out[c] = sum over the taps of both axes. Rows are taken two columns at a time. */
VECTORIZED
static void pool_roi(float *restrict out, const float *restrict features, int width, int channels,
                     const struct axis *ay, const struct axis *ax, int pooled)
{
    size_t depth = (size_t)channels;
    for (int ph = 0; ph < pooled; ph++)
        for (int pw = 0; pw < pooled; pw++, out += depth) {
            for (size_t c = 0; c < depth; c++)
                out[c] = 0;
            for (int i = ay->first[ph]; i < ay->first[ph + 1]; i++) {
                const float *row = features + (size_t)ay->taps[i].cell * (size_t)width * depth;
                int j = ax->first[pw], end = ax->first[pw + 1];
                for (; j + 1 < end; j += 2) {
                    const float *a = row + (size_t)ax->taps[j].cell * depth;
                    const float *b = row + (size_t)ax->taps[j + 1].cell * depth;
                    float wa = ay->taps[i].weight * ax->taps[j].weight;
                    float wb = ay->taps[i].weight * ax->taps[j + 1].weight;
                    for (size_t c = 0; c < depth; c++)
                        out[c] += wa * a[c] + wb * b[c];
                }
                if (j < end) {
                    const float *a = row + (size_t)ax->taps[j].cell * depth;
                    float wa = ay->taps[i].weight * ax->taps[j].weight;
                    for (size_t c = 0; c < depth; c++)
                        out[c] += wa * a[c];
                }
            }
        }
}

void roi_align_forward(float *out, const float *features, int height, int width, int channels,
                       const struct box *rois, int rois_n, int pooled, float scale,
                       int sampling_ratio)
{
    size_t roi_size = (size_t)pooled * (size_t)pooled * (size_t)channels;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rois_n; r++) {
        struct axis ay, ax;
        axis_init(&ay, rois[r].y0, rois[r].y1, scale, pooled, sampling_ratio, height);
        axis_init(&ax, rois[r].x0, rois[r].x1, scale, pooled, sampling_ratio, width);
        pool_roi(out + (size_t)r * roi_size, features, width, channels, &ay, &ax, pooled);
    }
}

/* The transpose of pool_roi for channels 0..n-1 of both arrays, which are `depth` wide. */
VECTORIZED
static void spread_roi(float *restrict grad_features, const float *restrict grad_out, int width,
                       size_t depth, size_t n, const struct axis *ay, const struct axis *ax,
                       int pooled)
{
    for (int ph = 0; ph < pooled; ph++)
        for (int pw = 0; pw < pooled; pw++, grad_out += depth)
            for (int i = ay->first[ph]; i < ay->first[ph + 1]; i++) {
                float *row = grad_features + (size_t)ay->taps[i].cell * (size_t)width * depth;
                for (int j = ax->first[pw]; j < ax->first[pw + 1]; j++) {
                    float *at = row + (size_t)ax->taps[j].cell * depth;
                    float weight = ay->taps[i].weight * ax->taps[j].weight;
                    for (size_t c = 0; c < n; c++)
                        at[c] += weight * grad_out[c];
                }
            }
}

void roi_align_backward(float *grad_features, const float *grad_out, int height, int width,
                        int channels, const struct box *rois, int rois_n, int pooled, float scale,
                        int sampling_ratio)
{
    enum { CHUNK = 64 };
    size_t roi_size = (size_t)pooled * (size_t)pooled * (size_t)channels;
#pragma omp parallel for schedule(static)
    for (int c = 0; c < channels; c += CHUNK) {
        struct axis ay, ax;
        size_t n = (size_t)(channels - c < CHUNK ? channels - c : CHUNK);
        for (int r = 0; r < rois_n; r++) {
            axis_init(&ay, rois[r].y0, rois[r].y1, scale, pooled, sampling_ratio, height);
            axis_init(&ax, rois[r].x0, rois[r].x1, scale, pooled, sampling_ratio, width);
            spread_roi(grad_features + c, grad_out + (size_t)r * roi_size + c, width,
                       (size_t)channels, n, &ay, &ax, pooled);
        }
    }
}

/* ---- masks ---- */

/* The hot loop of a target: one row of the plane joins a bin's column sums. */
VECTORIZED
static void add_row(float *restrict sums, const uint8_t *restrict row, uint8_t id, float weight,
                    int n)
{
    for (int x = 0; x < n; x++)
        sums[x] += row[x] == id ? weight : 0;
}

/* Down the columns first, where a row is contiguous and long; the short sums across come last. */
void roi_align_mask_target(float *out, const uint8_t *plane, int height, int width, size_t stride,
                           uint8_t id, const struct box *roi, int side)
{
    struct axis ay, ax;
    float sums[ROI_ALIGN_MAX_SIDE];
    axis_init(&ay, roi->y0, roi->y1, 1, side, 0, height);
    axis_init(&ax, roi->x0, roi->x1, 1, side, 0, width);
    int taps = ax.first[side];
    int left = taps ? ax.taps[0].cell : 0;
    int right = taps ? ax.taps[taps - 1].cell + 1 : 0;

    for (int ph = 0; ph < side; ph++) {
        for (int x = left; x < right; x++)
            sums[x] = 0;
        for (int i = ay.first[ph]; i < ay.first[ph + 1]; i++)
            add_row(sums + left, plane + (size_t)ay.taps[i].cell * stride + left, id,
                    ay.taps[i].weight, right - left);
        for (int pw = 0; pw < side; pw++) {
            float sum = 0;
            for (int j = ax.first[pw]; j < ax.first[pw + 1]; j++)
                sum += ax.taps[j].weight * sums[ax.taps[j].cell];
            *out++ = sum;
        }
    }
}
