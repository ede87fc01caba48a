/*
 * NIfTI-1 and NIfTI-2 in one file, plain (.nii) or gzip (.nii.gz), either byte order.
 *
 * Read as the standard says (nifti1.h, nifti2.h): scl_slope 0 or NaN is no scaling; sform goes
 * before qform, and where neither is set pixdim alone gives distances and the axes are taken to
 * run right, front, head, which the standard leaves open. Lengths are turned into mm. One frame of
 * two or three dimensions is taken, of every integer and float type up to 64 bits. Headers are
 * refused, naming the field, rather than guessed at. Callers use model/data/volume.h.
 */
#ifndef ONESHOT_DATA_NIFTI_H
#define ONESHOT_DATA_NIFTI_H

#include "model/data/volume.h"

enum {
    NIFTI1_SIZE = 348, /* of the header in the file */
    NIFTI2_SIZE = 540,
    NIFTI_MAX_OFFSET = 64 * 1024 * 1024, /* of the voxels: room for extensions, which are skipped */
};

/* True where the bytes begin as a header of either version and byte order does. */
bool nifti_recognises(const void *bytes, size_t length);

/* Fills an empty volume. Errors as volume_open. */
int nifti_open(struct volume *volume, const void *bytes, size_t length,
               const struct volume_limits *limits, struct error *err);

/* See volume_write_labels. */
int nifti_write_labels(uint8_t **out, size_t *length, const struct volume *volume,
                       const uint8_t *labels, struct error *err);

/*
 * Writes voxels (little end first, in storage order) with a NIfTI-1 header of their size, type and
 * affine, in the sform. gzip or plain. ERR_ARGUMENT (a side beyond 32767), ERR_MEMORY.
 */
int nifti_write(uint8_t **out, size_t *length, const int size[3], enum voxel_type type,
                const double affine[3][4], const void *voxels, bool gzip, struct error *err);

/* ---- the layout, shared by reader and writer ---- */

/* Where a version keeps its fields; see the standard. */
struct nifti_layout {
    size_t size;
    const char *magic;
    size_t magic_at, magic_length;
    size_t dim, datatype, bitpix, pixdim, vox_offset, scl_slope, scl_inter, cal_max, cal_min;
    size_t descrip, aux_file, qform_code, sform_code, quatern, qoffset, srow;
    size_t intent_code, intent_name, xyzt_units;
    int dim_bytes, code_bytes, float_bytes; /* widths of dim; of codes; of floating point fields */
    int offset_bytes;                       /* of vox_offset, which NIfTI-1 keeps as a float */
};

extern const struct nifti_layout nifti_layouts[2]; /* NIfTI-1, NIfTI-2 */

#endif
