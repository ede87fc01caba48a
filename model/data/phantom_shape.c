/* Geometry and noise of the phantom. */
#include "model/data/phantom_parts.h"

float uniform(struct rng *rng, float low, float high)
{
    return low + (high - low) * rng_float(rng);
}

struct point random_direction(struct rng *rng)
{
    for (;;) {
        struct point p = {uniform(rng, -1, 1), uniform(rng, -1, 1), uniform(rng, -1, 1)};
        float length = sqrtf(p.x * p.x + p.y * p.y + p.z * p.z);
        if (length > 0.1f && length <= 1)
            return (struct point){p.x / length, p.y / length, p.z / length};
    }
}

float ellipse_inside(float x, float y, float cx, float cy, float rx, float ry)
{
    x = (x - cx) / rx;
    y = (y - cy) / ry;
    float k0 = sqrtf(x * x + y * y);
    float k1 = sqrtf(x * x / (rx * rx) + y * y / (ry * ry));
    return k1 > 1e-9f ? k0 * (1 - k0) / k1 : rx < ry ? rx : ry;
}

static float lattice(int32_t x, int32_t y, int32_t z, uint32_t seed)
{
    uint32_t h =
        seed + (uint32_t)x * 0x8da6b343u + (uint32_t)y * 0xd8163841u + (uint32_t)z * 0xcb1ab31fu;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    h ^= h >> 15;
    return (float)(h >> 8) * 0x1p-23f - 1;
}

float noise_at(float x, float y, float z, uint32_t seed)
{
    float fx = floorf(x), fy = floorf(y), fz = floorf(z);
    int32_t ix = (int32_t)fx, iy = (int32_t)fy, iz = (int32_t)fz;
    float u = x - fx, v = y - fy, w = z - fz;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    w = w * w * (3 - 2 * w);
    float plane[2];
    for (int k = 0; k < 2; k++) {
        float a = mixf(lattice(ix, iy, iz + k, seed), lattice(ix + 1, iy, iz + k, seed), u);
        float b = mixf(lattice(ix, iy + 1, iz + k, seed), lattice(ix + 1, iy + 1, iz + k, seed), u);
        plane[k] = mixf(a, b, v);
    }
    return 1.4f * mixf(plane[0], plane[1], w);
}

float clouds_at(float x, float y, float z, int octaves, uint32_t seed)
{
    float sum = 0, strength = 0.6f;
    for (int i = 0; i < octaves; i++) {
        sum += strength * noise_at(x, y, z, seed + 101u * (uint32_t)i);
        strength *= 0.55f;
        x = 2 * x + 17.3f;
        y = 2 * y + 5.9f;
        z = 2 * z + 11.1f;
    }
    return sum;
}
