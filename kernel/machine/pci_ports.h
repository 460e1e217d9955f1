// SPDX-License-Identifier: MIT
// PCI configuration space through ports: mechanism #1 (PCI 3.0, 3.2.2.3.2). Segment 0, 256 bytes of
// each function.
#ifndef PCI_PORTS_H
#define PCI_PORTS_H

#include "pci.h"

// True if the machine has mechanism #1. The address register is as it was afterwards.
bool pci_ports_present(void);

// Reaches nothing but segment 0. An access takes two ports: one CPU at a time, and none in an
// interrupt handler.
struct pci_access pci_ports_access(void);

#endif
