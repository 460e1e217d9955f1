// SPDX-License-Identifier: MIT
// A virtio disk that is no device, its driver, and the block layer over both.
#ifndef VIRTIO_SUBJECT_H
#define VIRTIO_SUBJECT_H

#include "virtio_fake_registers.h"

struct virtio_subject {
    struct virtio_fake fake;
    struct block_guard guard;
    struct virtio_block *driver;
    struct block_device *device;
    void *memory;
    uint64_t woken;
};

static inline void *virtio_pages(size_t bytes)
{
    void *memory = aligned_alloc(PAGE_SIZE, align_up(bytes, PAGE_SIZE));
    fake_insist(memory != NULL);
    memset(memory, 0xa5, bytes);
    return memory;
}

// Ready for virtio_begin; the test changes the fake in between.
static inline void virtio_prepare(struct virtio_subject *subject)
{
    *subject = (struct virtio_subject){0};
    fake_init(&subject->fake);
    subject->driver = virtio_pages(sizeof(*subject->driver));
    subject->device = virtio_pages(sizeof(*subject->device));
    subject->memory = virtio_pages(block_bytes(FAKE_QUEUES));
}

static inline void virtio_interrupted(void *context, unsigned queue)
{
    block_interrupt(context, queue);
}

static inline enum status virtio_begin_with(struct virtio_subject *subject, unsigned queues,
                                            unsigned vectors)
{
    struct virtio_block_config config = fake_config(&subject->fake, queues, vectors);
    config.guard = &subject->guard;
    config.interrupted = virtio_interrupted;
    config.interrupted_context = subject->device;
    virtio_block_init(subject->driver, &config);
    const struct block_config layer = {.ops = &virtio_block_ops,
                                       .driver = subject->driver,
                                       .clock = config.clock,
                                       .guard = &subject->guard};
    return block_init(subject->device, &layer, subject->memory, block_bytes(FAKE_QUEUES));
}

static inline enum status virtio_begin(struct virtio_subject *subject)
{
    return virtio_begin_with(subject, FAKE_QUEUES, FAKE_QUEUES);
}

static inline void virtio_end(struct virtio_subject *subject)
{
    fake_free(&subject->fake);
    free(subject->driver);
    free(subject->device);
    free(subject->memory);
}

// Asleep, the disk has time to work.
static inline void virtio_sleep(void *context, unsigned queue, uint64_t most_ns)
{
    struct virtio_subject *subject = context;
    const uint64_t woken = subject->woken;
    (void)queue;
    fake_work(&subject->fake);
    if (subject->woken == woken)
        subject->fake.now += most_ns;
}

static inline void virtio_wake(void *context)
{
    ((struct virtio_subject *)context)->woken++;
}

static inline struct block_waiter virtio_waiter(struct virtio_subject *subject)
{
    return (struct block_waiter){.context = subject, .sleep = virtio_sleep, .wake = virtio_wake};
}

// A read into the fake's memory, which it takes once for each of them.
struct virtio_reading {
    struct block_request request;
    struct block_segment segments[VIRTIO_QUEUE_LINKS];
    uint8_t *bytes;
};

static inline void virtio_reading_make(struct virtio_subject *subject,
                                       struct virtio_reading *reading, uint32_t most)
{
    uint64_t address;
    reading->bytes = fake_allocate(&subject->fake, align_up(most, PAGE_SIZE) / PAGE_SIZE, &address);
    fake_insist(reading->bytes != NULL);
}

// In `pieces` segments of blocks each; the last has what is left.
static inline void virtio_reading_set(struct virtio_subject *subject,
                                      struct virtio_reading *reading, uint64_t first,
                                      uint32_t count, unsigned pieces)
{
    const uint32_t block = subject->device->facts.block_bytes, each = count / pieces * block;
    for (unsigned i = 0; i < pieces; i++) {
        uint8_t *memory = reading->bytes + (size_t)i * each;
        reading->segments[i] = (struct block_segment){
            .memory = memory,
            .address = fake_address(&subject->fake, memory),
            .bytes = i + 1 < pieces ? each : count * block - (pieces - 1) * each};
    }
    memset(reading->bytes, 0xee, (size_t)count * block);
    block_request_init(&reading->request, BLOCK_READ, first, count, reading->segments, pieces);
}

static inline bool virtio_reading_is_right(const struct virtio_subject *subject,
                                           const struct virtio_reading *reading)
{
    const uint32_t block = subject->device->facts.block_bytes;
    for (uint64_t i = 0; i < (uint64_t)reading->request.count * block; i++) {
        if (reading->bytes[i] != fake_pattern(reading->request.first * block + i))
            return false;
    }
    return true;
}

static inline struct block_statistics virtio_statistics(struct virtio_subject *subject)
{
    struct block_statistics statistics;
    block_statistics(subject->device, BLOCK_QUEUES_MOST, &statistics);
    return statistics;
}

#endif
