/* model/data/series: zips of DICOM slices as volumes, and which zips are none. */
#include "model/data/series.h"

#include <math.h>
#include <stdio.h>

#include "tests/unit/dicom_maker.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"
#include "tests/unit/zip_maker.h"

enum { COLUMNS = 5, ROWS = 4, MOST = 8 };

static const struct volume_limits limits = {1 << 24, 200, NULL};
static struct error err;

static int value(int i, int j, int k)
{
    return 7 * i - 3 * j + 100 * k;
}

/* Files on their way into a zip. */
struct basket {
    struct zip_part parts[MOST];
    uint8_t *owned[MOST];
    char names[MOST][32];
    int count;
};

static struct zip_part *add_bytes(struct basket *b, const char *name, uint8_t *bytes, size_t length)
{
    struct zip_part *part = &b->parts[b->count];
    snprintf(b->names[b->count], sizeof b->names[0], "%s", name);
    *part = (struct zip_part){NULL, bytes, length, b->count & 1};
    b->owned[b->count++] = bytes;
    return part;
}

static void add(struct basket *b, const char *name, const struct dicom_maker *m)
{
    size_t length;
    uint8_t *bytes = dicom_file(&length, m, value);
    add_bytes(b, name, bytes, length);
}

static struct dicom_maker slice_at(double z)
{
    struct dicom_maker m = dicom_default(COLUMNS, ROWS);
    m.z = z;
    return m;
}

/* Slices at z = 30, 10, 20, 0: neither forwards nor backwards. */
static struct basket four(void)
{
    static const double places[4] = {30, 10, 20, 0};
    struct basket b = {.count = 0};
    for (int i = 0; i < 4; i++) {
        struct dicom_maker m = slice_at(places[i]);
        char name[32];
        snprintf(name, sizeof name, "d/%d.dcm", i);
        add(&b, name, &m);
    }
    return b;
}

static uint8_t *pack(size_t *length, struct basket *b)
{
    for (int i = 0; i < b->count; i++) /* the basket may have been copied */
        b->parts[i].name = b->names[i];
    uint8_t *zip = zip_file(length, b->parts, b->count);
    for (int i = 0; i < b->count; i++)
        free(b->owned[i]);
    return zip;
}

static struct volume *open_zip(const uint8_t *zip, size_t length)
{
    struct volume *v;
    ck_assert_msg(volume_open(&v, zip, length, &limits, &err) == 0, "%s", err.text);
    return v;
}

static void expect(struct basket *b, enum error_code code, const char *names)
{
    size_t length;
    uint8_t *zip = pack(&length, b);
    struct volume *v;
    ck_assert_msg(volume_open(&v, zip, length, &limits, &err) != 0, "%s is taken", names);
    ck_assert_ptr_null(v);
    ck_assert_msg(err.code == code && strstr(err.text, names), "%d %s instead of %s", err.code,
                  err.text, names);
    free(zip);
}

/* Slice k is that of z = 10 k, wherever it lay in the zip. */
static void check_slice(struct volume *v, int k)
{
    float out[COLUMNS * ROWS];
    struct voxel_range range;
    ck_assert_msg(volume_read(out, &range, v, k, &err) == 0, "%s", err.text);
    for (int j = 0; j < ROWS; j++)
        for (int i = 0; i < COLUMNS; i++)
            ck_assert_float_eq(out[j * COLUMNS + i], (float)(2 * value(i, j, 10 * k) - 1024));
}

START_TEST(slices_are_sorted_by_their_place)
{
    struct basket b = four();
    size_t length;
    uint8_t *zip = pack(&length, &b);
    struct volume *v = open_zip(zip, length);
    static const double affine[3][4] = {{-0.7, 0, 0, 100}, {0, -0.8, 0, 80}, {0, 0, 10, 0}};
    char codes[4];
    ck_assert_str_eq(v->kind, "dicom");
    ck_assert_str_eq(v->placed_by, "dicom");
    ck_assert_int_eq(v->type, VOXEL_I16);
    volume_orientation(codes, v);
    ck_assert_str_eq(codes, "LPS");
    ck_assert_int_eq(volume_slices(v), 4);
    for (int i = 0; i < 12; i++)
        ck_assert_double_eq_tol(v->affine[i / 4][i % 4], affine[i / 4][i % 4], 1e-12);
    ck_assert_double_eq(v->gap, 0);
    ck_assert_uint_eq(v->held, 2 * COLUMNS * ROWS); /* one slice at a time */
    static const int order[] = {2, 0, 3, 3, 1, 2};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        check_slice(v, order[i]);
    volume_close(v);
    free(zip);
}
END_TEST

START_TEST(what_is_no_slice_is_passed_over)
{
    struct basket b = four();
    struct dicom_maker report = slice_at(0);
    report.no_pixels = true;
    report.said_rows = report.said_columns = -1;
    add(&b, "d/report.dcm", &report);
    add_bytes(&b, "__MACOSX/d/._0.dcm", (uint8_t *)strdup("x"), 1);
    add_bytes(&b, "d/", NULL, 0);
    struct dicom_maker directory = slice_at(0);
    add(&b, "d/DICOMDIR", &directory);
    size_t length;
    uint8_t *zip = pack(&length, &b);
    struct volume *v = open_zip(zip, length);
    for (int k = 0; k < 4; k++)
        check_slice(v, k);
    ck_assert_int_eq(volume_slices(v), 4);
    volume_close(v);
    free(zip);
    struct basket none = {.count = 0};
    add_bytes(&none, "notes.txt", (uint8_t *)strdup("no slice at all"), 15);
    expect(&none, ERR_UNSUPPORTED, "no DICOM slice");
    struct basket empty = {.count = 0};
    expect(&empty, ERR_UNSUPPORTED, "no DICOM slice");
}
END_TEST

#define MIXED(field, value, names)                                                                 \
    do {                                                                                           \
        struct basket b = four();                                                                  \
        struct dicom_maker odd = slice_at(40);                                                     \
        odd.field = (value);                                                                       \
        add(&b, "d/odd.dcm", &odd);                                                                \
        expect(&b, ERR_BAD_DICOM, names);                                                          \
        ck_assert_ptr_nonnull(strstr(err.text, "\"d/odd.dcm\""));                                  \
    } while (0)

START_TEST(a_mixed_series_is_refused_naming_the_file)
{
    MIXED(series, "1.2.3", "Series Instance UID of file \"d/odd.dcm\"");
    ck_assert_ptr_null(strstr(err.text, "1.2"));
    MIXED(spacing, "0.8\\0.8", "Pixel Spacing");
    MIXED(spacing, NULL, "Pixel Spacing is missing");
    MIXED(orientation, "0\\1\\0\\0\\0\\-1", "Image Orientation");
    MIXED(orientation, NULL, "has no place");
    MIXED(position, "", "has no place");
    MIXED(position, "-90\\-80\\40", "beside");
    MIXED(photometric, "MONOCHROME1", "Photometric");
    MIXED(modality, "PT", "Modality");
    MIXED(z, 20, "in the same place");
    MIXED(slope, "0", "Rescale Slope is 0");
    struct basket b = four();
    struct dicom_maker wide = dicom_default(COLUMNS + 1, ROWS);
    wide.z = 40;
    add(&b, "d/odd.dcm", &wide);
    expect(&b, ERR_BAD_DICOM, "Rows and Columns of file \"d/odd.dcm\"");
    struct basket c = four();
    wide.syntax = "1.2.840.10008.1.2.4.90";
    add(&c, "d/odd.dcm", &wide);
    expect(&c, ERR_UNSUPPORTED,
           "file \"d/odd.dcm\": its transfer syntax is 1.2.840.10008.1.2.4.90");
}
END_TEST

START_TEST(missing_slices_are_told)
{
    struct basket b = four();
    struct dicom_maker far = slice_at(60);
    add(&b, "d/far", &far);
    size_t length;
    uint8_t *zip = pack(&length, &b);
    struct volume *v = open_zip(zip, length);
    ck_assert_int_eq(volume_slices(v), 5);
    ck_assert_double_eq(v->gap, 30);
    ck_assert_int_eq(v->gap_after, 3);
    ck_assert_double_eq(v->usual_gap, 10);
    ck_assert_double_eq_tol(v->affine[2][2], 15, 1e-12);
    volume_close(v);
    free(zip);
}
END_TEST

/* A tilted gantry: each slice lies a little in front of the one below it. */
START_TEST(slices_may_be_moved_against_each_other)
{
    struct basket b = {.count = 0};
    static const char *const places[] = {"0\\0\\0", "0\\-2\\10", "0\\-4\\20"};
    for (int i = 0; i < 3; i++) {
        struct dicom_maker m = slice_at(10 * i);
        char name[32];
        snprintf(name, sizeof name, "%d", i);
        m.position = places[i];
        add(&b, name, &m);
    }
    size_t length;
    uint8_t *zip = pack(&length, &b);
    struct volume *v = open_zip(zip, length);
    ck_assert_double_eq_tol(v->affine[1][2], 2, 1e-12);
    ck_assert_double_eq_tol(v->affine[2][2], 10, 1e-12);
    ck_assert_double_eq(v->gap, 0);
    for (int k = 0; k < 3; k++)
        check_slice(v, k);
    volume_close(v);
    free(zip);
}
END_TEST

/* Sagittal files: an axial slice is a row of each of them. */
/* Three files that stand upright. */
static struct basket sagittal(void)
{
    struct basket b = {.count = 0};
    for (int i = 0; i < 3; i++) {
        struct dicom_maker m = slice_at(i);
        char position[64], name[32];
        snprintf(position, sizeof position, "%d\\0\\50", 20 - 10 * i);
        snprintf(name, sizeof name, "%d", i);
        m.position = position;
        m.orientation = "0\\1\\0\\0\\0\\-1"; /* columns to the back, rows to the feet */
        add(&b, name, &m);
    }
    return b;
}

START_TEST(files_in_other_planes_are_cut_across)
{
    struct basket b = sagittal();
    size_t length;
    uint8_t *zip = pack(&length, &b);
    struct volume *v = open_zip(zip, length);
    char codes[4];
    volume_orientation(codes, v);
    ck_assert_str_eq(codes, "PIR"); /* the normal points to the right */
    ck_assert_int_eq(volume_columns(v), 3);
    ck_assert_int_eq(volume_rows(v), COLUMNS);
    ck_assert_int_eq(volume_slices(v), ROWS);
    ck_assert_uint_eq(v->held, v->bytes);
    float out[3 * COLUMNS];
    struct voxel_range range;
    for (int k = 0; k < ROWS; k++) {
        ck_assert_int_eq(volume_read(out, &range, v, k, &err), 0);
        for (int row = 0; row < COLUMNS; row++)
            for (int column = 0; column < 3; column++) /* file 2 lies farthest to the right */
                ck_assert_float_eq(out[row * 3 + column],
                                   (float)(2 * value(row, k, 2 - column) - 1024));
    }
    volume_close(v);
    free(zip);
}
END_TEST

START_TEST(slices_of_several_scales_become_hu)
{
    struct basket b = four();
    struct dicom_maker m = slice_at(40);
    m.slope = "0.5";
    m.inter = "3";
    m.sign = 0;
    add(&b, "d/other", &m);
    size_t length;
    uint8_t *zip = pack(&length, &b);
    struct volume *v = open_zip(zip, length);
    ck_assert_int_eq(v->type, VOXEL_F32);
    for (int k = 3; k >= 0; k--)
        check_slice(v, k);
    float out[COLUMNS * ROWS];
    struct voxel_range range;
    ck_assert_int_eq(volume_read(out, &range, v, 4, &err), 0);
    for (int i = 0; i < COLUMNS; i++)
        ck_assert_float_eq(out[i], (float)(0.5 * value(i, 0, 40) + 3));
    volume_close(v);
    free(zip);
}
END_TEST

START_TEST(damage_is_found_when_its_slice_is_read)
{
    struct basket b = four();
    size_t length;
    uint8_t *zip = pack(&length, &b);
    /* The last byte of the first file's pixels, which are stored: the slice at z = 30. */
    zip[30 + strlen("d/0.dcm") + b.parts[0].length - 1] ^= 1;
    struct volume *v = open_zip(zip, length);
    float out[COLUMNS * ROWS];
    struct voxel_range range;
    for (int k = 0; k < 3; k++)
        check_slice(v, k);
    ck_assert_int_ne(volume_read(out, &range, v, 3, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DICOM);
    ck_assert_ptr_nonnull(strstr(err.text, "\"d/0.dcm\": checksum"));
    check_slice(v, 1);
    volume_close(v);
    free(zip);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct basket b = four();
    size_t length;
    uint8_t *zip = pack(&length, &b);
    for (size_t n = 0; n < length; n++) {
        uint8_t *part = malloc(n + 1);
        struct volume *v;
        memcpy(part, zip, n);
        ck_assert_int_ne(volume_open(&v, part, n, &limits, &err), 0);
        ck_assert(!v && err.text[0]);
        free(part);
    }
    free(zip);
}
END_TEST

START_TEST(what_inflates_too_far_is_refused)
{
    struct basket b = four();
    size_t length;
    uint8_t *zip = pack(&length, &b);
    struct volume *v;
    size_t deflated = b.parts[1].length + b.parts[3].length;
    ck_assert_int_ne(
        volume_open(&v, zip, length, &(struct volume_limits){deflated - 1, 200, NULL}, &err), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(
        volume_open(&v, zip, length, &(struct volume_limits){deflated, 200, NULL}, &err), 0);
    volume_close(v);
    free(zip);
    /* A megabyte of nothing. */
    struct basket bomb = {.count = 0};
    add_bytes(&bomb, "bomb", calloc(1, 1 << 20), 1 << 20)->deflated = true;
    expect(&bomb, ERR_TOO_LARGE, "inflate to 1048576 bytes");
}
END_TEST

/* Sixteen megabytes of nothing, and behind them what could be a slice. */
static uint8_t *far_slice(size_t *length)
{
    enum { NOTHING = 16 << 20 };
    struct dicom_bytes b = {calloc(1, NOTHING + 512), 128, false};
    ck_assert_ptr_nonnull(b.data);
    memcpy(b.data + b.length, "DICM", 4);
    b.length += 4;
    dicom_head(&b, 0x00020000, "UL", 4);
    dicom_put(&b, 4, 28);
    dicom_text(&b, 0x00020010, "UI", "1.2.840.10008.1.2.1");
    dicom_head(&b, 0x00091010, "UN", NOTHING);
    b.length += NOTHING;
    dicom_text(&b, 0x00280004, "CS", "MONOCHROME2");
    *length = b.length;
    return b.data;
}

START_TEST(attributes_without_end_are_refused)
{
    const struct volume_limits wide = {100 << 20, 1032, NULL};
    for (int files = 1; files <= 2; files++) {
        struct basket b = {.count = 0};
        struct volume *v;
        size_t length;
        for (int i = 0; i < files; i++) {
            uint8_t *bytes = far_slice(&length);
            add_bytes(&b, (const char[]){(char)('a' + i), 0}, bytes, length)->deflated = true;
        }
        uint8_t *zip = pack(&length, &b);
        ck_assert_int_ne(volume_open(&v, zip, length, &wide, &err), 0);
        /* One is just no slice. */
        ck_assert_msg(err.code == (files == 1 ? ERR_UNSUPPORTED : ERR_TOO_LARGE), "%s", err.text);
        free(zip);
    }
}
END_TEST

START_TEST(a_zip_that_nobody_wants_is_left)
{
    atomic_bool off = false;
    const struct volume_limits allowed = {1 << 24, 200, &off};
    struct basket b = four();
    struct volume *v;
    size_t length;
    uint8_t *zip = pack(&length, &b);
    ck_assert_int_eq(volume_open(&v, zip, length, &allowed, &err), 0);
    volume_close(v);
    atomic_store(&off, true);
    ck_assert_int_ne(volume_open(&v, zip, length, &allowed, &err), 0);
    ck_assert_int_eq(err.code, ERR_CANCELLED);
    free(zip);
    /* And where the first slice takes all of the files. */
    float out[3 * COLUMNS];
    struct voxel_range range;
    atomic_store(&off, false);
    b = sagittal();
    zip = pack(&length, &b);
    ck_assert_int_eq(volume_open(&v, zip, length, &allowed, &err), 0);
    atomic_store(&off, true);
    ck_assert_int_ne(volume_read(out, &range, v, 0, &err), 0);
    ck_assert_int_eq(err.code, ERR_CANCELLED);
    atomic_store(&off, false);
    ck_assert_int_eq(volume_read(out, &range, v, 0, &err), 0);
    volume_close(v);
    free(zip);
}
END_TEST

static int read_all(const uint8_t *zip, size_t length)
{
    struct volume *v;
    float out[COLUMNS * ROWS];
    struct voxel_range range;
    int rc = volume_open(&v, zip, length, &limits, &err);
    for (int k = 0; rc == 0 && k < volume_slices(v); k++)
        rc = volume_read(out, &range, v, k, &err);
    volume_close(v);
    return rc;
}

START_TEST(failing_memory_is_an_error)
{
    struct basket b = four();
    struct dicom_maker m = slice_at(40);
    m.slope = "0.5";
    add(&b, "d/other", &m);
    size_t length;
    uint8_t *zip = pack(&length, &b);
    struct oom_walk walk = {.err = &err, .more_than = 15};
    while (oom_next(&walk))
        oom_judge(&walk, read_all(zip, length));
    free(zip);
}
END_TEST

int main(void)
{
    RUN("series", slices_are_sorted_by_their_place, what_is_no_slice_is_passed_over,
        a_mixed_series_is_refused_naming_the_file, missing_slices_are_told,
        slices_may_be_moved_against_each_other, files_in_other_planes_are_cut_across,
        slices_of_several_scales_become_hu, damage_is_found_when_its_slice_is_read,
        every_truncation_is_refused, what_inflates_too_far_is_refused,
        attributes_without_end_are_refused, a_zip_that_nobody_wants_is_left,
        failing_memory_is_an_error);
}
