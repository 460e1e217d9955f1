// SPDX-License-Identifier: MIT
#include "serial_place.h"

#define LOWEST_MEMORY 0x1000u // page 0 is never mapped
#define PORTS         0x10000u

bool serial_place_of(unsigned interface, struct acpi_register registers, struct serial_place *place)
{
    struct serial_place found = {.stride = 1, .width = 1, .address = registers.address};
    if (interface != SERIAL_LIKE_16550 && interface != SERIAL_PART_16550 &&
        interface != SERIAL_16550_BY_AT)
        return false;
    if (registers.space == ACPI_SPACE_PORT) {
        *place = found;
        return found.address <= PORTS - SERIAL_PLACE_REGISTERS;
    }
    if (registers.space != ACPI_SPACE_MEMORY || registers.bits % 8 != 0 || registers.bits == 24 ||
        registers.bits > 32 || registers.access > 3)
        return false;
    found.memory = true;
    found.stride = registers.bits == 0 ? 1 : registers.bits / 8;
    // 1, 2, 3: 8, 16, 32 bits (ACPI 6.5, table 5.1); 0: not told.
    found.width = registers.access == 0 ? found.stride : (uint8_t)(1u << (registers.access - 1));
    found.width = found.width > found.stride ? found.stride : found.width;
    *place = found;
    return found.address >= LOWEST_MEMORY && found.address % found.width == 0 &&
           found.address <= UINT64_MAX - serial_place_bytes(&found);
}
