// SPDX-License-Identifier: MIT
// kernel/memory/shootdown and address_space with a thread for each CPU. Kicks do nothing: each
// answers when it polls, as a CPU does whose interrupts are masked. Under ThreadSanitizer too.
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "address_space.h"
#include "run_checks.h"
#include "seed.h"
#include "shootdown.h"
#include "simulated_memory.h"
#include "soak.h"
#include "test_platform.h"

#define CPUS   4u
#define FRAMES 2048u
#define HIGH   ((uint64_t)0xffff900000000000)
#define SLOTS  16u // pages that come and go
#define ROOT   0x5000u
#define SPREAD 997u // answers between pauses of a CPU that keeps interrupts masked

static unsigned rounds(void)
{
    return soaked(20000, 1000000);
}

// ---- the protocol alone
// --------------------------------------------------------------------------

static struct shootdown shootdown;
static uint64_t received[CPUS][CPUS]; // [target][sender], each written by its target
static unsigned begun, finished;      // threads that are there; that send no more

static void no_kick(void *context, unsigned cpu)
{
    (void)context;
    (void)cpu;
}

// The shot's address says who sends it, its generation which of his it is.
static void take(void *context, const struct tlb_shot *shot)
{
    const unsigned here = cpu_local()->index;
    (void)context;
    must(shot->length == 4096 && shot->address < CPUS && shot->address != here);
    uint64_t *last = &received[here][shot->address];
    must(shot->generation == *last + 1);
    __atomic_store_n(last, shot->generation, __ATOMIC_RELAXED);
}

static bool answer_and_wait(void *context, uint64_t *since)
{
    (void)context;
    (void)shootdown_answer(&shootdown);
    sched_yield();
    return ++*since < 100000000;
}

static void give_up(void *context, unsigned cpu)
{
    (void)context;
    fprintf(stderr, "CPU %u does not answer\n", cpu);
    abort();
}

// No thread begins before all are there.
static void begin_together(unsigned cpu)
{
    test_cpu_enter(cpu);
    __atomic_add_fetch(&begun, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&begun, __ATOMIC_ACQUIRE) < CPUS)
        sched_yield();
}

static void finish_and_answer(void)
{
    __atomic_add_fetch(&finished, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) < CPUS) {
        (void)shootdown_answer(&shootdown);
        sched_yield();
    }
    (void)shootdown_answer(&shootdown);
}

static void *shoot_at_all(void *argument)
{
    const unsigned here = (unsigned)(uintptr_t)argument;
    begin_together(here);
    const uint64_t others = ((1u << CPUS) - 1) & ~(1u << here);
    const unsigned count = rounds();
    for (uint64_t i = 1; i <= count; i++) {
        const struct tlb_shot shot = {.address = here, .length = 4096, .generation = i};
        must(shootdown_send(&shootdown, others, &shot) <= CPUS - 1);
        // What was sent has been received when the call returns.
        for (unsigned target = 0; target < CPUS; target++)
            must(target == here || __atomic_load_n(&received[target][here], __ATOMIC_RELAXED) == i);
        for (unsigned k = 0; i % SPREAD == 0 && k < 100; k++)
            sched_yield(); // answers nobody for a while
    }
    finish_and_answer();
    return NULL;
}

static void with_threads(void *(*work)(void *))
{
    pthread_t threads[CPUS];
    begun = finished = 0;
    for (uintptr_t i = 0; i < CPUS; i++)
        must(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
}

START_TEST(cpus_that_shoot_at_each_other_all_go_on_and_receive_every_shot_once)
{
    static const struct shootdown_ops ops = {
        .kick = no_kick, .receive = take, .wait = answer_and_wait, .late = give_up};
    shootdown_init(&shootdown, &ops);
    memset(received, 0, sizeof(received));
    with_threads(shoot_at_all);
    for (unsigned target = 0; target < CPUS; target++) {
        for (unsigned sender = 0; sender < CPUS; sender++)
            ck_assert_uint_eq(received[target][sender], target == sender ? 0 : rounds());
    }
}
END_TEST

// ---- address spaces over it
// ---------------------------------------------------------------------- Each CPU remembers, of
// each slot, the frame it found there. A frame that was given back has its first word changed by
// the thread that gave it back: whoever uses it by what it remembers then finds that out, and
// ThreadSanitizer does.

static struct simulated_memory memory;
static struct spinlock memory_lock;
static struct address_spaces all;
static struct address_space space;
static struct {
    uint64_t root, frame[SLOTS]; // 0: nothing known
} __attribute__((aligned(64))) known[CPUS];

static void drop_page(void *context, uint64_t address)
{
    (void)context;
    if (address - HIGH < SLOTS * 4096u)
        known[cpu_local()->index].frame[(address - HIGH) / 4096] = 0;
}

static void drop_all(void *context, bool everything)
{
    (void)context;
    (void)everything;
    memset(known[cpu_local()->index].frame, 0, sizeof(known[0].frame));
}

static void load(void *context, uint64_t root, unsigned pcid, bool keep)
{
    (void)pcid;
    known[cpu_local()->index].root = root;
    if (!keep || root == ROOT)
        drop_all(context, false);
}

static void shoot(void *context, uint64_t cpus, const struct tlb_shot *shot)
{
    (void)context;
    (void)shootdown_send(&shootdown, cpus, shot);
}

static void poll(void *context)
{
    (void)context;
    (void)shootdown_answer(&shootdown);
    sched_yield();
}

static bool mask(void *context)
{
    (void)context;
    return false;
}

static void unmask(void *context, bool before)
{
    (void)context;
    (void)before;
}

static void receive(void *context, const struct tlb_shot *shot)
{
    (void)context;
    address_space_receive(shot->space->all, shot);
}

static uint64_t allocate(void *context)
{
    while (!spinlock_try_acquire(&memory_lock))
        poll(NULL);
    const uint64_t frame = simulated_allocate(context);
    spinlock_release(&memory_lock);
    return frame;
}

static void release(void *context, uint64_t frame)
{
    while (!spinlock_try_acquire(&memory_lock))
        poll(NULL);
    simulated_release(context, frame);
    spinlock_release(&memory_lock);
}

// Reads the page as a CPU does: by what it remembers, else by the tables.
static void use_slot(unsigned slot)
{
    uint64_t *frame = &known[cpu_local()->index].frame[slot];
    uint64_t physical;
    if (*frame == 0) {
        // Without a lock, as a CPU walks: no table goes while it has not answered.
        if (!page_translate(&space.map, HIGH + slot * 4096u, &physical))
            return;
        *frame = physical;
    }
    must(*(const uint64_t *)(const void *)(memory.bytes + *frame) == 0);
}

static void *work(void *argument)
{
    static const struct page_kind data = {.rights = PAGE_READ | PAGE_WRITE};
    struct random random = random_seeded((uintptr_t)argument + 1);
    begin_together((unsigned)(uintptr_t)argument);
    for (unsigned i = 0, count = rounds(); i < count; i++) {
        const unsigned slot = (unsigned)random_below(&random, SLOTS);
        const uint64_t address = HIGH + slot * 4096u;
        uint64_t frame;
        if (i % 8 == 0)
            sched_yield(); // on one CPU of the computer, the others get on in the middle as well
        if (random_below(&random, 16) == 0)
            address_space_enter(&all, random_below(&random, 8) ? &space : NULL);
        (void)shootdown_answer(&shootdown);
        if (random_below(&random, 2) == 0 && address_space_here(&all) == &space)
            use_slot(slot);
        if (random_below(&random, 2) == 0) {
            if (address_space_unmap_page(&space, address, 4096, &frame) == STATUS_OK)
                release(&memory, frame); // nobody uses it any more
        } else if ((frame = allocate(&memory)) != 0 &&
                   address_space_map_page(&space, address, frame, 4096, data) != STATUS_OK) {
            release(&memory, frame);
        }
    }
    address_space_enter(&all, NULL);
    finish_and_answer();
    return NULL;
}

START_TEST(no_cpu_uses_a_frame_that_another_one_has_unmapped)
{
    static const struct shootdown_ops ops = {
        .kick = no_kick, .receive = receive, .wait = answer_and_wait, .late = give_up};
    static const struct tlb_ops tlb = {.invalidate_page = drop_page,
                                       .flush = drop_all,
                                       .load = load,
                                       .shootdown = shoot,
                                       .poll = poll,
                                       .mask = mask,
                                       .unmask = unmask};
    struct address_space_counts counts;
    simulated_make(&memory, FRAMES);
    const struct page_memory tables = {.context = &memory,
                                       .allocate = allocate,
                                       .release = release,
                                       .direct = (uintptr_t)memory.bytes};
    const struct page_limits limits = {.physical_bits = 46};
    shootdown_init(&shootdown, &ops);
    must(address_spaces_init(&all, &tlb, ROOT, 16, 8) == STATUS_OK);
    must(address_space_init(&space, &all, &tables, limits) == STATUS_OK);
    with_threads(work);
    address_spaces_count(&all, &counts);
    ck_assert_uint_gt(counts.shots_sent, rounds() / 10);
    ck_assert_uint_eq(counts.cpus_shot, counts.shots_received);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint64_t frame;
        if (address_space_unmap_page(&space, HIGH + slot * 4096u, 4096, &frame) == STATUS_OK)
            release(&memory, frame);
    }
    address_space_destroy(&space);
    ck_assert_uint_eq(memory.live, 0);
    simulated_unmake(&memory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shootdown");
    TCase *threads = tcase_create("a thread for each CPU");
    tcase_set_timeout(threads, 300);
    tcase_add_test(threads, cpus_that_shoot_at_each_other_all_go_on_and_receive_every_shot_once);
    tcase_add_test(threads, no_cpu_uses_a_frame_that_another_one_has_unmapped);
    suite_add_tcase(suite, threads);
    return run_checks(suite);
}
