// SPDX-License-Identifier: MIT
#include "pci_ports.h"

#include "x86.h"

#define ADDRESS        0xcf8u
#define DATA           0xcfcu
#define ADDRESS_ENABLE 0x80000000u

bool pci_ports_present(void)
{
    // The register takes 32 bits only, and gives them back.
    const uint32_t found = x86_in32(ADDRESS);
    x86_out32(ADDRESS, ADDRESS_ENABLE);
    const bool present = x86_in32(ADDRESS) == ADDRESS_ENABLE;
    x86_out32(ADDRESS, found);
    return present;
}

static unsigned reach(void *context, struct pci_address at)
{
    (void)context;
    return at.segment == 0 ? PCI_BYTES : 0;
}

// Selects a register and returns the port at which its byte `offset` stands.
static uint16_t select(struct pci_address at, unsigned offset)
{
    x86_out32(ADDRESS, ADDRESS_ENABLE | (uint32_t)at.bus << 16 | (uint32_t)at.device << 11 |
                           (uint32_t)at.function << 8 | (offset & 0xfcu));
    return (uint16_t)(DATA + (offset & 3u));
}

static uint32_t read(void *context, struct pci_address at, unsigned offset, unsigned bytes)
{
    (void)context;
    const uint16_t port = select(at, offset);
    return bytes == 1 ? x86_in8(port) : bytes == 2 ? x86_in16(port) : x86_in32(port);
}

static void write(void *context, struct pci_address at, unsigned offset, unsigned bytes,
                  uint32_t value)
{
    (void)context;
    const uint16_t port = select(at, offset);
    if (bytes == 1)
        x86_out8(port, (uint8_t)value);
    else if (bytes == 2)
        x86_out16(port, (uint16_t)value);
    else
        x86_out32(port, value);
}

struct pci_access pci_ports_access(void)
{
    return (struct pci_access){NULL, reach, read, write};
}
