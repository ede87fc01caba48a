/*
 * A prediction request from its body to its response, one slice per step, so that a queue may let
 * others go between two slices. Prepared on any thread, stepped on the worker's.
 *
 * An answer is either a response, filled at the end, or (answer_streams) a row of events: each step
 * leaves some in predict->events, framed, for the caller to pass on and clear.
 */
#ifndef ONESHOT_API_PREDICT_H
#define ONESHOT_API_PREDICT_H

#include <stdbool.h>

#include "api/json.h"
#include "api/media.h"
#include "api/message.h"
#include "api/multipart.h"
#include "api/options.h"
#include "api/scan.h"
#include "api/slice.h"
#include "model/base/buffer.h"

/*
 * For who wants more of a prediction than its answer. The functions are called on the worker's
 * thread when a slice, or all of a volume, has been added to the answer; -1 ends the file with the
 * error. Either may be NULL.
 */
struct predict_extras {
    int (*slice)(void *context, struct slice *slice, struct slice_worker *worker,
                 struct error *err);
    int (*volume)(void *context, const struct scan *scan, struct error *err); /* has its labels */
    void *context;
};

struct predict {
    char request_id[REQUEST_ID_SIZE];
    struct slice_options options;
    enum answer answer;
    char boundary[71];      /* of a multipart body; "" for a raw one */
    char content_type[128]; /* of a raw body; "" when not said */
    bool infer;             /* an Open Inference Protocol request, see api/infer.h */
    int max_files;
    struct scan_limits scan_limits;
    double queue_ms; /* set by who took it from the queue */

    const uint8_t *body; /* borrowed until the end */
    size_t length;
    const char *file;                    /* name of a raw body's file; NULL: not known */
    const struct predict_extras *extras; /* NULL: nobody wants more */
    struct problem *failure;             /* filled with what ended it; NULL: nobody asks */

    struct multipart_part *parts; /* owned; the files first */
    int files, next;
    bool opened;
    struct results *results; /* owned */
    struct scan *scan;       /* of the file whose turn it is; owned */
    struct buffer events;    /* owned */
    int extra;               /* slices known beyond one per file */
    double started_ms;       /* clock_ms() of the first step */
    struct slice_timing spent;
    int slices_done, slices_failed;
    const char *code; /* of the problem that ended a stream; static, NULL: none did */
};

/* Status and headers of a stream. */
void predict_stream_headers(struct response *response, enum answer answer);

/* The first event: how many wait in front. For the caller to call before the first step. */
int predict_accepted(struct predict *predict, int position, struct error *err);

/* An event that says why there will be no more. Any thread that has the predict, or none does. */
int predict_error_event(struct buffer *out, enum answer answer, const char *request_id,
                        const struct problem *problem, struct error *err);

/* What keeps a silent stream open. */
const char *predict_ping(enum answer answer);

/* Frees what the steps made; a zeroed or finished predict is fine. */
void predict_free(struct predict *predict);

/* The slice whose turn is next, from 1, and how many there are; 0 before the body was opened. */
void predict_position(const struct predict *predict, int *slice, int *slices);

/*
 * Does the next slice. True: the response is filled and there is nothing left to do; false: call
 * again. A single slice's problem is the response; among several it takes the slice's place.
 */
bool predict_step(struct predict *predict, struct slice_worker *worker, struct response *response);

#endif
