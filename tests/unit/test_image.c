/* data/image: every kind of PNG against samples chosen here, damaged files, limits, writing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/data/image.h"
#include "tests/unit/oom.h"
#include "tests/unit/png_maker.h"
#include "tests/unit/run.h"

/* ---- reading ---- */

static const struct kind kinds[] = {
    {0, 1, 1, 0, false},  {0, 2, 1, 0, false},  {0, 4, 1, 0, false},  {0, 8, 1, 0, false},
    {0, 8, 1, 0, true},   {0, 16, 1, 0, false}, {0, 16, 1, 0, true},  {2, 8, 3, 0, false},
    {2, 8, 3, 0, true},   {2, 16, 3, 0, false}, {3, 1, 1, 0, false},  {3, 2, 1, 0, true},
    {3, 4, 1, 0, false},  {3, 8, 1, 0, false},  {3, 8, 1, 0, true},   {4, 8, 2, 0, false},
    {4, 16, 2, 0, false}, {6, 8, 4, 0, false},  {6, 16, 4, 0, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static double luma(double r, double g, double b)
{
    return 0.299 * r + 0.587 * g + 0.114 * b;
}

static double expected(const struct kind *k, int x, int y)
{
    double top = (double)((1u << k->depth) - 1);
    unsigned v = sample(k, x, y, 0);
    if (k->type == 3)
        return luma(palette_entry(v, 0), palette_entry(v, 1), palette_entry(v, 2)) / 255;
    if (k->channels < 3)
        return v / top;
    return luma(v, sample(k, x, y, 1), sample(k, x, y, 2)) / top;
}

START_TEST(reads_every_kind)
{
    struct kind k = kinds[_i / 2];
    k.interlaced = _i % 2;
    static const int sizes[][2] = {{1, 1}, {2, 1}, {3, 7}, {33, 21}, {64, 64}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int width = sizes[s][0], height = sizes[s][1];
        struct bytes png = make_png(&k, width, height);
        struct image image;
        struct error err;
        ck_assert_msg(image_read_png(&image, png.data, png.length, 64 * 64, &err) == 0, "%s",
                      err.text);
        ck_assert_int_eq(image.width, width);
        ck_assert_int_eq(image.height, height);
        ck_assert_int_eq(image.bit_depth, k.depth == 16 ? 16 : 8);
        ck_assert(image.colour == (k.type == 3 || k.channels >= 3));
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++)
                ck_assert_double_eq_tol((double)image.pixels[y * width + x], expected(&k, x, y),
                                        2e-7);
        image_free(&image);
        free(png.data);
    }
}
END_TEST

/* All 256 and 65536 greys, alone and as equal channels, are the same floats bit for bit. */
START_TEST(equal_channels_are_exactly_grey)
{
    static const struct {
        int type, channels, depth;
    } forms[] = {{0, 1, 8}, {2, 3, 8}, {6, 4, 8}, {4, 2, 8}, {0, 1, 16}, {2, 3, 16}, {6, 4, 16}};
    const int form_channels = forms[_i].channels, depth = forms[_i].depth;
    int side = depth == 8 ? 16 : 256;
    struct bytes png = {0}, raw = {0};
    put_header(&png, (uint32_t)side, (uint32_t)side, depth, forms[_i].type, 0);
    for (int v = 0; v < side * side; v++) {
        if (v % side == 0)
            put(&raw, "", 1);
        const uint8_t be[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        const uint8_t alpha[2] = {(uint8_t)(v * 3), (uint8_t)v};
        for (int c = 0; c < form_channels; c++)
            put(&raw, (c == 3 || (c == 1 && form_channels == 2) ? alpha : be) + (depth == 8),
                (size_t)depth / 8);
    }
    put_pixels(&png, &raw);
    put_chunk(&png, "IEND", NULL, 0);
    struct image image;
    ck_assert_int_eq(image_read_png(&image, png.data, png.length, 1 << 20, NULL), 0);
    ck_assert(!image.colour);
    for (int v = 0; v < side * side; v++)
        ck_assert(image.pixels[v] == (float)v / (float)(side * side - 1));
    image_free(&image);
    free(png.data);
    free(raw.data);
}
END_TEST

/* One channel that differs in one pixel is colour, whichever channel it is. */
START_TEST(any_channel_makes_colour)
{
    uint8_t pixels[9 * 4], *png;
    size_t length;
    struct image image;
    memset(pixels, 77, sizeof pixels);
    pixels[5 * 4 + _i] = 78;
    ck_assert_int_eq(image_write_png(&png, &length, pixels, 3, 3, 4, NULL), 0);
    ck_assert_int_eq(image_read_png(&image, png, length, 9, NULL), 0);
    ck_assert(image.colour == (_i < 3)); /* alpha does not count */
    image_free(&image);
    free(png);
}
END_TEST

START_TEST(grey_palette_is_not_colour)
{
    struct bytes png = {0}, raw = {0};
    const uint8_t palette[] = {7, 7, 7, 200, 200, 200, 1, 2, 3}; /* the coloured one is unused */
    put_header(&png, 2, 1, 8, 3, 0);
    put_chunk(&png, "PLTE", palette, sizeof palette);
    put(&raw, "\0\1\0", 3);
    put_pixels(&png, &raw);
    put_chunk(&png, "IEND", NULL, 0);
    struct image image;
    ck_assert_int_eq(image_read_png(&image, png.data, png.length, 2, NULL), 0);
    ck_assert(!image.colour);
    ck_assert(image.pixels[0] == 200 / 255.0f && image.pixels[1] == 7 / 255.0f);
    image_free(&image);
    free(png.data);
    free(raw.data);
}
END_TEST

/* ---- damage ---- */

static enum error_code read_code(const struct bytes *png, size_t length, size_t max_pixels,
                                 struct error *err)
{
    struct image image = {.width = 77};
    err->code = ERR_NONE;
    err->text[0] = 0;
    /* An exact copy, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(length + !length);
    memcpy(copy, png->data, length);
    int rc = image_read_png(&image, copy, length, max_pixels, err);
    free(copy);
    if (rc == 0)
        image_free(&image);
    else
        ck_assert(image.pixels == NULL && image.width == 0 && err->text[0] != 0);
    return rc == 0 ? ERR_NONE : err->code;
}

START_TEST(every_truncation_is_refused)
{
    struct kind k = {2, 8, 3, _i, false};
    struct bytes png = make_png(&k, 19, 11);
    struct error err;
    ck_assert_int_eq(read_code(&png, png.length, 1000, &err), ERR_NONE);
    for (size_t n = 0; n < png.length; n++)
        ck_assert_int_eq(read_code(&png, n, 1000, &err), ERR_BAD_PNG);
    free(png.data);
}
END_TEST

/* Every bit of the file matters: chunk CRCs see to that. Ancillary chunks are not in this one. */
START_TEST(every_flipped_bit_is_refused)
{
    struct kind k = {0, 8, 1, 0, false};
    struct bytes png = make_png(&k, 9, 7);
    struct error err;
    for (size_t bit = 0; bit < 8 * png.length; bit++) {
        png.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum error_code code = read_code(&png, png.length, 1000, &err);
        ck_assert_msg(code == ERR_BAD_PNG || code == ERR_TOO_LARGE, "bit %zu gave %s", bit,
                      error_name(code));
        png.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(png.data);
}
END_TEST

START_TEST(bytes_after_the_end_are_not_looked_at)
{
    struct bytes png = make_png(&kinds[3], 9, 7);
    struct error err;
    put(&png, "garbage", 7);
    ck_assert_int_eq(read_code(&png, png.length, 1000, &err), ERR_NONE);
    free(png.data);
}
END_TEST

START_TEST(limits_come_before_memory)
{
    struct error err;
    struct bytes png = make_png(&kinds[3], 20, 10);
    ck_assert_int_eq(read_code(&png, png.length, 200, &err), ERR_NONE);
    ck_assert_int_eq(read_code(&png, png.length, 199, &err), ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(err.text, "20x10"));
    ck_assert_ptr_nonnull(strstr(err.text, "199"));
    free(png.data);

    /* Headers alone that claim more than their bytes could inflate to, or more than fits. */
    static const uint32_t claims[][2] = {{0, 5},          {5, 0},         {0x7fffffff, 0x7fffffff},
                                         {0x80000000, 1}, {20000, 20000}, {0xffffffff, 0xffffffff}};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        struct bytes bare = {0};
        put_header(&bare, claims[i][0], claims[i][1], 16, 6, 0);
        put_chunk(&bare, "IDAT", "x", 1);
        put_chunk(&bare, "IEND", NULL, 0);
        ck_assert_int_eq(read_code(&bare, bare.length, SIZE_MAX, &err), ERR_BAD_PNG);
        ck_assert_ptr_nonnull(strstr(err.text, "claims"));
        free(bare.data);
    }
}
END_TEST

START_TEST(odd_headers_are_refused)
{
    static const int odd[][3] = {{3, 0, 0}, {0, 0, 0},   {32, 0, 0},  {8, 1, 0},
                                 {8, 5, 0}, {8, 7, 0},   {16, 3, 0},  {4, 2, 0},
                                 {2, 6, 0}, {8, 255, 0}, {255, 0, 0}, {8, 0, 2}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct bytes png = {0}, raw = {0};
        struct error err;
        uint8_t zeros[65] = {0};
        put_header(&png, 4, 1, odd[i][0], odd[i][1], odd[i][2]);
        put_chunk(&png, "PLTE", zeros, 48);
        put(&raw, zeros, sizeof zeros);
        put_pixels(&png, &raw);
        put_chunk(&png, "IEND", NULL, 0);
        ck_assert_int_eq(read_code(&png, png.length, 1000, &err), ERR_BAD_PNG);
        free(png.data);
        free(raw.data);
    }
}
END_TEST

START_TEST(palette_index_past_the_palette_is_refused)
{
    struct bytes png = {0}, raw = {0};
    struct error err;
    put_header(&png, 2, 1, 8, 3, 0);
    put_chunk(&png, "PLTE", "\0\0\0\1\1\1", 6);
    put(&raw, "\0\1\2", 3);
    put_pixels(&png, &raw);
    put_chunk(&png, "IEND", NULL, 0);
    ck_assert_int_eq(read_code(&png, png.length, 2, &err), ERR_BAD_PNG);
    free(png.data);
    free(raw.data);
}
END_TEST

/* 64 MB of zeros behind 64 KB, in each chunk that inflates; reading must step over them. */
START_TEST(compressed_chunks_are_not_inflated)
{
    static const char *const types[] = {"iCCP", "zTXt", "iTXt"};
    size_t big = (size_t)64 << 20;
    uint8_t *zeros = calloc(big, 1);
    uLongf length = compressBound((uLong)big);
    uint8_t *packed = malloc(length + 8);
    ck_assert(zeros != NULL && packed != NULL);
    ck_assert_int_eq(compress(packed + 8, &length, zeros, (uLong)big), Z_OK);
    memcpy(packed, _i == 2 ? "k\0\1\0\0\0\0\0" : "keywor\0\0", 8);

    struct bytes png = {0}, raw = {0};
    struct error err;
    put_header(&png, 1, 1, 8, 0, 0);
    put_chunk(&png, types[_i], packed, length + 8);
    put(&raw, "\0\5", 2);
    put_pixels(&png, &raw);
    put_chunk(&png, types[_i], packed, length + 8);
    put_chunk(&png, "IEND", NULL, 0);
    ck_assert_int_eq(read_code(&png, png.length, 1, &err), ERR_NONE);
    free(png.data);
    free(raw.data);
    free(packed);
    free(zeros);
}
END_TEST

START_TEST(animation_gives_its_default_image)
{
    struct bytes png = {0}, raw = {0};
    put_header(&png, 2, 2, 8, 0, 0);
    put_chunk(&png, "acTL", "\0\0\0\2\0\0\0\0", 8);
    put_chunk(&png, "fcTL", "\0\0\0\0\0\0\0\2\0\0\0\2\0\0\0\0\0\0\0\0\0\1\0\1\0\0", 26);
    put(&raw, "\0\12\24\0\36\50", 6);
    put_pixels(&png, &raw);
    put_chunk(&png, "fcTL", "\0\0\0\1\0\0\0\2\0\0\0\2\0\0\0\0\0\0\0\0\0\1\0\1\0\0", 26);
    put_chunk(&png, "fdAT", "\0\0\0\2junk", 8);
    put_chunk(&png, "IEND", NULL, 0);
    struct image image;
    ck_assert_int_eq(image_read_png(&image, png.data, png.length, 4, NULL), 0);
    for (int i = 0; i < 4; i++)
        ck_assert(image.pixels[i] == (float)(10 * (i + 1)) / 255.0f);
    image_free(&image);
    free(png.data);
    free(raw.data);
}
END_TEST

START_TEST(other_files_are_not_png)
{
    ck_assert(!image_is_png(NULL, 0));
    ck_assert(!image_is_png("\x89PNG\r\n\x1a", 7));
    ck_assert(image_is_png("\x89PNG\r\n\x1a\n", 8));
    ck_assert(!image_is_png("\xff\xd8\xff\xe0jpegjpeg", 12));
    struct error err;
    struct bytes jpeg = {0};
    put(&jpeg, "\xff\xd8\xff\xe0jpegjpegjpegjpegjpegjpegjpegjpeg", 36);
    ck_assert_int_eq(read_code(&jpeg, jpeg.length, 10, &err), ERR_BAD_PNG);
    free(jpeg.data);
}
END_TEST

/* ---- label maps ---- */

START_TEST(labels_are_raw_samples)
{
    const struct kind k = kinds[_i];
    struct bytes png = make_png(&k, 13, 9);
    uint8_t *labels;
    int width, height;
    struct error err;
    int rc = image_read_labels(&labels, &width, &height, png.data, png.length, 1000, &err);
    if (k.channels >= 3 || k.depth == 16) {
        ck_assert_int_ne(rc, 0);
        ck_assert_int_eq(err.code, ERR_BAD_PNG);
        ck_assert_ptr_nonnull(strstr(err.text, k.depth == 16 ? "at most 255" : "coloured"));
        ck_assert_ptr_null(strstr(err.text, "damaged"));
        ck_assert_ptr_null(labels);
    } else {
        ck_assert_int_eq(rc, 0);
        ck_assert(width == 13 && height == 9);
        for (int i = 0; i < 13 * 9; i++)
            ck_assert_uint_eq(labels[i], sample(&k, i % 13, i / 13, 0));
    }
    free(labels);
    free(png.data);
}
END_TEST

START_TEST(equal_colours_and_small_16_bit_are_labels_too)
{
    struct bytes png = {0}, raw = {0};
    uint8_t *labels;
    int width, height;
    put_header(&png, 2, 1, 16, 2, 0);
    put(&raw, "\0\0\3\0\3\0\3\0\2\0\2\0\2", 13);
    put_pixels(&png, &raw);
    put_chunk(&png, "IEND", NULL, 0);
    ck_assert_int_eq(image_read_labels(&labels, &width, &height, png.data, png.length, 2, NULL), 0);
    ck_assert(width == 2 && height == 1 && labels[0] == 3 && labels[1] == 2);
    free(labels);
    free(png.data);
    free(raw.data);
}
END_TEST

/* ---- writing, files ---- */

START_TEST(what_is_written_reads_back)
{
    enum { W = 37, H = 23 };
    static const int forms[] = {1, 3, 4};
    int channels = forms[_i];
    uint8_t pixels[W * H * 4], *png;
    size_t length;
    for (int i = 0; i < W * H * 4; i++)
        pixels[i] = (uint8_t)(i * 31 + i / 97);
    struct image image;
    ck_assert_int_eq(image_write_png(&png, &length, pixels, W, H, channels, NULL), 0);
    ck_assert_int_eq(image_read_png(&image, png, length, W * H, NULL), 0);
    ck_assert(image.width == W && image.height == H && image.colour == (channels > 1));
    for (int i = 0; i < W * H; i++) {
        const uint8_t *p = pixels + i * channels;
        double want = channels == 1 ? p[0] : luma(p[0], p[1], p[2]);
        ck_assert_double_eq_tol((double)image.pixels[i], want / 255, 1e-6);
    }
    image_free(&image);
    free(png);
}
END_TEST

START_TEST(odd_sizes_are_not_written)
{
    struct error err;
    uint8_t pixels[4] = {0}, *png;
    size_t length;
    static const int odd[][3] = {{0, 1, 1}, {1, 0, 1}, {-1, 1, 1}, {1, 1, 2}, {1, 1, 0}, {1, 1, 5}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        ck_assert_int_ne(
            image_write_png(&png, &length, pixels, odd[i][0], odd[i][1], odd[i][2], &err), 0);
        ck_assert_int_eq(err.code, ERR_ARGUMENT);
        ck_assert_ptr_null(png);
    }
}
END_TEST

START_TEST(files_are_read_and_named_in_errors)
{
    char path[] = "/tmp/test_image_XXXXXX", missing[] = "/tmp/test_image_none/none.png";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    uint8_t pixels[6] = {0, 1, 2, 3, 3, 1}, *labels;
    struct image image;
    struct error err;
    int width, height;
    ck_assert_int_eq(image_save_png(path, pixels, 3, 2, 1, &err), 0);
    ck_assert_int_eq(image_load_png(&image, path, 6, &err), 0);
    ck_assert(image.width == 3 && image.height == 2 && image.pixels[5] == 1 / 255.0f);
    image_free(&image);
    ck_assert_int_eq(image_load_labels(&labels, &width, &height, path, 6, &err), 0);
    ck_assert(width == 3 && height == 2 && memcmp(labels, pixels, 6) == 0);
    free(labels);
    ck_assert_int_ne(image_load_png(&image, path, 5, &err), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert(strncmp(err.text, path, strlen(path)) == 0);
    ck_assert_int_eq(truncate(path, 40), 0);
    ck_assert_int_ne(image_load_png(&image, path, 6, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_PNG);
    ck_assert_int_ne(image_load_labels(&labels, &width, &height, path, 6, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_PNG);
    ck_assert_int_eq(truncate(path, (off_t)64 << 20), 0);
    ck_assert_int_ne(image_load_png(&image, path, 6, &err), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    unlink(path);
    ck_assert_int_ne(image_load_png(&image, missing, 6, &err), 0);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert(strncmp(err.text, missing, strlen(missing)) == 0);
    ck_assert_int_ne(image_load_png(&image, "/tmp", 6, &err), 0);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_int_ne(image_save_png(missing, pixels, 3, 2, 1, &err), 0);
    ck_assert_int_eq(err.code, ERR_IO);
}
END_TEST

/* ---- memory: the n-th allocation fails, for every n ---- */

START_TEST(no_memory_at_any_point_is_an_error)
{
    struct kind k = {_i ? 2 : 0, 8, _i ? 3 : 1, _i, false};
    struct bytes png = make_png(&k, 300, 200);
    static uint8_t pixels[300 * 200];
    struct error err;
    struct oom_walk reading = {.err = &err, .more_than = 3};
    while (oom_next(&reading)) {
        struct image image;
        int rc = image_read_png(&image, png.data, png.length, 1 << 20, &err);
        image_free(&image);
        oom_judge(&reading, rc);
    }
    struct oom_walk writing = {.err = &err, .more_than = 3};
    while (oom_next(&writing)) {
        uint8_t *out;
        size_t length;
        int rc = image_write_png(&out, &length, pixels, 300, 200, 1, &err);
        free(out);
        oom_judge(&writing, rc);
    }
    free(png.data);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("image");
    tcase_add_loop_test(tc, reads_every_kind, 0, 2 * KINDS);
    tcase_add_loop_test(tc, equal_channels_are_exactly_grey, 0, 7);
    tcase_add_loop_test(tc, any_channel_makes_colour, 0, 4);
    tcase_add_test(tc, grey_palette_is_not_colour);
    tcase_add_loop_test(tc, every_truncation_is_refused, 0, 2);
    tcase_add_test(tc, every_flipped_bit_is_refused);
    tcase_add_test(tc, bytes_after_the_end_are_not_looked_at);
    tcase_add_test(tc, limits_come_before_memory);
    tcase_add_test(tc, odd_headers_are_refused);
    tcase_add_test(tc, palette_index_past_the_palette_is_refused);
    tcase_add_loop_test(tc, compressed_chunks_are_not_inflated, 0, 3);
    tcase_add_test(tc, animation_gives_its_default_image);
    tcase_add_test(tc, other_files_are_not_png);
    tcase_add_loop_test(tc, labels_are_raw_samples, 0, KINDS);
    tcase_add_test(tc, equal_colours_and_small_16_bit_are_labels_too);
    tcase_add_loop_test(tc, what_is_written_reads_back, 0, 3);
    tcase_add_test(tc, odd_sizes_are_not_written);
    tcase_add_test(tc, files_are_read_and_named_in_errors);
    tcase_add_loop_test(tc, no_memory_at_any_point_is_an_error, 0, 2);
    return run_case("image", tc);
}
