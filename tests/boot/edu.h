// SPDX-License-Identifier: MIT
// QEMU's `edu`, a device made for learning (QEMU, docs/specs/edu.txt): it interrupts when told to.
// Registers in BAR 0, 1 MiB. With MSI enabled it sends its message, else it asserts its pin
// until everything raised was acknowledged.
// One thread; edu_acknowledge may be called from the interrupt's handler.
#ifndef EDU_H
#define EDU_H

#include <stdbool.h>

#include "memory_access.h"

#define EDU_VENDOR 0x1234u
#define EDU_DEVICE 0x11e8u

struct edu {
    struct memory_access registers;
};

// `registers` is BAR 0, at least 256 bytes of it. False if something else answers there.
bool edu_open(struct edu *edu, struct memory_access registers);

// Interrupts, and adds `bits` to the status.
void edu_raise(struct edu *edu, uint32_t bits);

// What was raised and not acknowledged.
uint32_t edu_status(const struct edu *edu);
void edu_acknowledge(struct edu *edu, uint32_t bits);

#endif
