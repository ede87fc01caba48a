/* NIfTI out: label maps on the grid of a volume that was read, and volumes of our own. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/base/buffer.h"
#include "model/data/nifti.h"

enum {
    EXTENDER = 4, /* bytes behind the header: no extensions */
    INTENT_LABEL = 1002,
    SCANNER_ANATOMICAL = 1,
    UNIT_MM = 2,
    GZIP_FORMAT = 16,
    LEVEL = 4, /* of compression: label maps become small at any */
};

static const char description[] = "OneShot CT: 1 lungs, 2 GGO, 3 consolidation";

/* ---- fields ---- */

static void put(uint8_t *header, size_t at, int bytes, uint64_t value, bool swapped)
{
    for (int i = 0; i < bytes; i++)
        header[at + (size_t)(swapped ? bytes - 1 - i : i)] = (uint8_t)(value >> (8 * i));
}

static void put_real(uint8_t *header, size_t at, int bytes, double value, bool swapped)
{
    uint64_t bits;
    if (bytes == 8) {
        memcpy(&bits, &value, sizeof bits);
    } else {
        float narrow = (float)value;
        uint32_t half;
        memcpy(&half, &narrow, sizeof half);
        bits = half;
    }
    put(header, at, bytes, bits, swapped);
}

static int datatype_of(enum voxel_type type)
{
    static const int codes[VOXEL_TYPES] = {
        [VOXEL_U8] = 2,    [VOXEL_I8] = 256, [VOXEL_U16] = 512,  [VOXEL_I16] = 4,
        [VOXEL_U32] = 768, [VOXEL_I32] = 8,  [VOXEL_U64] = 1280, [VOXEL_I64] = 1024,
        [VOXEL_F32] = 16,  [VOXEL_F64] = 64,
    };
    return codes[type];
}

static void describe_voxels(uint8_t *header, const struct nifti_layout *at, enum voxel_type type,
                            bool swapped)
{
    put(header, at->datatype, 2, (uint64_t)datatype_of(type), swapped);
    put(header, at->bitpix, 2, (uint64_t)voxel_bits(type), swapped);
    put_real(header, at->scl_slope, at->float_bytes, 1, swapped);
    put_real(header, at->scl_inter, at->float_bytes, 0, swapped);
    put_real(header, at->cal_max, at->float_bytes, 0, swapped);
    put_real(header, at->cal_min, at->float_bytes, 0, swapped);
    if (at->offset_bytes == 8)
        put(header, at->vox_offset, 8, at->size + EXTENDER, swapped);
    else
        put_real(header, at->vox_offset, 4, (double)(at->size + EXTENDER), swapped);
}

static void make_header(uint8_t *header, const int size[3], enum voxel_type type,
                        const double affine[3][4])
{
    const struct nifti_layout *at = &nifti_layouts[0];
    memset(header, 0, at->size);
    put(header, 0, 4, at->size, false);
    memcpy(header + at->magic_at, at->magic, at->magic_length);
    put(header, at->dim, 2, 3, false);
    for (int i = 0; i < 7; i++)
        put(header, at->dim + 2 + 2 * (size_t)i, 2, i < 3 ? (uint64_t)size[i] : 1, false);
    describe_voxels(header, at, type, false);
    put_real(header, at->pixdim, 4, 1, false);
    for (int i = 0; i < 3; i++) {
        struct volume alone = {.column_axis = i};
        double spacing[3];
        memcpy(alone.affine, affine, sizeof alone.affine);
        volume_spacing(spacing, &alone);
        put_real(header, at->pixdim + 4 + 4 * (size_t)i, 4, spacing[0], false);
        for (int k = 0; k < 4; k++)
            put_real(header, at->srow + 4 * (size_t)(4 * i + k), 4, affine[i][k], false);
    }
    put(header, at->sform_code, 2, SCANNER_ANATOMICAL, false);
    header[at->xyzt_units] = UNIT_MM;
}

/* ---- the file ---- */

static int deflate_piece(struct buffer *out, z_stream *z, const uint8_t *bytes, size_t length,
                         bool last, struct error *err)
{
    enum { PIECE = 1 << 16, MOST = 1 << 30 };
    do {
        size_t given = length < MOST ? length : MOST;
        z->next_in = (Bytef *)(uintptr_t)bytes;
        z->avail_in = (uInt)given;
        bytes += given;
        length -= given;
        int flush = last && length == 0 ? Z_FINISH : Z_NO_FLUSH, status;
        do {
            if (buffer_reserve(out, PIECE, err) != 0)
                return -1;
            z->next_out = out->bytes + out->length;
            z->avail_out = PIECE;
            status = deflate(z, flush);
            out->length += PIECE - z->avail_out;
        } while (z->avail_out == 0);
        if (status == Z_STREAM_ERROR)
            return error_set(err, ERR_INTERNAL, "compressing failed");
    } while (length > 0);
    return 0;
}

static int write_gzip(struct buffer *out, const uint8_t *head, size_t head_length,
                      const uint8_t *voxels, size_t length, struct error *err)
{
    z_stream z = {0};
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_FORMAT + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return error_set(err, ERR_MEMORY, "no memory for compressing");
    int rc = 0;
    TRY(deflate_piece(out, &z, head, head_length, false, err));
    TRY(deflate_piece(out, &z, voxels, length, true, err));
done:
    deflateEnd(&z);
    return rc;
}

/* Header, four bytes that announce no extensions, voxels. */
static int write_file(uint8_t **out, size_t *length, const uint8_t *header, size_t header_size,
                      const uint8_t *voxels, size_t bytes, bool gzip, struct error *err)
{
    uint8_t head[VOLUME_HEADER_SIZE + EXTENDER] = {0};
    struct buffer file;
    int rc = 0;
    memcpy(head, header, header_size);
    buffer_init(&file, SIZE_MAX / 2);
    if (gzip) {
        TRY(write_gzip(&file, head, header_size + EXTENDER, voxels, bytes, err));
    } else {
        TRY(buffer_reserve(&file, header_size + EXTENDER + bytes, err));
        TRY(buffer_append(&file, head, header_size + EXTENDER, err));
        TRY(buffer_append(&file, voxels, bytes, err));
    }
    *out = buffer_take(&file, length);
done:
    buffer_free(&file);
    return rc;
}

int nifti_write(uint8_t **out, size_t *length, const int size[3], enum voxel_type type,
                const double affine[3][4], const void *voxels, bool gzip, struct error *err)
{
    uint8_t header[NIFTI1_SIZE];
    int64_t wide[3] = {size[0], size[1], size[2]};
    size_t bytes = volume_count_bytes(wide, type);
    for (int i = 0; i < 3; i++)
        if (size[i] > INT16_MAX)
            bytes = 0;
    if (bytes == 0)
        return error_set(err, ERR_ARGUMENT, "NIfTI-1 does not hold %d x %d x %d voxels", size[0],
                         size[1], size[2]);
    make_header(header, size, type, affine);
    return write_file(out, length, header, sizeof header, voxels, bytes, gzip, err);
}

int nifti_write_labels(uint8_t **out, size_t *length, const struct volume *volume,
                       const uint8_t *labels, struct error *err)
{
    uint8_t header[VOLUME_HEADER_SIZE];
    size_t count = (size_t)volume->size[0] * (size_t)volume->size[1] * (size_t)volume->size[2];
    if (volume->header_size == 0)
        return nifti_write(out, length, volume->size, VOXEL_U8, volume->affine, labels, true, err);
    bool second = volume->header_size == NIFTI2_SIZE, swapped = volume->swapped;
    const struct nifti_layout *at = &nifti_layouts[second];
    memcpy(header, volume->header, volume->header_size);
    describe_voxels(header, at, VOXEL_U8, swapped);
    put(header, at->intent_code, at->code_bytes, INTENT_LABEL, swapped);
    /* Free text may name the patient. */
    memset(header + at->descrip, 0, 80);
    memcpy(header + at->descrip, description, sizeof description);
    memset(header + at->aux_file, 0, 24);
    memset(header + at->intent_name, 0, 16);
    if (!second)
        memset(header + 4, 0, 34); /* data_type, db_name, extents, session_error */
    return write_file(out, length, header, volume->header_size, labels, count, true, err);
}
