/*
 * From a slice to the network's input: standardise, resize, pad.
 *
 * 1. Every pixel minus the image's mean, over its unbiased (n - 1) standard deviation, both taken
 *    at the original resolution.
 * 2. The longer side becomes `side`, the other round(short * side / long), half up, at least 1.
 *    Bilinear with half-pixel centres (align_corners = false) and no antialias, as
 *    torch.nn.functional.interpolate computes it for a given output size.
 * 3. Zeros fill the bottom and the right to side x side.
 *
 * The network's three input channels are equal, so one is made. An image of side x side pixels
 * passes unchanged apart from step 1. Any thread may call; OpenMP runs inside, no memory is taken,
 * and the result does not depend on the number of threads.
 */
#ifndef ONESHOT_DATA_NORMALIZE_H
#define ONESHOT_DATA_NORMALIZE_H

#include "model/base/error.h"
#include "model/data/image.h"

/* Where the slice lies in the (side, side) plane: its top left corner is the plane's. */
struct placement {
    int width, height;      /* of the resized slice, 1..side */
    float scale_x, scale_y; /* plane pixels per slice pixel: x_slice = x_plane / scale_x */
    double mean, deviation; /* of the slice, as used */
};

/* Size of a width x height slice in a plane of `side`; mean and deviation are left 0. */
struct placement placement_make(int width, int height, int side);

/*
 * Fills out (side, side). Errors: ERR_CONSTANT_IMAGE where pixels differ by less than a millionth
 * (rounding noise: one step of 16 bits is 15 times that), as a 1x1 image always does; ERR_ARGUMENT
 * for an empty image, side < 1 or pixels that are not finite.
 */
int normalize_slice(float *out, int side, struct placement *placement, const struct image *image,
                    struct error *err);

#endif
