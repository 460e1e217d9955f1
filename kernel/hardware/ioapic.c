// SPDX-License-Identifier: MIT
// Registers: Intel 82093AA data sheet, 3.1 and 3.2.
#include "ioapic.h"

#include <stddef.h>

#include "assert.h"

#define INDEX  0x00u
#define WINDOW 0x10u

#define VERSION     1u
#define ENTRY_LOW   0x10u // two registers for each line
#define ENTRY_HIGH  0x11u // destination in bits 31:24
#define NO_REGISTER 0xffffffffu

#define ENTRY_ACTIVE_LOW 0x2000u
#define ENTRY_LEVEL      0x8000u
#define ENTRY_MASKED     0x10000u

#define ID_BROADCAST 255u
#define VECTOR_LEAST 32u
#define ISA_MOST     15u

// Flags of MADT (ACPI 6.5, table 5.26); 0: as the bus does, 2: reserved.
#define FLAGS_POLARITY   0x3u
#define FLAGS_ACTIVE_LOW 0x3u
#define FLAGS_TRIGGER    0xcu
#define FLAGS_LEVEL      0xcu

static uint32_t get(const struct ioapic *ioapic, uint32_t number)
{
    ioapic->access.write(ioapic->access.context, INDEX, number);
    return ioapic->access.read(ioapic->access.context, WINDOW);
}

static void put(const struct ioapic *ioapic, uint32_t number, uint32_t value)
{
    ioapic->access.write(ioapic->access.context, INDEX, number);
    ioapic->access.write(ioapic->access.context, WINDOW, value);
}

struct ioapic_line ioapic_isa_line(unsigned irq, const struct ioapic_override *overrides,
                                   unsigned count)
{
    assert(irq <= ISA_MOST);
    for (unsigned i = 0; i < count; i++) {
        if (overrides[i].irq == irq)
            return (struct ioapic_line){
                .number = overrides[i].line,
                .active_low = (overrides[i].flags & FLAGS_POLARITY) == FLAGS_ACTIVE_LOW,
                .level = (overrides[i].flags & FLAGS_TRIGGER) == FLAGS_LEVEL,
            };
    }
    return (struct ioapic_line){.number = irq};
}

enum status ioapic_init(struct ioapic *ioapic, const struct ioapic_access *access, uint32_t first)
{
    *ioapic = (struct ioapic){.access = *access, .first = first};
    const uint32_t version = get(ioapic, VERSION);
    const unsigned entries = (version >> 16 & 0xff) + 1;
    // Where nothing answers, all bits read as ones or as zeros.
    if (version == 0 || version == NO_REGISTER || entries > IOAPIC_ENTRIES_MOST ||
        first > UINT32_MAX - entries)
        return STATUS_EMPTY;
    ioapic->version = version & 0xff;
    ioapic->entries = entries;
    // Also ends what waits for the end of an interrupt by level: such an entry forgets it when it
    // is set to edges.
    for (unsigned i = 0; i < entries; i++)
        put(ioapic, ENTRY_LOW + 2 * i, ENTRY_MASKED);
    return STATUS_OK;
}

static bool has(const struct ioapic *ioapic, uint32_t number)
{
    return number >= ioapic->first && number - ioapic->first < ioapic->entries;
}

struct ioapic *ioapic_of(struct ioapic *all, unsigned count, uint32_t number)
{
    for (unsigned i = 0; i < count; i++) {
        if (has(&all[i], number))
            return &all[i];
    }
    return NULL;
}

enum status ioapic_route(struct ioapic *ioapic, struct ioapic_line line, uint8_t vector,
                         uint32_t id)
{
    assert(vector >= VECTOR_LEAST);
    if (!has(ioapic, line.number))
        return STATUS_INVALID;
    const uint32_t at = 2 * (line.number - ioapic->first);
    // Masked first: between two writes the entry is half the old one.
    put(ioapic, ENTRY_LOW + at, ENTRY_MASKED);
    if (id >= ID_BROADCAST)
        return STATUS_INVALID;
    put(ioapic, ENTRY_HIGH + at, id << 24);
    if (get(ioapic, ENTRY_HIGH + at) >> 24 != id)
        return STATUS_INVALID;
    put(ioapic, ENTRY_LOW + at,
        vector | (line.active_low ? ENTRY_ACTIVE_LOW : 0) | (line.level ? ENTRY_LEVEL : 0));
    return STATUS_OK;
}

enum status ioapic_mask(struct ioapic *ioapic, uint32_t number, bool masked)
{
    if (!has(ioapic, number))
        return STATUS_INVALID;
    const uint32_t at = ENTRY_LOW + 2 * (number - ioapic->first);
    const uint32_t entry = get(ioapic, at) & ~ENTRY_MASKED;
    // An entry that was never routed has no vector to send.
    if (!masked && (entry & 0xff) < VECTOR_LEAST)
        return STATUS_INVALID;
    put(ioapic, at, entry | (masked ? ENTRY_MASKED : 0));
    return STATUS_OK;
}
