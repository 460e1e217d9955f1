// SPDX-License-Identifier: MIT
// The machine's virtio disks, found on PCI and made ready as block devices: a queue for each CPU
// that runs, up to 16 and as far as the disk has them, with a vector for each.
//
// Threads: one at a time, when all CPUs run (queues go by their number) and PCI was enumerated. The
// devices live until the end; nothing is written to them (block_guard.h).
#ifndef VIRTIO_MACHINE_H
#define VIRTIO_MACHINE_H

#include "block.h"
#include "pci.h"

#define VIRTIO_MACHINE_DISKS 2u // made use of

// The disk's function, in the order of the buses; NULL: there are not that many.
const struct pci_function *virtio_machine_find(unsigned index);

// The disk as a block device, the same at every call: it is made at the first. STATUS_EMPTY: there
// is none. STATUS_INVALID: it is no virtio 1 device, or its structures cannot be mapped.
// STATUS_NO_MEMORY: the pool is used up (block_machine.h). STATUS_FAILED: no clock. Or what
// identify said; it has been kept from memory then.
enum status virtio_machine_disk(unsigned index, struct block_device **device);

#endif
