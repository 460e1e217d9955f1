// SPDX-License-Identifier: MIT
#include "pci_serial.h"

static bool has_a_port(const struct pci_bar *bar)
{
    return bar->state == PCI_BAR_ASSIGNED && bar->io && bar->address != 0 &&
           bar->address % PCI_SERIAL_PORTS == 0 &&
           bar->address <= UINT16_MAX + 1u - PCI_SERIAL_PORTS &&
           (bar->size == 0 || bar->size >= PCI_SERIAL_PORTS);
}

const struct pci_function *pci_serial_find(const struct pci *pci, const struct pci_function *after,
                                           uint16_t *port)
{
    const struct pci_function *at = after == NULL ? pci->functions : after + 1;
    for (; at < pci->functions + pci->count; at++) {
        if (at->class_code >> 8 != PCI_CLASS_SERIAL || at->header != PCI_HEADER_DEVICE)
            continue;
        for (unsigned i = 0; i < PCI_BARS; i++) {
            if (!has_a_port(&at->bars[i]))
                continue;
            *port = (uint16_t)at->bars[i].address;
            return at;
        }
    }
    return NULL;
}
