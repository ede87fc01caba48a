/*
 * A static sub-network as data: builder functions append nodes, plans compile them.
 *
 * A node's value has shape (n, c, h, w); vectors are (n, c, 1, 1). A graph describes a batch of
 * one; the plan is compiled for the batch it is asked for. Nodes name their parameters in a store
 * (params.h), so a shared weight is two nodes with one name. Builders return the new node's index;
 * after a failure (kept in graph->err) they do nothing and return 0, so a description reads
 * without error handling and graph_finish() reports the first problem.
 */
#ifndef ONESHOT_NN_GRAPH_H
#define ONESHOT_NN_GRAPH_H

#include <stdbool.h>

#include "model/base/error.h"
#include "model/nn/params.h"

struct shape {
    int n, c, h, w;
};

enum op_kind {
    OP_INPUT,
    OP_CONV,   /* convolution, weight (o, i/groups, k, k), optional bias */
    OP_DECONV, /* transposed convolution with kernel == stride, weight (i, o, k, k), bias */
    OP_LINEAR, /* weight (o, c*h*w), bias */
    OP_NORM,   /* batch normalisation */
    OP_RELU,
    OP_ADD,
    OP_MAX_POOL,
    OP_LSTM,     /* the batch is the sequence: (t, c) -> (t, hidden) */
    OP_LAST_ROW, /* (n, c) -> (1, c) */
    OP_MATMUL,   /* (m, k) x (k, n), or x (n, k) transposed */
    OP_SOFTMAX,  /* over c */
    OP_UPCONV,   /* made by a pass: a 3x3 convolution of a 2x2 transposed one, see op_upconv.c */
    OP_KINDS
};

enum norm_mode {
    NORM_RUNNING, /* normalise by stored statistics */
    NORM_BATCH,   /* normalise by the statistics of what runs through */
};

enum layout {
    LAYOUT_NCHW,
    LAYOUT_NHWC,
};

enum { NODE_PARAMS = 4 };

struct node {
    enum op_kind kind;
    int inputs, input[2];
    struct shape shape; /* for a batch of one */
    int kernel, stride, pad, groups;
    bool equal_channels; /* conv: all input channels are one and the same, only one is stored */
    bool transpose;      /* matmul: the second factor is (n, k) */
    enum norm_mode norm;
    enum layout layout;     /* of an input */
    int param[NODE_PARAMS]; /* indices in the store, -1 = none; meaning by kind, see graph.c */

    /* Set by the plan's passes, never by builders. */
    bool dead;       /* no output depends on it */
    int folded_norm; /* conv: the norm node folded into it, or -1 */
    int composed;    /* conv, upconv: the transposed convolution multiplied into it, or -1 */
    int residual;    /* conv, norm: a node added before the ReLU, or -1 */
    bool relu;       /* ReLU applied last */
    int alias;       /* this node's value is that of another node, or -1 */
};

struct graph {
    struct params *params;
    struct node *nodes;
    int count, capacity;
    struct error err; /* the first failure of a builder */
};

void graph_init(struct graph *graph, struct params *params);
void graph_free(struct graph *graph);
/* 0, or the first failure of any builder (ERR_MEMORY, ERR_INTERNAL for shapes that do not fit). */
int graph_finish(const struct graph *graph, struct error *err);

/* `layout` is how the plan's user hands the value over. */
int graph_input(struct graph *graph, int c, int h, int w, enum layout layout);
/* PyTorch's Conv2d; `name`.weight and, with `bias`, `name`.bias. */
int graph_conv(struct graph *graph, int x, const char *name, int out, int kernel, int stride,
               int pad, int groups, bool bias);
/* The same where the network's `channels` inputs are equal copies of the one channel of x. */
int graph_conv_equal(struct graph *graph, int x, int channels, const char *name, int out,
                     int kernel, int stride, int pad);
/* ConvTranspose2d with kernel = stride = `factor`, no padding, with bias. */
int graph_deconv(struct graph *graph, int x, const char *name, int out, int factor);
/* Linear over the flattened (c, h, w), with bias. */
int graph_linear(struct graph *graph, int x, const char *name, int out);
/* BatchNorm2d, eps 1e-5. */
int graph_norm(struct graph *graph, int x, const char *name, enum norm_mode mode);
int graph_relu(struct graph *graph, int x);
int graph_add(struct graph *graph, int a, int b);
int graph_max_pool(struct graph *graph, int x, int kernel, int stride, int pad);
/* LSTM, one layer, gates i, f, g, o; `name`.{weight,bias}_{ih,hh}_l0. */
int graph_lstm(struct graph *graph, int x, const char *name, int hidden);
int graph_last_row(struct graph *graph, int x);
int graph_matmul(struct graph *graph, int a, int b, bool transpose_b);
int graph_softmax(struct graph *graph, int x);

/* Shape of a node's value when the graph's inputs have batch n. */
struct shape graph_shape(const struct graph *graph, int node, int n);
/* Multiply-adds count two; direct convolution as described; element-wise work is not counted. */
double graph_flops(const struct graph *graph, int n);

#endif
