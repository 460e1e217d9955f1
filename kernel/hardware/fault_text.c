// SPDX-License-Identifier: MIT
// The error code: Intel SDM vol. 3, 4.7; AMD64 vol. 2, 8.4.2.
#include "fault_text.h"

#include "compiler.h"
#include "format.h"

#define FAULT_PRESENT        ((uint64_t)1 << 0)
#define FAULT_WRITE          ((uint64_t)1 << 1)
#define FAULT_RESERVED       ((uint64_t)1 << 3)
#define FAULT_FETCH          ((uint64_t)1 << 4)
#define FAULT_PROTECTION_KEY ((uint64_t)1 << 5)
#define FAULT_SHADOW_STACK   ((uint64_t)1 << 6)
#define FAULT_ENCLAVE        ((uint64_t)1 << 15)

static const char *reason_of(uint64_t error, uint64_t address)
{
    if (error & FAULT_RESERVED)
        return "a reserved bit is set in the page tables";
    if (error & FAULT_PROTECTION_KEY)
        return "forbidden by its protection key";
    if (error & FAULT_SHADOW_STACK)
        return "wrong for a shadow stack";
    if (error & FAULT_ENCLAVE)
        return "forbidden by an enclave";
    if (error & FAULT_PRESENT)
        return "not permitted";
    return address < PAGE_SIZE ? "a null pointer" : "not mapped";
}

size_t fault_text(char *text, size_t capacity, uint64_t error, uint64_t address,
                  const struct stack *stack)
{
    const char *access = error & FAULT_FETCH   ? "execution of"
                         : error & FAULT_WRITE ? "write to"
                                               : "read of";
    if (stack == NULL || address >= stack->bottom)
        return format(text, capacity, "page fault: %s %lx, %s", access, address,
                      reason_of(error, address));
    if (stack->cpu == STACK_NO_CPU)
        return format(text, capacity, "stack overflow of thread %s: %s %lx below its stack",
                      stack->name, access, address);
    return format(text, capacity, "stack overflow of CPU %lu: %s %lx below the %s stack",
                  stack->cpu, access, address, stack->name);
}
