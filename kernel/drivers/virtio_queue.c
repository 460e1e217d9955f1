// SPDX-License-Identifier: MIT
#include "virtio_queue.h"

#include "assert.h"
#include "string.h"

// Words of the ring of what is available: flags, index, the ring, the event.
#define FLAGS 0u
#define INDEX 1u
#define RING  2u

#define NO_INTERRUPT 1u // 2.7.6, for queues without events
#define NO_NOTIFY    1u // 2.7.8

// Slots of a queue whose chains stand in its own table: enough to keep a device busy, before chains
// get longer.
#define DIRECT_SLOTS 16u

// ---- making one ---------------------------------------------------------------------------------

static uint16_t *used_event(const struct virtio_queue *queue)
{
    return queue->available + RING + queue->size;
}

// A power of two (4.1.4.3: a driver may make a queue smaller).
static uint16_t size_of(const struct virtio_queue_config *config)
{
    const uint64_t most = config->indirect ? VIRTIO_QUEUE_DEPTH : VIRTIO_QUEUE_SIZE;
    return (uint16_t)(1u << log2_u64(min_u64(config->size, most)));
}

static void set_shape(struct virtio_queue *queue, const struct virtio_queue_config *config)
{
    queue->indirect = config->indirect;
    queue->event = config->event;
    queue->size = size_of(config);
    queue->links = VIRTIO_QUEUE_LINKS;
    queue->depth = queue->size;
    if (queue->indirect)
        return;
    queue->links = (uint16_t)min_u64(max_u64(queue->size / DIRECT_SLOTS, VIRTIO_CHAIN_LEAST),
                                     VIRTIO_QUEUE_LINKS);
    queue->depth = (uint16_t)min_u64(queue->size / queue->links, VIRTIO_QUEUE_DEPTH);
}

enum status virtio_queue_init(struct virtio_queue *queue, const struct virtio_queue_config *config)
{
    *queue = (struct virtio_queue){0};
    if (config->size == 0 || (!config->indirect && config->size < VIRTIO_CHAIN_LEAST))
        return STATUS_INVALID;
    set_shape(queue, config);
    if (queue->depth == 0)
        return STATUS_INVALID;
    // Alignments of 2.7: 16, 2, 4.
    const size_t table = queue->size * sizeof(struct virtio_descriptor);
    const size_t available = (RING + queue->size + 1u) * sizeof(uint16_t);
    const size_t used =
        2 * sizeof(uint16_t) + queue->size * sizeof(struct virtio_used_entry) + sizeof(uint16_t);
    const size_t used_at = align_up(table + available, CACHE_LINE);
    const size_t chains_at = align_up(used_at + used, CACHE_LINE);
    const size_t chains =
        queue->indirect ? (size_t)queue->depth * queue->links * sizeof(struct virtio_descriptor)
                        : 0;
    uint64_t address;
    uint8_t *memory = config->dma.allocate(
        config->dma.context, align_up(chains_at + chains, PAGE_SIZE) / PAGE_SIZE, &address);
    if (memory == NULL)
        return STATUS_NO_MEMORY;
    queue->descriptors = (struct virtio_descriptor *)memory;
    queue->available = (uint16_t *)(memory + table);
    queue->used_words = (uint16_t *)(memory + used_at);
    queue->used = (struct virtio_used_entry *)(queue->used_words + 2);
    queue->avail_event = (uint16_t *)(queue->used + queue->size);
    queue->chains =
        queue->indirect ? (struct virtio_descriptor *)(memory + chains_at) : queue->descriptors;
    queue->descriptors_address = address;
    queue->available_address = address + table;
    queue->used_address = address + used_at;
    queue->chains_address = address + chains_at;
    virtio_queue_restart(queue);
    return STATUS_OK;
}

void virtio_queue_restart(struct virtio_queue *queue)
{
    memset(queue->descriptors, 0, queue->size * sizeof(struct virtio_descriptor));
    memset(queue->available, 0, (RING + queue->size + 1u) * sizeof(uint16_t));
    memset(queue->used_words, 0, 2 * sizeof(uint16_t));
    memset(queue->used, 0, queue->size * sizeof(struct virtio_used_entry));
    *queue->avail_event = 0;
    queue->next_available = queue->published = queue->next_used = 0;
    queue->free_count = queue->depth;
    for (unsigned i = 0; i < queue->depth; i++) {
        queue->free[i] = (uint8_t)(queue->depth - 1 - i);
        queue->owners[i] = NULL;
    }
    __atomic_store_n(&queue->broken, 0, __ATOMIC_RELAXED);
    virtio_queue_disarm(queue);
}

// ---- to the device ------------------------------------------------------------------------------

void virtio_queue_put(struct virtio_queue *queue, struct virtio_chain *chain, void *owner)
{
    const unsigned slot = chain->slot;
    assert(owner != NULL && queue->owners[slot] == NULL);
    assert(chain->count > 0 && chain->count <= queue->links);
    struct virtio_descriptor *last = &chain->links[chain->count - 1];
    last->flags &= (uint16_t)~VIRTIO_LINK_NEXT;
    last->next = 0;
    unsigned head = chain->base;
    if (queue->indirect) {
        const uint64_t offset = (uint64_t)slot * queue->links * sizeof(struct virtio_descriptor);
        head = slot;
        queue->descriptors[slot] = (struct virtio_descriptor){
            .address = queue->chains_address + offset,
            .bytes = (uint32_t)(chain->count * sizeof(struct virtio_descriptor)),
            .flags = VIRTIO_LINK_INDIRECT,
        };
    }
    queue->free_count--;
    queue->owners[slot] = owner;
    queue->writable[slot] = chain->writable;
    queue->available[RING + (queue->next_available & (queue->size - 1u))] = (uint16_t)head;
    queue->next_available++;
}

bool virtio_queue_publish(struct virtio_queue *queue)
{
    const uint16_t before = queue->published, now = queue->next_available;
    if (before == now)
        return false;
    queue->published = now;
    // An exchange orders the chains, and their place in the ring, before the index for the device;
    // and the index before the look at what it wants to be told of (2.7.13.3, 2.7.13.4).
    __atomic_exchange_n(&queue->available[INDEX], now, __ATOMIC_SEQ_CST);
    if (!queue->event)
        return (__atomic_load_n(&queue->used_words[FLAGS], __ATOMIC_RELAXED) & NO_NOTIFY) == 0;
    // 2.7.10: when the index passes the event.
    const uint16_t event = __atomic_load_n(queue->avail_event, __ATOMIC_RELAXED);
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

// ---- from the device ----------------------------------------------------------------------------

void virtio_queue_break(struct virtio_queue *queue)
{
    __atomic_store_n(&queue->broken, 1, __ATOMIC_RELAXED);
}

// The slot that an id stands for, whatever the device says.
static bool slot_of(struct virtio_queue *queue, uint32_t id, unsigned *slot)
{
    const uint32_t step = queue->indirect ? 1 : queue->links;
    *slot = id / step;
    if (id % step != 0 || *slot >= queue->depth) {
        queue->faults.ids++;
        return false;
    }
    if (queue->owners[*slot] == NULL) {
        queue->faults.strays++;
        return false;
    }
    return true;
}

bool virtio_queue_take(struct virtio_queue *queue, struct virtio_taken *taken)
{
    // Acquire: the entries, and the memory of their chains, were written before the index.
    const uint16_t index = __atomic_load_n(&queue->used_words[INDEX], __ATOMIC_ACQUIRE);
    const uint16_t count = (uint16_t)(index - queue->next_used);
    if (count == 0 || UNLIKELY(virtio_queue_broken(queue)))
        return false;
    const unsigned unpublished = (uint16_t)(queue->next_available - queue->published);
    if (UNLIKELY(count > queue->depth - queue->free_count - unpublished)) {
        queue->faults.jumps++;
        virtio_queue_break(queue);
        return false;
    }
    const struct virtio_used_entry *entry = &queue->used[queue->next_used & (queue->size - 1u)];
    const uint32_t id = __atomic_load_n(&entry->id, __ATOMIC_RELAXED);
    unsigned slot;
    if (UNLIKELY(!slot_of(queue, id, &slot))) {
        virtio_queue_break(queue);
        return false;
    }
    *taken = (struct virtio_taken){
        .owner = queue->owners[slot],
        .slot = slot,
        .bytes = __atomic_load_n(&entry->bytes, __ATOMIC_RELAXED),
        .writable = queue->writable[slot],
    };
    queue->next_used++;
    return true;
}

void virtio_queue_release(struct virtio_queue *queue, unsigned slot)
{
    assert(slot < queue->depth && queue->owners[slot] != NULL);
    queue->owners[slot] = NULL;
    queue->free[queue->free_count++] = (uint8_t)slot;
}

bool virtio_queue_arm(struct virtio_queue *queue)
{
    queue->armed = true;
    // Exchanges: the look below, and any after this, comes behind them.
    if (queue->event)
        __atomic_exchange_n(used_event(queue), queue->next_used, __ATOMIC_SEQ_CST);
    else
        __atomic_exchange_n(&queue->available[FLAGS], 0, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&queue->used_words[INDEX], __ATOMIC_RELAXED) != queue->next_used;
}

void virtio_queue_disarm(struct virtio_queue *queue)
{
    queue->armed = false;
    // With events there is no flag: as late as possible, after 65 535 more. Relaxed: it is a hint.
    if (queue->event)
        __atomic_store_n(used_event(queue), (uint16_t)(queue->next_used - 1), __ATOMIC_RELAXED);
    else
        __atomic_store_n(&queue->available[FLAGS], NO_INTERRUPT, __ATOMIC_RELAXED);
}
