/* Answers that are sent while they are made: events, and the frames around them. */
#include <stdlib.h>

#include "api/predict_parts.h"

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

int predict_emit(struct predict *predict, const char *kind, int rc, char *text, size_t length,
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

int predict_slices_seen(const struct predict *predict)
{
    return predict->slices_done + predict->slices_failed;
}

struct event predict_event(const struct predict *predict)
{
    int done = predict_slices_seen(predict), total = predict->files + predict->extra;
    double spent = clock_ms() - predict->started_ms;
    return (struct event){
        .request_id = predict->request_id,
        .file = predict->next,
        .files = predict->files,
        .name = predict->files > 1 ? predict_source(predict, predict->next).file : "",
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
    buffer_init(&predict->events, PREDICT_MAX_EVENT);
    int rc = event_accepted(&text, &length, &event, position, err);
    return predict_emit(predict, "accepted", rc, text, length, err);
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
