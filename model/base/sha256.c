#include "model/base/sha256.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_SHA_INSTRUCTIONS 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define HAVE_SHA_INSTRUCTIONS 0
#endif

enum { BLOCK = 64 };

/* FIPS 180-4, 4.2.2 */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate(uint32_t x, int bits)
{
    return x >> bits | x << (32 - bits);
}

static inline uint32_t load_big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One round; the caller turns the roles of the eight variables instead of moving their values. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                           \
    do {                                                                                           \
        uint32_t s1_ = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);                               \
        uint32_t s0_ = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);                               \
        uint32_t t_ = h + s1_ + (g ^ (e & (f ^ g))) + round_constants[i] + w[i];                   \
        d += t_;                                                                                   \
        h = t_ + s0_ + ((a & b) | (c & (a | b)));                                                  \
    } while (0)

static void compress_portable(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    for (; count > 0; count--, blocks += BLOCK) {
        uint32_t w[64];
        for (int i = 0; i < 16; i++)
            w[i] = load_big_endian(blocks + 4 * i);
        for (int i = 16; i < 64; i++) {
            uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 64; i += 8) {
            ROUND(a, b, c, d, e, f, g, h, i);
            ROUND(h, a, b, c, d, e, f, g, i + 1);
            ROUND(g, h, a, b, c, d, e, f, i + 2);
            ROUND(f, g, h, a, b, c, d, e, i + 3);
            ROUND(e, f, g, h, a, b, c, d, i + 4);
            ROUND(d, e, f, g, h, a, b, c, i + 5);
            ROUND(c, d, e, f, g, h, a, b, i + 6);
            ROUND(b, c, d, e, f, g, h, a, i + 7);
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

#if HAVE_SHA_INSTRUCTIONS

/*
 * The instructions keep the state as ABEF and CDGH and do two rounds each; `w[g % 4]` holds the
 * message words of group g, four rounds, and is replaced by those of group g + 4.
 */
__attribute__((target("sha,sse4.1,ssse3"))) static void
compress_sha_instructions(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i dcba = _mm_loadu_si128((const __m128i *)&state[0]);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)&state[4]);
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
    __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

    for (; count > 0; count--, blocks += BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(blocks + 16 * i)), swap);
#pragma GCC unroll 16
        for (int g = 0; g < 16; g++) {
            __m128i k = _mm_loadu_si128((const __m128i *)&round_constants[4 * g]);
            __m128i sum = _mm_add_epi32(w[g % 4], k);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
            if (g < 12) {
                __m128i next = _mm_sha256msg1_epu32(w[g % 4], w[(g + 1) % 4]);
                __m128i seven_back = _mm_alignr_epi8(w[(g + 3) % 4], w[(g + 2) % 4], 4);
                w[g % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(next, seven_back), w[(g + 3) % 4]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
    __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)&state[0], _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)&state[4], _mm_alignr_epi8(dchg, feba, 8));
}

static bool has_sha_instructions(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}

#endif

void sha256_init_portable(struct sha256 *hash)
{
    *hash = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                      0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
                            .compress = compress_portable};
}

void sha256_init(struct sha256 *hash)
{
    sha256_init_portable(hash);
#if HAVE_SHA_INSTRUCTIONS
    if (has_sha_instructions())
        hash->compress = compress_sha_instructions;
#endif
}

void sha256_update(struct sha256 *hash, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    size_t used = hash->length % BLOCK;
    if (!length)
        return; /* `bytes` may be NULL then */
    hash->length += length;
    if (used) {
        size_t part = length < BLOCK - used ? length : BLOCK - used;
        memcpy(hash->block + used, p, part);
        if (used + part < BLOCK)
            return;
        hash->compress(hash->state, hash->block, 1);
        p += part;
        length -= part;
    }
    hash->compress(hash->state, p, length / BLOCK);
    if (length % BLOCK)
        memcpy(hash->block, p + length / BLOCK * BLOCK, length % BLOCK);
}

void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
    uint64_t bits = hash->length * 8;
    size_t used = hash->length % BLOCK;
    hash->block[used++] = 0x80;
    if (used > BLOCK - 8) {
        memset(hash->block + used, 0, BLOCK - used);
        hash->compress(hash->state, hash->block, 1);
        used = 0;
    }
    memset(hash->block + used, 0, BLOCK - 8 - used);
    for (int i = 0; i < 8; i++)
        hash->block[BLOCK - 8 + i] = (uint8_t)(bits >> (56 - 8 * i));
    hash->compress(hash->state, hash->block, 1);
    for (int i = 0; i < SHA256_SIZE; i++)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_digest(uint8_t digest[SHA256_SIZE], const void *bytes, size_t length)
{
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, bytes, length);
    sha256_final(&hash, digest);
}

void sha256_format(char hex[SHA256_HEX_SIZE], const uint8_t digest[SHA256_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SHA256_SIZE; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * SHA256_SIZE] = 0;
}

void sha256_hex(char hex[SHA256_HEX_SIZE], const void *bytes, size_t length)
{
    uint8_t digest[SHA256_SIZE];
    sha256_digest(digest, bytes, length);
    sha256_format(hex, digest);
}
