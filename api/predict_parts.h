/* Shared by the files of api/predict, and by no others. */
#ifndef ONESHOT_API_PREDICT_PARTS_H
#define ONESHOT_API_PREDICT_PARTS_H

#include "api/predict.h"

enum { PREDICT_MAX_EVENT = 1 << 28 }; /* bytes of one step's events */

/* Finds the files in the body, and options beside them. */
int predict_open_body(struct predict *predict, struct problem *problem);

/* File `index` of the body. */
struct slice_source predict_source(const struct predict *predict, int index);

/* Slices that are behind, done or not. */
int predict_slices_seen(const struct predict *predict);

/* What every event says of its place in the answer. */
struct event predict_event(const struct predict *predict);

/* Frames an event's text that was made (rc 0), and frees it; another rc is given back. */
int predict_emit(struct predict *predict, const char *kind, int rc, char *text, size_t length,
                 struct error *err);

#endif
