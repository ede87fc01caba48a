/*
 * The model that comes along, as bytes of the program. Programs that are linked without it (tests,
 * a build from sources without weights) find NULL and use seeded weights instead.
 */
#ifndef ONESHOT_WEIGHTS_EMBEDDED_H
#define ONESHOT_WEIGHTS_EMBEDDED_H

#include <stddef.h>

struct embedded_weights {
    const unsigned char *begin, *end; /* a safetensors file, 64-byte aligned */
    const char *sha256;               /* what it must hash to, lower-case hex */
};

extern const struct embedded_weights embedded_weights __attribute__((weak));

#endif
