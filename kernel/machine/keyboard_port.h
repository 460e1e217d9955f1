// SPDX-License-Identifier: MIT
// The keyboard controller of a PC, asked now and then. No interrupts; the caller knows that there
// may be one (ACPI's FADT). One thread.
#ifndef KEYBOARD_PORT_H
#define KEYBOARD_PORT_H

#include <stdbool.h>
#include <stdint.h>

// Takes a byte of the keyboard's, if there is one; what a mouse sends is thrown away. Never waits.
bool keyboard_port_take(uint8_t *code);

#endif
