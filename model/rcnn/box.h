/*
 * Boxes: overlap, the coder between boxes and regression deltas, ranking, and non-maximum
 * suppression. Plain arrays in and out; nothing is allocated, every function may be called from
 * any thread, and any float (NaN, infinite, inverted boxes) is answered without undefined
 * behaviour.
 *
 * The arithmetic is single precision in torchvision's order of operations: what these functions
 * compute is compared with thresholds, and a different rounding would choose different boxes.
 */
#ifndef ONESHOT_RCNN_BOX_H
#define ONESHOT_RCNN_BOX_H

#include <stdint.h>

struct box {
    float x0, y0, x1, y1; /* x0 <= x1, y0 <= y1 */
};

/* (x1 - x0) * (y1 - y0); no +1: a box is a region of the plane, not a set of pixels. */
float box_area(const struct box *b);

/* Intersection over union in [0,1]; 0 where it is not defined (two empty boxes, NaN). */
float box_iou(const struct box *a, const struct box *b);

/* Limits b to [0,width] x [0,height]. NaN becomes 0, so that what is clipped is finite. */
void box_clip(struct box *b, float width, float height);

/*
 * What a network regresses: delta = (dx, dy, dw, dh), the shift of the centre in units of the
 * anchor's size and the logarithm of the change of size, each times its weight (Faster R-CNN,
 * equation 2). Proposals use weights 1, box branches 10, 10, 5, 5.
 */
struct box_coder {
    float wx, wy, ww, wh;
};

/* dw and dh are limited to ln(1000/16) first: an untrained network must not overflow expf. */
void box_decode(struct box *out, const struct box *anchor, const float delta[4],
                const struct box_coder *coder);

/* The inverse. `anchor` must have an area, or the result is not finite. */
void box_encode(float delta[4], const struct box *truth, const struct box *anchor,
                const struct box_coder *coder);

/*
 * order[0..n-1] = indices of scores[0..n-1] from the highest down, equal scores by lower index,
 * NaN last. `scratch` holds 2n words.
 */
void box_sort_desc(int *order, const float *scores, int n, uint64_t *scratch);

/* The first k of the same order without sorting the rest; returns min(k, n), order[] holds them. */
int box_top_k(int *order, const float *scores, int n, int k, uint64_t *scratch);

enum { BOX_NMS_MAX_KEEP = 1024 };

/*
 * Greedy non-maximum suppression. Candidates are boxes[order[0]], boxes[order[1]], ... by
 * descending score (`order` NULL: 0, 1, ...); one is dropped where its IoU with a candidate kept
 * before is above `threshold`. `labels` (>= 0, indexed like boxes) keeps classes apart: boxes of
 * different labels never suppress each other; NULL where there is one class.
 *
 * Stops at `max_keep` (at most BOX_NMS_MAX_KEEP). Returns how many were kept; keep[] holds their
 * indices into boxes, by descending score. n = 3200 takes well under a millisecond per 200 kept.
 */
int box_nms(int *keep, const struct box *boxes, const int *labels, const int *order, int n,
            float threshold, int max_keep);

#endif
