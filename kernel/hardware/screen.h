// SPDX-License-Identifier: MIT
// A screen of character cells over what a boot loader set up: pixels of direct colour of any depth,
// or the text mode of a VGA. Only written to: reading display memory may take a microsecond each.
//
// The memory is the caller's, accessible for all of screen_bytes(). One thread.
// Source of the description: Multiboot2 Specification 2.0, 3.6.12.
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#define SCREEN_COLUMNS_LEAST 20u // a smaller screen is none
#define SCREEN_ROWS_LEAST    4u
#define SCREEN_COLUMNS_MOST  160u // further ones stay empty
#define SCREEN_ROWS_MOST     64u
#define SCREEN_CELL_WIDTH    8u // pixels, times the scale
#define SCREEN_CELL_HEIGHT   16u
#define SCREEN_INVERSE       0x80u // added to a character: dark on light

enum screen_kind { SCREEN_NONE, SCREEN_PIXELS, SCREEN_TEXT };

struct screen_colour {
    uint8_t at, bits; // of a pixel, from its lowest bit
};

// As the loader tells it.
struct screen_surface {
    enum screen_kind kind;
    uint64_t address;       // physical
    uint32_t pitch;         // bytes from one line to the next
    uint32_t width, height; // pixels, or characters
    uint8_t bits;           // of a pixel; 16 of a character
    struct screen_colour red, green, blue;
};

struct screen {
    struct screen_surface surface;
    uint8_t *memory; // NULL: there is none
    unsigned columns, rows;
    unsigned scale; // pixels of a dot
    uint32_t ink;   // a pixel of the writing; the ground is 0
    uint8_t shown[SCREEN_ROWS_MOST][SCREEN_COLUMNS_MOST];
};

// True if a screen can be drawn on it, whatever the loader said of it.
bool screen_surface_works(const struct screen_surface *surface);

// Bytes of its memory from `address` on; of one that works.
uint64_t screen_bytes(const struct screen_surface *surface);

// Makes a dark screen of a surface that works; `memory` stands for its address.
void screen_open(struct screen *screen, const struct screen_surface *surface, void *memory);

// Draws a character where another one stands. What is not printable ASCII becomes a question mark;
// outside of the screen nothing is drawn.
void screen_set(struct screen *screen, unsigned row, unsigned column, uint8_t character);

// Draws blanks from there to the end of the row.
void screen_clear_row(struct screen *screen, unsigned row, unsigned from);

#endif
