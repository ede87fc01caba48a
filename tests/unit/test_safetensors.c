/* nn/safetensors as bytes: what is refused and why, what is found where, conversion. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/buffer.h"
#include "model/nn/safetensors.h"
#include "tests/unit/run.h"

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

int main(void)
{
    TCase *tc = test_case("safetensors");
    tcase_add_loop_test(tc, accepts_what_is_right_and_names_what_is_wrong, 0, COUNT(cases));
    tcase_add_test(tc, header_length_is_checked_against_the_file);
    tcase_add_test(tc, too_many_tensors_and_too_long_names_are_refused);
    tcase_add_test(tc, gives_tensors_by_place_and_by_name);
    tcase_add_test(tc, converts_every_dtype_to_float);
    return run_case("safetensors", tc);
}
