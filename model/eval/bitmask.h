/*
 * Masks packed to one bit a pixel, so that the overlap of two of them is a few thousand popcounts.
 *
 * Pixel (x, y) is bit i % 64 of word i / 64, i = y * width + x; bits after the last pixel are 0.
 * A mask belongs to whoever packed it; a packed mask may be read by any number of threads.
 */
#ifndef ONESHOT_EVAL_BITMASK_H
#define ONESHOT_EVAL_BITMASK_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

struct bitmask {
    int width, height;
    int64_t area;       /* pixels set */
    size_t words;       /* in bits[] */
    size_t first, last; /* words first..last-1 hold every set bit; 0, 0 where none is set */
    uint64_t *bits;     /* owned */
};

/*
 * Packs a plane (height, width): every byte that is not 0 becomes a set bit.
 * ERR_ARGUMENT (a side below 1), ERR_TOO_LARGE (more than 2^31 - 1 pixels), ERR_MEMORY; then *out
 * is empty.
 */
int bitmask_pack(struct bitmask *out, const uint8_t *plane, int width, int height,
                 struct error *err);

/* Packs the pixels of a label map (height, width) whose byte equals `label`. Errors as above. */
int bitmask_pack_label(struct bitmask *out, const uint8_t *labels, uint8_t label, int width,
                       int height, struct error *err);

/* Releases the bits; an empty (zeroed) mask is fine. */
void bitmask_free(struct bitmask *mask);

/* Pixels set in both. The masks must have the same width and height. */
int64_t bitmask_intersection(const struct bitmask *a, const struct bitmask *b);

#endif
