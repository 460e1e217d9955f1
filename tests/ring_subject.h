// SPDX-License-Identifier: MIT
// What the tests of the message queues share: the variants, a ring under test, and messages that
// follow from their number.
#ifndef RING_SUBJECT_H
#define RING_SUBJECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "ring_fusion_mpmc_in_place.h"
#include "ring_variants.h"

#define NAME(ops) (ops)->about.name

#define VARIANT_ENTRY(name) &ring_##name##_ops,
static const struct ring_ops *const variants[] = {RING_VARIANTS(VARIANT_ENTRY) &
                                                  ring_fusion_mpmc_in_place_ops};
#define VARIANTS ((int)ARRAY_COUNT(variants))

// The variants of this repository can begin at any position, and their state is known here.
static const struct own_variant {
    const struct ring_ops *ops;
    enum status (*init_at)(void *ring, void *memory, size_t slots, uint64_t position);
} own_variants[] = {
    {&ring_locked_queue_ops, ring_locked_queue_init_at},
    {&ring_fusion_spsc_ops, ring_fusion_spsc_init_at},
    {&ring_fusion_spsc_in_place_ops, ring_fusion_spsc_init_at},
    {&ring_fusion_stream_ops, ring_fusion_stream_init_at},
    {&ring_fusion_mpmc_ops, ring_fusion_mpmc_init_at},
    {&ring_fusion_mpmc_in_place_ops, ring_fusion_mpmc_init_at},
    {&ring_floor_ops, ring_floor_init_at},
};
#define OWN_VARIANTS ((int)ARRAY_COUNT(own_variants))

static inline bool checks_arguments(const struct ring_ops *ops)
{
    return ops->about.role != VARIANT_FLOOR;
}

// A ring and its memory, both full of junk before init: no variant may rely on zeros.
struct subject {
    const struct ring_ops *ops;
    void *ring;
    void *memory;
    size_t slots;
};

static inline void *junk_pages(size_t bytes)
{
    const size_t rounded = align_up(bytes, PAGE_SIZE);
    void *pages = aligned_alloc(PAGE_SIZE, rounded);
    ck_assert_ptr_nonnull(pages);
    memset(pages, 0xa5, rounded);
    return pages;
}

static inline struct subject allocate(const struct ring_ops *ops, size_t slots)
{
    return (struct subject){
        .ops = ops,
        .ring = junk_pages(ops->state_bytes),
        .memory = junk_pages(slots * ops->slot_bytes),
        .slots = slots,
    };
}

static inline struct subject create(const struct ring_ops *ops, size_t slots)
{
    const struct subject s = allocate(ops, slots);
    ck_assert_int_eq(ops->init(s.ring, s.memory, slots), STATUS_OK);
    return s;
}

static inline void destroy(struct subject *s)
{
    ck_assert_msg(s->ops->check(s->ring), "%s: an invariant is broken", NAME(s->ops));
    free(s->ring);
    free(s->memory);
}

static inline struct ring_statistics statistics_of(const struct subject *s)
{
    struct ring_statistics statistics;
    s->ops->statistics(s->ring, &statistics);
    return statistics;
}

// The message of a number: its length and bytes follow from the number alone.
static inline struct ring_message message_of(uint64_t number)
{
    struct random random = random_seeded(number);
    struct ring_message message;
    message.length = random_below(&random, RING_PAYLOAD_MOST + 1);
    for (size_t i = 0; i < ARRAY_COUNT(message.payload); i++)
        message.payload[i] = random_u64(&random);
    return message;
}

static inline bool same_message(const struct ring_message *a, const struct ring_message *b)
{
    return a->length == b->length && memcmp(a->payload, b->payload, a->length) == 0;
}

static inline enum status send_number(const struct subject *s, uint64_t number)
{
    const struct ring_message message = message_of(number);
    return s->ops->send(s->ring, message.payload, message.length);
}

static inline void expect_number(const struct subject *s, uint64_t number)
{
    const struct ring_message expected = message_of(number);
    struct ring_message actual;
    ck_assert_int_eq(s->ops->receive(s->ring, actual.payload, &actual.length), STATUS_OK);
    if (!same_message(&actual, &expected))
        ck_abort_msg("%s: message %lu arrived changed", NAME(s->ops), (unsigned long)number);
}

static inline void expect_empty(const struct subject *s)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    size_t length = 99;
    ck_assert_int_eq(s->ops->receive(s->ring, payload, &length), STATUS_EMPTY);
    ck_assert_uint_eq(length, 99);
    ck_assert_uint_eq(s->ops->free_slots(s->ring), s->slots);
}

#define BATCH_MOST 64

static inline void make_messages(struct ring_message *messages, size_t count, uint64_t first)
{
    for (size_t i = 0; i < count; i++)
        messages[i] = message_of(first + i);
}

#endif
