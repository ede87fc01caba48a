/*
 * A small bitmap font for labels: printable ASCII, 5 x 7 pixels in a cell of 6 x 9, and the same
 * enlarged to twice that with its stairs smoothed. Pure, any thread.
 */
#ifndef ONESHOT_API_FONT_H
#define ONESHOT_API_FONT_H

#include <stdbool.h>

enum {
    FONT_WIDTH = 5,
    FONT_HEIGHT = 7,
    FONT_DESCENT = 1, /* rows below the base line, for g j p q y and the comma */
    FONT_ADVANCE = 6, /* from one character to the next */
};

/* Whether a character's pixel is set; (0,0) is top left. False outside and for unknown ones. */
bool font_pixel(char c, int x, int y);

/* The same at twice the size (Scale2x): x in 0..9, y in 0..15. */
bool font_pixel_double(char c, int x, int y);

#endif
