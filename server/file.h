/* Whole files, for the command line. */
#ifndef ONESHOT_SERVER_FILE_H
#define ONESHOT_SERVER_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

/*
 * Reads a file ("-": standard input) of at most `maximum` bytes; malloc'ed, and a zero byte follows
 * them. ERR_IO, ERR_TOO_LARGE.
 */
int file_read(uint8_t **out, size_t *length, const char *path, size_t maximum, struct error *err);

/*
 * That a file can be read once more: a pipe that was read at the start would now be waited for.
 * ERR_IO.
 */
int file_check_again(const char *path, struct error *err);

/* The files that a command has written, so that none of them replaces another. */
struct file_claims {
    void *names; /* tsearch()'s tree; owned */
};

/* ERR_ARGUMENT where `path` is taken already; ERR_MEMORY. */
int file_claim(struct file_claims *claims, const char *path, struct error *err);
void file_claims_free(struct file_claims *claims);

/* Writes a file, replacing it. ERR_IO. */
int file_write(const char *path, const void *bytes, size_t length, struct error *err);

#endif
