/*
 * Random numbers that are the same on every machine: xoshiro256** (Blackman and Vigna, 2018). The
 * struct is the whole state: copy it into a checkpoint and training continues as if it had never
 * stopped. Not for secrets. One owner at a time; seed one generator per thread or purpose.
 */
#ifndef ONESHOT_BASE_RNG_H
#define ONESHOT_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state[4]; /* not all zero */
};

/* Any seed is a good one; different seeds give unrelated sequences. */
void rng_seed(struct rng *rng, uint64_t seed);

uint64_t rng_u64(struct rng *rng);                   /* 64 random bits */
uint32_t rng_below(struct rng *rng, uint32_t limit); /* 0..limit-1, unbiased; limit >= 1 */
float rng_float(struct rng *rng);                    /* [0,1), a multiple of 2^-24 */
float rng_normal(struct rng *rng);                   /* mean 0, standard deviation 1 */

#endif
