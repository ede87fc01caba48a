/* Base64 (RFC 4648, section 4, with padding). Pure, any thread. */
#ifndef ONESHOT_API_BASE64_H
#define ONESHOT_API_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Characters that `length` bytes become, without the final zero. */
size_t base64_length(size_t length);

/* Writes base64_length(length) characters and a zero. */
void base64_encode(char *out, const uint8_t *bytes, size_t length);

#endif
