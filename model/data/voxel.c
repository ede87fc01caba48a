#include "model/data/voxel.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    int bits;
} types[VOXEL_TYPES] = {
    [VOXEL_U8] = {"uint8", 8},     [VOXEL_I8] = {"int8", 8},     [VOXEL_U16] = {"uint16", 16},
    [VOXEL_I16] = {"int16", 16},   [VOXEL_U32] = {"uint32", 32}, [VOXEL_I32] = {"int32", 32},
    [VOXEL_U64] = {"uint64", 64},  [VOXEL_I64] = {"int64", 64},  [VOXEL_F32] = {"float32", 32},
    [VOXEL_F64] = {"float64", 64},
};

const char *voxel_type_name(enum voxel_type type)
{
    return (unsigned)type < VOXEL_TYPES ? types[type].name : "unknown";
}

int voxel_bits(enum voxel_type type)
{
    return (unsigned)type < VOXEL_TYPES ? types[type].bits : 0;
}

/* One function per type and byte order: unsigned words are read, turned, and taken for `type`. */
#define READER(name, word, type, turn)                                                             \
    static void read_##name(float *out, int count, const uint8_t *at, ptrdiff_t step,              \
                            double slope, double inter)                                            \
    {                                                                                              \
        for (int i = 0; i < count; i++, at += step) {                                              \
            word bits;                                                                             \
            type value;                                                                            \
            memcpy(&bits, at, sizeof bits);                                                        \
            bits = turn(bits);                                                                     \
            memcpy(&value, &bits, sizeof value);                                                   \
            out[i] = (float)((double)value * slope + inter);                                       \
        }                                                                                          \
    }

#define KEEP(x) (x)

READER(u8, uint8_t, uint8_t, KEEP)
READER(i8, uint8_t, int8_t, KEEP)
READER(u16, uint16_t, uint16_t, KEEP)
READER(i16, uint16_t, int16_t, KEEP)
READER(u32, uint32_t, uint32_t, KEEP)
READER(i32, uint32_t, int32_t, KEEP)
READER(u64, uint64_t, uint64_t, KEEP)
READER(i64, uint64_t, int64_t, KEEP)
READER(f32, uint32_t, float, KEEP)
READER(f64, uint64_t, double, KEEP)
READER(u16_turned, uint16_t, uint16_t, __builtin_bswap16)
READER(i16_turned, uint16_t, int16_t, __builtin_bswap16)
READER(u32_turned, uint32_t, uint32_t, __builtin_bswap32)
READER(i32_turned, uint32_t, int32_t, __builtin_bswap32)
READER(u64_turned, uint64_t, uint64_t, __builtin_bswap64)
READER(i64_turned, uint64_t, int64_t, __builtin_bswap64)
READER(f32_turned, uint32_t, float, __builtin_bswap32)
READER(f64_turned, uint64_t, double, __builtin_bswap64)

typedef void reader(float *out, int count, const uint8_t *at, ptrdiff_t step, double slope,
                    double inter);

static reader *const readers[2][VOXEL_TYPES] = {
    {read_u8, read_i8, read_u16, read_i16, read_u32, read_i32, read_u64, read_i64, read_f32,
     read_f64},
    {read_u8, read_i8, read_u16_turned, read_i16_turned, read_u32_turned, read_i32_turned,
     read_u64_turned, read_i64_turned, read_f32_turned, read_f64_turned},
};

void voxels_read(float *out, int count, const uint8_t *first, ptrdiff_t step,
                 const struct volume *volume, struct voxel_range *range)
{
    float low = range->finite ? range->minimum : FLT_MAX;
    float high = range->finite ? range->maximum : -FLT_MAX;
    int not_finite = 0;
    readers[volume->swapped][volume->type](out, count, first, step, volume->slope, volume->inter);
    for (int i = 0; i < count; i++) {
        if (!isfinite(out[i])) {
            out[i] = VOLUME_AIR;
            not_finite++;
            continue;
        }
        low = out[i] < low ? out[i] : low;
        high = out[i] > high ? out[i] : high;
    }
    range->finite += count - not_finite;
    range->not_finite += not_finite;
    if (range->finite) {
        range->minimum = low;
        range->maximum = high;
    }
}
