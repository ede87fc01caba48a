/* Base64 (RFC 4648, section 4, with padding). Pure, any thread. */
#ifndef ONESHOT_API_BASE64_H
#define ONESHOT_API_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Characters that `length` bytes become, without the final zero. */
size_t base64_length(size_t length);

/* Writes base64_length(length) characters and a zero. */
void base64_encode(char *out, const uint8_t *bytes, size_t length);

/*
 * Reads `length` characters, which may be as JSON writes them ("\/" for a slash). `out` has room
 * for 3 bytes per 4 characters, rounded up. -1 where they are not base64 with its padding.
 */
int base64_decode(uint8_t *out, size_t *out_length, const char *text, size_t length);

#endif
