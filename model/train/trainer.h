/*
 * One-shot training, one step at a time (sections 3.5 to 3.8 of the paper): losses and gradients of
 * a segmentation step and of a classification step over one parameter store. Optimizer, data and
 * schedule are the caller's (loop.h).
 *
 * A trainer belongs to the thread that opened it and allocates nothing in a step.
 */
#ifndef ONESHOT_TRAIN_TRAINER_H
#define ONESHOT_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/rng.h"
#include "model/net/network.h"
#include "model/rcnn/box.h"

enum { TRAIN_SIDE = 512, TRAIN_MAX_TRUTHS = 255 };

/* What detection training samples and matches; torchvision's names. */
struct sampling {
    float rpn_fg_iou_thresh, rpn_bg_iou_thresh;
    int rpn_batch_size_per_image;
    float rpn_positive_fraction;
    float box_fg_iou_thresh, box_bg_iou_thresh;
    int box_batch_size_per_image;
    float box_positive_fraction;
};
struct sampling sampling_default(void); /* .7 .3 256 .75, .75 .5 256 .5 */

enum loss {
    LOSS_OBJECTNESS,
    LOSS_RPN_BOX,
    LOSS_CLASSIFIER,
    LOSS_BOX,
    LOSS_MASK,
    LOSS_IMAGE, /* of a classification step; the others of a segmentation step */
    LOSSES
};
const char *loss_name(enum loss loss); /* "objectness"; NULL out of range */

/* Which of the two steps updates a parameter; some belong to both, the `_s2` heads to none. */
enum step_kind { STEP_SEGMENT, STEP_CLASSIFY };
bool step_updates(enum step_kind kind, const char *name);

struct instance {
    struct box box; /* [min, max + 1) */
    int label;      /* 1..3 */
};

/* A slice ready for the network: standardised, resized and padded to (512, 512). */
struct example {
    const float *image;
    float width, height; /* of the slice inside it */

    /* Segmentation: instances, and a plane that holds index + 1 of the instance a pixel is of. */
    const struct instance *instances;
    int instances_count; /* at most TRAIN_MAX_TRUTHS */
    const uint8_t *plane;

    int8_t classes[IMAGE_CLASSES]; /* classification: 1, 0, -1 unknown */
};

struct trainer;

/*
 * The network's values must be owned (params_own) and its gradients enabled. `freeze` lists name
 * prefixes that get no gradient, ended by NULL; may be NULL. ERR_MEMORY, ERR_INTERNAL.
 */
int trainer_open(struct trainer **out, struct network *network, const struct sampling *sampling,
                 const char *const *freeze, struct error *err);
void trainer_close(struct trainer *trainer);

/*
 * Forward and backward of one example. Gradients are added to the store's (clear them first); the
 * losses of the step go to loss[], the others are left alone. Norms update their running
 * statistics. ERR_BAD_DATA where a loss is not finite.
 */
int trainer_segment(struct trainer *trainer, const struct example *example, struct rng *rng,
                    double loss[LOSSES], struct error *err);
int trainer_classify(struct trainer *trainer, const struct example *example, double loss[LOSSES],
                     struct error *err);

/* Sum of the five segmentation losses. */
double trainer_segment_loss(const double loss[LOSSES]);

/* Copies box head, box predictor, mask_fcn1 and conv_mask into their `_s2` twins. */
void trainer_copy_weights(struct network *network);

/* Packs changed weights again; call after every optimizer step or copy. */
int trainer_refresh(struct trainer *trainer, struct error *err);

/* run_watch() for every layer of both steps. */
struct run_note;
void trainer_watch(struct trainer *trainer, void (*watch)(void *, const struct run_note *),
                   void *context);

/* What the last step saw, for tests: proposals, and the regions of a classification step. */
struct bench;
const struct bench *trainer_bench(const struct trainer *trainer);

#endif
