#include "api/polygon.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct mask {
    const uint8_t *corner; /* first pixel of the window */
    size_t stride;
    int columns, rows;
};

static bool inside(const struct mask *mask, int x, int y)
{
    return x >= 0 && y >= 0 && x < mask->columns && y < mask->rows &&
           mask->corner[(size_t)y * mask->stride + (size_t)x];
}

/* Directions in clockwise order (y points down): east, south, west, north. */
static const int step_x[4] = {1, 0, -1, 0};
static const int step_y[4] = {0, 1, 0, -1};
/* Of the four pixels around a corner, the ones ahead to the left and right, by direction. */
static const int left_x[4] = {0, 0, -1, -1}, left_y[4] = {-1, 0, 0, -1};
static const int right_x[4] = {0, -1, -1, 0}, right_y[4] = {0, 0, -1, -1};

static int grow(void **array, size_t *room, size_t needed, size_t size, struct error *err)
{
    if (needed <= *room)
        return 0;
    size_t wanted = *room ? *room * 2 : 64;
    while (wanted < needed)
        wanted *= 2;
    void *bigger = wanted > SIZE_MAX / size ? NULL : realloc(*array, wanted * size);
    if (!bigger)
        return error_set(err, ERR_MEMORY, "no memory for an outline of %zu points", needed);
    *array = bigger;
    *room = wanted;
    return 0;
}

static int put_point(struct polygons *out, int x, int y, struct error *err)
{
    if (grow((void **)&out->points, &out->points_room, out->points_count + 1, sizeof *out->points,
             err) != 0)
        return -1;
    out->points[out->points_count++] = (struct polygon_point){x, y};
    return 0;
}

/*
 * Walks once around an outline with the mask to the right, from the top edge of pixel (x,y),
 * appending the corners where it turns and marking every top edge passed. Gives twice the enclosed
 * area: positive for an outer ring, negative for a hole.
 */
static int walk(struct polygons *out, int64_t *area, const struct mask *mask, uint8_t *passed,
                int x, int y, struct error *err)
{
    int start_x = x, start_y = y, direction = 0;
    *area = 0;
    do {
        if (direction == 0)
            passed[(size_t)y * (size_t)mask->columns + (size_t)x] = 1;
        *area += (int64_t)x * step_y[direction] - (int64_t)y * step_x[direction];
        x += step_x[direction];
        y += step_y[direction];
        int turn = 0;
        if (!inside(mask, x + right_x[direction], y + right_y[direction]))
            turn = 1;
        else if (inside(mask, x + left_x[direction], y + left_y[direction]))
            turn = 3;
        direction = (direction + turn) % 4;
        if (turn && put_point(out, x, y, err) != 0)
            return -1;
    } while (x != start_x || y != start_y || direction != 0);
    return 0;
}

/* Square of the distance from p to the segment a-b. */
static double distance2(struct polygon_point p, struct polygon_point a, struct polygon_point b)
{
    double dx = b.x - a.x, dy = b.y - a.y, px = p.x - a.x, py = p.y - a.y;
    double length2 = dx * dx + dy * dy;
    double t = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    double ex = px - t * dx, ey = py - t * dy;
    return ex * ex + ey * ey;
}

/* Index strictly between a and b that lies farthest from the segment; index n stands for 0. */
static size_t farthest(double *distance, const struct polygon_point *p, size_t n, size_t a,
                       size_t b)
{
    size_t best = a;
    *distance = 0;
    for (size_t i = a + 1; i < b; i++) {
        double d = distance2(p[i], p[a], p[b == n ? 0 : b]);
        if (d > *distance) {
            *distance = d;
            best = i;
        }
    }
    return best;
}

/* Thins the closed ring of the last n points in place. */
static int thin(struct polygons *out, size_t first, struct error *err)
{
    const double tolerance2 = 0.75 * 0.75;
    struct polygon_point *p = out->points + first;
    size_t n = out->points_count - first;
    uint8_t *keep = calloc(n, 1);
    size_t *stack = malloc((n + 2) * sizeof *stack);
    int rc = 0;
    if (!keep || !stack) {
        rc = error_set(err, ERR_MEMORY, "no memory to thin an outline of %zu points", n);
        goto done;
    }
    /* A ring has no ends: it is cut at its first point and at the one farthest from that. */
    double distance;
    size_t opposite = farthest(&distance, p, n, 0, n);
    size_t kept = 2, depth = 0;
    keep[0] = keep[opposite] = 1;
    /* `from` and the stack above it are the ends of the arcs that are still to be thinned. */
    size_t from = 0;
    stack[depth++] = n;
    stack[depth++] = opposite;
    while (depth > 0) {
        size_t to = stack[depth - 1];
        size_t middle = farthest(&distance, p, n, from, to);
        if (distance > tolerance2) {
            keep[middle] = 1;
            kept++;
            stack[depth++] = middle;
        } else {
            from = to;
            depth--;
        }
    }
    if (kept >= 3) {
        size_t at = 0;
        for (size_t i = 0; i < n; i++)
            if (keep[i])
                p[at++] = p[i];
        out->points_count = first + at;
    }
done:
    free(stack);
    free(keep);
    return rc;
}

int polygons_trace(struct polygons *out, const uint8_t *plane, int width,
                   const struct mask_window *window, uint8_t *scratch, struct error *err)
{
    struct mask mask = {
        plane + (size_t)window->y0 * (size_t)width + (size_t)window->x0,
        (size_t)width,
        window->x1 - window->x0,
        window->y1 - window->y0,
    };
    if (mask.columns <= 0 || mask.rows <= 0)
        return 0;
    memset(scratch, 0, (size_t)mask.columns * (size_t)mask.rows);
    for (int y = 0; y < mask.rows; y++)
        for (int x = 0; x < mask.columns; x++) {
            if (!inside(&mask, x, y) || inside(&mask, x, y - 1) ||
                scratch[(size_t)y * (size_t)mask.columns + (size_t)x])
                continue;
            size_t first = out->points_count;
            int64_t area;
            if (walk(out, &area, &mask, scratch, x, y, err) != 0)
                return -1;
            if (area < 0) { /* a hole */
                out->points_count = first;
                continue;
            }
            if (thin(out, first, err) != 0 ||
                grow((void **)&out->ends, &out->room, out->count + 1, sizeof *out->ends, err) != 0)
                return -1;
            for (size_t i = first; i < out->points_count; i++) {
                out->points[i].x += window->x0;
                out->points[i].y += window->y0;
            }
            out->ends[out->count++] = out->points_count;
        }
    return 0;
}

void polygons_free(struct polygons *polygons)
{
    free(polygons->points);
    free(polygons->ends);
    *polygons = (struct polygons){0};
}
