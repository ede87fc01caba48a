/* Slices of a phantom patient: tissue, lungs, what the scanner adds. */
#include "model/data/phantom.h"

#include <stdlib.h>
#include <string.h>

#include "model/data/phantom_parts.h"

struct scene {
    struct patient patient;
    struct tree vessels, airways;
    struct raster raster;
    float *hu, *scratch; /* (height, width) */
    float *vessel_cover, *wall_cover, *lumen_cover;
};

static const char *const kind_names[PHANTOM_KINDS] = {"control", "pneumonia", "covid"};

const char *phantom_kind_name(int kind)
{
    return kind >= 0 && kind < PHANTOM_KINDS ? kind_names[kind] : NULL;
}

static void scene_free(struct scene *scene)
{
    free(scene->vessels.branches);
    free(scene->airways.branches);
    free(scene->hu);
    free(scene->scratch);
    free(scene->vessel_cover);
    free(scene->wall_cover);
    free(scene->lumen_cover);
}

static int scene_make(struct scene *scene, enum phantom_kind kind, uint64_t seed, int width,
                      int height, struct error *err)
{
    int rc = -1;
    size_t count = (size_t)width * (size_t)height;
    *scene = (struct scene){0};
    patient_make(&scene->patient, kind, seed);
    struct section widest;
    section_make(&widest, &scene->patient, .55f * scene->patient.length);
    float step_x = 2.1f * widest.body_rx / (float)width;
    float step_y = 2.3f * widest.body_ry / (float)height;
    float step = step_x > step_y ? step_x : step_y;
    scene->raster = (struct raster){
        .width = width,
        .height = height,
        .step = step,
        .x0 = -.5f * step * (float)(width - 1),
        .y0 = widest.body_y - .5f * step * (float)(height - 1),
    };
    float **planes[] = {&scene->hu, &scene->scratch, &scene->vessel_cover, &scene->wall_cover,
                        &scene->lumen_cover};
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++) {
        *planes[i] = malloc(count * sizeof(float));
        if (*planes[i] == NULL)
            TRY(error_set(err, ERR_MEMORY, "no memory for a phantom of %dx%d", width, height));
    }
    TRY(vessels_grow(&scene->vessels, &scene->patient, err));
    TRY(airways_grow(&scene->airways, &scene->patient, err));
    rc = 0;
done:
    return rc;
}

/* One pixel: lung over tissue, lesions in the lung, trees through both. */
static float pixel_at(uint8_t *label, const struct scene *scene, const struct section *s, float x,
                      float y, size_t i)
{
    const struct patient *p = &scene->patient;
    float hu = tissue_at(s, x, y);
    float inside = lung_inside(s, x, y);
    float haze_hu = 0, haze = 0, dense = 0, in_lung = 0;
    *label = 0;
    if (inside > -1.2f) {
        float wall = cavity_inside(s, x, y);
        float lung = p->lung_hu + 45 * clampf(y / s->cavity_ry, -1, 1) +
                     26 * clouds_at(x / 9, y / 9, s->z / 9, 3, p->seed + 20);
        lesions_at(&haze_hu, &haze, &dense, s, x, y, wall);
        float grain = .85f + .5f * clouds_at(x / 5, y / 5, s->z / 5, 3, p->seed + 21);
        lung += haze_hu * grain;
        lung = mixf(lung, 32, scene->vessel_cover[i]);
        lung = mixf(lung, 20 + 20 * grain, dense);
        in_lung = smoothf(inside, -1.1f, 1.1f);
        hu = mixf(hu, lung, in_lung);
        if (inside > 0)
            *label = dense > .5f ? 3 : haze > .5f ? 2 : 1;
    }
    /* Walls are thin: a bronchus in air shows grey, in fluid not at all. */
    float wall = scene->wall_cover[i] * mixf(1, .75f, in_lung) * (1 - dense);
    hu = mixf(hu, mixf(10, -150, in_lung), wall);
    return mixf(hu, -970, scene->lumen_cover[i]);
}

/* What the reconstruction adds: noise without low or highest frequencies, more in the middle. */
static void add_noise(struct scene *scene, const struct section *s)
{
    int width = scene->raster.width, height = scene->raster.height;
    float *white = scene->vessel_cover, *band = scene->scratch;
    struct rng rng;
    rng_seed(&rng, (uint64_t)scene->patient.seed << 20 ^ (uint64_t)(s->z * 64));
    for (int64_t i = 0; i < (int64_t)width * height; i++) {
        uint64_t r = rng_u64(&rng);
        int64_t sum = (int64_t)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48));
        white[i] = (float)(sum - 2 * 0xffff) / 37836.f; /* sum of four uniforms, deviation 1 */
    }
    for (int y = 0; y < height; y++) {
        const float *row = white + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++) {
            int l = x > 0 ? x - 1 : 0, r = x < width - 1 ? x + 1 : x;
            int ll = x > 2 ? x - 3 : 0, rr = x < width - 3 ? x + 3 : width - 1;
            band[(size_t)y * (size_t)width + x] =
                .5f * row[x] + .35f * (row[l] + row[r]) - .12f * (row[ll] + row[rr]);
        }
    }
    for (int y = 0; y < height; y++) {
        size_t w = (size_t)width;
        const float *a = band + (size_t)y * w;
        const float *u = band + (size_t)(y > 0 ? y - 1 : 0) * w;
        const float *d = band + (size_t)(y < height - 1 ? y + 1 : y) * w;
        const float *uu = band + (size_t)(y > 2 ? y - 3 : 0) * w;
        const float *dd = band + (size_t)(y < height - 3 ? y + 3 : height - 1) * w;
        for (int x = 0; x < width; x++) {
            float px = (scene->raster.x0 + (float)x * scene->raster.step) / s->body_rx;
            float py = (scene->raster.y0 + (float)y * scene->raster.step - s->body_y) / s->body_ry;
            float middle = clampf(1 - px * px - py * py, -.3f, 1);
            float strength = scene->patient.noise_hu * (.75f + .65f * middle);
            scene->hu[(size_t)y * w + (size_t)x] +=
                1.5f * strength * (.5f * a[x] + .35f * (u[x] + d[x]) - .12f * (uu[x] + dd[x]));
        }
    }
}

/* The scanner's own blur, about a pixel. */
static void blur(float *hu, float *scratch, int width, int height)
{
    size_t w = (size_t)width;
    for (int y = 0; y < height; y++) {
        const float *in = hu + (size_t)y * w;
        float *out = scratch + (size_t)y * w;
        for (int x = 0; x < width; x++)
            out[x] =
                .16f * in[x > 0 ? x - 1 : 0] + .68f * in[x] + .16f * in[x < width - 1 ? x + 1 : x];
    }
    for (int y = 0; y < height; y++) {
        const float *in = scratch + (size_t)y * w;
        const float *up = scratch + (size_t)(y > 0 ? y - 1 : 0) * w;
        const float *down = scratch + (size_t)(y < height - 1 ? y + 1 : y) * w;
        for (int x = 0; x < width; x++)
            hu[(size_t)y * w + (size_t)x] = .16f * (up[x] + down[x]) + .68f * in[x];
    }
}

static void cut(int16_t *hu, uint8_t *labels, struct scene *scene, float z)
{
    const struct raster *r = &scene->raster;
    size_t count = (size_t)r->width * (size_t)r->height;
    struct section s;
    section_make(&s, &scene->patient, z);
    memset(scene->vessel_cover, 0, count * sizeof(float));
    memset(scene->wall_cover, 0, count * sizeof(float));
    memset(scene->lumen_cover, 0, count * sizeof(float));
    tree_draw(scene->vessel_cover, r, &scene->vessels, z, 1, 0);
    tree_draw(scene->wall_cover, r, &scene->airways, z, 1.05f, .5f);
    tree_draw(scene->lumen_cover, r, &scene->airways, z, .8f, 0);

#pragma omp parallel for schedule(dynamic, 8)
    for (int y = 0; y < r->height; y++) {
        for (int x = 0; x < r->width; x++) {
            size_t i = (size_t)y * (size_t)r->width + (size_t)x;
            float px = r->x0 + (float)x * r->step, py = r->y0 + (float)y * r->step;
            py += scene->patient.turn * px;
            scene->hu[i] = pixel_at(&labels[i], scene, &s, px, py, i);
        }
    }
    blur(scene->hu, scene->scratch, r->width, r->height);
    add_noise(scene, &s);
    for (size_t i = 0; i < count; i++)
        hu[i] = (int16_t)(clampf(scene->hu[i], -1024, 3071) + 4096.5f) - 4096;
}

static int make(struct phantom *out, enum phantom_kind kind, uint64_t seed, int width, int height,
                int slices, struct error *err)
{
    int rc = -1;
    struct scene scene = {0};
    *out = (struct phantom){0};
    if ((int)kind < 0 || kind >= PHANTOM_KINDS)
        return error_set(err, ERR_ARGUMENT, "a phantom's kind is 0 to %d, not %d",
                         PHANTOM_KINDS - 1, (int)kind);
    if (width < PHANTOM_MIN_SIDE || width > PHANTOM_MAX_SIDE || height < PHANTOM_MIN_SIDE ||
        height > PHANTOM_MAX_SIDE)
        return error_set(err, ERR_ARGUMENT, "a phantom's sides are %d to %d pixels, not %dx%d",
                         PHANTOM_MIN_SIDE, PHANTOM_MAX_SIDE, width, height);
    size_t plane = (size_t)width * (size_t)height, count = plane * (size_t)slices;
    out->hu = malloc(count * sizeof *out->hu);
    out->labels = malloc(count);
    if (out->hu == NULL || out->labels == NULL)
        TRY(error_set(err, ERR_MEMORY, "no memory for %d phantom slices of %dx%d", slices, width,
                      height));
    TRY(scene_make(&scene, kind, seed, width, height, err));
    const struct patient *p = &scene.patient;
    float first = .06f * p->length, gap = .9f * p->length / (float)slices;
    if (slices == 1) {
        struct rng rng;
        rng_seed(&rng, seed ^ 0x51ce5u);
        first = p->length * uniform(&rng, .24f, .84f);
        if (p->lesions_count > 0)
            first = p->lesions[0].at.z + uniform(&rng, -.3f, .3f) * p->lesions[0].rz;
        gap = 1.25f;
    }
    for (int i = 0; i < slices; i++)
        cut(out->hu + (size_t)i * plane, out->labels + (size_t)i * plane, &scene,
            first + (float)i * gap);
    out->kind = kind;
    out->width = width;
    out->height = height;
    out->slices = slices;
    out->spacing_mm[0] = out->spacing_mm[1] = scene.raster.step;
    out->spacing_mm[2] = gap;
    rc = 0;
done:
    scene_free(&scene);
    if (rc != 0)
        phantom_free(out);
    return rc;
}

int phantom_slice(struct phantom *out, enum phantom_kind kind, uint64_t seed, int width, int height,
                  struct error *err)
{
    return make(out, kind, seed, width, height, 1, err);
}

int phantom_volume(struct phantom *out, enum phantom_kind kind, uint64_t seed, int width,
                   int height, int slices, struct error *err)
{
    *out = (struct phantom){0};
    if (slices < 1 || slices > PHANTOM_MAX_SLICES)
        return error_set(err, ERR_ARGUMENT, "a phantom has 1 to %d slices, not %d",
                         PHANTOM_MAX_SLICES, slices);
    return make(out, kind, seed, width, height, slices, err);
}

void phantom_free(struct phantom *phantom)
{
    free(phantom->hu);
    free(phantom->labels);
    *phantom = (struct phantom){0};
}

void phantom_window(uint8_t *out, const int16_t *hu, int64_t count, float window, float level)
{
    float low = level - window / 2;
    for (int64_t i = 0; i < count; i++) {
        float v = ((float)hu[i] - low) / window * 255;
        out[i] = (uint8_t)(clampf(v, 0, 255) + .5f);
    }
}

int phantom_image(struct image *out, const struct phantom *phantom, int slice, struct error *err)
{
    if (image_alloc(out, phantom->width, phantom->height, err) != 0)
        return -1;
    int64_t count = (int64_t)phantom->width * phantom->height;
    const int16_t *hu = phantom->hu + (int64_t)slice * count;
    for (int64_t i = 0; i < count; i++) {
        uint8_t v;
        phantom_window(&v, hu + i, 1, PHANTOM_WINDOW, PHANTOM_LEVEL);
        out->pixels[i] = v / 255.0f;
    }
    return 0;
}
