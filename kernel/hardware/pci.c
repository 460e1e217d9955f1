// SPDX-License-Identifier: MIT
#include "pci.h"

#include "compiler.h"
#include "format.h"
#include "pci_bar.h"
#include "pci_capability.h"
#include "pci_msi.h"

#define BUSES     256u
#define DEVICES   32u
#define FUNCTIONS 8u

#define HEADER_SEVERAL 0x80u
#define VENDOR_NONE    0xffffu // nothing answers (PCI 3.0, 6.2.1)
#define VENDOR_NOT_YET 0x0001u // configuration request retry status (PCIe 3.0, 2.3.2)
#define SECONDARY      0x19u   // P2P 1.2, 3.2.5; the same in a CardBus bridge
#define SUBORDINATE    0x1au

// The kind of port in the Express capability's first register (PCIe 3.0, 7.8.2).
#define EXPRESS_FLAGS        2u
#define EXPRESS_KIND(flags)  ((flags) >> 4 & 0xfu)
#define KIND_ROOT_PORT       4u
#define KIND_DOWNSTREAM_PORT 6u

// The buses of one root. A bridge leads to buses above its own only, so that one ascending pass
// over all bus numbers visits everything once and ends, whatever the bridges say.
struct tree {
    const struct pci_search *search;
    struct pci *pci;
    uint16_t segment;
    bool reachable[BUSES];
    bool one_device[BUSES];  // a link has device 0 alone; some devices answer to all numbers
    uint8_t last[BUSES];     // of a reachable bus: where its bridge's range ends
    uint16_t claimed[BUSES]; // 1 + the bus of the deepest bridge so far whose range has this one
    struct pci_function scratch; // looked at when there is no room to record
};

// ---- problems ----------------------------------------------------------------------------------

static void say(const struct pci_search *search, const char *line)
{
    if (search->log != NULL)
        search->log(search->log_context, line);
}

static void problem(struct pci *pci, const struct pci_search *search, struct pci_address at,
                    const char *what)
{
    char line[128];
    pci->problems++;
    if (pci->problems > PCI_LOG_MOST)
        return;
    format(line, sizeof(line), "pci %x:%02x:%02x.%x: %s", at.segment, at.bus, at.device,
           at.function, what);
    say(search, line);
    if (pci->problems == PCI_LOG_MOST)
        say(search, "pci: further problems are counted only");
}

// ---- bridges -----------------------------------------------------------------------------------

// What is wrong with the buses from..to of a bridge on `bus`; NULL: nothing.
static const char *refuse_buses(const struct tree *tree, unsigned bus, unsigned from, unsigned to)
{
    if (from == 0 || to == 0)
        return "a bridge without bus numbers: what is behind it is left out";
    if (from <= bus || to < from || to > tree->last[bus])
        return "a bridge with bus numbers outside its parent's: what is behind it is left out";
    for (unsigned i = from; i <= to; i++) {
        if (tree->claimed[i] == 1 + bus)
            return "a bridge with the bus numbers of another: what is behind it is left out";
    }
    return NULL;
}

static void follow_bridge(struct tree *tree, struct pci_function *function)
{
    const struct pci_access *access = &tree->search->access;
    const struct pci_address at = function->address;
    const uint8_t from = pci_read8(access, at, SECONDARY);
    const uint8_t to = pci_read8(access, at, SUBORDINATE);
    const char *wrong = refuse_buses(tree, at.bus, from, to);
    if (wrong != NULL) {
        problem(tree->pci, tree->search, at, wrong);
        return;
    }
    function->secondary = from;
    function->subordinate = to;
    for (unsigned i = from; i <= to; i++)
        tree->claimed[i] = (uint16_t)(1 + at.bus);
    tree->reachable[from] = true;
    tree->last[from] = to;
    if (function->express != 0) {
        const unsigned kind =
            EXPRESS_KIND(pci_read16(access, at, function->express + EXPRESS_FLAGS));
        tree->one_device[from] = kind == KIND_ROOT_PORT || kind == KIND_DOWNSTREAM_PORT;
    }
}

// ---- functions ---------------------------------------------------------------------------------

static bool answers(uint16_t vendor)
{
    return vendor != VENDOR_NONE && vendor != 0 && vendor != VENDOR_NOT_YET;
}

static void read_capabilities(struct tree *tree, struct pci_function *function)
{
    const struct pci_access *access = &tree->search->access;
    const struct pci_address at = function->address;
    struct pci_capabilities list;
    pci_capabilities_read(access, at, function->header, &list);
    if (list.problem != NULL)
        problem(tree->pci, tree->search, at, list.problem);
    function->msi = (uint8_t)pci_capability_find(&list, PCI_CAPABILITY_MSI);
    function->msix = (uint8_t)pci_capability_find(&list, PCI_CAPABILITY_MSIX);
    function->express = (uint8_t)pci_capability_find(&list, PCI_CAPABILITY_EXPRESS);
    function->msi_vectors = (uint16_t)pci_msi_vectors(access, function);
    function->msix_vectors = (uint16_t)pci_msix_vectors(access, function);
    if (function->express == 0)
        return;
    pci_extended_read(access, at, &list);
    if (list.problem != NULL)
        problem(tree->pci, tree->search, at, list.problem);
    function->extended_count = (uint8_t)list.count;
}

// Looks at a function that answers, and follows it if it is a bridge.
static void examine(struct tree *tree, struct pci_address at, uint32_t ids)
{
    const struct pci_access *access = &tree->search->access;
    struct pci *pci = tree->pci;
    const bool room = pci->count < PCI_FUNCTIONS_MOST;
    struct pci_function *function = room ? &pci->functions[pci->count] : &tree->scratch;
    const uint32_t class = pci_read32(access, at, PCI_CLASS);
    *function = (struct pci_function){
        .address = at,
        .vendor = (uint16_t)ids,
        .device = (uint16_t)(ids >> 16),
        .class_code = class >> 8,
        .revision = (uint8_t) class,
        .header = pci_read8(access, at, PCI_HEADER) & (HEADER_SEVERAL - 1),
        .interrupt_line = pci_read8(access, at, PCI_INTERRUPT_LINE),
        .interrupt_pin = pci_read8(access, at, PCI_INTERRUPT_PIN),
    };
    if (function->header > PCI_HEADER_CARDBUS)
        problem(pci, tree->search, at, "a header of a type that does not exist");
    if (function->interrupt_pin > 4)
        function->interrupt_pin = 0;
    read_capabilities(tree, function);
    if (room) {
        const bool size = pci_bars_may_be_sized(tree->search, function);
        const char *wrong = pci_bars_read(access, function, size);
        if (wrong != NULL)
            problem(pci, tree->search, at, wrong);
    }
    if (pci_read32(access, at, PCI_IDS) != ids) {
        problem(pci, tree->search, at, "answers differently each time: left out");
        return;
    }
    if (function->header == PCI_HEADER_BRIDGE)
        follow_bridge(tree, function);
    if (room)
        pci->count++;
    else
        pci->left_out++;
}

static void search_device(struct tree *tree, unsigned bus, unsigned device)
{
    const struct pci_access *access = &tree->search->access;
    struct pci_address at = {tree->segment, (uint8_t)bus, (uint8_t)device, 0};
    unsigned functions = 1;
    for (unsigned i = 0; i < functions; i++) {
        at.function = (uint8_t)i;
        const uint32_t ids = pci_read32(access, at, PCI_IDS);
        if (answers((uint16_t)ids)) {
            // Function 0 says whether there are others (PCI 3.0, 6.2.1).
            if (i == 0 && (pci_read8(access, at, PCI_HEADER) & HEADER_SEVERAL) != 0)
                functions = FUNCTIONS;
            examine(tree, at, ids);
        } else if ((uint16_t)ids == VENDOR_NOT_YET) {
            problem(tree->pci, tree->search, at, "not ready yet: left out");
        }
    }
}

static void search_root(struct pci *pci, const struct pci_search *search,
                        const struct pci_root *root)
{
    struct tree tree = {.search = search, .pci = pci, .segment = root->segment};
    tree.reachable[root->first] = true;
    tree.last[root->first] = root->last;
    for (unsigned bus = root->first; bus <= root->last; bus++) {
        const unsigned devices = tree.one_device[bus] ? 1 : DEVICES;
        for (unsigned device = 0; tree.reachable[bus] && device < devices; device++)
            search_device(&tree, bus, device);
    }
}

// A root whose buses are those of one before it would be searched twice.
static bool root_is_new(const struct pci_search *search, unsigned index)
{
    const struct pci_root *root = &search->roots[index];
    for (unsigned i = 0; i < index; i++) {
        const struct pci_root *other = &search->roots[i];
        if (other->segment == root->segment && other->first <= root->last &&
            root->first <= other->last)
            return false;
    }
    return root->first <= root->last;
}

void pci_enumerate(struct pci *pci, const struct pci_search *search)
{
    assert(search->roots == NULL || search->root_count <= PCI_ROOTS_MOST);
    pci->count = pci->left_out = pci->problems = 0;
    if (search->roots == NULL) {
        const struct pci_root all = {.segment = 0, .first = 0, .last = BUSES - 1};
        search_root(pci, search, &all);
        return;
    }
    for (unsigned i = 0; i < search->root_count; i++) {
        const struct pci_root *root = &search->roots[i];
        const struct pci_address at = {root->segment, root->first, 0, 0};
        if (root_is_new(search, i))
            search_root(pci, search, root);
        else
            problem(pci, search, at, "a host bridge's buses are none, or another's: left out");
    }
}

const struct pci_function *pci_find(const struct pci *pci, const struct pci_function *after,
                                    uint16_t vendor, uint16_t device)
{
    const struct pci_function *end = &pci->functions[pci->count];
    for (const struct pci_function *at = after == NULL ? pci->functions : after + 1; at < end;
         at++) {
        if (at->vendor == vendor && at->device == device)
            return at;
    }
    return NULL;
}

void pci_command(const struct pci_access *access, struct pci_address at, uint16_t set,
                 uint16_t clear)
{
    const uint16_t command = pci_read16(access, at, PCI_COMMAND);
    pci_write16(access, at, PCI_COMMAND, (uint16_t)((command & ~clear) | set));
}
