/*
 * Arrays of 16-bit floats: IEEE binary16 ("f16") and bfloat16 ("bf16"), to and from float32.
 * Narrowing rounds to nearest, ties to even; subnormals, signed zeros and infinities are exact, too
 * large becomes infinity, NaN stays NaN. The 16-bit side is bytes in native order, of any
 * alignment. `count` is in elements; the arrays must not overlap. Any thread.
 */
#ifndef ONESHOT_BASE_HALF_H
#define ONESHOT_BASE_HALF_H

#include <stddef.h>

void f16_to_f32(float *out, const void *in, size_t count);
void f16_from_f32(void *out, const float *in, size_t count);
void bf16_to_f32(float *out, const void *in, size_t count);
void bf16_from_f32(void *out, const float *in, size_t count);

#endif
