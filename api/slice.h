/*
 * One slice from bytes to findings: checked, decoded, predicted. What the service, the command line
 * and the self-test share. A slice_worker belongs to the thread that opened it and is used for one
 * slice after another; it keeps the memory of the largest slice it saw.
 */
#ifndef ONESHOT_API_SLICE_H
#define ONESHOT_API_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/burden.h"
#include "api/options.h"
#include "api/problem.h"
#include "model/base/sha256.h"
#include "model/model.h"

enum {
    SLICE_MAX_WARNINGS = 10,
    SLICE_NAME_SIZE = 256,
    SLICE_LOW_RESOLUTION = 224, /* a longer side below this is warned about */
    SLICE_WINDOW = 1500,        /* HU a PNG's grey scale is taken to span */
    SLICE_LEVEL = -600,         /* HU at its middle */
    SLICE_PNG_OFFSET = 32768,   /* what a 16-bit PNG's values are above HU, where they are HU */
    SLICE_BEYOND_HU = 1000,     /* bone; values from 0 to beyond it have lost their offset */
};

struct slice;

/* Whoever counts slices; called on the worker's thread. */
struct slice_observer {
    /* What became of one: `slice` has its timing; `problem` NULL where all is well. */
    void (*seen)(void *context, const struct slice *slice, const struct problem *problem);
    void *context;
};

struct slice_worker {
    struct session *session;
    const struct model_info *model;
    size_t max_pixels;
    struct prediction *prediction;
    uint8_t *plane, *cover, *columns; /* (height, width) each, of the current slice */
    size_t pixels;                    /* room in each */
    struct slice_observer observer;   /* seen may be NULL */
};

/* Opens a session on this thread. Errors of session_open, ERR_MEMORY. */
int slice_worker_open(struct slice_worker *worker, const struct model *model, size_t max_pixels,
                      struct error *err);
void slice_worker_close(struct slice_worker *worker); /* a zeroed worker is fine */

struct slice_source {
    const uint8_t *bytes; /* borrowed */
    size_t length;
    const char *content_type; /* NULL: not said */
    const char *file;         /* name the caller gave, only ever given back; "" for none */
};

struct slice_warning {
    const char *code;
    char detail[224];
};

/* In milliseconds. */
struct slice_timing {
    double queue, decode, infer, encode;
};

/* How numbers became grey. */
struct slice_intensity {
    enum intensity mode; /* HU or WINDOWED: settled */
    float window, level; /* HU */
    bool assumed;        /* nobody said so, and the file does not tell */
};

struct slice {
    const char *kind;            /* of the file: "png", "nifti-1", ... */
    const struct volume *volume; /* it lies in, borrowed; NULL where that is not known */
    struct volume *own;          /* DICOM: the volume of this slice alone, owned; else NULL */
    int index;                   /* in its volume */
    struct slice_intensity intensity;
    struct burden burden; /* once the masks have been pasted */
    const struct model_info *model;
    const struct prediction *prediction; /* of the worker: valid until its next slice */
    struct image image;                  /* owned */
    char file[SLICE_NAME_SIZE];
    size_t bytes;
    char sha256[SHA256_HEX_SIZE];
    struct slice_warning warnings[SLICE_MAX_WARNINGS];
    int warnings_count;
    struct slice_timing timing;
};

/* Decodes a picture (PNG, or one slice of DICOM) and predicts. `out` is to be freed in every case.
 */
int slice_run(struct slice *out, struct slice_worker *worker, const struct slice_source *source,
              const struct slice_options *options, struct problem *problem);
void slice_free(struct slice *slice);

/*
 * Reads slice `index` of a volume and predicts; `range` says what its voxels were. `out` is to be
 * freed in every case.
 */
int slice_run_volume(struct slice *out, struct voxel_range *range, struct slice_worker *worker,
                     struct volume *volume, int index, const struct slice_options *options,
                     struct problem *problem);

/* Whether values look like HU whose offset got lost: nothing below 0, something above bone. */
bool slice_is_offset(const struct voxel_range *range);

/* What the options make of a kind of input. PROBLEM_BAD_OPTION where they do not fit it. */
int slice_intensity_settle(struct slice_intensity *out, const struct slice_options *options,
                           const struct volume *volume, int bit_depth, bool colour,
                           struct problem *problem);

/* Tells the observer what became of a slice; once, when its answer has been written. */
void slice_report(const struct slice_worker *worker, const struct slice *slice,
                  const struct problem *problem);

/* Adds a warning; ignored where there is no more room. */
void slice_warn(struct slice *slice, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The header Server-Timing, with the wait in the queue. */
void slice_timing_header(struct response *response, double queue_ms,
                         const struct slice_timing *timing);

/*
 * Pastes every detection's mask, one after another, and counts slice->burden; worker->cover then
 * has a bit per class and pixel (see burden.h). `visit` (may be NULL)
 * sees worker->plane with the mask inside *window; what it returns, unless 0, ends the walk and is
 * returned. Warns where a picture shows no lung.
 */
typedef int slice_visitor(void *context, int index, const struct mask_window *window, int64_t area);
int slice_masks(struct slice *slice, struct slice_worker *worker, slice_visitor *visit,
                void *context);

/* Milliseconds on a clock that only moves forward. */
double clock_ms(void);

#endif
