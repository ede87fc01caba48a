/* A PNG maker for tests, chunk by chunk, so that any of them can be spoilt. */
#ifndef ONESHOT_TESTS_PNG_MAKER_H
#define ONESHOT_TESTS_PNG_MAKER_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct bytes {
    uint8_t *data;
    size_t length, capacity;
};

static void put(struct bytes *b, const void *data, size_t length)
{
    if (b->length + length >= b->capacity) {
        b->capacity = 2 * (b->length + length) + 1;
        b->data = realloc(b->data, b->capacity);
        ck_assert_ptr_nonnull(b->data);
    }
    if (length > 0)
        memcpy(b->data + b->length, data, length);
    b->length += length;
}

static void put32(struct bytes *b, uint32_t v)
{
    const uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    put(b, be, 4);
}

static void put_chunk(struct bytes *b, const char *type, const void *data, size_t length)
{
    put32(b, (uint32_t)length);
    size_t from = b->length;
    put(b, type, 4);
    put(b, data, length);
    put32(b, (uint32_t)crc32(0, b->data + from, (uInt)(length + 4)));
}

static void put_header(struct bytes *b, uint32_t width, uint32_t height, int depth, int type,
                       int interlaced)
{
    struct bytes header = {0};
    put(b, "\x89PNG\r\n\x1a\n", 8);
    put32(&header, width);
    put32(&header, height);
    const uint8_t rest[5] = {(uint8_t)depth, (uint8_t)type, 0, 0, (uint8_t)interlaced};
    put(&header, rest, 5);
    put_chunk(b, "IHDR", header.data, header.length);
    free(header.data);
}

static void put_pixels(struct bytes *b, const struct bytes *raw)
{
    uLongf length = compressBound((uLong)raw->length);
    uint8_t *packed = malloc(length);
    ck_assert_ptr_nonnull(packed);
    ck_assert_int_eq(compress(packed, &length, raw->data, (uLong)raw->length), Z_OK);
    put_chunk(b, "IDAT", packed, length);
    free(packed);
}

struct kind {
    int type, depth, channels, interlaced;
    bool transparent; /* has a tRNS chunk */
};

/* The sample of channel c at (x, y); palette: the index. */
static unsigned sample(const struct kind *k, int x, int y, int c)
{
    unsigned v = (unsigned)(x * 7919 + y * 104729 + c * 1299709 + 12345) * 2654435761u >> 9;
    return v & ((1u << k->depth) - 1);
}

static uint8_t palette_entry(unsigned index, int c)
{
    return (uint8_t)(index * 37u + (unsigned)c * 11u + 5u);
}

static void put_pass(struct bytes *raw, const struct kind *k, int width, int height, int x0, int y0,
                     int dx, int dy)
{
    if (x0 >= width)
        return;
    for (int y = y0; y < height; y += dy) {
        uint8_t row[4096] = {0}; /* first byte: filter none */
        size_t bit = 8;
        for (int x = x0; x < width; x += dx) {
            for (int c = 0; c < k->channels; c++) {
                unsigned v = sample(k, x, y, c);
                if (k->depth == 16)
                    row[bit / 8] = (uint8_t)(v >> 8), row[bit / 8 + 1] = (uint8_t)v;
                else
                    row[bit / 8] |= (uint8_t)(v << (8 - (size_t)k->depth - bit % 8));
                bit += (size_t)k->depth;
            }
        }
        put(raw, row, (bit + 7) / 8);
    }
}

static struct bytes make_png(const struct kind *k, int width, int height)
{
    static const int passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    struct bytes png = {0}, raw = {0};
    put_header(&png, (uint32_t)width, (uint32_t)height, k->depth, k->type, k->interlaced);
    if (k->type == 3) {
        uint8_t palette[256 * 3], alpha[4] = {0, 10, 255, 0};
        for (unsigned i = 0; i < 256 * 3; i++)
            palette[i] = palette_entry(i / 3, (int)(i % 3));
        put_chunk(&png, "PLTE", palette, (size_t)3 << k->depth);
        if (k->transparent)
            put_chunk(&png, "tRNS", alpha, k->depth == 1 ? 2 : 4);
    } else if (k->transparent) {
        uint8_t colour[6] = {0};
        put_chunk(&png, "tRNS", colour, k->type == 0 ? 2 : 6);
    }
    if (k->interlaced)
        for (int p = 0; p < 7; p++)
            put_pass(&raw, k, width, height, passes[p][0], passes[p][1], passes[p][2],
                     passes[p][3]);
    else
        put_pass(&raw, k, width, height, 0, 0, 1, 1);
    put_pixels(&png, &raw);
    put_chunk(&png, "IEND", NULL, 0);
    free(raw.data);
    return png;
}

#endif
