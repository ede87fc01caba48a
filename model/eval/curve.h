/*
 * Ranking and calibration of one class: ROC and precision-recall curves, the areas under them, and
 * reliability bins. Equal scores are one threshold: they enter a curve together, so no result
 * depends on the order of the input.
 */
#ifndef ONESHOT_EVAL_CURVE_H
#define ONESHOT_EVAL_CURVE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/error.h"

/* Images of known label, best score first. */
struct ranking {
    int64_t count;
    int32_t *image; /* owned: index into the caller's arrays */
    bool *positive; /* owned */
    bool *ends;     /* owned: the last of a run of equal scores */
};

/*
 * Ranks `images` images by score[i * stride], descending; ties keep their order. Left out are those
 * whose label[i * stride] is neither 0 nor 1; where valid[i] is negative the image got no score and
 * ranks below all others (valid may be NULL). At most INT32_MAX images.
 * ERR_MEMORY, ERR_ARGUMENT (a score is NaN).
 */
int ranking_make(struct ranking *out, const float *score, const int8_t *label, int stride,
                 const int8_t *valid, int64_t images, struct error *err);
void ranking_free(struct ranking *ranking);

/*
 * Area under the ROC curve as Mann and Whitney count it: the share of pairs (positive, negative)
 * in which the positive scores higher, a tie counting one half. weights[image] is how often an
 * image occurs, NULL = once. NAN without positives or without negatives.
 */
double ranking_auroc(const struct ranking *ranking, const uint32_t *weights);

/*
 * Average precision: precision at each threshold times the recall it adds, without interpolation.
 * NAN without positives.
 */
double ranking_average_precision(const struct ranking *ranking, const uint32_t *weights);

struct curve {
    int64_t count;
    double *x, *y; /* owned, from the strictest threshold to the loosest */
};

/* False positive rate and true positive rate, from (0,0) to (1,1); empty where undefined. */
int curve_roc(struct curve *out, const struct ranking *ranking, struct error *err);

/* Recall and precision, one point a threshold, from the highest; empty without positives. */
int curve_precision_recall(struct curve *out, const struct ranking *ranking, struct error *err);

/*
 * Drops points closer than `distance` in both directions to the last one kept, for drawing and
 * writing; first and last stay.
 */
void curve_thin(struct curve *curve, double distance);
void curve_free(struct curve *curve);

enum { CALIBRATION_BINS = 10 };

struct calibration_bin {
    int64_t count;
    double probability; /* mean predicted; 0 where count is 0 */
    double frequency;   /* share of positives */
};

/* Reliability in bins of equal width, [0,.1) .. [.9,1]. */
struct calibration {
    int64_t count; /* 0: undefined, every number below is 0 */
    struct calibration_bin bins[CALIBRATION_BINS];
    double ece;   /* mean over images of |probability - frequency| of their bin */
    double brier; /* mean of (probability - label)^2 */
};

/* Images as in ranking_make; those without a score are left out. */
void calibration_measure(struct calibration *out, const float *probability, const int8_t *label,
                         int stride, const int8_t *valid, int64_t images);

#endif
