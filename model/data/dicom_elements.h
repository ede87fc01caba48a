/*
 * Steps through the elements of a DICOM data set (PS3.5, 7), little endian. Every length is checked
 * against the file before anything is read; sequences are stepped over at any depth that a file may
 * have. For model/data/dicom.c.
 */
#ifndef ONESHOT_DATA_DICOM_ELEMENTS_H
#define ONESHOT_DATA_DICOM_ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

enum {
    DICOM_MAX_ELEMENTS = 1 << 16, /* of a file up to its pixels, nested ones included */
    DICOM_MAX_DEPTH = 32,         /* of sequences in sequences */
    DICOM_SHORT_HEADER = 8,       /* bytes that every element has at least */
};

#define DICOM_PIXELS 0x7fe00010u

struct dicom_reader {
    const uint8_t *bytes;
    size_t there, length; /* bytes that can be looked at, and that the whole file has */
    size_t at;
    int elements; /* seen so far */
    bool cut;     /* what was looked for lies behind the bytes that are there: no error */
    struct error *err;
};

struct dicom_element {
    uint32_t tag;
    char vr[2]; /* zeros where it is not written */
    size_t value, length;
    bool undefined; /* length: it goes on until its end is marked */
};

/* Whether `count` bytes can be looked at; if not, reader->cut or ERR_BAD_DICOM says why. */
bool dicom_has(struct dicom_reader *r, size_t count);

/*
 * Reads the header at reader->at and moves to its value, which lies inside the file. `explicit`:
 * representations are written. -1: reader->cut or ERR_BAD_DICOM.
 */
int dicom_next(struct dicom_element *e, struct dicom_reader *r, bool explicit);

/* Steps over the value of an element that was just read, whatever is nested in it. Likewise. */
int dicom_skip(struct dicom_reader *r, const struct dicom_element *e, bool explicit);

/* Two capital letters; a representation whose length has 16 bits. */
bool dicom_is_vr(const uint8_t *p);
bool dicom_vr_is_short(const char vr[2]);

#endif
