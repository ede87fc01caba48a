/* nn/passes: what is merged for inference, what gradients and second readers keep apart. */
#include "model/nn/passes.h"
#include "tests/unit/plan_check.h"
#include "tests/unit/run.h"

enum { EVALUATE = PLAN_GRAD_INPUT | PLAN_GRAD_PARAMS };

/* The nodes of a rig's graph after the passes; at most 32. */
static void passed(const struct rig *rig, struct node nodes[32], bool inference)
{
    bool pinned[32] = {false};
    ck_assert_int_le(rig->graph.count, 32);
    memcpy(nodes, rig->graph.nodes, (size_t)rig->graph.count * sizeof *nodes);
    for (int i = 0; i < rig->outputs; i++)
        pinned[rig->output[i].node] = true;
    passes_apply(nodes, rig->graph.count, pinned, inference);
}

struct block {
    int x, shortcut, conv, norm, sum, relu;
};

/* x -> conv -> norm, plus a projection of x, ReLU: the end of a residual block. */
static struct block residual_block(struct graph *g, enum norm_mode mode)
{
    struct block b;
    b.x = graph_input(g, 16, 6, 6, LAYOUT_NCHW);
    b.shortcut = graph_conv(g, b.x, "shortcut", 16, 1, 1, 0, 1, true);
    b.conv = graph_conv(g, b.x, "conv", 16, 3, 1, 1, 1, false);
    b.norm = graph_norm(g, b.conv, "norm", mode);
    b.sum = graph_add(g, b.shortcut, b.norm);
    b.relu = graph_relu(g, b.sum);
    return b;
}

START_TEST(inference_merges_a_block_into_its_convolution)
{
    struct rig rig;
    struct node nodes[32];
    rig_open(&rig);
    struct block b = residual_block(&rig.graph, NORM_RUNNING);
    rig_output(&rig, b.relu, LAYOUT_NCHW);
    passed(&rig, nodes, true);
    ck_assert_int_eq(passes_resolve(nodes, b.norm), b.conv);
    ck_assert_int_eq(passes_resolve(nodes, b.sum), b.conv);
    ck_assert_int_eq(passes_resolve(nodes, b.relu), b.conv);
    ck_assert_int_eq(nodes[b.conv].folded_norm, b.norm);
    ck_assert_int_eq(nodes[b.conv].residual, b.shortcut);
    ck_assert(nodes[b.conv].relu);
    ck_assert(!nodes[b.shortcut].relu);
    rig_close(&rig);
}
END_TEST

START_TEST(gradients_keep_the_convolution_apart)
{
    struct rig rig;
    struct node nodes[32];
    rig_open(&rig);
    struct block b = residual_block(&rig.graph, NORM_RUNNING);
    rig_output(&rig, b.relu, LAYOUT_NCHW);
    passed(&rig, nodes, false);
    ck_assert_int_eq(passes_resolve(nodes, b.norm), b.norm);
    ck_assert_int_eq(passes_resolve(nodes, b.relu), b.norm);
    ck_assert_int_eq(nodes[b.norm].residual, b.shortcut);
    ck_assert(nodes[b.norm].relu);
    ck_assert_int_eq(nodes[b.conv].folded_norm, -1);
    rig_close(&rig);
}
END_TEST

START_TEST(a_norm_by_the_batch_is_never_folded)
{
    struct rig rig;
    struct node nodes[32];
    rig_open(&rig);
    struct block b = residual_block(&rig.graph, NORM_BATCH);
    rig_output(&rig, b.relu, LAYOUT_NCHW);
    passed(&rig, nodes, true);
    ck_assert_int_eq(nodes[b.conv].folded_norm, -1);
    ck_assert_int_eq(passes_resolve(nodes, b.relu), b.norm);
    rig_close(&rig);
}
END_TEST

/* A value somebody else sees stays what it is. */
START_TEST(outputs_and_second_readers_stop_merging)
{
    struct rig rig;
    struct node nodes[32];
    for (int reader = 0; reader < 2; reader++) {
        rig_open(&rig);
        struct block b = residual_block(&rig.graph, NORM_RUNNING);
        rig_output(&rig, b.relu, LAYOUT_NCHW);
        rig_output(&rig, reader ? graph_max_pool(&rig.graph, b.conv, 2, 2, 0) : b.conv,
                   LAYOUT_NCHW);
        passed(&rig, nodes, true);
        ck_assert_int_eq(nodes[b.conv].folded_norm, -1);
        ck_assert(!nodes[b.conv].relu);
        rig_fill(&rig, 1);
        rig_check(&rig, "a convolution read twice", 2, 0);
        rig_check(&rig, "a convolution read twice", 2, EVALUATE);
        rig_close(&rig);
    }
}
END_TEST

START_TEST(what_no_output_needs_is_dead)
{
    struct rig rig;
    struct node nodes[32];
    rig_open(&rig);
    struct graph *g = &rig.graph;
    int x = graph_input(g, 16, 6, 6, LAYOUT_NCHW);
    int used = graph_conv(g, x, "used", 16, 3, 1, 1, 1, true);
    int unused = graph_conv(g, used, "unused", 16, 3, 1, 1, 1, true);
    int further = graph_relu(g, graph_norm(g, unused, "norm", NORM_RUNNING));
    int out = graph_relu(g, used);
    rig_output(&rig, out, LAYOUT_NCHW);
    passed(&rig, nodes, true);
    ck_assert(!nodes[x].dead && !nodes[used].dead);
    ck_assert(nodes[unused].dead && nodes[further].dead);
    ck_assert(nodes[used].relu); /* the dead do not read */
    rig_fill(&rig, 2);
    struct param *p = params_at(rig.params, params_find(rig.params, "unused.weight"));
    memset(p->value, 0xff, (size_t)p->count * sizeof *p->value); /* NaN: must not be looked at */
    rig_check(&rig, "with a dead branch", 2, 0);
    rig_close(&rig);
}
END_TEST

/* ---- transposed convolutions ---- */

/* x -> transposed convolution -> convolution; which kind the second becomes for inference. */
static enum op_kind behind_transposed(int channels, int factor, int side, int kernel, int stride,
                                      int pad, int groups, bool relu, bool inference)
{
    struct rig rig;
    struct node nodes[32];
    rig_open(&rig);
    struct graph *g = &rig.graph;
    int x = graph_input(g, channels, side, side, LAYOUT_NCHW);
    int up = graph_deconv(g, x, "up", 16, factor);
    int y = graph_conv(g, relu ? graph_relu(g, up) : up, "conv", channels, kernel, stride, pad,
                       groups, true);
    rig_output(&rig, y, LAYOUT_NCHW);
    passed(&rig, nodes, inference);
    ck_assert_int_eq(nodes[up].dead, nodes[y].composed >= 0);
    if (nodes[y].composed >= 0)
        ck_assert_int_eq(nodes[y].input[0], x);
    enum op_kind kind = nodes[y].composed < 0 ? OP_KINDS : nodes[y].kind;
    rig_close(&rig);
    return kind;
}

START_TEST(transposed_convolutions_merge_with_what_reads_them)
{
    const enum op_kind apart = OP_KINDS;
    ck_assert_int_eq(behind_transposed(32, 2, 6, 2, 2, 0, 1, false, true), OP_CONV);
    ck_assert_int_eq(behind_transposed(32, 3, 6, 3, 3, 0, 1, false, true), OP_CONV);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 3, 1, 1, 1, false, true), OP_UPCONV);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 2, 2, 0, 1, false, false), apart);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 3, 1, 1, 1, false, false), apart);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 2, 2, 0, 1, true, true), apart);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 3, 1, 1, 1, true, true), apart);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 2, 2, 0, 4, false, true), apart);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 3, 1, 1, 4, false, true), apart);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 2, 1, 0, 1, false, true), apart);
    ck_assert_int_eq(behind_transposed(32, 2, 6, 2, 2, 1, 1, false, true), apart);
    ck_assert_int_eq(behind_transposed(32, 2, 5, 3, 1, 1, 1, false, true),
                     apart); /* odd: no tiles */
    ck_assert_int_eq(behind_transposed(32, 3, 6, 3, 1, 1, 1, false, true), apart);
    ck_assert_int_eq(behind_transposed(48, 2, 6, 3, 1, 1, 1, false, true), apart); /* no panels */
}
END_TEST

int main(void)
{
    TCase *tc = test_case("passes");
    tcase_add_test(tc, inference_merges_a_block_into_its_convolution);
    tcase_add_test(tc, gradients_keep_the_convolution_apart);
    tcase_add_test(tc, a_norm_by_the_batch_is_never_folded);
    tcase_add_test(tc, outputs_and_second_readers_stop_merging);
    tcase_add_test(tc, what_no_output_needs_is_dead);
    tcase_add_test(tc, transposed_convolutions_merge_with_what_reads_them);
    return run_case_here("passes", tc);
}
