/*
 * A service under attack: many clients, most of them ill-behaved, against a real process for a
 * bounded time. Each input is sent alone first; under load its answer must be the same, or one of
 * the errors that the contract allows a busy service.
 */
#ifndef ONESHOT_TESTS_SOAK_H
#define ONESHOT_TESTS_SOAK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- small things (small.c) ---- */

double now_ms(void);
void nap_ms(int ms);
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
unsigned next_random(unsigned *state); /* 24 bits */

/* ---- the process (subject.c) ---- */

struct subject {
    pid_t pid;
    int log; /* file in memory with all it writes */
    int port, workers;
};

/*
 * Runs command (NULL-terminated) with `serve` and flags, until it is ready; the milliseconds.
 * `idle` seconds of silence end a connection, twenty times as long is allowed for a request.
 */
double subject_start(struct subject *subject, char *const *command, const char *model, int workers,
                     int idle, double patience_ms);

/* Asks it to end: SIGTERM. */
void subject_end(const struct subject *subject);

/* SIGHUP, and waits until all workers have the new model. */
void subject_reload(const struct subject *subject, double patience_ms);

/* Waits for its end; the exit code, 128 + n for signal n. */
int subject_wait(struct subject *subject, double patience_ms);

/* A field of /proc/PID/status in MB or as a count: "VmRSS", "VmHWM", "Threads". */
double subject_status(const struct subject *subject, const char *field);
int subject_descriptors(const struct subject *subject);

/* Seconds of processor time: the subject's, this program's, the machine's (with idle time). */
struct cpu_times {
    double subject, self, busy, all;
};
struct cpu_times subject_times(const struct subject *subject);

/* Prints what the log holds beside events (sanitizers' reports), and errors. How many lines. */
int subject_complaints(const struct subject *subject);

/* ---- one connection (wire.c) ---- */

struct wire {
    int fd; /* -1: could not connect */
    char *held;
    size_t length, room;
};

struct answer {
    int status;
    char type[64];
    bool retry_after;
    char *body; /* owned, a zero byte behind */
    size_t length;
};

enum arrival { ARRIVED, CLOSED, SILENT };
enum pace { AT_ONCE, SLOWLY, WITH_A_PAUSE };

/* `narrow`: with as small a receive buffer as there is. */
void wire_open(struct wire *wire, int port, bool narrow);
void wire_close(struct wire *wire, bool reset);
bool wire_send(struct wire *wire, const void *bytes, size_t length); /* false: not taken any more */
bool wire_text(struct wire *wire, const char *text);

/*
 * The next answer, of known length or in chunks. SLOWLY takes it in small pieces, WITH_A_PAUSE
 * stops for a second after the first one.
 */
enum arrival wire_read(struct wire *wire, struct answer *answer, double patience_ms,
                       enum pace pace);
void answer_free(struct answer *answer);

/* ---- what is sent (inputs.c, volumes.c) ---- */

struct blob {
    uint8_t *bytes; /* owned */
    size_t length;
};

struct blob blob_copy(const struct blob *blob, size_t length); /* of its beginning */

struct input {
    const char *name, *target;
    char headers[160]; /* lines, each with its end */
    uint8_t *body;     /* owned */
    size_t length;
    int status;       /* what has to come */
    const char *code; /* of the problem; of the error that a stream with status 200 ends with */
    char *answer;     /* where all is well: what came when it was sent alone, without what varies */
    size_t answer_length;
};

/* Requests that are not even HTTP, or doubtful: one of these statuses, or a closed connection. */
struct nonsense {
    const char *name;
    char *text;           /* owned */
    const char *statuses; /* "400 431" */
};

struct inputs {
    struct input list[48];
    int count;
    int good; /* the first ones: nothing is wrong with them */
    struct nonsense nonsense[16];
    int nonsense_count;
};

void inputs_make(struct inputs *inputs);
void inputs_free(struct inputs *inputs);

/* Takes the body. */
void inputs_add(struct inputs *inputs, const char *name, const char *target, const char *headers,
                struct blob body, int status, const char *code);
void volumes_add_good(struct inputs *inputs);
void volumes_add_bad(struct inputs *inputs);

/* The head of a request; the length, < size. */
size_t input_head(char *out, size_t size, const struct input *input, bool chunked,
                  const char *extra);

/* ---- what comes (judge.c) ---- */

enum verdict { RIGHT, REFUSED, BUSY, LATE, CUT, LEFT, WRONG, VERDICTS };

/* Compares; `why` (200 bytes) says what is wrong. */
enum verdict input_judge(const struct input *input, const struct answer *answer, char *why);

/* Sends each input alone and keeps the essence of its answer. How many were not as documented. */
int inputs_learn(struct inputs *inputs, int port, double patience_ms);

/* ---- the attack (attack.c) ---- */

struct attack {
    struct inputs *inputs;
    int port, clients, workers;
    double until_ms, patience_ms;
    bool quiet; /* the service ends meanwhile: nothing is judged */
    atomic_int verdicts[VERDICTS];
    atomic_int next_client;
    pthread_mutex_t lock; /* of what is printed */
};

/* Runs all clients until the time is over and they are done. */
void attack_run(struct attack *attack);

struct probes {
    int port, workers;
    atomic_bool over;
    double *ms; /* owned */
    int count, room;
    int while_busy; /* of them: every worker was computing */
    int failed;
    pthread_t thread;
};

void probes_start(struct probes *probes);
void probes_end(struct probes *probes); /* sorts */
void probes_report(const struct probes *probes);

#endif
