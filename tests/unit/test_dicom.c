/* model/data/dicom: slices in every form that is read, and what is refused in which words. */
#include "model/data/dicom.h"

#include "model/data/dicom_elements.h"
#include "tests/unit/dicom_maker.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

static const struct volume_limits limits = {1 << 24, 200, NULL};
static struct error err;

static int ramp(int i, int j, int k)
{
    return 3 * i - 50 * j + k;
}

static int positive(int i, int j, int k)
{
    return 3 * i + 5 * j + k;
}

/* Opens a file and reads its slice; 0 where all is well. */
static int read_file(float *out, const uint8_t *file, size_t length)
{
    struct volume *v;
    struct voxel_range range;
    int rc = volume_open(&v, file, length, &limits, &err);
    if (rc == 0)
        rc = volume_read(out, &range, v, 0, &err);
    else
        ck_assert_ptr_null(v);
    volume_close(v);
    return rc;
}

static void check_slice(const struct dicom_maker *m, int (*value)(int, int, int), double slope,
                        double inter)
{
    size_t length;
    uint8_t *file = dicom_file(&length, m, value);
    float *out = malloc(sizeof *out * (size_t)m->columns * (size_t)m->rows);
    ck_assert(volume_is_dicom(file, length));
    ck_assert_msg(read_file(out, file, length) == 0, "%s", err.text);
    for (int j = 0; j < m->rows; j++)
        for (int i = 0; i < m->columns; i++)
            ck_assert_float_eq(out[j * m->columns + i],
                               (float)(value(i, j, (int)m->z) * slope + inter));
    free(out);
    free(file);
}

START_TEST(every_form_reads_alike)
{
    int checked = 0;
    for (int how = 0; how < 16; how++) {
        struct dicom_maker m = dicom_default(7, 5);
        m.implicit = how & 1;
        m.bare = how & 2;
        m.no_meta = how & 4;
        m.sequences = how & 8;
        check_slice(&m, ramp, 2, -1024);
        checked++;
    }
    ck_assert_int_eq(checked, 16);
}
END_TEST

START_TEST(bits_are_taken_where_they_are)
{
    static const struct {
        int allocated, stored, high, sign;
        enum voxel_type type;
    } cases[] = {
        {16, 16, 15, 1, VOXEL_I16}, {16, 16, 15, 0, VOXEL_U16}, {16, 12, 11, 1, VOXEL_I16},
        {16, 12, 11, 0, VOXEL_U16}, {16, 12, 15, 1, VOXEL_I16}, {16, 12, 13, 0, VOXEL_U16},
        {8, 8, 7, 0, VOXEL_U8},     {8, 8, 7, 1, VOXEL_I8},     {8, 6, 6, 1, VOXEL_I8},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct dicom_maker m = dicom_default(3, 3);
        m.allocated = cases[c].allocated;
        m.stored = cases[c].stored;
        m.high = cases[c].high;
        m.sign = cases[c].sign;
        m.slope = m.inter = NULL;
        size_t length;
        uint8_t *file = dicom_file(&length, &m, positive);
        struct dicom slice;
        ck_assert_int_eq(dicom_read(&slice, file, length, length, &err), 0);
        ck_assert_int_eq(dicom_type(&slice), cases[c].type);
        ck_assert_double_eq(slice.slope, 1);
        ck_assert_double_eq(slice.inter, 0);
        /* All ones in what is not stored; the lowest and the highest value, and one in between. */
        int least = cases[c].sign ? -(1 << (cases[c].stored - 1)) : 0;
        int most = (cases[c].sign ? 1 << (cases[c].stored - 1) : 1 << cases[c].stored) - 1;
        const int values[9] = {least, most, 9, cases[c].sign ? -1 : 1, 0, 0, 0, 0, 0};
        unsigned mask = (1u << cases[c].stored) - 1, shift = (unsigned)(m.high + 1 - m.stored);
        for (int i = 0; i < 9; i++) {
            unsigned raw = ~(mask << shift) | ((unsigned)values[i] & mask) << shift;
            size_t width = (size_t)m.allocated / 8;
            memcpy(file + slice.pixels + (size_t)i * width, &raw, width);
        }
        float out[9];
        ck_assert_int_eq(read_file(out, file, length), 0);
        for (int i = 0; i < 9; i++)
            ck_assert_float_eq(out[i], (float)values[i]);
        free(file);
    }
}
END_TEST

START_TEST(a_slice_lies_where_it_says)
{
    struct dicom_maker m = dicom_default(4, 6);
    m.z = 33;
    m.orientation = "0.6\\0.8\\0\\0\\0\\-1";
    size_t length;
    uint8_t *file = dicom_file(&length, &m, ramp);
    struct volume *v;
    double world[3], spacing[3];
    ck_assert_int_eq(volume_open(&v, file, length, &limits, &err), 0);
    ck_assert_str_eq(v->kind, "dicom");
    ck_assert_str_eq(v->placed_by, "dicom");
    ck_assert(!v->inverted && !v->not_ct);
    ck_assert_int_eq(volume_columns(v), 4);
    ck_assert_int_eq(volume_rows(v), 6);
    ck_assert_int_eq(volume_slices(v), 1);
    volume_spacing(spacing, v);
    ck_assert_double_eq_tol(spacing[0], 0.7, 1e-12);
    ck_assert_double_eq_tol(spacing[1], 0.8, 1e-12);
    ck_assert_double_eq_tol(spacing[2], 2.5, 1e-12);
    /* The centre of the first pixel; one column on; one row on. DICOM's x and y run the other way.
     */
    volume_to_world(world, v, 0.5, 0.5, 0);
    ck_assert_double_eq_tol(world[0], 100, 1e-9);
    ck_assert_double_eq_tol(world[1], 80, 1e-9);
    ck_assert_double_eq_tol(world[2], 33, 1e-9);
    volume_to_world(world, v, 1.5, 0.5, 0);
    ck_assert_double_eq_tol(world[0], 100 - 0.6 * 0.7, 1e-9);
    ck_assert_double_eq_tol(world[1], 80 - 0.8 * 0.7, 1e-9);
    volume_to_world(world, v, 0.5, 1.5, 0);
    ck_assert_double_eq_tol(world[2], 33 - 0.8, 1e-9);
    volume_close(v);
    free(file);
    /* Nothing is turned, in whatever order it lies. */
    m = dicom_default(4, 3);
    m.orientation = "-1\\0\\0\\0\\-1\\0";
    check_slice(&m, ramp, 2, -1024);
    m.orientation = NULL;
    m.spacing = "";
    file = dicom_file(&length, &m, ramp);
    ck_assert_int_eq(volume_open(&v, file, length, &limits, &err), 0);
    ck_assert_str_eq(v->placed_by, "nothing");
    volume_close(v);
    free(file);
}
END_TEST

START_TEST(what_is_white_and_what_is_no_ct)
{
    struct dicom_maker m = dicom_default(3, 3);
    m.photometric = "MONOCHROME1";
    m.modality = "MR";
    size_t length;
    uint8_t *file = dicom_file(&length, &m, ramp);
    struct volume *v;
    ck_assert_int_eq(volume_open(&v, file, length, &limits, &err), 0);
    ck_assert(v->inverted && v->not_ct);
    volume_close(v);
    free(file);
    check_slice(&m, ramp, 2, -1024); /* HU are HU, whichever end is white */
}
END_TEST

static void expect_bytes(const uint8_t *file, size_t length, enum error_code code,
                         const char *names)
{
    float out[64];
    int rc = read_file(out, file, length);
    ck_assert_msg(rc != 0, "%s is taken", names);
    ck_assert_msg(err.code == code && strstr(err.text, names), "%d %s instead of %s", err.code,
                  err.text, names);
}

static void expect(const struct dicom_maker *m, enum error_code code, const char *names)
{
    size_t length;
    uint8_t *file = dicom_file(&length, m, ramp);
    expect_bytes(file, length, code, names);
    free(file);
}

#define SPOILT(field, value, code, names)                                                          \
    do {                                                                                           \
        struct dicom_maker m = dicom_default(4, 4);                                                \
        m.field = (value);                                                                         \
        expect(&m, code, names);                                                                   \
        m.implicit = true;                                                                         \
        expect(&m, code, names);                                                                   \
    } while (0)

START_TEST(attributes_are_refused_by_name)
{
    SPOILT(said_rows, -1, ERR_BAD_DICOM, "Rows is missing");
    SPOILT(said_rows, 0, ERR_BAD_DICOM, "Rows and Columns");
    SPOILT(said_rows, 5, ERR_BAD_DICOM,
           "4 x 5 pixels of 16 bits, which are 40 bytes, but Pixel Data have 32");
    SPOILT(more, 2, ERR_BAD_DICOM, "cut off");
    SPOILT(more, -2, ERR_BAD_DICOM, "Pixel Data have 30");
    SPOILT(said_columns, -1, ERR_BAD_DICOM, "Columns is missing");
    SPOILT(samples, 3, ERR_UNSUPPORTED, "coloured");
    SPOILT(photometric, "RGB", ERR_UNSUPPORTED, "Photometric Interpretation");
    SPOILT(photometric, "PALETTE COLOR", ERR_UNSUPPORTED, "Photometric Interpretation");
    SPOILT(photometric, NULL, ERR_BAD_DICOM, "Photometric Interpretation is missing");
    SPOILT(frames, "12", ERR_UNSUPPORTED, "12 frames");
    SPOILT(frames, "x", ERR_BAD_DICOM, "Number of Frames");
    SPOILT(allocated, 32, ERR_UNSUPPORTED, "Bits Allocated is 32");
    SPOILT(stored, 17, ERR_BAD_DICOM, "Bits Stored");
    SPOILT(stored, 0, ERR_BAD_DICOM, "Bits Stored");
    SPOILT(high, 16, ERR_BAD_DICOM, "High Bit");
    SPOILT(high, 3, ERR_BAD_DICOM, "High Bit");
    SPOILT(slope, "0", ERR_BAD_DICOM, "Rescale Slope");
    SPOILT(slope, "nan", ERR_BAD_DICOM, "Rescale Slope");
    SPOILT(inter, "1e400", ERR_BAD_DICOM, "Rescale Intercept");
    SPOILT(inter, "1\\2", ERR_BAD_DICOM, "Rescale Intercept");
    SPOILT(spacing, "0\\1", ERR_BAD_DICOM, "Pixel Spacing");
    SPOILT(spacing, "1", ERR_BAD_DICOM, "Pixel Spacing");
    SPOILT(spacing, "1\\", ERR_BAD_DICOM, "Pixel Spacing");
    SPOILT(spacing, "1e-9\\1", ERR_BAD_DICOM, "of a size that a body has");
    SPOILT(orientation, "1\\0\\0\\1\\0\\0", ERR_BAD_DICOM, "Image Orientation");
    SPOILT(orientation, "1\\0\\0\\0\\2\\0", ERR_BAD_DICOM, "Image Orientation");
    SPOILT(orientation, "1\\0\\0\\0\\1\\0\\0", ERR_BAD_DICOM, "Image Orientation");
    SPOILT(position, "0x10\\0\\0", ERR_BAD_DICOM, "Image Position");
    SPOILT(no_pixels, true, ERR_BAD_DICOM, "Pixel Data are missing");
    SPOILT(fragments, true, ERR_UNSUPPORTED, "fragments");
    struct dicom_maker report = dicom_default(4, 4);
    report.no_pixels = true;
    report.said_rows = report.said_columns = -1;
    expect(&report, ERR_UNSUPPORTED, "without a picture");
}
END_TEST

START_TEST(transfer_syntaxes_are_named)
{
    static const char *const cases[][2] = {
        {"1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.70 (JPEG Lossless, First-Order"},
        {"1.2.840.10008.1.2.4.90", "(JPEG 2000 Lossless), which is compressed"},
        {"1.2.840.10008.1.2.5", "(RLE Lossless), which is compressed"},
        {"1.2.840.10008.1.2.1.99", "(Deflated Explicit VR Little Endian)"},
        {"1.2.840.10008.1.2.2", "(Explicit VR Big Endian), which is not read"},
        {"1.2.3", "is 1.2.3, which is not known"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        SPOILT(syntax, cases[i][0], ERR_UNSUPPORTED, cases[i][1]);
    SPOILT(syntax, "Doe^Jane", ERR_BAD_DICOM, "no UID");
    ck_assert_ptr_null(strstr(err.text, "Doe"));
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    for (int how = 0; how < 8; how++) {
        struct dicom_maker m = dicom_default(3, 3);
        m.implicit = how & 1;
        m.bare = m.no_meta = how & 2;
        m.sequences = how & 4;
        size_t length;
        uint8_t *file = dicom_file(&length, &m, ramp);
        for (size_t n = 0; n < length; n++) {
            uint8_t *part = malloc(n + 1);
            struct dicom slice;
            memcpy(part, file, n);
            int rc = dicom_read(&slice, part, n, n, &err);
            if (rc == 0) /* nothing of a picture was there yet */
                ck_assert_int_eq(slice.state, DICOM_OTHER);
            else
                ck_assert(err.code == ERR_BAD_DICOM && err.text[0]);
            ck_assert(!m.bare || n < 18 || dicom_recognises(part, n));
            /* The same bytes as the beginning of the file say that there is more, or all. */
            rc = dicom_read(&slice, part, n, length, &err);
            if (n >= 132 || (m.bare && n > 18)) {
                ck_assert_msg(rc == 0, "%zu of %zu: %s", n, length, err.text);
                ck_assert_int_eq(slice.state, n < length - 18 ? DICOM_MORE : DICOM_SLICE);
            }
            free(part);
        }
        free(file);
    }
}
END_TEST

/* A file that opens sequences and never closes them, or asks for more than there is. */
START_TEST(nesting_and_lengths_are_bounded)
{
    struct dicom_bytes b = {calloc(1, DICOM_MAKER_ROOM), 132, false};
    memcpy(b.data + 128, "DICM", 4);
    dicom_text(&b, 0x00020010, "UI", "1.2.840.10008.1.2.1");
    size_t start = b.length;
    for (int i = 0; i < 4000; i++) {
        dicom_head(&b, 0x00081140, "SQ", 0xffffffff);
        dicom_head(&b, 0xfffee000, "", 0xffffffff);
    }
    expect_bytes(b.data, b.length, ERR_BAD_DICOM, "nested deeper");
    b.length = start;
    for (int i = 0; i <= DICOM_MAX_ELEMENTS / 8; i++)
        dicom_short(&b, 0x00090000, 1);
    expect_bytes(b.data, b.length, ERR_UNSUPPORTED, "without a picture");
    static const uint32_t lengths[] = {0xfffffffe, 0x80000000, 0x7fffffff, 1000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        b.length = start;
        dicom_head(&b, 0x00091000, "OB", lengths[i]);
        expect_bytes(b.data, b.length, ERR_BAD_DICOM, "(0009,1000)");
        b.length = start;
        dicom_head(&b, 0x00081140, "SQ", 0xffffffff);
        dicom_head(&b, 0xfffee000, "", lengths[i]);
        expect_bytes(b.data, b.length, ERR_BAD_DICOM, "(fffe,e000)");
    }
    b.length = start;
    dicom_head(&b, 0x00081140, "SQ", 0xffffffff);
    dicom_short(&b, 0x00280010, 3);
    b.length += 200000; /* what is read as its length */
    expect_bytes(b.data, b.length, ERR_BAD_DICOM, "where an item");
    b.length = start;
    dicom_head(&b, 0x00280010, "OB", 4);
    dicom_put(&b, 4, 1);
    expect_bytes(b.data, b.length, ERR_BAD_DICOM, "Rows has 4 bytes");
    b.length = start;
    dicom_put(&b, 8, 0x0101010100100028);
    expect_bytes(b.data, b.length, ERR_BAD_DICOM, "value representation");
    free(b.data);
    uint8_t *many = calloc(8, DICOM_MAX_ELEMENTS + 64);
    b = (struct dicom_bytes){many, 0, true};
    dicom_text(&b, 0x00080005, "CS", "ISO_IR 100");
    for (int i = 0; i < DICOM_MAX_ELEMENTS; i++)
        dicom_head(&b, 0x00090000, "", 0);
    expect_bytes(b.data, b.length, ERR_BAD_DICOM, "more than 65536 elements");
    free(many);
}
END_TEST

START_TEST(what_is_large_is_refused_before_memory_is_taken)
{
    struct dicom_maker m = dicom_default(30, 30);
    size_t length;
    uint8_t *file = dicom_file(&length, &m, ramp);
    struct volume *v;
    ck_assert_int_ne(volume_open(&v, file, length, &(struct volume_limits){1799, 100, NULL}, &err),
                     0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(volume_open(&v, file, length, &(struct volume_limits){1800, 100, NULL}, &err),
                     0);
    ck_assert_uint_eq(v->held, 1800);
    volume_close(v);
    free(file);
    m.said_rows = m.said_columns = 32767; /* 2 GB, of which nothing is there */
    m.more = 32767 * 32767 * 2 - 1800;
    expect(&m, ERR_BAD_DICOM, "cut off");
}
END_TEST

START_TEST(other_bytes_are_not_taken_for_dicom)
{
    static const char *const others[] = {"\x89PNG\r\n\x1a\n--------", "PK\3\4------------",
                                         "\x5c\1\0\0------------",    "\2\0rest of a text..",
                                         "\b\0\5\0\n\0\1\0--------",  "\0\0\0\0\0\0\0\0\0\0\0"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!volume_is_dicom(others[i], 16), "%zu", i);
    /* Whatever the preamble looks like. */
    struct dicom_maker m = dicom_default(4, 4);
    size_t length;
    uint8_t *file = dicom_file(&length, &m, ramp);
    float out[16];
    memcpy(file, "PK\3\4", 4);
    ck_assert_int_eq(read_file(out, file, length), 0);
    memcpy(file, "\x5c\1\0\0", 4);
    ck_assert_int_eq(read_file(out, file, length), 0);
    free(file);
    ck_assert(!volume_is_dicom("\b\0\5\0CS", 6));
    ck_assert(volume_is_dicom("\b\0\5\0CS\2\0X ", 10));
    ck_assert(!volume_is_dicom("\b\0\5\0CS\3\0X ", 10)); /* longer than the file */
}
END_TEST

START_TEST(nothing_of_the_patient_is_kept)
{
    struct dicom_maker m = dicom_default(4, 4);
    size_t length;
    uint8_t *file = dicom_file(&length, &m, ramp);
    struct dicom slice;
    struct volume *v;
    ck_assert_ptr_nonnull(memmem(file, length, "Doe^Jane", 8));
    ck_assert_int_eq(dicom_read(&slice, file, length, length, &err), 0);
    ck_assert_ptr_null(memmem(&slice, sizeof slice, "Doe", 3));
    ck_assert_ptr_null(memmem(&slice, sizeof slice, "1.2.826", 7));
    ck_assert_int_eq(volume_open(&v, file, length, &limits, &err), 0);
    ck_assert_ptr_null(memmem(v, sizeof *v, "Doe", 3));
    uint8_t labels[16] = {1}, *map;
    size_t map_length;
    ck_assert_int_eq(volume_write_labels(&map, &map_length, v, labels, &err), 0);
    struct volume *back;
    ck_assert_int_eq(volume_open(&back, map, map_length, &limits, &err), 0);
    ck_assert_ptr_null(memmem(back->header, back->header_size, "Doe", 3));
    for (int i = 0; i < 12; i++)
        ck_assert_double_eq_tol(back->affine[i / 4][i % 4], v->affine[i / 4][i % 4], 1e-5);
    volume_close(back);
    free(map);
    volume_close(v);
    free(file);
}
END_TEST

START_TEST(failing_memory_is_an_error)
{
    struct dicom_maker m = dicom_default(4, 4);
    size_t length;
    uint8_t *file = dicom_file(&length, &m, ramp);
    float out[16];
    struct oom_walk walk = {.err = &err, .more_than = 1};
    while (oom_next(&walk))
        oom_judge(&walk, read_file(out, file, length));
    free(file);
}
END_TEST

int main(void)
{
    RUN("dicom", every_form_reads_alike, bits_are_taken_where_they_are, a_slice_lies_where_it_says,
        what_is_white_and_what_is_no_ct, attributes_are_refused_by_name,
        transfer_syntaxes_are_named, every_truncation_is_refused, nesting_and_lengths_are_bounded,
        what_is_large_is_refused_before_memory_is_taken, other_bytes_are_not_taken_for_dicom,
        nothing_of_the_patient_is_kept, failing_memory_is_an_error);
}
