// SPDX-License-Identifier: MIT
// Every frame allocator that several CPUs may use at once, used by several: threads as CPUs that
// free each other's frames. Also built under ThreadSanitizer.
#include <pthread.h>

#include "frame_subject.h"
#include "run_checks.h"
#include "test_platform.h"

// Those that several CPUs may use at once.
static const struct frame_ops *shared[ARRAY_COUNT(variants)];
static int shared_count;

#define CPUS       3u
#define HELD       64u
#define STORM_MOST 96u // frames

struct storm {
    struct fixture *f;
    pthread_t threads[CPUS];
    unsigned char *owned;  // by frame, written with atomics
    uintptr_t given[1024]; // what a CPU left for another one to free; 0: empty
    struct random random[CPUS];
};

struct stormer {
    struct storm *storm;
    unsigned cpu;
};

// Marks frames as owned or not; each must have been the other before.
static void mark(struct storm *storm, uintptr_t address, uint64_t count, unsigned char owned)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t frame = (address - storm->f->start) / PAGE_SIZE + i;
        if (frame >= storm->f->frames ||
            __atomic_exchange_n(&storm->owned[frame], owned, __ATOMIC_ACQ_REL) == owned)
            abort(); // in a thread Check cannot see
    }
}

// Runs are told apart by their place: every one of a slot has the same count.
static uint64_t count_of(uint64_t slot)
{
    return slot % 4 != 0 ? 1 : 1 + slot % STORM_MOST;
}

static void *storm_on(void *argument)
{
    struct stormer *self = argument;
    struct storm *storm = self->storm;
    const struct fixture *f = storm->f;
    struct random *random = &storm->random[self->cpu];
    test_cpu_enter(self->cpu);
    for (unsigned i = 0; i < 20000; i++) {
        const uint64_t slot = random_below(random, ARRAY_COUNT(storm->given));
        const uint64_t count = count_of(slot);
        // Whoever takes a run out of a slot frees it: often another CPU than the one it came from.
        uintptr_t run = __atomic_exchange_n(&storm->given[slot], 0, __ATOMIC_ACQ_REL);
        if (run != 0) {
            mark(storm, run, count, 0);
            if (f->ops->release(f->state, run, count) != STATUS_OK)
                abort();
        } else if (f->ops->allocate(f->state, count, &run)) {
            mark(storm, run, count, 1);
            run = __atomic_exchange_n(&storm->given[slot], run, __ATOMIC_ACQ_REL);
            if (run != 0) { // somebody was faster: this one is freed instead
                mark(storm, run, count, 0);
                if (f->ops->release(f->state, run, count) != STATUS_OK)
                    abort();
            }
        }
    }
    return NULL;
}

START_TEST(cpus_that_free_each_other_s_frames_never_share_one)
{
    struct fixture f = range_of(shared[_i], 32 * MIB);
    static struct storm storm;
    struct stormer stormers[CPUS];
    struct random random = seeded("storm", f.ops);
    storm = (struct storm){.f = &f, .owned = calloc(1, f.frames)};
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        stormers[cpu] = (struct stormer){&storm, cpu};
        storm.random[cpu] = random_seeded(random_u64(&random));
        pthread_create(&storm.threads[cpu], NULL, storm_on, &stormers[cpu]);
    }
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        pthread_join(storm.threads[cpu], NULL);
    ck_assert(f.ops->check(f.state));
    for (unsigned slot = 0; slot < ARRAY_COUNT(storm.given); slot++)
        if (storm.given[slot] != 0)
            ck_assert_int_eq(f.ops->release(f.state, storm.given[slot], count_of(slot)), STATUS_OK);
    ck_assert(f.ops->check(f.state));
    const struct frame_statistics s = statistics_of(&f);
    ck_assert_uint_eq(s.free, f.frames);
    ck_assert_uint_eq(s.allocations, s.releases);
    free(storm.owned);
    discard(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frame_storm");
    TCase *tests = tcase_create("several CPUs");
    for (unsigned i = 0; i < ARRAY_COUNT(variants); i++)
        if (!variants[i]->one_thread)
            shared[shared_count++] = variants[i];
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, cpus_that_free_each_other_s_frames_never_share_one, 0, shared_count);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
