/*
 * The options of a prediction, from a query, a JSON object or the command line: one table names
 * each with its kind and range, and writes the message when a value does not fit. Any thread.
 */
#ifndef ONESHOT_API_OPTIONS_H
#define ONESHOT_API_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "api/problem.h"

enum mask_format {
    MASKS_RLE,     /* COCO run lengths, compressed: exact */
    MASKS_POLYGON, /* outlines, simplified: holes are filled */
    MASKS_PNG,     /* a PNG of the slice's size, base64 */
    MASKS_NONE,
};

struct slice_options {
    enum mask_format masks;
    float score_threshold; /* negative: the model's default */
    int max_detections;    /* 0: the model's default */
    bool explain;
};

void options_default(struct slice_options *options);

/* Sets one option from text. PROBLEM_BAD_OPTION names the option and what it takes. */
int options_set(struct slice_options *options, const char *name, const char *value,
                struct problem *problem);

/* Sets every option of a query string. A name given twice is a problem. */
int options_from_query(struct slice_options *options, const char *query, struct problem *problem);

/* Sets every member of a JSON object of at most 16 KB. */
int options_from_json(struct slice_options *options, const char *text, size_t length,
                      struct problem *problem);

/* "rle" … of a format. */
const char *mask_format_name(enum mask_format format);

#endif
