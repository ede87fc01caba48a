/*
 * COCO's compressed run lengths, read from the definition: an independent opposite of api/rle.c.
 * Characters from '0' up carry five bits of a number each, least significant group first; bit 32
 * says that more follow, bit 16 of the last one that the number is negative; from the fourth on a
 * number is the difference to the one two before. Runs alternate from zeros, down each column.
 */
#ifndef ONESHOT_TESTS_RLE_READER_H
#define ONESHOT_TESTS_RLE_READER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Fills plane (height, width) with 0 and 1. False where the text does not fit the plane exactly. */
static inline int rle_read(uint8_t *plane, int width, int height, const char *text)
{
    size_t pixels = (size_t)width * (size_t)height, at = 0, count = 0;
    long *runs = malloc((strlen(text) + 1) * sizeof *runs);
    int sound = runs != NULL;
    for (const char *p = text; sound && *p;) {
        long number = 0;
        int shift = 0, c;
        do {
            c = *p++ - '0';
            if (c < 0 || c > 63 || shift > 40 || (c & 32 && !*p)) {
                sound = 0;
                break;
            }
            number += (long)(c & 31) << shift;
            shift += 5;
        } while (c & 32);
        if (c & 16)
            number -= 1L << shift;
        runs[count] = count > 2 ? number + runs[count - 2] : number;
        if (runs[count] < 0)
            sound = 0;
        count++;
    }
    for (size_t i = 0; sound && i < count; i++)
        for (long k = 0; k < runs[i]; k++, at++) {
            if (at >= pixels) {
                sound = 0;
                break;
            }
            plane[at % (size_t)height * (size_t)width + at / (size_t)height] = i % 2;
        }
    free(runs);
    return sound && at == pixels;
}

#endif
