// SPDX-License-Identifier: MIT
#include "screen_line.h"

#include "boot_log.h"
#include "clocks.h"
#include "format.h"
#include "kernel.h"
#include "kernel_map.h"
#include "keyboard_port.h"
#include "screen_pager.h"
#include "screen_text.h"
#include "string.h"

#define KEPT_BYTES   (512u << 10) // of text: a whole run has some 300 KiB
#define MAPPED_MOST  ((uint64_t)256 << 20)
#define STEP_MS      20u
#define RUNNING      " Tickmark: running"
#define STATUS_BYTES 160u

static struct screen screen;
static struct screen_text text;
static char kept[KEPT_BYTES];
static bool asked_for; // output=screen or both
static bool only;      // output=screen

static void open(void)
{
    if (screen.memory != NULL)
        return;
    screen_open(&screen, &kernel.boot.screen, (void *)(uintptr_t)kernel.boot.screen.address);
    screen_text_newest(&text);
    screen_text_title(&text, RUNNING);
}

bool screen_line_open(const char *arguments)
{
    const struct screen_surface *surface = &kernel.boot.screen;
    char word[8];
    string_option(arguments, "output", word, sizeof(word));
    only = string_equal(word, "screen");
    asked_for = only || string_equal(word, "both");
    if (surface->kind == SCREEN_NONE || screen_bytes(surface) > MAPPED_MOST) {
        const bool wanted = asked_for;
        asked_for = only = false;
        return !wanted;
    }
    screen_text_init(&text, &screen, kept, sizeof(kept));
    if (surface->address + screen_bytes(surface) <= KERNEL_MAP_BOOT_END)
        open();
    return true;
}

void screen_line_map(void)
{
    const struct screen_surface *surface = &kernel.boot.screen;
    if (text.screen == NULL ||
        kernel_map_device(surface->address, screen_bytes(surface)) == STATUS_OK)
        return;
    screen.memory = NULL;
    text.screen = NULL;
    asked_for = only = false;
    boot_log("the screen at %lx cannot be mapped", surface->address);
}

void screen_line_open_late(void)
{
    if (text.screen != NULL)
        open();
}

// As long as no port is found, nobody else shows anything.
static bool is_seen(void)
{
    return text.screen != NULL && !kernel.framed && (asked_for || !kernel.line.present);
}

bool screen_line_write(const void *bytes, size_t length)
{
    if (!is_seen())
        return false;
    screen_text_add(&text, bytes, length);
    return true;
}

void screen_line_last_words(const char *words, size_t length)
{
    if (text.screen != NULL && !is_seen())
        screen_text_add(&text, words, length);
}

bool screen_line_only(void)
{
    return only;
}

bool screen_line_settle(void)
{
    char words[STATUS_BYTES];
    if (text.screen == NULL)
        return true;
    if (kernel.framed && !kernel.line.present)
        return false;
    if (!is_seen() && kernel.line.place.memory)
        screen_text_add(&text, words,
                        format(words, sizeof(words),
                               "Results go to the serial port in memory at "
                               "%lx.\n",
                               kernel.line.place.address));
    else if (!is_seen())
        screen_text_add(&text, words,
                        format(words, sizeof(words), "Results go to the serial port %lx.\n",
                               kernel.line.place.address));
    return true;
}

// ---- the end ------------------------------------------------------------------------------------

static bool has_keyboard(void)
{
    const struct acpi_fixed *fixed = &kernel.acpi.devices.fixed;
    return !fixed->flags_told || fixed->has_8042;
}

void screen_line_pages(bool success)
{
    struct keyboard keyboard = {.skipped = 0};
    struct screen_pager pager;
    const char *what = success ? "Tickmark: done" : "Tickmark: ended, not everything was measured";
    if (text.screen == NULL)
        return;
    if (!is_seen())
        screen_text_add(&text, "The run has ended.\n", 19);
    screen_pager_open(&pager, &text, what, !success);
    for (;;) {
        enum keyboard_key key = KEYBOARD_NONE;
        uint8_t code;
        clocks_delay_us(STEP_MS * 1000);
        if (has_keyboard() && keyboard_port_take(&code))
            key = keyboard_take(&keyboard, code);
        screen_pager_step(&pager, key, STEP_MS);
    }
}

void screen_line_describe(void (*emit)(void *context, const char *key, const char *value),
                          void *context)
{
    const struct screen_surface *surface = &kernel.boot.screen;
    char words[64];
    format(words, sizeof(words), "%s, %u x %u, %u bits at %lx",
           surface->kind == SCREEN_TEXT ? "text" : "pixels", surface->width, surface->height,
           surface->bits, surface->address);
    emit(context, "screen", text.screen != NULL ? words : "none");
}
