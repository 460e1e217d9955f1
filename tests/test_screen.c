// SPDX-License-Identifier: MIT
// kernel/hardware/screen, screen_font: what is drawn is read back from the display's memory, of any
// depth, and nothing is drawn beside it.
#include <signal.h>

#include "compiler.h"
#include "run_checks.h"
#include "screen.h"
#include "screen_font.h"
#include "string.h"

static struct screen screen;

static struct screen_surface pixels(unsigned bits, unsigned width, unsigned height)
{
    struct screen_surface surface = {.kind = SCREEN_PIXELS,
                                     .address = 0xfd000000,
                                     .pitch = width * ((bits + 7) / 8) + 12,
                                     .width = width,
                                     .height = height,
                                     .bits = (uint8_t)bits};
    const uint8_t each = bits >= 24 ? 8 : 5;
    surface.blue = (struct screen_colour){0, each};
    surface.green = (struct screen_colour){each, (uint8_t)(bits == 16 ? 6 : each)};
    surface.red = (struct screen_colour){(uint8_t)(bits == 16 ? 11 : 2 * each), each};
    return surface;
}

static struct screen_surface text_mode(unsigned columns, unsigned rows)
{
    return (struct screen_surface){.kind = SCREEN_TEXT,
                                   .address = 0xb8000,
                                   .pitch = 2 * columns,
                                   .width = columns,
                                   .height = rows,
                                   .bits = 16};
}

// In memory of exactly its size, full of junk.
static uint8_t *open_on(const struct screen_surface *surface)
{
    uint8_t *memory = malloc(screen_bytes(surface));
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0x5a, screen_bytes(surface));
    screen_open(&screen, surface, memory);
    return memory;
}

static uint32_t pixel(const struct screen_surface *surface, const uint8_t *memory, unsigned x,
                      unsigned y)
{
    const unsigned bytes = (surface->bits + 7u) / 8;
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)memory[(size_t)y * surface->pitch + x * bytes + i] << 8 * i;
    return value;
}

// The character that stands in a cell, found by its dots; 0: none looks like this.
static uint8_t seen(const uint8_t *memory, unsigned row, unsigned column)
{
    const unsigned scale = screen.scale;
    const unsigned left = column * SCREEN_CELL_WIDTH * scale;
    const unsigned top = row * SCREEN_CELL_HEIGHT * scale;
    const uint32_t ground = pixel(&screen.surface, memory, left, top);
    for (unsigned c = 0; c < SCREEN_FONT_GLYPHS; c++) {
        bool same = true;
        for (unsigned y = 0; y < SCREEN_CELL_HEIGHT * scale && same; y++) {
            for (unsigned x = 0; x < SCREEN_CELL_WIDTH * scale && same; x++) {
                const unsigned dot = x / scale;
                const bool set =
                    dot >= 1 && dot <= 5 && (screen_font[c][y / (2 * scale)] >> (5 - dot) & 1);
                same = pixel(&screen.surface, memory, left + x, top + y) ==
                       (set ? screen.ink ^ ground : ground);
            }
        }
        if (same)
            return (uint8_t)((c + SCREEN_FONT_FIRST) | (ground != 0 ? SCREEN_INVERSE : 0));
    }
    return 0;
}

START_TEST(every_character_has_a_glyph_of_its_own)
{
    for (unsigned a = 0; a < SCREEN_FONT_GLYPHS; a++) {
        for (unsigned b = 0; b < a; b++)
            ck_assert_msg(memcmp(screen_font[a], screen_font[b], SCREEN_FONT_LINES) != 0,
                          "%c and %c", (int)(a + SCREEN_FONT_FIRST), (int)(b + SCREEN_FONT_FIRST));
        for (unsigned line = 0; line < SCREEN_FONT_LINES; line++)
            ck_assert_uint_lt(screen_font[a][line], 1u << SCREEN_FONT_COLUMNS);
    }
}
END_TEST

START_TEST(what_is_drawn_can_be_read_in_every_depth_and_scale)
{
    static const struct {
        unsigned bits, width, height, columns, rows, scale;
    } cases[] = {
        {15, 320, 200, 40, 12, 1},    {16, 640, 480, 80, 30, 1},  {24, 801, 603, 100, 37, 1},
        {32, 1024, 768, 128, 48, 1},  {32, 2560, 160, 160, 5, 2}, {24, 3840, 200, 160, 4, 3},
        {32, 1920, 1080, 160, 64, 1},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct screen_surface surface =
            pixels(cases[i].bits, cases[i].width, cases[i].height);
        uint8_t *memory = open_on(&surface);
        ck_assert_uint_eq(screen.columns, cases[i].columns);
        ck_assert_uint_eq(screen.rows, cases[i].rows);
        ck_assert_uint_eq(screen.scale, cases[i].scale);
        const unsigned last = screen.rows - 1, right = screen.columns - 1;
        screen_set(&screen, 0, 0, 'Q');
        screen_set(&screen, last, right, 'g' | SCREEN_INVERSE);
        screen_set(&screen, last, 0, '~');
        screen_set(&screen, last, 0, '\x07'); // no glyph
        screen_set(&screen, last + 1, 0, 'X');
        screen_set(&screen, 0, right + 1, 'X');
        ck_assert_int_eq(seen(memory, 0, 0), 'Q');
        ck_assert_int_eq(seen(memory, 0, 1), ' ');
        ck_assert_int_eq(seen(memory, last, right), 'g' | SCREEN_INVERSE);
        ck_assert_int_eq(seen(memory, last, 0), '?');
        ck_assert_int_eq(seen(memory, 1, 0), ' ');
        // What lies between two lines is nobody's.
        ck_assert_int_eq(memory[surface.pitch - 1], 0x5a);
        free(memory);
    }
}
END_TEST

START_TEST(the_ink_uses_every_colour_and_nothing_else)
{
    const struct screen_surface surface = pixels(16, 640, 480);
    uint8_t *memory = open_on(&surface);
    ck_assert_uint_eq(screen.ink >> 11, 25);
    ck_assert_uint_eq(screen.ink >> 5 & 63, 51);
    ck_assert_uint_eq(screen.ink & 31, 25);
    free(memory);
}
END_TEST

START_TEST(text_mode_has_a_character_and_its_colours_in_a_cell)
{
    const struct screen_surface surface = text_mode(80, 25);
    uint8_t *memory = open_on(&surface);
    ck_assert_uint_eq(screen.columns, 80);
    ck_assert_uint_eq(screen.rows, 25);
    screen_set(&screen, 24, 79, 'z');
    screen_set(&screen, 1, 2, 'a' | SCREEN_INVERSE);
    screen_set(&screen, 2, 0, 'b');
    screen_set(&screen, 2, 1, 'c');
    screen_clear_row(&screen, 2, 1);
    ck_assert_mem_eq(memory + 2 * (24 * 80 + 79), "z\x07", 2);
    ck_assert_mem_eq(memory + 2 * (80 + 2), "a\x70", 2);
    ck_assert_mem_eq(memory + 2 * 160, "b\x07 \x07", 4);
    free(memory);
}
END_TEST

START_TEST(a_surface_that_cannot_be_is_no_screen)
{
    static const struct {
        const char *what;
        size_t at, bytes;
        uint64_t value;
        bool works;
    } changes[] = {
#define CHANGE(field, value, works)                                                                \
    {#field " " #value, offsetof(struct screen_surface, field),                                    \
     sizeof(((struct screen_surface *)0)->field), value, works}
        CHANGE(kind, SCREEN_PIXELS, true),
        CHANGE(kind, SCREEN_NONE, false),
        CHANGE(address, 0, false),
        CHANGE(address, UINT64_MAX - 100, false),
        CHANGE(pitch, 1024 * 4, true),
        CHANGE(pitch, 1024 * 4 - 1, false),
        CHANGE(pitch, UINT32_MAX, false),
        CHANGE(width, 159, false),
        CHANGE(width, 160, true),
        CHANGE(width, UINT32_MAX / 4 + 2, false),
        CHANGE(height, 63, false),
        CHANGE(height, 64, true),
        CHANGE(height, 20000, false),
        CHANGE(bits, 8, false),
        CHANGE(bits, 24, true),
        CHANGE(bits, 33, false),
        CHANGE(red.bits, 0, false),
        CHANGE(red.bits, 17, false),
        CHANGE(green.at, 30, false),
        CHANGE(blue.at, 255, false),
    };
    for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
        struct screen_surface surface = pixels(32, 1024, 768);
        memcpy((char *)&surface + changes[i].at, &changes[i].value, changes[i].bytes);
        ck_assert_msg(screen_surface_works(&surface) == changes[i].works, "%s", changes[i].what);
    }
    struct screen_surface cells = text_mode(80, 25);
    ck_assert(screen_surface_works(&cells));
    cells.pitch = 159;
    ck_assert(!screen_surface_works(&cells));
    cells = text_mode(19, 25);
    ck_assert(!screen_surface_works(&cells));
}
END_TEST

START_TEST(nothing_is_drawn_where_no_screen_is)
{
    screen = (struct screen){.memory = NULL};
    screen_set(&screen, 0, 0, 'x');
    screen_clear_row(&screen, 0, 0);
    ck_assert_int_eq(screen.shown[0][0], 0);
}
END_TEST

START_TEST(opening_what_does_not_work_dies)
{
    const struct screen_surface surface = {.kind = SCREEN_NONE};
    screen_open(&screen, &surface, &screen);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("screen");
    TCase *tests = tcase_create("screen");
    tcase_add_test(tests, every_character_has_a_glyph_of_its_own);
    tcase_add_test(tests, what_is_drawn_can_be_read_in_every_depth_and_scale);
    tcase_add_test(tests, the_ink_uses_every_colour_and_nothing_else);
    tcase_add_test(tests, text_mode_has_a_character_and_its_colours_in_a_cell);
    tcase_add_test(tests, a_surface_that_cannot_be_is_no_screen);
    tcase_add_test(tests, nothing_is_drawn_where_no_screen_is);
    tcase_add_test_raise_signal(tests, opening_what_does_not_work_dies, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
