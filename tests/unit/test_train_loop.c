/* model/train: first weights, order, schedule, iterations, averages, checkpoints. */
#include <math.h>

#include "model/base/rng.h"
#include "model/data/phantom.h"
#include "model/net/store.h"
#include "model/nn/safetensors.h"
#include "model/train/draw.h"
#include "model/train/init.h"
#include "model/train/loop.h"
#include "tests/unit/run.h"
#include "tests/unit/small_model.h"

static struct error err;

/* ---- a small run ---- */

enum { SLICES = 4, SLICE_SIDE = 96 };

static struct network *small_network(uint64_t seed)
{
    struct network *n;
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "resnet18");
    config.out_channels = config.representation = 16;
    config.backbone_norm = config.attention_norm = NORM_BATCH;
    config.anchor_sizes_n = 2;
    config.anchor_sizes[0] = 60;
    config.anchor_sizes[1] = 200;
    config.rpn_pre_nms_top_n = 100;
    config.rpn_post_nms_top_n = 30;
    config.beta = 4;
    ck_assert_msg(network_create(&n, &config, &err) == 0, "%s", err.text);
    ck_assert_int_eq(init_parameters(n, INIT_SMALL_LOGITS, seed, &err), 0);
    return n;
}

static struct dataset maps, classes;

/* Phantoms as files, each in both data sets. */
static void make_data(void)
{
    struct error e;
    if (maps.count)
        return;
    for (int i = 0; i < SLICES; i++) {
        struct phantom p;
        char name[32];
        uint8_t *pixels = malloc(SLICE_SIDE * SLICE_SIDE);
        ck_assert_int_eq(phantom_slice(&p, (enum phantom_kind)(i % 3), 40 + (uint64_t)i, SLICE_SIDE,
                                       SLICE_SIDE, &e),
                         0);
        phantom_window(pixels, p.hu, SLICE_SIDE * SLICE_SIDE, PHANTOM_WINDOW, PHANTOM_LEVEL);
        snprintf(name, sizeof name, "%d_%d.png", i % 3, i);
        char *image = strdup(scratch(name));
        snprintf(name, sizeof name, "map_%d.png", i);
        char *map = strdup(scratch(name));
        ck_assert_int_eq(image_save_png(image, pixels, SLICE_SIDE, SLICE_SIDE, 1, &e), 0);
        ck_assert_int_eq(image_save_png(map, p.labels, SLICE_SIDE, SLICE_SIDE, 1, &e), 0);
        struct sample *at = realloc(maps.samples, 8 * sizeof *at);
        struct sample *of = realloc(classes.samples, 8 * sizeof *of);
        ck_assert(at && of);
        maps.samples = at;
        classes.samples = of;
        at[i] = (struct sample){.path = image, .mask = map, .classes = {-1, -1, -1}};
        at[i].patient = strdup("");
        of[i] = (struct sample){.path = strdup(image), .patient = strdup("")};
        of[i].classes[i % 3] = 1;
        maps.count = classes.count = (size_t)i + 1;
        free(pixels);
        phantom_free(&p);
    }
}

static struct loop_options small_options(void)
{
    struct loop_options o = loop_paper();
    o.adam.lr = 1e-3f;
    o.iterations = 6;
    o.warmup = 2;
    o.schedule = SCHEDULE_COSINE;
    o.average = .9f;
    o.augment = (struct augment_options){.flip = .5f, .rotate = 10, .scale = .2f, .noise = .02f};
    o.sampling.rpn_fg_iou_thresh = o.sampling.box_fg_iou_thresh = .5f;
    o.sampling.box_batch_size_per_image = 32;
    o.seed = 5;
    return o;
}

static struct loop *open_loop(struct network *n, const struct loop_options *o)
{
    struct loop *l;
    make_data();
    ck_assert_msg(loop_open(&l, n, &maps, &classes, o, &err) == 0, "%s", err.text);
    return l;
}

static struct loop_report iterate(struct loop *l)
{
    struct loop_report r;
    ck_assert_msg(loop_iterate(l, &r, &err) == 0, "%s", err.text);
    return r;
}

static void expect_equal(const struct params *a, const struct params *b)
{
    ck_assert_int_eq(params_count(a), params_count(b));
    for (int i = 0; i < params_count(a); i++) {
        const struct param *p = params_peek(a, i), *q = params_peek(b, i);
        ck_assert_msg(memcmp(p->value, q->value, (size_t)p->count * sizeof(float)) == 0,
                      "%s differs", p->name);
    }
}

static const float *value_of(const struct network *n, const char *name)
{
    int index = params_find(n->params, name);
    ck_assert_msg(index >= 0, "%s", name);
    return params_peek(n->params, index)->value;
}

/* ---- first weights ---- */

struct spread {
    double mean, deviation, largest;
};

static struct spread spread_of(const struct network *n, const char *name)
{
    struct spread s = {0};
    int index = params_find(n->params, name);
    ck_assert_msg(index >= 0, "%s", name);
    const struct param *p = params_peek(n->params, index);
    for (int64_t i = 0; i < p->count; i++) {
        double v = (double)p->value[i];
        s.mean += v / (double)p->count;
        s.deviation += v * v / (double)p->count;
        s.largest = fmax(s.largest, fabs(v));
    }
    s.deviation = sqrt(s.deviation - s.mean * s.mean);
    return s;
}

START_TEST(first_weights_follow_the_paper)
{
    struct network *n;
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "resnet18");
    ck_assert_int_eq(network_create(&n, &config, &err), 0);
    ck_assert_int_eq(init_parameters(n, INIT_PAPER, 3, &err), 0);
    static const struct {
        const char *name;
        double deviation, mean;
    } expected[] = {
        {"backbone.body.layer4.1.conv2.weight", 0.02083, 0}, /* sqrt(2 / (512 * 9)) */
        {"backbone.fpn.inner_blocks.0.bias", 0, 0},
        {"rpn.head.conv.weight", .01, 0},
        {"rpn.head.conv.bias", 0, 0},
        {"attn_layer.lstm_pos.weight_hh_l0", .03608, 0}, /* (1 / 16) / sqrt(3) */
        {"attn_layer.lstm_neg.bias_ih_l0", .03608, 0},
        {"roi_heads.box_head.fc6.weight", .005155, 0},                 /* (1 / 112) / sqrt(3) */
        {"roi_heads.mask_predictor_s2.conv_reduce.weight", .02946, 0}, /* sqrt(2 / (256 * 9)) */
        {"roi_heads.mask_predictor_s2.conv_reduce.bias", 0, .01},
        {"attn_layer.sieve.0.conv_up.weight", .0625, 0}, /* (128, 256, 2, 2): sqrt(2 / (128 * 4)) */
        {"pos_classifier_attn.fc_l1.weight", .125, 0},   /* sqrt(2 / 128) */
        {"neg_classifier_attn.fc_l2.bias", 0, .01},
        {"backbone.body.layer1.0.bn1.weight", 0, 1},
        {"backbone.body.layer1.0.bn1.bias", 0, 0},
        {"backbone.body.bn1.running_var", 0, 1},
        {"backbone.body.bn1.running_mean", 0, 0},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct spread s = spread_of(n, expected[i].name);
        ck_assert_msg(
            fabs(s.deviation - expected[i].deviation) <= .05 * expected[i].deviation + 1e-8,
            "%s: deviation %g, not %g", expected[i].name, s.deviation, expected[i].deviation);
        ck_assert_msg(fabs(s.mean - expected[i].mean) <= .05 * expected[i].deviation + 1e-8,
                      "%s: mean %g, not %g", expected[i].name, s.mean, expected[i].mean);
    }
    ck_assert_double_le(spread_of(n, "attn_layer.lstm_pos.weight_hh_l0").largest, 1. / 16);
    network_free(n);
}
END_TEST

START_TEST(first_weights_depend_on_the_seed_alone)
{
    struct network *a = small_network(7), *b = small_network(7), *c = small_network(8);
    expect_equal(a->params, b->params);
    ck_assert_float_ne(value_of(a, "backbone.body.conv1.weight")[0],
                       value_of(c, "backbone.body.conv1.weight")[0]);
    ck_assert_double_le(spread_of(a, "pos_classifier_attn.class_predict_logits.weight").largest,
                        .05);
    network_free(a);
    network_free(b);
    network_free(c);
}
END_TEST

/* ---- order ---- */

START_TEST(an_epoch_meets_every_sample_once)
{
    struct draw *d;
    make_data();
    ck_assert_int_eq(draw_open(&d, &maps, 0, 9, &err), 0);
    size_t order[3 * SLICES];
    for (int64_t i = 0; i < 3 * SLICES; i++)
        order[i] = draw_at(d, i);
    for (int epoch = 0; epoch < 3; epoch++) {
        int met = 0;
        for (int i = 0; i < SLICES; i++)
            met |= 1 << order[epoch * SLICES + i];
        ck_assert_int_eq(met, (1 << SLICES) - 1);
    }
    for (int64_t i = 3 * SLICES - 1; i >= 0; i--) /* asked in any order: where it was is not kept */
        ck_assert_uint_eq(draw_at(d, i), order[i]);
    draw_close(d);
}
END_TEST

START_TEST(balanced_groups_are_met_as_often_as_asked)
{
    enum { SAMPLES = 100, DRAWS = 20000 };
    struct sample samples[SAMPLES];
    const struct dataset data = {.count = SAMPLES, .samples = samples};
    for (int i = 0; i < SAMPLES; i++) {
        samples[i] = (struct sample){.classes = {0, 0, 1}};
        if (i < 4)
            samples[i] = (struct sample){.classes = {1, 0, 0}};
    }
    static const float balance[] = {.5f, 1};
    static const double share[] = {2 / (2 + 9.79796), .5}; /* sqrt(4) and sqrt(96); even */
    for (int k = 0; k < 2; k++) {
        struct draw *d;
        int rare = 0;
        ck_assert_int_eq(draw_open(&d, &data, balance[k], 1, &err), 0);
        for (int i = 0; i < DRAWS; i++)
            rare += draw_at(d, i) < 4;
        ck_assert_double_eq_tol((double)rare / DRAWS, share[k], .015);
        draw_close(d);
    }
}
END_TEST

START_TEST(the_rate_rises_and_falls)
{
    struct loop_options o = loop_paper();
    o.adam.lr = 1;
    o.iterations = 110;
    ck_assert_double_eq(loop_learning_rate(&o, 109), 1);
    o.warmup = 10;
    ck_assert_double_eq_tol(loop_learning_rate(&o, 0), .1, 1e-9);
    ck_assert_double_eq_tol(loop_learning_rate(&o, 9), 1, 1e-9);
    o.schedule = SCHEDULE_COSINE;
    o.final_lr = .2f;
    ck_assert_double_eq_tol(loop_learning_rate(&o, 10), 1, 1e-9);
    ck_assert_double_eq_tol(loop_learning_rate(&o, 60), .6, 1e-6);
    ck_assert_double_eq_tol(loop_learning_rate(&o, 110), .2, 1e-6);
}
END_TEST

/* ---- iterations ---- */

START_TEST(a_restored_run_continues_to_the_bit)
{
    const struct loop_options o = small_options();
    struct network *straight = small_network(1), *stopped = small_network(1);
    struct network *resumed = small_network(2); /* other values: all must come from the file */
    struct loop *a = open_loop(straight, &o), *b = open_loop(stopped, &o);
    struct loop *c = open_loop(resumed, &o);
    const char *path = scratch("run.safetensors");
    double best = 0;
    for (int i = 0; i < 4; i++)
        iterate(a);
    for (int i = 0; i < 2; i++)
        iterate(b);
    ck_assert_msg(loop_save(b, path, "lr 1\nseed 5\n", .25, &err) == 0, "%s", err.text);
    ck_assert_msg(loop_restore(c, path, "lr 1\nseed 5\n", &best, &err) == 0, "%s", err.text);
    ck_assert_double_eq(best, .25);
    ck_assert_int_eq(loop_position(c), 2);
    for (int i = 0; i < 2; i++)
        iterate(c);
    expect_equal(straight->params, resumed->params);
    /* moments, averages and positions as well: checkpoints are equal byte by byte */
    const char *one = scratch("one"), *two = scratch("two");
    size_t n, m;
    ck_assert_int_eq(loop_save(a, one, "", NAN, &err), 0);
    ck_assert_int_eq(loop_save(c, two, "", NAN, &err), 0);
    unsigned char *x = scratch_read(one, &n), *y = scratch_read(two, &m);
    ck_assert_uint_eq(n, m);
    ck_assert_int_eq(memcmp(x, y, n), 0);
    free(x);
    free(y);
    loop_close(a);
    loop_close(b);
    loop_close(c);
    network_free(straight);
    network_free(stopped);
    network_free(resumed);
}
END_TEST

START_TEST(steps_change_what_they_may)
{
    static const char *const frozen[] = {"backbone.body.layer1.", "rpn.", NULL};
    struct loop_options o = small_options();
    o.freeze = frozen;
    o.classify_from = 1;
    struct network *n = small_network(1), *before = small_network(1);
    struct loop *l = open_loop(n, &o);
    struct loop_report r = iterate(l);
    ck_assert(r.segmented && !r.classified && r.copied); /* the first loss is below infinity */
    ck_assert_double_gt(r.loss[LOSS_OBJECTNESS], 0);
    ck_assert_double_eq(r.loss[LOSS_IMAGE], 0);
    static const struct {
        const char *name;
        bool changed;
    } expected[] = {
        {"backbone.body.conv1.weight", true},
        {"backbone.body.layer1.0.conv1.weight", false},
        {"backbone.body.layer1.0.bn1.weight", false},
        {"rpn.head.conv.weight", false},
        {"roi_heads.box_head.fc7.weight", true},
        {"roi_heads.mask_predictor_s2.conv_reduce.weight", false},
        {"attn_layer.conv_d1.weight", false}, /* of the other step, which did not run */
        {"pos_classifier_attn.fc_l1.weight", false},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const float *was = value_of(before, expected[i].name), *is = value_of(n, expected[i].name);
        ck_assert_msg((was[3] != is[3]) == expected[i].changed, "%s", expected[i].name);
    }
    ck_assert_mem_eq(value_of(n, "roi_heads.box_head_s2.fc7.weight"),
                     value_of(n, "roi_heads.box_head.fc7.weight"), 16 * 16 * sizeof(float));
    r = iterate(l);
    ck_assert(r.classified);
    ck_assert_double_gt(r.loss[LOSS_IMAGE], 0);
    ck_assert_float_ne(value_of(n, "pos_classifier_attn.fc_l1.weight")[3],
                       value_of(before, "pos_classifier_attn.fc_l1.weight")[3]);
    ck_assert_float_eq(value_of(n, "backbone.body.layer1.0.conv1.weight")[3],
                       value_of(before, "backbone.body.layer1.0.conv1.weight")[3]);
    loop_close(l);
    network_free(n);
    network_free(before);
}
END_TEST

START_TEST(the_average_is_what_is_exported)
{
    struct loop_options o = small_options();
    struct network *n = small_network(1);
    struct loop *l = open_loop(n, &o);
    static const char name[] = "roi_heads.box_head.fc7.weight";
    double average = (double)value_of(n, name)[5];
    for (int i = 0; i < 2; i++) {
        iterate(l);
        double step = 1 - fmin(.9, (1. + i) / (10. + i));
        average += step * ((double)value_of(n, name)[5] - average);
    }
    float now = value_of(n, name)[5];
    ck_assert_int_eq(loop_export(l, scratch("average"), false, &err), 0);
    ck_assert_float_eq(value_of(n, name)[5], now); /* training goes on with its own */
    struct safetensors *file;
    struct network *read;
    ck_assert_int_eq(safetensors_open(&file, scratch("average"), &err), 0);
    ck_assert_msg(network_load(&read, file, &err) == 0, "%s", err.text);
    ck_assert_double_eq_tol((double)value_of(read, name)[5], average, 1e-7);
    ck_assert_float_ne(value_of(read, name)[5], now);
    network_free(read);
    safetensors_close(file);
    loop_close(l);
    network_free(n);
}
END_TEST

/* ---- what must be refused ---- */

START_TEST(checkpoints_of_other_runs_are_refused)
{
    const struct loop_options o = small_options();
    struct network *n = small_network(1);
    struct loop *l = open_loop(n, &o);
    double best;
    char *path = strdup(scratch("kept"));
    ck_assert_int_eq(loop_save(l, path, "lr 1\nseed 5\n", NAN, &err), 0);
    ck_assert_int_ne(loop_restore(l, path, "lr 1\nseed 6\n", &best, &err), 0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "\"seed 5\""));
    ck_assert_ptr_nonnull(strstr(err.text, "\"seed 6\""));
    ck_assert_int_ne(loop_restore(l, path, "lr 1\n", &best, &err), 0);
    ck_assert_int_eq(network_save(n, scratch("model"), false, &err), 0);
    ck_assert_int_ne(loop_restore(l, scratch("model"), "lr 1\nseed 5\n", &best, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    ck_assert_int_ne(loop_restore(l, scratch("missing"), "", &best, &err), 0);
    ck_assert_int_eq(err.code, ERR_IO);

    size_t length;
    unsigned char *bytes = scratch_read(path, &length);
    for (int i = 0; i < 3; i++) { /* cut anywhere */
        scratch_write(scratch("cut"), bytes, length * (size_t)i / 3 + 3);
        ck_assert_int_ne(loop_restore(l, scratch("cut"), "lr 1\nseed 5\n", &best, &err), 0);
    }
    free(bytes);
    ck_assert_msg(loop_restore(l, path, "lr 1\nseed 5\n", &best, &err) == 0, "%s", err.text);
    ck_assert(isnan(best));
    free(path);
    loop_close(l);
    network_free(n);
}
END_TEST

START_TEST(bad_options_and_lost_files_are_named)
{
    struct network *n = small_network(1);
    struct loop_options o = small_options();
    struct loop *l;
    make_data();
    o.iterations = 0;
    ck_assert_int_ne(loop_open(&l, n, &maps, &classes, &o, &err), 0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
    o = small_options();
    o.augment.flip = 2;
    ck_assert_int_ne(loop_open(&l, n, &maps, &classes, &o, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "flip"));
    o = small_options();
    ck_assert_int_ne(loop_open(&l, n, NULL, NULL, &o, &err), 0);
    o.adam.lr = 1e30f;
    l = open_loop(n, &o);
    struct loop_report r;
    int rc = 0;
    for (int i = 0; i < 5 && rc == 0; i++)
        rc = loop_iterate(l, &r, &err);
    ck_assert_int_ne(rc, 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    ck_assert_msg(strstr(err.text, "learning rate") != NULL, "%s", err.text);
    loop_close(l);

    char *good = maps.samples[0].path, gone[] = "/nowhere/slice.png";
    o = small_options();
    for (size_t i = 0; i < maps.count; i++)
        maps.samples[i].path = gone;
    ck_assert_int_eq(init_parameters(n, INIT_SMALL_LOGITS, 1, &err), 0);
    ck_assert_int_eq(loop_open(&l, n, &maps, NULL, &o, &err), 0);
    ck_assert_int_ne(loop_iterate(l, &r, &err), 0);
    ck_assert_msg(strstr(err.text, "/nowhere/slice.png") != NULL, "%s", err.text);
    loop_close(l);
    free(good);
    maps.count = 0;
    network_free(n);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("training loop");
    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, first_weights_follow_the_paper);
    tcase_add_test(tc, first_weights_depend_on_the_seed_alone);
    tcase_add_test(tc, an_epoch_meets_every_sample_once);
    tcase_add_test(tc, balanced_groups_are_met_as_often_as_asked);
    tcase_add_test(tc, the_rate_rises_and_falls);
    tcase_add_test(tc, a_restored_run_continues_to_the_bit);
    tcase_add_test(tc, steps_change_what_they_may);
    tcase_add_test(tc, the_average_is_what_is_exported);
    tcase_add_test(tc, checkpoints_of_other_runs_are_refused);
    tcase_add_test(tc, bad_options_and_lost_files_are_named);
    return run_case_here("training loop", tc);
}
