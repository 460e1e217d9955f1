// SPDX-License-Identifier: MIT
// The machine's NVMe disks, found on PCI and made ready as block devices: a pair of queues for each
// CPU that runs, up to 16 and as far as the controller has them, with a vector for each. A
// controller's first usable namespace is the disk.
//
// Threads: one at a time, when all CPUs run (queues go by their number) and PCI was enumerated. The
// devices live until the end; nothing is written to them (block_guard.h).
#ifndef NVME_MACHINE_H
#define NVME_MACHINE_H

#include "block.h"
#include "nvme.h"
#include "pci.h"

#define NVME_MACHINE_DISKS 2u // made use of

// The controller's function, in the order of the buses; NULL: there are not that many.
const struct pci_function *nvme_machine_find(unsigned index);

// The disk as a block device, the same at every call: it is made at the first. STATUS_EMPTY: there
// is none. STATUS_INVALID: its registers cannot be mapped. STATUS_NO_MEMORY: the pool is used up
// (block_machine.h). STATUS_FAILED: no clock, or no usable namespace. Or what identify said; it has
// been kept from memory then.
enum status nvme_machine_disk(unsigned index, struct block_device **device);

// Its driver, for those who look closer; once it was made.
const struct nvme *nvme_machine_driver(unsigned index);

#endif
