/*
 * How much of the lung is affected: areas of the union of each class's masks, every pixel counted
 * once however many masks cover it. Pure; one burden belongs to one thread.
 */
#ifndef ONESHOT_API_BURDEN_H
#define ONESHOT_API_BURDEN_H

#include <stdbool.h>
#include <stdint.h>

#include "model/model.h"

/* Bits of a pixel in `cover`. */
enum { BURDEN_LUNG = 1, BURDEN_GGO = 2, BURDEN_CONSOLIDATION = 4 };

struct burden {
    int64_t lung_px, ggo_px, consolidation_px;
    int64_t affected_px; /* lung pixels under a lesion of either kind */
    double affected_pct; /* of lung_px; 0 where there is no lung */
    bool lung_found;
};

/* Adds a pasted mask of class `label` to `cover` (height, width), which begins as zeros. */
void burden_add(uint8_t *cover, int width, int label, const uint8_t *plane,
                const struct mask_window *window);

/* The class of a pixel of `cover` in a label map, 0 for none: consolidation (3) goes before ground
 * glass (2), that before lungs (1). */
uint8_t burden_label(uint8_t cover);

/* Counts the part of `cover` inside `window` (which must enclose every window added). */
void burden_count(struct burden *out, const uint8_t *cover, int width,
                  const struct mask_window *window);

#endif
