/*
 * An evaluation as documents: JSON for programs, and one HTML page for people that needs nothing
 * but itself (plots are inline SVG, pictures data: URIs, no scripts, no network) and prints well.
 *
 * The same results always give the same bytes: there is no date in them.
 */
#ifndef ONESHOT_EVAL_REPORT_H
#define ONESHOT_EVAL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/buffer.h"
#include "model/eval/classification.h"
#include "model/eval/detection.h"
#include "model/eval/segmentation.h"
#include "model/eval/training_log.h"

/* Strings are the caller's and may hold anything; NULL or "" where nothing is known. */
struct eval_model {
    const char *name, *version, *backbone, *batch_norm, *file, *sha256, *trained_on;
    bool trained; /* false: seeded weights, and the report says that every figure is noise */
    int64_t parameters;
    int regions;  /* beta */
    double flops; /* of one slice */
};

struct eval_setup {
    const char *segmentation_data; /* where the images came from */
    const char *classification_data;
    const char *group;                      /* what the bootstrap drew: "patient", "image" */
    double score_threshold, coco_threshold; /* COCO ranks more detections than a reader wants */
    int max_detections, coco_detections;
    struct bootstrap_options bootstrap;
};

/* The same figures for the images of one origin. */
struct eval_source {
    const char *name;
    bool has_classification, has_segmentation;
    struct classification_result classification;
    struct segmentation_result segmentation;
    struct detection_result detection;
};

struct eval_picture {
    const uint8_t *png;
    size_t length;
    const char *title;   /* file name */
    const char *caption; /* "lesions Dice 0.91" */
};

struct eval_results {
    struct eval_model model;
    struct eval_setup setup;

    bool has_classification;
    struct classification_result classification;
    bool has_segmentation; /* label maps and instances come from the same images */
    struct segmentation_result segmentation;
    struct detection_result detection;

    const struct eval_source *sources;
    int sources_count;
    const struct training_log *log;          /* NULL: none */
    const struct eval_picture *best, *worst; /* galleries, best and worst first */
    int best_count, worst_count;
    const char *pictures_note; /* what their colours mean; may be NULL */
    const char *const *notes;  /* sentences a reader must know about these data */
    int notes_count;
};

enum { REPORT_MAX_BYTES = 256 << 20 }; /* a sensible maximum for the buffer of a report */

/* Appends the document. Errors: those of the buffer; ERR_MEMORY. */
int report_write_html(struct buffer *out, const struct eval_results *results, struct error *err);
int report_write_json(struct buffer *out, const struct eval_results *results, struct error *err);

#endif
