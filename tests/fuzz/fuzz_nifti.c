/*
 * Fuzz target: NIfTI volumes, plain and compressed. Whatever the bytes are: no fault, an error with
 * a text, or slices of finite numbers and a label map that is read back.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/data/dicom.h"
#include "model/data/series.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { MAX_BYTES = 1 << 18 };

static void check(int holds)
{
    if (!holds)
        abort();
}

static void check_labels(const struct volume *volume, size_t count)
{
    uint8_t *labels = calloc(1, count), *map;
    size_t length;
    struct volume *back;
    check(labels != NULL);
    labels[count - 1] = 3;
    check(volume_write_labels(&map, &length, volume, labels, NULL) == 0);
    check(volume_open(&back, map, length, &(struct volume_limits){MAX_BYTES, 1032, NULL}, NULL) ==
          0);
    check(memcmp(back->affine, volume->affine, sizeof back->affine) == 0);
    check(memcmp(back->size, volume->size, sizeof back->size) == 0);
    volume_close(back);
    free(map);
    free(labels);
}

static void check_slices(struct volume *volume)
{
    size_t pixels = (size_t)volume_columns(volume) * (size_t)volume_rows(volume);
    size_t count = pixels * (size_t)volume_slices(volume);
    struct voxel_range range;
    struct error err = {ERR_NONE, ""};
    char codes[4];
    check(count > 0 && count <= MAX_BYTES);
    float *out = malloc(pixels * sizeof *out);
    check(out != NULL);
    volume_orientation(codes, volume);
    check(strlen(codes) == 3 && volume_voxel_mm3(volume) > 0 && volume_tilt(volume) >= 0);
    for (int k = 0; k < volume_slices(volume) && k < 64; k++) {
        if (volume_read(out, &range, volume, k, &err) != 0) {
            check(err.code == ERR_BAD_NIFTI && err.text[0]);
            break;
        }
        check(range.finite + range.not_finite == (int64_t)pixels);
        for (size_t i = 0; i < pixels; i++)
            check(isfinite(out[i]));
        check(volume_index(volume, 0, 0, k) < count);
    }
    free(out);
    check_labels(volume, count);
}

static void read_once(const uint8_t *bytes, size_t length)
{
    struct error err = {ERR_NONE, ""};
    struct volume *volume;
    if (length > MAX_BYTES || series_recognises(bytes, length) || dicom_recognises(bytes, length))
        return; /* fuzz_dicom.c's */
    if (volume_open(&volume, bytes, length, &(struct volume_limits){MAX_BYTES, 100, NULL}, &err) ==
        0) {
        check_slices(volume);
    } else {
        check(volume == NULL && err.text[0]);
        check(err.code == ERR_BAD_NIFTI || err.code == ERR_UNSUPPORTED ||
              err.code == ERR_TOO_LARGE);
    }
    volume_close(volume);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    read_once(bytes, length);
    /* Compressed as well: mutations of gzip data hardly get past its checksum. */
    uLong room = compressBound(length) + 64;
    uint8_t *zip = malloc(room);
    z_stream z = {0};
    if (zip && deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK) {
        z.next_in = (Bytef *)(uintptr_t)bytes;
        z.avail_in = (uInt)length;
        z.next_out = zip;
        z.avail_out = (uInt)room;
        deflate(&z, Z_FINISH);
        size_t zipped = room - z.avail_out;
        deflateEnd(&z);
        read_once(zip, zipped);
    }
    free(zip);
    return 0;
}
