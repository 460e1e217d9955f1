// SPDX-License-Identifier: MIT
// Several threads on the queues of one io_uring disk, asleep and awake. Real time; also built for
// ThreadSanitizer.
#include <pthread.h>

#include "random.h"
#include "seed.h"
#include "soak.h"
#include "uring_subject.h"

#define THREADS 4u
#define AT_ONCE 6u

struct worker {
    unsigned cpu, queue, turns;
    uint64_t seed;
    uint64_t good;
    bool wrong;
};

// A thread's own requests, one after the other in a random mode; those of others complete in
// between, by whoever looks.
static void *work(void *argument)
{
    static const struct driver_ops *const ways[] = {&driver_interrupt_ops, &driver_polling_ops,
                                                    &driver_hybrid_ops, &driver_batch_ops,
                                                    &driver_adaptive_ops};
    struct worker *worker = argument;
    struct uring_sleeper sleeper;
    struct reading readings[AT_ONCE];
    test_cpu_enter(worker->cpu);
    struct random random = random_seeded(worker->seed);
    if (!uring_sleeper_init(&sleeper, subject.disk, subject.device)) {
        worker->wrong = true;
        return NULL;
    }
    const struct block_waiter waiter = uring_waiter(&sleeper);
    for (unsigned turn = 0; turn < worker->turns; turn++) {
        const struct driver_ops *ops = ways[random_below(&random, ARRAY_COUNT(ways))];
        const unsigned count = 1 + (unsigned)random_below(&random, AT_ONCE);
        for (unsigned i = 0; i < count; i++) {
            reading_init(&readings[i], random_below(&random, 7000), 1);
            // All modes share the queue: what one gathers, another's submit may send.
            if (ops->submit(subject.device, worker->queue, &readings[i].request) != STATUS_OK)
                worker->wrong = true;
        }
        if (random_below(&random, 2) == 0)
            ops->flush(subject.device, worker->queue);
        for (unsigned i = 0; i < count && !worker->wrong; i++) {
            const bool read = ops->wait(subject.device, &readings[i].request, &waiter) == STATUS_OK;
            worker->wrong = worker->wrong || !read || !reading_is_right(&readings[i]);
            worker->good++;
            reading_free(&readings[i]);
        }
    }
    uring_sleeper_close(&sleeper);
    return NULL;
}

static void storm(struct random *random, unsigned queues)
{
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t good = 0;
    if (!subject_start(queues, UINT64_C(60000) * MILLISECOND, 0))
        return;
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cpu = i + 1,
                                     .queue = i % queues,
                                     .turns = soaked(300, 20000),
                                     .seed = random_u64(random)};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!workers[i].wrong);
        good += workers[i].good;
    }
    const struct block_statistics statistics = subject_statistics();
    ck_assert_uint_eq(statistics.completed, good);
    ck_assert_uint_eq(statistics.failed + statistics.strays + statistics.timeouts, 0);
    ck_assert_uint_gt(statistics.sleeps, 0);
    for (unsigned i = 0; i < queues; i++) {
        ck_assert_uint_eq(subject.device->queues[i].sleepers, 0);
        ck_assert_uint_eq(subject.disk->queues[i].count, 0);
    }
    subject_end();
}

START_TEST(threads_on_one_queue_wake_each_other_and_get_their_own_blocks)
{
    struct random random = seeded_for(__func__);
    storm(&random, 1);
}
END_TEST

START_TEST(threads_on_queues_of_their_own_get_their_own_blocks)
{
    struct random random = seeded_for(__func__);
    storm(&random, THREADS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uring_threads");
    TCase *all = tcase_create("threads");
    tcase_set_timeout(all, 600);
    suite_add_tcase(suite, all);
    tcase_add_test(all, threads_on_one_queue_wake_each_other_and_get_their_own_blocks);
    tcase_add_test(all, threads_on_queues_of_their_own_get_their_own_blocks);
    return run_checks(suite);
}
