// SPDX-License-Identifier: MIT
// Where the machine layer and a target meet.
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

// The target's entry, called by boot.S: on the boot stack, interrupts masked, the low 4 GiB mapped
// one to one, no exception handled yet. `protocol` is one of BOOT_BY_* (boot_info.h), `information`
// the physical address of its tables.
_Noreturn void kernel_main(uint32_t protocol, uint32_t information);

#endif
