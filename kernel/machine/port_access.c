// SPDX-License-Identifier: MIT
#include "port_access.h"

#include "assert.h"
#include "x86.h"

static uint32_t read(void *context, uint64_t offset, unsigned bytes)
{
    assert(bytes == 1);
    return x86_in8((uint16_t)((uintptr_t)context + offset));
}

static void write(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    assert(bytes == 1);
    x86_out8((uint16_t)((uintptr_t)context + offset), (uint8_t)value);
}

struct memory_access port_access(uint16_t first, uint16_t length)
{
    return (struct memory_access){(void *)(uintptr_t)first, length, read, write};
}
