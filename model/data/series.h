/*
 * A zip of a DICOM series as a volume. Its slices are sorted by their place along the normal; they
 * must be of one series, size, orientation, spacing and kind of pixels, and lie behind each other.
 * What is no DICOM, or has no picture, is passed over (directories, DICOMDIR, __MACOSX, reports).
 * Errors name the file. Callers use model/data/volume.h.
 */
#ifndef ONESHOT_DATA_SERIES_H
#define ONESHOT_DATA_SERIES_H

#include "model/data/volume.h"

enum {
    SERIES_MAX_FILES = 16384, /* entries of the zip */
    SERIES_MAX_SLICES = 4096,
    SERIES_HEADS = 64 << 20, /* bytes that may be inflated to find what lies before the pixels */
};

struct series;

/* True where the bytes begin as a zip does. */
bool series_recognises(const void *bytes, size_t length);

/*
 * Fills an empty volume; of the files only what comes before the pixels is read, of which there may
 * be SERIES_HEADS or half of limits->max_bytes, whichever is more. Errors: ERR_BAD_DICOM,
 * ERR_UNSUPPORTED, ERR_TOO_LARGE, ERR_MEMORY, ERR_CANCELLED.
 */
int series_open(struct volume *volume, const void *bytes, size_t length,
                const struct volume_limits *limits, struct error *err);
void series_close(struct series *series); /* NULL is fine */

/*
 * Brings slice k of the view into volume->voxels; *before is how many bytes of the whole volume lie
 * before what is there. ERR_BAD_DICOM, ERR_MEMORY.
 */
int series_bring(size_t *before, struct volume *volume, int k, struct error *err);

#endif
