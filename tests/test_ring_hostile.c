// SPDX-License-Identifier: MIT
// A peer that writes anything it likes into what is shared, at any time: every call ends, with a
// status or with a payload of garbage, and nothing else is touched. The address sanitizer watches
// the slots' ends and the caller's buffers, which are as large as they must be and no larger.
//
// The peer writes by atomic stores what the victim reads by plain ones: that is its crime, so this
// program is not run under the thread sanitizer.
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "ring_fusion_mpmc.h"
#include "ring_fusion_spsc.h"
#include "ring_fusion_stream.h"
#include "ring_subject.h"
#include "ring_zero_copy.h"
#include "run_checks.h"
#include "seed.h"
#include "test_platform.h"

#define SLOTS  8u
#define VICTIM 1u
#define OTHER  2u

static const struct ring_ops *const victims[] = {
    &ring_fusion_spsc_ops, &ring_fusion_spsc_in_place_ops, &ring_fusion_stream_ops,
    &ring_fusion_mpmc_ops, &ring_fusion_mpmc_in_place_ops};
#define VICTIMS ((int)ARRAY_COUNT(victims))

#define AREAS         5u
#define CONSUMER_AREA 1u // its first word: the position
#define SLOTS_AREA    2u

// Words that the hostile side may write: all that is shared, none of the first page.
struct hostile {
    struct random random;
    uint64_t *words[AREAS];
    size_t counts[AREAS];
    unsigned areas;
    uint64_t *closed[2];
    uint64_t writes;
    bool stop;
};

// A number that somebody could hope for: near a bound, near what was there, or anything.
static uint64_t hostile_number(struct random *random, uint64_t was)
{
    static const uint64_t bounds[] = {0,
                                      1,
                                      SLOTS,
                                      56,
                                      57,
                                      0xffff,
                                      (uint64_t)1 << 31,
                                      (uint64_t)1 << 32,
                                      (uint64_t)1 << 63,
                                      UINT64_MAX};
    switch (random_below(random, 5)) {
    case 0:
        return random_u64(random);
    case 1:
        return bounds[random_below(random, ARRAY_COUNT(bounds))];
    case 2:
        return was + random_below(random, 2 * SLOTS) - SLOTS;
    case 3: // a control word with a sequence near this one and anything below
        return (was & 0xffffffff00000000) + (random_below(random, 3) << 32) +
               random_below(random, 0x40000);
    default:
        return was ^ (uint64_t)1 << random_below(random, 64);
    }
}

// Half of the time the first word of the slot that is received next, which says whether a message
// is there and of which kind and length. Elsewhere anything; but a ring that is closed does nothing
// any more, so that it is opened again soon.
static void strike(struct hostile *hostile)
{
    struct random *random = &hostile->random;
    const size_t area = random_below(random, hostile->areas);
    uint64_t *word = &hostile->words[area][random_below(random, hostile->counts[area])];
    if (random_below(random, 2) == 0)
        word = &hostile->words[SLOTS_AREA]
                              [__atomic_load_n(hostile->words[CONSUMER_AREA], __ATOMIC_RELAXED) %
                               SLOTS * (CACHE_LINE / 8)];
    const uint64_t was = __atomic_load_n(word, __ATOMIC_RELAXED);
    __atomic_store_n(word, hostile_number(random, was), __ATOMIC_RELAXED);
    hostile->writes++;
    for (unsigned i = 0; i < 2 && random_below(random, 8) != 0; i++)
        __atomic_store_n(hostile->closed[i], 0, __ATOMIC_RELAXED);
}

static void *scribble(void *argument)
{
    struct hostile *hostile = argument;
    while (!__atomic_load_n(&hostile->stop, __ATOMIC_RELAXED)) {
        for (unsigned i = 0; i < 64; i++)
            strike(hostile);
        sched_yield();
    }
    return NULL;
}

// Where all of these rings have what the sides write.
#define PRODUCER_AT(type) offsetof(struct type, producer)
#define CONSUMER_AT(type) offsetof(struct type, consumer)
_Static_assert(PRODUCER_AT(ring_fusion_spsc) == PRODUCER_AT(ring_fusion_stream) &&
                   PRODUCER_AT(ring_fusion_spsc) == PRODUCER_AT(ring_fusion_mpmc),
               "one place for all");
_Static_assert(CONSUMER_AT(ring_fusion_spsc) == CONSUMER_AT(ring_fusion_stream) &&
                   CONSUMER_AT(ring_fusion_spsc) == CONSUMER_AT(ring_fusion_mpmc),
               "one place for all");
_Static_assert(offsetof(struct ring_fusion_spsc, producer_closing) ==
                       PRODUCER_AT(ring_fusion_spsc) + CACHE_LINE &&
                   offsetof(struct ring_fusion_spsc, consumer_closing) ==
                       CONSUMER_AT(ring_fusion_spsc) + CACHE_LINE &&
                   offsetof(struct ring_fusion_stream, consumer_closing) ==
                       CONSUMER_AT(ring_fusion_stream) + CACHE_LINE,
               "the line behind a side says that it is closed");

static struct ring_producer *producer_of(const struct subject *s)
{
    return (struct ring_producer *)((char *)s->ring + PRODUCER_AT(ring_fusion_spsc));
}

static struct ring_consumer *consumer_of(const struct subject *s)
{
    return (struct ring_consumer *)((char *)s->ring + CONSUMER_AT(ring_fusion_spsc));
}

// The shared part of a ring is all behind its first page. Most of that is padding: the lines that
// the sides write are areas of their own, or they would hardly ever be hit.
static struct hostile hostile_to(const struct subject *s, uint64_t seed)
{
    return (struct hostile){
        .random = random_seeded(seed),
        .words = {(uint64_t *)producer_of(s), (uint64_t *)consumer_of(s), s->memory,
                  (uint64_t *)((char *)s->ring + PAGE_SIZE)},
        .counts = {CACHE_LINE / 8, CACHE_LINE / 8, s->slots * s->ops->slot_bytes / 8,
                   (s->ops->state_bytes - PAGE_SIZE) / 8},
        .areas = 4,
        .closed = {(uint64_t *)producer_of(s) + CACHE_LINE / 8,
                   (uint64_t *)consumer_of(s) + CACHE_LINE / 8},
    };
}

static bool is_known(enum status status)
{
    return status <= STATUS_OK && status >= STATUS_STALE;
}

// One call of the victim, with buffers of exactly the size that the interface asks for.
static void call_once(const struct subject *s, struct random *random, uint64_t *seen)
{
    uint64_t *payload = malloc(RING_PAYLOAD_MOST);
    struct ring_message *messages = malloc(4 * sizeof(*messages));
    size_t count = 0;
    enum ring_kind kind = RING_INLINE;
    enum status status = STATUS_OK;
    const void *found;
    void *place;
    memset(payload, 0, RING_PAYLOAD_MOST);
    for (unsigned i = 0; i < 4; i++)
        messages[i] = (struct ring_message){.length = random_below(random, 57)};
    switch (random_below(random, s->ops->peek != NULL ? 8 : 6)) {
    case 6:
        status = s->ops->reserve(s->ring, &place);
        if (status == STATUS_OK) {
            memset(place, 3, RING_PAYLOAD_MOST);
            status = s->ops->commit(s->ring, place, random_below(random, 57));
        }
        break;
    case 7:
        status = s->ops->peek(s->ring, &found, &count);
        if (status == STATUS_OK) {
            ck_assert_uint_le(count, RING_PAYLOAD_MOST);
            memcpy(payload, found, RING_PAYLOAD_MOST);
            s->ops->release(s->ring, found);
        }
        break;
    case 0:
        status = s->ops->send(s->ring, payload, random_below(random, 57));
        break;
    case 1:
        status = s->ops->send_batch(s->ring, messages, 4, &count);
        ck_assert_uint_le(count, 4);
        break;
    case 2:
        status = s->ops->receive_batch(s->ring, messages, 4, &count);
        ck_assert_uint_le(count, 4);
        for (size_t i = 0; i < count; i++)
            ck_assert_uint_le(messages[i].length, RING_PAYLOAD_MOST);
        break;
    case 3:
        if (s->ops->receive_kind != NULL)
            status = s->ops->receive_kind(s->ring, payload, &count, &kind);
        ck_assert_uint_le(count, RING_PAYLOAD_MOST);
        ck_assert_uint_lt(kind, RING_VOID);
        break;
    default:
        status = s->ops->receive(s->ring, payload, &count);
        if (status == STATUS_OK)
            ck_assert_uint_le(count, RING_PAYLOAD_MOST);
    }
    ck_assert_msg(is_known(status), "status %d", status);
    seen[-status]++;
    ck_assert_uint_le(s->ops->free_slots(s->ring), s->slots);
    free(payload);
    free(messages);
}

// Between the victim's calls, so that a seed repeats it.
START_TEST(a_ring_that_was_written_into_between_calls_ends_every_call)
{
    struct random random = seeded_for(NAME(victims[_i]));
    uint64_t seen[16] = {0};
    for (unsigned ring = 0; ring < 100; ring++) {
        struct subject s = create(victims[_i], SLOTS);
        struct hostile hostile = hostile_to(&s, random_u64(&random));
        for (unsigned i = 0; i < 300; i++) {
            if (random_below(&random, 2) == 0)
                strike(&hostile);
            call_once(&s, &random, seen);
        }
        free(s.ring);
        free(s.memory);
    }
    ck_assert_uint_gt(seen[-STATUS_OK], 1000);
    ck_assert_uint_gt(seen[-STATUS_EMPTY], 100);
    ck_assert_uint_gt(seen[-STATUS_CORRUPT], 10);
}
END_TEST

START_TEST(a_peer_that_scribbles_all_the_time_breaks_nothing_but_its_messages)
{
    struct random random = seeded_for(NAME(victims[_i]));
    uint64_t seen[16] = {0};
    struct subject s = create(victims[_i], SLOTS);
    struct hostile hostile = hostile_to(&s, random_u64(&random));
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, scribble, &hostile), 0);
    for (unsigned i = 0; i < 20000; i++) {
        call_once(&s, &random, seen);
        if (i % 64 == 0)
            sched_yield();
    }
    __atomic_store_n(&hostile.stop, true, __ATOMIC_RELAXED);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_gt(hostile.writes, 1000);
    ck_assert_uint_lt(seen[-STATUS_CLOSED], 15000);
    free(s.ring);
    free(s.memory);
}
END_TEST

// A position that the other side cannot have reached is no room and no message.
START_TEST(a_position_that_nobody_can_have_reached_is_corrupt)
{
    static const uint64_t beyond[] = {SLOTS + 1, 2 * SLOTS, (uint64_t)1 << 40};
    const struct ring_ops *ops = victims[_i];
    const struct ring_message message = {.length = 8};
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    size_t count;
    for (size_t i = 0; i < ARRAY_COUNT(beyond); i++) {
        struct subject s = create(ops, SLOTS);
        for (unsigned sent = 0; sent < SLOTS; sent++)
            ck_assert_int_eq(ops->send(s.ring, message.payload, 8), STATUS_OK);
        consumer_of(&s)->position = beyond[i];
        ck_assert_int_eq(ops->send(s.ring, message.payload, 8), STATUS_CORRUPT);
        ck_assert_int_eq(ops->send_batch(s.ring, &message, 1, &count), STATUS_CORRUPT);
        ck_assert_uint_eq(count, 0);
        ck_assert_uint_eq(producer_of(&s)->limit, SLOTS); // no credit came of it
        consumer_of(&s)->position = 0;
        ck_assert_int_eq(ops->send(s.ring, message.payload, 8), STATUS_FULL);
        destroy(&s);
    }
    if (ops != &ring_fusion_stream_ops)
        return; // whose consumer goes by the producer's position
    for (size_t i = 0; i < ARRAY_COUNT(beyond); i++) {
        struct subject s = create(ops, SLOTS);
        producer_of(&s)->position = beyond[i];
        ck_assert_int_eq(ops->receive(s.ring, payload, &count), STATUS_CORRUPT);
        producer_of(&s)->position = 0;
        ck_assert_int_eq(ops->receive(s.ring, payload, &count), STATUS_EMPTY);
        destroy(&s);
    }
}
END_TEST

// ---- the pool -----------------------------------------------------------------------------------

struct plundered {
    struct subject s;
    struct ring_pool pool;
    void *pages;
    void *shared;
    struct hostile hostile;
};

#define PAGES 5u

static void begin(struct plundered *p, struct random *random)
{
    const size_t bytes = ring_pool_shared_bytes(PAGES);
    p->s = create(&ring_fusion_spsc_ops, SLOTS);
    p->pages = junk_pages(PAGES * PAGE_SIZE);
    p->shared = aligned_alloc(CACHE_LINE, bytes);
    ck_assert_int_eq(ring_pool_init(&p->pool, p->pages, p->shared, PAGES, 3), STATUS_OK);
    p->hostile = hostile_to(&p->s, random_u64(random));
    p->hostile.words[4] = p->shared;
    p->hostile.counts[4] = bytes / 8;
    p->hostile.areas = 5;
}

static void end(struct plundered *p)
{
    free(p->s.ring);
    free(p->s.memory);
    free(p->pages);
    free(p->shared);
}

static void expect_inside(const struct plundered *p, const void *bytes, size_t length)
{
    const size_t offset = (size_t)((const char *)bytes - (const char *)p->pages);
    ck_assert_uint_le(offset, PAGES * PAGE_SIZE);
    ck_assert_uint_le(length, PAGES * PAGE_SIZE - offset);
    if (length > 0)
        memset((char *)p->pages + offset, 0x5a, length);
}

static void trade_once(struct plundered *p, struct random *random)
{
    static const struct ring_parties to_other = {VICTIM, OTHER}, to_me = {OTHER, VICTIM};
    const struct ring_ops *ops = &ring_fusion_spsc_ops;
    uint64_t payload[8] = {0};
    struct ring_descriptor descriptor;
    struct ring_pages pages;
    void *bytes[RING_PAGES_MOST];
    enum status status = STATUS_OK;
    switch (random_below(random, 6)) {
    case 0:
        status = ring_pool_allocate(&p->pool, VICTIM, &descriptor, bytes);
        if (status != STATUS_OK)
            break;
        expect_inside(p, bytes[0], PAGE_SIZE);
        descriptor.length = PAGE_SIZE;
        status = ring_send_page(ops, p->s.ring, &p->pool, to_other, &descriptor);
        break;
    case 1:
        status = ring_send_with_pool(ops, p->s.ring, &p->pool, to_me, payload, 64);
        break;
    case 2:
        status = ring_receive_pages(ops, p->s.ring, &p->pool, VICTIM, &pages, bytes);
        if (status != STATUS_OK)
            break;
        for (unsigned i = 0; i < pages.count; i++)
            expect_inside(p, bytes[i],
                          i + 1u == pages.count ? pages.length % PAGE_SIZE : PAGE_SIZE);
        status = ring_free_pages(&p->pool, VICTIM, &pages);
        break;
    case 3:
        ring_pool_reclaim(&p->pool, OTHER, 0);
        break;
    default:
        status = ring_receive_page(ops, p->s.ring, &p->pool, VICTIM, &descriptor, bytes);
        if (status != STATUS_OK)
            break;
        expect_inside(p, bytes[0], descriptor.length);
        ring_pool_holds(&p->pool, VICTIM, &descriptor);
        status = ring_pool_free(&p->pool, VICTIM, &descriptor);
    }
    ck_assert_msg(is_known(status), "status %d", status);
}

START_TEST(a_pool_that_was_written_into_hands_out_nothing_else)
{
    struct random random = seeded_for("pool");
    for (unsigned turn = 0; turn < 100; turn++) {
        struct plundered p;
        begin(&p, &random);
        for (unsigned i = 0; i < 300; i++) {
            if (random_below(&random, 2) == 0)
                strike(&p.hostile);
            trade_once(&p, &random);
        }
        end(&p);
    }
}
END_TEST

START_TEST(a_peer_that_scribbles_over_pool_and_ring_reaches_nothing_else)
{
    struct random random = seeded_for("pool and ring");
    struct plundered p;
    pthread_t thread;
    begin(&p, &random);
    ck_assert_int_eq(pthread_create(&thread, NULL, scribble, &p.hostile), 0);
    for (unsigned i = 0; i < 20000; i++) {
        trade_once(&p, &random);
        if (i % 64 == 0)
            sched_yield();
    }
    __atomic_store_n(&p.hostile.stop, true, __ATOMIC_RELAXED);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    end(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_hostile");
    TCase *hostile = tcase_create("hostile");
    tcase_set_timeout(hostile, 120);
    tcase_add_loop_test(hostile, a_ring_that_was_written_into_between_calls_ends_every_call, 0,
                        VICTIMS);
    tcase_add_loop_test(hostile, a_peer_that_scribbles_all_the_time_breaks_nothing_but_its_messages,
                        0, VICTIMS);
    tcase_add_loop_test(hostile, a_position_that_nobody_can_have_reached_is_corrupt, 0, VICTIMS);
    tcase_add_test(hostile, a_pool_that_was_written_into_hands_out_nothing_else);
    tcase_add_test(hostile, a_peer_that_scribbles_over_pool_and_ring_reaches_nothing_else);
    suite_add_tcase(suite, hostile);
    return run_checks(suite);
}
