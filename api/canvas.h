/*
 * Drawing into an RGB picture: blended rectangles, frames and text, everything clipped to the
 * picture. A canvas belongs to one thread.
 */
#ifndef ONESHOT_API_CANVAS_H
#define ONESHOT_API_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

struct colour {
    uint8_t r, g, b;
};

struct canvas {
    int width, height;
    uint8_t *pixels; /* (height, width, 3), owned */
};

/* A black canvas. ERR_MEMORY. */
int canvas_init(struct canvas *canvas, int width, int height, struct error *err);
void canvas_free(struct canvas *canvas);

/* Mixes a colour into a pixel; opacity 0..256. */
void canvas_blend(struct canvas *canvas, int x, int y, struct colour colour, int opacity);

/* Columns x0..x1-1, rows y0..y1-1. */
void canvas_fill(struct canvas *canvas, int x0, int y0, int x1, int y1, struct colour colour,
                 int opacity);

/* A frame of `thickness` pixels inside the rectangle; dash > 0 leaves gaps of that length. */
void canvas_frame(struct canvas *canvas, int x0, int y0, int x1, int y1, int thickness, int dash,
                  struct colour colour);

/* Text with its top left corner at (x,y), in the font's size times 1 or 2. */
void canvas_text(struct canvas *canvas, int x, int y, int size, struct colour colour,
                 const char *text);

/* Width and height of a line of text. */
int canvas_text_width(int size, const char *text);
int canvas_text_height(int size);

#endif
