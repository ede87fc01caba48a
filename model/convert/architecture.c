#include "model/convert/architecture.h"

#include <stdio.h>

#include "model/net/backbone.h"

/* A tensor only this kind has; the first that is there decides. */
static const struct {
    const char *kind, *tensor;
} telltales[] = {
    {"oneshot", "attn_layer.lstm_pos.weight_ih_l0"},
    {"affinity", "affinity_layer.batch_to_feat_mat"},
    {"affinity", "affinity_layer.batch_to_feat_mat.weight"},
    {"mask_rcnn", "roi_heads.box_predictor.cls_score.weight"},
    {"classifier", "fc.weight"},
};

/* Of tensor `name`, or 0 where there is none or its rank does not reach so far. */
static int64_t extent(const struct weights *w, const char *name, int dimension)
{
    const struct weight *weight = weights_find(w, name);
    return weight && dimension < weight->tensor.rank ? weight->tensor.shape[dimension] : 0;
}

static int small_extent(const struct weights *w, const char *name, int dimension)
{
    int64_t value = extent(w, name, dimension);
    return value < 1 << 20 ? (int)value : 0;
}

enum { STAGES = 4, MAX_BLOCKS = 64, NAME = 96 };

struct body {
    int blocks[STAGES];
    bool bottleneck;
    int64_t width, group_width; /* of the 3x3 convolution in the first block */
};

static bool has_block(const struct weights *w, const char *prefix, int stage, int block)
{
    char name[NAME];
    snprintf(name, sizeof name, "%slayer%d.%d.conv1.weight", prefix, stage + 1, block);
    return weights_find(w, name) != NULL;
}

static struct body read_body(const struct weights *w, const char *prefix)
{
    struct body body = {0};
    char name[NAME];
    for (int stage = 0; stage < STAGES; stage++)
        while (body.blocks[stage] < MAX_BLOCKS && has_block(w, prefix, stage, body.blocks[stage]))
            body.blocks[stage]++;
    snprintf(name, sizeof name, "%slayer1.0.conv3.weight", prefix);
    body.bottleneck = weights_find(w, name) != NULL;
    snprintf(name, sizeof name, "%slayer1.0.conv2.weight", prefix);
    body.width = extent(w, name, 0);
    body.group_width = extent(w, name, 1);
    return body;
}

static bool fits(const struct body *body, const struct backbone *backbone)
{
    for (int stage = 0; stage < STAGES; stage++)
        if (body->blocks[stage] != backbone->blocks[stage])
            return false;
    /* the first stage has 64 planes; width_per_group is meant for as many */
    int64_t width = (int64_t)backbone->width_per_group * backbone->groups;
    return body->bottleneck == backbone->bottleneck && body->width == width &&
           body->group_width == width / backbone->groups;
}

static const char *recognise_body(const struct weights *w)
{
    static const char *const prefixes[] = {"backbone.body.", ""};
    bool blocks = false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const struct body body = read_body(w, prefixes[i]);
        for (int k = 0; k < backbone_count(); k++)
            if (fits(&body, backbone_at(k)))
                return backbone_at(k)->name;
        blocks = blocks || body.blocks[0] > 0;
    }
    return !blocks && weights_find(w, "rpn.head.conv.weight") ? "heads_only" : "unknown";
}

struct architecture architecture_recognise(const struct weights *w)
{
    struct architecture a = {.kind = "unknown", .backbone = recognise_body(w)};
    for (size_t i = sizeof telltales / sizeof *telltales; i-- > 0;)
        if (weights_find(w, telltales[i].tensor))
            a.kind = telltales[i].kind;
    a.out_channels = small_extent(w, "backbone.fpn.layer_blocks.0.weight", 0);
    if (!a.out_channels)
        a.out_channels = small_extent(w, "rpn.head.conv.weight", 0);
    a.representation = small_extent(w, "roi_heads.box_head.fc6.weight", 0);
    a.anchors = small_extent(w, "rpn.head.cls_logits.weight", 0);
    return a;
}
