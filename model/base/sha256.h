/*
 * SHA-256 (FIPS 180-4), streaming. Uses the processor's SHA instructions where it has them. A
 * struct sha256 belongs to one thread at a time and owns nothing.
 */
#ifndef ONESHOT_BASE_SHA256_H
#define ONESHOT_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum {
    SHA256_SIZE = 32,     /* bytes of a digest */
    SHA256_HEX_SIZE = 65, /* its lower-case hexadecimal text with the final zero */
};

struct sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes hashed so far */
    uint8_t block[64];
    void (*compress)(uint32_t state[8], const uint8_t *blocks, size_t count);
};

void sha256_init(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *bytes, size_t length);
void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE]); /* then init before reuse */

/* Like sha256_init, but in plain C whatever the processor has. */
void sha256_init_portable(struct sha256 *hash);

/* Everything at once: digest, or digest as text. */
void sha256_digest(uint8_t digest[SHA256_SIZE], const void *bytes, size_t length);
void sha256_hex(char hex[SHA256_HEX_SIZE], const void *bytes, size_t length);

/* A digest as text. */
void sha256_format(char hex[SHA256_HEX_SIZE], const uint8_t digest[SHA256_SIZE]);

#endif
