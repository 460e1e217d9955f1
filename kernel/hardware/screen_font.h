// SPDX-License-Identifier: MIT
// Glyphs of printable ASCII for a screen of pixels.
#ifndef SCREEN_FONT_H
#define SCREEN_FONT_H

#include <stdint.h>

#define SCREEN_FONT_FIRST   0x20u // the blank; the tilde is the last
#define SCREEN_FONT_GLYPHS  95u
#define SCREEN_FONT_LINES   8u // each is drawn twice as high as wide: a cell is 8 by 16 pixels
#define SCREEN_FONT_COLUMNS 5u

// By character less SCREEN_FONT_FIRST, from the top; bit 4 of a line is its left dot.
extern const uint8_t screen_font[SCREEN_FONT_GLYPHS][SCREEN_FONT_LINES];

#endif
