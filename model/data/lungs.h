/*
 * Where the lungs are, without a network: dark regions of a slice that do not reach its edge. Good
 * enough to crop to and to tell a chest from other pictures; no segmentation.
 */
#ifndef ONESHOT_DATA_LUNGS_H
#define ONESHOT_DATA_LUNGS_H

#include <stdint.h>

#include "model/base/error.h"
#include "model/data/image.h"

struct lung_box {
    int x0, y0, x1, y1; /* columns x0..x1-1, rows y0..y1-1; all 0 where nothing was found */
    int64_t area;       /* dark pixels inside */
};

/*
 * From a slice in the lung window. Nothing is found in pictures that are cropped to the lungs
 * already. ERR_MEMORY; ERR_ARGUMENT for an empty image.
 */
int lungs_find(struct lung_box *out, const struct image *image, struct error *err);

/* From a label map: the box of all labels. */
struct lung_box lungs_labelled(const uint8_t *labels, int width, int height);

#endif
