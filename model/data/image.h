/*
 * A grey slice in memory, and PNG on both sides of it.
 *
 * Reading takes every PNG a CT pipeline writes (grey 1..16 bit, palette, RGB, RGBA, interlaced) and
 * gives floats in [0,1]. Nothing in the bytes is trusted: width, height and the size that follows
 * from them are checked against `max_pixels` before memory is taken.
 * All functions may be called from any thread; an image belongs to whoever holds it.
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

/* Decodes a PNG. Errors: ERR_BAD_PNG, ERR_TOO_LARGE, ERR_MEMORY. On error *out is empty. */
int image_read_png(struct image *out, const void *bytes, size_t length, size_t max_pixels,
                   struct error *err);

/* The same from a file. ERR_IO where it cannot be read. */
int image_load_png(struct image *out, const char *path, size_t max_pixels, struct error *err);

/*
 * Encodes 8-bit pixels, `channels` 1 (grey), 3 (RGB) or 4 (RGBA), row-major, to a malloc'ed buffer
 * the caller frees. ERR_MEMORY, ERR_ARGUMENT.
 */
int image_write_png(uint8_t **out, size_t *out_length, const uint8_t *pixels, int width, int height,
                    int channels, struct error *err);

/* Releases what the image holds and zeroes it; an empty image is fine. */
void image_free(struct image *image);

#endif
