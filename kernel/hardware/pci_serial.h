// SPDX-License-Identifier: MIT
// Serial ports on PCI cards, as far as they are like those of a PC: the eight registers of a 16550,
// as I/O ports or in memory.
//
// Not here: further ports of a card than its first.
// Threads: as pci.h.
#ifndef PCI_SERIAL_H
#define PCI_SERIAL_H

#include "pci.h"
#include "serial_place.h"

#define PCI_CLASS_SERIAL 0x0700u // class << 8 | subclass (PCI 3.0, appendix D.8)

// The first function behind `after` (NULL: from the start) that is a serial port by its class and
// has an assigned BAR of at least eight I/O ports, or one of unknown size, that begins at a
// multiple of eight; or else one of as many bytes of memory. Where its registers are, next to each
// other, is *place; memory of 32 bytes and more may have them 4 bytes apart (pci_serial_apart).
// NULL if there is none; *place is then left alone.
const struct pci_function *pci_serial_find(const struct pci *pci, const struct pci_function *after,
                                           struct serial_place *place);

// True if the card's registers may be 4 bytes apart as well; *place says so then.
bool pci_serial_apart(const struct pci_function *card, struct serial_place *place);

#endif
