// SPDX-License-Identifier: MIT
// What the tests of PCI share: one simulated space, one search of it, and what that logged.
#ifndef PCI_FIXTURE_H
#define PCI_FIXTURE_H

#include <check.h>
#include <stdio.h>

#include "pci.h"
#include "pci_space.h"

#define DISK  0x00101b36u // device << 16 | vendor
#define NVME  0x010802u
#define OTHER 0xff0000u

static struct space space; // too large for a stack
static struct pci pci;
static unsigned lines;
static char last_line[256], all_lines[8192];

static inline void take_line(void *context, const char *line)
{
    ck_assert_ptr_eq(context, &lines);
    lines++;
    ck_assert_uint_lt(strlen(line), 128);
    snprintf(last_line, sizeof(last_line), "%s", line);
    const size_t used = strlen(all_lines);
    snprintf(all_lines + used, sizeof(all_lines) - used, "%s\n", line);
}

static inline struct pci_search searched(void)
{
    return (struct pci_search){
        .access = space_access(&space), .log = take_line, .log_context = &lines};
}

static inline void enumerate_roots(const struct pci_root *roots, unsigned count)
{
    struct pci_search search = searched();
    search.roots = roots;
    search.root_count = count;
    lines = 0;
    last_line[0] = all_lines[0] = '\0';
    memset(space.visits, 0, sizeof(space.visits));
    memset(&pci, 0xee, sizeof(pci));
    pci_enumerate(&pci, &search);
    const char *fault = space_fault(&space, &pci);
    ck_assert_msg(fault == NULL, "%s", fault);
}

static inline void enumerate(void)
{
    enumerate_roots(NULL, 0);
}

static inline const struct pci_function *found(unsigned bus, unsigned device, unsigned function)
{
    for (unsigned i = 0; i < pci.count; i++) {
        if (space_same(pci.functions[i].address, SPACE_AT(bus, device, function)))
            return &pci.functions[i];
    }
    return NULL;
}

static inline bool logged(const char *what)
{
    return strstr(all_lines, what) != NULL;
}

#endif
