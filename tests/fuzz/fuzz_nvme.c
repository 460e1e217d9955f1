// SPDX-License-Identifier: MIT
// The NVMe driver and the block layer over a controller that says anything: every call ends within
// its bound, every request ends, no memory is touched but what was given, and what an honest
// controller answers is right. Input (make_nvme_corpus.py writes such):
//   flags: 1 completions, 2 what Identify says, 4 the status register may be anything, 8 aborts lie
//   block size and page size; logarithms of strides, transfers; entries of a queue; namespaces;
//   latency; how often the next completions are wrong and in which way
//   for each request: kind, block, count, offset; from the rest, what is mixed in
#include <stdio.h>
#include <stdlib.h>

#include "nvme_fake.h"

#define REQUESTS 24u
#define BYTES    (12u << 10) // of a request
#define QUEUES   2u
#define LOOK_NS  5000000u

#define MIX_ENTRIES  1u
#define MIX_IDENTIFY 2u
#define MIX_STATUS   4u
#define LYING_ABORTS 8u

struct input {
    const uint8_t *bytes;
    size_t length;
};

static struct {
    struct input input;
    struct nvme_fake fake;
    struct nvme nvme CACHE_ALIGNED;
    struct block_device device;
    struct block_queue queues[QUEUES];
    struct block_request requests[REQUESTS];
    struct block_segment segments[REQUESTS];
    uint8_t memory[REQUESTS][BYTES + PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
} all;

static uint8_t take(void)
{
    if (all.input.length == 0)
        return 0;
    all.input.length--;
    return *all.input.bytes++;
}

// Mostly what it was.
static uint32_t mixed(uint32_t value)
{
    const uint8_t what = take();
    if (what < 0xb0)
        return value;
    if (what == 0xff)
        return UINT32_MAX;
    return what < 0xd0 ? value ^ UINT32_C(1) << (take() & 31) : take() * 0x01010101u;
}

static void mix_entry(void *context, struct nvme_completion *entry)
{
    (void)context;
    entry->result = mixed(entry->result);
    entry->queue = mixed(entry->queue);
    entry->status = mixed(entry->status);
}

static void mix_page(void *context, unsigned what, uint8_t *page)
{
    (void)context;
    (void)what;
    for (unsigned changes = take() & 31; changes > 0; changes--) {
        const unsigned at = take() | (take() & 15u) << 8;
        page[at] = take();
    }
}

static uint32_t read_mixed(void *context, uint64_t offset, unsigned bytes)
{
    const uint32_t value = fake_read(context, offset, bytes);
    return offset == NVME_CSTS ? mixed(value) : value;
}

static struct nvme_config begin(uint8_t flags)
{
    struct nvme_fake *fake = &all.fake;
    fake_init(fake);
    fake->block_log = (uint8_t)(8 + take() % 6);
    fake->cap = UINT64_C(1) << 37 | UINT64_C(1) << 24 | (uint64_t)(take() % 6) << 48 |
                (uint64_t)(take() % 12) << 32;
    fake->mdts = take();
    fake->cap |= take();
    fake->namespaces[1] = take();
    fake->latency_ns = take() * UINT64_C(40000000); // up to 10 s
    fake->deeds = take();
    fake->deed = (enum fake_deed)(take() % (FAKE_SILENT + 1));
    fake->abort = (flags & LYING_ABORTS) != 0 ? (enum fake_abort)(take() & 3) : FAKE_ABORTS;
    fake->look_ns = LOOK_NS;
    fake->queues_most = QUEUES;
    fake->forgiving = flags != 0;
    fake->mangle = (flags & MIX_IDENTIFY) != 0 ? mix_page : NULL;
    fake->mangle_entry = (flags & MIX_ENTRIES) != 0 ? mix_entry : NULL;
    struct nvme_config config = fake_config(fake);
    if ((flags & MIX_STATUS) != 0)
        config.registers.read = read_mixed;
    config.device = &all.device;
    config.queues = QUEUES;
    for (unsigned i = 0; i < REQUESTS; i++)
        all.segments[i].address = fake_region(fake, all.memory[i], sizeof(all.memory[i]));
    return config;
}

// One request of the input; false if it was not taken.
static bool submit(unsigned number)
{
    const struct block_facts *facts = &all.device.facts;
    const uint8_t kind = take();
    const uint64_t first = take() * UINT64_C(0x10001) % facts->blocks;
    const uint32_t count = 1 + take() % (BYTES / facts->block_bytes);
    const uint32_t offset = take() * 4u;
    struct block_segment *segment = &all.segments[number];
    segment->memory = all.memory[number] + offset;
    segment->address += offset;
    segment->bytes = count * facts->block_bytes;
    memset(all.memory[number], 0x5a, sizeof(all.memory[number]));
    block_request_init(&all.requests[number], kind % 16 == 15 ? BLOCK_WRITE : BLOCK_READ, first,
                       count, segment, 1);
    const unsigned queue = kind / 16 % all.device.queue_count;
    const bool batched = kind % 16 >= 10;
    const enum status status =
        batched ? block_batch_operation(&all.device, queue, &all.requests[number])
                : block_submit_request(&all.device, queue, &all.requests[number]);
    if (kind % 4 == 3)
        block_poll(&all.device, queue);
    fake_insist(status != STATUS_OK || all.requests[number].operation == BLOCK_READ);
    return status == STATUS_OK;
}

static void check(unsigned number, bool honest)
{
    const struct block_request *request = &all.requests[number];
    const uint64_t from = request->first * all.device.facts.block_bytes;
    const uint8_t *bytes = all.segments[number].memory;
    fake_insist(block_done(request));
    fake_insist(request->status == STATUS_OK || request->status == STATUS_FAILED ||
                request->status == STATUS_TIMEOUT || request->status == STATUS_ABORTED ||
                request->status == STATUS_CLOSED);
    for (uint32_t i = 0; honest && request->status == STATUS_OK && i < 64; i++)
        fake_insist(bytes[i] == nvme_fake_pattern(from + i));
}

static void read_all(bool honest)
{
    bool taken[REQUESTS] = {false};
    for (unsigned i = 0; i < REQUESTS && all.input.length > 0; i++)
        taken[i] = submit(i);
    const uint64_t start = all.fake.now;
    for (unsigned i = 0; i < REQUESTS; i++) {
        if (!taken[i])
            continue;
        (void)block_poll_wait(&all.device, &all.requests[i]);
        check(i, honest);
    }
    // All were submitted before; time goes in steps, and while others are looked after.
    fake_insist(all.fake.now - start <= 2 * block_bound_ns(&all.device));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    all.input = (struct input){data, size};
    const uint8_t flags = take() & 15;
    const struct nvme_config config = begin(flags);
    const uint64_t start = all.fake.now;
    nvme_init(&all.nvme, &config);
    const struct block_config block = {
        .ops = &nvme_ops, .driver = &all.nvme, .clock = config.clock, .batch_ns = 2 * LOOK_NS};
    const enum status status = block_init(&all.device, &block, all.queues, sizeof(all.queues));
    fake_insist(all.fake.now - start <= BLOCK_RESET_NS_MOST + 10 * LOOK_NS);
    if (status == STATUS_OK) {
        read_all(flags == 0 && (all.fake.deed == FAKE_GOOD || all.fake.deed == FAKE_TWICE));
        (void)nvme_shut_down(&all.nvme);
    } else {
        fake_insist(all.nvme.problem != NULL || status == STATUS_CORRUPT);
    }
    fake_insist(!all.fake.master && all.fake.written == 0);
    fake_insist((all.fake.io_opcodes & ~(UINT64_C(1) << NVME_READ)) == 0);
    fake_free(&all.fake);
    return 0;
}
