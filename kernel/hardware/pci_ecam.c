// SPDX-License-Identifier: MIT
#include "pci_ecam.h"

#include "compiler.h"

#define DEVICES 32u

static unsigned buses(uint8_t first, uint8_t last)
{
    return (unsigned)last - first + 1;
}

enum status pci_ecam_place(uint64_t base, uint8_t first, uint8_t last, uint64_t *start,
                           uint64_t *length)
{
    const uint64_t end = base + (uint64_t)(last + 1u) * PCI_ECAM_BUS_BYTES;
    if (first > last || base == 0 || base % PCI_ECAM_BUS_BYTES != 0 || end < base)
        return STATUS_INVALID;
    *start = base + first * PCI_ECAM_BUS_BYTES;
    *length = buses(first, last) * PCI_ECAM_BUS_BYTES;
    return STATUS_OK;
}

void pci_ecam_init(struct pci_ecam *ecam, struct pci_access below)
{
    ecam->count = 0;
    ecam->below = below;
}

static uint64_t place(const struct pci_ecam_window *window, struct pci_address at, unsigned offset)
{
    return (at.bus - window->first) * PCI_ECAM_BUS_BYTES | (uint64_t)at.device << 15 |
           (uint64_t)at.function << 12 | offset;
}

static uint32_t window_read(const struct pci_ecam_window *window, struct pci_address at,
                            unsigned offset, unsigned bytes)
{
    return window->memory.read(window->memory.context, place(window, at, offset), bytes);
}

static bool agrees(const struct pci_ecam *ecam, const struct pci_ecam_window *window)
{
    const struct pci_access *below = &ecam->below;
    struct pci_address at = {window->segment, window->first, 0, 0};
    if (below->reach == NULL || below->reach(below->context, at) == 0)
        return true;
    for (unsigned i = 0; i < DEVICES; i++) {
        at.device = (uint8_t)i;
        if (pci_read32(below, at, PCI_IDS) != window_read(window, at, PCI_IDS, 4))
            return false;
    }
    return true;
}

enum status pci_ecam_add(struct pci_ecam *ecam, const struct pci_ecam_window *window)
{
    if (window->first > window->last ||
        window->memory.length < buses(window->first, window->last) * PCI_ECAM_BUS_BYTES)
        return STATUS_INVALID;
    for (unsigned i = 0; i < ecam->count; i++) {
        const struct pci_ecam_window *other = &ecam->windows[i];
        if (other->segment == window->segment && other->first <= window->last &&
            window->first <= other->last)
            return STATUS_DOUBLE;
    }
    if (ecam->count == PCI_WINDOWS_MOST)
        return STATUS_TOO_LARGE;
    if (!agrees(ecam, window))
        return STATUS_CORRUPT;
    ecam->windows[ecam->count++] = *window;
    return STATUS_OK;
}

static const struct pci_ecam_window *find(const struct pci_ecam *ecam, struct pci_address at)
{
    for (unsigned i = 0; i < ecam->count; i++) {
        const struct pci_ecam_window *window = &ecam->windows[i];
        if (window->segment == at.segment && window->first <= at.bus && at.bus <= window->last)
            return window;
    }
    return NULL;
}

static unsigned reach(void *context, struct pci_address at)
{
    const struct pci_ecam *ecam = context;
    if (find(ecam, at) != NULL)
        return PCI_BYTES_EXTENDED;
    return ecam->below.reach != NULL ? ecam->below.reach(ecam->below.context, at) : 0;
}

static uint32_t read(void *context, struct pci_address at, unsigned offset, unsigned bytes)
{
    const struct pci_ecam *ecam = context;
    const struct pci_ecam_window *window = find(ecam, at);
    return window != NULL ? window_read(window, at, offset, bytes)
                          : ecam->below.read(ecam->below.context, at, offset, bytes);
}

static void write(void *context, struct pci_address at, unsigned offset, unsigned bytes,
                  uint32_t value)
{
    const struct pci_ecam *ecam = context;
    const struct pci_ecam_window *window = find(ecam, at);
    if (window != NULL)
        window->memory.write(window->memory.context, place(window, at, offset), bytes, value);
    else
        ecam->below.write(ecam->below.context, at, offset, bytes, value);
}

struct pci_access pci_ecam_access(struct pci_ecam *ecam)
{
    return (struct pci_access){ecam, reach, read, write};
}

unsigned pci_ecam_roots(const struct pci_ecam *ecam, struct pci_root roots[PCI_ROOTS_MOST])
{
    unsigned count = 1;
    roots[0] = (struct pci_root){.segment = 0, .first = 0, .last = UINT8_MAX};
    for (unsigned i = 0; i < ecam->count; i++) {
        const struct pci_ecam_window *window = &ecam->windows[i];
        const bool zero = window->segment == 0;
        if (zero && window->first == 0)
            continue;
        if (zero)
            roots[0].last = (uint8_t)min_u64(roots[0].last, window->first - 1u);
        roots[count++] = (struct pci_root){window->segment, window->first, window->last};
    }
    return count;
}
