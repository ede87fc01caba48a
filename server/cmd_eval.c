/* oneshot eval: a model against labelled data sets, as JSON and as a page. */
#include "server/cmd_eval.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/eval_measure.h"
#include "server/eval_pictures.h"
#include "server/file.h"
#include "server/flags.h"

struct settings {
    const char *model, *segmentation, *classification, *json, *html, *log, *note;
    const char *split, *list;
    int scheme, group;
    float threshold, coco_threshold;
    int most, threads, resamples, seed;
    bool crop, no_pictures, quiet;
};

static const char *const scheme_names[] = {"three", "binary", NULL};

#define FIELD(name) offsetof(struct settings, name)

static const struct flag table[] = {
    {"model", 'm', FLAG_TEXT, FIELD(model), "", 0, 0, NULL, "FILE",
     "weight file; without it, the model that comes along"},
    {"segmentation", 0, FLAG_TEXT, FIELD(segmentation), "", 0, 0, NULL, "DIR",
     "slices with label maps: DIR/imgs/NAME.png, DIR/masks/NAME.png"},
    {"classification", 0, FLAG_TEXT, FIELD(classification), "", 0, 0, NULL, "DIR",
     "slices with classes: a manifest.csv in DIR or above it, or names 0_, 1_, 2_"},
    {"split", 0, FLAG_TEXT, FIELD(split), "", 0, 0, NULL, "NAME",
     "of DIR/manifest.csv take only the rows of this split"},
    {"list", 0, FLAG_TEXT, FIELD(list), "", 0, 0, NULL, "FILE",
     "lines of \"filename class [xmin ymin xmax ymax]\" (COVIDx-CT) instead of a manifest"},
    {"classes", 0, FLAG_CHOICE, FIELD(scheme), "three", 0, 0, scheme_names, "SCHEME",
     "what classes in names and lists mean: three, or binary (iCTCF: 1 is COVID-19, 0 is not)"},
    {"crop", 0, FLAG_SWITCH, FIELD(crop), NULL, 0, 0, NULL, NULL,
     "cut slices to the boxes of the list"},
    {"json", 'j', FLAG_TEXT, FIELD(json), "", 0, 0, NULL, "FILE", "write all figures here"},
    {"html", 'o', FLAG_TEXT, FIELD(html), "", 0, 0, NULL, "FILE",
     "write the report here: one page with plots and pictures"},
    {"no-pictures", 0, FLAG_SWITCH, FIELD(no_pictures), NULL, 0, 0, NULL, NULL,
     "a report without slices, for data that must not be passed on"},
    {"log", 0, FLAG_TEXT, FIELD(log), "", 0, 0, NULL, "FILE",
     "training log (a JSON object a line), drawn in the report"},
    {"note", 0, FLAG_TEXT, FIELD(note), "", 0, 0, NULL, "TEXT",
     "a sentence to stand on top of the report"},
    {"score-threshold", 0, FLAG_NUMBER, FIELD(threshold), "-1", -1, 0.999, NULL, "SCORE",
     "label maps and AP per image: detections above it; -1: the model's default"},
    {"max-detections", 0, FLAG_INT, FIELD(most), "0", 0, MODEL_MAX_DETECTIONS, NULL, "N",
     "label maps and AP per image: at most so many a slice; 0: the model's default"},
    {"coco-threshold", 0, FLAG_NUMBER, FIELD(coco_threshold), "0.05", 0, 0.999, NULL, "SCORE",
     "COCO's AP: detections above it, at most 100 a slice"},
    {"group", 0, FLAG_CHOICE, FIELD(group), "patient", 0, 0, eval_group_names, "NAME",
     "what the bootstrap draws: image, patient, series (the file name without a last _NUMBER) or "
     "source"},
    {"resamples", 0, FLAG_INT, FIELD(resamples), "2000", 0, 100000, NULL, "N",
     "of the bootstrap; 0: no intervals"},
    {"seed", 0, FLAG_INT, FIELD(seed), "1", 0, 2147483647, NULL, "N", "of the bootstrap"},
    {"threads", 't', FLAG_INT, FIELD(threads), "0", 0, 256, NULL, "N",
     "slices at a time; 0: as many as cores. Results do not depend on it"},
    {"quiet", 'q', FLAG_SWITCH, FIELD(quiet), NULL, 0, 0, NULL, NULL, "no progress bar"},
};

static const struct flags flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot eval [--segmentation DIR] [--classification DIR] [FLAG]...",
    .about =
        "Predicts every slice of the data sets and measures: sensitivity, precision, F1, AUROC\n"
        "and calibration of the classes; average precision of instances (per image as in the\n"
        "paper, and COCO's); Dice and IoU of label maps; all with bootstrap intervals. A\n"
        "manifest's columns `source` and `patient` are used where they are. Prints a summary.",
    .environment = false,
};

/* ---- pieces of the report that come from elsewhere ---- */

static void describe_model(struct eval_model *out, const struct model_info *info)
{
    *out = (struct eval_model){
        .name = info->name,
        .version = info->version,
        .backbone = info->backbone,
        .batch_norm = info->batch_norm,
        .file = info->file,
        .sha256 = info->sha256,
        .trained_on = info->trained_on,
        .trained = info->trained,
        .parameters = info->parameters,
        .regions = info->regions,
        .flops = info->flops,
    };
}

static void describe_setup(struct eval_setup *out, const struct settings *settings,
                           const struct eval_limits *limits)
{
    out->segmentation_data = settings->segmentation;
    out->classification_data = settings->classification;
    out->score_threshold = (double)limits->score_threshold;
    out->max_detections = limits->max_detections;
    out->coco_threshold = (double)limits->coco_threshold;
    out->coco_detections = limits->coco_detections;
}

static int read_log(struct training_log *out, const char *path, struct error *err)
{
    enum { MOST = 512 << 20 };
    uint8_t *text = NULL;
    size_t length;
    int rc = 0;
    TRY(file_read(&text, &length, path, MOST, err));
    rc = training_log_read(out, (const char *)text, length, err);
    if (rc != 0)
        error_prefix(err, "%s", path);
done:
    free(text);
    return rc;
}

/* ---- output ---- */

typedef int report_writer(struct buffer *out, const struct eval_results *results,
                          struct error *err);

static int write_report(const char *path, report_writer *write, const struct eval_results *results,
                        struct error *err)
{
    struct buffer out;
    int rc = 0;
    if (!*path)
        return 0;
    buffer_init(&out, REPORT_MAX_BYTES);
    TRY(write(&out, results, err));
    TRY(file_write(path, out.bytes, out.length, err));
done:
    buffer_free(&out);
    return rc;
}

static void print_figure(const char *name, struct estimate estimate)
{
    printf("%-34s", name);
    if (!estimate.defined)
        printf("not defined on these images\n");
    else if (estimate.interval)
        printf("%.4f  (%.4f to %.4f)\n", estimate.value, estimate.low, estimate.high);
    else
        printf("%.4f\n", estimate.value);
}

static void print_summary(const struct eval_results *results)
{
    const struct classification_result *c = &results->classification;
    const struct detection_result *d = &results->detection;
    const struct segmentation_result *s = &results->segmentation;
    if (results->has_classification) {
        printf("classification of %lld images\n", (long long)c->images);
        print_figure("  sensitivity, COVID-19", c->classes[2].sensitivity);
        print_figure("  sensitivity, common pneumonia", c->classes[1].sensitivity);
        print_figure("  sensitivity, control", c->classes[0].sensitivity);
        print_figure("  AUROC, COVID-19", c->classes[2].auroc);
        print_figure("  F1, adjusted for class shares", c->f1);
        print_figure("  accuracy", c->accuracy);
    }
    if (results->has_segmentation) {
        printf("segmentation of %lld images\n", (long long)s->images);
        print_figure("  AP at .50, per image", d->per_image[0].at[AP_AT_50]);
        print_figure("  AP at .75, per image", d->per_image[0].at[AP_AT_75]);
        print_figure("  AP at .50:.95, per image", d->per_image[0].mean);
        print_figure("  AP at .50:.95, COCO", d->coco[0].mean);
        print_figure("  IoU, lungs", s->regions[REGION_LUNGS].iou);
        print_figure("  Dice, lesions", s->regions[REGION_LESIONS].dice);
        print_figure("  Dice, lungs with lesions", s->regions[REGION_LUNG_FIELD].dice);
    }
    for (int i = 0; i < results->notes_count; i++)
        printf("note: %s\n", results->notes[i]);
}

/* ---- the run ---- */

static int open_sets(struct eval_set *segmentation, struct eval_set *classification,
                     const struct settings *settings, struct error *err)
{
    const struct dataset_options options = {
        .split = *settings->split ? settings->split : NULL,
        .list = *settings->list ? settings->list : NULL,
        .scheme = (enum dataset_scheme)settings->scheme,
        .crop = settings->crop,
    };
    if (*settings->segmentation &&
        eval_set_open(segmentation, EVAL_SEGMENTATION, settings->segmentation, NULL, err) != 0)
        return -1;
    if (*settings->classification && eval_set_open(classification, EVAL_CLASSIFICATION,
                                                   settings->classification, &options, err) != 0)
        return -1;
    return 0;
}

static int report(const struct settings *settings, const struct eval_run *run, struct error *err)
{
    int rc = 0;
    struct bootstrap_options bootstrap = bootstrap_defaults();
    struct eval_summary summary = {0};
    struct eval_pictures pictures = {0};
    struct training_log log = {0};
    bootstrap.seed = (uint64_t)settings->seed;
    bootstrap.resamples = settings->resamples;
    TRY(eval_measure(&summary, run, (enum eval_group)settings->group, &bootstrap, err));
    describe_model(&summary.results.model, model_info(run->model));
    describe_setup(&summary.results.setup, settings, &run->limits);
    if (*settings->note)
        TRY(eval_note(&summary, err, "%s", settings->note));
    if (*settings->log) {
        TRY(read_log(&log, settings->log, err));
        summary.results.log = &log;
    }
    if (*settings->html && !settings->no_pictures) {
        TRY(eval_pictures_make(&pictures, run, err));
        summary.results.best = pictures.best;
        summary.results.best_count = pictures.best_count;
        summary.results.worst = pictures.worst;
        summary.results.worst_count = pictures.worst_count;
        summary.results.pictures_note = eval_pictures_note;
    }
    TRY(write_report(settings->json, report_write_json, &summary.results, err));
    TRY(write_report(settings->html, report_write_html, &summary.results, err));
    print_summary(&summary.results);
done:
    training_log_free(&log);
    eval_pictures_close(&pictures);
    eval_summary_close(&summary);
    return rc;
}

static struct eval_limits choose_limits(const struct settings *settings,
                                        const struct model_info *info)
{
    return (struct eval_limits){
        .score_threshold =
            settings->threshold < 0 ? info->default_score_threshold : settings->threshold,
        .max_detections = settings->most == 0 ? info->default_max_detections : settings->most,
        .coco_threshold = settings->coco_threshold,
        .coco_detections = AP_MAX_PER_CLASS,
    };
}

static int evaluate(const struct settings *settings, struct error *err)
{
    int rc = 0;
    struct eval_set segmentation = {0};
    struct eval_set classification = {0};
    struct model *model = NULL;
    struct eval_run run = {.segmentation = &segmentation, .classification = &classification};
    const struct model_options options = {.threads = 1};
    TRY(open_sets(&segmentation, &classification, settings, err));
    TRY(model_load(&model, settings->model, &options, err));
    if (!model_info(model)->trained)
        fprintf(stderr, "oneshot eval: the model is not trained: every figure is noise\n");
    run.model = model;
    run.limits = choose_limits(settings, model_info(model));
    run.workers = settings->threads > 0 ? settings->threads : config_cores();
    run.quiet = settings->quiet;
    TRY(eval_run_all(&run, err));
    TRY(report(settings, &run, err));
done:
    eval_run_free(&run);
    model_free(model);
    eval_set_close(&classification);
    eval_set_close(&segmentation);
    return rc;
}

int cmd_eval(int argc, char **argv)
{
    struct settings settings = {0};
    struct error err;
    int operands;
    bool help;
    if (flags_parse(&flags, &settings, argc, argv, &operands, &help, &err) != 0) {
        fprintf(stderr, "oneshot eval: %s\n", err.text);
        return 2;
    }
    if (help)
        return 0;
    if (operands > 0 || (!*settings.segmentation && !*settings.classification)) {
        fprintf(stderr, "oneshot eval: %s; --help tells more\n",
                operands > 0 ? "it takes flags only"
                             : "give it --segmentation DIR, --classification DIR or both");
        return 2;
    }
    if (evaluate(&settings, &err) != 0) {
        fprintf(stderr, "oneshot eval: %s\n", err.text);
        return 1;
    }
    return 0;
}
