/*
 * From a file of torch.save to a safetensors file this program loads: the state dict under this
 * program's names, the architecture told from names and shapes, and on demand Adam's state.
 *
 * The result's metadata:
 *   name, backbone        "oneshot-resnet50", "resnet50"; "heads_only" or "unknown" for others
 *   architecture          "oneshot", "affinity", "mask_rcnn", "classifier", "unknown"
 *   batch_norm            "batch" or "running"; or backbone_batch_norm and attention_batch_norm
 *   out_channels, representation, anchor_sizes, anchor_ratios    where the file tells
 *   trained               "true"
 *   epoch, lrate, model_name                                     as in the file, where it has them
 *   adam.step             the largest step of any parameter
 * and with the optimizer kept the tensors adam.m/<parameter>, adam.v/<parameter> (first and second
 * moment) and adam.step/<parameter> (I64 scalar, since parameters need not step together).
 */
#ifndef ONESHOT_CONVERT_CONVERT_H
#define ONESHOT_CONVERT_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"
#include "model/convert/weights.h"

struct convert_options {
    bool optimizer; /* keep Adam's moments and steps */
    bool half;  /* store weights of rank two and more as F16; norms and biases stay as they are */
    bool force; /* replace a file that is there */
    /*
     * Where norms take their statistics from: "batch", "running", or two such with a slash between
     * for backbone and attention layer. NULL is "batch": the reference evaluates that way.
     */
    const char *batch_norm;
    /* Called after each tensor with the bytes written so far and in all; may be NULL. */
    void (*progress)(void *user, int64_t done, int64_t total);
    void *progress_user;
};

struct convert_report {
    const char *container;    /* "zip" or "legacy" */
    const char *architecture; /* as in the metadata */
    const char *backbone;
    int out_channels;
    const char *state_dict; /* key it was found under; "" where it is the saved object itself */
    size_t tensors;         /* without the optimizer's */
    int64_t parameters;     /* elements, without running statistics and counters */
    size_t moments;         /* parameters whose optimizer state was kept */
    uint64_t bytes;         /* of all tensors written */
    struct dropped dropped; /* entries that were not carried over */
};

/*
 * Converts the file `in` to `out`, which appears complete or not at all. `options` may be NULL. One
 * tensor is in memory at a time. Errors, naming file and tensor: ERR_IO, ERR_BAD_WEIGHTS,
 * ERR_UNSUPPORTED, ERR_MEMORY, ERR_ARGUMENT (options; `out` is there and not forced; both the
 * same).
 */
int convert_checkpoint(const char *in, const char *out, const struct convert_options *options,
                       struct convert_report *report, struct error *err);

#endif
