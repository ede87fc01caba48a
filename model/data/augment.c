/* Draw, resample once, change intensities. */
#include "model/data/augment.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "model/base/vector.h"
#include "model/data/lungs.h"

/* Every choice of one call, drawn in this order. */
struct draw {
    bool flip, crop;
    float turn;             /* radians */
    float zoom;             /* size of the result over that of the source */
    float shift_x, shift_y; /* share of the side */
    float black, white, exponent, noise;
    uint64_t noise_seed;
};

int augment_check(const struct augment_options *o, struct error *err)
{
    const struct {
        const char *name;
        float value, most;
    } ranges[] = {
        {"flip", o->flip, 1},        {"rotate", o->rotate, 45},
        {"scale", o->scale, 0.5f},   {"translate", o->translate, 0.25f},
        {"crop", o->crop, 1},        {"margin", o->margin, 0.5f},
        {"window", o->window, 0.3f}, {"gamma", o->gamma, 1},
        {"noise", o->noise, 0.2f},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= 0 && ranges[i].value <= ranges[i].most))
            return error_set(err, ERR_ARGUMENT, "augmentation: %s is 0 to %g, not %g",
                             ranges[i].name, (double)ranges[i].most, (double)ranges[i].value);
    return 0;
}

/* -1..1 */
static float either_way(struct rng *rng)
{
    return 2 * rng_float(rng) - 1;
}

/* 1 / (1 + most) .. 1 + most, evenly by ratio near 1; exactly 1 for 0. */
static float ratio(struct rng *rng, float most)
{
    float u = either_way(rng);
    return u < 0 ? 1 / (1 - u * most) : 1 + u * most;
}

static struct draw draw(const struct augment_options *o, struct rng *rng)
{
    struct draw d;
    d.flip = rng_float(rng) < o->flip;
    d.crop = rng_float(rng) < o->crop;
    d.turn = either_way(rng) * o->rotate * 0.0174532925f;
    d.zoom = ratio(rng, o->scale);
    d.shift_x = either_way(rng) * o->translate;
    d.shift_y = either_way(rng) * o->translate;
    d.black = either_way(rng) * o->window;
    d.white = 1 + either_way(rng) * o->window;
    d.exponent = ratio(rng, o->gamma);
    d.noise = rng_float(rng) * o->noise;
    d.noise_seed = rng_u64(rng);
    return d;
}

/* ---- geometry ---- */

/* From a pixel (x, y) of the result to a position in the source. */
struct mapping {
    float xx, xy, x0; /* source x = xx x + xy y + x0 */
    float yx, yy, y0;
};

struct frame {
    int x0, y0, x1, y1; /* the part of the source that is kept */
};

static int find_frame(struct frame *frame, const struct image *image, const uint8_t *labels,
                      const struct draw *d, float margin, struct error *err)
{
    struct lung_box box;
    *frame = (struct frame){0, 0, image->width, image->height};
    if (!d->crop)
        return 0;
    if (labels != NULL)
        box = lungs_labelled(labels, image->width, image->height);
    else if (lungs_find(&box, image, err) != 0)
        return -1;
    if (box.area == 0)
        return 0;
    int wide = (int)lroundf(margin * (float)(box.x1 - box.x0));
    int high = (int)lroundf(margin * (float)(box.y1 - box.y0));
    frame->x0 = box.x0 - wide > 0 ? box.x0 - wide : 0;
    frame->y0 = box.y0 - high > 0 ? box.y0 - high : 0;
    frame->x1 = box.x1 + wide < image->width ? box.x1 + wide : image->width;
    frame->y1 = box.y1 + high < image->height ? box.y1 + high : image->height;
    return 0;
}

/* About the frame's centre: shift, zoom, turn, mirror. */
static struct mapping make_mapping(const struct draw *d, const struct frame *f)
{
    float width = (float)(f->x1 - f->x0), height = (float)(f->y1 - f->y0);
    float c = cosf(d->turn) / d->zoom, s = sinf(d->turn) / d->zoom;
    float sign = d->flip ? -1 : 1;
    struct mapping m = {.xx = sign * c, .xy = -s, .yx = sign * s, .yy = c};
    float cx = (width - 1) / 2, cy = (height - 1) / 2;
    float px = cx + d->shift_x * width, py = cy + d->shift_y * height;
    m.x0 = (float)f->x0 + cx - m.xx * px - m.xy * py;
    m.y0 = (float)f->y0 + cy - m.yx * px - m.yy * py;
    return m;
}

VECTORIZED static void resample_row(float *restrict out, int width, int y, const float *restrict in,
                                    int in_width, int in_height, const struct mapping *restrict m)
{
    float right = (float)(in_width - 1), bottom = (float)(in_height - 1);
    float x0 = m->xy * (float)y + m->x0, y0 = m->yy * (float)y + m->y0;
    for (int x = 0; x < width; x++) {
        float sx = m->xx * (float)x + x0, sy = m->yx * (float)x + y0;
        sx = sx < 0 ? 0 : sx > right ? right : sx;
        sy = sy < 0 ? 0 : sy > bottom ? bottom : sy;
        int ix = (int)sx, iy = (int)sy;
        int jx = ix < in_width - 1 ? ix + 1 : ix, jy = iy < in_height - 1 ? iy + 1 : iy;
        float u = sx - (float)ix, v = sy - (float)iy;
        int64_t upper = (int64_t)iy * in_width, lower = (int64_t)jy * in_width;
        float a = (1 - u) * in[upper + ix] + u * in[upper + jx];
        float b = (1 - u) * in[lower + ix] + u * in[lower + jx];
        out[x] = (1 - v) * a + v * b;
    }
}

VECTORIZED static void relabel_row(uint8_t *restrict out, int width, int y,
                                   const uint8_t *restrict in, int in_width, int in_height,
                                   const struct mapping *restrict m)
{
    float x0 = m->xy * (float)y + m->x0 + 0.5f, y0 = m->yy * (float)y + m->y0 + 0.5f;
    for (int x = 0; x < width; x++) {
        float sx = m->xx * (float)x + x0, sy = m->yx * (float)x + y0;
        bool inside = sx >= 0 && sy >= 0 && sx < (float)in_width && sy < (float)in_height;
        int64_t at = inside ? (int64_t)sy * in_width + (int64_t)sx : 0;
        out[x] = inside ? in[at] : 0;
    }
}

/* ---- intensities ---- */

static void change_intensities(struct image *image, const struct draw *d)
{
    size_t count = (size_t)image->width * (size_t)image->height;
    struct rng rng;
    rng_seed(&rng, d->noise_seed);
    for (size_t i = 0; i < count; i++) {
        float v = image->pixels[i];
        if (d->black != 0 || d->white != 1)
            v = (v - d->black) / (d->white - d->black);
        if (d->exponent != 1)
            v = powf(v > 0 ? v : 0, d->exponent);
        if (d->noise > 0)
            v += d->noise * rng_normal(&rng);
        image->pixels[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
}

int augment_apply(struct image *image, uint8_t **labels, const struct augment_options *options,
                  struct rng *rng, struct error *err)
{
    int rc = -1;
    struct image out = {0};
    uint8_t *map = NULL;
    const uint8_t *old_map = labels != NULL ? *labels : NULL;
    TRY(augment_check(options, err));
    struct draw d = draw(options, rng);
    struct frame frame;
    TRY(find_frame(&frame, image, old_map, &d, options->margin, err));
    int width = frame.x1 - frame.x0, height = frame.y1 - frame.y0;
    bool moved = d.flip || d.turn != 0 || d.zoom != 1 || d.shift_x != 0 || d.shift_y != 0 ||
                 width != image->width || height != image->height;
    if (moved) {
        TRY(image_alloc(&out, width, height, err));
        if (old_map != NULL && (map = malloc((size_t)width * (size_t)height)) == NULL)
            TRY(error_set(err, ERR_MEMORY, "no memory for a label map of %dx%d", width, height));
        out.bit_depth = image->bit_depth;
        out.colour = image->colour;
        struct mapping m = make_mapping(&d, &frame);
#pragma omp parallel for schedule(static)
        for (int y = 0; y < height; y++) {
            resample_row(out.pixels + (size_t)y * (size_t)width, width, y, image->pixels,
                         image->width, image->height, &m);
            if (map != NULL)
                relabel_row(map + (size_t)y * (size_t)width, width, y, old_map, image->width,
                            image->height, &m);
        }
        image_free(image);
        *image = out;
        if (map != NULL) {
            free(*labels);
            *labels = map;
        }
        out = (struct image){0};
        map = NULL;
    }
    if (d.black != 0 || d.white != 1 || d.exponent != 1 || d.noise > 0)
        change_intensities(image, &d);
    rc = 0;
done:
    image_free(&out);
    free(map);
    return rc;
}
