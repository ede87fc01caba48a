/*
 * Inference over the network: the hand-written steps between its sub-networks, one function per
 * stage, in the order they run. A stage reads what earlier stages left in the bench and leaves its
 * own results there, so that any stage can also be fed from elsewhere (that is how each is compared
 * with a reference on its own).
 *
 * A detector is the compiled network and may be shared; a bench is the memory of one inference at a
 * time and belongs to the thread that opened it. No stage allocates.
 */
#ifndef ONESHOT_NET_DETECTOR_H
#define ONESHOT_NET_DETECTOR_H

#include <stdbool.h>

#include "model/net/network.h"
#include "model/nn/plan.h"
#include "model/rcnn/box.h"

enum { DETECTOR_MAX_DETECTIONS = 128, DETECTOR_MAX_REGIONS = 256, DETECTOR_SIDE = 512 };

struct detector;

enum detector_use {
    DETECT_SERVE,    /* inference; the parameter values may be dropped once compiled */
    DETECT_INSPECT,  /* the same, and bench.region_features can be read */
    DETECT_CLASSIFY, /* a classification step: batch statistics, and gradients back to the image of
                        what `fate` says trains; boxes are constants */
};

/* Compiles the sub-networks; the network must outlive the detector. `fate`: see plan_options. */
int detector_compile(struct detector **out, const struct network *network, enum detector_use use,
                     enum param_fate (*fate)(const char *name, const void *context),
                     const void *context, struct error *err);
/* Packs changed weights again, after a step. */
int detector_refresh(struct detector *detector, struct error *err);
void detector_free(struct detector *detector);
const struct network *detector_network(const struct detector *detector);

struct found {
    struct box box; /* in pixels of the network's input */
    float score;
    int label;
    int candidate; /* proposal * OBJECT_CLASSES + label */
};

struct bench {
    const struct detector *detector;
    void *workspace;
    struct run *run[SUBNETS];

    /* Values of the sub-networks, in the memory of their runs; C = channels, P = proposals. */
    float *image;                   /* (512, 512) standardised */
    float *features;                /* (16, 16, C), channels last */
    float *objectness, *rpn_deltas; /* (16, 16, A), (16, 16, A, 4) */
    float *logits[2], *deltas[2];   /* (P, 4), (P, 16): segmentation, classification branch */
    const float *region_features;   /* (beta, 28, 28, C), channels last; NULL unless inspecting */
    float *vectors;                 /* (beta, C) */
    float *states[BRANCHES];        /* (beta, C) */
    float *z[BRANCHES], *alpha[BRANCHES], *o[BRANCHES]; /* (C), (beta), (C) */
    float *class_logits[BRANCHES];                      /* (3) */

    float width, height; /* of the slice inside the input: boxes are clipped to it */
    struct box *proposals;
    int proposals_count;
    struct found *detections; /* descending score */
    float *masks;             /* (detections, 28, 28) probabilities of the predicted class */
    int detections_count;
    struct found *regions; /* by distance of (x0, y0) from the origin */
    bool *padded;          /* by region: repeats one kept before */
    int regions_count, unique_regions;

    /* scratch, sized when the bench opens */
    struct box *anchors, *boxes;
    int *order, *labels, *keep, *origin;
    struct found *kept_regions;
    float *scores;
    uint64_t *sorting;
};

int bench_open(struct bench **out, const struct detector *detector, struct error *err);
void bench_close(struct bench *bench);

/* Section 2: image -> features. */
int detect_features(struct bench *bench, struct error *err);
/* Section 3: features -> objectness, rpn_deltas; those -> proposals. */
int detect_rpn(struct bench *bench, struct error *err);
void detect_proposals(struct bench *bench);
/* Section 4: features, proposals -> logits and deltas of both branches. */
int detect_boxes(struct bench *bench, struct error *err);
/* Section 5: segmentation branch -> detections; features, detections -> masks. */
void detect_objects(struct bench *bench, float score_threshold, int max_detections);
int detect_masks(struct bench *bench, struct error *err);
/* Section 6: classification branch -> regions; features, regions -> vectors (6, 7). */
void detect_regions(struct bench *bench);
int detect_evidence(struct bench *bench, struct error *err);
/* Section 7: vectors -> states -> z, alpha, o. Section 8: o -> class logits of both branches. */
int detect_sequence(struct bench *bench, struct error *err);
int detect_attention(struct bench *bench, struct error *err);
int detect_classes(struct bench *bench, struct error *err);

#endif
