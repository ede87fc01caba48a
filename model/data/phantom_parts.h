/*
 * Inside of the phantom: the patient in three dimensions and what one cut through it needs.
 *
 * Millimetres throughout. x runs to the patient's left (image right), y to the back (image down),
 * z towards the feet; (0, 0) is the middle of the chest, z = 0 the lungs' apex. Depth t = z /
 * patient.length is 0 at the apex and 1 at the base. "Inside" distances are positive inside.
 * Only exact arithmetic and square roots are used, no libm curves: pictures are the same
 * everywhere.
 */
#ifndef ONESHOT_DATA_PHANTOM_PARTS_H
#define ONESHOT_DATA_PHANTOM_PARTS_H

#include <math.h>
#include <stdint.h>

#include "model/base/rng.h"
#include "model/data/phantom.h"

struct point {
    float x, y, z;
};

/* ---- phantom_shape.c: plain geometry and noise ---- */

static inline float clampf(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

static inline float mixf(float a, float b, float t)
{
    return a + (b - a) * t;
}

/* 0 below `from`, 1 above `to`, smooth between. */
static inline float smoothf(float v, float from, float to)
{
    float t = clampf((v - from) / (to - from), 0, 1);
    return t * t * (3 - 2 * t);
}

/* Larger of two inside distances, its corner rounded over k. */
static inline float join(float a, float b, float k)
{
    float h = clampf(0.5f + 0.5f * (a - b) / k, 0, 1);
    return mixf(b, a, h) + k * h * (1 - h);
}

/* Smaller of two inside distances, its corner rounded over k. */
static inline float meet(float a, float b, float k)
{
    return -join(-a, -b, k);
}

float uniform(struct rng *rng, float low, float high);

/* A direction, uniform on the sphere. */
struct point random_direction(struct rng *rng);

/* Distance inside an upright ellipse about (cx, cy), good near its edge. */
float ellipse_inside(float x, float y, float cx, float cy, float rx, float ry);

/* Smooth noise in about -1..1, one wave per unit. */
float noise_at(float x, float y, float z, uint32_t seed);

/* Octaves of it, each of half the size and strength. */
float clouds_at(float x, float y, float z, int octaves, uint32_t seed);

/* ---- phantom_anatomy.c: the patient ---- */

enum { MAX_LESIONS = 32 };

struct lesion {
    struct point at;
    float rx, ry, rz;
    float ggo;        /* HU its haze adds at full strength; 0: none */
    float core;       /* of the field above which it is consolidated; > 1: nowhere */
    float peripheral; /* mm from the chest wall where it has faded; large: no limit */
    float ragged;     /* strength of the edge's noise */
    float bound_y;    /* a fissure cuts it off in front of this y (sloping with z) */
    int side;         /* -1 right lung, 1 left lung */
    uint32_t seed;
};

struct patient {
    enum phantom_kind kind;
    uint32_t seed;
    float length;      /* apex to base */
    float wide, deep;  /* scale of the chest */
    float fat, muscle; /* thickness */
    float breast;      /* fat in front, 0..1 */
    float heart;       /* scale */
    float turn;        /* tangent of how the patient lies on the table */
    float lung_hu;
    float dome[2]; /* depth t of the diaphragm's top, right and left */
    float ribs;    /* phase */
    float noise_hu;
    float table_y;
    int blankets;
    int lesions_count;
    struct lesion lesions[MAX_LESIONS];
};

enum { MAX_ORGANS = 24 };

struct section_organ {
    float x, y, rx, ry, hu;
    float soft; /* mm over which it joins its neighbours */
    int air;    /* lumen, drawn last */
};

/* One cut: every curve of the anatomy at this z. */
struct section {
    const struct patient *patient;
    float z, t;
    float cavity_rx, cavity_ry, square;
    float body_rx, body_ry, body_y;
    float spine_y;
    float dome_x[2], dome_y[2], dome_rx[2], dome_ry[2]; /* rx 0: the lung is not cut yet */
    int organs_count;
    struct section_organ organs[MAX_ORGANS];
};

void patient_make(struct patient *patient, enum phantom_kind kind, uint64_t seed);
void section_make(struct section *section, const struct patient *patient, float z);
float cavity_inside(const struct section *s, float x, float y);
float lung_inside(const struct section *s, float x, float y);
/* HU of everything but what is inside the lungs. */
float tissue_at(const struct section *s, float x, float y);

/* ---- phantom_organs.c: between the lungs ---- */

void organs_cut(struct section *section);
float mediastinum_inside(const struct section *s, float x, float y);
float organs_at(const struct section *s, float hu, float x, float y); /* painted over hu */

/* ---- phantom_tree.c: vessels and airways ---- */

struct branch {
    struct point from, to;
    float radius;
};

struct tree {
    int count, capacity;
    struct branch *branches; /* owned */
};

/* Both lungs' trees. ERR_MEMORY. */
int vessels_grow(struct tree *tree, const struct patient *patient, struct error *err);
int airways_grow(struct tree *tree, const struct patient *patient, struct error *err);

/* A plane of pixels over a section. */
struct raster {
    int width, height;
    float x0, y0, step; /* centre of pixel (0, 0), mm per pixel */
};

/*
 * How much of each pixel branches cover, 0..1, raised into cover (height, width): every branch's
 * radius times `scale` plus `grow`.
 */
void tree_draw(float *cover, const struct raster *raster, const struct tree *tree, float z,
               float scale, float grow);

/* ---- phantom_lesion.c ---- */

void lesions_make(struct patient *patient, struct rng *rng);

/* Strength of haze and consolidation at a point inside the lung, each 0..1. */
void lesions_at(float *haze_hu, float *haze, float *dense, const struct section *s, float x,
                float y, float wall);

#endif
