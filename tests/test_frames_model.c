// SPDX-License-Identifier: MIT
// The hybrid frame allocator against a plain array: long random runs, every short sequence on a
// tiny arena, and every level running out at every step.
#include <pthread.h>

#include "frame_hybrid.h"
#include "frames_subject.h"
#include "random.h"

#define START (64 * MIB)

static struct frames frames;

// ---- the model: who has each frame -------------------------------------------------------------

#define FRAMES_MOST 16384u
#define RUNS        300u

struct run {
    uintptr_t address;
    uint64_t count; // 0: none
};

static uint16_t owner[FRAMES_MOST]; // number of its run + 1
static uint64_t live, model_allocations, model_releases, model_failures;

static void require(bool condition, const char *what)
{
    if (!condition) // Check writes a mark for every assertion: too slow for each step here
        ck_abort_msg("%s", what);
}

static void mark(const struct run *run, uint64_t from, uint64_t count, uint16_t now)
{
    const uint64_t first = (run->address - START) / PAGE_SIZE + from;
    for (uint64_t i = first; i < first + count; i++) {
        require((owner[i] == 0) == (now != 0), "two runs overlap");
        owner[i] = now;
    }
}

static void model_allocate(struct run *run, uint16_t name, struct random *random, uint64_t length)
{
    static const uint64_t most[] = {1, 1, 1, 8, 64, 511, 600, 3000};
    struct frames_request request = {
        .count = 1 + random_below(random, most[random_below(random, ARRAY_COUNT(most))])};
    uint64_t alignment = (request.count & (request.count - 1)) == 0 ? request.count : 1;
    enum status status;
    if (random_below(random, 8) == 0) {
        alignment = 1ull << random_below(random, 11);
        request.alignment = alignment * PAGE_SIZE;
    }
    if (random_below(random, 8) == 0)
        request.highest = START + random_below(random, length);
    const bool plain = request.count == 1 && request.alignment == 0 && request.highest == 0;
    status = plain && random_below(random, 4) != 0
                 ? frames_allocate_one(&frames, &run->address)
                 : frames_allocate(&frames, &request, &run->address);
    if (status != STATUS_OK) {
        model_failures++;
        require(status == STATUS_NO_MEMORY, "another status");
        // One frame is always found, but for those in the other CPU's stack.
        const uint64_t withheld = frames_cache_depth(frames.cache_of[1 - cpu_index()]);
        require(!plain || live + withheld == length / PAGE_SIZE, "the last frames are not found");
        return;
    }
    model_allocations++;
    run->count = request.count;
    require(run->address >= START && run->address % (alignment * PAGE_SIZE) == 0 &&
                run->address + run->count * PAGE_SIZE <= START + length,
            "outside, or not aligned");
    require(request.highest == 0 || run->address + run->count * PAGE_SIZE - 1 <= request.highest,
            "above the highest address");
    mark(run, 0, run->count, name);
    live += run->count;
}

static void model_release(struct run *run, struct random *random)
{
    uint64_t count = run->count, from = 0;
    if (count > 1 && random_below(random, 4) == 0) { // one end of it
        count = 1 + random_below(random, count - 1);
        from = random_below(random, 2) == 0 ? 0 : run->count - count;
    }
    const uintptr_t address = run->address + from * PAGE_SIZE;
    mark(run, from, count, 0);
    require((count == 1 ? frames_release_one(&frames, address)
                        : frames_release(&frames, address, count)) == STATUS_OK,
            "a release fails");
    require((count == 1 ? frames_release_one(&frames, address)
                        : frames_release(&frames, address, count)) == STATUS_DOUBLE,
            "a second release does not fail");
    run->address += from == 0 ? count * PAGE_SIZE : 0;
    run->count -= count;
    live -= count;
    model_releases++;
}

static void expect_model(uint64_t length)
{
    const struct frames_statistics s = statistics_of(&frames);
    struct frames_fragmentation f;
    uint64_t unused = 0, runs = 0, longest = 0, here = 0;
    for (uint64_t i = 0; i < length / PAGE_SIZE; i++) {
        here = owner[i] == 0 ? here + 1 : 0;
        unused += owner[i] == 0;
        runs += here == 1;
        longest = max_u64(longest, here);
    }
    ck_assert_uint_eq(s.free, unused);
    ck_assert_uint_eq(s.free, length / PAGE_SIZE - live);
    ck_assert_uint_eq(s.allocations, model_allocations);
    ck_assert_uint_eq(s.releases, model_releases);
    ck_assert_uint_eq(s.failures, model_failures);
    frames_fragmentation(&frames, &f);
    ck_assert_uint_eq(f.free, unused);
    ck_assert_uint_eq(f.runs, runs);
    ck_assert_uint_eq(f.largest, longest);
    ck_assert_uint_eq(f.average, runs == 0 ? 0 : unused / runs);
    if (unused > 0)
        ck_assert_uint_eq(f.external_permille, 1000 - longest * 1000 / unused);
    ck_assert(frames_check(&frames));
}

static void run_model(struct random *random, uint64_t length, unsigned operations)
{
    static struct run runs[RUNS];
    memset(runs, 0, sizeof runs);
    memset(owner, 0, sizeof owner);
    live = model_allocations = model_releases = model_failures = 0;
    for (unsigned i = 0; i < operations; i++) {
        const uint64_t slot = random_below(random, RUNS);
        if (random_below(random, 64) == 0)
            test_cpu_enter((unsigned)random_below(random, 2)); // the thread migrates
        if (runs[slot].count == 0)
            model_allocate(&runs[slot], (uint16_t)(slot + 1), random, length);
        else
            model_release(&runs[slot], random);
        // A frame found only when stacks of other CPUs are given: the CPUs come by.
        for (unsigned cpu = 0; cpu < 2; cpu++)
            frames_cpu_leave(&frames, i % 7 == 0 ? cpu : 0);
        if (i % (operations / 20) == 0)
            expect_model(length);
    }
    for (unsigned slot = 0; slot < RUNS; slot++)
        while (runs[slot].count > 0)
            model_release(&runs[slot], random);
    expect_model(length);
    expect_all_whole(&frames);
}

START_TEST(random_runs_keep_every_promise_and_coalesce_in_the_end)
{
    static const uint64_t lengths[] = {64 * MIB, 30 * MIB + 12 * KIB, 5 * MIB, MIB};
    struct random random = seeded_for("model");
    struct frames_config config = plain_config(2);
    const struct frames_range range = {.start = START, .length = lengths[_i]};
    config.lend_order = 9 + (unsigned)_i % 3;
    frames_over(&frames, &config, &range, 1);
    run_model(&random, lengths[_i], is_soak() ? 2500000 : 26000);
}
END_TEST

// ---- every short sequence ----------------------------------------------------------------------

#define TINY_FRAMES 1028u // a chunk, most of another, and frames of no whole one
#define DEPTH       5u

static const uint64_t tiny_counts[] = {1, 3, 256, 511, 512, 515};

static void play(const unsigned *steps, unsigned count)
{
    struct run runs[DEPTH] = {{0}};
    unsigned made = 0;
    uint64_t taken = 0;
    plain_frames(&frames, START + 508 * PAGE_SIZE, TINY_FRAMES * PAGE_SIZE);
    for (unsigned i = 0; i < count; i++) {
        if (steps[i] < ARRAY_COUNT(tiny_counts)) {
            struct run *run = &runs[made++];
            const struct frames_request request = {.count = tiny_counts[steps[i]]};
            const enum status status = request.count == 1
                                           ? frames_allocate_one(&frames, &run->address)
                                           : frames_allocate(&frames, &request, &run->address);
            require(status == STATUS_OK || status == STATUS_NO_MEMORY, "another status");
            run->count = status == STATUS_OK ? request.count : 0;
            for (unsigned k = 0; k + 1 < made; k++)
                require(runs[k].count == 0 || run->count == 0 ||
                            runs[k].address + runs[k].count * PAGE_SIZE <= run->address ||
                            run->address + run->count * PAGE_SIZE <= runs[k].address,
                        "two runs overlap");
            taken += run->count;
        } else {
            struct run *run = &runs[steps[i] - ARRAY_COUNT(tiny_counts)];
            if (run->count == 0)
                continue;
            require(frames_release(&frames, run->address, run->count) == STATUS_OK, "a release");
            taken -= run->count;
            run->count = 0;
        }
        const struct frames_statistics s = statistics_of(&frames);
        require(s.free == TINY_FRAMES - taken, "the count of free frames");
    }
    require(frames_check(&frames), "an invariant is broken");
    for (unsigned i = 0; i < made; i++)
        if (runs[i].count > 0)
            require(frames_release(&frames, runs[i].address, runs[i].count) == STATUS_OK,
                    "the last release");
    frames_cpu_leave(&frames, 0);
    frames_region_return_chunks(&frames.regions[0], 0);
    require(frames.regions[0].buddy_free == TINY_FRAMES && frames_check(&frames), "not all whole");
}

// All sequences in which only runs are released that were asked for before.
static void extend(unsigned *steps, unsigned count, unsigned made, unsigned *played)
{
    if (count == DEPTH) {
        play(steps, count);
        ++*played;
        return;
    }
    for (unsigned kind = 0; kind < ARRAY_COUNT(tiny_counts) + made; kind++) {
        steps[count] = kind;
        extend(steps, count + 1, made + (kind < ARRAY_COUNT(tiny_counts)), played);
    }
}

START_TEST(every_sequence_of_five_calls_on_a_tiny_arena_is_sound)
{
    unsigned steps[DEPTH], played = 0;
    extend(steps, 0, 0, &played);
    ck_assert_uint_gt(played, 10000);
}
END_TEST

// ---- every level runs out at every step --------------------------------------------------------

// Takes away what a level has, as if others had it, and gives it back.
enum level { BUDDY, BITMAP, POOL, LEVELS };

static struct {
    struct run blocks[4096];
    unsigned block_count;
    uint64_t held[64][FRAME_BITMAP_WORDS];
    int64_t available;
} stolen;

static void steal(enum level level)
{
    struct frames_region *region = &frames.regions[0];
    memset(&stolen, 0, sizeof stolen);
    if (level == BUDDY) {
        for (unsigned order = BUDDY_ORDERS; order-- > 0;) {
            struct run *run = &stolen.blocks[stolen.block_count];
            while (buddy_allocate(&region->buddy, order, &run->address)) {
                run->count = order;
                run = &stolen.blocks[++stolen.block_count];
            }
        }
    } else if (level == BITMAP) {
        for (uint32_t chunk = 0; chunk < region->bitmap.chunk_count; chunk++)
            frame_bitmap_hold(&region->bitmap, chunk, stolen.held[chunk]);
    } else {
        stolen.available = __atomic_exchange_n(&frames.pools[0][0].available, 0, __ATOMIC_RELAXED);
    }
}

static void give_back(enum level level)
{
    struct frames_region *region = &frames.regions[0];
    if (level == BUDDY) {
        while (stolen.block_count-- > 0)
            ck_assert_int_eq(buddy_free(&region->buddy, stolen.blocks[stolen.block_count].address,
                                        (unsigned)stolen.blocks[stolen.block_count].count),
                             STATUS_OK);
        region->buddy_free = buddy_free_frames(&region->buddy);
    } else if (level == BITMAP) {
        for (uint32_t chunk = 0; chunk < region->bitmap.chunk_count; chunk++)
            frame_bitmap_unhold(&region->bitmap, chunk, stolen.held[chunk]);
    } else {
        frames_pool_add(&frames.pools[0][0], (uint64_t)stolen.available);
    }
}

static const uint64_t script[] = {1, 5, 600, 1, 300, 511, 2000, 64, 512, 1, 8, 1025};

// The script with one level empty from call `from` to `end` - 1; returns how many calls failed.
static unsigned play_script(enum level level, unsigned from, unsigned end)
{
    struct run runs[ARRAY_COUNT(script)] = {{0}};
    unsigned failed = 0;
    plain_frames(&frames, START + 12 * KIB, 32 * MIB);
    for (unsigned i = 0; i < ARRAY_COUNT(script); i++) {
        const struct frames_request request = {.count = script[i]};
        if (i == from)
            steal(level);
        const enum status status = script[i] == 1 && i % 2 != 0
                                       ? frames_allocate_one(&frames, &runs[i].address)
                                       : frames_allocate(&frames, &request, &runs[i].address);
        runs[i].count = status == STATUS_OK ? script[i] : 0;
        ck_assert(status == STATUS_OK || (status == STATUS_NO_MEMORY && i >= from && i < end));
        failed += status != STATUS_OK;
        if (i >= from && i % 3 == 2 && runs[i - 1].count > 0) { // releases go on meanwhile
            ck_assert_int_eq(frames_release(&frames, runs[i - 1].address, runs[i - 1].count),
                             STATUS_OK);
            runs[i - 1].count = 0;
        }
        if (i + 1 == end)
            give_back(level);
    }
    if (end > ARRAY_COUNT(script))
        give_back(level);
    ck_assert(frames_check(&frames));
    ck_assert_uint_eq(statistics_of(&frames).failures, failed);
    for (unsigned i = 0; i < ARRAY_COUNT(script); i++)
        if (runs[i].count > 0)
            ck_assert_int_eq(frames_release(&frames, runs[i].address, runs[i].count), STATUS_OK);
    expect_all_whole(&frames);
    return failed;
}

START_TEST(each_level_may_run_out_at_any_call_once_or_for_good)
{
    const enum level level = (enum level)_i;
    unsigned failed = 0;
    for (unsigned at = 0; at < ARRAY_COUNT(script); at++) {
        failed += play_script(level, at, at + 1);
        failed += play_script(level, at, ARRAY_COUNT(script) + 1);
    }
    // An empty bitmap is no failure: the buddy lends. The others are felt.
    ck_assert(level == BITMAP ? failed == 0 : failed > 0);
}
END_TEST

// ---- statistics during start -------------------------------------------------------------------

static uint32_t stop;

static void *read_statistics(void *argument)
{
    const struct frames *subject = argument;
    uint64_t reads = 0;
    test_cpu_enter(1);
    while (__atomic_load_n(&stop, __ATOMIC_ACQUIRE) == 0) {
        struct frames_statistics s;
        frames_statistics(subject, &s);
        // Nothing, or all of it.
        if (s.present != 0 && (s.present != 8192 || s.free > 8192 || s.regions != 1))
            return (void *)UINTPTR_MAX;
        reads++;
    }
    return (void *)(uintptr_t)reads;
}

START_TEST(statistics_answer_during_start)
{
    const struct frames_config config = plain_config(2);
    const struct frames_range range = {.start = START, .length = 32 * MIB};
    const size_t bytes = frames_metadata_bytes(&config, &range, 1);
    void *metadata = aligned_alloc(CACHE_LINE, bytes), *reads;
    pthread_t reader;
    memset(&frames, 0, sizeof frames);
    ck_assert_uint_eq(statistics_of(&frames).present, 0); // the first call of all
    ck_assert_int_eq(pthread_create(&reader, NULL, read_statistics, &frames), 0);
    ck_assert_int_eq(frames_init(&frames, &config, &range, 1, metadata, bytes), STATUS_OK);
    for (unsigned i = 0; i < 20000; i++) {
        uintptr_t address;
        ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
        ck_assert_int_eq(frames_release_one(&frames, address), STATUS_OK);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    ck_assert_int_eq(pthread_join(reader, &reads), 0);
    ck_assert_ptr_ne(reads, (void *)UINTPTR_MAX);
    free(metadata);
}
END_TEST

START_TEST(statistics_answer_while_every_lock_is_held)
{
    // A reader that waits for a lock would never come back: the holder is itself.
    plain_frames(&frames, START, 16 * MIB);
    frames_region_lock(&frames.regions[0]);
    __atomic_store_n(&frames.busy, 1, __ATOMIC_RELAXED);
    ck_assert_uint_eq(statistics_of(&frames).free, 4096);
    __atomic_store_n(&frames.busy, 0, __ATOMIC_RELAXED);
    frames_region_unlock(&frames.regions[0]);
}
END_TEST

// ---- as a variant of frame.h -------------------------------------------------------------------

START_TEST(the_variant_is_this_allocator_over_one_range)
{
    const struct frame_ops *ops = &frame_hybrid_ops;
    const uint64_t length = 64 * MIB;
    static struct frame_hybrid hybrid;
    struct frame_statistics s;
    uintptr_t one, run;
    ck_assert_uint_eq(ops->metadata_bytes(START + 1, length), 0);
    ck_assert_uint_eq(ops->metadata_bytes(START, 0), 0);
    ck_assert_uint_eq(ops->metadata_bytes(0, length), 0);
    ck_assert_uint_eq(ops->metadata_bytes(START, length + 100), 0);
    const size_t bytes = ops->metadata_bytes(START, length);
    void *metadata = aligned_alloc(CACHE_LINE, bytes);
    memset(&hybrid, 0xee, sizeof hybrid);
    ck_assert_int_eq(ops->init(&hybrid, 0, length, metadata, bytes), STATUS_INVALID);
    ck_assert_int_eq(ops->init(&hybrid, START, length, metadata, bytes - 1), STATUS_NO_MEMORY);
    ck_assert_int_eq(ops->init(&hybrid, START, length, metadata, bytes), STATUS_OK);
    ck_assert(ops->allocate(&hybrid, 1, &one) && ops->allocate(&hybrid, 1000, &run));
    ck_assert(!ops->allocate(&hybrid, length, &run));
    ops->statistics(&hybrid, &s);
    ck_assert_uint_eq(s.present, length / PAGE_SIZE);
    ck_assert_uint_eq(s.free, length / PAGE_SIZE - 1001);
    ck_assert_uint_eq(s.allocations, 2);
    ck_assert_uint_eq(s.failures, 1);
    const uint64_t locks = s.locks;
    ck_assert_int_eq(ops->release(&hybrid, run, 1000), STATUS_OK);
    ck_assert_int_eq(ops->release(&hybrid, run, 1000), STATUS_DOUBLE);
    ck_assert_int_eq(ops->release(&hybrid, one, 1), STATUS_OK);
    ck_assert_int_eq(ops->release(&hybrid, one, 1), STATUS_DOUBLE);
    ops->statistics(&hybrid, &s);
    ck_assert_uint_eq(s.releases, 2);
    ck_assert_uint_eq(s.largest_run, s.present);
    ck_assert_uint_eq(s.free_runs, 1);
    // Two releases of the buddy's: statistics and checks count none of their own.
    ck_assert_uint_eq(s.locks, locks + 2);
    ck_assert(ops->check(&hybrid));
    ck_assert_uint_lt(s.metadata_bytes * 100, length);
    free(metadata);
}
END_TEST

// ---- the checker -------------------------------------------------------------------------------

START_TEST(the_check_finds_planted_faults)
{
    uintptr_t address;
    plain_frames(&frames, START, 16 * MIB);
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
    struct frames_region *region = &frames.regions[0];
    uint8_t *map = region->map;
    const uint32_t number = frames_number(region, address);
    ck_assert(frames_check(&frames));
    map[number] = FRAMES_MAP_FREE;
    ck_assert(!frames_check(&frames));
    map[number] = FRAMES_MAP_STACK;
    ck_assert(!frames_check(&frames));
    map[number] = FRAMES_MAP_HANDED;
    map[511] = FRAMES_MAP_HANDED;
    ck_assert(!frames_check(&frames));
    map[511] = FRAMES_MAP_FREE;
    frames.pools[0][0].available++;
    ck_assert(!frames_check(&frames));
    frames.pools[0][0].available--;
    frames.cache_of[0]->state++;
    ck_assert(!frames_check(&frames));
    frames.cache_of[0]->state--;
    ck_assert(frames_check(&frames));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frames_model");
    TCase *tests = tcase_create("frames_model");
    tcase_set_timeout(tests, is_soak() ? 7200 : 120);
    tcase_add_checked_fixture(tests, NULL, subject_tear_down);
    tcase_add_loop_test(tests, random_runs_keep_every_promise_and_coalesce_in_the_end, 0, 4);
    tcase_add_test(tests, every_sequence_of_five_calls_on_a_tiny_arena_is_sound);
    tcase_add_loop_test(tests, each_level_may_run_out_at_any_call_once_or_for_good, 0, LEVELS);
    tcase_add_test(tests, statistics_answer_during_start);
    tcase_add_test(tests, statistics_answer_while_every_lock_is_held);
    tcase_add_test(tests, the_variant_is_this_allocator_over_one_range);
    tcase_add_test(tests, the_check_finds_planted_faults);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
