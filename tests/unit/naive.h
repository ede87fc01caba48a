/*
 * A graph evaluated in double, forwards and backwards, by the ops of naive_ops.h: what a plan's
 * results are compared with. Include in one test program.
 */
#ifndef ONESHOT_TESTS_NAIVE_H
#define ONESHOT_TESTS_NAIVE_H

#include "model/nn/params.h"
#include "tests/unit/naive_ops.h"

struct naive {
    const struct graph *graph;
    int batch;
    bool train_stats;
    double **value, **grad;       /* by node */
    double **extra;               /* by node: norm: mean, 1/std; LSTM: gates and cells */
    double **param, **param_grad; /* by parameter */
};

static inline struct task naive_task(struct naive *net, int index)
{
    const struct node *node = &net->graph->nodes[index];
    int a = node->input[0], b = node->input[1];
    struct task t = {
        .train_stats = net->train_stats,
        .node = node,
        .in = graph_shape(net->graph, a, net->batch),
        .out = graph_shape(net->graph, index, net->batch),
        .x = net->value[a],
        .b = net->value[b],
        .y = net->value[index],
        .dx = net->grad[a],
        .db = net->grad[b],
        .dy = net->grad[index],
        .extra = net->extra[index],
    };
    for (int k = 0; k < NODE_PARAMS; k++)
        if (node->param[k] >= 0) {
            t.p[k] = net->param[node->param[k]];
            t.dp[k] = net->param_grad[node->param[k]];
        }
    t.wide = node->equal_channels ? (int)params_peek(net->graph->params, node->param[0])->dim[1]
                                  : t.in.c;
    return t;
}

static inline void naive_forward(struct naive *net)
{
    for (int i = 0; i < net->graph->count; i++) {
        struct task t = naive_task(net, i);
        if (t.node->kind != OP_INPUT)
            naive_ops[t.node->kind].forward(&t);
    }
}

/* The caller has filled the outputs' gradients; all else starts at zero. */
static inline void naive_backward(struct naive *net)
{
    for (int i = net->graph->count - 1; i >= 0; i--) {
        struct task t = naive_task(net, i);
        if (t.node->kind != OP_INPUT)
            naive_ops[t.node->kind].backward(&t);
    }
}

static inline double *zeros(size_t count)
{
    return calloc(count ? count : 1, sizeof(double));
}

/* Takes the parameters' present values. */
static inline void naive_open(struct naive *net, const struct graph *graph, int batch,
                              bool train_stats)
{
    size_t nodes = (size_t)graph->count, params = (size_t)params_count(graph->params);
    *net = (struct naive){.graph = graph, .batch = batch, .train_stats = train_stats};
    net->value = calloc(nodes, sizeof *net->value);
    net->grad = calloc(nodes, sizeof *net->grad);
    net->extra = calloc(nodes, sizeof *net->extra);
    net->param = calloc(params + 1, sizeof *net->param);
    net->param_grad = calloc(params + 1, sizeof *net->param_grad);
    for (int i = 0; i < graph->count; i++) {
        size_t count = shape_count(graph_shape(graph, i, batch));
        net->value[i] = zeros(count);
        net->grad[i] = zeros(count);
        net->extra[i] = zeros(5 * count + 2 * (size_t)graph->nodes[i].shape.c);
    }
    for (int i = 0; i < (int)params; i++) {
        const struct param *p = params_peek(graph->params, i);
        net->param[i] = zeros((size_t)p->count);
        net->param_grad[i] = zeros((size_t)p->count);
        for (int64_t k = 0; k < p->count; k++)
            net->param[i][k] = (double)p->value[k];
    }
}

static inline void naive_close(struct naive *net)
{
    for (int i = 0; i < net->graph->count; i++) {
        free(net->value[i]);
        free(net->grad[i]);
        free(net->extra[i]);
    }
    for (int i = 0; i < params_count(net->graph->params); i++) {
        free(net->param[i]);
        free(net->param_grad[i]);
    }
    free(net->value);
    free(net->grad);
    free(net->extra);
    free(net->param);
    free(net->param_grad);
}

#endif
