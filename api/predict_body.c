/* From the body of a prediction request to its files. */
#include <stdlib.h>
#include <string.h>

#include "api/predict_parts.h"

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

int predict_open_body(struct predict *predict, struct problem *problem)
{
    struct error err;
    predict->started_ms = clock_ms();
    if (predict->events.maximum == 0)
        buffer_init(&predict->events, PREDICT_MAX_EVENT);
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

struct slice_source predict_source(const struct predict *predict, int index)
{
    if (!predict->parts)
        return (struct slice_source){predict->body, predict->length,
                                     predict->content_type[0] ? predict->content_type : NULL,
                                     predict->file ? predict->file : ""};
    const struct multipart_part *part = &predict->parts[index];
    return (struct slice_source){part->bytes, part->length, part->type[0] ? part->type : NULL,
                                 part->filename};
}
