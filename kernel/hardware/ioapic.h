// SPDX-License-Identifier: MIT
// IO-APICs: they turn the machine's interrupt lines into messages to local APICs. Logic only, over
// ioapic_access.
//
// A line is known by its number among all of the machine's IO-APICs (global system interrupt,
// ACPI 6.5, 5.2.13). Calls for one IO-APIC exclude each other by the caller's lock, taken with
// interrupts masked: a register is reached through an index and a window.
//
// Sources: Intel 82093AA data sheet, 3; ACPI 6.5, 5.2.12.5.
#ifndef IOAPIC_H
#define IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

#define IOAPIC_MOST 16u // IO-APICs of a machine this kernel knows
#define IOAPIC_ENTRIES_MOST                                                                        \
    120u // of one: an index has 8 bits, lines begin at 10h and take two each

// `offset` is 0 (index) or 10h (window) in the page of registers, which is mapped uncached.
struct ioapic_access {
    void *context;
    uint32_t (*read)(void *context, unsigned offset);
    void (*write)(void *context, unsigned offset, uint32_t value);
};

struct ioapic {
    struct ioapic_access access;
    uint32_t first;   // number of its first line
    uint32_t version; // low byte of register 1
    unsigned entries;
};

// A line, and how it signals.
struct ioapic_line {
    uint32_t number;
    bool active_low;
    bool level; // or edge
};

// An entry of MADT: where an interrupt of the ISA bus is connected, and how (ACPI 6.5, 5.2.12.5).
struct ioapic_override {
    uint8_t irq;
    uint32_t line;
    uint16_t flags; // bits 1:0 polarity, 3:2 trigger (table 5.26)
};

// The line of ISA interrupt `irq` (0..15): as an override says, else line `irq`; active high and by
// edges, as that bus is, where the flags leave it to the bus. The first override counts.
struct ioapic_line ioapic_isa_line(unsigned irq, const struct ioapic_override *overrides,
                                   unsigned count);

// Reads what it is and masks all its lines. STATUS_EMPTY: the registers make no sense, or the
// numbers of its lines would wrap around.
enum status ioapic_init(struct ioapic *ioapic, const struct ioapic_access *access, uint32_t first);

// The one of `count` that has line `number`; NULL if none has.
struct ioapic *ioapic_of(struct ioapic *all, unsigned count, uint32_t number);

// Sends what `line` signals to the local APIC `id` as `vector` (32..255) from now on.
// STATUS_INVALID: not a line of this one, or an id it cannot address (8 bits; fewer in old ones);
// the line is masked then.
enum status ioapic_route(struct ioapic *ioapic, struct ioapic_line line, uint8_t vector,
                         uint32_t id);

// Masks a line or lets it through as it was routed. STATUS_INVALID: not a line of this one.
enum status ioapic_mask(struct ioapic *ioapic, uint32_t number, bool masked);

#endif
