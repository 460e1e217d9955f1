// SPDX-License-Identifier: MIT
// Keys that turn pages, from what a PC's keyboard controller gives: codes of set 1, which the
// controller translates the keyboard's own ones to (IBM PS/2 Hardware Interface Technical
// Reference, "Keyboard/Auxiliary Device Controller"). Logic only. One thread.
#ifndef KEYBOARD_H
#define KEYBOARD_H

#include <stdbool.h>
#include <stdint.h>

enum keyboard_key {
    KEYBOARD_NONE,  // released, or of no use here
    KEYBOARD_NEXT,  // space, Enter, n, page down, down, right
    KEYBOARD_BACK,  // b, p, backspace, page up, up, left
    KEYBOARD_FIRST, // Home, g
    KEYBOARD_LAST,  // End
    KEYBOARD_OTHER, // another key was pressed
};

struct keyboard {
    bool extended;    // E0 came: what follows is a key beside the number block
    unsigned skipped; // bytes of Pause that are still to come
};

// Takes a byte; starts from zeros.
enum keyboard_key keyboard_take(struct keyboard *keyboard, uint8_t code);

#endif
