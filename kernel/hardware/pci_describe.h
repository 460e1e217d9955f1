// SPDX-License-Identifier: MIT
// What was found on the buses, as facts for the self-test.
#ifndef PCI_DESCRIBE_H
#define PCI_DESCRIBE_H

#include "pci.h"

#define PCI_VALUE_MOST 255u // characters of a fact's value

// Calls `emit` for pci.functions (what was recorded), pci.left_out and pci.problems if there are
// any, and for each function, by example:
//   pci.0:00:03.0   1b36:0010 class 010802 nvme bars=0:m64@fe800000+4000 msix=65
//   pci.0:00:02.0   1b36:000c class 060400 bridge bus=01-01 bars=0:m32@fea10000+1000 msix=1
// Keys have segment:bus:device.function, hexadecimal. A BAR is its slot, then `io`, `m32` or `m64`,
// `p` if it is prefetchable, @address or @none, +size if it was sized; or `broken`. All numbers are
// hexadecimal but those of vectors.
void pci_describe(const struct pci *pci,
                  void (*emit)(void *context, const char *key, const char *value), void *context);

#endif
