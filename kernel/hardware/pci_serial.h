// SPDX-License-Identifier: MIT
// Serial ports on PCI cards, as far as they are like those of a PC: eight I/O ports of a 16550.
//
// Not here: cards whose registers lie in memory, and further ports of a card than its first.
// Threads: as pci.h.
#ifndef PCI_SERIAL_H
#define PCI_SERIAL_H

#include "pci.h"

#define PCI_CLASS_SERIAL 0x0700u // class << 8 | subclass (PCI 3.0, appendix D.8)
#define PCI_SERIAL_PORTS 8u      // a 16550 has them

// The first function behind `after` (NULL: from the start) that is a serial port by its class and
// has an assigned BAR of at least eight I/O ports, or one of unknown size; `*port` is the first of
// them, a multiple of eight. NULL if there is none; `*port` is then left alone.
const struct pci_function *pci_serial_find(const struct pci *pci, const struct pci_function *after,
                                           uint16_t *port);

#endif
