/*
 * Outlines of a binary mask as COCO polygons: one closed ring per 4-connected piece, x and y of
 * pixel corners, clockwise as seen on screen, without repeating the first point. Rings are thinned
 * (Douglas and Peucker 1973) so that no point of the true outline is farther than 0.75 pixel from
 * the result, which is just enough to turn a slanted staircase into a line. Holes are left out, as
 * the format has no place for them. Pure, any thread.
 */
#ifndef ONESHOT_API_POLYGON_H
#define ONESHOT_API_POLYGON_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"
#include "model/model.h"

struct polygon_point {
    int x, y;
};

/* Every ring's points one after another; ring i ends before points[ends[i]]. */
struct polygons {
    struct polygon_point *points; /* owned */
    size_t points_count, points_room;
    size_t *ends; /* owned */
    size_t count, room;
};

/*
 * Traces the mask that is `plane` (row stride `width`) inside `window`. `out` is empty before, and
 * to be freed after in every case. `scratch` has room for the window's pixels. ERR_MEMORY.
 */
int polygons_trace(struct polygons *out, const uint8_t *plane, int width,
                   const struct mask_window *window, uint8_t *scratch, struct error *err);
void polygons_free(struct polygons *polygons);

#endif
