/*
 * Compiles a graph, runs it forwards and backwards, and compares every output, every gradient and
 * every running statistic with naive.h. Include in one test program.
 *
 *     struct rig rig;
 *     rig_open(&rig);
 *     int x = graph_input(&rig.graph, ...);
 *     rig_output(&rig, graph_relu(&rig.graph, x), LAYOUT_NCHW);
 *     rig_check(&rig, "a ReLU", 2, PLAN_GRAD_INPUT);
 *     rig_close(&rig);
 */
#ifndef ONESHOT_TESTS_PLAN_CHECK_H
#define ONESHOT_TESTS_PLAN_CHECK_H

#include <check.h>
#include <stdio.h>

#include "model/nn/plan.h"
#include "tests/unit/naive.h"

/*
 * Allowed deviations, relative to a tensor's largest magnitude. Gradients have an absolute floor:
 * a bias before a norm by the batch has a true gradient of zero.
 */
#define VALUE_TOLERANCE 1e-5
#define GRAD_TOLERANCE 5e-5
#define GRAD_FLOOR 0.1

enum { RIG_OUTPUTS = 4 };

struct rig {
    struct params *params;
    struct graph graph;
    struct plan_output output[RIG_OUTPUTS];
    int outputs;
    enum param_fate (*fate)(const char *name, const void *context); /* NULL: all train */
    double worst_value, worst_grad;                                 /* of all checks so far */
};

static inline void rig_open(struct rig *rig)
{
    struct error err;
    memset(rig, 0, sizeof *rig);
    ck_assert_int_eq(params_create(&rig->params, &err), 0);
    graph_init(&rig->graph, rig->params);
}

static inline void rig_close(struct rig *rig)
{
    graph_free(&rig->graph);
    params_free(rig->params);
}

static inline void rig_output(struct rig *rig, int node, enum layout layout)
{
    ck_assert_int_lt(rig->outputs, RIG_OUTPUTS);
    rig->output[rig->outputs++] = (struct plan_output){node, layout};
}

/* Call after the description is complete: parameters get values and gradients. */
static inline void rig_fill(struct rig *rig, uint64_t seed)
{
    struct error err = {.text = ""};
    ck_assert_msg(graph_finish(&rig->graph, &err) == 0, "%s", err.text);
    ck_assert_int_eq(params_fill(rig->params, seed, &err), 0);
    ck_assert_int_eq(params_enable_grad(rig->params, &err), 0);
}

/* [-1, 1), float values in double. */
static inline void rig_noise(double *out, size_t count, unsigned *state)
{
    for (size_t i = 0; i < count; i++) {
        *state = *state * 1664525u + 1013904223u;
        out[i] = (double)((float)(*state >> 8) / (float)(1 << 23) - 1);
    }
}

/* Where (n, c, h, w) number i lies in a layout. */
static inline size_t laid_out(struct shape s, enum layout layout, size_t i)
{
    if (layout == LAYOUT_NCHW)
        return i;
    size_t plane = (size_t)s.h * (size_t)s.w, c = i / plane % (size_t)s.c;
    size_t n = i / plane / (size_t)s.c;
    return (n * plane + i % plane) * (size_t)s.c + c;
}

static inline void to_layout(float *out, const double *in, struct shape s, enum layout layout)
{
    for (size_t i = 0; i < shape_count(s); i++)
        out[laid_out(s, layout, i)] = (float)in[i];
}

static inline double deviation_in(const float *ours, const double *right, struct shape s,
                                  enum layout layout, double floor)
{
    double largest = floor, worst = 0;
    for (size_t i = 0; i < shape_count(s); i++) {
        double d = fabs((double)ours[laid_out(s, layout, i)] - right[i]);
        worst = d <= worst ? worst : isnan(d) ? INFINITY : d;
        largest = fmax(largest, fabs(right[i]));
    }
    return largest > 0 ? worst / largest : worst;
}

static inline struct shape flat(int64_t count)
{
    return (struct shape){1, 1, 1, (int)count};
}

static inline void rig_expect(struct rig *rig, const char *what, const char *tensor, bool gradient,
                              double deviation)
{
    double *worst = gradient ? &rig->worst_grad : &rig->worst_value;
    *worst = fmax(*worst, deviation);
    ck_assert_msg(deviation <= (gradient ? GRAD_TOLERANCE : VALUE_TOLERANCE),
                  "%s: %s deviates by %.2g", what, tensor, deviation);
}

static inline bool rig_trains(const struct rig *rig, const struct param *param, unsigned flags)
{
    return flags & PLAN_GRAD_PARAMS && param->role != PARAM_BUFFER &&
           (!rig->fate || rig->fate(param->name, NULL) == PARAM_TRAINS);
}

/* Gradients are added to what was there; here that is one quarter everywhere. */
static inline void rig_seed_grads(const struct rig *rig)
{
    for (int i = 0; i < params_count(rig->params); i++) {
        struct param *p = params_at(rig->params, i);
        for (int64_t k = 0; k < p->count && p->grad; k++)
            p->grad[k] = 0.25f;
    }
}

static inline void rig_compare_params(struct rig *rig, const char *what, const struct naive *net,
                                      unsigned flags)
{
    for (int i = 0; i < params_count(rig->params); i++) {
        struct param *p = params_at(rig->params, i);
        if (p->role == PARAM_BUFFER) {
            rig_expect(rig, what, p->name, false,
                       deviation_in(p->value, net->param[i], flat(p->count), LAYOUT_NCHW, 0));
        } else if (rig_trains(rig, p, flags)) {
            for (int64_t k = 0; k < p->count; k++)
                net->param_grad[i][k] += 0.25;
            rig_expect(
                rig, what, p->name, true,
                deviation_in(p->grad, net->param_grad[i], flat(p->count), LAYOUT_NCHW, GRAD_FLOOR));
        } else {
            int64_t touched = 0;
            for (int64_t k = 0; k < p->count; k++)
                touched += p->grad[k] != 0.25f;
            ck_assert_msg(touched == 0, "%s: %s was not to be trained", what, p->name);
        }
    }
}

static inline void rig_compare_outputs(struct rig *rig, const char *what, const struct naive *net,
                                       const struct run *run)
{
    char name[32];
    for (int i = 0; i < rig->outputs; i++) {
        int node = rig->output[i].node;
        struct shape s = graph_shape(&rig->graph, node, net->batch);
        snprintf(name, sizeof name, "output %d", i);
        ck_assert_ptr_nonnull(run_value(run, node));
        rig_expect(
            rig, what, name, false,
            deviation_in(run_value(run, node), net->value[node], s, rig->output[i].layout, 0));
    }
}

static inline void rig_backward(struct rig *rig, const char *what, struct naive *net,
                                struct run *run, unsigned flags)
{
    struct error err = {.text = ""};
    unsigned state = 77;
    for (int i = 0; i < rig->outputs; i++) {
        int node = rig->output[i].node;
        struct shape s = graph_shape(&rig->graph, node, net->batch);
        rig_noise(net->grad[node], shape_count(s), &state);
        if (run_grad(run, node))
            to_layout(run_grad(run, node), net->grad[node], s, rig->output[i].layout);
    }
    rig_seed_grads(rig);
    ck_assert_msg(run_backward(run, &err) == 0, "%s: %s", what, err.text);
    naive_backward(net);
    for (int i = 0; i < rig->graph.count && flags & PLAN_GRAD_INPUT; i++) {
        const struct node *node = &rig->graph.nodes[i];
        if (node->kind == OP_INPUT && run_grad(run, i))
            rig_expect(rig, what, "an input's gradient", true,
                       deviation_in(run_grad(run, i), net->grad[i],
                                    graph_shape(&rig->graph, i, net->batch), node->layout,
                                    GRAD_FLOOR));
    }
}

/* Values in inputs of both; the same for the same graph. */
static inline void rig_inputs(const struct rig *rig, struct naive *net, const struct run *run)
{
    unsigned state = 5;
    for (int i = 0; i < rig->graph.count; i++) {
        const struct node *node = &rig->graph.nodes[i];
        struct shape s = graph_shape(&rig->graph, i, net->batch);
        if (node->kind != OP_INPUT)
            continue;
        rig_noise(net->value[i], shape_count(s), &state);
        to_layout(run_value(run, i), net->value[i], s, node->layout);
    }
}

/* Everything a plan of these flags promises. */
static inline void rig_check(struct rig *rig, const char *what, int batch, unsigned flags)
{
    struct error err = {.text = ""};
    struct naive net;
    struct plan *plan = NULL;
    struct run *run = NULL;
    const struct plan_options options = {.batch = batch, .flags = flags, .fate = rig->fate};
    ck_assert_msg(plan_compile(&plan, &rig->graph, rig->output, rig->outputs, &options, &err) == 0,
                  "%s: %s", what, err.text);
    ck_assert_msg(run_open(&run, plan, NULL, &err) == 0, "%s: %s", what, err.text);
    naive_open(&net, &rig->graph, batch, flags & PLAN_TRAIN_STATS);
    rig_inputs(rig, &net, run);
    ck_assert_msg(run_forward(run, &err) == 0, "%s: %s", what, err.text);
    if (!(flags & PLAN_TRAIN_STATS)) /* a second run finds the inputs as they were */
        ck_assert_int_eq(run_forward(run, &err), 0);
    naive_forward(&net);
    rig_compare_outputs(rig, what, &net, run);
    rig_seed_grads(rig);
    if (flags & (PLAN_GRAD_INPUT | PLAN_GRAD_PARAMS))
        rig_backward(rig, what, &net, run, flags);
    rig_compare_params(rig, what, &net, flags);
    naive_close(&net);
    run_close(run);
    plan_free(plan);
}

#endif
