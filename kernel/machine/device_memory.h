// SPDX-License-Identifier: MIT
// A device's registers in memory, as memory_access.h wants them.
#ifndef DEVICE_MEMORY_H
#define DEVICE_MEMORY_H

#include "memory_access.h"

// The registers at [address, address + length), which the caller has mapped one to one, uncached.
// Also for ECAM: AMD's processors ask that its accesses go through EAX (BIOS and Kernel Developer's
// Guide for family 10h, 2.11), and these do.
struct memory_access device_memory(uint64_t address, uint64_t length);

#endif
