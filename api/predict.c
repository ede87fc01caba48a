#include "api/predict.h"

#include <stdlib.h>
#include <string.h>

#include "api/infer.h"
#include "api/overlay.h"

enum { MAX_EVENT = 1 << 28 }; /* bytes of one step's events */

static int slices_seen(const struct predict *predict)
{
    return predict->slices_done + predict->slices_failed;
}

void predict_position(const struct predict *predict, int *slice, int *slices)
{
    *slice = slices_seen(predict) + 1;
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

/* ---- the body ---- */

/* Puts the files first, in their order, and reads the part "options". */
static int sort_parts(struct predict *predict, int count, struct problem *problem)
{
    bool options_seen = false;
    for (int i = 0; i < count; i++) {
        struct multipart_part *part = &predict->parts[i];
        if (strcmp(part->name, "file") == 0) {
            if (i != predict->files)
                predict->parts[predict->files] = *part;
            predict->files++;
        } else if (strcmp(part->name, "options") != 0) {
            return problem_set(problem, PROBLEM_BAD_MULTIPART,
                               "There is no part \"%s\"; there are \"file\" (one or several) and "
                               "\"options\" (JSON).",
                               part->name);
        } else if (options_seen) {
            return problem_set(problem, PROBLEM_BAD_MULTIPART,
                               "The part \"options\" is there more than once.");
        } else {
            options_seen = true;
            if (options_from_json(&predict->options, (const char *)part->bytes, part->length,
                                  problem) != 0)
                return -1;
        }
    }
    if (predict->files == 0)
        return problem_set(problem, PROBLEM_BAD_MULTIPART,
                           "There is no part named \"file\"; send the slice as one, for example "
                           "with curl -F file=@slice.png.");
    if (predict->files > predict->max_files)
        return problem_set(problem, PROBLEM_BAD_MULTIPART,
                           "%d files are more than the %d of one request.", predict->files,
                           predict->max_files);
    return 0;
}

static int open_body(struct predict *predict, struct problem *problem)
{
    struct error err;
    predict->started_ms = clock_ms();
    if (predict->events.maximum == 0)
        buffer_init(&predict->events, MAX_EVENT);
    if (results_new(&predict->results, predict->request_id, &err) != 0)
        return problem_from_error(problem, &err);
    if (!predict->boundary[0]) {
        predict->files = 1;
        return 0;
    }
    predict->parts = calloc(MULTIPART_MAX_PARTS, sizeof *predict->parts);
    if (!predict->parts) {
        error_set(&err, ERR_MEMORY, "no memory for the parts");
        return problem_from_error(problem, &err);
    }
    int count;
    if (multipart_parse(predict->parts, &count, predict->body, predict->length, predict->boundary,
                        problem) != 0 ||
        sort_parts(predict, count, problem) != 0)
        return -1;
    if (predict->files > 1 && predict->answer != ANSWER_JSON && !answer_streams(predict->answer))
        return problem_set(problem, PROBLEM_NOT_ACCEPTABLE,
                           "An %s answers one file, not %d; ask for application/json or "
                           "application/x-ndjson, or send them one by one.",
                           answer_type(predict->answer), predict->files);
    return 0;
}

static struct slice_source source_of(const struct predict *predict, int index)
{
    if (!predict->parts)
        return (struct slice_source){predict->body, predict->length,
                                     predict->content_type[0] ? predict->content_type : NULL,
                                     predict->file ? predict->file : ""};
    const struct multipart_part *part = &predict->parts[index];
    return (struct slice_source){part->bytes, part->length, part->type[0] ? part->type : NULL,
                                 part->filename};
}

/* ---- events ---- */

/* NDJSON: a line. SSE: its kind, the same line, and an empty one. */
static int frame(struct buffer *out, enum answer answer, const char *kind, const char *text,
                 size_t length, struct error *err)
{
    int rc = 0;
    if (answer == ANSWER_SSE)
        TRY(buffer_printf(out, err, "event: %s\ndata: ", kind));
    TRY(buffer_append(out, text, length, err));
    TRY(buffer_append(out, "\n\n", answer == ANSWER_SSE ? 2 : 1, err));
done:
    return rc;
}

/* Frames a text that was made (rc 0), and frees it. */
static int emit(struct predict *predict, const char *kind, int rc, char *text, size_t length,
                struct error *err)
{
    if (rc == 0) {
        rc = frame(&predict->events, predict->answer, kind, text, length, err);
        free(text);
    }
    return rc;
}

const char *predict_ping(enum answer answer)
{
    return answer == ANSWER_SSE ? ": ping\n\n" : "{\"event\":\"ping\"}\n";
}

static struct event event_of(const struct predict *predict)
{
    int done = slices_seen(predict), total = predict->files + predict->extra;
    double spent = clock_ms() - predict->started_ms;
    return (struct event){
        .request_id = predict->request_id,
        .file = predict->next,
        .files = predict->files,
        .name = predict->files > 1 ? source_of(predict, predict->next).file : "",
        .done = done,
        .total = total,
        .eta_ms = done > 0 ? spent / done * (total - done) : -1,
    };
}

void predict_stream_headers(struct response *response, enum answer answer)
{
    response_lend(response, 200, answer_type(answer), NULL, 0);
    response_header(response, "Cache-Control", "no-store");
    response_header(response, "X-Accel-Buffering", "no"); /* nginx would hold events back */
}

int predict_accepted(struct predict *predict, int position, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    struct event event = {.request_id = predict->request_id};
    buffer_init(&predict->events, MAX_EVENT);
    int rc = event_accepted(&text, &length, &event, position, err);
    return emit(predict, "accepted", rc, text, length, err);
}

int predict_error_event(struct buffer *out, enum answer answer, const char *request_id,
                        const struct problem *problem, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    struct event event = {.request_id = request_id};
    if (event_error(&text, &length, &event, problem, err) != 0)
        return -1;
    int rc = frame(out, answer, "error", text, length, err);
    free(text);
    return rc;
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
    response_header(response, "Server-Timing",
                    "queue;dur=%.1f, decode;dur=%.1f, infer;dur=%.1f, encode;dur=%.1f",
                    predict->queue_ms, predict->spent.decode, predict->spent.infer,
                    predict->spent.encode);
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
        struct event event = event_of(predict);
        rc = event_slice(&text, &length, &event, predict->scan, slice, worker, &predict->options,
                         err);
        rc = emit(predict, "slice", rc, text, length, err);
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
        struct event event = event_of(predict);
        int rc = event_slice_problem(&text, &length, &event, predict->scan, problem, err);
        return emit(predict, "slice", rc, text, length, err);
    }
    if (wants_labels(predict))
        return 0;
    if (predict->scan)
        return results_add_scan_problem(predict->results, predict->scan, problem, err);
    return results_add_problem(predict->results, source_of(predict, predict->next).file, problem,
                               err);
}

static int write_done(struct predict *predict, struct response *response, struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    if (answer_streams(predict->answer)) {
        struct event event = event_of(predict);
        struct slice_timing spent = predict->spent;
        spent.queue = predict->queue_ms;
        int rc = event_done(&text, &length, &event, predict->slices_failed, &spent, err);
        return emit(predict, "done", rc, text, length, err);
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
    struct event event = event_of(predict);
    int rc = event_volume(&text, &length, &event, predict->scan, &err);
    rc = emit(predict, "volume", rc, text, length, &err);
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
        struct event event = event_of(predict);
        rc = event_summary(&text, &length, &event, predict->scan, &err);
        rc = emit(predict, "summary", rc, text, length, &err);
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
    struct slice_source source = source_of(predict, predict->next);
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
        if (open_body(predict, &problem) != 0)
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
