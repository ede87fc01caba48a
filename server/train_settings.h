/* What `oneshot train` is told: flags, recipes, and the model's configuration made of them. */
#ifndef ONESHOT_SERVER_TRAIN_SETTINGS_H
#define ONESHOT_SERVER_TRAIN_SETTINGS_H

#include <stdbool.h>

#include "model/base/buffer.h"
#include "model/net/config.h"
#include "model/train/init.h"
#include "model/train/loop.h"

enum { TRAIN_MAX_PARTS = 32 };

/* A flag's text cut at its commas. */
struct parts {
    char *text;                            /* owned */
    const char *list[TRAIN_MAX_PARTS + 1]; /* into text; ended by NULL */
};

struct train_settings {
    /* data */
    const char *segmentation, *classification; /* folders, commas between them */
    const char *split, *list;
    int scheme; /* enum dataset_scheme */
    bool crop_to_boxes, skip_bad;
    const char *val_segmentation, *val_classification;

    /* model */
    const char *backbone, *anchor_sizes, *anchor_ratios, *init, *freeze, *name, *version,
        *trained_on;
    int batch_norm; /* enum norm_mode */
    int beta, max_detections, scheme_of_init;
    float score_threshold;

    /* course */
    int recipe;
    int epochs, iterations, classify_from, warmup, schedule, seed, threads;
    float lr, weight_decay, final_lr, average, balance;
    struct augment_options augment;
    struct sampling sampling;

    /* output */
    const char *out;
    int stop_after, validate_every, checkpoint_every, log_every;
    bool resume, half, quiet;
};

/* Reads flags; the recipe chosen among them gives the defaults of the others. ERR_ARGUMENT. */
int train_settings_read(struct train_settings *out, int argc, char **argv, bool *help,
                        struct error *err);

/* Lines of "flag value" of all that shapes the course of a run, for its checkpoints. */
int train_settings_describe(struct buffer *out, const struct train_settings *settings,
                            struct error *err);

/* The model's configuration; starts from `base`, which --init may have given. ERR_BAD_CONFIG. */
int train_settings_config(struct model_config *config, const struct train_settings *settings,
                          struct error *err);

/* `freeze` must outlive the options. */
struct loop_options train_settings_options(const struct train_settings *settings,
                                           int64_t iterations, const struct parts *freeze);

int parts_cut(struct parts *out, const char *text,
              struct error *err); /* ERR_ARGUMENT, ERR_MEMORY */
void parts_free(struct parts *parts);

#endif
