// SPDX-License-Identifier: MIT
// Pages of a pool on several CPUs: no page is anybody else's, and messages that are pages are
// whole.
#include <check.h>
#include <pthread.h>
#include <sched.h>

#include "random.h"
#include "ring_pool_subject.h"
#include "run_checks.h"
#include "test_platform.h"

#define STORM_PAGES   16u
#define STORM_THREADS 4u

struct storm {
    struct fixture *f;
    unsigned owner;
    uint64_t rounds;
    bool broken;
};

// Takes pages, marks them as its own, and frees them or passes them to itself under another name.
static void *storm(void *argument)
{
    struct storm *s = argument;
    struct ring_pool *pool = &s->f->pool;
    struct random random = random_seeded(s->owner);
    test_cpu_enter(s->owner);
    for (uint64_t i = 0; i < s->rounds; i++) {
        struct ring_descriptor held[8];
        uint64_t *words[8];
        const size_t wanted = 1 + random_below(&random, 8);
        size_t count = 0;
        void *bytes;
        while (count < wanted &&
               ring_pool_allocate(pool, s->owner, &held[count], &bytes) == STATUS_OK) {
            words[count] = bytes;
            *words[count++] = (uint64_t)s->owner << 32 | i;
        }
        for (size_t k = 0; k < count; k++) {
            s->broken |= *words[k] != ((uint64_t)s->owner << 32 | i);
            s->broken |= ring_pool_pass(pool, s->owner, 100 + s->owner, &held[k]) != STATUS_OK;
            s->broken |= ring_pool_free(pool, s->owner, &held[k]) != STATUS_STALE;
            s->broken |= ring_pool_free(pool, 100 + s->owner, &held[k]) != STATUS_OK;
        }
        if (count == 0)
            sched_yield();
    }
    return NULL;
}

START_TEST(no_page_is_given_to_two_threads)
{
    struct fixture f = create(STORM_PAGES);
    struct storm storms[STORM_THREADS];
    pthread_t threads[STORM_THREADS];
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        storms[i] = (struct storm){.f = &f, .owner = 1 + i, .rounds = 20000};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, storm, &storms[i]), 0);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!storms[i].broken);
    }
    const struct ring_pool_statistics statistics = statistics_of(&f);
    ck_assert_uint_eq(statistics.held, 0);
    ck_assert_uint_eq(statistics.allocated, statistics.freed);
    ck_assert_uint_gt(statistics.allocated, STORM_THREADS * 1000);
    destroy(&f);
}
END_TEST

#define RELAYED 100000u

static void *relay(void *argument)
{
    struct storm *s = argument;
    test_cpu_enter(2);
    for (uint64_t next = 0; next < RELAYED;) {
        struct ring_descriptor d;
        void *bytes;
        const enum status status =
            ring_receive_page(&ring_fusion_spsc_ops, s->f->ring, &s->f->pool, BOB, &d, &bytes);
        if (status == STATUS_EMPTY) {
            sched_yield();
            continue;
        }
        s->broken |= status != STATUS_OK || *(uint64_t *)bytes != next;
        s->broken |= ring_pool_free(&s->f->pool, BOB, &d) != STATUS_OK;
        next++;
    }
    return NULL;
}

START_TEST(pages_arrive_whole_between_two_threads)
{
    struct fixture f = create_with_ring(8, &ring_fusion_spsc_ops, 4);
    struct storm s = {.f = &f};
    pthread_t receiver;
    test_cpu_enter(1);
    ck_assert_int_eq(pthread_create(&receiver, NULL, relay, &s), 0);
    for (uint64_t next = 0; next < RELAYED;) {
        struct ring_descriptor d;
        void *bytes;
        if (ring_pool_allocate(&f.pool, ALICE, &d, &bytes) != STATUS_OK) {
            sched_yield();
            continue;
        }
        *(uint64_t *)bytes = next;
        d.length = 8;
        while (ring_send_page(&ring_fusion_spsc_ops, f.ring, &f.pool, alice_to_bob, &d) !=
               STATUS_OK)
            sched_yield();
        next++;
    }
    ck_assert_int_eq(pthread_join(receiver, NULL), 0);
    ck_assert(!s.broken);
    ck_assert_uint_eq(statistics_of(&f).held, 0);
    ck_assert_uint_eq(statistics_of(&f).freed, RELAYED);
    destroy(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_pool_threads");
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 240);
    tcase_add_test(threads, no_page_is_given_to_two_threads);
    tcase_add_test(threads, pages_arrive_whole_between_two_threads);
    suite_add_tcase(suite, threads);
    return run_checks(suite);
}
