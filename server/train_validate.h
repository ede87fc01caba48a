/* Measuring a model in the middle of a training run, as `oneshot eval` would. */
#ifndef ONESHOT_SERVER_TRAIN_VALIDATE_H
#define ONESHOT_SERVER_TRAIN_VALIDATE_H

#include "server/eval_set.h"

struct validation_sets {
    struct eval_set segmentation, classification; /* either may be empty */
};

/* Folders; "" for none. Errors of eval_set_open(). Close it in any case. */
int validation_open(struct validation_sets *out, const char *segmentation,
                    const char *classification, struct error *err);
void validation_close(struct validation_sets *sets);

/* NAN where a figure is not defined on the data. */
struct validation {
    double ap50, ap;     /* per image, as the paper counts */
    double lungs_iou;    /* label 1, over all pixels */
    double lesions_dice; /* GGO and consolidation merged, over all pixels */
    double auroc_covid, accuracy;
    double score; /* mean of ap50, lungs_iou, lesions_dice and auroc_covid: what is defined */
};

/* Evaluates a weight file on `workers` threads. Errors of model_load() and of the evaluation. */
int validate(struct validation *out, const struct validation_sets *sets, const char *model,
             int workers, struct error *err);

#endif
