// SPDX-License-Identifier: MIT
// A modelled disk on a thread of its own, its driver on several CPUs: registers are behind a lock,
// as behind a bus, and memory is shared as with a device: without one. Real time; also built for
// ThreadSanitizer. The file that includes it is about one kind of disk; it has included that one's
// model, whose names begin with fake_, and defines what stands under "the disk".
#ifndef DEVICE_THREADS_H
#define DEVICE_THREADS_H

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "block_rest.h"
#include "driver_variants.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "test_platform.h"

#define HZ      2000000000u // about
#define WORKERS 3u
#define AT_ONCE 6u
#define TURNS   400u // of a worker
#define BLOCK   512u
#define BLOCKS  2000u // that are read
#define RESETS  2u    // at least, where the disk falls ill

#define ENOUGH_TURNS 16u // of the device: what was asked for before them is done

struct world {
    struct block_device *device;
    void *model;
    pthread_mutex_t bus; // recursive: an interrupt comes while a register is written
    struct memory_access registers[3];
    struct device_interrupt interrupt; // the model's
    uint32_t stop;                     // atomic
    uint64_t turns;                    // atomic: of the device
};

static struct world world;

// ---- the disk -----------------------------------------------------------------------------------

// The block layer over a well-behaved disk with its registers and interrupts behind the bus.
static void model_begin(unsigned queues);
static void model_end(void);
static void model_turn(void);     // on its own thread, behind the bus
static void model_fall_ill(void); // the same: says that it needs a reset
static uint8_t model_pattern(uint64_t byte);

// ---- the bus ------------------------------------------------------------------------------------

static uint32_t bus_read(void *context, uint64_t offset, unsigned bytes)
{
    const struct memory_access *inner = context;
    pthread_mutex_lock(&world.bus);
    const uint32_t value = inner->read(inner->context, offset, bytes);
    pthread_mutex_unlock(&world.bus);
    return value;
}

static void bus_write(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    const struct memory_access *inner = context;
    pthread_mutex_lock(&world.bus);
    inner->write(inner->context, offset, bytes, value);
    pthread_mutex_unlock(&world.bus);
}

static inline struct memory_access on_bus(unsigned index, struct memory_access inner)
{
    world.registers[index] = inner;
    return (struct memory_access){&world.registers[index], inner.length, bus_read, bus_write};
}

static void bus_mask(void *context, unsigned vector)
{
    pthread_mutex_lock(&world.bus);
    world.interrupt.mask(context, vector);
    pthread_mutex_unlock(&world.bus);
}

static void bus_unmask(void *context, unsigned vector)
{
    pthread_mutex_lock(&world.bus);
    world.interrupt.unmask(context, vector);
    pthread_mutex_unlock(&world.bus);
}

static inline struct device_interrupt interrupts_on_bus(struct device_interrupt inner)
{
    world.interrupt = inner;
    inner.mask = bus_mask;
    inner.unmask = bus_unmask;
    return inner;
}

static void *be_the_device(void *argument)
{
    (void)argument;
    test_cpu_enter(WORKERS + 1);
    while (__atomic_load_n(&world.stop, __ATOMIC_RELAXED) == 0) {
        cpu_preempt_disable(); // interrupts come here
        pthread_mutex_lock(&world.bus);
        model_turn();
        pthread_mutex_unlock(&world.bus);
        cpu_preempt_enable();
        (void)__atomic_fetch_add(&world.turns, 1, __ATOMIC_RELEASE);
        sched_yield();
    }
    return NULL;
}

// ---- who reads ----------------------------------------------------------------------------------

struct worker {
    unsigned cpu, queue;
    uint64_t seed, good, again;
    uint64_t slept, overslept; // sleeps; of them, those that somebody should have ended
    bool ill, wrong;
    uint32_t woken;  // atomic
    uint8_t *memory; // AT_ONCE blocks
    uint64_t address;
};

struct one {
    struct block_request request;
    struct block_segment segment;
};

// What was asked for before a sleep is done in the device's next turn, and its interrupt comes with
// it: real time alone says nothing about a computer that does not let the device run.
static void sleep_here(void *context, unsigned queue, uint64_t most_ns)
{
    struct worker *worker = context;
    const uint64_t start = cpu_ticks(), first = __atomic_load_n(&world.turns, __ATOMIC_RELAXED);
    (void)queue;
    worker->slept++;
    for (;;) {
        const uint64_t turns = __atomic_load_n(&world.turns, __ATOMIC_ACQUIRE) - first;
        if (__atomic_exchange_n(&worker->woken, 0, __ATOMIC_ACQUIRE) != 0)
            return;
        if ((cpu_ticks() - start) / (HZ / 1000000u) > most_ns / 1000) {
            // What the layer has to see to, such as a batch, may come sooner.
            worker->overslept += most_ns >= BLOCK_SLEEP_NS && turns >= ENOUGH_TURNS;
            return;
        }
        sched_yield();
    }
}

static void wake_there(void *context)
{
    __atomic_store_n(&((struct worker *)context)->woken, 1, __ATOMIC_RELEASE);
}

static bool is_right(const struct one *one)
{
    const uint8_t *bytes = one->segment.memory;
    for (uint32_t i = 0; i < BLOCK; i++)
        if (bytes[i] != model_pattern(one->request.first * BLOCK + i))
            return false;
    return true;
}

// Hands it in until it is taken.
static void submit(struct worker *worker, const struct driver_ops *ops, struct one *one)
{
    enum status status;
    while ((status = ops->submit(world.device, worker->queue, &one->request)) != STATUS_OK) {
        worker->wrong |= status != STATUS_ABORTED && status != STATUS_FULL;
        sched_yield();
    }
}

static void read_some(struct worker *worker, struct random *random)
{
    static const struct driver_ops *const ways[] = {&driver_interrupt_ops, &driver_polling_ops,
                                                    &driver_hybrid_ops, &driver_batch_ops,
                                                    &driver_adaptive_ops};
    const struct block_waiter waiter = {.context = worker, .sleep = sleep_here, .wake = wake_there};
    const struct driver_ops *ops = ways[random_below(random, ARRAY_COUNT(ways))];
    const unsigned count = (unsigned)random_below(random, AT_ONCE) + 1;
    const uint64_t first = random_below(random, BLOCKS - AT_ONCE);
    struct one ones[AT_ONCE];
    memset(worker->memory, 0xee, AT_ONCE * BLOCK);
    for (unsigned i = 0; i < count; i++) {
        ones[i].segment = (struct block_segment){.memory = worker->memory + (size_t)i * BLOCK,
                                                 .address = worker->address + i * BLOCK,
                                                 .bytes = BLOCK};
        block_request_init(&ones[i].request, BLOCK_READ, first + i, 1, &ones[i].segment, 1);
        ones[i].request.tolerant = true;
        submit(worker, ops, &ones[i]);
    }
    if (random_below(random, 2) == 0)
        ops->flush(world.device, worker->queue);
    for (unsigned i = 0; i < count; i++) {
        const enum status status = ops->wait(world.device, &ones[i].request, &waiter);
        worker->good += status == STATUS_OK;
        worker->again += status == STATUS_ABORTED;
        worker->wrong |= status != STATUS_OK && status != STATUS_ABORTED;
        worker->wrong |= status == STATUS_OK && !is_right(&ones[i]);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    test_cpu_enter(worker->cpu);
    struct random random = random_seeded(worker->seed);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        // One of them makes it ill, some while apart.
        if (worker->ill && turn % (TURNS / (2 * RESETS)) == TURNS / (4 * RESETS)) {
            pthread_mutex_lock(&world.bus);
            model_fall_ill();
            pthread_mutex_unlock(&world.bus);
        }
        read_some(worker, &random);
    }
    return NULL;
}

static void storm(const char *name, unsigned queues, bool ill)
{
    struct random random = seeded_for(name);
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS], device;
    pthread_mutexattr_t recursive;
    uint64_t good = 0, again = 0, slept = 0, overslept = 0;
    world = (struct world){0};
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&world.bus, &recursive);
    model_begin(queues);
    ck_assert_uint_eq(world.device->queue_count, queues);
    ck_assert_int_eq(pthread_create(&device, NULL, be_the_device, NULL), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){
            .cpu = i + 1, .queue = i % queues, .ill = ill && i == 0, .seed = random_u64(&random)};
        workers[i].memory = fake_allocate(world.model, 1, &workers[i].address);
        ck_assert_ptr_nonnull(workers[i].memory);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!workers[i].wrong);
        good += workers[i].good;
        again += workers[i].again;
        slept += workers[i].slept;
        overslept += workers[i].overslept;
    }
    __atomic_store_n(&world.stop, 1, __ATOMIC_RELAXED);
    ck_assert_int_eq(pthread_join(device, NULL), 0);
    block_check_rest(world.device, good, again, BLOCK, ill ? RESETS : 0);
    // Interrupts that are lost are found when a sleep is over. Another reader may have taken the
    // completion and be kept from waking: now and then, once in any case.
    ck_assert_msg(ill || overslept <= max_u64(slept / 64, 1), "%lu of %lu sleeps", overslept,
                  slept);
    model_end();
    pthread_mutex_destroy(&world.bus);
}

START_TEST(cpus_on_one_queue_get_their_own_blocks)
{
    storm(__func__, 1, false);
}
END_TEST

START_TEST(cpus_on_queues_of_their_own_get_their_own_blocks)
{
    storm(__func__, WORKERS, false);
}
END_TEST

START_TEST(resets_in_between_abort_and_lose_nothing)
{
    storm(__func__, 2, true);
}
END_TEST

static int run_storms(const char *name)
{
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("threads");
    tcase_set_timeout(all, 600);
    suite_add_tcase(suite, all);
    tcase_add_test(all, cpus_on_one_queue_get_their_own_blocks);
    tcase_add_test(all, cpus_on_queues_of_their_own_get_their_own_blocks);
    tcase_add_test(all, resets_in_between_abort_and_lose_nothing);
    return run_checks(suite);
}

#endif
