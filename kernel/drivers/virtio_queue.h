// SPDX-License-Identifier: MIT
// A split virtqueue (virtio 1.2, 2.7), the driver's side: chains of memory for a device, and what
// it says has become of them.
//
//   link      a piece of memory, as the device reads of it in a descriptor
//   chain     links that belong together: a request
//   slot      a chain's place, and where its links are written: in a table of its own (indirect,
//             2.7.5.3), or, for devices without, in a part of the queue's own table
//   owner     whose chain a slot holds; NULL: nobody's, the slot is free
//
// What a device can write is read once and checked before it counts: an index that is ahead of what
// the device was given, an id that is none, or a slot's that is free. Each is a fault; then the
// queue is broken, nothing more is taken from it, and only a reset of the device mends it.
//
// Rules for callers
//   threads    one at a time for a queue; virtio_queue_broken: any
//   ownership  memory comes from the DMA functions and stays the queue's. Links' memory belongs to
//              the device from virtio_queue_put until the slot is released, or the device reset
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "device.h"
#include "status.h"

#define VIRTIO_QUEUE_DEPTH 64u // slots at most
#define VIRTIO_QUEUE_LINKS 36u // of a chain at most
#define VIRTIO_QUEUE_SIZE  256u
#define VIRTIO_CHAIN_LEAST 3u // links that a chain has room for at least

// 2.7.5
struct virtio_descriptor {
    uint64_t address;
    uint32_t bytes;
    uint16_t flags, next;
};

struct virtio_used_entry {
    uint32_t id, bytes;
};

_Static_assert(sizeof(struct virtio_descriptor) == 16, "as the device reads it");
_Static_assert(sizeof(struct virtio_used_entry) == 8, "as the device writes it");

struct virtio_queue_config {
    struct device_dma dma;
    uint16_t size; // descriptors that the device takes at most
    bool indirect; // VIRTIO_F_INDIRECT_DESC
    bool event;    // VIRTIO_F_EVENT_IDX
};

// What a device did that it must not; a sum never decreases.
struct virtio_queue_faults {
    uint64_t jumps;  // more completions than it had chains
    uint64_t ids;    // of no slot
    uint64_t strays; // of a slot that is free: completed twice, or never given
};

struct CACHE_ALIGNED virtio_queue {
    // Set once:
    struct virtio_descriptor *descriptors; // the queue's own table
    struct virtio_descriptor *chains;      // the same, or the slots' tables
    uint16_t *available;                   // flags, index, ring[size], used_event (2.7.6)
    uint16_t *used_words;                  // flags, index (2.7.8)
    struct virtio_used_entry *used;        // ring[size]
    uint16_t *avail_event;                 // behind it
    uint64_t descriptors_address, available_address, used_address, chains_address;
    uint16_t size, depth, links; // descriptors of the ring, slots, links of a slot
    bool indirect, event;
    // One thread's:
    uint16_t next_available; // counters that wrap around, as the ring's
    uint16_t published;
    uint16_t next_used;
    uint16_t free_count;
    bool armed;
    uint8_t free[VIRTIO_QUEUE_DEPTH]; // the hottest last
    void *owners[VIRTIO_QUEUE_DEPTH];
    uint32_t writable[VIRTIO_QUEUE_DEPTH]; // bytes that the device may write
    struct virtio_queue_faults faults;
    // Atomic:
    uint32_t broken;
};

// A chain that is being made.
struct virtio_chain {
    struct virtio_descriptor *links;
    unsigned slot, base, count;
    uint32_t writable;
};

// A chain that has come back.
struct virtio_taken {
    void *owner;
    unsigned slot;
    uint32_t bytes;    // that the device says it has written
    uint32_t writable; // that it might have
};

// Makes a queue of as many slots and links as the device has room for, within the limits above.
// STATUS_INVALID: it has room for none. STATUS_NO_MEMORY: the DMA functions have none.
enum status virtio_queue_init(struct virtio_queue *queue, const struct virtio_queue_config *config);

// The first state, disarmed: of a device that was reset and knows nothing of the queue.
void virtio_queue_restart(struct virtio_queue *queue);

// Begins a chain in a free slot; false if there is none.
static inline bool virtio_queue_begin(const struct virtio_queue *queue, struct virtio_chain *chain)
{
    if (queue->free_count == 0)
        return false;
    const unsigned slot = queue->free[queue->free_count - 1];
    *chain = (struct virtio_chain){
        .links = queue->chains + (size_t)slot * queue->links,
        .slot = slot,
        .base = queue->indirect ? 0 : slot * queue->links,
    };
    return true;
}

#define VIRTIO_LINK_NEXT     1u
#define VIRTIO_LINK_WRITE    2u // the device writes; such links come last (2.7.4.2)
#define VIRTIO_LINK_INDIRECT 4u

// The next link; at most queue->links.
static inline void virtio_chain_add(struct virtio_chain *chain, uint64_t address, uint32_t bytes,
                                    uint16_t flags)
{
    const unsigned next = chain->base + chain->count + 1;
    chain->links[chain->count++] = (struct virtio_descriptor){
        .address = address,
        .bytes = bytes,
        .flags = (uint16_t)(flags | VIRTIO_LINK_NEXT),
        .next = (uint16_t)next,
    };
    chain->writable += (flags & VIRTIO_LINK_WRITE) != 0 ? bytes : 0;
}

// Puts the chain, of at least one link, where the device will find it when it is published.
void virtio_queue_put(struct virtio_queue *queue, struct virtio_chain *chain, void *owner);

// Shows the device what was put. True if it wants to be told (2.7.13).
bool virtio_queue_publish(struct virtio_queue *queue);

// The next chain that came back; false if there is none, or the queue is broken. The slot stays
// its owner's until it is released, or the queue broken because it did not come back after all.
bool virtio_queue_take(struct virtio_queue *queue, struct virtio_taken *taken);
void virtio_queue_release(struct virtio_queue *queue, unsigned slot);
void virtio_queue_break(struct virtio_queue *queue);

// The device interrupts when a chain comes back that has not been taken by now: for the next one
// only, where it has events. To be called again then, when nothing is left to take; true: something
// has come meanwhile, and may not have interrupted.
bool virtio_queue_arm(struct virtio_queue *queue);
// It should not; it may.
void virtio_queue_disarm(struct virtio_queue *queue);

static inline bool virtio_queue_broken(const struct virtio_queue *queue)
{
    return __atomic_load_n(&queue->broken, __ATOMIC_RELAXED) != 0;
}

#endif
