#include "model/rcnn/match.h"

#include "model/base/vector.h"

enum { BLOCK = 256 };

/*
 * box_iou of one ground truth with a block of boxes. It runs twice per ground truth and the results
 * are compared for equality, so there is one function for both.
 */
VECTORIZED
static void iou_block(float *restrict out, const struct box *restrict gt,
                      const struct box *restrict boxes, int n)
{
    const struct box t = *gt;
    float gt_area = (t.x1 - t.x0) * (t.y1 - t.y0);
    for (int i = 0; i < n; i++) {
        struct box b = boxes[i];
        float w = (b.x1 < t.x1 ? b.x1 : t.x1) - (b.x0 > t.x0 ? b.x0 : t.x0);
        float h = (b.y1 < t.y1 ? b.y1 : t.y1) - (b.y0 > t.y0 ? b.y0 : t.y0);
        float inter = (w > 0 ? w : 0) * (h > 0 ? h : 0);
        float iou = inter / (gt_area + (b.x1 - b.x0) * (b.y1 - b.y0) - inter);
        out[i] = iou > 0 ? iou : 0;
    }
}

static int block_size(int n, int first)
{
    return n - first < BLOCK ? n - first : BLOCK;
}

/*
 * While the ground truths are gone through, match[i] is 2 * (best ground truth so far) + (some
 * ground truth claims this box).
 */
static float take_best(int *match, float *iou, const struct box *gt, int g, const struct box *boxes,
                       int n)
{
    float row[BLOCK], best = 0;
    for (int first = 0; first < n; first += BLOCK) {
        int count = block_size(n, first);
        iou_block(row, &gt[g], boxes + first, count);
        for (int i = 0; i < count; i++) {
            best = row[i] > best ? row[i] : best;
            if (row[i] > iou[first + i]) {
                iou[first + i] = row[i];
                match[first + i] = 2 * g + (match[first + i] & 1);
            }
        }
    }
    return best;
}

static void claim_equals(int *match, const struct box *gt, float best, const struct box *boxes,
                         int n)
{
    float row[BLOCK];
    for (int first = 0; first < n; first += BLOCK) {
        int count = block_size(n, first);
        iou_block(row, gt, boxes + first, count);
        for (int i = 0; i < count; i++)
            match[first + i] |= row[i] == best;
    }
}

int match_boxes(int *match, float *iou, const struct box *gt, int gt_n, const struct box *boxes,
                int n, float fg, float bg, bool keep_best)
{
    int matched = 0;
    for (int i = 0; i < n; i++) {
        match[i] = 0;
        iou[i] = 0;
    }
    for (int g = 0; g < gt_n; g++) {
        float best = take_best(match, iou, gt, g, boxes, n);
        if (keep_best && best > 0)
            claim_equals(match, &gt[g], best, boxes, n);
    }
    for (int i = 0; i < n; i++) {
        bool take = gt_n > 0 && (iou[i] >= fg || match[i] & 1);
        match[i] = take                       ? match[i] / 2
                   : gt_n == 0 || iou[i] < bg ? MATCH_BACKGROUND
                                              : MATCH_BETWEEN;
        matched += take;
    }
    return matched;
}

static bool is_positive(int match)
{
    return match >= 0;
}

static bool is_negative(int match)
{
    return match == MATCH_BACKGROUND;
}

/*
 * Takes `want` of the `left` boxes of one kind, every subset with equal chance, in one pass and in
 * order: each is taken with probability (still wanted) / (still to come). Knuth, TAOCP 3.4.2 S.
 */
static void draw(int *selected, const int *match, bool (*is_kind)(int), uint32_t left,
                 uint32_t want, struct rng *rng)
{
    for (int i = 0; want > 0; i++)
        if (is_kind(match[i]) && rng_below(rng, left--) < want) {
            *selected++ = i;
            want--;
        }
}

int sample_balanced(int *selected, int *positives, const int *match, int n, int batch_size,
                    float positive_fraction, struct rng *rng)
{
    int all_positive = 0, all_negative = 0;
    for (int i = 0; i < n; i++) {
        all_positive += is_positive(match[i]);
        all_negative += is_negative(match[i]);
    }
    int positive = (int)((float)batch_size * positive_fraction);
    if (positive > all_positive)
        positive = all_positive;
    int negative = batch_size - positive < all_negative ? batch_size - positive : all_negative;
    draw(selected, match, is_positive, (uint32_t)all_positive, (uint32_t)positive, rng);
    draw(selected + positive, match, is_negative, (uint32_t)all_negative, (uint32_t)negative, rng);
    *positives = positive;
    return positive + negative;
}
