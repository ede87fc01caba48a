#include "model/net/backbone.h"

#include <stdio.h>
#include <string.h>

static const struct backbone backbones[] = {
    {"resnet18", {2, 2, 2, 2}, false, 1, 64},
    {"resnet34", {3, 4, 6, 3}, false, 1, 64},
    {"resnet50", {3, 4, 6, 3}, true, 1, 64},
    {"resnet101", {3, 4, 23, 3}, true, 1, 64},
    {"resnext50_32x4d", {3, 4, 6, 3}, true, 32, 4},
    {"resnext101_32x8d", {3, 4, 23, 3}, true, 32, 8},
};

int backbone_count(void)
{
    return sizeof backbones / sizeof *backbones;
}

const struct backbone *backbone_at(int index)
{
    return index >= 0 && index < backbone_count() ? &backbones[index] : NULL;
}

const struct backbone *backbone_find(const char *name)
{
    for (int i = 0; i < backbone_count(); i++)
        if (strcmp(backbones[i].name, name) == 0)
            return &backbones[i];
    return NULL;
}

const char *backbone_names(void)
{
    return "resnet18, resnet34, resnet50, resnet101, resnext50_32x4d, resnext101_32x8d";
}

enum { NAME = 128 };

static int conv_norm(struct graph *g, int x, const char *block, const char *conv, const char *norm,
                     int out, int kernel, int stride, int groups, enum norm_mode mode)
{
    char name[NAME];
    snprintf(name, sizeof name, "%.60s.%.60s", block, conv);
    x = graph_conv(g, x, name, out, kernel, stride, kernel / 2, groups, false);
    snprintf(name, sizeof name, "%.60s.%.60s", block, norm);
    return graph_norm(g, x, name, mode);
}

/* One residual block: the shortcut comes first, so that the sum happens where the branch ends. */
static int residual_block(struct graph *g, const struct backbone *b, int x, const char *name,
                          int stage, int stride, bool projected, enum norm_mode mode)
{
    int planes = 64 << stage, out = b->bottleneck ? 4 * planes : planes;
    int width = b->bottleneck ? planes * b->width_per_group / 64 * b->groups : planes;
    int shortcut = x, y;
    if (projected)
        shortcut = conv_norm(g, x, name, "downsample.0", "downsample.1", out, 1, stride, 1, mode);
    if (b->bottleneck) {
        y = graph_relu(g, conv_norm(g, x, name, "conv1", "bn1", width, 1, 1, 1, mode));
        y = graph_relu(g, conv_norm(g, y, name, "conv2", "bn2", width, 3, stride, b->groups, mode));
        y = conv_norm(g, y, name, "conv3", "bn3", out, 1, 1, 1, mode);
    } else {
        y = graph_relu(g, conv_norm(g, x, name, "conv1", "bn1", out, 3, stride, 1, mode));
        y = conv_norm(g, y, name, "conv2", "bn2", out, 3, 1, 1, mode);
    }
    return graph_relu(g, graph_add(g, shortcut, y));
}

int backbone_build(struct graph *g, const struct backbone *b, int image, int out_channels,
                   enum norm_mode mode)
{
    int x = graph_conv_equal(g, image, 3, "backbone.body.conv1", 64, 7, 2, 3);
    x = graph_relu(g, graph_norm(g, x, "backbone.body.bn1", mode));
    x = graph_max_pool(g, x, 3, 2, 1);
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < b->blocks[stage]; i++) {
            char name[NAME];
            snprintf(name, sizeof name, "backbone.body.layer%d.%d", stage + 1, i);
            int stride = stage > 0 && i == 0 ? 2 : 1;
            bool projected = i == 0 && (stride != 1 || b->bottleneck);
            x = residual_block(g, b, x, name, stage, stride, projected, mode);
        }
    x = graph_conv(g, x, "backbone.fpn.inner_blocks.0", out_channels, 1, 1, 0, 1, true);
    return graph_conv(g, x, "backbone.fpn.layer_blocks.0", out_channels, 3, 1, 1, 1, true);
}
