/*
 * A regular file as read-only bytes. Pages come from the file as they are touched, so a large file
 * costs no memory of its own. The file must not be truncated while it is mapped (replacing it by
 * rename is fine). The bytes may be read from any thread.
 */
#ifndef ONESHOT_BASE_MAPPED_H
#define ONESHOT_BASE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

struct mapped {
    const uint8_t *bytes; /* NULL where the file is empty */
    size_t length;
};

/* ERR_IO, naming the path, where it cannot be opened or is not a regular file. */
int mapped_open(struct mapped *out, const char *path, struct error *err);

/* Gives the pages touched so far back to the system; touching them again reads the file again. */
void mapped_release_pages(const struct mapped *file);

void mapped_close(struct mapped *file); /* an empty or zeroed one is fine */

#endif
