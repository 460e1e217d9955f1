// SPDX-License-Identifier: MIT
// PCI on any configuration space: the search ends, what it found holds together, everything is as
// it was; MSI and MSI-X of what was found stay inside it. Input (make_pci_corpus.py writes such):
//   flags: 1 registers may read anything, from the rest; 2 extended space
//   for each function: bus; device and function; six sizes of BARs (bits 5:0: logarithm of the
//   size, 0: no bit takes writes); length, 16 bits; so many bytes of its space, zeros behind
//   and, with flag 1, what is mixed into what is read
#include <stdio.h>
#include <string.h>

#include "pci_describe.h"
#include "pci_msi.h"
#include "pci_serial.h"
#include "pci_space.h"

#define MOST   40u // functions
#define MIXED  1u
#define LONG   2u
#define PREFIX 10u

struct input {
    const uint8_t *bytes;
    size_t length;
};

static struct space space;
static uint8_t before[MOST][PCI_BYTES_EXTENDED];

static uint8_t take(struct input *input)
{
    if (input->length == 0)
        return 0;
    input->length--;
    return *input->bytes++;
}

static uint32_t mix(struct space *mixed, struct space_function *function, unsigned offset,
                    unsigned bytes, uint32_t value)
{
    struct input *input = mixed->twist_context;
    (void)function;
    (void)offset;
    const uint8_t what = take(input);
    if (what < 0xc0)
        return value;
    const uint32_t other = what == 0xff ? UINT32_MAX : what * 0x01010101u ^ take(input);
    return other & UINT32_MAX >> (32 - 8 * bytes);
}

// Puts one function there; false at the end of the input.
static bool build(struct input *input, bool wide)
{
    if (input->length < PREFIX || space.count == MOST)
        return false;
    const uint8_t bus = take(input), place = take(input);
    const struct pci_address at = SPACE_AT(bus, place >> 3, place & 7);
    if (space_find(&space, at) != NULL)
        return false;
    struct space_function *function = space_add(&space, at, 0, 0);
    space_writable(function, PCI_COMMAND, 2, 0x07ff);
    uint8_t sizes[PCI_BARS];
    for (unsigned i = 0; i < PCI_BARS; i++)
        sizes[i] = take(input) & 63;
    size_t length = take(input);
    length |= (size_t)take(input) << 8;
    length = min_u64(length, min_u64(input->length, wide ? PCI_BYTES_EXTENDED : PCI_BYTES));
    for (size_t i = 0; i < length; i++)
        function->bytes[i] = take(input);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        const unsigned offset = PCI_BAR_0 + 4 * i;
        const uint64_t mask = sizes[i] != 0 ? -((uint64_t)1 << sizes[i]) : 0;
        if (!space_is_bar(function, offset))
            break;
        space_writable(function, offset, 4, (uint32_t)mask);
        if ((function->bytes[offset] & 7) == 4 && space_is_bar(function, offset + 4)) {
            space_writable(function, offset + 4, 4, (uint32_t)(mask >> 32));
            i++;
        }
    }
    return true;
}

static void take_line(void *context, const char *line)
{
    ++*(unsigned *)context;
    space_insist(strlen(line) < 128);
}

static void take_fact(void *context, const char *key, const char *value)
{
    ++*(unsigned *)context;
    const size_t length = strlen(value);
    space_insist(strlen(key) < 32 && length > 0 && length <= PCI_VALUE_MOST);
    for (size_t i = 0; i < length; i++)
        space_insist(value[i] >= ' ' && value[i] <= '~');
}

static void interrupt(const struct pci_function *function, struct pci_access access)
{
    struct pci_msi msi;
    struct pci_msix msix;
    if (pci_msi_open(&msi, &access, function) == STATUS_OK) {
        (void)pci_msi_route(&msi, 0x40, 1);
        pci_msi_enable(&msi, true);
        (void)pci_msi_mask(&msi, true);
        (void)pci_msi_pending(&msi);
    }
    if (pci_msix_open(&msix, &access, function) != STATUS_OK)
        return;
    space_insist(msix.entries > 0 && msix.entries <= PCI_MSIX_ENTRIES);
    // Exactly as long as asked for: the sanitizer sees what lies beyond.
    struct space_memory table = {calloc(1, msix.table_bytes), msix.table_bytes, UINT64_MAX, 0};
    struct space_memory pending = {calloc(1, msix.pending_bytes), msix.pending_bytes, UINT64_MAX,
                                   0};
    space_insist(pci_msix_attach(&msix, space_memory_access(&table),
                                 space_memory_access(&pending)) == STATUS_OK);
    space_insist(pci_msix_route(&msix, msix.entries - 1, 0x41, 2) == STATUS_OK);
    pci_msix_mask(&msix, msix.entries - 1, false);
    space_insist(!pci_msix_pending(&msix, msix.entries - 1));
    pci_msix_enable(&msix, true);
    free(table.bytes);
    free(pending.bytes);
}

static void look_for_serial_ports(const struct pci *pci)
{
    const struct pci_function *at = NULL, *before_it = NULL;
    struct serial_place place;
    while ((at = pci_serial_find(pci, at, &place)) != NULL) {
        space_insist((before_it == NULL || at > before_it) && at < pci->functions + pci->count);
        before_it = at;
        space_insist(at->class_code >> 8 == PCI_CLASS_SERIAL);
        if (!place.memory)
            space_insist(place.address != 0 && place.address % SERIAL_PLACE_REGISTERS == 0 &&
                         place.address <= UINT16_MAX);
        else if (pci_serial_apart(at, &place))
            space_insist(place.address % place.width == 0);
        space_insist(place.address <= UINT64_MAX - serial_place_bytes(&place));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pci pci;
    static const struct pci_in_use used[] = {{true, 0x3f8, 0x400}, {false, 0xe0000000, 0xe0001000}};
    struct input input = {data, size};
    const uint8_t flags = take(&input);
    unsigned lines = 0, facts = 0;
    space_init(&space);
    space.reach = (flags & LONG) != 0 ? PCI_BYTES_EXTENDED : PCI_BYTES;
    while (build(&input, (flags & LONG) != 0))
        continue;
    for (unsigned i = 0; i < space.count; i++)
        memcpy(before[i], space.functions[i].bytes, PCI_BYTES_EXTENDED);
    if ((flags & MIXED) != 0) {
        space.twist = mix;
        space.twist_context = &input;
    }
    const struct pci_search search = {
        .access = space_access(&space),
        .in_use = used,
        .in_use_count = ARRAY_COUNT(used),
        .log = take_line,
        .log_context = &lines,
    };
    pci_enumerate(&pci, &search);
    space_insist(space_fault(&space, &pci) == NULL);
    space_insist(lines <= PCI_LOG_MOST + 1 && (lines > 0) == (pci.problems > 0));
    for (unsigned i = 0; i < space.count && space.twist == NULL; i++)
        space_insist(memcmp(before[i], space.functions[i].bytes, PCI_BYTES_EXTENDED) == 0);
    pci_describe(&pci, take_fact, &facts);
    space_insist(facts >= 1 + pci.count);
    for (unsigned i = 0; i < pci.count; i++)
        interrupt(&pci.functions[i], search.access);
    look_for_serial_ports(&pci);
    return 0;
}
