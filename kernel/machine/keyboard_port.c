// SPDX-License-Identifier: MIT
// Registers: IBM PS/2 Hardware Interface Technical Reference, "Keyboard/Auxiliary Device
// Controller".
#include "keyboard_port.h"

#include "x86.h"

#define DATA       0x60
#define STATUS     0x64
#define FULL       0x01 // there is a byte
#define FROM_MOUSE 0x20
#define NOTHING    0xff // no controller answers
#define BYTES_MOST 16u  // of a mouse, in one call

bool keyboard_port_take(uint8_t *code)
{
    for (unsigned i = 0; i < BYTES_MOST; i++) {
        const uint8_t status = x86_in8(STATUS);
        if (status == NOTHING || (status & FULL) == 0)
            return false;
        *code = x86_in8(DATA);
        if ((status & FROM_MOUSE) == 0)
            return true;
    }
    return false;
}
