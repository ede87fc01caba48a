/* nn/plan, nn/run: what gets gradients, how runs share memory, how packed weights follow. */
#include <omp.h>

#include "tests/unit/oom.h"
#include "tests/unit/plan_check.h"
#include "tests/unit/run.h"

enum { EVALUATE = PLAN_GRAD_INPUT | PLAN_GRAD_PARAMS };

/* ---- gradients ---- */

START_TEST(readers_of_one_value_add_their_gradients)
{
    struct rig rig;
    rig_open(&rig);
    struct graph *g = &rig.graph;
    int x = graph_input(g, 16, 8, 8, LAYOUT_NHWC);
    int y = graph_relu(g, graph_conv(g, x, "conv", 16, 3, 1, 1, 1, true));
    int a = graph_conv(g, y, "a", 16, 1, 1, 0, 1, true);
    int b = graph_conv(g, y, "b", 16, 3, 1, 1, 16, true);
    int c = graph_max_pool(g, y, 2, 2, 0);
    rig_output(&rig, graph_add(g, a, b), LAYOUT_NCHW);
    rig_output(&rig, c, LAYOUT_NHWC);
    rig_output(&rig, graph_add(g, y, y), LAYOUT_NCHW);
    rig_output(&rig, y, LAYOUT_NCHW);
    rig_fill(&rig, 3);
    rig_check(&rig, "a value with five readers", 2, EVALUATE);
    rig_check(&rig, "a value with five readers", 2, 0);
    rig_close(&rig);
}
END_TEST

START_TEST(nodes_of_one_weight_add_their_gradients)
{
    struct rig rig;
    rig_open(&rig);
    struct graph *g = &rig.graph;
    int x = graph_input(g, 16, 8, 8, LAYOUT_NCHW);
    for (int i = 0; i < 3; i++) {
        x = graph_conv(g, x, "same", 16, 3, 1, 1, 1, true);
        x = graph_relu(g, graph_norm(g, x, "norm", NORM_BATCH));
        x = graph_deconv(g, graph_conv(g, x, "down", 16, 2, 2, 0, 1, true), "up", 16, 2);
    }
    int rows = graph_linear(g, x, "rows", 16);
    rows = graph_linear(g, graph_linear(g, rows, "linear", 16), "linear", 16);
    rows = graph_lstm(g, graph_lstm(g, rows, "lstm", 16), "lstm", 16);
    rig_output(&rig, rows, LAYOUT_NCHW);
    rig_fill(&rig, 4);
    rig_check(&rig, "shared weights", 3, EVALUATE);
    rig_check(&rig, "shared weights", 3, 0);
    rig_close(&rig);
}
END_TEST

/* A little of everything the filter meets. */
static void build_mixed(struct rig *rig)
{
    struct graph *g = &rig->graph;
    int x = graph_input(g, 1, 17, 15, LAYOUT_NCHW);
    x = graph_conv_equal(g, x, 3, "first.stem", 16, 7, 2, 3);
    x = graph_relu(g, graph_norm(g, x, "first.norm", NORM_BATCH));
    x = graph_max_pool(g, x, 3, 2, 1);
    int y = graph_relu(g, graph_conv(g, x, "second.conv", 16, 3, 1, 1, 1, true));
    y = graph_norm(g, graph_conv(g, y, "first.conv", 16, 3, 1, 1, 4, false), "second.norm",
                   NORM_RUNNING);
    x = graph_relu(g, graph_add(g, x, y));
    x = graph_relu(g, graph_deconv(g, x, "second.up", 20, 2));
    x = graph_deconv(g, x, "first.up", 8, 2);
    x = graph_linear(g, x, "first.rows", 24);
    x = graph_linear(g, x, "second.rows", 16);
    x = graph_lstm(g, x, "second.lstm", 16);
    x = graph_lstm(g, x, "first.lstm", 16);
    rig_output(rig, x, LAYOUT_NCHW);
    rig_fill(rig, 5);
}

static enum param_fate first_only(const char *name, const void *context)
{
    (void)context;
    return strncmp(name, "first.", 6) == 0 ? PARAM_TRAINS : PARAM_CHANGES;
}

static enum param_fate second_only(const char *name, const void *context)
{
    (void)context;
    return strncmp(name, "second.", 7) == 0 ? PARAM_TRAINS : PARAM_FIXED;
}

static enum param_fate biases_only(const char *name, const void *context)
{
    (void)context;
    return strstr(name, "bias") ? PARAM_TRAINS : PARAM_FIXED;
}

static enum param_fate weights_only(const char *name, const void *context)
{
    (void)context;
    return strstr(name, "bias") ? PARAM_FIXED : PARAM_TRAINS;
}

static enum param_fate none(const char *name, const void *context)
{
    (void)name;
    (void)context;
    return PARAM_FIXED;
}

START_TEST(only_what_trains_gets_gradients)
{
    struct rig rig;
    enum param_fate (*const fates[])(const char *, const void *) = {
        NULL, first_only, second_only, biases_only, weights_only, none};
    rig_open(&rig);
    build_mixed(&rig);
    rig.fate = fates[_i];
    char what[32];
    snprintf(what, sizeof what, "filter %d", _i);
    rig_check(&rig, what, 3, EVALUATE);
    rig_check(&rig, what, 3, EVALUATE | PLAN_TRAIN_STATS);
    rig_check(&rig, what, 3, PLAN_GRAD_PARAMS);
    rig_check(&rig, what, 3, PLAN_GRAD_INPUT);
    rig_check(&rig, what, 3, 0);
    rig_close(&rig);
}
END_TEST

static void compile(const struct rig *rig, struct plan **plan, struct run **run, int batch,
                    unsigned flags, void *workspace)
{
    struct error err = {.text = ""};
    const struct plan_options options = {.batch = batch, .flags = flags, .fate = rig->fate};
    ck_assert_msg(plan_compile(plan, &rig->graph, rig->output, rig->outputs, &options, &err) == 0,
                  "%s", err.text);
    if (run)
        ck_assert_msg(run_open(run, *plan, workspace, &err) == 0, "%s", err.text);
}

START_TEST(gradients_nobody_asked_for_are_not_there)
{
    struct rig rig;
    struct plan *plan;
    struct run *run;
    rig_open(&rig);
    int x = graph_input(&rig.graph, 8, 4, 4, LAYOUT_NCHW);
    int apart = graph_input(&rig.graph, 8, 4, 4, LAYOUT_NCHW);
    int y = graph_conv(&rig.graph, x, "conv", 8, 3, 1, 1, 1, true);
    rig_output(&rig, y, LAYOUT_NCHW);
    rig_fill(&rig, 6);
    const unsigned flags[] = {0, PLAN_GRAD_PARAMS, PLAN_GRAD_INPUT, PLAN_TRAIN_STATS};
    for (int i = 0; i < 4; i++) {
        compile(&rig, &plan, &run, 1, flags[i], NULL);
        ck_assert_ptr_nonnull(run_value(run, x));
        ck_assert_ptr_nonnull(run_value(run, apart));
        ck_assert_int_eq(run_grad(run, x) != NULL, flags[i] == PLAN_GRAD_INPUT);
        ck_assert_ptr_null(run_grad(run, apart)); /* no output depends on it */
        ck_assert_int_eq(run_grad(run, y) != NULL,
                         flags[i] == PLAN_GRAD_INPUT || flags[i] == PLAN_GRAD_PARAMS);
        run_close(run);
        plan_free(plan);
    }
    rig_close(&rig);
}
END_TEST

/* ---- runs ---- */

/* The end of a residual block and a pooling behind it; channels last. */
static void build_block(struct rig *rig, enum norm_mode mode)
{
    struct graph *g = &rig->graph;
    int x = graph_input(g, 16, 6, 6, LAYOUT_NHWC);
    int shortcut = graph_conv(g, x, "shortcut", 16, 1, 1, 0, 1, true);
    int y = graph_norm(g, graph_conv(g, x, "conv", 16, 3, 1, 1, 1, false), "norm", mode);
    y = graph_relu(g, graph_add(g, shortcut, y));
    rig_output(rig, graph_max_pool(g, y, 3, 2, 1), LAYOUT_NHWC);
    rig_fill(rig, 8);
}

static void fill_input(const struct rig *rig, const struct run *run, int batch, unsigned seed)
{
    for (int i = 0; i < rig->graph.count; i++) {
        struct shape s = graph_shape(&rig->graph, i, batch);
        if (rig->graph.nodes[i].kind != OP_INPUT)
            continue;
        double *values = zeros(shape_count(s));
        rig_noise(values, shape_count(s), &seed);
        to_layout(run_value(run, i), values, s, rig->graph.nodes[i].layout);
        free(values);
    }
}

static size_t output_bytes(const struct rig *rig, int batch)
{
    return shape_count(graph_shape(&rig->graph, rig->output[0].node, batch)) * sizeof(float);
}

/* The first output for the input of a seed; the caller frees it. */
static float *result(const struct rig *rig, struct run *run, int batch, unsigned seed)
{
    struct error err;
    float *copy = malloc(output_bytes(rig, batch));
    fill_input(rig, run, batch, seed);
    ck_assert_int_eq(run_forward(run, &err), 0);
    memcpy(copy, run_value(run, rig->output[0].node), output_bytes(rig, batch));
    return copy;
}

START_TEST(runs_of_one_plan_do_not_disturb_each_other)
{
    struct rig rig;
    struct plan *plan;
    struct run *a, *b;
    struct error err;
    rig_open(&rig);
    build_mixed(&rig);
    compile(&rig, &plan, &a, 2, 0, NULL);
    ck_assert_int_eq(run_open(&b, plan, NULL, &err), 0);
    float *first = result(&rig, a, 2, 1), *other = result(&rig, b, 2, 2);
    ck_assert_mem_ne(first, other, output_bytes(&rig, 2));
    ck_assert_mem_eq(run_value(a, rig.output[0].node), first, output_bytes(&rig, 2));
    float *again = result(&rig, b, 2, 1);
    ck_assert_mem_eq(again, first, output_bytes(&rig, 2));
    free(first);
    free(other);
    free(again);
    run_close(a);
    run_close(b);
    plan_free(plan);
    rig_close(&rig);
}
END_TEST

START_TEST(plans_may_share_a_workspace)
{
    struct rig one, two;
    struct plan *plan[2], *apart_plan;
    struct run *run[2], *apart;
    rig_open(&one);
    build_mixed(&one);
    rig_open(&two);
    build_block(&two, NORM_BATCH);
    compile(&one, &plan[0], NULL, 2, 0, NULL);
    compile(&two, &plan[1], NULL, 3, 0, NULL);
    size_t bytes = plan_workspace(plan[0]) > plan_workspace(plan[1]) ? plan_workspace(plan[0])
                                                                     : plan_workspace(plan[1]);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memset(workspace, 0xff, bytes); /* NaN: nothing may be taken for granted */
    struct error err;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(run_open(&run[i], plan[i], workspace, &err), 0);
    float *first = result(&one, run[0], 2, 1), *second = result(&two, run[1], 3, 1);
    float *again = result(&one, run[0], 2, 1);
    ck_assert_mem_eq(first, again, output_bytes(&one, 2));
    ck_assert_mem_eq(second, run_value(run[1], two.output[0].node), output_bytes(&two, 3));
    compile(&two, &apart_plan, &apart, 3, 0, NULL);
    float *alone = result(&two, apart, 3, 1);
    ck_assert_mem_eq(alone, second, output_bytes(&two, 3));
    free(first);
    free(second);
    free(again);
    free(alone);
    run_close(apart);
    plan_free(apart_plan);
    for (int i = 0; i < 2; i++) {
        run_close(run[i]);
        plan_free(plan[i]);
    }
    free(workspace);
    rig_close(&one);
    rig_close(&two);
}
END_TEST

START_TEST(threads_change_nothing_that_matters)
{
    struct rig rig;
    float *results[2];
    rig_open(&rig);
    build_mixed(&rig);
    for (int threads = 1; threads <= 2; threads++) {
        struct plan *plan;
        struct run *run;
        omp_set_num_threads(threads);
        compile(&rig, &plan, &run, 3, 0, NULL);
        results[threads - 1] = result(&rig, run, 3, 1);
        float *again = result(&rig, run, 3, 1);
        ck_assert_mem_eq(again, results[threads - 1], output_bytes(&rig, 3));
        free(again);
        run_close(run);
        plan_free(plan);
    }
    for (size_t i = 0; i < output_bytes(&rig, 3) / sizeof(float); i++)
        ck_assert_float_eq_tol(results[0][i], results[1][i], 1e-6f);
    free(results[0]);
    free(results[1]);
    rig_close(&rig);
}
END_TEST

/* With stored statistics a batch is so many images, each as if it were alone. */
START_TEST(images_of_a_batch_are_apart)
{
    struct rig rig;
    struct plan *plan[2];
    struct run *run[2];
    struct error err;
    rig_open(&rig);
    build_block(&rig, NORM_RUNNING);
    compile(&rig, &plan[0], &run[0], 3, 0, NULL);
    compile(&rig, &plan[1], &run[1], 1, 0, NULL);
    float *all = result(&rig, run[0], 3, 1);
    size_t in = shape_count(graph_shape(&rig.graph, 0, 1));
    size_t out = output_bytes(&rig, 1) / sizeof(float);
    for (size_t i = 0; i < 3; i++) {
        memcpy(run_value(run[1], 0), run_value(run[0], 0) + i * in, in * sizeof(float));
        ck_assert_int_eq(run_forward(run[1], &err), 0);
        for (size_t k = 0; k < out; k++)
            ck_assert_float_eq_tol(run_value(run[1], rig.output[0].node)[k], all[i * out + k],
                                   1e-5f);
    }
    free(all);
    for (int i = 0; i < 2; i++) {
        run_close(run[i]);
        plan_free(plan[i]);
    }
    rig_close(&rig);
}
END_TEST

/* ---- refresh ---- */

static void change_params(struct params *params)
{
    for (int i = 0; i < params_count(params); i++) {
        struct param *p = params_at(params, i);
        for (int64_t k = 0; k < p->count; k++)
            p->value[k] *= 1.25f;
    }
}

static void raise_versions(struct params *params)
{
    for (int i = 0; i < params_count(params); i++)
        params_at(params, i)->version++;
}

static enum param_fate all_change(const char *name, const void *context)
{
    (void)name;
    (void)context;
    return PARAM_CHANGES;
}

/* Packed weights follow the parameters when told, in plans with gradients and without. */
START_TEST(refresh_packs_what_changed)
{
    struct rig rig;
    struct plan *plan, *fresh;
    struct run *run, *fresh_run;
    struct error err;
    const unsigned flags[] = {0, EVALUATE};
    rig_open(&rig);
    build_mixed(&rig);
    rig.fate = all_change;
    compile(&rig, &plan, &run, 2, flags[_i], NULL);
    float *before = result(&rig, run, 2, 1);
    change_params(rig.params);
    ck_assert_int_eq(plan_refresh(plan, &err), 0); /* nobody said that anything changed */
    float *still = result(&rig, run, 2, 1);
    ck_assert_mem_eq(still, before, output_bytes(&rig, 2));
    raise_versions(rig.params);
    ck_assert_int_eq(plan_refresh(plan, &err), 0);
    float *after = result(&rig, run, 2, 1);
    compile(&rig, &fresh, &fresh_run, 2, flags[_i], NULL);
    float *right = result(&rig, fresh_run, 2, 1);
    ck_assert_mem_eq(after, right, output_bytes(&rig, 2));
    ck_assert_mem_ne(after, before, output_bytes(&rig, 2));
    free(before);
    free(still);
    free(after);
    free(right);
    run_close(run);
    run_close(fresh_run);
    plan_free(plan);
    plan_free(fresh);
    rig_close(&rig);
}
END_TEST

/* Merged layers are packed from the parameters of all that went into them. */
START_TEST(refresh_reaches_merged_layers)
{
    static const char *const names[] = {
        "up.weight",         "up.bias",          "conv.weight", "norm.weight", "norm.bias",
        "norm.running_mean", "norm.running_var", "wide.weight", "wide.bias",   "gather.weight"};
    struct rig rig;
    struct plan *plan;
    struct run *run;
    struct error err;
    rig_open(&rig);
    struct graph *g = &rig.graph;
    int x = graph_input(g, 16, 8, 8, LAYOUT_NHWC);
    x = graph_norm(g, graph_conv(g, x, "conv", 16, 3, 1, 1, 1, false), "norm", NORM_RUNNING);
    x = graph_conv(g, graph_deconv(g, x, "up", 16, 2), "wide", 16, 3, 1, 1, 1, true);
    x = graph_conv(g, graph_deconv(g, x, "up", 16, 2), "gather", 16, 2, 2, 0, 1, false);
    rig_output(&rig, x, LAYOUT_NCHW);
    rig_fill(&rig, 10);
    rig.fate = all_change;
    compile(&rig, &plan, &run, 1, 0, NULL);
    float *before = result(&rig, run, 1, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct param *p = params_at(rig.params, params_find(rig.params, names[i]));
        p->value[p->count / 2] += 0.5f;
        p->version++;
        ck_assert_int_eq(plan_refresh(plan, &err), 0);
        float *after = result(&rig, run, 1, 1);
        ck_assert_msg(memcmp(after, before, output_bytes(&rig, 1)) != 0, "%s does not arrive",
                      names[i]);
        free(before);
        before = after;
        rig_check(&rig, names[i], 1, 0);
    }
    free(before);
    run_close(run);
    plan_free(plan);
    rig_close(&rig);
}
END_TEST

/* ---- memory ---- */

static int compile_and_run(const struct rig *rig, unsigned flags, struct error *err)
{
    struct plan *plan = NULL;
    struct run *run = NULL;
    const struct plan_options options = {.batch = 2, .flags = flags};
    int rc;
    TRY(plan_compile(&plan, &rig->graph, rig->output, rig->outputs, &options, err));
    TRY(run_open(&run, plan, NULL, err));
    TRY(run_forward(run, err));
    if (flags & EVALUATE)
        TRY(run_backward(run, err));
done:
    run_close(run);
    plan_free(plan);
    return rc;
}

START_TEST(no_memory_is_an_error)
{
    struct rig rig;
    rig_open(&rig);
    build_mixed(&rig);
    unsigned flags = _i ? EVALUATE : 0;
    struct error err;
    compile_and_run(&rig, flags, &err); /* what libraries keep from their first use is not ours */
    struct oom_walk walk = {.err = &err, .more_than = 30};
    while (oom_next(&walk))
        oom_judge(&walk, compile_and_run(&rig, flags, &err));
    rig_close(&rig);
}
END_TEST

START_TEST(running_allocates_nothing)
{
    struct rig rig;
    struct plan *plan;
    struct run *run;
    struct error err;
    rig_open(&rig);
    build_mixed(&rig);
    compile(&rig, &plan, &run, 2, EVALUATE, NULL);
    fill_input(&rig, run, 2, 1);
    oom_begin(-1);
    int rc = run_forward(run, &err) || run_backward(run, &err);
    struct oom seen = oom_end();
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(seen.calls, 0);
    run_close(run);
    plan_free(plan);
    rig_close(&rig);
}
END_TEST

/* ---- watching ---- */

struct watched {
    int passes, products[2], others[2]; /* by direction */
    bool named;
};

static void count_note(void *context, const struct run_note *note)
{
    struct watched *w = context;
    if (!note) {
        w->passes++;
        return;
    }
    (note->product ? w->products : w->others)[note->backward]++;
    w->named |= strcmp(note->layer, "conv.weight") == 0 && strcmp(note->op, "convolution") == 0;
    ck_assert_ptr_nonnull(note->how);
}

START_TEST(a_watcher_is_told_of_every_step)
{
    struct error err;
    struct plan *plan;
    struct run *run;
    struct rig rig;
    struct watched w = {0};
    rig_open(&rig);
    struct graph *g = &rig.graph;
    int x = graph_input(g, 16, 8, 8, LAYOUT_NCHW);
    x = graph_relu(
        g, graph_norm(g, graph_conv(g, x, "conv", 16, 3, 1, 1, 1, true), "norm", NORM_BATCH));
    rig_output(&rig, x, LAYOUT_NCHW);
    rig_fill(&rig, 4);
    compile(&rig, &plan, &run, 1, EVALUATE, NULL);
    run_watch(run, count_note, &w);
    ck_assert_int_eq(run_forward(run, &err), 0);
    ck_assert_int_eq(w.passes, 1);
    ck_assert_int_eq(w.products[0], 1); /* the convolution */
    ck_assert_int_ge(w.others[0], 2);   /* the norm's statistics, the norm */
    ck_assert_int_eq(w.products[1] + w.others[1], 0);
    ck_assert(w.named);
    ck_assert_int_eq(run_backward(run, &err), 0);
    ck_assert_int_eq(w.passes, 2);
    ck_assert_int_eq(w.products[1], 2); /* gradients of the input and of the weight */
    run_watch(run, NULL, NULL);
    ck_assert_int_eq(run_forward(run, &err), 0);
    ck_assert_int_eq(w.passes, 2);
    run_close(run);
    plan_free(plan);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("plan");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, readers_of_one_value_add_their_gradients);
    tcase_add_test(tc, nodes_of_one_weight_add_their_gradients);
    tcase_add_loop_test(tc, only_what_trains_gets_gradients, 0, 6);
    tcase_add_test(tc, gradients_nobody_asked_for_are_not_there);
    tcase_add_test(tc, runs_of_one_plan_do_not_disturb_each_other);
    tcase_add_test(tc, plans_may_share_a_workspace);
    tcase_add_test(tc, threads_change_nothing_that_matters);
    tcase_add_test(tc, images_of_a_batch_are_apart);
    tcase_add_loop_test(tc, refresh_packs_what_changed, 0, 2);
    tcase_add_test(tc, refresh_reaches_merged_layers);
    tcase_add_loop_test(tc, no_memory_is_an_error, 0, 2);
    tcase_add_test(tc, running_allocates_nothing);
    tcase_add_test(tc, a_watcher_is_told_of_every_step);
    return run_case_here("plan", tc);
}
