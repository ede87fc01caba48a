/*
 * What a model is, apart from its weights. It travels as string entries of the weight file's
 * metadata, one per key ("backbone": "resnet18", "anchor_sizes": "2,4,8,16,32", ...); keys left
 * out have the defaults of config_default(), keys this program does not know are ignored.
 */
#ifndef ONESHOT_NET_CONFIG_H
#define ONESHOT_NET_CONFIG_H

#include <stdbool.h>

#include "model/base/error.h"
#include "model/nn/graph.h"

enum { CONFIG_MAX_ANCHORS = 16, CONFIG_MAX_PROPOSALS = 1000 };

struct model_config {
    char name[64], version[32];
    char backbone[32]; /* torchvision's name, see backbone.h */
    enum norm_mode backbone_norm, attention_norm;
    int out_channels;   /* of the FPN, and the length of a RoI's vector: 256 */
    int representation; /* width of the box heads and classifiers: 128 */

    float anchor_sizes[CONFIG_MAX_ANCHORS], anchor_ratios[CONFIG_MAX_ANCHORS];
    int anchor_sizes_n, anchor_ratios_n;
    int rpn_pre_nms_top_n, rpn_post_nms_top_n;
    float rpn_nms_thresh;

    int beta; /* RoIs the classification branch reads */
    float region_nms_thresh;
    float box_score_thresh, box_nms_thresh;
    int box_detections_per_img;

    bool trained;
    char trained_on[512];
};

/* The paper's settings, resnext50_32x4d, running statistics. */
struct model_config config_default(void);

/*
 * Sets one key. 0 where it was set or is not a key of ours; ERR_BAD_CONFIG names the key, what was
 * found and what is allowed.
 */
int config_set(struct model_config *config, const char *key, const char *value, struct error *err);

/* Checks what no single key shows, after the last config_set(). ERR_BAD_CONFIG. */
int config_check(const struct model_config *config, struct error *err);

/*
 * Key `index` and its value as text, for writing; 0, or -1 past the end. `value` holds at least
 * CONFIG_VALUE_SIZE bytes.
 */
enum { CONFIG_VALUE_SIZE = 512 };
int config_get(const struct model_config *config, int index, const char **key, char *value);

#endif
