/* The patient's body: drawn from a seed, cut at a depth, looked up at a point. */
#include "model/data/phantom_parts.h"

static const float breaks[] = {0, .06f, .14f, .25f, .4f, .55f, .75f, 1};
static const float chest_rx[] = {40, 72, 94, 114, 128, 134, 139, 142};
static const float chest_ry[] = {28, 48, 62, 73, 81, 85, 88, 88};
static const float spine_ys[] = {44, 46, 48, 50, 52, 53, 52, 48};
static const float shoulder[] = {46, 40, 34, 28, 18, 10, 4, 0}; /* muscle beside the chest */

static float along(const float *values, float t)
{
    int i = 0, last = (int)(sizeof breaks / sizeof *breaks) - 2;
    while (i < last && t > breaks[i + 1])
        i++;
    return mixf(values[i], values[i + 1],
                clampf((t - breaks[i]) / (breaks[i + 1] - breaks[i]), 0, 1));
}

void patient_make(struct patient *p, enum phantom_kind kind, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed * PHANTOM_KINDS + (uint64_t)kind);
    *p = (struct patient){.kind = kind, .seed = (uint32_t)rng_u64(&rng)};
    p->length = uniform(&rng, 225, 265);
    p->wide = uniform(&rng, .93f, 1.06f);
    p->deep = uniform(&rng, .9f, 1.12f);
    p->fat = 8 + 26 * uniform(&rng, 0, 1) * uniform(&rng, 0, 1);
    p->muscle = uniform(&rng, 5, 11);
    p->breast = rng_float(&rng) < 0.4f ? uniform(&rng, .4f, 1) : 0;
    p->heart = uniform(&rng, .9f, 1.1f);
    p->turn = uniform(&rng, -.06f, .06f);
    p->lung_hu = uniform(&rng, -885, -830);
    p->dome[0] = uniform(&rng, .72f, .8f);
    p->dome[1] = p->dome[0] + uniform(&rng, .02f, .07f);
    p->ribs = rng_float(&rng);
    p->noise_hu = uniform(&rng, 14, 34);
    p->table_y = uniform(&rng, 3, 12);
    p->blankets = (int)rng_below(&rng, 4);
    lesions_make(p, &rng);
}

void section_make(struct section *s, const struct patient *p, float z)
{
    *s = (struct section){.patient = p, .z = z, .t = clampf(z / p->length, 0, 1)};
    float t = s->t;
    s->cavity_rx = p->wide * along(chest_rx, t);
    s->cavity_ry = p->deep * along(chest_ry, t);
    s->square = mixf(.1f, .36f, smoothf(t, 0, .5f));
    s->spine_y = p->deep * along(spine_ys, t);
    float side = 14 + p->muscle + p->fat + p->muscle / 8 * along(shoulder, t);
    s->body_rx = p->wide * along(chest_rx, t > .3f ? t : .3f) + side;
    float front = along(chest_ry, t > .2f ? t : .2f) * p->deep;
    s->body_ry = front + 23 + p->muscle + .75f * p->fat;
    s->body_y = 7;
    for (int side_of = 0; side_of < 2; side_of++) {
        float below = t - p->dome[side_of];
        if (below <= 0)
            continue;
        float grown = sqrtf(below / (1.02f - p->dome[side_of]));
        float sign = side_of == 0 ? -1 : 1;
        s->dome_x[side_of] = sign * p->wide * mixf(66, 62, grown);
        s->dome_y[side_of] = mixf(-4, -26, grown);
        s->dome_rx[side_of] = p->wide * 73 * grown;
        s->dome_ry[side_of] = p->deep * mixf(56, 92, grown) * grown;
    }
    organs_cut(s);
}

/* ---- outlines ---- */

/* Distance inside a curve between an ellipse (square 0) and a rounded box (1), along the ray. */
static float rounded_inside(float x, float y, float rx, float ry, float square)
{
    float u = x / rx, v = y / ry;
    float round = sqrtf(u * u + v * v);
    float box = sqrtf(sqrtf(u * u * u * u + v * v * v * v));
    float rho = mixf(round, box, square);
    float reach = sqrtf(x * x + y * y);
    return rho > 1e-4f ? reach * (1 / rho - 1) : rx < ry ? rx : ry;
}

static float wobble(const struct section *s, float x, float y, float size, uint32_t salt)
{
    return noise_at(x / size, y / size, s->z / size, s->patient->seed + salt);
}

float cavity_inside(const struct section *s, float x, float y)
{
    /* The chest is narrower in front. */
    float narrow = 1 + .12f * clampf(-y / s->cavity_ry, -.4f, 1);
    return rounded_inside(x * narrow, y, s->cavity_rx, s->cavity_ry, s->square);
}

static float body_inside(const struct section *s, float x, float y)
{
    float v = y - s->body_y;
    float narrow = 1 + .16f * clampf(-v / s->body_ry, -.3f, 1) * smoothf(.7f - s->t, 0, .5f);
    float inside = rounded_inside(x * narrow, v, s->body_rx, s->body_ry, .34f);
    /* groove over the spine, and breasts in front */
    inside -= 5 * smoothf(v, 40, s->body_ry) * (1 - smoothf(fabsf(x), 4, 34));
    float b = s->patient->breast * smoothf(s->t, .2f, .5f) * (1 - smoothf(s->t, .8f, 1));
    if (b > 0) {
        float bump = ellipse_inside(fabsf(x), v, .52f * s->body_rx, -.8f * s->body_ry, 62 * b + 8,
                                    44 * b + 4);
        inside = join(inside, bump, 14);
    }
    return inside;
}

static float spine_inside(const struct section *s, float x, float y)
{
    float body = ellipse_inside(x, y, 0, s->spine_y, 21, 19);
    float arch = ellipse_inside(x, y, 0, s->spine_y + 36, 40, 32);
    return join(body, arch, 12);
}

static float dome_inside(const struct section *s, float x, float y, int side)
{
    if (s->dome_rx[side] < 1)
        return -1e3f;
    return ellipse_inside(x, y, s->dome_x[side], s->dome_y[side], s->dome_rx[side],
                          s->dome_ry[side]) +
           2 * wobble(s, x, y, 30, 31u + (uint32_t)side);
}

float lung_inside(const struct section *s, float x, float y)
{
    float inside = cavity_inside(s, x, y) + 1.6f * wobble(s, x, y, 28, 7);
    if (inside < -12)
        return inside;
    inside = meet(inside, -spine_inside(s, x, y), 9);
    if (inside > -12)
        inside = meet(inside, -mediastinum_inside(s, x, y) - 1.2f * wobble(s, x, y, 16, 8), 5);
    for (int side = 0; side < 2; side++)
        inside = meet(inside, -dome_inside(s, x, y, side), 4);
    return inside;
}

/* ---- tissue ---- */

static float cover(float inside, float soft)
{
    return smoothf(inside, -soft, soft);
}

static float arc_cosine(float c)
{
    /* Abramowitz and Stegun 4.4.45, as a share of pi. */
    float a = fabsf(c);
    float r = sqrtf(1 - a) * (1.5707288f + a * (-.2121144f + a * (.074261f - .0187293f * a)));
    r /= 3.14159265f;
    return c < 0 ? 1 - r : r;
}

static float bone(float inside, float thick, float core)
{
    return mixf(720, core, smoothf(inside, .8f, thick));
}

static float ribs_at(const struct section *s, float hu, float x, float y, float outside)
{
    float u = x / s->cavity_rx, v = y / s->cavity_ry;
    float length = sqrtf(u * u + v * v);
    float phi = arc_cosine(clampf(v / (length + 1e-6f), -1, 1)); /* 0 spine, 1 sternum */
    if (phi < .07f || phi > .9f)
        return hu;
    float height = (s->z + 60 - 96 * phi) / 27 + s->patient->ribs;
    float off = height - floorf(height) - .5f;
    float along_z = off * 27 / 7.5f, across = (outside - 7) / 4.4f;
    float inside = 4.4f * (1 - sqrtf(along_z * along_z + across * across));
    float c = cover(inside, .8f);
    if (c <= 0)
        return hu;
    float value = phi > .76f ? 110 : bone(inside, 2.6f, 150 + 120 * wobble(s, x, y, 2, 40));
    return mixf(hu, value, c);
}

static float plate(const struct section *s, float hu, float x, float y)
{
    /* shoulder blades */
    if (s->t > .52f)
        return hu;
    float reach = smoothf(.52f - s->t, 0, .2f);
    float cx = s->cavity_rx + 8 - 22 * s->t, cy = s->cavity_ry * .62f;
    float dx = fabsf(x) - cx, dy = y - cy;
    /* along a line that slopes backwards to the midline, bowed */
    float a = .62f * dx - .78f * dy, b = .78f * dx + .62f * dy + a * a / 160;
    float half = 10 + 34 * reach;
    float inside = (2.4f + 2.2f * smoothf(a, 0, half)) * 1.0f - fabsf(b);
    float end = half - fabsf(a);
    inside = inside < end ? inside : end;
    float c = cover(inside, .8f);
    return c > 0 ? mixf(hu, bone(inside, 2, 260), c) : hu;
}

static float sternum(const struct section *s, float hu, float x, float y)
{
    if (s->t < .16f || s->t > .86f)
        return hu;
    float wide = mixf(26, 15, smoothf(s->t, .2f, .5f));
    float inside = ellipse_inside(x, y, 0, -s->cavity_ry - 9, wide, 6.5f);
    float c = cover(inside, .8f);
    if (c > 0)
        hu = mixf(hu, bone(inside, 2.4f, 80 + 90 * wobble(s, x, y, 2.2f, 41)), c);
    /* costal cartilage beside it */
    float rib = s->z / 27 + s->patient->ribs;
    float near = fabsf(rib - floorf(rib) - .5f);
    float bar =
        ellipse_inside(fabsf(x), y, wide + 17, -s->cavity_ry - 7 + .012f * x * x / 2, 15, 5.5f);
    c = cover(bar, 1) * smoothf(.36f - near, 0, .1f);
    return c > 0 ? mixf(hu, 105, c) : hu;
}

static float vertebra(const struct section *s, float hu, float x, float y)
{
    float phase = s->z / 23 + s->patient->ribs * 3;
    phase = phase - floorf(phase);
    float disc = 1 - smoothf(fabsf(phase - .5f), .08f, .14f);
    float y0 = s->spine_y, canal_y = y0 + 22, side = fabsf(x);
    float rough = wobble(s, x, y, 6, 46);
    /* a body with a flat back, hollowed by the canal */
    float body = meet(ellipse_inside(x, y, 0, y0 + 3, 18.5f, 18.5f), y0 + 15.5f - y, 5) + rough;
    /* arch, wings and spike behind it, each where this slice crosses it */
    float crossed = 1 - smoothf(fabsf(phase - .85f), .26f, .4f);
    float arch = ellipse_inside(x, y, 0, canal_y + 2, 16 + 2 * crossed, 13.5f);
    float wing = ellipse_inside(side, y + .4f * side, 25, canal_y + 12, 16, 5.5f);
    float spike = ellipse_inside(x, y, 0, canal_y + 24, 3 + 2.5f * smoothf(phase, .2f, .9f), 14);
    float solid = join(arch, join(wing - 7 * (1 - crossed), spike - 2 * (1 - crossed), 5), 6);
    solid += 1.6f * rough;
    float c = cover(solid, 1);
    if (c > 0)
        hu = mixf(hu, bone(solid, 2, 170 + 150 * wobble(s, x, y, 2, 42)), c);
    c = cover(body, 1);
    if (c > 0) {
        float value = bone(body, 2.5f, 140 + 110 * wobble(s, x, y, 1.6f, 43));
        hu = mixf(hu, mixf(value, 95, disc * cover(body - 1, 1)), c);
    }
    return mixf(hu, 25, cover(ellipse_inside(x, y, 0, canal_y, 9.5f, 8), 1));
}

static float outside_air(const struct section *s, float x, float y)
{
    float hu = -1000;
    float bottom = s->body_y + s->body_ry + s->patient->table_y;
    /* two shells of the table and its foam; where the mattress bends, the patient sinks in */
    static const struct {
        float down, bend, thick, hu;
    } shells[] = {{0, 1.7e-3f, 1.1f, -560}, {13, 1.5e-3f, 1.5f, -150}, {50, 1.1e-3f, 1.8f, 120}};
    for (int i = 0; i < 3; i++) {
        float at = bottom + shells[i].down - shells[i].bend * x * x;
        float c = cover(shells[i].thick - fabsf(y - at), .7f);
        hu = mixf(hu, shells[i].hu, c);
    }
    float upper = bottom + 2 - 1.7e-3f * x * x, lower = bottom + 13 - 1.5e-3f * x * x;
    if (y > upper && y < lower)
        hu = hu < -955 ? -955 : hu;
    for (int i = 0; i < s->patient->blankets; i++) {
        float at = s->body_y - s->body_ry - 4 - 7 * (float)i + 1.1e-3f * x * x +
                   9 * wobble(s, x, 0, 46, 50u + (uint32_t)i);
        float strength = smoothf(wobble(s, x, 40, 70, 60u + (uint32_t)i), -.3f, .5f);
        hu = mixf(hu, -880, strength * cover(.9f - fabsf(y - at), .8f));
    }
    return hu;
}

static float abdomen(const struct section *s, float hu, float x, float y)
{
    float right = dome_inside(s, x, y, 0), left = dome_inside(s, x, y, 1);
    float c = cover(right - 1, 1);
    if (c > 0)
        hu = mixf(hu, 58 + 5 * wobble(s, x, y, 8, 45), c);
    c = cover(left - 1, 1);
    if (c > 0) {
        /* stomach with its bubble in front, spleen behind, fat between */
        float value = -80;
        float spleen = ellipse_inside(x, y, s->dome_x[1] + 18, s->dome_y[1] + 40, 36, 40);
        float stomach = ellipse_inside(x, y, s->dome_x[1] - 6, s->dome_y[1] - 12, 40, 34);
        value = mixf(value, 48, cover(spleen, 1));
        value = mixf(value, y < s->dome_y[1] - 16 ? -940 : 35, cover(stomach, 1));
        hu = mixf(hu, value, c);
    }
    return hu;
}

/* Muscle over the ribs: chest in front, broad muscles at the side, columns beside the spine. */
static float muscles_at(const struct section *s, float hu, float x, float y, float outside,
                        float body)
{
    const struct patient *p = s->patient;
    float across = fabsf(x) / s->cavity_rx, front = -y / s->cavity_ry;
    float upper = smoothf(.62f - s->t, 0, .36f);
    float chest = upper * 17 * smoothf(front, .25f, .7f) * smoothf(across, .05f, .45f);
    float broad = (8 + 24 * upper) * smoothf(across, .45f, .85f) * smoothf(.55f - front, 0, .5f);
    float column = 20 * smoothf(-front, .5f, .95f) * (1 - smoothf(across, .3f, .62f));
    float thick = 12.5f + .5f * p->muscle + chest + broad + column + 2 * wobble(s, x, y, 24, 4);
    float muscle = cover(thick - outside, 1.3f) * cover(body - 4, 2);
    if (muscle <= 0)
        return hu;
    /* fat between the layers, which follow the chest wall */
    float layer = (outside + 4 * wobble(s, x, y, 26, 5) - 14.5f) / 11;
    float seam = fabsf(layer - floorf(layer + .5f)) * 11;
    float gap = 1.7f * smoothf(wobble(s, x, y, 20, 9), -.45f, .4f);
    float fat = outside > 9 ? 1 - smoothf(seam, gap - .8f, gap + .9f) : 0;
    float streak = smoothf(clouds_at(x / 6, y / 6, s->z / 12, 2, p->seed + 6), .1f, .8f);
    return mixf(hu, mixf(55, -20, .5f * streak), muscle * (1 - .85f * fat));
}

float tissue_at(const struct section *s, float x, float y)
{
    const struct patient *p = s->patient;
    float body = body_inside(s, x, y);
    if (body < -1)
        return outside_air(s, x, y);

    float outside = -cavity_inside(s, x, y);
    float hu = -104 + 14 * clouds_at(x / 16, y / 16, s->z / 16, 3, p->seed + 3);
    hu = mixf(-15, hu, smoothf(body, 1, 2.6f)); /* skin */

    hu = muscles_at(s, hu, x, y, outside, body);
    if (outside < 1) {
        float inner = mixf(-70, 40, smoothf(mediastinum_inside(s, x, y), -6, 2));
        inner = abdomen(s, inner, x, y);
        inner = organs_at(s, inner, x, y);
        hu = mixf(hu, inner, cover(-outside, 1));
    } else if (outside < 14) {
        hu = ribs_at(s, hu, x, y, outside);
    }
    hu = plate(s, hu, x, y);
    hu = sternum(s, hu, x, y);
    if (fabsf(x) < 60 && y > s->spine_y - 24)
        hu = vertebra(s, hu, x, y);
    return mixf(-1000, hu, cover(body, 1));
}
