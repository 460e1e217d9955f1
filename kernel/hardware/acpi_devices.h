// SPDX-License-Identifier: MIT
// What ACPI's tables tell of single devices: the fixed hardware (FADT, signature "FACP": ACPI 6.5,
// 5.2.9), the configuration spaces of PCI in memory (MCFG: PCI Firmware Specification 3.0, 4.1.2),
// the HPET (IA-PC HPET Specification 1.0a, 3.2.4), the serial console (SPCR, Microsoft) and ports
// for a debugger (DBG2, Microsoft's "Debug Port Table 2").
#ifndef ACPI_DEVICES_H
#define ACPI_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "acpi_parts.h"

#define ACPI_PCI_SEGMENTS_MOST 16u

// Bytes of these tables that are read, at least.
#define ACPI_FADT_LEAST 116u // ACPI 1.0 had no more
#define ACPI_MCFG_LEAST 44u
#define ACPI_HPET_LEAST 56u
#define ACPI_SPCR_LEAST 52u
#define ACPI_DBG2_LEAST 44u

#define ACPI_DEBUG_PORTS_MOST 4u

// The configuration spaces of buses [first_bus, last_bus] stand at `base`, 1 MiB for each bus,
// counted from bus 0 on: that of `first_bus` stands at base + first_bus MiB.
struct acpi_pci_segment {
    uint64_t base;
    uint16_t segment;
    uint8_t first_bus, last_bus;
};

struct acpi_hpet {
    uint64_t address; // of its registers, in memory; 0: none
    uint32_t id;      // the low half of its capabilities register
    uint8_t number;
};

struct acpi_fixed {
    bool described; // there is a FADT; else everything here is 0
    uint16_t sci;   // the interrupt of ACPI events: of the ISA bus where there are PICs, else a GSI
    bool reduced;   // no fixed hardware (HW_REDUCED_ACPI)
    struct acpi_register pm_timer; // 3 579 545 Hz; it counts up
    bool pm_timer_32;              // in 32 bits, else in 24
    struct acpi_register reset;    // of 8 bits: writing `reset_value` resets the machine
    uint8_t reset_value;
    bool flags_told; // the FADT is new enough to have the next three
    bool has_8042;   // a keyboard controller
    bool no_vga;     // VGA must not be touched
    bool no_msi;     // message signalled interrupts must not be used
};

struct acpi_serial {
    uint16_t interface; // 0: like a 16550, 1: a part of one, others: see the specification
    struct acpi_register registers;
};

// Serial ports of DBG2; ports of other kinds are left out.
struct acpi_debug_ports {
    unsigned count;
    struct acpi_serial ports[ACPI_DEBUG_PORTS_MOST];
};

struct acpi_devices {
    struct acpi_fixed fixed;
    struct acpi_hpet hpet;
    struct acpi_serial serial;
    struct acpi_debug_ports debug;
    unsigned segment_count;
    struct acpi_pci_segment segments[ACPI_PCI_SEGMENTS_MOST];
};

// Each fills its part of a zeroed `devices` from a table of at least its ACPI_*_LEAST bytes. False,
// with a line in the log, if something in it cannot be: that is left out, the rest is kept.
bool acpi_fadt_read(struct acpi_devices *devices, const struct acpi_bytes *fadt,
                    struct acpi_log *log);
bool acpi_mcfg_read(struct acpi_devices *devices, const struct acpi_bytes *mcfg,
                    struct acpi_log *log);
bool acpi_hpet_read(struct acpi_devices *devices, const struct acpi_bytes *hpet,
                    struct acpi_log *log);
bool acpi_spcr_read(struct acpi_devices *devices, const struct acpi_bytes *spcr,
                    struct acpi_log *log);
bool acpi_dbg2_read(struct acpi_devices *devices, const struct acpi_bytes *dbg2,
                    struct acpi_log *log);

#endif
