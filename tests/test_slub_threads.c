// SPDX-License-Identifier: MIT
// SLUB between threads, each a CPU: what one allocates another frees; under ThreadSanitizer as
// races_slub. What the threads hand to each other goes through mailboxes of one pointer.
#include <check.h>
#include <pthread.h>

#include "run_checks.h"
#include "seed.h"
#include "slub_subject.h"
#include "soak.h"

#define THREADS 4u
#define MAILS   64u
#define ROUNDS  20000u
#define SOAK    100u // times as many
#define KEEP    50u
#define PATTERN 0x5eedull

static struct subject s;
static struct slub_cache *typed;
static uint64_t *mailboxes[MAILS]; // atomic
static uint64_t rounds;

struct worker {
    pthread_t thread;
    unsigned cpu;
    struct random random;
    uint64_t allocations, frees, refused;
    bool harmed;
};

static void give_up(struct worker *worker, uint64_t *object)
{
    if (object == NULL)
        return;
    // The first word says how many follow it, all the same.
    for (uint64_t i = 1; i <= object[0]; i++)
        worker->harmed |= object[i] != (PATTERN ^ object[0]);
    slub_free(s.slub, object);
    worker->frees++;
}

static uint64_t *get_one(struct worker *worker)
{
    const uint64_t words = 1 + random_below(&worker->random, 300);
    uint64_t *object =
        words == 7 ? slub_cache_allocate(typed, 0) : slub_allocate(s.slub, (words + 1) * 8, 0);
    if (object == NULL) {
        worker->refused++;
        return NULL;
    }
    object[0] = words;
    for (uint64_t i = 1; i <= words; i++)
        object[i] = PATTERN ^ words;
    worker->allocations++;
    return object;
}

static void bulk(struct worker *worker)
{
    void *objects[100];
    const size_t got = slub_allocate_bulk(s.slub, 200, 100, objects, 0);
    for (size_t i = 0; i < got; i++)
        memset(objects[i], (int)i, 200);
    slub_free_bulk(s.slub, got, objects);
    worker->allocations += got;
    worker->frees += got;
    worker->refused += got < 100;
}

static void *work(void *worker_)
{
    struct worker *worker = worker_;
    uint64_t *kept[KEEP] = {0};
    test_cpu_enter(worker->cpu);
    for (uint64_t i = 0; i < rounds; i++) {
        const uint64_t what = random_below(&worker->random, 1000);
        const unsigned slot = (unsigned)random_below(&worker->random, KEEP);
        if (what == 0) {
            slub_emergency_shrink(s.slub);
        } else if (what == 1) {
            slub_balance(s.slub);
        } else if (what < 5) {
            bulk(worker);
        } else if (what < 500) {
            // Into a mailbox; whoever's was in it is freed here.
            uint64_t *object = get_one(worker);
            uint64_t **box = &mailboxes[random_below(&worker->random, MAILS)];
            give_up(worker, __atomic_exchange_n(box, object, __ATOMIC_ACQ_REL));
        } else {
            give_up(worker, kept[slot]);
            kept[slot] = get_one(worker);
        }
    }
    for (unsigned i = 0; i < KEEP; i++)
        give_up(worker, kept[i]);
    return NULL;
}

static void run_threads(const char *name, uint64_t node_bytes, const struct slub_settings *settings)
{
    struct worker workers[THREADS];
    struct random random = seeded_for(name);
    struct numa numa;
    struct slub_totals totals;
    uint64_t allocations = 0, frees = 0, refused = 0;
    rounds = soaked(ROUNDS, ROUNDS * SOAK);
    numa_init(&numa);
    numa_set_nodes(&numa, 2);
    numa.cpu_node[1] = numa.cpu_node[3] = 1;
    subject_open(&s, 2, node_bytes, THREADS, settings, &numa);
    typed = slub_cache_create(s.slub, "typed", 64, 0, SLUB_NO_MERGE);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cpu = i, .random = random_seeded(random_u64(&random))};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert(!workers[i].harmed);
        allocations += workers[i].allocations;
        frees += workers[i].frees;
        refused += workers[i].refused;
    }
    struct worker here = {0};
    for (unsigned i = 0; i < MAILS; i++)
        give_up(&here, __atomic_exchange_n(&mailboxes[i], NULL, __ATOMIC_ACQ_REL));
    ck_assert(!here.harmed);
    ck_assert(slub_check(s.slub));
    slub_statistics(s.slub, &totals);
    ck_assert_uint_eq(totals.objects.allocations, allocations);
    ck_assert_uint_eq(totals.objects.frees, frees + here.frees);
    ck_assert_uint_eq(allocations, frees + here.frees);
    ck_assert_uint_eq(totals.objects.failures, refused);
    subject_expect_all_back(&s);
    subject_close(&s);
}

START_TEST(threads_on_two_nodes_free_what_others_allocated)
{
    run_threads("threads", 8u << 20, NULL);
}
END_TEST

START_TEST(threads_share_memory_that_is_nearly_used_up)
{
    run_threads("nearly full", 256u << 10, NULL);
}
END_TEST

START_TEST(threads_share_checked_caches)
{
    struct slub_settings settings = slub_defaults;
    settings.class_flags = SLUB_CHECKED;
    run_threads("checked", 8u << 20, &settings);
}
END_TEST

static void *create_and_destroy(void *worker_)
{
    struct worker *worker = worker_;
    test_cpu_enter(worker->cpu);
    for (unsigned i = 0; i < 300; i++) {
        struct slub_cache *cache =
            slub_cache_create(s.slub, "own", 100 + 8 * worker->cpu, 0, SLUB_NO_MERGE);
        void *objects[10];
        for (unsigned k = 0; k < 10; k++)
            objects[k] = slub_cache_allocate(cache, 0);
        for (unsigned k = 0; k < 10; k++)
            slub_cache_free(cache, objects[k]);
        if (i % 16 == 0)
            slub_emergency_shrink(s.slub); // which looks at the caches of all
        slub_free(s.slub, slub_allocate(s.slub, 1000, 0));
        worker->harmed |= slub_cache_destroy(cache, NULL) != STATUS_OK;
    }
    return NULL;
}

// Each uses its own from the CPU it is on, so that each is at rest when it is destroyed.
START_TEST(threads_create_and_destroy_caches_at_once)
{
    struct worker workers[THREADS];
    subject_open(&s, 1, 4u << 20, THREADS, NULL, NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cpu = i};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, create_and_destroy, &workers[i]),
                         0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert(!workers[i].harmed);
    }
    subject_expect_all_back(&s);
    subject_close(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slub, threads");
    TCase *tests = tcase_create("threads");
    tcase_set_timeout(tests, 1200);
    tcase_add_test(tests, threads_on_two_nodes_free_what_others_allocated);
    tcase_add_test(tests, threads_share_memory_that_is_nearly_used_up);
    tcase_add_test(tests, threads_share_checked_caches);
    tcase_add_test(tests, threads_create_and_destroy_caches_at_once);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
