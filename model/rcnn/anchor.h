/*
 * The grid of reference boxes a region proposal network predicts against (Faster R-CNN, section
 * 3.1.1). Pure; any thread.
 */
#ifndef ONESHOT_RCNN_ANCHOR_H
#define ONESHOT_RCNN_ANCHOR_H

#include "model/rcnn/box.h"

/*
 * For size s and ratio r (height / width) a box of height s sqrt(r) and width s / sqrt(r) around
 * the origin, corners rounded half to even, repeated at (stride x, stride y) for every cell. There
 * are A = sizes_n * ratios_n of them per cell:
 *
 *   out[(y * grid_w + x) * A + a],  a = ratio_index * sizes_n + size_index
 *
 * `out` holds grid_w * grid_h * A boxes. Anchors reach beyond the image; small flat ones round to
 * no area at all and stay in the grid, because the network has an output for them.
 */
void anchor_grid(struct box *out, const float *sizes, int sizes_n, const float *ratios,
                 int ratios_n, int grid_w, int grid_h, int stride);

#endif
