/*
 * Who may ask: bearer keys (RFC 6750) from a text, kept as SHA-256 digests only. Immutable after
 * reading; any thread.
 */
#ifndef ONESHOT_API_KEYS_H
#define ONESHOT_API_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"
#include "model/base/sha256.h"

enum {
    KEYS_SHORTEST = 16, /* characters of a key */
    KEYS_LONGEST = 512,
    KEYS_MAXIMUM = 1024, /* keys in one file */
};

struct keys {
    uint8_t (*digests)[SHA256_SIZE]; /* owned */
    int count;                       /* 0: everybody may ask */
};

/*
 * Reads one key per line: the key itself, or "sha256:" and the 64 hexadecimal digits of its
 * SHA-256. Empty lines and lines that begin with '#' are left out. ERR_BAD_CONFIG names the line,
 * never what is in it; a text without a key is an error. ERR_MEMORY.
 */
int keys_read(struct keys *out, const char *text, size_t length, struct error *err);
void keys_free(struct keys *keys); /* a zeroed one is fine */

/* True where an Authorization header (NULL: absent) is of the scheme that keys are sent in. */
bool keys_are_given(const char *authorization);

/*
 * True where an Authorization header (NULL: absent) holds one of the keys. All keys are compared,
 * each in full, so that the time it takes says nothing about them.
 */
bool keys_match(const struct keys *keys, const char *authorization);

#endif
