/*
 * The One Shot network as eight static sub-networks over one parameter store. Between them lies
 * plain C (detector.h, and the training steps): proposals, suppression, RoIAlign, sampling, losses.
 * Described once; plans for serving, evaluation and training are all compiled from it.
 *
 *   backbone    image (1,S,S)              -> features (C,S/32,S/32)
 *   rpn         features                   -> objectness (A), deltas (4A)
 *   boxes       RoIs (C,7,7)               -> logits (4), deltas (16) of both branches
 *   masks       RoIs (C,14,14)             -> mask logits (4,28,28)
 *   evidence    RoIs (C,14,14), beta       -> RoI features (C,28,28), vectors X (C)
 *   sequence    X                          -> states of both LSTMs (C)
 *   attention   states                     -> z, attention, o of both branches
 *   classifier  o of both                  -> logits for, logits against
 */
#ifndef ONESHOT_NET_NETWORK_H
#define ONESHOT_NET_NETWORK_H

#include "model/net/config.h"
#include "model/nn/graph.h"

enum { OBJECT_CLASSES = 4, IMAGE_CLASSES = 3, BOX_POOL = 7, MASK_POOL = 14, MASK_SIDE = 28 };

enum subnet {
    SUBNET_BACKBONE,
    SUBNET_RPN,
    SUBNET_BOXES,
    SUBNET_MASKS,
    SUBNET_EVIDENCE,
    SUBNET_SEQUENCE,
    SUBNET_ATTENTION,
    SUBNET_CLASSIFIER,
    SUBNETS
};

enum branch { BRANCH_FOR, BRANCH_AGAINST, BRANCHES }; /* the paper's positive and negative */

struct network {
    struct model_config config;
    struct params *params;
    struct graph graph[SUBNETS];

    /* Nodes by what they mean; inputs and outputs of the graph of the same name. */
    struct {
        int image, features;
    } backbone;
    struct {
        int features, objectness, deltas;
    } rpn;
    struct {
        int rois, logits[2], deltas[2]; /* segmentation, classification branch */
    } boxes;
    struct {
        int rois, logits;
    } masks;
    struct {
        int rois, features, vectors;
    } evidence;
    struct {
        int vectors, states[BRANCHES];
    } sequence;
    struct {
        int states[BRANCHES], z[BRANCHES], alpha[BRANCHES], o[BRANCHES];
    } attention;
    struct {
        int o[BRANCHES], logits[BRANCHES];
    } classifier;
};

/* Describes the network of a configuration; declares its parameters without values. */
int network_create(struct network **out, const struct model_config *config, struct error *err);
void network_free(struct network *network); /* NULL is fine */

/* Anchors per cell. */
int network_anchors(const struct network *network);

/* FLOPs of one slice when `detections` masks are predicted; a multiply-add is two. */
double network_flops(const struct network *network, int detections);

#endif
