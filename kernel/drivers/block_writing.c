// SPDX-License-Identifier: MIT
// Reading in one piece, and opening a device's range for writing.
#include "block.h"

enum status block_read(struct block_device *device, unsigned queue, uint64_t first, uint32_t count,
                       const struct block_segment *memory)
{
    const struct block_facts *facts = &device->facts;
    uint32_t most = facts->transfer_bytes / facts->block_bytes;
    // Whole pages, where a request can have as much: the next piece begins at one.
    const uint32_t page = PAGE_SIZE / facts->block_bytes;
    most = most > page ? most - most % page : most;
    for (uint32_t done = 0; done < count; done += most) {
        const uint64_t at = (uint64_t)done * facts->block_bytes;
        const uint32_t blocks = (uint32_t)min_u64(most, count - done);
        const struct block_segment segment = {.memory = (char *)memory->memory + at,
                                              .address = memory->address + at,
                                              .bytes = blocks * facts->block_bytes};
        struct block_request request;
        block_request_init(&request, BLOCK_READ, first + done, blocks, &segment, 1);
        enum status status = block_submit_request(device, queue, &request);
        if (status == STATUS_OK)
            status = block_poll_wait(device, &request);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

struct reading {
    struct block_device *device;
    const struct block_segment *memory;
};

static enum status read_for_guard(void *context, uint64_t first, uint32_t count, void *buffer)
{
    const struct reading *reading = context;
    (void)buffer; // reading->memory, as the CPU sees it
    return block_read(reading->device, 0, first, count, reading->memory);
}

enum status block_open_for_writing(struct block_device *device, struct block_guard *guard,
                                   const struct block_guard_wish *wish,
                                   const struct block_segment *memory, const char **reason)
{
    struct reading reading = {.device = device, .memory = memory};
    const struct block_guard_disk disk = {.context = &reading,
                                          .read = read_for_guard,
                                          .block_bytes = device->facts.block_bytes,
                                          .blocks = device->facts.blocks,
                                          .serial = device->facts.serial};
    if (device->facts.read_only) {
        *guard = (struct block_guard){0};
        *reason = "the device is read-only";
        return STATUS_REFUSED;
    }
    return block_guard_open(guard, &disk, wish, memory->memory, reason);
}
