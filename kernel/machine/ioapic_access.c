// SPDX-License-Identifier: MIT
#include "ioapic_access.h"

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

struct ioapic_access ioapic_access(volatile void *page)
{
    return (struct ioapic_access){.context = (void *)(uintptr_t)page, .read = read, .write = write};
}
