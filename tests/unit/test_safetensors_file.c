/* nn/safetensors as files: round trips, misuse of the writer, failed writes, failing memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/nn/safetensors.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

static char folder[64], path[128];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_safetensors-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
}

/* Fails where anything but `path` was left behind. */
static void remove_folder(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0);
}

static const int64_t shape_23[] = {2, 3};
static const float six[] = {0.5f, -1, 1.0f / 3, 65504, 1e-7f, 70000};

/* The same file each time; `reversed` turns the order of every call. */
static int write_sample(const char *where, int reversed, struct error *err)
{
    static const char *const keys[] = {"backbone", "note"};
    static const char *const values[] = {"resnet18", "say \"hi\"\\\n\x01 \xc3\xa9"};
    static const char *const names[] = {"a.half",  "b.float", "c.bytes", "d.scalar",
                                        "e.empty", "f.brain", "g.double"};
    static const enum dtype dtype_of[] = {DTYPE_F16, DTYPE_F32,  DTYPE_U8, DTYPE_I64,
                                          DTYPE_F32, DTYPE_BF16, DTYPE_F64};
    static const int64_t empty[] = {0, 4}, three[] = {3}, number = -5;
    struct safetensors_writer *w = NULL;
    int rc = 0;
    TRY(safetensors_writer_open(&w, where, err));
    for (int k = 0; k < 2; k++) {
        int i = reversed ? 1 - k : k;
        TRY(safetensors_writer_metadata(w, keys[i], values[i], err));
    }
    for (int k = 0; k < 7; k++) {
        int i = reversed ? 6 - k : k;
        int rank = i == 2 ? 1 : i == 3 ? 0 : 2;
        const int64_t *shape = i == 2 ? three : i == 4 ? empty : shape_23;
        TRY(safetensors_writer_declare(w, names[i], dtype_of[i], rank, shape, err));
    }
    for (int k = 0; k < 7; k++) {
        int i = reversed ? 6 - k : k;
        if (i == 2)
            TRY(safetensors_writer_put(w, names[i], "\1\2\3", 3, err));
        else if (i == 3)
            TRY(safetensors_writer_put(w, names[i], &number, 8, err));
        else
            TRY(safetensors_writer_put_f32(w, names[i], six, i == 4 ? 0 : 6, err));
    }
    TRY(safetensors_writer_commit(w, err));
done:
    safetensors_writer_close(w);
    return rc;
}

START_TEST(what_is_written_is_read)
{
    struct error err = {0};
    struct safetensors *file;
    make_folder();
    ck_assert_msg(write_sample(path, 0, &err) == 0, "%s", err.text);
    ck_assert_msg(safetensors_open(&file, path, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(safetensors_count(file), 7);
    ck_assert_str_eq(safetensors_metadata(file, "backbone"), "resnet18");
    ck_assert_str_eq(safetensors_metadata(file, "note"), "say \"hi\"\\\n\x01 \xc3\xa9");
    const struct tensor_view *t = safetensors_find(file, "b.float");
    ck_assert_int_eq(t->rank, 2);
    ck_assert_int_eq(t->shape[1], 3);
    ck_assert_mem_eq(t->data, six, sizeof six);
    for (size_t i = 0; i < 7; i++) {
        const struct tensor_view *any = safetensors_at(file, i);
        ck_assert_uint_eq((uintptr_t)any->data % dtype_size(any->dtype), 0);
    }
    ck_assert_mem_eq(safetensors_find(file, "c.bytes")->data, "\1\2\3", 3);
    t = safetensors_find(file, "d.scalar");
    ck_assert_int_eq(t->rank, 0);
    ck_assert_mem_eq(t->data, "\xfb\xff\xff\xff\xff\xff\xff\xff", 8);
    ck_assert_int_eq(safetensors_find(file, "e.empty")->elements, 0);
    float back[6];
    ck_assert_int_eq(tensor_to_f32(back, safetensors_find(file, "g.double"), &err), 0);
    ck_assert_mem_eq(back, six, sizeof six);
    ck_assert_int_eq(tensor_to_f32(back, safetensors_find(file, "a.half"), &err), 0);
    ck_assert(back[0] == 0.5f && back[1] == -1 && back[2] == 0.333251953125f);
    ck_assert(back[3] == 65504 && back[4] == 1.1920928955078125e-7f && isinf(back[5]));
    safetensors_release_pages(file);
    ck_assert_int_eq(tensor_to_f32(back, safetensors_find(file, "f.brain"), &err), 0);
    ck_assert(back[1] == -1 && back[2] == 0.333984375f && back[5] == 70144);
    safetensors_close(file);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0400, 0400);
    remove_folder();
}
END_TEST

START_TEST(order_of_calls_does_not_change_the_bytes)
{
    struct error err;
    struct safetensors *file[2];
    size_t length[2];
    make_folder();
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(write_sample(path, k, &err), 0);
        ck_assert_int_eq(safetensors_open(&file[k], path, &err), 0);
    }
    const void *a = safetensors_bytes(file[0], &length[0]);
    const void *b = safetensors_bytes(file[1], &length[1]);
    ck_assert_uint_eq(length[0], length[1]);
    ck_assert_mem_eq(a, b, length[0]);
    safetensors_close(file[0]);
    safetensors_close(file[1]);
    remove_folder();
}
END_TEST

START_TEST(writer_refuses_misuse)
{
    struct error err;
    struct safetensors_writer *w;
    static const int64_t negative[] = {-1}, large[] = {INT64_MAX, 2};
    make_folder();
    ck_assert_int_eq(safetensors_writer_open(&w, path, &err), 0);
    ck_assert_int_eq(safetensors_writer_metadata(w, "k", "v", &err), 0);
#define REFUSED(call, message)                                                                     \
    do {                                                                                           \
        ck_assert_int_eq(call, -1);                                                                \
        ck_assert_int_eq(err.code, ERR_ARGUMENT);                                                  \
        ck_assert_msg(strstr(err.text, message) != NULL, "%s", err.text);                          \
    } while (0)
    REFUSED(safetensors_writer_metadata(w, "k", "v", &err), "twice");
    REFUSED(safetensors_writer_metadata(w, "", "v", &err), "cannot be the name");
    REFUSED(safetensors_writer_declare(w, "__metadata__", DTYPE_F32, 0, NULL, &err), "cannot be");
    REFUSED(safetensors_writer_declare(w, "a\nb", DTYPE_F32, 0, NULL, &err), "control");
    REFUSED(safetensors_writer_declare(w, "a", DTYPES, 0, NULL, &err), "no such dtype");
    REFUSED(safetensors_writer_declare(w, "a", DTYPE_F32, 9, shape_23, &err), "or rank");
    REFUSED(safetensors_writer_declare(w, "a", DTYPE_F32, 1, negative, &err), "bad shape");
    REFUSED(safetensors_writer_declare(w, "a", DTYPE_F32, 2, large, &err), "bad shape");
    REFUSED(safetensors_writer_declare(w, "a", DTYPE_F32, 1, large, &err), "bad shape");
    ck_assert_int_eq(safetensors_writer_declare(w, "a", DTYPE_F32, 2, shape_23, &err), 0);
    ck_assert_int_eq(safetensors_writer_declare(w, "i", DTYPE_I32, 2, shape_23, &err), 0);
    REFUSED(safetensors_writer_put(w, "b", six, 24, &err), "not declared");
    REFUSED(safetensors_writer_put(w, "a", six, 20, &err), "20 bytes put, 24 declared");
    REFUSED(safetensors_writer_put_f32(w, "a", six, 5, &err), "5 values put, 6 declared");
    REFUSED(safetensors_writer_put_f32(w, "i", six, 6, &err), "declared I32");
    REFUSED(safetensors_writer_declare(w, "c", DTYPE_F32, 0, NULL, &err), "after the first");
    ck_assert_int_eq(safetensors_writer_put(w, "a", six, 24, &err), 0);
    REFUSED(safetensors_writer_put(w, "a", six, 24, &err), "put twice");
    REFUSED(safetensors_writer_commit(w, &err), "\"i\" was declared but never put");
    safetensors_writer_close(w);
    ck_assert_int_eq(access(path, F_OK), -1);

    ck_assert_int_eq(safetensors_writer_open(&w, path, &err), 0);
    ck_assert_int_eq(safetensors_writer_declare(w, "a", DTYPE_F32, 2, shape_23, &err), 0);
    ck_assert_int_eq(safetensors_writer_declare(w, "a", DTYPE_F32, 2, shape_23, &err), 0);
    REFUSED(safetensors_writer_put(w, "a", six, 24, &err), "declared twice");
    safetensors_writer_close(w);

    ck_assert_int_eq(safetensors_writer_open(&w, path, &err), 0);
    ck_assert_int_eq(safetensors_writer_declare(w, "a\xff", DTYPE_F32, 2, shape_23, &err), 0);
    ck_assert_int_eq(safetensors_writer_put(w, "a\xff", six, 24, &err), 0);
    ck_assert_int_eq(safetensors_writer_commit(w, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    safetensors_writer_close(w);

    ck_assert_int_eq(safetensors_writer_open(&w, path, &err), 0);
    ck_assert_int_eq(safetensors_writer_commit(w, &err), 0);
    REFUSED(safetensors_writer_commit(w, &err), "committed already");
    safetensors_writer_close(w);
    remove_folder();
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file)
{
    struct error err;
    struct safetensors *file;
    struct safetensors_writer *w;
    static const int64_t beyond[] = {INT64_C(1) << 50};
    make_folder();
    ck_assert_int_eq(write_sample(path, 0, &err), 0);
    ck_assert_int_eq(safetensors_writer_open(&w, path, &err), 0);
    ck_assert_int_eq(safetensors_writer_declare(w, "a", DTYPE_F64, 1, beyond, &err), 0);
    ck_assert_int_eq(safetensors_writer_put_f32(w, "a", six, beyond[0], &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    safetensors_writer_close(w);
    ck_assert_int_eq(safetensors_open(&file, path, &err), 0);
    ck_assert_uint_eq(safetensors_count(file), 7);
    safetensors_close(file);

    /* the temporary file of a killed process with the same id is no obstacle */
    char stale[256];
    snprintf(stale, sizeof stale, "%s.tmp-%ld", path, (long)getpid());
    FILE *f = fopen(stale, "wb");
    fputs("left over", f);
    fclose(f);
    ck_assert_int_eq(write_sample(path, 0, &err), 0);
    remove_folder();
}
END_TEST

START_TEST(io_errors_name_the_path)
{
    struct error err;
    struct safetensors *file;
    struct safetensors_writer *w;
    ck_assert_int_eq(safetensors_open(&file, "/nonexistent/w", &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/w: No such file"));
    ck_assert_int_eq(safetensors_open(&file, "/tmp", &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_int_eq(safetensors_open(&file, "/dev/null", &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_int_eq(safetensors_writer_open(&w, "/nonexistent/w", &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_null(w);
    make_folder();
    FILE *f = fopen(path, "wb");
    fputs("not weights at all", f);
    fclose(f);
    ck_assert_int_eq(safetensors_open(&file, path, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    remove_folder();
}
END_TEST

START_TEST(every_failing_allocation_is_an_error)
{
    struct error err;
    make_folder();
    struct oom_walk writing = {.err = &err, .more_than = 20, .json = true, .spares = true};
    while (oom_next(&writing))
        oom_judge(&writing, write_sample(path, 0, &err));
    struct oom_walk reading = {.err = &err, .more_than = 20, .json = true};
    while (oom_next(&reading)) {
        struct safetensors *file;
        int rc = safetensors_open(&file, path, &err);
        safetensors_close(file);
        oom_judge(&reading, rc);
    }
    remove_folder();
}
END_TEST

/* A larger file made by other hands, where there is one. */
START_TEST(reads_a_reference_file)
{
    const char *where = getenv("ONESHOT_REFERENCE");
    char name[512];
    struct error err;
    struct safetensors *file;
    snprintf(name, sizeof name, "%s/checkpoint_heads.safetensors", where ? where : "");
    if (!where || access(name, R_OK) != 0)
        return;
    ck_assert_msg(safetensors_open(&file, name, &err) == 0, "%s", err.text);
    const struct tensor_view *t = safetensors_find(file, "rpn.head.bbox_pred.weight");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->shape[0], 120);
    ck_assert_int_eq(t->elements, 120 * 64);
    safetensors_close(file);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("safetensors files");
    tcase_add_test(tc, what_is_written_is_read);
    tcase_add_test(tc, order_of_calls_does_not_change_the_bytes);
    tcase_add_test(tc, writer_refuses_misuse);
    tcase_add_test(tc, a_failed_write_leaves_the_old_file);
    tcase_add_test(tc, io_errors_name_the_path);
    tcase_add_test(tc, every_failing_allocation_is_an_error);
    tcase_add_test(tc, reads_a_reference_file);
    return run_case("safetensors files", tc);
}
