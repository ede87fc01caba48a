/* model: what its files say, files that are damaged, memory that fails while loading. */
#include "model/model.h"

#include "tests/unit/oom.h"
#include "tests/unit/run.h"
#include "tests/unit/small_model.h"

static char path[512]; /* of a small model */
static struct model *model;

static void set_up(void)
{
    snprintf(path, sizeof path, "%s", scratch("small.safetensors"));
    write_model(path);
    model = load(path, 2);
}

static void tear_down(void)
{
    model_free(model);
}

/* ---- loading ---- */

START_TEST(the_built_in_model_says_it_is_noise)
{
    struct model *m = load(NULL, 1);
    const struct model_info *info = model_info(m);
    ck_assert(!info->trained);
    ck_assert_str_eq(info->file, "");
    ck_assert_uint_eq(strlen(info->sha256), 64);
    ck_assert_int_eq(info->threads, 1);
    ck_assert_int_eq(info->regions, 16);
    ck_assert(info->default_score_threshold == .75f);
    ck_assert_int_eq(info->default_max_detections, 4);
    ck_assert_int_eq(info->parameters, 23356808);
    char hash[65];
    snprintf(hash, sizeof hash, "%s", info->sha256);
    model_free(m);
    m = load("", 1);
    ck_assert_str_eq(model_info(m)->sha256, hash);
    model_free(m);
    model_free(NULL);
    session_close(NULL);
}
END_TEST

START_TEST(info_is_that_of_the_file)
{
    const struct model_info *info = model_info(model);
    ck_assert_str_eq(info->name, "small");
    ck_assert_str_eq(info->version, "7");
    ck_assert_str_eq(info->backbone, "resnet18");
    ck_assert_str_eq(info->batch_norm, "batch/running");
    ck_assert_str_eq(info->trained_on, "nothing");
    ck_assert_str_eq(info->file, "small.safetensors");
    ck_assert(info->trained);
    ck_assert_int_eq(info->regions, 8);
    ck_assert(info->default_score_threshold == .3f);
    ck_assert_int_eq(info->default_max_detections, 6);
    ck_assert_int_eq(info->threads, 2);
    ck_assert_double_gt(info->flops, 1e10);
    ck_assert(info->isa[0]);
}
END_TEST

START_TEST(names_end_where_they_should)
{
    ck_assert_str_eq(model_image_class_name(2), "covid_19");
    ck_assert_str_eq(model_object_class_name(3), "consolidation");
    ck_assert_str_eq(model_stage_name(MODEL_STAGES - 1), "attention");
    ck_assert_ptr_null(model_image_class_name(3));
    ck_assert_ptr_null(model_image_class_name(-1));
    ck_assert_ptr_null(model_object_class_name(4));
    ck_assert_ptr_null(model_object_class_name(-1));
    ck_assert_ptr_null(model_stage_name(MODEL_STAGES));
    ck_assert_ptr_null(model_stage_name(-1));
}
END_TEST

/* Loads what must not load; the error's code. The text names the file. */
static enum error_code refused(const char *from)
{
    struct error err = {.code = ERR_NONE, .text = ""};
    struct model *m = (struct model *)1;
    ck_assert_msg(model_load(&m, from, NULL, &err) == -1, "%s loads", from);
    ck_assert_ptr_null(m);
    ck_assert_msg(strstr(err.text, from) != NULL, "%s", err.text);
    return err.code;
}

START_TEST(no_file_is_an_io_error)
{
    ck_assert_int_eq(refused(scratch("absent.safetensors")), ERR_IO);
    ck_assert_int_eq(refused(scratch_folder), ERR_IO);
    ck_assert_int_eq(refused(scratch("no/such/folder")), ERR_IO);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused)
{
    size_t length;
    unsigned char *bytes = scratch_read(path, &length);
    const char *cut = scratch("cut.safetensors");
    scratch_write(cut, bytes, length);
    size_t header = bytes[0] + 256u * (bytes[1] + 256u * bytes[2]);
    size_t at = length - 1;
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(truncate(cut, (off_t)at), 0);
        ck_assert_int_eq(refused(cut), ERR_BAD_WEIGHTS);
        at = at > 2 * header ? at / 2 : at > header + 20 ? header + 20 : at - at / 6 - 1;
        if (at == 0)
            break;
    }
    ck_assert_int_eq(truncate(cut, 0), 0);
    ck_assert_int_eq(refused(cut), ERR_BAD_WEIGHTS);
    free(bytes);
}
END_TEST

/* One bit at a time. Where the model still loads, the bit was in a text nobody interprets. */
START_TEST(a_damaged_header_never_passes_unseen)
{
    size_t length;
    unsigned char *bytes = scratch_read(path, &length);
    const char *damaged = scratch("damaged.safetensors");
    scratch_write(damaged, bytes, length);
    size_t header = bytes[0] + 256u * (bytes[1] + 256u * bytes[2]);
    int loads = 0, tried = 0;
    for (size_t at = 0; at < header + 8; at += at < 24 ? 1 : 61 + at % 7) {
        struct error err = {.code = ERR_NONE};
        struct model *m;
        FILE *file = fopen(damaged, "r+b");
        ck_assert_ptr_nonnull(file);
        fseek(file, (long)at, SEEK_SET);
        fputc(bytes[at] ^ 1 << at % 7, file);
        fclose(file);
        tried++;
        if (model_load(&m, damaged, NULL, &err) == 0) {
            model_free(m);
            loads++;
        } else {
            ck_assert_msg(err.code == ERR_BAD_WEIGHTS || err.code == ERR_BAD_CONFIG,
                          "bit %d of byte %d: %s", (int)(at % 7), (int)at, err.text);
        }
        file = fopen(damaged, "r+b");
        fseek(file, (long)at, SEEK_SET);
        fputc(bytes[at], file);
        fclose(file);
    }
    ck_assert_int_gt(tried, 200);
    ck_assert_int_le(loads, 6); /* name, version, an unknown key's value, spaces */
    free(bytes);
}
END_TEST

START_TEST(weights_of_another_shape_are_named)
{
    struct error err = {.text = ""};
    struct model *m;
    size_t length;
    unsigned char *bytes = scratch_read(path, &length);
    const char *other = scratch("other.safetensors");
    unsigned char *found = memmem(bytes, length, "\"out_channels\":\"16\"", 19);
    ck_assert_ptr_nonnull(found);
    memcpy(found, "\"out_channels\":\"20\"", 19);
    scratch_write(other, bytes, length);
    ck_assert_int_eq(model_load(&m, other, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    ck_assert_ptr_nonnull(strstr(err.text, other));
    ck_assert_msg(strstr(err.text, "should be (20"), "%s", err.text);
    memcpy(found, "\"out_channels\":\"17\"", 19);
    scratch_write(other, bytes, length);
    ck_assert_int_eq(refused(other), ERR_BAD_CONFIG);
    free(bytes);
}
END_TEST

/* ---- memory ---- */

/* Sampled: loading takes long, and what it calls is walked through elsewhere. */
START_TEST(no_memory_to_load_is_an_error)
{
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 500, .growing = 2};
    while (oom_next(&walk)) {
        struct model *m;
        struct session *s = NULL;
        int rc = model_load(&m, path, NULL, &err);
        if (rc == 0)
            rc = session_open(&s, m, &err);
        session_close(s);
        model_free(m);
        oom_judge(&walk, rc);
    }
}
END_TEST

int main(void)
{
    TCase *tc = test_case("model");
    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, the_built_in_model_says_it_is_noise);
    tcase_add_test(tc, info_is_that_of_the_file);
    tcase_add_test(tc, names_end_where_they_should);
    tcase_add_test(tc, no_file_is_an_io_error);
    tcase_add_test(tc, a_file_cut_anywhere_is_refused);
    tcase_add_test(tc, a_damaged_header_never_passes_unseen);
    tcase_add_test(tc, weights_of_another_shape_are_named);
    tcase_add_test(tc, no_memory_to_load_is_an_error);
    return run_case_here("model", tc);
}
