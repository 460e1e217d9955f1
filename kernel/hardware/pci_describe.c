// SPDX-License-Identifier: MIT
#include "pci_describe.h"

#include <stdarg.h>

#include "compiler.h"
#include "format.h"

#define KEY_MOST 32u

// A line that grows; cut when it is full.
struct text {
    char bytes[PCI_VALUE_MOST + 1];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *how, ...)
{
    va_list arguments;
    va_start(arguments, how);
    text->length +=
        format_list(text->bytes + text->length, sizeof(text->bytes) - text->length, how, arguments);
    va_end(arguments);
}

// PCI Code and ID Assignment Specification 1.6: class << 16 | subclass << 8 | interface. The first
// row whose bits fit.
static const char *class_name(uint32_t class_code)
{
    static const struct {
        uint32_t mask, code;
        const char *name;
    } classes[] = {
        {0xffffff, 0x010601, "ahci"},   {0xffffff, 0x010802, "nvme"},
        {0xffff00, 0x010100, "ide"},    {0xff0000, 0x010000, "disk"},
        {0xff0000, 0x020000, "net"},    {0xff0000, 0x030000, "display"},
        {0xff0000, 0x040000, "sound"},  {0xffff00, 0x060000, "host"},
        {0xffff00, 0x060100, "isa"},    {0xffff00, 0x060400, "bridge"},
        {0xffff00, 0x070000, "serial"}, {0xffff00, 0x0c0300, "usb"},
        {0xffff00, 0x0c0500, "smbus"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(classes); i++) {
        if ((class_code & classes[i].mask) == classes[i].code)
            return classes[i].name;
    }
    return "other";
}

static void add_bar(struct text *text, unsigned slot, const struct pci_bar *bar, bool first)
{
    add(text, "%s%u:", first ? " bars=" : ",", slot);
    if (bar->state == PCI_BAR_BROKEN) {
        add(text, "broken");
        return;
    }
    add(text, "%s%s@", bar->io ? "io" : bar->wide ? "m64" : "m32", bar->prefetchable ? "p" : "");
    if (bar->state == PCI_BAR_ASSIGNED)
        add(text, "%lx", bar->address);
    else
        add(text, "none");
    if (bar->size != 0)
        add(text, "+%lx", bar->size);
}

static void describe(struct text *text, const struct pci_function *function)
{
    bool first = true;
    text->length = 0;
    add(text, "%04x:%04x class %06x %s", function->vendor, function->device, function->class_code,
        class_name(function->class_code));
    if (function->secondary != 0)
        add(text, " bus=%02x-%02x", function->secondary, function->subordinate);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        const struct pci_bar *bar = &function->bars[i];
        if (bar->state == PCI_BAR_ABSENT || bar->state == PCI_BAR_UPPER)
            continue;
        add_bar(text, i, bar, first);
        first = false;
    }
    if (function->msi_vectors != 0)
        add(text, " msi=%u", function->msi_vectors);
    if (function->msix_vectors != 0)
        add(text, " msix=%u", function->msix_vectors);
}

void pci_describe(const struct pci *pci,
                  void (*emit)(void *context, const char *key, const char *value), void *context)
{
    struct text text = {.length = 0};
    char key[KEY_MOST];
    format(text.bytes, sizeof(text.bytes), "%u", pci->count);
    emit(context, "pci.functions", text.bytes);
    if (pci->left_out != 0) {
        format(text.bytes, sizeof(text.bytes), "%u", pci->left_out);
        emit(context, "pci.left_out", text.bytes);
    }
    if (pci->problems != 0) {
        format(text.bytes, sizeof(text.bytes), "%u", pci->problems);
        emit(context, "pci.problems", text.bytes);
    }
    for (unsigned i = 0; i < pci->count; i++) {
        const struct pci_function *function = &pci->functions[i];
        format(key, sizeof(key), "pci.%x:%02x:%02x.%x", function->address.segment,
               function->address.bus, function->address.device, function->address.function);
        describe(&text, function);
        emit(context, key, text.bytes);
    }
}
