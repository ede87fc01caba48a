/* One small body as DICOM slice, as the zip of a series, and as NIfTI. */
#ifndef ONESHOT_TESTS_BODY_H
#define ONESHOT_TESTS_BODY_H

#include <stdlib.h>
#include <string.h>

#include "tests/http/service.h"
#include "tests/unit/dicom_maker.h"
#include "tests/unit/nifti_maker.h"
#include "tests/unit/zip_maker.h"

enum { COLUMNS = 64, ROWS = 48, SLICES = 5 };

/* As stored: HU + 1024, halved. */
static inline int stored_value(int i, int j, int k)
{
    return (i * 37 + j * 13 + k * 101) % 700 + 12;
}

static inline double hu_value(int i, int j, int k)
{
    return 2 * stored_value(i, j, k) - 1024;
}

static inline struct bytes make_slice(const struct dicom_maker *m)
{
    struct bytes file;
    file.data = dicom_file(&file.length, m, stored_value);
    return file;
}

/* Slices whose value goes with their z, 0 to SLICES - 1, in a zip in another order. */
static inline struct bytes make_zip(const struct dicom_maker *odd)
{
    static const int order[SLICES] = {3, 0, 4, 1, 2};
    static const char *const names[SLICES] = {"s/a.dcm", "s/b.dcm", "s/c.dcm", "s/d.dcm",
                                              "s/e.dcm"};
    struct zip_part parts[SLICES];
    struct bytes zip;
    for (int i = 0; i < SLICES; i++) {
        struct dicom_maker m = odd && i == 3 ? *odd : dicom_default(COLUMNS, ROWS);
        m.z = order[i];
        struct bytes file = make_slice(&m);
        parts[i] = (struct zip_part){names[i], file.data, file.length, i & 1};
    }
    zip.data = zip_file(&zip.length, parts, SLICES);
    for (int i = 0; i < SLICES; i++)
        free((void *)(uintptr_t)parts[i].bytes);
    return zip;
}

/* The same body as NIfTI. */
static inline struct bytes make_nifti(int slices)
{
    struct nifti_maker m = nifti_default(COLUMNS, ROWS, slices);
    static const double srow[3][4] = {{-0.7, 0, 0, 100}, {0, -0.8, 0, 80}, {0, 0, 1, 0}};
    struct bytes file;
    memcpy(m.srow, srow, sizeof srow);
    file.data = nifti_file(&file.length, &m, hu_value);
    return file;
}

#endif
