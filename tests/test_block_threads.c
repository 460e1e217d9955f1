// SPDX-License-Identifier: MIT
// Several CPUs on the queues of one device, with interrupts and resets in between. Real time; also
// built for ThreadSanitizer.
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "block_rest.h"
#include "driver_variants.h"
#include "ram_disk.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"
#include "test_platform.h"

#define BLOCKS  512u
#define BLOCK   512u
#define THREADS 4u
#define AT_ONCE 6u
#define HZ      2000000000u // about: bounds are far away

struct fixture {
    struct ram_disk *disk;
    struct block_device *device;
    void *memory;
    uint64_t *content; // number n / 8 of the disk's bytes at n
    uint32_t ill;      // atomic: the device says that it needs a reset
    uint32_t stop;     // atomic
};

static struct fixture fixture;

// The RAM disk, which is ill when somebody says so, until it is reset.
static enum block_health health(void *driver)
{
    (void)driver;
    return __atomic_load_n(&fixture.ill, __ATOMIC_RELAXED) != 0 ? BLOCK_NEEDS_RESET : BLOCK_HEALTHY;
}

static enum status reset(void *driver)
{
    const enum status status = ram_disk_ops.reset(driver);
    __atomic_store_n(&fixture.ill, 0, __ATOMIC_RELAXED);
    return status;
}

static void begin(unsigned queues, uint64_t latency_ns)
{
    static struct block_device_ops ops;
    ops = ram_disk_ops;
    ops.health = health;
    ops.reset = reset;
    fixture = (struct fixture){0};
    fixture.content = aligned_alloc(PAGE_SIZE, BLOCKS * BLOCK);
    fixture.disk = aligned_alloc(PAGE_SIZE, align_up(sizeof(struct ram_disk), PAGE_SIZE));
    fixture.device = aligned_alloc(PAGE_SIZE, align_up(sizeof(struct block_device), PAGE_SIZE));
    fixture.memory = aligned_alloc(PAGE_SIZE, align_up(block_bytes(queues), PAGE_SIZE));
    for (uint64_t i = 0; i < BLOCKS * BLOCK / 8; i++)
        fixture.content[i] = i;
    const struct device_clock clock = {.hz = HZ};
    const struct ram_disk_config disk = {.memory = fixture.content,
                                         .bytes = BLOCKS * BLOCK,
                                         .block_bytes = BLOCK,
                                         .queues = queues,
                                         .latency_ns = latency_ns,
                                         .clock = clock};
    ram_disk_init(fixture.disk, &disk);
    const struct block_config config = {
        .ops = &ops, .driver = fixture.disk, .clock = clock, .timeout_ns = UINT64_C(60000000000)};
    ck_assert_int_eq(block_init(fixture.device, &config, fixture.memory, block_bytes(queues)),
                     STATUS_OK);
}

static void end(void)
{
    free(fixture.content);
    free(fixture.disk);
    free(fixture.device);
    free(fixture.memory);
}

struct worker {
    unsigned cpu, queue;
    unsigned turns;
    uint64_t seed;
    uint64_t good, again;
    bool ill;
    bool wrong;
};

struct one {
    struct block_request request;
    struct block_segment segment;
    uint64_t numbers[BLOCK / 8];
};

// Hands it in until it is taken.
static void submit(struct worker *worker, const struct driver_ops *ops, struct one *one)
{
    for (;;) {
        const enum status status = ops->submit(fixture.device, worker->queue, &one->request);
        if (status == STATUS_OK)
            return;
        if (status != STATUS_ABORTED && status != STATUS_FULL)
            worker->wrong = true;
        sched_yield();
    }
}

static void *work(void *argument)
{
    // Not all at a time: the queue's mode is one.
    static const struct driver_ops *const ways[] = {&driver_interrupt_ops, &driver_polling_ops,
                                                    &driver_hybrid_ops, &driver_batch_ops,
                                                    &driver_adaptive_ops};
    struct worker *worker = argument;
    test_cpu_enter(worker->cpu);
    struct random random = random_seeded(worker->seed);
    struct ram_disk_sleeper sleeper = {.disk = fixture.disk, .device = fixture.device};
    const struct block_waiter waiter = ram_disk_waiter(&sleeper);
    // Until everything has happened that is to happen, if it does at all.
    for (unsigned turn = 0;
         turn < worker->turns || (worker->ill && turn < 1000 * worker->turns &&
                                  __atomic_load_n(&fixture.device->resets, __ATOMIC_RELAXED) < 3);
         turn++) {
        struct one ones[AT_ONCE];
        const struct driver_ops *ops = ways[random_below(&random, ARRAY_COUNT(ways))];
        const unsigned count = (unsigned)random_below(&random, AT_ONCE) + 1;
        const uint64_t first = random_below(&random, BLOCKS - AT_ONCE);
        for (unsigned i = 0; i < count; i++) {
            ones[i].segment = (struct block_segment){
                .memory = ones[i].numbers, .address = (uintptr_t)ones[i].numbers, .bytes = BLOCK};
            block_request_init(&ones[i].request, BLOCK_READ, first + i, 1, &ones[i].segment, 1);
            ones[i].request.tolerant = true;
            submit(worker, ops, &ones[i]);
        }
        if (random_below(&random, 2) == 0)
            ops->flush(fixture.device, worker->queue);
        for (unsigned i = 0; i < count; i++) {
            const enum status status = ops->wait(fixture.device, &ones[i].request, &waiter);
            worker->again += status == STATUS_ABORTED;
            worker->good += status == STATUS_OK;
            worker->wrong = worker->wrong || (status != STATUS_OK && status != STATUS_ABORTED);
            for (unsigned n = 0; n < BLOCK / 8 && status == STATUS_OK; n++)
                worker->wrong =
                    worker->wrong || ones[i].numbers[n] != (first + i) * (BLOCK / 8) + n;
        }
    }
    return NULL;
}

// Interrupts that nobody asked for, changes of mode, and illness.
static void *disturb(void *argument)
{
    struct worker *worker = argument;
    test_cpu_enter(worker->cpu);
    struct random random = random_seeded(worker->seed);
    while (__atomic_load_n(&fixture.stop, __ATOMIC_RELAXED) == 0) {
        const unsigned queue = (unsigned)random_below(&random, fixture.device->queue_count);
        cpu_preempt_disable();
        block_interrupt(fixture.device, queue);
        cpu_preempt_enable();
        if (random_below(&random, 16) == 0)
            block_set_mode(fixture.device, queue,
                           (enum block_mode)random_below(&random, BLOCK_MODES),
                           random_below(&random, 2) == 0);
        if (worker->ill && random_below(&random, 4) == 0)
            __atomic_store_n(&fixture.ill, 1, __ATOMIC_RELAXED);
        struct block_statistics statistics;
        block_statistics(fixture.device, BLOCK_QUEUES_MOST, &statistics);
        worker->wrong = worker->wrong || statistics.completed > statistics.submitted;
        sched_yield();
    }
    return NULL;
}

static void storm(struct random *random, unsigned queues, bool ill)
{
    begin(queues, 1000);
    struct worker workers[THREADS + 1];
    pthread_t threads[THREADS + 1];
    for (unsigned i = 0; i <= THREADS; i++) {
        workers[i] = (struct worker){.cpu = i + 1,
                                     .queue = i % queues,
                                     .turns = soaked(1000, 100000),
                                     .ill = ill,
                                     .seed = random_u64(random)};
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, i < THREADS ? work : disturb, &workers[i]), 0);
    }
    uint64_t good = 0, again = 0;
    for (unsigned i = 0; i <= THREADS; i++) {
        if (i == THREADS)
            __atomic_store_n(&fixture.stop, 1, __ATOMIC_RELAXED);
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!workers[i].wrong);
        good += workers[i].good;
        again += workers[i].again;
    }
    block_check_rest(fixture.device, good, again, BLOCK, ill ? 1 : 0);
    end();
}

START_TEST(cpus_on_one_queue_get_their_own_blocks)
{
    struct random random = seeded_for(__func__);
    storm(&random, 1, false);
}
END_TEST

START_TEST(cpus_on_queues_of_their_own_get_their_own_blocks)
{
    struct random random = seeded_for(__func__);
    storm(&random, THREADS, false);
}
END_TEST

START_TEST(resets_in_between_abort_and_lose_nothing)
{
    struct random random = seeded_for(__func__);
    storm(&random, 2, true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_threads");
    TCase *all = tcase_create("threads");
    tcase_set_timeout(all, 600);
    suite_add_tcase(suite, all);
    tcase_add_test(all, cpus_on_one_queue_get_their_own_blocks);
    tcase_add_test(all, cpus_on_queues_of_their_own_get_their_own_blocks);
    tcase_add_test(all, resets_in_between_abort_and_lose_nothing);
    return run_checks(suite);
}
