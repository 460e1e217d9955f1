// SPDX-License-Identifier: MIT
#include "device_memory.h"

static uint32_t read(void *context, uint64_t offset, unsigned bytes)
{
    const uintptr_t at = (uintptr_t)context + offset;
    uint32_t value = 0;
    if (bytes == 1)
        __asm__ volatile("movb (%1), %b0" : "+a"(value) : "r"(at) : "memory");
    else if (bytes == 2)
        __asm__ volatile("movw (%1), %w0" : "+a"(value) : "r"(at) : "memory");
    else
        __asm__ volatile("movl (%1), %0" : "=a"(value) : "r"(at) : "memory");
    return value;
}

static void write(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    const uintptr_t at = (uintptr_t)context + offset;
    if (bytes == 1)
        __asm__ volatile("movb %b0, (%1)" : : "a"(value), "r"(at) : "memory");
    else if (bytes == 2)
        __asm__ volatile("movw %w0, (%1)" : : "a"(value), "r"(at) : "memory");
    else
        __asm__ volatile("movl %0, (%1)" : : "a"(value), "r"(at) : "memory");
}

struct memory_access device_memory(uint64_t address, uint64_t length)
{
    return (struct memory_access){(void *)(uintptr_t)address, length, read, write};
}
