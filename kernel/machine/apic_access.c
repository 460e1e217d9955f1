// SPDX-License-Identifier: MIT
#include "apic_access.h"

#include "x86.h"

#define MSR_DEADLINE 0x6e0u
#define MSR_COMMAND  0x830u

// Aligned words only: every other width is undefined (Intel SDM vol. 3, 11.4.1).
static volatile uint32_t *at(void *page, unsigned offset)
{
    return (volatile uint32_t *)((uintptr_t)page + offset);
}

static uint32_t read(void *page, unsigned offset)
{
    return *at(page, offset);
}

static void write(void *page, unsigned offset, uint32_t value)
{
    *at(page, offset) = value;
}

static uint64_t read_msr(void *page, uint32_t msr)
{
    (void)page;
    return x86_read_msr(msr);
}

static void write_msr(void *page, uint32_t msr, uint64_t value)
{
    (void)page;
    // These WRMSR do not wait for earlier stores: whoever is interrupted must see them, and the
    // timer's mode must be in the register before its deadline (Intel SDM vol.
    // 3, 11.12.3, 11.5.4.1).
    if (msr == MSR_COMMAND || msr == MSR_DEADLINE)
        __asm__ volatile("mfence; lfence" : : : "memory");
    x86_write_msr(msr, value);
}

struct apic_access apic_access(volatile void *page)
{
    return (struct apic_access){
        .context = (void *)(uintptr_t)page,
        .read = read,
        .write = write,
        .read_msr = read_msr,
        .write_msr = write_msr,
    };
}
