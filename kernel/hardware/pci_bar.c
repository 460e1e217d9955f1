// SPDX-License-Identifier: MIT
#include "pci_bar.h"

#include "compiler.h"

// Bits of a BAR (PCI 3.0, 6.2.5.1).
#define IO_SPACE      (1u << 0)
#define IO_FLAGS      0x3u
#define MEMORY_TYPE   0x6u
#define TYPE_32       0x0u
#define TYPE_BELOW_1M 0x2u // of PCI 2.1; a 32-bit BAR otherwise
#define TYPE_64       0x4u
#define PREFETCHABLE  (1u << 3)
#define MEMORY_FLAGS  0xfu

#define IO_END     ((uint64_t)1 << 16)
#define MEMORY_END ((uint64_t)1 << 52) // AMD64 vol. 2, 5.1: no physical address is longer

#define DECODING (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)

static unsigned bar_count(uint8_t header)
{
    static const unsigned counts[] = {PCI_BARS, 2, 1};
    return header < ARRAY_COUNT(counts) ? counts[header] : 0;
}

// ---- what must not be switched off -------------------------------------------------------------

// Windows of a bridge (P2P 1.2, 3.2.5).
#define BRIDGE_IO           0x1cu // base, limit behind it; 7:4 are address bits 15:12
#define BRIDGE_IO_UPPER     0x30u
#define BRIDGE_MEMORY       0x20u // 15:4 are address bits 31:20
#define BRIDGE_PREFETCHABLE 0x24u
#define BRIDGE_BASE_UPPER   0x28u
#define BRIDGE_LIMIT_UPPER  0x2cu
#define BRIDGE_CONTROL      0x3eu
#define BRIDGE_CONTROL_VGA  (1u << 3)
#define CLASS_SUBTRACTIVE   0x060401u
#define CLASS_VGA           0x0300u
#define WINDOW_LONG         0x1u // low bits of a base: the upper registers count
#define VGA_MEMORY          0xa0000u
#define VGA_MEMORY_END      0xc0000u
#define VGA_PORTS           0x3b0u
#define VGA_PORTS_END       0x3e0u
#define MEMORY_WINDOW_BYTES ((uint64_t)1 << 20)
#define IO_WINDOW_BYTES     ((uint64_t)1 << 12)

static bool touches(const struct pci_search *search, bool io, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < search->in_use_count; i++) {
        const struct pci_in_use *used = &search->in_use[i];
        if (used->io == io && used->start < end && start < used->end)
            return true;
    }
    return false;
}

static bool touches_vga(const struct pci_search *search)
{
    return touches(search, false, VGA_MEMORY, VGA_MEMORY_END) ||
           touches(search, true, VGA_PORTS, VGA_PORTS_END);
}

// A window is closed if its limit is below its base.
static bool window_touches(const struct pci_search *search, bool io, uint64_t base, uint64_t limit)
{
    const uint64_t last = io ? IO_WINDOW_BYTES : MEMORY_WINDOW_BYTES;
    const uint64_t end = limit > UINT64_MAX - last ? UINT64_MAX : limit + last;
    return base <= limit && touches(search, io, base, end);
}

static bool bridge_touches(const struct pci_search *search, struct pci_address at)
{
    const struct pci_access *access = &search->access;
    const uint16_t io = pci_read16(access, at, BRIDGE_IO);
    const uint32_t io_upper = (io & WINDOW_LONG) != 0 ? pci_read32(access, at, BRIDGE_IO_UPPER) : 0;
    const uint64_t io_base = (uint64_t)(io_upper & 0xffff) << 16 | (io & 0x00f0u) << 8;
    const uint64_t io_limit = (uint64_t)(io_upper >> 16) << 16 | (io & 0xf000u);

    const uint32_t memory = pci_read32(access, at, BRIDGE_MEMORY);
    const uint64_t base = (memory & 0xfff0u) << 16, limit = memory & 0xfff00000u;

    const uint32_t more = pci_read32(access, at, BRIDGE_PREFETCHABLE);
    uint64_t more_base = (more & 0xfff0u) << 16, more_limit = more & 0xfff00000u;
    if ((more & WINDOW_LONG) != 0) {
        more_base |= (uint64_t)pci_read32(access, at, BRIDGE_BASE_UPPER) << 32;
        more_limit |= (uint64_t)pci_read32(access, at, BRIDGE_LIMIT_UPPER) << 32;
    }
    const bool vga = (pci_read16(access, at, BRIDGE_CONTROL) & BRIDGE_CONTROL_VGA) != 0;
    return window_touches(search, true, io_base, io_limit) ||
           window_touches(search, false, base, limit) ||
           window_touches(search, false, more_base, more_limit) || (vga && touches_vga(search));
}

// The most a BAR at `address` can span.
static uint64_t span_most(uint64_t address)
{
    return address & -address;
}

static bool bars_touch(const struct pci_search *search, const struct pci_function *function)
{
    const struct pci_access *access = &search->access;
    for (unsigned i = 0; i < bar_count(function->header); i++) {
        const uint32_t low = pci_read32(access, function->address, PCI_BAR_0 + 4 * i);
        const bool io = (low & IO_SPACE) != 0;
        uint64_t start = low & ~(io ? IO_FLAGS : MEMORY_FLAGS);
        if (!io && (low & MEMORY_TYPE) == TYPE_64 && i + 1 < bar_count(function->header))
            start |= (uint64_t)pci_read32(access, function->address, PCI_BAR_0 + 4 * ++i) << 32;
        const uint64_t span = span_most(start);
        const uint64_t end = span > UINT64_MAX - start ? UINT64_MAX : start + span;
        if (touches(search, io, start, end))
            return true;
    }
    return false;
}

bool pci_bars_may_be_sized(const struct pci_search *search, const struct pci_function *function)
{
    const uint32_t class = function->class_code >> 8;
    if (function->class_code == CLASS_SUBTRACTIVE ||
        (class >> 8 == PCI_CLASS_HOST_BRIDGE >> 8 && class != PCI_CLASS_PCI_BRIDGE))
        return false;
    if (class == CLASS_VGA && touches_vga(search))
        return false;
    if (function->header == PCI_HEADER_BRIDGE && bridge_touches(search, function->address))
        return false;
    return !bars_touch(search, function);
}

// ---- sizing ------------------------------------------------------------------------------------

// What a register reads as found, and with ones written.
struct probe {
    uint32_t found, ones;
    bool restored;
};

static struct probe probe_register(const struct pci_access *access, struct pci_address at,
                                   unsigned offset, bool size)
{
    struct probe probe = {.found = pci_read32(access, at, offset), .restored = true};
    if (!size)
        return probe;
    pci_write32(access, at, offset, UINT32_MAX);
    probe.ones = pci_read32(access, at, offset);
    pci_write32(access, at, offset, probe.found);
    probe.restored = pci_read32(access, at, offset) == probe.found;
    return probe;
}

// The size of a BAR whose address bits are `mask`; 0 if they are no run of ones up to `top`.
static uint64_t size_of(uint64_t mask, uint64_t top)
{
    const uint64_t size = span_most(mask);
    return size != 0 && (mask | (size - 1)) == top ? size : 0;
}

// An address in bits the register does not have, or all of them set: left from sizing.
static void place(struct pci_bar *bar, uint64_t mask)
{
    const uint64_t end = bar->io ? IO_END : bar->wide ? MEMORY_END : (uint64_t)1 << 32;
    const bool outside = bar->address >= end || bar->size > end - bar->address;
    bar->state = bar->address == 0 || outside || bar->address == mask ? PCI_BAR_UNASSIGNED
                                                                      : PCI_BAR_ASSIGNED;
}

static const char *broken(struct pci_bar *bar, const char *problem)
{
    bar->state = PCI_BAR_BROKEN;
    bar->address = bar->size = 0;
    return problem;
}

// Interprets one BAR from its register and, if it is a wide one, the next.
static const char *interpret(struct pci_bar *bar, const struct probe *low, const struct probe *high,
                             bool size)
{
    const uint32_t flags = bar->io ? IO_FLAGS : MEMORY_FLAGS;
    bar->address = (uint64_t)high->found << 32 | (low->found & ~flags);
    if (!size) {
        place(bar, 0);
        return NULL;
    }
    if (!low->restored || !high->restored)
        return broken(bar, "a BAR does not take its address back");
    if ((low->found & flags) != (low->ones & flags))
        return broken(bar, "a BAR changes what it is");
    uint64_t mask = (uint64_t)high->ones << 32 | (low->ones & ~flags);
    // The upper half of a port may be zeros (PCI 3.0, 6.2.5.1, implementation note).
    if (bar->io && mask >> 16 == 0 && mask != 0)
        mask |= 0xffff0000u;
    bar->size = size_of(mask, bar->wide ? UINT64_MAX : UINT32_MAX);
    if (bar->size == 0 || (bar->io && bar->size > IO_END / 2))
        return broken(bar, "a BAR's size is no power of two");
    if ((bar->address & ~mask) != 0)
        return broken(bar, "a BAR's address is not aligned to its size");
    place(bar, bar->io ? mask & 0xffff : mask);
    return NULL;
}

// Reads the BAR in slot `i`; returns how many slots it takes.
static unsigned read_bar(const struct pci_access *access, struct pci_function *function, unsigned i,
                         bool size, const char **problem)
{
    struct pci_bar *bar = &function->bars[i];
    const unsigned offset = PCI_BAR_0 + 4 * i;
    const struct probe low = probe_register(access, function->address, offset, size);
    struct probe high = {.restored = true};
    const char *wrong = NULL;
    unsigned slots = 1;
    if (low.found == 0 && low.ones == 0 && low.restored)
        return slots;
    bar->io = (low.found & IO_SPACE) != 0;
    bar->prefetchable = !bar->io && (low.found & PREFETCHABLE) != 0;
    const uint32_t type = bar->io ? TYPE_32 : low.found & MEMORY_TYPE;
    bar->wide = type == TYPE_64;
    if (bar->wide && i + 1 == bar_count(function->header)) {
        wrong = broken(bar, "a 64-bit BAR in the last slot");
    } else if (bar->io ? (low.found & IO_FLAGS) != IO_SPACE
                       : type != TYPE_32 && type != TYPE_BELOW_1M && type != TYPE_64) {
        wrong = broken(bar, "a BAR of a type that does not exist");
    } else {
        if (bar->wide) {
            high = probe_register(access, function->address, offset + 4, size);
            function->bars[i + 1].state = PCI_BAR_UPPER;
            slots = 2;
        }
        wrong = interpret(bar, &low, &high, size);
    }
    if (wrong != NULL)
        *problem = wrong;
    return slots;
}

const char *pci_bars_read(const struct pci_access *access, struct pci_function *function, bool size)
{
    const struct pci_address at = function->address;
    const uint16_t command = pci_read16(access, at, PCI_COMMAND);
    const char *problem = NULL;
    function->command = command;
    function->sized = size;
    for (unsigned i = 0; i < PCI_BARS; i++)
        function->bars[i] = (struct pci_bar){.state = PCI_BAR_ABSENT};
    if (size && (command & DECODING) != 0) {
        // Sixteen bits: the status register beside it clears what is written to it.
        pci_write16(access, at, PCI_COMMAND, (uint16_t)(command & ~DECODING));
        if ((pci_read16(access, at, PCI_COMMAND) & DECODING) != 0) {
            function->sized = false;
            problem = "decoding of addresses does not go off";
        }
    }
    for (unsigned i = 0; i < bar_count(function->header);)
        i += read_bar(access, function, i, function->sized, &problem);
    if (size && (command & DECODING) != 0) {
        pci_write16(access, at, PCI_COMMAND, command);
        if (pci_read16(access, at, PCI_COMMAND) != command)
            problem = "the command register does not take its value back";
    }
    return problem;
}
