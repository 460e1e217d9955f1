// SPDX-License-Identifier: MIT
// A virtio disk is brought into use (virtio 1.2, 3.1.1), at first and after each reset.
#include "assert.h"
#include "string.h"
#include "virtio_block.h"

// 5.2.4: places in the device's configuration
#define CAPACITY   0u
#define SIZE_MAX_  8u
#define SEG_MAX_   12u
#define BLK_SIZE   20u
#define NUM_QUEUES 34u

#define SECTOR_BYTES 512u

#define WANTED                                                                                     \
    (VIRTIO_FEATURE_VERSION_1 | VIRTIO_FEATURE_ACCESS_PLATFORM | VIRTIO_FEATURE_ORDER_PLATFORM |   \
     VIRTIO_FEATURE_INDIRECT | VIRTIO_FEATURE_EVENT | VIRTIO_BLOCK_SIZE_MAX |                      \
     VIRTIO_BLOCK_SEG_MAX | VIRTIO_BLOCK_RO | VIRTIO_BLOCK_BLK_SIZE | VIRTIO_BLOCK_FLUSH |         \
     VIRTIO_BLOCK_MQ)

// ---- what it is ---------------------------------------------------------------------------------

// A field that is there if the feature is.
static enum status read_field(const struct virtio_block *block, uint64_t feature, unsigned offset,
                              unsigned bytes, uint32_t *value)
{
    if ((block->features & feature) == 0)
        return STATUS_OK;
    *value = 0;
    return virtio_read_config(&block->config.registers, offset, bytes, bytes, value);
}

// Everything but queues and serial number.
static enum status read_facts(const struct virtio_block *block, struct block_facts *facts)
{
    uint64_t sectors = 0;
    uint32_t block_bytes = SECTOR_BYTES, segment_bytes = UINT32_MAX, segments = 1;
    const struct virtio_registers *registers = &block->config.registers;
    enum status status = virtio_read_config(registers, CAPACITY, 4, sizeof(sectors), &sectors);
    if (status == STATUS_OK)
        status = read_field(block, VIRTIO_BLOCK_SIZE_MAX, SIZE_MAX_, 4, &segment_bytes);
    if (status == STATUS_OK)
        status = read_field(block, VIRTIO_BLOCK_SEG_MAX, SEG_MAX_, 4, &segments);
    if (status == STATUS_OK)
        status = read_field(block, VIRTIO_BLOCK_BLK_SIZE, BLK_SIZE, 4, &block_bytes);
    if (status != STATUS_OK)
        return status;
    if (block_bytes < SECTOR_BYTES || block_bytes > PAGE_SIZE ||
        (block_bytes & (block_bytes - 1)) != 0 || segment_bytes < block_bytes ||
        sectors < block_bytes / SECTOR_BYTES || sectors > UINT64_MAX / SECTOR_BYTES)
        return STATUS_CORRUPT;
    *facts = (struct block_facts){
        .block_bytes = block_bytes,
        .blocks = sectors / (block_bytes / SECTOR_BYTES),
        // A request in one segment is as large as a segment may be.
        .transfer_bytes =
            (uint32_t)(min_u64(segment_bytes, VIRTIO_BLOCK_TRANSFER) / block_bytes * block_bytes),
        .segments = (uint32_t)max_u64(segments, 1),
        .scatter = true,
        .read_only = (block->features & VIRTIO_BLOCK_RO) != 0,
        .reset_ns = VIRTIO_BLOCK_RESET_NS * 2,
        .model = "virtio-blk",
    };
    return STATUS_OK;
}

// ---- queues -------------------------------------------------------------------------------------

static void interrupted(void *argument)
{
    const struct virtio_block_queue *queue = argument;
    const struct virtio_block_config *config = &queue->block->config;
    // Whom the block layer does not know yet has nobody to tell.
    if (__atomic_load_n(&queue->unmasked, __ATOMIC_RELAXED) != 0)
        config->interrupted(config->interrupted_context, queue->index);
}

// How many queues are made use of, as far as device and caller say.
static enum status count_queues(struct virtio_block *block)
{
    const struct device_interrupt *interrupt = &block->config.interrupt;
    uint32_t queues = 1;
    const enum status status = read_field(block, VIRTIO_BLOCK_MQ, NUM_QUEUES, 2, &queues);
    if (status != STATUS_OK)
        return status;
    queues = (uint32_t)min_u64(queues, virtio_queue_count(&block->config.registers));
    queues = (uint32_t)min_u64(queues, block->config.queues);
    if (block->messages)
        queues = (uint32_t)min_u64(queues, interrupt->vectors);
    block->queue_count = queues;
    return queues > 0 ? STATUS_OK : STATUS_CORRUPT;
}

static enum status make_queue(struct virtio_block *block, unsigned index, uint16_t size)
{
    struct virtio_block_queue *queue = &block->queues[index];
    const struct virtio_queue_config config = {
        .dma = block->config.dma,
        .size = size,
        .indirect = (block->features & VIRTIO_FEATURE_INDIRECT) != 0,
        .event = (block->features & VIRTIO_FEATURE_EVENT) != 0,
    };
    enum status status = virtio_queue_init(&queue->ring, &config);
    if (status != STATUS_OK)
        return status;
    _Static_assert(VIRTIO_QUEUE_DEPTH * sizeof(struct virtio_block_header) <= PAGE_SIZE, "a page");
    queue->headers = config.dma.allocate(config.dma.context, 1, &queue->headers_address);
    if (queue->headers == NULL)
        return STATUS_NO_MEMORY;
    queue->block = block;
    queue->index = index;
    block->queues_made = index + 1;
    return STATUS_OK;
}

static enum status ready_queue(struct virtio_block *block, unsigned index)
{
    struct virtio_block_queue *queue = &block->queues[index];
    uint16_t size = 0;
    enum status status =
        virtio_queue_find(&block->config.registers, index, &size, &queue->doorbell);
    if (status != STATUS_OK)
        return status;
    if (index >= block->queues_made)
        return make_queue(block, index, size);
    virtio_queue_restart(&queue->ring);
    return size >= queue->ring.size ? STATUS_OK : STATUS_CORRUPT;
}

// Makes the queues ready, fewer where memory does not suffice for all.
static enum status ready_queues(struct virtio_block *block)
{
    for (unsigned i = 0; i < block->queue_count; i++) {
        const enum status status = ready_queue(block, i);
        if (status == STATUS_NO_MEMORY && i > 0 && !block->identified)
            block->queue_count = i;
        else if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void disconnect(struct virtio_block *block)
{
    const struct device_interrupt *interrupt = &block->config.interrupt;
    for (unsigned i = 0; block->messages && i < block->queue_count; i++)
        interrupt->disconnect(interrupt->context, i);
    block->messages = false;
}

// Each queue's vector goes to a CPU of its own, or there are no interrupts at all.
static void connect(struct virtio_block *block)
{
    const struct device_interrupt *interrupt = &block->config.interrupt;
    for (unsigned i = 0; i < block->queue_count; i++) {
        if (interrupt->connect(interrupt->context, i, i, interrupted, &block->queues[i]) ==
            STATUS_OK)
            continue;
        if (i == 0)
            block->messages = false;
        else
            block->queue_count = i;
        break;
    }
}

// ---- start --------------------------------------------------------------------------------------

// From reset to running. STATUS_NO_MEMORY also: the device has no room for our vectors.
static enum status start(struct virtio_block *block)
{
    const struct virtio_registers *registers = &block->config.registers;
    struct block_facts facts;
    uint64_t features;
    enum status status = virtio_reset(registers, &block->config.clock, VIRTIO_BLOCK_RESET_NS);
    if (status == STATUS_OK)
        status = virtio_negotiate(registers, WANTED, &features);
    if (status != STATUS_OK)
        return status;
    // What the queues were made for; and another device than it was would not do.
    if (block->queues_made > 0 && features != block->features)
        return STATUS_FAILED;
    block->features = features;
    status = read_facts(block, &facts);
    if (status != STATUS_OK)
        return status;
    if (block->identified) {
        if (facts.blocks != block->facts.blocks || facts.block_bytes != block->facts.block_bytes)
            return STATUS_FAILED;
    } else {
        block->facts = facts;
        block->sector_shift = log2_u64(facts.block_bytes);
        status = count_queues(block);
        if (status != STATUS_OK)
            return status;
    }
    status = ready_queues(block);
    if (status == STATUS_OK && block->messages && !block->identified)
        connect(block);
    for (unsigned i = 0; i < block->queue_count && status == STATUS_OK; i++)
        status = virtio_queue_enable(registers, i, &block->queues[i].ring,
                                     (uint16_t)(block->messages ? i : VIRTIO_NO_VECTOR));
    return status == STATUS_OK ? virtio_start(registers) : status;
}

// 5.2.6: the serial number. A device without says so, and has none.
static enum status read_serial(struct virtio_block *block)
{
    const struct device_clock *clock = &block->config.clock;
    struct virtio_block_queue *queue = &block->queues[0];
    // Behind the headers there is room in their page.
    const size_t at = VIRTIO_QUEUE_DEPTH * sizeof(struct virtio_block_header);
    _Static_assert(VIRTIO_QUEUE_DEPTH * sizeof(struct virtio_block_header) + VIRTIO_BLOCK_SERIAL <=
                       PAGE_SIZE,
                   "a page");
    char *text = (char *)queue->headers + at;
    const struct block_segment segment = {
        .memory = text, .address = queue->headers_address + at, .bytes = VIRTIO_BLOCK_SERIAL};
    struct block_request request, *done;
    block_request_init(&request, BLOCK_READ, 0, 0, &segment, 1);
    enum status status = virtio_block_put(block, queue, VIRTIO_BLOCK_GET_ID, &request);
    if (status != STATUS_OK)
        return status;
    virtio_block_ring(block, 0);
    const uint64_t began = device_ticks(clock);
    while (virtio_block_poll(block, 0, &done, 1) == 0) {
        if (device_ticks(clock) - began >= device_ticks_of(clock, VIRTIO_BLOCK_RESET_NS) ||
            virtio_queue_broken(&queue->ring))
            return STATUS_TIMEOUT;
        cpu_pause();
    }
    for (unsigned i = 0; request.status == STATUS_OK && i < VIRTIO_BLOCK_SERIAL; i++) {
        if (text[i] < ' ' || text[i] > '~')
            break;
        block->facts.serial[i] = text[i];
    }
    return STATUS_OK;
}

// A device that cannot be used keeps its hands off our memory.
static enum status lose(struct virtio_block *block, enum status status)
{
    virtio_give_up(&block->config.registers);
    block->config.isolate(block->config.isolate_context);
    return status;
}

enum status virtio_block_identify(void *driver, struct block_facts *facts)
{
    struct virtio_block *block = driver;
    assert(!block->identified);
    block->messages = block->config.interrupt.vectors > 0;
    enum status status = start(block);
    if (status == STATUS_NO_MEMORY && block->messages) {
        disconnect(block);
        status = start(block);
    }
    if (status == STATUS_OK)
        status = read_serial(block);
    if (status != STATUS_OK) {
        disconnect(block);
        return lose(block, status);
    }
    block->identified = true;
    block->facts.queues = block->queue_count;
    block->facts.interrupts = block->messages;
    block->facts.depth = VIRTIO_QUEUE_DEPTH;
    for (unsigned i = 0; i < block->queue_count; i++) {
        const struct virtio_queue *ring = &block->queues[i].ring;
        block->facts.depth = (uint32_t)min_u64(block->facts.depth, ring->depth);
        block->facts.segments = (uint32_t)min_u64(block->facts.segments, ring->links - 2u);
    }
    *facts = block->facts;
    return STATUS_OK;
}

enum status virtio_block_reset(void *driver)
{
    struct virtio_block *block = driver;
    const enum status status = start(block);
    return status == STATUS_OK ? STATUS_OK : lose(block, status);
}
