/*
 * The transforms of Winograd's F(4x4, 3x3) for LANES channels at once. winograd4_transform.c
 * includes this once for each width of vectors, with LANES, the suffix of names OF() and the
 * attribute TARGET of its functions defined; it has no guard on purpose.
 */

typedef float OF(lanes) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t OF(mask) __attribute__((vector_size(LANES * 4), may_alias));

static inline __attribute__((always_inline)) OF(lanes) * OF(at)(float *p)
{
    return (OF(lanes) *)(void *)p;
}

static inline __attribute__((always_inline)) const OF(lanes) * OF(at_const)(const float *p)
{
    return (const OF(lanes) *)(const void *)p;
}

/* ---- one way ---- */

/* B' d, in an order that keeps a flat plane exactly flat. */
static inline __attribute__((always_inline)) void OF(data_column)(OF(lanes) r[REACH],
                                                                  const OF(lanes) d[REACH])
{
    OF(lanes) e = d[4] - 4 * d[2], f = d[3] - 4 * d[1], g = d[4] - d[2], h = 2 * (d[3] - d[1]);
    r[0] = 4 * (d[0] - d[2]) + g;
    r[1] = e + f;
    r[2] = e - f;
    r[3] = g + h;
    r[4] = g - h;
    r[5] = 4 * (d[1] - d[3]) + (d[5] - d[3]);
}

/* A' m */
static inline __attribute__((always_inline)) void OF(result_column)(OF(lanes) y[SIDE],
                                                                    const OF(lanes) m[REACH])
{
    OF(lanes) a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = b + 2 * d;
    y[2] = a + 4 * c;
    y[3] = b + 8 * d + m[5];
}

/* A y, the way back of A'. */
static inline __attribute__((always_inline)) void OF(gradient_column)(OF(lanes) z[REACH],
                                                                      const OF(lanes) y[SIDE])
{
    OF(lanes) a = y[0] + y[2], b = y[1] + y[3], c = y[0] + 4 * y[2], d = 2 * y[1] + 8 * y[3];
    z[0] = y[0];
    z[1] = a + b;
    z[2] = a - b;
    z[3] = c + d;
    z[4] = c - d;
    z[5] = y[3];
}

/* G g */
static inline __attribute__((always_inline)) void OF(filter_column)(OF(lanes) u[REACH],
                                                                    const OF(lanes) g[3])
{
    OF(lanes) a = (g[0] + g[2]) * (-1.f / 6), b = g[1] * (-1.f / 6);
    OF(lanes) c = g[0] * (1.f / 24) + g[2] * (1.f / 6), d = g[1] * (1.f / 12);
    u[0] = g[0] * .25f;
    u[1] = a + b;
    u[2] = a - b;
    u[3] = c + d;
    u[4] = c - d;
    u[5] = g[2];
}

/* G' u */
static inline __attribute__((always_inline)) void OF(weight_column)(OF(lanes) g[3],
                                                                    const OF(lanes) u[REACH])
{
    OF(lanes) a = (u[1] + u[2]) * (-1.f / 6), b = (u[1] - u[2]) * (-1.f / 6);
    OF(lanes) c = (u[3] + u[4]) * (1.f / 6), d = (u[3] - u[4]) * (1.f / 12);
    g[0] = u[0] * .25f + a + c * .25f;
    g[1] = b + d;
    g[2] = a + c + u[5];
}

/* ---- both ways ---- */

/* out = T in T' for a transform T that makes TO values of FROM; LOAD and STORE name them by y, x.
 */
#define BOTH_WAYS(T, FROM, TO, LOAD, STORE)                                                        \
    do {                                                                                           \
        OF(lanes) half_[FROM][TO], line_[FROM > TO ? FROM : TO];                                   \
        for (int y = 0; y < FROM; y++) {                                                           \
            for (int x = 0; x < FROM; x++)                                                         \
                line_[x] = LOAD;                                                                   \
            T(half_[y], line_);                                                                    \
        }                                                                                          \
        for (int x = 0; x < TO; x++) {                                                             \
            OF(lanes) from_[FROM], to_[TO];                                                        \
            for (int y = 0; y < FROM; y++)                                                         \
                from_[y] = half_[y][x];                                                            \
            T(to_, from_);                                                                         \
            for (int y = 0; y < TO; y++)                                                           \
                STORE = to_[y];                                                                    \
        }                                                                                          \
    } while (0)

/* Pixels outside the plane are zero. */
static const float *OF(edge)(float *edge, const float *from, const struct winograd4_window *w,
                             int64_t c)
{
    const struct winograd4_plane *p = w->plane;
    for (int k = 0; k < w->side * w->side; k++) {
        int64_t y = w->y + k / w->side, x = w->x + k % w->side;
        bool in = y >= 0 && y < p->h && x >= 0 && x < p->w;
        *OF(at)(edge + k * LANES) =
            in ? *OF(at_const)(from + winograd4_offset(p, w->image, c, y, x)) : (OF(lanes)){0};
    }
    return edge;
}

TARGET static void OF(window)(float *points, const struct winograd4_points *layout,
                              const float *from, const struct winograd4_window *w, int64_t channel,
                              int64_t channels)
{
    int64_t point = layout->point;
    const struct winograd4_plane *p = w->plane;
    float edge[REACH * REACH * LANES];
    bool inside = w->y >= 0 && w->x >= 0 && w->y + w->side <= p->h && w->x + w->side <= p->w;
    int64_t pixel = inside ? p->inner : LANES, row = (inside ? p->w : w->side) * pixel;
    for (int64_t c = 0; c < channels; c += LANES) {
        const float *source = inside ? from + winograd4_offset(p, w->image, channel + c, w->y, w->x)
                                     : OF(edge)(edge, from, w, channel + c);
        float *to = points + c / layout->lanes * layout->block + c % layout->lanes;
        if (w->side == REACH)
            BOTH_WAYS(OF(data_column), REACH, REACH, *OF(at_const)(source + y * row + x * pixel),
                      *OF(at)(to + (y * REACH + x) * point));
        else
            BOTH_WAYS(OF(gradient_column), SIDE, REACH, *OF(at_const)(source + y * row + x * pixel),
                      *OF(at)(to + (y * REACH + x) * point));
    }
}

/* Of a tile's results, the first rows and columns that lie in the plane. */
TARGET static void OF(results)(const struct winograd4_finish *f, const struct winograd4_window *w,
                               int64_t channel, int64_t channels, const float *products,
                               const struct winograd4_points *layout)
{
    int64_t point = layout->point;
    const struct winograd4_plane *p = w->plane;
    int64_t rows = p->h - w->y < SIDE ? p->h - w->y : SIDE;
    int64_t columns = p->w - w->x < SIDE ? p->w - w->x : SIDE;
    for (int64_t c = 0; c < channels; c += LANES) {
        int64_t first = winograd4_offset(p, w->image, channel + c, w->y, w->x);
        const float *made = products + c / layout->lanes * layout->block + c % layout->lanes;
        OF(lanes) pixels[SIDE][SIDE], bias = {0};
        if (f->bias)
            bias = *OF(at_const)(f->bias + channel + c);
        BOTH_WAYS(OF(result_column), REACH, SIDE, *OF(at_const)(made + (y * REACH + x) * point),
                  pixels[y][x]);
        for (int64_t y = 0; y < rows; y++)
            for (int64_t x = 0; x < columns; x++) {
                int64_t k = first + (y * p->w + x) * p->inner;
                OF(lanes) v = pixels[y][x] + bias;
                if (f->residual)
                    v += *OF(at_const)(f->residual + k);
                if (f->relu)
                    v = (OF(lanes))((OF(mask))v & (OF(mask))(v > 0));
                *OF(at)(f->y + k) = v;
            }
    }
}

TARGET static void OF(filter)(float *points, int64_t point, const float *taps)
{
    BOTH_WAYS(OF(filter_column), 3, REACH, *OF(at_const)(taps + (y * 3 + x) * LANES),
              *OF(at)(points + (y * REACH + x) * point));
}

TARGET static void OF(weight)(float *taps, const float *points, int64_t point)
{
    BOTH_WAYS(OF(weight_column), REACH, 3, *OF(at_const)(points + (y * REACH + x) * point),
              *OF(at)(taps + (y * 3 + x) * LANES));
}

#undef BOTH_WAYS
#undef LANES
#undef OF
#undef TARGET
