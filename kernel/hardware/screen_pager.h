// SPDX-License-Identifier: MIT
// Turns the pages of a text: by keys, and by itself until the first one. One thread.
#ifndef SCREEN_PAGER_H
#define SCREEN_PAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "keyboard.h"
#include "screen_text.h"

#define SCREEN_PAGER_MS 8000u // a page stays so long when nobody turns it

struct screen_pager {
    struct screen_text *text;
    const char *what; // in front of the title
    unsigned page, pages;
    bool turns;      // by itself: no key was pressed yet
    uint32_t stayed; // milliseconds
};

// Shows the first page, or the last one, which then stays until a key is pressed.
void screen_pager_open(struct screen_pager *pager, struct screen_text *text, const char *what,
                       bool last);

// Of the time since the last call, and of a key that came in it. A key of no use here stops the
// turning, so that a page can be held.
void screen_pager_step(struct screen_pager *pager, enum keyboard_key key, uint32_t ms);

#endif
