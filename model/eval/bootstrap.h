/*
 * Bootstrap intervals by the percentile method (Efron and Tibshirani, 1993, chapter 13).
 *
 * A sample is drawn again and again from the test set, with replacement, as large as the set; the
 * statistics of each are computed, and the middle 95 % of them is the interval. Slices of one
 * patient resemble each other, so where groups are known whole groups are drawn, not images.
 * A resample is never copied: statistics see how often each image was drawn (its weight).
 * The same seed gives the same intervals. Plain functions, any thread.
 */
#ifndef ONESHOT_EVAL_BOOTSTRAP_H
#define ONESHOT_EVAL_BOOTSTRAP_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/error.h"

/* A number that may not exist (no positives, no pixels): then it is flagged, never NaN. */
struct estimate {
    bool defined;     /* false: value, low and high are 0 and mean nothing */
    bool interval;    /* low and high are set */
    double value;     /* on the whole test set */
    double low, high; /* percentiles of the resamples */
};

struct bootstrap_options {
    uint64_t seed;
    int resamples; /* 0: no intervals */
    double level;  /* share of the resamples inside the interval, (0,1) */
};

/* Seed 1, 2000 resamples, 95 %. */
struct bootstrap_options bootstrap_defaults(void);

/*
 * Computes `count` statistics of a sample in which image i occurs weights[i] times (maybe 0).
 * A statistic the sample does not determine is set to NAN.
 */
typedef void bootstrap_statistics(double *values, const uint32_t *weights, const void *context);

/*
 * Fills out[0..count-1] for `images` images. groups[i] in 0..images-1 names the group of image i;
 * NULL = each image is its own; *used_groups (may be NULL) is how many there are.
 * There is a value without interval where there is a single group, or where a statistic is defined
 * in less than 80 % of the resamples: then it rests on one group (whose absence leaves it undefined
 * in a third of them), and an interval would show how sure one patient is of himself.
 * Errors: ERR_ARGUMENT (a group or an option out of range), ERR_TOO_LARGE, ERR_MEMORY.
 */
int bootstrap_estimate(struct estimate *out, int count, bootstrap_statistics *statistics,
                       const void *context, int64_t images, const int32_t *groups,
                       const struct bootstrap_options *options, int64_t *used_groups,
                       struct error *err);

/* A value without interval; NAN gives an undefined one. */
struct estimate estimate_of(double value);

#endif
