// SPDX-License-Identifier: MIT
// Deeds of the probe with PCI devices. Interrupts stay masked: that a message arrived shows in the
// local APIC's request register.
#include "cpu.h"
#include "device_memory.h"
#include "edu.h"
#include "pci_boot.h"
#include "pci_capability.h"
#include "pci_msi.h"
#include "probe.h"

// Intel SDM vol. 3, 11.4: registers of the local APIC.
#define APIC          0xfee00000u
#define APIC_BYTES    0x400u
#define APIC_ID       0x020u
#define APIC_SPURIOUS 0x0f0u
#define APIC_ENABLE   0x100u
#define APIC_REQUESTS 0x200u // eight registers of 32 vectors, 16 bytes apart
#define VECTOR        0x51u
#define OTHER_VECTOR  0xa2u
#define POLLS         1000000u

static uint32_t apic_read(unsigned offset)
{
    const struct memory_access apic = device_memory(APIC, APIC_BYTES);
    return apic.read(apic.context, offset, 4);
}

// The boot CPU's id, with its APIC taking messages.
static uint32_t apic_start(void)
{
    const struct memory_access apic = device_memory(APIC, APIC_BYTES);
    apic.write(apic.context, APIC_SPURIOUS, 4, 0xff | APIC_ENABLE);
    return apic_read(APIC_ID) >> 24;
}

static bool is_requested(unsigned vector)
{
    return (apic_read(APIC_REQUESTS + vector / 32 * 16) >> vector % 32 & 1) != 0;
}

static bool gets_requested(unsigned vector)
{
    for (unsigned i = 0; i < POLLS; i++) {
        if (is_requested(vector))
            return true;
        cpu_pause();
    }
    return false;
}

static struct memory_access bar_memory(const struct pci_function *function, unsigned slot)
{
    return device_memory(function->bars[slot].address, function->bars[slot].size);
}

void pci_msi_deed(void)
{
    const struct pci_access *access = pci_boot_access();
    const struct pci_function *function = pci_find(pci_boot_found(), NULL, EDU_VENDOR, EDU_DEVICE);
    struct edu edu;
    struct pci_msi msi;
    say_number("msi.found", function != NULL);
    if (function == NULL)
        return;
    pci_command(access, function->address, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    say_number("msi.opened", edu_open(&edu, bar_memory(function, 0)) &&
                                 pci_msi_open(&msi, access, function) == STATUS_OK);

    // First by its pin, which the status register shows.
    edu_raise(&edu, 1);
    const uint16_t pin = pci_read16(access, function->address, PCI_STATUS) & PCI_STATUS_INTX;
    say_number("msi.pin", pin != 0 && edu_status(&edu) == 1);
    edu_acknowledge(&edu, 1);
    say_number("msi.pin_released",
               (pci_read16(access, function->address, PCI_STATUS) & PCI_STATUS_INTX) == 0);

    const uint32_t id = apic_start();
    say_number("msi.refused", pci_msi_route(&msi, VECTOR, 256) == STATUS_TOO_LARGE);
    say_number("msi.routed", pci_msi_route(&msi, VECTOR, id) == STATUS_OK);
    say_number("msi.early", is_requested(VECTOR));
    pci_msi_enable(&msi, true);
    edu_raise(&edu, 2);
    say_number("msi.arrived", gets_requested(VECTOR));
    edu_acknowledge(&edu, 2);
    say_number("msi.rerouted", pci_msi_route(&msi, OTHER_VECTOR, id) == STATUS_OK);
    edu_raise(&edu, 4);
    say_number("msi.arrived_again", gets_requested(OTHER_VECTOR));
    edu_acknowledge(&edu, 4);
    say_number("msi.status", edu_status(&edu));
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
    say_number("msix.found", function != NULL);
    if (function == NULL)
        return;
    pci_command(access, function->address, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
    const struct memory_access registers = bar_memory(function, 0);
    const bool opened = pci_msix_open(&msix, access, function) == STATUS_OK;
    say_number("msix.opened", opened);
    if (!opened)
        return;
    say_number("msix.attached",
               pci_msix_attach(&msix, device_memory(msix.table_address, msix.table_bytes),
                               device_memory(msix.pending_address, msix.pending_bytes)) ==
                   STATUS_OK);
    say_number("msix.routed", pci_msix_route(&msix, 1, VECTOR, apic_start()) == STATUS_OK);
    pci_msix_enable(&msix, true);
    registers.write(registers.context, NET_VECTORS, 4, NET_OTHER_TO_1);
    registers.write(registers.context, NET_MASK_SET, 4, NET_OTHER);
    say_number("msix.pending_early", pci_msix_pending(&msix, 1));
    registers.write(registers.context, NET_CAUSE_SET, 4, NET_LINK | NET_OTHER);
    say_number("msix.pending", pci_msix_pending(&msix, 1) && !pci_msix_pending(&msix, 0));
    say_number("msix.early", is_requested(VECTOR));
    pci_msix_mask_all(&msix, true);
    pci_msix_mask(&msix, 1, false);
    say_number("msix.early_still", is_requested(VECTOR));
    pci_msix_mask_all(&msix, false);
    say_number("msix.arrived", gets_requested(VECTOR));
    say_number("msix.pending_late", pci_msix_pending(&msix, 1));
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
    say_number("ecam.window", (window & HOST_WINDOW_ENABLE) != 0 ? windows[1].base : 0);
    pci_boot(windows, 2, 0x3f8, ignore, &lines);
    const struct pci *pci = pci_boot_found();
    say_number("ecam.refused", lines);
    say_number("ecam.same", pci->count == count && pci->problems == 0);
    for (unsigned i = 0; i < pci->count; i++)
        extended += pci->functions[i].extended_count;
    say_number("ecam.extended", extended);
    const struct pci_access memory = *pci_boot_access();
    say_number("ecam.reach", memory.reach(memory.context, host));
    struct pci_access ports = ((const struct pci_ecam *)memory.context)->below;
    say_number("ecam.differences", differences(&memory, &ports));
}
