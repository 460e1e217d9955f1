// SPDX-License-Identifier: MIT
#include "nvme_machine.h"

#include "nvme.h"
#include "pci_boot.h"

// Mass storage, non-volatile memory, NVM Express (PCI Code and ID Assignment Specification 1.11).
#define CLASS          0x010802u
#define DISKS          2u          // made use of
#define REGISTERS_MOST (64u << 10) // doorbells of all queues at strides up to 256 bytes

static struct block_machine_disk disks[DISKS];
static struct nvme drivers[DISKS];

static bool is_disk(const struct pci_function *function)
{
    return function->class_code == CLASS;
}

static void master(void *context, bool on)
{
    const struct block_machine *machine = context;
    pci_command(pci_boot_access(), machine->function->address, on ? PCI_COMMAND_MASTER : 0,
                on ? 0 : PCI_COMMAND_MASTER);
}

static void *prepare(unsigned index, unsigned queues)
{
    struct block_machine_disk *disk = &disks[index];
    struct nvme_config config = {
        .dma = block_machine_dma(),
        .interrupt = block_machine_interrupt(&disk->machine),
        .clock = block_machine_clock(),
        .bus = &disk->machine,
        .master = master,
        .guard = &disk->guard,
        .queues = queues,
        .device = &disk->device,
    };
    const uint64_t bytes = min_u64(disk->machine.function->bars[0].size, REGISTERS_MOST);
    if (block_machine_registers(&disk->machine, 0, 0, bytes, &config.registers) != STATUS_OK)
        return NULL;
    nvme_init(&drivers[index], &config);
    return &drivers[index];
}

static void shut_down(unsigned index)
{
    (void)nvme_shut_down(&drivers[index]); // it is cut off in any case
}

const struct block_machine_kind nvme_machine_disks = {.ops = &nvme_ops,
                                                      .disks = disks,
                                                      .count = DISKS,
                                                      .is_disk = is_disk,
                                                      .prepare = prepare,
                                                      .shut_down = shut_down};
