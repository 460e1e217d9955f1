// SPDX-License-Identifier: MIT
// Base address registers: where a function's memory and ports are, and how large (PCI 3.0, 6.2.5).
// Rules: pci.h.
#ifndef PCI_BAR_H
#define PCI_BAR_H

#include "pci.h"

// A size shows when ones are written to a BAR. The function must not decode addresses meanwhile:
// it does not answer then, and a bridge passes nothing on. So a function is left alone, and its
// sizes stay unknown, if it is
// - a bridge other than PCI to PCI (class 06h): a host bridge may take memory itself away, a
//   bridge to ISA the serial port, and neither has BARs of use here;
// - a bridge with subtractive decoding: whatever nobody claims is behind it;
// - a PCI bridge one of whose windows, or VGA forwarding, touches something in use;
// - a function one of whose BARs may touch something in use: from its address to that plus the
//   largest power of two that divides it, since BARs are aligned to their size; or a VGA, whose old
//   memory and ports no BAR tells of.
// True if `function` may be sized; its address, class_code and header are set.
bool pci_bars_may_be_sized(const struct pci_search *search, const struct pci_function *function);

// Reads the BARs of `function` (address and header are set) into function->bars and, if `size`,
// their sizes with decoding off; everything written is restored before it returns. Sets
// function->sized; false there although `size` was asked for: decoding does not go off.
// Returns what is wrong with one of them, NULL if nothing is.
const char *pci_bars_read(const struct pci_access *access, struct pci_function *function,
                          bool size);

#endif
