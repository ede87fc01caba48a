#include "api/overlay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/canvas.h"

enum {
    MAX_SCALE = 4,
    MAX_REGIONS = 3, /* drawn: those attended to most */
    LINE_GAP = 6,
    MARGIN = 8,
};

/* By class; the palette of Okabe and Ito (2008), lightened to stand on grey. */
static const struct style {
    const char *label;
    struct colour colour;
    int fill; /* opacity of the mask, of 256 */
} styles[MODEL_OBJECT_CLASSES] = {
    {"", {195, 202, 210}, 0},
    {"lungs", {86, 180, 233}, 0},
    {"GGO", {246, 215, 67}, 88},
    {"consolidation", {232, 103, 44}, 108},
};

static const struct colour attended = {53, 214, 164}, ink = {12, 16, 22}, paper = {16, 20, 27},
                           pale = {214, 220, 228}, alarm = {255, 138, 128};

struct rectangle {
    int x0, y0, x1, y1;
};

struct drawing {
    struct canvas canvas;
    struct slice *slice;
    struct slice_worker *worker;
    const struct slice_options *options;
    int scale;
    int text;   /* font size: 1 or 2 */
    int bottom; /* height of the slice's part */
    struct rectangle tags[MODEL_MAX_DETECTIONS + MAX_REGIONS];
    int tags_count;
};

static const struct style *style_of(int label)
{
    return &styles[label > 0 && label < MODEL_OBJECT_CLASSES ? label : 0];
}

/* ---- the slice itself ---- */

/* Where pixel centre i of the enlarged picture falls: two source pixels and the weight of the 2nd.
 */
static void tap(int *first, int *second, float *weight, int i, int scale, int size)
{
    float at = ((float)i + 0.5f) / (float)scale - 0.5f;
    int low = (int)floorf(at);
    *weight = at - (float)low;
    *first = low < 0 ? 0 : low;
    *second = low + 1 > size - 1 ? size - 1 : low + 1;
}

static void draw_slice(struct drawing *d)
{
    const struct image *image = &d->slice->image;
    for (int y = 0; y < d->bottom; y++) {
        int y0, y1, x0, x1;
        float wy, wx;
        tap(&y0, &y1, &wy, y, d->scale, image->height);
        const float *upper = image->pixels + (size_t)y0 * (size_t)image->width;
        const float *lower = image->pixels + (size_t)y1 * (size_t)image->width;
        uint8_t *out = d->canvas.pixels + 3 * (size_t)y * (size_t)d->canvas.width;
        for (int x = 0; x < d->canvas.width; x++) {
            tap(&x0, &x1, &wx, x, d->scale, image->width);
            float a = upper[x0] + wx * (upper[x1] - upper[x0]);
            float b = lower[x0] + wx * (lower[x1] - lower[x0]);
            float grey = a + wy * (b - a);
            memset(out + 3 * x, (int)(grey * 255 + 0.5f), 3);
        }
    }
}

/* ---- masks ---- */

/* Lines along the sides where a mask's pixel has no neighbour; p has one in every direction. */
static void draw_edges(struct drawing *d, const uint8_t *p, int x, int y, int width,
                       struct colour colour)
{
    int s = d->scale, t = s > 2 ? 2 : 1;
    int px = x * s, py = y * s;
    if (!p[-1])
        canvas_fill(&d->canvas, px, py, px + t, py + s, colour, 256);
    if (!p[1])
        canvas_fill(&d->canvas, px + s - t, py, px + s, py + s, colour, 256);
    if (!p[-width])
        canvas_fill(&d->canvas, px, py, px + s, py + t, colour, 256);
    if (!p[width])
        canvas_fill(&d->canvas, px, py + s - t, px + s, py + s, colour, 256);
}

static int draw_mask(void *context, int index, const struct mask_window *window, int64_t area)
{
    struct drawing *d = context;
    const struct prediction *p = d->slice->prediction;
    const struct style *style = style_of(p->detections[index].label);
    (void)area;
    if (d->options->masks == MASKS_NONE)
        return 0;
    /* Around the window the plane holds other masks, so its outermost pixels get no edges. */
    for (int y = window->y0; y < window->y1; y++)
        for (int x = window->x0; x < window->x1; x++) {
            const uint8_t *at = d->worker->plane + (size_t)y * (size_t)p->width + (size_t)x;
            if (!*at)
                continue;
            if (style->fill)
                canvas_fill(&d->canvas, x * d->scale, y * d->scale, (x + 1) * d->scale,
                            (y + 1) * d->scale, style->colour, style->fill);
            bool inner =
                x > window->x0 && x + 1 < window->x1 && y > window->y0 && y + 1 < window->y1;
            if (inner)
                draw_edges(d, at, x, y, p->width, style->colour);
        }
    return 0;
}

/* ---- boxes and labels ---- */

static bool overlaps(const struct drawing *d, const struct rectangle *r)
{
    for (int i = 0; i < d->tags_count; i++) {
        const struct rectangle *t = &d->tags[i];
        if (r->x0 < t->x1 && t->x0 < r->x1 && r->y0 < t->y1 && t->y0 < r->y1)
            return true;
    }
    return false;
}

/* Puts a label's rectangle at (x,y), moved into the picture; false where it has no place there. */
static bool fits(struct rectangle *place, const struct drawing *d, int x, int y, int w, int h)
{
    x = x + w > d->canvas.width ? d->canvas.width - w : x;
    x = x < 0 ? 0 : x;
    *place = (struct rectangle){x, y, x + w, y + h};
    return y >= 0 && y + h <= d->bottom && !overlaps(d, place);
}

/* The first free place at a corner of the box, then farther up and down; else over its corner. */
static struct rectangle find_place(const struct drawing *d, const struct rectangle *box, int w,
                                   int h)
{
    const int corners[][2] = {
        {box->x0, box->y0 - h}, {box->x1 - w, box->y0 - h}, {box->x0, box->y1},
        {box->x1 - w, box->y1}, {box->x0, box->y0},         {box->x0, box->y1 - h},
    };
    struct rectangle place;
    for (size_t i = 0; i < sizeof corners / sizeof *corners; i++)
        if (fits(&place, d, corners[i][0], corners[i][1], w, h))
            return place;
    for (int step = 1; step <= 12; step++)
        if (fits(&place, d, box->x0, box->y0 - h - step * h, w, h) ||
            fits(&place, d, box->x0, box->y1 + step * h, w, h))
            return place;
    int y = box->y0 + h > d->bottom ? d->bottom - h : box->y0;
    fits(&place, d, box->x0, y < 0 ? 0 : y, w, h);
    return place;
}

static void draw_tag(struct drawing *d, const struct rectangle *box, struct colour colour,
                     const char *text)
{
    int w = canvas_text_width(d->text, text) + 4 * d->text;
    int h = canvas_text_height(d->text) + 2 * d->text;
    struct rectangle place = find_place(d, box, w, h);
    canvas_fill(&d->canvas, place.x0, place.y0, place.x1, place.y1, colour, 236);
    canvas_text(&d->canvas, place.x0 + 2 * d->text, place.y0 + 3 * d->text / 2, d->text, ink, text);
    if (d->tags_count < (int)(sizeof d->tags / sizeof *d->tags))
        d->tags[d->tags_count++] = place;
}

static struct rectangle enlarged(const struct drawing *d, const struct box *box)
{
    float s = (float)d->scale, w = (float)d->canvas.width, h = (float)d->bottom;
    struct rectangle r = {
        (int)fminf(fmaxf(box->x0 * s, 0), w), (int)fminf(fmaxf(box->y0 * s, 0), h),
        (int)fminf(fmaxf(box->x1 * s + 0.5f, 0), w), (int)fminf(fmaxf(box->y1 * s + 0.5f, 0), h)};
    return r;
}

/* The distinct regions with the most attention, best first; how many there are. */
static int choose_regions(int chosen[MAX_REGIONS], const struct prediction *p)
{
    int count = 0;
    for (int i = 0; i < p->regions_count; i++) {
        if (p->regions[i].padded)
            continue;
        int at = count < MAX_REGIONS ? count++ : MAX_REGIONS;
        for (; at > 0; at--) {
            int before = chosen[at - 1];
            if (p->regions[before].attention_for >= p->regions[i].attention_for)
                break;
            if (at < MAX_REGIONS)
                chosen[at] = before;
        }
        if (at < MAX_REGIONS)
            chosen[at] = i;
    }
    return count;
}

/* Frames first, so that no label is crossed by one. */
static void draw_findings(struct drawing *d)
{
    const struct prediction *p = d->slice->prediction;
    int regions[MAX_REGIONS];
    int regions_count = d->options->explain ? choose_regions(regions, p) : 0;
    char text[48];
    for (int i = 0; i < regions_count; i++) {
        struct rectangle r = enlarged(d, &p->regions[regions[i]].box);
        canvas_frame(&d->canvas, r.x0, r.y0, r.x1, r.y1, d->text, 4 * d->text, attended);
    }
    for (int i = p->detections_count - 1; i >= 0; i--) { /* the best on top */
        struct rectangle r = enlarged(d, &p->detections[i].box);
        canvas_frame(&d->canvas, r.x0, r.y0, r.x1, r.y1, d->text, 0,
                     style_of(p->detections[i].label)->colour);
    }
    for (int i = 0; i < p->detections_count; i++) {
        const struct style *style = style_of(p->detections[i].label);
        struct rectangle r = enlarged(d, &p->detections[i].box);
        snprintf(text, sizeof text, "%s %.2f", style->label, (double)p->detections[i].score);
        draw_tag(d, &r, style->colour, text);
    }
    for (int i = 0; i < regions_count; i++) {
        const struct region *region = &p->regions[regions[i]];
        struct rectangle r = enlarged(d, &region->box);
        snprintf(text, sizeof text, "#%d %.2f", regions[i] + 1, (double)region->attention_for);
        draw_tag(d, &r, attended, text);
    }
}

/* ---- the strip below ---- */

/* Draws a line in the size that fits. */
static void draw_line(struct drawing *d, int y, struct colour colour, const char *text)
{
    int size = canvas_text_width(d->text, text) + 2 * MARGIN <= d->canvas.width ? d->text : 1;
    canvas_text(&d->canvas, MARGIN, y, size, colour, text);
}

static int strip_line(const struct drawing *d)
{
    return canvas_text_height(d->text) + LINE_GAP;
}

static int strip_height(const struct drawing *d)
{
    return 2 * MARGIN - LINE_GAP + (d->slice->model->trained ? 2 : 3) * strip_line(d);
}

static void draw_strip(struct drawing *d)
{
    const struct prediction *p = d->slice->prediction;
    char text[160] = "Not classified: no region survived";
    int y = d->bottom + MARGIN;
    canvas_fill(&d->canvas, 0, d->bottom, d->canvas.width, d->canvas.height, paper, 256);
    if (p->classified)
        snprintf(text, sizeof text, "control %.2f   common pneumonia %.2f   COVID-19 %.2f",
                 (double)p->probabilities[0], (double)p->probabilities[1],
                 (double)p->probabilities[2]);
    draw_line(d, y, pale, text);
    y += strip_line(d);
    if (!d->slice->model->trained) {
        draw_line(d, y, alarm, "UNTRAINED MODEL: every finding is noise");
        y += strip_line(d);
    }
    draw_line(d, y, pale, "Research use only. Not for diagnosis.");
}

int overlay_png(uint8_t **out, size_t *length, struct slice *slice, struct slice_worker *worker,
                const struct slice_options *options, struct error *err)
{
    const struct prediction *p = slice->prediction;
    int rc = 0;
    struct drawing *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(err, ERR_MEMORY, "no memory for a drawing");
    d->slice = slice;
    d->worker = worker;
    d->options = options;
    int longer = p->width > p->height ? p->width : p->height;
    d->scale = (OVERLAY_SIDE + longer - 1) / longer;
    d->scale = d->scale > MAX_SCALE ? MAX_SCALE : d->scale;
    d->bottom = p->height * d->scale;
    d->text = p->width * d->scale >= 600 ? 2 : 1;
    TRY(canvas_init(&d->canvas, p->width * d->scale, d->bottom + strip_height(d), err));
    draw_slice(d);
    slice_masks(slice, worker, draw_mask, d);
    draw_findings(d);
    draw_strip(d);
    rc = image_write_png(out, length, d->canvas.pixels, d->canvas.width, d->canvas.height, 3, err);
done:
    canvas_free(&d->canvas);
    free(d);
    return rc;
}
