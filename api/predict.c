#include "api/predict_parts.h"

#include <stdlib.h>
#include <string.h>

#include "api/infer.h"
#include "api/overlay.h"

void predict_position(const struct predict *predict, int *slice, int *slices)
{
    *slice = predict_slices_seen(predict) + 1;
    *slices = predict->files + predict->extra;
}

void predict_free(struct predict *predict)
{
    free(predict->parts);
    results_free(predict->results);
    scan_close(predict->scan);
    buffer_free(&predict->events);
    predict->parts = NULL;
    predict->results = NULL;
    predict->scan = NULL;
}

/* ---- answers ---- */

static void add_timing(struct slice_timing *sum, const struct slice_timing *one)
{
    sum->decode += one->decode;
    sum->infer += one->infer;
    sum->encode += one->encode;
}

static void finish(struct predict *predict, struct response *response, const char *type,
                   uint8_t *bytes, size_t length)
{
    response_give(response, 200, type, bytes, length);
    response_header(response, "Cache-Control", "no-store");
    slice_timing_header(response, predict->queue_ms, &predict->spent);
}

/* Encodes the one slice of a request as picture and answers with it. */
static int answer_picture(struct predict *predict, struct slice *slice, struct slice_worker *worker,
                          struct response *response, struct error *err)
{
    uint8_t *bytes;
    size_t length;
    double start = clock_ms();
    if (overlay_png(&bytes, &length, slice, worker, &predict->options, err) != 0)
        return -1;
    slice->timing.encode = clock_ms() - start;
    add_timing(&predict->spent, &slice->timing);
    finish(predict, response, "image/png", bytes, length);
    return 0;
}

static int answer_labels(struct predict *predict, struct response *response, struct error *err)
{
    uint8_t *bytes;
    size_t length;
    double start = clock_ms();
    if (volume_write_labels(&bytes, &length, predict->scan->volume, predict->scan->labels, err) !=
        0)
        return -1;
    predict->spent.encode += clock_ms() - start;
    finish(predict, response, answer_type(predict->answer), bytes, length);
    response_header(response, "Content-Disposition", "attachment; filename=\"labels.nii.gz\"");
    return 0;
}

/* Whether the answer is a label map. */
static bool wants_labels(const struct predict *predict)
{
    return predict->answer == ANSWER_NIFTI || predict->answer == ANSWER_GZIP;
}

/* Puts a slice that was predicted where the answer wants it. */
static int write_slice(struct predict *predict, struct slice *slice, struct slice_worker *worker,
                       struct response *response, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    int rc = 0;
    if (predict->answer == ANSWER_PNG)
        return answer_picture(predict, slice, worker, response, err);
    predict->slices_done++; /* so that the event's progress counts it */
    if (answer_streams(predict->answer)) {
        struct event event = predict_event(predict);
        rc = event_slice(&text, &length, &event, predict->scan, slice, worker, &predict->options,
                         err);
        rc = predict_emit(predict, "slice", rc, text, length, err);
    } else if (wants_labels(predict)) {
        rc = slice_masks(slice, worker, NULL, NULL);
    } else if (predict->scan) {
        rc = results_add_scan_slice(predict->results, predict->scan, slice, worker,
                                    &predict->options, err);
    } else {
        rc = results_add_slice(predict->results, slice, worker, &predict->options, err);
    }
    predict->slices_done--;
    add_timing(&predict->spent, &slice->timing);
    if (rc == 0 && predict->extras && predict->extras->slice)
        rc = predict->extras->slice(predict->extras->context, slice, worker, err);
    return rc;
}

/* The same for a slice, or a whole file, that could not be done. */
static int write_problem(struct predict *predict, const struct problem *problem, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    if (answer_streams(predict->answer)) {
        struct event event = predict_event(predict);
        int rc = event_slice_problem(&text, &length, &event, predict->scan, problem, err);
        return predict_emit(predict, "slice", rc, text, length, err);
    }
    if (wants_labels(predict))
        return 0;
    if (predict->scan)
        return results_add_scan_problem(predict->results, predict->scan, problem, err);
    return results_add_problem(predict->results, predict_source(predict, predict->next).file,
                               problem, err);
}

static int write_done(struct predict *predict, struct response *response, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    if (answer_streams(predict->answer)) {
        struct event event = predict_event(predict);
        struct slice_timing spent = predict->spent;
        spent.queue = predict->queue_ms;
        int rc = event_done(&text, &length, &event, predict->slices_failed, &spent, err);
        return predict_emit(predict, "done", rc, text, length, err);
    }
    if (results_write(&text, &length, predict->results, predict->files == 1, err) != 0)
        return -1;
    finish(predict, response, "application/json", (uint8_t *)text, length);
    return 0;
}

/* ---- steps ---- */

/* How a step ended. */
enum outcome {
    SLICE_DONE,   /* go on */
    FILE_DONE,    /* go on with the next file */
    ANSWERED,     /* the response is filled, or the last event is there */
    FILE_FAILED,  /* `problem` says why there is nothing of this file */
    ANSWER_FAILS, /* `problem`: the answer cannot be written */
};

static enum outcome fails(struct problem *problem, const struct error *err)
{
    problem_from_error(problem, err);
    return ANSWER_FAILS;
}

static enum outcome step_picture(struct predict *predict, const struct slice_source *source,
                                 struct slice_worker *worker, struct response *response,
                                 struct problem *problem)
{
    struct error err;
    struct slice slice;
    enum outcome outcome = FILE_DONE;
    if (wants_labels(predict)) {
        problem_set(problem, PROBLEM_NOT_ACCEPTABLE,
                    "A label map in %s answers a volume, and this is a picture; ask for "
                    "application/json or image/png.",
                    answer_type(predict->answer));
        return FILE_FAILED;
    }
    int rc = slice_run(&slice, worker, source, &predict->options, problem);
    slice.timing.queue = predict->queue_ms;
    if (rc != 0) {
        outcome = FILE_FAILED;
    } else if (write_slice(predict, &slice, worker, response, &err) != 0) {
        outcome = fails(problem, &err);
        rc = -1;
    } else {
        predict->slices_done++;
        if (predict->answer == ANSWER_PNG)
            outcome = ANSWERED;
    }
    slice_report(worker, &slice, rc == 0 ? NULL : problem);
    slice_free(&slice);
    return outcome;
}

/* Opens the volume whose turn it is. */
static enum outcome open_scan(struct predict *predict, const struct slice_source *source,
                              const struct slice_worker *worker, struct problem *problem)
{
    struct error err;
    char *text = NULL;
    size_t length = 0;
    if (predict->answer == ANSWER_PNG && !predict->options.slices.given) {
        problem_set(problem, PROBLEM_BAD_OPTION,
                    "A picture shows one slice of a volume: say which with the option slice, such "
                    "as slice=20, or ask for application/json.");
        return FILE_FAILED;
    }
    bool labels = wants_labels(predict) || (predict->extras && predict->extras->volume);
    if (scan_open(&predict->scan, source, worker, &predict->options, &predict->scan_limits, labels,
                  problem) != 0)
        return FILE_FAILED;
    if (predict->answer == ANSWER_PNG && predict->scan->count > 1) {
        problem_set(problem, PROBLEM_BAD_OPTION,
                    "A picture shows one slice, and option slices chooses %d; say slice=%d.",
                    predict->scan->count, predict->scan->first);
        return FILE_FAILED;
    }
    predict->extra += predict->scan->count - 1;
    if (!answer_streams(predict->answer))
        return SLICE_DONE;
    struct event event = predict_event(predict);
    int rc = event_volume(&text, &length, &event, predict->scan, &err);
    rc = predict_emit(predict, "volume", rc, text, length, &err);
    return rc == 0 ? SLICE_DONE : fails(problem, &err);
}

static enum outcome end_scan(struct predict *predict, struct response *response,
                             struct problem *problem)
{
    struct error err;
    char *text = NULL;
    size_t length = 0;
    int rc;
    scan_finish(predict->scan);
    if (wants_labels(predict)) {
        rc = answer_labels(predict, response, &err);
    } else if (answer_streams(predict->answer)) {
        struct event event = predict_event(predict);
        rc = event_summary(&text, &length, &event, predict->scan, &err);
        rc = predict_emit(predict, "summary", rc, text, length, &err);
    } else {
        rc = results_end_scan(predict->results, predict->scan, &err);
    }
    if (rc == 0 && predict->extras && predict->extras->volume)
        rc = predict->extras->volume(predict->extras->context, predict->scan, &err);
    scan_close(predict->scan);
    predict->scan = NULL;
    if (rc != 0)
        return fails(problem, &err);
    return wants_labels(predict) ? ANSWERED : FILE_DONE;
}

/* Problems of one slice that leave the rest of its volume as it is. */
static bool is_of_slice(const struct problem *problem)
{
    return problem->kind == PROBLEM_CONSTANT_IMAGE || problem->kind == PROBLEM_BAD_IMAGE;
}

static enum outcome step_scan(struct predict *predict, struct slice_worker *worker,
                              struct response *response, struct problem *problem)
{
    struct error err;
    struct slice slice;
    struct scan *scan = predict->scan;
    enum outcome outcome = SLICE_DONE;
    int rc = scan_run(scan, &slice, worker, &predict->options, problem);
    slice.timing.queue = predict->queue_ms;
    if (rc == 0 && write_slice(predict, &slice, worker, response, &err) != 0) {
        outcome = fails(problem, &err);
        rc = -1;
    } else if (rc == 0) {
        predict->slices_done++;
        scan_add(scan, &slice, worker);
        if (predict->answer == ANSWER_PNG)
            outcome = ANSWERED;
    } else if (!is_of_slice(problem) || predict->answer == ANSWER_PNG) {
        outcome = FILE_FAILED;
    } else {
        predict->slices_failed++;
        if (write_problem(predict, problem, &err) != 0)
            outcome = fails(problem, &err);
        scan_skip(scan, problem);
    }
    slice_report(worker, &slice, rc == 0 ? NULL : problem);
    slice_free(&slice);
    if (outcome == SLICE_DONE && scan->next == scan->count)
        return end_scan(predict, response, problem);
    return outcome;
}

static enum outcome step(struct predict *predict, struct slice_worker *worker,
                         struct response *response, struct problem *problem)
{
    if (predict->scan)
        return step_scan(predict, worker, response, problem);
    struct slice_source source = predict_source(predict, predict->next);
    enum media media;
    if (media_require(&media, source.bytes, source.length, source.content_type, problem) != 0)
        return FILE_FAILED;
    if (!media_is_volume(media))
        return step_picture(predict, &source, worker, response, problem);
    enum outcome opened = open_scan(predict, &source, worker, problem);
    return opened == SLICE_DONE ? step_scan(predict, worker, response, problem) : opened;
}

/* Ends with a problem: the response, or the last event. */
static void give_up(struct predict *predict, const struct problem *problem,
                    struct response *response)
{
    struct error err;
    predict->code = problem_code(problem->kind);
    if (predict->failure)
        *predict->failure = *problem;
    if (!answer_streams(predict->answer))
        problem_answer(response, problem, predict->request_id);
    else if (predict_error_event(&predict->events, predict->answer, predict->request_id, problem,
                                 &err) != 0)
        buffer_clear(&predict->events); /* without memory the stream just ends */
}

bool predict_step(struct predict *predict, struct slice_worker *worker, struct response *response)
{
    struct problem problem;
    struct error err;
    if (predict->infer)
        return infer_step(predict, worker, response);
    if (!predict->opened) {
        predict->opened = true;
        if (predict_open_body(predict, &problem) != 0)
            goto failed;
    }
    switch (step(predict, worker, response, &problem)) {
    case SLICE_DONE:
        return false;
    case ANSWERED:
        return true;
    case ANSWER_FAILS:
        predict->slices_failed++;
        goto failed;
    case FILE_FAILED:
        predict->slices_failed++;
        if (predict->files == 1)
            goto failed;
        scan_close(predict->scan);
        predict->scan = NULL;
        results_drop_scan(predict->results);
        if (write_problem(predict, &problem, &err) != 0)
            goto broken;
        break;
    case FILE_DONE:
        break;
    }
    if (++predict->next < predict->files)
        return false;
    predict->next = predict->files - 1; /* the last event still names a file */
    if (write_done(predict, response, &err) != 0)
        goto broken;
    return true;
broken:
    problem_from_error(&problem, &err);
failed:
    give_up(predict, &problem, response);
    return true;
}
