/*
 * COCO run lengths of a binary mask: runs of zeros and ones in column-major order, zeros first, as
 * the compressed string that pycocotools' encode() writes. Pure, any thread.
 */
#ifndef ONESHOT_API_RLE_H
#define ONESHOT_API_RLE_H

#include <stdint.h>

#include "model/base/buffer.h"
#include "model/model.h"

/*
 * Appends the string for the mask that is `plane` (height, width; 0 or 1) inside `window` and zero
 * outside. Only the window is read. `scratch` has room for the window's pixels.
 * Errors: ERR_MEMORY, ERR_TOO_LARGE (of the buffer).
 */
int rle_encode(struct buffer *out, const uint8_t *plane, int width, int height,
               const struct mask_window *window, uint8_t *scratch, struct error *err);

#endif
