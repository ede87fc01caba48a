/*
 * A data set to evaluate on: its images, and of each the source and the patient, where a manifest
 * (FOLDER/manifest.csv, else FOLDER/../manifest.csv) has such columns. For `oneshot eval`.
 */
#ifndef ONESHOT_SERVER_EVAL_SET_H
#define ONESHOT_SERVER_EVAL_SET_H

#include "model/data/dataset.h"

struct eval_origin {
    char *source, *patient, *series; /* owned; "" where unknown */
};

struct eval_set {
    const char *folder; /* borrowed; NULL: there is no such set */
    struct dataset data;
    struct eval_origin *origins; /* one a sample; owned */
};

enum eval_kind { EVAL_SEGMENTATION, EVAL_CLASSIFICATION };

/* Errors of dataset_open_...; a manifest that cannot be read is ERR_IO. */
int eval_set_open(struct eval_set *out, enum eval_kind kind, const char *folder,
                  const struct dataset_options *options, struct error *err);
void eval_set_close(struct eval_set *set); /* a zeroed one is fine */

/* What the bootstrap draws. */
enum eval_group {
    EVAL_BY_IMAGE,
    EVAL_BY_PATIENT,
    EVAL_BY_SERIES, /* the file name without a last "_NUMBER": slices of one scan */
    EVAL_BY_SOURCE,
    EVAL_GROUPS
};
extern const char *const eval_group_names[EVAL_GROUPS + 1]; /* "image", ...; NULL-terminated */

/*
 * Numbers the groups of the samples chosen[0..count-1]: groups[k] in 0..count-1, equal where the
 * name is. Samples whose name is unknown are groups of their own; *unknown is how many.
 */
void eval_set_groups(int32_t *groups, size_t *unknown, const struct eval_set *set,
                     const size_t *chosen, size_t count, enum eval_group by);

/* Base name of a sample's file; belongs to the set. */
const char *eval_set_name(const struct eval_set *set, size_t index);

#endif
