/* net/network: every sub-network but the backbone as every kind of plan, against plain loops. */
#include "model/net/network.h"
#include "tests/unit/plan_check.h"
#include "tests/unit/run.h"

/* With channels that fill no vector. */
START_TEST(odd_sizes_are_computed_right)
{
    static const unsigned flags[] = {0, PLAN_GRAD_INPUT | PLAN_GRAD_PARAMS,
                                     PLAN_TRAIN_STATS | PLAN_GRAD_INPUT | PLAN_GRAD_PARAMS};
    struct error err = {.text = ""};
    struct model_config config = config_default();
    struct network *n;
    snprintf(config.backbone, sizeof config.backbone, "resnet18");
    config.anchor_sizes_n = 1;
    config.out_channels = _i % 2 ? 18 : 22;
    config.representation = 7;
    config.attention_norm = _i % 2 ? NORM_BATCH : NORM_RUNNING;
    ck_assert_msg(network_create(&n, &config, &err) == 0, "%s", err.text);
    const struct plan_output outputs[SUBNETS][RIG_OUTPUTS] = {
        [SUBNET_RPN] = {{n->rpn.objectness, LAYOUT_NHWC}, {n->rpn.deltas, LAYOUT_NHWC}},
        [SUBNET_BOXES] = {{n->boxes.logits[0], LAYOUT_NCHW},
                          {n->boxes.deltas[0], LAYOUT_NCHW},
                          {n->boxes.logits[1], LAYOUT_NCHW},
                          {n->boxes.deltas[1], LAYOUT_NCHW}},
        [SUBNET_MASKS] = {{n->masks.logits, LAYOUT_NHWC}},
        [SUBNET_EVIDENCE] = {{n->evidence.vectors, LAYOUT_NCHW}},
        [SUBNET_SEQUENCE] = {{n->sequence.states[0], LAYOUT_NCHW},
                             {n->sequence.states[1], LAYOUT_NCHW}},
        [SUBNET_ATTENTION] = {{n->attention.alpha[0], LAYOUT_NCHW},
                              {n->attention.o[0], LAYOUT_NCHW},
                              {n->attention.o[1], LAYOUT_NCHW}},
        [SUBNET_CLASSIFIER] = {{n->classifier.logits[0], LAYOUT_NCHW},
                               {n->classifier.logits[1], LAYOUT_NCHW}},
    };
    static const int count[SUBNETS] = {0, 2, 4, 1, 1, 2, 3, 2},
                     batch[SUBNETS] = {0, 1, 5, 1, 6, 4, 5, 1};
    for (int s = SUBNET_RPN; s < SUBNETS; s++) {
        struct rig rig = {.params = n->params, .graph = n->graph[s], .outputs = count[s]};
        char what[48];
        memcpy(rig.output, outputs[s], sizeof rig.output);
        rig_fill(&rig, 11);
        for (int k = 0; k < 3; k++) {
            snprintf(what, sizeof what, "sub-network %d, plan %u", s, flags[k]);
            rig_check(&rig, what, batch[s], flags[k]);
        }
    }
    network_free(n);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("sub-networks");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, odd_sizes_are_computed_right, 0, 2);
    return run_case_here("sub-networks", tc);
}
