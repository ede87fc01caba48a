/* oneshot predict: the service's answer for files, without a service. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "api/burden.h"
#include "api/media.h"
#include "api/message.h"
#include "api/options.h"
#include "api/overlay.h"
#include "api/predict.h"
#include "model/data/image.h"
#include "server/commands.h"
#include "server/file.h"
#include "server/flags.h"
#include "server/local.h"
#include "server/progress.h"

enum form { FORM_JSON, FORM_NDJSON };

static const char *const form_names[] = {"json", "ndjson", NULL};

struct settings {
    const char *model, *out, *overlay, *labels;
    const char *masks, *threshold, *most, *slices, *intensity, *window, *level;
    int form, threads, max_slices, max_ratio;
    size_t max_body, max_pixels, max_volume;
    bool no_regions, quiet;
    struct file_claims *written;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct flag table[] = {
    {"model", 'm', FLAG_TEXT, FIELD(model), "", 0, 0, NULL, "FILE",
     "weight file; without it, the model that comes along"},
    {"as", 0, FLAG_CHOICE, FIELD(form), "json", 0, 0, form_names, "FORM",
     "json, a line per file; ndjson, a line per event: of a volume, each slice as it is done"},
    {"out", 'd', FLAG_TEXT, FIELD(out), "", 0, 0, NULL, "DIR",
     "write into this folder an overlay NAME.png for every picture and a label map "
     "NAME.labels.nii.gz for every volume"},
    {"overlay", 'o', FLAG_TEXT, FIELD(overlay), "", 0, 0, NULL, "FILE",
     "write the overlay of the one file given here; of a volume, of the one slice chosen"},
    {"labels", 'l', FLAG_TEXT, FIELD(labels), "", 0, 0, NULL, "FILE",
     "write the label map of the one file given here: .nii.gz of a volume, .png of a picture"},
    {"slices", 0, FLAG_TEXT, FIELD(slices), "", 0, 0, NULL, "RANGE",
     "of a volume only these: first:last:step, or the number of one"},
    {"intensity", 0, FLAG_TEXT, FIELD(intensity), "auto", 0, 0, NULL, "KIND",
     "hu, windowed, or auto: grey for PNG and 8 bits, HU else"},
    {"window", 0, FLAG_TEXT, FIELD(window), "", 0, 0, NULL, "HU", "from black to white; 1500 else"},
    {"level", 0, FLAG_TEXT, FIELD(level), "", 0, 0, NULL, "HU", "at mid-grey; -600 else"},
    {"masks", 0, FLAG_TEXT, FIELD(masks), "rle", 0, 0, NULL, "FORMAT", "rle, polygon, png or none"},
    {"threshold", 0, FLAG_TEXT, FIELD(threshold), "", 0, 0, NULL, "SCORE",
     "drop detections with a score at or below; the model's default else"},
    {"max-detections", 0, FLAG_TEXT, FIELD(most), "", 0, 0, NULL, "N",
     "keep at most this many; the model's default else"},
    {"threads", 't', FLAG_INT, FIELD(threads), "0", 0, 256, NULL, "N", "cores to use; 0: all"},
    {"max-body", 0, FLAG_BYTES, FIELD(max_body), "1G", 1024, 1e12, NULL, "SIZE", "largest file"},
    {"max-pixels", 0, FLAG_BYTES, FIELD(max_pixels), "16M", 1024, 268435456, NULL, "N",
     "pixels of one slice"},
    {"max-slices", 0, FLAG_INT, FIELD(max_slices), "4096", 1, 100000, NULL, "N",
     "slices of one volume"},
    {"max-volume", 0, FLAG_BYTES, FIELD(max_volume), "4G", 1024, 1e12, NULL, "SIZE",
     "memory for a volume that is compressed"},
    {"max-inflate-ratio", 0, FLAG_INT, FIELD(max_ratio), "1032", 1, 1032, NULL, "N",
     "how many times as large as its bytes a compressed volume may become"},
    {"no-regions", 0, FLAG_SWITCH, FIELD(no_regions), NULL, 0, 0, NULL, NULL,
     "leave out the regions that decided"},
    {"quiet", 'q', FLAG_SWITCH, FIELD(quiet), NULL, 0, 0, NULL, NULL, "no progress bar"},
};

static const struct flags flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot predict [FLAG]... FILE...",
    .about =
        "Prints one JSON document per file, one per line, the same as POST /v1/predict answers.\n"
        "Files are slices as PNG or DICOM, volumes as NIfTI (.nii, .nii.gz) or zip of a DICOM\n"
        "series; what they are decides, not their names. \"-\" is standard input. Exits with 1\n"
        "when any file failed.",
    .environment = true,
};

static int read_options(struct slice_options *options, const struct settings *settings,
                        struct problem *problem)
{
    const char *chosen = strchr(settings->slices, ':') ? "slices" : "slice";
    const struct {
        const char *name, *value;
    } given[] = {
        {"masks", settings->masks},         {"score_threshold", settings->threshold},
        {"max_detections", settings->most}, {chosen, settings->slices},
        {"intensity", settings->intensity}, {"window", settings->window},
        {"level", settings->level},
    };
    options_default(options);
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (*given[i].value && options_set(options, given[i].name, given[i].value, problem) != 0)
            return -1;
    options->explain = !settings->no_regions;
    return 0;
}

/* ---- what is written beside the document ---- */

/* A file on its way. */
struct job {
    const struct settings *settings;
    const struct slice_options *options;
    const char *file;
    const struct predict *predict;
    struct progress progress; /* of its slices, where it is the only one */
    bool alone;
    struct error error; /* of what is written beside the document */
};

/* Where something of a file goes; "" for nowhere. `given`: by name. */
static int target_path(char *out, size_t size, const struct job *job, const char *given,
                       const char *suffix, struct error *err)
{
    const char *slash = strrchr(job->file, '/');
    const char *name = slash ? slash + 1 : job->file;
    size_t stem = strlen(name);
    if (stem > 3 && strcmp(name + stem - 3, ".gz") == 0)
        stem -= 3;
    for (size_t i = stem; i-- > 1;)
        if (name[i] == '.') {
            stem = i;
            break;
        }
    int n = *given ? snprintf(out, size, "%s", given)
            : *job->settings->out
                ? snprintf(out, size, "%s/%.*s%s", job->settings->out, (int)stem, name, suffix)
                : snprintf(out, size, "%s", "");
    if (n < 0 || (size_t)n >= size)
        return error_set(err, ERR_ARGUMENT, "the name of the file to write is too long");
    struct stat source, target;
    if (n > 0 && stat(job->file, &source) == 0 && stat(out, &target) == 0 &&
        source.st_dev == target.st_dev && source.st_ino == target.st_ino)
        return error_set(err, ERR_ARGUMENT, "what is written would replace the file itself");
    return 0;
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t length = strlen(name), end = strlen(suffix);
    return length >= end && strcasecmp(name + length - end, suffix) == 0;
}

/* That the name says what will be in it. Asked before the work, and before anything is replaced. */
static int check_labels(const char *path, const uint8_t *bytes, size_t length, struct error *err)
{
    bool volume = media_is_volume(media_sniff(bytes, length));
    if (volume && ends_in(path, ".png"))
        return error_set(err, ERR_ARGUMENT,
                         "the label map of a volume is a NIfTI: give --labels a name that ends in "
                         ".nii.gz");
    if (!volume && (ends_in(path, ".nii.gz") || ends_in(path, ".nii")))
        return error_set(err, ERR_ARGUMENT,
                         "this is one picture, whose label map is a PNG with the values 0 to 3: "
                         "give --labels a name that ends in .png");
    return 0;
}

/* The label map of a picture, whose masks have just been pasted; as those that are trained on. */
static int write_labels(const struct job *job, const struct slice *slice,
                        const struct slice_worker *worker, struct error *err)
{
    int width = slice->image.width, height = slice->image.height, rc = 0;
    size_t count = (size_t)width * (size_t)height, length;
    uint8_t *labels = malloc(count), *bytes = NULL;
    if (!labels)
        return error_set(err, ERR_MEMORY, "no memory for a label map");
    for (size_t i = 0; i < count; i++)
        labels[i] = burden_label(worker->cover[i]);
    TRY(image_write_png(&bytes, &length, labels, width, height, 1, err));
    TRY(file_write(job->settings->labels, bytes, length, err));
done:
    free(labels);
    free(bytes);
    return rc;
}

/* A picture's overlay and label map, and the overlay of the slice which was chosen of a volume. */
static int take_slice(void *context, struct slice *slice, struct slice_worker *worker,
                      struct error *err)
{
    struct job *job = context;
    bool whole = slice->volume && !slice->own;
    char path[4096];
    uint8_t *bytes = NULL;
    size_t length;
    int rc = 0;
    if (whole && !*job->settings->overlay)
        return 0;
    if (whole && job->predict->scan->count > 1)
        TRY(error_set(err, ERR_ARGUMENT,
                      "--overlay shows one slice of a volume; choose it with --slices, such as "
                      "--slices %d",
                      slice->index));
    if (!whole && *job->settings->labels)
        TRY(write_labels(job, slice, worker, err));
    TRY(target_path(path, sizeof path, job, job->settings->overlay, ".png", err));
    if (!*path)
        return 0;
    TRY(file_claim(job->settings->written, path, err));
    TRY(overlay_png(&bytes, &length, slice, worker, job->options, err));
    TRY(file_write(path, bytes, length, err));
done:
    free(bytes);
    if (rc != 0)
        job->error = *err;
    return rc;
}

static int take_volume(void *context, const struct scan *scan, struct error *err)
{
    struct job *job = context;
    char path[4096];
    uint8_t *bytes = NULL;
    size_t length;
    int rc = 0;
    TRY(target_path(path, sizeof path, job, job->settings->labels, ".labels.nii.gz", err));
    if (!*path)
        return 0;
    TRY(file_claim(job->settings->written, path, err));
    TRY(volume_write_labels(&bytes, &length, scan->volume, scan->labels, err));
    TRY(file_write(path, bytes, length, err));
done:
    free(bytes);
    if (rc != 0)
        job->error = *err;
    return rc;
}

/* ---- one file after another ---- */

static int print(const void *bytes, size_t length, struct error *err)
{
    if (length == 0 || (fwrite(bytes, 1, length, stdout) == length && fflush(stdout) == 0))
        return 0;
    return error_set(err, ERR_IO, "standard output: %s", strerror(errno));
}

/* All of a request, step by step; events are printed as they come, a document at its end. */
static int run(struct predict *predict, struct job *job, struct slice_worker *worker,
               struct error *err)
{
    struct response response;
    struct problem problem = {.kind = PROBLEM_NONE};
    bool done = false;
    int slice, slices, rc = 0;
    response_init(&response);
    predict->failure = &problem;
    while (!done) {
        done = predict_step(predict, worker, &response);
        predict_position(predict, &slice, &slices);
        if (!job->progress.what && slices > 1)
            progress_start(&job->progress, "predicting", slices,
                           job->alone && !job->settings->quiet);
        if (job->progress.what)
            progress_set(&job->progress, slice - 1);
        TRY(print(predict->events.bytes, predict->events.length, err));
        buffer_clear(&predict->events);
    }
    if (job->error.code != ERR_NONE) {
        *err = job->error; /* in better words than a service has for it */
        rc = -1;
    } else if (problem.kind != PROBLEM_NONE) {
        rc = error_set(err, ERR_BAD_DATA, "%s", problem.detail);
    } else if (response.length > 0) {
        TRY(print(response.body, response.length, err));
        TRY(print("\n", 1, err));
    }
done:
    if (job->progress.what)
        progress_end(&job->progress);
    response_free(&response);
    return rc;
}

static int predict_file(const char *file, struct slice_worker *worker,
                        const struct slice_options *options, const struct settings *settings,
                        bool alone, struct error *err)
{
    struct job job = {.settings = settings, .options = options, .file = file, .alone = alone};
    const bool labels = *settings->labels || *settings->out;
    const struct predict_extras extras = {take_slice, labels ? take_volume : NULL, &job};
    struct predict predict = {
        .options = *options,
        .answer = settings->form == FORM_NDJSON ? ANSWER_NDJSON : ANSWER_JSON,
        .max_files = 1,
        .scan_limits = {settings->max_slices, settings->max_ratio, settings->max_volume, NULL, 0,
                        NULL},
        .file = file,
        .extras = &extras,
    };
    char path[4096];
    uint8_t *bytes = NULL;
    int rc = 0;
    job.predict = &predict;
    request_id_choose(predict.request_id, NULL);
    /* Before the work, what would fail after it. */
    TRY(target_path(path, sizeof path, &job, settings->overlay, ".png", err));
    TRY(target_path(path, sizeof path, &job, settings->labels, ".labels.nii.gz", err));
    TRY(file_read(&bytes, &predict.length, file, settings->max_body, err));
    predict.body = bytes;
    TRY(check_labels(settings->labels, bytes, predict.length, err));
    TRY(run(&predict, &job, worker, err));
done:
    predict_free(&predict);
    free(bytes);
    return rc;
}

static int predict_files(int count, char **files, struct local *local,
                         const struct slice_options *options, const struct settings *settings)
{
    struct error err;
    struct progress progress;
    int failed = 0;
    progress_start(&progress, "predicting", count, count > 1 && !settings->quiet);
    for (int i = 0; i < count; i++) {
        progress_set(&progress, i);
        if (predict_file(files[i], &local->worker, options, settings, count == 1, &err) == 0)
            continue;
        progress_end(&progress);
        if (err.code == ERR_IO) /* names the file itself */
            fprintf(stderr, "oneshot predict: %s\n", err.text);
        else
            fprintf(stderr, "oneshot predict: %s: %s\n", files[i], err.text);
        failed++;
    }
    progress_end(&progress);
    if (failed && count > 1)
        fprintf(stderr, "oneshot predict: %d of %d files failed\n", failed, count);
    return failed ? 1 : 0;
}

int cmd_predict(int argc, char **argv)
{
    struct settings settings = {0};
    struct slice_options options;
    struct problem problem;
    struct local local = {0};
    struct error err;
    int count;
    bool help;
    if (flags_parse(&flags, &settings, argc, argv, &count, &help, &err) != 0) {
        fprintf(stderr, "oneshot predict: %s\n", err.text);
        return 2;
    }
    if (help)
        return 0;
    bool one = *settings.overlay || *settings.labels;
    if (count == 0 || (one && count != 1)) {
        fprintf(stderr, "oneshot predict: %s\n",
                count == 0 ? "give it at least one PNG, DICOM, NIfTI or zip; --help tells more"
                           : "--overlay and --labels take one file; use --out DIR for several");
        return 2;
    }
    if (read_options(&options, &settings, &problem) != 0) {
        fprintf(stderr, "oneshot predict: %s\n", problem.detail);
        return 2;
    }
    if (*settings.out && mkdir(settings.out, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "oneshot predict: %s: %s\n", settings.out, strerror(errno));
        return 1;
    }
    if (local_open(&local, settings.model, settings.threads, settings.max_pixels, &err) != 0) {
        fprintf(stderr, "oneshot predict: %s\n", err.text);
        local_close(&local);
        return 1;
    }
    if (!model_info(local.model)->trained)
        fprintf(stderr, "oneshot predict: the model is not trained: every result is noise\n");
    struct file_claims written = {0};
    settings.written = &written;
    int status = predict_files(count, argv + 1, &local, &options, &settings);
    file_claims_free(&written);
    local_close(&local);
    return status;
}
