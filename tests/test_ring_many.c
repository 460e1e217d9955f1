// SPDX-License-Identifier: MIT
// Message queues with several producers and consumers, over-committed; closing while they run;
// who sits where.
//
// Messages carry their producer and their number in it, and sums of both. A consumer sees the
// numbers of each producer grow; all consumers together see each number once.
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "ring_many_variants.h"
#include "ring_seats.h"
#include "ring_subject.h"
#include "run_checks.h"
#include "soak.h"
#include "test_platform.h"

static const struct ring_ops *const many[] = {RING_MANY_VARIANTS(VARIANT_ENTRY)};
#define MANY ((int)ARRAY_COUNT(many))

#define SIDE_MOST 8u

// What all threads share; a table entry for each thread, which is its own.
struct market {
    const struct ring_ops *ops;
    void *ring;
    uint64_t each; // messages of each producer; 0: until the ring is closed
    unsigned producers, consumers;
    bool batches;
    uint8_t *seen; // of each producer's messages, by number; with `each` only
    uint64_t taken;
    struct ring_seats *seats; // NULL: nobody sits
};

struct trader {
    struct market *market;
    unsigned number;
    uint64_t count; // of messages sent or received
    uint64_t yields;
    const char *wrong;
};

static void make(struct ring_message *message, unsigned producer, uint64_t number)
{
    message->length = RING_PAYLOAD_MOST;
    message->payload[0] = producer;
    message->payload[1] = number;
    for (unsigned i = 2; i < ARRAY_COUNT(message->payload); i++)
        message->payload[i] = (number + i) * 0x9e3779b97f4a7c15u ^ producer;
}

static void let_others_run(struct trader *trader)
{
    trader->yields++;
    sched_yield();
}

static void *sell(void *argument)
{
    struct trader *trader = argument;
    struct market *market = trader->market;
    struct random random = random_seeded(trader->number);
    struct ring_ticket ticket;
    test_cpu_enter(1 + trader->number);
    if (market->seats != NULL && ring_seats_take(market->seats, &ticket) != STATUS_OK)
        return NULL;
    while (market->each == 0 || trader->count < market->each) {
        struct ring_message messages[4];
        size_t wanted = market->batches ? 1 + random_below(&random, 4) : 1, sent = 0;
        if (market->each != 0)
            wanted = min_u64(wanted, market->each - trader->count);
        for (size_t i = 0; i < wanted; i++)
            make(&messages[i], trader->number, trader->count + i);
        enum status status;
        if (wanted > 1)
            status = market->ops->send_batch(market->ring, messages, wanted, &sent);
        else
            status = market->ops->send(market->ring, messages[0].payload, RING_PAYLOAD_MOST);
        if (status == STATUS_CLOSED)
            break;
        if (status == STATUS_OK)
            trader->count += wanted > 1 ? sent : 1;
        else if (status == STATUS_FULL)
            let_others_run(trader);
        else
            trader->wrong = "a send has another status";
    }
    if (market->seats != NULL && ring_seats_leave(market->seats, ticket) != STATUS_OK)
        trader->wrong = "a producer could not leave";
    return NULL;
}

static void look_at(struct trader *trader, const struct ring_message *message, uint64_t *last)
{
    struct ring_message expected;
    const uint64_t producer = message->payload[0], number = message->payload[1];
    struct market *market = trader->market;
    if (producer >= market->producers || (market->each != 0 && number >= market->each)) {
        trader->wrong = "a message from nobody";
        return;
    }
    make(&expected, (unsigned)producer, number);
    if (!same_message(message, &expected))
        trader->wrong = "a message arrived changed";
    if (number + 1 <= last[producer])
        trader->wrong = "messages of one producer came in another order";
    last[producer] = number + 1;
    if (market->each != 0 && __atomic_exchange_n(&market->seen[producer * market->each + number], 1,
                                                 __ATOMIC_RELAXED) != 0)
        trader->wrong = "a message came twice";
}

static void *buy(void *argument)
{
    struct trader *trader = argument;
    struct market *market = trader->market;
    struct random random = random_seeded(~(uint64_t)trader->number);
    uint64_t last[SIDE_MOST] = {0};
    struct ring_ticket ticket;
    test_cpu_enter(20 + trader->number);
    if (market->seats != NULL && ring_seats_take(market->seats, &ticket) != STATUS_OK)
        return NULL;
    const uint64_t all = market->each * market->producers;
    while (all == 0 || __atomic_load_n(&market->taken, __ATOMIC_RELAXED) < all) {
        struct ring_message messages[4];
        const size_t wanted = market->batches ? 1 + random_below(&random, 4) : 1;
        size_t received = 1;
        enum status status;
        if (wanted > 1)
            status = market->ops->receive_batch(market->ring, messages, wanted, &received);
        else
            status = market->ops->receive(market->ring, messages[0].payload, &messages[0].length);
        if (status == STATUS_CLOSED)
            break;
        if (status == STATUS_OK) {
            trader->count += received;
            __atomic_fetch_add(&market->taken, received, __ATOMIC_RELAXED);
            for (size_t i = 0; i < received; i++)
                look_at(trader, &messages[i], last);
        } else if (status == STATUS_EMPTY) {
            let_others_run(trader);
        } else {
            trader->wrong = "a receive has another status";
        }
    }
    if (market->seats != NULL && ring_seats_leave(market->seats, ticket) != STATUS_OK)
        trader->wrong = "a consumer could not leave";
    return NULL;
}

struct threads {
    struct trader trader[2 * SIDE_MOST];
    pthread_t thread[2 * SIDE_MOST];
    unsigned count;
};

static void start(struct threads *threads, struct market *market)
{
    threads->count = market->producers + market->consumers;
    for (unsigned i = 0; i < threads->count; i++) {
        const bool sells = i < market->producers;
        threads->trader[i] = (struct trader){
            .market = market,
            .number = sells ? i : i - market->producers,
        };
        ck_assert_int_eq(
            pthread_create(&threads->thread[i], NULL, sells ? sell : buy, &threads->trader[i]), 0);
    }
}

static uint64_t join(struct threads *threads, unsigned producers, uint64_t *received)
{
    uint64_t sent = 0;
    *received = 0;
    for (unsigned i = 0; i < threads->count; i++) {
        ck_assert_int_eq(pthread_join(threads->thread[i], NULL), 0);
        const struct trader *trader = &threads->trader[i];
        ck_assert_msg(trader->wrong == NULL, "thread %u: %s", i, trader->wrong);
        *(i < producers ? &sent : received) += trader->count;
    }
    return sent;
}

static void run_market(const struct ring_ops *ops, unsigned producers, unsigned consumers,
                       uint64_t messages, size_t slots, bool batches)
{
    struct subject s = create(ops, slots);
    struct market market = {
        .ops = ops,
        .ring = s.ring,
        .each = messages / producers,
        .producers = producers,
        .consumers = consumers,
        .batches = batches && ops->send_batch != NULL,
        .seen = calloc(messages, 1),
    };
    struct threads threads;
    uint64_t received;
    start(&threads, &market);
    ck_assert_uint_eq(join(&threads, producers, &received), market.each * producers);
    ck_assert_uint_eq(received, market.each * producers);
    ck_assert_uint_eq(statistics_of(&s).sent, received);
    ck_assert_uint_eq(statistics_of(&s).received, received);
    for (uint64_t i = 0; i < received; i++)
        ck_assert_msg(market.seen[i] == 1, "message %lu was lost", (unsigned long)i);
    expect_empty(&s);
    free(market.seen);
    destroy(&s);
}

// Many producers build their messages in place, one consumer reads them there.
START_TEST(eight_producers_in_place_lose_and_double_nothing)
{
    const struct ring_ops *ops = &ring_fusion_mpmc_in_place_ops;
    run_market(ops, 8, 1, soaked(100000 / SOAK_RACES_PART, 100000000),
               _i == 0 ? RING_SLOTS_DEFAULT : 8, _i == 1);
}
END_TEST

// The bounds and the baseline spin, and take long where threads outnumber CPUs.
static uint64_t amount(const struct ring_ops *ops, uint64_t quick, uint64_t soak)
{
    return ops->about.role == VARIANT_PRODUCT ? soaked(quick / SOAK_RACES_PART, soak)
                                              : quick / SOAK_RACES_PART / 5;
}

// More threads than any CPU count here: producers are preempted between claim and publication.
START_TEST(eight_producers_and_eight_consumers_lose_and_double_nothing)
{
    run_market(many[_i], 8, 8, amount(many[_i], 100000, 100000000), RING_SLOTS_DEFAULT, false);
}
END_TEST

START_TEST(eight_and_eight_in_batches_through_a_small_ring)
{
    run_market(many[_i], 8, 8, amount(many[_i], 50000, 100000000), 8, true);
}
END_TEST

START_TEST(two_and_two_move_a_million_messages_in_batches)
{
    run_market(many[_i], 2, 2, amount(many[_i], 1000000, 1000000000), 64, true);
}
END_TEST

// ---- closing ------------------------------------------------------------------------------------

static const struct ring_ops *const closing[] = {
    &ring_fusion_spsc_ops, &ring_fusion_spsc_in_place_ops, &ring_fusion_stream_ops,
    &ring_fusion_mpmc_ops, &ring_fusion_mpmc_in_place_ops, &ring_locked_queue_ops};
#define CLOSING ((int)ARRAY_COUNT(closing))

START_TEST(a_closed_ring_is_emptied_and_then_closed_for_both)
{
    struct subject s = create(closing[_i], 8);
    uint64_t payload[7];
    size_t length;
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_int_eq(send_number(&s, i), STATUS_OK);
    s.ops->close(s.ring);
    s.ops->close(s.ring);
    for (uint64_t i = 0; i < 3; i++)
        expect_number(&s, i);
    ck_assert_int_eq(s.ops->receive(s.ring, payload, &length), STATUS_CLOSED);
    struct ring_message message;
    ck_assert_int_eq(s.ops->receive_batch(s.ring, &message, 1, &length), STATUS_CLOSED);
    unsigned more = 0;
    while (send_number(&s, 0) == STATUS_OK)
        ck_assert_uint_le(++more, 5); // what was free when the ring was closed
    ck_assert_int_eq(send_number(&s, 0), STATUS_CLOSED);
    make_messages(&message, 1, 0);
    ck_assert_int_eq(s.ops->send_batch(s.ring, &message, 1, &length), STATUS_CLOSED);
    ck_assert_uint_eq(length, 0);
    ck_assert_uint_eq(statistics_of(&s).refused_full, 0);
    destroy(&s);
}
END_TEST

// The memory is freed, and the address sanitizer told, as soon as the seats say so.
START_TEST(users_of_a_closed_ring_leave_and_its_memory_may_go)
{
    for (unsigned turn = 0; turn < 12; turn++) {
        struct subject s = create(closing[_i], turn % 2 == 0 ? 8 : 4096);
        struct ring_seats *seats = aligned_alloc(CACHE_LINE, sizeof(*seats));
        const unsigned side = s.ops->several ? 3 : 1;
        struct market market = {
            .ops = s.ops, .ring = s.ring, .producers = side, .consumers = side, .seats = seats};
        struct threads threads;
        uint64_t received;
        ring_seats_init(seats);
        start(&threads, &market);
        while (__atomic_load_n(&market.taken, __ATOMIC_RELAXED) < 1000 * turn)
            sched_yield();
        ck_assert(!ring_seats_quiet(seats));
        s.ops->close(s.ring);
        ring_seats_close(seats);
        while (!ring_seats_quiet(seats))
            sched_yield();
        const struct ring_statistics statistics = statistics_of(&s);
        destroy(&s);
        const uint64_t sent = join(&threads, side, &received);
        ck_assert_uint_eq(statistics.sent, sent);
        ck_assert_uint_eq(statistics.received, received);
        ck_assert_uint_le(sent - received, s.slots);
        free(seats);
    }
}
END_TEST

// However much is received meanwhile.
START_TEST(a_closed_ring_takes_no_more_than_it_had_room_for)
{
    for (uint64_t before = 0; before <= 8; before++) {
        struct subject s = create(closing[_i], 8);
        uint64_t payload[7], sent = before, received = 0;
        size_t length;
        for (uint64_t i = 0; i < before; i++)
            ck_assert_int_eq(send_number(&s, i), STATUS_OK);
        s.ops->close(s.ring);
        enum status status;
        do {
            while (s.ops->receive(s.ring, payload, &length) == STATUS_OK)
                received++;
            status = send_number(&s, 0);
            sent += status == STATUS_OK;
        } while (status == STATUS_OK);
        ck_assert_int_eq(status, STATUS_CLOSED);
        ck_assert_uint_le(sent, 8);
        ck_assert_uint_eq(received, sent);
        destroy(&s);
    }
}
END_TEST

// ---- a hole -------------------------------------------------------------------------------------

static const struct ring_ops *const holed[] = {&ring_fusion_mpmc_ops,
                                               &ring_fusion_mpmc_in_place_ops};
#define HOLED ((int)ARRAY_COUNT(holed))

START_TEST(a_hole_of_a_dead_producer_is_closed_and_passed_over)
{
    struct subject s = create(holed[_i], 4);
    struct ring_fusion_mpmc *ring = s.ring;
    uint64_t payload[7], position;
    size_t length;
    ck_assert(!ring_fusion_mpmc_hole(ring, &position));
    ck_assert(!ring_fusion_mpmc_void(ring, 0));
    ck_assert_int_eq(send_number(&s, 0), STATUS_OK);
    ck_assert(!ring_fusion_mpmc_hole(ring, &position));
    ck_assert(!ring_fusion_mpmc_void(ring, 0));
    if (s.ops->reserve != NULL) {
        void *place;
        ck_assert_int_eq(s.ops->reserve(s.ring, &place), STATUS_OK); // and dies
    } else {
        position = 1;
        ck_assert(ring_fusion_mpmc_claim(ring, &position, 1)); // and dies
    }
    ck_assert(!ring_fusion_mpmc_hole(ring, &position)); // not the next yet
    ck_assert(!ring_fusion_mpmc_void(ring, 1));
    ck_assert_int_eq(send_number(&s, 2), STATUS_OK);
    expect_number(&s, 0);
    ck_assert_int_eq(s.ops->receive(s.ring, payload, &length), STATUS_EMPTY);
    ring_fusion_mpmc_close(ring); // nothing is lost behind it
    ck_assert_int_eq(s.ops->receive(s.ring, payload, &length), STATUS_EMPTY);
    ck_assert(ring_fusion_mpmc_hole(ring, &position));
    ck_assert_uint_eq(position, 1);
    ck_assert(!ring_fusion_mpmc_void(ring, 0)); // of a message that was received
    ck_assert(!ring_fusion_mpmc_void(ring, 2)); // of one that is not the next
    ck_assert(!ring_fusion_mpmc_void(ring, 5)); // of the same slot in the next lap
    ck_assert(ring_fusion_mpmc_void(ring, 1));
    ck_assert(!ring_fusion_mpmc_void(ring, 1));
    ck_assert(!ring_fusion_mpmc_hole(ring, &position));
    ck_assert(s.ops->check(s.ring));
    expect_number(&s, 2);
    ck_assert_int_eq(s.ops->receive(s.ring, payload, &length), STATUS_CLOSED);
    ck_assert_uint_eq(statistics_of(&s).received, 3);
    destroy(&s);
}
END_TEST

// ---- seats --------------------------------------------------------------------------------------

START_TEST(seats_are_taken_left_and_taken_again)
{
    static struct ring_seats seats;
    struct ring_ticket tickets[RING_SEATS_MOST], one;
    ring_seats_init(&seats);
    for (unsigned i = 0; i < RING_SEATS_MOST; i++)
        ck_assert_int_eq(ring_seats_take(&seats, &tickets[i]), STATUS_OK);
    ck_assert_int_eq(ring_seats_take(&seats, &one), STATUS_FULL);
    ck_assert_int_eq(ring_seats_leave(&seats, tickets[5]), STATUS_OK);
    ck_assert_int_eq(ring_seats_leave(&seats, tickets[5]), STATUS_STALE);
    ck_assert_int_eq(ring_seats_take(&seats, &one), STATUS_OK);
    ck_assert_uint_eq(one.seat, tickets[5].seat);
    ck_assert_int_eq(ring_seats_leave(&seats, tickets[5]), STATUS_STALE); // not another's
    ck_assert_int_eq(ring_seats_leave(&seats, (struct ring_ticket){.seat = RING_SEATS_MOST}),
                     STATUS_INVALID);
    ck_assert(!ring_seats_quiet(&seats));
    ring_seats_close(&seats);
    ck_assert_int_eq(ring_seats_take(&seats, &tickets[5]), STATUS_CLOSED);
    for (unsigned i = 0; i < RING_SEATS_MOST; i++) {
        ck_assert(!ring_seats_quiet(&seats));
        ck_assert_int_eq(ring_seats_leave(&seats, i == 5 ? one : tickets[i]), STATUS_OK);
    }
    ck_assert(ring_seats_quiet(&seats));
    ck_assert_int_eq(ring_seats_take(&seats, &one), STATUS_CLOSED);
    ck_assert(ring_seats_quiet(&seats));
}
END_TEST

START_TEST(a_peer_that_stops_beating_is_noticed_and_evicted)
{
    static struct ring_seats seats;
    struct ring_ticket peer, next;
    struct ring_watch watch = {0};
    enum status status;
    ring_seats_init(&seats);
    ck_assert_int_eq(ring_seats_take(&seats, &peer), STATUS_OK);
    ck_assert_uint_eq(ring_seats_watch(&seats, peer.seat, &watch, &status), 0);
    for (unsigned i = 0; i < 3; i++) {
        ring_seats_beat(&seats, peer);
        ck_assert_uint_eq(ring_seats_watch(&seats, peer.seat, &watch, &status), 0);
    }
    for (uint32_t looks = 1; looks < 5; looks++)
        ck_assert_uint_eq(ring_seats_watch(&seats, peer.seat, &watch, &status), looks);
    ck_assert_int_eq(status, STATUS_OK);
    ck_assert_int_eq(ring_seats_evict(&seats, peer), STATUS_OK);
    ring_seats_watch(&seats, peer.seat, &watch, &status);
    ck_assert_int_eq(status, STATUS_STALE);
    ck_assert_int_eq(ring_seats_leave(&seats, peer), STATUS_STALE);
    ck_assert_int_eq(ring_seats_take(&seats, &next), STATUS_OK); // somebody else's silence is new
    ck_assert_uint_eq(ring_seats_watch(&seats, next.seat, &watch, &status), 0);
    ck_assert_int_eq(status, STATUS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_many");
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, is_soak() ? 7200 : 240);
    tcase_add_loop_test(threads, eight_producers_and_eight_consumers_lose_and_double_nothing, 0,
                        MANY);
    tcase_add_loop_test(threads, eight_producers_in_place_lose_and_double_nothing, 0, 2);
    tcase_add_loop_test(threads, eight_and_eight_in_batches_through_a_small_ring, 0, MANY);
    tcase_add_loop_test(threads, two_and_two_move_a_million_messages_in_batches, 0, MANY);
    suite_add_tcase(suite, threads);
    TCase *ends = tcase_create("ends");
    tcase_set_timeout(ends, 120);
    tcase_add_loop_test(ends, a_closed_ring_is_emptied_and_then_closed_for_both, 0, CLOSING);
    tcase_add_loop_test(ends, users_of_a_closed_ring_leave_and_its_memory_may_go, 0, CLOSING);
    tcase_add_loop_test(ends, a_closed_ring_takes_no_more_than_it_had_room_for, 0, CLOSING);
    tcase_add_loop_test(ends, a_hole_of_a_dead_producer_is_closed_and_passed_over, 0, HOLED);
    tcase_add_test(ends, seats_are_taken_left_and_taken_again);
    tcase_add_test(ends, a_peer_that_stops_beating_is_noticed_and_evicted);
    suite_add_tcase(suite, ends);
    return run_checks(suite);
}
