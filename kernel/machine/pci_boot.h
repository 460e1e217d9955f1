// SPDX-License-Identifier: MIT
// The machine's PCI buses: found once at boot, read only afterwards.
#ifndef PCI_BOOT_H
#define PCI_BOOT_H

#include "pci.h"
#include "pci_ecam.h"

// An entry of ACPI's MCFG table.
struct pci_boot_window {
    uint64_t base; // physical, of bus 0
    uint16_t segment;
    uint8_t first, last;
};

// Finds all functions: by ports, and in the windows (PCI_WINDOWS_MOST at most are used; NULL:
// none), whose memory (pci_ecam_place) the caller has mapped one to one, uncached. A window that
// makes no sense is logged and not used. What of ports or memory `console` is goes on
// answering. `log` (or NULL) gets a line for each problem. Boot CPU, before any
// driver.
void pci_boot(const struct pci_boot_window *windows, unsigned count,
              const struct pci_in_use *console, void (*log)(void *context, const char *line),
              void *context);

// What was found; empty before pci_boot.
const struct pci *pci_boot_found(void);

// Configuration space. Through ports where no window is: rules of pci_ports.h.
const struct pci_access *pci_boot_access(void);

#endif
