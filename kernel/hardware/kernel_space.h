// SPDX-License-Identifier: MIT
// What the kernel's own address space holds: all RAM one to one, each part with the least rights it
// can do with. The plan over a page_map; kernel_map.h runs the machine's on it.
#ifndef KERNEL_SPACE_H
#define KERNEL_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "boot_info.h"
#include "page_map.h"

// The image: constants [start, text), text [text, data), data [data, end); multiples of 4 KiB, all
// inside RAM.
struct kernel_image {
    uint64_t start, text, data, end;
};

// Memory that must be mapped for the kernel to run; what lies above is left out when the tables do
// not suffice. It is what boot.S maps, so everything that is used before lies in it.
#define KERNEL_SPACE_NEEDED ((uint64_t)4 << 30)

struct kernel_space {
    uint64_t ram_bytes;                // mapped, the image among them
    uint64_t left_out, left_out_bytes; // the first RAM not mapped and how much in all; 0 if none
};

// Tables that kernel_space_map needs at most, whatever the CPU's page sizes: two of 4 KiB pages for
// the ends of each range, one of 2 MiB pages for each GiB it touches, one for each 512 GiB.
// 512 GiB of RAM in one piece take 520 of them, which is 2 MiB.
uint64_t kernel_space_tables(const struct boot_info *info, const struct kernel_image *image);

// Maps, one to one: the image (constants read only, text read and execute, data read and write);
// RAM read and write; ACPI's ranges below KERNEL_SPACE_NEEDED read only. Page 0 stays unmapped,
// and so does what is not in the memory map: devices (kernel_space_add). No page is left both
// writable and executable.
// STATUS_NO_MEMORY if not even what is below KERNEL_SPACE_NEEDED could be mapped. RAM above that
// cannot be mapped (no tables, beyond the CPU's addresses) is left out, told in `space`.
enum status kernel_space_map(struct page_map *map, const struct boot_info *info,
                             const struct kernel_image *image, bool global,
                             struct kernel_space *space);

// Maps the pages that [physical, physical + length) touches one to one, as far as they are not
// mapped so already: a device's registers (uncached, read and write) or what firmware left
// somewhere (write-back, read only). Asking twice is no error.
// STATUS_FOREIGN if a page of a device is mapped as memory; STATUS_INVALID: nothing, page 0 or
// beyond all addresses; STATUS_NO_MEMORY: what was mapped until then stays.
enum status kernel_space_add(struct page_map *map, uint64_t physical, uint64_t length, bool device);

#endif
