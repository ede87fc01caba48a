#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/soak/soak.h"

/* ---- answers ---- */

static void forget_what_varies(json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    if (json_is_object(value)) {
        json_object_del(value, "request_id");
        json_object_del(value, "timing_ms");
        json_object_del(value, "eta_ms");
        json_object_foreach(value, name, member) forget_what_varies(member);
    }
    json_array_foreach(value, i, member) forget_what_varies(member);
}

static bool is_stream(const struct answer *answer)
{
    return strcmp(answer->type, "application/x-ndjson") == 0 ||
           strncmp(answer->type, "text/event-stream", 17) == 0;
}

/*
 * The next event of a stream from *at on, which moves behind it; NULL at its end. The caller
 * releases it. Lines of SSE that are no data are skipped.
 */
static json_t *next_event(const char **at)
{
    while (**at) {
        const char *line = *at;
        size_t length = strcspn(line, "\n");
        *at += length + (line[length] == '\n');
        size_t skip = strncmp(line, "data: ", 6) == 0 ? 6 : 0;
        json_t *event = line[skip] == '{' ? json_loadb(line + skip, length - skip, 0, NULL) : NULL;
        if (event)
            return event;
    }
    return NULL;
}

static bool event_is(const json_t *event, const char *kind)
{
    const char *found = json_string_value(json_object_get(event, "event"));
    return found && strcmp(found, kind) == 0;
}

/* The code of the error that a stream ends with; "" where it ends as it should, "?" elsewise. */
static void stream_code(char code[64], const struct answer *answer)
{
    const char *at = answer->body;
    snprintf(code, 64, "?");
    for (json_t *event; (event = next_event(&at)) != NULL; json_decref(event)) {
        const char *found =
            json_string_value(json_object_get(json_object_get(event, "error"), "code"));
        snprintf(code, 64, "%s",
                 event_is(event, "done")             ? ""
                 : event_is(event, "error") && found ? found
                                                     : "?");
    }
}

/* What there is to know in the order it came; the place in the queue and pings depend on others. */
static char *stream_essence(const struct answer *answer, size_t *length)
{
    const char *at = answer->body;
    char *essence = NULL;
    FILE *out = open_memstream(&essence, length);
    if (!out)
        die("no memory");
    for (json_t *event; (event = next_event(&at)) != NULL; json_decref(event)) {
        if (event_is(event, "accepted") || event_is(event, "ping"))
            continue;
        forget_what_varies(event);
        json_dumpf(event, out, JSON_SORT_KEYS | JSON_COMPACT);
        fputc('\n', out);
    }
    fclose(out);
    return essence;
}

/* What of a 200 must be equal each time: the caller frees. */
static char *answer_essence(const struct answer *answer, size_t *length)
{
    if (is_stream(answer))
        return stream_essence(answer, length);
    json_t *root = json_loadb(answer->body, answer->length, 0, NULL);
    char *essence = NULL;
    if (root) {
        forget_what_varies(root);
        essence = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT);
        json_decref(root);
        *length = essence ? strlen(essence) : 0;
    } else if ((essence = malloc(answer->length + 1)) != NULL) {
        memcpy(essence, answer->body, answer->length);
        *length = answer->length;
    }
    if (!essence)
        die("no memory");
    return essence;
}

static bool is_problem(const struct answer *answer, const char *code)
{
    json_t *root = json_loadb(answer->body, answer->length, 0, NULL);
    const char *found = json_string_value(json_object_get(root, "code"));
    bool same =
        found && strcmp(found, code) == 0 && strcmp(answer->type, "application/problem+json") == 0;
    json_decref(root);
    return same;
}

static enum verdict compare(const struct input *input, const struct answer *answer, char *why)
{
    char code[64] = "";
    if (is_stream(answer))
        stream_code(code, answer);
    if (strcmp(code, "deadline_exceeded") == 0)
        return LATE;
    if (strcmp(code, input->code) != 0) {
        snprintf(why, 200, "ends with \"%s\", not \"%s\"", code, input->code);
        return WRONG;
    }
    if (*code)
        return REFUSED;
    size_t length;
    char *essence = answer_essence(answer, &length);
    bool same = input->answer && length == input->answer_length &&
                memcmp(essence, input->answer, length) == 0;
    snprintf(why, 200, "another answer than alone (%zu bytes, not %zu)", length,
             input->answer_length);
    free(essence);
    return same ? RIGHT : WRONG;
}

enum verdict input_judge(const struct input *input, const struct answer *answer, char *why)
{
    if (answer->status == 429 && answer->retry_after && is_problem(answer, "queue_full"))
        return BUSY;
    if (answer->status == 504 && is_problem(answer, "deadline_exceeded"))
        return LATE;
    if (answer->status == input->status && answer->status == 200)
        return compare(input, answer, why);
    if (answer->status == input->status && is_problem(answer, input->code))
        return REFUSED;
    snprintf(why, 200, "%d instead of %d %s: %.120s", answer->status, input->status, input->code,
             answer->body);
    return WRONG;
}

int inputs_learn(struct inputs *inputs, int port, double patience_ms)
{
    int wrong = 0;
    for (int i = 0; i < inputs->count; i++) {
        struct input *input = &inputs->list[i];
        struct wire wire;
        struct answer answer;
        char head[1024], why[200] = "no answer";
        wire_open(&wire, port, false);
        size_t n = input_head(head, sizeof head, input, false, "");
        wire_send(&wire, head, n);
        wire_send(&wire, input->body, input->length);
        enum verdict verdict = WRONG;
        if (wire_read(&wire, &answer, patience_ms, AT_ONCE) == ARRIVED) {
            if (answer.status == 200 && input->status == 200 && !input->answer)
                input->answer = answer_essence(&answer, &input->answer_length);
            verdict = input_judge(input, &answer, why);
        }
        if (verdict != RIGHT && verdict != REFUSED) {
            printf("  alone, \"%s\": %s\n", input->name,
                   verdict == LATE ? "no result in time" : why);
            wrong++;
        }
        answer_free(&answer);
        wire_close(&wire, false);
    }
    return wrong;
}
