#include "api/predict.h"

#include <stdlib.h>
#include <string.h>

#include "api/infer.h"
#include "api/overlay.h"

void predict_position(const struct predict *predict, int *slice, int *slices)
{
    *slice = predict->next + 1;
    *slices = predict->files;
}

void predict_free(struct predict *predict)
{
    free(predict->parts);
    results_free(predict->results);
    predict->parts = NULL;
    predict->results = NULL;
}

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
    if (predict->files > 1 && predict->answer == ANSWER_PNG)
        return problem_set(problem, PROBLEM_NOT_ACCEPTABLE,
                           "An image/png answers one file, not %d; ask for application/json or "
                           "send them one by one.",
                           predict->files);
    return 0;
}

static struct slice_source source_of(const struct predict *predict, int index)
{
    if (!predict->parts)
        return (struct slice_source){predict->body, predict->length,
                                     predict->content_type[0] ? predict->content_type : NULL, ""};
    const struct multipart_part *part = &predict->parts[index];
    return (struct slice_source){part->bytes, part->length, part->type[0] ? part->type : NULL,
                                 part->filename};
}

static void add_timing(struct slice_timing *sum, const struct slice_timing *one)
{
    sum->decode += one->decode;
    sum->infer += one->infer;
    sum->encode += one->encode;
}

static void finish(struct predict *predict, struct response *response, int status, const char *type,
                   uint8_t *bytes, size_t length)
{
    response_give(response, status, type, bytes, length);
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
    finish(predict, response, 200, "image/png", bytes, length);
    return 0;
}

/* Runs one slice; its picture, or its document among the results. */
static int run_slice(struct predict *predict, const struct slice_source *source,
                     struct slice_worker *worker, struct response *response,
                     struct problem *problem)
{
    struct error err;
    struct slice slice;
    int rc = slice_run(&slice, worker, source, &predict->options, problem);
    if (rc == 0) {
        slice.timing.queue = predict->queue_ms;
        if (predict->answer == ANSWER_PNG) {
            rc = answer_picture(predict, &slice, worker, response, &err);
        } else {
            rc = results_add_slice(predict->results, &slice, worker, &predict->options, &err);
            add_timing(&predict->spent, &slice.timing);
        }
        if (rc != 0)
            problem_from_error(problem, &err);
    }
    slice_report(worker, &slice, rc == 0 ? NULL : problem);
    slice_free(&slice);
    return rc;
}

bool predict_step(struct predict *predict, struct slice_worker *worker, struct response *response)
{
    struct problem problem;
    struct error err;
    char *text;
    size_t length;
    if (predict->infer)
        return infer_step(predict, worker, response);
    if (!predict->opened) {
        predict->opened = true;
        if (open_body(predict, &problem) != 0)
            goto failed;
    }
    struct slice_source source = source_of(predict, predict->next);
    bool single = predict->files == 1;
    if (run_slice(predict, &source, worker, response, &problem) == 0) {
        predict->slices_done++;
        if (response->status != 0)
            return true;
    } else {
        predict->slices_failed++;
        if (single)
            goto failed;
        if (results_add_problem(predict->results, source.file, &problem, &err) != 0)
            goto broken;
    }
    if (++predict->next < predict->files)
        return false;
    if (results_write(&text, &length, predict->results, single, &err) != 0)
        goto broken;
    finish(predict, response, 200, "application/json", (uint8_t *)text, length);
    return true;
broken:
    problem_from_error(&problem, &err);
failed:
    problem_answer(response, &problem, predict->request_id);
    return true;
}
