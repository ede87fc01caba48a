/*
 * Fuzz target: everything of a request but its body. Lines: method, target, Accept, Content-Type,
 * Content-Encoding, X-Request-Timeout-Ms, If-None-Match, X-Request-Id, and last the JSON of the
 * part "options". Whatever they are, the answer is a response with a status and an id that can go
 * into a header, or a prediction whose options are in range.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { METHOD, TARGET, FIRST_HEADER, OPTIONS = FIRST_HEADER + 6, LINES };

static const char *const names[] = {"Accept",           "Content-Type",
                                    "Content-Encoding", "X-Request-Timeout-Ms",
                                    "If-None-Match",    "X-Request-Id"};

static const char *header(void *context, const char *name)
{
    char **lines = context;
    for (int i = 0; i < OPTIONS - FIRST_HEADER; i++)
        if (strcasecmp(names[i], name) == 0 && *lines[FIRST_HEADER + i])
            return lines[FIRST_HEADER + i];
    return NULL;
}

static void check_options(const struct slice_options *options)
{
    if ((unsigned)options->masks > MASKS_NONE || options->max_detections < 0 ||
        options->max_detections > MODEL_MAX_DETECTIONS || !(options->score_threshold < 1))
        abort();
}

static void check_header(const char *value)
{
    for (; *value; value++)
        if (*value == '\r' || *value == '\n')
            abort();
}

static void answer(char **lines, size_t length)
{
    static const struct asset page = {"/index.html", "text/html", "\"1\"", (const uint8_t *)"", 0};
    static const struct api api = {
        .prefix = "/ct",
        .ui = true,
        .cors_origins = "https://viewer.example",
        .assets = &page,
        .assets_count = 1,
        .limits = {.max_body = 1000, .timeout_ms = 1000, .queue_capacity = 1},
    };
    static const struct model_info model = {.name = "none"};
    const struct api_state state = {.phase = (enum api_phase)(length % (PHASE_FAILED + 1)),
                                    .model = length % 7 ? &model : NULL,
                                    .alive = true};
    static struct exchange exchange;
    char id[REQUEST_ID_SIZE];
    request_id_choose(id, header(lines, "X-Request-Id"));
    const struct request request = {lines[METHOD], lines[TARGET], header, lines, id};
    const struct request_body body = {(int64_t)(length % 2000) - 1, length % 3 == 0};
    memset(&exchange, 0, sizeof exchange);
    check_header(id);
    if (api_begin(&exchange, &api, &state, &request, &body) == API_PREDICT) {
        check_options(&exchange.predict.options);
        if (exchange.timeout_ms < 1 || exchange.timeout_ms > 1000)
            abort();
    } else {
        const struct response *response = &exchange.response;
        if (response->status < 200 || response->status > 599)
            abort();
        for (int i = 0; i < response->headers_count; i++)
            check_header(response->headers[i].value);
    }
    response_free(&exchange.response);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char *text = malloc(length + 1), *lines[LINES];
    struct slice_options options;
    struct problem problem;
    if (!text)
        return 0;
    memcpy(text, bytes, length);
    text[length] = 0;
    char *at = text;
    for (int i = 0; i < LINES; i++) {
        char *end = i + 1 < LINES ? memchr(at, '\n', (size_t)(text + length - at)) : NULL;
        lines[i] = at;
        if (end)
            *end = 0;
        at = end ? end + 1 : text + length;
    }
    answer(lines, length);
    options_default(&options);
    size_t rest = (size_t)(text + length - lines[OPTIONS]);
    if (options_from_json(&options, lines[OPTIONS], rest, &problem) == 0)
        check_options(&options);
    free(text);
    return 0;
}
