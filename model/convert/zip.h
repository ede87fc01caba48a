/*
 * The table of a zip archive in memory, zip64 included. Strict: entries must lie inside the file,
 * names must be unique. Stored entries are used where they lie, deflated ones are inflated.
 * Nothing is written, so a name can do no harm. One thread at a time.
 */
#ifndef ONESHOT_CONVERT_ZIP_H
#define ONESHOT_CONVERT_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

enum {
    ZIP_MAX_ENTRIES = 1 << 17,
    ZIP_MAX_NAME = 512,
    ZIP_MAX_INFLATED = 1 << 29, /* bytes of one deflated entry; stored ones have no limit */
};

struct zip_entry {
    const char *name; /* not zero-terminated */
    size_t name_length;
    bool deflated;
    uint32_t crc;
    size_t stored; /* bytes in the archive */
    size_t size;   /* bytes of the contents */
    const uint8_t *bytes;
};

struct zip;

/*
 * Reads the table. `bytes` must outlive the result. Errors: ERR_BAD_WEIGHTS naming the entry,
 * ERR_UNSUPPORTED (encryption, other methods, several parts), ERR_TOO_LARGE, ERR_MEMORY.
 */
int zip_open(struct zip **out, const void *bytes, size_t length, struct error *err);
void zip_close(struct zip *zip); /* NULL is fine */

size_t zip_count(const struct zip *zip);
const struct zip_entry *zip_at(const struct zip *zip, size_t index); /* sorted by name */

/* The entry called prefix + name; NULL where there is none. `prefix` need not end in a zero. */
const struct zip_entry *zip_find(const struct zip *zip, const char *prefix, size_t prefix_length,
                                 const char *name, size_t name_length);

/*
 * Checks the contents' checksum and gives them. *bytes points into the archive where the entry is
 * stored, and *owned is NULL; else both are a buffer of entry->size bytes for the caller to free.
 */
int zip_read(const uint8_t **bytes, uint8_t **owned, const struct zip_entry *entry,
             struct error *err);

#endif
