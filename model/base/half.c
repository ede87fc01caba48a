#include "model/base/half.h"

#include <stdint.h>
#include <string.h>

#include "model/base/vector.h"

/*
 * All four are written without branches (both sides computed, one selected), because that is what
 * lets the compiler turn the loops into vector code.
 */

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define FLOAT_INFINITY 0x7f800000u
#define EXPONENT(e) ((uint32_t)(127 + (e)) << 23) /* bits of 2^e */

VECTORIZED
void f16_to_f32(float *out, const void *in, size_t count)
{
    const unsigned char *bytes = in;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, 2);
        uint32_t magnitude = half & 0x7fffu;
        uint32_t normal = (magnitude << 13) + (uint32_t)((127 - 15) << 23);
        /* infinity and NaN: the exponent field goes from all ones to all ones */
        uint32_t special = (magnitude << 13) | FLOAT_INFINITY;
        /* a subnormal m * 2^-24 is (2^-14 + m * 2^-24) - 2^-14, both exact in float */
        float subnormal = float_of((magnitude << 13) + EXPONENT(-14)) - float_of(EXPONENT(-14));
        uint32_t bits = magnitude >= 0x7c00u ? special : normal;
        bits = magnitude < 0x0400u ? bits_of(subnormal) : bits;
        out[i] = float_of(bits | (uint32_t)(half & 0x8000u) << 16);
    }
}

VECTORIZED
void f16_from_f32(void *out, const float *in, size_t count)
{
    unsigned char *bytes = out;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(in[i]);
        uint32_t magnitude = bits & 0x7fffffffu;
        /* dropping 13 bits: add just under half of the last kept place, or half where it is odd */
        uint32_t odd = (magnitude >> 13) & 1u;
        uint32_t half = (magnitude - (uint32_t)((127 - 15) << 23) + 0x0fffu + odd) >> 13;
        /* adding 0.5 leaves places of 2^-24, so the addition itself rounds to a subnormal half */
        float aligned = float_of(magnitude < EXPONENT(-14) ? magnitude : 0) + 0.5f;
        half = magnitude < EXPONENT(-14) ? bits_of(aligned) - EXPONENT(-1) : half;
        half = magnitude >= EXPONENT(16) ? 0x7c00u : half;
        /* quiet bit set, so that a NaN whose payload is cut off does not become infinity */
        half = magnitude > FLOAT_INFINITY ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : half;
        uint16_t result = (uint16_t)(half | (bits >> 16 & 0x8000u));
        memcpy(bytes + 2 * i, &result, 2);
    }
}

VECTORIZED
void bf16_to_f32(float *out, const void *in, size_t count)
{
    const unsigned char *bytes = in;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, 2);
        out[i] = float_of((uint32_t)half << 16);
    }
}

VECTORIZED
void bf16_from_f32(void *out, const float *in, size_t count)
{
    unsigned char *bytes = out;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(in[i]);
        uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
        uint32_t nan = bits >> 16 | 0x0040u;
        uint16_t result = (uint16_t)((bits & 0x7fffffffu) > FLOAT_INFINITY ? nan : rounded);
        memcpy(bytes + 2 * i, &result, 2);
    }
}
