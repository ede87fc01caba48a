/*
 * soak [FLAG]... -- COMMAND...: attacks `COMMAND serve`. Fails on a crash, a leak, an answer that
 * is neither right nor a documented error, and memory beyond its bounds. Times are printed, not
 * judged.
 *
 *   --seconds N      of the attack (60)
 *   --clients N      at the same time (64)
 *   --requests N     sent in peace before, to see whether memory grows (500)
 *   --backbone NAME  a model with seeded weights in a file; without it, the default model
 *   --patience N     seconds until an answer is missed (120)
 *   --idle N         seconds of silence that end a connection (3)
 *   --unbounded      memory is printed, not judged: sanitizers, valgrind
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/net/store.h"
#include "tests/soak/soak.h"

enum { ALLOWED_MB = 400, ALLOWED_GROWTH_MB = 8, RELOADS = 6, RELOAD_GROWTH_MB = 24 };

struct settings {
    int seconds, clients, requests, patience, idle;
    const char *backbone;
    bool bounded;
    char *const *command;
};

/* ---- the model ---- */

static void write_weights(const char *path, const char *backbone)
{
    struct error err;
    struct network *network;
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "%s", backbone);
    config.backbone_norm = NORM_BATCH; /* keeps seeded features in range */
    config.box_score_thresh = 0;       /* so that there are detections */
    if (network_create(&network, &config, &err) != 0 ||
        params_fill(network->params, 1, &err) != 0 || network_save(network, path, false, &err) != 0)
        die("%s", err.text);
    network_free(network);
}

/* ---- memory over many requests ---- */

struct peace {
    const struct inputs *inputs;
    const struct subject *subject;
    double patience_ms;
    int requests;
    atomic_int sent, done, wrong;
    double mb[3];
};

static const int marks[] = {10, 2, 1}; /* a tenth, half, all of the requests */

static void *send_in_peace(void *context)
{
    struct peace *peace = context;
    int i;
    while ((i = atomic_fetch_add(&peace->sent, 1)) < peace->requests) {
        struct wire wire;
        struct answer answer;
        char head[1024], why[200];
        const struct input *input = &peace->inputs->list[i % peace->inputs->good];
        wire_open(&wire, peace->subject->port, false);
        wire_send(&wire, head, input_head(head, sizeof head, input, false, ""));
        wire_send(&wire, input->body, input->length);
        if (wire_read(&wire, &answer, peace->patience_ms, AT_ONCE) != ARRIVED ||
            input_judge(input, &answer, why) != RIGHT)
            atomic_fetch_add(&peace->wrong, 1);
        answer_free(&answer);
        wire_close(&wire, false);
        int done = 1 + atomic_fetch_add(&peace->done, 1);
        for (int k = 0; k < 3; k++)
            if (done == (peace->requests + marks[k] - 1) / marks[k])
                peace->mb[k] = subject_status(peace->subject, "VmRSS");
    }
    return NULL;
}

/* As many clients as workers. How many things were not as they should be. */
static int watch_memory(const struct subject *subject, const struct inputs *inputs,
                        const struct settings *set)
{
    struct peace peace = {inputs, subject, 1e3 * set->patience, set->requests, 0, 0, 0, {0}};
    pthread_t threads[64];
    int count = subject->workers < 64 ? subject->workers : 64;
    double start = now_ms();
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, send_in_peace, &peace) != 0)
            die("no thread");
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    double growth = peace.mb[2] - peace.mb[0];
    bool grown = set->bounded && growth > ALLOWED_GROWTH_MB;
    printf("  memory  %.1f MB after %d requests, %.1f after %d, %.1f after %d: %s\n", peace.mb[0],
           (set->requests + marks[0] - 1) / marks[0], peace.mb[1],
           (set->requests + marks[1] - 1) / marks[1], peace.mb[2], set->requests,
           !set->bounded ? "not judged"
           : grown       ? "GROWS"
                         : "flat");
    printf("          %d wrong answers, %.0f ms per request\n", peace.wrong,
           (now_ms() - start) / set->requests);
    return peace.wrong + grown;
}

/* ---- the attack ---- */

static void report_machine(const struct subject *subject, const struct cpu_times *before)
{
    struct cpu_times now = subject_times(subject);
    double all = now.all - before->all, server = now.subject - before->subject,
           self = now.self - before->self, busy = now.busy - before->busy;
    if (all > 0)
        printf("  machine %.0f %% service, %.0f %% this program, %.0f %% others, %.0f %% idle\n",
               100 * server / all, 100 * self / all, 100 * (busy - server - self) / all,
               100 * (all - busy) / all);
}

static int attack(const struct subject *subject, struct inputs *inputs, const struct settings *set)
{
    static const char *const names[] = {
        "right", "refused as documented", "queue full", "late", "cut off", "left", "WRONG"};
    struct attack attack = {.inputs = inputs,
                            .port = subject->port,
                            .clients = set->clients,
                            .workers = subject->workers,
                            .until_ms = now_ms() + 1e3 * set->seconds,
                            .patience_ms = 1e3 * set->patience,
                            .lock = PTHREAD_MUTEX_INITIALIZER};
    struct probes probes = {.port = subject->port, .workers = subject->workers};
    struct cpu_times before = subject_times(subject);
    int files = subject_descriptors(subject), lost = 0;
    double threads = subject_status(subject, "Threads");
    probes_start(&probes);
    attack_run(&attack);
    probes_end(&probes);
    printf("  attack  %d clients, %d s:", set->clients, set->seconds);
    for (int i = 0; i < VERDICTS; i++)
        printf(" %d %s%s", attack.verdicts[i], names[i], i + 1 < VERDICTS ? "," : "\n");
    probes_report(&probes);
    report_machine(subject, &before);
    /* What clients left behind goes within the idle timeout. */
    double until = now_ms() + 1e3 * set->patience;
    while ((lost = subject_descriptors(subject) - files) > 0 && now_ms() < until)
        nap_ms(100);
    double more = subject_status(subject, "Threads") - threads;
    printf("  after   %.1f MB, %d descriptors and %.0f threads more than before\n",
           subject_status(subject, "VmRSS"), lost, more);
    free(probes.ms);
    return attack.verdicts[WRONG] + probes.failed + (lost > 0) + (more > 0) +
           (attack.verdicts[RIGHT] == 0);
}

/* Whether memory grows with every reload of the model: two of them are there for a moment. */
static int reload(const struct subject *subject, const struct settings *set)
{
    double first = 0, last = 0;
    for (int i = 0; i < RELOADS; i++) {
        subject_reload(subject, 1e3 * set->patience);
        nap_ms(300); /* the old one is being freed */
        last = subject_status(subject, "VmRSS");
        first = i == 0 ? last : first;
    }
    bool grown = set->bounded && last - first > RELOAD_GROWTH_MB;
    printf("  reload  %.1f MB after one, %.1f after %d%s\n", first, last, RELOADS,
           grown ? ": GROWS" : "");
    return grown;
}

static void *end_soon(void *context)
{
    nap_ms(1000);
    subject_end(context);
    return NULL;
}

/* SIGTERM in the middle of an attack; the exit code. */
static int farewell(struct subject *subject, struct inputs *inputs, const struct settings *set)
{
    struct attack attack = {.inputs = inputs,
                            .port = subject->port,
                            .clients = set->clients,
                            .workers = subject->workers,
                            .until_ms = now_ms() + 2000,
                            .patience_ms = 1e3 * set->patience,
                            .quiet = true,
                            .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t ender;
    if (pthread_create(&ender, NULL, end_soon, subject) != 0)
        die("no thread");
    attack_run(&attack);
    pthread_join(ender, NULL);
    return subject_wait(subject, attack.patience_ms);
}

static int soak(const struct settings *set)
{
    struct subject subject;
    struct inputs inputs;
    struct stat file = {.st_size = 0};
    char path[64] = "";
    int faults = 0;
    double patience = 1e3 * set->patience;
    if (*set->backbone) {
        snprintf(path, sizeof path, "/tmp/oneshot-soak-%d.safetensors", (int)getpid());
        write_weights(path, set->backbone);
        if (stat(path, &file) != 0)
            die("no weight file");
    }
    double ready = subject_start(&subject, set->command, path, 2, set->idle, patience), peak;
    printf("== %s, %d workers, weight file %.1f MB\n", *path ? set->backbone : "default model",
           subject.workers, (double)file.st_size / 1048576);
    printf("  ready   after %.2f s, %.1f MB\n", ready / 1e3, subject_status(&subject, "VmRSS"));
    inputs_make(&inputs);
    faults += inputs_learn(&inputs, subject.port, patience);
    printf("  alone   %d of %d inputs as documented\n", inputs.count - faults, inputs.count);
    if (set->requests > 0)
        faults += watch_memory(&subject, &inputs, set);
    fflush(stdout);
    if (set->seconds > 0)
        faults += attack(&subject, &inputs, set);
    int wrong = inputs_learn(&inputs, subject.port, patience);
    printf("  alone   %d of %d inputs as before\n", inputs.count - wrong, inputs.count);
    peak = subject_status(&subject, "VmHWM");
    double bound = 2.0 * (double)file.st_size / 1048576 + ALLOWED_MB;
    printf("  peak    %.1f MB", peak);
    if (*path)
        printf(", at most 2 x %.1f + %d = %.1f MB", (double)file.st_size / 1048576, ALLOWED_MB,
               bound);
    bool beyond = set->bounded && *path && peak > bound;
    printf("%s\n", beyond ? ": TOO MUCH" : "");
    faults += reload(&subject, set);
    int code = farewell(&subject, &inputs, set);
    printf("  ended   under attack, with code %d\n", code);
    int complaints = subject_complaints(&subject);
    faults += wrong + beyond + (code != 0) + complaints;
    inputs_free(&inputs);
    close(subject.log);
    if (*path)
        unlink(path);
    printf("soak: %d faults\n", faults);
    return faults;
}

int main(int argc, char **argv)
{
    struct settings set = {60, 64, 500, 120, 3, "", true, NULL};
    struct {
        const char *name;
        int *value;
    } numbers[] = {{"--seconds", &set.seconds},
                   {"--clients", &set.clients},
                   {"--requests", &set.requests},
                   {"--patience", &set.patience},
                   {"--idle", &set.idle}};
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        bool known = false;
        if (strcmp(argv[i], "--unbounded") == 0) {
            set.bounded = false;
            continue;
        }
        if (i + 1 < argc && strcmp(argv[i], "--backbone") == 0) {
            set.backbone = argv[++i];
            continue;
        }
        for (size_t k = 0; i + 1 < argc && k < sizeof numbers / sizeof *numbers; k++)
            if (strcmp(argv[i], numbers[k].name) == 0) {
                *numbers[k].value = (int)strtol(argv[++i], NULL, 10);
                known = true;
                break;
            }
        if (!known)
            die("what is \"%s\"?", argv[i]);
    }
    if (i + 1 >= argc)
        die("usage: soak [FLAG]... -- COMMAND...");
    set.command = argv + i + 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    return soak(&set) ? EXIT_FAILURE : EXIT_SUCCESS;
}
