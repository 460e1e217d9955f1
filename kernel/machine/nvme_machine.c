// SPDX-License-Identifier: MIT
#include "nvme_machine.h"

#include "assert.h"
#include "block_machine.h"
#include "machine_cpu.h"
#include "pci_boot.h"

// Mass storage, non-volatile memory, NVM Express (PCI Code and ID Assignment Specification 1.11).
#define CLASS          0x010802u
#define REGISTERS_MOST (64u << 10) // doorbells of all queues at strides up to 256 bytes
#define QUEUES_MOST    16u         // so that the pool suffices for other disks too

static struct disk {
    bool tried;
    enum status status;
    struct block_machine machine;
    struct block_guard guard; // never opened here
    struct nvme driver;
    struct block_device device;
} disks[NVME_MACHINE_DISKS];

static unsigned queues_wanted(void)
{
    return (unsigned)min_u64(machine_cpu_count(), QUEUES_MOST);
}

const struct pci_function *nvme_machine_find(unsigned index)
{
    const struct pci *pci = pci_boot_found();
    for (unsigned i = 0; i < pci->count; i++) {
        if (pci->functions[i].class_code == CLASS && index-- == 0)
            return &pci->functions[i];
    }
    return NULL;
}

static void master(void *context, bool on)
{
    const struct block_machine *machine = context;
    pci_command(pci_boot_access(), machine->function->address, on ? PCI_COMMAND_MASTER : 0,
                on ? 0 : PCI_COMMAND_MASTER);
}

static enum status make_device(struct disk *disk, struct device_clock clock)
{
    const struct device_dma dma = block_machine_dma();
    const struct block_config config = {
        .ops = &nvme_ops,
        .driver = &disk->driver,
        .clock = clock,
        .guard = &disk->guard,
        .queues = queues_wanted(),
    };
    uint64_t address;
    const size_t bytes = block_bytes(config.queues);
    void *memory = dma.allocate(dma.context, align_up(bytes, PAGE_SIZE) / PAGE_SIZE, &address);
    return memory == NULL ? STATUS_NO_MEMORY : block_init(&disk->device, &config, memory, bytes);
}

static enum status make(struct disk *disk, const struct pci_function *function)
{
    const struct device_clock clock = block_machine_clock();
    if (clock.hz == 0)
        return STATUS_FAILED;
    enum status status = block_machine_open(&disk->machine, function);
    if (status != STATUS_OK)
        return status;
    struct nvme_config config = {
        .dma = block_machine_dma(),
        .interrupt = block_machine_interrupt(&disk->machine),
        .clock = clock,
        .bus = &disk->machine,
        .master = master,
        .guard = &disk->guard,
        .queues = queues_wanted(),
        .device = &disk->device,
    };
    const uint64_t bytes = min_u64(function->bars[0].size, REGISTERS_MOST);
    if (block_machine_registers(&disk->machine, 0, 0, bytes, &config.registers) != STATUS_OK)
        status = STATUS_INVALID;
    if (status == STATUS_OK) {
        nvme_init(&disk->driver, &config);
        status = make_device(disk, clock);
    }
    if (status != STATUS_OK)
        block_machine_close(&disk->machine);
    return status == STATUS_EMPTY ? STATUS_FAILED : status;
}

enum status nvme_machine_disk(unsigned index, struct block_device **device)
{
    const struct pci_function *function =
        index < NVME_MACHINE_DISKS ? nvme_machine_find(index) : NULL;
    if (function == NULL)
        return STATUS_EMPTY;
    struct disk *disk = &disks[index];
    if (!disk->tried)
        disk->status = make(disk, function);
    disk->tried = true;
    *device = &disk->device;
    return disk->status;
}

const struct nvme *nvme_machine_driver(unsigned index)
{
    assert(index < NVME_MACHINE_DISKS);
    return &disks[index].driver;
}
