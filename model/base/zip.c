/* Numbers of sections are those of PKWARE's APPNOTE 6.3. */
#include "model/base/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct zip {
    const uint8_t *bytes;
    size_t length;
    struct zip_limits limits;
    size_t count;
    struct zip_entry *entries; /* by name */
};

enum {
    END_SIGNATURE = 0x06054b50,
    END_SIZE = 22,
    END64_SIGNATURE = 0x06064b50,
    END64_SIZE = 56,
    LOCATOR64_SIGNATURE = 0x07064b50,
    LOCATOR64_SIZE = 20,
    CENTRAL_SIGNATURE = 0x02014b50,
    CENTRAL_SIZE = 46,
    LOCAL_SIGNATURE = 0x04034b50,
    LOCAL_SIZE = 30,
    EXTRA_ZIP64 = 1,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    FLAG_ENCRYPTED = 1,
};

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | (uint32_t)u16(p + 2) << 16;
}

static uint64_t u64(const uint8_t *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

static int bad(struct error *err, const struct zip *zip, const char *what)
{
    return error_set(err, zip->limits.fault, "zip: %s", what);
}

/* A name may hold anything. */
int zip_name_length(const struct zip_entry *entry)
{
    int n = 0;
    while ((size_t)n < entry->name_length && n < 80 && entry->name[n] >= 0x20 &&
           entry->name[n] < 0x7f)
        n++;
    return n;
}

static int refuse(struct error *err, enum error_code code, const struct zip_entry *entry,
                  const char *what)
{
    return error_set(err, code, "zip entry \"%.*s\": %s", ZIP_NAME(entry), what);
}

static int bad_entry(struct error *err, const struct zip_entry *entry, const char *what)
{
    return refuse(err, entry->fault, entry, what);
}

/* ---- the end of the archive (4.3.14 to 4.3.16) ---- */

struct table {
    uint64_t count, at, size;
};

static int read_end64(struct table *table, const struct zip *zip, size_t end_at, struct error *err)
{
    if (!zip->limits.zip64)
        return error_set(err, ERR_UNSUPPORTED, "zip: zip64 is not taken; write it without");
    if (end_at < LOCATOR64_SIZE || u32(zip->bytes + end_at - LOCATOR64_SIZE) != LOCATOR64_SIGNATURE)
        return bad(err, zip, "its table needs zip64, which is not there");
    uint64_t at = u64(zip->bytes + end_at - LOCATOR64_SIZE + 8);
    if (at > end_at || end_at - at < END64_SIZE || u32(zip->bytes + at) != END64_SIGNATURE)
        return bad(err, zip, "the zip64 end is not where it should be");
    const uint8_t *end = zip->bytes + at;
    *table = (struct table){.count = u64(end + 32), .size = u64(end + 40), .at = u64(end + 48)};
    return 0;
}

static int read_end(struct table *table, const struct zip *zip, struct error *err)
{
    enum { COMMENT = 65535 };
    if (zip->length < END_SIZE)
        return bad(err, zip, "too short");
    size_t last = zip->length - END_SIZE, first = last > COMMENT ? last - COMMENT : 0;
    for (size_t at = last + 1; at-- > first;) {
        const uint8_t *end = zip->bytes + at;
        if (u32(end) != END_SIGNATURE || u16(end + 20) != last - at)
            continue;
        if (u16(end + 4) != 0 && u16(end + 4) != 0xffff)
            return error_set(err, ERR_UNSUPPORTED, "zip: one of several parts");
        *table = (struct table){.count = u16(end + 10), .size = u32(end + 12), .at = u32(end + 16)};
        if (table->count == 0xffff || table->size == 0xffffffff || table->at == 0xffffffff)
            return read_end64(table, zip, at, err);
        return 0;
    }
    return bad(err, zip, "no table at its end (cut off?)");
}

/* ---- entries (4.3.7, 4.3.12, 4.5.3) ---- */

struct central {
    uint64_t size, stored, local;
};

/* Values that did not fit 32 bits are in an extra field, in this order, only those. */
static int read_extra(struct central *c, const struct zip_entry *entry, const uint8_t *extra,
                      size_t length, struct error *err)
{
    uint64_t *const values[] = {&c->size, &c->stored, &c->local};
    while (length >= 4) {
        size_t size = u16(extra + 2);
        if (size > length - 4)
            return bad_entry(err, entry, "extra field cut off");
        const uint8_t *field = extra + 4;
        for (int i = 0; u16(extra) == EXTRA_ZIP64 && i < 3; i++) {
            if (*values[i] != 0xffffffff)
                continue;
            if ((size_t)(extra + 4 + size - field) < 8)
                return bad_entry(err, entry, "zip64 field cut off");
            *values[i] = u64(field);
            field += 8;
        }
        extra += 4 + size;
        length -= 4 + size;
    }
    return 0;
}

static int locate(struct zip_entry *entry, const struct zip *zip, const struct central *c,
                  struct error *err)
{
    if (c->local > zip->length || zip->length - c->local < LOCAL_SIZE ||
        u32(zip->bytes + c->local) != LOCAL_SIGNATURE)
        return bad_entry(err, entry, "not where the table says");
    const uint8_t *local = zip->bytes + c->local;
    uint64_t begin = c->local + LOCAL_SIZE + u16(local + 26) + u16(local + 28);
    if (begin > zip->length || c->stored > zip->length - begin)
        return bad_entry(err, entry, "runs past the end of the file");
    entry->bytes = zip->bytes + begin;
    entry->stored = (size_t)c->stored;
    entry->size = (size_t)c->size;
    return 0;
}

/* One row of the table; *taken is its length. */
static int read_entry(struct zip_entry *entry, size_t *taken, const struct zip *zip,
                      const uint8_t *row, size_t left, struct error *err)
{
    enum { MAX_RATIO = 1032 }; /* of deflate */
    if (left < CENTRAL_SIZE || u32(row) != CENTRAL_SIGNATURE)
        return bad(err, zip, "its table is damaged");
    size_t name = u16(row + 28), extra = u16(row + 30), comment = u16(row + 32);
    *taken = CENTRAL_SIZE + name + extra + comment;
    if (*taken > left)
        return bad(err, zip, "its table is cut off");
    if (name > ZIP_MAX_NAME)
        return bad(err, zip, "an entry's name is too long");
    *entry = (struct zip_entry){.name = (const char *)row + CENTRAL_SIZE,
                                .name_length = name,
                                .deflated = u16(row + 10) == METHOD_DEFLATED,
                                .fault = zip->limits.fault,
                                .crc = u32(row + 16)};
    struct central c = {.stored = u32(row + 20), .size = u32(row + 24), .local = u32(row + 42)};
    if (u16(row + 8) & FLAG_ENCRYPTED)
        return refuse(err, ERR_UNSUPPORTED, entry, "encrypted");
    if (u16(row + 10) != METHOD_STORED && u16(row + 10) != METHOD_DEFLATED)
        return refuse(err, ERR_UNSUPPORTED, entry, "compressed by a method other than deflate");
    if (!zip->limits.zip64 &&
        (c.size == 0xffffffff || c.stored == 0xffffffff || c.local == 0xffffffff))
        return refuse(err, ERR_UNSUPPORTED, entry, "zip64 is not taken; write it without");
    if (read_extra(&c, entry, row + CENTRAL_SIZE + name, extra, err) || locate(entry, zip, &c, err))
        return -1;
    if (!entry->deflated && entry->stored != entry->size)
        return bad_entry(err, entry, "stored, but of another size");
    if (entry->deflated && entry->size / MAX_RATIO > entry->stored)
        return bad_entry(err, entry, "larger than its bytes can inflate to");
    if (entry->deflated && entry->size > zip->limits.max_inflated)
        return refuse(err, ERR_TOO_LARGE, entry, "larger than this program inflates");
    return 0;
}

static int compare_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t n = a_length < b_length ? a_length : b_length;
    int order = n ? memcmp(a, b, n) : 0;
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_entries(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return compare_text(x->name, x->name_length, y->name, y->name_length);
}

static int read_table(struct zip *zip, struct error *err)
{
    struct table table = {0};
    if (read_end(&table, zip, err))
        return -1;
    if (table.at > zip->length || table.size > zip->length - table.at)
        return bad(err, zip, "its table runs past the end of the file");
    if (table.count > zip->limits.max_entries || table.count > table.size / CENTRAL_SIZE)
        return bad(err, zip, "more entries than allowed, or than its table can hold");
    zip->entries = calloc((size_t)table.count + 1, sizeof *zip->entries);
    if (!zip->entries)
        return error_set(err, ERR_MEMORY, "out of memory reading a zip's table");
    const uint8_t *row = zip->bytes + table.at;
    size_t left = (size_t)table.size, taken = 0;
    uint64_t inflated = 0, stored = 0; /* 2^17 times 2^29 at most; and times the file */
    for (; zip->count < table.count; zip->count++) {
        struct zip_entry *entry = &zip->entries[zip->count];
        if (read_entry(entry, &taken, zip, row, left, err))
            return -1;
        row += taken;
        left -= taken;
        inflated += entry->deflated ? entry->size : 0;
        stored += entry->stored;
    }
    if (stored > zip->length) /* the same bytes many times are work without end */
        return bad(err, zip, "its entries overlap");
    if (zip->limits.max_ratio > 0 && inflated / (uint64_t)zip->limits.max_ratio > zip->length)
        return error_set(err, ERR_TOO_LARGE, "zip: its entries inflate to %llu bytes from %zu",
                         (unsigned long long)inflated, zip->length);
    qsort(zip->entries, zip->count, sizeof *zip->entries, compare_entries);
    for (size_t i = 1; i < zip->count; i++)
        if (compare_entries(&zip->entries[i - 1], &zip->entries[i]) == 0)
            return bad_entry(err, &zip->entries[i], "there are two of this name");
    return 0;
}

int zip_open(struct zip **out, const void *bytes, size_t length, const struct zip_limits *limits,
             struct error *err)
{
    *out = NULL;
    struct zip *zip = calloc(1, sizeof *zip);
    if (!zip)
        return error_set(err, ERR_MEMORY, "out of memory");
    zip->bytes = bytes;
    zip->length = length;
    zip->limits = *limits;
    if (read_table(zip, err)) {
        zip_close(zip);
        return -1;
    }
    *out = zip;
    return 0;
}

void zip_close(struct zip *zip)
{
    if (zip)
        free(zip->entries);
    free(zip);
}

/* ---- access ---- */

size_t zip_count(const struct zip *zip)
{
    return zip->count;
}

const struct zip_entry *zip_at(const struct zip *zip, size_t index)
{
    return index < zip->count ? &zip->entries[index] : NULL;
}

const struct zip_entry *zip_find(const struct zip *zip, const char *prefix, size_t prefix_length,
                                 const char *name, size_t name_length)
{
    char text[ZIP_MAX_NAME];
    if (prefix_length > sizeof text || name_length > sizeof text - prefix_length)
        return NULL;
    memcpy(text, prefix, prefix_length);
    memcpy(text + prefix_length, name, name_length);
    const struct zip_entry key = {.name = text, .name_length = prefix_length + name_length};
    return bsearch(&key, zip->entries, zip->count, sizeof key, compare_entries);
}

/*
 * Inflates up to `wanted` bytes; *got is fewer only where the contents are. Zip does not say where
 * the compressed bytes end other than by their number, so with all contents comes their end.
 */
static int inflate_entry(uint8_t *out, size_t *got, size_t wanted, const struct zip_entry *entry,
                         struct error *err)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)entry->bytes, .next_out = out};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return error_set(err, ERR_MEMORY, "out of memory inflating a zip entry");
    size_t in_left = entry->stored, out_left = wanted;
    int status = Z_OK;
    while (status == Z_OK) { /* zlib counts in 32 bits */
        enum { MOST = 1 << 30 };
        z.avail_in = (uInt)(in_left < MOST ? in_left : MOST);
        z.avail_out = (uInt)(out_left < MOST ? out_left : MOST);
        uInt in_given = z.avail_in, out_given = z.avail_out;
        status = inflate(&z, Z_NO_FLUSH);
        in_left -= in_given - z.avail_in;
        out_left -= out_given - z.avail_out;
        if (in_given == z.avail_in && out_given == z.avail_out)
            break; /* no progress: cut off, or larger than announced */
        if (out_left == 0 && wanted < entry->size)
            break; /* no more was asked for */
    }
    inflateEnd(&z);
    *got = wanted - out_left;
    if (status == Z_MEM_ERROR)
        return error_set(err, ERR_MEMORY, "out of memory inflating a zip entry");
    bool ended = status == Z_STREAM_END && *got == entry->size;
    bool enough = status == Z_OK && out_left == 0 && wanted < entry->size;
    return ended || enough ? 0 : bad_entry(err, entry, "its compressed data are damaged");
}

int zip_peek(uint8_t *out, size_t *got, size_t wanted, const struct zip_entry *entry,
             struct error *err)
{
    if (wanted > entry->size)
        wanted = entry->size;
    if (entry->deflated)
        return inflate_entry(out, got, wanted, entry, err);
    memcpy(out, entry->bytes, wanted);
    *got = wanted;
    return 0;
}

int zip_read(const uint8_t **bytes, uint8_t **owned, const struct zip_entry *entry,
             struct error *err)
{
    int rc = 0;
    uint8_t *buffer = NULL;
    *bytes = entry->bytes;
    *owned = NULL;
    if (entry->deflated) {
        buffer = malloc(entry->size + 1);
        if (!buffer)
            return error_set(err, ERR_MEMORY, "out of memory for a zip entry of %zu bytes",
                             entry->size);
        size_t got;
        TRY(inflate_entry(buffer, &got, entry->size, entry, err));
        *bytes = buffer;
    }
    if (crc32_z(0, *bytes, entry->size) != entry->crc) {
        rc = bad_entry(err, entry, "checksum does not match (damaged file?)");
        goto done;
    }
    *owned = buffer;
    buffer = NULL;
done:
    free(buffer);
    return rc;
}
