// SPDX-License-Identifier: MIT
#include "irqs.h"

#include "boot_log.h"
#include "compiler.h"
#include "hpet.h"
#include "ioapic.h"
#include "ioapic_access.h"
#include "kernel.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "pic.h"

static struct ioapic ioapics[IOAPIC_MOST];
static uint64_t places[IOAPIC_MOST]; // physical
static unsigned count;

// A table that puts a controller where another device is would have its registers written over.
static bool is_taken(uint64_t address)
{
    const uint64_t page = address & ~(uint64_t)(PAGE_SIZE - 1);
    bool taken = page == kernel.acpi.cpus.apic_address || page == ACPI_APIC_ADDRESS ||
                 page == HPET_USUAL_ADDRESS || page == kernel.acpi.devices.hpet.address;
    for (unsigned i = 0; i < count; i++)
        taken = taken || page == (places[i] & ~(uint64_t)(PAGE_SIZE - 1));
    return taken;
}

void irqs_init(void)
{
    const struct acpi_cpus *described = &kernel.acpi.cpus;
    pic_init();
    for (unsigned i = 0; i < described->ioapic_count && count < IOAPIC_MOST; i++) {
        const struct acpi_ioapic *entry = &described->ioapics[i];
        const struct ioapic_access access =
            ioapic_access((volatile void *)(uintptr_t)entry->address);
        if (is_taken(entry->address))
            boot_log("IO-APIC %u: another device is at %x", entry->id, entry->address);
        else if (kernel_map_device(entry->address, PAGE_SIZE) == STATUS_OK &&
                 ioapic_init(&ioapics[count], &access, entry->gsi_base) == STATUS_OK)
            places[count++] = entry->address;
        else
            boot_log("IO-APIC %u: nothing answers at %x", entry->id, entry->address);
    }
}

static struct ioapic_line line_of(unsigned irq)
{
    const struct acpi_input *input = &kernel.acpi.cpus.irqs[irq];
    return (struct ioapic_line){
        .number = input->gsi, .active_low = input->low, .level = input->level};
}

enum status irqs_route_isa(unsigned irq, unsigned vector)
{
    if (irq >= ACPI_ISA_IRQS)
        return STATUS_INVALID;
    const struct ioapic_line line = line_of(irq);
    struct ioapic *ioapic = ioapic_of(ioapics, count, line.number);
    if (ioapic == NULL)
        return STATUS_INVALID;
    const enum status status =
        ioapic_route(ioapic, line, (uint8_t)vector, machine_cpu_here()->apic_id);
    return status == STATUS_OK ? ioapic_mask(ioapic, line.number, false) : status;
}

void irqs_mask_isa(unsigned irq)
{
    const struct ioapic_line line = line_of(irq);
    struct ioapic *ioapic = ioapic_of(ioapics, count, line.number);
    if (ioapic != NULL)
        (void)ioapic_mask(ioapic, line.number, true);
}

unsigned irqs_controllers(void)
{
    return count;
}

unsigned irqs_lines(void)
{
    unsigned lines = 0;
    for (unsigned i = 0; i < count; i++)
        lines += ioapics[i].entries;
    return lines;
}
