/* model/data/nifti: what is refused and in which words, damaged and hostile files, writing. */
#include "model/data/nifti.h"

#include <stdlib.h>

#include "tests/unit/nifti_maker.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

static const struct volume_limits limits = {1 << 24, 200, NULL};
static struct error err;

static double ramp(int i, int j, int k)
{
    return (i * 7 + j * 31 + k * 101) % 2000 - 1000;
}

static double zeros(int i, int j, int k)
{
    return 0 * (i + j + k);
}

/* Opens and reads every slice, as a service would; 0 where all is well. */
static int read_all(const uint8_t *file, size_t length, const struct volume_limits *allowed)
{
    struct volume *v = NULL;
    int rc = volume_open(&v, file, length, allowed, &err);
    if (rc == 0) {
        struct voxel_range range;
        float *out = malloc(sizeof *out * (size_t)volume_columns(v) * (size_t)volume_rows(v));
        rc = out ? 0 : error_set(&err, ERR_MEMORY, "no memory for a slice");
        for (int k = 0; rc == 0 && k < volume_slices(v); k++)
            rc = volume_read(out, &range, v, k, &err);
        free(out);
    } else {
        ck_assert_ptr_null(v);
    }
    volume_close(v);
    return rc;
}

static void expect(const struct nifti_maker *m, enum error_code code, const char *names)
{
    uint8_t header[1024];
    nifti_header(m, header);
    for (int gzip = 0; gzip < 2; gzip++) {
        size_t length = (size_t)nifti_header_size(m) + 4 + 16, zipped;
        uint8_t *zip = gzip_bytes(&zipped, header, length);
        int rc = gzip ? read_all(zip, zipped, &limits) : read_all(header, length, &limits);
        ck_assert_msg(rc != 0, "%s is taken", names);
        ck_assert_msg(err.code == code && strstr(err.text, names), "%s instead of %s", err.text,
                      names);
        free(zip);
    }
}

START_TEST(headers_are_refused_naming_the_field)
{
    for (int version = 1; version <= 2; version++)
        for (int big = 0; big < 2; big++) {
            struct nifti_maker good = nifti_default(2, 2, 2), m;
            good.version = version;
            good.big = big;
#define SPOILT(change, code, names)                                                                \
    do {                                                                                           \
        m = good;                                                                                  \
        change;                                                                                    \
        expect(&m, code, names);                                                                   \
    } while (0)
            SPOILT(m.dim[0] = 0, ERR_BAD_NIFTI, "dim[0]");
            SPOILT(m.dim[0] = 8, ERR_BAD_NIFTI, "dim[0]");
            SPOILT(m.dim[0] = -1, ERR_BAD_NIFTI, "dim[0]");
            SPOILT(m.dim[1] = 0, ERR_BAD_NIFTI, "dim[1]");
            SPOILT(m.dim[2] = -5, ERR_BAD_NIFTI, "dim[2]");
            SPOILT(m.dim[3] = 30000, ERR_BAD_NIFTI, "dim and datatype");
            SPOILT((m.dim[0] = 4, m.dim[4] = 2), ERR_BAD_NIFTI, "dim[4]");
            SPOILT(m.datatype = 128, ERR_BAD_NIFTI, "datatype");
            SPOILT(m.datatype = 1536, ERR_BAD_NIFTI, "datatype");
            SPOILT(m.datatype = 0, ERR_BAD_NIFTI, "datatype");
            SPOILT(m.bitpix = 8, ERR_BAD_NIFTI, "bitpix");
            SPOILT(m.slope = INFINITY, ERR_BAD_NIFTI, "scl_slope");
            SPOILT((m.slope = 1, m.inter = NAN), ERR_BAD_NIFTI, "scl_inter");
            SPOILT(m.srow[1][2] = NAN, ERR_BAD_NIFTI, "srow_y[2]");
            SPOILT(m.srow[2][3] = INFINITY, ERR_BAD_NIFTI, "srow_z[3]");
            SPOILT(memset(m.srow, 0, sizeof m.srow), ERR_BAD_NIFTI, "srow_x, srow_y and srow_z");
            SPOILT(m.srow[0][0] = 1e8, ERR_BAD_NIFTI, "of a size");
            SPOILT(m.srow[0][0] = 1e-8, ERR_BAD_NIFTI, "of a size");
            SPOILT(m.srow[0][3] = 1e12, ERR_BAD_NIFTI, "of a size");
            SPOILT(m.srow[0][0] = 0, ERR_BAD_NIFTI, "three dimensions");
            SPOILT((m.sform = 0, m.pixdim[2] = NAN), ERR_BAD_NIFTI, "pixdim[2]");
            SPOILT((m.sform = 0, m.pixdim[3] = 0), ERR_BAD_NIFTI, "pixdim[3]");
            SPOILT((m.sform = 0, m.qform = 1, m.quatern[1] = NAN), ERR_BAD_NIFTI, "quatern_c");
            SPOILT((m.sform = 0, m.qform = 1, m.quatern[0] = 7), ERR_BAD_NIFTI, "quatern_b");
            SPOILT((m.sform = 0, m.qform = 1, m.quatern[0] = m.quatern[1] = 0.9), ERR_BAD_NIFTI,
                   "longer than 1");
            SPOILT((m.sform = 0, m.qform = 1, m.qoffset[2] = NAN), ERR_BAD_NIFTI, "qoffset_z");
#undef SPOILT
        }
}
END_TEST

/* Changes bytes of a good file. */
static void expect_patched(size_t at, const void *bytes, size_t count, const char *names)
{
    struct nifti_maker m = nifti_default(2, 2, 2);
    size_t length;
    uint8_t *file = nifti_file(&length, &m, ramp);
    memcpy(file + at, bytes, count);
    int rc = read_all(file, length, &limits);
    ck_assert_msg(rc != 0 && strstr(err.text, names), "%s instead of %s", err.text, names);
    free(file);
}

START_TEST(magic_and_offset)
{
    expect_patched(344, "ni1", 4, "two files");
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
    expect_patched(344, "", 1, "magic");
    expect_patched(0, "\x5d\1\0", 4, "sizeof_hdr");
    static const float offsets[] = {351, 352.5f, -352, 1e30f, NAN, INFINITY, 400, 369};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        expect_patched(108, &offsets[i], 4, "vox_offset");
    struct nifti_maker m = nifti_default(2, 2, 2);
    size_t length;
    uint8_t *file = nifti_file(&length, &m, ramp);
    memset(file + 108, 0, 4); /* not set: right behind the header */
    ck_assert_int_eq(read_all(file, length, &limits), 0);
    free(file);
    m.offset = 10000; /* extensions between */
    file = nifti_file(&length, &m, ramp);
    ck_assert_int_eq(read_all(file, length, &limits), 0);
    size_t zipped;
    uint8_t *zip = gzip_bytes(&zipped, file, length);
    ck_assert_int_eq(read_all(zip, zipped, &(struct volume_limits){1 << 20, 1000, NULL}), 0);
    free(zip);
    zip = gzip_bytes(&zipped, file, 9000);
    ck_assert_int_ne(read_all(zip, zipped, &(struct volume_limits){1 << 20, 1000, NULL}), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "vox_offset"));
    free(zip);
    free(file);
}
END_TEST

/* Every float of the header, one after another, is not a number, or endless. */
START_TEST(no_float_of_the_header_does_harm)
{
    static const double values[] = {NAN, INFINITY, -INFINITY, 1e38, -1e38, 1e-45, 0};
    for (int version = 1; version <= 2; version++)
        for (int forms = 0; forms < 3; forms++)
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                struct nifti_maker m = nifti_default(3, 2, 2);
                m.version = version;
                m.sform = forms == 0;
                m.qform = forms == 1;
                m.slope = 1;
                int width = version == 1 ? 4 : 8, size = nifti_header_size(&m);
                size_t length;
                uint8_t *file = nifti_file(&length, &m, ramp);
                for (int at = version == 1 ? 76 : 104; at + width <= size; at += 4) {
                    uint8_t kept[8];
                    memcpy(kept, file + at, 8);
                    nifti_put_real(&m, file + at, width, values[v]);
                    if (read_all(file, length, &limits) != 0)
                        ck_assert_msg(err.text[0] != 0 && err.code != ERR_MEMORY, "%s", err.text);
                    memcpy(file + at, kept, 8);
                }
                ck_assert_int_eq(read_all(file, length, &limits), 0);
                free(file);
            }
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    for (int version = 1; version <= 2; version++) {
        struct nifti_maker m = nifti_default(5, 4, 3);
        m.version = version;
        size_t length, zipped;
        uint8_t *file = nifti_file(&length, &m, ramp), *zip = gzip_bytes(&zipped, file, length);
        for (int gzip = 0; gzip < 2; gzip++) {
            size_t whole = gzip ? zipped : length;
            ck_assert_int_eq(read_all(gzip ? zip : file, whole, &limits), 0);
            for (size_t n = 0; n < whole; n++) {
                uint8_t *cut = malloc(n + 1); /* exactly as long: a sanitizer sees reads past it */
                cut = realloc(cut, n ? n : 1);
                memcpy(cut, gzip ? zip : file, n);
                ck_assert_msg(read_all(cut, n, &limits) != 0, "%zu of %zu bytes are taken", n,
                              whole);
                ck_assert(err.code == ERR_BAD_NIFTI || err.code == ERR_UNSUPPORTED);
                free(cut);
            }
        }
        free(file);
        free(zip);
    }
}
END_TEST

START_TEST(what_follows_is_refused)
{
    struct nifti_maker m = nifti_default(5, 4, 3);
    size_t length, zipped, first, second;
    uint8_t *file = nifti_file(&length, &m, ramp);
    uint8_t *longer = calloc(1, 2 * length);
    memcpy(longer, file, length);
    ck_assert_int_ne(read_all(longer, length + 1, &limits), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "dim and datatype"));
    uint8_t *zip = gzip_bytes(&zipped, longer, length + 1);
    ck_assert_int_ne(read_all(zip, zipped, &limits), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "after the last voxel"));
    free(zip);
    zip = gzip_bytes(&zipped, file, length);
    uint8_t *garbage = malloc(zipped + 7);
    memcpy(garbage, zip, zipped);
    memcpy(garbage + zipped, "garbage", 7);
    ck_assert_int_ne(read_all(garbage, zipped + 7, &limits), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "7 bytes that are no gzip data"));
    free(garbage);
    /* A wrong checksum. */
    zip[zipped - 8] ^= 1;
    ck_assert_int_ne(read_all(zip, zipped, &limits), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "damaged"));
    free(zip);
    /* Two members are one file. */
    uint8_t *a = gzip_bytes(&first, file, 400), *b = gzip_bytes(&second, file + 400, length - 400);
    uint8_t *both = malloc(first + second);
    memcpy(both, a, first);
    memcpy(both + first, b, second);
    ck_assert_msg(read_all(both, first + second, &limits) == 0, "%s", err.text);
    free(a);
    free(b);
    free(both);
    free(longer);
    free(file);
}
END_TEST

START_TEST(bombs_stay_small)
{
    /* A few hundred bytes that ask for 18 GB. */
    struct nifti_maker m = nifti_default(30000, 30000, 10);
    uint8_t header[600];
    size_t zipped;
    nifti_header(&m, header);
    uint8_t *zip = gzip_bytes(&zipped, header, 377);
    ck_assert_int_ne(read_all(header, 377, &limits), 0);
    ck_assert_int_eq(err.code, ERR_BAD_NIFTI);
    ck_assert_int_ne(read_all(zip, zipped, &limits), 0);
    ck_assert_int_eq(err.code, ERR_BAD_NIFTI);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot hold"));
    free(zip);
    /* More than the product of three numbers can say. */
    m = nifti_default(2000000000, 2000000000, 2000000000);
    m.version = 2;
    nifti_header(&m, header);
    ck_assert_int_ne(read_all(header, 560, &limits), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "dim[1..3]"));
    /* Air compresses well, but a volume of nothing else is none. */
    m = nifti_default(512, 512, 8);
    size_t length;
    uint8_t *file = nifti_file(&length, &m, zeros);
    zip = gzip_bytes(&zipped, file, length);
    ck_assert_int_ne(read_all(zip, zipped, &limits), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(read_all(zip, zipped, &(struct volume_limits){1 << 24, 1032, NULL}), 0);
    ck_assert_int_ne(read_all(zip, zipped, &(struct volume_limits){1 << 20, 1032, NULL}), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    free(zip);
    free(file);
}
END_TEST

START_TEST(compressed_slices_come_as_they_are_needed)
{
    struct nifti_maker m = nifti_default(64, 64, 16);
    size_t length, zipped;
    uint8_t *file = nifti_file(&length, &m, ramp), *zip = gzip_bytes(&zipped, file, length);
    struct volume *v;
    struct voxel_range range;
    float out[64 * 64];
    ck_assert_int_eq(
        volume_open(&v, zip, zipped, &(struct volume_limits){1 << 20, 1000, NULL}, &err), 0);
    ck_assert_uint_eq(v->there, 0);
    ck_assert_int_eq(volume_read(out, &range, v, 3, &err), 0);
    ck_assert_uint_eq(v->there, 4 * 64 * 64 * 2);
    ck_assert_int_eq(volume_read(out, &range, v, 1, &err), 0);
    ck_assert_uint_eq(v->there, 4 * 64 * 64 * 2);
    volume_close(v);
    free(zip);
    free(file);
}
END_TEST

START_TEST(failing_memory_is_an_error)
{
    struct nifti_maker m = nifti_default(8, 8, 4);
    size_t length, zipped, map_length;
    uint8_t *file = nifti_file(&length, &m, ramp), *zip = gzip_bytes(&zipped, file, length);
    uint8_t labels[8 * 8 * 4] = {0};
    struct oom_walk reading = {.err = &err, .more_than = 3};
    while (oom_next(&reading))
        oom_judge(&reading, read_all(zip, zipped, &limits));
    struct volume *v;
    ck_assert_int_eq(volume_open(&v, file, length, &limits, &err), 0);
    struct oom_walk writing = {.err = &err, .more_than = 1};
    while (oom_next(&writing)) {
        uint8_t *map = NULL;
        int rc = volume_write_labels(&map, &map_length, v, labels, &err);
        free(map);
        oom_judge(&writing, rc);
        if (rc != 0)
            ck_assert_ptr_null(map);
    }
    volume_close(v);
    free(file);
    free(zip);
}
END_TEST

START_TEST(label_maps_tell_nothing_about_the_patient)
{
    for (int version = 1; version <= 2; version++) {
        struct nifti_maker m = nifti_default(8, 8, 4);
        m.version = version;
        size_t length, map_length;
        uint8_t *file = nifti_file(&length, &m, ramp), *map;
        if (version == 1)
            memcpy(file + 14, "Doe^John", 8); /* db_name */
        memcpy(file + (version == 1 ? 228 : 320), "Doe^John", 8);
        uint8_t labels[8 * 8 * 4] = {3};
        struct volume *v, *back;
        ck_assert_int_eq(volume_open(&v, file, length, &limits, &err), 0);
        ck_assert_int_eq(volume_write_labels(&map, &map_length, v, labels, &err), 0);
        ck_assert_int_eq(
            volume_open(&back, map, map_length, &(struct volume_limits){1024, 1000, NULL}, &err),
            0);
        ck_assert_ptr_null(memmem(back->header, back->header_size, "Doe", 3));
        ck_assert_ptr_nonnull(memmem(back->header, back->header_size, "3 consolidation", 15));
        volume_close(back);
        volume_close(v);
        free(map);
        free(file);
    }
}
END_TEST

START_TEST(volumes_written_are_read)
{
    static const int size[3] = {5, 4, 3};
    static const double affine[3][4] = {{-0.5, 0, 0, 9}, {0, -0.5, 0, 8}, {0, 0, 2, 7}};
    int16_t voxels[60];
    for (int i = 0; i < 60; i++)
        voxels[i] = (int16_t)(i * 20 - 1000);
    for (int gzip = 0; gzip < 2; gzip++) {
        uint8_t *file;
        size_t length;
        struct volume *v;
        struct voxel_range range;
        float out[20];
        ck_assert_int_eq(nifti_write(&file, &length, size, VOXEL_I16, affine, voxels, gzip, &err),
                         0);
        ck_assert_int_eq(volume_open(&v, file, length, &limits, &err), 0);
        ck_assert_mem_eq(v->affine, affine, sizeof affine);
        ck_assert_int_eq(volume_read(out, &range, v, 2, &err), 0);
        for (int i = 0; i < 20; i++) /* as CT lies: nothing is turned */
            ck_assert_float_eq(out[i], voxels[40 + i]);
        volume_close(v);
        free(file);
    }
    static const int wide[3] = {40000, 1, 1};
    uint8_t *file;
    size_t length;
    ck_assert_int_ne(nifti_write(&file, &length, wide, VOXEL_U8, affine, voxels, false, &err), 0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
}
END_TEST

int main(void)
{
    RUN("nifti", headers_are_refused_naming_the_field, magic_and_offset,
        no_float_of_the_header_does_harm, every_truncation_is_refused, what_follows_is_refused,
        bombs_stay_small, compressed_slices_come_as_they_are_needed, failing_memory_is_an_error,
        label_maps_tell_nothing_about_the_patient, volumes_written_are_read);
}
