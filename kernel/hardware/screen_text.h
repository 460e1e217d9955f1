// SPDX-License-Identifier: MIT
// Text on a screen: lines as they come, the newest at the bottom, and all of it kept, so that it
// can be looked through by pages afterwards. The last row of the screen is a title.
//
// What is kept lies in the caller's memory; when that is full the oldest lines go. One thread.
#ifndef SCREEN_TEXT_H
#define SCREEN_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "screen.h"

#define SCREEN_TEXT_LEAST 1024u // bytes of memory

struct screen_text {
    struct screen *screen;
    char *kept; // a ring: `used` bytes from `first` on; what is in it is printable or a line's end
    size_t capacity, first, used;
    uint64_t lines_lost;  // line ends that went
    unsigned row, column; // where the next character is drawn
    bool paged;           // a page is shown, not the newest lines
};

// capacity >= SCREEN_TEXT_LEAST. The screen may be one without memory yet: text is kept then.
void screen_text_init(struct screen_text *text, struct screen *screen, void *memory,
                      size_t capacity);

// Shows and keeps text: a line feed ends a line, carriage returns are left out, and what is not
// printable ASCII becomes a question mark.
void screen_text_add(struct screen_text *text, const char *bytes, size_t length);

// Draws the newest lines again: after a page, or when the screen has been opened.
void screen_text_newest(struct screen_text *text);

// The last row, inverse; cut where it is longer.
void screen_text_title(struct screen_text *text, const char *title);

// How many pages all that is kept has, at least 1.
unsigned screen_text_pages(const struct screen_text *text);

// Shows page 0, 1, ...; one that there is not is the last.
void screen_text_show(struct screen_text *text, unsigned page);

#endif
