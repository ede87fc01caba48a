/*
 * Average precision of instances with masks, two ways that must not be mixed up:
 *
 * per image   the paper's (section 4.2, as its reference implementation computes it): every image
 *             has its own AP and the result is the mean over images. Predictions of all classes
 *             rank together. Each ground truth, in the order given, takes the best overlapping
 *             prediction of its class with IoU > threshold; two of them may take the same one,
 *             which counts once. Precision is padded with 0 and 0, recall with 0 and 1, precision
 *             made monotone from the right, the area summed over steps of recall. An image with
 *             neither truth nor predictions scores 1, with only one of them 0.
 * COCO        one ranking over the data set per class: at most 100 predictions per image and class,
 *             greedy by score, each takes the best overlapping free ground truth with
 *             IoU >= threshold, precision read at 101 recalls (0, .01, .. 1), mean over classes
 *             that have ground truth. What pycocotools' COCOeval gives for "segm", all areas, no
 *             crowds.
 *
 * Matching an image is the work and may run on any thread; the small records it leaves are added to
 * an evaluation in the order of the images, by one thread, so results do not depend on timing.
 */
#ifndef ONESHOT_EVAL_DETECTION_H
#define ONESHOT_EVAL_DETECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "model/eval/bitmask.h"
#include "model/eval/bootstrap.h"

enum {
    AP_CLASSES = 3,     /* labels 1..3 */
    AP_THRESHOLDS = 10, /* IoU .50, .55, .. .95 */
    AP_AT_50 = 0,       /* index of the threshold .5 */
    AP_AT_75 = 5,       /* of .75 */
    AP_MAX_PER_CLASS = 100,
};

/* .50 + .05 index */
double ap_threshold(int index);

struct ap_truth {
    int label; /* 1..3 */
    const struct bitmask *mask;
};

struct ap_prediction {
    int label; /* 1..3 */
    float score;
    const struct bitmask *mask;
};

/* What remains of an image. */
struct ap_image {
    /* Per-image AP of all classes together [0] and of class c [c]. */
    bool present[1 + AP_CLASSES]; /* [c]: class c is in truth or predictions; [0]: always */
    double ap[1 + AP_CLASSES][AP_THRESHOLDS];

    /* For COCO: the first 100 predictions of each class, best first. */
    int32_t truths[AP_CLASSES];
    int32_t predictions[AP_CLASSES];
    float scores[AP_CLASSES][AP_MAX_PER_CLASS];
    uint16_t hits[AP_CLASSES][AP_MAX_PER_CLASS]; /* bit t: a true positive at threshold t */
};

/*
 * Matches one image. All masks must be of one size. Predictions may come in any order; equal scores
 * keep theirs. ERR_BAD_DATA (label, score or mask size), ERR_MEMORY.
 */
int ap_match(struct ap_image *out, const struct ap_truth *truths, int truths_count,
             const struct ap_prediction *predictions, int predictions_count, struct error *err);

struct ap_scores {
    struct estimate at[AP_THRESHOLDS];
    struct estimate mean; /* over the ten thresholds */
};

struct detection_result {
    int64_t images;
    int64_t groups;
    int64_t truths[AP_CLASSES];      /* instances */
    int64_t predictions[AP_CLASSES]; /* at most 100 an image */

    /* [0]: all classes together; [c]: class c alone, over the images that have it in truth or
     * predictions */
    struct ap_scores per_image[1 + AP_CLASSES];
    int64_t per_image_count[1 + AP_CLASSES]; /* images behind the mean */

    /* [0]: mean over the classes with ground truth; [c]: class c, undefined without ground truth */
    struct ap_scores coco[1 + AP_CLASSES];
    struct estimate coco_recall[1 + AP_CLASSES]; /* AR: recall of all, mean over thresholds */
};

struct ap_evaluation; /* holds 12 bytes a prediction and 336 an image */

int ap_open(struct ap_evaluation **out, struct error *err); /* ERR_MEMORY */
void ap_close(struct ap_evaluation *evaluation);            /* NULL is fine */

/* Adds the next image, which is copied. ERR_MEMORY; then nothing was added. */
int ap_add(struct ap_evaluation *evaluation, const struct ap_image *image, struct error *err);

/* Results of all images added so far. `groups` as bootstrap_estimate, one for each image added. */
int ap_measure(struct detection_result *out, const struct ap_evaluation *evaluation,
               const int32_t *groups, const struct bootstrap_options *options, struct error *err);

#endif
