/*
 * The slice as a picture with its findings drawn on it: grey slice, lungs outlined, ground glass
 * and consolidation filled in colours that the colour-blind keep apart, boxes with class and score,
 * and below it a strip that says what this is. Small slices are enlarged by a whole factor, so the
 * picture is (width * scale) x (height * scale + strip). Any thread with its own worker.
 */
#ifndef ONESHOT_API_OVERLAY_H
#define ONESHOT_API_OVERLAY_H

#include <stddef.h>
#include <stdint.h>

#include "api/options.h"
#include "api/slice.h"

enum { OVERLAY_SIDE = 768 }; /* slices are enlarged until their longer side reaches this, 1..4 x */

/*
 * Draws the slice that was just run on `worker` and encodes it as PNG (malloc'ed). MASKS_NONE
 * leaves out fills and outlines; `explain` adds the regions the model attended to.
 * Errors: ERR_MEMORY.
 */
int overlay_png(uint8_t **out, size_t *length, struct slice *slice, struct slice_worker *worker,
                const struct slice_options *options, struct error *err);

#endif
