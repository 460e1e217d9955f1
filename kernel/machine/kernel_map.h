// SPDX-License-Identifier: MIT
// The kernel's own address space: the low 4 GiB one to one, with the holes and rights that turn
// mistakes into faults. Mechanisms under test make page tables of their own; this one only changes
// here, once.
#ifndef KERNEL_MAP_H
#define KERNEL_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define KERNEL_MAP_END ((uint64_t)4 << 30)
// The image is mapped by small pages; kernel.ld checks that it fits.
#define KERNEL_MAP_IMAGE_MOST ((uint64_t)16 << 20)

// Unmaps page 0 and the guard pages of the stacks, makes the kernel's text and constants read only
// and everything but its text non-executable. Once, on the boot CPU, after the boot information is
// read (it may lie in page 0).
void kernel_map_protect(void);

// True if the page that holds `address` is mapped.
bool kernel_map_present(uint64_t address);

#endif
