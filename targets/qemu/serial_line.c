// SPDX-License-Identifier: MIT
#include "serial_line.h"

#include "boot_log.h"
#include "compiler.h"
#include "format.h"
#include "hpet.h"
#include "kernel.h"
#include "pci_boot.h"
#include "pci_serial.h"
#include "string.h"

// Where the ports of a PC are by custom.
static const struct {
    const char *name;
    uint16_t port;
} usual[] = {{"com1", 0x3f8}, {"com2", 0x2f8}, {"com3", 0x3e8}, {"com4", 0x2e8}};

// Of SPCR's interface types (Microsoft's "Serial Port Console Redirection Table", revision 1.08).
#define SPCR_16550       0u
#define SPCR_16550_PARTS 1u
#define SPCR_16550_GAS   0x12u

void serial_line_init(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(usual); i++) {
        if (uart_init(&kernel.line, usual[i].port, hpet_ns))
            return;
    }
    kernel.line.port = usual[0].port;
}

bool serial_line_choose(const char *arguments)
{
    char word[8];
    if (!string_option(arguments, "line", word, sizeof(word)))
        return true;
    for (unsigned i = 0; i < ARRAY_COUNT(usual); i++) {
        if (string_equal(word, usual[i].name)) {
            uart_init(&kernel.line, usual[i].port, hpet_ns);
            return true;
        }
    }
    return false;
}

void serial_line_find_console(void)
{
    const struct acpi_serial *told = &kernel.acpi.devices.serial;
    const uint64_t port = told->registers.address;
    const bool known = told->interface == SPCR_16550 || told->interface == SPCR_16550_PARTS ||
                       told->interface == SPCR_16550_GAS;
    if (kernel.line.present || !known || told->registers.space != ACPI_SPACE_PORT ||
        port > UINT16_MAX + 1u - PCI_SERIAL_PORTS)
        return;
    if (!uart_init(&kernel.line, (uint16_t)port, hpet_ns))
        boot_log("SPCR: nothing answers at the serial port %lx", port);
}

void serial_line_find_card(void)
{
    const struct pci_function *card = NULL;
    uint16_t port;
    while (!kernel.line.present &&
           (card = pci_serial_find(pci_boot_found(), card, &port)) != NULL) {
        // Firmware may leave what it does not use itself switched off.
        pci_command(pci_boot_access(), card->address, PCI_COMMAND_IO, 0);
        if (!uart_init(&kernel.line, port, hpet_ns)) {
            pci_command(pci_boot_access(), card->address, 0,
                        PCI_COMMAND_IO & (uint16_t)~card->command);
            boot_log("pci: nothing answers at the serial port %x", port);
        }
    }
}

void serial_line_describe(void (*emit)(void *context, const char *key, const char *value),
                          void *context)
{
    char text[32];
    format(text, sizeof(text), "port %x", kernel.line.port);
    emit(context, "line", kernel.line.present ? text : "none");
}
