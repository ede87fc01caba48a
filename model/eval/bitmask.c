#include "model/eval/bitmask.h"

#include <endian.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Eight bytes to eight bits: bit i is set where byte i is not `zero`. */
static inline uint64_t pack_eight(const uint8_t *bytes, uint64_t zero)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    word = le64toh(word) ^ zero;
    /* The top bit of each byte collects "any bit was set"; no byte carries into the next. */
    uint64_t ones = ((((word & EACH_BYTE(0x7f)) + EACH_BYTE(0x7f)) | word) >> 7) & EACH_BYTE(1);
    /* The factor moves byte i to bit 56 + i; all its other partial products miss the top byte. */
    return (ones * UINT64_C(0x0102040810204080)) >> 56;
}

static uint64_t pack_word(const uint8_t *bytes, uint64_t zero)
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word |= pack_eight(bytes + 8 * i, zero) << (8 * i);
    return word;
}

static int64_t count_common(const uint64_t *a, const uint64_t *b, size_t words)
{
    int64_t sum = 0;
    for (size_t i = 0; i < words; i++)
        sum += __builtin_popcountll(a[i] & b[i]);
    return sum;
}

/* Sets a bit where plane ^ zero is not 0 (invert = 0), or where it is 0 (invert = ~0). */
static int pack(struct bitmask *out, const uint8_t *plane, uint8_t zero, uint64_t invert, int width,
                int height, struct error *err)
{
    memset(out, 0, sizeof *out);
    if (width < 1 || height < 1)
        return error_set(err, ERR_ARGUMENT, "a mask of %d x %d pixels has no pixel", width, height);
    int pixels;
    if (__builtin_mul_overflow(width, height, &pixels))
        return error_set(err, ERR_TOO_LARGE, "a mask of %d x %d pixels; at most %d pixels", width,
                         height, INT_MAX);
    size_t whole = (size_t)pixels / 64;
    size_t rest = (size_t)pixels % 64;
    out->words = whole + (rest > 0);
    out->bits = malloc(out->words * sizeof *out->bits);
    if (!out->bits) {
        memset(out, 0, sizeof *out);
        return error_set(err, ERR_MEMORY, "no memory for a mask of %d x %d", width, height);
    }
    out->width = width;
    out->height = height;
    for (size_t i = 0; i < whole; i++)
        out->bits[i] = pack_word(plane + 64 * i, EACH_BYTE(zero)) ^ invert;
    if (rest > 0) {
        uint8_t tail[64];
        memset(tail, zero, sizeof tail);
        memcpy(tail, plane + 64 * whole, rest);
        uint64_t inside = (UINT64_C(1) << rest) - 1;
        out->bits[whole] = (pack_word(tail, EACH_BYTE(zero)) ^ invert) & inside;
    }
    size_t first = 0;
    size_t last = out->words;
    while (first < last && out->bits[first] == 0)
        first++;
    while (last > first && out->bits[last - 1] == 0)
        last--;
    if (last > first) {
        out->first = first;
        out->last = last;
    }
    out->area = count_common(out->bits + first, out->bits + first, last - first);
    return 0;
}

int bitmask_pack(struct bitmask *out, const uint8_t *plane, int width, int height,
                 struct error *err)
{
    return pack(out, plane, 0, 0, width, height, err);
}

int bitmask_pack_label(struct bitmask *out, const uint8_t *labels, uint8_t label, int width,
                       int height, struct error *err)
{
    return pack(out, labels, label, ~UINT64_C(0), width, height, err);
}

void bitmask_free(struct bitmask *mask)
{
    free(mask->bits);
    memset(mask, 0, sizeof *mask);
}

int64_t bitmask_intersection(const struct bitmask *a, const struct bitmask *b)
{
    size_t first = a->first > b->first ? a->first : b->first;
    size_t last = a->last < b->last ? a->last : b->last;
    return first < last ? count_common(a->bits + first, b->bits + first, last - first) : 0;
}
