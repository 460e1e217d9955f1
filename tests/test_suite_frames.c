// SPDX-License-Identifier: MIT
// The suite `frames`: what each case sets up is what its name says; what an allocator does wrong is
// found; every variant's bodies do their work. For the set-ups, an allocator that only counts what
// is asked of it stands in for the variants.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "compiler.h"
#include "frame_variants.h"
#include "run_checks.h"

#define MEMORY_BYTES (24u << 20)
#define LIVE_MOST    16384u
#define MIB          ((uint64_t)1 << 20)

extern const struct bench_suite frames_suite;

static void *memory;

// ---- an allocator that counts -------------------------------------------------------------------

struct run {
    uintptr_t address;
    uint64_t count;
};

static struct {
    unsigned ranges; // that were handed over
    uint64_t length; // of the last one, which ends at
    uintptr_t behind;
    struct run live[LIVE_MOST];
    unsigned live_count;
    uint64_t live_frames, allocated, released;
    uint64_t smallest, largest; // runs
    uintptr_t next;             // nothing is ever used twice
    uintptr_t hand_out;         // not 0: that address, whatever is asked for
    bool refuse_init, broken;
    unsigned looks; // at the statistics
    struct frame_statistics statistics;
} seen;

static size_t counting_metadata_bytes(uintptr_t start, uint64_t length)
{
    (void)start;
    (void)length;
    return 64;
}

static enum status counting_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                                 size_t metadata_length)
{
    (void)state;
    ck_assert_uint_eq((uintptr_t)metadata % PAGE_SIZE, 0);
    ck_assert_uint_eq(metadata_length, 64);
    ck_assert(seen.ranges == 0 || start == seen.behind); // behind each other
    if (seen.ranges++ == 0)
        seen.next = start;
    seen.behind = start + length;
    seen.length = length;
    return seen.refuse_init ? STATUS_INVALID : STATUS_OK;
}

// Aligned as frame.h asks for.
static bool counting_allocate(void *state, uint64_t count, uintptr_t *address)
{
    (void)state;
    if (seen.live_count == LIVE_MOST)
        return false;
    seen.next = align_up(seen.next, (count & (count - 1)) == 0 ? count * PAGE_SIZE : PAGE_SIZE);
    *address = seen.hand_out != 0 ? seen.hand_out : seen.next;
    seen.live[seen.live_count++] = (struct run){*address, count};
    seen.next += seen.hand_out != 0 ? 0 : count * PAGE_SIZE;
    seen.live_frames += count;
    seen.allocated++;
    seen.smallest = count < seen.smallest ? count : seen.smallest;
    seen.largest = count > seen.largest ? count : seen.largest;
    return true;
}

static enum status counting_release(void *state, uintptr_t address, uint64_t count)
{
    (void)state;
    unsigned i = seen.live_count;
    while (i > 0 && (seen.live[i - 1].address != address || seen.live[i - 1].count != count))
        i--;
    ck_assert_msg(i > 0, "what is freed was not allocated");
    seen.live[i - 1] = seen.live[--seen.live_count];
    seen.live_frames -= count;
    seen.released++;
    return STATUS_OK;
}

static void counting_statistics(const void *state, struct frame_statistics *statistics)
{
    (void)state;
    seen.looks++;
    *statistics = seen.statistics;
}

static bool counting_check(const void *state)
{
    (void)state;
    return !seen.broken;
}

static const struct frame_ops counting = {
    .about = {"counting", "counts what is asked of it", VARIANT_PRODUCT},
    .state_bytes = 64,
    .run_longest = 1u << 20,
    .metadata_bytes = counting_metadata_bytes,
    .init = counting_init,
    .allocate = counting_allocate,
    .release = counting_release,
    .statistics = counting_statistics,
    .check = counting_check,
};

// ---- helpers ------------------------------------------------------------------------------------

static void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xee, MEMORY_BYTES); // as another case left it
    memset(&seen, 0, sizeof(seen));
    seen.smallest = UINT64_MAX;
}

static void tear_down(void)
{
    free(memory);
}

static size_t named(const char *name)
{
    for (size_t i = 0; i < frames_suite.case_count; i++)
        if (strcmp(frames_suite.cases[i].name, name) == 0)
            return i;
    ck_abort_msg("no case %s", name);
    return 0;
}

static void *prepared(const char *name)
{
    void *context = frames_suite.prepare(named(name), &counting, memory, MEMORY_BYTES, 5);
    ck_assert_ptr_nonnull(context);
    return context;
}

static void before(const char *name, void *context)
{
    frames_suite.before(named(name), &counting, context,
                        frames_suite.cases[named(name)].operations);
}

struct counter {
    char name[32], unit[16];
    uint64_t numerator, denominator;
};

static struct counter emitted[64];
static unsigned emitted_count;

static void emit(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit)
{
    ck_assert_ptr_eq(context, emitted);
    ck_assert_uint_lt(emitted_count, ARRAY_COUNT(emitted));
    ck_assert_uint_gt(denominator, 0);
    struct counter *counter = &emitted[emitted_count++];
    *counter = (struct counter){.numerator = numerator, .denominator = denominator};
    snprintf(counter->name, sizeof(counter->name), "%s", name);
    snprintf(counter->unit, sizeof(counter->unit), "%s", unit);
}

static void count(size_t which, const void *ops, const void *context)
{
    const struct bench_counters out = {.emit = emit, .context = emitted};
    emitted_count = 0;
    frames_suite.counters(which, ops, context, &out);
}

static const struct counter *found(const char *name)
{
    for (unsigned i = 0; i < emitted_count; i++)
        if (strcmp(emitted[i].name, name) == 0)
            return &emitted[i];
    return NULL;
}

static void counted(const char *name, uint64_t numerator, uint64_t denominator, const char *unit)
{
    const struct counter *counter = found(name);
    ck_assert_msg(counter != NULL, "%s was not counted", name);
    ck_assert_uint_eq(counter->numerator, numerator);
    ck_assert_uint_eq(counter->denominator, denominator);
    ck_assert_str_eq(counter->unit, unit);
}

// ---- set-ups ------------------------------------------------------------------------------------

START_TEST(thousand_free_finds_1000_frames_of_4_mib_in_use)
{
    void *context = prepared("thousand_free");
    ck_assert_uint_eq(seen.ranges, 1);
    ck_assert_uint_eq(seen.length, 4 * MIB);
    before("thousand_free", context);
    ck_assert_uint_eq(seen.allocated, 1000);
    ck_assert_uint_eq(seen.live_frames, 1000);
    ck_assert_uint_eq(frames_suite.cases[named("thousand_free")].operations, 1000);
    ck_assert(frames_suite.cases[named("thousand_free")].fixed);
}
END_TEST

START_TEST(thousand_alloc_begins_with_nothing_in_use)
{
    void *context = prepared("thousand_alloc");
    before("thousand_alloc", context);
    ck_assert_uint_eq(seen.allocated, 0);
    ck_assert(frames_suite.cases[named("thousand_alloc")].fixed);
}
END_TEST

START_TEST(alloc_4k_has_64_mib_that_are_free_and_free_4k_a_frame_in_each)
{
    void *context = prepared(_i == 0 ? "alloc_4k" : "free_4k");
    ck_assert_uint_eq(seen.ranges, 64);
    ck_assert_uint_eq(seen.length, MIB);
    before(_i == 0 ? "alloc_4k" : "free_4k", context);
    ck_assert_uint_eq(seen.live_frames, _i == 0 ? 0 : 64);
}
END_TEST

START_TEST(half_of_the_range_is_in_use_by_runs_of_the_sizes_that_the_name_says)
{
    static const struct {
        const char *name;
        uint64_t length, least, most;
    } cases[] = {{"alloc_under_512", 1024 * MIB, 1, 511},
                 {"alloc_from_512", 1024 * MIB, 512, 4095},
                 {"alloc_any", 1024 * MIB, 1, 4095},
                 {"free_full", 4096 * MIB, 1, 511},
                 {"free_64th", 64 * MIB, 1, 511}};
    prepared(cases[_i].name);
    const uint64_t frames = cases[_i].length / PAGE_SIZE;
    ck_assert_uint_eq(seen.length, cases[_i].length);
    ck_assert_uint_le(seen.live_frames, frames / 2);
    ck_assert_uint_ge(seen.live_frames, frames / 2 - cases[_i].most);
    ck_assert_uint_gt(seen.released, seen.allocated / 8); // holes
    ck_assert_uint_ge(seen.smallest, cases[_i].least);
    ck_assert_uint_le(seen.smallest, 2 * cases[_i].least);
    ck_assert_uint_le(seen.largest, cases[_i].most);
    ck_assert_uint_gt(seen.largest, cases[_i].most / 2);
}
END_TEST

START_TEST(free_full_and_free_64th_free_16_runs_and_make_as_many_anew)
{
    const char *const name = _i == 0 ? "free_full" : "free_64th";
    void *context = prepared(name);
    const uint64_t allocated = seen.allocated, released = seen.released;
    before(name, context);
    ck_assert_uint_eq(seen.allocated, allocated);
    ck_assert_uint_eq(seen.released, released); // the window does that
    before(name, context);
    ck_assert_uint_eq(seen.allocated, allocated + 16);
    ck_assert_uint_eq(seen.released, released);
}
END_TEST

START_TEST(churn_has_150_live_runs)
{
    prepared("churn");
    ck_assert_uint_eq(seen.length, 64 * MIB);
    ck_assert_uint_eq(seen.live_count, 150);
    ck_assert_uint_le(seen.largest, 511);
    ck_assert_uint_gt(seen.live_frames, 64 * MIB / PAGE_SIZE / 2);
}
END_TEST

START_TEST(what_cannot_be_set_up_is_no_context)
{
    const size_t which = named("alloc_any");
    ck_assert_ptr_null(frames_suite.prepare(which, &counting, memory, 64u << 10, 5));
    ck_assert_uint_eq(seen.ranges, 0);
    seen.refuse_init = true;
    ck_assert_ptr_null(frames_suite.prepare(which, &counting, memory, MEMORY_BYTES, 5));
}
END_TEST

START_TEST(rows_are_for_those_that_can_have_them)
{
    for (size_t i = 0; i < frames_suite.case_count; i++) {
        const char *const name = frames_suite.cases[i].name;
        const bool machine = strcmp(name, "machine_map") == 0 || strncmp(name, "node_", 5) == 0;
        const bool hot = strncmp(name, "pair_", 5) == 0 || strncmp(name, "thousand_", 9) == 0 ||
                         strcmp(name, "scale_one_cpu") == 0;
        const bool one_cpu = strcmp(name, "scale_most_cpus") != 0; // as this test has
        ck_assert_int_eq(frames_suite.applies(i, &frame_floor_ops), hot);
        ck_assert_int_eq(frames_suite.applies(i, &counting), !machine && one_cpu);
        ck_assert_int_eq(frames_suite.applies(i, &frame_hybrid_ops), one_cpu);
        ck_assert_int_eq(frames_suite.applies(i, &frame_textbook_buddy_ops),
                         hot || strcmp(name, "exhaust") == 0);
    }
}
END_TEST

// ---- counters and checks ------------------------------------------------------------------------

START_TEST(counters_are_what_happened_since_the_first_window)
{
    seen.statistics = (struct frame_statistics){
        .present = 1000, .allocations = 10, .failures = 1, .locks = 7, .metadata_bytes = 4096};
    void *context = prepared("pair_4k");
    before("pair_4k", context);
    seen.statistics.allocations = 100;
    seen.statistics.failures = 11;
    seen.statistics.locks = 9;
    before("pair_4k", context);
    ck_assert_uint_eq(seen.looks, 1);
    count(named("pair_4k"), &counting, context);
    ck_assert_uint_eq(emitted_count, 3);
    counted("locks", 2, 1, "count");
    counted("served", 90, 100, "percent");
    counted("metadata_share", 4096, 4096000, "percent");
}
END_TEST

START_TEST(frames_that_overlap_or_lie_elsewhere_are_found)
{
    const size_t which = named("free_4k");
    void *context = prepared("free_4k");
    before("free_4k", context);
    ck_assert(frames_suite.check(which, &counting, context));
    const uintptr_t inside = seen.live[0].address, behind = seen.behind;
    const uintptr_t wrong[] = {inside, inside + 64, 0x100000000000u - PAGE_SIZE, behind};
    for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
        seen.hand_out = wrong[i];
        ck_assert_msg(!frames_suite.check(which, &counting, context), "wrong address %u", i);
    }
    seen.hand_out = 0;
    seen.broken = true;
    ck_assert(!frames_suite.check(which, &counting, context));
}
END_TEST

START_TEST(a_pair_that_is_outside_or_misaligned_fails_its_window)
{
    // The bodies are the variants' own: the floor's stack is given a wrong address to hand out.
    const size_t which = named("pair_4k");
    for (size_t v = 0; v < frames_suite.variant_count; v++) {
        if (frames_suite.variants[v].ops != &frame_floor_ops)
            continue;
        bench_body *const body = frames_suite.bodies[v * frames_suite.case_count + which];
        void *context = frames_suite.prepare(which, &frame_floor_ops, memory, MEMORY_BYTES, 5);
        ck_assert_ptr_nonnull(context);
        ck_assert_uint_eq(body(context, 10), 10);
        struct frame_floor *floor = *(struct frame_floor **)context;
        uintptr_t *const top = floor->singles.next - 1;
        const uintptr_t right = *top;
        *top = right + 8;
        ck_assert_uint_ne(body(context, 10), 10);
        *top = right + 8 * MIB;
        ck_assert_uint_ne(body(context, 10), 10);
        *top = right;
        ck_assert_uint_eq(body(context, 10), 10);
    }
}
END_TEST

// ---- every variant ------------------------------------------------------------------------------

static void windows_of(size_t variant, size_t which)
{
    const struct frame_ops *ops = frames_suite.variants[variant].ops;
    const uint64_t operations = frames_suite.cases[which].operations;
    bench_body *const body = frames_suite.bodies[variant * frames_suite.case_count + which];
    void *context = frames_suite.prepare(which, ops, memory, MEMORY_BYTES, 5);
    ck_assert_ptr_nonnull(context);
    for (unsigned window = 0; window < 4; window++) {
        frames_suite.before(which, ops, context, operations);
        const uint64_t expected = frames_suite.expected(which, context, operations);
        const uint64_t given = body(context, operations);
        ck_assert_msg(given == expected, "%s of %s: %lu", frames_suite.cases[which].name,
                      ops->about.name, (unsigned long)given);
        ck_assert(frames_suite.check(which, ops, context));
    }
    context = frames_suite.prepare(which, ops, memory, MEMORY_BYTES, 5);
    frames_suite.before(which, ops, context, operations);
    ck_assert_uint_eq(body(context, operations), operations);
    count(which, ops, context);
}

START_TEST(every_variant_s_windows_do_all_their_operations)
{
    const size_t which = (size_t)_i;
    for (size_t variant = 0; variant < frames_suite.variant_count; variant++) {
        const struct frame_ops *ops = frames_suite.variants[variant].ops;
        if (!frames_suite.applies(which, ops))
            continue;
        windows_of(variant, which);
        if (ops->about.role == VARIANT_FLOOR)
            ck_assert_uint_eq(emitted_count, 0);
        else
            ck_assert_uint_gt(emitted_count, 0);
        if (strcmp(frames_suite.cases[which].name, "exhaust") == 0)
            counted("recovered", 1024, 1024, "percent");
    }
}
END_TEST

START_TEST(churn_tells_three_curves_of_ten_points)
{
    static const char *const curves[] = {"external_by_operations", "largest_run_by_operations",
                                         "average_run_by_operations"};
    for (size_t variant = 0; variant < frames_suite.variant_count; variant++) {
        if (frames_suite.variants[variant].ops != &frame_hybrid_ops)
            continue;
        windows_of(variant, named("churn"));
        for (unsigned curve = 0; curve < ARRAY_COUNT(curves); curve++) {
            for (unsigned point = 1; point <= 10; point++) {
                char name[48];
                snprintf(name, sizeof(name), "%s@%u", curves[curve], point * 10000);
                ck_assert_msg(found(name) != NULL, "%s is missing", name);
                ck_assert_str_eq(found(name)->unit, curve == 0 ? "percent" : "count");
            }
        }
    }
}
END_TEST

START_TEST(the_machine_s_nodes_are_counted_and_their_frames_theirs)
{
    static const char *const names[] = {"machine_map", "node_local", "node_remote"};
    const size_t which = named(names[_i]);
    for (size_t variant = 0; variant < frames_suite.variant_count; variant++) {
        if (!frames_suite.applies(which, frames_suite.variants[variant].ops))
            continue;
        windows_of(variant, which);
        counted("simulated", 1, 1, "count");
        if (_i == 0) { // as tests/test_platform.c describes it
            counted("nodes", 2, 1, "count");
            counted("frames", 63 * MIB / PAGE_SIZE, 1, "count");
            counted("frames_node_0", 31 * MIB / PAGE_SIZE, 1, "count");
            counted("frames_node_1", 32 * MIB / PAGE_SIZE, 1, "count");
            counted("nodes_in_order", 2, 2, "percent");
        } else {
            counted("of_wanted_node", 256, 256, "percent");
            counted("fall_backs", 0, 1, "count");
            counted("distance", _i == 1 ? 10 : 20, 1, "count");
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suite_frames");
    TCase *tests = tcase_create("set-ups, counters, bodies");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, thousand_free_finds_1000_frames_of_4_mib_in_use);
    tcase_add_test(tests, thousand_alloc_begins_with_nothing_in_use);
    tcase_add_loop_test(tests, alloc_4k_has_64_mib_that_are_free_and_free_4k_a_frame_in_each, 0, 2);
    tcase_add_loop_test(tests, half_of_the_range_is_in_use_by_runs_of_the_sizes_that_the_name_says,
                        0, 5);
    tcase_add_loop_test(tests, free_full_and_free_64th_free_16_runs_and_make_as_many_anew, 0, 2);
    tcase_add_test(tests, churn_has_150_live_runs);
    tcase_add_test(tests, what_cannot_be_set_up_is_no_context);
    tcase_add_test(tests, rows_are_for_those_that_can_have_them);
    tcase_add_test(tests, counters_are_what_happened_since_the_first_window);
    tcase_add_test(tests, frames_that_overlap_or_lie_elsewhere_are_found);
    tcase_add_test(tests, a_pair_that_is_outside_or_misaligned_fails_its_window);
    tcase_add_loop_test(tests, every_variant_s_windows_do_all_their_operations, 0,
                        (int)frames_suite.case_count);
    tcase_add_test(tests, churn_tells_three_curves_of_ten_points);
    tcase_add_loop_test(tests, the_machine_s_nodes_are_counted_and_their_frames_theirs, 0, 3);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
