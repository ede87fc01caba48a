/* model/base/zip: what an archive may be, and beginnings of its entries. Damage to archives is
 * tests/unit/test_convert.c's. */
#include "model/base/zip.h"

#include "tests/unit/run.h"
#include "tests/unit/zip_maker.h"

static struct error err;
static const struct zip_limits any = {ERR_BAD_DATA, 10, 1 << 20, 0, false};

static uint8_t *two_entries(size_t *length)
{
    static uint8_t zeros[40000], text[] = "stored bytes";
    const struct zip_part parts[] = {{"z/zeros", zeros, sizeof zeros, true},
                                     {"a", text, sizeof text, false}};
    return zip_file(length, parts, 2);
}

static void expect(const uint8_t *file, size_t length, const struct zip_limits *limits,
                   enum error_code code, const char *names)
{
    struct zip *zip;
    ck_assert_int_ne(zip_open(&zip, file, length, limits, &err), 0);
    ck_assert_ptr_null(zip);
    ck_assert_msg(err.code == code && strstr(err.text, names), "%s instead of %s", err.text, names);
}

START_TEST(limits_are_kept_before_anything_is_inflated)
{
    size_t length;
    uint8_t *file = two_entries(&length);
    struct zip *zip;
    ck_assert_int_eq(zip_open(&zip, file, length, &any, &err), 0);
    ck_assert_uint_eq(zip_count(zip), 2);
    zip_close(zip);
    struct zip_limits tight = any;
    tight.max_entries = 1;
    expect(file, length, &tight, ERR_BAD_DATA, "more entries");
    tight = any;
    tight.max_inflated = 39999;
    expect(file, length, &tight, ERR_TOO_LARGE, "larger than");
    tight = any;
    tight.max_ratio = (int)(40000 / (length + 1));
    expect(file, length, &tight, ERR_TOO_LARGE, "40000 bytes");
    tight.max_ratio++;
    ck_assert_int_eq(zip_open(&zip, file, length, &tight, &err), 0);
    zip_close(zip);
    expect(file, length - 1, &any, ERR_BAD_DATA, "cut off");
    free(file);
}
END_TEST

START_TEST(entries_that_overlap_are_refused)
{
    size_t length;
    uint8_t bytes[300] = {1};
    const struct zip_part parts[] = {{"a", bytes, 300, false}, {"b", bytes, 300, false}};
    uint8_t *file = zip_file(&length, parts, 2);
    uint8_t *end = file + length - 22;
    uint32_t at = end[16] | (uint32_t)end[17] << 8;
    /* Only the first entry's bytes, which the second points at, too. */
    size_t table = 2 * 47;
    memmove(file + 331, file + at, table + 22);
    end = file + 331 + table;
    end[16] = 331 & 255;
    end[17] = 331 >> 8;
    memset(file + 331 + 47 + 42, 0, 4); /* the second's place */
    expect(file, 331 + table + 22, &any, ERR_BAD_DATA, "overlap");
    free(file);
}
END_TEST

START_TEST(zip64_is_taken_only_where_it_may_be)
{
    size_t length;
    uint8_t *file = two_entries(&length);
    uint8_t *end = file + length - 22;
    uint8_t *row = file + (end[16] | end[17] << 8 | end[18] << 16);
    memset(row + 24, 0xff, 4); /* a size that is in an extra field, or so it says */
    expect(file, length, &any, ERR_UNSUPPORTED, "zip64");
    free(file);
    file = two_entries(&length);
    memset(file + length - 22 + 10, 0xff, 2); /* number of entries */
    expect(file, length, &any, ERR_UNSUPPORTED, "zip64");
    struct zip_limits wide = any;
    wide.zip64 = true;
    expect(file, length, &wide, ERR_BAD_DATA, "needs zip64, which is not there");
    free(file);
}
END_TEST

START_TEST(beginnings_can_be_had_alone)
{
    size_t length, got;
    uint8_t *file = two_entries(&length), out[40000];
    struct zip *zip;
    ck_assert_int_eq(zip_open(&zip, file, length, &any, &err), 0);
    const struct zip_entry *text = zip_at(zip, 0), *zeros = zip_at(zip, 1);
    memset(out, 7, sizeof out);
    ck_assert_int_eq(zip_peek(out, &got, 6, text, &err), 0);
    ck_assert_uint_eq(got, 6);
    ck_assert_mem_eq(out, "stored\7", 7);
    ck_assert_int_eq(zip_peek(out, &got, 100, zeros, &err), 0);
    ck_assert_uint_eq(got, 100);
    ck_assert(out[99] == 0 && out[100] == 7);
    ck_assert_int_eq(zip_peek(out, &got, 1 << 30, zeros, &err), 0);
    ck_assert_uint_eq(got, 40000);
    /* Damage behind what was asked for is not seen, and then it is. */
    uint8_t *middle = (uint8_t *)(uintptr_t)zeros->bytes + zeros->stored / 2;
    memset(middle, 0xff, zeros->stored / 2);
    ck_assert_int_eq(zip_peek(out, &got, 100, zeros, &err), 0);
    ck_assert_int_ne(zip_peek(out, &got, 40000, zeros, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "\"z/zeros\""));
    zip_close(zip);
    free(file);
}
END_TEST

int main(void)
{
    RUN("zip", limits_are_kept_before_anything_is_inflated, entries_that_overlap_are_refused,
        zip64_is_taken_only_where_it_may_be, beginnings_can_be_had_alone);
}
