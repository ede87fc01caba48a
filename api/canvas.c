#include "api/canvas.h"

#include <stdlib.h>
#include <string.h>

#include "api/font.h"

int canvas_init(struct canvas *canvas, int width, int height, struct error *err)
{
    *canvas = (struct canvas){width, height, NULL};
    size_t size;
    if (width < 1 || height < 1 || __builtin_mul_overflow((size_t)width, (size_t)height, &size) ||
        __builtin_mul_overflow(size, (size_t)3, &size))
        return error_set(err, ERR_ARGUMENT, "a picture of %d x %d cannot be drawn", width, height);
    canvas->pixels = calloc(size, 1);
    if (!canvas->pixels)
        return error_set(err, ERR_MEMORY, "no memory for a picture of %d x %d", width, height);
    return 0;
}

void canvas_free(struct canvas *canvas)
{
    free(canvas->pixels);
    canvas->pixels = NULL;
}

static uint8_t mix(uint8_t below, uint8_t above, int opacity)
{
    return (uint8_t)((below * (256 - opacity) + above * opacity + 128) >> 8);
}

void canvas_blend(struct canvas *canvas, int x, int y, struct colour colour, int opacity)
{
    if (x < 0 || y < 0 || x >= canvas->width || y >= canvas->height)
        return;
    uint8_t *p = canvas->pixels + 3 * ((size_t)y * (size_t)canvas->width + (size_t)x);
    p[0] = mix(p[0], colour.r, opacity);
    p[1] = mix(p[1], colour.g, opacity);
    p[2] = mix(p[2], colour.b, opacity);
}

static int clip(int value, int limit)
{
    return value < 0 ? 0 : value > limit ? limit : value;
}

void canvas_fill(struct canvas *canvas, int x0, int y0, int x1, int y1, struct colour colour,
                 int opacity)
{
    x0 = clip(x0, canvas->width);
    x1 = clip(x1, canvas->width);
    y0 = clip(y0, canvas->height);
    y1 = clip(y1, canvas->height);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            canvas_blend(canvas, x, y, colour, opacity);
}

/* A straight bar along x or y, in pieces of `dash` with gaps as long. */
static void bar(struct canvas *canvas, int x0, int y0, int x1, int y1, int dash,
                struct colour colour)
{
    if (dash <= 0) {
        canvas_fill(canvas, x0, y0, x1, y1, colour, 256);
        return;
    }
    int along_x = x1 - x0 > y1 - y0;
    int length = along_x ? x1 - x0 : y1 - y0;
    for (int at = 0; at < length; at += 2 * dash) {
        int end = at + dash < length ? at + dash : length;
        if (along_x)
            canvas_fill(canvas, x0 + at, y0, x0 + end, y1, colour, 256);
        else
            canvas_fill(canvas, x0, y0 + at, x1, y0 + end, colour, 256);
    }
}

void canvas_frame(struct canvas *canvas, int x0, int y0, int x1, int y1, int thickness, int dash,
                  struct colour colour)
{
    bar(canvas, x0, y0, x1, y0 + thickness, dash, colour);
    bar(canvas, x0, y1 - thickness, x1, y1, dash, colour);
    bar(canvas, x0, y0, x0 + thickness, y1, dash, colour);
    bar(canvas, x1 - thickness, y0, x1, y1, dash, colour);
}

void canvas_text(struct canvas *canvas, int x, int y, int size, struct colour colour,
                 const char *text)
{
    int rows = (FONT_HEIGHT + FONT_DESCENT) * size;
    for (; *text; text++, x += FONT_ADVANCE * size)
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < FONT_WIDTH * size; column++)
                if (size == 2 ? font_pixel_double(*text, column, row)
                              : font_pixel(*text, column / size, row / size))
                    canvas_blend(canvas, x + column, y + row, colour, 256);
}

int canvas_text_width(int size, const char *text)
{
    int n = (int)strlen(text);
    return n ? (n * FONT_ADVANCE - (FONT_ADVANCE - FONT_WIDTH)) * size : 0;
}

int canvas_text_height(int size)
{
    return (FONT_HEIGHT + FONT_DESCENT) * size;
}
