/*
 * RoIAlign (Mask R-CNN, section 3): the features under a box, resampled to a fixed grid, and its
 * gradient. Plain arrays; nothing is allocated; any thread may call.
 *
 * A box is scaled to the map (no half-pixel shift: torchvision's aligned=false), made at least one
 * cell wide and high, and divided into pooled x pooled bins. A bin is the mean of g x g bilinear
 * samples; g is `sampling_ratio`, or, where that is not positive, adaptive: ceil(bin size), per
 * axis. A sample more than one cell outside the map counts as 0, one nearer is moved to its border.
 *
 * The mean of bilinear samples on a grid is separable: per axis and bin a few cells and their
 * weights, computed once per box. Sums are therefore over distinct cells, not over samples.
 *
 * Limits: height and width at most ROI_ALIGN_MAX_SIDE, pooled at most ROI_ALIGN_MAX_POOLED. Boxes
 * may hold any float: coordinates beyond +-65536 cells are moved there, NaN counts as 0.
 */
#ifndef ONESHOT_RCNN_ROI_ALIGN_H
#define ONESHOT_RCNN_ROI_ALIGN_H

#include <stddef.h>
#include <stdint.h>

#include "model/rcnn/box.h"

enum { ROI_ALIGN_MAX_SIDE = 4096, ROI_ALIGN_MAX_POOLED = 64 };

/*
 * out (rois_n, pooled, pooled, channels) from features (height, width, channels), channels
 * contiguous in both; `scale` takes box coordinates to cells (1/32 for a stride of 32).
 * Runs on the calling thread's OpenMP team, box by box.
 */
void roi_align_forward(float *out, const float *features, int height, int width, int channels,
                       const struct box *rois, int rois_n, int pooled, float scale,
                       int sampling_ratio);

/*
 * Adds to grad_features (height, width, channels) what grad_out (rois_n, pooled, pooled, channels)
 * implies. Boxes are constants. Threads share the channels, so that every sum has one order and
 * the result does not depend on their number.
 */
void roi_align_backward(float *grad_features, const float *grad_out, int height, int width,
                        int channels, const struct box *rois, int rois_n, int pooled, float scale,
                        int sampling_ratio);

/*
 * The training target of one mask: RoIAlign (scale 1, adaptive) of the binary plane that is 1
 * where plane[y * stride + x] == id, to out (side, side). `stride` is in bytes; a plain 0/1 mask
 * has id 1. Agrees with torchvision's project_masks_on_boxes to 1e-5.
 */
void roi_align_mask_target(float *out, const uint8_t *plane, int height, int width, size_t stride,
                           uint8_t id, const struct box *roi, int side);

#endif
