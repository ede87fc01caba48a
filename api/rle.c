#include "api/rle.h"

#include <string.h>

struct writer {
    struct buffer *out;
    struct error *err;
    int64_t last;      /* where the current run began */
    int64_t before[2]; /* the runs written last, newest first */
    int64_t count;
};

/*
 * Writes the run that ends at `position`. From the fourth run on (the third after the first) it is
 * the difference to the run two before, because neighbouring columns look alike: groups of five
 * bits, least significant first, 0x20 = more follow, the last group's 0x10 is the sign; 48 is added
 * to keep to printable characters.
 */
static int put_run(struct writer *w, int64_t position)
{
    char text[16];
    size_t n = 0;
    int64_t run = position - w->last;
    int64_t value = w->count > 2 ? run - w->before[1] : run;
    bool more = true;
    while (more) {
        int64_t group = value & 0x1f;
        value >>= 5;
        more = group & 0x10 ? value != -1 : value != 0;
        text[n++] = (char)((more ? group | 0x20 : group) + 48);
    }
    w->before[1] = w->before[0];
    w->before[0] = run;
    w->last = position;
    w->count++;
    return buffer_append(w->out, text, n, w->err);
}

/* Window to columns, in blocks that stay in the cache. */
static void transpose(uint8_t *out, const uint8_t *plane, int stride, int columns, int rows)
{
    enum { BLOCK = 32 };
    for (int y0 = 0; y0 < rows; y0 += BLOCK) {
        int y1 = y0 + BLOCK < rows ? y0 + BLOCK : rows;
        for (int x0 = 0; x0 < columns; x0 += BLOCK) {
            int x1 = x0 + BLOCK < columns ? x0 + BLOCK : columns;
            for (int x = x0; x < x1; x++)
                for (int y = y0; y < y1; y++)
                    out[(size_t)x * (size_t)rows + (size_t)y] =
                        plane[(size_t)y * (size_t)stride + (size_t)x];
        }
    }
}

int rle_encode(struct buffer *out, const uint8_t *plane, int width, int height,
               const struct mask_window *window, uint8_t *scratch, struct error *err)
{
    struct writer w = {.out = out, .err = err};
    int rc = 0;
    int columns = window->x1 - window->x0, rows = window->y1 - window->y0;
    bool inside = false; /* the current run is one of ones */
    if (columns > 0 && rows > 0) {
        size_t corner = (size_t)window->y0 * (size_t)width + (size_t)window->x0;
        transpose(scratch, plane + corner, width, columns, rows);
        for (int x = 0; x < columns; x++) {
            const uint8_t *column = scratch + (size_t)x * (size_t)rows;
            int64_t base = (int64_t)(window->x0 + x) * height + window->y0;
            int y = 0;
            while (y < rows) {
                const uint8_t *next = memchr(column + y, !inside, (size_t)(rows - y));
                if (!next)
                    break;
                y = (int)(next - column);
                TRY(put_run(&w, base + y));
                inside = !inside;
            }
            /* Above and below the window are zeros; without them the run goes on. */
            if (inside && rows < height) {
                TRY(put_run(&w, base + rows));
                inside = false;
            }
        }
    }
    int64_t end = (int64_t)width * height;
    int64_t edge = columns > 0 && rows > 0 ? (int64_t)window->x1 * height : end;
    if (inside && edge < end)
        TRY(put_run(&w, edge));
    if (w.last < end)
        TRY(put_run(&w, end));
done:
    return rc;
}
