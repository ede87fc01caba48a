/* Voxels of every type as HU. Pure, any thread; pointers need not be aligned. */
#ifndef ONESHOT_DATA_VOXEL_H
#define ONESHOT_DATA_VOXEL_H

#include "model/data/volume.h"

/*
 * out[i] = HU of the voxel at `first` + i * step (in bytes, either sign), for i < count. What is
 * not finite, or does not fit a float, becomes VOLUME_AIR; `range` is updated.
 */
void voxels_read(float *out, int count, const uint8_t *first, ptrdiff_t step,
                 const struct volume *volume, struct voxel_range *range);

#endif
