#include "model/train/example.h"

#include <stdlib.h>
#include <string.h>

#include "model/data/components.h"
#include "model/data/normalize.h"

enum { PIXELS = TRAIN_SIDE * TRAIN_SIDE };

struct example_maker {
    float image[PIXELS];
    uint8_t labels[PIXELS], plane[PIXELS];
    struct instance instances[TRAIN_MAX_TRUTHS];
};

int example_maker_open(struct example_maker **out, struct error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : error_set(err, ERR_MEMORY, "out of memory for training examples");
}

void example_maker_close(struct example_maker *maker)
{
    free(maker);
}

/* Nearest neighbour on the grid the image was resized on. */
static void resize_labels(uint8_t *out, const struct placement *placement, const uint8_t *labels,
                          int width, int height)
{
    memset(out, 0, PIXELS);
    for (int y = 0; y < placement->height; y++) {
        int from = (int)(((double)y + 0.5) * height / placement->height);
        for (int x = 0; x < placement->width; x++) {
            int column = (int)(((double)x + 0.5) * width / placement->width);
            out[y * TRAIN_SIDE + x] =
                labels[(size_t)(from < height ? from : height - 1) * (size_t)width +
                       (size_t)(column < width ? column : width - 1)];
        }
    }
}

struct ranked {
    const struct component *component;
    int index;
};

static int larger_first(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    if (p->component->area != q->component->area)
        return p->component->area < q->component->area ? 1 : -1;
    return p->index - q->index;
}

static int by_class(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;
    return p->component->label != q->component->label ? p->component->label - q->component->label
                                                      : p->index - q->index;
}

/* `min_area` in pixels of the network's input. */
static int find_instances(struct example *out, struct example_maker *maker, double min_area,
                          struct error *err)
{
    struct components found;
    if (components_find(&found, maker->labels, TRAIN_SIDE, TRAIN_SIDE, (int64_t)min_area, err) != 0)
        return -1;
    struct ranked *order = malloc(((size_t)found.count + 1) * sizeof *order);
    uint8_t *rank = calloc((size_t)found.count + 1, 1); /* by component + 1; 0: not kept */
    int rc = order && rank ? 0 : error_set(err, ERR_MEMORY, "out of memory for instances");
    if (rc == 0) {
        int count = found.count;
        for (int i = 0; i < count; i++)
            order[i] = (struct ranked){&found.list[i], i};
        if (count > TRAIN_MAX_TRUTHS) {
            qsort(order, (size_t)count, sizeof *order, larger_first);
            count = TRAIN_MAX_TRUTHS;
        }
        qsort(order, (size_t)count, sizeof *order, by_class);
        for (int i = 0; i < count; i++) {
            const struct component *c = order[i].component;
            maker->instances[i] = (struct instance){
                {(float)c->x0, (float)c->y0, (float)c->x1, (float)c->y1}, c->label};
            rank[order[i].index + 1] = (uint8_t)(i + 1);
        }
        for (int i = 0; i < PIXELS; i++)
            maker->plane[i] = rank[found.plane[i]];
        out->instances = maker->instances;
        out->instances_count = count;
        out->plane = maker->plane;
    }
    free(order);
    free(rank);
    components_free(&found);
    return rc;
}

int example_make(struct example *out, struct example_maker *maker, const struct image *image,
                 const uint8_t *labels, const int8_t *classes, struct error *err)
{
    struct placement placement;
    memset(out, 0, sizeof *out);
    if (normalize_slice(maker->image, TRAIN_SIDE, &placement, image, err) != 0)
        return -1;
    out->image = maker->image;
    out->width = (float)placement.width;
    out->height = (float)placement.height;
    for (int c = 0; c < IMAGE_CLASSES; c++)
        out->classes[c] = classes ? classes[c] : -1;
    if (!labels)
        return 0;
    resize_labels(maker->labels, &placement, labels, image->width, image->height);
    /* The smallest region that counts is so many pixels of the slice, not of its enlargement. */
    double pixel = (double)placement.scale_x * (double)placement.scale_y;
    return find_instances(out, maker, COMPONENTS_MIN_AREA * pixel, err);
}
