#include "model/data/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/base/zip.h"
#include "model/data/dicom.h"

struct file {
    const struct zip_entry *entry;
    struct dicom slice;
    double along; /* mm, of its place on the normal */
};

struct series {
    struct zip *zip;
    struct file *files; /* the first `count` are slices */
    int count;
    size_t heads; /* bytes that may still be inflated for attributes */
    int here;     /* slice in memory; -1: none */
    bool whole;   /* all of them are, once one is: slices of the view cut through the files */
};

bool series_recognises(const void *bytes, size_t length)
{
    return length >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0);
}

void series_close(struct series *series)
{
    if (!series)
        return;
    zip_close(series->zip);
    free(series->files);
    free(series);
}

/* ---- files ---- */

/* Puts the file's name in front of an error that does not have it. */
static int of_file(struct error *err, const struct file *file)
{
    return error_prefix(err, "file \"%.*s\"", ZIP_NAME(file->entry));
}

static bool is_passed_over(const struct zip_entry *entry)
{
    const char *name = entry->name, *end = name + entry->name_length, *slash;
    if (entry->size == 0 || name == end || end[-1] == '/' ||
        memmem(name, entry->name_length, "__MACOSX/", 9))
        return true;
    while ((slash = memchr(name, '/', (size_t)(end - name))))
        name = slash + 1;
    return *name == '.' || (end - name == 8 && strncasecmp(name, "DICOMDIR", 8) == 0);
}

/* Inflates the beginning of a file, as long as somebody waits for it. */
static int inflate_head(uint8_t *out, size_t *got, size_t wanted, struct volume *volume,
                        const struct zip_entry *entry, struct error *err)
{
    struct series *series = volume->series;
    if (volume_wanted(volume, err) != 0)
        return -1;
    if (wanted > series->heads)
        return error_set(err, ERR_TOO_LARGE,
                         "What comes before the pixels of the slices in the zip is too large");
    series->heads -= wanted;
    return zip_peek(out, got, wanted, entry, err);
}

/* Reads a file's attributes; inflates only as much of it as they take. */
static int read_file(struct file *file, struct volume *volume, struct error *err)
{
    enum { FIRST = 1 << 14, MORE = 4 };
    const struct zip_entry *entry = file->entry;
    size_t wanted = entry->deflated ? FIRST : entry->size, got;
    uint8_t *buffer = NULL;
    int rc = 0;
    file->slice.state = DICOM_OTHER;
    for (;; wanted *= MORE) {
        const uint8_t *bytes = entry->bytes;
        wanted = wanted < entry->size ? wanted : entry->size;
        got = wanted;
        if (entry->deflated) {
            free(buffer);
            bytes = buffer = malloc(wanted);
            if (!buffer)
                return error_set(err, ERR_MEMORY, "no memory for a file of the zip");
            TRY(inflate_head(buffer, &got, wanted, volume, entry, err)); /* names the entry */
        }
        if (!dicom_recognises(bytes, got))
            break;
        if (dicom_read(&file->slice, bytes, got, entry->size, err) != 0) {
            rc = of_file(err, file);
            break;
        }
        if (file->slice.state != DICOM_MORE)
            break;
    }
done:
    free(buffer);
    return rc;
}

/* Entries that are inflated take time, and each in its turn memory. */
static int check_sizes(const struct zip *zip, const struct volume_limits *limits, struct error *err)
{
    size_t all = 0;
    for (size_t i = 0; i < zip_count(zip); i++) {
        const struct zip_entry *entry = zip_at(zip, i);
        if (entry->deflated && __builtin_add_overflow(all, entry->size, &all))
            all = SIZE_MAX;
    }
    return all <= limits->max_bytes
               ? 0
               : error_set(err, ERR_TOO_LARGE, "The files in the zip have %zu bytes", all);
}

static int read_files(struct volume *volume, const struct volume_limits *limits, struct error *err)
{
    struct series *series = volume->series;
    size_t entries = zip_count(series->zip);
    if (check_sizes(series->zip, limits, err) != 0)
        return -1;
    series->heads = limits->max_bytes / 2 > SERIES_HEADS ? limits->max_bytes / 2 : SERIES_HEADS;
    series->files = calloc(entries + 1, sizeof *series->files);
    if (!series->files)
        return error_set(err, ERR_MEMORY, "no memory for %zu files", entries);
    for (size_t i = 0; i < entries; i++) {
        struct file *file = &series->files[series->count];
        file->entry = zip_at(series->zip, i);
        if (is_passed_over(file->entry))
            continue;
        if (read_file(file, volume, err) != 0)
            return -1;
        series->count += file->slice.state == DICOM_SLICE;
        if (series->count > SERIES_MAX_SLICES)
            return error_set(err, ERR_TOO_LARGE, "There are more than %d slices in the zip",
                             SERIES_MAX_SLICES);
    }
    if (series->count == 0)
        return error_set(err, ERR_UNSUPPORTED,
                         "the zip holds no DICOM slice; send the slices of one series in it, or "
                         "pictures each as a part named \"file\"");
    return 0;
}

/* ---- one series ---- */

static bool near(const double *a, const double *b, int count, double most)
{
    for (int i = 0; i < count; i++)
        if (!(fabs(a[i] - b[i]) <= most))
            return false;
    return true;
}

/* What of a slice contradicts the first; NULL: nothing. */
static const char *differs(const struct dicom *a, const struct dicom *b)
{
    const double direction = 1e-3, mm = 1e-3; /* written with few digits */
    if (a->series != b->series)
        return "Series Instance UID";
    if (a->rows != b->rows || a->columns != b->columns)
        return "Rows and Columns";
    if (!near(a->across, b->across, 3, direction) || !near(a->down, b->down, 3, direction))
        return "Image Orientation (Patient)";
    if (!near(a->spacing, b->spacing, 2, mm))
        return "Pixel Spacing";
    if (a->inverted != b->inverted)
        return "Photometric Interpretation";
    if (a->ct != b->ct)
        return "Modality";
    return NULL;
}

static int check_same(const struct series *series, struct error *err)
{
    const struct file *first = &series->files[0];
    for (int i = 0; i < series->count; i++) {
        const struct file *file = &series->files[i];
        const char *what = !file->slice.placed   ? "Image Position and Orientation (Patient)"
                           : !file->slice.spaced ? "Pixel Spacing"
                                                 : NULL;
        if (what) {
            error_set(err, ERR_BAD_DICOM, "%s is missing, so it has no place in the series", what);
            return of_file(err, file);
        }
        what = differs(&first->slice, &file->slice);
        if (what)
            return error_set(
                err, ERR_BAD_DICOM,
                "%s of file \"%.*s\" is another than of file \"%.*s\"; send the slices "
                "of one series, without scouts",
                what, ZIP_NAME(file->entry), ZIP_NAME(first->entry));
    }
    return 0;
}

/* ---- places ---- */

static int compare_places(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    return x->along != y->along ? (x->along > y->along) - (x->along < y->along)
                                : (x->entry > y->entry) - (x->entry < y->entry);
}

static int compare_numbers(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double distance(const struct series *series, int k)
{
    return series->files[k + 1].along - series->files[k].along;
}

/* Of the distances between neighbours the middle one; there are two slices or more. */
static int find_usual(double *out, const struct series *series, struct error *err)
{
    int count = series->count - 1;
    double *all = malloc((size_t)count * sizeof *all);
    if (!all)
        return error_set(err, ERR_MEMORY, "no memory for the places of %d slices", count);
    for (int k = 0; k < count; k++)
        all[k] = distance(series, k);
    qsort(all, (size_t)count, sizeof *all, compare_numbers);
    *out = all[(count - 1) / 2];
    free(all);
    return 0;
}

/*
 * No two in one place; all behind each other on a straight line, which need not be the normal: a
 * tilted gantry moves them sideways. Missing ones are told, not refused: what each slice shows
 * stays right.
 */
static int check_places(struct volume *volume, const struct series *series, const double step[3],
                        struct error *err)
{
    const double sideways = 1, uneven = 0.1; /* mm; share of the usual distance */
    const struct file *files = series->files, *first = &files[0];
    double usual = 0, thick = files[series->count - 1].along - first->along;
    if (find_usual(&usual, series, err) != 0)
        return -1;
    for (int k = 0; k + 1 < series->count; k++) {
        double d = distance(series, k);
        if (d < 1e-3 || d < 0.01 * usual)
            return error_set(err, ERR_BAD_DICOM,
                             "files \"%.*s\" and \"%.*s\" lie in the same place; send every slice "
                             "once",
                             ZIP_NAME(files[k].entry), ZIP_NAME(files[k + 1].entry));
        if (fabs(d - usual) > uneven * usual && d > volume->gap) {
            volume->gap = d;
            volume->gap_after = k;
            volume->usual_gap = usual;
        }
        double t = (files[k].along - first->along) / thick * (series->count - 1);
        for (int i = 0; i < 3; i++)
            if (fabs(first->slice.position[i] + t * step[i] - files[k].slice.position[i]) >
                sideways)
                return error_set(
                    err, ERR_BAD_DICOM,
                    "Image Position (Patient) of file \"%.*s\" is beside the line from "
                    "file \"%.*s\" to file \"%.*s\"; slices lie behind each other",
                    ZIP_NAME(files[k].entry), ZIP_NAME(first->entry),
                    ZIP_NAME(files[series->count - 1].entry));
    }
    return 0;
}

static int place(struct volume *volume, struct series *series, struct error *err)
{
    double normal[3], step[3];
    const struct dicom *first = &series->files[0].slice;
    dicom_normal(normal, first);
    for (int i = 0; i < series->count; i++) {
        const double *p = series->files[i].slice.position;
        series->files[i].along = p[0] * normal[0] + p[1] * normal[1] + p[2] * normal[2];
    }
    qsort(series->files, (size_t)series->count, sizeof *series->files, compare_places);
    first = &series->files[0].slice;
    const struct dicom *last = &series->files[series->count - 1].slice;
    for (int i = 0; i < 3; i++)
        step[i] = series->count > 1 ? (last->position[i] - first->position[i]) / (series->count - 1)
                                    : normal[i] * (first->thickness > 0 ? first->thickness : 1);
    if (series->count > 1 && check_places(volume, series, step, err) != 0)
        return -1;
    dicom_affine(volume->affine, first, step);
    volume->placed_by = "dicom";
    return volume_place(volume) == 0
               ? 0
               : error_set(err, ERR_BAD_DICOM,
                           "Pixel Spacing and Image Position (Patient) are not of a size that a "
                           "body has");
}

/* ---- pixels ---- */

/* One type for all: their own where they share it and its scale, else HU as float. */
static void choose_type(struct volume *volume, const struct series *series)
{
    const struct dicom *first = &series->files[0].slice;
    volume->type = dicom_type(first);
    volume->slope = first->slope;
    volume->inter = first->inter;
    for (int i = 1; i < series->count; i++) {
        const struct dicom *slice = &series->files[i].slice;
        if (dicom_type(slice) == volume->type && slice->slope == first->slope &&
            slice->inter == first->inter)
            continue;
        volume->type = VOXEL_F32;
        volume->slope = 1;
        volume->inter = 0;
        return;
    }
}

static size_t plane_bytes(const struct volume *volume)
{
    return volume->bytes / (size_t)volume->size[2];
}

static int take_room(struct volume *volume, struct series *series,
                     const struct volume_limits *limits, struct error *err)
{
    const struct dicom *first = &series->files[0].slice;
    const int64_t size[3] = {first->columns, first->rows, series->count};
    volume->bytes = volume_count_bytes(size, volume->type);
    for (int i = 0; i < 3; i++)
        volume->size[i] = (int)size[i];
    series->whole = volume->slice_axis != 2;
    series->here = -1;
    volume->held = series->whole ? volume->bytes : plane_bytes(volume);
    if (volume->bytes == 0 || volume->held > limits->max_bytes)
        return error_set(err, ERR_TOO_LARGE, "%d x %d x %d voxels are %zu bytes", volume->size[0],
                         volume->size[1], volume->size[2], volume->bytes);
    volume->owned = malloc(volume->held);
    if (!volume->owned)
        return error_set(err, ERR_MEMORY, "no memory for %zu bytes of voxels", volume->held);
    volume->voxels = volume->owned;
    return 0;
}

int series_open(struct volume *volume, const void *bytes, size_t length,
                const struct volume_limits *limits, struct error *err)
{
    const struct zip_limits allowed = {.fault = ERR_BAD_DICOM,
                                       .max_entries = SERIES_MAX_FILES,
                                       .max_inflated = limits->max_bytes,
                                       .max_ratio = limits->max_ratio};
    struct series *series = volume->series = calloc(1, sizeof *series);
    volume->kind = "dicom";
    if (!series)
        return error_set(err, ERR_MEMORY, "no memory for a series");
    if (zip_open(&series->zip, bytes, length, &allowed, err) != 0 ||
        read_files(volume, limits, err) != 0 || check_same(series, err) != 0 ||
        place(volume, series, err) != 0)
        return -1;
    volume->inverted = series->files[0].slice.inverted;
    volume->not_ct = !series->files[0].slice.ct;
    choose_type(volume, series);
    return take_room(volume, series, limits, err);
}

static double value_at(const void *pixels, enum voxel_type type, size_t i)
{
    switch (type) {
    case VOXEL_I8:
        return ((const int8_t *)pixels)[i];
    case VOXEL_U16:
        return ((const uint16_t *)pixels)[i];
    case VOXEL_I16:
        return ((const int16_t *)pixels)[i];
    default:
        return ((const uint8_t *)pixels)[i];
    }
}

/* Unpacks a slice whose type or scale is not that of the others, as HU. */
static int unpack_hu(float *out, const struct dicom *slice, const uint8_t *bytes, struct error *err)
{
    size_t count = (size_t)slice->rows * (size_t)slice->columns;
    void *pixels = malloc(count * ((size_t)slice->allocated / 8));
    if (!pixels)
        return error_set(err, ERR_MEMORY, "no memory for a slice of %zu pixels", count);
    dicom_unpack(pixels, slice, bytes);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(value_at(pixels, dicom_type(slice), i) * slice->slope + slice->inter);
    free(pixels);
    return 0;
}

/* Unpacks file k to `out`. */
static int load(uint8_t *out, const struct volume *volume, int k, struct error *err)
{
    const struct file *file = &volume->series->files[k];
    const uint8_t *bytes;
    uint8_t *owned;
    int rc = 0;
    if (zip_read(&bytes, &owned, file->entry, err) != 0)
        return -1;
    if (volume->type == VOXEL_F32)
        rc = unpack_hu((float *)(void *)out, &file->slice, bytes, err);
    else
        dicom_unpack(out, &file->slice, bytes);
    free(owned);
    return rc;
}

int series_bring(size_t *before, struct volume *volume, int k, struct error *err)
{
    struct series *series = volume->series;
    size_t plane = plane_bytes(volume);
    *before = series->whole ? 0 : plane * (size_t)k;
    if (series->whole && series->here < 0) {
        for (int i = 0; i < series->count; i++)
            if (volume_wanted(volume, err) != 0 ||
                load(volume->owned + plane * (size_t)i, volume, i, err) != 0)
                return -1;
        series->here = 0;
    } else if (!series->whole && series->here != k) {
        series->here = -1;
        if (load(volume->owned, volume, k, err) != 0)
            return -1;
        series->here = k;
    }
    return 0;
}
