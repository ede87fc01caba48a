/* nn/params: the store, strict loading, the seeded filler. */
#include "model/nn/params.h"

#include <math.h>

#include "model/nn/safetensors.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"
#include "tests/unit/scratch.h"

static struct params *open_params(void)
{
    struct error err;
    struct params *params;
    ck_assert_int_eq(params_create(&params, &err), 0);
    return params;
}

static int declare(struct params *params, const char *name, enum param_role role, int rank,
                   const int64_t *dim)
{
    struct error err;
    int index = -1;
    ck_assert_msg(params_declare(params, &index, name, role, rank, dim, &err) == 0, "%s", err.text);
    return index;
}

/* ---- the store ---- */

START_TEST(names_are_found_however_many)
{
    struct params *params = open_params();
    char name[32];
    ck_assert_int_eq(params_find(params, "anything"), -1);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "layer%d.weight", i);
        ck_assert_int_eq(declare(params, name, PARAM_WEIGHT, 1, (const int64_t[]){i + 1}), i);
    }
    ck_assert_int_eq(params_count(params), 3000);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "layer%d.weight", i);
        ck_assert_int_eq(params_find(params, name), i);
        ck_assert_str_eq(params_peek(params, i)->name, name);
        ck_assert_int_eq(params_at(params, i)->count, i + 1);
    }
    ck_assert_int_eq(params_find(params, "layer3000.weight"), -1);
    ck_assert_int_eq(params_find(params, ""), -1);
    params_free(params);
    params_free(NULL);
}
END_TEST

START_TEST(a_name_has_one_shape)
{
    struct params *params = open_params();
    struct error err;
    int index = -1;
    int first = declare(params, "a", PARAM_WEIGHT, 2, (const int64_t[]){2, 3});
    ck_assert_int_eq(declare(params, "a", PARAM_WEIGHT, 2, (const int64_t[]){2, 3}), first);
    const int64_t swapped[] = {3, 2}, longer[] = {2, 3, 1};
    ck_assert_int_eq(params_declare(params, &index, "a", PARAM_WEIGHT, 2, swapped, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    ck_assert_int_eq(params_declare(params, &index, "a", PARAM_WEIGHT, 3, longer, &err), -1);
    ck_assert_int_eq(params_count(params), 1);
    params_free(params);
}
END_TEST

START_TEST(impossible_shapes_are_refused)
{
    struct params *params = open_params();
    struct error err;
    int index = -1;
    const int64_t bad[][4] = {
        {0, 1, 1, 1}, {1, -3, 1, 1}, {INT64_MAX, 2, 1, 1}, {1 << 30, 1 << 30, 1 << 30, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.code = ERR_NONE;
        ck_assert_int_eq(params_declare(params, &index, "b", PARAM_WEIGHT, 4, bad[i], &err), -1);
        ck_assert_int_eq(err.code, ERR_INTERNAL);
        ck_assert_ptr_nonnull(strstr(err.text, "b"));
    }
    ck_assert_int_eq(params_count(params), 0);
    params_free(params);
}
END_TEST

START_TEST(buffers_have_no_gradient_and_do_not_count)
{
    struct params *params = open_params();
    struct error err;
    int weight = declare(params, "n.weight", PARAM_SCALE, 1, (const int64_t[]){5});
    int mean = declare(params, "n.running_mean", PARAM_BUFFER, 1, (const int64_t[]){5});
    ck_assert_int_eq(params_total(params), 5);
    ck_assert_int_eq(params_enable_grad(params, &err), 0);
    ck_assert_ptr_nonnull(params_peek(params, weight)->grad);
    ck_assert_ptr_null(params_peek(params, mean)->grad);
    for (int k = 0; k < 5; k++) {
        ck_assert(params_peek(params, weight)->grad[k] == 0);
        params_at(params, weight)->grad[k] = 3;
    }
    const float *grad = params_peek(params, weight)->grad;
    ck_assert_int_eq(params_enable_grad(params, &err), 0); /* again: nothing happens */
    ck_assert_ptr_eq(params_peek(params, weight)->grad, grad);
    ck_assert(grad[4] == 3);
    params_clear_grad(params);
    ck_assert(grad[0] == 0 && grad[4] == 0);
    params_free(params);
}
END_TEST

/* ---- files ---- */

struct tensor {
    const char *name;
    enum dtype dtype;
    int rank;
    int64_t shape[4];
};

static const float values[12] = {1, -2, .5f, 4, 1e-3f, -6, 7, 8.25f, 9, -10, 11, 12};

/* A file whose tensors hold the beginning of `values`; the caller closes it. */
static struct safetensors *make_file(const char *name, const struct tensor *tensors, size_t count)
{
    struct error err = {.text = ""};
    struct safetensors_writer *w;
    struct safetensors *file = NULL;
    const char *path = scratch(name);
    ck_assert_int_eq(safetensors_writer_open(&w, path, &err), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(safetensors_writer_declare(w, tensors[i].name, tensors[i].dtype,
                                                    tensors[i].rank, tensors[i].shape, &err),
                         0);
    for (size_t i = 0; i < count; i++) {
        int64_t elements = 1, counter[12] = {41};
        for (int k = 0; k < tensors[i].rank; k++)
            elements *= tensors[i].shape[k];
        int rc = tensors[i].dtype == DTYPE_I64
                     ? safetensors_writer_put(w, tensors[i].name, counter,
                                              (size_t)elements * sizeof *counter, &err)
                     : safetensors_writer_put_f32(w, tensors[i].name, values, elements, &err);
        ck_assert_msg(rc == 0, "%s", err.text);
    }
    ck_assert_msg(safetensors_writer_commit(w, &err) == 0, "%s", err.text);
    safetensors_writer_close(w);
    ck_assert_msg(safetensors_open(&file, path, &err) == 0, "%s", err.text);
    return file;
}

static void holds_values(const struct params *params, const char *name, double tolerance)
{
    const struct param *p = params_peek(params, params_find(params, name));
    ck_assert_ptr_nonnull(p->value);
    for (int64_t k = 0; k < p->count; k++)
        ck_assert_msg(fabs((double)p->value[k] - (double)values[k]) <=
                          tolerance * fabs((double)values[k]),
                      "%s[%d]", name, (int)k);
}

START_TEST(values_come_from_a_file)
{
    static const struct tensor tensors[] = {
        {"a.weight", DTYPE_F32, 2, {3, 4}},
        {"a.bias", DTYPE_F16, 1, {3}},
        {"b.weight", DTYPE_BF16, 1, {4}},
        {"b.bias", DTYPE_F64, 1, {4}},
        {"b.num_batches_tracked", DTYPE_I64, 0, {0}},
        {"backbone.fpn.inner_blocks.0.0.weight", DTYPE_F32, 4, {2, 3, 1, 1}},
        {"backbone.fpn.inner_blocks.0.0.bias", DTYPE_F32, 1, {2}},
        {"backbone.fpn.layer_blocks.0.weight", DTYPE_F32, 4, {1, 2, 1, 1}},
        {"backbone.fpn.layer_blocks.0.0.bias", DTYPE_F32, 1, {1}},
    };
    struct params *params = open_params();
    struct error err = {.text = ""};
    declare(params, "a.weight", PARAM_WEIGHT, 2, (const int64_t[]){3, 4});
    declare(params, "a.bias", PARAM_BIAS, 1, (const int64_t[]){3});
    declare(params, "b.weight", PARAM_SCALE, 1, (const int64_t[]){4});
    declare(params, "b.bias", PARAM_SHIFT, 1, (const int64_t[]){4});
    declare(params, "backbone.fpn.inner_blocks.0.weight", PARAM_WEIGHT, 4,
            (const int64_t[]){2, 3, 1, 1});
    declare(params, "backbone.fpn.inner_blocks.0.bias", PARAM_BIAS, 1, (const int64_t[]){2});
    declare(params, "backbone.fpn.layer_blocks.0.weight", PARAM_WEIGHT, 4,
            (const int64_t[]){1, 2, 1, 1});
    declare(params, "backbone.fpn.layer_blocks.0.bias", PARAM_BIAS, 1, (const int64_t[]){1});
    struct safetensors *file = make_file("good", tensors, sizeof tensors / sizeof *tensors);
    ck_assert_msg(params_from_file(params, file, &err) == 0, "%s", err.text);
    for (int i = 0; i < params_count(params); i++)
        holds_values(params, params_peek(params, i)->name,
                     strcmp(params_peek(params, i)->name, "b.weight") == 0 ? 4e-3 : 5e-4);
    size_t length;
    const char *bytes = safetensors_bytes(file, &length);
    const struct param *p = params_peek(params, params_find(params, "a.weight"));
    ck_assert(!p->owned && (const char *)p->value >= bytes &&
              (const char *)p->value < bytes + length); /* in place */
    ck_assert_int_eq(params_own(params, &err), 0);
    safetensors_close(file);
    ck_assert(p->owned);
    holds_values(params, "a.weight", 0);
    params_drop_values(params);
    ck_assert_ptr_null(p->value);
    params_free(params);
}
END_TEST

/* One error names everything that is wrong. */
START_TEST(strictness_names_every_tensor)
{
    static const struct tensor tensors[] = {
        {"right.weight", DTYPE_F32, 1, {2}},
        {"turned.weight", DTYPE_F32, 2, {3, 2}},
        {"flat.weight", DTYPE_F32, 1, {6}},
        {"stranger.weight", DTYPE_F32, 1, {1}},
        {"backbone.fpn.inner_blocks.1.0.weight", DTYPE_F32, 1, {1}},
        {"backbone.fpn.inner_blocks.0.bias", DTYPE_F32, 1, {2}},
        {"backbone.fpn.inner_blocks.0.0.bias", DTYPE_F32, 1, {2}},
        {"num_batches_tracked", DTYPE_F32, 1, {1}}, /* of no norm */
    };
    static const char *const named[] = {"missing tensor absent.weight",
                                        "missing tensor absent.bias",
                                        "turned.weight has shape (3, 2), should be (2, 3)",
                                        "flat.weight has shape (6), should be (2, 3)",
                                        "unexpected tensor stranger.weight",
                                        "unexpected tensor backbone.fpn.inner_blocks.1.0.weight",
                                        "given twice: backbone.fpn.inner_blocks.0.",
                                        "unexpected tensor num_batches_tracked",
                                        "8 of the tensors"};
    struct params *params = open_params();
    struct error err = {.text = ""};
    declare(params, "right.weight", PARAM_WEIGHT, 1, (const int64_t[]){2});
    declare(params, "turned.weight", PARAM_WEIGHT, 2, (const int64_t[]){2, 3});
    declare(params, "flat.weight", PARAM_WEIGHT, 2, (const int64_t[]){2, 3});
    declare(params, "absent.weight", PARAM_WEIGHT, 2, (const int64_t[]){2, 3});
    declare(params, "absent.bias", PARAM_BIAS, 1, (const int64_t[]){3});
    declare(params, "backbone.fpn.inner_blocks.0.bias", PARAM_BIAS, 1, (const int64_t[]){2});
    struct safetensors *file = make_file("strict", tensors, sizeof tensors / sizeof *tensors);
    ck_assert_int_eq(params_from_file(params, file, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        ck_assert_msg(strstr(err.text, named[i]) != NULL, "\"%s\" does not say \"%s\"", err.text,
                      named[i]);
    ck_assert_ptr_null(strstr(err.text, "right"));
    ck_assert_ptr_null(strstr(err.text, "more"));
    params_free(params);
    safetensors_close(file);
}
END_TEST

/* A misshapen tensor under its newer name is one complaint, not also a missing one. */
START_TEST(misshapen_is_not_missing)
{
    static const struct tensor tensors[] = {
        {"backbone.fpn.inner_blocks.0.0.bias", DTYPE_F32, 1, {3}}};
    struct params *params = open_params();
    struct error err = {.text = ""};
    declare(params, "backbone.fpn.inner_blocks.0.bias", PARAM_BIAS, 1, (const int64_t[]){2});
    struct safetensors *file = make_file("newer", tensors, 1);
    ck_assert_int_eq(params_from_file(params, file, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "1 of the tensors"));
    ck_assert_ptr_nonnull(strstr(err.text, "inner_blocks.0.0.bias has shape (3), should be (2)"));
    ck_assert_ptr_null(strstr(err.text, "missing"));
    params_free(params);
    safetensors_close(file);
}
END_TEST

START_TEST(values_must_be_finite)
{
    static const struct tensor tensors[] = {
        {"nan", DTYPE_F32, 1, {12}}, {"large", DTYPE_F16, 1, {12}}, {"fine", DTYPE_F32, 1, {12}}};
    struct params *params = open_params();
    struct error err = {.text = ""};
    for (int i = 0; i < 3; i++)
        declare(params, tensors[i].name, PARAM_WEIGHT, 1, (const int64_t[]){12});
    struct safetensors *file = make_file("finite", tensors, 3);
    size_t length;
    unsigned char *bytes = scratch_read(scratch("finite"), &length);
    safetensors_close(file);
    const float nan = NAN;
    memcpy(bytes + length - 24 - 4, &nan, sizeof nan); /* the last of "nan": halves come last */
    const unsigned char infinity[] = {0, 0x7c};
    memcpy(bytes + length - 24, infinity, sizeof infinity);
    ck_assert_int_eq(safetensors_parse(&file, bytes, length, &err), 0);
    ck_assert_int_eq(params_from_file(params, file, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    ck_assert_ptr_nonnull(strstr(err.text, "nan holds values that are not finite"));
    ck_assert_ptr_nonnull(strstr(err.text, "large holds values that are not finite"));
    ck_assert_ptr_null(strstr(err.text, "fine"));
    params_free(params);
    safetensors_close(file);
    free(bytes);
}
END_TEST

START_TEST(a_long_list_is_cut_and_says_so)
{
    struct params *params = open_params();
    struct error err = {.text = ""};
    char name[300];
    for (int i = 0; i < 400; i++) {
        memset(name, 'x', sizeof name);
        snprintf(name, sizeof name, "layer%03d", i);
        name[8] = '.'; /* names of 9 to 208 characters */
        name[9 + i % 200] = 0;
        declare(params, name, PARAM_WEIGHT, 1, (const int64_t[]){1});
    }
    struct safetensors *file = make_file("empty", NULL, 0);
    ck_assert_int_eq(params_from_file(params, file, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "400 of the tensors"));
    ck_assert_ptr_nonnull(strstr(err.text, "layer000"));
    ck_assert_ptr_nonnull(strstr(err.text, "; and more"));
    ck_assert_uint_lt(strlen(err.text), sizeof err.text - 1); /* whole, not cut by its size */
    params_free(params);
    safetensors_close(file);
}
END_TEST

/* ---- the filler ---- */

/* First, second, middle and last value of tensors, made by tests/golden/make_golden.py: fill. */
static const struct {
    const char *name;
    int rank;
    int64_t dim[4];
    uint64_t seed;
    float value[4];
} filled[] = {
    {"backbone.body.conv1.weight",
     4,
     {64, 3, 7, 7},
     1u,
     {-0.127742812f, -0.0603959523f, -0.147043735f, 0.0762523934f}},
    {"backbone.body.layer1.0.bn3.weight",
     1,
     {256},
     7u,
     {0.375674605f, 0.281950176f, 0.436375141f, 0.399579436f}},
    {"backbone.body.bn1.running_var",
     1,
     {64},
     1u,
     {1.03058767f, 1.0025686f, 1.08522844f, 1.23257196f}},
    {"backbone.body.bn1.running_mean",
     1,
     {64},
     1u,
     {-0.0804281011f, -0.0778284818f, -0.0178009868f, -0.0649435669f}},
    {"rpn.head.bbox_pred.weight",
     4,
     {120, 256, 1, 1},
     31u,
     {-0.0208064523f, -0.0185452215f, -0.0135848653f, -0.0232322123f}},
    {"roi_heads.box_predictor_s2.cls_score.weight",
     2,
     {4, 128},
     2u,
     {-0.0289749205f, 0.0398011804f, -0.0162784643f, -0.056281615f}},
    {"roi_heads.mask_predictor.conv_mask.weight",
     4,
     {256, 128, 2, 2},
     3u,
     {0.00929066259f, 0.0182326566f, -0.0944669545f, 0.0413456485f}},
    {"attn_layer.sieve.0.conv_up.weight",
     4,
     {128, 256, 2, 2},
     3u,
     {-0.158424288f, -0.17651476f, -0.0596472546f, -0.0839710906f}},
    {"attn_layer.lstm_pos.bias_hh_l0",
     1,
     {1024},
     4u,
     {-0.0479204804f, -0.0708208829f, 0.0659764409f, 0.0330991447f}},
    {"pos_classifier_attn.fc_l1.bias",
     1,
     {128},
     18446744073709551615u,
     {0.0345011465f, 0.0663602948f, 0.0041121603f, -0.0912263915f}},
    {"attn_layer.bn1.weight",
     1,
     {256},
     9u,
     {1.03052437f, 0.752421916f, 0.905808449f, 0.922827482f}},
};

START_TEST(a_seed_means_the_same_values_everywhere)
{
    struct params *params = open_params();
    struct error err;
    int index = declare(params, filled[_i].name, PARAM_WEIGHT, filled[_i].rank, filled[_i].dim);
    ck_assert_int_eq(params_fill(params, filled[_i].seed, &err), 0);
    const struct param *p = params_peek(params, index);
    const int64_t at[] = {0, 1, p->count / 2, p->count - 1};
    for (int k = 0; k < 4; k++)
        ck_assert_msg(p->value[at[k]] == filled[_i].value[k], "%s: %.9g, should be %.9g", p->name,
                      (double)p->value[at[k]], (double)filled[_i].value[k]);
    params_free(params);
}
END_TEST

/* ---- memory ---- */

static int use_everything(const struct safetensors *file, struct error *err)
{
    struct params *params = NULL;
    int rc, index;
    TRY(params_create(&params, err));
    TRY(params_declare(params, &index, "plain", PARAM_WEIGHT, 1, (const int64_t[]){4}, err));
    TRY(params_declare(params, &index, "half", PARAM_WEIGHT, 1, (const int64_t[]){4}, err));
    TRY(params_from_file(params, file, err));
    TRY(params_own(params, err));
    TRY(params_enable_grad(params, err));
    params_drop_values(params);
    TRY(params_fill(params, 1, err));
done:
    params_free(params);
    return rc;
}

START_TEST(no_memory_is_an_error)
{
    static const struct tensor tensors[] = {{"plain", DTYPE_F32, 1, {4}},
                                            {"half", DTYPE_F16, 1, {4}}};
    struct safetensors *file = make_file("memory", tensors, 2);
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 8};
    while (oom_next(&walk))
        oom_judge(&walk, use_everything(file, &err));
    safetensors_close(file);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("params");
    tcase_add_test(tc, names_are_found_however_many);
    tcase_add_test(tc, a_name_has_one_shape);
    tcase_add_test(tc, impossible_shapes_are_refused);
    tcase_add_test(tc, buffers_have_no_gradient_and_do_not_count);
    tcase_add_test(tc, values_come_from_a_file);
    tcase_add_test(tc, strictness_names_every_tensor);
    tcase_add_test(tc, misshapen_is_not_missing);
    tcase_add_test(tc, values_must_be_finite);
    tcase_add_test(tc, a_long_list_is_cut_and_says_so);
    tcase_add_loop_test(tc, a_seed_means_the_same_values_everywhere, 0,
                        sizeof filled / sizeof *filled);
    tcase_add_test(tc, no_memory_is_an_error);
    return run_case_here("params", tc);
}
