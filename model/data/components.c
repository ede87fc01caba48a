/* Two passes over the pixels with union-find between them. */
#include "model/data/components.h"

#include <stdlib.h>
#include <string.h>

/* Root of a provisional region; halves the path on the way. */
static int32_t find_root(int32_t *parent, int32_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

/* The older of two regions is the root, so a root's number is that of its first pixel. */
static int32_t unite(int32_t *parent, int32_t a, int32_t b)
{
    a = find_root(parent, a);
    b = find_root(parent, b);
    if (a < b) {
        parent[b] = a;
        return a;
    }
    parent[a] = b;
    return b;
}

/* Numbers every pixel with a provisional region; returns how many there are, 0 included. */
static int32_t number_pixels(int32_t *plane, int32_t *parent, const uint8_t *labels, int width,
                             int height)
{
    int32_t next = 1;
    parent[0] = 0;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            size_t i = (size_t)y * (size_t)width + (size_t)x, up = i - (size_t)width;
            if (labels[i] == 0) {
                plane[i] = 0;
                continue;
            }
            int32_t region = 0;
            if (x > 0 && labels[i - 1] == labels[i])
                region = plane[i - 1];
            for (int dx = -1; dx <= 1 && y > 0; dx++) {
                if (x + dx < 0 || x + dx >= width)
                    continue;
                size_t k = dx < 0 ? up - 1 : up + (size_t)dx;
                if (labels[k] == labels[i])
                    region = region == 0 ? plane[k] : unite(parent, region, plane[k]);
            }
            if (region == 0) {
                region = next++;
                parent[region] = region;
            }
            plane[i] = region;
        }
    }
    return next;
}

/* Sizes of the roots, then their places in the list; smaller ones get none. */
static int32_t keep_large(int32_t *place, const int64_t *area, const int32_t *parent,
                          int32_t regions, int64_t min_area)
{
    int32_t kept = 0;
    place[0] = 0;
    for (int32_t r = 1; r < regions; r++)
        place[r] = parent[r] == r && area[r] > min_area ? ++kept : 0;
    return kept;
}

static void measure(struct components *out, const uint8_t *labels)
{
    for (int i = 0; i < out->count; i++)
        out->list[i] = (struct component){.x0 = out->width, .y0 = out->height};
    for (int y = 0; y < out->height; y++) {
        for (int x = 0; x < out->width; x++) {
            size_t i = (size_t)y * (size_t)out->width + (size_t)x;
            if (out->plane[i] == 0)
                continue;
            struct component *c = &out->list[out->plane[i] - 1];
            c->label = labels[i];
            c->x0 = x < c->x0 ? x : c->x0;
            c->y0 = y < c->y0 ? y : c->y0;
            c->x1 = x + 1 > c->x1 ? x + 1 : c->x1;
            c->y1 = y + 1;
            c->area++;
        }
    }
}

int components_find(struct components *out, const uint8_t *labels, int width, int height,
                    int64_t min_area, struct error *err)
{
    int rc = -1;
    int32_t *parent = NULL, *place = NULL;
    int64_t *area = NULL, count = (int64_t)width * height;
    *out = (struct components){0};
    if (width < 1 || height < 1 || count >= INT32_MAX)
        return error_set(err, ERR_ARGUMENT, "a label map of %dx%d pixels cannot be taken apart",
                         width, height);
    out->plane = malloc((size_t)count * sizeof *out->plane);
    parent = malloc(((size_t)count + 1) * sizeof *parent);
    if (out->plane == NULL || parent == NULL)
        TRY(error_set(err, ERR_MEMORY, "no memory for the regions of a %dx%d map", width, height));
    int32_t regions = number_pixels(out->plane, parent, labels, width, height);

    area = calloc((size_t)regions, sizeof *area);
    place = malloc((size_t)regions * sizeof *place);
    if (area == NULL || place == NULL)
        TRY(error_set(err, ERR_MEMORY, "no memory for %d regions", (int)regions));
    for (int64_t i = 0; i < count; i++) {
        out->plane[i] = find_root(parent, out->plane[i]);
        area[out->plane[i]]++;
    }
    out->count = keep_large(place, area, parent, regions, min_area);
    for (int64_t i = 0; i < count; i++)
        out->plane[i] = place[out->plane[i]];

    out->list = malloc(((size_t)out->count + 1) * sizeof *out->list);
    if (out->list == NULL)
        TRY(error_set(err, ERR_MEMORY, "no memory for %d regions", out->count));
    out->width = width;
    out->height = height;
    measure(out, labels);
    rc = 0;
done:
    free(parent);
    free(area);
    free(place);
    if (rc != 0)
        components_free(out);
    return rc;
}

void components_mask(uint8_t *mask, const struct components *components, int index)
{
    int64_t count = (int64_t)components->width * components->height;
    for (int64_t i = 0; i < count; i++)
        mask[i] = components->plane[i] == index + 1;
}

void components_free(struct components *components)
{
    free(components->list);
    free(components->plane);
    *components = (struct components){0};
}
