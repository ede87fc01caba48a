/*
 * A service under test: a process of its own on a free port, its log in memory, and clients that
 * behave (libcurl) or do not (raw sockets). Every function fails the running test on trouble.
 * The process dies with the test that started it.
 */
#ifndef ONESHOT_TESTS_SERVICE_H
#define ONESHOT_TESTS_SERVICE_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A certificate for 127.0.0.1 and localhost, its own authority, and its key; for tests only. */
#define TEST_CERTIFICATE "tests/http/tls/certificate.pem"
#define TEST_KEY "tests/http/tls/key.pem"

/* A file with the one key a-key-for-the-tests. */
#define TEST_KEYS "tests/http/keys"

struct process {
    pid_t pid;
    int log;  /* file in memory with all the process writes */
    bool tls; /* it speaks HTTPS */
    int port; /* 0: none, it listens on a UNIX socket or has ended */
};

/*
 * Starts `oneshot-fake serve --port 0` with more words (NULL-terminated) and environment
 * ("NAME=value", NULL-terminated; either may be NULL) and waits until it listens.
 */
void process_start(struct process *process, const char *const *words,
                   const char *const *environment);

/* The same, and waits until it is ready. */
void process_start_ready(struct process *process, const char *const *words,
                         const char *const *environment);

/* Runs `oneshot-fake` with words to its end; the exit code. process->log stays, for the caller to
 * close. */
int process_run(struct process *process, const char *const *words, const char *const *environment);

/* Sends a signal, waits for the end, and gives the exit code (128 + n for signal n). */
int process_stop(struct process *process, int signal);
int process_wait(struct process *process);

/* The log so far; the caller frees. */
char *process_log(const struct process *process);

/* Waits until the log holds a text, `times` times; fails after 20 seconds. */
void process_expect_log(const struct process *process, const char *text, int times);

/* The service's memory at its largest so far, in kilobytes. */
long process_peak_kb(const struct process *process);

/* ---- a client that behaves ---- */

struct answer {
    int status;
    char headers[8192]; /* of the last response, as received */
    uint8_t *body;      /* with a zero byte behind; owned */
    size_t length;
};

/* Headers: "Name: value" lines, NULL-terminated; may be NULL. Body NULL: none. */
struct answer http(const struct process *process, const char *method, const char *path,
                   const char *const *headers, const void *body, size_t length);
void answer_free(struct answer *answer);

/* For requests of a test's own: libcurl's write function that fills `context`, a struct answer. */
size_t answer_keep(char *bytes, size_t size, size_t count, void *context);

/* Value of a header of an answer, in memory of the next call's; NULL when absent. */
const char *answer_header(const struct answer *answer, const char *name);

bool answer_has(const struct answer *answer, const char *text);

/* ---- one that need not ---- */

int raw_open(const struct process *process);
bool raw_send(int socket, const void *bytes, size_t length); /* false: not taken any more */
void raw_text(int socket, const char *text);

/* Reads until the other side closes or `enough` (may be NULL) came; the caller frees. */
char *raw_read(int socket, const char *enough);

/* ---- slices ---- */

struct bytes {
    uint8_t *data;
    size_t length;
};

/* A PNG of a phantom; another seed gives another slice. The caller frees data. */
struct bytes slice_png(int width, int height, unsigned seed);

/* A PNG with every pixel the same. */
struct bytes flat_png(int side);

/*
 * A multipart body: pairs of name and content; names "file" come with a filename. The boundary is
 * "XX". `content` with length 0 is text.
 */
struct part {
    const char *name, *filename, *type;
    const void *content;
    size_t length;
};
struct bytes multipart(const struct part *parts, size_t count);

#endif
