// SPDX-License-Identifier: MIT
// Interrupts of PCI devices, by message, to handlers of this kernel.
#include "cpu.h"
#include "deeds.h"
#include "device_memory.h"
#include "edu.h"
#include "interrupts.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "pci_boot.h"
#include "pci_capability.h"
#include "pci_msi.h"

#define POLLS 10000000u

// Two vectors and how often each came.
static struct seen {
    unsigned vector;
    uint64_t times;
} one, two;

static void count(void *context, const struct trap_frame *frame)
{
    struct seen *seen = context;
    (void)frame;
    __atomic_store_n(&seen->times, seen->times + 1, __ATOMIC_RELAXED);
}

static void claim_vectors(void)
{
    one.vector = interrupt_claim(count, &one);
    two.vector = interrupt_claim(count, &two);
}

static bool comes(const struct seen *seen)
{
    for (unsigned i = 0; i < POLLS; i++) {
        if (__atomic_load_n(&seen->times, __ATOMIC_RELAXED) > 0)
            return true;
        cpu_pause();
    }
    return false;
}

static struct memory_access mapped(uint64_t address, uint64_t bytes)
{
    const uint64_t start = address & ~(uint64_t)(PAGE_SIZE - 1);
    if (kernel_map_device(start, align_up(address + bytes, PAGE_SIZE) - start) != STATUS_OK)
        platform_panic("a device's registers cannot be mapped", __FILE__, __LINE__);
    return device_memory(address, bytes);
}

static struct memory_access bar_memory(const struct pci_function *function, unsigned slot)
{
    return mapped(function->bars[slot].address, function->bars[slot].size);
}

void pci_msi_deed(void)
{
    const struct pci_access *access = pci_boot_access();
    const struct pci_function *function = pci_find(pci_boot_found(), NULL, EDU_VENDOR, EDU_DEVICE);
    struct edu edu;
    struct pci_msi msi;
    deeds_say("msi.found", function != NULL);
    if (function == NULL)
        return;
    pci_command(access, function->address, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    deeds_say("msi.opened", edu_open(&edu, bar_memory(function, 0)) &&
                                pci_msi_open(&msi, access, function) == STATUS_OK);

    // First by its pin, which the status register shows.
    edu_raise(&edu, 1);
    const uint16_t pin = pci_read16(access, function->address, PCI_STATUS) & PCI_STATUS_INTX;
    deeds_say("msi.pin", pin != 0 && edu_status(&edu) == 1);
    edu_acknowledge(&edu, 1);
    deeds_say("msi.pin_released",
              (pci_read16(access, function->address, PCI_STATUS) & PCI_STATUS_INTX) == 0);

    const uint32_t id = machine_cpu_here()->apic_id;
    claim_vectors();
    deeds_say("msi.refused", pci_msi_route(&msi, (uint8_t)one.vector, 256) == STATUS_TOO_LARGE);
    deeds_say("msi.routed", pci_msi_route(&msi, (uint8_t)one.vector, id) == STATUS_OK);
    deeds_say("msi.early", one.times > 0);
    pci_msi_enable(&msi, true);
    edu_raise(&edu, 2);
    deeds_say("msi.arrived", comes(&one));
    edu_acknowledge(&edu, 2);
    deeds_say("msi.rerouted", pci_msi_route(&msi, (uint8_t)two.vector, id) == STATUS_OK);
    edu_raise(&edu, 4);
    deeds_say("msi.arrived_again", comes(&two));
    edu_acknowledge(&edu, 4);
    deeds_say("msi.status", edu_status(&edu));
    deeds_say("msi.times", one.times + two.times);
    pci_msi_enable(&msi, false);
}

// e1000e (Intel 82574 datasheet, 10.2.4): an interrupt by writing its cause, one of "other".
#define NET_VENDOR     0x8086u
#define NET_DEVICE     0x10d3u
#define NET_CAUSE_SET  0x0c8u
#define NET_MASK_SET   0x0d0u
#define NET_VECTORS    0x0e4u // 19: other causes have a vector, 18:16: entry
#define NET_LINK       (1u << 2)
#define NET_OTHER      (1u << 24)
#define NET_OTHER_TO_1 (9u << 16)

void pci_msix_deed(void)
{
    const struct pci_access *access = pci_boot_access();
    const struct pci_function *function = pci_find(pci_boot_found(), NULL, NET_VENDOR, NET_DEVICE);
    struct pci_msix msix;
    deeds_say("msix.found", function != NULL);
    if (function == NULL)
        return;
    pci_command(access, function->address, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    const struct memory_access registers = bar_memory(function, 0);
    const bool opened = pci_msix_open(&msix, access, function) == STATUS_OK;
    deeds_say("msix.opened", opened);
    if (!opened)
        return;
    deeds_say("msix.attached",
              pci_msix_attach(&msix, mapped(msix.table_address, msix.table_bytes),
                              mapped(msix.pending_address, msix.pending_bytes)) == STATUS_OK);
    claim_vectors();
    deeds_say("msix.routed", pci_msix_route(&msix, 1, (uint8_t)one.vector,
                                            machine_cpu_here()->apic_id) == STATUS_OK);
    pci_msix_enable(&msix, true);
    registers.write(registers.context, NET_VECTORS, 4, NET_OTHER_TO_1);
    registers.write(registers.context, NET_MASK_SET, 4, NET_OTHER);
    deeds_say("msix.pending_early", pci_msix_pending(&msix, 1));
    registers.write(registers.context, NET_CAUSE_SET, 4, NET_LINK | NET_OTHER);
    deeds_say("msix.pending", pci_msix_pending(&msix, 1) && !pci_msix_pending(&msix, 0));
    deeds_say("msix.early", one.times > 0);
    pci_msix_mask_all(&msix, true);
    pci_msix_mask(&msix, 1, false);
    deeds_say("msix.early_still", one.times > 0);
    pci_msix_mask_all(&msix, false);
    deeds_say("msix.arrived", comes(&one));
    deeds_say("msix.pending_late", pci_msix_pending(&msix, 1));
    deeds_say("msix.times", one.times);
    pci_msix_enable(&msix, false);
}

// Q35's PCIEXBAR (Intel 3 Series chipset datasheet, 5.1.16): where the ECAM window is. The kernel
// asks ACPI; here it is only to be found without.
#define HOST_WINDOW         0x60u
#define HOST_WINDOW_ENABLE  1u
#define HOST_WINDOW_ADDRESS 0xf0000000u // of 256 buses

static void ignore(void *context, const char *line)
{
    ++*(unsigned *)context;
    (void)line;
}

// Bytes that both ways of access show differently.
static unsigned differences(const struct pci_access *a, const struct pci_access *b)
{
    const struct pci *pci = pci_boot_found();
    unsigned different = 0;
    for (unsigned i = 0; i < pci->count; i++) {
        for (unsigned offset = 0; offset < PCI_BYTES; offset++)
            different += pci_read8(a, pci->functions[i].address, offset) !=
                         pci_read8(b, pci->functions[i].address, offset);
    }
    return different;
}

void pci_ecam_deed(void)
{
    const struct pci_address host = {0, 0, 0, 0};
    const uint32_t window = pci_read32(pci_boot_access(), host, HOST_WINDOW);
    struct pci_boot_window windows[] = {
        {(window & HOST_WINDOW_ADDRESS) + PCI_ECAM_BUS_BYTES, 0, 0, 15}, // shows other devices
        {window & HOST_WINDOW_ADDRESS, 0, 0, 255},
    };
    unsigned lines = 0, extended = 0;
    const unsigned count = pci_boot_found()->count;
    deeds_say("ecam.window", (window & HOST_WINDOW_ENABLE) != 0 ? windows[1].base : 0);
    const struct pci_in_use line = {true, 0x3f8, 0x400};
    pci_boot(windows, 2, &line, ignore, &lines);
    const struct pci *pci = pci_boot_found();
    deeds_say("ecam.refused", lines);
    deeds_say("ecam.same", pci->count == count && pci->problems == 0);
    for (unsigned i = 0; i < pci->count; i++)
        extended += pci->functions[i].extended_count;
    deeds_say("ecam.extended", extended);
    const struct pci_access memory = *pci_boot_access();
    deeds_say("ecam.reach", memory.reach(memory.context, host));
    struct pci_access ports = ((const struct pci_ecam *)memory.context)->below;
    deeds_say("ecam.differences", differences(&memory, &ports));
}
