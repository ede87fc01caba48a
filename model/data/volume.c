#include "model/data/volume.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/dicom.h"
#include "model/data/gunzip.h"
#include "model/data/nifti.h"
#include "model/data/series.h"
#include "model/data/voxel.h"

int volume_open(struct volume **out, const void *bytes, size_t length,
                const struct volume_limits *limits, struct error *err)
{
    struct volume *volume = calloc(1, sizeof *volume);
    *out = NULL;
    if (!volume)
        return error_set(err, ERR_MEMORY, "no memory for a volume");
    volume->called_off = limits->called_off;
    /* DICOM first: its preamble may begin as any other file does. */
    int rc = dicom_recognises(bytes, length)    ? dicom_open(volume, bytes, length, limits, err)
             : series_recognises(bytes, length) ? series_open(volume, bytes, length, limits, err)
                                                : nifti_open(volume, bytes, length, limits, err);
    if (rc != 0) {
        volume_close(volume);
        return -1;
    }
    *out = volume;
    return 0;
}

void volume_close(struct volume *volume)
{
    if (!volume)
        return;
    gunzip_close(volume->zip);
    series_close(volume->series);
    free(volume->owned);
    free(volume);
}

bool volume_is_dicom(const void *bytes, size_t length)
{
    return dicom_recognises(bytes, length);
}

int volume_wanted(const struct volume *volume, struct error *err)
{
    if (!volume->called_off || !atomic_load(volume->called_off))
        return 0;
    return error_set(err, ERR_CANCELLED, "nobody waits for this volume any longer");
}

/* ---- sizes ---- */

size_t volume_count_bytes(const int64_t size[3], enum voxel_type type)
{
    size_t bytes = (size_t)voxel_bits(type) / 8;
    for (int i = 0; i < 3; i++) {
        if (size[i] < 1 || size[i] > INT32_MAX ||
            __builtin_mul_overflow(bytes, (size_t)size[i], &bytes) || bytes > PTRDIFF_MAX)
            return 0;
    }
    return bytes;
}

int volume_columns(const struct volume *volume)
{
    return volume->size[volume->column_axis];
}

int volume_rows(const struct volume *volume)
{
    return volume->size[volume->row_axis];
}

int volume_slices(const struct volume *volume)
{
    return volume->size[volume->slice_axis];
}

/* ---- geometry ---- */

static double column_length(const struct volume *volume, int axis)
{
    const double(*a)[4] = volume->affine;
    return sqrt(a[0][axis] * a[0][axis] + a[1][axis] * a[1][axis] + a[2][axis] * a[2][axis]);
}

static void cross(double out[3], const struct volume *volume, int i, int j)
{
    const double(*a)[4] = volume->affine;
    out[0] = a[1][i] * a[2][j] - a[2][i] * a[1][j];
    out[1] = a[2][i] * a[0][j] - a[0][i] * a[2][j];
    out[2] = a[0][i] * a[1][j] - a[1][i] * a[0][j];
}

static double length_of(const double v[3])
{
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

/*
 * Of the six ways to give the storage axes to x, y and z, the one that they point along best. The
 * first wins a tie, so that a volume turned by exactly 45 degrees is read the same way every time.
 */
int volume_place(struct volume *volume)
{
    static const int ways[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                   {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    double length[3], best = -1;
    const int *chosen = ways[0];
    for (int i = 0; i < 3; i++) {
        length[i] = column_length(volume, i);
        if (!(length[i] > 1e-6 && length[i] < 1e6) || !(fabs(volume->affine[i][3]) < 1e9))
            return -1;
    }
    double across = volume_voxel_mm3(volume) / (length[0] * length[1] * length[2]);
    if (!(across > 1e-3) || !isfinite(across)) /* the axes lie in one plane, nearly */
        return -1;
    for (int w = 0; w < 6; w++) {
        double sum = 0;
        for (int world = 0; world < 3; world++)
            sum += fabs(volume->affine[world][ways[w][world]]) / length[ways[w][world]];
        if (sum > best + 1e-9) {
            best = sum;
            chosen = ways[w];
        }
    }
    volume->column_axis = chosen[0];
    volume->row_axis = chosen[1];
    volume->slice_axis = chosen[2];
    /* Columns run to the patient's left, rows to the back: against x and y. */
    volume->column_flip = volume->affine[0][chosen[0]] > 0;
    volume->row_flip = volume->affine[1][chosen[1]] > 0;
    return 0;
}

void volume_to_world(double world[3], const struct volume *volume, double column, double row,
                     double slice)
{
    double index[3];
    index[volume->column_axis] =
        (volume->column_flip ? volume_columns(volume) - column : column) - 0.5;
    index[volume->row_axis] = (volume->row_flip ? volume_rows(volume) - row : row) - 0.5;
    index[volume->slice_axis] = slice;
    for (int i = 0; i < 3; i++) {
        const double *a = volume->affine[i];
        world[i] = a[0] * index[0] + a[1] * index[1] + a[2] * index[2] + a[3];
    }
}

void volume_spacing(double spacing[3], const struct volume *volume)
{
    spacing[0] = column_length(volume, volume->column_axis);
    spacing[1] = column_length(volume, volume->row_axis);
    spacing[2] = column_length(volume, volume->slice_axis);
}

double volume_voxel_mm3(const struct volume *volume)
{
    double normal[3];
    cross(normal, volume, 0, 1);
    const double(*a)[4] = volume->affine;
    return fabs(normal[0] * a[0][2] + normal[1] * a[1][2] + normal[2] * a[2][2]);
}

double volume_pixel_mm2(const struct volume *volume)
{
    double normal[3];
    cross(normal, volume, volume->column_axis, volume->row_axis);
    return length_of(normal);
}

double volume_tilt(const struct volume *volume)
{
    double normal[3];
    cross(normal, volume, volume->column_axis, volume->row_axis);
    double cosine = fabs(normal[2]) / length_of(normal);
    return acos(cosine < 1 ? cosine : 1) * 180 / M_PI;
}

void volume_orientation(char out[4], const struct volume *volume)
{
    const int axes[3] = {volume->column_axis, volume->row_axis, volume->slice_axis};
    for (int world = 0; world < 3; world++)
        out[axes[world]] = (volume->affine[world][axes[world]] > 0 ? "RAS" : "LPI")[world];
    out[3] = 0;
}

/* ---- voxels ---- */

/* Voxels between neighbours along a storage axis. */
static size_t stride(const struct volume *volume, int axis)
{
    size_t n = 1;
    for (int i = 0; i < axis; i++)
        n *= (size_t)volume->size[i];
    return n;
}

size_t volume_index(const struct volume *volume, int column, int row, int slice)
{
    if (volume->column_flip)
        column = volume_columns(volume) - 1 - column;
    if (volume->row_flip)
        row = volume_rows(volume) - 1 - row;
    return (size_t)column * stride(volume, volume->column_axis) +
           (size_t)row * stride(volume, volume->row_axis) +
           (size_t)slice * stride(volume, volume->slice_axis);
}

/* Inflates until the first `needed` bytes of voxels are there; with the last comes the end. */
static int bring(struct volume *volume, size_t needed, struct error *err)
{
    enum { PIECE = 4 << 20 };
    if (needed <= volume->there)
        return 0;
    size_t got = 1;
    while (got > 0 && volume->there < needed) {
        size_t left = needed - volume->there;
        if (volume_wanted(volume, err) != 0 ||
            gunzip_read(volume->owned + volume->there, &got, left < PIECE ? left : PIECE,
                        volume->zip, err) != 0)
            return -1;
        volume->there += got;
    }
    if (volume->there < needed)
        return error_set(err, ERR_BAD_NIFTI,
                         "the compressed data end %zu bytes before the last voxel: the file was "
                         "cut off, or dim is wrong",
                         volume->bytes - volume->there);
    return volume->there == volume->bytes ? gunzip_end(volume->zip, err) : 0;
}

int volume_read(float *out, struct voxel_range *range, struct volume *volume, int k,
                struct error *err)
{
    int columns = volume_columns(volume), rows = volume_rows(volume);
    *range = (struct voxel_range){0};
    if (k < 0 || k >= volume_slices(volume))
        return error_set(err, ERR_ARGUMENT, "there is no slice %d: the volume has %d", k,
                         volume_slices(volume));
    size_t width = (size_t)voxel_bits(volume->type) / 8, before = 0;
    if (volume->series && series_bring(&before, volume, k, err) != 0)
        return -1;
    /* Of the storage order's last axis, everything before the slice's end; else everything. */
    size_t needed =
        volume->slice_axis == 2 ? width * stride(volume, 2) * ((size_t)k + 1) : volume->bytes;
    if (!volume->series && bring(volume, needed, err) != 0)
        return -1;
    ptrdiff_t step = (ptrdiff_t)(width * stride(volume, volume->column_axis));
    for (int row = 0; row < rows; row++)
        voxels_read(out + (size_t)row * (size_t)columns, columns,
                    volume->voxels + (width * volume_index(volume, 0, row, k) - before),
                    volume->column_flip ? -step : step, volume, range);
    return 0;
}

int volume_write_labels(uint8_t **out, size_t *length, const struct volume *volume,
                        const uint8_t *labels, struct error *err)
{
    return nifti_write_labels(out, length, volume, labels, err);
}
