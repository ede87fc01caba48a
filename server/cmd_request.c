/* oneshot request: files to a running service, one after another, with retries. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/client.h"
#include "server/commands.h"
#include "server/file.h"
#include "server/flags.h"
#include "server/progress.h"
#include "server/request_stream.h"

enum { MAX_ANSWER = 1 << 30, MAX_FILE = 1 << 30, MAX_KEY_FILE = 4096, LONGEST_PAUSE = 60 };

/* Exit codes, the worst of all files. */
enum { EXIT_FINE = 0, EXIT_ANSWER = 1, EXIT_USAGE = 2, EXIT_SERVICE = 3 };

enum form { FORM_JSON, FORM_NDJSON, FORM_PNG, FORM_NIFTI };

static const char *const form_names[] = {"json", "ndjson", "png", "nifti", NULL};

static const struct {
    const char *accept, *suffix;
} forms[] = {
    [FORM_JSON] = {"application/json", ".json"},
    [FORM_NDJSON] = {"application/x-ndjson", ".ndjson"},
    [FORM_PNG] = {"image/png", ".findings.png"},
    [FORM_NIFTI] = {"application/x-nifti", ".labels.nii.gz"},
};

struct settings {
    const char *unix_socket, *ca_file, *key_file, *output, *folder, *query;
    int form, timeout_ms, retries;
    bool insecure, quiet;
    char *key; /* owned; NULL: none */
    struct file_claims *written;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct flag table[] = {
    {"as", 0, FLAG_CHOICE, FIELD(form), "json", 0, 0, form_names, "FORM",
     "json; ndjson, a line per event as it comes; png, the findings drawn; nifti, a label map"},
    {"query", 0, FLAG_TEXT, FIELD(query), "", 0, 0, NULL, "TEXT",
     "options, such as masks=none&score_threshold=0.5"},
    {"output", 'o', FLAG_TEXT, FIELD(output), "", 0, 0, NULL, "FILE",
     "write the answer there instead of to standard output"},
    {"out", 'd', FLAG_TEXT, FIELD(folder), "", 0, 0, NULL, "DIR",
     "write one answer per file into this folder"},
    {"timeout", 0, FLAG_DURATION, FIELD(timeout_ms), "120s", 1, 86400000, NULL, "TIME",
     "longest wait for one answer, or for the next event"},
    {"retries", 0, FLAG_INT, FIELD(retries), "5", 0, 1000, NULL, "N",
     "tries again after 429, 502, 503 or a connection that failed"},
    {"api-key-file", 0, FLAG_TEXT, FIELD(key_file), "", 0, 0, NULL, "FILE",
     "file whose first line is the key to send; else $ONESHOT_API_KEY"},
    {"unix-socket", 0, FLAG_TEXT, FIELD(unix_socket), "", 0, 0, NULL, "PATH",
     "connect to this socket"},
    {"cacert", 0, FLAG_TEXT, FIELD(ca_file), "", 0, 0, NULL, "FILE",
     "trust these certificates (PEM) instead of the system's"},
    {"insecure", 'k', FLAG_SWITCH, FIELD(insecure), NULL, 0, 0, NULL, NULL,
     "trust any certificate"},
    {"quiet", 'q', FLAG_SWITCH, FIELD(quiet), NULL, 0, 0, NULL, NULL,
     "no progress bars, no word of retries"},
};

static const struct flags flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot request [FLAG]... URL FILE...",
    .about =
        "Sends each file (\"-\" is standard input) to URL/v1/predict and prints the answers, one\n"
        "line each. Waits as long as the service asks (Retry-After) before a retry, else 1, 2,\n"
        "4, ... seconds and a random part of the same. Exits with 0 when all went well, 1 when\n"
        "an answer was an error, 3 when the service could not be reached, stayed busy, or broke\n"
        "off in the middle of an answer.",
    .environment = false,
};

/* ---- one file ---- */

/* A file on its way. */
struct sending {
    const struct settings *settings;
    struct client *client;
    const char *url, *file;
    uint8_t *bytes;
    size_t length;
    struct client_answer answer;
    struct progress bar;
    struct request_stream stream; /* of FORM_NDJSON */
};

static void pause_ms(double ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)fmod(ms, 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* What the service asked for, else twice as long each time and up to twice that by chance. */
static double pause_length(const struct client_answer *answer, int attempt)
{
    uint16_t chance = 0;
    if (answer->retry_after > 0)
        return 1e3 * (answer->retry_after < LONGEST_PAUSE ? answer->retry_after : LONGEST_PAUSE);
    double seconds = 1 << (attempt < 5 ? attempt : 5);
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != (ssize_t)sizeof chance)
        chance = 0;
    return 1e3 * seconds * (1 + chance / 65536.0);
}

static void show_sent(void *context, int64_t bytes)
{
    struct sending *sending = context;
    progress_set(&sending->bar, bytes);
}

static int take_events(void *context, const char *bytes, size_t length)
{
    struct sending *sending = context;
    progress_end(&sending->bar);
    return request_stream_take(&sending->stream, bytes, length);
}

static int exchange_once(struct sending *sending, struct error *err)
{
    const struct settings *settings = sending->settings;
    bool streams = settings->form == FORM_NDJSON;
    struct client_request request = {
        .url = sending->url,
        .peer = {settings->unix_socket, settings->ca_file, settings->insecure, settings->key},
        .accept = forms[settings->form].accept,
        .body = sending->bytes,
        .length = sending->length,
        .timeout_ms = settings->timeout_ms,
        .sent = show_sent,
        .received = streams ? take_events : NULL,
        .context = sending,
    };
    buffer_clear(&sending->answer.body);
    progress_start(&sending->bar, "sending", (int64_t)sending->length,
                   !settings->quiet && sending->length > 1 << 20);
    int rc = client_exchange(&sending->answer, sending->client, &request, err);
    progress_end(&sending->bar);
    if (rc == 0 && streams && sending->answer.status == 200 && !sending->stream.ended)
        return error_set(err, ERR_IO, "the answer broke off");
    return rc;
}

/* Whether the same request may do better later. What came in part is not asked for again. */
static bool worth_a_retry(int rc, const struct sending *sending, const struct error *err)
{
    int status = sending->answer.status;
    if (rc != 0)
        return err->code != ERR_ARGUMENT && !sending->stream.begun;
    return status == 429 || status == 502 || status == 503;
}

/* Until there is an answer that a retry would not change; -1 where there is none. */
static int exchange(struct sending *sending, struct error *err)
{
    const struct settings *settings = sending->settings;
    for (int attempt = 0;; attempt++) {
        int rc = exchange_once(sending, err);
        if (attempt == settings->retries || !worth_a_retry(rc, sending, err))
            return rc;
        double pause = pause_length(&sending->answer, attempt);
        if (!settings->quiet) {
            if (rc != 0)
                fprintf(stderr, "oneshot request: %s; again in %.0f s\n", err->text,
                        ceil(pause / 1e3));
            else
                fprintf(stderr, "oneshot request: %d from the service; again in %.0f s\n",
                        sending->answer.status, ceil(pause / 1e3));
        }
        pause_ms(pause);
    }
}

/* Where the answer to a file goes; "" for standard output. */
static int answer_path(char *out, size_t size, const struct settings *settings, const char *file,
                       struct error *err)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    struct stat source, target;
    int n = *settings->output ? snprintf(out, size, "%s", settings->output)
            : *settings->folder
                ? snprintf(out, size, "%s/%s%s", settings->folder,
                           strcmp(file, "-") == 0 ? "stdin" : name, forms[settings->form].suffix)
                : snprintf(out, size, "%s", "");
    if (n < 0 || (size_t)n >= size)
        return error_set(err, ERR_ARGUMENT, "the name of the answer is too long");
    if (n > 0 && stat(file, &source) == 0 && stat(out, &target) == 0 &&
        source.st_dev == target.st_dev && source.st_ino == target.st_ino)
        return error_set(err, ERR_ARGUMENT, "the answer would overwrite the file itself");
    return n > 0 ? file_claim(settings->written, out, err) : 0;
}

static int keep_answer(const struct client_answer *answer, const char *path, struct error *err)
{
    if (*path)
        return file_write(path, answer->body.bytes, answer->body.length, err);
    if (fwrite(answer->body.bytes, 1, answer->body.length, stdout) != answer->body.length ||
        putchar('\n') == EOF || fflush(stdout) != 0)
        return error_set(err, ERR_IO, "standard output: %s", strerror(errno));
    return 0;
}

/* The exit code for an answer that came; says on stderr what is wrong with it. */
static int judge(const struct sending *sending, const char *path)
{
    const struct client_answer *answer = &sending->answer;
    struct error err;
    if (answer->status != 200) {
        fprintf(stderr, "oneshot request: %s: HTTP %d %s\n", sending->file, answer->status,
                answer->body.length ? (const char *)answer->body.bytes : "");
        bool busy = answer->status == 429 || answer->status == 502 || answer->status == 503;
        return busy ? EXIT_SERVICE : EXIT_ANSWER;
    }
    if (sending->settings->form == FORM_NDJSON) {
        if (sending->stream.failed)
            fprintf(stderr, "oneshot request: %s: not all of it could be done\n", sending->file);
        return sending->stream.failed ? EXIT_ANSWER : EXIT_FINE;
    }
    if (keep_answer(answer, path, &err) == 0)
        return EXIT_FINE;
    fprintf(stderr, "oneshot request: %s\n", err.text);
    return EXIT_ANSWER;
}

static int send_file(struct client *client, const char *url, const char *file,
                     const struct settings *settings)
{
    struct sending sending = {.settings = settings, .client = client, .url = url, .file = file};
    struct error err;
    char path[4096];
    int status = EXIT_ANSWER;
    buffer_init(&sending.answer.body, MAX_ANSWER);
    if (answer_path(path, sizeof path, settings, file, &err) != 0 ||
        file_read(&sending.bytes, &sending.length, file, MAX_FILE, &err) != 0) {
        if (err.code == ERR_IO) /* names the file itself */
            fprintf(stderr, "oneshot request: %s\n", err.text);
        else
            fprintf(stderr, "oneshot request: %s: %s\n", file, err.text);
        return EXIT_ANSWER;
    }
    request_stream_init(&sending.stream, path, !settings->quiet);
    if (exchange(&sending, &err) == 0) {
        status = judge(&sending, path);
    } else {
        bool ours = err.code == ERR_CANCELLED;
        fprintf(stderr, "oneshot request: %s: %s\n", file,
                ours ? sending.stream.why.text : err.text);
        status = ours ? EXIT_ANSWER : EXIT_SERVICE;
    }
    request_stream_free(&sending.stream);
    buffer_free(&sending.answer.body);
    free(sending.bytes);
    return status;
}

/* ---- all of them ---- */

/* Of the service, or, as curl wants it, of what is asked of it. */
static int make_url(char *out, size_t size, const char *base, const char *query)
{
    static const char route[] = "/v1/predict";
    size_t length = strlen(base), more = strlen(route);
    while (length > 0 && base[length - 1] == '/')
        length--;
    if (length > more && strncmp(base + length - more, route, more) == 0)
        length -= more;
    int n = snprintf(out, size, "%.*s%s%s%s", (int)length, base, route, *query ? "?" : "", query);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

/* The key from the file, else from the environment; on the command line others could read it. */
static int read_key(struct settings *settings, struct error *err)
{
    size_t length;
    const char *variable = getenv("ONESHOT_API_KEY");
    if (*settings->key_file) {
        if (file_read((uint8_t **)&settings->key, &length, settings->key_file, MAX_KEY_FILE, err) !=
            0)
            return -1;
        settings->key[strcspn(settings->key, "\r\n")] = 0;
        if (*settings->key == 0)
            return error_set(err, ERR_ARGUMENT, "%s: the first line is empty", settings->key_file);
    } else if (variable && *variable) {
        settings->key = strdup(variable);
    }
    return 0;
}

static const char *usage_error(const struct settings *settings, int count, char *url, size_t size,
                               const char *base)
{
    bool elsewhere = *settings->output || *settings->folder;
    if (count < 2)
        return "needs a URL and at least one file; --help tells more";
    if (*settings->output && *settings->folder)
        return "--output and --out exclude each other";
    if (count > 2 && *settings->output)
        return "--output takes one file; use --out DIR for several";
    if (!elsewhere && (settings->form == FORM_PNG || settings->form == FORM_NIFTI))
        return "--as png and --as nifti need --output FILE or --out DIR";
    return make_url(url, size, base, settings->query) != 0 ? "the URL is too long" : NULL;
}

static int send_files(const struct settings *settings, const char *url, int count, char **files)
{
    struct client *client = NULL;
    struct progress all;
    struct error err;
    int status = EXIT_FINE;
    if (client_open(&client, &err) != 0) {
        fprintf(stderr, "oneshot request: %s\n", err.text);
        return EXIT_SERVICE;
    }
    for (int i = 0; i < count; i++) {
        progress_start(&all, "files", count, count > 1 && !settings->quiet);
        progress_set(&all, i);
        progress_end(&all); /* what one file has to say takes its place */
        int one = send_file(client, url, files[i], settings);
        status = one > status ? one : status;
    }
    client_close(client);
    return status;
}

int cmd_request(int argc, char **argv)
{
    struct settings settings = {0};
    struct error err;
    char url[4096];
    int count;
    bool help;
    if (flags_parse(&flags, &settings, argc, argv, &count, &help, &err) != 0) {
        fprintf(stderr, "oneshot request: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (help)
        return EXIT_FINE;
    const char *wrong = usage_error(&settings, count, url, sizeof url, count ? argv[1] : "");
    if (wrong || read_key(&settings, &err) != 0) {
        fprintf(stderr, "oneshot request: %s\n", wrong ? wrong : err.text);
        free(settings.key);
        return EXIT_USAGE;
    }
    struct file_claims written = {0};
    settings.written = &written;
    int status = EXIT_USAGE;
    if (*settings.folder && mkdir(settings.folder, 0777) != 0 && errno != EEXIST)
        fprintf(stderr, "oneshot request: %s: %s\n", settings.folder, strerror(errno));
    else
        status = send_files(&settings, url, count - 1, argv + 2);
    file_claims_free(&written);
    free(settings.key);
    return status;
}
