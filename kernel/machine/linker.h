// SPDX-License-Identifier: MIT
// Symbols of the linker script (targets/NAME/kernel.ld). Each is an address, not an object: take
// its address, never its value.
#ifndef LINKER_H
#define LINKER_H

#include <stdint.h>

// The kernel's image in memory, page-aligned, in this order: constants (read only), text (read and
// execute), data (read and write, with the zeroed memory behind it).
extern uint8_t linker_image[];
extern uint8_t linker_text[];
extern uint8_t linker_data[];
extern uint8_t linker_image_end[];

// The note with the build id, as the linker makes it.
extern const uint8_t linker_build_id[];
extern const uint8_t linker_build_id_end[];

#endif
