/*
 * Runs a model over the images of an evaluation, on several threads with a session each, and keeps
 * of every image the little that the metrics need. What comes out does not depend on the number of
 * threads: a session computes on one, and results are kept in the order of the images.
 */
#ifndef ONESHOT_SERVER_EVAL_RUN_H
#define ONESHOT_SERVER_EVAL_RUN_H

#include "model/eval/detection.h"
#include "model/eval/segmentation.h"
#include "model/model.h"
#include "server/eval_set.h"

struct eval_limits {
    float score_threshold; /* label maps and AP per image: detections above this, */
    int max_detections;    /* at most so many */
    float coco_threshold;  /* COCO's AP: lower, and more of them */
    int coco_detections;
};

/* Of an image with a label map. */
struct eval_mapped {
    bool done; /* false: the image could not be used */
    struct segmentation_counts counts;
    struct ap_image ap;
};

/* Of an image with classes. */
struct eval_classified {
    bool done;
    int8_t predicted; /* -1: no answer */
    float probabilities[MODEL_IMAGE_CLASSES];
};

struct eval_run {
    const struct model *model;                            /* loaded with one thread per session */
    const struct eval_set *segmentation, *classification; /* may be empty */
    struct eval_limits limits;
    int workers;
    bool quiet; /* no progress bar */

    /* Filled by eval_run_all; owned. */
    struct eval_mapped *mapped;         /* one a sample of segmentation */
    struct eval_classified *classified; /* one a sample of classification */
    size_t problems;                    /* images that could not be used */
    char first_problem[ERROR_TEXT_SIZE];
};

/* ERR_MEMORY, ERR_INTERNAL; images that cannot be read or predicted are counted, not errors. */
int eval_run_all(struct eval_run *run, struct error *err);
void eval_run_free(struct eval_run *run);

/*
 * The label map (height, width) of a prediction: of the first max_detections above score_threshold,
 * the graver label where masks overlap. `plane` is scratch of the same size.
 */
void eval_label_map(uint8_t *map, uint8_t *plane, const struct prediction *prediction,
                    const struct eval_limits *limits);

/* How many detections of a prediction are above a threshold, at most `most`. */
int eval_kept(const struct prediction *prediction, float threshold, int most);

#endif
