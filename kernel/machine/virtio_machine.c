// SPDX-License-Identifier: MIT
#include "virtio_machine.h"

#include "block_machine.h"
#include "machine_cpu.h"
#include "pci_boot.h"
#include "pci_virtio.h"
#include "virtio_block.h"

#define QUEUES_MOST 16u // so that the pool suffices for other disks too

static struct disk {
    bool tried;
    enum status status;
    struct block_machine machine;
    struct block_guard guard; // never opened here
    struct virtio_block driver;
    struct block_device device;
} disks[VIRTIO_MACHINE_DISKS];

static unsigned queues_wanted(void)
{
    return (unsigned)min_u64(machine_cpu_count(), QUEUES_MOST);
}

const struct pci_function *virtio_machine_find(unsigned index)
{
    const struct pci *pci = pci_boot_found();
    for (unsigned i = 0; i < pci->count; i++) {
        const struct pci_function *function = &pci->functions[i];
        const bool disk =
            function->vendor == PCI_VIRTIO_VENDOR &&
            (function->device == PCI_VIRTIO_BLOCK || function->device == PCI_VIRTIO_BLOCK_BOTH);
        if (disk && index-- == 0)
            return function;
    }
    return NULL;
}

static enum status map(const struct block_machine *machine, const struct pci_virtio_place *place,
                       struct memory_access *registers)
{
    return block_machine_registers(machine, place->bar, place->offset, place->bytes, registers);
}

static enum status find_registers(const struct block_machine *machine,
                                  struct virtio_registers *registers)
{
    struct pci_virtio found;
    *registers = (struct virtio_registers){0};
    enum status status = pci_virtio_find(pci_boot_access(), machine->function, &found);
    if (status == STATUS_OK)
        status = map(machine, &found.common, &registers->common);
    if (status == STATUS_OK)
        status = map(machine, &found.notify, &registers->notify);
    if (status == STATUS_OK && found.device.bytes > 0)
        status = map(machine, &found.device, &registers->device);
    registers->notify_multiplier = found.notify_multiplier;
    return status == STATUS_OK ? STATUS_OK : STATUS_INVALID;
}

static void isolate(void *context)
{
    block_machine_close(context);
}

static enum status make_device(struct disk *disk, struct device_clock clock)
{
    const struct device_dma dma = block_machine_dma();
    const struct block_config config = {
        .ops = &virtio_block_ops,
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
    struct virtio_block_config config = {
        .dma = block_machine_dma(),
        .interrupt = block_machine_interrupt(&disk->machine),
        .clock = clock,
        .guard = &disk->guard,
        .queues = queues_wanted(),
        .interrupted = block_machine_interrupted,
        .interrupted_context = &disk->device,
        .isolate = isolate,
        .isolate_context = &disk->machine,
    };
    status = find_registers(&disk->machine, &config.registers);
    if (status == STATUS_OK) {
        virtio_block_init(&disk->driver, &config);
        status = make_device(disk, clock);
    }
    if (status != STATUS_OK)
        block_machine_close(&disk->machine);
    return status;
}

enum status virtio_machine_disk(unsigned index, struct block_device **device)
{
    const struct pci_function *function =
        index < VIRTIO_MACHINE_DISKS ? virtio_machine_find(index) : NULL;
    if (function == NULL)
        return STATUS_EMPTY;
    struct disk *disk = &disks[index];
    if (!disk->tried)
        disk->status = make(disk, function);
    disk->tried = true;
    *device = &disk->device;
    return disk->status;
}
