/* api/polygon: outlines filled again must give the mask back, holes filled, stairs smoothed. */
#include <math.h>
#include <string.h>

#include "api/polygon.h"
#include "tests/unit/run.h"

enum { SIDE = 64 };

static uint8_t plane[SIDE * SIDE], filled[SIDE * SIDE], scratch[SIDE * SIDE];
static const struct mask_window everything = {0, 0, SIDE, SIDE};

/* Whether the centre of a pixel lies inside a ring (even-odd rule). */
static int centre_inside(const struct polygon_point *p, size_t n, int x, int y)
{
    double cx = x + 0.5, cy = y + 0.5;
    int inside = 0;
    for (size_t i = 0, j = n - 1; i < n; j = i++)
        if ((p[i].y > cy) != (p[j].y > cy) &&
            cx < (double)(p[j].x - p[i].x) * (cy - p[i].y) / (p[j].y - p[i].y) + p[i].x)
            inside = !inside;
    return inside;
}

static void fill(const struct polygons *polygons)
{
    memset(filled, 0, sizeof filled);
    for (size_t i = 0, first = 0; i < polygons->count; first = polygons->ends[i++])
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                filled[y * SIDE + x] |=
                    centre_inside(polygons->points + first, polygons->ends[i] - first, x, y);
}

static struct polygons trace(const struct mask_window *window)
{
    struct polygons polygons = {0};
    ck_assert_int_eq(polygons_trace(&polygons, plane, SIDE, window, scratch, NULL), 0);
    return polygons;
}

START_TEST(a_rectangle_has_four_corners)
{
    memset(plane, 0, sizeof plane);
    for (int y = 5; y < 20; y++)
        memset(plane + y * SIDE + 10, 1, 30);
    struct polygons polygons = trace(&everything);
    ck_assert_uint_eq(polygons.count, 1);
    ck_assert_uint_eq(polygons.ends[0], 4);
    int area = 0;
    for (int i = 0; i < 4; i++) {
        struct polygon_point a = polygons.points[i], b = polygons.points[(i + 1) % 4];
        area += a.x * b.y - b.x * a.y;
    }
    ck_assert_int_eq(area, 2 * 15 * 30);
    polygons_free(&polygons);
}
END_TEST

START_TEST(one_pixel_keeps_its_corners)
{
    memset(plane, 0, sizeof plane);
    plane[63 * SIDE + 63] = plane[0] = 1;
    struct polygons polygons = trace(&everything);
    ck_assert_uint_eq(polygons.count, 2);
    ck_assert_uint_eq(polygons.points_count, 8);
    fill(&polygons);
    ck_assert_mem_eq(filled, plane, sizeof plane);
    polygons_free(&polygons);
}
END_TEST

START_TEST(holes_are_filled)
{
    memset(plane, 0, sizeof plane);
    for (int y = 10; y < 40; y++)
        for (int x = 10; x < 40; x++)
            plane[y * SIDE + x] = !(x >= 20 && x < 30 && y >= 20 && y < 30);
    plane[25 * SIDE + 25] = 1; /* an island in the hole is a piece of its own */
    struct polygons polygons = trace(&everything);
    ck_assert_uint_eq(polygons.count, 2);
    fill(&polygons);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            ck_assert_int_eq(filled[y * SIDE + x], x >= 10 && x < 40 && y >= 10 && y < 40);
    polygons_free(&polygons);
}
END_TEST

START_TEST(diagonal_neighbours_are_two_pieces)
{
    memset(plane, 0, sizeof plane);
    for (int i = 0; i < 4; i++)
        plane[(8 + i) * SIDE + 8 + i] = 1;
    struct polygons polygons = trace(&everything);
    ck_assert_uint_eq(polygons.count, 4);
    polygons_free(&polygons);
}
END_TEST

START_TEST(a_disc_is_thinned_but_stays_close)
{
    int area = 0, wrong = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            area += plane[y * SIDE + x] = hypot(x - 31.3, y - 30.8) < 25;
    struct polygons polygons = trace(&everything);
    ck_assert_uint_eq(polygons.count, 1);
    ck_assert_uint_lt(polygons.points_count, 60); /* its outline turns at about 160 corners */
    fill(&polygons);
    for (int i = 0; i < SIDE * SIDE; i++)
        wrong += plane[i] != filled[i];
    ck_assert_int_lt(wrong * 50, area);
    polygons_free(&polygons);
}
END_TEST

START_TEST(only_the_window_counts)
{
    memset(plane, 1, sizeof plane);
    const struct mask_window window = {7, 9, 21, 13};
    struct polygons polygons = trace(&window);
    ck_assert_uint_eq(polygons.count, 1);
    fill(&polygons);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            ck_assert_int_eq(filled[y * SIDE + x], x >= 7 && x < 21 && y >= 9 && y < 13);
    polygons_free(&polygons);
    const struct mask_window nothing = {5, 5, 5, 9};
    polygons = trace(&nothing);
    ck_assert_uint_eq(polygons.count, 0);
    polygons_free(&polygons);
}
END_TEST

static double distance(double x, double y, struct polygon_point a, struct polygon_point b)
{
    double dx = b.x - a.x, dy = b.y - a.y, l2 = dx * dx + dy * dy;
    double t = l2 > 0 ? ((x - a.x) * dx + (y - a.y) * dy) / l2 : 0;
    t = fmin(fmax(t, 0), 1);
    return hypot(x - a.x - t * dx, y - a.y - t * dy);
}

static double nearest(const struct polygons *polygons, double x, double y)
{
    double best = 1e9;
    for (size_t i = 0, first = 0; i < polygons->count; first = polygons->ends[i++]) {
        size_t n = polygons->ends[i] - first;
        const struct polygon_point *p = polygons->points + first;
        for (size_t k = 0; k < n; k++)
            best = fmin(best, distance(x, y, p[k], p[(k + 1) % n]));
    }
    return best;
}

START_TEST(thinning_keeps_its_promise)
{
    unsigned state = 3;
    for (int round = 0; round < 30; round++) {
        memset(plane, 0, sizeof plane);
        for (int blob = 0; blob < 6; blob++) {
            int cx = 8 + (int)(random_next(&state) % 48), cy = 8 + (int)(random_next(&state) % 48);
            double r = 1 + random_next(&state) % 12;
            for (int i = 0; i < SIDE * SIDE; i++)
                plane[i] |= hypot(i % SIDE - cx, i / SIDE - cy) < r;
        }
        struct polygons polygons = trace(&everything);
        /* The left side of a row's first pixel faces the border: no hole lies there. */
        for (int y = 0; y < SIDE; y++) {
            const uint8_t *first = memchr(plane + y * SIDE, 1, SIDE);
            if (first)
                ck_assert_double_le(nearest(&polygons, (double)(first - plane - y * SIDE), y + 0.5),
                                    0.7501);
        }
        polygons_free(&polygons);
    }
}
END_TEST

int main(void)
{
    RUN("polygon", a_rectangle_has_four_corners, one_pixel_keeps_its_corners, holes_are_filled,
        diagonal_neighbours_are_two_pieces, a_disc_is_thinned_but_stays_close,
        only_the_window_counts, thinning_keeps_its_promise);
}
