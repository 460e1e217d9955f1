// SPDX-License-Identifier: MIT
// CPUs and interrupt controllers, from the "multiple APIC description table" (MADT, signature
// "APIC"): ACPI 6.5, 5.2.12.
#ifndef ACPI_CPUS_H
#define ACPI_CPUS_H

#include <stdbool.h>
#include <stdint.h>

#include "acpi_parts.h"
#include "numa.h"

#define ACPI_IOAPICS_MOST     16u
#define ACPI_NMI_SOURCES_MOST 16u
#define ACPI_LOCAL_NMIS_MOST  CPU_MOST
#define ACPI_ISA_IRQS         16u
#define ACPI_APIC_ADDRESS                                                                          \
    0xfee00000u // after reset: Intel SDM vol. 3, "Local APIC Status and Location"
#define ACPI_UID_ALL    UINT32_MAX // a local NMI of every CPU
#define ACPI_MADT_LEAST 44u        // bytes before its entries

struct acpi_cpu {
    uint32_t apic_id; // 8 bits where the CPU is in xAPIC mode, 32 in x2APIC mode
    uint32_t uid;     // how other tables call it
    bool enabled;     // else it may only be added while the machine runs
    bool x2apic;      // described by an x2APIC entry
};

struct acpi_ioapic {
    uint8_t id;
    uint32_t address;
    uint32_t gsi_base; // number of the first of its inputs, a "global system interrupt"
};

// An input of the IO-APICs and how it must be programmed.
struct acpi_input {
    uint32_t gsi;
    bool low;   // active low, else high
    bool level; // level triggered, else edge
};

struct acpi_local_nmi {
    uint32_t uid; // whose, or ACPI_UID_ALL
    uint8_t lint; // the local APIC's input, 0 or 1
    bool low, level;
};

struct acpi_cpus {
    bool described;                 // by a MADT; else one CPU is assumed, its id not known
    bool has_pics;                  // two 8259 to be masked (PCAT_COMPAT)
    uint64_t apic_address;          // of the local APICs, where they are in memory
    unsigned cpu_count;             // those below
    unsigned enabled_count;         // they come first; at least 1
    unsigned left_out;              // enabled ones for which there is no room
    struct acpi_cpu cpus[CPU_MOST]; // no two with the same apic_id
    unsigned ioapic_count;
    struct acpi_ioapic ioapics[ACPI_IOAPICS_MOST];
    struct acpi_input irqs[ACPI_ISA_IRQS]; // where each interrupt of the ISA bus arrives
    unsigned nmi_source_count;
    struct acpi_input nmi_sources[ACPI_NMI_SOURCES_MOST];
    unsigned local_nmi_count;
    struct acpi_local_nmi local_nmis[ACPI_LOCAL_NMIS_MOST];
};

// What is assumed without a table: one CPU, PICs, interrupts of the ISA bus where they are on a PC.
void acpi_cpus_init(struct acpi_cpus *cpus);

// Adds what a MADT of at least ACPI_MADT_LEAST bytes says to an initialised `cpus`. False, with a
// line in the log, if its entries do not hold together: what stands before the bad one is kept.
bool acpi_cpus_read(struct acpi_cpus *cpus, const struct acpi_bytes *madt, struct acpi_log *log);

// Index of the CPU with this id; cpu_count if there is none.
unsigned acpi_cpu_of(const struct acpi_cpus *cpus, uint32_t apic_id);

#endif
