/* oneshot predict: the service's answer for files, without a service. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/json.h"
#include "api/options.h"
#include "api/overlay.h"
#include "server/commands.h"
#include "server/file.h"
#include "server/flags.h"
#include "server/local.h"
#include "server/progress.h"

struct settings {
    const char *model, *out, *overlay, *masks, *threshold, *most;
    int threads;
    size_t max_body, max_pixels;
    bool no_regions, quiet;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct flag table[] = {
    {"model", 'm', FLAG_TEXT, FIELD(model), "", 0, 0, NULL, "FILE",
     "weight file; without it, the model that comes along"},
    {"out", 'd', FLAG_TEXT, FIELD(out), "", 0, 0, NULL, "DIR",
     "write an overlay NAME.png for every file into this folder"},
    {"overlay", 'o', FLAG_TEXT, FIELD(overlay), "", 0, 0, NULL, "FILE",
     "write the overlay of the one file given here"},
    {"masks", 0, FLAG_TEXT, FIELD(masks), "rle", 0, 0, NULL, "FORMAT", "rle, polygon, png or none"},
    {"threshold", 0, FLAG_TEXT, FIELD(threshold), "", 0, 0, NULL, "SCORE",
     "drop detections with a score at or below; the model's default else"},
    {"max-detections", 0, FLAG_TEXT, FIELD(most), "", 0, 0, NULL, "N",
     "keep at most this many; the model's default else"},
    {"threads", 't', FLAG_INT, FIELD(threads), "0", 0, 256, NULL, "N", "cores to use; 0: all"},
    {"max-body", 0, FLAG_BYTES, FIELD(max_body), "32M", 1024, 2147483647, NULL, "SIZE",
     "largest file"},
    {"max-pixels", 0, FLAG_BYTES, FIELD(max_pixels), "16M", 1024, 268435456, NULL, "N",
     "pixels of one slice"},
    {"no-regions", 0, FLAG_SWITCH, FIELD(no_regions), NULL, 0, 0, NULL, NULL,
     "leave out the regions that decided"},
    {"quiet", 'q', FLAG_SWITCH, FIELD(quiet), NULL, 0, 0, NULL, NULL, "no progress bar"},
};

static const struct flags flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot predict [FLAG]... FILE...",
    .about =
        "Prints one JSON document per slice (PNG; \"-\" is standard input), one per line, the\n"
        "same as POST /v1/predict answers. Exits with 1 when any file failed.",
    .environment = true,
};

static int read_options(struct slice_options *options, const struct settings *settings,
                        struct problem *problem)
{
    options_default(options);
    if (options_set(options, "masks", settings->masks, problem) != 0 ||
        (*settings->threshold &&
         options_set(options, "score_threshold", settings->threshold, problem) != 0) ||
        (*settings->most && options_set(options, "max_detections", settings->most, problem) != 0))
        return -1;
    options->explain = !settings->no_regions;
    return 0;
}

/* Where the overlay of a file goes; "" for nowhere. */
static int overlay_path(char *out, size_t size, const struct settings *settings, const char *file,
                        struct error *err)
{
    const char *slash = strrchr(file, '/');
    const char *name = slash ? slash + 1 : file;
    const char *dot = strrchr(name, '.');
    int stem = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    int n = *settings->overlay ? snprintf(out, size, "%s", settings->overlay)
            : *settings->out   ? snprintf(out, size, "%s/%.*s.png", settings->out, stem, name)
                               : snprintf(out, size, "%s", "");
    if (n < 0 || (size_t)n >= size)
        return error_set(err, ERR_ARGUMENT, "the name of the overlay is too long");
    struct stat source, target;
    if (n > 0 && stat(file, &source) == 0 && stat(out, &target) == 0 &&
        source.st_dev == target.st_dev && source.st_ino == target.st_ino)
        return error_set(err, ERR_ARGUMENT, "the overlay would overwrite the slice itself");
    return 0;
}

static int write_overlay(struct slice *slice, struct slice_worker *worker,
                         const struct slice_options *options, const char *path, struct error *err)
{
    uint8_t *bytes = NULL;
    size_t length;
    int rc = 0;
    TRY(overlay_png(&bytes, &length, slice, worker, options, err));
    TRY(file_write(path, bytes, length, err));
done:
    free(bytes);
    return rc;
}

static int print_document(struct slice *slice, struct slice_worker *worker,
                          const struct slice_options *options, struct error *err)
{
    struct results *results = NULL;
    char *text = NULL, id[REQUEST_ID_SIZE];
    size_t length;
    int rc = 0;
    request_id_choose(id, NULL);
    TRY(results_new(&results, id, err));
    TRY(results_add_slice(results, slice, worker, options, err));
    TRY(results_write(&text, &length, results, true, err));
    if (puts(text) == EOF)
        rc = error_set(err, ERR_IO, "standard output: %s", strerror(errno));
done:
    free(text);
    results_free(results);
    return rc;
}

static int predict_file(const char *file, struct slice_worker *worker,
                        const struct slice_options *options, const struct settings *settings,
                        struct error *err)
{
    struct slice slice = {0};
    struct problem problem;
    char path[4096];
    uint8_t *bytes = NULL;
    size_t length;
    int rc = 0;
    TRY(overlay_path(path, sizeof path, settings, file, err));
    TRY(file_read(&bytes, &length, file, settings->max_body, err));
    struct slice_source source = {bytes, length, NULL, file};
    if (slice_run(&slice, worker, &source, options, &problem) != 0) {
        rc = error_set(err, ERR_BAD_DATA, "%s", problem.detail);
        goto done;
    }
    TRY(print_document(&slice, worker, options, err));
    if (*path)
        TRY(write_overlay(&slice, worker, options, path, err));
done:
    slice_free(&slice);
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
        if (predict_file(files[i], &local->worker, options, settings, &err) != 0) {
            progress_end(&progress);
            if (err.code == ERR_IO) /* names the file itself */
                fprintf(stderr, "oneshot predict: %s\n", err.text);
            else
                fprintf(stderr, "oneshot predict: %s: %s\n", files[i], err.text);
            failed++;
        }
        progress_set(&progress, i + 1);
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
    if (count == 0 || (*settings.overlay && count != 1)) {
        fprintf(stderr, "oneshot predict: %s\n",
                count == 0 ? "give it at least one PNG; --help tells more"
                           : "--overlay takes one file; use --out DIR for several");
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
    int status = predict_files(count, argv + 1, &local, &options, &settings);
    local_close(&local);
    return status;
}
