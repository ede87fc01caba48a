#include "model/data/nifti.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/gunzip.h"

const struct nifti_layout nifti_layouts[2] = {
    {.size = NIFTI1_SIZE,
     .magic = "n+1",
     .magic_at = 344,
     .magic_length = 4,
     .dim = 40,
     .datatype = 70,
     .bitpix = 72,
     .pixdim = 76,
     .vox_offset = 108,
     .scl_slope = 112,
     .scl_inter = 116,
     .cal_max = 124,
     .cal_min = 128,
     .descrip = 148,
     .aux_file = 228,
     .qform_code = 252,
     .sform_code = 254,
     .quatern = 256,
     .qoffset = 268,
     .srow = 280,
     .intent_code = 68,
     .intent_name = 328,
     .xyzt_units = 123,
     .dim_bytes = 2,
     .code_bytes = 2,
     .float_bytes = 4,
     .offset_bytes = 4},
    {.size = NIFTI2_SIZE,
     .magic = "n+2\0\r\n\032\n",
     .magic_at = 4,
     .magic_length = 8,
     .dim = 16,
     .datatype = 12,
     .bitpix = 14,
     .pixdim = 104,
     .vox_offset = 168,
     .scl_slope = 176,
     .scl_inter = 184,
     .cal_max = 192,
     .cal_min = 200,
     .descrip = 240,
     .aux_file = 320,
     .qform_code = 344,
     .sform_code = 348,
     .quatern = 352,
     .qoffset = 376,
     .srow = 400,
     .intent_code = 504,
     .intent_name = 508,
     .xyzt_units = 500,
     .dim_bytes = 8,
     .code_bytes = 4,
     .float_bytes = 8,
     .offset_bytes = 8},
};

/* ---- fields ---- */

struct header {
    const uint8_t *bytes;
    const struct nifti_layout *at;
    bool swapped;
};

static uint64_t word(const struct header *h, size_t at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)h->bytes[at + (size_t)(h->swapped ? bytes - 1 - i : i)] << (8 * i);
    return value;
}

static int64_t whole(const struct header *h, size_t at, int bytes)
{
    int unused = 64 - 8 * bytes;
    return (int64_t)(word(h, at, bytes) << unused) >> unused;
}

static double real(const struct header *h, size_t at)
{
    uint64_t bits = word(h, at, h->at->float_bytes);
    if (h->at->float_bytes == 8) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    uint32_t half = (uint32_t)bits;
    float value;
    memcpy(&value, &half, sizeof value);
    return (double)value;
}

/* Element i of a row of floating point fields. */
static double real_of(const struct header *h, size_t at, int i)
{
    return real(h, at + (size_t)(i * h->at->float_bytes));
}

static int code(const struct header *h, size_t at)
{
    return (int)whole(h, at, h->at->code_bytes);
}

/* ---- which header it is ---- */

/* sizeof_hdr comes first and tells version and byte order. NULL: neither. */
static const struct nifti_layout *layout_of(bool *swapped, const uint8_t *bytes)
{
    for (int version = 0; version < 2; version++)
        for (int turned = 0; turned < 2; turned++) {
            struct header h = {bytes, &nifti_layouts[version], turned};
            *swapped = turned;
            if (word(&h, 0, 4) == h.at->size)
                return h.at;
        }
    return NULL;
}

bool nifti_recognises(const void *bytes, size_t length)
{
    bool swapped;
    return length >= 4 && layout_of(&swapped, bytes) != NULL;
}

static int check_magic(const struct header *h, struct error *err)
{
    const uint8_t *magic = h->bytes + h->at->magic_at;
    if (memcmp(magic, h->at->magic, h->at->magic_length) == 0)
        return 0;
    if (memcmp(magic, "ni1", 4) == 0 || memcmp(magic, "ni2", 4) == 0)
        return error_set(err, ERR_UNSUPPORTED,
                         "magic says that header and voxels are in two files (.hdr and .img); join "
                         "them to one .nii");
    return error_set(err, ERR_BAD_NIFTI,
                     "magic is not \"n+%c\": no NIfTI, an Analyze 7.5 header, or damaged",
                     h->at == &nifti_layouts[0] ? '1' : '2');
}

/* ---- voxels ---- */

static int read_dim(int64_t size[3], const struct header *h, struct error *err)
{
    int64_t dim[8];
    for (int i = 0; i < 8; i++)
        dim[i] = whole(h, h->at->dim + (size_t)(i * h->at->dim_bytes), h->at->dim_bytes);
    if (dim[0] < 2 || dim[0] > 7)
        return error_set(err, ERR_BAD_NIFTI,
                         "dim[0] is %lld: there are 2 or 3 dimensions, or more of size 1",
                         (long long)dim[0]);
    for (int i = 1; i < 8; i++) {
        if (i > dim[0])
            dim[i] = 1;
        if (dim[i] < 1 || dim[i] > INT32_MAX)
            return error_set(err, ERR_BAD_NIFTI, "dim[%d] is %lld, no number of voxels", i,
                             (long long)dim[i]);
        if (i > 3 && dim[i] > 1)
            return error_set(err, ERR_BAD_NIFTI,
                             "dim[%d] is %lld: of several frames send one, as a volume of its own",
                             i, (long long)dim[i]);
        if (i <= 3)
            size[i - 1] = dim[i];
    }
    return 0;
}

static const struct {
    int code;
    enum voxel_type type;
} datatypes[] = {
    {2, VOXEL_U8},  {256, VOXEL_I8},   {512, VOXEL_U16},  {4, VOXEL_I16},  {768, VOXEL_U32},
    {8, VOXEL_I32}, {1280, VOXEL_U64}, {1024, VOXEL_I64}, {16, VOXEL_F32}, {64, VOXEL_F64},
};

static int read_type(enum voxel_type *out, const struct header *h, struct error *err)
{
    int datatype = (int)whole(h, h->at->datatype, 2), bitpix = (int)whole(h, h->at->bitpix, 2);
    for (size_t i = 0; i < sizeof datatypes / sizeof *datatypes; i++) {
        if (datatypes[i].code != datatype)
            continue;
        *out = datatypes[i].type;
        if (bitpix == voxel_bits(*out))
            return 0;
        return error_set(err, ERR_BAD_NIFTI, "bitpix is %d, but datatype %d (%s) has %d bits",
                         bitpix, datatype, voxel_type_name(*out), voxel_bits(*out));
    }
    return error_set(err, ERR_BAD_NIFTI,
                     "datatype is %d, which is no integer or float of up to 64 bits; a CT has one "
                     "such number per voxel",
                     datatype);
}

static int read_offset(size_t *out, const struct header *h, struct error *err)
{
    size_t least = h->at->size + 4; /* four bytes say whether extensions follow */
    double offset = h->at->offset_bytes == 8 ? (double)whole(h, h->at->vox_offset, 8)
                                             : real(h, h->at->vox_offset);
    if (offset == 0) /* some writers mean: right behind the header */
        offset = (double)least;
    if (!(offset >= (double)least && offset <= NIFTI_MAX_OFFSET) || offset != floor(offset))
        return error_set(err, ERR_BAD_NIFTI,
                         "vox_offset is %g; it is a whole number from %zu to %d", offset, least,
                         NIFTI_MAX_OFFSET);
    *out = (size_t)offset;
    return 0;
}

static int read_scaling(struct volume *volume, const struct header *h, struct error *err)
{
    double slope = real(h, h->at->scl_slope), inter = real(h, h->at->scl_inter);
    volume->slope = 1;
    volume->inter = 0;
    if (slope == 0 || isnan(slope))
        return 0;
    if (isinf(slope))
        return error_set(err, ERR_BAD_NIFTI, "scl_slope is infinite");
    if (!isfinite(inter))
        return error_set(err, ERR_BAD_NIFTI, "scl_inter is not a number, with a scl_slope of %g",
                         slope);
    volume->slope = slope;
    volume->inter = inter;
    return 0;
}

/* ---- affine ---- */

static int read_sform(struct volume *volume, const struct header *h, struct error *err)
{
    for (int i = 0; i < 12; i++) {
        double value = real_of(h, h->at->srow, i);
        if (!isfinite(value))
            return error_set(err, ERR_BAD_NIFTI, "srow_%c[%d] is not a number", "xyz"[i / 4],
                             i % 4);
        volume->affine[i / 4][i % 4] = value;
    }
    volume->placed_by = "sform";
    return 0;
}

/* pixdim[1..3] as distances: a negative one counts as written, without its sign. */
static int read_pixdim(double out[3], const struct volume *volume, const struct header *h,
                       struct error *err)
{
    for (int i = 0; i < 3; i++) {
        double value = fabs(real_of(h, h->at->pixdim, i + 1));
        if (value == 0 && volume->size[i] == 1)
            value = 1; /* there is no neighbour to be distant from */
        if (!isfinite(value) || value == 0)
            return error_set(err, ERR_BAD_NIFTI, "pixdim[%d] is %g, no distance between voxels",
                             i + 1, real_of(h, h->at->pixdim, i + 1));
        out[i] = value;
    }
    return 0;
}

/* Method 2 of the standard: the quaternion (a,b,c,d), a from the others. */
static int read_qform(struct volume *volume, const struct header *h, struct error *err)
{
    double q[3], offset[3], pixdim[3];
    for (int i = 0; i < 3; i++) {
        q[i] = real_of(h, h->at->quatern, i);
        offset[i] = real_of(h, h->at->qoffset, i);
        if (!isfinite(q[i]) || fabs(q[i]) > 1.001)
            return error_set(err, ERR_BAD_NIFTI, "quatern_%c is %g; it is from -1 to 1", "bcd"[i],
                             q[i]);
        if (!isfinite(offset[i]))
            return error_set(err, ERR_BAD_NIFTI, "qoffset_%c is not a number", "xyz"[i]);
    }
    if (read_pixdim(pixdim, volume, h, err) != 0)
        return -1;
    double b = q[0], c = q[1], d = q[2], a = 1 - (b * b + c * c + d * d);
    if (a < -0.003)
        return error_set(err, ERR_BAD_NIFTI,
                         "quatern_b, quatern_c and quatern_d are longer than 1 together");
    if (a < 1e-7) { /* half a turn, written with rounding */
        double scale = 1 / sqrt(b * b + c * c + d * d);
        b *= scale;
        c *= scale;
        d *= scale;
        a = 0;
    } else {
        a = sqrt(a);
    }
    /* qfac: the third axis is mirrored. */
    double last = real_of(h, h->at->pixdim, 0) < 0 ? -pixdim[2] : pixdim[2];
    const double r[3][3] = {
        {a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)},
        {2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)},
        {2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c},
    };
    for (int i = 0; i < 3; i++) {
        volume->affine[i][0] = r[i][0] * pixdim[0];
        volume->affine[i][1] = r[i][1] * pixdim[1];
        volume->affine[i][2] = r[i][2] * last;
        volume->affine[i][3] = offset[i];
    }
    volume->placed_by = "qform";
    return 0;
}

/* Method 1: distances only. */
static int read_distances(struct volume *volume, const struct header *h, struct error *err)
{
    double pixdim[3];
    if (read_pixdim(pixdim, volume, h, err) != 0)
        return -1;
    for (int i = 0; i < 3; i++)
        volume->affine[i][i] = pixdim[i];
    volume->placed_by = "pixdim";
    return 0;
}

/* The lengths' unit in mm: of the low three bits of xyzt_units; not said is mm. */
static double unit(const struct header *h)
{
    int units = h->at->code_bytes == 4 ? code(h, h->at->xyzt_units) : h->bytes[h->at->xyzt_units];
    switch (units & 7) {
    case 1:
        return 1000;
    case 3:
        return 0.001;
    default:
        return 1;
    }
}

static int read_affine(struct volume *volume, const struct header *h, struct error *err)
{
    int sform = code(h, h->at->sform_code), qform = code(h, h->at->qform_code);
    int rc = sform > 0   ? read_sform(volume, h, err)
             : qform > 0 ? read_qform(volume, h, err)
                         : read_distances(volume, h, err);
    if (rc != 0)
        return -1;
    double scale = unit(h);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++)
            volume->affine[i][k] *= scale;
    if (volume_place(volume) != 0)
        return error_set(err, ERR_BAD_NIFTI,
                         "%s do not span three dimensions of a size that a body has",
                         strcmp(volume->placed_by, "sform") == 0 ? "srow_x, srow_y and srow_z"
                                                                 : "pixdim[1..3] and qoffset");
    return 0;
}

/* ---- the whole ---- */

static int read_header(struct volume *volume, size_t *offset, const uint8_t *bytes, size_t length,
                       struct error *err)
{
    struct header h = {bytes, NULL, false};
    int64_t size[3];
    if (length < 4 || !(h.at = layout_of(&h.swapped, bytes)))
        return error_set(err, ERR_BAD_NIFTI, "sizeof_hdr is neither 348 nor 540: no NIfTI");
    if (length < h.at->size)
        return error_set(err, ERR_BAD_NIFTI, "the header ends after %zu of %zu bytes", length,
                         h.at->size);
    volume->kind = h.at == &nifti_layouts[0] ? "nifti-1" : "nifti-2";
    volume->swapped = h.swapped;
    volume->header_size = h.at->size;
    memcpy(volume->header, bytes, h.at->size);
    if (check_magic(&h, err) != 0 || read_dim(size, &h, err) != 0 ||
        read_type(&volume->type, &h, err) != 0 || read_offset(offset, &h, err) != 0)
        return -1;
    volume->bytes = volume_count_bytes(size, volume->type);
    if (volume->bytes == 0)
        return error_set(err, ERR_BAD_NIFTI,
                         "dim[1..3] are %lld x %lld x %lld voxels, more than any memory holds",
                         (long long)size[0], (long long)size[1], (long long)size[2]);
    for (int i = 0; i < 3; i++)
        volume->size[i] = (int)size[i];
    if (read_scaling(volume, &h, err) != 0)
        return -1;
    return read_affine(volume, &h, err);
}

static int open_plain(struct volume *volume, const uint8_t *bytes, size_t length, struct error *err)
{
    size_t offset;
    if (read_header(volume, &offset, bytes, length, err) != 0)
        return -1;
    if (offset > length)
        return error_set(err, ERR_BAD_NIFTI, "vox_offset is %zu, but the file has %zu bytes",
                         offset, length);
    if (length - offset != volume->bytes)
        return error_set(err, ERR_BAD_NIFTI,
                         "dim and datatype say %d x %d x %d voxels of %s, which are %zu bytes, but "
                         "%zu follow vox_offset",
                         volume->size[0], volume->size[1], volume->size[2],
                         voxel_type_name(volume->type), volume->bytes, length - offset);
    volume->voxels = bytes + offset;
    volume->there = volume->bytes;
    return 0;
}

/* What the header asks for, against what so many compressed bytes can and may become. */
static int check_inflated(const struct volume *volume, size_t offset, size_t length,
                          const struct volume_limits *limits, struct error *err)
{
    size_t whole_size = volume->bytes + offset; /* both far below SIZE_MAX */
    if (whole_size / GUNZIP_MAX_RATIO > length)
        return error_set(err, ERR_BAD_NIFTI,
                         "dim and datatype say %d x %d x %d voxels of %s, which %zu bytes of gzip "
                         "cannot hold",
                         volume->size[0], volume->size[1], volume->size[2],
                         voxel_type_name(volume->type), length);
    if (whole_size / (size_t)limits->max_ratio > length)
        return error_set(err, ERR_TOO_LARGE,
                         "%zu bytes of gzip would become %zu, more than %d times as many", length,
                         whole_size, limits->max_ratio);
    if (volume->bytes > limits->max_bytes)
        return error_set(err, ERR_TOO_LARGE, "the voxels are %zu bytes, more than the %zu allowed",
                         volume->bytes, limits->max_bytes);
    return 0;
}

/* Passes over extensions. */
static int skip(struct gunzip *zip, size_t count, struct error *err)
{
    uint8_t waste[4096];
    while (count > 0) {
        size_t piece = count < sizeof waste ? count : sizeof waste, got;
        if (gunzip_read(waste, &got, piece, zip, err) != 0)
            return -1;
        if (got < piece)
            return error_set(err, ERR_BAD_NIFTI, "vox_offset lies beyond the end of the file");
        count -= piece;
    }
    return 0;
}

static int open_gzip(struct volume *volume, const uint8_t *bytes, size_t length,
                     const struct volume_limits *limits, struct error *err)
{
    uint8_t header[NIFTI2_SIZE];
    size_t got, more = 0, offset;
    if (gunzip_open(&volume->zip, bytes, length, err) != 0 ||
        gunzip_read(header, &got, NIFTI1_SIZE, volume->zip, err) != 0)
        return -1;
    bool swapped;
    const struct nifti_layout *layout = got >= 4 ? layout_of(&swapped, header) : NULL;
    if (layout && layout->size > got &&
        gunzip_read(header + got, &more, layout->size - got, volume->zip, err) != 0)
        return -1;
    if (!layout)
        return error_set(err, ERR_UNSUPPORTED, "the gzip data hold no NIfTI");
    if (read_header(volume, &offset, header, got + more, err) != 0 ||
        check_inflated(volume, offset, length, limits, err) != 0 ||
        skip(volume->zip, offset - volume->header_size, err) != 0)
        return -1;
    volume->owned = malloc(volume->bytes);
    if (!volume->owned)
        return error_set(err, ERR_MEMORY, "no memory for the volume's %zu bytes", volume->bytes);
    volume->held = volume->bytes;
    volume->voxels = volume->owned;
    return 0;
}

int nifti_open(struct volume *volume, const void *bytes, size_t length,
               const struct volume_limits *limits, struct error *err)
{
    return gunzip_recognises(bytes, length) ? open_gzip(volume, bytes, length, limits, err)
                                            : open_plain(volume, bytes, length, err);
}
