// SPDX-License-Identifier: MIT
#include "keyboard.h"

#include "compiler.h"

#define PREFIX       0xe0u
#define PAUSE        0xe1u // of E1 1D 45 E1 9D C5
#define PAUSE_BYTES  2u    // behind each E1
#define RELEASED     0x80u
#define CODE_NONE    0x00u // the keyboard's own buffer ran over
#define FAKE_SHIFT   0x2au // E0 2A and E0 36 come around some keys
#define FAKE_SHIFT_2 0x36u

// The keys beside the number block have its codes, behind the prefix.
static const struct {
    uint8_t code;
    enum keyboard_key key;
} keys[] = {
    {0x39, KEYBOARD_NEXT},  {0x1c, KEYBOARD_NEXT},  {0x31, KEYBOARD_NEXT}, {0x51, KEYBOARD_NEXT},
    {0x50, KEYBOARD_NEXT},  {0x4d, KEYBOARD_NEXT},  {0x30, KEYBOARD_BACK}, {0x19, KEYBOARD_BACK},
    {0x0e, KEYBOARD_BACK},  {0x49, KEYBOARD_BACK},  {0x48, KEYBOARD_BACK}, {0x4b, KEYBOARD_BACK},
    {0x47, KEYBOARD_FIRST}, {0x22, KEYBOARD_FIRST}, {0x4f, KEYBOARD_LAST},
};

enum keyboard_key keyboard_take(struct keyboard *keyboard, uint8_t code)
{
    const bool extended = keyboard->extended;
    keyboard->extended = false;
    if (keyboard->skipped > 0) {
        keyboard->skipped--;
        return KEYBOARD_NONE;
    }
    if (code == PREFIX) {
        keyboard->extended = true;
        return KEYBOARD_NONE;
    }
    if (code == PAUSE) {
        keyboard->skipped = PAUSE_BYTES;
        return KEYBOARD_NONE;
    }
    if (code == CODE_NONE || code >= RELEASED ||
        (extended && (code == FAKE_SHIFT || code == FAKE_SHIFT_2)))
        return KEYBOARD_NONE;
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        if (keys[i].code == code)
            return keys[i].key;
    }
    return KEYBOARD_OTHER;
}
