// SPDX-License-Identifier: MIT
// The machine's NVMe disks (block_machine.h). A controller's first usable namespace is the disk.
#ifndef NVME_MACHINE_H
#define NVME_MACHINE_H

#include "block_machine.h"

extern const struct block_machine_kind nvme_machine_disks;

#endif
