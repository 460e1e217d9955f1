// SPDX-License-Identifier: MIT
#include "screen.h"

#include "assert.h"
#include "compiler.h"
#include "screen_font.h"

#define SIDE_MOST   16384u // pixels: no display has more
#define PITCH_MOST  (SIDE_MOST * 8)
#define SCALE_WIDTH 1280u // of this width and below a dot is a pixel
#define BRIGHTNESS  0xd0u // of 255
#define VGA_NORMAL  0x07u // light grey on black
#define VGA_INVERSE 0x70u
#define GLYPH_LEFT  1u // of a cell, in dots

// Display memory has no alignment of its own: 24 bits a pixel, any pitch.
typedef volatile uint16_t __attribute__((aligned(1), may_alias)) unaligned_u16;
typedef volatile uint32_t __attribute__((aligned(1), may_alias)) unaligned_u32;

static unsigned bytes_a_pixel(const struct screen_surface *surface)
{
    return (surface->bits + 7u) / 8;
}

static bool colour_fits(struct screen_colour colour, unsigned bits)
{
    return colour.bits > 0 && colour.bits <= 16 && colour.at < bits &&
           colour.bits <= bits - colour.at;
}

static unsigned scale_of(const struct screen_surface *surface)
{
    const unsigned scale = surface->width / SCALE_WIDTH;
    return surface->kind == SCREEN_PIXELS && scale > 1 ? scale : 1;
}

static unsigned columns_of(const struct screen_surface *surface)
{
    const unsigned cell =
        surface->kind == SCREEN_PIXELS ? SCREEN_CELL_WIDTH * scale_of(surface) : 1;
    return (unsigned)min_u64(surface->width / cell, SCREEN_COLUMNS_MOST);
}

static unsigned rows_of(const struct screen_surface *surface)
{
    const unsigned cell =
        surface->kind == SCREEN_PIXELS ? SCREEN_CELL_HEIGHT * scale_of(surface) : 1;
    return (unsigned)min_u64(surface->height / cell, SCREEN_ROWS_MOST);
}

static bool pixels_work(const struct screen_surface *surface)
{
    const unsigned bits = surface->bits;
    return (bits == 15 || bits == 16 || bits == 24 || bits == 32) &&
           surface->pitch >= surface->width * bytes_a_pixel(surface) &&
           colour_fits(surface->red, bits) && colour_fits(surface->green, bits) &&
           colour_fits(surface->blue, bits);
}

bool screen_surface_works(const struct screen_surface *surface)
{
    if (surface->kind == SCREEN_NONE || surface->address == 0 || surface->width > SIDE_MOST ||
        surface->height > SIDE_MOST || surface->pitch > PITCH_MOST)
        return false;
    if (surface->kind == SCREEN_PIXELS ? !pixels_work(surface)
                                       : surface->pitch < 2 * surface->width)
        return false;
    return columns_of(surface) >= SCREEN_COLUMNS_LEAST && rows_of(surface) >= SCREEN_ROWS_LEAST &&
           surface->address <= UINT64_MAX - screen_bytes(surface);
}

uint64_t screen_bytes(const struct screen_surface *surface)
{
    return (uint64_t)surface->pitch * surface->height;
}

// ---- pixels -------------------------------------------------------------------------------------

static uint32_t shade(struct screen_colour colour)
{
    const uint32_t most = (1u << colour.bits) - 1;
    return (most * BRIGHTNESS / 255) << colour.at;
}

static void put_pixel(uint8_t *at, unsigned bytes, uint32_t value)
{
    if (bytes == 4) {
        *(unaligned_u32 *)at = value;
    } else {
        *(unaligned_u16 *)at = (uint16_t)value;
        if (bytes == 3)
            *(volatile uint8_t *)(at + 2) = (uint8_t)(value >> 16);
    }
}

// One line of pixels of a cell: the dots of `line`, each `scale` wide.
static void draw_line(const struct screen *screen, uint8_t *at, uint32_t line, uint32_t ground)
{
    const unsigned bytes = bytes_a_pixel(&screen->surface);
    for (unsigned dot = 0; dot < SCREEN_CELL_WIDTH; dot++) {
        const unsigned left = dot - GLYPH_LEFT;
        const bool set =
            left < SCREEN_FONT_COLUMNS && (line >> (SCREEN_FONT_COLUMNS - 1 - left) & 1) != 0;
        const uint32_t value = set ? screen->ink ^ ground : ground;
        for (unsigned i = 0; i < screen->scale; i++, at += bytes)
            put_pixel(at, bytes, value);
    }
}

static void draw_glyph(const struct screen *screen, unsigned row, unsigned column,
                       uint8_t character)
{
    const uint8_t *glyph = screen_font[(character & 0x7f) - SCREEN_FONT_FIRST];
    const uint32_t ground = (character & SCREEN_INVERSE) != 0 ? screen->ink : 0;
    const unsigned lines = SCREEN_CELL_HEIGHT * screen->scale;
    const unsigned high = lines / SCREEN_FONT_LINES; // pixels of a dot, downwards
    uint8_t *at =
        screen->memory + (uint64_t)row * lines * screen->surface.pitch +
        (uint64_t)column * SCREEN_CELL_WIDTH * screen->scale * bytes_a_pixel(&screen->surface);
    for (unsigned line = 0; line < lines; line++, at += screen->surface.pitch)
        draw_line(screen, at, glyph[line / high], ground);
}

// Also what no cell covers.
static void darken(const struct screen *screen)
{
    const struct screen_surface *surface = &screen->surface;
    const unsigned bytes = bytes_a_pixel(surface);
    for (uint32_t y = 0; y < surface->height; y++) {
        uint8_t *at = screen->memory + (uint64_t)y * surface->pitch;
        for (uint32_t x = 0; x < surface->width; x++, at += bytes)
            put_pixel(at, bytes, 0);
    }
}

// ---- cells --------------------------------------------------------------------------------------

static void draw(const struct screen *screen, unsigned row, unsigned column, uint8_t character)
{
    if (screen->surface.kind == SCREEN_PIXELS) {
        draw_glyph(screen, row, column, character);
        return;
    }
    const uint8_t colours = (character & SCREEN_INVERSE) != 0 ? VGA_INVERSE : VGA_NORMAL;
    uint8_t *at = screen->memory + (uint64_t)row * screen->surface.pitch + 2 * column;
    *(unaligned_u16 *)at = (uint16_t)(colours << 8 | (character & 0x7f));
}

void screen_open(struct screen *screen, const struct screen_surface *surface, void *memory)
{
    assert(screen_surface_works(surface));
    screen->surface = *surface;
    screen->memory = memory;
    screen->columns = columns_of(surface);
    screen->rows = rows_of(surface);
    screen->scale = scale_of(surface);
    screen->ink = 0;
    if (surface->kind == SCREEN_PIXELS) {
        screen->ink = shade(surface->red) | shade(surface->green) | shade(surface->blue);
        darken(screen);
    }
    for (unsigned row = 0; row < screen->rows; row++) {
        for (unsigned column = 0; column < screen->columns; column++) {
            screen->shown[row][column] = ' ';
            if (surface->kind == SCREEN_TEXT)
                draw(screen, row, column, ' ');
        }
    }
}

void screen_set(struct screen *screen, unsigned row, unsigned column, uint8_t character)
{
    const uint8_t plain = character & 0x7f;
    if (screen->memory == NULL || row >= screen->rows || column >= screen->columns)
        return;
    if (plain < SCREEN_FONT_FIRST || plain >= SCREEN_FONT_FIRST + SCREEN_FONT_GLYPHS)
        character = (uint8_t)((character & SCREEN_INVERSE) | '?');
    if (screen->shown[row][column] == character)
        return;
    screen->shown[row][column] = character;
    draw(screen, row, column, character);
}

void screen_clear_row(struct screen *screen, unsigned row, unsigned from)
{
    for (unsigned column = from; column < screen->columns; column++)
        screen_set(screen, row, column, ' ');
}
