#include "model/net/network.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/net/backbone.h"

enum { SIDE = 512, GRID = SIDE / BACKBONE_STRIDE, NAME = 128 };

static const char *const branch_name[BRANCHES] = {"pos", "neg"};

int network_anchors(const struct network *network)
{
    return network->config.anchor_sizes_n * network->config.anchor_ratios_n;
}

/* prefix + name; names here are short literals, so NAME always suffices. */
static const char *full(char buffer[NAME], const char *prefix, const char *name)
{
    snprintf(buffer, NAME, "%.60s%.60s", prefix, name);
    return buffer;
}

static void build_backbone(struct network *n)
{
    struct graph *g = &n->graph[SUBNET_BACKBONE];
    n->backbone.image = graph_input(g, 1, SIDE, SIDE, LAYOUT_NCHW);
    n->backbone.features = backbone_build(g, backbone_find(n->config.backbone), n->backbone.image,
                                          n->config.out_channels, n->config.backbone_norm);
}

static void build_rpn(struct network *n)
{
    struct graph *g = &n->graph[SUBNET_RPN];
    int channels = n->config.out_channels, anchors = network_anchors(n);
    n->rpn.features = graph_input(g, channels, GRID, GRID, LAYOUT_NHWC);
    int x =
        graph_relu(g, graph_conv(g, n->rpn.features, "rpn.head.conv", channels, 3, 1, 1, 1, true));
    n->rpn.objectness = graph_conv(g, x, "rpn.head.cls_logits", anchors, 1, 1, 0, 1, true);
    n->rpn.deltas = graph_conv(g, x, "rpn.head.bbox_pred", 4 * anchors, 1, 1, 0, 1, true);
}

/* Both branches read the same RoIs: the same layers twice, with weights of their own. */
static void build_boxes(struct network *n)
{
    static const char *const suffix[] = {"", "_s2"};
    struct graph *g = &n->graph[SUBNET_BOXES];
    int width = n->config.representation;
    n->boxes.rois = graph_input(g, n->config.out_channels, BOX_POOL, BOX_POOL, LAYOUT_NHWC);
    for (int b = 0; b < 2; b++) {
        char head[NAME], predictor[NAME], name[NAME];
        snprintf(head, sizeof head, "roi_heads.box_head%s.", suffix[b]);
        snprintf(predictor, sizeof predictor, "roi_heads.box_predictor%s.", suffix[b]);
        int x = graph_relu(g, graph_linear(g, n->boxes.rois, full(name, head, "fc6"), width));
        x = graph_relu(g, graph_linear(g, x, full(name, head, "fc7"), width));
        n->boxes.logits[b] = graph_linear(g, x, full(name, predictor, "cls_score"), OBJECT_CLASSES);
        n->boxes.deltas[b] =
            graph_linear(g, x, full(name, predictor, "bbox_pred"), 4 * OBJECT_CLASSES);
    }
}

static void build_masks(struct network *n)
{
    struct graph *g = &n->graph[SUBNET_MASKS];
    int channels = n->config.out_channels;
    n->masks.rois = graph_input(g, channels, MASK_POOL, MASK_POOL, LAYOUT_NHWC);
    int x = graph_relu(g, graph_conv(g, n->masks.rois, "roi_heads.mask_head.mask_fcn1", channels, 3,
                                     1, 1, 1, true));
    x = graph_relu(g, graph_deconv(g, x, "roi_heads.mask_predictor.conv_mask", channels, 2));
    n->masks.logits = graph_conv(g, x, "roi_heads.mask_predictor.mask_fcn_logits", OBJECT_CLASSES,
                                 1, 1, 0, 1, true);
}

/* Mask features of the RoIs, then the attention layer's convolutions: ReLU before the norm here. */
static void build_evidence(struct network *n)
{
    struct graph *g = &n->graph[SUBNET_EVIDENCE];
    int channels = n->config.out_channels;
    enum norm_mode mode = n->config.attention_norm;
    n->evidence.rois = graph_input(g, channels, MASK_POOL, MASK_POOL, LAYOUT_NHWC);
    int x = graph_relu(g, graph_conv(g, n->evidence.rois, "roi_heads.mask_head_s2.mask_fcn1",
                                     channels, 3, 1, 1, 1, true));
    x = graph_deconv(g, x, "roi_heads.mask_predictor_s2.conv_mask", channels, 2);
    x = graph_relu(
        g, graph_conv(g, x, "roi_heads.mask_predictor_s2.conv_reduce", channels, 3, 1, 1, 1, true));
    n->evidence.features = x;

    x = graph_conv(g, x, "attn_layer.sieve.0.conv_down", channels / 2, 2, 2, 0, 1, true);
    x = graph_relu(g, graph_norm(g, x, "attn_layer.sieve.0.bn", mode));
    x = graph_deconv(g, x, "attn_layer.sieve.0.conv_up", channels, 2);

    static const struct {
        const char *conv, *norm;
        int kernel, stride;
    } steps[] = {{"attn_layer.conv_d1", "attn_layer.bn1", 2, 2},
                 {"attn_layer.conv_d2", "attn_layer.bn2", 2, 2},
                 {"attn_layer.conv_d_final", "attn_layer.bn3", 7, 1}};
    for (int i = 0; i < 3; i++) {
        x = graph_conv(g, x, steps[i].conv, channels, steps[i].kernel, steps[i].stride, 0, 1, true);
        x = graph_norm(g, graph_relu(g, x), steps[i].norm, mode);
    }
    n->evidence.vectors = x;
}

static void build_sequence(struct network *n)
{
    struct graph *g = &n->graph[SUBNET_SEQUENCE];
    int channels = n->config.out_channels;
    n->sequence.vectors = graph_input(g, channels, 1, 1, LAYOUT_NCHW);
    for (int b = 0; b < BRANCHES; b++) {
        char name[NAME];
        snprintf(name, sizeof name, "attn_layer.lstm_%s", branch_name[b]);
        n->sequence.states[b] = graph_lstm(g, n->sequence.vectors, name, channels);
    }
}

/* z = linear(last state), alpha = softmax(H z), o = z + sum of alpha_k H_k. */
static void build_attention(struct network *n)
{
    struct graph *g = &n->graph[SUBNET_ATTENTION];
    for (int b = 0; b < BRANCHES; b++) {
        char name[NAME];
        snprintf(name, sizeof name, "attn_layer.final_linear_%s", branch_name[b]);
        int states = graph_input(g, n->config.out_channels, 1, 1, LAYOUT_NCHW);
        int z = graph_linear(g, graph_last_row(g, states), name, n->config.out_channels);
        int alpha = graph_softmax(g, graph_matmul(g, z, states, true));
        n->attention.states[b] = states;
        n->attention.z[b] = z;
        n->attention.alpha[b] = alpha;
        n->attention.o[b] = graph_add(g, z, graph_matmul(g, alpha, states, false));
    }
}

static void build_classifier(struct network *n)
{
    struct graph *g = &n->graph[SUBNET_CLASSIFIER];
    for (int b = 0; b < BRANCHES; b++) {
        char prefix[NAME], name[NAME];
        snprintf(prefix, sizeof prefix, "%s_classifier_attn.", branch_name[b]);
        int o = graph_input(g, n->config.out_channels, 1, 1, LAYOUT_NCHW);
        int x = graph_relu(
            g, graph_linear(g, o, full(name, prefix, "fc_l1"), n->config.representation));
        x = graph_relu(g,
                       graph_linear(g, x, full(name, prefix, "fc_l2"), n->config.representation));
        n->classifier.o[b] = o;
        n->classifier.logits[b] =
            graph_linear(g, x, full(name, prefix, "class_predict_logits"), IMAGE_CLASSES);
    }
}

int network_create(struct network **out, const struct model_config *config, struct error *err)
{
    int rc;
    *out = NULL;
    struct network *n = calloc(1, sizeof *n);
    if (!n)
        return error_set(err, ERR_MEMORY, "out of memory for the network's description");
    n->config = *config;
    TRY(config_check(config, err));
    TRY(params_create(&n->params, err));
    for (int i = 0; i < SUBNETS; i++)
        graph_init(&n->graph[i], n->params);
    build_backbone(n);
    build_rpn(n);
    build_boxes(n);
    build_masks(n);
    build_evidence(n);
    build_sequence(n);
    build_attention(n);
    build_classifier(n);
    for (int i = 0; i < SUBNETS; i++)
        TRY(graph_finish(&n->graph[i], err));
    *out = n;
    n = NULL;
done:
    network_free(n);
    return rc;
}

void network_free(struct network *network)
{
    if (!network)
        return;
    for (int i = 0; i < SUBNETS; i++)
        graph_free(&network->graph[i]);
    params_free(network->params);
    free(network);
}

double network_flops(const struct network *network, int detections)
{
    const int batch[SUBNETS] = {
        [SUBNET_BACKBONE] = 1,
        [SUBNET_RPN] = 1,
        [SUBNET_BOXES] = network->config.rpn_post_nms_top_n,
        [SUBNET_MASKS] = detections,
        [SUBNET_EVIDENCE] = network->config.beta,
        [SUBNET_SEQUENCE] = network->config.beta,
        [SUBNET_ATTENTION] = network->config.beta,
        [SUBNET_CLASSIFIER] = 1,
    };
    double flops = 0;
    for (int i = 0; i < SUBNETS; i++)
        if (batch[i] > 0)
            flops += graph_flops(&network->graph[i], batch[i]);
    /* The description stores one of three equal input channels; the model as published has three,
     * and graph_flops() counts those, because it counts weights. */
    return flops;
}
