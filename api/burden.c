#include "api/burden.h"

#include <stddef.h>

#include "model/base/vector.h"

/* Sets `bit` wherever the mask (0 or 1) is set. */
VECTORIZED static void cover_row(uint8_t *restrict cover, const uint8_t *restrict mask, int count,
                                 uint8_t bit)
{
    for (int i = 0; i < count; i++)
        cover[i] |= (uint8_t)(mask[i] * bit);
}

void burden_add(uint8_t *cover, int width, int label, const uint8_t *plane,
                const struct mask_window *window)
{
    if (label < 1 || label >= MODEL_OBJECT_CLASSES)
        return;
    uint8_t bit = (uint8_t)(1 << (label - 1));
    for (int y = window->y0; y < window->y1; y++) {
        size_t at = (size_t)y * (size_t)width + (size_t)window->x0;
        cover_row(cover + at, plane + at, window->x1 - window->x0, bit);
    }
}

struct row_counts {
    int lung, ggo, consolidation, affected;
};

VECTORIZED static void count_row(struct row_counts *out, const uint8_t *cover, int count)
{
    int lung = 0, ggo = 0, consolidation = 0, affected = 0;
    for (int i = 0; i < count; i++) {
        int c = cover[i];
        lung += c & BURDEN_LUNG;
        ggo += c >> 1 & 1;
        consolidation += c >> 2 & 1;
        affected += c & (c >> 1 | c >> 2) & 1;
    }
    *out = (struct row_counts){lung, ggo, consolidation, affected};
}

uint8_t burden_label(uint8_t cover)
{
    return cover & BURDEN_CONSOLIDATION ? 3 : cover & BURDEN_GGO ? 2 : cover & BURDEN_LUNG;
}

void burden_count(struct burden *out, const uint8_t *cover, int width,
                  const struct mask_window *window)
{
    *out = (struct burden){0};
    for (int y = window->y0; y < window->y1; y++) {
        struct row_counts row;
        count_row(&row, cover + (size_t)y * (size_t)width + (size_t)window->x0,
                  window->x1 - window->x0);
        out->lung_px += row.lung;
        out->ggo_px += row.ggo;
        out->consolidation_px += row.consolidation;
        out->affected_px += row.affected;
    }
    out->lung_found = out->lung_px > 0;
    if (out->lung_found)
        out->affected_pct = 100.0 * (double)out->affected_px / (double)out->lung_px;
}
