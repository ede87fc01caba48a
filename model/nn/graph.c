#include "model/nn/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void graph_init(struct graph *graph, struct params *params)
{
    memset(graph, 0, sizeof *graph);
    graph->params = params;
}

void graph_free(struct graph *graph)
{
    free(graph->nodes);
    memset(graph, 0, sizeof *graph);
}

int graph_finish(const struct graph *graph, struct error *err)
{
    if (graph->err.code == ERR_NONE)
        return 0;
    if (err)
        *err = graph->err;
    return -1;
}

static bool failed(const struct graph *graph)
{
    return graph->err.code != ERR_NONE;
}

/* Appends a node; the caller fills what its kind needs. NULL once the graph has failed. */
static struct node *append(struct graph *graph, enum op_kind kind, int inputs, int a, int b)
{
    if (failed(graph))
        return NULL;
    if (graph->count == graph->capacity) {
        int capacity = graph->capacity ? 2 * graph->capacity : 64;
        struct node *nodes = realloc(graph->nodes, (size_t)capacity * sizeof *nodes);
        if (!nodes) {
            error_set(&graph->err, ERR_MEMORY, "out of memory while describing the network");
            return NULL;
        }
        graph->nodes = nodes;
        graph->capacity = capacity;
    }
    struct node *node = &graph->nodes[graph->count++];
    *node = (struct node){.kind = kind, .inputs = inputs, .input = {a, b}, .groups = 1};
    for (int i = 0; i < NODE_PARAMS; i++)
        node->param[i] = -1;
    node->folded_norm = node->composed = node->residual = node->alias = -1;
    if (inputs > 0)
        node->shape = graph->nodes[a].shape;
    return node;
}

static int last(const struct graph *graph)
{
    return failed(graph) ? 0 : graph->count - 1;
}

static void declare(struct graph *graph, int slot, const char *name, const char *leaf,
                    enum param_role role, int rank, const int64_t *dim)
{
    if (failed(graph))
        return;
    char full[256];
    int length = snprintf(full, sizeof full, "%s.%s", name, leaf);
    if (length < 0 || (size_t)length >= sizeof full) {
        error_set(&graph->err, ERR_INTERNAL, "parameter name %s.%s is too long", name, leaf);
        return;
    }
    params_declare(graph->params, &graph->nodes[graph->count - 1].param[slot], full, role, rank,
                   dim, &graph->err);
}

static void misfit(struct graph *graph, const char *what)
{
    if (!failed(graph))
        error_set(&graph->err, ERR_INTERNAL, "the network's description does not fit: %s", what);
}

int graph_input(struct graph *graph, int c, int h, int w, enum layout layout)
{
    struct node *node = append(graph, OP_INPUT, 0, 0, 0);
    if (node) {
        node->shape = (struct shape){1, c, h, w};
        node->layout = layout;
    }
    return last(graph);
}

static int conv(struct graph *graph, int x, int in, bool equal, const char *name, int out,
                int kernel, int stride, int pad, int groups, bool bias)
{
    struct node *node = append(graph, OP_CONV, 1, x, 0);
    if (!node)
        return 0;
    int h = (node->shape.h + 2 * pad - kernel) / stride + 1;
    int w = (node->shape.w + 2 * pad - kernel) / stride + 1;
    if (in % groups || out % groups || h < 1 || w < 1)
        misfit(graph, name);
    node->kernel = kernel;
    node->stride = stride;
    node->pad = pad;
    node->groups = groups;
    node->equal_channels = equal;
    node->shape = (struct shape){node->shape.n, out, h, w};
    declare(graph, 0, name, "weight", PARAM_WEIGHT, 4,
            (const int64_t[]){out, in / groups, kernel, kernel});
    if (bias)
        declare(graph, 1, name, "bias", PARAM_BIAS, 1, (const int64_t[]){out});
    return last(graph);
}

int graph_conv(struct graph *graph, int x, const char *name, int out, int kernel, int stride,
               int pad, int groups, bool bias)
{
    int in = failed(graph) ? groups : graph->nodes[x].shape.c;
    return conv(graph, x, in, false, name, out, kernel, stride, pad, groups, bias);
}

int graph_conv_equal(struct graph *graph, int x, int channels, const char *name, int out,
                     int kernel, int stride, int pad)
{
    return conv(graph, x, channels, true, name, out, kernel, stride, pad, 1, false);
}

int graph_deconv(struct graph *graph, int x, const char *name, int out, int factor)
{
    struct node *node = append(graph, OP_DECONV, 1, x, 0);
    if (!node)
        return 0;
    int in = node->shape.c;
    node->kernel = node->stride = factor;
    node->shape.c = out;
    node->shape.h *= factor;
    node->shape.w *= factor;
    declare(graph, 0, name, "weight", PARAM_WEIGHT, 4, (const int64_t[]){in, out, factor, factor});
    declare(graph, 1, name, "bias", PARAM_BIAS, 1, (const int64_t[]){out});
    return last(graph);
}

int graph_linear(struct graph *graph, int x, const char *name, int out)
{
    struct node *node = append(graph, OP_LINEAR, 1, x, 0);
    if (!node)
        return 0;
    int64_t in = (int64_t)node->shape.c * node->shape.h * node->shape.w;
    node->shape = (struct shape){node->shape.n, out, 1, 1};
    declare(graph, 0, name, "weight", PARAM_WEIGHT, 2, (const int64_t[]){out, in});
    declare(graph, 1, name, "bias", PARAM_BIAS, 1, (const int64_t[]){out});
    return last(graph);
}

int graph_norm(struct graph *graph, int x, const char *name, enum norm_mode mode)
{
    struct node *node = append(graph, OP_NORM, 1, x, 0);
    if (!node)
        return 0;
    node->norm = mode;
    const int64_t c[] = {node->shape.c};
    declare(graph, 0, name, "weight", PARAM_SCALE, 1, c);
    declare(graph, 1, name, "bias", PARAM_SHIFT, 1, c);
    declare(graph, 2, name, "running_mean", PARAM_BUFFER, 1, c);
    declare(graph, 3, name, "running_var", PARAM_BUFFER, 1, c);
    return last(graph);
}

int graph_relu(struct graph *graph, int x)
{
    append(graph, OP_RELU, 1, x, 0);
    return last(graph);
}

int graph_add(struct graph *graph, int a, int b)
{
    if (!failed(graph) &&
        memcmp(&graph->nodes[a].shape, &graph->nodes[b].shape, sizeof graph->nodes[a].shape) != 0)
        misfit(graph, "sum of unlike shapes");
    append(graph, OP_ADD, 2, a, b);
    return last(graph);
}

int graph_max_pool(struct graph *graph, int x, int kernel, int stride, int pad)
{
    struct node *node = append(graph, OP_MAX_POOL, 1, x, 0);
    if (node) {
        node->kernel = kernel;
        node->stride = stride;
        node->pad = pad;
        node->shape.h = (node->shape.h + 2 * pad - kernel) / stride + 1;
        node->shape.w = (node->shape.w + 2 * pad - kernel) / stride + 1;
        if (node->shape.h < 1 || node->shape.w < 1)
            misfit(graph, "pooling beyond the plane");
    }
    return last(graph);
}

int graph_lstm(struct graph *graph, int x, const char *name, int hidden)
{
    struct node *node = append(graph, OP_LSTM, 1, x, 0);
    if (!node)
        return 0;
    int64_t in = node->shape.c, gates = 4 * (int64_t)hidden;
    node->shape.c = hidden;
    declare(graph, 0, name, "weight_ih_l0", PARAM_WEIGHT, 2, (const int64_t[]){gates, in});
    declare(graph, 1, name, "weight_hh_l0", PARAM_WEIGHT, 2, (const int64_t[]){gates, hidden});
    declare(graph, 2, name, "bias_ih_l0", PARAM_BIAS, 1, &gates);
    declare(graph, 3, name, "bias_hh_l0", PARAM_BIAS, 1, &gates);
    return last(graph);
}

int graph_last_row(struct graph *graph, int x)
{
    struct node *node = append(graph, OP_LAST_ROW, 1, x, 0);
    if (node)
        node->shape.n = 1;
    return last(graph);
}

int graph_matmul(struct graph *graph, int a, int b, bool transpose_b)
{
    struct node *node = append(graph, OP_MATMUL, 2, a, b);
    if (!node)
        return 0;
    const struct shape *factor = &graph->nodes[b].shape;
    if (transpose_b && node->shape.c != factor->c)
        misfit(graph, "matrix product of unlike rows");
    node->transpose = transpose_b;
    node->shape.c = transpose_b ? factor->n : factor->c;
    return last(graph);
}

int graph_softmax(struct graph *graph, int x)
{
    append(graph, OP_SOFTMAX, 1, x, 0);
    return last(graph);
}

struct shape graph_shape(const struct graph *graph, int index, int n)
{
    const struct node *node = &graph->nodes[index];
    struct shape shape = node->shape;
    switch (node->kind) {
    case OP_INPUT:
        shape.n = n;
        break;
    case OP_LAST_ROW:
        shape.n = 1;
        break;
    case OP_MATMUL: {
        struct shape b = graph_shape(graph, node->input[1], n);
        shape = graph_shape(graph, node->input[0], n);
        shape.c = node->transpose ? b.n : b.c;
        break;
    }
    case OP_SOFTMAX:
    case OP_RELU:
        shape = graph_shape(graph, node->input[0], n);
        break;
    default:
        shape.n = graph_shape(graph, node->input[0], n).n;
    }
    return shape;
}

double graph_flops(const struct graph *graph, int n)
{
    double flops = 0;
    for (int i = 0; i < graph->count; i++) {
        const struct node *node = &graph->nodes[i];
        struct shape y = graph_shape(graph, i, n);
        double out = (double)y.n * y.c * y.h * y.w;
        const struct param *weight =
            node->param[0] >= 0 ? params_peek(graph->params, node->param[0]) : NULL;
        switch (node->kind) {
        case OP_CONV:
        case OP_LINEAR:
            flops += 2 * out * (double)(weight->count / weight->dim[0]);
            break;
        case OP_DECONV:
            flops += 2 * out * (double)weight->dim[0];
            break;
        case OP_LSTM:
            flops += 2.0 * y.n * (double)weight->dim[0] * (double)(weight->dim[1] + y.c);
            break;
        case OP_MATMUL:
            flops += 2 * out * graph_shape(graph, node->input[0], n).c;
            break;
        default:
            break;
        }
    }
    return flops;
}
