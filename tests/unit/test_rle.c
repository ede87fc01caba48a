/* api/rle: against a reader written from the definition, and strings pycocotools gives. */
#include <string.h>

#include "api/rle.h"
#include "tests/unit/rle_reader.h"
#include "tests/unit/run.h"

enum { SIDE = 40 };

/* Encodes the part of a plane inside a window; the caller frees. */
static char *encode(const uint8_t *plane, int width, int height, struct mask_window window)
{
    struct buffer text;
    uint8_t *scratch = malloc((size_t)width * (size_t)height + 1);
    buffer_init(&text, 1 << 20);
    ck_assert_int_eq(rle_encode(&text, plane, width, height, &window, scratch, NULL), 0);
    free(scratch);
    return (char *)buffer_take(&text, NULL);
}

/* What the plane is when all outside the window counts as zero. */
static void cut(uint8_t *out, const uint8_t *plane, int width, int height, struct mask_window w)
{
    memset(out, 0, (size_t)width * (size_t)height);
    for (int y = w.y0; y < w.y1; y++)
        for (int x = w.x0; x < w.x1; x++)
            out[y * width + x] = plane[y * width + x];
}

static void check(const uint8_t *plane, int width, int height, struct mask_window window)
{
    uint8_t wanted[SIDE * SIDE], got[SIDE * SIDE];
    char *text = encode(plane, width, height, window);
    cut(wanted, plane, width, height, window);
    ck_assert_msg(rle_read(got, width, height, text), "\"%s\" is not a mask of %d x %d", text,
                  width, height);
    ck_assert_mem_eq(got, wanted, (size_t)width * (size_t)height);
    free(text);
}

START_TEST(strings_as_pycocotools_writes_them)
{
    uint8_t plane[64] = {0};
    for (int y = 1; y < 7; y++)
        memset(plane + y * 8 + 1, 1, 6);
    char *text = encode(plane, 8, 8, (struct mask_window){1, 1, 7, 7});
    ck_assert_str_eq(text, "9620000000007");
    free(text);
    memset(plane, 0, sizeof plane);
    plane[3 * 8 + 2] = plane[3 * 8 + 3] = plane[4 * 8 + 2] = plane[4 * 8 + 3] = 1;
    text = encode(plane, 8, 8, (struct mask_window){0, 0, 8, 8});
    ck_assert_str_eq(text, "c0260m0");
    free(text);
}
END_TEST

START_TEST(empty_and_full)
{
    uint8_t plane[SIDE * SIDE] = {0};
    char *text = encode(plane, 8, 4, (struct mask_window){0, 0, 8, 4});
    ck_assert_str_eq(text, "P1"); /* one run of 32 zeros */
    free(text);
    text = encode(plane, 8, 4, (struct mask_window){5, 2, 5, 2});
    ck_assert_str_eq(text, "P1");
    free(text);
    memset(plane, 1, sizeof plane);
    text = encode(plane, 8, 4, (struct mask_window){0, 0, 8, 4});
    ck_assert_str_eq(text, "0P1"); /* no zeros, then 32 ones */
    free(text);
    check(plane, SIDE, SIDE, (struct mask_window){0, 0, SIDE, SIDE});
    check(plane, 1, 1, (struct mask_window){0, 0, 1, 1});
}
END_TEST

START_TEST(every_window_of_a_full_plane)
{
    uint8_t plane[SIDE * SIDE];
    memset(plane, 1, sizeof plane);
    for (int x0 = 0; x0 <= 5; x0++)
        for (int x1 = x0; x1 <= 5; x1++)
            for (int y0 = 0; y0 <= 4; y0++)
                for (int y1 = y0; y1 <= 4; y1++)
                    check(plane, 5, 4, (struct mask_window){x0, y0, x1, y1});
}
END_TEST

START_TEST(every_plane_of_twelve_pixels)
{
    uint8_t plane[12];
    for (int bits = 0; bits < 4096; bits++) {
        for (int i = 0; i < 12; i++)
            plane[i] = bits >> i & 1;
        check(plane, 3, 4, (struct mask_window){0, 0, 3, 4});
        check(plane, 4, 3, (struct mask_window){1, 0, 4, 3});
    }
}
END_TEST

START_TEST(random_planes_and_windows)
{
    unsigned state = 7;
    uint8_t plane[SIDE * SIDE];
    for (int round = 0; round < 500; round++) {
        int width = 1 + (int)(random_next(&state) % SIDE);
        int height = 1 + (int)(random_next(&state) % SIDE);
        unsigned density = random_next(&state) % 101;
        for (int i = 0; i < width * height; i++)
            plane[i] = random_next(&state) % 100 < density;
        int x0 = (int)(random_next(&state) % (unsigned)width);
        int y0 = (int)(random_next(&state) % (unsigned)height);
        int x1 = x0 + (int)(random_next(&state) % (unsigned)(width - x0 + 1));
        int y1 = y0 + (int)(random_next(&state) % (unsigned)(height - y0 + 1));
        check(plane, width, height, (struct mask_window){x0, y0, x1, y1});
        check(plane, width, height, (struct mask_window){0, 0, width, height});
    }
}
END_TEST

START_TEST(a_full_buffer_is_an_error)
{
    uint8_t plane[SIDE * SIDE], scratch[SIDE * SIDE];
    struct buffer text;
    struct error err;
    struct mask_window window = {0, 0, SIDE, SIDE};
    for (int i = 0; i < SIDE * SIDE; i++)
        plane[i] = (i + i / SIDE) % 2;
    buffer_init(&text, 100);
    ck_assert_int_ne(rle_encode(&text, plane, SIDE, SIDE, &window, scratch, &err), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    buffer_free(&text);
}
END_TEST

int main(void)
{
    RUN("rle", strings_as_pycocotools_writes_them, empty_and_full, every_window_of_a_full_plane,
        every_plane_of_twelve_pixels, random_planes_and_windows, a_full_buffer_is_an_error);
}
