// SPDX-License-Identifier: MIT
#include "virtio_machine.h"

#include "pci_boot.h"
#include "pci_virtio.h"
#include "virtio_block.h"

#define DISKS 2u // made use of

static struct block_machine_disk disks[DISKS];
static struct virtio_block drivers[DISKS];

static bool is_disk(const struct pci_function *function)
{
    return function->vendor == PCI_VIRTIO_VENDOR &&
           (function->device == PCI_VIRTIO_BLOCK || function->device == PCI_VIRTIO_BLOCK_BOTH);
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
    return status;
}

static void isolate(void *context)
{
    block_machine_close(context);
}

static void interrupted(void *device, unsigned queue)
{
    block_raise(device, queue);
}

static void *prepare(unsigned index, unsigned queues)
{
    struct block_machine_disk *disk = &disks[index];
    struct virtio_block_config config = {
        .dma = block_machine_dma(),
        .interrupt = block_machine_interrupt(&disk->machine),
        .clock = block_machine_clock(),
        .guard = &disk->guard,
        .queues = queues,
        .interrupted = interrupted,
        .interrupted_context = &disk->device,
        .isolate = isolate,
        .isolate_context = &disk->machine,
    };
    if (find_registers(&disk->machine, &config.registers) != STATUS_OK)
        return NULL;
    virtio_block_init(&drivers[index], &config);
    return &drivers[index];
}

const struct block_machine_kind virtio_machine_disks = {.ops = &virtio_block_ops,
                                                        .disks = disks,
                                                        .count = DISKS,
                                                        .is_disk = is_disk,
                                                        .prepare = prepare};
