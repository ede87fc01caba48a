#include "server/cmd_train.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/net/store.h"
#include "model/nn/safetensors.h"
#include "server/config.h"
#include "server/progress.h"
#include "server/train_log.h"
#include "server/train_settings.h"

enum { STOPPED = 1, EXIT_STOPPED = 130, PATH_SIZE = 4096, LISTED = 20 };

struct job {
    struct train_settings settings;
    struct parts freeze;
    struct buffer description; /* of the settings, for checkpoints */
    struct dataset segmentation, classification;
    struct validation_sets validation;
    bool validates;
    struct network *network;
    struct loop_options options;
    struct loop *loop;
    struct train_log log;
    double best; /* validation score; NAN before the first */
    char checkpoint[PATH_SIZE], last[PATH_SIZE], best_path[PATH_SIZE], log_path[PATH_SIZE];
};

static volatile sig_atomic_t asked_to_stop;

static void ask_to_stop(int signal)
{
    (void)signal;
    asked_to_stop = 1;
}

/* ---- data ---- */

struct kind {
    const char *flag, *folders;
    int (*open)(struct dataset *out, const char *folder, const struct dataset_options *options,
                struct error *err);
};

static int open_folders(struct dataset *out, const struct kind *kind,
                        const struct dataset_options *options, struct error *err)
{
    int rc;
    struct parts folders = {0};
    struct dataset one = {0};
    TRY(parts_cut(&folders, kind->folders, err));
    for (int i = 0; folders.list[i]; i++) {
        TRY(kind->open(&one, folders.list[i], options, err));
        out->crop = one.crop;
        out->max_pixels = one.max_pixels;
        TRY(dataset_merge(out, &one, err));
    }
done:
    dataset_free(&one);
    parts_free(&folders);
    return rc;
}

static void show_check(void *context, size_t done, size_t all)
{
    (void)all;
    progress_set(context, (int64_t)done);
}

static int list_problems(const struct dataset *data, const struct kind *kind, bool skip,
                         struct error *err)
{
    for (size_t i = 0; i < data->problems_count && i < LISTED; i++)
        fprintf(stderr, "%s: %s\n", data->problems[i].path, data->problems[i].reason);
    if (data->problems_count > LISTED)
        fprintf(stderr, "... and %zu more\n", data->problems_count - LISTED);
    if (data->problems_count == 0 || (skip && data->count > 0))
        return 0;
    return error_set(err, ERR_BAD_DATA, "%zu bad file%s in --%s (above)%s", data->problems_count,
                     data->problems_count == 1 ? "" : "s", kind->flag,
                     data->count > 0 ? "; --skip-bad trains on the others" : ", and no good one");
}

static int open_data(struct dataset *out, const struct kind *kind, const struct train_settings *s,
                     struct error *err)
{
    const struct dataset_options options = {
        .split = *s->split ? s->split : NULL,
        .list = *s->list ? s->list : NULL,
        .scheme = (enum dataset_scheme)s->scheme,
        .crop = s->crop_to_boxes,
    };
    struct progress bar;
    if (!*kind->folders)
        return 0;
    if (open_folders(out, kind, &options, err) != 0)
        return -1;
    progress_start(&bar, "checking", (int64_t)out->count, !s->quiet);
    int rc = dataset_check(out, show_check, &bar, err);
    progress_end(&bar);
    return rc == 0 ? list_problems(out, kind, s->skip_bad, err) : -1;
}

static int open_all_data(struct job *job, struct error *err)
{
    const struct train_settings *s = &job->settings;
    const struct kind kinds[] = {
        {"segmentation", s->segmentation, dataset_open_segmentation},
        {"classification", s->classification, dataset_open_classification},
    };
    if (open_data(&job->segmentation, &kinds[0], s, err) != 0 ||
        open_data(&job->classification, &kinds[1], s, err) != 0)
        return -1;
    job->validates = *s->val_segmentation || *s->val_classification;
    return validation_open(&job->validation, s->val_segmentation, s->val_classification, err);
}

/* ---- the network ---- */

static int load_init(struct job *job, struct error *err)
{
    int rc;
    struct safetensors *file = NULL;
    TRY(safetensors_open(&file, job->settings.init, err));
    TRY(network_load(&job->network, file, err));
    TRY(params_own(job->network->params, err));
    TRY(train_settings_config(&job->network->config, &job->settings, err));
done:
    if (rc)
        error_prefix(err, "--init %s", job->settings.init);
    safetensors_close(file);
    return rc;
}

static int make_network(struct job *job, struct error *err)
{
    struct model_config config = config_default();
    if (*job->settings.init)
        return load_init(job, err);
    if (train_settings_config(&config, &job->settings, err) != 0 ||
        network_create(&job->network, &config, err) != 0)
        return -1;
    return init_parameters(job->network, (enum init_scheme)job->settings.scheme_of_init,
                           (uint64_t)job->settings.seed, err);
}

/* A prefix that fits nothing is a slip; the run would train what it was to leave alone. */
static int check_freeze(const struct parts *freeze, const struct params *params, struct error *err)
{
    for (int i = 0; freeze->list[i]; i++) {
        size_t length = strlen(freeze->list[i]);
        bool fits = false;
        for (int k = 0; k < params_count(params) && !fits; k++)
            fits = strncmp(params_peek(params, k)->name, freeze->list[i], length) == 0;
        if (!fits)
            return error_set(err, ERR_ARGUMENT,
                             "--freeze: no parameter begins with \"%.80s\"; the parts are "
                             "backbone., rpn., roi_heads. and attn_layer., such as backbone.body.",
                             freeze->list[i]);
    }
    return 0;
}

/* ---- opening ---- */

static int make_paths(struct job *job, struct error *err)
{
    const char *folder = job->settings.out;
    const struct {
        char *path;
        const char *name;
    } files[] = {
        {job->checkpoint, "checkpoint.safetensors"},
        {job->last, "last.safetensors"},
        {job->best_path, "best.safetensors"},
        {job->log_path, "log.jsonl"},
    };
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return error_set(err, ERR_IO, "--out %s: %s", folder, strerror(errno));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (snprintf(files[i].path, PATH_SIZE, "%s/%s", folder, files[i].name) >= PATH_SIZE)
            return error_set(err, ERR_ARGUMENT, "--out %.80s...: too long a name", folder);
    return 0;
}

static int64_t run_length(const struct job *job)
{
    size_t epoch = job->classification.count ? job->classification.count : job->segmentation.count;
    return job->settings.iterations > 0 ? job->settings.iterations
                                        : (int64_t)epoch * job->settings.epochs;
}

/* Settings alone do not make a run: what was trained on is told by count. */
static int describe(struct job *job, struct error *err)
{
    buffer_init(&job->description, 1 << 16);
    if (train_settings_describe(&job->description, &job->settings, err) != 0)
        return -1;
    return buffer_printf(&job->description, err,
                         "segmentation-slices %zu\nclassification-slices %zu\n",
                         job->segmentation.count, job->classification.count);
}

static const char *description(const struct job *job)
{
    return (const char *)job->description.bytes;
}

static int start_or_resume(struct job *job, struct error *err)
{
    struct stat there;
    bool exists = stat(job->checkpoint, &there) == 0;
    job->best = (double)NAN;
    if (job->settings.resume && exists)
        return loop_restore(job->loop, job->checkpoint, description(job), &job->best, err);
    if (exists)
        return error_set(err, ERR_ARGUMENT,
                         "%s is there: --resume continues that run; remove it, or choose another "
                         "--out, for a new one",
                         job->checkpoint);
    return 0;
}

/* What the run is made of, and which class it cannot learn: a column's name may be misspelt. */
static void say_start(struct job *job)
{
    static const char *const names[DATASET_CLASSES] = {"control", "common pneumonia", "COVID-19"};
    char classes[128] = "";
    int known[DATASET_CLASSES] = {0}, n = 0;
    for (size_t i = 0; i < job->classification.count; i++)
        for (int c = 0; c < DATASET_CLASSES; c++)
            known[c] += job->classification.samples[i].classes[c] == 1;
    if (job->classification.count > 0)
        for (int c = 0; c < DATASET_CLASSES; c++)
            n += snprintf(classes + n, sizeof classes - (size_t)n, "%s%d %s%s", c ? ", " : " (",
                          known[c], names[c], c == DATASET_CLASSES - 1 ? ")" : "");
    train_log_say(&job->log,
                  "%s: %lld parameters, %zu slices with label maps, %zu with classes%s; iterations "
                  "%lld to %lld",
                  job->network->config.backbone, (long long)params_total(job->network->params),
                  job->segmentation.count, job->classification.count, classes,
                  (long long)loop_position(job->loop), (long long)job->options.iterations);
    for (int c = 0; c < DATASET_CLASSES; c++)
        if (job->classification.count > 0 && known[c] == 0 &&
            job->settings.scheme == (int)DATASET_THREE)
            fprintf(stderr, "oneshot train: no slice of --classification is known to be %s\n",
                    names[c]);
}

static int open_job(struct job *job, struct error *err)
{
    const struct train_settings *s = &job->settings;
    if (make_paths(job, err) != 0 || parts_cut(&job->freeze, s->freeze, err) != 0 ||
        open_all_data(job, err) != 0 || make_network(job, err) != 0 ||
        check_freeze(&job->freeze, job->network->params, err) != 0 || describe(job, err) != 0)
        return -1;
    job->options = train_settings_options(s, run_length(job), &job->freeze);
    job->options.threads = s->threads > 0 ? s->threads : config_cores();
    if (loop_open(&job->loop, job->network, job->segmentation.count ? &job->segmentation : NULL,
                  job->classification.count ? &job->classification : NULL, &job->options, err) != 0)
        return -1;
    if (start_or_resume(job, err) != 0 ||
        train_log_open(&job->log, job->log_path, job->options.iterations, s->quiet, err) != 0)
        return -1;
    say_start(job);
    return 0;
}

static void close_job(struct job *job)
{
    train_log_close(&job->log);
    loop_close(job->loop);
    network_free(job->network);
    validation_close(&job->validation);
    dataset_free(&job->segmentation);
    dataset_free(&job->classification);
    buffer_free(&job->description);
    parts_free(&job->freeze);
}

/* ---- the run ---- */

static int validate_now(struct job *job, struct error *err)
{
    struct validation figures;
    int rc = validate(&figures, &job->validation, job->last, job->options.threads, err);
    if (rc != 0)
        return error_prefix(err, "validation");
    bool best = isfinite(figures.score) && !(figures.score <= job->best);
    if (best) {
        job->best = figures.score;
        TRY(loop_export(job->loop, job->best_path, job->settings.half, err));
    }
    rc = train_log_validation(&job->log, loop_position(job->loop), &figures, best, err);
done:
    return rc;
}

static bool every(int64_t done, int64_t total, int interval)
{
    return done % interval == 0 || done == total;
}

static int save_checkpoint(struct job *job, struct error *err)
{
    return loop_save(job->loop, job->checkpoint, description(job), job->best, err);
}

static int run_job(struct job *job, struct error *err)
{
    const struct train_settings *s = &job->settings;
    int64_t total = job->options.iterations;
    struct loop_report report;
    while (loop_position(job->loop) < total) {
        if (loop_iterate(job->loop, &report, err) != 0)
            return -1;
        int64_t done = loop_position(job->loop);
        bool stop = asked_to_stop || done == s->stop_after,
             due = every(done, total, s->checkpoint_every) || stop;
        bool measure = job->validates && every(done, total, s->validate_every);
        train_log_step(&job->log, &report);
        /* With every checkpoint, so that a resumed run's log has the same lines. */
        if ((every(done, total, s->log_every) || due) &&
            train_log_write(&job->log, &report, err) != 0)
            return -1;
        if ((due || measure) && loop_export(job->loop, job->last, s->half, err) != 0)
            return -1;
        if (measure && validate_now(job, err) != 0)
            return -1;
        if ((due || measure) && save_checkpoint(job, err) != 0)
            return -1;
        if (stop && done < total) {
            train_log_say(&job->log, "stopped after %lld of %lld iterations; --resume continues",
                          (long long)done, (long long)total);
            return asked_to_stop ? STOPPED : 0;
        }
    }
    train_log_say(&job->log, "done: %s%s%s", job->last, isfinite(job->best) ? ", the best is " : "",
                  isfinite(job->best) ? job->best_path : "");
    return 0;
}

int cmd_train(int argc, char **argv)
{
    struct job job = {0};
    struct error err;
    bool help;
    if (train_settings_read(&job.settings, argc, argv, &help, &err) != 0) {
        fprintf(stderr, "oneshot train: %s\n", err.text);
        return 2;
    }
    if (help)
        return 0;
    const struct sigaction stop = {.sa_handler = ask_to_stop, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    int rc = open_job(&job, &err);
    if (rc == 0)
        rc = run_job(&job, &err);
    close_job(&job);
    if (rc < 0)
        fprintf(stderr, "oneshot train: %s\n", err.text);
    return rc < 0 ? 1 : rc == STOPPED ? EXIT_STOPPED : 0;
}
