// SPDX-License-Identifier: MIT
// Where a virtio function has its structures: capabilities of the vendor's kind
// (virtio 1.2, 4.1.4). Rules: pci.h.
#ifndef PCI_VIRTIO_H
#define PCI_VIRTIO_H

#include "pci.h"

#define PCI_VIRTIO_VENDOR     0x1af4u
#define PCI_VIRTIO_BLOCK      0x1042u // 4.1.2: 1040h + the device's type
#define PCI_VIRTIO_BLOCK_BOTH 0x1001u // 4.1.2.1: one that older drivers know too

#define PCI_VIRTIO_COMMON_BYTES 56u

// Part of a memory BAR.
struct pci_virtio_place {
    unsigned bar;
    uint64_t offset, bytes; // 0 bytes: there is none
};

struct pci_virtio {
    struct pci_virtio_place common, notify, device;
    uint32_t notify_multiplier;
};

// Of each structure the first that lies in an assigned memory BAR, aligned as it must be; what does
// not is passed over, as 4.1.4 asks for kinds that are not known. STATUS_INVALID: there is no
// common structure of PCI_VIRTIO_COMMON_BYTES, or no doorbells: no function of virtio 1.
enum status pci_virtio_find(const struct pci_access *access, const struct pci_function *function,
                            struct pci_virtio *found);

#endif
