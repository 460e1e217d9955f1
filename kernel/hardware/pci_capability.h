// SPDX-License-Identifier: MIT
// The lists of capabilities of a PCI function (PCI 3.0, 6.7; PCIe 3.0, 7.9). Rules: pci.h.
#ifndef PCI_CAPABILITY_H
#define PCI_CAPABILITY_H

#include "pci.h"

struct pci_capability {
    uint16_t id;
    uint16_t offset; // a multiple of 4
};

// What stands before a list's damage is kept.
struct pci_capabilities {
    unsigned count;
    const char *problem; // what is wrong with the list; NULL: nothing
    struct pci_capability entries[PCI_EXTENDED_MOST];
};

// In the list's order, offsets in 40h..fch. A pointer that leaves that range or comes back, or an
// id of all ones, ends the list with a problem; reserved bits of a pointer are ignored, as 6.7
// asks, and are a problem too. Null capabilities (id 0) are passed over.
void pci_capabilities_read(const struct pci_access *access, struct pci_address at, uint8_t header,
                           struct pci_capabilities *list);

// The same for 100h..ffch; empty where `access` does not reach. For functions with the Express
// capability only: others may show their first 256 bytes again there. Ends with a problem
// after PCI_EXTENDED_MOST.
void pci_extended_read(const struct pci_access *access, struct pci_address at,
                       struct pci_capabilities *list);

// The offset of the first with this id; 0: none.
unsigned pci_capability_find(const struct pci_capabilities *list, uint16_t id);

#endif
