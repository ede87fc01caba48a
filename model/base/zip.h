/*
 * The table of a zip archive in memory. Strict: entries must lie inside the file and not overlap,
 * names must be unique. Stored entries are used where they lie, deflated ones are inflated. Nothing
 * is written, so a name can do no harm. One thread at a time.
 */
#ifndef ONESHOT_BASE_ZIP_H
#define ONESHOT_BASE_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

enum { ZIP_MAX_NAME = 512 };

/* What an archive may be. Sizes are what its table says: they are judged before any inflating. */
struct zip_limits {
    enum error_code fault; /* reported of a damaged archive */
    size_t max_entries;
    size_t max_inflated; /* bytes of one deflated entry; stored ones have no limit */
    int max_ratio;       /* all deflated entries together to the archive's bytes; 0: any */
    bool zip64;          /* taken, too */
};

struct zip_entry {
    const char *name; /* not zero-terminated */
    size_t name_length;
    bool deflated;
    uint32_t crc;
    size_t stored; /* bytes in the archive */
    size_t size;   /* bytes of the contents */
    const uint8_t *bytes;
    enum error_code fault;
};

struct zip;

/*
 * Reads the table. `bytes` must outlive the result. Errors: limits->fault naming the entry,
 * ERR_UNSUPPORTED (encryption, other methods, several parts, zip64), ERR_TOO_LARGE, ERR_MEMORY.
 */
int zip_open(struct zip **out, const void *bytes, size_t length, const struct zip_limits *limits,
             struct error *err);
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

/*
 * The first `wanted` bytes of the contents into `out`, fewer where there are no more; *got says how
 * many. Nothing is checked that needs the rest. Errors: as zip_read.
 */
int zip_peek(uint8_t *out, size_t *got, size_t wanted, const struct zip_entry *entry,
             struct error *err);

/* An entry's name for messages: its plain beginning, as the arguments of "%.*s". */
int zip_name_length(const struct zip_entry *entry);
#define ZIP_NAME(entry) zip_name_length(entry), (entry)->name

#endif
