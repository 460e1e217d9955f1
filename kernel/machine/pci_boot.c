// SPDX-License-Identifier: MIT
#include "pci_boot.h"

#include "device_memory.h"
#include "format.h"
#include "pci_ports.h"

static struct pci found;
static struct pci_ecam ecam;
static struct pci_access access;

static const char *add_window(const struct pci_boot_window *window)
{
    uint64_t start, length;
    if (pci_ecam_place(window->base, window->first, window->last, &start, &length) != STATUS_OK)
        return "its base or buses make no sense";
    const struct pci_ecam_window added = {window->segment, window->first, window->last,
                                          device_memory(start, length)};
    switch (pci_ecam_add(&ecam, &added)) {
    case STATUS_OK:
        return NULL;
    case STATUS_DOUBLE:
        return "its buses have one already";
    case STATUS_CORRUPT:
        return "it shows other devices than the ports do";
    default:
        return "there is no room for it";
    }
}

void pci_boot(const struct pci_boot_window *windows, unsigned count,
              const struct pci_in_use *console, void (*log)(void *context, const char *line),
              void *context)
{
    const struct pci_access none = {NULL, NULL, NULL, NULL};
    struct pci_root roots[PCI_ROOTS_MOST];
    pci_ecam_init(&ecam, pci_ports_present() ? pci_ports_access() : none);
    for (unsigned i = 0; i < count; i++) {
        const char *wrong = add_window(&windows[i]);
        if (wrong != NULL && log != NULL) {
            char line[128];
            format(line, sizeof(line), "pci: window at %lx is not used: %s", windows[i].base,
                   wrong);
            log(context, line);
        }
    }
    access = pci_ecam_access(&ecam);
    const struct pci_search search = {
        .access = access,
        .roots = roots,
        .root_count = pci_ecam_roots(&ecam, roots),
        .in_use = console,
        .in_use_count = 1,
        .log = log,
        .log_context = context,
    };
    pci_enumerate(&found, &search);
}

const struct pci *pci_boot_found(void)
{
    return &found;
}

const struct pci_access *pci_boot_access(void)
{
    return &access;
}
