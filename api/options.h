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

/* What an input's numbers are. */
enum intensity {
    INTENSITY_AUTO,     /* grey of pictures and of 8-bit volumes, else HU */
    INTENSITY_HU,       /* Hounsfield units, to be seen through the window */
    INTENSITY_WINDOWED, /* grey that was made with the window */
};

/* Slices first, first + step, ... before last; ends count from the end where negative. */
struct slice_range {
    bool given, has_first, has_last;
    int first, last, step;
};

struct slice_options {
    enum mask_format masks;
    float score_threshold; /* negative: the model's default */
    int max_detections;    /* 0: the model's default */
    bool explain;
    enum intensity intensity;
    float window, level; /* HU; 0 and NAN: not said */
    struct slice_range slices;
};

/*
 * Which slices of `count` are wanted: *first, and *chosen of them, `step` apart (a default of all).
 * PROBLEM_BAD_OPTION where there is none.
 */
int options_choose(int *first, int *chosen, int *step, const struct slice_options *options,
                   int count, struct problem *problem);

void options_default(struct slice_options *options);

/* Sets one option from text. PROBLEM_BAD_OPTION names the option and what it takes. */
int options_set(struct slice_options *options, const char *name, const char *value,
                struct problem *problem);

/* Sets every option of a query string. A name given twice is a problem. */
int options_from_query(struct slice_options *options, const char *query, struct problem *problem);

/* Sets every member of a JSON object of at most 16 KB. */
int options_from_json(struct slice_options *options, const char *text, size_t length,
                      struct problem *problem);

/* "rle" … of a format, "auto" … of an intensity. */
const char *mask_format_name(enum mask_format format);
const char *intensity_name(enum intensity intensity);

#endif
