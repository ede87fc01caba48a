/* net/config: every key as text and back, bad values, what no single key shows. */
#include "model/net/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/backbone.h"
#include "tests/unit/run.h"

static void set(struct model_config *config, const char *key, const char *value)
{
    struct error err = {.text = ""};
    ck_assert_msg(config_set(config, key, value, &err) == 0, "%s = %s: %s", key, value, err.text);
}

/* The text of a key as config_get() gives it. */
static const char *get(const struct model_config *config, const char *wanted)
{
    static char value[CONFIG_VALUE_SIZE];
    const char *key;
    for (int i = 0; config_get(config, i, &key, value) == 0; i++)
        if (strcmp(key, wanted) == 0)
            return value;
    ck_abort_msg("no key %s", wanted);
    return NULL;
}

/* Key, a value that is not the default, and both ends of what is allowed. */
static const struct {
    const char *key, *value, *least, *most;
} good[] = {
    {"name", "a model", "", "x"},
    {"version", "2.1-beta", "", "v"},
    {"backbone", "resnet101", "resnet18", "resnext101_32x8d"},
    {"backbone_batch_norm", "batch", "running", "batch"},
    {"attention_batch_norm", "batch", "running", "batch"},
    {"out_channels", "64", "16", "1024"},
    {"representation", "96", "1", "4096"},
    {"anchor_sizes", "2,4,8,16,32,64,128", "1", "1024"},
    {"anchor_ratios", "0.5,1,2", "0.00999999978", "100"},
    {"rpn_pre_nms_top_n", "350", "1", "1000"},
    {"rpn_post_nms_top_n", "150", "1", "1000"},
    {"rpn_nms_thresh", "0.699999988", "0", "1"},
    {"beta", "24", "1", "256"},
    {"region_nms_thresh", "0.300000012", "0", "1"},
    {"box_score_thresh", "0.0500000007", "0", "0.999998987"},
    {"box_nms_thresh", "0.400000006", "0", "1"},
    {"box_detections_per_img", "100", "1", "128"},
    {"trained", "true", "false", "true"},
    {"trained_on", "slices, \"quoted\", \xc3\xbcml", "", "x"},
};

enum { GOOD = sizeof good / sizeof *good };

START_TEST(every_key_is_in_the_table)
{
    struct model_config config = config_default();
    char value[CONFIG_VALUE_SIZE];
    const char *key;
    int count = 0;
    for (; config_get(&config, count, &key, value) == 0; count++) {
        int found = 0;
        for (int i = 0; i < GOOD; i++)
            found += strcmp(good[i].key, key) == 0;
        ck_assert_msg(found == 1, "%s", key);
    }
    ck_assert_int_eq(count, GOOD);
    ck_assert_int_eq(config_get(&config, -1, &key, value), -1);
    ck_assert_int_eq(config_get(&config, GOOD + 1, &key, value), -1);
}
END_TEST

START_TEST(values_are_taken_and_given_back)
{
    struct model_config config = config_default();
    ck_assert_str_ne(get(&config, good[_i].key), good[_i].value);
    set(&config, good[_i].key, good[_i].value);
    ck_assert_str_eq(get(&config, good[_i].key), good[_i].value);
    set(&config, good[_i].key, good[_i].least);
    ck_assert_str_eq(get(&config, good[_i].key), good[_i].least);
    set(&config, good[_i].key, good[_i].most);
    ck_assert_str_eq(get(&config, good[_i].key), good[_i].most);
}
END_TEST

/* All keys of one configuration into another: the same bits. */
START_TEST(a_configuration_survives_as_text)
{
    struct model_config from, to;
    memset(&from, 0, sizeof from); /* padding too */
    from = config_default();
    for (int round = 0; round < 2; round++) {
        char value[CONFIG_VALUE_SIZE];
        const char *key;
        memset(&to, 0, sizeof to);
        to = config_default();
        for (int i = 0; config_get(&from, i, &key, value) == 0; i++)
            set(&to, key, value);
        for (int i = 0; config_get(&from, i, &key, value) == 0; i++)
            ck_assert_str_eq(get(&to, key), value);
        ck_assert_mem_eq(to.anchor_sizes, from.anchor_sizes,
                         (size_t)from.anchor_sizes_n * sizeof(float));
        ck_assert_mem_eq(to.anchor_ratios, from.anchor_ratios,
                         (size_t)from.anchor_ratios_n * sizeof(float));
        ck_assert_int_eq(to.anchor_sizes_n, from.anchor_sizes_n);
        ck_assert_int_eq(to.anchor_ratios_n, from.anchor_ratios_n);
        ck_assert(to.rpn_nms_thresh == from.rpn_nms_thresh);
        ck_assert(to.region_nms_thresh == from.region_nms_thresh);
        ck_assert(to.box_score_thresh == from.box_score_thresh);
        ck_assert(to.box_nms_thresh == from.box_nms_thresh);
        for (int i = 0; i < GOOD; i++)
            set(&from, good[i].key, good[i].value);
        set(&from, "anchor_ratios", "0.1,0.3,0.7,1.1,3.3333333");
    }
}
END_TEST

START_TEST(defaults_are_the_papers)
{
    struct model_config c = config_default();
    struct error err;
    ck_assert_int_eq(config_check(&c, &err), 0);
    ck_assert_str_eq(get(&c, "anchor_sizes"), "2,4,8,16,32");
    ck_assert_int_eq(c.anchor_sizes_n * c.anchor_ratios_n, 30);
    ck_assert_int_eq(c.beta, 16);
    ck_assert_int_eq(c.out_channels, 256);
    ck_assert_int_eq(c.representation, 128);
    ck_assert_int_eq(c.rpn_pre_nms_top_n, 400);
    ck_assert_int_eq(c.rpn_post_nms_top_n, 200);
    ck_assert(c.rpn_nms_thresh == .75f && c.region_nms_thresh == .25f);
    ck_assert(c.box_score_thresh == .75f && c.box_nms_thresh == .5f);
    ck_assert_int_eq(c.box_detections_per_img, 4);
    ck_assert(!c.trained);
}
END_TEST

START_TEST(one_key_sets_both_norms)
{
    struct model_config c = config_default();
    struct error err;
    set(&c, "batch_norm", "batch");
    ck_assert(c.backbone_norm == NORM_BATCH && c.attention_norm == NORM_BATCH);
    set(&c, "batch_norm", "running");
    ck_assert(c.backbone_norm == NORM_RUNNING && c.attention_norm == NORM_RUNNING);
    set(&c, "attention_batch_norm", "batch");
    ck_assert(c.backbone_norm == NORM_RUNNING && c.attention_norm == NORM_BATCH);
    ck_assert_int_eq(config_set(&c, "batch_norm", "none", &err), -1);
    ck_assert(c.backbone_norm == NORM_RUNNING && c.attention_norm == NORM_BATCH);
}
END_TEST

START_TEST(unknown_keys_are_not_ours)
{
    struct model_config c = config_default();
    set(&c, "format", "pt");
    set(&c, "", "");
    set(&c, "out_channels ", "7");
    ck_assert_int_eq(c.out_channels, 256);
}
END_TEST

static const struct {
    const char *key, *value;
} bad[] = {
    {"backbone_batch_norm", "Batch"},
    {"attention_batch_norm", ""},
    {"batch_norm", "running "},
    {"out_channels", "15"},
    {"out_channels", "1025"},
    {"out_channels", ""},
    {"out_channels", "64.5"},
    {"out_channels", "64 channels"},
    {"out_channels", "nan"},
    {"out_channels", "99999999999999999999"},
    {"representation", "0"},
    {"representation", "-4"},
    {"representation", "1e9"},
    {"anchor_sizes", ""},
    {"anchor_sizes", "2,"},
    {"anchor_sizes", ",2"},
    {"anchor_sizes", "2,,4"},
    {"anchor_sizes", "2;4"},
    {"anchor_sizes", "0,4"},
    {"anchor_sizes", "4,inf"},
    {"anchor_sizes", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"},
    {"anchor_ratios", "0.001"},
    {"anchor_ratios", "1,101"},
    {"rpn_pre_nms_top_n", "0"},
    {"rpn_post_nms_top_n", "1001"},
    {"rpn_nms_thresh", "-0.1"},
    {"rpn_nms_thresh", "1.01"},
    {"beta", "0"},
    {"beta", "257"},
    {"region_nms_thresh", "0.5x"},
    {"box_score_thresh", "1"},
    {"box_score_thresh", "-1"},
    {"box_nms_thresh", "two"},
    {"box_detections_per_img", "0"},
    {"box_detections_per_img", "129"},
    {"trained", "yes"},
    {"trained", "1"},
    {"trained", ""},
    {"name", "a name of more than sixty-three bytes does not fit into what is kept of it"},
    {"version", "a version of more than thirty-one"},
    {"backbone", "a backbone of more than thirty-one"},
};

/* The error names the key and, from where it went wrong, what was found. */
START_TEST(bad_values_are_refused)
{
    struct model_config c = config_default();
    struct error err = {.code = ERR_NONE, .text = ""};
    ck_assert_msg(config_set(&c, bad[_i].key, bad[_i].value, &err) == -1, "%s = %s", bad[_i].key,
                  bad[_i].value);
    ck_assert_int_eq(err.code, ERR_BAD_CONFIG);
    char start[32];
    snprintf(start, sizeof start, "%.20s", bad[_i].value);
    bool list = strncmp(bad[_i].key, "anchor_", 7) == 0;
    ck_assert_msg(strstr(err.text, bad[_i].key) && (list || strstr(err.text, start)), "%s",
                  err.text);
}
END_TEST

START_TEST(settings_must_fit_together)
{
    struct error err = {.text = ""};
    struct model_config c = config_default();
    set(&c, "backbone", "resnet19");
    ck_assert_int_eq(config_check(&c, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "resnet19"));
    for (int i = 0; i < backbone_count(); i++)
        ck_assert_ptr_nonnull(strstr(err.text, backbone_at(i)->name));

    c = config_default();
    set(&c, "rpn_post_nms_top_n", "401");
    ck_assert_int_eq(config_check(&c, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "401"));
    set(&c, "rpn_pre_nms_top_n", "401");
    ck_assert_int_eq(config_check(&c, &err), 0);

    set(&c, "out_channels", "33");
    ck_assert_int_eq(config_check(&c, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "33"));
}
END_TEST

START_TEST(backbones_have_names)
{
    static const char *const names[] = {"resnet18",  "resnet34",        "resnet50",
                                        "resnet101", "resnext50_32x4d", "resnext101_32x8d"};
    ck_assert_int_eq(backbone_count(), 6);
    for (int i = 0; i < 6; i++) {
        ck_assert_ptr_nonnull(backbone_find(names[i]));
        ck_assert_str_eq(backbone_find(names[i])->name, names[i]);
        ck_assert_ptr_nonnull(strstr(backbone_names(), names[i]));
    }
    ck_assert_ptr_null(backbone_find("resnet"));
    ck_assert_ptr_null(backbone_find(""));
    ck_assert_ptr_null(backbone_at(-1));
    ck_assert_ptr_null(backbone_at(6));
}
END_TEST

int main(void)
{
    TCase *tc = test_case("model configuration");
    tcase_add_test(tc, every_key_is_in_the_table);
    tcase_add_loop_test(tc, values_are_taken_and_given_back, 0, GOOD);
    tcase_add_test(tc, a_configuration_survives_as_text);
    tcase_add_test(tc, defaults_are_the_papers);
    tcase_add_test(tc, one_key_sets_both_norms);
    tcase_add_test(tc, unknown_keys_are_not_ours);
    tcase_add_loop_test(tc, bad_values_are_refused, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tc, settings_must_fit_together);
    tcase_add_test(tc, backbones_have_names);
    return run_case_here("model configuration", tc);
}
