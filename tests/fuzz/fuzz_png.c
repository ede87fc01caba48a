/*
 * Fuzz target: PNG reading. Build with libFuzzer, or with replay.c to run files through it.
 * Whatever the bytes are: no fault, and what is accepted keeps its promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { MAX_PIXELS = 1 << 18, SIGNATURE = 8, CHUNK_FRAME = 12 };

static void check(int holds)
{
    if (!holds)
        abort();
}

static void check_written(const struct image *image)
{
    size_t count = (size_t)image->width * (size_t)image->height, length;
    uint8_t *pixels = malloc(count), *png;
    check(pixels != NULL);
    for (size_t i = 0; i < count; i++)
        pixels[i] = (uint8_t)(image->pixels[i] * 255 + .5f);
    check(image_write_png(&png, &length, pixels, image->width, image->height, 1, NULL) == 0);
    struct image again;
    check(image_read_png(&again, png, length, count, NULL) == 0);
    for (size_t i = 0; i < count; i++)
        check(again.pixels[i] == pixels[i] / 255.0f);
    image_free(&again);
    free(png);
    free(pixels);
}

static void read_once(const uint8_t *bytes, size_t length)
{
    struct error err = {ERR_NONE, ""};
    struct image image;
    uint8_t *labels;
    int width, height;
    int rc = image_read_png(&image, bytes, length, MAX_PIXELS, &err);
    if (rc == 0) {
        check(image.width > 0 && image.height > 0 && image.pixels != NULL);
        check((int64_t)image.width * image.height <= MAX_PIXELS);
        check(image.bit_depth == 8 || image.bit_depth == 16);
        for (int64_t i = 0; i < (int64_t)image.width * image.height; i++)
            check(image.pixels[i] >= 0 && image.pixels[i] <= 1);
        check_written(&image);
    } else {
        check(image.pixels == NULL && image.width == 0);
        check(err.code == ERR_BAD_PNG || err.code == ERR_TOO_LARGE);
        check(err.text[0] != 0);
    }
    if (image_read_labels(&labels, &width, &height, bytes, length, MAX_PIXELS, &err) == 0 &&
        rc == 0)
        check(width == image.width && height == image.height);
    free(labels);
    image_free(&image);
}

/* Checksums would stop nearly every mutation, so the same bytes are read with right ones too. */
static void mend_checksums(uint8_t *bytes, size_t length)
{
    size_t at = SIGNATURE;
    while (length >= CHUNK_FRAME && at <= length - CHUNK_FRAME) {
        size_t size = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 |
                      (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (size > length - CHUNK_FRAME - at)
            return;
        uint32_t crc = (uint32_t)crc32(0, bytes + at + 4, (uInt)(size + 4));
        for (int i = 0; i < 4; i++)
            bytes[at + 8 + size + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += CHUNK_FRAME + size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    read_once(bytes, length);
    uint8_t *copy = malloc(length + !length);
    if (copy == NULL)
        return 0;
    if (length > 0)
        memcpy(copy, bytes, length);
    mend_checksums(copy, length);
    read_once(copy, length);
    free(copy);
    return 0;
}
