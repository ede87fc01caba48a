/* nn/op_norm: how exact statistics are. What the op computes is among the examples of test_ops. */
#include <math.h>

#include "tests/unit/plan_check.h"
#include "tests/unit/run.h"

/* A pixel that sees padding may lie a hundred deviations away; the others stay exact. */
START_TEST(a_corner_does_not_spoil_statistics)
{
    enum { SIDE = 256, CHANNELS = 16, PIXELS = SIDE * SIDE };
    struct rig rig;
    struct plan *plan;
    struct run *run;
    struct error err;
    unsigned state = 8;
    rig_open(&rig);
    int x = graph_input(&rig.graph, CHANNELS, SIDE, SIDE, LAYOUT_NHWC);
    int y = graph_norm(&rig.graph, x, "norm", NORM_BATCH);
    rig_output(&rig, y, LAYOUT_NHWC);
    rig_fill(&rig, 9);
    const struct plan_options options = {.batch = 1};
    ck_assert_int_eq(plan_compile(&plan, &rig.graph, rig.output, 1, &options, &err), 0);
    ck_assert_int_eq(run_open(&run, plan, NULL, &err), 0);
    const float *gamma = params_peek(rig.params, params_find(rig.params, "norm.weight"))->value;
    const float *beta = params_peek(rig.params, params_find(rig.params, "norm.bias"))->value;
    double *in = calloc((size_t)PIXELS * CHANNELS, sizeof *in), worst = 0;
    rig_noise(in, (size_t)PIXELS * CHANNELS, &state);
    for (int c = 0; c < CHANNELS; c++)
        in[c] = 60;
    for (int i = 0; i < PIXELS * CHANNELS; i++)
        run_value(run, x)[i] = (float)in[i];
    ck_assert_int_eq(run_forward(run, &err), 0);
    for (int c = 0; c < CHANNELS; c++) {
        double mean = 0, square = 0;
        for (int i = 0; i < PIXELS; i++)
            mean += in[i * CHANNELS + c] / PIXELS;
        for (int i = 0; i < PIXELS; i++)
            square += (in[i * CHANNELS + c] - mean) * (in[i * CHANNELS + c] - mean) / PIXELS;
        double scale = (double)gamma[c] / sqrt(square + 1e-5);
        for (int i = 1; i < PIXELS; i++) {
            double right = (in[i * CHANNELS + c] - mean) * scale + (double)beta[c];
            worst = fmax(worst, fabs((double)run_value(run, y)[i * CHANNELS + c] - right));
        }
    }
    ck_assert_msg(worst < 1e-6, "off by %.1e", worst);
    free(in);
    run_close(run);
    plan_free(plan);
    rig_close(&rig);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("norm");
    tcase_add_test(tc, a_corner_does_not_spoil_statistics);
    return run_case_here("norm", tc);
}
