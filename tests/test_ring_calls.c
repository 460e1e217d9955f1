// SPDX-License-Identifier: MIT
// What not every message queue has: building in place, kinds of payload, two domains.
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring_subject.h"
#include "run_checks.h"

static const struct ring_ops *const in_place[] = {&ring_fusion_spsc_in_place_ops,
                                                  &ring_fusion_mpmc_in_place_ops};
#define IN_PLACE ((int)ARRAY_COUNT(in_place))

START_TEST(a_message_is_built_and_read_in_its_slot)
{
    struct subject s = create(in_place[_i], 4);
    for (unsigned i = 0; i < 19; i++) {
        void *place;
        const void *found;
        size_t length;
        ck_assert_int_eq(s.ops->reserve(s.ring, &place), STATUS_OK);
        ck_assert_uint_eq((uintptr_t)place % 64, 8);
        memset(place, 'a' + (int)i, 56);
        ck_assert_int_eq(s.ops->commit(s.ring, place, 37 + i), STATUS_OK);
        ck_assert_int_eq(s.ops->peek(s.ring, &found, &length), STATUS_OK);
        ck_assert_ptr_eq(found, place);
        ck_assert_uint_eq(length, 37 + i);
        ck_assert_int_eq(s.ops->peek(s.ring, &found, &length), STATUS_OK); // it stays
        ck_assert_uint_eq(s.ops->free_slots(s.ring), 3);
        s.ops->release(s.ring, found);
        ck_assert_int_eq(s.ops->peek(s.ring, &found, &length), STATUS_EMPTY);
    }
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(a_reservation_of_the_only_producer_that_is_not_committed_was_never_there)
{
    struct subject s = create(&ring_fusion_spsc_in_place_ops, 2);
    void *first, *again;
    ck_assert_int_eq(s.ops->reserve(s.ring, &first), STATUS_OK);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 2);
    expect_empty(&s);
    ck_assert_int_eq(s.ops->reserve(s.ring, &again), STATUS_OK);
    ck_assert_ptr_eq(first, again);
    ck_assert_int_eq(s.ops->commit(s.ring, again, 0), STATUS_OK);
    destroy(&s);
}
END_TEST

START_TEST(a_reservation_that_is_too_large_is_kept_and_one_that_is_abandoned_sends_nothing)
{
    struct subject s = create(in_place[_i], 2);
    uint64_t *place;
    const void *found;
    size_t length;
    for (uint64_t i = 0; i < 9; i++) {
        ck_assert_int_eq(s.ops->reserve(s.ring, (void **)&place), STATUS_OK);
        ck_assert_int_eq(s.ops->commit(s.ring, place, 57), STATUS_TOO_LARGE);
        ck_assert_int_eq(s.ops->peek(s.ring, &found, &length), STATUS_EMPTY);
        *place = ~i;
        s.ops->abandon(s.ring, place);
        ck_assert(s.ops->check(s.ring));
        ck_assert_int_eq(s.ops->reserve(s.ring, (void **)&place), STATUS_OK);
        *place = i;
        ck_assert_int_eq(s.ops->commit(s.ring, place, 8), STATUS_OK);
        ck_assert_int_eq(s.ops->peek(s.ring, &found, &length), STATUS_OK);
        ck_assert_uint_eq(length, 8);
        ck_assert_uint_eq(*(const uint64_t *)found, i);
        s.ops->release(s.ring, found);
    }
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(a_full_or_closed_ring_gives_no_reservation)
{
    struct subject s = create(in_place[_i], 2);
    void *place;
    ck_assert_int_eq(send_number(&s, 0), STATUS_OK);
    ck_assert_int_eq(send_number(&s, 1), STATUS_OK);
    ck_assert_int_eq(s.ops->reserve(s.ring, &place), STATUS_FULL);
    ck_assert_uint_eq(statistics_of(&s).refused_full, 1);
    s.ops->close(s.ring);
    ck_assert_int_eq(s.ops->reserve(s.ring, &place), STATUS_CLOSED);
    destroy(&s);
}
END_TEST

// Behind one that is held nothing is received, and sends go on.
START_TEST(what_is_sent_behind_a_reservation_waits_for_it)
{
    struct subject s = create(&ring_fusion_mpmc_in_place_ops, 4);
    void *first, *second;
    ck_assert_int_eq(s.ops->reserve(s.ring, &first), STATUS_OK);
    ck_assert_int_eq(s.ops->reserve(s.ring, &second), STATUS_OK); // another producer's
    ck_assert_ptr_ne(first, second);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 2);
    ck_assert_int_eq(send_number(&s, 2), STATUS_OK);
    const struct ring_message one = message_of(1);
    memcpy(second, one.payload, RING_PAYLOAD_MOST);
    ck_assert_int_eq(s.ops->commit(s.ring, second, one.length), STATUS_OK);
    struct ring_message message;
    ck_assert_int_eq(s.ops->receive(s.ring, message.payload, &message.length), STATUS_EMPTY);
    s.ops->abandon(s.ring, first);
    expect_number(&s, 1);
    expect_number(&s, 2);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

static const struct ring_ops *const kinds[] = {&ring_fusion_spsc_ops, &ring_fusion_mpmc_ops};
#define KINDS ((int)ARRAY_COUNT(kinds))

START_TEST(a_payload_arrives_with_its_kind_and_any_receive_takes_it)
{
    struct subject s = create(kinds[_i], 16);
    uint64_t payload[7];
    struct ring_message messages[2];
    enum ring_kind kind;
    size_t length;
    for (unsigned how = 0; how < 3; how++) {
        for (unsigned sent = RING_INLINE; sent < RING_VOID; sent++) {
            const uint64_t text[7] = {sent, 1, 2, 3, 4, 5, 6};
            ck_assert_int_eq(s.ops->send_kind(s.ring, text, 50, (enum ring_kind)sent), STATUS_OK);
            if (how == 0) {
                ck_assert_int_eq(s.ops->receive_kind(s.ring, payload, &length, &kind), STATUS_OK);
                ck_assert_uint_eq(kind, sent);
            } else if (how == 1) {
                ck_assert_int_eq(s.ops->receive(s.ring, payload, &length), STATUS_OK);
            } else {
                size_t count;
                ck_assert_int_eq(s.ops->receive_batch(s.ring, messages, 2, &count), STATUS_OK);
                ck_assert_uint_eq(count, 1);
                length = messages[0].length;
                memcpy(payload, messages[0].payload, sizeof(payload));
            }
            ck_assert_uint_eq(length, 50);
            ck_assert_mem_eq(payload, text, 50);
        }
    }
    const unsigned beyond[] = {RING_VOID, RING_KINDS, 255, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(beyond); i++)
        ck_assert_int_eq(s.ops->send_kind(s.ring, payload, 8, (enum ring_kind)beyond[i]),
                         STATUS_INVALID);
    ck_assert_int_eq(s.ops->send_kind(s.ring, payload, 57, RING_PAGES), STATUS_TOO_LARGE);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

// The second look of a peek, behind a first one that found nothing: the message came in between.
START_TEST(a_message_that_comes_between_the_looks_of_a_peek_is_there)
{
    struct subject s = create(in_place[_i], 4);
    const struct ring_message sent = {.length = 24, .payload = {1, 2, 3}};
    const struct ring_fusion_slot *found = NULL;
    size_t length = 0;
    ck_assert_int_eq(s.ops->send(s.ring, sent.payload, sent.length), STATUS_OK);
    if (_i == 0)
        ck_assert_int_eq(ring_fusion_spsc_peek_other(s.ring, &found, &length), STATUS_OK);
    else
        ck_assert_int_eq(ring_fusion_mpmc_peek_slowly(s.ring, &found, &length), STATUS_OK);
    ck_assert_uint_eq(length, 24);
    ck_assert_mem_eq(found->payload, sent.payload, 24);
    s.ops->release(s.ring, found->payload);
    expect_empty(&s);
    destroy(&s);
}
END_TEST

START_TEST(peeking_tells_a_message_that_is_not_inline)
{
    struct subject s = create(in_place[_i], 4);
    const uint64_t payload[7] = {0};
    const void *found;
    size_t length;
    ck_assert_int_eq(s.ops->send_kind(s.ring, payload, 16, RING_DESCRIPTOR), STATUS_OK);
    ck_assert_int_eq(s.ops->peek(s.ring, &found, &length), STATUS_INVALID);
    ck_assert_uint_eq(s.ops->free_slots(s.ring), 3);
    s.ops->close(s.ring);
    struct ring_message message;
    ck_assert_int_eq(s.ops->receive(s.ring, message.payload, &message.length), STATUS_OK);
    ck_assert_int_eq(s.ops->peek(s.ring, &found, &length), STATUS_CLOSED);
    destroy(&s);
}
END_TEST

// ---- domains ------------------------------------------------------------------------------------

#define DOMAIN_SLOTS 64u

// One domain's view: its own first page, the two shared pages and the slots as it may use them.
struct view {
    struct ring_fusion_spsc *ring;
    void *slots;
};

_Static_assert(sizeof(struct ring_fusion_spsc) == 3 * PAGE_SIZE, "a page each");
_Static_assert(offsetof(struct ring_fusion_spsc, producer) / PAGE_SIZE == 1, "the producer's page");
_Static_assert(offsetof(struct ring_fusion_spsc, consumer) / PAGE_SIZE == 2, "the consumer's page");

static struct view view_of(int file, int producer, int consumer, int slots)
{
    const int fixed = MAP_SHARED | MAP_FIXED, all = PROT_READ | PROT_WRITE;
    uint8_t *base = mmap(NULL, 4 * PAGE_SIZE, all, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    const int rights[] = {producer, consumer, slots};
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ptr_ne(mmap(base + (i + 1) * PAGE_SIZE, PAGE_SIZE, rights[i], fixed, file,
                              (off_t)(i * PAGE_SIZE)),
                         MAP_FAILED);
    return (struct view){(void *)base, base + 3 * PAGE_SIZE};
}

// A write to a page that is not the side's ends this with a signal.
START_TEST(each_side_writes_its_own_page_and_the_consumer_no_slot)
{
    const int all = PROT_READ | PROT_WRITE;
    const int file = memfd_create("ring", 0);
    ck_assert_int_eq(ftruncate(file, 3 * PAGE_SIZE), 0);
    const struct view owner = view_of(file, all, all, all);
    const struct view sender = view_of(file, all, PROT_READ, all);
    const struct view receiver = view_of(file, PROT_READ, all, PROT_READ);
    ck_assert_int_eq(ring_fusion_spsc_init(owner.ring, owner.slots, DOMAIN_SLOTS), STATUS_OK);
    ck_assert_int_eq(ring_fusion_spsc_attach(sender.ring, sender.slots, 3), STATUS_INVALID);
    ck_assert_int_eq(ring_fusion_spsc_attach(sender.ring, sender.slots, DOMAIN_SLOTS), STATUS_OK);
    ck_assert_int_eq(ring_fusion_spsc_attach(receiver.ring, receiver.slots, DOMAIN_SLOTS),
                     STATUS_OK);
    struct ring_message messages[DOMAIN_SLOTS], got[DOMAIN_SLOTS];
    size_t count;
    make_messages(messages, DOMAIN_SLOTS, 0);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 30; i++)
            ck_assert_int_eq(
                ring_fusion_spsc_send(sender.ring, messages[i].payload, messages[i].length),
                STATUS_OK);
        ck_assert_int_eq(ring_fusion_spsc_send_batch(sender.ring, &messages[30], 34, &count),
                         STATUS_OK);
        ck_assert_uint_eq(count, 34);
        ck_assert_int_eq(ring_fusion_spsc_send(sender.ring, messages[0].payload, 8), STATUS_FULL);
        ck_assert_int_eq(ring_fusion_spsc_receive(receiver.ring, got[0].payload, &got[0].length),
                         STATUS_OK);
        ck_assert_int_eq(ring_fusion_spsc_receive_batch(receiver.ring, &got[1], 63, &count),
                         STATUS_OK);
        ck_assert_uint_eq(count, 63);
        for (unsigned i = 0; i < DOMAIN_SLOTS; i++)
            ck_assert(same_message(&messages[i], &got[i]));
    }
    ring_fusion_spsc_close(owner.ring);
    ck_assert_int_eq(ring_fusion_spsc_receive(receiver.ring, got[0].payload, &count),
                     STATUS_CLOSED);
    ck_assert_int_eq(ring_fusion_spsc_send_batch(sender.ring, messages, DOMAIN_SLOTS, &count),
                     STATUS_CLOSED);
    close(file);
}
END_TEST

// Before the slots, behind them, and between two payloads.
static const ptrdiff_t no_place[] = {-64, 4 * 64, 8};

START_TEST(committing_what_is_no_place_dies)
{
    struct subject s = create(in_place[_i % IN_PLACE], 4);
    void *place;
    s.ops->reserve(s.ring, &place);
    s.ops->commit(s.ring, (char *)place + no_place[_i / IN_PLACE], 8);
}
END_TEST

START_TEST(abandoning_what_is_no_place_dies)
{
    struct subject s = create(in_place[_i % IN_PLACE], 4);
    void *place;
    s.ops->reserve(s.ring, &place);
    s.ops->abandon(s.ring, (char *)place + no_place[_i / IN_PLACE]);
}
END_TEST

START_TEST(releasing_what_is_no_place_dies)
{
    struct subject s = create(in_place[_i % IN_PLACE], 4);
    const void *place;
    size_t length;
    send_number(&s, 0);
    s.ops->peek(s.ring, &place, &length);
    s.ops->release(s.ring, (const char *)place + no_place[_i / IN_PLACE]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_calls");
    TCase *calls = tcase_create("calls");
    tcase_add_loop_test(calls, a_message_is_built_and_read_in_its_slot, 0, IN_PLACE);
    tcase_add_test(calls, a_reservation_of_the_only_producer_that_is_not_committed_was_never_there);
    tcase_add_loop_test(
        calls, a_reservation_that_is_too_large_is_kept_and_one_that_is_abandoned_sends_nothing, 0,
        IN_PLACE);
    tcase_add_loop_test(calls, a_full_or_closed_ring_gives_no_reservation, 0, IN_PLACE);
    tcase_add_test(calls, what_is_sent_behind_a_reservation_waits_for_it);
    tcase_add_loop_test(calls, a_payload_arrives_with_its_kind_and_any_receive_takes_it, 0, KINDS);
    tcase_add_loop_test(calls, a_message_that_comes_between_the_looks_of_a_peek_is_there, 0,
                        IN_PLACE);
    tcase_add_loop_test(calls, peeking_tells_a_message_that_is_not_inline, 0, IN_PLACE);
    tcase_add_test(calls, each_side_writes_its_own_page_and_the_consumer_no_slot);
    const int deaths = IN_PLACE * (int)ARRAY_COUNT(no_place);
    tcase_add_loop_test_raise_signal(calls, committing_what_is_no_place_dies, SIGABRT, 0, deaths);
    tcase_add_loop_test_raise_signal(calls, abandoning_what_is_no_place_dies, SIGABRT, 0, deaths);
    tcase_add_loop_test_raise_signal(calls, releasing_what_is_no_place_dies, SIGABRT, 0, deaths);
    suite_add_tcase(suite, calls);
    return run_checks(suite);
}
