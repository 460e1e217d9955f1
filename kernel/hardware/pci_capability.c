// SPDX-License-Identifier: MIT
#include "pci_capability.h"

#define POINTER         0x34u
#define POINTER_CARDBUS 0x14u
#define FIRST           0x40u
#define POINTER_BITS    0xfcu // 1:0 are reserved (PCI 3.0, 6.7)
#define ID_GONE         0xffu

#define EXTENDED_FIRST        0x100u
#define EXTENDED_POINTER_BITS 0xffcu
#define EXTENDED_WORDS        (PCI_BYTES_EXTENDED / 4 / 64)

_Static_assert(PCI_CAPABILITIES_MOST == (PCI_BYTES - FIRST) / 4, "each position once");
_Static_assert(PCI_CAPABILITIES_MOST <= PCI_EXTENDED_MOST, "a list holds either");

void pci_capabilities_read(const struct pci_access *access, struct pci_address at, uint8_t header,
                           struct pci_capabilities *list)
{
    list->count = 0;
    list->problem = NULL;
    if (header > PCI_HEADER_CARDBUS ||
        (pci_read16(access, at, PCI_STATUS) & PCI_STATUS_CAPABILITY) == 0)
        return;
    uint64_t seen = 0; // a bit for each position: none is visited twice, so the loop ends
    uint8_t next = pci_read8(access, at, header == PCI_HEADER_CARDBUS ? POINTER_CARDBUS : POINTER);
    while (next != 0) {
        if ((next & ~POINTER_BITS) != 0)
            list->problem = "a capability's pointer has reserved bits";
        const unsigned offset = next & POINTER_BITS;
        if (offset < FIRST) {
            list->problem = "a capability's pointer leads into the header";
            return;
        }
        if ((seen >> offset / 4 & 1) != 0) {
            list->problem = "the list of capabilities is a loop";
            return;
        }
        seen |= (uint64_t)1 << offset / 4;
        const uint16_t entry = pci_read16(access, at, offset);
        if ((entry & 0xff) == ID_GONE) {
            list->problem = "a capability reads all ones";
            return;
        }
        if ((entry & 0xff) != 0)
            list->entries[list->count++] = (struct pci_capability){entry & 0xff, (uint16_t)offset};
        next = (uint8_t)(entry >> 8);
    }
}

void pci_extended_read(const struct pci_access *access, struct pci_address at,
                       struct pci_capabilities *list)
{
    list->count = 0;
    list->problem = NULL;
    if (access->reach(access->context, at) < PCI_BYTES_EXTENDED)
        return;
    uint64_t seen[EXTENDED_WORDS] = {0};
    unsigned next = EXTENDED_FIRST;
    while (next != 0) {
        const unsigned offset = next & EXTENDED_POINTER_BITS;
        if (offset != next)
            list->problem = "an extended capability's pointer has reserved bits";
        if (offset < EXTENDED_FIRST) {
            list->problem = "an extended capability's pointer leads below 100h";
            return;
        }
        if ((seen[offset / 256] >> offset / 4 % 64 & 1) != 0) {
            list->problem = "the list of extended capabilities is a loop";
            return;
        }
        seen[offset / 256] |= (uint64_t)1 << offset / 4 % 64;
        // Id 15:0, version 19:16, next 31:20. No list at all: zeros at 100h (PCIe 3.0, 7.9.2).
        const uint32_t entry = pci_read32(access, at, offset);
        if (entry == UINT32_MAX) {
            list->problem = "an extended capability reads all ones";
            return;
        }
        if ((entry & 0xffff) != 0) {
            if (list->count == PCI_EXTENDED_MOST) {
                list->problem = "more extended capabilities than there is room for";
                return;
            }
            list->entries[list->count++] =
                (struct pci_capability){(uint16_t)entry, (uint16_t)offset};
        }
        next = entry >> 20;
    }
}

unsigned pci_capability_find(const struct pci_capabilities *list, uint16_t id)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (list->entries[i].id == id)
            return list->entries[i].offset;
    }
    return 0;
}
