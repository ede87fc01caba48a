/*
 * A CT volume as a stack of axial slices, whatever the order of its voxels in the file.
 *
 * The affine says which storage axis runs through the body: a slice is one step along it, and
 * slice k is index k of that axis, as the file counts. Within a slice rows and columns are turned
 * and flipped so that it lies as a reader expects: the patient's right on the left of the picture,
 * the front up. Nothing is resampled: an oblique volume is read along its nearest axes. Pixels map
 * back to voxels and to world coordinates (mm; x to the patient's left is negative, y to the front
 * positive, z to the head positive: "RAS+", as NIfTI has it).
 *
 * Compressed volumes are inflated as far as the slice that is read needs, so that the first slices
 * are there early; of a zipped series one slice at a time is in memory. A volume is used by one
 * thread at a time.
 */
#ifndef ONESHOT_DATA_VOLUME_H
#define ONESHOT_DATA_VOLUME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

enum voxel_type {
    VOXEL_U8,
    VOXEL_I8,
    VOXEL_U16,
    VOXEL_I16,
    VOXEL_U32,
    VOXEL_I32,
    VOXEL_U64,
    VOXEL_I64,
    VOXEL_F32,
    VOXEL_F64,
    VOXEL_TYPES
};

enum {
    VOLUME_HEADER_SIZE = 540, /* the longer of the two NIfTI headers */
    VOLUME_AIR = -1024,       /* HU of a voxel that is not a number */
};

/* What the caller allows. */
struct volume_limits {
    size_t max_bytes; /* of voxels in memory, where they have to be inflated */
    int max_ratio;    /* inflated to compressed bytes */
    /* Becomes true on any thread when nobody wants the volume any longer; NULL: it never does. */
    const atomic_bool *called_off;
};

struct gunzip;
struct series;

struct volume {
    const char *kind;      /* "nifti-1", "nifti-2", "dicom"; static */
    int size[3];           /* voxels along the storage axes; the first varies fastest */
    enum voxel_type type;  /* as stored */
    bool swapped;          /* stored big end first */
    double slope, inter;   /* HU = stored * slope + inter */
    double affine[3][4];   /* from indices of a voxel's centre to mm */
    const char *placed_by; /* "sform", "qform", "pixdim" (directions assumed), "dicom",
                              "nothing" (a picture in no place); static */

    /* The view. */
    int column_axis, row_axis, slice_axis; /* storage axes */
    bool column_flip, row_flip;            /* column 0, row 0 are the last of their axis */

    uint8_t header[VOLUME_HEADER_SIZE]; /* as read, for label maps on the same grid */
    size_t header_size;                 /* 348, 540; 0: the source was no NIfTI */

    /* What DICOM says besides. */
    bool inverted;    /* the smallest value is white, where values are grey */
    bool not_ct;      /* the slices are of another modality */
    double gap;       /* mm, the widest distance between slices where they are uneven, else 0 */
    int gap_after;    /* slice in front of it */
    double usual_gap; /* mm, what most are apart */

    const uint8_t *voxels; /* of the caller's bytes, or `owned` */
    uint8_t *owned;
    size_t held;           /* bytes in `owned` */
    size_t bytes;          /* of all voxels */
    size_t there;          /* of them, how many can be read by now */
    struct gunzip *zip;    /* where the rest comes from; NULL: from nowhere */
    struct series *series; /* the same of a zip: its slices come in any order */
    const atomic_bool *called_off;
};

/*
 * Recognises and opens a volume: NIfTI-1 and -2, plain or gzip; the zip of a DICOM series; a single
 * DICOM slice, which is seen as it is stored. `bytes` must outlive it. Every size is checked
 * against the bytes that are there before memory is taken. Errors, naming the field or the file in
 * the zip: ERR_BAD_NIFTI, ERR_BAD_DICOM, ERR_UNSUPPORTED, ERR_TOO_LARGE, ERR_MEMORY; ERR_CANCELLED
 * once it is called off.
 */
int volume_open(struct volume **out, const void *bytes, size_t length,
                const struct volume_limits *limits, struct error *err);
void volume_close(struct volume *volume); /* NULL is fine */

/* True where the bytes begin as a DICOM file does, with or without its preamble. */
bool volume_is_dicom(const void *bytes, size_t length);

/* Columns, rows and slices of the view. */
int volume_columns(const struct volume *volume);
int volume_rows(const struct volume *volume);
int volume_slices(const struct volume *volume);

/* What a slice's voxels turned out to be. */
struct voxel_range {
    float minimum, maximum;     /* HU, of the finite ones; 0 where there is none */
    int64_t finite, not_finite; /* NaN, infinite */
};

/*
 * Reads slice k into out (rows, columns), in HU; what is not finite becomes VOLUME_AIR. Errors:
 * ERR_ARGUMENT (no such slice), ERR_BAD_NIFTI, ERR_BAD_DICOM (compressed data damaged or cut
 * off), ERR_MEMORY, ERR_CANCELLED.
 */
int volume_read(float *out, struct voxel_range *range, struct volume *volume, int k,
                struct error *err);

/* Where a pixel lies among the voxels as stored. */
size_t volume_index(const struct volume *volume, int column, int row, int slice);

/*
 * World coordinates of a point of slice k: (0,0) is the top left corner of the top left pixel, and
 * the slice's plane runs through the centres of its voxels.
 */
void volume_to_world(double world[3], const struct volume *volume, double column, double row,
                     double slice);

/* Distances between neighbouring columns, rows and slices, in mm. */
void volume_spacing(double spacing[3], const struct volume *volume);

/* Size of a voxel in mm3, of a pixel in mm2. */
double volume_voxel_mm3(const struct volume *volume);
double volume_pixel_mm2(const struct volume *volume);

/* Where the storage axes point, such as "LPS": Right/Left, Anterior/Posterior, Superior/Inferior.
 */
void volume_orientation(char out[4], const struct volume *volume);

/* Degrees between the slices' plane and the axial one. */
double volume_tilt(const struct volume *volume);

/*
 * A label map on the volume's own grid as .nii.gz (malloc'ed): `labels` is one byte per voxel in
 * storage order. Of a NIfTI the header is kept but for what describes the values and for free
 * text: dimensions, affine, codes and units stay as they are, byte for byte. ERR_MEMORY.
 */
int volume_write_labels(uint8_t **out, size_t *length, const struct volume *volume,
                        const uint8_t *labels, struct error *err);

/* "int16" of a type, and its bits. */
const char *voxel_type_name(enum voxel_type type);
int voxel_bits(enum voxel_type type);

/* ---- for readers of one format ---- */

/* -1 once the volume is called off. To be asked between pieces of a few megabytes. */
int volume_wanted(const struct volume *volume, struct error *err);

/*
 * Finds the view from size and affine. -1 where the affine does not span three dimensions, or not
 * of any size that a body has: steps are a nanometre to a kilometre.
 */
int volume_place(struct volume *volume);

/* Bytes of all voxels; 0 where size or product are out of range. */
size_t volume_count_bytes(const int64_t size[3], enum voxel_type type);

#endif
