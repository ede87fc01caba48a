#include "model/data/dicom.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/dicom_elements.h"
#include "model/data/dicom_syntax.h"

/* ---- the attributes that are read ---- */

enum { PREAMBLE = 128 };

enum { TEXT = 65, MOST_NUMBERS = 6 };

struct numbers {
    int count; /* 0: not there, or empty */
    double values[MOST_NUMBERS];
};

struct fields {
    char syntax[TEXT], modality[TEXT], series[TEXT], photometric[TEXT];
    struct numbers samples, frames, rows, columns, allocated, stored, high, sign;
    struct numbers position, orientation, spacing, thickness, slope, inter;
};

#define OF(field) offsetof(struct fields, field)

/* Texts have no count. US: binary; DS, IS: decimal text. */
static const struct wanted {
    uint32_t tag;
    enum { UI, CS, US, DS } kind;
    int count;
    size_t offset;
    const char *name;
} wanted[] = {
    {0x00020010, UI, 0, OF(syntax), "Transfer Syntax UID"},
    {0x00080060, CS, 0, OF(modality), "Modality"},
    {0x0020000e, UI, 0, OF(series), "Series Instance UID"},
    {0x00280004, CS, 0, OF(photometric), "Photometric Interpretation"},
    {0x00280002, US, 1, OF(samples), "Samples per Pixel"},
    {0x00280008, DS, 1, OF(frames), "Number of Frames"},
    {0x00280010, US, 1, OF(rows), "Rows"},
    {0x00280011, US, 1, OF(columns), "Columns"},
    {0x00280100, US, 1, OF(allocated), "Bits Allocated"},
    {0x00280101, US, 1, OF(stored), "Bits Stored"},
    {0x00280102, US, 1, OF(high), "High Bit"},
    {0x00280103, US, 1, OF(sign), "Pixel Representation"},
    {0x00200032, DS, 3, OF(position), "Image Position (Patient)"},
    {0x00200037, DS, 6, OF(orientation), "Image Orientation (Patient)"},
    {0x00280030, DS, 2, OF(spacing), "Pixel Spacing"},
    {0x00180050, DS, 1, OF(thickness), "Slice Thickness"},
    {0x00281053, DS, 1, OF(slope), "Rescale Slope"},
    {0x00281052, DS, 1, OF(inter), "Rescale Intercept"},
};

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static bool is_padding(uint8_t c)
{
    return c == ' ' || c == 0;
}

static void trim(const uint8_t **value, size_t *length)
{
    while (*length > 0 && is_padding((*value)[*length - 1]))
        --*length;
    while (*length > 0 && is_padding(**value)) {
        ++*value;
        --*length;
    }
}

/* Decimal strings with backslashes between them; false where one is none. */
static bool read_decimals(struct numbers *out, const uint8_t *value, size_t length)
{
    *out = (struct numbers){0};
    trim(&value, &length);
    while (length > 0) {
        const uint8_t *end = memchr(value, '\\', length);
        size_t n = end ? (size_t)(end - value) : length, rest = end ? length - n - 1 : 0;
        const uint8_t *text = value;
        char copy[40] = "", *stop;
        trim(&text, &n);
        if (out->count == MOST_NUMBERS || n < 1 || n >= sizeof copy || (end && rest == 0))
            return false;
        memcpy(copy, text, n);
        if (strspn(copy, "0123456789+-.eE") != n)
            return false;
        double number = strtod(copy, &stop);
        if (*stop || !(fabs(number) < 1e9))
            return false;
        out->values[out->count++] = number;
        value = end ? end + 1 : value;
        length = rest;
    }
    return true;
}

static int read_value(struct fields *fields, const struct wanted *w, struct dicom_reader *r,
                      const struct dicom_element *e)
{
    void *field = (char *)fields + w->offset;
    r->at = e->value;
    if (!dicom_has(r, e->length))
        return -1;
    const uint8_t *value = r->bytes + e->value;
    size_t length = e->length;
    if (w->kind == UI || w->kind == CS) {
        trim(&value, &length);
        if (length >= TEXT)
            return error_set(r->err, ERR_BAD_DICOM, "%s is longer than %d characters", w->name,
                             TEXT - 1);
        memset(field, 0, TEXT);
        if (length > 0)
            memcpy(field, value, length);
        return 0;
    }
    struct numbers *numbers = field;
    if (w->kind == US) {
        if (length != 2)
            return error_set(r->err, ERR_BAD_DICOM, "%s has %zu bytes instead of 2", w->name,
                             length);
        *numbers = (struct numbers){1, {u16(value)}};
        return 0;
    }
    if (!read_decimals(numbers, value, length) ||
        (numbers->count > 0 && numbers->count != w->count))
        return error_set(r->err, ERR_BAD_DICOM, "%s is not %d decimal number%s", w->name, w->count,
                         w->count > 1 ? "s" : "");
    return 0;
}

/* Reads an element that is wanted, and steps over every other. */
static int take(struct fields *fields, struct dicom_reader *r, const struct dicom_element *e,
                bool explicit)
{
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && !e->undefined; i++)
        if (wanted[i].tag == e->tag && read_value(fields, &wanted[i], r, e) != 0)
            return -1;
    return dicom_skip(r, e, explicit);
}

/* ---- the file (PS3.10, 7.1) ---- */

static bool has_preamble(const uint8_t *bytes, size_t length)
{
    return length >= PREAMBLE + 4 && memcmp(bytes + PREAMBLE, "DICM", 4) == 0;
}

bool dicom_recognises(const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    if (length < DICOM_SHORT_HEADER || has_preamble(p, length))
        return length >= DICOM_SHORT_HEADER;
    /* Old writers leave preamble and meta information away: then a first element has to do. */
    if (u16(p) != 2 && u16(p) != 8)
        return false;
    if (dicom_is_vr(p + 4))
        return dicom_vr_is_short((const char *)p + 4) && u16(p + 6) <= length - DICOM_SHORT_HEADER;
    return u16(p) == 8 && u16(p + 2) <= 0x18 && u16(p + 4) <= 64 && u16(p + 6) == 0;
}

/* File meta information is explicit whatever follows. Ends at the first element behind it. */
static int read_meta(struct fields *fields, struct dicom_reader *r)
{
    struct dicom_element e;
    while (r->at < r->length) {
        if (!dicom_has(r, DICOM_SHORT_HEADER))
            return -1;
        if (u16(r->bytes + r->at) != 2)
            break;
        if (dicom_next(&e, r, true) != 0 || take(fields, r, &e, true) != 0)
            return -1;
    }
    return 0;
}

/* Everything up to the pixels; false in *found where there are none. */
static int read_dataset(struct fields *fields, struct dicom_element *pixels, bool *found,
                        struct dicom_reader *r, bool explicit)
{
    while (r->at < r->length) {
        if (dicom_next(pixels, r, explicit) != 0)
            return -1;
        *found = pixels->tag == DICOM_PIXELS;
        if (*found)
            return 0;
        if (take(fields, r, pixels, explicit) != 0)
            return -1;
    }
    return 0;
}

static int unsupported(struct error *err, const char *what)
{
    return error_set(err, ERR_UNSUPPORTED, "%s; send grey slices, one per file", what);
}

static int check_grey(const struct fields *f, struct error *err)
{
    if (f->frames.count && f->frames.values[0] > 1)
        return error_set(err, ERR_UNSUPPORTED,
                         "it holds %.0f frames; send one slice per file, several files as a zip",
                         f->frames.values[0]);
    if (f->samples.count && f->samples.values[0] > 1)
        return unsupported(err, "Samples per Pixel says that the picture is coloured");
    if (strncmp(f->photometric, "MONOCHROME", 10) == 0)
        return 0;
    return *f->photometric ? unsupported(err, "Photometric Interpretation is not MONOCHROME1 or 2")
                           : error_set(err, ERR_BAD_DICOM, "Photometric Interpretation is missing");
}

static int read_format(struct dicom *out, const struct fields *f, struct error *err)
{
    static const char *const names[] = {"Rows", "Columns", "Bits Allocated",
                                        "Pixel Representation"};
    const struct numbers *const needed[] = {&f->rows, &f->columns, &f->allocated, &f->sign};
    for (int i = 0; i < 4; i++)
        if (!needed[i]->count)
            return error_set(err, ERR_BAD_DICOM, "%s is missing", names[i]);
    out->rows = (int)f->rows.values[0];
    out->columns = (int)f->columns.values[0];
    out->allocated = (int)f->allocated.values[0];
    out->stored = f->stored.count ? (int)f->stored.values[0] : out->allocated;
    out->high = f->high.count ? (int)f->high.values[0] : out->stored - 1;
    out->is_signed = f->sign.values[0] > 0;
    out->inverted = strcmp(f->photometric, "MONOCHROME1") == 0;
    if (out->rows < 1 || out->columns < 1)
        return error_set(err, ERR_BAD_DICOM, "Rows and Columns are %d and %d, no size of a picture",
                         out->rows, out->columns);
    if (out->allocated != 8 && out->allocated != 16)
        return error_set(err, ERR_UNSUPPORTED, "Bits Allocated is %d; there are 8 and 16",
                         out->allocated);
    if (out->stored < 1 || out->high < out->stored - 1 || out->high >= out->allocated)
        return error_set(err, ERR_BAD_DICOM,
                         "Bits Stored is %d and High Bit %d, which do not fit %d bits", out->stored,
                         out->high, out->allocated);
    return 0;
}

static int read_scaling(struct dicom *out, const struct fields *f, struct error *err)
{
    out->slope = f->slope.count ? f->slope.values[0] : 1;
    out->inter = f->inter.count ? f->inter.values[0] : 0;
    return out->slope == 0 ? error_set(err, ERR_BAD_DICOM, "Rescale Slope is 0") : 0;
}

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static int read_place(struct dicom *out, const struct fields *f, struct error *err)
{
    enum { ROUNDING = 100 }; /* directions have few digits: 1/100 off is half a degree */
    out->spaced = f->spacing.count > 0;
    out->spacing[0] = out->spaced ? f->spacing.values[1] : 1; /* the attribute: rows first */
    out->spacing[1] = out->spaced ? f->spacing.values[0] : 1;
    out->thickness = f->thickness.count ? fabs(f->thickness.values[0]) : 0;
    if (!(out->spacing[0] > 0 && out->spacing[1] > 0))
        return error_set(err, ERR_BAD_DICOM, "Pixel Spacing is not above 0");
    out->placed = f->position.count > 0 && f->orientation.count > 0;
    const double *o = f->orientation.values;
    for (int i = 0; i < 3; i++) {
        out->position[i] = f->position.values[i];
        out->across[i] = o[i];
        out->down[i] = o[3 + i];
    }
    if (out->placed &&
        (fabs(dot(o, o) - 1) * ROUNDING > 1 || fabs(dot(o + 3, o + 3) - 1) * ROUNDING > 1 ||
         fabs(dot(o, o + 3)) * ROUNDING > 1))
        return error_set(err, ERR_BAD_DICOM,
                         "Image Orientation (Patient) is not two directions at a right angle");
    return 0;
}

/* FNV-1a; enough to tell series apart, and no way back to the UID but by trying. */
static uint64_t hash(const char *text)
{
    uint64_t value = 0xcbf29ce484222325u;
    for (; *text; text++)
        value = (value ^ (uint8_t)*text) * 0x100000001b3u;
    return value;
}

static int check_pixels(const struct dicom *out, const struct dicom_element *e, struct error *err)
{
    size_t needed =
        (size_t)out->rows * (size_t)out->columns * ((size_t)out->allocated / 8); /* below 2^33 */
    if (e->undefined)
        return error_set(err, ERR_UNSUPPORTED,
                         "Pixel Data are in fragments, as compressed ones are, though Transfer "
                         "Syntax UID does not say so; save the slice uncompressed");
    if (e->length != needed + (needed & 1) && e->length != needed)
        return error_set(
            err, ERR_BAD_DICOM,
            "Rows, Columns and Bits Allocated say %d x %d pixels of %d bits, which are "
            "%zu bytes, but Pixel Data have %zu",
            out->columns, out->rows, out->allocated, needed, e->length);
    return 0;
}

static int understand(struct dicom *out, const struct fields *f, const struct dicom_element *pixels,
                      struct error *err)
{
    if (check_grey(f, err) != 0 || read_format(out, f, err) != 0 ||
        read_scaling(out, f, err) != 0 || read_place(out, f, err) != 0 ||
        check_pixels(out, pixels, err) != 0)
        return -1;
    out->ct = *f->modality == 0 || strcmp(f->modality, "CT") == 0;
    out->series = hash(f->series);
    out->pixels = pixels->value;
    return 0;
}

int dicom_read(struct dicom *out, const void *bytes, size_t there, size_t length, struct error *err)
{
    struct dicom_reader r = {.bytes = bytes, .there = there, .length = length, .err = err};
    struct fields fields;
    struct dicom_element pixels = {0};
    bool found = false, explicit = true;
    memset(&fields, 0, sizeof fields);
    *out = (struct dicom){.state = DICOM_OTHER};
    if (!dicom_recognises(bytes, there))
        return error_set(err, ERR_BAD_DICOM, "it does not begin as DICOM does");
    r.at = has_preamble(bytes, there) ? PREAMBLE + 4 : 0;
    if (read_meta(&fields, &r) != 0 || (r.at < length && !dicom_has(&r, DICOM_SHORT_HEADER)))
        goto stopped;
    if (*fields.syntax) {
        if (dicom_syntax_check(&explicit, fields.syntax, err) != 0)
            return -1;
    } else if (r.at < length) {
        explicit = dicom_is_vr(r.bytes + r.at + 4); /* nobody says so: it shows */
    }
    if (read_dataset(&fields, &pixels, &found, &r, explicit) != 0)
        goto stopped;
    if (found) {
        out->state = DICOM_SLICE;
        return understand(out, &fields, &pixels, err);
    }
    if (fields.rows.count || fields.columns.count)
        return error_set(err, ERR_BAD_DICOM, "Pixel Data are missing: the file was cut off");
    return 0;
stopped:
    if (!r.cut)
        return -1;
    out->state = DICOM_MORE;
    return 0;
}

/* ---- pixels (PS3.5, 8.1) ---- */

enum voxel_type dicom_type(const struct dicom *slice)
{
    if (slice->allocated == 8)
        return slice->is_signed ? VOXEL_I8 : VOXEL_U8;
    return slice->is_signed ? VOXEL_I16 : VOXEL_U16;
}

/* Bits above and below the stored ones may hold anything: old writers kept overlays there. */
void dicom_unpack(void *out, const struct dicom *slice, const void *bytes)
{
    const uint8_t *in = (const uint8_t *)bytes + slice->pixels;
    size_t count = (size_t)slice->rows * (size_t)slice->columns;
    unsigned shift = (unsigned)(slice->high + 1 - slice->stored);
    unsigned mask = (1u << slice->stored) - 1;
    unsigned sign = slice->is_signed ? 1u << (slice->stored - 1) : 0;
    if (slice->allocated == 8) {
        uint8_t *to = out;
        for (size_t i = 0; i < count; i++)
            to[i] = (uint8_t)(((in[i] >> shift & mask) ^ sign) - sign);
        return;
    }
    uint16_t *to = out;
    for (size_t i = 0; i < count; i++)
        to[i] = (uint16_t)((((unsigned)u16(in + 2 * i) >> shift & mask) ^ sign) - sign);
}

/* ---- places (PS3.3, C.7.6.2.1.1) ---- */

void dicom_normal(double normal[3], const struct dicom *slice)
{
    const double *a = slice->across, *b = slice->down;
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        normal[i] = a[j] * b[k] - a[k] * b[j];
    }
    double length = sqrt(dot(normal, normal));
    for (int i = 0; i < 3; i++)
        normal[i] /= length;
}

void dicom_affine(double affine[3][4], const struct dicom *first, const double step[3])
{
    for (int i = 0; i < 3; i++) {
        double sign = i < 2 ? -1 : 1; /* LPS to RAS */
        affine[i][0] = sign * first->across[i] * first->spacing[0];
        affine[i][1] = sign * first->down[i] * first->spacing[1];
        affine[i][2] = sign * step[i];
        affine[i][3] = sign * first->position[i];
    }
}

/* A slice that does not say where it lies: as an axial one, without millimetres. */
static void lay_flat(struct volume *volume)
{
    static const double flat[3][4] = {{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}};
    memcpy(volume->affine, flat, sizeof flat);
    volume->placed_by = "nothing";
}

static int place_one(struct volume *volume, const struct dicom *slice, struct error *err)
{
    double step[3];
    if (slice->placed && slice->spaced) {
        dicom_normal(step, slice);
        for (int i = 0; i < 3; i++)
            step[i] *= slice->thickness > 0 ? slice->thickness : 1;
        dicom_affine(volume->affine, slice, step);
        volume->placed_by = "dicom";
    } else {
        lay_flat(volume);
    }
    if (volume_place(volume) != 0)
        return error_set(err, ERR_BAD_DICOM,
                         "Pixel Spacing, Slice Thickness and Image Position (Patient) are not of a "
                         "size that a body has");
    volume->column_axis = 0;
    volume->row_axis = 1;
    volume->slice_axis = 2;
    volume->column_flip = volume->row_flip = false;
    return 0;
}

int dicom_open(struct volume *volume, const void *bytes, size_t length,
               const struct volume_limits *limits, struct error *err)
{
    struct dicom slice;
    if (dicom_read(&slice, bytes, length, length, err) != 0)
        return -1;
    if (slice.state != DICOM_SLICE)
        return error_set(err, ERR_UNSUPPORTED,
                         "it is DICOM without a picture, such as a report; send the slices");
    volume->kind = "dicom";
    volume->type = dicom_type(&slice);
    volume->slope = slice.slope;
    volume->inter = slice.inter;
    volume->inverted = slice.inverted;
    volume->not_ct = !slice.ct;
    volume->size[0] = slice.columns;
    volume->size[1] = slice.rows;
    volume->size[2] = 1;
    volume->bytes = (size_t)slice.columns * (size_t)slice.rows * ((size_t)slice.allocated / 8);
    if (volume->bytes > limits->max_bytes)
        return error_set(err, ERR_TOO_LARGE, "Its pixels are %zu bytes", volume->bytes);
    if (place_one(volume, &slice, err) != 0)
        return -1;
    volume->owned = malloc(volume->bytes);
    if (!volume->owned)
        return error_set(err, ERR_MEMORY, "no memory for the slice's %zu bytes", volume->bytes);
    dicom_unpack(volume->owned, &slice, bytes);
    volume->held = volume->there = volume->bytes;
    volume->voxels = volume->owned;
    return 0;
}
