/*
 * One slice of uncompressed DICOM (PS3.5, PS3.10): explicit or implicit VR, little endian, with or
 * without the preamble and file meta information, grey, one frame, 8 or 16 bits allocated.
 *
 * Read are only the attributes in struct dicom. Names, ids, dates and texts are stepped over and
 * never copied; of the series' UID a hash is kept, to tell series apart. Sequences are stepped over
 * at any place, of defined and undefined length. Callers use model/data/volume.h.
 */
#ifndef ONESHOT_DATA_DICOM_H
#define ONESHOT_DATA_DICOM_H

#include "model/data/volume.h"

enum dicom_state {
    DICOM_SLICE, /* all of struct dicom is there */
    DICOM_OTHER, /* DICOM, but no picture: a report, a directory */
    DICOM_MORE,  /* the attributes go on behind the bytes that are there */
};

struct dicom {
    enum dicom_state state;
    int columns, rows;
    int allocated, stored, high; /* bits; the highest one */
    bool is_signed;
    bool inverted;       /* MONOCHROME1: the smallest value is white */
    double slope, inter; /* HU = value * slope + inter */
    bool ct;             /* Modality is CT, or not said */
    bool spaced;
    double spacing[2]; /* mm between columns, between rows */
    bool placed;
    double position[3], across[3], down[3]; /* as stored: x to the left, y to the back */
    double thickness;                       /* mm; 0: not said */
    uint64_t series;                        /* hash of its UID */
    size_t pixels;                          /* where they begin */
};

/* True where the bytes begin as DICOM does, with or without a preamble. */
bool dicom_recognises(const void *bytes, size_t length);

/*
 * Reads the attributes from the first `there` of a file's `length` bytes. Errors, naming the
 * attribute: ERR_BAD_DICOM; ERR_UNSUPPORTED (compressed, naming the transfer syntax; colour;
 * several frames).
 */
int dicom_read(struct dicom *out, const void *bytes, size_t there, size_t length,
               struct error *err);

/* The type its pixels have once they are unpacked. */
enum voxel_type dicom_type(const struct dicom *slice);

/* Unpacks the pixels of a whole file (rows, columns) to that type: `out` has room for them. */
void dicom_unpack(void *out, const struct dicom *slice, const void *bytes);

/*
 * Fills an empty volume with the one slice of a file, seen as it is stored: nothing is turned.
 * Errors as dicom_read, ERR_TOO_LARGE, ERR_MEMORY.
 */
int dicom_open(struct volume *volume, const void *bytes, size_t length,
               const struct volume_limits *limits, struct error *err);

/* The affine of a stack (RAS) that begins with a slice and goes on by `step` (LPS, mm). */
void dicom_affine(double affine[3][4], const struct dicom *first, const double step[3]);

/* The direction from a slice's front to its back, of length 1 (LPS). */
void dicom_normal(double normal[3], const struct dicom *slice);

#endif
