/* nn/graph: shapes, parameters and costs of a description; what does not fit. */
#include "model/nn/graph.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/oom.h"
#include "tests/unit/run.h"

static struct params *params;
static struct graph graph;

static void begin(void)
{
    struct error err;
    ck_assert_int_eq(params_create(&params, &err), 0);
    graph_init(&graph, params);
}

static void end(void)
{
    graph_free(&graph);
    params_free(params);
}

static void is_shape(int node, int batch, int n, int c, int h, int w)
{
    struct shape s = graph_shape(&graph, node, batch);
    ck_assert_msg(s.n == n && s.c == c && s.h == h && s.w == w,
                  "node %d is (%d, %d, %d, %d), should be (%d, %d, %d, %d)", node, s.n, s.c, s.h,
                  s.w, n, c, h, w);
}

static void has_param(const char *name, enum param_role role, int rank, int64_t a, int64_t b,
                      int64_t c, int64_t d)
{
    int index = params_find(params, name);
    ck_assert_msg(index >= 0, "no parameter %s", name);
    const struct param *p = params_peek(params, index);
    const int64_t dim[] = {a, b, c, d};
    ck_assert_int_eq(p->role, role);
    ck_assert_int_eq(p->rank, rank);
    ck_assert_mem_eq(p->dim, dim, (size_t)rank * sizeof *dim);
}

START_TEST(shapes_follow_the_batch)
{
    begin();
    int x = graph_input(&graph, 3, 21, 18, LAYOUT_NCHW);
    int conv = graph_conv(&graph, x, "conv", 16, 7, 2, 3, 1, false);
    int norm = graph_norm(&graph, conv, "norm", NORM_RUNNING);
    int pool = graph_max_pool(&graph, graph_relu(&graph, norm), 3, 2, 1);
    int grouped = graph_conv(&graph, pool, "grouped", 32, 3, 1, 1, 4, true);
    int up = graph_deconv(&graph, grouped, "up", 8, 2);
    int sum = graph_add(&graph, up, graph_deconv(&graph, grouped, "other", 8, 2));
    int rows = graph_linear(&graph, sum, "linear", 24);
    int states = graph_lstm(&graph, rows, "lstm", 12);
    int z = graph_linear(&graph, graph_last_row(&graph, states), "z", 12);
    int alpha = graph_softmax(&graph, graph_matmul(&graph, z, states, true));
    int context = graph_matmul(&graph, alpha, states, false);
    int o = graph_add(&graph, z, context);
    struct error err;
    ck_assert_int_eq(graph_finish(&graph, &err), 0);
    is_shape(x, 5, 5, 3, 21, 18);
    is_shape(conv, 5, 5, 16, 11, 9);
    is_shape(norm, 2, 2, 16, 11, 9);
    is_shape(pool, 5, 5, 16, 6, 5);
    is_shape(grouped, 5, 5, 32, 6, 5);
    is_shape(up, 1, 1, 8, 12, 10);
    is_shape(sum, 5, 5, 8, 12, 10);
    is_shape(rows, 5, 5, 24, 1, 1);
    is_shape(states, 5, 5, 12, 1, 1);
    is_shape(z, 5, 1, 12, 1, 1);
    is_shape(alpha, 5, 1, 5, 1, 1);
    is_shape(context, 5, 1, 12, 1, 1);
    is_shape(o, 5, 1, 12, 1, 1);

    has_param("conv.weight", PARAM_WEIGHT, 4, 16, 3, 7, 7);
    ck_assert_int_eq(params_find(params, "conv.bias"), -1);
    has_param("norm.weight", PARAM_SCALE, 1, 16, 0, 0, 0);
    has_param("norm.bias", PARAM_SHIFT, 1, 16, 0, 0, 0);
    has_param("norm.running_mean", PARAM_BUFFER, 1, 16, 0, 0, 0);
    has_param("norm.running_var", PARAM_BUFFER, 1, 16, 0, 0, 0);
    has_param("grouped.weight", PARAM_WEIGHT, 4, 32, 4, 3, 3);
    has_param("grouped.bias", PARAM_BIAS, 1, 32, 0, 0, 0);
    has_param("up.weight", PARAM_WEIGHT, 4, 32, 8, 2, 2);
    has_param("up.bias", PARAM_BIAS, 1, 8, 0, 0, 0);
    has_param("linear.weight", PARAM_WEIGHT, 2, 24, 8 * 12 * 10, 0, 0);
    has_param("lstm.weight_ih_l0", PARAM_WEIGHT, 2, 48, 24, 0, 0);
    has_param("lstm.weight_hh_l0", PARAM_WEIGHT, 2, 48, 12, 0, 0);
    has_param("lstm.bias_ih_l0", PARAM_BIAS, 1, 48, 0, 0, 0);
    has_param("lstm.bias_hh_l0", PARAM_BIAS, 1, 48, 0, 0, 0);
    end();
}
END_TEST

START_TEST(equal_channels_are_stored_once)
{
    begin();
    int x = graph_input(&graph, 1, 32, 32, LAYOUT_NCHW);
    is_shape(graph_conv_equal(&graph, x, 3, "stem", 64, 7, 2, 3), 1, 1, 64, 16, 16);
    has_param("stem.weight", PARAM_WEIGHT, 4, 64, 3, 7, 7);
    end();
}
END_TEST

START_TEST(a_multiply_add_is_two_flops)
{
    begin();
    int x = graph_input(&graph, 8, 10, 10, LAYOUT_NCHW);
    ck_assert(graph_flops(&graph, 1) == 0);
    int y = graph_conv(&graph, x, "conv", 16, 3, 1, 1, 2, true);
    double conv = 2.0 * 16 * 100 * 4 * 9;
    ck_assert(graph_flops(&graph, 1) == conv);
    y = graph_deconv(&graph, graph_relu(&graph, y), "up", 4, 2);
    double up = 2.0 * 4 * 400 * 16;
    ck_assert(graph_flops(&graph, 3) == 3 * (conv + up));
    y = graph_linear(&graph, y, "linear", 6);
    double linear = 2.0 * 6 * 1600;
    y = graph_lstm(&graph, y, "lstm", 5);
    double lstm = 2.0 * 4 * 5 * (6 + 5);
    ck_assert(graph_flops(&graph, 2) == 2 * (conv + up + linear + lstm));
    graph_matmul(&graph, y, y, true);
    ck_assert(graph_flops(&graph, 3) == 3 * (conv + up + linear + lstm) + 2.0 * 3 * 3 * 5);
    end();
}
END_TEST

START_TEST(names_are_shared_where_shapes_agree)
{
    begin();
    int x = graph_input(&graph, 8, 4, 4, LAYOUT_NCHW);
    int a = graph_conv(&graph, x, "same", 8, 3, 1, 1, 1, true);
    int b = graph_conv(&graph, a, "same", 8, 3, 1, 1, 1, true);
    ck_assert_int_eq(params_count(params), 2);
    ck_assert_int_eq(graph.nodes[a].param[0], graph.nodes[b].param[0]);
    ck_assert_int_eq(graph.nodes[a].param[1], graph.nodes[b].param[1]);
    end();
}
END_TEST

/* ---- what does not fit ---- */

static void other_shape(int x)
{
    graph_conv(&graph, x, "layer.twice", 8, 3, 1, 1, 1, true);
    graph_conv(&graph, x, "layer.twice", 9, 3, 1, 1, 1, true);
}

static void groups_of_input(int x)
{
    graph_conv(&graph, x, "layer.groups", 9, 3, 1, 1, 3, true);
}

static void groups_of_output(int x)
{
    graph_conv(&graph, x, "layer.outputs", 9, 3, 1, 1, 4, true);
}

static void kernel_beyond_plane(int x)
{
    graph_conv(&graph, x, "layer.kernel", 8, 7, 1, 0, 1, true);
}

static void pool_beyond_plane(int x)
{
    graph_max_pool(&graph, x, 9, 1, 1);
}

static void unlike_sum(int x)
{
    graph_add(&graph, x, graph_conv(&graph, x, "layer", 8, 3, 2, 1, 1, true));
}

static void unlike_rows(int x)
{
    graph_matmul(&graph, graph_linear(&graph, x, "a", 4), graph_linear(&graph, x, "b", 5), true);
}

static void long_name(int x)
{
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    graph_norm(&graph, x, name, NORM_BATCH);
}

static const struct {
    void (*build)(int x);
    const char *says;
} misfits[] = {
    {other_shape, "layer.twice.weight"}, {groups_of_input, "layer.groups"},
    {groups_of_output, "layer.outputs"}, {kernel_beyond_plane, "layer.kernel"},
    {pool_beyond_plane, "pooling"},      {unlike_sum, "sum"},
    {unlike_rows, "matrix product"},     {long_name, "too long"},
};

START_TEST(the_first_misfit_is_reported)
{
    struct error err = {.code = ERR_NONE};
    begin();
    int x = graph_input(&graph, 8, 6, 6, LAYOUT_NCHW);
    misfits[_i].build(x);
    int count = graph.count, declared = params_count(params);
    /* Builders do nothing after a failure, whatever they are given. */
    ck_assert_int_eq(graph_conv(&graph, 12345, "later", 8, 3, 1, 1, 1, true), 0);
    ck_assert_int_eq(graph_deconv(&graph, 12345, "later", 8, 2), 0);
    ck_assert_int_eq(graph_linear(&graph, 12345, "later", 8), 0);
    ck_assert_int_eq(graph_lstm(&graph, 12345, "later", 8), 0);
    ck_assert_int_eq(graph_norm(&graph, 12345, "later", NORM_BATCH), 0);
    ck_assert_int_eq(graph_matmul(&graph, 12345, 5, true), 0);
    ck_assert_int_eq(graph_add(&graph, 12345, 5), 0);
    ck_assert_int_eq(graph_max_pool(&graph, 12345, 3, 2, 1), 0);
    ck_assert_int_eq(graph_last_row(&graph, 12345), 0);
    ck_assert_int_eq(graph_input(&graph, 1, 1, 1, LAYOUT_NCHW), 0);
    ck_assert_int_eq(graph.count, count);
    ck_assert_int_eq(params_count(params), declared);
    ck_assert_int_eq(graph_finish(&graph, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    ck_assert_msg(strstr(err.text, misfits[_i].says) != NULL, "\"%s\" does not name %s", err.text,
                  misfits[_i].says);
    ck_assert_int_eq(graph_finish(&graph, NULL), -1);
    end();
}
END_TEST

static int describe(struct error *err)
{
    int rc = params_create(&params, err);
    if (rc != 0)
        return rc;
    graph_init(&graph, params);
    int x = graph_input(&graph, 8, 6, 6, LAYOUT_NCHW);
    for (int i = 0; i < 150; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer%d", i);
        x = graph_relu(&graph, graph_conv(&graph, x, name, 8, 3, 1, 1, 1, true));
    }
    rc = graph_finish(&graph, err);
    end();
    return rc;
}

START_TEST(no_memory_is_an_error)
{
    struct error err;
    /* a name for every parameter at least */
    struct oom_walk walk = {.err = &err, .more_than = 300};
    while (oom_next(&walk))
        oom_judge(&walk, describe(&err));
}
END_TEST

int main(void)
{
    TCase *tc = test_case("graph");
    tcase_add_test(tc, shapes_follow_the_batch);
    tcase_add_test(tc, equal_channels_are_stored_once);
    tcase_add_test(tc, a_multiply_add_is_two_flops);
    tcase_add_test(tc, names_are_shared_where_shapes_agree);
    tcase_add_loop_test(tc, the_first_misfit_is_reported, 0, sizeof misfits / sizeof *misfits);
    tcase_add_test(tc, no_memory_is_an_error);
    return run_case("graph", tc);
}
