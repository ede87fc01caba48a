/* base/error: codes, texts, truncation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/error.h"
#include "tests/unit/run.h"

START_TEST(sets_code_and_text)
{
    struct error err;
    ck_assert_int_eq(error_set(&err, ERR_BAD_PNG, "row %d", 7), -1);
    ck_assert_int_eq(err.code, ERR_BAD_PNG);
    ck_assert_str_eq(err.text, "row 7");
    ck_assert_int_eq(error_set(NULL, ERR_IO, "nobody listens"), -1);
}
END_TEST

START_TEST(prefix_keeps_the_cause)
{
    struct error err;
    error_set(&err, ERR_IO, "no such file");
    error_prefix(&err, "model.safetensors");
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_str_eq(err.text, "model.safetensors: no such file");
}
END_TEST

START_TEST(long_text_is_cut_not_overrun)
{
    struct error err;
    char big[4 * ERROR_TEXT_SIZE];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    error_set(&err, ERR_IO, "%s", big);
    ck_assert_uint_eq(strlen(err.text), ERROR_TEXT_SIZE - 1);
    error_prefix(&err, "%s", big);
    ck_assert_uint_eq(strlen(err.text), ERROR_TEXT_SIZE - 1);
}
END_TEST

START_TEST(a_cause_is_cut_where_the_text_ends)
{
    struct error err;
    for (int left = 9; left >= 0; left--) { /* bytes behind the prefix */
        char expected[ERROR_TEXT_SIZE + 16];
        int before = ERROR_TEXT_SIZE - 1 - left;
        error_set(&err, ERR_IO, "no such file");
        error_prefix(&err, "%0*d", before, 0);
        snprintf(expected, sizeof expected, "%0*d: no such file", before, 0);
        expected[ERROR_TEXT_SIZE - 1] = 0;
        ck_assert_str_eq(err.text, expected);
    }
}
END_TEST

START_TEST(every_code_has_a_name)
{
    for (int c = ERR_NONE; c <= ERR_INTERNAL; c++)
        ck_assert(strlen(error_name(c)) > 1);
    ck_assert_str_eq(error_name(9999), "internal");
}
END_TEST

int main(void)
{
    RUN("error", sets_code_and_text, prefix_keeps_the_cause, long_text_is_cut_not_overrun,
        a_cause_is_cut_where_the_text_ends, every_code_has_a_name);
}
