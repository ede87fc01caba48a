/*
 * The losses of a training run, read from its log: one JSON object a line,
 *
 *     {"iteration": 120, "loss_seg": 1.31, "loss_cls": 0.42, "loss_mask": 0.33, ...}
 *
 * Each number whose name begins with "loss" or "val" is a series; lines may lack any of them.
 */
#ifndef ONESHOT_EVAL_TRAINING_LOG_H
#define ONESHOT_EVAL_TRAINING_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

enum { TRAINING_SERIES = 16, TRAINING_NAME = 40 };

struct training_series {
    char name[TRAINING_NAME];
    size_t count, room;
    double *iteration; /* owned, ascending */
    double *value;     /* owned, finite */
};

struct training_log {
    int64_t lines;
    int64_t skipped; /* lines that are no JSON object */
    int count;
    struct training_series series[TRAINING_SERIES]; /* in order of appearance */
};

/*
 * Reads a log of `length` bytes. Lines without an iteration get their number; series beyond the
 * sixteenth and numbers that go back in iteration (a restarted run) replace what came after them.
 * A log without a readable line is ERR_BAD_DATA; ERR_MEMORY. Release it also after an error.
 */
int training_log_read(struct training_log *out, const char *text, size_t length, struct error *err);

/* Adds a value; what the series holds at this iteration or later is dropped first. ERR_MEMORY. */
int training_log_add(struct training_log *log, const char *name, double iteration, double value,
                     struct error *err);

/* NULL where the log has no series of that name. */
const struct training_series *training_log_find(const struct training_log *log, const char *name);

/*
 * Draws a series in at most `points` points: means of equal spans of the log, each then averaged
 * with `around` neighbours on either side (0 = none; fewer at the ends). x and y have room for
 * `points`; returns how many were written.
 */
size_t training_series_smooth(const struct training_series *series, double *x, double *y,
                              size_t points, size_t around);

void training_log_free(struct training_log *log);

#endif
