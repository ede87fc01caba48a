#include "model/rcnn/anchor.h"

#include <math.h>
#include <stddef.h>

/* Single precision throughout: a corner may lie on a half, where rounding decides a whole pixel. */
static struct box base_box(float size, float ratio)
{
    float root = sqrtf(ratio);
    float half_h = rintf(root * size / 2);
    float half_w = rintf(1 / root * size / 2);
    return (struct box){-half_w, -half_h, half_w, half_h};
}

void anchor_grid(struct box *out, const float *sizes, int sizes_n, const float *ratios,
                 int ratios_n, int grid_w, int grid_h, int stride)
{
    size_t per_cell = (size_t)sizes_n * (size_t)ratios_n;
    size_t cells = (size_t)grid_w * (size_t)grid_h;
    for (int r = 0; r < ratios_n; r++)
        for (int s = 0; s < sizes_n; s++) {
            struct box base = base_box(sizes[s], ratios[r]);
            struct box *at = out + (size_t)r * (size_t)sizes_n + s;
            for (size_t cell = 0; cell < cells; cell++, at += per_cell) {
                float x = (float)((long long)(cell % (size_t)grid_w) * stride);
                float y = (float)((long long)(cell / (size_t)grid_w) * stride);
                *at = (struct box){x + base.x0, y + base.y0, x + base.x1, y + base.y1};
            }
        }
}
