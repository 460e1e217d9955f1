// SPDX-License-Identifier: MIT
// Where a 16550 has its eight registers: I/O ports, or memory in which they may lie apart. From
// what ACPI's tables say of the serial console (SPCR, DBG2).
// Sources: Microsoft's "Serial Port Console Redirection Table" 1.08 and "Debug Port Table 2".
#ifndef SERIAL_PLACE_H
#define SERIAL_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "acpi_parts.h"

#define SERIAL_PLACE_REGISTERS 8u

struct serial_place {
    bool memory;
    uint8_t stride; // bytes from one register to the next: 1; in memory also 2 or 4
    uint8_t width;  // of an access, bytes: 1 to `stride`
    uint64_t address;
};

// Interface types of both tables: like a 16550, a part of one, one whose registers the generic
// address describes.
#define SERIAL_LIKE_16550  0u
#define SERIAL_PART_16550  1u
#define SERIAL_16550_BY_AT 0x12u

// False if it is no 16550, or its registers are none that can be reached. Registers in memory are
// as far apart as they are wide; where the table says that accesses are wider than that, they are
// not (as firmware has it that mixes the two up).
bool serial_place_of(unsigned interface, struct acpi_register registers,
                     struct serial_place *place);

// Bytes from `address` on that the registers take.
static inline uint64_t serial_place_bytes(const struct serial_place *place)
{
    return (uint64_t)SERIAL_PLACE_REGISTERS * place->stride;
}

#endif
