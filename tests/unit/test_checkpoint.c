/*
 * convert/checkpoint, weights, architecture: damage of every byte of PyTorch's own files
 * (tests/golden/make_checkpoints.py), networks told by names and shapes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/mapped.h"
#include "model/convert/architecture.h"
#include "model/net/backbone.h"
#include "tests/golden/backbones.h"
#include "tests/unit/run.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define GOLDEN "tests/golden/checkpoints/"

/* ---- damage ---- */

/* Reads all a checkpoint has, to see what a sanitizer says; true where nothing was wrong. */
static bool read_all(const uint8_t *bytes, size_t length)
{
    struct error err = {0};
    struct checkpoint *c;
    struct weights weights = {0};
    struct dropped dropped = {.count = 0};
    const void *data;
    if (checkpoint_parse(&c, bytes, length, &err)) {
        ck_assert_int_ne(err.code, ERR_NONE);
        return false;
    }
    bool fine = weights_collect(&weights, &dropped, c, &err) == 0;
    for (size_t i = 0; fine && i < weights.count; i++) {
        fine = checkpoint_read(&data, c, &weights.at[i].tensor, &err) == 0;
        char *copy = malloc(weights.at[i].tensor.bytes + 1);
        if (fine)
            memcpy(copy, data, weights.at[i].tensor.bytes);
        free(copy);
    }
    weights_free(&weights);
    checkpoint_close(c);
    return fine;
}

static const char *const damaged[] = {
    GOLDEN "zip_small.pth", GOLDEN "legacy_small.pth", GOLDEN "deflated.pth",
    GOLDEN "zip64.pth",     GOLDEN "legacy.pth",       GOLDEN "views.pth",
};

START_TEST(cut_anywhere_is_an_error)
{
    struct error err;
    struct mapped file;
    ck_assert_int_eq(mapped_open(&file, damaged[_i], &err), 0);
    ck_assert(read_all(file.bytes, file.length));
    for (size_t length = 0; length < file.length; length++) {
        uint8_t *copy = malloc(length + 1);
        memcpy(copy, file.bytes, length);
        ck_assert_msg(!read_all(copy, length), "%zu of %zu bytes are enough", length, file.length);
        free(copy);
    }
    mapped_close(&file);
}
END_TEST

START_TEST(any_byte_may_be_wrong)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff, 0x20};
    struct error err;
    struct mapped file;
    ck_assert_int_eq(mapped_open(&file, damaged[_i], &err), 0);
    uint8_t *copy = malloc(file.length);
    int noticed = 0;
    for (size_t at = 0; at < file.length; at++) {
        memcpy(copy, file.bytes, file.length);
        for (size_t k = 0; k < COUNT(masks); k++) {
            copy[at] = file.bytes[at] ^ masks[k];
            noticed += !read_all(copy, file.length);
        }
    }
    ck_assert_int_gt(noticed, (int)file.length / 4);
    free(copy);
    mapped_close(&file);
}
END_TEST

/* ---- architecture ---- */

/* A list of tensors made by hand; names are not owned. */
struct made {
    struct weight at[400];
    const struct weight *by_name[400];
    struct weights weights;
};

static int compare_names(const void *a, const void *b)
{
    const struct weight *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void make_add(struct made *made, char *name, const int shape[4])
{
    struct weight *w = &made->at[made->weights.count];
    *w = (struct weight){.name = name, .tensor.rank = 4};
    for (int i = 0; i < 4; i++)
        w->tensor.shape[i] = shape[i];
    made->by_name[made->weights.count++] = w;
    made->weights.at = made->at;
    made->weights.by_name = made->by_name;
    qsort(made->by_name, made->weights.count, sizeof *made->by_name, compare_names);
}

/* The first blocks of torchvision's body `name`, as far as tensors tell. */
static void make_body(struct made *made, const char *name, const char *prefix)
{
    static char names[400][64];
    size_t n = 0;
    memset(made, 0, sizeof *made);
    for (size_t i = 0; i < COUNT(bodies); i++) {
        if (strcmp(bodies[i].backbone, name) != 0)
            continue;
        snprintf(names[n], sizeof names[n], "%s%s", prefix, bodies[i].tensor);
        make_add(made, names[n], bodies[i].shape);
        n++;
    }
    ck_assert_uint_gt(n, 8);
}

START_TEST(backbones_are_recognised)
{
    static struct made made;
    static char more[64];
    const struct backbone *backbone = backbone_at(_i / 2);
    const char *prefix = _i % 2 ? "backbone.body." : "";
    make_body(&made, backbone->name, prefix);
    ck_assert_str_eq(architecture_recognise(&made.weights).backbone, backbone->name);
    ck_assert_str_eq(architecture_recognise(&made.weights).kind, "unknown");
    ck_assert_int_eq(architecture_recognise(&made.weights).out_channels, 0);

    /* one block more, and it is none of them */
    snprintf(more, sizeof more, "%slayer4.%d.conv1.weight", prefix, backbone->blocks[3]);
    make_add(&made, more, (const int[4]){1, 1, 1, 1});
    ck_assert_str_eq(architecture_recognise(&made.weights).backbone, "unknown");

    /* differs from resnext50_32x4d in the groups alone */
    make_body(&made, "wide_resnet50_2", prefix);
    ck_assert_str_eq(architecture_recognise(&made.weights).backbone, "unknown");
}
END_TEST

START_TEST(kinds_are_recognised)
{
    static const struct {
        const char *tensors[3];
        const char *kind, *backbone;
    } kinds[] = {
        {{"rpn.head.conv.weight", "attn_layer.lstm_pos.weight_ih_l0",
          "roi_heads.box_predictor.cls_score.weight"},
         "oneshot",
         "heads_only"},
        {{"affinity_layer.batch_to_feat_mat", "roi_heads.box_predictor.cls_score.weight", "x"},
         "affinity",
         "unknown"},
        {{"roi_heads.box_predictor.cls_score.weight", "rpn.head.conv.weight", "x"},
         "mask_rcnn",
         "heads_only"},
        {{"fc.weight", "fc.bias", "x"}, "classifier", "unknown"},
    };
    static char names[3][64];
    for (size_t i = 0; i < COUNT(kinds); i++) {
        static struct made made;
        memset(&made, 0, sizeof made);
        for (int k = 0; k < 3; k++) {
            snprintf(names[k], sizeof names[k], "%s", kinds[i].tensors[k]);
            make_add(&made, names[k], (const int[4]){64, 3, 7, 7});
        }
        struct architecture a = architecture_recognise(&made.weights);
        ck_assert_str_eq(a.kind, kinds[i].kind);
        ck_assert_str_eq(a.backbone, kinds[i].backbone);
        ck_assert_int_eq(a.out_channels, strcmp(a.backbone, "heads_only") == 0 ? 64 : 0);
    }
}
END_TEST

int main(void)
{
    TCase *tc = test_case("checkpoint");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, cut_anywhere_is_an_error, 0, COUNT(damaged));
    tcase_add_loop_test(tc, any_byte_may_be_wrong, 0, COUNT(damaged));
    tcase_add_loop_test(tc, backbones_are_recognised, 0, 12);
    tcase_add_test(tc, kinds_are_recognised);
    return run_case("checkpoint", tc);
}
