// SPDX-License-Identifier: MIT
// What tests of the NVMe driver stand on: a modelled controller, the driver, the block layer above.
#ifndef NVME_SUBJECT_H
#define NVME_SUBJECT_H

#include <check.h>

#include "nvme_fake.h"
#include "nvme_status.h"

#define MILLISECOND UINT64_C(1000000)

struct subject {
    struct nvme_fake *fake;
    struct nvme *nvme;
    struct block_device *device;
    void *memory;
    struct block_guard guard;
    struct nvme_config config;
    struct block_waiter waiter;
    unsigned woken;
};

static inline void *subject_pages(struct subject *subject, size_t bytes)
{
    void *memory = aligned_alloc(PAGE_SIZE, align_up(bytes, PAGE_SIZE));
    (void)subject;
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xa5, align_up(bytes, PAGE_SIZE));
    return memory;
}

// A well-behaved controller; the test changes what it likes before subject_start.
static inline void subject_prepare(struct subject *subject)
{
    *subject = (struct subject){0};
    subject->fake = malloc(sizeof(*subject->fake));
    fake_init(subject->fake);
    subject->nvme = subject_pages(subject, sizeof(*subject->nvme));
    subject->device = subject_pages(subject, sizeof(*subject->device));
    subject->memory = subject_pages(subject, block_bytes(FAKE_QUEUES));
}

static inline void subject_sleep(void *context, unsigned queue, uint64_t most_ns)
{
    struct subject *subject = context;
    const uint64_t until = subject->fake->now + most_ns;
    (void)queue;
    while (subject->woken == 0 && subject->fake->now < until) {
        subject->fake->now += 500;
        fake_turn(subject->fake);
    }
    subject->woken = 0;
}

static inline void subject_wake(void *context)
{
    ((struct subject *)context)->woken = 1;
}

// What block_init says; the configuration is the test's own.
static inline enum status subject_try_with(struct subject *subject)
{
    nvme_init(subject->nvme, &subject->config);
    const struct block_config config = {.ops = &nvme_ops,
                                        .driver = subject->nvme,
                                        .clock = subject->config.clock,
                                        .guard = &subject->guard};
    subject->waiter =
        (struct block_waiter){.context = subject, .sleep = subject_sleep, .wake = subject_wake};
    return block_init(subject->device, &config, subject->memory, block_bytes(FAKE_QUEUES));
}

static inline enum status subject_try(struct subject *subject)
{
    subject->config = fake_config(subject->fake);
    subject->config.guard = &subject->guard;
    subject->config.device = subject->device;
    return subject_try_with(subject);
}

static inline void subject_start(struct subject *subject)
{
    const enum status status = subject_try(subject);
    ck_assert_msg(status == STATUS_OK, "%d: %s", status, subject->nvme->problem);
}

static inline void subject_begin(struct subject *subject)
{
    subject_prepare(subject);
    subject_start(subject);
}

// Bounds come soon: each look at the clock takes long.
static inline void subject_hurry(struct subject *subject)
{
    subject->fake->look_ns = 100000;
}

static inline void subject_free(struct subject *subject)
{
    fake_free(subject->fake);
    free(subject->fake);
    free(subject->nvme);
    free(subject->device);
    free(subject->memory);
}

static inline struct nvme_statistics subject_statistics(const struct subject *subject)
{
    struct nvme_statistics statistics;
    nvme_statistics(subject->nvme, &statistics);
    return statistics;
}

// A request with memory of its own, which begins `offset` bytes into a page and is filled with what
// no disk has.
struct reading {
    struct block_request request;
    struct block_segment segment;
    uint8_t *bytes;
};

static inline void reading_init_at(struct subject *subject, struct reading *reading, uint64_t first,
                                   uint32_t count, uint32_t offset)
{
    const uint32_t bytes = count << subject->fake->block_log;
    reading->bytes = subject_pages(subject, offset + bytes);
    const uint64_t address = fake_region(subject->fake, reading->bytes, offset + bytes);
    reading->segment = (struct block_segment){
        .memory = reading->bytes + offset, .address = address + offset, .bytes = bytes};
    block_request_init(&reading->request, BLOCK_READ, first, count, &reading->segment, 1);
}

static inline void reading_init(struct subject *subject, struct reading *reading, uint64_t first,
                                uint32_t count)
{
    reading_init_at(subject, reading, first, count, 0);
}

static inline void reading_submit(struct subject *subject, struct reading *reading, unsigned queue,
                                  uint64_t first)
{
    reading_init(subject, reading, first, 1);
    ck_assert_int_eq(block_submit_request(subject->device, queue, &reading->request), STATUS_OK);
}

static inline bool reading_is_right(const struct subject *subject, const struct reading *reading)
{
    const uint64_t from = reading->request.first << subject->fake->block_log;
    const uint8_t *bytes = reading->segment.memory;
    for (uint32_t i = 0; i < reading->segment.bytes; i++) {
        if (bytes[i] != nvme_fake_pattern(from + i))
            return false;
    }
    return true;
}

// Whether nothing came into its memory.
static inline bool reading_is_untouched(const struct reading *reading)
{
    const uint8_t *bytes = reading->segment.memory;
    for (uint32_t i = 0; i < reading->segment.bytes; i++) {
        if (bytes[i] != 0xa5)
            return false;
    }
    return true;
}

// Its memory is the caller's again: the device must not touch it any more.
static inline void reading_free(struct subject *subject, struct reading *reading)
{
    fake_forget_region(subject->fake, reading->bytes);
    free(reading->bytes);
}

// Reads one block and looks at it.
static inline enum status subject_read(struct subject *subject, unsigned queue, uint64_t first)
{
    struct reading reading;
    reading_submit(subject, &reading, queue, first);
    const enum status status = block_poll_wait(subject->device, &reading.request);
    ck_assert(status != STATUS_OK || reading_is_right(subject, &reading));
    reading_free(subject, &reading);
    return status;
}

#endif
