/* api/infer_read, api/base64: tensors from text, and what is refused. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/base64.h"
#include "api/infer.h"
#include "tests/unit/run.h"

static struct infer_request request;
static struct problem problem;
static struct image image;

/* Reads a body to an image; the problem's kind, PROBLEM_NONE for none. */
static enum problem_kind read_body(const char *body)
{
    problem.kind = PROBLEM_NONE;
    memset(&image, 0, sizeof image);
    if (infer_read(&request, body, strlen(body), &problem) != 0 ||
        infer_image(&image, &request, 10000, &problem) != 0) {
        image_free(&image);
        return problem.kind;
    }
    return PROBLEM_NONE;
}

#define TENSOR(type, shape, data)                                                                  \
    "{\"inputs\":[{\"name\":\"image\",\"datatype\":\"" type "\",\"shape\":" shape                  \
    ",\"data\":" data "}]}"

START_TEST(tensors_become_images)
{
    static const char *const forms[] = {
        TENSOR("UINT8", "[2,3]", "[0,51,255,1,2,3]"),
        TENSOR("UINT8", "[1,2,3]", "[[[0,51,255],[1,2,3]]]"),
        TENSOR("UINT8", "[1,1,2,3]", " [ [0 , 51,\n255 ] ,[1,2,\t3]] "),
        TENSOR("UINT8", "[2,3]", "[0.0,5.1e1,2550e-1,1,2,3]"),
        TENSOR("FP32", "[2,3]",
               "[0,0.2,1,0.0039215686274509803,0.0078431372549019607,0.011764705882352941]"),
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        ck_assert_msg(read_body(forms[i]) == PROBLEM_NONE, "%s: %s", forms[i], problem.detail);
        ck_assert_int_eq(image.width, 3);
        ck_assert_int_eq(image.height, 2);
        static const float want[6] = {0, 51 / 255.0f, 1, 1 / 255.0f, 2 / 255.0f, 3 / 255.0f};
        for (int k = 0; k < 6; k++)
            ck_assert_float_eq(image.pixels[k], want[k]);
        image_free(&image);
    }
    /* Another scale is brought to that of every image. */
    ck_assert_int_eq(read_body(TENSOR("FP32", "[1,3]", "[-1000,0,1000]")), PROBLEM_NONE);
    ck_assert_float_eq(image.pixels[0], 0);
    ck_assert_float_eq(image.pixels[1], 0.5f);
    ck_assert_float_eq(image.pixels[2], 1);
    image_free(&image);
}
END_TEST

START_TEST(what_a_request_says_besides)
{
    ck_assert_int_eq(
        read_body("{\"id\":\"my-id\",\"parameters\":{\"score_threshold\":0.25,"
                  "\"max_detections\":7},\"outputs\":[{\"name\":\"boxes\"},{\"name\":\"scores\"}],"
                  "\"inputs\":[{\"data\":[1,2],\"shape\":[1,2],\"datatype\":\"UINT8\","
                  "\"name\":\"image\"}]}"),
        PROBLEM_NONE);
    image_free(&image);
    ck_assert_str_eq(request.id, "my-id");
    ck_assert_float_eq(request.options.score_threshold, 0.25f);
    ck_assert_int_eq(request.options.max_detections, 7);
    for (int i = 0; i < INFER_OUTPUTS; i++)
        ck_assert_int_eq(request.wanted[i], i == INFER_BOXES || i == INFER_SCORES);
    ck_assert_int_eq(read_body(TENSOR("UINT8", "[1,2]", "[1,2]")), PROBLEM_NONE);
    image_free(&image);
    for (int i = 0; i < INFER_OUTPUTS; i++)
        ck_assert(request.wanted[i]);
    ck_assert_float_lt(request.options.score_threshold, 0);
}
END_TEST

START_TEST(what_is_refused)
{
    static const struct {
        const char *body;
        enum problem_kind kind;
    } cases[] = {
        {"", PROBLEM_BAD_REQUEST},
        {"null", PROBLEM_BAD_REQUEST},
        {"[]", PROBLEM_BAD_REQUEST},
        {"{}", PROBLEM_BAD_REQUEST},
        {"{\"inputs\":[]}", PROBLEM_BAD_REQUEST},
        {"{\"inputs\":[{}]}", PROBLEM_BAD_REQUEST},
        {"{\"inputs\":[{\"data\":[1]}", PROBLEM_BAD_REQUEST},
        {"{\"inputs\":[{\"data\":[1", PROBLEM_BAD_REQUEST},
        {"{\"inputs\":[{\"data\":[\"", PROBLEM_BAD_REQUEST},
        {"{\"inputs\":[{\"data\":[\"\\", PROBLEM_BAD_REQUEST},
        {"{\"data\":[1,2],\"inputs\":[{\"name\":\"image\",\"datatype\":\"UINT8\",\"shape\":[1,2]}]"
         "}",
         PROBLEM_BAD_REQUEST},
        {"{\"inputs\":[{\"name\":\"image\",\"datatype\":\"UINT8\",\"shape\":[1,1],\"data\":[1],"
         "\"data\":[2]}]}",
         PROBLEM_BAD_REQUEST},
        {"{\"inputs\":[{\"name\":\"x\",\"datatype\":\"UINT8\",\"shape\":[1,1],\"data\":[1]}]}",
         PROBLEM_BAD_REQUEST},
        {TENSOR("INT8", "[1,1]", "[1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[]", "[1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1]", "[1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[2,1,1]", "[1,2]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,1,1,1,1]", "[1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,\"1\"]", "[1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[0,1]", "[]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[-1,-1]", "[1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,2]", "[1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,1]", "[1,2]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,2]", "[1 2]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,2]", "[1,,2]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,2]", "[1,2,]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,1]", "[256]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,1]", "[-1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,1]", "[1.5]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,1]", "[0x10]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,1]", "[true]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[1,1]", "[\"1\"]"), PROBLEM_BAD_REQUEST},
        {TENSOR("FP32", "[1,1]", "[nan]"), PROBLEM_BAD_REQUEST},
        {TENSOR("FP32", "[1,1]", "[-inf]"), PROBLEM_BAD_REQUEST},
        {TENSOR("FP32", "[1,1]", "[1e39]"), PROBLEM_BAD_REQUEST},
        {TENSOR("FP32", "[1,1]", "[1e999]"), PROBLEM_BAD_REQUEST},
        {TENSOR("UINT8", "[101,100]", "[1]"), PROBLEM_PAYLOAD_TOO_LARGE},
        {TENSOR("UINT8", "[4294967296,4294967296]", "[1]"), PROBLEM_PAYLOAD_TOO_LARGE},
        {TENSOR("BYTES", "[2]", "[\"aGVsbG8=\"]"), PROBLEM_BAD_REQUEST},
        {TENSOR("BYTES", "[1]", "[]"), PROBLEM_BAD_REQUEST},
        {TENSOR("BYTES", "[1]", "[1]"), PROBLEM_BAD_REQUEST},
        {TENSOR("BYTES", "[1]", "[\"a\",\"b\"]"), PROBLEM_BAD_REQUEST},
        {TENSOR("BYTES", "[1]", "[\"aGV*bG8=\"]"), PROBLEM_BAD_REQUEST},
        {TENSOR("BYTES", "[1]", "[\"aGVsbG8=\"]"), PROBLEM_UNSUPPORTED_MEDIA},
        {TENSOR("BYTES", "[1]", "[\"iVBORw0KGgo=\"]"), PROBLEM_BAD_PNG},
        {"{\"parameters\":{\"masks\":\"none\"},\"inputs\":[{\"name\":\"image\",\"datatype\":"
         "\"UINT8\",\"shape\":[1,1],\"data\":[1]}]}",
         PROBLEM_BAD_OPTION},
        {"{\"parameters\":{\"max_detections\":0},\"inputs\":[{\"name\":\"image\",\"datatype\":"
         "\"UINT8\",\"shape\":[1,1],\"data\":[1]}]}",
         PROBLEM_BAD_OPTION},
        {"{\"outputs\":[{\"name\":\"x\"}],\"inputs\":[{\"name\":\"image\",\"datatype\":"
         "\"UINT8\",\"shape\":[1,1],\"data\":[1]}]}",
         PROBLEM_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum problem_kind kind = read_body(cases[i].body);
        ck_assert_msg(kind == cases[i].kind, "%s: %d instead of %d: %s", cases[i].body, (int)kind,
                      (int)cases[i].kind, problem.detail);
        ck_assert_uint_gt(strlen(problem.detail), 10);
    }
}
END_TEST

START_TEST(every_beginning_of_a_request)
{
    const char *whole = TENSOR("UINT8", "[1,2,2]", "[[[1,2],[3,4]]]");
    size_t length = strlen(whole);
    for (size_t n = 0; n < length; n++) {
        char *part = strndup(whole, n);
        ck_assert_int_eq(read_body(part), PROBLEM_BAD_REQUEST);
        free(part);
    }
    ck_assert_int_eq(read_body(whole), PROBLEM_NONE);
    image_free(&image);
}
END_TEST

START_TEST(a_head_is_small)
{
    char *name = malloc(INFER_MAX_HEAD + 1), *body = malloc(INFER_MAX_HEAD + 200);
    ck_assert(name && body);
    memset(name, 'n', INFER_MAX_HEAD);
    name[INFER_MAX_HEAD] = 0;
    snprintf(body, INFER_MAX_HEAD + 200, "{\"id\":\"%s\",\"inputs\":[]}", name);
    ck_assert_int_eq(read_body(body), PROBLEM_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(problem.detail, "more in the request"));
    free(name);
    free(body);
}
END_TEST

START_TEST(base64_there_and_back)
{
    uint8_t bytes[64], back[64];
    char text[128];
    size_t length;
    unsigned state = 3;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)random_next(&state);
        base64_encode(text, bytes, n);
        ck_assert_int_eq(base64_decode(back, &length, text, strlen(text)), 0);
        ck_assert_uint_eq(length, n);
        ck_assert_mem_eq(back, bytes, n);
    }
    ck_assert_int_eq(base64_decode(back, &length, "\\/\\/8=", 6), 0);
    ck_assert_uint_eq(length, 2);
    ck_assert_int_eq(back[0] + back[1], 510);
    static const char *const bad[] = {
        "a", "ab", "abc", "abcde", "ab=c", "====", "a===", "ab\\c", "ab c", "abc\n", "abcd=", "\\"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(base64_decode(back, &length, bad[i], strlen(bad[i])) != 0, "%s", bad[i]);
}
END_TEST

int main(void)
{
    RUN("infer", tensors_become_images, what_a_request_says_besides, what_is_refused,
        every_beginning_of_a_request, a_head_is_small, base64_there_and_back);
}
