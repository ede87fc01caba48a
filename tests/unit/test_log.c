/* server/log: one line per event, whatever is in the fields. */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"
#include "tests/unit/run.h"

static char text[16384];

/* Runs a statement with a log that writes to a pipe; what came is in `text`. */
#define CAPTURE(format_, level_, ...)                                                              \
    do {                                                                                           \
        int ends[2];                                                                               \
        ck_assert_int_eq(pipe(ends), 0);                                                           \
        struct log log;                                                                            \
        log_init(&log, ends[1], format_, level_);                                                  \
        __VA_ARGS__;                                                                               \
        close(ends[1]);                                                                            \
        ssize_t n = read(ends[0], text, sizeof text - 1);                                          \
        text[n > 0 ? n : 0] = 0;                                                                   \
        close(ends[0]);                                                                            \
    } while (0)

START_TEST(json_lines)
{
    CAPTURE(LOG_JSON, LOG_INFO,
            log_event(&log, LOG_WARN, "request", LOG_STR("id", "a\"b\\c\n\x01\xff"),
                      LOG_NUM("status", 200), LOG_MSEC("ms", 1.5), LOG_STR("gone", NULL),
                      LOG_MSEC("bad", NAN)));
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    json_t *root = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_str_eq(json_string_value(json_object_get(root, "event")), "request");
    ck_assert_str_eq(json_string_value(json_object_get(root, "level")), "warn");
    ck_assert_str_eq(json_string_value(json_object_get(root, "id")), "a\"b\\c\n\x01\xc3\xbf");
    ck_assert_int_eq((int)json_integer_value(json_object_get(root, "status")), 200);
    ck_assert_double_eq(json_number_value(json_object_get(root, "ms")), 1.5);
    ck_assert_ptr_null(json_object_get(root, "gone"));
    json_decref(root);
}
END_TEST

START_TEST(text_lines)
{
    CAPTURE(LOG_TEXT, LOG_INFO,
            log_event(&log, LOG_INFO, "request", LOG_STR("route", "/v1/predict"),
                      LOG_STR("id", "x y=1\nfake line"), LOG_STR("empty", "")));
    ck_assert_ptr_nonnull(strstr(text, " info  request route=/v1/predict "));
    ck_assert_ptr_nonnull(strstr(text, " id=\"x y=1\\u000afake line\" empty=\"\"\n"));
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(levels)
{
    CAPTURE(LOG_JSON, LOG_WARN, log_event(&log, LOG_INFO, "quiet", LOG_NUM("n", 1)));
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(long_fields_are_cut_and_the_line_stays_whole)
{
    char big[5000];
    memset(big, '\x01', sizeof big);
    big[sizeof big - 1] = 0;
    CAPTURE(LOG_JSON, LOG_INFO,
            log_event(&log, LOG_INFO, "e", LOG_STR("a", big), LOG_STR("b", big), LOG_STR("c", big),
                      LOG_STR("d", big), LOG_STR("e", big), LOG_STR("f", big), LOG_STR("g", big),
                      LOG_STR("h", big), LOG_NUM("last", 7)));
    json_t *root = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq((int)json_integer_value(json_object_get(root, "last")), 7);
    json_decref(root);
}
END_TEST

START_TEST(a_reader_that_stalls_loses_lines_and_learns_how_many)
{
    static char waste[1 << 20];
    int ends[2], written = 0;
    ck_assert_int_eq(pipe(ends), 0);
    struct log log;
    log_init(&log, ends[1], LOG_JSON, LOG_INFO);
    for (; log.lost < 3; written++) /* a write that waits would wait for ever */
        log_event(&log, LOG_INFO, "filler", LOG_NUM("n", written));
    ck_assert_int_gt(written, 100);
    ssize_t n = read(ends[0], waste, sizeof waste - 1);
    ck_assert_int_eq(waste[n - 1], '\n'); /* no line in pieces */
    log_event(&log, LOG_INFO, "heard", LOG_NUM("n", 1));
    log_event(&log, LOG_INFO, "again", LOG_NUM("n", 2));
    n = read(ends[0], waste, sizeof waste - 1);
    waste[n] = 0;
    char *end = strchr(waste, '\n');
    *end = 0;
    json_t *root = json_loads(waste, 0, NULL);
    ck_assert_int_eq((int)json_integer_value(json_object_get(root, "lost_before")), 3);
    ck_assert_ptr_null(strstr(end + 1, "lost_before"));
    json_decref(root);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

int main(void)
{
    RUN("log", json_lines, text_lines, levels, long_fields_are_cut_and_the_line_stays_whole,
        a_reader_that_stalls_loses_lines_and_learns_how_many);
}
