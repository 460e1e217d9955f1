// SPDX-License-Identifier: MIT
// A simulated configuration space: functions with registers that keep some of the bits written to
// them, and a device's memory; both notice what hardware would not forgive. One thread.
#ifndef PCI_SPACE_H
#define PCI_SPACE_H

#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "memory_access.h"
#include "pci.h"

#define SPACE_MOST 320u

struct space_function {
    struct pci_address at;
    uint8_t bytes[PCI_BYTES_EXTENDED];
    uint8_t writable[PCI_BYTES_EXTENDED]; // bits that take what is written
    unsigned writes;
};

struct space {
    unsigned count;
    unsigned reach;       // PCI_BYTES or PCI_BYTES_EXTENDED
    uint64_t reads;       // of all functions, present or not
    unsigned unsafe;      // BARs moved while the function decoded addresses
    unsigned visits[256]; // of each bus: reads of the last device's first register
    struct space_function functions[SPACE_MOST];
    // Changes what a register reads; NULL: nothing does.
    uint32_t (*twist)(struct space *space, struct space_function *function, unsigned offset,
                      unsigned bytes, uint32_t value);
    void *twist_context;
};

static inline void space_insist(bool right)
{
    if (!right)
        abort();
}

static inline void space_init(struct space *space)
{
    space->count = space->unsafe = 0;
    space->reads = 0;
    space->reach = PCI_BYTES;
    space->twist = NULL;
    memset(space->visits, 0, sizeof(space->visits));
}

static inline bool space_same(struct pci_address a, struct pci_address b)
{
    return a.segment == b.segment && a.bus == b.bus && a.device == b.device &&
           a.function == b.function;
}

static inline struct space_function *space_find(struct space *space, struct pci_address at)
{
    for (unsigned i = 0; i < space->count; i++) {
        if (space_same(space->functions[i].at, at))
            return &space->functions[i];
    }
    return NULL;
}

static inline uint32_t space_get(const struct space_function *function, unsigned offset,
                                 unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)function->bytes[offset + i] << 8 * i;
    return value;
}

static inline void space_put(struct space_function *function, unsigned offset, unsigned bytes,
                             uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        function->bytes[offset + i] = (uint8_t)(value >> 8 * i);
}

static inline void space_writable(struct space_function *function, unsigned offset, unsigned bytes,
                                  uint32_t bits)
{
    for (unsigned i = 0; i < bytes; i++)
        function->writable[offset + i] = (uint8_t)(bits >> 8 * i);
}

// ---- as struct pci_access ----------------------------------------------------------------------

static inline unsigned space_reach(void *context, struct pci_address at)
{
    (void)at;
    return ((struct space *)context)->reach;
}

static inline void space_check(const struct space *space, struct pci_address at, unsigned offset,
                               unsigned bytes)
{
    space_insist(bytes == 1 || bytes == 2 || bytes == 4);
    space_insist(offset % bytes == 0 && offset + bytes <= space->reach);
    space_insist(at.device < 32 && at.function < 8);
}

static inline uint32_t space_read(void *context, struct pci_address at, unsigned offset,
                                  unsigned bytes)
{
    struct space *space = context;
    space_check(space, at, offset, bytes);
    space->reads++;
    if (at.device == 31 && at.function == 0 && offset == 0)
        space->visits[at.bus]++;
    struct space_function *function = space_find(space, at);
    if (function == NULL)
        return UINT32_MAX >> (32 - 8 * bytes);
    const uint32_t value = space_get(function, offset, bytes);
    return space->twist == NULL ? value : space->twist(space, function, offset, bytes, value);
}

static inline bool space_is_bar(const struct space_function *function, unsigned offset)
{
    static const unsigned ends[] = {0x28, 0x18, 0x14};
    const unsigned header = function->bytes[PCI_HEADER] & 0x7fu;
    return header < 3 && offset >= PCI_BAR_0 && offset < ends[header];
}

static inline void space_write(void *context, struct pci_address at, unsigned offset,
                               unsigned bytes, uint32_t value)
{
    struct space *space = context;
    space_check(space, at, offset, bytes);
    struct space_function *function = space_find(space, at);
    if (function == NULL)
        return;
    function->writes++;
    const uint32_t before = space_get(function, offset, bytes);
    for (unsigned i = 0; i < bytes; i++) {
        uint8_t *byte = &function->bytes[offset + i];
        const uint8_t bits = function->writable[offset + i];
        *byte = (uint8_t)((*byte & ~bits) | (value >> 8 * i & bits));
    }
    // Status bits that are ones are cleared by writing ones (PCI 3.0, 6.2.3).
    for (unsigned i = 0; i < bytes; i++) {
        if (offset + i == PCI_STATUS + 1)
            function->bytes[offset + i] &= (uint8_t) ~(value >> 8 * i & 0xf9);
    }
    if (space_is_bar(function, offset) && space_get(function, offset, bytes) != before &&
        (function->bytes[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)) != 0)
        space->unsafe++;
}

static inline struct pci_access space_access(struct space *space)
{
    return (struct pci_access){space, space_reach, space_read, space_write};
}

// ---- building ----------------------------------------------------------------------------------

#define SPACE_AT(bus, device, function)                                                            \
    (struct pci_address)                                                                           \
    {                                                                                              \
        0, (uint8_t)(bus), (uint8_t)(device), (uint8_t)(function)                                  \
    }

static inline struct space_function *space_add(struct space *space, struct pci_address at,
                                               uint32_t ids, uint32_t class_code)
{
    space_insist(space->count < SPACE_MOST && space_find(space, at) == NULL);
    struct space_function *function = &space->functions[space->count++];
    memset(function, 0, sizeof(*function));
    function->at = at;
    space_put(function, PCI_IDS, 4, ids);
    space_put(function, PCI_CLASS, 4, class_code << 8 | 0x02);
    space_writable(function, PCI_COMMAND, 2, 0x0547);
    space_put(function, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    space_put(function, PCI_STATUS, 2, 0xa900); // errors seen: lost if anybody writes them back
    return function;
}

static inline struct space_function *space_add_bridge(struct space *space, struct pci_address at,
                                                      unsigned secondary, unsigned subordinate)
{
    struct space_function *bridge = space_add(space, at, 0x000c1b36, 0x060400);
    bridge->bytes[PCI_HEADER] = PCI_HEADER_BRIDGE;
    bridge->bytes[0x18] = at.bus;
    bridge->bytes[0x19] = (uint8_t)secondary;
    bridge->bytes[0x1a] = (uint8_t)subordinate;
    space_put(bridge, 0x1c, 2, 0x00f0);     // windows closed: limits below bases
    space_put(bridge, 0x20, 4, 0x0000fff0); // but the I/O window takes 16-bit addresses only
    space_put(bridge, 0x24, 4, 0x0000fff0);
    return bridge;
}

// A register that holds `address` and `flags` and decodes `size`, a power of two.
static inline void space_bar(struct space_function *function, unsigned slot, uint64_t address,
                             uint64_t size, uint32_t flags)
{
    const unsigned offset = PCI_BAR_0 + 4 * slot;
    const uint64_t mask = -size;
    space_put(function, offset, 4, (uint32_t)address | flags);
    space_writable(function, offset, 4, (uint32_t)mask);
    if ((flags & 7) == 4) {
        space_put(function, offset + 4, 4, (uint32_t)(address >> 32));
        space_writable(function, offset + 4, 4, (uint32_t)(mask >> 32));
    }
}

// Puts a capability at `offset` and in front of the list.
static inline void space_capability(struct space_function *function, unsigned offset, uint8_t id)
{
    function->bytes[PCI_STATUS] |= PCI_STATUS_CAPABILITY;
    function->bytes[offset] = id;
    function->bytes[offset + 1] = function->bytes[0x34];
    function->bytes[0x34] = (uint8_t)offset;
}

// ---- a device's memory -------------------------------------------------------------------------

struct space_memory {
    uint8_t *bytes;
    uint64_t length;
    uint64_t stuck_at; // this word takes no write; UINT64_MAX: all do
    unsigned writes;
};

static inline uint32_t space_memory_read(void *context, uint64_t offset, unsigned bytes)
{
    const struct space_memory *memory = context;
    uint32_t value = 0;
    space_insist(bytes == 1 || bytes == 2 || bytes == 4);
    space_insist(offset % bytes == 0 && offset + bytes <= memory->length);
    memcpy(&value, memory->bytes + offset, bytes);
    return value;
}

static inline void space_memory_write(void *context, uint64_t offset, unsigned bytes,
                                      uint32_t value)
{
    struct space_memory *memory = context;
    space_insist(bytes == 1 || bytes == 2 || bytes == 4);
    space_insist(offset % bytes == 0 && offset + bytes <= memory->length);
    memory->writes++;
    if (offset != memory->stuck_at)
        memcpy(memory->bytes + offset, &value, bytes);
}

static inline struct memory_access space_memory_access(struct space_memory *memory)
{
    return (struct memory_access){memory, memory->length, space_memory_read, space_memory_write};
}

// ---- what must hold after every search ---------------------------------------------------------

static inline const char *space_bar_fault(const struct pci_function *function, unsigned slot)
{
    const struct pci_bar *bar = &function->bars[slot];
    const bool power = (bar->size & (bar->size - 1)) == 0;
    if (bar->state == PCI_BAR_UPPER)
        return slot > 0 && function->bars[slot - 1].wide ? NULL : "an upper half of nothing";
    if (!power || (!function->sized && bar->size != 0))
        return "a size that is none";
    if (bar->state != PCI_BAR_ASSIGNED)
        return NULL;
    if (bar->address == 0 || (bar->size != 0 && bar->address % bar->size != 0))
        return "an address that is none";
    if (bar->io ? bar->address + bar->size > 0x10000 : bar->address + bar->size > 1ull << 52)
        return "an address outside";
    return function->sized && bar->size == 0 ? "sized without size" : NULL;
}

// NULL if `pci` holds together and is made of what `space` has. With a twist, numbers may be any.
static inline const char *space_fault(struct space *space, const struct pci *pci)
{
    if (pci->count > PCI_FUNCTIONS_MOST || pci->count + pci->left_out > space->count)
        return "more functions than there are";
    for (unsigned i = 0; i < pci->count; i++) {
        const struct pci_function *function = &pci->functions[i];
        const struct pci_address at = function->address;
        if (space_find(space, at) == NULL)
            return "a function that is none";
        for (unsigned k = 0; k < i; k++) {
            if (space_same(pci->functions[k].address, at))
                return "a function twice";
        }
        if (function->interrupt_pin > 4)
            return "a pin that is none";
        const unsigned offsets[] = {function->msi, function->msix, function->express};
        for (unsigned k = 0; k < ARRAY_COUNT(offsets); k++) {
            if (offsets[k] != 0 && (offsets[k] < 0x40 || offsets[k] % 4 != 0))
                return "a capability in the header";
        }
        if (function->secondary != 0 &&
            (function->secondary <= at.bus || function->subordinate < function->secondary))
            return "a bridge that leads back";
        for (unsigned k = 0; k < PCI_BARS; k++) {
            const char *fault = space_bar_fault(function, k);
            if (fault != NULL)
                return fault;
        }
    }
    for (unsigned i = 0; i < ARRAY_COUNT(space->visits); i++) {
        if (space->visits[i] > 2 || (space->visits[i] > 1 && space->twist == NULL &&
                                     space_find(space, SPACE_AT(i, 31, 0)) == NULL))
            return "a bus twice";
    }
    // Of a device that lies about its command register nobody could tell.
    return space->unsafe != 0 && space->twist == NULL
               ? "a BAR moved while its function decoded addresses"
               : NULL;
}

#endif
