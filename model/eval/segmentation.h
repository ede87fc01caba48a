/*
 * Overlap of predicted and true label maps: Dice and IoU of regions, pooled over the data set and
 * as the mean over images, with bootstrap intervals.
 *
 * Labels: 0 background, 1 lungs, 2 ground glass opacity, 3 consolidation; each pixel has one. All
 * that is kept of an image is its 4 x 4 table of pixel counts.
 */
#ifndef ONESHOT_EVAL_SEGMENTATION_H
#define ONESHOT_EVAL_SEGMENTATION_H

#include <stddef.h>
#include <stdint.h>

#include "model/eval/bootstrap.h"

enum { PIXEL_LABELS = 4 };

/* Unions of labels that are scored as one region. */
enum segmentation_region {
    REGION_LUNGS,         /* label 1: lung without lesions, as annotated */
    REGION_GGO,           /* label 2 */
    REGION_CONSOLIDATION, /* label 3 */
    REGION_LESIONS,       /* labels 2 and 3 */
    REGION_LUNG_FIELD,    /* labels 1, 2 and 3: the lung with its lesions */
    REGIONS
};

/* "lungs", "ggo", "consolidation", "lesions", "lung_field"; NULL outside. */
const char *segmentation_region_name(int region);

/* One image: pixels[t][p] have true label t and predicted label p. */
struct segmentation_counts {
    int64_t pixels[PIXEL_LABELS][PIXEL_LABELS];
};

/* Counts two label maps of `pixels` bytes each. ERR_BAD_DATA: a label above 3. Any thread. */
int segmentation_count(struct segmentation_counts *out, const uint8_t *truth,
                       const uint8_t *predicted, size_t pixels, struct error *err);

/* 2 I / (T + P) of one image and region; NAN where the region is in neither. */
double segmentation_dice(const struct segmentation_counts *counts, int region);

struct region_result {
    struct estimate dice, iou;           /* of the pixel sums over all images */
    struct estimate mean_dice, mean_iou; /* over the images where truth or prediction has it */
    int64_t images;                      /* behind the means */
    int64_t absent;                      /* left out of the means: in neither */
};

struct segmentation_result {
    int64_t images;
    int64_t groups;
    struct segmentation_counts pixels; /* sums */
    struct region_result regions[REGIONS];
};

/* Results of counts[0..images-1]; groups as bootstrap_estimate. Its errors. */
int segmentation_measure(struct segmentation_result *out, const struct segmentation_counts *counts,
                         int64_t images, const int32_t *groups,
                         const struct bootstrap_options *options, struct error *err);

#endif
