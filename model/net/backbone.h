/* ResNet bodies (torchvision's, without pooling and classifier) and the one-level FPN on top. */
#ifndef ONESHOT_NET_BACKBONE_H
#define ONESHOT_NET_BACKBONE_H

#include "model/nn/graph.h"

struct backbone {
    const char *name;
    int blocks[4];
    bool bottleneck;
    int groups, width_per_group;
};

const struct backbone *backbone_find(const char *name); /* NULL where there is none */
const char *backbone_names(void);                       /* "resnet18, resnet34, ..." */
int backbone_count(void);
const struct backbone *backbone_at(int index);

enum { BACKBONE_STRIDE = 32 };

/*
 * Appends body and FPN for one stored channel that stands for three equal ones, (1, side, side),
 * and returns the features' node, (out_channels, side / 32, side / 32). Section 2 of the paper's
 * model: stride on the 3x3, only the last stage enters the FPN, no activation behind it.
 */
int backbone_build(struct graph *graph, const struct backbone *backbone, int image,
                   int out_channels, enum norm_mode norm);

#endif
