// SPDX-License-Identifier: MIT
// The machine's disks for benchmarks: those whose drivers bring them up.
#include "block_machine.h"
#include "boot_log.h"
#include "compiler.h"
#include "kernel.h"
#include "nvme_machine.h"
#include "platform.h"
#include "string.h"
#include "virtio_machine.h"

#define BLOCKS_MOST 4u
#define EACH_MOST   8u // functions of a kind that are looked at

// One that does not answer may take 30 s; none is begun after so many in all.
#define LOOK_NS UINT64_C(60000000000)

// In the order in which claims are judged on them.
static const struct {
    const char *name;
    const struct block_machine_kind *kind;
} kinds[] = {
    {"nvme", &nvme_machine_disks},
    {"virtio", &virtio_machine_disks},
};

static struct platform_block blocks[BLOCKS_MOST];
static unsigned block_count;
static bool looked;

// The serial number of a disk that was made for benchmarks (machines.py) is this and the generation
// of its pattern.
#define PATTERN_SERIAL "pattern-"

static uint64_t generation_of(const struct block_device *device)
{
    const char *const serial = device->facts.serial;
    uint64_t generation = 0;
    if (!string_starts(serial, PATTERN_SERIAL) ||
        !string_to_u64(serial + sizeof(PATTERN_SERIAL) - 1, UINT64_MAX, &generation))
        return 0;
    return generation;
}

static void add(const char *name, unsigned index, enum status status, struct block_device *device)
{
    const struct device_dma dma = block_machine_dma();
    struct platform_block *block = &blocks[block_count];
    *block = (struct platform_block){.name = name, .device = device, .bytes = PLATFORM_BLOCK_BYTES};
    if (status == STATUS_OK) {
        block->generation = generation_of(device);
        block->memory = dma.allocate(dma.context, block->bytes / PAGE_SIZE, &block->address);
        status = block->memory != NULL ? STATUS_OK : STATUS_NO_MEMORY;
    }
    if (status == STATUS_OK)
        block_count++;
    else
        boot_log("%s disk %u is not used: status %d", name, index, (int)status);
}

static void look(void)
{
    const uint64_t start = platform_clock_ns();
    looked = true;
    for (unsigned kind = 0; kind < ARRAY_COUNT(kinds); kind++) {
        for (unsigned i = 0; i < EACH_MOST && block_count < BLOCKS_MOST; i++) {
            struct block_device *device = NULL;
            const uint64_t begun = platform_clock_ns();
            if (begun - start > LOOK_NS) {
                boot_log("disks took too long to answer: none is looked at from %s disk %u on",
                         kinds[kind].name, i);
                return;
            }
            const enum status status = block_machine_disk(kinds[kind].kind, i, &device);
            const uint64_t took_ms = (platform_clock_ns() - begun) / 1000000;
            if (status == STATUS_EMPTY)
                break;
            if (took_ms >= 1000)
                boot_log("%s disk %u took %lu ms", kinds[kind].name, i, took_ms);
            add(kinds[kind].name, i, status, device);
        }
    }
}

void kernel_shut_down_blocks(void)
{
    for (unsigned kind = 0; kind < ARRAY_COUNT(kinds); kind++)
        block_machine_shut_down(kinds[kind].kind);
    block_count = 0;
}

bool platform_block(unsigned index, struct platform_block *found)
{
    if (!looked)
        look();
    if (index >= block_count)
        return false;
    *found = blocks[index];
    return true;
}
