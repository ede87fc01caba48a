/* What lies between the lungs: organs as ellipses that change with depth. */
#include "model/data/phantom_parts.h"

enum { KEYS = 6 };

/* An organ's ellipse at some depths t; between them it is interpolated, outside it is absent. */
struct organ {
    float hu;
    float soft; /* mm over which its outline flows into its neighbours' */
    int air;    /* a lumen: no part of the outline */
    int heart;  /* grows with the patient's heart */
    struct {
        float t, x, y, rx, ry;
    } keys[KEYS];
};

/* Painted in this order. */
/* clang-format off */
static const struct organ organs[] = {
    /* fat and connective tissue between the lungs, sternum to spine */
    {-80, 10, 0, 0, {{0, 0, 0, 46, 62}, {.14f, 0, 0, 34, 66}, {.28f, 0, -6, 25, 52},
                     {.45f, 0, -2, 20, 54}, {.6f, 2, 12, 17, 46}, {1, 2, 18, 16, 50}}},
    /* the junction behind the sternum, thin in the middle of the chest */
    {-95, 6, 0, 0, {{.1f, 0, -52, 16, 30}, {.25f, 2, -56, 9, 32}, {.4f, 3, -60, 4, 32},
                     {.55f, 4, -62, 5, 30}, {.8f, 10, -64, 22, 30}, {1, 10, -62, 36, 34}}},
    /* superior vena cava, left carotid and subclavian, brachiocephalic trunk */
    {42, 8, 0, 0, {{.02f, -22, 4, 9, 9}, {.12f, -22, -14, 10, 10}, {.2f, -24, -20, 11, 11},
                   {.3f, -26, -18, 10, 10}, {.45f, -28, -12, 9, 10}, {.58f, -30, -4, 9, 10}}},
    {44, 8, 0, 0, {{.02f, 22, 8, 6, 6}, {.12f, 20, 2, 6, 6}, {.2f, 19, 0, 6, 7},
                   {.26f, 18, 0, 7, 8}, {.28f, 18, 2, 7, 8}, {.3f, 16, 4, 6, 6}}},
    {44, 8, 0, 0, {{.02f, -8, -8, 6, 6}, {.12f, -4, -16, 7, 7}, {.2f, -4, -18, 8, 8},
                   {.26f, 0, -18, 9, 8}, {.28f, 2, -16, 9, 8}, {.3f, 4, -14, 8, 8}}},
    /* arch, ascending and descending aorta */
    {45, 9, 0, 0, {{.26f, 6, -4, 8, 14}, {.28f, 8, 2, 13, 26}, {.3f, 9, 6, 15, 33},
                   {.32f, 9, 8, 15, 35}, {.34f, 10, 8, 12, 30}, {.36f, 10, 8, 6, 18}}},
    {45, 9, 0, 0, {{.3f, -8, -22, 12, 13}, {.36f, -12, -26, 16, 16}, {.45f, -14, -26, 18, 18},
                   {.52f, -10, -24, 18, 17}, {.58f, -4, -20, 15, 14}, {.62f, 0, -18, 10, 10}}},
    {45, 7, 0, 0, {{.3f, 20, 34, 12, 12}, {.4f, 23, 36, 13, 13}, {.5f, 21, 37, 12.5f, 12.5f},
                   {.65f, 18, 37, 12, 12}, {.85f, 10, 34, 11.5f, 11.5f}, {1, 4, 30, 11, 11}}},
    /* pulmonary trunk, its right and left artery */
    {42, 8, 0, 0, {{.38f, 22, -22, 8, 8}, {.42f, 20, -24, 14, 14}, {.46f, 19, -26, 15, 16},
                   {.5f, 17, -28, 15, 15}, {.54f, 14, -30, 13, 13}, {.58f, 12, -30, 9, 9}}},
    {42, 8, 0, 0, {{.42f, -16, -2, 18, 7}, {.44f, -18, -2, 28, 9}, {.46f, -20, -1, 31, 10},
                   {.48f, -22, 0, 30, 9}, {.5f, -26, 2, 24, 8}, {.52f, -30, 4, 14, 6}}},
    {42, 8, 0, 0, {{.37f, 30, 2, 9, 8}, {.4f, 33, 2, 15, 11}, {.43f, 34, 4, 17, 12},
                   {.46f, 36, 10, 14, 11}, {.5f, 40, 15, 9, 9}, {.54f, 42, 17, 8, 8}}},
    /* hila */
    {38, 8, 0, 0, {{.42f, -44, 4, 8, 8}, {.46f, -46, 6, 13, 12}, {.5f, -46, 8, 14, 13},
                   {.54f, -45, 9, 12, 11}, {.58f, -44, 10, 9, 9}, {.64f, -42, 12, 6, 6}}},
    {38, 8, 0, 0, {{.44f, 46, 10, 8, 8}, {.47f, 46, 11, 11, 11}, {.5f, 46, 12, 11, 11},
                   {.54f, 44, 12, 10, 10}, {.58f, 43, 14, 8, 8}, {.64f, 41, 16, 6, 6}}},
    /* pericardial fat, left atrium, ventricles, right atrium and lower vena cava */
    {-95, 9, 0, 1, {{.56f, 10, -34, 40, 30}, {.64f, 18, -32, 56, 42}, {.74f, 26, -30, 62, 46},
                    {.84f, 32, -34, 64, 46}, {.92f, 36, -42, 66, 42}, {1, 38, -48, 64, 36}}},
    {40, 9, 0, 1, {{.5f, 0, 8, 16, 8}, {.54f, 0, 6, 30, 14}, {.6f, 0, 5, 36, 18},
                   {.66f, 0, 3, 34, 18}, {.72f, 0, 0, 26, 14}, {.76f, 0, -4, 14, 8}}},
    {43, 9, 0, 1, {{.5f, 6, -30, 20, 18}, {.56f, 10, -30, 40, 30}, {.64f, 18, -29, 54, 40},
                   {.74f, 26, -28, 60, 44}, {.86f, 30, -34, 58, 40}, {1, 30, -42, 50, 30}}},
    {43, 9, 0, 1, {{.6f, -24, -14, 16, 20}, {.66f, -28, -14, 20, 24}, {.74f, -28, -14, 20, 22},
                   {.8f, -26, -10, 16, 16}, {.9f, -24, -2, 13, 12}, {1, -22, 4, 12, 12}}},
    /* oesophagus */
    {30, 5, 0, 0, {{.02f, 6, 32, 7, 6}, {.2f, 6, 32, 7, 6}, {.4f, 4, 32, 7, 5},
                   {.6f, 4, 28, 8, 5}, {.8f, 8, 24, 8, 6}, {1, 12, 16, 9, 7}}},
    /* trachea down to the carina: wall, then lumen */
    {10, 4, 0, 0, {{0, 0, 20, 10.5f, 11}, {.1f, 0, 20, 10.5f, 11}, {.25f, -2, 17, 10.5f, 10.5f},
                   {.36f, -3, 15, 11.5f, 10}, {.41f, -3, 15, 15, 9}, {.44f, -3, 15, 20, 8}}},
    {-985, 0, 1, 0, {{0, 0, 20, 9, 9.5f}, {.1f, 0, 20, 9, 9.5f}, {.25f, -2, 17, 9, 9},
                     {.36f, -3, 15, 10, 8.5f}, {.4f, -3, 15, 13.5f, 7.5f},
                     {.42f, -3, 15, 16, 6.5f}}},
};
/* clang-format on */

void organs_cut(struct section *s)
{
    const struct patient *p = s->patient;
    s->organs_count = 0;
    for (size_t i = 0; i < sizeof organs / sizeof *organs; i++) {
        const struct organ *o = &organs[i];
        if (s->t < o->keys[0].t || s->t > o->keys[KEYS - 1].t)
            continue;
        int k = 0;
        while (k < KEYS - 2 && s->t > o->keys[k + 1].t)
            k++;
        float u = (s->t - o->keys[k].t) / (o->keys[k + 1].t - o->keys[k].t);
        /* Ends taper so that nothing appears from one slice to the next. */
        float size = o->heart ? p->heart : 1;
        if (o->keys[0].t > .05f)
            size *= smoothf(s->t - o->keys[0].t, -.02f, .02f);
        if (o->keys[KEYS - 1].t < 1)
            size *= smoothf(o->keys[KEYS - 1].t - s->t, -.02f, .02f);
        s->organs[s->organs_count++] = (struct section_organ){
            .x = p->wide * mixf(o->keys[k].x, o->keys[k + 1].x, u),
            .y = p->deep * mixf(o->keys[k].y, o->keys[k + 1].y, u),
            .rx = size * mixf(o->keys[k].rx, o->keys[k + 1].rx, u),
            .ry = size * mixf(o->keys[k].ry, o->keys[k + 1].ry, u),
            .hu = o->hu,
            .soft = o->soft,
            .air = o->air,
        };
    }
}

float mediastinum_inside(const struct section *s, float x, float y)
{
    float inside = -1e3f;
    for (int i = 0; i < s->organs_count; i++) {
        const struct section_organ *o = &s->organs[i];
        if (!o->air)
            inside =
                join(inside, ellipse_inside(x, y, o->x, o->y, o->rx + 1.5f, o->ry + 1.5f), o->soft);
    }
    return inside;
}

float organs_at(const struct section *s, float hu, float x, float y)
{
    for (int i = 0; i < s->organs_count; i++) {
        const struct section_organ *o = &s->organs[i];
        float c = smoothf(ellipse_inside(x, y, o->x, o->y, o->rx, o->ry), -1.3f, 1.3f);
        if (c > 0)
            hu = mixf(hu, o->hu, c);
    }
    return hu;
}
