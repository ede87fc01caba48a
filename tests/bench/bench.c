/*
 * How fast a slice is, for each backbone, on this machine. Everything a ratio compares is measured
 * in the same run:
 *
 *   efficiency = FLOPs of the model as described (direct convolution) per second of a slice
 *                / the best direct convolution this machine does, on as many threads
 *
 *   bench [BACKBONE...]     all of them without arguments; rows for both norm modes
 */
#include <fcntl.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/base/threads.h"
#include "model/data/normalize.h"
#include "model/model.h"
#include "model/net/backbone.h"
#include "model/net/detector.h"
#include "model/net/store.h"
#include "tests/bench/peak.h"

enum { SIDE = 512, WARM = 3, SLICES = 30, MAX_WORKERS = 64 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(int rc, const struct error *err)
{
    if (rc) {
        fprintf(stderr, "bench: %s\n", err->text);
        exit(1);
    }
}

/* Smooth structure over noise: any image will do, the work is the same for all. */
static struct image test_slice(void)
{
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

struct timing {
    double median, p95, stage[MODEL_STAGES];
};

static struct timing time_slices(const struct model *model, const struct image *image)
{
    struct error err;
    struct session *session;
    struct prediction *out = malloc(sizeof *out);
    double total[SLICES], stage[MODEL_STAGES][SLICES];
    must(session_open(&session, model, &err), &err);
    for (int i = -WARM; i < SLICES; i++) {
        double since = now();
        must(session_predict(session, image, NULL, out, &err), &err);
        if (i < 0)
            continue;
        if (out->detections_count != model_info(model)->default_max_detections ||
            out->regions_count != model_info(model)->regions) {
            fprintf(stderr, "bench: %d masks and %d regions: not all of the work was done\n",
                    out->detections_count, out->regions_count);
            exit(1);
        }
        total[i] = now() - since;
        for (int s = 0; s < MODEL_STAGES; s++)
            stage[s][i] = out->seconds[s];
    }
    session_close(session);
    free(out);
    struct timing t;
    qsort(total, SLICES, sizeof *total, by_value);
    t.median = total[SLICES / 2];
    t.p95 = total[SLICES * 95 / 100];
    for (int s = 0; s < MODEL_STAGES; s++) {
        qsort(stage[s], SLICES, sizeof *stage[s], by_value);
        t.stage[s] = stage[s][SLICES / 2];
    }
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
    must(session_open(&session, w->model, &err), &err);
    must(session_predict(session, w->image, NULL, out, &err), &err);
    pthread_barrier_wait(w->start);
    double since = now();
    for (int i = 0; i < SLICES; i++)
        must(session_predict(session, w->image, NULL, out, &err), &err);
    w->seconds = now() - since;
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
    return workers * SLICES / slowest;
}

static struct model *load(const char *path, int threads)
{
    struct error err;
    struct model *model;
    const struct model_options options = {.threads = threads};
    must(model_load(&model, path, &options, &err), &err);
    return model;
}

/* In a process of its own: seconds until the first answer is ready, and peak memory of two workers
 * after it answered. */
static void serve_like(const char *path, const struct image *image, double *ready, double *peak_mb)
{
    int fd[2];
    if (pipe(fd) != 0)
        exit(1);
    double since = now();
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    pid_t child = fork();
    if (child == 0) { /* a fresh program: OpenMP does not survive a fork */
        dup2(fd[1], 1);
        execl(program, program, "--serve-like", path, (char *)NULL);
        _exit(127);
    }
    (void)image;
    close(fd[1]);
    char byte;
    ssize_t got = read(fd[0], &byte, 1);
    *ready = got == 1 ? now() - since : -1;
    close(fd[0]);
    struct rusage usage;
    int status;
    wait4(child, &status, 0, &usage);
    *peak_mb = (double)usage.ru_maxrss / 1024;
}

static int serve_like_child(const char *path)
{
    struct image image = test_slice();
    struct model *model = load(path, 1);
    struct error err;
    struct session *session;
    struct prediction *out = malloc(sizeof *out);
    must(session_open(&session, model, &err), &err);
    must(session_predict(session, &image, NULL, out, &err), &err);
    if (write(1, "r", 1) != 1)
        return 1;
    throughput(model, &image, 2);
    session_close(session);
    model_free(model);
    image_free(&image);
    free(out);
    return 0;
}

/*
 * Seeded weights let activations grow from block to block; boxes and masks then degenerate and half
 * of the work is skipped. Scaling the last layer of the FPN to the range of a trained network keeps
 * all stages busy.
 */
static void tame_features(struct network *network)
{
    struct error err;
    struct detector *detector;
    struct bench *bench;
    struct placement placement;
    struct image image = test_slice();
    must(detector_compile(&detector, network, DETECT_SERVE, NULL, NULL, &err), &err);
    must(bench_open(&bench, detector, &err), &err);
    must(normalize_slice(bench->image, SIDE, &placement, &image, &err), &err);
    must(detect_features(bench, &err), &err);
    double square = 0;
    int64_t count = (int64_t)network->config.out_channels * 16 * 16;
    for (int64_t i = 0; i < count; i++)
        square += (double)bench->features[i] * (double)bench->features[i];
    float factor = (float)(1 / sqrt(square / (double)count));
    static const char *const names[] = {"backbone.fpn.layer_blocks.0.weight",
                                        "backbone.fpn.layer_blocks.0.bias"};
    for (int i = 0; i < 2; i++) {
        struct param *p = params_at(network->params, params_find(network->params, names[i]));
        for (int64_t k = 0; k < p->count; k++)
            p->value[k] *= factor;
    }
    bench_close(bench);
    detector_free(detector);
    image_free(&image);
}

static void write_weights(const char *path, const char *backbone, enum norm_mode mode)
{
    struct error err;
    struct network *network;
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "%s", backbone);
    config.backbone_norm = config.attention_norm = mode;
    config.box_score_thresh = 0; /* so that four masks are predicted, as on a slice with lesions */
    must(network_create(&network, &config, &err), &err);
    must(params_fill(network->params, 1, &err), &err);
    tame_features(network);
    must(network_save(network, path, false, &err), &err);
    network_free(network);
}

static bool is_layers(int stage)
{
    return stage == STAGE_BACKBONE || stage == STAGE_RPN || stage == STAGE_EVIDENCE ||
           stage == STAGE_ATTENTION;
}

static void measure(const char *backbone, enum norm_mode mode, int cores)
{
    char path[256];
    const char *mode_name = mode == NORM_BATCH ? "batch" : "running";
    struct image image = test_slice();
    snprintf(path, sizeof path, "%s/bench_%s_%s.safetensors",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", backbone, mode_name);
    write_weights(path, backbone, mode);
    struct stat file;
    stat(path, &file);
    double ready, peak_mb;
    serve_like(path, &image, &ready, &peak_mb);

    omp_set_num_threads(1);
    double best_one = peak_direct_convolution();
    struct model *one = load(path, 1);
    struct timing t1 = time_slices(one, &image);
    double rate = throughput(one, &image, cores);
    double flops = model_info(one)->flops;
    model_free(one);

    struct model *all = load(path, cores);
    struct timing t = time_slices(all, &image);
    omp_set_num_threads(cores);
    double best = peak_direct_convolution();
    model_free(all);

    printf("%s, %s statistics: %.1f GFLOP a slice, weight file %.0f MB\n", backbone, mode_name,
           flops * 1e-9, (double)file.st_size / 1048576);
    printf("  %-22s %8s %8s %10s %12s %11s\n", "", "median", "p95", "GFLOP/s", "best direct",
           "efficiency");
    printf("  %-22s %5.1f ms %5.1f ms %10.0f %12.0f %11.2f\n", "1 thread", t1.median * 1e3,
           t1.p95 * 1e3, flops / t1.median * 1e-9, best_one, flops / t1.median * 1e-9 / best_one);
    printf("  %-2d %-19s %5.1f ms %5.1f ms %10.0f %12.0f %11.2f\n", cores, "threads",
           t.median * 1e3, t.p95 * 1e3, flops / t.median * 1e-9, best,
           flops / t.median * 1e-9 / best);
    printf("  one worker a core: %.1f slices/s, efficiency %.2f\n", rate,
           rate * flops * 1e-9 / best);
    printf("  stages, ms (%d threads):", cores);
    double plain = 0;
    for (int s = 0; s < MODEL_STAGES; s++) {
        printf(" %s %.2f", model_stage_name(s), t.stage[s] * 1e3);
        plain += is_layers(s) ? 0 : t.stage[s];
    }
    printf("\n  start to ready %.2f s, peak memory with two workers %.0f MB\n\n", ready, peak_mb);
    fflush(stdout);
    unlink(path);
    image_free(&image);
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
    }
    return 0;
}
