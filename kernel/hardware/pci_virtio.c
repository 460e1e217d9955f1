// SPDX-License-Identifier: MIT
#include "pci_virtio.h"

#include "pci_capability.h"

#define VENDOR_CAPABILITY 0x09u

// 4.1.4: fields of the capability
#define LENGTH       2u
#define KIND         3u
#define BAR          4u
#define OFFSET       8u
#define BYTES        12u
#define HEADER_BYTES 16u
#define MULTIPLIER   16u // of doorbells only
#define NOTIFY_BYTES 20u

enum kind { COMMON = 1, NOTIFY = 2, DEVICE = 4 };

// False if what the capability says is not to be used.
static bool read_place(const struct pci_access *access, const struct pci_function *function,
                       unsigned at, unsigned alignment, struct pci_virtio_place *place)
{
    const struct pci_address where = function->address;
    const unsigned bar = pci_read8(access, where, at + BAR);
    const uint64_t offset = pci_read32(access, where, at + OFFSET);
    const uint64_t bytes = pci_read32(access, where, at + BYTES);
    if (bar >= PCI_BARS || bytes == 0 || offset % alignment != 0)
        return false;
    const struct pci_bar *found = &function->bars[bar];
    if (found->state != PCI_BAR_ASSIGNED || found->io || found->size < bytes ||
        offset > found->size - bytes)
        return false;
    *place = (struct pci_virtio_place){bar, offset, bytes};
    return true;
}

static void read_capability(const struct pci_access *access, const struct pci_function *function,
                            unsigned at, struct pci_virtio *found)
{
    struct pci_virtio_place place;
    const unsigned length = pci_read8(access, function->address, at + LENGTH);
    const unsigned kind = pci_read8(access, function->address, at + KIND);
    const bool notify = kind == NOTIFY && length >= NOTIFY_BYTES && at + NOTIFY_BYTES <= PCI_BYTES;
    if (length < HEADER_BYTES || (kind != COMMON && kind != DEVICE && !notify) ||
        !read_place(access, function, at, notify ? 2 : 4, &place))
        return;
    if (kind == COMMON && found->common.bytes == 0 && place.bytes >= PCI_VIRTIO_COMMON_BYTES)
        found->common = place;
    if (kind == DEVICE && found->device.bytes == 0)
        found->device = place;
    if (notify && found->notify.bytes == 0) {
        found->notify = place;
        found->notify_multiplier = pci_read32(access, function->address, at + MULTIPLIER);
    }
}

enum status pci_virtio_find(const struct pci_access *access, const struct pci_function *function,
                            struct pci_virtio *found)
{
    struct pci_capabilities list;
    *found = (struct pci_virtio){0};
    pci_capabilities_read(access, function->address, function->header, &list);
    for (unsigned i = 0; i < list.count; i++) {
        const struct pci_capability *entry = &list.entries[i];
        if (entry->id == VENDOR_CAPABILITY && entry->offset + HEADER_BYTES <= PCI_BYTES)
            read_capability(access, function, entry->offset, found);
    }
    return found->common.bytes > 0 && found->notify.bytes > 0 ? STATUS_OK : STATUS_INVALID;
}
