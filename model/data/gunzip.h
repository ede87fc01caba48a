/*
 * Gzip (RFC 1952) from memory, a piece at a time: nothing is inflated before it is asked for.
 * Several members one after another are one stream, as gzip itself reads them. One thread at a
 * time.
 */
#ifndef ONESHOT_DATA_GUNZIP_H
#define ONESHOT_DATA_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

struct gunzip;

/* What no gzip data can exceed: inflated to compressed bytes. */
enum { GUNZIP_MAX_RATIO = 1032 };

bool gunzip_recognises(const void *bytes, size_t length);

/* `bytes` must outlive the result. ERR_MEMORY. */
int gunzip_open(struct gunzip **out, const void *bytes, size_t length, struct error *err);
void gunzip_close(struct gunzip *zip); /* NULL is fine */

/* Inflates the next `wanted` bytes; *got is fewer at the end only. ERR_BAD_NIFTI, ERR_MEMORY. */
int gunzip_read(void *out, size_t *got, size_t wanted, struct gunzip *zip, struct error *err);

/* Checks that all has been read and nothing follows. ERR_BAD_NIFTI. */
int gunzip_end(struct gunzip *zip, struct error *err);

#endif
