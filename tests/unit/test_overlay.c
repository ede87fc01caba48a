/* api/overlay, canvas, font, base64: pictures read back. */
#include <math.h>
#include <string.h>

#include "api/base64.h"
#include "api/canvas.h"
#include "api/font.h"
#include "api/overlay.h"
#include "tests/unit/findings.h"
#include "tests/unit/run.h"

static struct slice_options options;

/* Draws and reads back as grey; the caller frees. */
static struct image picture(struct findings *f)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    struct error err;
    struct image image;
    ck_assert_int_eq(overlay_png(&bytes, &length, &f->slice, &f->worker, &options, &err), 0);
    ck_assert_int_eq(image_read_png(&image, bytes, length, 1 << 26, &err), 0);
    free(bytes);
    return image;
}

START_TEST(sizes)
{
    static const int sides[][3] = {{512, 512, 2}, {256, 200, 3}, {100, 40, 4}, {1, 1, 4},
                                   {1, 700, 2},   {900, 3, 1},   {768, 768, 1}};
    options_default(&options);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        struct findings f;
        findings_make(&f, sides[i][0], sides[i][1], 4);
        struct image image = picture(&f);
        ck_assert_int_eq(image.width, sides[i][0] * sides[i][2]);
        ck_assert_int_gt(image.height, sides[i][1] * sides[i][2] + 10);
        image_free(&image);
        findings_free(&f);
    }
}
END_TEST

/* Pixels that differ between two pictures of one size. */
static int differences(const struct image *a, const struct image *b)
{
    int count = 0;
    ck_assert_int_eq(a->width, b->width);
    ck_assert_int_eq(a->height, b->height);
    for (int i = 0; i < a->width * a->height; i++)
        count += fabsf(a->pixels[i] - b->pixels[i]) > 0.02f;
    return count;
}

START_TEST(options_leave_things_out)
{
    struct findings f;
    findings_make(&f, 200, 150, 4);
    options_default(&options);
    struct image all = picture(&f);
    options.explain = false;
    struct image no_regions = picture(&f);
    options.masks = MASKS_NONE;
    struct image no_masks = picture(&f);
    f.worker.prediction->detections_count = 0;
    struct image bare = picture(&f);
    ck_assert_int_gt(differences(&all, &no_regions), 20);
    ck_assert_int_gt(differences(&no_regions, &no_masks), 1000);
    ck_assert_int_gt(differences(&no_masks, &bare), 500);
    ck_assert(all.colour);
    /* What nothing was drawn on is the slice itself, smoothly enlarged. */
    for (int x = 8; x < bare.width - 8; x++)
        ck_assert_float_eq_tol(bare.pixels[100 * bare.width + x],
                               (((float)x + 0.5f) / 4 - 0.5f) / 200, 0.004f);
    struct image *pictures[] = {&all, &no_regions, &no_masks, &bare};
    for (int i = 0; i < 4; i++)
        image_free(pictures[i]);
    findings_free(&f);
}
END_TEST

START_TEST(an_untrained_model_is_written_below)
{
    struct findings f;
    struct model_info untrained = findings_model;
    untrained.trained = false;
    findings_make(&f, 200, 150, 2);
    options_default(&options);
    struct image trained = picture(&f);
    f.slice.model = &untrained;
    struct image warned = picture(&f);
    ck_assert_int_gt(warned.height, trained.height);
    image_free(&trained);
    image_free(&warned);
    findings_free(&f);
}
END_TEST

START_TEST(boxes_from_anywhere)
{
    static const float odd[] = {-1e30f, -50, 0, 0.5f, 149, 1e9f, 3e38f};
    enum { ODD = sizeof odd / sizeof *odd };
    options_default(&options);
    struct findings f;
    findings_make(&f, 150, 120, MODEL_MAX_DETECTIONS);
    for (int i = 0; i < MODEL_MAX_DETECTIONS; i++) {
        struct detection *d = &f.worker.prediction->detections[i];
        float a = odd[i % ODD], b = odd[i / ODD % ODD];
        d->box = (struct box){fminf(a, b), fminf(b, a), fmaxf(a, b), fmaxf(b, a)};
    }
    struct image image = picture(&f);
    image_free(&image);
    findings_free(&f);
}
END_TEST

START_TEST(drawing_is_clipped)
{
    struct canvas canvas;
    struct error err;
    const struct colour white = {255, 255, 255};
    ck_assert_int_eq(canvas_init(&canvas, 10, 6, &err), 0);
    canvas_fill(&canvas, -5, -5, 3, 2, white, 256);
    canvas_frame(&canvas, 8, 4, 100, 100, 3, 2, white);
    canvas_text(&canvas, -3, -3, 2, white, "W\xff\x01~");
    canvas_blend(&canvas, 10, 0, white, 256);
    ck_assert_int_eq(canvas.pixels[0], 255);
    canvas_free(&canvas);
    ck_assert_int_ne(canvas_init(&canvas, 0, 5, &err), 0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
}
END_TEST

START_TEST(half_opacity_mixes)
{
    struct canvas canvas;
    ck_assert_int_eq(canvas_init(&canvas, 1, 1, NULL), 0);
    canvas_blend(&canvas, 0, 0, (struct colour){200, 100, 0}, 128);
    ck_assert_int_eq(canvas.pixels[0], 100);
    ck_assert_int_eq(canvas.pixels[1], 50);
    canvas_free(&canvas);
}
END_TEST

START_TEST(every_character_has_a_shape_of_its_own)
{
    uint64_t shapes[128] = {0};
    for (int c = '!'; c <= '~'; c++) {
        for (int y = 0; y < FONT_HEIGHT + FONT_DESCENT; y++)
            for (int x = 0; x < FONT_WIDTH; x++)
                shapes[c] = shapes[c] << 1 | font_pixel((char)c, x, y);
        ck_assert_msg(shapes[c] != 0, "%c is empty", c);
        for (int other = '!'; other < c; other++)
            ck_assert_msg(shapes[c] != shapes[other], "%c looks like %c", c, other);
    }
    ck_assert(!font_pixel('A', -1, 0) && !font_pixel('A', 0, 99) && !font_pixel('\xe9', 2, 2));
    ck_assert_int_eq(canvas_text_width(2, "ab"), 22);
    ck_assert_int_eq(canvas_text_width(1, ""), 0);
}
END_TEST

START_TEST(base64_of_the_standard)
{
    /* RFC 4648, section 10. */
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char out[16];
        base64_encode(out, (const uint8_t *)pairs[i][0], strlen(pairs[i][0]));
        ck_assert_str_eq(out, pairs[i][1]);
        ck_assert_uint_eq(base64_length(strlen(pairs[i][0])), strlen(pairs[i][1]));
    }
}
END_TEST

int main(void)
{
    RUN("overlay", sizes, options_leave_things_out, an_untrained_model_is_written_below,
        boxes_from_anywhere, drawing_is_clipped, half_opacity_mixes,
        every_character_has_a_shape_of_its_own, base64_of_the_standard);
}
