/* oneshot request: files to a running service, one after another, with retries. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/client.h"
#include "server/commands.h"
#include "server/file.h"
#include "server/flags.h"
#include "server/progress.h"

enum { MAX_ANSWER = 1 << 30, MAX_FILE = 1 << 30, LONGEST_PAUSE = 60 };

struct settings {
    const char *unix_socket, *output, *query;
    int timeout_ms, retries;
    bool png, quiet;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct flag table[] = {
    {"unix-socket", 0, FLAG_TEXT, FIELD(unix_socket), "", 0, 0, NULL, "PATH",
     "connect to this socket"},
    {"query", 0, FLAG_TEXT, FIELD(query), "", 0, 0, NULL, "TEXT",
     "options, such as masks=none&score_threshold=0.5"},
    {"png", 0, FLAG_SWITCH, FIELD(png), NULL, 0, 0, NULL, NULL,
     "ask for the overlay as PNG instead of JSON; needs --output"},
    {"output", 'o', FLAG_TEXT, FIELD(output), "", 0, 0, NULL, "FILE",
     "write the answer there instead of to standard output"},
    {"timeout", 0, FLAG_DURATION, FIELD(timeout_ms), "120s", 1, 86400000, NULL, "TIME",
     "longest wait for one answer"},
    {"retries", 0, FLAG_INT, FIELD(retries), "5", 0, 1000, NULL, "N",
     "tries again after 429, 503 or a refused connection"},
    {"quiet", 'q', FLAG_SWITCH, FIELD(quiet), NULL, 0, 0, NULL, NULL, "no progress bar"},
};

static const struct flags flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot request [FLAG]... URL FILE...",
    .about = "Sends each file to URL/v1/predict and prints the answers, one line each. Waits as "
             "long as\n"
             "the service asks (Retry-After) before a retry. Exits with 0 when all went well, 1 "
             "when an\n"
             "answer was an error, 3 when the service could not be reached or stayed busy.",
    .environment = false,
};

static void pause_seconds(int seconds)
{
    struct timespec left = {seconds, 0};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* What the service asked for, else 1, 2, 4, ... */
static int pause_length(const struct client_answer *answer, int attempt)
{
    int seconds = answer->retry_after > 0 ? answer->retry_after : 1 << (attempt < 5 ? attempt : 5);
    return seconds < LONGEST_PAUSE ? seconds : LONGEST_PAUSE;
}

static void show_sent(void *context, int64_t bytes)
{
    progress_set(context, bytes);
}

/* One file until there is an answer that a retry would not change; -1 where there is none. */
static int send_file(struct client_answer *answer, struct client *client, const char *url,
                     const char *file, const struct settings *settings, struct error *err)
{
    uint8_t *bytes = NULL;
    size_t length;
    struct progress progress;
    if (file_read(&bytes, &length, file, MAX_FILE, err) != 0)
        return -1;
    struct client_request request = {.url = url,
                                     .unix_socket = settings->unix_socket,
                                     .accept = settings->png ? "image/png" : "application/json",
                                     .body = bytes,
                                     .length = length,
                                     .timeout_ms = settings->timeout_ms,
                                     .sent = show_sent,
                                     .context = &progress};
    int rc;
    for (int attempt = 0;; attempt++) {
        buffer_clear(&answer->body);
        progress_start(&progress, "sending", (int64_t)length, !settings->quiet && length > 1 << 20);
        rc = client_exchange(answer, client, &request, err);
        progress_end(&progress);
        bool again = rc != 0 || answer->status == 429 || answer->status == 503;
        if (!again || attempt == settings->retries)
            break;
        int seconds = pause_length(answer, attempt);
        if (!settings->quiet) {
            if (rc != 0)
                fprintf(stderr, "oneshot request: %s; again in %d s\n", err->text, seconds);
            else
                fprintf(stderr, "oneshot request: %d from the service; again in %d s\n",
                        answer->status, seconds);
        }
        pause_seconds(seconds);
    }
    free(bytes);
    return rc;
}

static int keep_answer(const struct client_answer *answer, const struct settings *settings,
                       struct error *err)
{
    if (*settings->output)
        return file_write(settings->output, answer->body.bytes, answer->body.length, err);
    if (fwrite(answer->body.bytes, 1, answer->body.length, stdout) != answer->body.length ||
        putchar('\n') == EOF)
        return error_set(err, ERR_IO, "standard output: %s", strerror(errno));
    return 0;
}

static int request_file(struct client *client, const char *url, const char *file,
                        const struct settings *settings)
{
    struct client_answer answer = {0};
    struct error err;
    int status = 0;
    buffer_init(&answer.body, MAX_ANSWER);
    if (send_file(&answer, client, url, file, settings, &err) != 0) {
        fprintf(stderr, "oneshot request: %s: %s\n", file, err.text);
        status = 3;
    } else if (answer.status != 200) {
        fprintf(stderr, "oneshot request: %s: HTTP %d %s\n", file, answer.status,
                answer.body.length ? (const char *)answer.body.bytes : "");
        status = answer.status == 429 || answer.status == 503 ? 3 : 1;
    } else if (keep_answer(&answer, settings, &err) != 0) {
        fprintf(stderr, "oneshot request: %s\n", err.text);
        status = 1;
    }
    buffer_free(&answer.body);
    return status;
}

static int make_url(char *out, size_t size, const char *base, const char *query)
{
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/')
        length--;
    int n = snprintf(out, size, "%.*s/v1/predict%s%s", (int)length, base, *query ? "?" : "", query);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

int cmd_request(int argc, char **argv)
{
    struct settings settings = {0};
    struct client *client = NULL;
    struct error err;
    char url[4096];
    int count, status = 0;
    bool help;
    if (flags_parse(&flags, &settings, argc, argv, &count, &help, &err) != 0) {
        fprintf(stderr, "oneshot request: %s\n", err.text);
        return 2;
    }
    if (help)
        return 0;
    const char *wrong = count < 2 ? "needs a URL and at least one file; --help tells more"
                        : settings.png && !*settings.output ? "--png needs --output FILE"
                        : count > 2 && *settings.output     ? "--output takes one file"
                        : make_url(url, sizeof url, argv[1], settings.query) != 0
                            ? "the URL is too long"
                            : NULL;
    if (wrong) {
        fprintf(stderr, "oneshot request: %s\n", wrong);
        return 2;
    }
    if (client_open(&client, &err) != 0) {
        fprintf(stderr, "oneshot request: %s\n", err.text);
        return 3;
    }
    for (int i = 1; i < count; i++) {
        int one = request_file(client, url, argv[1 + i], &settings);
        status = one > status ? one : status;
    }
    client_close(client);
    return status;
}
