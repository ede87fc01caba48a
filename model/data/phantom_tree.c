/* Vessels and airways: trees grown in three dimensions, drawn where a slice cuts them. */
#include <stdlib.h>

#include "model/data/phantom_parts.h"

/*
 * A tree supplies points spread evenly over a lung: the set is halved again and again, and each
 * half gets a branch that goes part of the way to its middle. Every part of the lung is reached,
 * and the calibre follows from how many points hang on a branch (Murray, 1926: r^3 adds up).
 */
struct growth {
    int targets;     /* per lung */
    float radius;    /* of a branch to a single point */
    float clearance; /* of the points from the lung's edge */
    float stride;    /* share of the way to the middle before the next fork */
};

struct pending {
    struct point from;
    int first, count;
};

static int add_branch(struct tree *tree, struct point from, struct point to, float radius,
                      struct error *err)
{
    if (tree->count == tree->capacity) {
        int capacity = tree->capacity ? 2 * tree->capacity : 1024;
        struct branch *larger = realloc(tree->branches, (size_t)capacity * sizeof *larger);
        if (larger == NULL)
            return error_set(err, ERR_MEMORY, "no memory for a phantom's vessels");
        tree->branches = larger;
        tree->capacity = capacity;
    }
    tree->branches[tree->count++] = (struct branch){from, to, radius};
    return 0;
}

/* A branch of two pieces, bent in the middle. */
static int add_bent(struct tree *tree, struct point from, struct point to, float radius,
                    struct rng *rng, struct error *err)
{
    float dx = to.x - from.x, dy = to.y - from.y, dz = to.z - from.z;
    float bend = .1f * sqrtf(dx * dx + dy * dy + dz * dz);
    struct point off = random_direction(rng);
    struct point middle = {from.x + .5f * dx + bend * off.x, from.y + .5f * dy + bend * off.y,
                           from.z + .5f * dz + bend * off.z};
    if (add_branch(tree, from, middle, radius, err) != 0)
        return -1;
    return add_branch(tree, middle, to, .96f * radius, err);
}

enum { LEVELS = 48 }; /* depths at which the lungs' outline is looked at while trees grow */

static void levels_make(struct section *levels, const struct patient *patient)
{
    for (int i = 0; i < LEVELS; i++)
        section_make(&levels[i], patient, ((float)i + .5f) / LEVELS * patient->length);
}

static struct point random_in_lung(const struct section *levels, int side, float clearance,
                                   struct rng *rng)
{
    float length = levels->patient->length;
    for (int attempt = 0; attempt < 1000; attempt++) {
        int level = 1 + (int)rng_below(rng, LEVELS - 1);
        struct point p = {(float)side * uniform(rng, 10, 145), uniform(rng, -100, 100),
                          ((float)level + rng_float(rng)) / LEVELS * length};
        if (lung_inside(&levels[level], p.x, p.y) > clearance)
            return p;
    }
    return (struct point){(float)side * 70, 0, .5f * length};
}

static float coordinate(const struct point *p, int axis)
{
    return axis == 0 ? p->x : axis == 1 ? p->y : p->z;
}

/* Middle of a set, and the axis along which it is longest. */
static struct point middle_of(const struct point *points, int count, int *axis)
{
    struct point low = points[0], high = points[0], sum = {0, 0, 0};
    for (int i = 0; i < count; i++) {
        const struct point *p = &points[i];
        sum = (struct point){sum.x + p->x, sum.y + p->y, sum.z + p->z};
        low.x = p->x < low.x ? p->x : low.x;
        low.y = p->y < low.y ? p->y : low.y;
        low.z = p->z < low.z ? p->z : low.z;
        high.x = p->x > high.x ? p->x : high.x;
        high.y = p->y > high.y ? p->y : high.y;
        high.z = p->z > high.z ? p->z : high.z;
    }
    float x = high.x - low.x, y = high.y - low.y, z = high.z - low.z;
    *axis = x > y && x > z ? 0 : y > z ? 1 : 2;
    float n = (float)count;
    return (struct point){sum.x / n, sum.y / n, sum.z / n};
}

/* Moves the points below `at` to the front; returns how many. */
static int split(struct point *points, int count, int axis, float at)
{
    int below = 0;
    for (int i = 0; i < count; i++) {
        if (coordinate(&points[i], axis) < at) {
            struct point p = points[i];
            points[i] = points[below];
            points[below++] = p;
        }
    }
    return below;
}

static float cube_root(float v)
{
    float r = v > 1 ? v / 3 + .7f : 1;
    for (int i = 0; i < 12; i++)
        r -= (r * r * r - v) / (3 * r * r);
    return r;
}

static int grow(struct tree *tree, const struct growth *g, struct point hilum, int side,
                struct point *points, const struct section *levels, struct rng *rng,
                struct error *err)
{
    enum { DEPTH = 64 };
    struct pending stack[DEPTH];
    int depth = 0;
    for (int i = 0; i < g->targets; i++)
        points[i] = random_in_lung(levels, side, g->clearance, rng);
    stack[depth++] = (struct pending){hilum, 0, g->targets};
    while (depth > 0) {
        struct pending now = stack[--depth];
        int axis;
        struct point *set = points + now.first;
        struct point middle = middle_of(set, now.count, &axis);
        float radius = g->radius * cube_root((float)now.count);
        if (now.count == 1 || depth > DEPTH - 3) {
            if (add_bent(tree, now.from, middle, radius, rng, err) != 0)
                return -1;
            continue;
        }
        float share = g->stride * uniform(rng, .75f, 1.2f);
        struct point fork = {mixf(now.from.x, middle.x, share), mixf(now.from.y, middle.y, share),
                             mixf(now.from.z, middle.z, share)};
        if (add_bent(tree, now.from, fork, radius, rng, err) != 0)
            return -1;
        int below = split(set, now.count, axis, coordinate(&middle, axis));
        if (below == 0 || below == now.count)
            below = now.count / 2;
        stack[depth++] = (struct pending){fork, now.first + below, now.count - below};
        stack[depth++] = (struct pending){fork, now.first, below};
    }
    return 0;
}

/* Both lungs; `hilum` is the right one's, the left mirrors it. */
static int grow_lungs(struct tree *tree, const struct growth *g, struct point hilum,
                      const struct patient *patient, struct rng *rng, struct error *err)
{
    int rc = -1;
    struct section levels[LEVELS];
    levels_make(levels, patient);
    struct point *points = malloc((size_t)g->targets * sizeof *points);
    if (points == NULL)
        TRY(error_set(err, ERR_MEMORY, "no memory for a phantom's vessels"));
    for (int side = -1; side <= 1; side += 2) {
        struct point at = {-(float)side * hilum.x * patient->wide, hilum.y * patient->deep,
                           hilum.z * patient->length};
        TRY(grow(tree, g, at, side, points, levels, rng, err));
    }
    rc = 0;
done:
    free(points);
    return rc;
}

int vessels_grow(struct tree *tree, const struct patient *patient, struct error *err)
{
    static const struct growth arteries = {900, .62f, 4, .42f}, veins = {600, .6f, 6, .45f};
    struct rng rng;
    rng_seed(&rng, patient->seed ^ 0x5e55e15u);
    *tree = (struct tree){0};
    if (grow_lungs(tree, &arteries, (struct point){-40, 6, .48f}, patient, &rng, err) != 0)
        return -1;
    return grow_lungs(tree, &veins, (struct point){-34, 0, .57f}, patient, &rng, err);
}

int airways_grow(struct tree *tree, const struct patient *patient, struct error *err)
{
    static const struct growth bronchi = {120, 1.0f, 12, .4f};
    struct rng rng;
    rng_seed(&rng, patient->seed ^ 0xa1ca5u);
    *tree = (struct tree){0};
    /* main bronchi, from the carina to the hila */
    float carina = .415f * patient->length;
    for (int side = -1; side <= 1; side += 2) {
        struct point from = {patient->wide * (-3 + 10 * (float)side), 15 * patient->deep, carina};
        struct point to = {patient->wide * (float)side * 37, 12 * patient->deep,
                           .5f * patient->length};
        if (add_branch(tree, from, to, 6, err) != 0)
            return -1;
    }
    return grow_lungs(tree, &bronchi, (struct point){-37, 12, .5f}, patient, &rng, err);
}

/* ---- drawing ---- */

static void draw_branch(float *cover, const struct raster *r, struct point a, struct point b,
                        float radius, float z)
{
    float edge = .45f + .35f * r->step;
    float reach = radius + edge;
    float low = a.z < b.z ? a.z : b.z, high = a.z < b.z ? b.z : a.z;
    if (z < low - reach || z > high + reach)
        return;
    /* Only the part of the branch near the slice counts for the box. */
    float dz = b.z - a.z, from = 0, to = 1;
    if (fabsf(dz) > 1e-3f) {
        float t0 = (z - reach - a.z) / dz, t1 = (z + reach - a.z) / dz;
        from = clampf(t0 < t1 ? t0 : t1, 0, 1);
        to = clampf(t0 < t1 ? t1 : t0, 0, 1);
    }
    float xa = mixf(a.x, b.x, from), xb = mixf(a.x, b.x, to);
    float ya = mixf(a.y, b.y, from), yb = mixf(a.y, b.y, to);
    int x0 = (int)floorf(((xa < xb ? xa : xb) - reach - r->x0) / r->step);
    int x1 = (int)floorf(((xa < xb ? xb : xa) + reach - r->x0) / r->step) + 1;
    int y0 = (int)floorf(((ya < yb ? ya : yb) - reach - r->y0) / r->step);
    int y1 = (int)floorf(((ya < yb ? yb : ya) + reach - r->y0) / r->step) + 1;
    x0 = x0 < 0 ? 0 : x0;
    y0 = y0 < 0 ? 0 : y0;
    x1 = x1 > r->width - 1 ? r->width - 1 : x1;
    y1 = y1 > r->height - 1 ? r->height - 1 : y1;
    float dx = b.x - a.x, dy = b.y - a.y;
    float square = dx * dx + dy * dy + dz * dz + 1e-6f;
    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            float px = r->x0 + (float)x * r->step - a.x, py = r->y0 + (float)y * r->step - a.y;
            float pz = z - a.z;
            float t = clampf((px * dx + py * dy + pz * dz) / square, 0, 1);
            px -= t * dx;
            py -= t * dy;
            pz -= t * dz;
            float distance = sqrtf(px * px + py * py + pz * pz);
            float c = clampf((reach - distance) / (2 * edge), 0, 1);
            float *out = cover + (size_t)y * (size_t)r->width + x;
            *out = c > *out ? c : *out;
        }
    }
}

void tree_draw(float *cover, const struct raster *raster, const struct tree *tree, float z,
               float scale, float grow_mm)
{
    for (int i = 0; i < tree->count; i++) {
        const struct branch *b = &tree->branches[i];
        draw_branch(cover, raster, b->from, b->to, b->radius * scale + grow_mm, z);
    }
}
