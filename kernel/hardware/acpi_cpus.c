// SPDX-License-Identifier: MIT
#include "acpi_cpus.h"

#include "assert.h"
#include "bytes.h"
#include "compiler.h"

#define MADT_ADDRESS     36
#define MADT_FLAGS       40
#define MADT_PCAT_COMPAT (1u << 0)

// Types of entries and their lengths: ACPI 6.5, 5.2.12.2 and following.
enum {
    LOCAL_APIC = 0,
    IO_APIC = 1,
    OVERRIDE = 2,
    NMI_SOURCE = 3,
    LOCAL_NMI = 4,
    ADDRESS_OVERRIDE = 5,
    LOCAL_X2APIC = 9,
    LOCAL_X2APIC_NMI = 10,
    TYPES,
};
static const uint8_t least[TYPES] = {
    [LOCAL_APIC] = 8, [IO_APIC] = 12,          [OVERRIDE] = 10,     [NMI_SOURCE] = 8,
    [LOCAL_NMI] = 6,  [ADDRESS_OVERRIDE] = 12, [LOCAL_X2APIC] = 16, [LOCAL_X2APIC_NMI] = 12,
};

#define CPU_ENABLED        (1u << 0)
#define CPU_ONLINE_CAPABLE (1u << 1)
#define XAPIC_BROADCAST    0xffu      // no CPU has this id: it addresses all
#define X2APIC_BROADCAST   UINT32_MAX // likewise
#define UID_ALL_NARROW     0xffu

// "MPS INTI flags", 5.2.12.5: polarity in bits 1:0, trigger mode in bits 3:2; 0 is what the bus
// does, and the ISA bus is active high and edge triggered.
#define FLAGS_POLARITY 3u
#define FLAGS_LOW      3u
#define FLAGS_TRIGGER  (3u << 2)
#define FLAGS_LEVEL    (3u << 2)

static bool is_low(uint16_t flags)
{
    return (flags & FLAGS_POLARITY) == FLAGS_LOW;
}

static bool is_level(uint16_t flags)
{
    return (flags & FLAGS_TRIGGER) == FLAGS_LEVEL;
}

void acpi_cpus_init(struct acpi_cpus *cpus)
{
    *cpus = (struct acpi_cpus){
        .has_pics = true,
        .apic_address = ACPI_APIC_ADDRESS,
        .cpu_count = 1,
        .enabled_count = 1,
        .cpus = {{.enabled = true}},
    };
    for (unsigned irq = 0; irq < ACPI_ISA_IRQS; irq++)
        cpus->irqs[irq].gsi = irq;
}

unsigned acpi_cpu_of(const struct acpi_cpus *cpus, uint32_t apic_id)
{
    unsigned i = 0;
    while (i < cpus->cpu_count && cpus->cpus[i].apic_id != apic_id)
        i++;
    return i;
}

// ---- CPUs --------------------------------------------------------------------------------------

// Firmware may list a CPU through an entry of either type, or through both.
static void add_cpu(struct acpi_cpus *cpus, const struct acpi_cpu *cpu, struct acpi_log *log)
{
    const unsigned index = acpi_cpu_of(cpus, cpu->apic_id);
    if (index < cpus->cpu_count) {
        if (cpus->cpus[index].x2apic == cpu->x2apic)
            acpi_problem(log, "APIC: the CPU with APIC id %u is listed twice", cpu->apic_id);
    } else if (cpus->cpu_count == CPU_MOST) {
        cpus->left_out += cpu->enabled;
    } else {
        cpus->cpus[cpus->cpu_count++] = *cpu;
        cpus->enabled_count += cpu->enabled;
    }
}

// Takes the CPUs that are enabled, or else those that only may become so.
static void read_cpu(struct acpi_cpus *cpus, const struct acpi_entry *entry, bool enabled,
                     struct acpi_log *log)
{
    const uint8_t *bytes = entry->bytes;
    const bool x2apic = entry->type == LOCAL_X2APIC;
    const struct acpi_cpu cpu = {.apic_id = x2apic ? bytes_u32(bytes + 4) : bytes[3],
                                 .uid = x2apic ? bytes_u32(bytes + 12) : bytes[2],
                                 .enabled = enabled,
                                 .x2apic = x2apic};
    const uint32_t flags = bytes_u32(bytes + (x2apic ? 8 : 4));
    const bool wanted = enabled
                            ? (flags & CPU_ENABLED) != 0
                            : (flags & (CPU_ENABLED | CPU_ONLINE_CAPABLE)) == CPU_ONLINE_CAPABLE;
    if (!wanted)
        return;
    if (cpu.apic_id == (x2apic ? X2APIC_BROADCAST : XAPIC_BROADCAST))
        acpi_problem(log, "APIC: a CPU has the APIC id of all of them");
    else
        add_cpu(cpus, &cpu, log);
}

// ---- interrupts --------------------------------------------------------------------------------

static void add_ioapic(struct acpi_cpus *cpus, const uint8_t *bytes, struct acpi_log *log)
{
    const struct acpi_ioapic ioapic = {bytes[2], bytes_u32(bytes + 4), bytes_u32(bytes + 8)};
    if (ioapic.address == 0 || ioapic.address % 16 != 0)
        acpi_problem(log, "APIC: IO-APIC %u has the address %x", ioapic.id, ioapic.address);
    else if (cpus->ioapic_count == ACPI_IOAPICS_MOST)
        acpi_problem(log, "APIC: IO-APIC %u is left out: there are more than %u", ioapic.id,
                     ACPI_IOAPICS_MOST);
    else
        cpus->ioapics[cpus->ioapic_count++] = ioapic;
}

static void override(struct acpi_cpus *cpus, const uint8_t *bytes, struct acpi_log *log)
{
    const uint16_t flags = bytes_u16(bytes + 8);
    if (bytes[2] != 0 || bytes[3] >= ACPI_ISA_IRQS)
        acpi_problem(log, "APIC: interrupt %u of bus %u is not one of the ISA bus", bytes[3],
                     bytes[2]);
    else
        cpus->irqs[bytes[3]] =
            (struct acpi_input){bytes_u32(bytes + 4), is_low(flags), is_level(flags)};
}

static void add_nmi_source(struct acpi_cpus *cpus, const uint8_t *bytes, struct acpi_log *log)
{
    const uint16_t flags = bytes_u16(bytes + 2);
    if (cpus->nmi_source_count == ACPI_NMI_SOURCES_MOST)
        acpi_problem(log, "APIC: more than %u sources of NMIs", ACPI_NMI_SOURCES_MOST);
    else
        cpus->nmi_sources[cpus->nmi_source_count++] =
            (struct acpi_input){bytes_u32(bytes + 4), is_low(flags), is_level(flags)};
}

static void add_local_nmi(struct acpi_cpus *cpus, uint32_t uid, uint16_t flags, uint8_t lint,
                          struct acpi_log *log)
{
    if (lint > 1)
        acpi_problem(log, "APIC: a local NMI at the input LINT%u", lint);
    else if (cpus->local_nmi_count == ACPI_LOCAL_NMIS_MOST)
        acpi_problem(log, "APIC: more than %u local NMIs", ACPI_LOCAL_NMIS_MOST);
    else
        cpus->local_nmis[cpus->local_nmi_count++] =
            (struct acpi_local_nmi){uid, lint, is_low(flags), is_level(flags)};
}

static void set_address(struct acpi_cpus *cpus, uint64_t address, struct acpi_log *log)
{
    if (address == 0 || address % PAGE_SIZE != 0)
        acpi_problem(log, "APIC: the local APICs have the address %lx", address);
    else
        cpus->apic_address = address;
}

static void read_entry(struct acpi_cpus *cpus, const struct acpi_entry *entry, struct acpi_log *log)
{
    const uint8_t *bytes = entry->bytes;
    switch (entry->type) {
    case LOCAL_APIC:
    case LOCAL_X2APIC:
        read_cpu(cpus, entry, true, log);
        break;
    case IO_APIC:
        add_ioapic(cpus, bytes, log);
        break;
    case OVERRIDE:
        override(cpus, bytes, log);
        break;
    case NMI_SOURCE:
        add_nmi_source(cpus, bytes, log);
        break;
    case LOCAL_NMI:
        add_local_nmi(cpus, bytes[2] == UID_ALL_NARROW ? ACPI_UID_ALL : bytes[2],
                      bytes_u16(bytes + 3), bytes[5], log);
        break;
    case LOCAL_X2APIC_NMI:
        add_local_nmi(cpus, bytes_u32(bytes + 4), bytes_u16(bytes + 2), bytes[8], log);
        break;
    case ADDRESS_OVERRIDE:
        set_address(cpus, bytes_u64(bytes + 4), log);
        break;
    default: // of other machines, or of a later ACPI
        break;
    }
}

// ---- the table ---------------------------------------------------------------------------------

// A second walk for the CPUs that are not enabled: they come last, and fill what room is left.
static void read_others(struct acpi_cpus *cpus, const struct acpi_bytes *madt, struct acpi_log *log)
{
    struct acpi_entry entry;
    uint32_t at = ACPI_MADT_LEAST;
    while (acpi_next(madt, &at, least, TYPES, &entry) == ACPI_STEP_ENTRY) {
        if (entry.type == LOCAL_APIC || entry.type == LOCAL_X2APIC)
            read_cpu(cpus, &entry, false, log);
    }
}

bool acpi_cpus_read(struct acpi_cpus *cpus, const struct acpi_bytes *madt, struct acpi_log *log)
{
    assert(madt->length >= ACPI_MADT_LEAST);
    struct acpi_entry entry;
    uint32_t at = ACPI_MADT_LEAST;
    enum acpi_step step;
    cpus->cpu_count = cpus->enabled_count = 0;
    cpus->has_pics = (bytes_u32(madt->bytes + MADT_FLAGS) & MADT_PCAT_COMPAT) != 0;
    set_address(cpus, bytes_u32(madt->bytes + MADT_ADDRESS), log);
    while ((step = acpi_next(madt, &at, least, TYPES, &entry)) == ACPI_STEP_ENTRY)
        read_entry(cpus, &entry, log);
    if (step == ACPI_STEP_BROKEN)
        acpi_problem(log, "APIC: the entry at byte %u is broken: no more of it is read", at);
    cpus->described = cpus->enabled_count > 0;
    if (cpus->described) {
        read_others(cpus, madt, log);
    } else {
        acpi_problem(log, "APIC: no enabled CPU: one is assumed");
        cpus->cpus[0] = (struct acpi_cpu){.enabled = true};
        cpus->cpu_count = cpus->enabled_count = 1;
    }
    if (cpus->left_out > 0)
        acpi_problem(log, "APIC: %u CPUs are left out: there are more than %u", cpus->left_out,
                     CPU_MOST);
    return step != ACPI_STEP_BROKEN;
}
