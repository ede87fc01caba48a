/*
 * convert: checkpoints written by PyTorch itself (tests/golden/make_checkpoints.py), good and bad,
 * against what that script says is in them; options, exit codes, failing memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/mapped.h"
#include "model/convert/convert.h"
#include "model/nn/safetensors.h"
#include "server/cmd_convert.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define GOLDEN "tests/golden/checkpoints/"

static char folder[64], out_path[128];

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_convert-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(out_path, sizeof out_path, "%s/out.safetensors", folder);
}

/* Fails where anything but the output was left behind. */
static void teardown(void)
{
    unlink(out_path);
    ck_assert_int_eq(rmdir(folder), 0);
}

static const char *golden(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, GOLDEN "%s", name);
    return path;
}

static void check_same_tensors(const char *path, const char *expected_path)
{
    struct error err = {0};
    struct safetensors *file, *expected;
    ck_assert_msg(safetensors_open(&file, path, &err) == 0, "%s", err.text);
    ck_assert_msg(safetensors_open(&expected, expected_path, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(safetensors_count(file), safetensors_count(expected));
    for (size_t i = 0; i < safetensors_count(expected); i++) {
        const struct tensor_view *e = safetensors_at(expected, i);
        const struct tensor_view *t = safetensors_find(file, e->name);
        ck_assert_msg(t != NULL, "%s is missing", e->name);
        ck_assert_msg(t->dtype == e->dtype, "%s: %s", e->name, dtype_name(t->dtype));
        ck_assert_msg(t->rank == e->rank, "%s: rank %d", e->name, t->rank);
        ck_assert_msg(memcmp(t->shape, e->shape, sizeof t->shape) == 0, "%s: shape", e->name);
        ck_assert_msg(t->bytes == 0 || memcmp(t->data, e->data, t->bytes) == 0, "%s: data",
                      e->name);
    }
    safetensors_close(expected);
    safetensors_close(file);
}

/* ---- what is in the files ---- */

static const struct {
    const char *name, *expected, *state_dict, *container;
    bool optimizer;
    size_t moments;
} good[] = {
    {"zip.pth", "expected.safetensors", "model_weights", "zip", false, 0},
    {"legacy.pth", "expected.safetensors", "model_weights", "legacy", false, 0},
    {"protocol4.pth", "expected.safetensors", "model_weights", "zip", false, 0},
    {"deflated.pth", "expected.safetensors", "model_weights", "zip", false, 0},
    {"adam_all.pth", "adam_all.safetensors", "model_weights", "zip", true, 7},
    {"adam_part.pth", "adam_part.safetensors", "model_weights", "legacy", true, 2},
    {"adam_missing.pth", "adam_missing.safetensors", "model_weights", "legacy", true, 6},
    {"adam_named.pth", "adam_named.safetensors", "model_weights", "legacy", true, 6},
};

START_TEST(tensors_are_those_of_pytorch)
{
    struct error err = {0};
    struct convert_report report;
    const struct convert_options options = {.optimizer = good[_i].optimizer};
    int rc = convert_checkpoint(golden(good[_i].name), out_path, &options, &report, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_str_eq(report.state_dict, good[_i].state_dict);
    ck_assert_str_eq(report.container, good[_i].container);
    ck_assert_uint_eq(report.moments, good[_i].moments);
    check_same_tensors(out_path, golden(good[_i].expected));
}
END_TEST

/* Shapes, names and values of small files, "name=value,value" in the order of the file. */
static const struct {
    const char *name, *state_dict, *tensors;
    size_t dropped;
    const char *first_dropped;
} small[] = {
    {"parallel.pth", "", "a=1,2 b=3 ", 0, ""},
    {"mixed.pth", "state_dict", "a=1,2 b=3 module.c=4 ", 1, "note (str)"},
    {"model.pth", "model", "a=1,2 b=3 ", 1, "extra (list)"},
    {"model_state_dict.pth", "model_state_dict", "a=1,2 b=3 ", 1, "extra (list)"},
    {"fpn.pth", "",
     "backbone.fpn.inner_blocks.0.bias=1,1 backbone.fpn.inner_blocks.0.weight=0,0 "
     "backbone.fpn.layer_blocks.0.bias=3,3 backbone.fpn.layer_blocks.0.weight=2,2 ",
     0, ""},
    {"zip_small.pth", "", "t=0,1,2,3,4,5 ", 0, ""},
    {"legacy_small.pth", "", "t=0,1,2,3,4,5 ", 0, ""},
    {"zip64.pth", "", "t=0,1,2,3,4,5 ", 0, ""},
    {"zip_deflated.pth", "", "t=0,1,2,3,4,5 ", 0, ""},
    {"views.pth", "", "a=2,3,4 b=3,4 c=0,1,2,3,4,5 ", 0, ""},
    {"zip_little.pth", "", "t=0,1,2,3,4,5 ", 0, ""},
    {"zip_deeper_object.pth", "", "t=0,1,2,3,4,5 ", 0, ""},
};

START_TEST(wrappers_prefixes_and_names)
{
    struct error err = {0};
    struct convert_report report;
    struct safetensors *file;
    char text[1000] = "";
    size_t used = 0;
    int rc = convert_checkpoint(golden(small[_i].name), out_path, NULL, &report, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    ck_assert_str_eq(report.state_dict, small[_i].state_dict);
    ck_assert_uint_eq(report.dropped.count, small[_i].dropped);
    ck_assert_str_eq(report.dropped.names[0], small[_i].first_dropped);
    ck_assert_int_eq(safetensors_open(&file, out_path, &err), 0);
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct tensor_view *t = safetensors_at(file, i);
        float values[8];
        ck_assert_int_eq(t->dtype, DTYPE_F32);
        ck_assert_int_le(t->elements, 8);
        ck_assert_int_eq(tensor_to_f32(values, t, &err), 0);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s=", t->name);
        for (int64_t k = 0; k < t->elements; k++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%g%s", (double)values[k],
                                     k + 1 < t->elements ? "," : " ");
    }
    ck_assert_str_eq(text, small[_i].tensors);
    safetensors_close(file);
}
END_TEST

static void check_metadata(const char *key, const char *expected)
{
    struct error err = {0};
    struct safetensors *file;
    ck_assert_msg(safetensors_open(&file, out_path, &err) == 0, "%s", err.text);
    const char *value = safetensors_metadata(file, key);
    if (expected)
        ck_assert_str_eq(value ? value : "(none)", expected);
    else
        ck_assert_ptr_null(value);
    safetensors_close(file);
}

START_TEST(notes_become_metadata)
{
    struct error err = {0};
    struct convert_report report;
    ck_assert_int_eq(convert_checkpoint(golden("zip.pth"), out_path, NULL, &report, &err), 0);
    check_metadata("epoch", "10");
    check_metadata("lrate", "1e-05");
    check_metadata("model_name", "tiny");
    check_metadata("batch_norm", "batch");
    check_metadata("architecture", "unknown");
    check_metadata("backbone", "unknown");
    check_metadata("name", "unknown-unknown");
    check_metadata("trained", "true");
    check_metadata("out_channels", NULL);
    check_metadata("anchor_sizes", NULL);
    check_metadata("adam.step", NULL);
    ck_assert_uint_eq(report.dropped.count, 0);
    ck_assert_uint_eq(report.tensors, 18);

    const struct convert_options options = {.optimizer = true, .force = true};
    ck_assert_int_eq(convert_checkpoint(golden("adam_all.pth"), out_path, &options, &report, &err),
                     0);
    check_metadata("adam.step", "3");
    check_metadata("epoch", "3");
    ck_assert_uint_eq(report.tensors, 12);
    ck_assert_int_eq(report.parameters, 4 + 6 + 2 + 2 + 2 + 4 + 2 + 4 + 2);

    ck_assert_int_eq(convert_checkpoint(golden("anchors.pth"), out_path, &options, &report, &err),
                     -1);
    ck_assert_ptr_nonnull(strstr(err.text, "no optimizer state"));
    const struct convert_options force = {.force = true};
    ck_assert_int_eq(convert_checkpoint(golden("anchors.pth"), out_path, &force, &report, &err), 0);
    check_metadata("anchor_sizes", "2,4.5");
    check_metadata("anchor_ratios", "0.5,1,2");
    check_metadata("out_channels", "1");
    check_metadata("backbone", "heads_only");
    ck_assert_str_eq(report.dropped.names[0], "anchor_generator (object)");
    ck_assert_int_eq(report.out_channels, 1);
    ck_assert_int_eq(
        convert_checkpoint(golden("anchors_other.pth"), out_path, &force, &report, &err), 0);
    check_metadata("anchor_sizes", NULL);
}
END_TEST

/* ---- what is wrong ---- */

static const struct {
    const char *name;
    enum error_code code;
    const char *message;
    bool optimizer;
} bad[] = {
    {"bad_past_end.pth", ERR_BAD_WEIGHTS, "tensor \"t\": reaches past the end", false},
    {"bad_offset_past_end.pth", ERR_BAD_WEIGHTS, "reaches past the end", false},
    {"bad_offset_large.pth", ERR_BAD_WEIGHTS, "reaches past the end", false},
    {"bad_offset_negative.pth", ERR_BAD_WEIGHTS, "offset is not a non-negative", false},
    {"bad_stride_past_end.pth", ERR_BAD_WEIGHTS, "reaches past the end", false},
    {"bad_stride_negative.pth", ERR_BAD_WEIGHTS, "not made of non-negative", false},
    {"bad_size_negative.pth", ERR_BAD_WEIGHTS, "not made of non-negative", false},
    {"bad_size_overflow.pth", ERR_BAD_WEIGHTS, "size overflows", false},
    {"bad_extent_overflow.pth", ERR_BAD_WEIGHTS, "size and stride overflow", false},
    {"bad_expanded.pth", ERR_UNSUPPORTED, "repeats elements", false},
    {"bad_rank_differs.pth", ERR_BAD_WEIGHTS, "different lengths", false},
    {"bad_rank_large.pth", ERR_BAD_WEIGHTS, "more dimensions", false},
    {"bad_size_text.pth", ERR_BAD_WEIGHTS, "is not a tuple", false},
    {"bad_no_storage.pth", ERR_BAD_WEIGHTS, "without a storage", false},
    {"bad_too_few.pth", ERR_BAD_WEIGHTS, "offset is not", false},
    {"bad_complex.pth", ERR_UNSUPPORTED, "tensor \"t\": storage \"0\": elements of a type", false},
    {"bad_complex_legacy.pth", ERR_UNSUPPORTED, "elements of a type", false},
    {"bad_many_views.pth", ERR_BAD_WEIGHTS, "share storages so often", false},
    {"bad_no_state_dict.pth", ERR_BAD_WEIGHTS, "holds a dict with weights, epoch; save", false},
    {"bad_name.pth", ERR_BAD_WEIGHTS, "control characters", false},
    {"bad_twice.pth", ERR_BAD_WEIGHTS, "\"fpn.inner_blocks.0.bias\" is there twice", false},
    {"bad_zip_no_object.pth", ERR_BAD_WEIGHTS, "zip: no data.pkl", false},
    {"bad_zip_two_objects.pth", ERR_BAD_WEIGHTS, "more than one data.pkl", false},
    {"bad_zip_no_storage.pth", ERR_BAD_WEIGHTS, "storage \"0\": not in the archive", false},
    {"bad_zip_short_storage.pth", ERR_BAD_WEIGHTS, "storage \"0\": its entry", false},
    {"bad_zip_twice.pth", ERR_BAD_WEIGHTS, "there are two of this name", false},
    {"bad_zip_big.pth", ERR_UNSUPPORTED, "not little-endian", false},
    {"bad_zip_checksum.pth", ERR_BAD_WEIGHTS,
     "tensor \"t\": zip entry \"zip_small/data/0\": checksum", false},
    {"bad_zip_encrypted.pth", ERR_UNSUPPORTED, "\"zip_small/data/0\": encrypted", false},
    {"bad_zip_method.pth", ERR_UNSUPPORTED, "method other than deflate", false},
    {"bad_zip_place.pth", ERR_BAD_WEIGHTS, "not where the table says", false},
    {"bad_zip_size.pth", ERR_BAD_WEIGHTS, "runs past the end", false},
    {"bad_zip_count.pth", ERR_BAD_WEIGHTS, "more entries than allowed", false},
    {"bad_zip_table.pth", ERR_BAD_WEIGHTS, "its table runs past", false},
    {"bad_legacy_magic.pth", ERR_BAD_WEIGHTS, "not one that torch.save began", false},
    {"bad_legacy_protocol.pth", ERR_UNSUPPORTED, "another protocol", false},
    {"bad_legacy_endian.pth", ERR_UNSUPPORTED, "not little-endian", false},
    {"bad_legacy_type.pth", ERR_UNSUPPORTED, "elements of unknown type", false},
    {"bad_legacy_count.pth", ERR_BAD_WEIGHTS, "another number of elements", false},
    {"bad_legacy_cut.pth", ERR_BAD_WEIGHTS, "cut off", false},
    {"bad_legacy_disagree.pth", ERR_BAD_WEIGHTS, "storage \"9\": references to it disagree", false},
    {"bad_legacy_missing.pth", ERR_BAD_WEIGHTS, "storage \"9\": not in the file", false},
    {"bad_legacy_more.pth", ERR_BAD_WEIGHTS, "storage \"10\": listed twice, or without use", false},
    {"bad_view_end.pth", ERR_BAD_WEIGHTS, "reaches past the end", false},
    {"bad_view_large.pth", ERR_BAD_WEIGHTS, "a view of it is malformed or larger", false},
    {"bad_view_offset.pth", ERR_BAD_WEIGHTS, "a view of it is malformed or larger", false},
    {"bad_view_text.pth", ERR_BAD_WEIGHTS, "a view of it is malformed or larger", false},
    {"bad_zip_inflate_more.pth", ERR_BAD_WEIGHTS, "compressed data are damaged", false},
    {"bad_zip_inflate_less.pth", ERR_BAD_WEIGHTS, "compressed data are damaged", false},
    {"bad_zip_inflate_bomb.pth", ERR_BAD_WEIGHTS, "larger than its bytes can inflate", false},
    {"expected.safetensors", ERR_BAD_WEIGHTS, "safetensors already?", false},
    {"../make_checkpoints.py", ERR_BAD_WEIGHTS, "neither a zip archive nor a pickle", false},
    {"none.pth", ERR_IO, "none.pth: No such file", false},
    {"adam_ambiguous.pth", ERR_UNSUPPORTED, "it has 6 of 7 parameters, and shapes do not tell",
     true},
    {"zip_small.pth", ERR_BAD_WEIGHTS, "no optimizer state", true},
};

START_TEST(what_is_wrong_is_named)
{
    struct error err = {0};
    struct convert_report report;
    const struct convert_options options = {.optimizer = bad[_i].optimizer};
    int rc = convert_checkpoint(golden(bad[_i].name), out_path, &options, &report, &err);
    ck_assert_msg(rc == -1, "%s was accepted", bad[_i].name);
    ck_assert_msg(strstr(err.text, bad[_i].message) != NULL, "%s: %s", bad[_i].name, err.text);
    ck_assert_msg(err.code == bad[_i].code, "%s: %s", bad[_i].name, error_name(err.code));
    ck_assert_int_eq(access(out_path, F_OK), -1);
}
END_TEST

/* ---- options ---- */

START_TEST(half_keeps_vectors_and_integers)
{
    struct error err = {0};
    struct convert_report report;
    struct safetensors *file, *expected;
    const struct convert_options options = {.half = true};
    ck_assert_int_eq(convert_checkpoint(golden("legacy.pth"), out_path, &options, &report, &err),
                     0);
    ck_assert_int_eq(safetensors_open(&file, out_path, &err), 0);
    ck_assert_int_eq(safetensors_open(&expected, golden("expected.safetensors"), &err), 0);
    for (size_t i = 0; i < safetensors_count(expected); i++) {
        const struct tensor_view *e = safetensors_at(expected, i);
        const struct tensor_view *t = safetensors_find(file, e->name);
        bool halved = e->dtype == DTYPE_F32 && e->rank >= 2;
        ck_assert_int_eq(t->dtype, halved ? DTYPE_F16 : e->dtype);
        if (!halved)
            continue;
        float a[24], b[24];
        ck_assert_int_eq(tensor_to_f32(a, t, &err), 0);
        ck_assert_int_eq(tensor_to_f32(b, e, &err), 0);
        for (int64_t k = 0; k < e->elements; k++)
            ck_assert(a[k] == b[k]); /* quarters fit */
    }
    safetensors_close(expected);
    safetensors_close(file);
}
END_TEST

START_TEST(half_refuses_what_does_not_fit)
{
    struct error err = {0};
    struct convert_report report;
    const struct convert_options options = {.half = true};
    ck_assert_int_eq(convert_checkpoint(golden("large.pth"), out_path, &options, &report, &err),
                     -1);
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "tensor \"t\": 65520 does not fit F16"));
}
END_TEST

START_TEST(batch_norm_may_be_told)
{
    static const struct {
        const char *option, *both, *backbone, *attention; /* both "!": refused */
    } modes[] = {
        {NULL, "batch", NULL, NULL},
        {"batch", "batch", NULL, NULL},
        {"running", "running", NULL, NULL},
        {"running/running", "running", NULL, NULL},
        {"running/batch", NULL, "running", "batch"},
        {"batch/running", NULL, "batch", "running"},
        {"", "!", NULL, NULL},
        {"Batch", "!", NULL, NULL},
        {"batch/", "!", NULL, NULL},
        {"/batch", "!", NULL, NULL},
        {"batch/batch/batch", "!", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct error err = {0};
        struct convert_report report;
        const struct convert_options options = {.batch_norm = modes[i].option, .force = true};
        int rc = convert_checkpoint(golden("zip_small.pth"), out_path, &options, &report, &err);
        if (modes[i].both && modes[i].both[0] == '!') {
            ck_assert_int_eq(rc, -1);
            ck_assert_int_eq(err.code, ERR_ARGUMENT);
            continue;
        }
        ck_assert_int_eq(rc, 0);
        check_metadata("batch_norm", modes[i].both);
        check_metadata("backbone_batch_norm", modes[i].backbone);
        check_metadata("attention_batch_norm", modes[i].attention);
    }
}
END_TEST

static void copy_file(const char *to, const char *from)
{
    struct error err;
    struct mapped file;
    ck_assert_int_eq(mapped_open(&file, from, &err), 0);
    FILE *f = fopen(to, "wb");
    ck_assert_uint_eq(fwrite(file.bytes, 1, file.length, f), file.length);
    fclose(f);
    mapped_close(&file);
}

START_TEST(nothing_is_replaced_unasked)
{
    struct error err = {0};
    struct convert_report report;
    const struct convert_options force = {.force = true};
    copy_file(out_path, golden("zip_small.pth"));
    ck_assert_int_eq(convert_checkpoint(golden("legacy.pth"), out_path, NULL, &report, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "already there (--force"));
    ck_assert_int_eq(convert_checkpoint(out_path, out_path, &force, &report, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "the same file"));
    ck_assert_int_eq(convert_checkpoint(out_path, folder, &force, &report, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_int_eq(
        convert_checkpoint(golden("legacy.pth"), "/nonexistent/x", &force, &report, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_int_eq(convert_checkpoint(golden("legacy.pth"), out_path, &force, &report, &err), 0);
    check_same_tensors(out_path, golden("expected.safetensors"));
}
END_TEST

static char said[8192]; /* by the subcommand, on both of its streams */

static int run_command(const char *const *arguments)
{
    char copies[6][256], *argv[7] = {NULL};
    int argc = 0;
    for (; arguments[argc]; argc++) {
        snprintf(copies[argc], sizeof copies[argc], "%s", arguments[argc]);
        argv[argc] = copies[argc];
    }
    fflush(stdout);
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    int out = dup(1), err = dup(2);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    int rc = cmd_convert(argc, argv);
    fflush(stdout);
    dup2(out, 1);
    dup2(err, 2);
    rewind(file);
    said[fread(said, 1, sizeof said - 1, file)] = 0;
    fclose(file);
    close(out);
    close(err);
    return rc;
}

START_TEST(command_exit_codes)
{
    char in[256], heads[256];
    snprintf(in, sizeof in, "%s", golden("zip.pth"));
    snprintf(heads, sizeof heads, "%s", golden("anchors.pth"));
    const struct {
        const char *arguments[7];
        int code;
        const char *says;
    } runs[] = {
        {{"convert", "--help"}, 0, ""},
        {{"convert"}, 2, ""},
        {{"convert", in}, 2, ""},
        {{"convert", in, out_path, "more"}, 2, ""},
        {{"convert", "--no-such-flag", in, out_path}, 2, ""},
        {{"convert", "--batch-norm", "no", in, out_path}, 2, ""},
        {{"convert", "--optimizer", in, out_path}, 1, ""},
        {{"convert", "/nonexistent/in", out_path}, 1, ""},
        {{"convert", in, out_path}, 0, ""},
        {{"convert", in, out_path}, 1, "(--force"},
        {{"convert", "--force", "--half", in, out_path}, 0, ""},
        {{"convert", "--force", heads, out_path}, 0, "not served or trained on"},
    };
    for (size_t i = 0; i < COUNT(runs); i++) {
        ck_assert_msg(run_command(runs[i].arguments) == runs[i].code, "run %zu: %s", i, said);
        ck_assert_msg(strstr(said, runs[i].says) != NULL, "run %zu: %s", i, said);
    }
}
END_TEST

/* ---- memory ---- */

START_TEST(every_failing_allocation_is_an_error)
{
    const struct convert_options options = {.optimizer = true, .half = true, .force = true};
    const char *name = _i ? "deflated.pth" : "adam_all.pth";
    char in[256];
    snprintf(in, sizeof in, "%s", golden(name));
    const struct convert_options plain = {.half = true, .force = true};
    struct error err;
    struct convert_report report;
    struct mapped whole, again;
    ck_assert_int_eq(convert_checkpoint(in, out_path, _i ? &plain : &options, &report, &err), 0);
    ck_assert_int_eq(mapped_open(&whole, out_path, &err), 0);
    struct oom_walk walk = {.err = &err, .more_than = 100, .json = true, .spares = true};
    while (oom_next(&walk)) {
        int rc = convert_checkpoint(in, out_path, _i ? &plain : &options, &report, &err);
        oom_judge(&walk, rc);
        /* another file or none: what is there is whole */
        ck_assert_int_eq(mapped_open(&again, out_path, &err), 0);
        ck_assert_uint_eq(again.length, whole.length);
        ck_assert_mem_eq(again.bytes, whole.bytes, whole.length);
        mapped_close(&again);
    }
    mapped_close(&whole);
}
END_TEST

/* Larger files made by other hands, where there are some. */
START_TEST(converts_reference_files)
{
    static const char *const names[] = {"checkpoint_zip.pth", "checkpoint_legacy.pth"};
    const char *where = getenv("ONESHOT_REFERENCE");
    struct error err = {0};
    struct convert_report report;
    struct safetensors *file, *expected;
    char in[512], reference[512];
    snprintf(in, sizeof in, "%s/%s", where ? where : "", names[_i]);
    snprintf(reference, sizeof reference, "%s/checkpoint_heads.safetensors", where ? where : "");
    if (!where || access(in, R_OK) != 0)
        return;
    ck_assert_msg(convert_checkpoint(in, out_path, NULL, &report, &err) == 0, "%s", err.text);
    ck_assert_str_eq(report.backbone, "heads_only");
    ck_assert_str_eq(report.architecture, "oneshot");
    ck_assert_int_eq(report.out_channels, 64);
    check_metadata("anchor_sizes", "2,4,8,16,32");
    ck_assert_int_eq(safetensors_open(&file, out_path, &err), 0);
    ck_assert_int_eq(safetensors_open(&expected, reference, &err), 0);
    ck_assert_uint_eq(safetensors_count(file), safetensors_count(expected));
    for (size_t i = 0; i < safetensors_count(expected); i++) {
        const struct tensor_view *e = safetensors_at(expected, i);
        const struct tensor_view *t = safetensors_find(file, e->name);
        ck_assert_msg(t != NULL, "%s is missing", e->name);
        ck_assert_msg(t->dtype == e->dtype && t->bytes == e->bytes, "%s", e->name);
        ck_assert_msg(memcmp(t->data, e->data, t->bytes) == 0, "%s", e->name);
    }
    safetensors_close(expected);
    safetensors_close(file);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("convert");
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, tensors_are_those_of_pytorch, 0, COUNT(good));
    tcase_add_loop_test(tc, wrappers_prefixes_and_names, 0, COUNT(small));
    tcase_add_test(tc, notes_become_metadata);
    tcase_add_loop_test(tc, what_is_wrong_is_named, 0, COUNT(bad));
    tcase_add_test(tc, half_keeps_vectors_and_integers);
    tcase_add_test(tc, half_refuses_what_does_not_fit);
    tcase_add_test(tc, batch_norm_may_be_told);
    tcase_add_test(tc, nothing_is_replaced_unasked);
    tcase_add_test(tc, command_exit_codes);
    tcase_add_loop_test(tc, every_failing_allocation_is_an_error, 0, 2);
    tcase_add_loop_test(tc, converts_reference_files, 0, 2);
    return run_case("convert", tc);
}
