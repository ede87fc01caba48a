/* Zip archives for tests, stored or deflated, with a table that can be spoilt. From APPNOTE 6.3. */
#ifndef ONESHOT_TESTS_ZIP_MAKER_H
#define ONESHOT_TESTS_ZIP_MAKER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct zip_part {
    const char *name;
    const uint8_t *bytes;
    size_t length;
    bool deflated;
};

static inline void zip_put(uint8_t **at, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (uint8_t)(value >> (8 * i));
}

/* A local header, or a row of the table with where that is. */
static inline void zip_head(uint8_t **at, const struct zip_part *part, size_t stored, long local)
{
    size_t n = strlen(part->name);
    zip_put(at, 4, local < 0 ? 0x04034b50 : 0x02014b50);
    if (local >= 0)
        zip_put(at, 2, 20);
    zip_put(at, 2, 20);
    zip_put(at, 2, 0);
    zip_put(at, 2, part->deflated ? 8 : 0);
    zip_put(at, 4, 0x21 << 16);
    zip_put(at, 4, crc32(0, part->bytes, (uInt)part->length));
    zip_put(at, 4, stored);
    zip_put(at, 4, part->length);
    zip_put(at, 2, n);
    zip_put(at, 2, 0);
    if (local >= 0) {
        zip_put(at, 6, 0);
        zip_put(at, 4, 0);
        zip_put(at, 4, (uint64_t)local);
    }
    memcpy(*at, part->name, n);
    *at += n;
}

/* The caller frees. */
static inline uint8_t *zip_file(size_t *length, const struct zip_part *parts, int count)
{
    size_t room = 22;
    for (int i = 0; i < count; i++)
        room += 76 + 2 * strlen(parts[i].name) + compressBound(parts[i].length) + 64;
    uint8_t *zip = calloc(1, room), *at = zip;
    uint8_t *table = calloc(1, room), *row = table;
    for (int i = 0; i < count; i++) {
        const struct zip_part *part = &parts[i];
        size_t bound = compressBound(part->length) + 64, stored = part->length;
        uint8_t *packed = malloc(bound + 1);
        long local = at - zip;
        if (part->deflated) {
            z_stream z = {0};
            deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
            z.next_in = (Bytef *)(uintptr_t)part->bytes;
            z.avail_in = (uInt)part->length;
            z.next_out = packed;
            z.avail_out = (uInt)bound;
            deflate(&z, Z_FINISH);
            stored = bound - z.avail_out;
            deflateEnd(&z);
        } else if (part->length) {
            memcpy(packed, part->bytes, part->length);
        }
        zip_head(&at, part, stored, -1);
        if (stored)
            memcpy(at, packed, stored);
        at += stored;
        free(packed);
        zip_head(&row, part, stored, local);
    }
    size_t table_at = (size_t)(at - zip), table_size = (size_t)(row - table);
    memcpy(at, table, table_size);
    at += table_size;
    zip_put(&at, 4, 0x06054b50);
    zip_put(&at, 4, 0);
    zip_put(&at, 2, (uint64_t)count);
    zip_put(&at, 2, (uint64_t)count);
    zip_put(&at, 4, table_size);
    zip_put(&at, 4, table_at);
    zip_put(&at, 2, 0);
    free(table);
    *length = (size_t)(at - zip);
    return zip;
}

#endif
