/*
 * nn/op_*: every op of the table, alone and among the neighbours it is fused with, in the shapes
 * the network has and in odd ones: values, gradients of inputs and parameters, running statistics.
 *
 * What is right is computed by naive_ops.h, whose gradients are themselves compared with central
 * differences.
 */
#include <omp.h>

#include "model/nn/compile.h"
#include "model/nn/passes.h"
#include "tests/unit/plan_check.h"
#include "tests/unit/run.h"

enum {
    BIAS = 1,
    EQUAL = 2,            /* conv: three equal input channels */
    TRANSPOSE = 4,        /* matmul */
    LAST = 8,             /* channels last at both ends */
    LEAD = 16,            /* a convolution or linear layer before the op */
    TRAIL = 32,           /* and one behind it */
    BATCH = 64,           /* a norm by the batch behind the op */
    RUNNING = 128,        /* a norm by stored statistics behind the op */
    ADD_INPUT = 256,      /* then the op's input is added, */
    ADD_BEFORE = 512,     /* or a projection described before the op, */
    ADD_AFTER = 1024,     /* or one described after it */
    RELU = 2048,          /* then a ReLU */
    NORM_LAST = 4096,     /* ReLU first, then the norm */
    SECOND_READER = 8192, /* the op's own value is an output as well */
    UPSAMPLED = 16384     /* a transposed convolution by two before the op */
};

struct example {
    enum op_kind kind;
    int batch, c, h, w;
    int out, kernel, stride, pad, groups; /* what the kind needs of these */
    unsigned flags;
};

static const struct example examples[] = {
    /* Convolutions as in the network: 1x1, 3x3 (by Winograd where it pays), stem, strides. */
    {OP_CONV, 1, 16, 7, 9, 32, 1, 1, 0, 1, 0},
    {OP_CONV, 2, 16, 13, 11, 16, 3, 1, 1, 1, BIAS | RELU | LAST},
    {OP_CONV, 3, 64, 14, 14, 64, 3, 1, 1, 1, BIAS | LAST},
    {OP_CONV, 2, 32, 14, 14, 32, 3, 1, 1, 1, RUNNING | ADD_INPUT | RELU | LEAD | TRAIL},
    {OP_CONV, 1, 30, 15, 13, 120, 3, 2, 1, 1, BIAS | LAST},
    {OP_CONV, 1, 3, 21, 19, 64, 7, 2, 3, 1, RUNNING | RELU},
    {OP_CONV, 1, 1, 22, 25, 64, 7, 2, 3, 1, EQUAL | RUNNING | RELU},
    {OP_CONV, 2, 1, 22, 25, 48, 7, 2, 3, 1, EQUAL | BATCH | RELU},
    {OP_CONV, 1, 1, 9, 9, 5, 3, 1, 1, 1, EQUAL},
    {OP_CONV, 8, 32, 7, 7, 32, 7, 1, 0, 1, BIAS | RELU | NORM_LAST | BATCH},
    {OP_CONV, 8, 32, 7, 7, 32, 7, 1, 0, 1, BIAS | RELU | NORM_LAST | RUNNING},
    {OP_CONV, 4, 32, 14, 14, 16, 2, 2, 0, 1, BIAS | RUNNING | RELU | LAST},
    {OP_CONV, 1, 64, 9, 9, 96, 1, 2, 0, 1, RUNNING},
    {OP_CONV, 1, 48, 16, 16, 30, 1, 1, 0, 1, BIAS | LAST | LEAD},
    {OP_CONV, 1, 48, 16, 16, 120, 1, 1, 0, 1, BIAS | LAST},
    {OP_CONV, 2, 16, 28, 28, 4, 1, 1, 0, 1, BIAS | LAST},
    {OP_CONV, 2, 5, 6, 5, 7, 3, 1, 1, 1, BIAS | RELU},
    {OP_CONV, 1, 1, 5, 6, 1, 3, 1, 1, 1, BIAS},
    /* By tiles of 4x4, gradients as well. */
    {OP_CONV, 2, 32, 23, 22, 64, 3, 1, 1, 1, BIAS | RELU | LEAD | TRAIL},
    {OP_CONV, 5, 32, 14, 14, 32, 3, 1, 1, 1, BIAS | LAST},
    {OP_CONV, 1, 32, 32, 30, 32, 3, 1, 1, 1, RUNNING | ADD_INPUT | RELU},
    {OP_CONV, 1, 32, 32, 30, 32, 3, 1, 1, 1, BATCH | ADD_BEFORE | RELU | LEAD},
    /* Wide ones on small planes. */
    {OP_CONV, 1, 352, 4, 2, 352, 3, 1, 1, 1, RUNNING | ADD_INPUT | RELU | LAST},
    {OP_CONV, 1, 400, 2, 2, 300, 3, 1, 1, 1, BIAS},
    /* Groups: 4, 8, 16 and 32 channels in each; odd ones. */
    {OP_CONV, 1, 128, 9, 9, 128, 3, 1, 1, 32, RUNNING | RELU | LEAD | TRAIL},
    {OP_CONV, 1, 128, 9, 11, 128, 3, 2, 1, 32, BATCH | RELU | LEAD | TRAIL},
    {OP_CONV, 2, 64, 8, 7, 64, 3, 1, 1, 8, RUNNING | RELU | LEAD},
    {OP_CONV, 1, 64, 9, 9, 64, 3, 2, 1, 8, LAST},
    {OP_CONV, 1, 64, 9, 8, 64, 3, 1, 1, 4, BATCH | RELU | LEAD | TRAIL},
    {OP_CONV, 1, 128, 7, 7, 128, 3, 2, 1, 4, RUNNING | LEAD},
    {OP_CONV, 2, 12, 5, 5, 18, 3, 1, 1, 3, BIAS | RELU},
    /* Groups by tiles of 4x4: 4, 8, 16, 32 and 64 channels in each, alone and side by side. */
    {OP_CONV, 1, 64, 18, 15, 64, 3, 1, 1, 16, RUNNING | RELU | LEAD},
    {OP_CONV, 1, 64, 18, 15, 64, 3, 1, 1, 8, RUNNING | RELU},
    {OP_CONV, 1, 96, 9, 17, 96, 3, 1, 1, 6, BATCH | RELU | LEAD | TRAIL},
    {OP_CONV, 1, 96, 9, 17, 96, 3, 1, 1, 3, RUNNING | RELU | LEAD | TRAIL},
    {OP_CONV, 2, 128, 6, 5, 128, 3, 1, 1, 2, RUNNING | ADD_INPUT | RELU},
    {OP_CONV, 1, 64, 9, 11, 64, 3, 2, 1, 16, RUNNING | RELU | LEAD | TRAIL},
    {OP_CONV, 1, 64, 9, 11, 64, 3, 2, 1, 2, BATCH | RELU | LEAD | TRAIL},
    /* Residual sums, on either side of what they meet. */
    {OP_CONV, 1, 32, 10, 9, 32, 3, 1, 1, 1, RUNNING | ADD_BEFORE | RELU | TRAIL},
    {OP_CONV, 1, 32, 10, 9, 32, 3, 1, 1, 1, RUNNING | ADD_AFTER | RELU | LAST},
    {OP_CONV, 1, 32, 10, 9, 32, 3, 1, 1, 1, BATCH | ADD_BEFORE | RELU | LEAD | TRAIL},
    {OP_CONV, 1, 32, 10, 9, 32, 3, 1, 1, 1, BATCH | ADD_AFTER | RELU},
    {OP_CONV, 1, 20, 10, 9, 20, 1, 1, 0, 1, ADD_INPUT},
    {OP_CONV, 1, 16, 10, 9, 16, 1, 1, 0, 1, ADD_INPUT | RELU | LAST},
    {OP_CONV, 1, 32, 6, 6, 32, 3, 1, 1, 1, BATCH | ADD_INPUT | RELU | SECOND_READER | LEAD},
    {OP_CONV, 1, 32, 6, 6, 32, 3, 1, 1, 1, RUNNING | ADD_INPUT | RELU | SECOND_READER},
    /* Transposed convolutions. */
    {OP_DECONV, 2, 32, 7, 7, 32, 2, 0, 0, 0, RELU | LAST},
    {OP_DECONV, 2, 32, 7, 5, 16, 2, 0, 0, 0, LEAD | TRAIL},
    {OP_DECONV, 1, 20, 5, 3, 30, 2, 0, 0, 0, RELU | LEAD},
    {OP_DECONV, 1, 7, 4, 5, 3, 3, 0, 0, 0, BATCH | RELU},
    {OP_DECONV, 1, 16, 1, 1, 24, 2, 0, 0, 0, RUNNING},
    /* What gathers or filters a transposed convolution: merged with it where it can be. */
    {OP_CONV, 2, 16, 7, 7, 32, 2, 2, 0, 1, UPSAMPLED | BIAS | RELU | NORM_LAST | RUNNING},
    {OP_CONV, 2, 16, 7, 6, 20, 2, 2, 0, 1, UPSAMPLED | LAST},
    {OP_CONV, 1, 16, 7, 7, 32, 2, 2, 0, 1, UPSAMPLED | RUNNING | RELU | LEAD},
    {OP_CONV, 1, 24, 4, 4, 32, 2, 2, 0, 1, UPSAMPLED | BIAS | SECOND_READER},
    {OP_UPCONV, 3, 32, 14, 14, 32, 3, 1, 1, 1, BIAS | RELU | LAST | LEAD},
    {OP_UPCONV, 1, 96, 6, 4, 32, 3, 1, 1, 1, BIAS | TRAIL},
    {OP_UPCONV, 2, 32, 2, 2, 64, 3, 1, 1, 1, RUNNING | RELU},
    {OP_UPCONV, 2, 32, 4, 10, 32, 3, 1, 1, 1, BATCH},
    {OP_UPCONV, 2, 32, 7, 5, 32, 3, 1, 1, 1, BIAS | RELU}, /* odd: stays two ops */
    {OP_UPCONV, 2, 32, 4, 6, 20, 3, 1, 1, 1, BIAS | RELU}, /* so do few channels */
    /* Linear layers: behind RoIs in either layout, behind each other, few outputs. */
    {OP_LINEAR, 5, 16, 7, 7, 48, 0, 0, 0, 0, RELU | LAST | TRAIL},
    {OP_LINEAR, 5, 16, 7, 7, 48, 0, 0, 0, 0, RELU},
    {OP_LINEAR, 3, 30, 4, 5, 20, 0, 0, 0, 0, LEAD},
    {OP_LINEAR, 60, 128, 1, 1, 4, 0, 0, 0, 0, LEAD},
    {OP_LINEAR, 1, 32, 1, 1, 3, 0, 0, 0, 0, RELU},
    {OP_LINEAR, 16, 24, 1, 1, 16, 0, 0, 0, 0, ADD_BEFORE | RELU},
    /* Norms of their own. */
    {OP_NORM, 1, 16, 9, 7, 0, 0, 0, 0, 0, BATCH | LAST},
    {OP_NORM, 3, 30, 5, 5, 0, 0, 0, 0, 0, BATCH | RELU},
    {OP_NORM, 16, 32, 1, 1, 0, 0, 0, 0, 0, BATCH},
    {OP_NORM, 2, 1, 6, 6, 0, 0, 0, 0, 0, BATCH},
    {OP_NORM, 2, 120, 4, 3, 0, 0, 0, 0, 0, RUNNING | RELU | LEAD | TRAIL},
    {OP_NORM, 2, 4, 33, 40, 0, 0, 0, 0, 0, RUNNING | ADD_INPUT | RELU},
    {OP_NORM, 2, 20, 33, 40, 0, 0, 0, 0, 0, BATCH | ADD_INPUT | RELU | LEAD},
    /* What could not be fused. */
    {OP_RELU, 2, 18, 5, 7, 0, 0, 0, 0, 0, LAST},
    {OP_RELU, 1, 16, 5, 7, 0, 0, 0, 0, 0, SECOND_READER | LEAD | TRAIL},
    {OP_ADD, 2, 18, 5, 7, 0, 0, 0, 0, 0, RELU},
    {OP_ADD, 1, 20, 5, 7, 0, 0, 0, 0, 0, RELU | LEAD | TRAIL},
    {OP_ADD, 1, 16, 5, 7, 0, 0, 0, 0, 0, LAST},
    /* Pooling. */
    {OP_MAX_POOL, 1, 32, 16, 16, 0, 3, 2, 1, 0, LEAD | TRAIL},
    {OP_MAX_POOL, 2, 20, 11, 14, 0, 3, 2, 1, 0, LEAD},
    {OP_MAX_POOL, 1, 3, 9, 9, 0, 3, 2, 1, 0, 0},
    {OP_MAX_POOL, 1, 6, 8, 9, 0, 2, 2, 0, 0, LAST | SECOND_READER},
    /* Sequences of 1, 2 and 16. */
    {OP_LSTM, 1, 24, 1, 1, 16, 0, 0, 0, 0, 0},
    {OP_LSTM, 2, 16, 1, 1, 24, 0, 0, 0, 0, LEAD | TRAIL},
    {OP_LSTM, 16, 32, 1, 1, 32, 0, 0, 0, 0, LEAD | TRAIL},
    {OP_LSTM, 16, 30, 1, 1, 7, 0, 0, 0, 0, 0},
    {OP_LAST_ROW, 16, 24, 1, 1, 0, 0, 0, 0, 0, 0},
    {OP_LAST_ROW, 1, 24, 1, 1, 0, 0, 0, 0, 0, LEAD | TRAIL},
    {OP_LAST_ROW, 5, 3, 1, 1, 0, 0, 0, 0, 0, SECOND_READER},
    {OP_MATMUL, 16, 24, 1, 1, 0, 0, 0, 0, 0, TRANSPOSE},
    {OP_MATMUL, 3, 7, 1, 1, 0, 0, 0, 0, 0, TRANSPOSE | LEAD},
    {OP_MATMUL, 16, 16, 1, 1, 24, 0, 0, 0, 0, 0},
    {OP_MATMUL, 2, 2, 1, 1, 5, 0, 0, 0, 0, LEAD | TRAIL},
    {OP_SOFTMAX, 1, 16, 1, 1, 0, 0, 0, 0, 0, 0},
    {OP_SOFTMAX, 7, 5, 1, 1, 0, 0, 0, 0, 0, LEAD | TRAIL},
};

enum { EXAMPLES = sizeof examples / sizeof *examples };

/* ---- from an example to a graph ---- */

static bool rows_only(const struct example *e)
{
    return e->kind == OP_LSTM || e->kind == OP_LAST_ROW || e->kind == OP_MATMUL ||
           e->kind == OP_SOFTMAX || (e->h == 1 && e->w == 1 && e->kind == OP_LINEAR);
}

static int neighbour(struct graph *g, const struct example *e, int x, const char *name)
{
    int c = g->nodes[x].shape.c;
    return rows_only(e) || e->kind == OP_LINEAR ? graph_linear(g, x, name, c)
                                                : graph_conv(g, x, name, c, 1, 1, 0, 1, true);
}

static int norm_mode(const struct example *e)
{
    return e->flags & BATCH ? NORM_BATCH : NORM_RUNNING;
}

static int build_op(struct graph *g, const struct example *e, int x)
{
    int other;
    enum layout layout = e->flags & LAST ? LAYOUT_NHWC : LAYOUT_NCHW;
    switch (e->kind) {
    case OP_UPCONV:
    case OP_CONV:
        if (e->kind == OP_UPCONV || e->flags & UPSAMPLED)
            x = graph_deconv(g, x, "up", e->c + 3, 2);
        if (e->flags & EQUAL)
            return graph_conv_equal(g, x, 3, "op", e->out, e->kernel, e->stride, e->pad);
        return graph_conv(g, x, "op", e->out, e->kernel, e->stride, e->pad, e->groups,
                          e->flags & BIAS);
    case OP_DECONV:
        return graph_deconv(g, x, "op", e->out, e->kernel);
    case OP_LINEAR:
        return graph_linear(g, x, "op", e->out);
    case OP_NORM:
        return graph_norm(g, x, "op", norm_mode(e));
    case OP_RELU:
        return graph_relu(g, x);
    case OP_ADD:
        other = graph_input(g, e->c, e->h, e->w, layout);
        return graph_add(g, x, other);
    case OP_MAX_POOL:
        return graph_max_pool(g, x, e->kernel, e->stride, e->pad);
    case OP_LSTM:
        return graph_lstm(g, x, "op", e->out);
    case OP_LAST_ROW:
        return graph_last_row(g, x);
    case OP_MATMUL:
        other = graph_input(g, e->out ? e->out : e->c, 1, 1, LAYOUT_NCHW);
        return graph_matmul(g, x, other, e->flags & TRANSPOSE);
    case OP_SOFTMAX:
        return graph_softmax(g, x);
    default:
        return -1;
    }
}

static int build_projection(struct graph *g, const struct example *e, int x)
{
    return rows_only(e)
               ? graph_linear(g, x, "projection", e->out)
               : graph_conv(g, x, "projection", e->out, e->kernel, e->stride, e->pad, 1, true);
}

static void build(struct rig *rig, const struct example *e)
{
    struct graph *g = &rig->graph;
    enum layout layout = e->flags & LAST ? LAYOUT_NHWC : LAYOUT_NCHW;
    int x = graph_input(g, e->c, e->h, e->w, layout), shortcut = -1, y;
    if (e->flags & LEAD)
        x = rows_only(e) ? graph_linear(g, x, "lead", e->c)
                         : graph_conv(g, x, "lead", e->c, 1, 1, 0, 1, true);
    if (e->flags & ADD_INPUT)
        shortcut = x;
    if (e->flags & ADD_BEFORE)
        shortcut = build_projection(g, e, x);
    y = build_op(g, e, x);
    if (e->flags & SECOND_READER)
        rig_output(rig, y, LAYOUT_NCHW);
    if (e->flags & NORM_LAST)
        y = graph_relu(g, y);
    if (e->flags & (BATCH | RUNNING) && e->kind != OP_NORM)
        y = graph_norm(g, y, "norm", norm_mode(e));
    if (e->flags & ADD_AFTER)
        shortcut = build_projection(g, e, x);
    if (shortcut >= 0)
        y = graph_add(g, shortcut, y);
    if (e->flags & RELU && !(e->flags & NORM_LAST))
        y = graph_relu(g, y);
    if (e->flags & TRAIL)
        y = neighbour(g, e, y, "trail");
    if (!(e->flags & SECOND_READER) || y != rig->output[0].node)
        rig_output(rig, y, layout);
}

static void describe(char *out, size_t size, const struct example *e, unsigned flags)
{
    snprintf(out, size, "example %d (%s, %d x (%d, %d, %d), flags %#x), plan %u",
             (int)(e - examples), ops[e->kind]->name, e->batch, e->c, e->h, e->w, e->flags, flags);
}

/* ---- tests ---- */

/* Which ops an example's plan for inference is made of: merging makes ops of its own. */
static void count_ops(int count[OP_KINDS], const struct example *e)
{
    struct rig rig;
    struct node nodes[16];
    bool pinned[16] = {false};
    rig_open(&rig);
    build(&rig, e);
    ck_assert_int_lt(rig.graph.count, 16);
    memcpy(nodes, rig.graph.nodes, (size_t)rig.graph.count * sizeof *nodes);
    for (int i = 0; i < rig.outputs; i++)
        pinned[rig.output[i].node] = true;
    passes_apply(nodes, rig.graph.count, pinned, true);
    for (int i = 0; i < rig.graph.count; i++)
        count[nodes[i].kind] += !nodes[i].dead && nodes[i].alias < 0;
    rig_close(&rig);
}

START_TEST(every_op_has_examples)
{
    int count[OP_KINDS] = {0};
    for (int i = 0; i < EXAMPLES; i++)
        count_ops(count, &examples[i]);
    ck_assert_ptr_null(ops[OP_INPUT]);
    for (int kind = OP_INPUT + 1; kind < OP_KINDS; kind++)
        ck_assert_msg(ops[kind] && count[kind] > 0, "no example of op %d", kind);
}
END_TEST

/* Inference, evaluation with gradients, training, and statistics alone. */
static const unsigned plans[] = {0, PLAN_GRAD_INPUT | PLAN_GRAD_PARAMS,
                                 PLAN_TRAIN_STATS | PLAN_GRAD_INPUT | PLAN_GRAD_PARAMS,
                                 PLAN_TRAIN_STATS};

START_TEST(values_and_gradients_are_right)
{
    const struct example *e = &examples[_i];
    char what[160];
    struct rig rig;
    omp_set_num_threads(1 + _i % 2);
    rig_open(&rig);
    build(&rig, e);
    rig_fill(&rig, 1000 + (uint64_t)_i);
    for (size_t k = 0; k < sizeof plans / sizeof *plans; k++) {
        describe(what, sizeof what, e, plans[k]);
        rig_check(&rig, what, e->batch, plans[k]);
    }
    if (getenv("ONESHOT_TEST_VERBOSE"))
        printf("%-90s values %.1e gradients %.1e\n", what, rig.worst_value, rig.worst_grad);
    rig_close(&rig);
}
END_TEST

/* ---- the second opinion, by central differences ---- */

static double objective(struct naive *net, const struct rig *rig, double *const *weights)
{
    double sum = 0;
    naive_forward(net);
    for (int i = 0; i < rig->outputs; i++) {
        int node = rig->output[i].node;
        for (size_t j = 0; j < shape_count(graph_shape(net->graph, node, net->batch)); j++)
            sum += net->value[node][j] * weights[i][j];
    }
    return sum;
}

/* First, middle and last element of a tensor. */
static void check_differences(struct naive *net, const struct rig *rig, double *const *weights,
                              double *values, const double *grads, size_t count, const char *what)
{
    for (size_t sample = 0; sample < 3; sample++) {
        size_t k = (count - 1) * sample / 2;
        double before = values[k], step = 1e-5;
        values[k] = before + step;
        double up = objective(net, rig, weights);
        values[k] = before - step;
        double down = objective(net, rig, weights);
        values[k] = before;
        double slope = (up - down) / (2 * step);
        ck_assert_msg(fabs(slope - grads[k]) <= 1e-6 * fmax(1, fabs(slope)),
                      "%s: slope %.9g, gradient %.9g", what, slope, grads[k]);
    }
}

static void check_second_opinion(const struct example *e, bool train_stats)
{
    char what[160];
    struct rig rig;
    struct naive net;
    double *weights[RIG_OUTPUTS] = {NULL};
    unsigned state = 9;
    describe(what, sizeof what, e, train_stats);
    rig_open(&rig);
    build(&rig, e);
    rig_fill(&rig, 3000);
    naive_open(&net, &rig.graph, e->batch, train_stats);
    for (int i = 0; i < rig.graph.count; i++)
        if (rig.graph.nodes[i].kind == OP_INPUT)
            rig_noise(net.value[i], shape_count(graph_shape(&rig.graph, i, e->batch)), &state);
    naive_forward(&net);
    for (int i = 0; i < rig.outputs; i++) {
        int node = rig.output[i].node;
        size_t count = shape_count(graph_shape(&rig.graph, node, e->batch));
        weights[i] = zeros(count);
        rig_noise(weights[i], count, &state);
        memcpy(net.grad[node], weights[i], count * sizeof **weights);
    }
    naive_backward(&net);
    for (int i = 0; i < rig.graph.count; i++)
        if (rig.graph.nodes[i].kind == OP_INPUT)
            check_differences(&net, &rig, weights, net.value[i], net.grad[i],
                              shape_count(graph_shape(&rig.graph, i, e->batch)), what);
    for (int i = 0; i < params_count(rig.params); i++)
        if (params_peek(rig.params, i)->role != PARAM_BUFFER)
            check_differences(&net, &rig, weights, net.param[i], net.param_grad[i],
                              (size_t)params_peek(rig.params, i)->count, what);
    for (int i = 0; i < rig.outputs; i++)
        free(weights[i]);
    naive_close(&net);
    rig_close(&rig);
}

/* Multiply-adds of an example's op, about. */
static double work(const struct example *e)
{
    double area = (double)e->batch * e->h * e->w;
    return area * e->c * (e->out ? e->out : 1) * (e->kernel ? e->kernel * e->kernel : 1);
}

START_TEST(the_second_opinion_is_right)
{
    int checked[OP_KINDS] = {0};
    for (int i = 0; i < EXAMPLES; i++)
        if (work(&examples[i]) < 3e5) {
            checked[examples[i].kind]++;
            check_second_opinion(&examples[i], false);
            check_second_opinion(&examples[i], true);
        }
    for (int kind = OP_INPUT + 1; kind < OP_KINDS; kind++)
        ck_assert_msg(checked[kind] > 0, "no small example of op %d", kind);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("ops");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, every_op_has_examples);
    tcase_add_test(tc, the_second_opinion_is_right);
    tcase_add_loop_test(tc, values_and_gradients_are_right, 0, EXAMPLES);
    return run_case_here("ops", tc);
}
