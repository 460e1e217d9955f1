// SPDX-License-Identifier: MIT
// The machine's virtio disks (block_machine.h).
#ifndef VIRTIO_MACHINE_H
#define VIRTIO_MACHINE_H

#include "block_machine.h"

extern const struct block_machine_kind virtio_machine_disks;

#endif
