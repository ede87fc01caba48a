/* Volumes for the attack: NIfTI plain and compressed, the zip of a series, and what only looks so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/nifti.h"
#include "model/data/phantom.h"
#include "tests/soak/soak.h"
#include "tests/unit/dicom_maker.h"
#include "tests/unit/nifti_maker.h"
#include "tests/unit/zip_maker.h"

#define PREDICT "/v1/predict"
#define AS_LINES "Accept: application/x-ndjson\r\n"
#define AS_EVENTS "Accept: text/event-stream\r\n"

enum { SERIES_SIDE = 256, SERIES_SLICES = 4 };

static struct phantom patient(enum phantom_kind kind, unsigned seed, int side, int slices)
{
    struct phantom phantom;
    struct error err;
    if (phantom_volume(&phantom, kind, seed, side, side, slices, &err) != 0)
        die("%s", err.text);
    return phantom;
}

/* As scanners write it: columns to the left, rows to the back. */
static struct blob nifti(enum phantom_kind kind, unsigned seed, int side, int slices, bool gzip)
{
    struct phantom phantom = patient(kind, seed, side, slices);
    const float *mm = phantom.spacing_mm;
    const double affine[3][4] = {{-mm[0], 0, 0, 150}, {0, -mm[1], 0, 150}, {0, 0, -mm[2], 300}};
    const int size[3] = {side, side, slices};
    struct blob file = {NULL, 0};
    struct error err;
    if (nifti_write(&file.bytes, &file.length, size, VOXEL_I16, affine, phantom.hu, gzip, &err) !=
        0)
        die("%s", err.text);
    phantom_free(&phantom);
    return file;
}

/* What the header alone announces is 18 GB. */
static struct blob announcement(void)
{
    struct nifti_maker maker = nifti_default(30000, 30000, 10);
    struct blob file = {calloc(1, 377), 377};
    if (!file.bytes)
        die("no memory");
    nifti_header(&maker, file.bytes);
    return file;
}

static const int16_t *series_hu;

static int stored_value(int column, int row, int z)
{
    return series_hu[((size_t)z * SERIES_SIDE + (size_t)row) * SERIES_SIDE + (size_t)column] + 1024;
}

/* The zip of a series, its slices in another order than they lie; `syntax` NULL: uncompressed. */
static struct blob series(const char *syntax)
{
    static const char *const names[SERIES_SLICES] = {"IM3", "IM1", "IM2", "IM0"};
    struct phantom phantom = patient(PHANTOM_PNEUMONIA, 12, SERIES_SIDE, SERIES_SLICES);
    struct zip_part parts[SERIES_SLICES];
    series_hu = phantom.hu;
    for (int i = 0; i < SERIES_SLICES; i++) {
        struct dicom_maker maker = dicom_default(SERIES_SIDE, SERIES_SIDE);
        maker.slope = "1";
        maker.z = names[i][2] - '0';
        maker.syntax = syntax;
        size_t length;
        uint8_t *file = dicom_file(&length, &maker, stored_value);
        parts[i] = (struct zip_part){names[i], file, length, i % 2 == 0};
    }
    struct blob zip;
    zip.bytes = zip_file(&zip.length, parts, SERIES_SLICES);
    for (int i = 0; i < SERIES_SLICES; i++)
        free((void *)(uintptr_t)parts[i].bytes);
    phantom_free(&phantom);
    return zip;
}

void volumes_add_good(struct inputs *inputs)
{
    struct blob zipped = nifti(PHANTOM_COVID, 21, 256, 4, true);
    inputs_add(inputs, "volume", PREDICT "?masks=none", "", blob_copy(&zipped, zipped.length), 200,
               "");
    inputs_add(inputs, "label map", PREDICT, "Accept: application/x-nifti\r\n",
               nifti(PHANTOM_COVID, 22, 256, 3, false), 200, "");
    inputs_add(inputs, "slice of a volume as picture", PREDICT "?slice=2", "Accept: image/png\r\n",
               blob_copy(&zipped, zipped.length), 200, "");
    inputs_add(inputs, "lines of a volume", PREDICT, AS_LINES, zipped, 200, "");
    inputs_add(inputs, "lines of a long volume", PREDICT "?masks=png&slices=::2", AS_LINES,
               nifti(PHANTOM_PNEUMONIA, 23, 512, 16, false), 200, "");
    inputs_add(inputs, "events of a series", PREDICT "?explain=false", AS_EVENTS, series(NULL), 200,
               "");
}

void volumes_add_bad(struct inputs *inputs)
{
    struct blob plain = nifti(PHANTOM_CONTROL, 24, 256, 3, false);
    struct blob zipped = nifti(PHANTOM_CONTROL, 25, 256, 3, true);
    struct blob zip = series(NULL);
    inputs_add(inputs, "volume cut off", PREDICT, "", blob_copy(&plain, plain.length / 2), 422,
               "bad_nifti");
    inputs_add(inputs, "lines of a volume cut off", PREDICT "?masks=none", AS_LINES,
               blob_copy(&zipped, zipped.length * 2 / 3), 200, "bad_nifti");
    inputs_add(inputs, "announces 18 GB", PREDICT, "", announcement(), 422, "bad_nifti");
    inputs_add(inputs, "no such slice", PREDICT "?slice=99", AS_LINES, plain, 200, "bad_option");
    inputs_add(inputs, "zip cut off", PREDICT, AS_EVENTS, blob_copy(&zip, zip.length - 30), 200,
               "bad_dicom");
    inputs_add(inputs, "series in JPEG 2000", PREDICT, "", series("1.2.840.10008.1.2.4.90"), 415,
               "unsupported_media");
    free(zipped.bytes);
    free(zip.bytes);
}
