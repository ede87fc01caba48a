/*
 * A volume on its way through the model: which of its slices are wanted, whose turn is next, and
 * what they add up to. One scan belongs to one request and is used by one thread at a time.
 */
#ifndef ONESHOT_API_SCAN_H
#define ONESHOT_API_SCAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/slice.h"

enum {
    SCAN_RIGHT,
    SCAN_LEFT, /* of the patient */
    SCAN_SIDES,
    SCAN_WORST = 5,          /* slices named as the most affected */
    SCAN_ANISOTROPIC_MM = 5, /* slices farther apart make volumes rough */
    SCAN_TILT = 15,          /* degrees from axial that are warned about */
};

/* What the service allows. */
struct scan_limits {
    int max_slices;                /* wanted of one volume */
    int max_ratio;                 /* inflated to compressed bytes */
    size_t max_held;               /* bytes of all bodies and volumes together */
    atomic_size_t *held;           /* of these, what is taken; NULL: nobody counts */
    int retry_after;               /* seconds, where they are short */
    const atomic_bool *called_off; /* becomes true when nobody waits any longer; NULL: never */
};

/* Pixels. */
struct scan_areas {
    int64_t lung, ggo, consolidation, affected;
};

/* What is kept of each slice. */
struct scan_slice {
    int index;
    bool done, classified;
    int predicted;
    float probabilities[MODEL_IMAGE_CLASSES];
    struct scan_areas sides[SCAN_SIDES];
};

/* The case as a whole: which class the slices speak for. */
struct scan_vote {
    int slices;    /* that take part */
    int predicted; /* -1: none took part */
    double probabilities[MODEL_IMAGE_CLASSES];
    int votes[MODEL_IMAGE_CLASSES]; /* slices whose own prediction is this class */
};

struct scan {
    struct model_info model; /* that the first slice was given to: another may follow it */
    struct volume *volume;   /* owned */
    char file[SLICE_NAME_SIZE];
    const uint8_t *bytes; /* borrowed */
    size_t length;
    struct sha256 hash;
    size_t hashed;                /* bytes that went into it: a share with every slice */
    char sha256[SHA256_HEX_SIZE]; /* once every slice is done */
    struct slice_intensity intensity;

    int first, step, count; /* slices wanted */
    int next;               /* 0..count: of those */
    int failed;
    bool mixed;                /* slices are of more than one model */
    struct scan_slice *slices; /* count; owned */
    uint8_t *labels;           /* (storage order), owned; NULL where nobody wants them */
    struct voxel_range range;  /* of all slices so far */

    struct slice_warning warnings[SLICE_MAX_WARNINGS];
    int warnings_count;
    struct slice_timing spent;
    double opened_ms; /* clock_ms() */

    atomic_size_t *held; /* gives back `taken` at the end */
    size_t taken;
};

/*
 * Opens a volume and chooses its slices. `labels`: a label map is wanted. Problems: those of the
 * format, PROBLEM_BAD_OPTION, _PAYLOAD_TOO_LARGE (naming the flag), _QUEUE_FULL (no memory now).
 */
int scan_open(struct scan **out, const struct slice_source *source,
              const struct slice_worker *worker, const struct slice_options *options,
              const struct scan_limits *limits, bool labels, struct problem *problem);
void scan_close(struct scan *scan); /* NULL is fine */

/* Index in the volume of the slice whose turn is next. */
int scan_index(const struct scan *scan);

/* Predicts the next slice. `slice` is to be freed in every case. */
int scan_run(struct scan *scan, struct slice *slice, struct slice_worker *worker,
             const struct slice_options *options, struct problem *problem);

/* Counts a slice whose masks have just been pasted, and goes on to the next. */
void scan_add(struct scan *scan, const struct slice *slice, const struct slice_worker *worker);

/* Goes on past a slice that could not be done. */
void scan_skip(struct scan *scan, const struct problem *problem);

/* When all are done: hashes what is left, and warns about the whole. */
void scan_finish(struct scan *scan);

/*
 * Each class's mean probability over the slices that show at least a fifth as much lung as the one
 * that shows most; the class with the largest mean is predicted.
 */
extern const char scan_vote_rule[];
void scan_vote(struct scan_vote *out, const struct scan *scan);

/* Sums over all slices done; how sides are told apart is spelled out. */
extern const char scan_sides_rule[];
void scan_sum(struct scan_areas sides[SCAN_SIDES], const struct scan *scan);

/* Every slice of the volume was wanted, and done or empty. */
bool scan_is_complete(const struct scan *scan);

/* Places (in scan->slices) of up to SCAN_WORST slices with the largest affected areas; how many. */
int scan_worst(int places[SCAN_WORST], const struct scan *scan);

#endif
