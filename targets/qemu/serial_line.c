// SPDX-License-Identifier: MIT
#include "serial_line.h"

#include "boot_log.h"
#include "clocks.h"
#include "compiler.h"
#include "device_memory.h"
#include "format.h"
#include "kernel.h"
#include "kernel_map.h"
#include "pci_boot.h"
#include "pci_serial.h"
#include "port_access.h"
#include "serial_place.h"
#include "string.h"

// Where the ports of a PC are by custom.
static const struct {
    const char *name;
    uint16_t port;
} usual[] = {{"com1", 0x3f8}, {"com2", 0x2f8}, {"com3", 0x3e8}, {"com4", 0x2e8}};

// What is in memory is mapped.
static bool open_place(const struct serial_place *place)
{
    const uint64_t bytes = serial_place_bytes(place);
    const struct memory_access registers =
        place->memory ? device_memory(place->address, bytes)
                      : port_access((uint16_t)place->address, (uint16_t)bytes);
    return uart_init(&kernel.line, place, &registers, clocks_ns);
}

static bool open_port(uint16_t port)
{
    return open_place(&(struct serial_place){.stride = 1, .width = 1, .address = port});
}

void serial_line_init(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(usual); i++) {
        if (open_port(usual[i].port))
            return;
    }
    kernel.line.place.address = usual[0].port;
}

bool serial_line_choose(const char *arguments)
{
    char word[8];
    if (!string_option(arguments, "line", word, sizeof(word)))
        return true;
    for (unsigned i = 0; i < ARRAY_COUNT(usual); i++) {
        if (string_equal(word, usual[i].name)) {
            open_port(usual[i].port);
            return true;
        }
    }
    return false;
}

static bool open_at(const struct serial_place *place)
{
    return (!place->memory ||
            kernel_map_device(place->address, serial_place_bytes(place)) == STATUS_OK) &&
           open_place(place);
}

// What a table tells of.
static void try_told(const char *table, const struct acpi_serial *told)
{
    struct serial_place place;
    if (kernel.line.present || told->registers.space == ACPI_SPACE_NONE ||
        !serial_place_of(told->interface, told->registers, &place))
        return;
    if (!open_at(&place))
        boot_log("%s: nothing answers at the serial port in %s at %lx", table,
                 place.memory ? "memory" : "I/O space", place.address);
}

void serial_line_find_console(void)
{
    const struct acpi_devices *devices = &kernel.acpi.devices;
    try_told("SPCR", &devices->serial);
    for (unsigned i = 0; i < devices->debug.count; i++)
        try_told("DBG2", &devices->debug.ports[i]);
}

void serial_line_find_card(void)
{
    const struct pci_function *card = NULL;
    struct serial_place place;
    while (!kernel.line.present &&
           (card = pci_serial_find(pci_boot_found(), card, &place)) != NULL) {
        const uint16_t decode = place.memory ? PCI_COMMAND_MEMORY : PCI_COMMAND_IO;
        // Firmware may leave what it does not use itself switched off.
        pci_command(pci_boot_access(), card->address, decode, 0);
        if (open_at(&place) || (pci_serial_apart(card, &place) && open_at(&place)))
            continue;
        pci_command(pci_boot_access(), card->address, 0, decode & (uint16_t)~card->command);
        boot_log("pci: nothing answers at the serial port in %s at %lx",
                 place.memory ? "memory" : "I/O space", place.address);
    }
}

struct pci_in_use serial_line_in_use(void)
{
    const struct serial_place *place = &kernel.line.place;
    return (struct pci_in_use){!place->memory, place->address,
                               place->address + serial_place_bytes(place)};
}

void serial_line_describe(void (*emit)(void *context, const char *key, const char *value),
                          void *context)
{
    const struct serial_place *place = &kernel.line.place;
    char text[48];
    if (place->memory)
        format(text, sizeof(text), "memory %lx, stride %u", place->address, place->stride);
    else
        format(text, sizeof(text), "port %lx", place->address);
    emit(context, "line", kernel.line.present ? text : "none");
}
