/* api/options and api/target: what is taken, what is refused, and in which words. */
#include <string.h>

#include "api/options.h"
#include "api/target.h"
#include "tests/unit/run.h"

static struct slice_options options;
static struct problem problem;

static int query(const char *text)
{
    options_default(&options);
    return options_from_query(&options, text, &problem);
}

static int json(const char *text)
{
    options_default(&options);
    return options_from_json(&options, text, strlen(text), &problem);
}

START_TEST(defaults)
{
    ck_assert_int_eq(query(""), 0);
    ck_assert_int_eq(options.masks, MASKS_RLE);
    ck_assert(options.score_threshold < 0);
    ck_assert_int_eq(options.max_detections, 0);
    ck_assert(options.explain);
}
END_TEST

START_TEST(all_options)
{
    ck_assert_int_eq(query("masks=polygon&score_threshold=0.25&max_detections=7&explain=false"), 0);
    ck_assert_int_eq(options.masks, MASKS_POLYGON);
    ck_assert_float_eq(options.score_threshold, 0.25f);
    ck_assert_int_eq(options.max_detections, 7);
    ck_assert(!options.explain);
    ck_assert_int_eq(json("{\"masks\":\"png\",\"score_threshold\":0.5,\"max_detections\":128,"
                          "\"explain\":false}"),
                     0);
    ck_assert_int_eq(options.masks, MASKS_PNG);
    ck_assert_float_eq(options.score_threshold, 0.5f);
    ck_assert_int_eq(options.max_detections, 128);
    ck_assert(!options.explain);
    ck_assert_int_eq(json("{}"), 0);
    ck_assert_int_eq(query("&&masks=n%6fne&"), 0);
    ck_assert_int_eq(options.masks, MASKS_NONE);
    ck_assert_int_eq(query("score_threshold=0&max_detections=1"), 0);
    ck_assert_int_eq(query("score_threshold=1e-3"), 0);
}
END_TEST

START_TEST(refusals_name_option_and_range)
{
    static const struct {
        const char *query, *word, *range;
    } cases[] = {
        {"masks=mesh", "masks", "rle, polygon, png or none"},
        {"masks=", "masks", "rle"},
        {"masks=RLE", "masks", "rle"},
        {"score_threshold=1", "score_threshold", "from 0 up to, not including, 1"},
        {"score_threshold=0.99999999999", "score_threshold", "not including, 1"},
        {"score_threshold=-0.1", "score_threshold", "from 0"},
        {"score_threshold=nan", "score_threshold", "from 0"},
        {"score_threshold=inf", "score_threshold", "from 0"},
        {"score_threshold=0x0p0", "score_threshold", "from 0"},
        {"score_threshold=0.5%20", "score_threshold", "from 0"},
        {"score_threshold=1e999", "score_threshold", "from 0"},
        {"score_threshold=", "score_threshold", "from 0"},
        {"max_detections=0", "max_detections", "from 1 to 128"},
        {"max_detections=129", "max_detections", "from 1 to 128"},
        {"max_detections=-1", "max_detections", "from 1 to 128"},
        {"max_detections=3.5", "max_detections", "from 1 to 128"},
        {"max_detections=99999999999999999999", "max_detections", "from 1 to 128"},
        {"explain=1", "explain", "true or false"},
        {"explain", "explain", "true or false"},
        {"thresh=1", "thresh", "masks, score_threshold, max_detections, explain"},
        {"masks=rle&masks=none", "masks", "more than once"},
        {"masks=%zz", "query", "escape"},
        {"masks=%00", "query", "escape"},
        {"masks=%4", "query", "escape"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(query(cases[i].query) != 0, "%s was taken", cases[i].query);
        ck_assert_int_eq(problem.kind, PROBLEM_BAD_OPTION);
        ck_assert_msg(strstr(problem.detail, cases[i].word) != NULL, "%s: %s", cases[i].query,
                      problem.detail);
        ck_assert_msg(strstr(problem.detail, cases[i].range) != NULL, "%s: %s", cases[i].query,
                      problem.detail);
    }
}
END_TEST

START_TEST(json_that_is_no_flat_object)
{
    static const char *const cases[] = {
        "",
        "[]",
        "\"masks\"",
        "{\"masks\":null}",
        "{\"masks\":{}}",
        "{\"masks\":[\"rle\"]}",
        "{\"masks\":\"rle\",\"masks\":\"none\"}",
        "{\"masks\":\"rle\"",
        "{\"masks\":\"rle\"} x",
        "{\"masks\":\"r\\u0000le\"}",
        "{\"score_threshold\":\"half\"}",
        "{\"score_threshold\":1.5}",
        "{\"max_detections\":2.5}",
        "{\"max_detections\":1e400}",
        "{\"explain\":0}",
        "{\"other\":1}",
        "{masks:1}",
        "\xff\xfe",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(json(cases[i]) != 0, "%s was taken", cases[i]);
        ck_assert_int_eq(problem.kind, PROBLEM_BAD_OPTION);
        ck_assert_uint_gt(strlen(problem.detail), 20);
    }
}
END_TEST

START_TEST(json_that_would_fill_the_memory)
{
    static char big[1 << 20];
    memset(big, ' ', sizeof big);
    memcpy(big, "{\"explain\":true}", 16);
    ck_assert_int_ne(options_from_json(&options, big, sizeof big, &problem), 0);
    ck_assert_int_eq(problem.kind, PROBLEM_BAD_OPTION);
    ck_assert_ptr_nonnull(strstr(problem.detail, "1048576 bytes"));
    options_default(&options);
    ck_assert_int_eq(options_from_json(&options, big, 16384, &problem), 0);
}
END_TEST

START_TEST(long_fields_are_refused)
{
    char text[4096];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    ck_assert_int_ne(query(text), 0);
    memcpy(text, "masks=", 6);
    ck_assert_int_ne(query(text), 0);
    ck_assert_uint_lt(strlen(problem.detail), sizeof problem.detail);
}
END_TEST

START_TEST(paths_are_decoded)
{
    char path[TARGET_PATH_SIZE];
    ck_assert_int_eq(target_path(path, "/v1/predict?a=b"), 0);
    ck_assert_str_eq(path, "/v1/predict");
    ck_assert_int_eq(target_path(path, "/a+b%63#x"), 0);
    ck_assert_str_eq(path, "/a+bc");
    ck_assert_int_eq(target_path(path, "HTTP://host:1/livez?x"), 0);
    ck_assert_str_eq(path, "/livez");
    ck_assert_int_eq(target_path(path, "https://host"), 0);
    ck_assert_str_eq(path, "/");
    ck_assert_int_ne(target_path(path, "/a%2Fb"), 0);
    ck_assert_int_ne(target_path(path, "/a/%2f?b"), 0);
    ck_assert_int_eq(target_path(path, "/a?b=%2f"), 0);
    ck_assert_int_ne(target_path(path, "/%00"), 0);
    ck_assert_int_ne(target_path(path, "/%"), 0);
    char big[TARGET_PATH_SIZE + 8];
    memset(big, 'a', sizeof big);
    big[sizeof big - 1] = 0;
    ck_assert_int_ne(target_path(path, big), 0);
    ck_assert_str_eq(target_query("/a?b=c?d"), "b=c?d");
    ck_assert_str_eq(target_query("/a"), "");
}
END_TEST

START_TEST(fields_are_split_and_decoded)
{
    struct query_field field;
    const char *rest = "a=1+2&b&=x&c=%3D%26=";
    ck_assert_int_eq(query_next(&field, &rest), 1);
    ck_assert_str_eq(field.name, "a");
    ck_assert_str_eq(field.value, "1 2");
    ck_assert_int_eq(query_next(&field, &rest), 1);
    ck_assert_str_eq(field.name, "b");
    ck_assert_str_eq(field.value, "");
    ck_assert_int_eq(query_next(&field, &rest), 1);
    ck_assert_str_eq(field.name, "");
    ck_assert_int_eq(query_next(&field, &rest), 1);
    ck_assert_str_eq(field.value, "=&=");
    ck_assert_int_eq(query_next(&field, &rest), 0);
}
END_TEST

int main(void)
{
    RUN("options", defaults, all_options, refusals_name_option_and_range,
        json_that_is_no_flat_object, json_that_would_fill_the_memory, long_fields_are_refused,
        paths_are_decoded, fields_are_split_and_decoded);
}
