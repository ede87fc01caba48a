/* Writing PNG: 8-bit grey, RGB, RGBA, for speed rather than for size. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/data/image.h"

struct writer {
    const uint8_t *pixels;
    int width, height, channels;
    struct error *err;
    bool out_of_memory;

    png_structp png;
    png_infop info;
    uint8_t *bytes;
    size_t length, capacity;
};

/* On the writing side libpng has nothing to complain about but memory. */
static void on_error(png_structp png, png_const_charp text)
{
    struct writer *w = png_get_error_ptr(png);
    error_set(w->err, w->out_of_memory ? ERR_MEMORY : ERR_INTERNAL,
              "writing a PNG of %dx%d pixels: %s", w->width, w->height,
              w->out_of_memory ? "no memory" : text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size)
{
    struct writer *w = png_get_mem_ptr(png);
    void *memory = malloc(size);
    if (memory == NULL)
        w->out_of_memory = true;
    return memory;
}

static void on_free(png_structp png, png_voidp memory)
{
    (void)png;
    free(memory);
}

static void on_write(png_structp png, png_bytep bytes, size_t count)
{
    struct writer *w = png_get_io_ptr(png);
    if (count > w->capacity - w->length) {
        size_t capacity = 2 * (w->capacity + count);
        uint8_t *larger = realloc(w->bytes, capacity);
        if (larger == NULL) {
            w->out_of_memory = true;
            png_error(png, "");
        }
        w->bytes = larger;
        w->capacity = capacity;
    }
    memcpy(w->bytes + w->length, bytes, count);
    w->length += count;
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void encode_rows(struct writer *w)
{
    static const int colour_types[] = {0, PNG_COLOR_TYPE_GRAY, 0, PNG_COLOR_TYPE_RGB,
                                       PNG_COLOR_TYPE_RGB_ALPHA};
    png_set_write_fn(w->png, w, on_write, on_flush);
    png_set_user_limits(w->png, INT32_MAX, INT32_MAX);
    png_set_compression_level(w->png, 1);
    png_set_filter(w->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
    png_set_IHDR(w->png, w->info, (png_uint_32)w->width, (png_uint_32)w->height, 8,
                 colour_types[w->channels], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE,
                 PNG_FILTER_TYPE_BASE);
    png_write_info(w->png, w->info);
    for (int y = 0; y < w->height; y++)
        png_write_row(w->png, w->pixels + (size_t)y * (size_t)w->width * (size_t)w->channels);
    png_write_end(w->png, w->info);
}

/* Apart, so that no local variable lives across the jump. */
static int encode_guarded(struct writer *w)
{
    if (setjmp(png_jmpbuf(w->png)))
        return -1;
    encode_rows(w);
    return 0;
}

int image_write_png(uint8_t **out, size_t *out_length, const uint8_t *pixels, int width, int height,
                    int channels, struct error *err)
{
    int rc = -1;
    struct writer w = {
        .pixels = pixels, .width = width, .height = height, .channels = channels, .err = err};
    *out = NULL;
    *out_length = 0;
    if (width < 1 || height < 1 || (channels != 1 && channels != 3 && channels != 4))
        return error_set(err, ERR_ARGUMENT, "cannot write a PNG of %dx%d pixels, %d channels",
                         width, height, channels);
    w.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &w, on_error, on_warning, &w,
                                      on_malloc, on_free);
    if (w.png != NULL)
        w.info = png_create_info_struct(w.png);
    if (w.info == NULL)
        error_set(err, ERR_MEMORY, "no memory to write a PNG");
    else
        rc = encode_guarded(&w);
    png_destroy_write_struct(&w.png, &w.info);
    if (rc != 0) {
        free(w.bytes);
        return rc;
    }
    *out = w.bytes;
    *out_length = w.length;
    return 0;
}

int image_save_png(const char *path, const uint8_t *pixels, int width, int height, int channels,
                   struct error *err)
{
    uint8_t *bytes;
    size_t length;
    if (image_write_png(&bytes, &length, pixels, width, height, channels, err) != 0)
        return error_prefix(err, "%s", path);
    FILE *file = fopen(path, "wb");
    int failed = file == NULL || fwrite(bytes, 1, length, file) != length;
    if (file != NULL && fclose(file) != 0)
        failed = 1;
    free(bytes);
    return failed ? error_set(err, ERR_IO, "%s: %s", path, strerror(errno)) : 0;
}
