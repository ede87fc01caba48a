/* The transforms inside winograd4.c, for the vectors this processor has. */
#ifndef ONESHOT_NN_WINOGRAD4_TRANSFORM_H
#define ONESHOT_NN_WINOGRAD4_TRANSFORM_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WINOGRAD4_REACH = 6, /* a tile of data is 6x6 */
    WINOGRAD4_SIDE = 4,  /* a tile of results 4x4 */
    WINOGRAD4_TAPS = 9
};

/* (n, channels / inner, h, w, inner) */
struct winograd4_plane {
    int64_t h, w, channels, inner;
};

static inline int64_t winograd4_offset(const struct winograd4_plane *p, int64_t image,
                                       int64_t channel, int64_t y, int64_t x)
{
    int64_t block = image * (p->channels / p->inner) + channel / p->inner;
    return ((block * p->h + y) * p->w + x) * p->inner + channel % p->inner;
}

/* side x side pixels from (y, x) on, which may lie outside the plane. */
struct winograd4_window {
    const struct winograd4_plane *plane;
    int64_t image, y, x;
    int side; /* WINOGRAD4_REACH of data, WINOGRAD4_SIDE of a result's gradient */
};

/* What the results of a convolution are made of besides its products. */
struct winograd4_finish {
    float *y;
    const float *bias, *residual; /* may be NULL */
    bool relu;
};

/* Where the points of a tile lie: channel c of point k at k * point + c / lanes * block + c %
 * lanes.
 */
struct winograd4_points {
    int64_t point, block, lanes;
};

/* `lanes` channels at a time; planes' inner and numbers of channels are multiples of it, and
 * so are the lanes of points. Points of filters lie `point` floats apart. */
struct winograd4_transform {
    int lanes;
    /* The points of a window's channels from `channel` on, which becomes channel 0 of the points.
     */
    void (*window)(float *points, const struct winograd4_points *layout, const float *from,
                   const struct winograd4_window *window, int64_t channel, int64_t channels);
    /* The results of a tile (side WINOGRAD4_SIDE) from its products, channels from `channel` on. */
    void (*results)(const struct winograd4_finish *finish, const struct winograd4_window *tile,
                    int64_t channel, int64_t channels, const float *products,
                    const struct winograd4_points *layout);
    /* Points of filters from taps (9, lanes), and the gradient of those taps from points. */
    void (*filter)(float *points, int64_t point, const float *taps);
    void (*weight)(float *taps, const float *points, int64_t point);
};

/* The widest whose lanes divide `inner`, a multiple of 8. */
const struct winograd4_transform *winograd4_transform_for(int64_t inner);

#endif
