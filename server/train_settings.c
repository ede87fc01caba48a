#include "server/train_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/dataset.h"
#include "server/flags.h"

static const char *const schemes[] = {"three", "binary", NULL};
static const char *const norms[] = {"running", "batch", NULL};
static const char *const schedules[] = {"constant", "cosine", NULL};
static const char *const inits[] = {"paper", "small-logits", NULL};
static const char *const recipes[] = {"default", "paper", NULL};

#define FIELD(name) offsetof(struct train_settings, name)

/* Rows up to `out` shape the result; a resumed run must have them as they were. */
static const struct flag table[] = {
    {"segmentation", 0, FLAG_TEXT, FIELD(segmentation), "", 0, 0, NULL, "DIR,...",
     "slices with label maps: DIR/imgs/NAME.png, DIR/masks/NAME.png"},
    {"classification", 0, FLAG_TEXT, FIELD(classification), "", 0, 0, NULL, "DIR,...",
     "slices with classes: a manifest.csv in DIR or above it, or names 0_, 1_, 2_"},
    {"split", 0, FLAG_TEXT, FIELD(split), "", 0, 0, NULL, "NAME",
     "of DIR/manifest.csv take only the rows of this split"},
    {"list", 0, FLAG_TEXT, FIELD(list), "", 0, 0, NULL, "FILE",
     "lines of \"filename class [xmin ymin xmax ymax]\" (COVIDx-CT) instead of a manifest"},
    {"classes", 0, FLAG_CHOICE, FIELD(scheme), "three", 0, 0, schemes, "SCHEME",
     "what classes in names and lists mean: three, or binary (iCTCF: 1 is COVID-19, 0 is not)"},
    {"crop", 0, FLAG_SWITCH, FIELD(crop_to_boxes), NULL, 0, 0, NULL, NULL,
     "cut slices to the boxes of the list"},
    {"skip-bad", 0, FLAG_SWITCH, FIELD(skip_bad), NULL, 0, 0, NULL, NULL,
     "leave bad files out instead of stopping; they are listed either way"},
    {"backbone", 0, FLAG_TEXT, FIELD(backbone), "resnet18", 0, 0, NULL, "NAME",
     "resnet18, resnet34, resnet50, resnet101, resnext50_32x4d, resnext101_32x8d"},
    {"batch-norm", 0, FLAG_CHOICE, FIELD(batch_norm), "batch", 0, 0, norms, "MODE",
     "statistics at inference: batch (of the slice itself), running"},
    {"beta", 0, FLAG_INT, FIELD(beta), "16", 1, 256, NULL, "N", "regions that decide the class"},
    {"anchor-sizes", 0, FLAG_TEXT, FIELD(anchor_sizes), "16,28,52,96,160,240,340", 0, 0, NULL,
     "LIST", "sides of square anchors, pixels of 512"},
    {"anchor-ratios", 0, FLAG_TEXT, FIELD(anchor_ratios), "0.5,1,1.6,2.4", 0, 0, NULL, "LIST",
     "their heights over their widths"},
    {"init", 0, FLAG_TEXT, FIELD(init), "", 0, 0, NULL, "FILE",
     "start from this weight file; backbone, norms, anchors and beta are those of the file"},
    {"freeze", 0, FLAG_TEXT, FIELD(freeze), "", 0, 0, NULL, "PREFIX[,...]",
     "parameters whose names begin so stay as they are"},
    {"init-scheme", 0, FLAG_CHOICE, FIELD(scheme_of_init), "small-logits", 0, 0, inits, "NAME",
     "without --init: paper, or small-logits (first predictions near zero)"},
    {"recipe", 0, FLAG_CHOICE, FIELD(recipe), "default", 0, 0, recipes, "NAME",
     "the defaults of all other flags; paper: those of Ter-Sarkisov (2021)"},
    {"epochs", 0, FLAG_INT, FIELD(epochs), "50", 1, 1000000, NULL, "N",
     "passes over the classification slices (over the label maps without any)"},
    {"iterations", 0, FLAG_INT, FIELD(iterations), "0", 0, 0, NULL, "N",
     "length of the run instead of --epochs; 0: by epochs"},
    {"classify-from", 0, FLAG_INT, FIELD(classify_from), "0", 0, 0, NULL, "N",
     "first iteration with a classification step"},
    {"lr", 0, FLAG_NUMBER, FIELD(lr), "1e-4", 0, 1, NULL, "RATE", "learning rate of Adam"},
    {"weight-decay", 0, FLAG_NUMBER, FIELD(weight_decay), "1e-5", 0, 1, NULL, "SHARE",
     "of the weights, added to the gradient"},
    {"schedule", 0, FLAG_CHOICE, FIELD(schedule), "cosine", 0, 0, schedules, "NAME",
     "constant, or cosine down to --final-lr"},
    {"warmup", 0, FLAG_INT, FIELD(warmup), "200", 0, 0, NULL, "N",
     "iterations over which the rate rises from zero"},
    {"final-lr", 0, FLAG_NUMBER, FIELD(final_lr), "0.01", 0, 1, NULL, "SHARE",
     "of --lr, at the end of a cosine"},
    {"average", 0, FLAG_NUMBER, FIELD(average), "0.998", 0, 0.99999, NULL, "DECAY",
     "the model written is a running average of the weights; 0: the weights themselves"},
    {"balance", 0, FLAG_NUMBER, FIELD(balance), "0.5", 0, 1, NULL, "SHARE",
     "0: classes as they occur, 1: all equally often"},
    {"rpn-fg-iou", 0, FLAG_NUMBER, FIELD(sampling.rpn_fg_iou_thresh), "0.5", 0, 1, NULL, "IOU",
     "overlap from which an anchor is on an object (the best one always is)"},
    {"rois", 0, FLAG_INT, FIELD(sampling.box_batch_size_per_image), "128", 1, 1024, NULL, "N",
     "regions a segmentation step trains the box head on"},
    {"positive-rois", 0, FLAG_NUMBER, FIELD(sampling.box_positive_fraction), "0.25", 0, 1, NULL,
     "SHARE", "of these on objects at most; the mask head sees them, and most time goes there"},
    {"roi-fg-iou", 0, FLAG_NUMBER, FIELD(sampling.box_fg_iou_thresh), "0.5", 0, 1, NULL, "IOU",
     "overlap from which a region is on an object"},
    {"roi-bg-iou", 0, FLAG_NUMBER, FIELD(sampling.box_bg_iou_thresh), "0.5", 0, 1, NULL, "IOU",
     "overlap below which it is background"},
    {"flip", 0, FLAG_NUMBER, FIELD(augment.flip), "0.5", 0, 1, NULL, "P",
     "variations: probability of mirroring"},
    {"rotate", 0, FLAG_NUMBER, FIELD(augment.rotate), "8", 0, 45, NULL, "DEGREES", "largest turn"},
    {"scale", 0, FLAG_NUMBER, FIELD(augment.scale), "0.15", 0, 0.5, NULL, "SHARE",
     "largest change of size"},
    {"translate", 0, FLAG_NUMBER, FIELD(augment.translate), "0.05", 0, 0.25, NULL, "SHARE",
     "largest shift, of the side"},
    {"lung-crop", 0, FLAG_NUMBER, FIELD(augment.crop), "0.4", 0, 1, NULL, "P",
     "probability of cropping to the lungs"},
    {"margin", 0, FLAG_NUMBER, FIELD(augment.margin), "0.05", 0, 0.5, NULL, "SHARE",
     "left around the lungs when cropping"},
    {"window-shift", 0, FLAG_NUMBER, FIELD(augment.window), "0.15", 0, 0.3, NULL, "SHARE",
     "black and white move by up to this"},
    {"gamma", 0, FLAG_NUMBER, FIELD(augment.gamma), "0.3", 0, 1, NULL, "SHARE",
     "exponent of intensities, up to 1 + this"},
    {"noise", 0, FLAG_NUMBER, FIELD(augment.noise), "0.02", 0, 0.2, NULL, "DEVIATION",
     "largest deviation of added noise"},
    {"seed", 0, FLAG_INT, FIELD(seed), "1", 0, 2147483647, NULL, "N",
     "of first weights, order, variations and sampling"},
    {"threads", 't', FLAG_INT, FIELD(threads), "0", 0, 256, NULL, "N",
     "cores to compute on; 0: all. Results of different numbers differ in rounding"},
    {"out", 'o', FLAG_TEXT, FIELD(out), "", 0, 0, NULL, "DIR",
     "where checkpoint.safetensors, last.safetensors, best.safetensors and log.jsonl go"},
    {"resume", 0, FLAG_SWITCH, FIELD(resume), NULL, 0, 0, NULL, NULL,
     "continue from DIR/checkpoint.safetensors, or start where there is none"},
    {"stop-after", 0, FLAG_INT, FIELD(stop_after), "0", 0, 0, NULL, "N",
     "end after N iterations of the run with a checkpoint, to be resumed; 0: at its end"},
    {"val-segmentation", 0, FLAG_TEXT, FIELD(val_segmentation), "", 0, 0, NULL, "DIR",
     "slices with label maps to validate on"},
    {"val-classification", 0, FLAG_TEXT, FIELD(val_classification), "", 0, 0, NULL, "DIR",
     "slices with classes to validate on"},
    {"validate-every", 0, FLAG_INT, FIELD(validate_every), "500", 1, 0, NULL, "N",
     "iterations between validations; the best model so far is best.safetensors"},
    {"checkpoint-every", 0, FLAG_INT, FIELD(checkpoint_every), "200", 1, 0, NULL, "N",
     "iterations between checkpoints"},
    {"log-every", 0, FLAG_INT, FIELD(log_every), "20", 1, 0, NULL, "N",
     "iterations whose mean losses are a line of the log"},
    {"score-threshold", 0, FLAG_NUMBER, FIELD(score_threshold), "0.5", 0, 0.999, NULL, "SCORE",
     "what the model written drops unless asked otherwise: detections at or below"},
    {"max-detections", 0, FLAG_INT, FIELD(max_detections), "16", 1, 128, NULL, "N",
     "what it shows of a slice at most, unless asked otherwise"},
    {"name", 0, FLAG_TEXT, FIELD(name), "oneshot", 0, 0, NULL, "TEXT", "the model's name"},
    {"model-version", 0, FLAG_TEXT, FIELD(version), "1", 0, 0, NULL, "TEXT", "the model's version"},
    {"trained-on", 0, FLAG_TEXT, FIELD(trained_on), "", 0, 0, NULL, "TEXT",
     "what it was trained on, for those who use it"},
    {"half", 0, FLAG_SWITCH, FIELD(half), NULL, 0, 0, NULL, NULL,
     "write models with 16-bit weights: half the size"},
    {"quiet", 'q', FLAG_SWITCH, FIELD(quiet), NULL, 0, 0, NULL, NULL,
     "no progress, only what went wrong"},
};

enum { FLAGS = sizeof table / sizeof *table };

/* Where the paper's recipe differs from the defaults above (section 4.1). */
static const struct {
    const char *flag, *value;
} paper[] = {
    {"backbone", "resnext101_32x8d"},
    {"anchor-sizes", "2,4,8,16,32,64,128"},
    {"anchor-ratios", "0.1,0.25,0.5,1,1.5,2"},
    {"init-scheme", "paper"},
    {"lr", "1e-5"},
    {"weight-decay", "1e-3"},
    {"schedule", "constant"},
    {"warmup", "0"},
    {"average", "0"},
    {"balance", "0"},
    {"rpn-fg-iou", "0.7"},
    {"rois", "256"},
    {"positive-rois", "0.5"},
    {"roi-fg-iou", "0.75"},
    {"flip", "0"},
    {"rotate", "0"},
    {"scale", "0"},
    {"translate", "0"},
    {"lung-crop", "0"},
    {"margin", "0"},
    {"window-shift", "0"},
    {"gamma", "0"},
    {"noise", "0"},
    {"score-threshold", "0.75"},
    {"max-detections", "4"},
};

static struct flags make_flags(const struct flag rows[FLAGS])
{
    return (struct flags){
        .table = rows,
        .count = FLAGS,
        .usage = "oneshot train --out DIR [--segmentation DIR] [--classification DIR] [FLAG]...",
        .about =
            "Trains in one shot: each iteration is a segmentation step on a slice with a label "
            "map\n"
            "and a classification step on a slice with classes. Data are checked before the first\n"
            "step. A run that was stopped, however, continues with --resume to the same result.",
        .environment = false,
    };
}

static bool wants_paper(int argc, char **argv)
{
    bool wanted = false;
    for (int i = 1; i < argc; i++) {
        const char *value = strncmp(argv[i], "--recipe=", 9) == 0              ? argv[i] + 9
                            : strcmp(argv[i], "--recipe") == 0 && i + 1 < argc ? argv[i + 1]
                                                                               : NULL;
        if (value)
            wanted = strcmp(value, "paper") == 0;
    }
    return wanted;
}

static int check(const struct train_settings *s, int operands, struct error *err)
{
    if (operands > 0)
        return error_set(err, ERR_ARGUMENT, "it takes flags only; --help tells more");
    if (!*s->out)
        return error_set(err, ERR_ARGUMENT, "--out DIR says where models and the log go");
    if (!*s->segmentation && !*s->classification)
        return error_set(err, ERR_ARGUMENT,
                         "give it --segmentation DIR, --classification DIR or both");
    return augment_check(&s->augment, err);
}

int train_settings_read(struct train_settings *out, int argc, char **argv, bool *help,
                        struct error *err)
{
    struct flag rows[FLAGS];
    int operands;
    memcpy(rows, table, sizeof rows);
    for (size_t i = 0; wants_paper(argc, argv) && i < sizeof paper / sizeof *paper; i++)
        for (int k = 0; k < FLAGS; k++)
            if (strcmp(rows[k].name, paper[i].flag) == 0)
                rows[k].fallback = paper[i].value;
    const struct flags flags = make_flags(rows);
    *out = (struct train_settings){0};
    if (flags_parse(&flags, out, argc, argv, &operands, help, err) != 0)
        return -1;
    return *help ? 0 : check(out, operands, err);
}

static int describe_flag(struct buffer *out, const struct flag *flag, const void *field,
                         struct error *err)
{
    switch (flag->kind) {
    case FLAG_TEXT:
        return buffer_printf(out, err, "%s %s\n", flag->name, *(const char *const *)field);
    case FLAG_SWITCH:
        return buffer_printf(out, err, "%s %s\n", flag->name, *(const bool *)field ? "yes" : "no");
    case FLAG_NUMBER:
        return buffer_printf(out, err, "%s %.9g\n", flag->name, (double)*(const float *)field);
    case FLAG_CHOICE:
        return buffer_printf(out, err, "%s %s\n", flag->name, flag->choices[*(const int *)field]);
    default:
        return buffer_printf(out, err, "%s %d\n", flag->name, *(const int *)field);
    }
}

int train_settings_describe(struct buffer *out, const struct train_settings *settings,
                            struct error *err)
{
    for (const struct flag *flag = table; strcmp(flag->name, "out") != 0; flag++)
        if (describe_flag(out, flag, (const char *)settings + flag->offset, err) != 0)
            return -1;
    return 0;
}

int train_settings_config(struct model_config *config, const struct train_settings *s,
                          struct error *err)
{
    char beta[16], threshold[32], most[16];
    snprintf(beta, sizeof beta, "%d", s->beta);
    snprintf(threshold, sizeof threshold, "%.9g", (double)s->score_threshold);
    snprintf(most, sizeof most, "%d", s->max_detections);
    const struct {
        const char *key, *value;
        bool of_file; /* --init brings its own */
    } entries[] = {
        {"backbone", s->backbone, true},
        {"batch_norm", norms[s->batch_norm], true},
        {"beta", beta, true},
        {"anchor_sizes", s->anchor_sizes, true},
        {"anchor_ratios", s->anchor_ratios, true},
        {"box_score_thresh", threshold, false},
        {"box_detections_per_img", most, false},
        {"name", s->name, false},
        {"version", s->version, false},
        {"trained", "true", false},
        {"trained_on", s->trained_on, false},
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (!(entries[i].of_file && *s->init) &&
            config_set(config, entries[i].key, entries[i].value, err) != 0)
            return -1;
    return config_check(config, err);
}

struct loop_options train_settings_options(const struct train_settings *s, int64_t iterations,
                                           const struct parts *freeze)
{
    struct loop_options options = loop_paper();
    options.adam.lr = s->lr;
    options.adam.weight_decay = s->weight_decay;
    options.schedule = s->schedule == 0 ? SCHEDULE_CONSTANT : SCHEDULE_COSINE;
    options.warmup = s->warmup;
    options.final_lr = s->final_lr;
    options.iterations = iterations;
    options.classify_from = s->classify_from;
    options.balance = s->balance;
    options.average = s->average;
    options.augment = s->augment;
    options.sampling.rpn_fg_iou_thresh = s->sampling.rpn_fg_iou_thresh;
    options.sampling.box_batch_size_per_image = s->sampling.box_batch_size_per_image;
    options.sampling.box_positive_fraction = s->sampling.box_positive_fraction;
    options.sampling.box_fg_iou_thresh = s->sampling.box_fg_iou_thresh;
    options.sampling.box_bg_iou_thresh = s->sampling.box_bg_iou_thresh;
    options.freeze = freeze->list;
    options.seed = (uint64_t)s->seed;
    return options;
}

/* ---- lists ---- */

int parts_cut(struct parts *out, const char *text, struct error *err)
{
    int count = 0;
    *out = (struct parts){.text = strdup(text)};
    if (!out->text)
        return error_set(err, ERR_MEMORY, "out of memory for flags");
    char *rest = out->text;
    for (char *part; (part = strsep(&rest, ",")) != NULL;) {
        if (!*part)
            continue;
        if (count == TRAIN_MAX_PARTS)
            return error_set(err, ERR_ARGUMENT, "more than %d parts in \"%.80s\"", TRAIN_MAX_PARTS,
                             text);
        out->list[count++] = part;
    }
    return 0;
}

void parts_free(struct parts *parts)
{
    free(parts->text);
    *parts = (struct parts){0};
}
