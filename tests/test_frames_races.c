// SPDX-License-Identifier: MIT
// Several CPUs at once, as threads: the bitmap, the hybrid allocator, frames freed by others, CPUs
// that leave in between, and large runs that want what the others keep. Under ThreadSanitizer too.
//
// Each frame has an owner in a plain array, written by who was handed the frame and by nobody else:
// if two ever had it at the same time the array would say so, and so would ThreadSanitizer.
#include <pthread.h>
#include <sched.h>

#include "frames_subject.h"
#include "random.h"

#define CPUS   4u
#define START  (64 * MIB)
#define LENGTH (16 * MIB)
#define COUNT  (LENGTH / PAGE_SIZE)

static struct frames frames;
static uint32_t owners[COUNT];
static uint64_t seed;

static unsigned rounds(unsigned quick)
{
    return is_soak() ? 200 * quick : quick;
}

static void on_all_cpus(void *(*body)(void *cpu))
{
    pthread_t threads[CPUS];
    for (uintptr_t cpu = 0; cpu < CPUS; cpu++)
        ck_assert_int_eq(pthread_create(&threads[cpu], NULL, body, (void *)cpu), 0);
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        ck_assert_int_eq(pthread_join(threads[cpu], NULL), 0);
}

// ---- the bitmap alone --------------------------------------------------------------------------

#define CHUNKS    4u
#define RUNS_HELD 24u
#define HELD_MOST 120u

static struct frame_bitmap bitmap;
static uint32_t bitmap_owners[CHUNKS * 512];
static uint64_t lent_chunks; // by the CPU that lends and takes back

struct held {
    uint32_t number, count;
};

static void own(uint32_t *at, uint32_t count, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < count; i++) {
        if (at[i] != from) {
            fprintf(stderr, "frame %u of a run has owner %u instead of %u\n", i, at[i], from);
            abort();
        }
        at[i] = to;
    }
}

static void bitmap_step(struct held *held, struct random *random, uint32_t me)
{
    bool emptied;
    if (held->count > 0) {
        own(&bitmap_owners[held->number], held->count, me, 0);
        if (frame_bitmap_release(&bitmap, held->number, held->count, &emptied) != held->count)
            abort();
        held->count = 0;
        return;
    }
    const struct frame_bitmap_request request = {.count =
                                                     1 + (uint32_t)random_below(random, HELD_MOST),
                                                 .alignment = 1u << random_below(random, 4),
                                                 .limit = UINT32_MAX,
                                                 .tries = CHUNKS,
                                                 .thorough = random_below(random, 8) == 0};
    if (frame_bitmap_allocate(&bitmap, &request, &held->number)) {
        held->count = request.count;
        own(&bitmap_owners[held->number], held->count, 0, me);
    }
}

static void bitmap_batch(struct random *random, uint32_t me)
{
    uint32_t numbers[64];
    const unsigned count =
        frame_bitmap_allocate_batch(&bitmap, 1 + (unsigned)random_below(random, 64), numbers);
    for (unsigned i = 0; i < count; i++)
        own(&bitmap_owners[numbers[i]], 1, 0, me);
    for (unsigned i = 0; i < count; i++) {
        bool emptied;
        own(&bitmap_owners[numbers[i]], 1, me, 0);
        if (frame_bitmap_release(&bitmap, numbers[i], 1, &emptied) != 1)
            abort();
    }
}

static void *bitmap_storm(void *argument)
{
    const uint32_t me = (uint32_t)(uintptr_t)argument + 1;
    struct random random = random_seeded(seed + me);
    struct held held[RUNS_HELD] = {{0}};
    test_cpu_enter(me - 1);
    for (unsigned i = 0; i < rounds(20000); i++) {
        const uint64_t what = random_below(&random, 100);
        if (what < 5) {
            bitmap_batch(&random, me);
        } else if (me == 1 && what < 10) { // one CPU lends and takes back
            uint32_t chunk;
            if (frame_bitmap_free_chunk(&bitmap, (uint32_t)random_below(&random, CHUNKS), &chunk) &&
                frame_bitmap_take_back(&bitmap, chunk)) {
                own(&bitmap_owners[chunk * 512], 512, 0, me);
                own(&bitmap_owners[chunk * 512], 512, me, 0);
                frame_bitmap_lend(&bitmap, chunk);
                lent_chunks++;
            }
        } else {
            bitmap_step(&held[random_below(&random, RUNS_HELD)], &random, me);
        }
    }
    for (unsigned i = 0; i < RUNS_HELD; i++)
        if (held[i].count > 0)
            bitmap_step(&held[i], &random, me);
    return NULL;
}

START_TEST(runs_of_a_bitmap_never_overlap_and_its_counts_are_right_in_the_end)
{
    void *metadata = aligned_alloc(CACHE_LINE, frame_bitmap_metadata_bytes(CHUNKS));
    seed = random_u64(&(struct random){seeded_for("bitmap").state});
    frame_bitmap_init(&bitmap, CHUNKS, metadata);
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        frame_bitmap_lend(&bitmap, chunk);
    on_all_cpus(bitmap_storm);
    ck_assert(frame_bitmap_check(&bitmap));
    ck_assert_uint_eq(frame_bitmap_free_frames(&bitmap), CHUNKS * 512);
    ck_assert_int_eq(bitmap.free_chunks, CHUNKS);
    printf("%lu rollbacks, %lu loans\n", (unsigned long)bitmap.rollbacks,
           (unsigned long)lent_chunks);
    free(metadata);
}
END_TEST

// ---- the whole allocator -----------------------------------------------------------------------

// What CPUs hand each other: one word a place, taken by exchange.
#define PLACES 256u
static uint64_t handed[PLACES]; // address | count, 0: nothing

static void own_run(uintptr_t address, uint64_t count, uint32_t from, uint32_t to)
{
    own(&owners[(address - START) / PAGE_SIZE], (uint32_t)count, from, to);
}

static void release_run(uint64_t run, uint32_t me)
{
    const uintptr_t address = run & ~(uint64_t)(PAGE_SIZE - 1);
    const uint64_t count = run % PAGE_SIZE;
    own_run(address, count, CPUS + 1, me);
    own_run(address, count, me, 0);
    const enum status status =
        count == 1 ? frames_release_one(&frames, address) : frames_release(&frames, address, count);
    if (status != STATUS_OK) {
        fprintf(stderr, "a release of %lu frames: %d\n", (unsigned long)count, status);
        abort();
    }
}

static void storm_step(struct random *random, uint32_t me)
{
    static const uint64_t most[] = {1, 1, 1, 1, 1, 16, 200, 511, 1200};
    uint64_t *place = &handed[random_below(random, PLACES)];
    uint64_t run = 0;
    if (random_below(random, 2) == 0) {
        const uint64_t count = 1 + random_below(random, most[random_below(random, 9)]);
        const struct frames_request request = {.count = count};
        uintptr_t address;
        const enum status status = count == 1 ? frames_allocate_one(&frames, &address)
                                              : frames_allocate(&frames, &request, &address);
        if (status == STATUS_NO_MEMORY)
            return;
        if (status != STATUS_OK)
            abort();
        own_run(address, count, 0, me);
        own_run(address, count, me, CPUS + 1);
        run = address | count;
    }
    // Acquire and release: what one CPU wrote about the run is seen by the one that takes it.
    run = __atomic_exchange_n(place, run, __ATOMIC_ACQ_REL);
    if (run != 0)
        release_run(run, me);
}

static void *storm(void *argument)
{
    const uint32_t me = (uint32_t)(uintptr_t)argument + 1;
    struct random random = random_seeded(seed + me);
    test_cpu_enter(me - 1);
    for (unsigned i = 0; i < rounds(30000); i++) {
        storm_step(&random, me);
        if (i % 1024 == 0) {
            struct frames_statistics s;
            frames_statistics(&frames, &s);
            frames_cpu_serve(&frames);
        }
        if (i % 4096 == 0) {
            struct frames_fragmentation f;
            frames_fragmentation(&frames, &f);
        }
        if (me == 1 && i % 2048 == 0)
            frames_region_return_chunks(&frames.regions[0], 0);
    }
    return NULL;
}

static void storm_frames(uint64_t length)
{
    const struct frames_config config = plain_config(CPUS);
    const struct frames_range range = {.start = START, .length = length};
    frames_over(&frames, &config, &range, 1);
    memset(owners, 0, sizeof owners);
    memset(handed, 0, sizeof handed);
}

static void end_of_storm(void)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (handed[i] != 0)
            release_run(handed[i], 1);
    ck_assert(frames_check(&frames));
    const struct frames_statistics s = statistics_of(&frames);
    ck_assert_uint_eq(s.free, s.present);
    ck_assert_uint_eq(s.allocations, s.releases);
    expect_all_whole(&frames);
}

START_TEST(cpus_that_free_each_other_s_frames_never_share_one)
{
    seed = seeded_for("storm").state;
    storm_frames(_i == 0 ? LENGTH : 5 * MIB + 12 * KIB); // the second is full all the time
    on_all_cpus(storm);
    end_of_storm();
}
END_TEST

// ---- CPUs that come and go ---------------------------------------------------------------------

static void *short_life(void *argument)
{
    const uint32_t me = (uint32_t)(uintptr_t)argument + 1;
    // Each life another: the seed counts on.
    struct random random = random_seeded(__atomic_fetch_add(&seed, 1000, __ATOMIC_RELAXED));
    test_cpu_enter(me - 1);
    // Ends between two calls, with whatever is in its stack.
    const uint64_t steps = random_below(&random, 400);
    for (uint64_t i = 0; i < steps; i++)
        storm_step(&random, me);
    return NULL;
}

START_TEST(what_a_cpu_that_died_left_in_its_stack_is_not_lost)
{
    seed = seeded_for("deaths").state;
    storm_frames(LENGTH);
    pthread_t threads[CPUS];
    for (uintptr_t cpu = 0; cpu < CPUS; cpu++)
        ck_assert_int_eq(pthread_create(&threads[cpu], NULL, short_life, (void *)cpu), 0);
    for (unsigned i = 0; i < rounds(200); i++) {
        const uintptr_t cpu = i % CPUS;
        ck_assert_int_eq(pthread_join(threads[cpu], NULL), 0); // synchronises with its last call
        frames_cpu_leave(&frames, (unsigned)cpu);
        ck_assert_uint_eq(frames_cache_depth(frames.cache_of[cpu]), 0);
        ck_assert_int_eq(pthread_create(&threads[cpu], NULL, short_life, (void *)cpu), 0);
    }
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        ck_assert_int_eq(pthread_join(threads[cpu], NULL), 0);
    end_of_storm();
}
END_TEST

// ---- pressure and compaction meanwhile ---------------------------------------------------------

static uint32_t running; // call-backs: never two
static uint64_t callbacks_run;

static uint64_t shrink(void *context, enum frames_level level, uint64_t wanted)
{
    (void)context, (void)level;
    if (__atomic_exchange_n(&running, 1, __ATOMIC_SEQ_CST) != 0)
        abort();
    uint64_t freed = 0;
    for (unsigned i = 0; i < PLACES && freed < wanted; i++) {
        const uint64_t run = __atomic_exchange_n(&handed[i], 0, __ATOMIC_ACQ_REL);
        if (run != 0) {
            release_run(run, (uint32_t)cpu_index() + 1);
            freed += run % PAGE_SIZE;
        }
    }
    callbacks_run++; // plain: one at a time
    __atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
    return freed;
}

// Movable frames of this CPU, under its own lock, as an owner must.
static struct {
    pthread_mutex_t mutex;
    uintptr_t frames[64];
} movable = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool move(void *context, uintptr_t from, uintptr_t to)
{
    bool moved = false;
    (void)context;
    pthread_mutex_lock(&movable.mutex);
    for (unsigned i = 0; i < 64 && !moved; i++) {
        if (movable.frames[i] == from) {
            own_run(from, 1, 77, 0);
            own_run(to, 1, 0, 77);
            movable.frames[i] = to;
            moved = true;
        }
    }
    pthread_mutex_unlock(&movable.mutex);
    return moved;
}

static void turn_movable(struct random *random)
{
    const struct frames_request request = {.count = 1, .flags = FRAMES_MOVABLE};
    pthread_mutex_lock(&movable.mutex);
    uintptr_t *place = &movable.frames[random_below(random, 64)];
    const uintptr_t old = *place;
    *place = 0;
    if (old != 0)
        own_run(old, 1, 77, 0);
    pthread_mutex_unlock(&movable.mutex);
    if (old != 0) {
        if (frames_release_one(&frames, old) != STATUS_OK)
            abort();
        return;
    }
    uintptr_t address;
    if (frames_allocate(&frames, &request, &address) != STATUS_OK)
        return;
    pthread_mutex_lock(&movable.mutex);
    own_run(address, 1, 0, 77);
    const bool taken = *place == 0;
    if (taken)
        *place = address;
    else
        own_run(address, 1, 77, 0);
    pthread_mutex_unlock(&movable.mutex);
    if (!taken && frames_release_one(&frames, address) != STATUS_OK)
        abort();
}

static void *pressed(void *argument)
{
    static const struct frames_migration migration = {move, NULL};
    const uint32_t me = (uint32_t)(uintptr_t)argument + 1;
    struct random random = random_seeded(seed + me);
    test_cpu_enter(me - 1);
    for (unsigned i = 0; i < rounds(10000); i++) {
        storm_step(&random, me);
        if (i % 4 == 0)
            turn_movable(&random);
        if (me <= 2 && i % 64 == 0)
            frames_compact(&frames, &migration, 2, 300);
        if (me == 3 && i % 256 == 0)
            frames_reclaim(&frames);
    }
    return NULL;
}

START_TEST(reclaim_and_compaction_keep_out_of_each_other_s_way)
{
    struct frames_config config = plain_config(CPUS);
    const struct frames_range range = {.start = START, .length = 8 * MIB};
    const struct frames_callback callback = {.kind = FRAMES_SHRINK, .function = shrink};
    seed = seeded_for("pressure").state;
    storm_frames(LENGTH);
    config.marks = (struct frames_marks){.low = 512, .min = 256, .critical = 128, .reserve = 16};
    frames_over(&frames, &config, &range, 1);
    memset(&movable.frames, 0, sizeof movable.frames);
    ck_assert_int_eq(frames_register(&frames, &callback), STATUS_OK);
    on_all_cpus(pressed);
    ck_assert_uint_gt(callbacks_run, 0);
    for (unsigned i = 0; i < 64; i++)
        if (movable.frames[i] != 0)
            ck_assert_int_eq(frames_release(&frames, movable.frames[i], 1), STATUS_OK);
    printf("%lu call-backs, %lu frames moved, %lu chunks made\n", (unsigned long)callbacks_run,
           (unsigned long)statistics_of(&frames).migrated,
           (unsigned long)statistics_of(&frames).compacted);
    end_of_storm();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frames_races");
    TCase *tests = tcase_create("frames_races");
    tcase_set_timeout(tests, is_soak() ? 7200 : 120);
    tcase_add_checked_fixture(tests, NULL, subject_tear_down);
    tcase_add_test(tests, runs_of_a_bitmap_never_overlap_and_its_counts_are_right_in_the_end);
    tcase_add_loop_test(tests, cpus_that_free_each_other_s_frames_never_share_one, 0, 2);
    tcase_add_test(tests, what_a_cpu_that_died_left_in_its_stack_is_not_lost);
    tcase_add_test(tests, reclaim_and_compaction_keep_out_of_each_other_s_way);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
