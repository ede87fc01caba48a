/* net/network, net/store: parameters by name and shape, costs, files. */
#include "model/net/network.h"

#include <math.h>

#include "model/net/store.h"
#include "model/nn/safetensors.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"
#include "tests/unit/scratch.h"

/* The smallest network there is, for tests of files. */
static struct model_config small(void)
{
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "resnet18");
    config.out_channels = 16;
    config.representation = 8;
    return config;
}

static struct network *create(const struct model_config *config)
{
    struct error err = {.text = ""};
    struct network *network;
    ck_assert_msg(network_create(&network, config, &err) == 0, "%s", err.text);
    return network;
}

/*
 * Of a PyTorch module with torchvision's bodies, as in tests/golden/make_golden.py: how many
 * tensors (without num_batches_tracked), how many trained numbers, FNV-1a over the sorted lines
 * "name 64x3x7x7\n", FLOPs of one slice with 200 proposals, 4 masks, 16 regions.
 */
static const struct {
    const char *backbone;
    int tensors;
    int64_t parameters;
    uint64_t hash;
    double flops;
} expected[] = {
    {"resnet18", 188, 23356808, 0xf39ca3d8d7ca3f24u, 46259815936.0},
    {"resnet34", 268, 33464968, 0x2b79b145912acd98u, 65587168768.0},
    {"resnet50", 353, 36081544, 0xd2207d4aff2ff104u, 70217680384.0},
    {"resnet101", 608, 55073672, 0x92972f66e832587cu, 109006603776.0},
    {"resnext50_32x4d", 353, 35553416, 0xef83ac817f48bbb1u, 71694075392.0},
    {"resnext101_32x8d", 608, 99315848, 0x1a441ed89832276fu, 198999590400.0},
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint64_t hash_names(const struct params *params)
{
    int count = params_count(params);
    char **lines = malloc((size_t)count * sizeof *lines);
    for (int i = 0; i < count; i++) {
        const struct param *p = params_peek(params, i);
        char line[256];
        int used = snprintf(line, sizeof line, "%s ", p->name);
        for (int k = 0; k < p->rank; k++)
            used += snprintf(line + used, sizeof line - (size_t)used, "%s%d", k ? "x" : "",
                             (int)p->dim[k]);
        snprintf(line + used, sizeof line - (size_t)used, "\n");
        lines[i] = strdup(line);
    }
    qsort(lines, (size_t)count, sizeof *lines, by_text);
    uint64_t hash = 0xCBF29CE484222325u;
    for (int i = 0; i < count; i++) {
        for (const char *c = lines[i]; *c; c++)
            hash = (hash ^ (unsigned char)*c) * 0x100000001B3u;
        free(lines[i]);
    }
    free(lines);
    return hash;
}

START_TEST(parameters_are_those_of_the_state_dict)
{
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "%s", expected[_i].backbone);
    struct network *network = create(&config);
    ck_assert_int_eq(params_count(network->params), expected[_i].tensors);
    ck_assert_int_eq(params_total(network->params), expected[_i].parameters);
    ck_assert_msg(hash_names(network->params) == expected[_i].hash, "names or shapes differ");
    ck_assert_msg(network_flops(network, 4) == expected[_i].flops, "%.1f",
                  network_flops(network, 4));
    network_free(network);
}
END_TEST

START_TEST(no_detections_cost_nothing)
{
    struct model_config config = small();
    struct network *network = create(&config);
    double four = network_flops(network, 4), none = network_flops(network, 0);
    ck_assert(network_flops(network, 8) - four == four - none);
    ck_assert(four > none);
    network_free(network);
}
END_TEST

START_TEST(settings_shape_the_network)
{
    struct model_config config = small();
    config.anchor_sizes_n = 3;
    config.anchor_ratios_n = 2;
    config.representation = 24;
    struct network *n = create(&config);
    static const struct {
        const char *name;
        int64_t dim[4];
    } shapes[] = {
        {"backbone.fpn.inner_blocks.0.weight", {16, 512, 1, 1}},
        {"rpn.head.cls_logits.weight", {6, 16, 1, 1}},
        {"rpn.head.bbox_pred.weight", {24, 16, 1, 1}},
        {"roi_heads.box_head_s2.fc6.weight", {24, 16 * 49}},
        {"attn_layer.sieve.0.conv_up.weight", {8, 16, 2, 2}},
        {"neg_classifier_attn.fc_l1.weight", {24, 16}},
    };
    ck_assert_int_eq(network_anchors(n), 6);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct param *p = params_peek(n->params, params_find(n->params, shapes[i].name));
        ck_assert_mem_eq(p->dim, shapes[i].dim, (size_t)p->rank * sizeof *p->dim);
    }
    network_free(n);
}
END_TEST

START_TEST(a_bad_configuration_makes_no_network)
{
    struct model_config config = small();
    struct error err = {.code = ERR_NONE};
    struct network *network = (struct network *)1;
    snprintf(config.backbone, sizeof config.backbone, "vgg16");
    ck_assert_int_eq(network_create(&network, &config, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_CONFIG);
    ck_assert_ptr_null(network);
    network_free(NULL);
}
END_TEST

START_TEST(no_memory_is_an_error)
{
    struct model_config config = small();
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 188};
    while (oom_next(&walk)) {
        struct network *network;
        int rc = network_create(&network, &config, &err);
        network_free(network);
        oom_judge(&walk, rc);
    }
}
END_TEST

/* ---- files ---- */

static struct network *filled(void)
{
    struct error err;
    struct model_config config = small();
    snprintf(config.name, sizeof config.name, "a name");
    snprintf(config.trained_on, sizeof config.trained_on, "nothing: \"noise\"");
    config.attention_norm = NORM_BATCH;
    config.anchor_sizes_n = 2;
    config.anchor_ratios[1] = 1 / 3.0f;
    config.box_score_thresh = 0.1f;
    config.beta = 7;
    struct network *network = create(&config);
    ck_assert_int_eq(params_fill(network->params, 5, &err), 0);
    return network;
}

/* Saves a network and opens what was written. */
static struct network *again(const struct network *network, bool half, struct safetensors **file)
{
    struct error err = {.text = ""};
    struct network *loaded;
    const char *path = scratch(half ? "half" : "whole");
    ck_assert_msg(network_save(network, path, half, &err) == 0, "%s", err.text);
    ck_assert_msg(safetensors_open(file, path, &err) == 0, "%s", err.text);
    ck_assert_msg(network_load(&loaded, *file, &err) == 0, "%s", err.text);
    return loaded;
}

static void same_configuration(const struct model_config *a, const struct model_config *b)
{
    char left[CONFIG_VALUE_SIZE], right[CONFIG_VALUE_SIZE];
    const char *key;
    for (int i = 0; config_get(a, i, &key, left) == 0; i++) {
        ck_assert_int_eq(config_get(b, i, &key, right), 0);
        ck_assert_msg(strcmp(left, right) == 0, "%s: %s, %s", key, left, right);
    }
}

START_TEST(what_is_saved_loads_to_the_bit)
{
    struct safetensors *file;
    struct network *network = filled(), *loaded = again(network, false, &file);
    same_configuration(&network->config, &loaded->config);
    ck_assert_int_eq(safetensors_count(file), params_count(network->params));
    for (int i = 0; i < params_count(network->params); i++) {
        const struct param *a = params_peek(network->params, i);
        const struct param *b = params_peek(loaded->params, i);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_mem_eq(a->value, b->value, (size_t)a->count * sizeof(float));
    }
    network_free(loaded);
    safetensors_close(file);
    network_free(network);
}
END_TEST

/* Weights are rounded; biases, norms and statistics, which are few, are not. */
START_TEST(half_precision_is_for_weights)
{
    struct safetensors *file;
    struct network *network = filled(), *loaded = again(network, true, &file);
    for (int i = 0; i < params_count(network->params); i++) {
        const struct param *a = params_peek(network->params, i);
        const struct param *b = params_peek(loaded->params, i);
        const struct tensor_view *view = safetensors_find(file, a->name);
        ck_assert_int_eq(view->dtype, a->role == PARAM_WEIGHT ? DTYPE_F16 : DTYPE_F32);
        int64_t off = 0;
        for (int64_t k = 0; k < a->count; k++)
            off += !(fabsf(a->value[k] - b->value[k]) <= fabsf(a->value[k]) / 2048 + 6e-8f);
        ck_assert_msg(off == 0, "%s", a->name);
        if (a->role != PARAM_WEIGHT)
            ck_assert_mem_eq(a->value, b->value, (size_t)a->count * sizeof(float));
    }
    network_free(loaded);
    safetensors_close(file);
    network_free(network);
}
END_TEST

/* A file with a setting changed: metadata, and every tensor but none of the bytes. */
static int load_with(const char *key, const char *value, struct error *err)
{
    struct safetensors_writer *w;
    struct safetensors *file;
    struct network *network = NULL;
    const char *path = scratch("other");
    ck_assert_int_eq(safetensors_writer_open(&w, path, err), 0);
    ck_assert_int_eq(safetensors_writer_metadata(w, key, value, err), 0);
    ck_assert_int_eq(safetensors_writer_commit(w, err), 0);
    safetensors_writer_close(w);
    ck_assert_int_eq(safetensors_open(&file, path, err), 0);
    int rc = network_load(&network, file, err);
    ck_assert_ptr_null(network);
    safetensors_close(file);
    return rc;
}

START_TEST(files_that_do_not_fit_are_refused)
{
    struct error err = {.code = ERR_NONE};
    ck_assert_int_eq(load_with("backbone", "resnet7", &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_CONFIG);
    ck_assert_int_eq(load_with("beta", "many", &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_CONFIG);
    ck_assert_int_eq(load_with("rpn_pre_nms_top_n", "10", &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_CONFIG);
    ck_assert_int_eq(load_with("backbone", "resnet18", &err), -1); /* and no tensors */
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    ck_assert_ptr_nonnull(strstr(err.text, "188 of the tensors"));
    ck_assert_int_eq(load_with("unknown", "key", &err), -1); /* the default configuration */
    ck_assert_ptr_nonnull(strstr(err.text, "353 of the tensors"));
}
END_TEST

START_TEST(saving_reports_what_failed)
{
    struct error err = {.code = ERR_NONE};
    struct network *network = filled();
    ck_assert_int_eq(network_save(network, scratch("no/such/folder"), false, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "no/such/folder"));
    network_free(network);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("network");
    tcase_add_loop_test(tc, parameters_are_those_of_the_state_dict, 0, 6);
    tcase_add_test(tc, no_detections_cost_nothing);
    tcase_add_test(tc, settings_shape_the_network);
    tcase_add_test(tc, a_bad_configuration_makes_no_network);
    tcase_add_test(tc, no_memory_is_an_error);
    tcase_add_test(tc, what_is_saved_loads_to_the_bit);
    tcase_add_test(tc, half_precision_is_for_weights);
    tcase_add_test(tc, files_that_do_not_fit_are_refused);
    tcase_add_test(tc, saving_reports_what_failed);
    return run_case_here("network", tc);
}
