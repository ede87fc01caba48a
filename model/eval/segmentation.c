#include "model/eval/segmentation.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    bool has[PIXEL_LABELS];
} regions[REGIONS] = {
    [REGION_LUNGS] = {"lungs", {[1] = true}},
    [REGION_GGO] = {"ggo", {[2] = true}},
    [REGION_CONSOLIDATION] = {"consolidation", {[3] = true}},
    [REGION_LESIONS] = {"lesions", {[2] = true, [3] = true}},
    [REGION_LUNG_FIELD] = {"lung_field", {[1] = true, [2] = true, [3] = true}},
};

const char *segmentation_region_name(int region)
{
    return region >= 0 && region < REGIONS ? regions[region].name : NULL;
}

int segmentation_count(struct segmentation_counts *out, const uint8_t *truth,
                       const uint8_t *predicted, size_t pixels, struct error *err)
{
    /* Four tables in turn: neighbours mostly agree, and one counter would wait for itself. */
    int64_t tables[4][PIXEL_LABELS * PIXEL_LABELS] = {{0}};
    for (size_t i = 0; i < pixels; i++) {
        unsigned t = truth[i];
        unsigned p = predicted[i];
        if ((t | p) >= PIXEL_LABELS)
            return error_set(err, ERR_BAD_DATA, "pixel %zu: label %u; labels are 0 to %d", i,
                             t > p ? t : p, PIXEL_LABELS - 1);
        tables[i % 4][t * PIXEL_LABELS + p]++;
    }
    for (int t = 0; t < PIXEL_LABELS; t++) {
        for (int p = 0; p < PIXEL_LABELS; p++) {
            int cell = t * PIXEL_LABELS + p;
            out->pixels[t][p] =
                tables[0][cell] + tables[1][cell] + tables[2][cell] + tables[3][cell];
        }
    }
    return 0;
}

struct overlap {
    int64_t both, truth, predicted;
};

static struct overlap region_overlap(const struct segmentation_counts *counts, int region)
{
    struct overlap sum = {0};
    for (int t = 0; t < PIXEL_LABELS; t++) {
        for (int p = 0; p < PIXEL_LABELS; p++) {
            int64_t pixels = counts->pixels[t][p];
            bool in_truth = regions[region].has[t];
            bool in_predicted = regions[region].has[p];
            sum.truth += in_truth ? pixels : 0;
            sum.predicted += in_predicted ? pixels : 0;
            sum.both += in_truth && in_predicted ? pixels : 0;
        }
    }
    return sum;
}

static double dice_of(struct overlap o)
{
    int64_t sum = o.truth + o.predicted;
    return sum > 0 ? 2 * (double)o.both / (double)sum : NAN;
}

static double iou_of(struct overlap o)
{
    int64_t sum = o.truth + o.predicted - o.both;
    return sum > 0 ? (double)o.both / (double)sum : NAN;
}

double segmentation_dice(const struct segmentation_counts *counts, int region)
{
    return dice_of(region_overlap(counts, region));
}

/* ---- the statistics the bootstrap repeats: four numbers a region ---- */

struct context {
    const struct segmentation_counts *counts;
    int64_t images;
};

static void measure_region(double out[4], int region, const uint32_t *weights,
                           const struct context *context)
{
    struct overlap pool = {0};
    double dice = 0;
    double iou = 0;
    int64_t present = 0;
    for (int64_t i = 0; i < context->images; i++) {
        int64_t weight = weights[i];
        struct overlap o = {0};
        if (weight > 0)
            o = region_overlap(&context->counts[i], region);
        if (o.truth + o.predicted == 0)
            continue;
        pool.both += weight * o.both;
        pool.truth += weight * o.truth;
        pool.predicted += weight * o.predicted;
        dice += (double)weight * dice_of(o);
        iou += (double)weight * iou_of(o);
        present += weight;
    }
    out[0] = dice_of(pool);
    out[1] = iou_of(pool);
    out[2] = present > 0 ? dice / (double)present : NAN;
    out[3] = present > 0 ? iou / (double)present : NAN;
}

static void measure(double *out, const uint32_t *weights, const void *context)
{
    for (int region = 0; region < REGIONS; region++)
        measure_region(out + 4 * region, region, weights, context);
}

int segmentation_measure(struct segmentation_result *out, const struct segmentation_counts *counts,
                         int64_t images, const int32_t *groups,
                         const struct bootstrap_options *options, struct error *err)
{
    memset(out, 0, sizeof *out);
    out->images = images;
    struct context context = {counts, images};
    struct estimate estimates[4 * REGIONS];
    if (bootstrap_estimate(estimates, 4 * REGIONS, measure, &context, images, groups, options,
                           &out->groups, err) != 0)
        return -1;
    for (int region = 0; region < REGIONS; region++) {
        struct region_result *result = &out->regions[region];
        result->dice = estimates[4 * region];
        result->iou = estimates[4 * region + 1];
        result->mean_dice = estimates[4 * region + 2];
        result->mean_iou = estimates[4 * region + 3];
    }
    for (int64_t i = 0; i < images; i++) {
        for (int t = 0; t < PIXEL_LABELS; t++)
            for (int p = 0; p < PIXEL_LABELS; p++)
                out->pixels.pixels[t][p] += counts[i].pixels[t][p];
        for (int region = 0; region < REGIONS; region++) {
            bool absent = isnan(segmentation_dice(&counts[i], region));
            out->regions[region].absent += absent;
            out->regions[region].images += !absent;
        }
    }
    return 0;
}
