/*
 * A grey slice in memory, and PNG on both sides of it.
 *
 * Reading takes every PNG a CT pipeline writes (grey 1..16 bit, palette, RGB, RGBA, interlaced) and
 * gives floats in [0,1]: v / 255 or v / 65535, no gamma applied. Where red, green and blue are
 * equal their value is taken exactly, elsewhere luma (Rec. 601). Alpha and tRNS are ignored: a
 * transparent pixel keeps its colour. Of an animated PNG the default image is read; bytes after
 * IEND are not looked at. Nothing in the bytes is trusted: width, height and the size that follows
 * from them are checked against `max_pixels`, and against what so many bytes can inflate to, before
 * memory is taken; of ancillary chunks only tRNS is looked at, the others are skipped unread. All
 * functions may be called from any thread; an image belongs to whoever holds it.
 */
#ifndef ONESHOT_DATA_IMAGE_H
#define ONESHOT_DATA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

struct image {
    int width, height; /* pixels */
    int bit_depth;     /* of the source: 8 or 16 (1, 2, 4 are widened to 8) */
    bool colour;       /* the source's channels differed; luma was taken */
    float *pixels;     /* (height, width), row-major, [0,1]; owned */
};

/* True where the bytes begin with the PNG signature. */
bool image_is_png(const void *bytes, size_t length);

/* Takes memory for width x height zeros, 8 bit. ERR_ARGUMENT (a side below 1), ERR_MEMORY. */
int image_alloc(struct image *out, int width, int height, struct error *err);

/* Decodes a PNG. Errors: ERR_BAD_PNG, ERR_TOO_LARGE, ERR_MEMORY. On error *out is empty. */
int image_read_png(struct image *out, const void *bytes, size_t length, size_t max_pixels,
                   struct error *err);

/* The same from a file. ERR_IO where it cannot be read; every text begins with the path. */
int image_load_png(struct image *out, const char *path, size_t max_pixels, struct error *err);

/*
 * Decodes a label map: the raw sample is the label (grey: not widened; palette: the index; colour:
 * the channels must be equal). *labels is (height, width), malloc'ed, the caller's.
 * Errors as image_read_png; a label above 255 or a coloured pixel is ERR_BAD_PNG.
 */
int image_read_labels(uint8_t **labels, int *width, int *height, const void *bytes, size_t length,
                      size_t max_pixels, struct error *err);
int image_load_labels(uint8_t **labels, int *width, int *height, const char *path,
                      size_t max_pixels, struct error *err);

/*
 * Encodes 8-bit pixels, `channels` 1 (grey), 3 (RGB) or 4 (RGBA), row-major, to a malloc'ed buffer
 * the caller frees. ERR_MEMORY, ERR_ARGUMENT.
 */
int image_write_png(uint8_t **out, size_t *out_length, const uint8_t *pixels, int width, int height,
                    int channels, struct error *err);

/* The same into a file, replaced if it exists. ERR_IO; every text begins with the path. */
int image_save_png(const char *path, const uint8_t *pixels, int width, int height, int channels,
                   struct error *err);

/* Releases what the image holds and zeroes it; an empty image is fine. */
void image_free(struct image *image);

#endif
