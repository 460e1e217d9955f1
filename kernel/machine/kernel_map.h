// SPDX-License-Identifier: MIT
// The kernel's own address space: all RAM one to one, with the holes and rights that turn mistakes
// into faults (kernel_space.h). Mechanisms under test make page tables of their own.
//
// The page attribute table stays as it is after reset: entries 0 to 3 are write-back,
// write-through, uncached unless the MTRRs say otherwise, uncached.
//
// Rules for callers
//   order     kernel_map_build, kernel_map_device for what is used at once (the clock of the line),
//             kernel_map_enter; from then on what was not asked for is not mapped
//   threads   kernel_map_build: the boot CPU, alone; kernel_map_enter: each CPU, once. Changes: any
//             CPU, from threads; one waits for the other, and answers shootdowns meanwhile.
//             kernel_map_present: any CPU, any context
//   APs       come up in `boot_map`, which stays as boot.S made it: a trampoline in low memory is
//             not executable here
//   spaces    have their own tables for the high half and these for the low one
//             (page_map_share_low): nothing is mapped here above 2^47
#ifndef KERNEL_MAP_H
#define KERNEL_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "boot_info.h"
#include "kernel_space.h"
#include "page_map.h"

// The end of what boot.S maps, one to one.
#define KERNEL_MAP_BOOT_END KERNEL_SPACE_NEEDED

// Makes the tables, in RAM below KERNEL_MAP_BOOT_END that is taken from `info` for them. RAM above
// it that they do not suffice for, or that the CPU cannot address, is left out: kernel_map_space().
// STATUS_NO_MEMORY if not even the rest can be mapped. Boot CPU, once, after traps_init.
enum status kernel_map_build(struct boot_info *info);

// Turns on what protects memory and what keeps vector state on this CPU (cpu_features.h), then
// switches to these tables.
void kernel_map_enter(void);

// A device's registers become accessible: one to one, uncached, not executable. Asking twice is no
// error. Statuses of kernel_space_add.
enum status kernel_map_device(uint64_t physical, uint64_t length);

// What firmware left outside the memory map's RAM and ACPI ranges becomes readable.
enum status kernel_map_firmware(uint64_t physical, uint64_t length);

// Unmaps one page of RAM: below a stack. kernel_map_unguard gives it back as data.
// STATUS_EMPTY if it is not mapped, STATUS_FULL if it is; STATUS_NO_MEMORY, STATUS_INVALID.
enum status kernel_map_guard(uint64_t page);
enum status kernel_map_unguard(uint64_t page);

// Called after translations of [address, address + length) were dropped on this CPU, for all
// others; returns when they have dropped them (tlb_shoot_kernel). Until it is set there are none.
void kernel_map_set_shootdown(void (*others)(uint64_t address, uint64_t length));

// True if the page that holds `address` is mapped. Bounded, no locks.
bool kernel_map_present(uint64_t address);

// For those who look closer: rights and size of a page, counts.
const struct page_map *kernel_map_pages(void);
const struct kernel_space *kernel_map_space(void);

// Facts of this CPU and of the map: cpu.protection, cpu.protection_absent, map.*.
void kernel_map_describe(void (*emit)(void *context, const char *key, const char *value),
                         void *context);

#endif
