#include "model/base/rng.h"

#include <math.h>

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* The seed is spread with splitmix64: a bijection of a counter, so the state is never all zero. */
void rng_seed(struct rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        rng->state[i] = z ^ z >> 31;
    }
}

uint64_t rng_u64(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint32_t rng_below(struct rng *rng, uint32_t limit)
{
    uint32_t surplus = -limit % limit; /* 2^32 mod limit: as many values must be thrown away */
    for (;;) {
        uint64_t product = (rng_u64(rng) >> 32) * limit;
        if ((uint32_t)product >= surplus)
            return (uint32_t)(product >> 32);
    }
}

float rng_float(struct rng *rng)
{
    return (float)(rng_u64(rng) >> 40) * 0x1p-24f;
}

/* Box and Muller. The second number of the pair is not kept: the state stays four words. */
float rng_normal(struct rng *rng)
{
    double radius = sqrt(-2 * log(((double)(rng_u64(rng) >> 11) + 1) * 0x1p-53)); /* log of (0,1] */
    double angle = 2 * 3.14159265358979323846 * ((double)(rng_u64(rng) >> 11) * 0x1p-53);
    return (float)(radius * cos(angle));
}
