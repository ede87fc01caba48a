/*
 * From a label map to instances: the 8-connected regions of equal label, each with its box. One
 * pass with union-find, linear time, no recursion. Any thread may call.
 */
#ifndef ONESHOT_DATA_COMPONENTS_H
#define ONESHOT_DATA_COMPONENTS_H

#include <stdint.h>

#include "model/base/error.h"

enum { COMPONENTS_MIN_AREA = 30 }; /* training keeps regions of more than this many pixels */

struct component {
    int label;          /* 1..255, the region's value in the map */
    int x0, y0, x1, y1; /* columns x0..x1-1, rows y0..y1-1: [min, max + 1) */
    int64_t area;       /* pixels, > min_area */
};

struct components {
    int width, height;
    int count;              /* in raster order of their first pixels */
    struct component *list; /* owned */
    int32_t *plane;         /* (height, width): index + 1, 0: background or too small; owned */
};

/*
 * Regions of the (height, width) map with area > min_area; value 0 is background. ERR_ARGUMENT (an
 * empty or too large map), ERR_MEMORY; *out is empty then.
 */
int components_find(struct components *out, const uint8_t *labels, int width, int height,
                    int64_t min_area, struct error *err);

/* Writes component `index` as 0 and 1 over the whole (height, width) mask. */
void components_mask(uint8_t *mask, const struct components *components, int index);

void components_free(struct components *components); /* an empty one is fine */

#endif
