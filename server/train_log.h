/*
 * What a training run tells: a JSON object a line into its log, and to a person on stderr, a live
 * bar on a terminal and plain lines elsewhere.
 */
#ifndef ONESHOT_SERVER_TRAIN_LOG_H
#define ONESHOT_SERVER_TRAIN_LOG_H

#include <stdio.h>

#include "model/train/loop.h"
#include "server/train_validate.h"

struct train_log {
    FILE *file;
    bool shown, terminal;
    int64_t total; /* iterations of the run */

    /* since the last line */
    double sum[LOSSES];
    int segmented, classified, copied;
    double since_ms;

    /* for the bar; smoothed */
    double segment, image, seconds, drawn_ms, step_ms;
    int images; /* of the last iteration */
};

/* Appends to `path`. ERR_IO. */
int train_log_open(struct train_log *log, const char *path, int64_t total, bool quiet,
                   struct error *err);
void train_log_close(struct train_log *log);

/* Every iteration. */
void train_log_step(struct train_log *log, const struct loop_report *report);
/* A line with the means since the last one; ERR_IO. */
int train_log_write(struct train_log *log, const struct loop_report *report, struct error *err);
int train_log_validation(struct train_log *log, int64_t iteration, const struct validation *figures,
                         bool best, struct error *err);
/* A sentence for a person. */
void train_log_say(struct train_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
