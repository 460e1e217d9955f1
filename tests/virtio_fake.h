// SPDX-License-Identifier: MIT
// A virtio disk that is no device: registers, queues and interrupts as virtio 1.2 has them, in a
// memory of its own that is all it reaches. It insists that its driver does as it must, and
// misbehaves as it is told. One thread at a time; the driver may be another one (2.7: what both
// touch is atomic here).
#ifndef VIRTIO_FAKE_H
#define VIRTIO_FAKE_H

#include <stdlib.h>
#include <string.h>

#include "virtio_block.h"

#define FAKE_PAGES   512u
#define FAKE_BASE    UINT64_C(0x7f00000000) // of its memory, as it sees it
#define FAKE_QUEUES  4u
#define FAKE_SECTORS 2048u
#define FAKE_SERIAL  "a serial number of 20"
#define FAKE_NOTIFY  4u // between doorbells

// What it does with a request that it should carry out.
enum misdeed {
    FAKE_WELL,
    FAKE_ERROR,       // says that it cannot
    FAKE_UNSUPPORTED, // says that it does not know the command
    FAKE_ODD_ANSWER,
    FAKE_LONG,      // says that it wrote more than it could
    FAKE_SHORT,     // says well, and that it wrote less
    FAKE_SILENT,    // nothing
    FAKE_NO_ANSWER, // completes it, and does not write the answer
    FAKE_WILD_ID,
    FAKE_LAST_ID, // the first behind the last
    FAKE_FREE_ID, // of a chain that it was not given
    FAKE_TWICE,
    FAKE_FAR,  // its index jumps ahead
    FAKE_BACK, // its index goes back
    FAKE_NEEDS_RESET,
    FAKE_RESETS_ITSELF,
    FAKE_VANISHES_ONES,
    FAKE_VANISHES_ZEROS,
    FAKE_MISDEEDS
};

// What is wrong with it from the start.
enum defect {
    FAKE_SOUND,
    FAKE_NEVER_READY,
    FAKE_NO_VERSION_1,
    FAKE_REFUSES_FEATURES,
    FAKE_NEEDS_RESET_AT_START,
    FAKE_DOES_NOT_START,
    FAKE_NO_QUEUES,
    FAKE_NO_CONFIG_QUEUES,
    FAKE_QUEUE_EMPTY,
    FAKE_QUEUE_SMALL,
    FAKE_QUEUE_REFUSED,
    FAKE_DOORBELL_FAR,
    FAKE_NO_CAPACITY,
    FAKE_CAPACITY_WILD,
    FAKE_BLOCK_ODD,
    FAKE_BLOCK_LARGE,
    FAKE_BLOCK_NONE,
    FAKE_SEGMENT_SMALL,
    FAKE_RESTLESS,     // the configuration never stands still
    FAKE_SHORT_CONFIG, // has not what its features say
    FAKE_DEAF,         // takes no request
    FAKE_DEFECTS
};

struct fake_queue {
    uint16_t size, vector, enabled;
    uint64_t descriptors, available, used;
    uint16_t seen, index; // of its own
};

struct virtio_fake {
    uint64_t now, step; // nanoseconds; that pass when somebody asks
    uint8_t *memory;    // FAKE_PAGES, all that it reaches
    size_t pages_used, pages_most;
    uint8_t *content; // of the disk
    // What it is.
    enum defect defect;
    uint64_t offered, sectors;
    uint32_t block_bytes, segments, segment_bytes;
    uint16_t queue_most; // descriptors
    bool slow;           // works when it is told to (fake_work)
    bool no_vectors;     // takes none
    // What it will do.
    enum misdeed misdeed;
    uint64_t after; // so many requests
    uint8_t odd;    // answers, and ids
    // Where it is.
    uint32_t selects[2];
    uint64_t accepted;
    uint8_t status, generation;
    uint16_t select;
    bool gone, ones;
    bool mad; // writes to memory what it likes, and understands nothing, until it is reset
    struct fake_queue queues[FAKE_QUEUES];
    struct {
        void (*handler)(void *argument);
        void *argument;
        unsigned cpu;
        bool open, pending;
    } lines[FAKE_QUEUES];
    // What it has seen.
    uint64_t requests, doorbells, interrupts, resets, written, isolated;
    uint64_t longest; // data links of a request
};

static inline void fake_insist(bool right)
{
    if (!right)
        abort();
}

static inline uint8_t fake_pattern(uint64_t byte)
{
    return (uint8_t)((byte * 0x9e3779b97f4a7c15u) >> 56);
}

// ---- its memory ---------------------------------------------------------------------------------

static inline void *fake_at(struct virtio_fake *fake, uint64_t address, uint64_t bytes)
{
    fake_insist(address >= FAKE_BASE && bytes <= FAKE_PAGES * PAGE_SIZE &&
                address - FAKE_BASE <= FAKE_PAGES * PAGE_SIZE - bytes);
    fake_insist(fake->isolated == 0);
    return fake->memory + (address - FAKE_BASE);
}

static inline void *fake_allocate(void *context, size_t pages, uint64_t *address)
{
    struct virtio_fake *fake = context;
    if (pages > fake->pages_most - fake->pages_used)
        return NULL;
    void *memory = fake->memory + fake->pages_used * PAGE_SIZE;
    *address = FAKE_BASE + fake->pages_used * PAGE_SIZE;
    fake->pages_used += pages;
    return memory;
}

static inline uint64_t fake_address(void *context, const void *memory)
{
    return FAKE_BASE +
           (uint64_t)((const uint8_t *)memory - ((struct virtio_fake *)context)->memory);
}

static inline uint64_t fake_ticks(void *context)
{
    struct virtio_fake *fake = context;
    return fake->now += fake->step;
}

// ---- interrupts ---------------------------------------------------------------------------------

static inline void fake_interrupt(struct virtio_fake *fake, unsigned vector)
{
    fake->interrupts++;
    fake_insist(vector < FAKE_QUEUES && fake->lines[vector].handler != NULL);
    if (fake->lines[vector].open)
        fake->lines[vector].handler(fake->lines[vector].argument);
    else
        fake->lines[vector].pending = true;
}

static inline enum status fake_connect(void *context, unsigned vector, unsigned cpu,
                                       void (*handler)(void *), void *argument)
{
    struct virtio_fake *fake = context;
    fake_insist(vector < FAKE_QUEUES);
    fake->lines[vector].handler = handler;
    fake->lines[vector].argument = argument;
    fake->lines[vector].cpu = cpu;
    fake->lines[vector].open = false;
    return STATUS_OK;
}

static inline void fake_disconnect(void *context, unsigned vector)
{
    ((struct virtio_fake *)context)->lines[vector].handler = NULL;
}

static inline void fake_mask(void *context, unsigned vector)
{
    ((struct virtio_fake *)context)->lines[vector].open = false;
}

static inline void fake_unmask(void *context, unsigned vector)
{
    struct virtio_fake *fake = context;
    fake->lines[vector].open = true;
    if (fake->lines[vector].pending) {
        fake->lines[vector].pending = false;
        fake->lines[vector].handler(fake->lines[vector].argument);
    }
}

static inline void fake_isolate(void *context)
{
    ((struct virtio_fake *)context)->isolated++;
}

// ---- requests -----------------------------------------------------------------------------------

// A request as it stands in the queue.
struct fake_request {
    uint32_t type;
    uint64_t sector;
    unsigned count; // links of data
    struct virtio_descriptor data[VIRTIO_QUEUE_LINKS];
    uint8_t *answer;
    uint32_t writable;
};

// Takes a chain apart, and sees that it is as 2.7.4.2, 2.7.5.3 and 5.2.6 demand.
static inline void fake_read(struct virtio_fake *fake, const struct fake_queue *queue,
                             uint16_t head, struct fake_request *request)
{
    *request = (struct fake_request){0};
    fake_insist(head < queue->size);
    const struct virtio_descriptor *table =
        fake_at(fake, queue->descriptors, queue->size * sizeof(*table));
    unsigned most = queue->size, at = head;
    if ((table[head].flags & VIRTIO_LINK_INDIRECT) != 0) {
        fake_insist((fake->accepted & VIRTIO_FEATURE_INDIRECT) != 0);
        fake_insist(table[head].flags == VIRTIO_LINK_INDIRECT && table[head].bytes % 16 == 0);
        most = table[head].bytes / sizeof(*table);
        table = fake_at(fake, table[head].address, table[head].bytes);
        at = 0;
    }
    bool writes = false, more = true;
    for (unsigned i = 0; more; i++) {
        fake_insist(i < most && at < most && i < VIRTIO_QUEUE_LINKS);
        const struct virtio_descriptor link = table[at];
        more = (link.flags & VIRTIO_LINK_NEXT) != 0;
        fake_insist(!writes || (link.flags & VIRTIO_LINK_WRITE) != 0);
        writes = (link.flags & VIRTIO_LINK_WRITE) != 0;
        request->writable += writes ? link.bytes : 0;
        void *memory = fake_at(fake, link.address, link.bytes);
        if (i == 0) {
            fake_insist(link.bytes == 16 && !writes);
            memcpy(&request->type, memory, 4);
            memcpy(&request->sector, (uint8_t *)memory + 8, 8);
        } else if (more) {
            request->data[request->count++] = link;
        } else {
            fake_insist(link.bytes == 1 && writes);
            request->answer = memory;
        }
        at = link.next;
    }
    fake_insist(request->answer != NULL);
    fake->longest = max_u64(fake->longest, request->count);
}

static inline void fake_carry_out(struct virtio_fake *fake, const struct fake_request *request)
{
    uint64_t at = request->sector * 512;
    fake_insist(request->type == 0 || request->type == 1 || request->type == 4 ||
                request->type == 8);
    for (unsigned i = 0; i < request->count; i++) {
        const struct virtio_descriptor *link = &request->data[i];
        void *memory = fake_at(fake, link->address, link->bytes);
        if (request->type == 8) {
            memcpy(memory, FAKE_SERIAL, link->bytes);
            continue;
        }
        fake_insist(at + link->bytes <= FAKE_SECTORS * 512);
        if (request->type == 0)
            memcpy(memory, fake->content + at, link->bytes);
        else
            memcpy(fake->content + at, memory, link->bytes);
        fake->written += request->type == 1;
        at += link->bytes;
    }
}

static inline uint16_t *fake_available(struct virtio_fake *fake, const struct fake_queue *queue)
{
    return fake_at(fake, queue->available, 6 + 2u * queue->size);
}

// flags, index, entries of two words each, event
static inline uint16_t *fake_used(struct virtio_fake *fake, const struct fake_queue *queue)
{
    return fake_at(fake, queue->used, 6 + 8u * queue->size);
}

static inline void fake_complete(struct virtio_fake *fake, struct fake_queue *queue, uint32_t id,
                                 uint32_t bytes)
{
    uint16_t *used = fake_used(fake, queue);
    const struct virtio_used_entry entry = {id, bytes};
    memcpy(used + 2 + (size_t)(queue->index % queue->size) * 4, &entry, sizeof(entry));
    const uint16_t before = queue->index++;
    // An exchange: the index is seen before the look at what the driver wants to be told of.
    __atomic_exchange_n(&used[1], queue->index, __ATOMIC_SEQ_CST);
    const uint16_t *available = fake_available(fake, queue);
    const uint16_t event = __atomic_load_n(&available[2 + queue->size], __ATOMIC_RELAXED);
    const bool wanted =
        (fake->accepted & VIRTIO_FEATURE_EVENT) != 0
            ? (uint16_t)(queue->index - event - 1) < (uint16_t)(queue->index - before)
            : (__atomic_load_n(&available[0], __ATOMIC_RELAXED) & 1) == 0;
    if (wanted && queue->vector != VIRTIO_NO_VECTOR)
        fake_interrupt(fake, queue->vector);
}

static inline void fake_vanish(struct virtio_fake *fake, bool ones)
{
    fake->gone = true;
    fake->ones = ones;
}

static inline void fake_reset(struct virtio_fake *fake)
{
    memset(fake->queues, 0, sizeof(fake->queues));
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        fake->queues[i].vector = VIRTIO_NO_VECTOR;
        fake->queues[i].size = fake->queue_most;
    }
    fake->accepted = 0;
    fake->status = 0;
    fake->mad = false;
}

// What a misdeed says of a request, and in which place.
static inline void fake_misbehave(struct virtio_fake *fake, struct fake_queue *queue, uint16_t head,
                                  const struct fake_request *request)
{
    const enum misdeed misdeed = fake->misdeed;
    uint8_t answer = 0;
    uint32_t id = head, bytes = request->writable;
    uint16_t *used = fake_used(fake, queue);
    switch (misdeed) {
    case FAKE_SILENT:
        return;
    case FAKE_NEEDS_RESET:
        fake->status |= VIRTIO_STATUS_NEEDS_RESET;
        return;
    case FAKE_RESETS_ITSELF:
        fake_reset(fake);
        return;
    case FAKE_VANISHES_ONES:
    case FAKE_VANISHES_ZEROS:
        fake_vanish(fake, misdeed == FAKE_VANISHES_ONES);
        return;
    case FAKE_FAR:
        queue->index = (uint16_t)(queue->index + 2 + fake->odd);
        used[1] = queue->index;
        return;
    case FAKE_BACK:
        queue->index = (uint16_t)(queue->index - 1 - fake->odd);
        used[1] = queue->index;
        return;
    case FAKE_ERROR:
    case FAKE_UNSUPPORTED:
        answer = misdeed == FAKE_ERROR ? 1 : 2;
        break;
    case FAKE_ODD_ANSWER:
        answer = (uint8_t)(3 + fake->odd % 252);
        break;
    case FAKE_LONG:
        bytes += 1u + fake->odd;
        break;
    case FAKE_SHORT:
        bytes -= (uint32_t)min_u64(1u + fake->odd, bytes);
        break;
    case FAKE_WILD_ID:
        id = 0x1000u + fake->odd * 0x1000001u;
        break;
    case FAKE_LAST_ID:
        id = queue->size;
        break;
    case FAKE_FREE_ID:
        id = head ^ ((fake->accepted & VIRTIO_FEATURE_INDIRECT) != 0 ? 1u : 0x30u);
        break;
    default:
        break;
    }
    if (misdeed != FAKE_NO_ANSWER)
        *request->answer = answer;
    fake_complete(fake, queue, id, bytes);
    if (misdeed == FAKE_TWICE)
        fake_complete(fake, queue, id, bytes);
}

static inline void fake_serve(struct virtio_fake *fake, struct fake_queue *queue, uint16_t head)
{
    struct fake_request request;
    fake_read(fake, queue, head, &request);
    const bool well = fake->misdeed == FAKE_WELL || fake->requests < fake->after;
    fake->requests++;
    if (fake->defect == FAKE_DEAF)
        return;
    if (!well) {
        fake_misbehave(fake, queue, head, &request);
        return;
    }
    fake_carry_out(fake, &request);
    *request.answer = 0;
    fake_complete(fake, queue, head, request.writable);
}

// Does what there is to do.
static inline void fake_work(struct virtio_fake *fake)
{
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        struct fake_queue *queue = &fake->queues[i];
        while (!fake->gone && !fake->mad && fake->isolated == 0 &&
               (fake->status & VIRTIO_STATUS_DRIVER_OK) != 0 && queue->enabled) {
            const uint16_t *available = fake_available(fake, queue);
            // Acquire: the chains that it shows.
            const uint16_t shown = __atomic_load_n(&available[1], __ATOMIC_ACQUIRE);
            if (shown == queue->seen)
                break;
            fake_insist((uint16_t)(shown - queue->seen) <= queue->size);
            const uint16_t head = available[2 + queue->seen % queue->size];
            queue->seen++;
            // 2.7.10: tell me of the next. An exchange: before the look whether there is one.
            __atomic_exchange_n(&fake_used(fake, queue)[2 + queue->size * 4], queue->seen,
                                __ATOMIC_SEQ_CST);
            fake_serve(fake, queue, head);
        }
    }
}

#endif
