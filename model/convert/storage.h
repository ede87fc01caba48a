/*
 * The storages of a torch.save file: named runs of elements that tensors are views of. Private to
 * checkpoint.c.
 */
#ifndef ONESHOT_CONVERT_STORAGE_H
#define ONESHOT_CONVERT_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"
#include "model/base/zip.h"
#include "model/convert/pickle.h"
#include "model/nn/safetensors.h"

struct storage {
    struct pickle_text key;
    const struct storage_type *type; /* NULL where this program does not know it */
    int64_t elements;
    const uint8_t *bytes;          /* in a legacy stream; NULL until found */
    const struct zip_entry *entry; /* in an archive; NULL until found */
    bool checked;                  /* the entry's checksum was right */
};

struct storages {
    struct storage *at; /* owned; by key */
    size_t count;
    uint8_t *inflated; /* owned; contents of `inflated_index` */
    size_t inflated_index;
};

/* What a tensor may use: all of a storage, or the part a legacy "view" names. */
struct storage_slice {
    size_t storage; /* index */
    enum dtype dtype;
    int64_t offset, elements;
};

/* Finds every storage the object refers to. Zeroed before; storages_free() also after an error. */
int storages_collect(struct storages *storages, const struct pickle *pickle, struct error *err);
void storages_free(struct storages *storages);

/* Finds their bytes in entries "<prefix>data/<key>". */
int storages_find_in_zip(struct storages *storages, const struct zip *zip, const char *prefix,
                         size_t prefix_length, struct error *err);

/*
 * Finds their bytes at `at` and after: for each key of the list a count of elements (int64), then
 * the elements.
 */
int storages_find_in_stream(struct storages *storages, const struct pickle_value *keys,
                            const uint8_t *bytes, size_t at, size_t length, struct error *err);

/* The slice a tensor's REFERENCE stands for. */
int storages_slice(struct storage_slice *out, const struct storages *storages,
                   const struct pickle_value *reference, struct error *err);

/* A storage's first byte; valid until the next call. */
int storages_read(const uint8_t **bytes, struct storages *storages, size_t index,
                  struct error *err);

#endif
