#include "model/rcnn/box.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "model/base/vector.h"

/* Built as ISO C, where a * b + c is rounded twice. GNU dialects fuse it where a processor can. */

static float max_f(float a, float b)
{
    return a > b ? a : b;
}

static float min_f(float a, float b)
{
    return a < b ? a : b;
}

float box_area(const struct box *b)
{
    return (b->x1 - b->x0) * (b->y1 - b->y0);
}

float box_iou(const struct box *a, const struct box *b)
{
    float w = max_f(0, min_f(a->x1, b->x1) - max_f(a->x0, b->x0));
    float h = max_f(0, min_f(a->y1, b->y1) - max_f(a->y0, b->y0));
    float inter = w * h;
    float iou = inter / (box_area(a) + box_area(b) - inter);
    return iou > 0 ? iou : 0; /* 0/0 of empty boxes ends here too */
}

/* Written so that NaN fails the first comparison. */
static float clip(float v, float limit)
{
    return v > 0 ? min_f(v, limit) : 0;
}

void box_clip(struct box *b, float width, float height)
{
    b->x0 = clip(b->x0, width);
    b->x1 = clip(b->x1, width);
    b->y0 = clip(b->y0, height);
    b->y1 = clip(b->y1, height);
}

/* ---- coder ---- */

static const float size_delta_max = 4.135166556742356f; /* ln(1000/16) */

void box_decode(struct box *out, const struct box *anchor, const float delta[4],
                const struct box_coder *coder)
{
    float width = anchor->x1 - anchor->x0;
    float height = anchor->y1 - anchor->y0;
    float dw = min_f(size_delta_max, delta[2] / coder->ww);
    float dh = min_f(size_delta_max, delta[3] / coder->wh);
    float centre_x = delta[0] / coder->wx * width + (anchor->x0 + 0.5f * width);
    float centre_y = delta[1] / coder->wy * height + (anchor->y0 + 0.5f * height);
    float half_w = 0.5f * (expf(dw) * width);
    float half_h = 0.5f * (expf(dh) * height);
    *out = (struct box){centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h};
}

void box_encode(float delta[4], const struct box *truth, const struct box *anchor,
                const struct box_coder *coder)
{
    float width = anchor->x1 - anchor->x0;
    float height = anchor->y1 - anchor->y0;
    float truth_w = truth->x1 - truth->x0;
    float truth_h = truth->y1 - truth->y0;
    float shift_x = (truth->x0 + 0.5f * truth_w) - (anchor->x0 + 0.5f * width);
    float shift_y = (truth->y0 + 0.5f * truth_h) - (anchor->y0 + 0.5f * height);
    delta[0] = coder->wx * shift_x / width;
    delta[1] = coder->wy * shift_y / height;
    delta[2] = coder->ww * logf(truth_w / width);
    delta[3] = coder->wh * logf(truth_h / height);
}

/* ---- ranking ---- */

enum { DIGIT_BITS = 11, DIGITS = 3, BUCKETS = 1 << DIGIT_BITS };

/* A key that ascends where the score descends; NaN gets the largest. */
static uint32_t descending_key(float score)
{
    uint32_t bits;
    float s = score + 0.0f; /* -0 and 0 are the same score */
    if (isnan(s))
        return UINT32_MAX;
    memcpy(&bits, &s, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

static unsigned digit_of(uint64_t item, int digit)
{
    return (unsigned)(item >> (32 + DIGIT_BITS * digit)) & (BUCKETS - 1);
}

/* Stable sort of `n` items by their upper word, through `other`; returns where the result is. */
static const uint64_t *radix_sort(uint64_t *items, uint64_t *other, int n)
{
    for (int digit = 0; digit < DIGITS; digit++) {
        int start[BUCKETS] = {0};
        int sum = 0;
        for (int i = 0; i < n; i++)
            start[digit_of(items[i], digit)]++;
        for (int b = 0; b < BUCKETS; b++) {
            int count = start[b];
            start[b] = sum;
            sum += count;
        }
        for (int i = 0; i < n; i++)
            other[start[digit_of(items[i], digit)]++] = items[i];
        uint64_t *swap = items;
        items = other;
        other = swap;
    }
    return items;
}

/*
 * Items are (key, index) pairs in one word. Only the buckets of the top digit that hold the first
 * k can matter: they are found by counting and the rest never enters the sort.
 */
int box_top_k(int *order, const float *scores, int n, int k, uint64_t *scratch)
{
    int counts[BUCKETS] = {0};
    uint64_t *items = scratch;
    if (k > n)
        k = n;
    if (k <= 0)
        return 0;
    for (int i = 0; i < n; i++) {
        items[i] = (uint64_t)descending_key(scores[i]) << 32 | (uint32_t)i;
        counts[digit_of(items[i], DIGITS - 1)]++;
    }
    unsigned last = 0;
    for (int seen = counts[0]; seen < k; seen += counts[++last])
        ;
    int kept = 0;
    for (int i = 0; i < n; i++) {
        items[kept] = items[i];
        kept += digit_of(items[i], DIGITS - 1) <= last;
    }
    const uint64_t *sorted = radix_sort(items, scratch + n, kept);
    for (int i = 0; i < k; i++)
        order[i] = (int)(uint32_t)sorted[i];
    return k;
}

void box_sort_desc(int *order, const float *scores, int n, uint64_t *scratch)
{
    box_top_k(order, scores, n, n, scratch);
}

/* ---- suppression ---- */

enum { LANES = 16 }; /* divides BOX_NMS_MAX_KEEP */

struct kept {
    float x0[BOX_NMS_MAX_KEEP], y0[BOX_NMS_MAX_KEEP], x1[BOX_NMS_MAX_KEEP], y1[BOX_NMS_MAX_KEEP],
        area[BOX_NMS_MAX_KEEP];
    int label[BOX_NMS_MAX_KEEP];
};

/*
 * Whether any of the first `count` kept boxes suppresses b. Runs over whole groups of LANES: what
 * lies behind the last kept box has a label nobody has.
 */
VECTORIZED
static bool suppressed(const struct kept *kept, int count, const struct box *b, int label,
                       float threshold)
{
    float area = (b->x1 - b->x0) * (b->y1 - b->y0);
    for (int first = 0; first < count; first += LANES) {
        int hits = 0;
        for (int k = first; k < first + LANES; k++) {
            float x0 = kept->x0[k] > b->x0 ? kept->x0[k] : b->x0;
            float y0 = kept->y0[k] > b->y0 ? kept->y0[k] : b->y0;
            float x1 = kept->x1[k] < b->x1 ? kept->x1[k] : b->x1;
            float y1 = kept->y1[k] < b->y1 ? kept->y1[k] : b->y1;
            float w = x1 - x0 > 0 ? x1 - x0 : 0;
            float h = y1 - y0 > 0 ? y1 - y0 : 0;
            float inter = w * h;
            float iou = inter / (kept->area[k] + area - inter);
            hits |= (iou > threshold) & (kept->label[k] == label);
        }
        if (hits)
            return true;
    }
    return false;
}

static void kept_add(struct kept *kept, int at, const struct box *b, int label)
{
    kept->x0[at] = b->x0;
    kept->y0[at] = b->y0;
    kept->x1[at] = b->x1;
    kept->y1[at] = b->y1;
    kept->area[at] = box_area(b);
    kept->label[at] = label;
}

int box_nms(int *keep, const struct box *boxes, const int *labels, const int *order, int n,
            float threshold, int max_keep)
{
    struct kept kept;
    int count = 0;
    if (max_keep > BOX_NMS_MAX_KEEP)
        max_keep = BOX_NMS_MAX_KEEP;
    for (int i = 0; i < n && count < max_keep; i++) {
        int index = order ? order[i] : i;
        int label = labels ? labels[index] : 0;
        if (suppressed(&kept, count, &boxes[index], label, threshold))
            continue;
        if (count % LANES == 0)
            for (int k = count; k < count + LANES; k++)
                kept_add(&kept, k, &(struct box){0}, -1);
        kept_add(&kept, count, &boxes[index], label);
        keep[count++] = index;
    }
    return count;
}
