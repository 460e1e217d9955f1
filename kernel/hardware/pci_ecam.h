// SPDX-License-Identifier: MIT
// Configuration space as memory: the enhanced access mechanism (PCIe 3.0, 7.2.2), 4096 bytes of
// each function, for the buses that ACPI's MCFG table describes; anything else below it.
// Threads: any, unless `below` has rules of its own.
#ifndef PCI_ECAM_H
#define PCI_ECAM_H

#include "memory_access.h"
#include "pci.h"

#define PCI_ECAM_BUS_BYTES ((uint64_t)1 << 20)

struct pci_ecam_window {
    uint16_t segment;
    uint8_t first, last;
    struct memory_access memory; // offset 0 is the first bus
};

struct pci_ecam {
    unsigned count;
    struct pci_ecam_window windows[PCI_WINDOWS_MOST];
    struct pci_access below; // for addresses in no window; `reach` NULL: nothing
};

// The physical memory [start, start + length) of buses first..last whose MCFG entry says `base`,
// which is where bus 0 would be (PCI Firmware Specification 3.0, 4.1.2). STATUS_INVALID: none, or
// a base that is not aligned to a bus.
enum status pci_ecam_place(uint64_t base, uint8_t first, uint8_t last, uint64_t *start,
                           uint64_t *length);

void pci_ecam_init(struct pci_ecam *ecam, struct pci_access below);

// Adds a window of memory the caller has mapped, uncached. STATUS_INVALID: no buses, or less memory
// than they take. STATUS_DOUBLE: some of them have a window already. STATUS_TOO_LARGE: no room.
// STATUS_CORRUPT: on its first bus it shows other devices than `below` does, where that reaches:
// a firmware's mistake, found before it is believed.
enum status pci_ecam_add(struct pci_ecam *ecam, const struct pci_ecam_window *window);

// Valid as long as `ecam` is.
struct pci_access pci_ecam_access(struct pci_ecam *ecam);

// Where to search: at bus 0 of segment 0, and at the first bus of each window. A window of segment
// 0 that begins at another bus ends what belongs to bus 0. Returns how many.
unsigned pci_ecam_roots(const struct pci_ecam *ecam, struct pci_root roots[PCI_ROOTS_MOST]);

#endif
