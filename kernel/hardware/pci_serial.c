// SPDX-License-Identifier: MIT
#include "pci_serial.h"

#define PORTS         ((uint64_t)UINT16_MAX + 1)
#define LOWEST_MEMORY 0x1000u // page 0 is never mapped
#define APART         4u

static bool has_room(const struct pci_bar *bar, unsigned stride)
{
    return bar->size == 0 || bar->size >= SERIAL_PLACE_REGISTERS * stride;
}

static bool has_a_port(const struct pci_bar *bar)
{
    return bar->state == PCI_BAR_ASSIGNED && bar->io && bar->address != 0 &&
           bar->address % SERIAL_PLACE_REGISTERS == 0 &&
           bar->address <= PORTS - SERIAL_PLACE_REGISTERS && has_room(bar, 1);
}

// Whatever can be read ahead has no registers that change by being read.
static bool has_memory(const struct pci_bar *bar)
{
    return bar->state == PCI_BAR_ASSIGNED && !bar->io && !bar->prefetchable &&
           bar->address >= LOWEST_MEMORY && bar->address <= UINT64_MAX - PORTS && has_room(bar, 1);
}

static const struct pci_bar *bar_of(const struct pci_function *card,
                                    bool (*has)(const struct pci_bar *bar))
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (has(&card->bars[i]))
            return &card->bars[i];
    }
    return NULL;
}

const struct pci_function *pci_serial_find(const struct pci *pci, const struct pci_function *after,
                                           struct serial_place *place)
{
    const struct pci_function *at = after == NULL ? pci->functions : after + 1;
    for (; at < pci->functions + pci->count; at++) {
        if (at->class_code >> 8 != PCI_CLASS_SERIAL || at->header != PCI_HEADER_DEVICE)
            continue;
        const struct pci_bar *bar = bar_of(at, has_a_port);
        if (bar == NULL)
            bar = bar_of(at, has_memory);
        if (bar == NULL)
            continue;
        *place = (struct serial_place){
            .memory = !bar->io, .stride = 1, .width = 1, .address = bar->address};
        return at;
    }
    return NULL;
}

bool pci_serial_apart(const struct pci_function *card, struct serial_place *place)
{
    const struct pci_bar *bar = bar_of(card, has_memory);
    if (!place->memory || bar == NULL || bar->size < SERIAL_PLACE_REGISTERS * APART)
        return false;
    place->stride = place->width = APART;
    return bar->address % APART == 0;
}
