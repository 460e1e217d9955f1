// SPDX-License-Identifier: MIT
// A device's registers, or a table in its memory, as functions: the machine puts mapped memory
// behind them, a test puts a model.
#ifndef MEMORY_ACCESS_H
#define MEMORY_ACCESS_H

#include <stdint.h>

// `offset` is a multiple of `bytes` (1, 2 or 4), offset + bytes <= length: the caller's duty.
// Each call is one access of that width, in program order. Threads: as the device allows.
struct memory_access {
    void *context;
    uint64_t length; // bytes that may be accessed
    uint32_t (*read)(void *context, uint64_t offset, unsigned bytes);
    void (*write)(void *context, uint64_t offset, unsigned bytes, uint32_t value);
};

#endif
