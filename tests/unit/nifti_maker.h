/*
 * NIfTI files byte by byte, for tests: both versions, both byte orders, every type, and fields
 * that can be spoilt. Written from the standard's tables, not with the code under test.
 */
#ifndef ONESHOT_TESTS_NIFTI_MAKER_H
#define ONESHOT_TESTS_NIFTI_MAKER_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct nifti_maker {
    int version; /* 1 or 2 */
    bool big;    /* big end first */
    int dim[8];
    int datatype, bitpix;
    double pixdim[4], slope, inter;
    int qform, sform, units;
    double quatern[3], qoffset[3], srow[3][4];
    int offset; /* of the voxels; 0: right behind the header */
};

/* A volume of int16 that lies as CT scanners write it: columns to the left, rows to the back. */
static inline struct nifti_maker nifti_default(int columns, int rows, int slices)
{
    return (struct nifti_maker){
        .version = 1,
        .dim = {3, columns, rows, slices, 1, 1, 1, 1},
        .datatype = 4,
        .bitpix = 16,
        .pixdim = {1, 0.75, 0.75, 5},
        .sform = 1,
        .units = 2,
        .srow = {{-0.75, 0, 0, 100}, {0, -0.75, 0, 80}, {0, 0, 5, -300}},
    };
}

static inline void nifti_put(const struct nifti_maker *m, uint8_t *at, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (m->big ? bytes - 1 - i : i)));
}

static inline void nifti_put_real(const struct nifti_maker *m, uint8_t *at, int bytes, double value)
{
    uint64_t bits = 0;
    float narrow = (float)value;
    if (bytes == 8)
        memcpy(&bits, &value, 8);
    else
        memcpy(&bits, &narrow, 4); /* the host is little end first, as x86-64 is */
    nifti_put(m, at, bytes, bits);
}

static inline int nifti_header_size(const struct nifti_maker *m)
{
    return m->version == 1 ? 348 : 540;
}

static inline int nifti_offset(const struct nifti_maker *m)
{
    return m->offset ? m->offset : nifti_header_size(m) + 4;
}

static inline void nifti_header(const struct nifti_maker *m, uint8_t *h)
{
    bool one = m->version == 1;
    int f = one ? 4 : 8, c = one ? 2 : 4, d = one ? 2 : 8;
    memset(h, 0, (size_t)nifti_offset(m));
    nifti_put(m, h, 4, (uint64_t)nifti_header_size(m));
    memcpy(h + (one ? 344 : 4), one ? "n+1" : "n+2\0\r\n\032\n", one ? 4 : 8);
    for (int i = 0; i < 8; i++)
        nifti_put(m, h + (one ? 40 : 16) + i * d, d, (uint64_t)m->dim[i]);
    nifti_put(m, h + (one ? 70 : 12), 2, (uint64_t)m->datatype);
    nifti_put(m, h + (one ? 72 : 14), 2, (uint64_t)m->bitpix);
    for (int i = 0; i < 4; i++)
        nifti_put_real(m, h + (one ? 76 : 104) + i * f, f, m->pixdim[i]);
    if (one)
        nifti_put_real(m, h + 108, 4, nifti_offset(m));
    else
        nifti_put(m, h + 168, 8, (uint64_t)nifti_offset(m));
    nifti_put_real(m, h + (one ? 112 : 176), f, m->slope);
    nifti_put_real(m, h + (one ? 116 : 184), f, m->inter);
    memcpy(h + (one ? 148 : 240), "Doe^John", 8); /* descrip: must not come back */
    nifti_put(m, h + (one ? 252 : 344), c, (uint64_t)m->qform);
    nifti_put(m, h + (one ? 254 : 348), c, (uint64_t)m->sform);
    for (int i = 0; i < 3; i++) {
        nifti_put_real(m, h + (one ? 256 : 352) + i * f, f, m->quatern[i]);
        nifti_put_real(m, h + (one ? 268 : 376) + i * f, f, m->qoffset[i]);
        for (int k = 0; k < 4; k++)
            nifti_put_real(m, h + (one ? 280 : 400) + (4 * i + k) * f, f, m->srow[i][k]);
    }
    if (one)
        h[123] = (uint8_t)m->units;
    else
        nifti_put(m, h + 500, 4, (uint64_t)m->units);
}

/* One voxel of the maker's type. */
static inline void nifti_voxel(const struct nifti_maker *m, uint8_t *at, double value)
{
    int bytes = m->bitpix / 8;
    if (m->datatype == 16 || m->datatype == 64)
        nifti_put_real(m, at, bytes, value);
    else
        nifti_put(m, at, bytes, (uint64_t)(int64_t)value);
}

/* A whole file; voxel (i,j,k) is value(i,j,k). The caller frees. */
static inline uint8_t *nifti_file(size_t *length, const struct nifti_maker *m,
                                  double (*value)(int i, int j, int k))
{
    int bytes = m->bitpix / 8;
    size_t at = (size_t)nifti_offset(m);
    int frames = m->dim[0] >= 4 && m->dim[4] > 1 ? m->dim[4] : 1;
    int nz = m->dim[0] >= 3 ? m->dim[3] : 1;
    *length =
        at + (size_t)frames * (size_t)m->dim[1] * (size_t)m->dim[2] * (size_t)nz * (size_t)bytes;
    uint8_t *file = calloc(1, *length + 1);
    nifti_header(m, file);
    for (int k = 0; k < nz; k++)
        for (int j = 0; j < m->dim[2]; j++)
            for (int i = 0; i < m->dim[1]; i++, at += (size_t)bytes)
                nifti_voxel(m, file + at, value(i, j, k));
    return file;
}

/* The same through gzip; frees nothing. */
static inline uint8_t *gzip_bytes(size_t *length, const uint8_t *bytes, size_t count)
{
    z_stream z = {0};
    size_t room = compressBound(count) + 64;
    uint8_t *out = malloc(room);
    deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)count;
    z.next_out = out;
    z.avail_out = (uInt)room;
    deflate(&z, Z_FINISH);
    *length = room - z.avail_out;
    deflateEnd(&z);
    return out;
}

#endif
