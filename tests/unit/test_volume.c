/* model/data/volume: slices, pixels and millimetres of volumes in every order, type and byte order.
 */
#include "model/data/volume.h"

#include "tests/golden/nifti_affine.h"
#include "tests/unit/nifti_maker.h"
#include "tests/unit/run.h"

static const struct volume_limits limits = {1 << 24, 1000, NULL};
static struct error err;

static struct volume *open_volume(const uint8_t *file, size_t length)
{
    struct volume *volume;
    int rc = volume_open(&volume, file, length, &limits, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    return volume;
}

/* ---- the 48 orders ---- */

enum { NX = 4, NY = 5, NZ = 6 }; /* voxels to the right, front, head */

static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

static const int *axis_world; /* of a storage axis: which of x, y, z */
static unsigned backwards;    /* bit per storage axis */
static const int counts[3] = {NX, NY, NZ};

/* What is at a place in the body: each place has a number of its own. */
static double place_value(int x, int y, int z)
{
    return x + 10 * y + 100 * z;
}

static double stored_value(int i, int j, int k)
{
    const int index[3] = {i, j, k};
    int place[3];
    for (int axis = 0; axis < 3; axis++) {
        int world = axis_world[axis];
        place[world] = backwards >> axis & 1 ? counts[world] - 1 - index[axis] : index[axis];
    }
    return place_value(place[0], place[1], place[2]);
}

/* Places are 2 mm apart to the right, 3 to the front and 4 to the head, the first is at the origin.
 */
static struct nifti_maker order_maker(int version, bool big)
{
    struct nifti_maker m = nifti_default(0, 0, 0);
    m.version = version;
    m.big = big;
    memset(m.srow, 0, sizeof m.srow);
    for (int axis = 0; axis < 3; axis++) {
        int world = axis_world[axis];
        bool turned = backwards >> axis & 1;
        double step = 2 + world;
        m.dim[axis + 1] = counts[world];
        m.srow[world][axis] = turned ? -step : step;
        m.srow[world][3] = turned ? step * (counts[world] - 1) : 0;
    }
    return m;
}

static void check_order(int version, bool big, bool gzip)
{
    struct nifti_maker m = order_maker(version, big);
    size_t length, zipped;
    uint8_t *file = nifti_file(&length, &m, stored_value);
    uint8_t *zip = gzip_bytes(&zipped, file, length);
    struct volume *v = gzip ? open_volume(zip, zipped) : open_volume(file, length);
    float pixels[NX * NY];
    struct voxel_range range;
    uint8_t labels[NX * NY * NZ], *map;
    ck_assert_int_eq(volume_columns(v), NX);
    ck_assert_int_eq(volume_rows(v), NY);
    ck_assert_int_eq(volume_slices(v), NZ);
    char codes[4], expected[4] = "";
    for (int axis = 0; axis < 3; axis++)
        expected[axis] = (backwards >> axis & 1 ? "LPI" : "RAS")[axis_world[axis]];
    volume_orientation(codes, v);
    ck_assert_str_eq(codes, expected);
    for (int k = 0; k < NZ; k++) {
        ck_assert_int_eq(volume_read(pixels, &range, v, k, &err), 0);
        for (int row = 0; row < NY; row++)
            for (int column = 0; column < NX; column++) {
                /* As a reader looks at it: the right on the left, the front up. */
                int x = NX - 1 - column, y = NY - 1 - row;
                int z = backwards >> v->slice_axis & 1 ? NZ - 1 - k : k;
                double world[3];
                ck_assert_float_eq(pixels[row * NX + column], (float)place_value(x, y, z));
                volume_to_world(world, v, column + 0.5, row + 0.5, k);
                ck_assert_double_eq_tol(world[0], 2 * x, 1e-9);
                ck_assert_double_eq_tol(world[1], 3 * y, 1e-9);
                ck_assert_double_eq_tol(world[2], 4 * z, 1e-9);
                labels[volume_index(v, column, row, k)] = (uint8_t)(x + 4 * y + 20 * z);
            }
    }
    /* The label map comes back on the same grid, with the affine's bytes as they were. */
    size_t map_length;
    ck_assert_int_eq(volume_write_labels(&map, &map_length, v, labels, &err), 0);
    struct volume *back = open_volume(map, map_length);
    ck_assert_mem_eq(back->size, v->size, sizeof v->size);
    ck_assert_mem_eq(back->affine, v->affine, sizeof v->affine);
    ck_assert_int_eq(back->type, VOXEL_U8);
    size_t from = version == 1 ? 252 : 344, to = version == 1 ? 328 : 496; /* codes to srow_z */
    ck_assert_mem_eq(back->header + from, v->header + from, to - from);
    size_t dim = version == 1 ? 40 : 16;
    ck_assert_mem_eq(back->header + dim, v->header + dim, version == 1 ? 16 : 64);
    for (int k = 0; k < NZ; k++) {
        ck_assert_int_eq(volume_read(pixels, &range, back, k, &err), 0);
        for (int row = 0; row < NY; row++)
            for (int column = 0; column < NX; column++)
                ck_assert_float_eq(pixels[row * NX + column],
                                   labels[volume_index(v, column, row, k)]);
    }
    volume_close(back);
    volume_close(v);
    free(map);
    free(zip);
    free(file);
}

START_TEST(every_order_reads_alike_and_goes_back)
{
    int checked = 0;
    for (int order = 0; order < 6; order++)
        for (backwards = 0; backwards < 8; backwards++) {
            axis_world = orders[order];
            for (int how = 0; how < 8; how++)
                check_order(1 + (how & 1), how & 2, how & 4);
            checked++;
        }
    ck_assert_int_eq(checked, 48);
}
END_TEST

/* ---- types ---- */

static double ramp(int i, int j, int k)
{
    return i + 3 * j + 9 * k;
}

static double signed_ramp(int i, int j, int k)
{
    return ramp(i, j, k) - 13;
}

START_TEST(every_type_in_both_byte_orders)
{
    static const struct {
        int datatype, bits;
        bool is_signed;
        enum voxel_type type;
    } types[] = {
        {2, 8, false, VOXEL_U8},      {256, 8, true, VOXEL_I8},    {512, 16, false, VOXEL_U16},
        {4, 16, true, VOXEL_I16},     {768, 32, false, VOXEL_U32}, {8, 32, true, VOXEL_I32},
        {1280, 64, false, VOXEL_U64}, {1024, 64, true, VOXEL_I64}, {16, 32, true, VOXEL_F32},
        {64, 64, true, VOXEL_F64},
    };
    ck_assert_int_eq(sizeof types / sizeof *types, VOXEL_TYPES);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int how = 0; how < 4; how++) {
            struct nifti_maker m = nifti_default(3, 3, 3);
            m.datatype = types[t].datatype;
            m.bitpix = types[t].bits;
            m.version = 1 + (how & 1);
            m.big = how & 2;
            m.slope = 2;
            m.inter = -1000;
            size_t length;
            uint8_t *file = nifti_file(&length, &m, types[t].is_signed ? signed_ramp : ramp);
            struct volume *v = open_volume(file, length);
            float out[9];
            struct voxel_range range;
            ck_assert_int_eq(v->type, types[t].type);
            for (int k = 0; k < 3; k++) {
                ck_assert_int_eq(volume_read(out, &range, v, k, &err), 0);
                double offset = types[t].is_signed ? 13 : 0;
                for (int i = 0; i < 9; i++)
                    ck_assert_float_eq(out[i], (float)(2 * (9 * k + i - offset) - 1000));
                ck_assert_float_eq(range.minimum, (float)(2 * (9 * k - offset) - 1000));
                ck_assert_float_eq(range.maximum, (float)(2 * (9 * k + 8 - offset) - 1000));
                ck_assert_int_eq(range.finite, 9);
            }
            volume_close(v);
            free(file);
        }
}
END_TEST

static double with_holes(int i, int j, int k)
{
    return i == 1 ? (double)NAN : j == 1 ? (double)INFINITY : ramp(i, j, k);
}

START_TEST(what_is_not_a_number_is_air_and_counted)
{
    for (int bits = 32; bits <= 64; bits += 32) {
        struct nifti_maker m = nifti_default(3, 3, 2);
        m.datatype = bits == 32 ? 16 : 64;
        m.bitpix = bits;
        size_t length;
        uint8_t *file = nifti_file(&length, &m, with_holes);
        struct volume *v = open_volume(file, length);
        float out[9];
        struct voxel_range range;
        ck_assert_int_eq(volume_read(out, &range, v, 1, &err), 0);
        ck_assert_int_eq(range.not_finite, 5);
        ck_assert_int_eq(range.finite, 4);
        ck_assert_float_eq(range.minimum, 9);
        ck_assert_float_eq(range.maximum, 17);
        ck_assert_float_eq(out[1], VOLUME_AIR);
        ck_assert_float_eq(out[3], VOLUME_AIR);
        ck_assert_float_eq(out[2], 11);
        ck_assert_int_lt(volume_read(out, &range, v, 2, &err), 0);
        ck_assert_int_lt(volume_read(out, &range, v, -1, &err), 0);
        ck_assert_int_eq(err.code, ERR_ARGUMENT);
        volume_close(v);
        free(file);
    }
}
END_TEST

START_TEST(scaling_of_zero_or_nan_is_none)
{
    static const struct {
        double slope, inter, hu;
    } cases[] = {{0, 50, 4}, {NAN, 50, 4}, {NAN, NAN, 4}, {1, -1024, -1020}, {-2, 1, -7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nifti_maker m = nifti_default(3, 3, 1);
        m.slope = cases[i].slope;
        m.inter = cases[i].inter;
        size_t length;
        uint8_t *file = nifti_file(&length, &m, ramp);
        struct volume *v = open_volume(file, length);
        float out[9];
        struct voxel_range range;
        ck_assert_int_eq(volume_read(out, &range, v, 0, &err), 0);
        ck_assert_float_eq(out[4], (float)cases[i].hu);
        volume_close(v);
        free(file);
    }
}
END_TEST

START_TEST(flat_volumes_and_single_frames)
{
    static const int dims[][8] = {{2, 3, 3, 9, 9, 9, 9, 9},
                                  {3, 3, 3, 1, 7, 7, 7, 7},
                                  {4, 3, 3, 2, 1, 5, 5, 5},
                                  {7, 3, 3, 2, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        struct nifti_maker m = nifti_default(3, 3, 1);
        memcpy(m.dim, dims[i], sizeof m.dim);
        size_t length;
        m.dim[4] = 1; /* so that one frame is made */
        uint8_t *file = nifti_file(&length, &m, ramp);
        memcpy(m.dim, dims[i], sizeof m.dim);
        nifti_header(&m, file);
        struct volume *v = open_volume(file, length);
        ck_assert_int_eq(volume_slices(v), i < 2 ? 1 : 2);
        volume_close(v);
        free(file);
    }
}
END_TEST

/* ---- geometry ---- */

START_TEST(affines_as_nibabel_reads_them)
{
    enum { CASES = sizeof affine_cases / sizeof *affine_cases };
    int quaternions = 0;
    for (int i = 0; i < CASES; i++) {
        const struct affine_case *c = &affine_cases[i];
        struct nifti_maker m = nifti_default(5, 6, 7);
        m.version = c->version;
        m.sform = c->sform;
        m.qform = c->qform;
        memcpy(m.pixdim, c->pixdim, sizeof m.pixdim);
        memcpy(m.quatern, c->quatern, sizeof m.quatern);
        memcpy(m.qoffset, c->qoffset, sizeof m.qoffset);
        memcpy(m.srow, c->srow, sizeof m.srow);
        size_t length;
        uint8_t *file = nifti_file(&length, &m, ramp);
        struct volume *v = open_volume(file, length);
        char codes[4];
        volume_orientation(codes, v);
        ck_assert_str_eq(codes, c->codes);
        if (c->sform)
            ck_assert_mem_eq(v->affine, c->affine, sizeof c->affine);
        for (int k = 0; k < 12; k++) /* exact to seven digits where NIfTI-1 stores floats */
            ck_assert_double_eq_tol(v->affine[k / 4][k % 4], c->affine[k / 4][k % 4], 1e-5);
        ck_assert_str_eq(v->placed_by, c->sform ? "sform" : "qform");
        quaternions += !c->sform;
        volume_close(v);
        free(file);
    }
    ck_assert_int_gt(quaternions, 15);
}
END_TEST

START_TEST(sizes_in_millimetres)
{
    static const struct {
        int units;
        double scale;
    } units[] = {{0, 1}, {2, 1}, {1, 1000}, {3, 0.001}, {2 | 8, 1}}; /* the last: and seconds */
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct nifti_maker m = nifti_default(4, 4, 4);
        m.units = units[i].units;
        size_t length;
        uint8_t *file = nifti_file(&length, &m, ramp);
        struct volume *v = open_volume(file, length);
        double spacing[3], s = units[i].scale;
        volume_spacing(spacing, v);
        ck_assert_double_eq_tol(spacing[0], 0.75 * s, 1e-9 * s);
        ck_assert_double_eq_tol(spacing[1], 0.75 * s, 1e-9 * s);
        ck_assert_double_eq_tol(spacing[2], 5 * s, 1e-9 * s);
        ck_assert_double_eq_tol(volume_voxel_mm3(v), 2.8125 * s * s * s, 1e-9 * s * s * s);
        ck_assert_double_eq_tol(volume_pixel_mm2(v), 0.5625 * s * s, 1e-9 * s * s);
        ck_assert_double_eq_tol(volume_tilt(v), 0, 1e-6);
        volume_close(v);
        free(file);
    }
    /* A gantry tilted by 20 degrees: slices are moved against each other, volumes stay. */
    struct nifti_maker m = nifti_default(4, 4, 4);
    double tilt = 20 * M_PI / 180;
    m.srow[1][1] = -0.75 * cos(tilt);
    m.srow[2][1] = -0.75 * sin(tilt);
    size_t length;
    uint8_t *file = nifti_file(&length, &m, ramp);
    struct volume *v = open_volume(file, length);
    ck_assert_double_eq_tol(volume_tilt(v), 20, 1e-4);
    ck_assert_double_eq_tol(volume_voxel_mm3(v), 2.8125 * cos(tilt), 1e-6);
    volume_close(v);
    free(file);
}
END_TEST

START_TEST(without_a_transform_distances_are_all_there_is)
{
    struct nifti_maker m = nifti_default(4, 4, 4);
    m.sform = 0;
    m.pixdim[1] = -0.5; /* a sign here means nothing */
    size_t length;
    uint8_t *file = nifti_file(&length, &m, ramp);
    struct volume *v = open_volume(file, length);
    char codes[4];
    volume_orientation(codes, v);
    ck_assert_str_eq(codes, "RAS");
    ck_assert_str_eq(v->placed_by, "pixdim");
    ck_assert_double_eq(v->affine[0][0], 0.5);
    ck_assert_double_eq(v->affine[2][2], 5);
    volume_close(v);
    free(file);
}
END_TEST

int main(void)
{
    RUN("volume", every_order_reads_alike_and_goes_back, every_type_in_both_byte_orders,
        what_is_not_a_number_is_air_and_counted, scaling_of_zero_or_nan_is_none,
        flat_volumes_and_single_frames, affines_as_nibabel_reads_them, sizes_in_millimetres,
        without_a_transform_distances_are_all_there_is);
}
