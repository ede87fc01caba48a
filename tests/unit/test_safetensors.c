/* nn/safetensors: what is refused and why, round trips, conversion, failing memory. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/base/buffer.h"
#include "model/nn/safetensors.h"
#include "tests/unit/failing_malloc.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A file of `header` and `data_length` bytes 0, 1, 2, ... */
static void make_file(struct buffer *out, const char *header, size_t header_length,
                      size_t data_length)
{
    uint64_t size = header_length;
    buffer_init(out, 1 << 26);
    ck_assert_int_eq(buffer_append(out, &size, 8, NULL), 0);
    ck_assert_int_eq(buffer_append(out, header, header_length, NULL), 0);
    for (size_t i = 0; i < data_length; i++) {
        unsigned char byte = (unsigned char)i;
        ck_assert_int_eq(buffer_append(out, &byte, 1, NULL), 0);
    }
}

#define T(dtype, shape, offsets)                                                                   \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t data_length;
    const char *message; /* part of the error's text; NULL: the file is fine */
} cases[] = {
    {"{}", 0, NULL},
    {"{}   ", 0, NULL},
    {"{\"a\":" T("F32", "[2,3]", "[0,24]") "}", 24, NULL},
    {"{\"a\":" T("F32", "[]", "[0,4]") "}", 4, NULL},
    {"{\"a\":" T("F32", "[0,7]", "[0,0]") ",\"b\":" T("U8", "[1]", "[0,1]") "}", 1, NULL},
    {"{\"b\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("F32", "[7,0]", "[1,1]") "}", 1, NULL},
    {"{\"__metadata__\":{\"k\":\"v\"},\"a\":" T("I8", "[1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, NULL},

    /* header */
    {"", 0, "does not begin with '{'"},
    {"[]", 0, "does not begin with '{'"},
    {" {}", 0, "does not begin with '{'"},
    {"{", 0, "not valid JSON"},
    {"{} x", 0, "not valid JSON"},
    {"{\"a\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("U8", "[1]", "[0,1]") "}", 1, "duplicate"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "duplicate"},
    {"{\"a\xff\":" T("U8", "[1]", "[0,1]") "}", 1, "not valid JSON"},
    {"{\"a\\u0000b\":" T("U8", "[1]", "[0,1]") "}", 1, "not valid JSON"},
    {"{\"a\":" T("U8", "[99999999999999999999]", "[0,1]") "}", 1, "not valid JSON"},
    {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "__metadata__ \"k\" is not a string"},
    {"{\"__metadata__\":{\"k\\n\":\"\"}}", 0, "__metadata__ key"},

    /* entries */
    {"{\"a\":1}", 0, "\"a\": its entry is not an object"},
    {"{\"\":" T("U8", "[1]", "[0,1]") "}", 1, "name is empty"},
    {"{\"a\\u001b[2J\":" T("U8", "[1]", "[0,1]") "}", 1, "control characters"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "\"a\": dtype is missing"},
    {"{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "\"a\": dtype is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "\"a\": shape is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "\"a\": data_offsets is not"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}", 1,
     "\"a\": its entry has fields other"},
    {"{\"a\":" T("F31", "[1]", "[0,4]") "}", 4, "\"a\": unknown dtype \"F31\""},
    {"{\"a\":" T("f32", "[1]", "[0,4]") "}", 4, "unknown dtype"},
    {"{\"a\":" T("", "[1]", "[0,4]") "}", 4, "unknown dtype"},

    /* shapes */
    {"{\"a\":" T("U8", "{}", "[0,1]") "}", 1, "\"a\": shape is missing or not an array"},
    {"{\"a\":" T("U8", "[-1]", "[0,1]") "}", 1, "non-negative"},
    {"{\"a\":" T("U8", "[-1,-1]", "[0,1]") "}", 1, "non-negative"},
    {"{\"a\":" T("U8", "[1.0]", "[0,1]") "}", 1, "non-negative"},
    {"{\"a\":" T("U8", "[true]", "[0,1]") "}", 1, "non-negative"},
    {"{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "rank 9"},
    {"{\"a\":" T("U8", "[4294967296,4294967296]", "[0,0]") "}", 0, "\"a\": shape overflows"},
    {"{\"a\":" T("U8", "[4294967296,4294967296,0]", "[0,0]") "}", 0, "shape overflows"},
    {"{\"a\":" T("F64", "[4611686018427387904]", "[0,0]") "}", 0, "shape overflows"},
    {"{\"a\":" T("F64", "[2305843009213693952]", "[0,0]") "}", 0, "shape overflows"},

    /* places */
    {"{\"a\":" T("U8", "[1]", "[0]") "}", 1, "pair of integers"},
    {"{\"a\":" T("U8", "[1]", "[0,1,2]") "}", 1, "pair of integers"},
    {"{\"a\":" T("U8", "[1]", "[0,1.0]") "}", 1, "pair of integers"},
    {"{\"a\":" T("U8", "[1]", "[-1,0]") "}", 1, "0 <= begin <= end"},
    {"{\"a\":" T("U8", "[1]", "[1,0]") "}", 1, "0 <= begin <= end"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 7, "end at 8, the data at 7"},
    {"{\"a\":" T("U8", "[1]", "[9223372036854775806,9223372036854775807]") "}", 1, "truncated?"},
    {"{\"a\":" T("F32", "[2]", "[0,4]") "}", 4, "hold 4 bytes, dtype and shape need 8"},
    {"{\"a\":" T("F16", "[2]", "[0,8]") "}", 8, "hold 8 bytes, dtype and shape need 4"},
    {"{\"a\":" T("U8", "[0]", "[0,4]") "}", 4, "need 0"},
    {"{\"a\":" T("U8", "[4]", "[0,4]") ",\"b\":" T("U8", "[4]", "[3,7]") "}", 7,
     "\"b\": its data overlap those of \"a\""},
    {"{\"a\":" T("U8", "[4]", "[0,4]") ",\"b\":" T("U8", "[4]", "[0,4]") "}", 4, "overlap"},
    {"{\"a\":" T("U8", "[4]", "[0,4]") ",\"b\":" T("U8", "[0]", "[2,2]") "}", 4, "overlap"},
    {"{\"a\":" T("U8", "[3]", "[0,3]") ",\"b\":" T("U8", "[3]", "[4,7]") "}", 7,
     "\"b\": 1 bytes before its data"},
    {"{\"a\":" T("U8", "[3]", "[1,4]") "}", 4, "\"a\": 1 bytes before its data"},
    {"{\"a\":" T("U8", "[3]", "[0,3]") "}", 5, "2 bytes at the end belong to no tensor"},
    {"{}", 1, "1 bytes at the end"},
};

START_TEST(accepts_what_is_right_and_names_what_is_wrong)
{
    struct error err = {0};
    struct buffer bytes;
    struct safetensors *file;
    make_file(&bytes, cases[_i].header, strlen(cases[_i].header), cases[_i].data_length);
    int rc = safetensors_parse(&file, bytes.bytes, bytes.length, &err);
    if (cases[_i].message) {
        ck_assert_msg(rc == -1, "accepted: %s", cases[_i].header);
        ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
        ck_assert_msg(strstr(err.text, cases[_i].message) != NULL, "%s\n  said: %s",
                      cases[_i].header, err.text);
        ck_assert_ptr_null(file);
    } else {
        ck_assert_msg(rc == 0, "%s\n  said: %s", cases[_i].header, err.text);
    }
    safetensors_close(file);
    buffer_free(&bytes);
}
END_TEST

START_TEST(header_length_is_checked_against_the_file)
{
    static const struct {
        uint64_t size;
        size_t length;
        const char *message;
    } lengths[] = {
        {2, 0, "too short"},
        {2, 7, "too short"},
        {3, 10, "more than the file's remaining 2 bytes"},
        {UINT64_MAX, 10, "over the limit"},
        {(uint64_t)SAFETENSORS_MAX_HEADER + 1, 10, "over the limit"},
        {SAFETENSORS_MAX_HEADER, 10, "remaining"},
    };
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct error err;
        struct safetensors *file;
        unsigned char bytes[10] = "........{}";
        memcpy(bytes, &lengths[i].size, 8);
        /* a copy of the exact size, so that a sanitizer sees a read past it */
        unsigned char *copy = malloc(lengths[i].length + 1);
        memcpy(copy, bytes, lengths[i].length);
        ck_assert_int_eq(safetensors_parse(&file, copy, lengths[i].length, &err), -1);
        ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
        ck_assert_msg(strstr(err.text, lengths[i].message) != NULL, "%s", err.text);
        free(copy);
    }
}
END_TEST

START_TEST(too_many_tensors_and_too_long_names_are_refused)
{
    struct error err;
    struct safetensors *file;
    struct buffer header, bytes;
    buffer_init(&header, SAFETENSORS_MAX_HEADER);
    for (int i = 0; i <= SAFETENSORS_MAX_TENSORS; i++)
        ck_assert_int_eq(
            buffer_printf(&header, NULL, "%s\"%d\":" T("U8", "[0]", "[0,0]"), i ? "," : "{", i), 0);
    ck_assert_int_eq(buffer_append(&header, "}", 1, NULL), 0);
    make_file(&bytes, (char *)header.bytes, header.length, 0);
    ck_assert_int_eq(safetensors_parse(&file, bytes.bytes, bytes.length, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    ck_assert_ptr_nonnull(strstr(err.text, "65537 tensors are over the limit"));
    buffer_free(&bytes);

    for (int extra = 0; extra < 2; extra++) {
        buffer_clear(&header);
        ck_assert_int_eq(buffer_printf(&header, NULL, "{\"%0*d\":" T("U8", "[0]", "[0,0]") "}",
                                       SAFETENSORS_MAX_NAME + extra, 0),
                         0);
        make_file(&bytes, (char *)header.bytes, header.length, 0);
        ck_assert_int_eq(safetensors_parse(&file, bytes.bytes, bytes.length, &err), -extra);
        safetensors_close(file);
        buffer_free(&bytes);
    }
    buffer_free(&header);
}
END_TEST

START_TEST(gives_tensors_by_place_and_by_name)
{
    static const char header[] = "{\"b\":" T("U8", "[2,1]", "[4,6]") ",\"a\":" T(
        "F32", "[]",
        "[0,4]") ",\"__metadata__\":{\"z\":\"1\",\"y\":\"zwei\"},\"aa\":" T("I16", "[3]",
                                                                            "[6,12]") "}";
    struct error err;
    struct safetensors *file;
    struct buffer bytes;
    make_file(&bytes, header, strlen(header), 12);
    ck_assert_int_eq(safetensors_parse(&file, bytes.bytes, bytes.length, &err), 0);
    ck_assert_uint_eq(safetensors_count(file), 3);
    ck_assert_str_eq(safetensors_at(file, 0)->name, "a");
    ck_assert_str_eq(safetensors_at(file, 1)->name, "b");
    ck_assert_str_eq(safetensors_at(file, 2)->name, "aa");
    ck_assert_ptr_null(safetensors_at(file, 3));
    for (size_t i = 0; i < 3; i++)
        ck_assert_ptr_eq(safetensors_find(file, safetensors_at(file, i)->name),
                         safetensors_at(file, i));
    ck_assert_ptr_null(safetensors_find(file, "c"));
    ck_assert_ptr_null(safetensors_find(file, ""));
    ck_assert_ptr_null(safetensors_find(file, "__metadata__"));

    const struct tensor_view *b = safetensors_find(file, "b");
    ck_assert_int_eq(b->dtype, DTYPE_U8);
    ck_assert_int_eq(b->rank, 2);
    ck_assert_int_eq(b->shape[0], 2);
    ck_assert_int_eq(b->shape[1], 1);
    ck_assert_int_eq(b->elements, 2);
    ck_assert_uint_eq(b->bytes, 2);
    ck_assert_mem_eq(b->data, "\4\5", 2);
    ck_assert_int_eq(safetensors_at(file, 0)->rank, 0);
    ck_assert_int_eq(safetensors_at(file, 0)->elements, 1);

    ck_assert_str_eq(safetensors_metadata(file, "y"), "zwei");
    ck_assert_ptr_null(safetensors_metadata(file, "x"));
    const char *key, *value;
    ck_assert_int_eq(safetensors_metadata_at(file, 0, &key, &value), 0);
    ck_assert_str_eq(key, "y");
    ck_assert_int_eq(safetensors_metadata_at(file, 1, &key, &value), 0);
    ck_assert_str_eq(value, "1");
    ck_assert_int_eq(safetensors_metadata_at(file, 2, &key, &value), -1);

    size_t length;
    ck_assert_ptr_eq(safetensors_bytes(file, &length), bytes.bytes);
    ck_assert_uint_eq(length, bytes.length);
    safetensors_close(file);
    buffer_free(&bytes);
}
END_TEST

START_TEST(converts_every_dtype_to_float)
{
    static const double f64[] = {-1.5, 0.1, INFINITY};
    static const int64_t i64[] = {-(INT64_C(1) << 40), 16777217, 3};
    static const int32_t i32[] = {INT32_MIN, -7, 16777217};
    static const int16_t i16[] = {-32768, 0, 32767};
    static const int8_t i8[] = {-128, 5, 127};
    static const uint8_t u8[] = {0, 200, 255}, truth[] = {0, 1, 255};
    static const uint16_t f16[] = {0x3c00, 0xc000, 0x0001}, bf16[] = {0x3f80, 0xc000, 0x7f80};
    static const float f32[] = {1.25f, -0.0f, 3e38f};
    static const struct {
        enum dtype dtype;
        const void *data;
        float expected[3];
    } values[] = {
        {DTYPE_F64, f64, {-1.5f, 0.1f, INFINITY}},
        {DTYPE_F32, f32, {1.25f, -0.0f, 3e38f}},
        {DTYPE_F16, f16, {1, -2, 5.9604644775390625e-08f}},
        {DTYPE_BF16, bf16, {1, -2, INFINITY}},
        {DTYPE_I64, i64, {-1099511627776.0f, 16777216, 3}},
        {DTYPE_I32, i32, {-2147483648.0f, -7, 16777216}},
        {DTYPE_I16, i16, {-32768, 0, 32767}},
        {DTYPE_I8, i8, {-128, 5, 127}},
        {DTYPE_U8, u8, {0, 200, 255}},
        {DTYPE_BOOL, truth, {0, 1, 1}},
    };
    ck_assert_uint_eq(COUNT(values), DTYPES);
    for (size_t i = 0; i < COUNT(values); i++) {
        size_t size = dtype_size(values[i].dtype);
        unsigned char odd[3 * 8 + 1];
        memcpy(odd + 1, values[i].data, 3 * size);
        struct tensor_view t = {.name = "t",
                                .dtype = values[i].dtype,
                                .rank = 1,
                                .shape = {3},
                                .elements = 3,
                                .data = odd + 1,
                                .bytes = 3 * size};
        float out[3];
        ck_assert_int_eq(tensor_to_f32(out, &t, NULL), 0);
        ck_assert_msg(memcmp(out, values[i].expected, sizeof out) == 0, "%s: %g %g %g",
                      dtype_name(t.dtype), out[0], out[1], out[2]);
    }
    struct error err;
    float out;
    double huge = 1e39;
    struct tensor_view t = {.name = "t", .dtype = DTYPE_F64, .elements = 1, .data = &huge};
    ck_assert_int_eq(tensor_to_f32(&out, &t, &err), -1);
    ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
    t.dtype = DTYPES;
    ck_assert_int_eq(tensor_to_f32(&out, &t, &err), -1);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
    ck_assert_str_eq(dtype_name(DTYPES), "?");
    ck_assert_uint_eq(dtype_size(DTYPES), 0);
}
END_TEST

/* ---- writing ---- */

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

#if FAILING_MALLOC
/* The JSON library reports some failed allocations as if the text were wrong. */
static void check_memory_error(long n, const struct error *err)
{
    ck_assert_msg(err->code == ERR_MEMORY || strstr(err->text, "header is not valid JSON") != NULL,
                  "allocation %ld: %s", n, err->text);
}

START_TEST(every_failing_allocation_is_an_error)
{
    struct error err;
    long n;
    make_folder();
    for (n = 0;; n++) {
        err.code = ERR_NONE;
        malloc_fail_at(n);
        int rc = write_sample(path, 0, &err);
        if (!malloc_fail_end()) {
            ck_assert_int_eq(rc, 0);
            break;
        }
        if (rc == 0) /* the folder is then not flushed, nothing else */
            continue;
        check_memory_error(n, &err);
    }
    ck_assert_int_gt(n, 20);
    for (n = 0;; n++) {
        struct safetensors *file;
        err.code = ERR_NONE;
        malloc_fail_at(n);
        int rc = safetensors_open(&file, path, &err);
        if (!malloc_fail_end()) {
            ck_assert_int_eq(rc, 0);
            safetensors_close(file);
            break;
        }
        ck_assert_int_eq(rc, -1);
        check_memory_error(n, &err);
    }
    ck_assert_int_gt(n, 20);
    remove_folder();
}
END_TEST
#endif

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
    Suite *suite = suite_create("safetensors");
    TCase *tc = tcase_create("safetensors");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, accepts_what_is_right_and_names_what_is_wrong, 0, COUNT(cases));
    tcase_add_test(tc, header_length_is_checked_against_the_file);
    tcase_add_test(tc, too_many_tensors_and_too_long_names_are_refused);
    tcase_add_test(tc, gives_tensors_by_place_and_by_name);
    tcase_add_test(tc, converts_every_dtype_to_float);
    tcase_add_test(tc, what_is_written_is_read);
    tcase_add_test(tc, order_of_calls_does_not_change_the_bytes);
    tcase_add_test(tc, writer_refuses_misuse);
    tcase_add_test(tc, a_failed_write_leaves_the_old_file);
    tcase_add_test(tc, io_errors_name_the_path);
#if FAILING_MALLOC
    tcase_add_test(tc, every_failing_allocation_is_an_error);
#endif
    tcase_add_test(tc, reads_a_reference_file);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
