// SPDX-License-Identifier: MIT
// One body for every message queue: the named cases, bad input, planted errors, deaths.
//
// The floor checks nothing but full and empty and reads 56 bytes whatever the length: it is left
// out where a test hands in bad arguments or short buffers, and all buffers elsewhere have 56.
#include <check.h>
#include <signal.h>

#include "ring_subject.h"
#include "run_checks.h"

static void fill(const struct subject *s, uint64_t first)
{
    for (size_t i = 0; i < s->slots; i++)
        ck_assert_int_eq(send_number(s, first + i), STATUS_OK);
}

START_TEST(a_new_ring_has_4096_free_slots_and_nothing_in_it)
{
    struct subject s = create(variants[_i], RING_SLOTS_DEFAULT);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 4096);
    expect_empty(&s);
    const struct ring_statistics statistics = statistics_of(&s);
    ck_assert_uint_eq(statistics.sent, 0);
    ck_assert_uint_eq(statistics.received, 0);
    ck_assert_uint_eq(statistics.refused_full, 0);
    ck_assert_uint_eq(statistics.fences, 0);
    destroy(&s);
}
END_TEST

START_TEST(a_message_of_5_bytes_arrives)
{
    struct subject s = create(variants[_i], RING_SLOTS_DEFAULT);
    const uint64_t hello[RING_PAYLOAD_MOST / 8] = {0x6f6c6c6568};
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    size_t length = 0;
    ck_assert_int_eq(s.ops->send(s.ring, hello, 5), STATUS_OK);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 4095);
    ck_assert_int_eq(s.ops->receive(s.ring, payload, &length), STATUS_OK);
    ck_assert_uint_eq(length, 5);
    ck_assert_mem_eq(payload, "hello", 5);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(a_hundred_messages_arrive_in_sequence)
{
    struct subject s = create(variants[_i], RING_SLOTS_DEFAULT);
    for (uint64_t i = 0; i < 100; i++)
        ck_assert_int_eq(send_number(&s, i), STATUS_OK);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 3996);
    for (uint64_t i = 0; i < 100; i++)
        expect_number(&s, i);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(send_4097_fails_because_the_ring_is_full)
{
    struct subject s = create(variants[_i], RING_SLOTS_DEFAULT);
    fill(&s, 0);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 0);
    ck_assert_int_eq(send_number(&s, 4096), STATUS_FULL);
    ck_assert_int_eq(send_number(&s, 4096), STATUS_FULL);
    ck_assert(s.ops->check(s.ring));
    expect_number(&s, 0); // one slot is free again, at once
    ck_assert_int_eq(send_number(&s, 4096), STATUS_OK);
    ck_assert_int_eq(send_number(&s, 4097), STATUS_FULL);
    for (uint64_t i = 1; i <= 4096; i++)
        expect_number(&s, i);
    expect_empty(&s);
    ck_assert_uint_eq(statistics_of(&s).refused_full, 3);
    destroy(&s);
}
END_TEST

START_TEST(a_message_of_57_bytes_is_too_large)
{
    if (!checks_arguments(variants[_i]))
        return;
    struct subject s = create(variants[_i], 2);
    const uint64_t payload[8] = {0};
    const size_t lengths[] = {57, 64, 4096, (size_t)1 << 32, SIZE_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++)
        ck_assert_int_eq(s.ops->send(s.ring, payload, lengths[i]), STATUS_TOO_LARGE);
    expect_empty(&s);
    fill(&s, 0);
    ck_assert_int_eq(s.ops->send(s.ring, payload, 57), STATUS_TOO_LARGE); // full or not
    ck_assert_uint_eq(statistics_of(&s).refused_full, 0);
    expect_number(&s, 0);
    expect_number(&s, 1);
    destroy(&s);
}
END_TEST

START_TEST(only_powers_of_two_from_2_to_a_million_slots_are_valid)
{
    struct subject s = allocate(variants[_i], 4096);
    const size_t bad[] = {
        0, 1, 3, 6, 4095, 4097, ((size_t)1 << 20) + 1, (size_t)1 << 21, (size_t)1 << 32, SIZE_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        ck_assert_int_eq(s.ops->init(s.ring, s.memory, bad[i]), STATUS_INVALID);
    free(s.ring);
    free(s.memory);
}
END_TEST

START_TEST(every_slot_of_every_size_is_usable)
{
    for (size_t slots = 2; slots <= (size_t)1 << 20; slots *= slots < 64 ? 2 : 128) {
        struct subject s = create(variants[_i], slots);
        for (size_t sent = 0; sent < slots; sent++) {
            const uint64_t payload[RING_PAYLOAD_MOST / 8] = {sent, ~sent};
            if (s.ops->send(s.ring, payload, 16) != STATUS_OK)
                ck_abort_msg("%s: full at %zu of %zu", NAME(s.ops), sent, slots);
        }
        ck_assert_int_eq(send_number(&s, 0), STATUS_FULL);
        ck_assert(s.ops->check(s.ring));
        for (size_t received = 0; received < slots; received++) {
            uint64_t payload[RING_PAYLOAD_MOST / 8];
            size_t length;
            const enum status status = s.ops->receive(s.ring, payload, &length);
            if (status != STATUS_OK || length != 16 || payload[0] != received ||
                payload[1] != ~received)
                ck_abort_msg("%s: wrong at %zu of %zu", NAME(s.ops), received, slots);
        }
        expect_empty(&s);
        destroy(&s);
    }
}
END_TEST

// The address sanitizer watches the ends of both blocks.
START_TEST(send_reads_the_length_only_and_receive_writes_56_bytes_at_most)
{
    if (!checks_arguments(variants[_i]))
        return;
    struct subject s = create(variants[_i], 8);
    for (size_t length = 0; length <= RING_PAYLOAD_MOST; length++) {
        unsigned char *from = malloc(length == 0 ? 1 : length), *to = malloc(RING_PAYLOAD_MOST);
        size_t received = 99;
        for (size_t i = 0; i < length; i++)
            from[i] = (unsigned char)(200 - i);
        ck_assert_int_eq(s.ops->send(s.ring, from, length), STATUS_OK);
        ck_assert_int_eq(s.ops->receive(s.ring, to, &received), STATUS_OK);
        ck_assert_uint_eq(received, length);
        for (size_t i = 0; i < length; i++)
            ck_assert_uint_eq(to[i], 200 - i);
        free(from);
        free(to);
    }
    destroy(&s);
}
END_TEST

START_TEST(both_ways_to_copy_a_length_copy_it_exactly)
{
    for (size_t length = 0; length < RING_PAYLOAD_MOST; length++) {
        unsigned char *from = malloc(length == 0 ? 1 : length);
        uint64_t any[RING_PAYLOAD_MOST / 8 + 1], constant[RING_PAYLOAD_MOST / 8 + 1];
        any[7] = constant[7] = 0x77; // behind the slot
        for (size_t i = 0; i < length; i++)
            from[i] = (unsigned char)(i + 1);
        ring_copy_any(any, from, length);
        ring_copy_constant(constant, from, length);
        ck_assert_int_eq(memcmp(any, from, length), 0);
        ck_assert_int_eq(memcmp(constant, from, length), 0);
        ck_assert_uint_eq(any[7], 0x77);
        ck_assert_uint_eq(constant[7], 0x77);
        free(from);
    }
}
END_TEST

#define SEND_CONSTANT(length)                                                                      \
    do {                                                                                           \
        ck_assert_int_eq(ring_fusion_spsc_send(s.ring, text, length), STATUS_OK);                  \
        ck_assert_int_eq(ring_fusion_spsc_receive(s.ring, payload, &received), STATUS_OK);         \
        ck_assert_uint_eq(received, length);                                                       \
        ck_assert_mem_eq(payload, text, length);                                                   \
    } while (0)

START_TEST(constant_lengths_arrive_like_any_other)
{
    struct subject s = create(&ring_fusion_spsc_ops, 4);
    _Alignas(8) const char text[] = "a text of fifty-six bytes is as long as a payload can be!";
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    size_t received;
    SEND_CONSTANT(0u);
    SEND_CONSTANT(1u);
    SEND_CONSTANT(7u);
    SEND_CONSTANT(8u);
    SEND_CONSTANT(14u);
    SEND_CONSTANT(24u);
    SEND_CONSTANT(35u);
    SEND_CONSTANT(48u);
    SEND_CONSTANT(55u);
    SEND_CONSTANT(56u);
    ck_assert_int_eq(ring_fusion_spsc_send(s.ring, text, 57), STATUS_TOO_LARGE);
    destroy(&s);
}
END_TEST

static void expect_batch(const struct subject *s, size_t asked, size_t expected, uint64_t first)
{
    struct ring_message actual[BATCH_MOST];
    size_t received = 99;
    ck_assert_uint_le(asked, BATCH_MOST);
    ck_assert_int_eq(s->ops->receive_batch(s->ring, actual, asked, &received),
                     expected == 0 ? STATUS_EMPTY : STATUS_OK);
    ck_assert_uint_eq(received, expected);
    for (size_t i = 0; i < received; i++) {
        const struct ring_message message = message_of(first + i);
        if (!same_message(&actual[i], &message))
            ck_abort_msg("%s: message %zu of the batch arrived changed", NAME(s->ops), i);
    }
}

START_TEST(a_batch_arrives_whole_and_in_order)
{
    struct subject s = create(variants[_i], RING_SLOTS_DEFAULT);
    struct ring_message messages[16];
    size_t sent = 99;
    make_messages(messages, 16, 0);
    ck_assert_int_eq(s.ops->send_batch(s.ring, messages, 16, &sent), STATUS_OK);
    ck_assert_uint_eq(sent, 16);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 4080);
    ck_assert(s.ops->check(s.ring));
    expect_number(&s, 0); // one by one
    expect_batch(&s, 10, 10, 1);
    expect_batch(&s, 10, 5, 11); // fewer than asked for
    expect_batch(&s, 10, 0, 0);
    expect_batch(&s, 0, 0, 0);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(a_batch_that_does_not_fit_is_sent_in_part)
{
    struct subject s = create(variants[_i], 16);
    struct ring_message messages[16];
    size_t sent = 99;
    for (uint64_t i = 0; i < 10; i++)
        ck_assert_int_eq(send_number(&s, i), STATUS_OK);
    make_messages(messages, 16, 10);
    ck_assert_int_eq(s.ops->send_batch(s.ring, messages, 16, &sent), STATUS_OK);
    ck_assert_uint_eq(sent, 6);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 0);
    ck_assert_uint_eq(statistics_of(&s).refused_full, 0);
    expect_batch(&s, 64, 16, 0);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(a_batch_saturates_the_ring_and_the_next_one_is_refused)
{
    struct subject s = create(variants[_i], 32);
    struct ring_message messages[32];
    size_t sent = 99;
    make_messages(messages, 32, 0);
    ck_assert_int_eq(s.ops->send_batch(s.ring, messages, 32, &sent), STATUS_OK);
    ck_assert_uint_eq(sent, 32);
    ck_assert_int_eq(s.ops->send_batch(s.ring, messages, 1, &sent), STATUS_FULL);
    ck_assert_uint_eq(sent, 0);
    ck_assert_int_eq(send_number(&s, 32), STATUS_FULL);
    ck_assert_uint_eq(statistics_of(&s).refused_full, 2);
    expect_batch(&s, 32, 32, 0);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(an_empty_batch_is_invalid)
{
    if (!checks_arguments(variants[_i]))
        return;
    struct subject s = create(variants[_i], 16);
    struct ring_message message = message_of(0);
    size_t sent = 99;
    ck_assert_int_eq(s.ops->send_batch(s.ring, &message, 0, &sent), STATUS_INVALID);
    ck_assert_uint_eq(sent, 0);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(a_batch_larger_than_the_ring_is_invalid)
{
    if (!checks_arguments(variants[_i]))
        return;
    struct subject s = create(variants[_i], 16);
    struct ring_message messages[17];
    size_t sent = 99;
    make_messages(messages, 17, 0);
    ck_assert_int_eq(s.ops->send_batch(s.ring, messages, 17, &sent), STATUS_INVALID);
    ck_assert_uint_eq(sent, 0);
    ck_assert_int_eq(s.ops->send_batch(s.ring, messages, SIZE_MAX, &sent), STATUS_INVALID);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

// At every place of the batch, with room for all of it, for a part of it, and for none.
START_TEST(a_batch_with_a_message_over_56_bytes_sends_nothing)
{
    if (!checks_arguments(variants[_i]))
        return;
    for (size_t queued = 0; queued <= 16; queued += 4) {
        for (size_t at = 0; at < 16; at++) {
            struct subject s = create(variants[_i], 16);
            struct ring_message messages[16];
            size_t sent = 99;
            for (uint64_t i = 0; i < queued; i++)
                ck_assert_int_eq(send_number(&s, i), STATUS_OK);
            make_messages(messages, 16, 100);
            messages[at].length = at % 2 != 0 ? 57 : UINT64_MAX;
            ck_assert_int_eq(s.ops->send_batch(s.ring, messages, 16, &sent), STATUS_TOO_LARGE);
            ck_assert_uint_eq(sent, 0);
            ck_assert_uint_eq(s.ops->free_slots(s.ring), 16 - queued);
            ck_assert(s.ops->check(s.ring));
            // Nothing of the batch is behind the next message either.
            if (queued < 16)
                ck_assert_int_eq(send_number(&s, queued), STATUS_OK);
            expect_batch(&s, 64, min_u64(queued + 1, 16), 0);
            expect_empty(&s);
            destroy(&s);
        }
    }
}
END_TEST

START_TEST(a_batch_is_published_with_one_fence)
{
    if (variants[_i]->about.role != VARIANT_PRODUCT)
        return;
    // Producers that share their credit acquire it; some of them release what they claim, too.
    const bool shared =
        variants[_i]->several || variants[_i]->send_batch == ring_fusion_mpmc_send_batch;
    const bool claims = variants[_i]->send_batch == ring_fusion_mpmc_send_batch;
    struct ring_message messages[32];
    size_t sent;
    make_messages(messages, 32, 0);
    for (size_t count = 1; count <= 32; count *= 2) {
        struct subject s = create(variants[_i], 64);
        ck_assert_int_eq(s.ops->send_batch(s.ring, messages, count, &sent), STATUS_OK);
        ck_assert_uint_eq(sent, count);
        ck_assert_uint_eq(statistics_of(&s).fences, claims ? 2 : 1);
        ck_assert_uint_eq(statistics_of(&s).acquires, shared ? 1 : 0);
        // Around the ring: room must be looked for, once.
        for (size_t i = 0, got; i < 64; i += count) {
            ck_assert_int_eq(s.ops->receive_batch(s.ring, messages, count, &got), STATUS_OK);
            ck_assert_int_eq(s.ops->send_batch(s.ring, messages, count, &sent), STATUS_OK);
        }
        ck_assert_uint_le(statistics_of(&s).fences, claims ? 3 : 1);
        ck_assert_uint_eq(statistics_of(&s).acquires, shared ? 5 : 3);
        destroy(&s);
    }
}
END_TEST

START_TEST(statistics_count_messages_and_refusals)
{
    struct subject s = create(variants[_i], 4);
    struct ring_message messages[4];
    size_t count;
    make_messages(messages, 4, 0);
    fill(&s, 0);
    ck_assert_int_eq(send_number(&s, 4), STATUS_FULL);
    ck_assert_int_eq(s.ops->send_batch(s.ring, messages, 3, &count), STATUS_FULL);
    expect_number(&s, 0);
    expect_number(&s, 1);
    ck_assert_int_eq(s.ops->send_batch(s.ring, messages, 3, &count), STATUS_OK);
    const struct ring_statistics statistics = statistics_of(&s);
    ck_assert_uint_eq(statistics.sent, 6);
    ck_assert_uint_eq(statistics.received, 2);
    ck_assert_uint_eq(statistics.refused_full, 2);
    ck_assert_uint_ge(statistics.fences, 1);
    destroy(&s);
}
END_TEST

// What check() must notice: each adds a number to one 64-bit word of a ring of 8 slots that holds 3
// messages of 8 bytes, either in the ring object or in the slots.
#define IN_RING(type, field)  false, offsetof(struct type, field)
#define IN_SLOT(type, number) true, (number) * sizeof(struct type)
#define SEQUENCE_ONE          ((uint64_t)1 << RING_FUSION_SEQUENCE_SHIFT)

static const struct planted {
    const struct ring_ops *ops;
    bool in_slot;
    size_t offset;
    uint64_t change;
} planted[] = {
    {&ring_locked_queue_ops, IN_RING(ring_locked_queue, lock), 1},
    {&ring_locked_queue_ops, IN_RING(ring_locked_queue, mask), 1},
    {&ring_locked_queue_ops, IN_RING(ring_locked_queue, front), 4},
    {&ring_locked_queue_ops, IN_RING(ring_locked_queue, start), 1},
    {&ring_locked_queue_ops, IN_RING(ring_locked_queue, limit), 1},
    {&ring_locked_queue_ops, IN_SLOT(ring_message, 2), 49},
    {&ring_fusion_spsc_ops, IN_RING(ring_fusion_spsc, mask), 1},
    {&ring_fusion_spsc_ops, IN_RING(ring_fusion_spsc, start), 1},
    {&ring_fusion_spsc_ops, IN_RING(ring_fusion_spsc, producer.limit), 1},
    {&ring_fusion_spsc_ops, IN_RING(ring_fusion_spsc, producer.position), 1},
    {&ring_fusion_spsc_ops, IN_RING(ring_fusion_spsc, consumer.position), 4},
    {&ring_fusion_spsc_ops, IN_SLOT(ring_fusion_slot, 0), 49},
    {&ring_fusion_spsc_ops, IN_SLOT(ring_fusion_slot, 0), RING_VOID << RING_FUSION_KIND_SHIFT},
    {&ring_fusion_spsc_ops, IN_SLOT(ring_fusion_slot, 1), 1u << RING_FUSION_FLAGS_SHIFT},
    {&ring_fusion_spsc_ops, IN_SLOT(ring_fusion_slot, 1), SEQUENCE_ONE},
    {&ring_fusion_spsc_ops, IN_SLOT(ring_fusion_slot, 4), 8 * SEQUENCE_ONE}, // as if sent
    {&ring_floor_ops, IN_RING(ring_floor, mask), 1},
    {&ring_floor_ops, IN_RING(ring_floor, start), 1},
    {&ring_floor_ops, IN_RING(ring_floor, producer.limit), 1},
    {&ring_floor_ops, IN_RING(ring_floor, consumer.position), 4},
    {&ring_floor_ops, IN_SLOT(ring_message, 2), 49},
};

START_TEST(check_notices_a_planted_error)
{
    const struct planted *p = &planted[_i];
    const uint64_t payload[RING_PAYLOAD_MOST / 8] = {0};
    struct subject s = create(p->ops, 8);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(s.ops->send(s.ring, payload, 8), STATUS_OK);
    ck_assert(s.ops->check(s.ring));
    char *place = (char *)(p->in_slot ? s.memory : s.ring) + p->offset;
    uint64_t word;
    memcpy(&word, place, sizeof(word));
    word += p->change;
    memcpy(place, &word, sizeof(word));
    ck_assert_msg(!s.ops->check(s.ring), "%s: not noticed", NAME(s.ops));
    free(s.ring);
    free(s.memory);
}
END_TEST

START_TEST(init_on_slots_off_a_page_boundary_dies)
{
    const struct subject s = allocate(own_variants[_i].ops, 128);
    s.ops->init(s.ring, (char *)s.memory + 64, 2);
}
END_TEST

START_TEST(init_without_memory_dies)
{
    const struct subject s = allocate(own_variants[_i].ops, 2);
    s.ops->init(s.ring, NULL, 2);
}
END_TEST

START_TEST(init_of_a_ring_off_a_page_boundary_dies)
{
    const struct subject s = allocate(own_variants[_i].ops, 2);
    void *pages = junk_pages(2 * PAGE_SIZE);
    s.ops->init((char *)pages + 64, s.memory, 2);
}
END_TEST

// Of these the floor is the last in own_variants, and left out.
START_TEST(a_misaligned_payload_dies_in_send)
{
    const struct subject s = create(own_variants[_i].ops, 2);
    uint64_t payload[RING_PAYLOAD_MOST / 8 + 1] = {0};
    s.ops->send(s.ring, (char *)payload + 4, 8);
}
END_TEST

START_TEST(a_misaligned_payload_dies_in_receive)
{
    const struct subject s = create(own_variants[_i].ops, 2);
    uint64_t payload[RING_PAYLOAD_MOST / 8 + 1] = {0};
    size_t length;
    s.ops->receive(s.ring, (char *)payload + 4, &length);
}
END_TEST

static void add_inline_tests(Suite *suite)
{
    TCase *inline_mode = tcase_create("inline");
    tcase_set_timeout(inline_mode, 60);
    tcase_add_loop_test(inline_mode, a_new_ring_has_4096_free_slots_and_nothing_in_it, 0, VARIANTS);
    tcase_add_loop_test(inline_mode, a_message_of_5_bytes_arrives, 0, VARIANTS);
    tcase_add_loop_test(inline_mode, a_hundred_messages_arrive_in_sequence, 0, VARIANTS);
    tcase_add_loop_test(inline_mode, send_4097_fails_because_the_ring_is_full, 0, VARIANTS);
    tcase_add_loop_test(inline_mode, a_message_of_57_bytes_is_too_large, 0, VARIANTS);
    tcase_add_loop_test(inline_mode, only_powers_of_two_from_2_to_a_million_slots_are_valid, 0,
                        VARIANTS);
    tcase_add_loop_test(inline_mode, every_slot_of_every_size_is_usable, 0, VARIANTS);
    tcase_add_loop_test(inline_mode, send_reads_the_length_only_and_receive_writes_56_bytes_at_most,
                        0, VARIANTS);
    tcase_add_test(inline_mode, both_ways_to_copy_a_length_copy_it_exactly);
    tcase_add_test(inline_mode, constant_lengths_arrive_like_any_other);
    suite_add_tcase(suite, inline_mode);
}

static void add_batch_tests(Suite *suite)
{
    TCase *batch = tcase_create("batch");
    tcase_set_timeout(batch, 60);
    tcase_add_loop_test(batch, a_batch_arrives_whole_and_in_order, 0, VARIANTS);
    tcase_add_loop_test(batch, a_batch_that_does_not_fit_is_sent_in_part, 0, VARIANTS);
    tcase_add_loop_test(batch, a_batch_saturates_the_ring_and_the_next_one_is_refused, 0, VARIANTS);
    tcase_add_loop_test(batch, an_empty_batch_is_invalid, 0, VARIANTS);
    tcase_add_loop_test(batch, a_batch_larger_than_the_ring_is_invalid, 0, VARIANTS);
    tcase_add_loop_test(batch, a_batch_with_a_message_over_56_bytes_sends_nothing, 0, VARIANTS);
    tcase_add_loop_test(batch, a_batch_is_published_with_one_fence, 0, VARIANTS);
    suite_add_tcase(suite, batch);
}

static void add_whole_tests(Suite *suite)
{
    TCase *whole = tcase_create("whole");
    tcase_add_loop_test(whole, statistics_count_messages_and_refusals, 0, VARIANTS);
    tcase_add_loop_test(whole, check_notices_a_planted_error, 0, ARRAY_COUNT(planted));
    suite_add_tcase(suite, whole);
}

static void add_death_tests(Suite *suite)
{
    TCase *death = tcase_create("death");
    tcase_add_loop_test_raise_signal(death, init_on_slots_off_a_page_boundary_dies, SIGABRT, 0,
                                     OWN_VARIANTS);
    tcase_add_loop_test_raise_signal(death, init_without_memory_dies, SIGABRT, 0, OWN_VARIANTS);
    tcase_add_loop_test_raise_signal(death, init_of_a_ring_off_a_page_boundary_dies, SIGABRT, 0,
                                     OWN_VARIANTS);
    tcase_add_loop_test_raise_signal(death, a_misaligned_payload_dies_in_send, SIGABRT, 0,
                                     OWN_VARIANTS - 1);
    tcase_add_loop_test_raise_signal(death, a_misaligned_payload_dies_in_receive, SIGABRT, 0,
                                     OWN_VARIANTS - 1);
    suite_add_tcase(suite, death);
}

int main(void)
{
    for (int i = 0; i < VARIANTS; i++)
        printf("variant %d: %s\n", i, NAME(variants[i]));
    fflush(stdout); // the tests fork
    Suite *suite = suite_create("ring");
    add_inline_tests(suite);
    add_batch_tests(suite);
    add_whole_tests(suite);
    add_death_tests(suite);
    return run_checks(suite);
}
