/* base: buffer, half, sha256, mapped. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/base/buffer.h"
#include "model/base/half.h"
#include "model/base/mapped.h"
#include "model/base/sha256.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

/* ---- buffer ---- */

START_TEST(buffer_grows_to_its_maximum_and_no_further)
{
    struct error err;
    struct buffer b;
    buffer_init(&b, 1000);
    ck_assert_ptr_null(b.bytes);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(buffer_append(&b, "0123456789", 10, &err), 0);
    ck_assert_uint_eq(b.length, 1000);
    ck_assert_uint_eq(strlen((char *)b.bytes), 1000);
    ck_assert_int_eq(buffer_append(&b, "x", 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(buffer_printf(&b, &err, "%d", 7), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(buffer_append(&b, NULL, 0, &err), 0);
    ck_assert_uint_eq(b.length, 1000);
    ck_assert_mem_eq(b.bytes + 990, "0123456789", 11);
    buffer_free(&b);
    ck_assert_int_eq(buffer_append(&b, "again", 5, &err), 0);
    ck_assert_str_eq((char *)b.bytes, "again");
    buffer_free(&b);
}
END_TEST

START_TEST(buffer_prints)
{
    struct error err;
    struct buffer b;
    buffer_init(&b, SIZE_MAX);
    ck_assert_int_eq(buffer_printf(&b, &err, "%s", ""), 0);
    ck_assert_str_eq((char *)b.bytes, "");
    ck_assert_int_eq(buffer_printf(&b, &err, "%d-%s", 12, "ab"), 0);
    ck_assert_int_eq(buffer_printf(&b, &err, "%0300d", 1), 0);
    ck_assert_uint_eq(b.length, 305);
    ck_assert_mem_eq(b.bytes, "12-ab000", 8);
    buffer_clear(&b);
    ck_assert_uint_eq(b.length, 0);
    ck_assert_str_eq((char *)b.bytes, "");
    ck_assert_int_eq(buffer_reserve(&b, SIZE_MAX, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    buffer_free(&b);
}
END_TEST

START_TEST(buffer_gives_its_bytes_away)
{
    struct error err;
    struct buffer b;
    buffer_init(&b, 100);
    size_t length = 77;
    ck_assert_ptr_null(buffer_take(&b, &length));
    ck_assert_uint_eq(length, 0);
    ck_assert_int_eq(buffer_append(&b, "abc", 3, &err), 0);
    uint8_t *bytes = buffer_take(&b, &length);
    ck_assert_uint_eq(length, 3);
    ck_assert_str_eq((char *)bytes, "abc");
    ck_assert_ptr_null(b.bytes);
    ck_assert_uint_eq(b.maximum, 100);
    free(bytes);
}
END_TEST

START_TEST(buffer_without_memory)
{
    struct error err;
    struct buffer b;
    buffer_init(&b, 1 << 20);
    ck_assert_int_eq(buffer_append(&b, "kept", 4, &err), 0);
    if (oom_works()) {
        oom_begin(0);
        int rc = buffer_reserve(&b, 100000, &err);
        struct oom seen = oom_end();
        ck_assert(seen.failed);
        ck_assert_int_eq(seen.live, 0);
        ck_assert_int_eq(rc, -1);
        ck_assert_int_eq(err.code, ERR_MEMORY);
        ck_assert_str_eq((char *)b.bytes, "kept");
    }
    buffer_free(&b);
}
END_TEST

/* ---- half ---- */

/* The value of a 16-bit float with `exponent_bits`, by its definition. */
static double half_value(unsigned half, int exponent_bits)
{
    int mantissa_bits = 15 - exponent_bits;
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(half >> mantissa_bits) & ((1 << exponent_bits) - 1);
    int mantissa = (int)half & ((1 << mantissa_bits) - 1);
    double sign = half & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

static const struct {
    int exponent_bits;
    void (*widen)(float *, const void *, size_t);
    void (*narrow)(void *, const float *, size_t);
    unsigned infinity;
} formats[] = {{5, f16_to_f32, f16_from_f32, 0x7c00}, {8, bf16_to_f32, bf16_from_f32, 0x7f80}};

START_TEST(every_half_widens_exactly_and_comes_back)
{
    static uint16_t in[65536], back[65536];
    static float out[65536];
    for (unsigned i = 0; i < 65536; i++)
        in[i] = (uint16_t)i;
    formats[_i].widen(out, in, 65536);
    formats[_i].narrow(back, out, 65536);
    for (unsigned i = 0; i < 65536; i++) {
        double expected = half_value(i, formats[_i].exponent_bits);
        if (isnan(expected)) {
            ck_assert_msg(isnan(out[i]), "%04x", i);
            ck_assert_msg((back[i] & 0x7fffu) > formats[_i].infinity, "%04x", i);
        } else {
            ck_assert_msg((double)out[i] == expected, "%04x: %g, not %g", i, out[i], expected);
            ck_assert_msg(!signbit(out[i]) == !signbit(expected), "%04x", i);
            ck_assert_msg(back[i] == i, "%04x came back as %04x", i, back[i]);
        }
    }
}
END_TEST

static unsigned narrow_one(int format, float value)
{
    uint16_t half;
    formats[format].narrow(&half, &value, 1);
    return half;
}

/* Between each two neighbours: just below the middle, the middle, just above it, in both signs. */
START_TEST(narrowing_rounds_to_nearest_even)
{
    for (unsigned low = 0; low < formats[_i].infinity; low++) {
        unsigned high = low + 1;
        double a = half_value(low, formats[_i].exponent_bits);
        /* beyond the largest value counts as if the next power of two were there */
        double b = high < formats[_i].infinity
                       ? half_value(high, formats[_i].exponent_bits)
                       : 2 * half_value(high - (1u << (15 - formats[_i].exponent_bits)),
                                        formats[_i].exponent_bits);
        float middle = (float)((a + b) / 2);
        ck_assert((double)middle == (a + b) / 2);
        unsigned even = low % 2 == 0 ? low : high;
        ck_assert_uint_eq(narrow_one(_i, middle), even);
        ck_assert_uint_eq(narrow_one(_i, -middle), even | 0x8000u);
        ck_assert_uint_eq(narrow_one(_i, nextafterf(middle, 0)), low);
        ck_assert_uint_eq(narrow_one(_i, nextafterf(middle, INFINITY)), high);
        ck_assert_uint_eq(narrow_one(_i, -nextafterf(middle, INFINITY)), high | 0x8000u);
    }
}
END_TEST

START_TEST(narrowing_special_values)
{
    ck_assert_uint_eq(narrow_one(_i, INFINITY), formats[_i].infinity);
    ck_assert_uint_eq(narrow_one(_i, -INFINITY), formats[_i].infinity | 0x8000u);
    ck_assert_uint_eq(narrow_one(_i, 3.4028235e38f), formats[_i].infinity);
    ck_assert_uint_eq(narrow_one(_i, 0.0f), 0);
    ck_assert_uint_eq(narrow_one(_i, -0.0f), 0x8000);
    const uint32_t nans[] = {0x7fc00000, 0x7f800001, 0xffc00000, 0xff800001, 0x7fffffff};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
        float value;
        memcpy(&value, &nans[i], 4);
        unsigned half = narrow_one(_i, value);
        ck_assert_uint_gt(half & 0x7fffu, formats[_i].infinity);
        ck_assert_uint_eq(half >> 15, nans[i] >> 31);
    }
}
END_TEST

START_TEST(halves_may_lie_anywhere)
{
    for (size_t count = 0; count < 70; count++) {
        float in[70], out[70];
        unsigned char bytes[2 * 70 + 3];
        memset(bytes, 0xee, sizeof bytes);
        for (size_t i = 0; i < count; i++)
            in[i] = (float)i - 8.5f;
        formats[_i].narrow(bytes + 1, in, count);
        ck_assert_uint_eq(bytes[0], 0xee);
        ck_assert_uint_eq(bytes[1 + 2 * count], 0xee);
        formats[_i].widen(out, bytes + 1, count);
        ck_assert(count == 0 || memcmp(in, out, count * sizeof *in) == 0);
    }
}
END_TEST

/* ---- sha256 ---- */

/* FIPS 180-4 examples; the long one is a million times 'a'. */
static const struct {
    const char *text;
    size_t repeat;
    const char *hex;
} vectors[] = {
    {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmno"
     "pqrsmnopqrstnopqrstu",
     1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

START_TEST(sha256_vectors)
{
    static void (*const inits[])(struct sha256 *) = {sha256_init, sha256_init_portable};
    for (int k = 0; k < 2; k++) {
        struct sha256 hash;
        uint8_t digest[SHA256_SIZE];
        char hex[SHA256_HEX_SIZE];
        inits[k](&hash);
        for (size_t i = 0; i < vectors[_i].repeat; i++)
            sha256_update(&hash, vectors[_i].text, strlen(vectors[_i].text));
        sha256_final(&hash, digest);
        sha256_format(hex, digest);
        ck_assert_str_eq(hex, vectors[_i].hex);
    }
}
END_TEST

START_TEST(sha256_in_any_pieces)
{
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 + 7);
    for (size_t length = 0; length <= sizeof bytes; length++) {
        uint8_t whole[SHA256_SIZE], pieces[SHA256_SIZE];
        sha256_digest(whole, bytes, length);
        for (size_t step = 1; step < 140; step += 23) {
            struct sha256 hash;
            sha256_init_portable(&hash);
            sha256_update(&hash, NULL, 0);
            for (size_t i = 0; i < length; i += step)
                sha256_update(&hash, bytes + i, step < length - i ? step : length - i);
            sha256_final(&hash, pieces);
            ck_assert_mem_eq(whole, pieces, SHA256_SIZE);
        }
    }
    char hex[SHA256_HEX_SIZE];
    sha256_hex(hex, "abc", 3);
    ck_assert_str_eq(hex, vectors[1].hex);
}
END_TEST

/* ---- mapped ---- */

START_TEST(mapped_reads_regular_files_only)
{
    struct error err;
    struct mapped file;
    char folder[] = "/tmp/test_base-XXXXXX";
    char path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));

    ck_assert_int_eq(mapped_open(&file, folder, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);

    snprintf(path, sizeof path, "%s/file", folder);
    ck_assert_int_eq(mapped_open(&file, path, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, path));

    FILE *f = fopen(path, "wb");
    ck_assert_int_eq(mapped_open(&file, path, &err), 0);
    ck_assert_uint_eq(file.length, 0);
    mapped_release_pages(&file);
    mapped_close(&file);
    fputs("contents", f);
    fclose(f);
    ck_assert_int_eq(mapped_open(&file, path, &err), 0);
    ck_assert_uint_eq(file.length, 8);
    mapped_release_pages(&file);
    ck_assert_mem_eq(file.bytes, "contents", 8);
    mapped_close(&file);
    mapped_close(&file);
    unlink(path);

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(mapped_open(&file, path, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    unlink(path);
    rmdir(folder);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("base");
    tcase_add_test(tc, buffer_grows_to_its_maximum_and_no_further);
    tcase_add_test(tc, buffer_prints);
    tcase_add_test(tc, buffer_gives_its_bytes_away);
    tcase_add_test(tc, buffer_without_memory);
    tcase_add_loop_test(tc, every_half_widens_exactly_and_comes_back, 0, 2);
    tcase_add_loop_test(tc, narrowing_rounds_to_nearest_even, 0, 2);
    tcase_add_loop_test(tc, narrowing_special_values, 0, 2);
    tcase_add_loop_test(tc, halves_may_lie_anywhere, 0, 2);
    tcase_add_loop_test(tc, sha256_vectors, 0, sizeof vectors / sizeof *vectors);
    tcase_add_test(tc, sha256_in_any_pieces);
    tcase_add_test(tc, mapped_reads_regular_files_only);
    return run_case("base", tc);
}
