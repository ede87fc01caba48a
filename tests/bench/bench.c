/*
 * How fast a slice is, for each backbone, on this machine. Everything a ratio compares is measured
 * in the same run:
 *
 *   efficiency = FLOPs of the model as described (direct convolution) per second of a slice
 *                / the best direct convolution this machine does, on as many threads
 *
 *   bench [BACKBONE...]     all of them without arguments; rows for both norm modes
 *
 * BENCH_SLICES says how often everything is done, 30 times without it. Where other programs compute
 * at the same time, only processor times tell something: what a core of its own would take.
 */
#include <fcntl.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/base/threads.h"
#include "model/net/backbone.h"
#include "model/net/store.h"
#include "tests/bench/bench.h"
#include "tests/bench/peak.h"

enum { WARM = 3, MAX_WORKERS = 64 };

static double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void bench_must(int rc, const struct error *err)
{
    if (rc) {
        fprintf(stderr, "bench: %s\n", err->text);
        exit(1);
    }
}

int bench_slices(void)
{
    const char *text = getenv("BENCH_SLICES");
    long count = text ? strtol(text, NULL, 10) : 30;
    return count < 1 ? 1 : count > BENCH_MOST_SLICES ? BENCH_MOST_SLICES : (int)count;
}

struct image bench_image(void)
{
    enum { SIDE = BENCH_SIDE };
    struct image image = {.width = SIDE, .height = SIDE, .bit_depth = 8};
    image.pixels = malloc(sizeof(float) * SIDE * SIDE);
    uint32_t state = 1;
    for (int i = 0; image.pixels && i < SIDE * SIDE; i++) {
        state = state * 1664525u + 1013904223u;
        int x = i % SIDE - SIDE / 2, y = i / SIDE - SIDE / 2;
        image.pixels[i] =
            (x * x + y * y < 40000 ? 0.3f : 0.7f) + 0.1f * (float)(state >> 8) / 16777216;
    }
    return image;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

struct timing {
    double median, p95, stage[MODEL_STAGES];
    double processor,
        processor_p95; /* seconds of the calling thread, not of the clock on the wall */
};

static struct timing time_slices(const struct model *model, const struct image *image)
{
    struct error err;
    struct session *session;
    struct prediction *out = malloc(sizeof *out);
    double total[BENCH_MOST_SLICES], own[BENCH_MOST_SLICES], stage[MODEL_STAGES][BENCH_MOST_SLICES];
    int slices = bench_slices();
    bench_must(session_open(&session, model, &err), &err);
    for (int i = -WARM; i < slices; i++) {
        double since = bench_now(), began = read_clock(CLOCK_THREAD_CPUTIME_ID);
        bench_must(session_predict(session, image, NULL, out, &err), &err);
        if (i < 0)
            continue;
        own[i] = read_clock(CLOCK_THREAD_CPUTIME_ID) - began;
        if (out->detections_count != model_info(model)->default_max_detections ||
            out->regions_count != model_info(model)->regions) {
            fprintf(stderr, "bench: %d masks and %d regions: not all of the work was done\n",
                    out->detections_count, out->regions_count);
            exit(1);
        }
        total[i] = bench_now() - since;
        for (int s = 0; s < MODEL_STAGES; s++)
            stage[s][i] = out->seconds[s];
    }
    session_close(session);
    free(out);
    struct timing t;
    t.median = bench_median(total, slices);
    t.p95 = total[slices * 95 / 100];
    t.processor = bench_median(own, slices);
    t.processor_p95 = own[slices * 95 / 100];
    for (int s = 0; s < MODEL_STAGES; s++)
        t.stage[s] = bench_median(stage[s], slices);
    return t;
}

struct worker {
    const struct model *model;
    const struct image *image;
    pthread_barrier_t *start;
    double seconds;
};

static void *work(void *context)
{
    struct worker *w = context;
    struct error err;
    struct session *session;
    struct prediction *out = malloc(sizeof *out);
    int slices = bench_slices();
    bench_must(session_open(&session, w->model, &err), &err);
    bench_must(session_predict(session, w->image, NULL, out, &err), &err);
    pthread_barrier_wait(w->start);
    double since = bench_now();
    for (int i = 0; i < slices; i++)
        bench_must(session_predict(session, w->image, NULL, out, &err), &err);
    w->seconds = bench_now() - since;
    session_close(session);
    free(out);
    return NULL;
}

/* Slices per second with `workers` sessions of one thread each. */
static double throughput(const struct model *model, const struct image *image, int workers)
{
    pthread_t threads[MAX_WORKERS];
    struct worker w[MAX_WORKERS];
    pthread_barrier_t start;
    double slowest = 0;
    pthread_barrier_init(&start, NULL, (unsigned)workers);
    for (int i = 0; i < workers; i++) {
        w[i] = (struct worker){.model = model, .image = image, .start = &start};
        pthread_create(&threads[i], NULL, work, &w[i]);
    }
    for (int i = 0; i < workers; i++) {
        pthread_join(threads[i], NULL);
        slowest = w[i].seconds > slowest ? w[i].seconds : slowest;
    }
    pthread_barrier_destroy(&start);
    return workers * bench_slices() / slowest;
}

static struct model *load(const char *path, int threads)
{
    struct error err;
    struct model *model;
    const struct model_options options = {.threads = threads};
    bench_must(model_load(&model, path, &options, &err), &err);
    return model;
}

/* In a process of its own: seconds until the first answer is ready, and peak memory of two workers
 * after it answered. */
static void serve_like(const char *path, double *ready, double *peak_mb)
{
    int fd[2];
    if (pipe(fd) != 0)
        exit(1);
    double since = bench_now();
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    pid_t child = fork();
    if (child == 0) { /* a fresh program: OpenMP does not survive a fork */
        dup2(fd[1], 1);
        execl(program, program, "--serve-like", path, (char *)NULL);
        _exit(127);
    }
    close(fd[1]);
    FILE *said = fdopen(fd[0], "r");
    long kilobytes = 0;
    *ready = said && fgetc(said) == 'r' ? bench_now() - since : -1;
    *peak_mb = said && fscanf(said, "%ld", &kilobytes) == 1 ? (double)kilobytes / 1024 : -1;
    if (said)
        fclose(said);
    waitpid(child, NULL, 0);
}

/* Of this program alone: what wait4() tells of a child counts the parent it was forked from. */
static long peak_kilobytes(void)
{
    char line[256];
    long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes;
}

static int serve_like_child(const char *path)
{
    struct image image = bench_image();
    struct model *model = load(path, 1);
    struct error err;
    struct session *session;
    struct prediction *out = malloc(sizeof *out);
    bench_must(session_open(&session, model, &err), &err);
    bench_must(session_predict(session, &image, NULL, out, &err), &err);
    if (write(1, "r", 1) != 1)
        return 1;
    throughput(model, &image, 2);
    dprintf(1, "%ld\n", peak_kilobytes());
    session_close(session);
    model_free(model);
    image_free(&image);
    free(out);
    return 0;
}

static void print_stages(const struct timing *t)
{
    printf("  stages, ms:");
    for (int s = 0; s < MODEL_STAGES; s++)
        printf(" %s %.2f", model_stage_name(s), t->stage[s] * 1e3);
    printf("\n");
}

static void print_row(const char *what, double median, double p95, double flops, double best)
{
    printf("  %-22s %6.1f ms %6.1f ms %8.0f %12.0f %11.2f\n", what, median * 1e3, p95 * 1e3,
           flops / median * 1e-9, best, flops / median * 1e-9 / best);
}

static void measure(const char *backbone, enum norm_mode mode, int cores)
{
    char path[256], what[32];
    struct error err;
    const char *mode_name = mode == NORM_BATCH ? "batch" : "running";
    struct image image = bench_image();
    struct network *network = bench_network(backbone, mode);
    snprintf(path, sizeof path, "%s/bench_%s_%s.safetensors",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", backbone, mode_name);
    bench_must(network_save(network, path, false, &err), &err);
    struct stat file;
    stat(path, &file);
    double ready, peak_mb;
    serve_like(path, &ready, &peak_mb);

    omp_set_num_threads(1);
    double best_one = peak_direct_convolution();
    struct model *one = load(path, 1);
    struct timing t1 = time_slices(one, &image);
    double rate = throughput(one, &image, cores);
    double flops = model_info(one)->flops;
    model_free(one);

    struct model *all = load(path, cores);
    struct timing t = time_slices(all, &image);
    double answer = bench_answer(all, &image);
    omp_set_num_threads(cores);
    double best = peak_direct_convolution();
    double other = bench_other_share(network, &image);
    model_free(all);
    network_free(network);

    printf("%s, %s statistics: %.1f GFLOP a slice, weight file %.0f MB\n", backbone, mode_name,
           flops * 1e-9, (double)file.st_size / 1048576);
    printf("  %-22s %9s %9s %8s %12s %11s\n", "", "median", "p95", "GFLOP/s", "best direct",
           "efficiency");
    print_row("1 thread", t1.median, t1.p95, flops, best_one);
    print_row("  its processor time", t1.processor, t1.processor_p95, flops, best_one);
    snprintf(what, sizeof what, "%d threads", cores);
    print_row(what, t.median, t.p95, flops, best);
    printf("  one worker a core: %.1f slices/s, efficiency %.2f\n", rate,
           rate * flops * 1e-9 / best);
    print_stages(&t);
    printf(
        "  not convolution, matrix product or LSTM: %.1f %% of a slice; JSON with masks %.2f ms\n",
        100 * other, answer);
    printf("  start to ready %.2f s, peak memory with two workers %.0f MB\n\n", ready, peak_mb);
    fflush(stdout);
    unlink(path);
    image_free(&image);
}

static void measure_training(const char *backbone, int cores)
{
    omp_set_num_threads(cores);
    double best = peak_direct_convolution();
    struct bench_iteration t = bench_training(backbone);
    printf("%s, one training iteration on %d threads: %.0f ms (segmentation step %.0f, "
           "classification step %.0f, updates %.0f)\n",
           backbone, cores, t.seconds * 1e3, t.segment * 1e3, t.classify * 1e3, t.update * 1e3);
    printf("  %.0f GFLOP, %.0f GFLOP/s, best direct %.0f, efficiency %.2f\n\n", t.flops * 1e-9,
           t.flops / t.seconds * 1e-9, best, t.flops / t.seconds * 1e-9 / best);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    threads_wait_briefly(argv); /* as the program does */
    if (argc == 3 && strcmp(argv[1], "--serve-like") == 0)
        return serve_like_child(argv[2]);
    int cores = omp_get_num_procs();
    if (cores > MAX_WORKERS)
        cores = MAX_WORKERS;
    for (int i = 0; i < backbone_count(); i++) {
        const char *name = backbone_at(i)->name;
        bool wanted = argc == 1;
        for (int k = 1; k < argc; k++)
            wanted |= strcmp(argv[k], name) == 0;
        for (int mode = 0; wanted && mode < 2; mode++)
            measure(name, mode ? NORM_BATCH : NORM_RUNNING, cores);
        if (wanted)
            measure_training(name, cores);
    }
    return 0;
}
