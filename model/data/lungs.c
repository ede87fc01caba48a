/* Lungs as dark islands. */
#include "model/data/lungs.h"

#include <stdlib.h>

#include "model/data/components.h"

enum { BINS = 256 };

/* Otsu's threshold (1979): the split of the histogram whose halves differ most. */
static float dark_threshold(const struct image *image)
{
    int64_t bins[BINS] = {0}, count = (int64_t)image->width * image->height, below = 0;
    double total = 0, sum = 0, best = -1;
    int at = BINS / 2;
    for (int64_t i = 0; i < count; i++) {
        float v = image->pixels[i] * (BINS - 1);
        bins[v > 0 ? v < BINS - 1 ? (int)v : BINS - 1 : 0]++;
    }
    for (int b = 0; b < BINS; b++)
        total += (double)b * (double)bins[b];
    for (int b = 0; b < BINS - 1; b++) {
        below += bins[b];
        sum += (double)b * (double)bins[b];
        if (below == 0 || below == count)
            continue;
        double low = sum / (double)below, high = (total - sum) / (double)(count - below);
        double between = (double)below * (double)(count - below) * (high - low) * (high - low);
        if (between > best) {
            best = between;
            at = b;
        }
    }
    return (float)(at + 1) / (BINS - 1);
}

static void include(struct lung_box *box, const struct component *c)
{
    if (box->area == 0)
        *box = (struct lung_box){c->x0, c->y0, c->x1, c->y1, 0};
    box->x0 = c->x0 < box->x0 ? c->x0 : box->x0;
    box->y0 = c->y0 < box->y0 ? c->y0 : box->y0;
    box->x1 = c->x1 > box->x1 ? c->x1 : box->x1;
    box->y1 = c->y1 > box->y1 ? c->y1 : box->y1;
    box->area += c->area;
}

static int is_island(const struct component *c, const struct image *image)
{
    return c->label == 1 && c->x0 > 0 && c->y0 > 0 && c->x1 < image->width && c->y1 < image->height;
}

int lungs_find(struct lung_box *out, const struct image *image, struct error *err)
{
    int rc = -1;
    struct components parts = {0};
    *out = (struct lung_box){0};
    if (image->pixels == NULL || image->width < 1 || image->height < 1)
        return error_set(err, ERR_ARGUMENT, "no lungs in an empty image");
    int64_t count = (int64_t)image->width * image->height, largest = 0;
    uint8_t *dark = malloc((size_t)count);
    if (dark == NULL)
        TRY(error_set(err, ERR_MEMORY, "no memory to look for lungs"));
    float threshold = dark_threshold(image);
    for (int64_t i = 0; i < count; i++)
        dark[i] = image->pixels[i] < threshold;
    TRY(components_find(&parts, dark, image->width, image->height, count / 200, err));
    for (int i = 0; i < parts.count; i++)
        if (is_island(&parts.list[i], image) && parts.list[i].area > largest)
            largest = parts.list[i].area;
    if (largest * 50 < count) /* a lung takes more than a fiftieth of a slice */
        goto done;
    for (int i = 0; i < parts.count; i++)
        if (is_island(&parts.list[i], image) && parts.list[i].area * 6 > largest)
            include(out, &parts.list[i]);
done:
    components_free(&parts);
    free(dark);
    return rc;
}

struct lung_box lungs_labelled(const uint8_t *labels, int width, int height)
{
    struct lung_box box = {0};
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            if (labels[(size_t)y * (size_t)width + (size_t)x] == 0)
                continue;
            const struct component pixel = {.x0 = x, .y0 = y, .x1 = x + 1, .y1 = y + 1, .area = 1};
            include(&box, &pixel);
        }
    }
    return box;
}
