// SPDX-License-Identifier: MIT
// The interrupt lines of this machine: IO-APICs as ACPI describes them.
#ifndef IRQS_H
#define IRQS_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

// Silences the old controllers and masks every line of the new ones. Boot CPU, interrupts masked,
// with the registers of the IO-APICs mapped.
void irqs_init(void);

// Sends interrupt `irq` of the ISA bus (0..15) to this CPU as `vector` from now on. STATUS_INVALID:
// no IO-APIC has its line.
enum status irqs_route_isa(unsigned irq, unsigned vector);

// Masks it again.
void irqs_mask_isa(unsigned irq);

// How many IO-APICs there are, and lines in all.
unsigned irqs_controllers(void);
unsigned irqs_lines(void);

#endif
