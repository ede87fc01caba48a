#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/soak/soak.h"

enum { HEAD_SIZE = 1024 };

struct client {
    struct attack *attack;
    unsigned random;
};

static unsigned below(struct client *client, unsigned limit)
{
    return next_random(&client->random) % limit;
}

static void count(struct client *client, enum verdict verdict, const char *manner, const char *name,
                  const char *why)
{
    struct attack *attack = client->attack;
    atomic_fetch_add(&attack->verdicts[verdict], 1);
    if (verdict != WRONG || attack->quiet)
        return;
    pthread_mutex_lock(&attack->lock);
    printf("  wrong: \"%s\", %s: %s\n", name, manner, why);
    pthread_mutex_unlock(&attack->lock);
}

static const struct input *any(struct client *client)
{
    const struct inputs *inputs = client->attack->inputs;
    bool good = below(client, 2) == 0;
    return &inputs->list[below(client, (unsigned)(good ? inputs->good : inputs->count))];
}

/* Reads an answer that has to come, and judges it. */
static void expect(struct client *client, struct wire *wire, const struct input *input,
                   const char *manner, enum pace pace)
{
    struct answer answer;
    char why[200] = "";
    enum arrival arrival = wire_read(wire, &answer, client->attack->patience_ms, pace);
    enum verdict verdict = WRONG;
    if (arrival == ARRIVED)
        verdict = input_judge(input, &answer, why);
    else
        snprintf(why, sizeof why, arrival == CLOSED ? "closed without answer" : "no answer");
    count(client, verdict, manner, input->name, why);
    answer_free(&answer);
}

static void begin(struct wire *wire, const struct input *input, bool chunked, const char *extra)
{
    char head[HEAD_SIZE];
    wire_send(wire, head, input_head(head, sizeof head, input, chunked, extra));
}

static void send_whole(struct wire *wire, const struct input *input, const char *extra)
{
    begin(wire, input, false, extra);
    wire_send(wire, input->body, input->length);
}

/* ---- those who want an answer ---- */

static void post(struct client *client)
{
    struct wire wire;
    const struct input *input = any(client);
    wire_open(&wire, client->attack->port, false);
    send_whole(&wire, input, "");
    expect(client, &wire, input, "whole", AT_ONCE);
    wire_close(&wire, false);
}

static void post_in_pieces(struct client *client)
{
    struct wire wire;
    const struct input *input = any(client);
    wire_open(&wire, client->attack->port, false);
    begin(&wire, input, false, "");
    size_t piece = input->length / (2 + below(client, 20)) + 1;
    for (size_t at = 0; at < input->length; at += piece) {
        nap_ms((int)below(client, 40));
        if (!wire_send(&wire, input->body + at,
                       input->length - at < piece ? input->length - at : piece))
            break;
    }
    expect(client, &wire, input, "in pieces", AT_ONCE);
    wire_close(&wire, false);
}

static void post_in_chunks(struct client *client)
{
    struct wire wire;
    char size[32];
    const struct input *input = any(client);
    wire_open(&wire, client->attack->port, false);
    begin(&wire, input, true, "");
    for (size_t at = 0, n; at < input->length; at += n) {
        n = 1 + below(client, 20000);
        n = n < input->length - at ? n : input->length - at;
        snprintf(size, sizeof size, "%zx\r\n", n);
        if (!wire_text(&wire, size) || !wire_send(&wire, input->body + at, n) ||
            !wire_text(&wire, "\r\n"))
            break;
    }
    wire_text(&wire, "0\r\n\r\n");
    expect(client, &wire, input, "in chunks", AT_ONCE);
    wire_close(&wire, false);
}

static void read_slowly(struct client *client)
{
    struct wire wire;
    const struct input *input = any(client);
    bool pause = below(client, 2) == 0;
    wire_open(&wire, client->attack->port, true);
    send_whole(&wire, input, "");
    expect(client, &wire, input, pause ? "read with a pause" : "read slowly",
           pause ? WITH_A_PAUSE : SLOWLY);
    wire_close(&wire, false);
}

/* Good ones only: after a refusal the service may close. */
static void keep_the_connection(struct client *client)
{
    struct wire wire;
    const struct inputs *inputs = client->attack->inputs;
    bool at_once = below(client, 2) == 0;
    const struct input *all[3];
    wire_open(&wire, client->attack->port, false);
    for (int i = 0; i < 3; i++)
        all[i] = &inputs->list[below(client, (unsigned)inputs->good)];
    for (int i = 0; at_once && i < 3; i++)
        send_whole(&wire, all[i], "");
    for (int i = 0; i < 3; i++) {
        if (!at_once)
            send_whole(&wire, all[i], "");
        struct answer answer;
        char why[200] = "";
        enum arrival arrival = wire_read(&wire, &answer, client->attack->patience_ms, AT_ONCE);
        enum verdict verdict = arrival == ARRIVED ? input_judge(all[i], &answer, why) : WRONG;
        count(client, verdict, at_once ? "pipelined" : "one after another", all[i]->name,
              arrival == ARRIVED ? why : "closed or silent");
        answer_free(&answer);
        if (verdict != RIGHT) /* 429 closes where the body was not taken */
            break;
    }
    wire_close(&wire, false);
}

static void in_a_hurry(struct client *client)
{
    struct wire wire;
    char extra[64];
    const struct input *input = any(client);
    snprintf(extra, sizeof extra, "X-Request-Timeout-Ms: %u\r\n", 1 + below(client, 3000));
    wire_open(&wire, client->attack->port, false);
    send_whole(&wire, input, extra);
    struct answer answer;
    char why[200] = "";
    enum arrival arrival = wire_read(&wire, &answer, client->attack->patience_ms, AT_ONCE);
    /* A body that takes longer than the deadline is cut. */
    count(client,
          arrival == ARRIVED  ? input_judge(input, &answer, why)
          : arrival == CLOSED ? CUT
                              : WRONG,
          "in a hurry", input->name, arrival == SILENT ? "no answer" : why);
    answer_free(&answer);
    wire_close(&wire, false);
}

/* ---- those who do not ---- */

static void leave(struct client *client)
{
    struct wire wire;
    const struct input *input = any(client);
    bool half = below(client, 2) == 0;
    wire_open(&wire, client->attack->port, false);
    begin(&wire, input, false, "");
    wire_send(&wire, input->body, half ? input->length / 2 : input->length);
    nap_ms((int)below(client, 300));
    wire_close(&wire, below(client, 2) == 0);
    count(client, LEFT, "left", input->name, "");
}

/* In the middle of an answer, or never reads one. */
static void leave_the_answer(struct client *client)
{
    struct wire wire;
    char some[512];
    const struct input *input = any(client);
    bool reads = below(client, 2) == 0;
    wire_open(&wire, client->attack->port, true);
    send_whole(&wire, input, "");
    for (unsigned i = below(client, 4); reads && i > 0; i--)
        if (recv(wire.fd, some, sizeof some, 0) <= 0)
            break;
    nap_ms((int)below(client, 6000));
    wire_close(&wire, below(client, 2) == 0);
    count(client, LEFT, "left its answer", input->name, "");
}

/* Says that it will not send more: an answer, or the end. */
static void half_goodbye(struct client *client)
{
    struct wire wire;
    struct answer answer;
    char why[200] = "";
    const struct input *input = any(client);
    wire_open(&wire, client->attack->port, false);
    send_whole(&wire, input, "");
    shutdown(wire.fd, SHUT_WR);
    enum arrival arrival = wire_read(&wire, &answer, client->attack->patience_ms, AT_ONCE);
    enum verdict verdict = arrival == ARRIVED  ? input_judge(input, &answer, why)
                           : arrival == CLOSED ? LEFT
                                               : WRONG;
    count(client, verdict, "half goodbye", input->name, arrival == SILENT ? "no end" : why);
    answer_free(&answer);
    wire_close(&wire, false);
}

/* Stops in the middle, of the headers or of the body: has to be cut off. */
static void fall_silent(struct client *client)
{
    struct wire wire;
    struct answer answer;
    const struct input *input = &client->attack->inputs->list[0];
    wire_open(&wire, client->attack->port, false);
    if (below(client, 2) == 0) {
        begin(&wire, input, false, "");
        wire_send(&wire, input->body, input->length / 2);
    } else {
        wire_text(&wire, "POST /v1/predict HTTP/1.1\r\nHost: ");
    }
    enum arrival arrival = wire_read(&wire, &answer, client->attack->patience_ms, AT_ONCE);
    bool busy = arrival == ARRIVED && (answer.status == 429 || answer.status == 408);
    count(client,
          arrival == CLOSED ? CUT
          : busy            ? BUSY
                            : WRONG,
          "silent", input->name, "is not cut off");
    answer_free(&answer);
    wire_close(&wire, false);
}

static void talk_nonsense(struct client *client)
{
    struct wire wire;
    struct answer answer;
    char status[16], why[200];
    const struct inputs *inputs = client->attack->inputs;
    const struct nonsense *one = &inputs->nonsense[below(client, (unsigned)inputs->nonsense_count)];
    wire_open(&wire, client->attack->port, false);
    wire_text(&wire, one->text);
    enum arrival arrival = wire_read(&wire, &answer, client->attack->patience_ms, AT_ONCE);
    snprintf(status, sizeof status, "%d", answer.status);
    snprintf(why, sizeof why, "%s, not %s", arrival == SILENT ? "nothing" : status, one->statuses);
    enum verdict verdict = arrival == CLOSED                                            ? CUT
                           : arrival == SILENT                                          ? WRONG
                           : strstr(one->statuses, status)                              ? REFUSED
                           : answer.status == 429 && strncmp(one->text, "POST", 4) == 0 ? BUSY
                                                                                        : WRONG;
    count(client, verdict, "nonsense", one->name, why);
    answer_free(&answer);
    wire_close(&wire, false);
}

/* ---- all of them ---- */

typedef void manner(struct client *client);

/* One with more rows comes more often. */
static manner *const manners[] = {
    post,
    post,
    post,
    post,
    post,
    post,
    post_in_pieces,
    post_in_chunks,
    post_in_chunks,
    read_slowly,
    leave,
    leave,
    half_goodbye,
    fall_silent,
    talk_nonsense,
    talk_nonsense,
    in_a_hurry,
    keep_the_connection,
    leave_the_answer,
};

static void *run_client(void *context)
{
    struct attack *attack = context;
    struct client client = {attack, 7919u * (unsigned)atomic_fetch_add(&attack->next_client, 1)};
    while (now_ms() < attack->until_ms)
        manners[below(&client, sizeof manners / sizeof *manners)](&client);
    return NULL;
}

void attack_run(struct attack *attack)
{
    pthread_t *threads = calloc((size_t)attack->clients, sizeof *threads);
    for (int i = 0; i < attack->clients; i++)
        if (!threads || pthread_create(&threads[i], NULL, run_client, attack) != 0)
            die("no thread for a client");
    for (int i = 0; i < attack->clients; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

/* ---- probes ---- */

static bool probe(struct probes *probes, const char *target, struct answer *answer)
{
    struct wire wire;
    char head[128];
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n",
             target);
    wire_open(&wire, probes->port, false);
    wire_text(&wire, head);
    bool arrived = wire_read(&wire, answer, 60000, AT_ONCE) == ARRIVED && answer->status == 200;
    wire_close(&wire, false);
    return arrived;
}

/* From before the connection is opened to the last byte, as whoever probes sees it. */
static void *run_probes(void *context)
{
    struct probes *probes = context;
    while (!atomic_load(&probes->over)) {
        struct answer answer;
        double start = now_ms();
        bool verbose = probes->count % 2 == 1;
        bool good = probe(probes, verbose ? "/readyz?verbose" : "/livez", &answer);
        double ms = now_ms() - start;
        probes->failed += !good;
        if (probes->count == probes->room) {
            probes->room = 2 * probes->room + 1024;
            probes->ms = realloc(probes->ms, (size_t)probes->room * sizeof *probes->ms);
            if (!probes->ms)
                die("no memory");
        }
        probes->ms[probes->count++] = ms;
        const char *busy = verbose && answer.body ? strstr(answer.body, "\"busy\":") : NULL;
        if (busy && strtol(busy + 7, NULL, 10) >= probes->workers)
            probes->while_busy++;
        answer_free(&answer);
        nap_ms(20);
    }
    return NULL;
}

void probes_start(struct probes *probes)
{
    if (pthread_create(&probes->thread, NULL, run_probes, probes) != 0)
        die("no thread for probes");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void probes_end(struct probes *probes)
{
    atomic_store(&probes->over, true);
    pthread_join(probes->thread, NULL);
    qsort(probes->ms, (size_t)probes->count, sizeof *probes->ms, by_value);
}

void probes_report(const struct probes *probes)
{
    int n = probes->count, within = 0;
    while (within < n && probes->ms[within] < 10)
        within++;
    printf(
        "  probes  %d (of the half that can tell, %d %% met every worker computing), %d failed\n",
        n, n > 1 ? 100 * probes->while_busy / (n / 2) : 0, probes->failed);
    if (n > 0)
        printf("          p50 %.2f ms, p99 %.2f ms, max %.2f ms; %.2f %% within 10 ms\n",
               probes->ms[n / 2], probes->ms[n * 99 / 100], probes->ms[n - 1], 100.0 * within / n);
}
