/* Lesions: where a disease puts them, and their strength at a point. */
#include "model/data/phantom_parts.h"

/* Hazy patches in both lungs, most of them low, at the back and near the pleura. */
static void covid(struct patient *p, struct rng *rng)
{
    int count = 9 + (int)rng_below(rng, 9);
    float severe = uniform(rng, .75f, 1.25f);
    for (int i = 0; i < count; i++) {
        struct lesion *l = &p->lesions[p->lesions_count++];
        l->side = i % 2 ? 1 : -1;
        l->seed = (uint32_t)rng_u64(rng);
        float t = clampf(.3f + .55f * sqrtf(rng_float(rng)), .3f, .84f);
        struct section s;
        section_make(&s, p, t * p->length);
        /* out along a ray from the middle of the lung, to just inside the wall */
        float back = uniform(rng, -.55f, 1), out = uniform(rng, .45f, 1);
        float reach = sqrtf(back * back + out * out);
        float mid = .5f * s.cavity_rx;
        struct point at = {(float)l->side * mid, 0, t * p->length};
        float step = 0;
        while (step < 150 && cavity_inside(&s, at.x, at.y) > 10) {
            at.x += 2 * (float)l->side * out / reach;
            at.y += 2 * back / reach;
            step += 2;
        }
        l->at = at;
        float size = severe * uniform(rng, 14, 34);
        l->rx = size * uniform(rng, .7f, 1.1f);
        l->ry = size * uniform(rng, .8f, 1.3f);
        l->rz = size * uniform(rng, .9f, 1.5f);
        l->ggo = uniform(rng, 260, 520);
        l->core = rng_float(rng) < .5f ? uniform(rng, .58f, .85f) : 9;
        l->peripheral = uniform(rng, 26, 46);
        l->ragged = uniform(rng, .55f, .85f);
        l->bound_y = -1e3f;
    }
}

/* One lung: a lobe filled up to its fissure, haze around it, nodules of the same infection. */
static void pneumonia(struct patient *p, struct rng *rng)
{
    int side = rng_below(rng, 2) ? 1 : -1;
    int count = 2 + (int)rng_below(rng, 3);
    float t = uniform(rng, .42f, .72f), back = uniform(rng, -.3f, .8f);
    for (int i = 0; i < count; i++) {
        struct lesion *l = &p->lesions[p->lesions_count++];
        struct section s;
        section_make(&s, p,
                     clampf(t + uniform(rng, -.07f, .07f) * (float)(i > 0), .3f, .84f) * p->length);
        l->side = side;
        l->seed = (uint32_t)rng_u64(rng);
        l->at = (struct point){
            (float)side * s.cavity_rx * uniform(rng, .55f, .8f),
            s.cavity_ry * clampf(back + uniform(rng, -.25f, .25f) * (float)(i > 0), -.6f, .75f),
            s.z,
        };
        float size = i == 0 ? uniform(rng, 40, 58) : uniform(rng, 14, 26);
        l->rx = size * uniform(rng, .8f, 1.1f);
        l->ry = size * uniform(rng, .75f, 1.1f);
        l->rz = size * uniform(rng, 1, 1.5f);
        l->ggo = uniform(rng, 260, 420);
        l->core = uniform(rng, .3f, .45f);
        l->peripheral = 1e3f;
        l->ragged = uniform(rng, .28f, .42f);
        l->bound_y = i == 0 && rng_below(rng, 3) ? l->at.y - uniform(rng, .2f, .7f) * l->ry : -1e3f;
    }
}

void lesions_make(struct patient *p, struct rng *rng)
{
    static void (*const makers[PHANTOM_KINDS])(struct patient *, struct rng *) = {
        [PHANTOM_PNEUMONIA] = pneumonia, [PHANTOM_COVID] = covid};
    if (makers[p->kind] != NULL)
        makers[p->kind](p, rng);
}

static float lesion_field(const struct lesion *l, const struct section *s, float x, float y,
                          float wall)
{
    if (x * (float)l->side < 0)
        return 0;
    float dx = (x - l->at.x) / l->rx, dy = (y - l->at.y) / l->ry, dz = (s->z - l->at.z) / l->rz;
    float square = dx * dx + dy * dy + dz * dz;
    if (square > 2.6f)
        return 0;
    float field = 1.05f - sqrtf(square);
    field += l->ragged * clouds_at(x / 17, y / 17, s->z / 19, 4, l->seed);
    field *= 1 - smoothf(wall, .45f * l->peripheral, l->peripheral);
    float fissure = y - l->bound_y + .35f * (s->z - l->at.z) - .12f * (fabsf(x) - fabsf(l->at.x));
    field *= smoothf(fissure, -.8f, .8f);
    return clampf(field, 0, 1);
}

void lesions_at(float *haze_hu, float *haze, float *dense, const struct section *s, float x,
                float y, float wall)
{
    float strongest = 0, added = 0, solid = 0;
    for (int i = 0; i < s->patient->lesions_count; i++) {
        const struct lesion *l = &s->patient->lesions[i];
        float field = lesion_field(l, s, x, y, wall);
        if (field <= 0)
            continue;
        float h = smoothf(field, 0, .5f);
        strongest = h > strongest ? h : strongest;
        float hu = l->ggo * h;
        added = hu > added ? hu : added;
        float c = smoothf(field, l->core - .05f, l->core + .09f);
        solid = c > solid ? c : solid;
    }
    *haze_hu = added;
    *haze = strongest;
    *dense = solid;
}
