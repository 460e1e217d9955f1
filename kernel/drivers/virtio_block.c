// SPDX-License-Identifier: MIT
#include "virtio_block.h"

#include "assert.h"

#define SECTOR_SHIFT 9u // sectors have 512 bytes, whatever a block has (5.2.6)

// 5.2.6: answers
#define ANSWER_OK          0u
#define ANSWER_ERROR       1u
#define ANSWER_UNSUPPORTED 2u

static const struct block_guard nothing_written;

void virtio_block_init(struct virtio_block *block, const struct virtio_block_config *config)
{
    assert(config->queues > 0 && config->queues <= BLOCK_QUEUES_MOST);
    assert(config->registers.common.length >= VIRTIO_COMMON_BYTES);
    assert(config->interrupted != NULL && config->isolate != NULL);
    *block = (struct virtio_block){.config = *config};
    if (block->config.guard == NULL)
        block->config.guard = &nothing_written;
}

// ---- to the device ------------------------------------------------------------------------------

static bool guarded(const struct virtio_block *block, uint32_t type,
                    const struct block_request *request)
{
    const struct block_guard *guard = block->config.guard;
    if (!block_guard_allows(guard, BLOCK_PROTOCOL_VIRTIO, type))
        return false;
    if (type == VIRTIO_BLOCK_SYNC)
        return !block->facts.read_only;
    return type != VIRTIO_BLOCK_OUT ||
           (!block->facts.read_only &&
            block_guard_allows_range(guard, request->first, request->count));
}

enum status virtio_block_put(struct virtio_block *block, struct virtio_block_queue *queue,
                             uint32_t type, struct block_request *request)
{
    if (!guarded(block, type, request))
        return STATUS_REFUSED;
    if (request->segment_count + 2 > queue->ring.links)
        return STATUS_TOO_LARGE;
    struct virtio_chain chain;
    if (!virtio_queue_begin(&queue->ring, &chain))
        return STATUS_FULL;
    struct virtio_block_header *header = &queue->headers[chain.slot];
    const uint64_t address = queue->headers_address + chain.slot * sizeof(*header);
    header->type = type;
    header->reserved = 0;
    header->sector = request->first << (block->sector_shift - SECTOR_SHIFT);
    header->answer = VIRTIO_BLOCK_NO_ANSWER;
    virtio_chain_add(&chain, address, offsetof(struct virtio_block_header, answer), 0);
    const uint16_t flags = type == VIRTIO_BLOCK_OUT ? 0 : VIRTIO_LINK_WRITE;
    for (uint32_t i = 0; i < request->segment_count; i++)
        virtio_chain_add(&chain, request->segments[i].address, request->segments[i].bytes, flags);
    virtio_chain_add(&chain, address + offsetof(struct virtio_block_header, answer), 1,
                     VIRTIO_LINK_WRITE);
    virtio_queue_put(&queue->ring, &chain, request);
    return STATUS_OK;
}

static enum status submit(void *driver, unsigned index, struct block_request *request)
{
    static const uint32_t types[BLOCK_OPERATIONS] = {
        [BLOCK_READ] = VIRTIO_BLOCK_IN,
        [BLOCK_WRITE] = VIRTIO_BLOCK_OUT,
        [BLOCK_FLUSH] = VIRTIO_BLOCK_SYNC,
    };
    struct virtio_block *block = driver;
    if ((unsigned)request->operation >= BLOCK_OPERATIONS)
        return STATUS_REFUSED;
    // 5.2.6.1: without the feature there is nothing to flush, and no command for it.
    if (request->operation == BLOCK_FLUSH && (block->features & VIRTIO_BLOCK_FLUSH) == 0)
        return STATUS_INVALID;
    return virtio_block_put(block, &block->queues[index], types[request->operation], request);
}

void virtio_block_ring(void *driver, unsigned index)
{
    struct virtio_block *block = driver;
    struct virtio_block_queue *queue = &block->queues[index];
    if (virtio_queue_publish(&queue->ring))
        virtio_notify(&block->config.registers, queue->doorbell, index);
}

// ---- from the device ----------------------------------------------------------------------------

// What became of a request. False: nothing; it is the device's still.
static bool conclude(struct virtio_block_queue *queue, const struct virtio_taken *taken,
                     struct block_request *request)
{
    const struct virtio_block_header *header = &queue->headers[taken->slot];
    const uint8_t answer = __atomic_load_n(&header->answer, __ATOMIC_RELAXED);
    if (UNLIKELY(answer == VIRTIO_BLOCK_NO_ANSWER)) {
        queue->faults.unanswered++;
        return false;
    }
    // One that writes may count nothing at all, not even its answer: nothing depends on it.
    const bool read_all = taken->bytes == taken->writable || taken->writable == 1;
    const bool fits = taken->bytes <= taken->writable;
    request->device_status = answer;
    if (LIKELY(answer == ANSWER_OK && fits && read_all)) {
        request->status = STATUS_OK;
    } else if (fits && (answer == ANSWER_ERROR || answer == ANSWER_UNSUPPORTED)) {
        request->status = STATUS_FAILED;
    } else {
        queue->faults.answers += answer > ANSWER_UNSUPPORTED;
        queue->faults.lengths += answer <= ANSWER_UNSUPPORTED;
        request->status = STATUS_CORRUPT;
    }
    return true;
}

unsigned virtio_block_poll(void *driver, unsigned index, struct block_request **done, unsigned most)
{
    struct virtio_block_queue *queue = &((struct virtio_block *)driver)->queues[index];
    struct virtio_queue *ring = &queue->ring;
    struct virtio_taken taken;
    unsigned count = 0;
    // Each turn of either loop but the last takes one; those on their way are no more than slots.
    do {
        while (count < most && virtio_queue_take(ring, &taken)) {
            if (UNLIKELY(!conclude(queue, &taken, taken.owner))) {
                virtio_queue_break(ring);
                break;
            }
            virtio_queue_release(ring, taken.slot);
            done[count++] = taken.owner;
        }
    } while (count < most && ring->armed && ring->event && virtio_queue_arm(ring) &&
             !virtio_queue_broken(ring));
    return count;
}

static void arm(void *driver, unsigned index)
{
    struct virtio_block *block = driver;
    struct virtio_block_queue *queue = &block->queues[index];
    (void)virtio_queue_arm(&queue->ring);
    if (__atomic_exchange_n(&queue->unmasked, 1, __ATOMIC_RELAXED) == 0)
        block->config.interrupt.unmask(block->config.interrupt.context, index);
}

static void disarm(void *driver, unsigned index)
{
    virtio_queue_disarm(&((struct virtio_block *)driver)->queues[index].ring);
}

static enum status cannot_abort(void *driver, unsigned index, struct block_request *request)
{
    (void)driver;
    (void)index;
    (void)request;
    return STATUS_REFUSED;
}

static enum block_health health(void *driver)
{
    const struct virtio_block *block = driver;
    const uint8_t status = virtio_device_status(&block->config.registers);
    for (unsigned i = 0; i < block->queue_count; i++) {
        if (UNLIKELY(virtio_queue_broken(&block->queues[i].ring)))
            return virtio_gone(&block->config.registers) ? BLOCK_GONE : BLOCK_NEEDS_RESET;
    }
    if (LIKELY((status & VIRTIO_STATUS_DRIVER_OK) != 0 &&
               (status & (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)) == 0))
        return BLOCK_HEALTHY;
    return virtio_gone(&block->config.registers) ? BLOCK_GONE : BLOCK_NEEDS_RESET;
}

const struct block_device_ops virtio_block_ops = {
    .name = "virtio",
    .identify = virtio_block_identify,
    .submit = submit,
    .ring = virtio_block_ring,
    .poll = virtio_block_poll,
    .arm = arm,
    .disarm = disarm,
    .abort = cannot_abort,
    .reset = virtio_block_reset,
    .health = health,
};
