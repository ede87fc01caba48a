/*
 * Every JSON document the project writes, and the one it reads. The only files that know the JSON
 * library. Texts are malloc'ed and end in a zero byte that *length does not count. Numbers carry
 * what they need: probabilities six significant digits, boxes two decimals; a number that is not
 * finite is an error (ERR_INTERNAL), never a document. Any thread.
 */
#ifndef ONESHOT_API_JSON_H
#define ONESHOT_API_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "api/problem.h"
#include "api/scan.h"
#include "api/slice.h"
#include "api/state.h"

#define SCHEMA_VERSION "1.0"

#define DISCLAIMER                                                                                 \
    "For research use only. Not a medical device; not for diagnosis or treatment decisions."

/* The results of a request, one per slice. */
struct results;

int results_new(struct results **out, const char *request_id, struct error *err);
void results_free(struct results *results); /* NULL is fine */

/* Pastes the masks of a slice and adds its document. slice->timing.encode is filled. */
int results_add_slice(struct results *results, struct slice *slice, struct slice_worker *worker,
                      const struct slice_options *options, struct error *err);

/* Adds a problem in the place of a slice that could not be done. */
int results_add_problem(struct results *results, const char *file, const struct problem *problem,
                        struct error *err);

/* The same for slices of a volume, which become one document when the scan has ended. */
int results_add_scan_slice(struct results *results, struct scan *scan, struct slice *slice,
                           struct slice_worker *worker, const struct slice_options *options,
                           struct error *err);
int results_add_scan_problem(struct results *results, const struct scan *scan,
                             const struct problem *problem, struct error *err);
int results_end_scan(struct results *results, const struct scan *scan, struct error *err);
void results_drop_scan(struct results *results); /* forgets the slices of one that failed */

/*
 * The document: the slice itself where `single`, else {"results": [...]}.
 */
int results_write(char **text, size_t *length, const struct results *results, bool single,
                  struct error *err);

/* ---- events: the same, said one after another ---- */

/* Of which file an event is, and how far all of them are. */
struct event {
    const char *request_id;
    int file, files;  /* index of it, how many; named where there are several */
    const char *name; /* of the file, as given */
    int done, total;  /* slices */
    double eta_ms;    /* negative: not known */
};

int event_accepted(char **text, size_t *length, const struct event *event, int position,
                   struct error *err);
int event_volume(char **text, size_t *length, const struct event *event, const struct scan *scan,
                 struct error *err);

/* A slice; scan is NULL for a picture. Pastes the masks and fills slice->timing.encode. */
int event_slice(char **text, size_t *length, const struct event *event, const struct scan *scan,
                struct slice *slice, struct slice_worker *worker,
                const struct slice_options *options, struct error *err);

/* In a slice's place: of a volume where scan is there, else of a whole file. */
int event_slice_problem(char **text, size_t *length, const struct event *event,
                        const struct scan *scan, const struct problem *problem, struct error *err);
int event_summary(char **text, size_t *length, const struct event *event, const struct scan *scan,
                  struct error *err);
int event_done(char **text, size_t *length, const struct event *event, int failed,
               const struct slice_timing *timing, struct error *err);
int event_error(char **text, size_t *length, const struct event *event,
                const struct problem *problem, struct error *err);

int json_problem(char **text, size_t *length, const struct problem *problem, const char *request_id,
                 struct error *err);

/* The same with the detail once more as `error`, for the Open Inference Protocol. */
int json_problem_infer(char **text, size_t *length, const struct problem *problem,
                       const char *request_id, struct error *err);

/* GET /v1/info, and `oneshot info`. */
int json_info(char **text, size_t *length, const struct api_limits *limits,
              const struct api_state *state, bool indent, struct error *err);

/* GET /livez and /readyz?verbose. */
int json_health(char **text, size_t *length, const char *status, const struct api_state *state,
                struct error *err);

/* GET /v1/status; `activity` of limits->workers workers. */
int json_status(char **text, size_t *length, const struct api_state *state,
                const struct api_limits *limits, const struct api_activity *activity,
                struct error *err);

/* ---- the Open Inference Protocol ---- */

struct infer_request;

int json_infer_server(char **text, size_t *length, struct error *err);
int json_infer_model(char **text, size_t *length, const struct model_info *model,
                     struct error *err);

/* {NAME: value}, and the model's name where it is given. */
int json_infer_flag(char **text, size_t *length, const char *name, bool value, const char *model,
                    struct error *err);

/* Reads all of a request but its data. */
int json_infer_read(struct infer_request *request, const char *text, size_t length,
                    struct problem *problem);

/* `planes`: two of the slice's size, for masks. */
int json_infer_answer(char **text, size_t *length, const struct infer_request *request,
                      const struct prediction *prediction, const struct model_info *model,
                      const char *request_id, uint8_t *planes, struct error *err);

/*
 * Reads one flat JSON object and calls `visit` for each member, its value as text ("true", "0.5",
 * or the string). Non-zero from `visit` ends the walk and is returned. Where the text is not such
 * an object, -1 and the reason in `why`.
 */
int json_each_member(const char *text, size_t length,
                     int (*visit)(void *context, const char *name, const char *value),
                     void *context, char *why, size_t why_size);

#endif
