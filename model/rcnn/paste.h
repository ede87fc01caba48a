/*
 * Brings a detection's mask from its own grid to the pixels of the slice (Mask R-CNN, section 3,
 * inference). Pure; any thread.
 */
#ifndef ONESHOT_RCNN_PASTE_H
#define ONESHOT_RCNN_PASTE_H

#include <stdint.h>

#include "model/rcnn/box.h"

/* Part of a plane that a pasted mask may touch: columns x0..x1-1, rows y0..y1-1; maybe empty. */
struct mask_window {
    int x0, y0, x1, y1;
};

/*
 * `mask` (side, side) holds probabilities on the grid that spans `box`. It is surrounded by a ring
 * of zeros (so that a mask fades out instead of ending at the box), the box grows with it, its
 * corners are truncated to integers, and the mask is resized to that many pixels (bilinear, half-
 * pixel centres), placed, cut at the plane, and thresholded: a pixel is 1 where the value is
 * >= threshold. Writes 0 or 1 to every pixel of *window in `plane` (height, width) and leaves the
 * rest alone. Returns the number of ones (area in pixels).
 *
 * Any float is fine in `box`: one that is not finite, or off the plane, gives an empty window.
 */
int64_t mask_paste(const float *mask, int side, const struct box *box, int width, int height,
                   float threshold, uint8_t *plane, struct mask_window *window);

#endif
