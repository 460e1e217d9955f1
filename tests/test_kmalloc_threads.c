// SPDX-License-Identifier: MIT
// kmalloc on several CPUs at once: threads that free and resize each other's objects of all levels,
// and die. Also under ThreadSanitizer.
#include <pthread.h>

#include "kmalloc_subject.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"

#define THREADS   3u
#define MAILBOXES 128u

// The first word of an object is its size, the last byte a mark that follows from that.
struct parcel {
    size_t size;
};

static void *mailboxes[MAILBOXES];

static void seal(struct parcel *parcel, size_t size)
{
    parcel->size = size;
    if (size > sizeof(*parcel))
        ((unsigned char *)parcel)[size - 1] = (unsigned char)(size * 31);
}

static void expect_sealed(const struct parcel *parcel)
{
    const size_t size = parcel->size;
    if (size > sizeof(*parcel) &&
        ((const unsigned char *)parcel)[size - 1] != (unsigned char)(size * 31))
        ck_abort_msg("an object of %zu bytes was overwritten", size);
}

struct worker {
    pthread_t thread;
    struct heap_kmalloc_thread handle;
    unsigned cpu, operations;
    bool leaves;
    uint64_t seed, failures;
};

static size_t any_size(struct random *random)
{
    const uint64_t bits = 3 + random_below(random, random_below(random, 8) == 0 ? 13 : 9);
    return (1ull << bits) + random_below(random, 1ull << bits);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct random random = random_seeded(worker->seed);
    test_cpu_enter(worker->cpu);
    void *handle = heap_kmalloc_join(&heap, &worker->handle);
    for (unsigned i = 0; i < worker->operations; i++) {
        void **box = &mailboxes[random_below(&random, MAILBOXES)];
        const size_t size = any_size(&random);
        struct parcel *sent = kmalloc(handle, size);
        if (sent != NULL)
            seal(sent, size);
        worker->failures += sent == NULL;
        // Release: the parcel is written; acquire: so is the one found.
        struct parcel *found = __atomic_exchange_n(box, sent, __ATOMIC_ACQ_REL);
        if (found == NULL)
            continue;
        expect_sealed(found);
        if (random_below(&random, 4) == 0) { // what another thread made is resized here
            const size_t next = any_size(&random);
            struct parcel *moved = krealloc(handle, found, next);
            worker->failures += moved == NULL;
            if (moved != NULL) {
                seal(moved, next);
                found = moved;
            }
        }
        kfree(handle, found);
        if (random_below(&random, 2000) == 0)
            heap_kmalloc_trim(handle);
    }
    if (worker->leaves)
        heap_kmalloc_leave(handle);
    return NULL;
}

static void run_threads(size_t length, bool runs_out)
{
    static struct worker workers[THREADS];
    const bool soak = is_soak();
    struct random random = seeded_for("threads");
    uint64_t failures = 0;
    make_heap(length);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i].cpu = i + 1;
            workers[i].operations = soak ? 1000000 : 8000;
            workers[i].seed = random_u64(&random);
            workers[i].leaves = random_below(&random, 2) == 0;
            ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
            if (!workers[i].leaves) // it died without a word
                heap_kmalloc_leave(&workers[i].handle);
            failures += workers[i].failures;
            workers[i].failures = 0;
        }
        expect_sound();
    }
    for (unsigned i = 0; i < MAILBOXES; i++)
        if (mailboxes[i] != NULL) {
            expect_sealed(mailboxes[i]);
            kfree(&heap, mailboxes[i]);
            mailboxes[i] = NULL;
        }
    // A shrink that is refused its smaller object is a failure in the counts only.
    ck_assert_uint_ge(statistics().failures, failures);
    ck_assert_uint_eq(failures > 0, runs_out);
    expect_all_back(THREADS + 1);
    drop_heap();
}

START_TEST(threads_free_and_resize_each_others_objects_and_die)
{
    run_threads(16u << 20, false);
}
END_TEST

START_TEST(threads_that_run_out_of_memory_together_lose_none)
{
    run_threads(256u << 10, true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kmalloc_threads");
    TCase *tests = tcase_create("threads");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, threads_free_and_resize_each_others_objects_and_die);
    tcase_add_test(tests, threads_that_run_out_of_memory_together_lose_none);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
