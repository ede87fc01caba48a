/*
 * Fuzz target: DICOM slices and zips of a series. Whatever the bytes are: no fault, an error with a
 * text, or slices of finite numbers. Bytes are tried as they are, cut short as a beginning, and as
 * the files of a zip where "--next--" stands between them.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/dicom.h"
#include "tests/unit/zip_maker.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { MAX_BYTES = 1 << 18, MOST = 8 };

static void check(int holds)
{
    if (!holds)
        abort();
}

static void check_error(const struct error *err)
{
    check(err->text[0] && memchr(err->text, 0, sizeof err->text));
    check(err->code == ERR_BAD_DICOM || err->code == ERR_BAD_NIFTI ||
          err->code == ERR_UNSUPPORTED || err->code == ERR_TOO_LARGE);
}

static void check_slices(struct volume *volume)
{
    size_t pixels = (size_t)volume_columns(volume) * (size_t)volume_rows(volume);
    size_t count = pixels * (size_t)volume_slices(volume);
    struct voxel_range range;
    struct error err = {ERR_NONE, ""};
    char codes[4];
    check(pixels > 0 && pixels <= 8 * MAX_BYTES && volume->held <= MAX_BYTES);
    float *out = malloc(pixels * sizeof *out);
    check(out != NULL);
    volume_orientation(codes, volume);
    check(strlen(codes) == 3 && volume_voxel_mm3(volume) > 0 && volume_tilt(volume) >= 0);
    for (int k = volume_slices(volume); k-- > 0;) { /* from the end: they come in any order */
        check(volume_index(volume, 0, 0, k) < count);
        if (volume_read(out, &range, volume, k, &err) != 0) {
            check_error(&err);
            continue;
        }
        check(range.finite + range.not_finite == (int64_t)pixels);
        for (size_t i = 0; i < pixels; i++)
            check(isfinite(out[i]));
    }
    free(out);
}

static void read_once(const uint8_t *bytes, size_t length)
{
    struct error err = {ERR_NONE, ""};
    struct volume *volume;
    if (volume_open(&volume, bytes, length, &(struct volume_limits){MAX_BYTES, 100, NULL}, &err) ==
        0) {
        check_slices(volume);
    } else {
        check(volume == NULL);
        check_error(&err);
    }
    volume_close(volume);
}

/* What the beginning of a file says is what the whole file says, or that there is more. */
static void read_beginning(const uint8_t *bytes, size_t length, size_t there)
{
    struct error err = {ERR_NONE, ""};
    struct dicom slice, whole;
    uint8_t *part = malloc(there + 1);
    check(part != NULL);
    if (there)
        memcpy(part, bytes, there);
    if (!dicom_recognises(part, there)) {
        free(part);
        return;
    }
    int rc = dicom_read(&slice, part, there, length, &err);
    if (rc != 0)
        check_error(&err);
    else if (slice.state == DICOM_SLICE)
        check(dicom_read(&whole, bytes, length, length, &err) == 0 &&
              memcmp(&whole, &slice, sizeof slice) == 0);
    free(part);
}

static void read_as_files(const uint8_t *bytes, size_t length)
{
    static const char next[] = "--next--";
    static const char *const names[MOST] = {"b", "a", "d/c", "d/e", "f", "g", "h", "i"};
    struct zip_part parts[MOST];
    int count = 0;
    for (const uint8_t *end = bytes; end && count < MOST; count++) {
        end = memmem(bytes, length, next, sizeof next - 1);
        size_t n = end ? (size_t)(end - bytes) : length;
        parts[count] = (struct zip_part){names[count], bytes, n, count & 1};
        bytes += end ? n + sizeof next - 1 : n;
        length -= end ? n + sizeof next - 1 : n;
    }
    size_t zipped;
    uint8_t *zip = zip_file(&zipped, parts, count);
    read_once(zip, zipped);
    free(zip);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length > MAX_BYTES)
        return 0;
    read_once(bytes, length);
    read_beginning(bytes, length, length / 2);
    read_beginning(bytes, length, length - length / 8);
    read_as_files(bytes, length);
    return 0;
}
