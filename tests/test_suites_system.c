// SPDX-License-Identifier: MIT
// bench/suites/system*.h: every variant does the same work, with the mechanisms its name says, and
// wrong answers are found.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "run_checks.h"
#include "seed.h"
#include "system_server.h"
#include "test_platform.h"

#define MEMORY_BYTES (4u << 20)

extern const struct bench_suite system_suite;

static void *memory;

static void set_up(void)
{
    test_cpu_enter(0);
    memory = aligned_alloc(1u << 21, MEMORY_BYTES);
    memset(memory, 0xee, MEMORY_BYTES);
}

static void tear_down(void)
{
    free(memory);
}

static size_t case_of(const char *name)
{
    for (size_t c = 0; c < system_suite.case_count; c++)
        if (strcmp(system_suite.cases[c].name, name) == 0)
            return c;
    ck_abort_msg("no case %s", name);
    return 0;
}

static const struct bench_variant *variant_of(const char *name)
{
    for (size_t v = 0; v < system_suite.variant_count; v++)
        if (strcmp(system_suite.variants[v].about->name, name) == 0)
            return &system_suite.variants[v];
    ck_abort_msg("no variant %s", name);
    return NULL;
}

static const struct system_on *on_of(const char *name)
{
    return variant_of(name)->ops;
}

static struct system_context *make(size_t which, const void *on, uint64_t seed)
{
    struct system_context *const context =
        system_suite.prepare(which, on, memory, MEMORY_BYTES, seed);
    ck_assert_ptr_nonnull(context);
    return context;
}

// One window; its checksum, which is what was expected.
static uint64_t window(size_t which, size_t variant, struct system_context *context,
                       uint64_t operations)
{
    const uint64_t expected = system_suite.expected(which, context, operations);
    const uint64_t sum =
        system_suite.bodies[variant * system_suite.case_count + which](context, operations);
    ck_assert_uint_eq(sum, expected);
    return sum;
}

// ---- who is asked -------------------------------------------------------------------------------

static unsigned differences(const struct system_on *a, const struct system_on *b)
{
    return (strcmp(a->heap->about.name, b->heap->about.name) != 0) +
           (strcmp(a->ring->about.name, b->ring->about.name) != 0) +
           (strcmp(a->context->about.name, b->context->about.name) != 0) +
           (strcmp(a->policy->about.name, b->policy->about.name) != 0) +
           (strcmp(a->driver->about.name, b->driver->about.name) != 0);
}

START_TEST(baseline_is_every_mechanism_s_baseline_and_optimised_none_of_them)
{
    const struct system_on *const on = on_of("baseline"), *const best = on_of("optimised");
    ck_assert_int_eq(on->heap->about.role, VARIANT_BASELINE);
    ck_assert_int_eq(on->ring->about.role, VARIANT_BASELINE);
    ck_assert_int_eq(on->context->about.role, VARIANT_BASELINE);
    ck_assert_int_eq(on->policy->about.role, VARIANT_BASELINE);
    ck_assert_int_eq(on->driver->about.role, VARIANT_BASELINE);
    ck_assert_uint_eq(differences(on, best), 5);
    ck_assert_int_eq(best->heap->about.role, VARIANT_PRODUCT);
    ck_assert_int_eq(best->ring->about.role, VARIANT_PRODUCT);
    ck_assert_int_eq(best->context->about.role, VARIANT_PRODUCT);
    ck_assert_int_eq(best->policy->about.role, VARIANT_PRODUCT);
    ck_assert_int_eq(best->driver->about.role, VARIANT_PRODUCT);
}
END_TEST

START_TEST(each_mechanism_is_switched_alone_on_from_the_baselines_and_off_from_the_optimised)
{
    static const char *const mechanisms[] = {"heap", "ipc", "switch", "sched", "driver"};
    const struct system_on *const base = on_of("baseline"), *const best = on_of("optimised");
    ck_assert_uint_eq(system_suite.variant_count, 2 + 2 * ARRAY_COUNT(mechanisms));
    for (size_t i = 0; i < ARRAY_COUNT(mechanisms); i++) {
        char without[32];
        snprintf(without, sizeof(without), "without_%s", mechanisms[i]);
        const struct system_on *const on = on_of(mechanisms[i]), *const off = on_of(without);
        ck_assert_uint_eq(differences(on, base), 1);
        ck_assert_uint_eq(differences(off, best), 1);
        // The one that differs is the same in both: between them they differ in all five.
        ck_assert_uint_eq(differences(on, off), 5);
    }
    ck_assert_ptr_ne(on_of("heap")->heap, base->heap);
    ck_assert_ptr_ne(on_of("ipc")->ring, base->ring);
    ck_assert_ptr_ne(on_of("switch")->context, base->context);
    ck_assert_ptr_ne(on_of("sched")->policy, base->policy);
    ck_assert_ptr_ne(on_of("driver")->driver, base->driver);
}
END_TEST

// ---- what is done -------------------------------------------------------------------------------

START_TEST(every_variant_does_the_same_work_in_every_window)
{
    const size_t which = (size_t)_i;
    const uint64_t seed = seeded_for(system_suite.cases[which].name).state;
    const uint64_t operations = system_suite.cases[which].operations;
    uint64_t sums[4] = {0}, reads = 0;
    for (size_t v = 0; v < system_suite.variant_count; v++) {
        struct system_context *const context = make(which, system_suite.variants[v].ops, seed);
        for (unsigned i = 0; i < ARRAY_COUNT(sums); i++) {
            const uint64_t sum = window(which, v, context, operations);
            ck_assert_uint_eq(v == 0 ? sum : sums[i], sum);
            sums[i] = sum;
            const uint64_t ticks = system_suite.ticks(which, context);
            ck_assert_uint_ne(ticks, BENCH_WHOLE_WINDOW);
            ck_assert_uint_gt(ticks, 0);
            ck_assert_uint_le(ticks, context->elapsed);
            ck_assert_uint_le(context->idle, context->elapsed);
        }
        ck_assert(system_suite.check(which, system_suite.variants[v].ops, context));
        ck_assert_uint_eq(v == 0 ? context->read : reads, context->read);
        reads = context->read;
        ck_assert_uint_gt(reads, 0);
        ck_assert_uint_lt(reads, ARRAY_COUNT(sums) * 64);
    }
}
END_TEST

// All variants one after the other in one process, so that a state they shared would show.
START_TEST(a_prepared_row_begins_anew_whatever_ran_there_before)
{
    const size_t which = case_of("request");
    uint64_t first[3];
    for (unsigned turn = 0; turn < 2; turn++) {
        struct system_context *const context = make(which, on_of("optimised"), 7);
        for (unsigned i = 0; i < ARRAY_COUNT(first); i++) {
            const uint64_t sum = window(which, 1, context, 64);
            ck_assert_uint_eq(turn == 0 ? sum : first[i], sum);
            first[i] = sum;
        }
        (void)window(which, 0, make(which, on_of("baseline"), 8), 64);
    }
}
END_TEST

// The windows' clock is the computer's: whoever stops this process for as long as the controller
// looks back has it decide otherwise, as it should. So of a few passes one must be undisturbed.
#define PASSES 8u

// Four windows, and how their disk was waited for.
static struct block_statistics waited(size_t variant, enum block_mode *mode, uint64_t *idle)
{
    const size_t which = case_of("request");
    struct system_context *const context = make(which, system_suite.variants[variant].ops, 3);
    for (unsigned i = 0; i < 4; i++)
        (void)window(which, variant, context, 64);
    struct block_statistics disk;
    block_statistics(&context->world.device, WORLD_QUEUE, &disk);
    *mode = block_mode(&context->world.device, WORLD_QUEUE);
    *idle = context->world.idle;
    return disk;
}

START_TEST(the_disk_is_slept_for_by_interrupt_and_looked_at_by_the_controller_s_choice)
{
    bool slept = false, looked = false;
    enum block_mode mode;
    uint64_t idle;
    for (unsigned i = 0; i < PASSES && !slept; i++) {
        slept = waited(0, &mode, &idle).interrupts > 0;
        ck_assert_int_eq(mode, BLOCK_INTERRUPT);
    }
    for (unsigned i = 0; i < PASSES && !looked; i++) {
        const struct block_statistics disk = waited(1, &mode, &idle);
        looked = mode == BLOCK_POLLING && disk.interrupts == 0 && idle == 0;
    }
    ck_assert(slept);
    ck_assert(looked);
}
END_TEST

// A client's requests as its switches show them, from the other side: each begins in the stretch in
// front of the switch at which it is first seen under way, and ends in the one in front of the
// switch at which it is seen answered.
struct watched {
    uint64_t arrived; // its last switch in
    uint64_t quota;   // of the request under way
    bool under_way;
    uint64_t not_before, not_after; // it began
    uint64_t least, most;           // of the slowest request
};

static struct watched watched[SYSTEM_CLIENTS];
static struct system_context *watched_context;
static void (*switch_unwatched)(void *world, struct sched_thread *from, struct sched_thread *to,
                                enum thread_state left);

static void watch(struct watched *one, const struct system_client *client, uint64_t now)
{
    if (one->under_way && client->quota != one->quota) {
        one->under_way = false;
        one->least = max_u64(one->least, one->arrived - one->not_after);
        one->most = max_u64(one->most, now - one->not_before);
    }
    if (!one->under_way && client->asked > SYSTEM_CLIENTS - client->quota) {
        one->under_way = true;
        one->quota = client->quota;
        one->not_before = one->arrived;
        one->not_after = now;
    }
}

static void switch_watched(void *world, struct sched_thread *from, struct sched_thread *to,
                           enum thread_state left)
{
    const uint64_t now = world_ticks(world);
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++) {
        const struct system_client *const client = &watched_context->clients[i];
        if (from == &client->thread.thread)
            watch(&watched[i], client, now);
        if (to == &client->thread.thread)
            watched[i].arrived = now;
    }
    switch_unwatched(world, from, to, left);
}

START_TEST(the_slowest_request_took_as_long_as_switches_around_it_say)
{
    _Static_assert(SYSTEM_CLIENTS == 8, "a window is eight requests of each of eight clients");
    const size_t which = case_of("slowest");
    struct system_context *const context = make(which, on_of("baseline"), 5);
    watched_context = context;
    switch_unwatched = context->world.ops.switch_to;
    context->world.ops.switch_to = switch_watched;
    (void)window(which, 0, context, 1);
    uint64_t least = 0, most = 0;
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++) {
        ck_assert_uint_gt(watched[i].least, 0);
        ck_assert_uint_ge(context->clients[i].slowest, watched[i].least);
        ck_assert_uint_le(context->clients[i].slowest, watched[i].most);
        least = max_u64(least, watched[i].least);
        most = max_u64(most, watched[i].most);
    }
    ck_assert_uint_ge(system_suite.ticks(which, context), least);
    ck_assert_uint_le(system_suite.ticks(which, context), most);
}
END_TEST

// ---- what goes wrong ----------------------------------------------------------------------------

START_TEST(a_wrong_word_on_the_disk_is_seen_in_the_sum)
{
    const size_t which = case_of("request");
    struct system_context *const context = make(which, on_of("baseline"), 11);
    const uint64_t expected = system_suite.expected(which, context, 64);
    for (uint64_t key = 0; key < SYSTEM_HOT; key++)
        context->content[key * SYSTEM_BLOCK] ^= 1;
    ck_assert_uint_ne(system_suite.bodies[which](context, 64), expected);
}
END_TEST

START_TEST(a_client_that_is_left_out_is_seen_in_the_sum)
{
    const size_t which = case_of("request");
    struct system_context *const context = make(which, on_of("baseline"), 12);
    const uint64_t expected = system_suite.expected(which, context, 64);
    (void)random_u64(&context->clients[3].random);
    ck_assert_uint_ne(system_suite.bodies[which](context, 64), expected);
}
END_TEST

START_TEST(work_that_differs_from_what_the_requests_need_is_found_by_the_check)
{
    const size_t which = case_of("request");
    const struct system_on *const on = on_of("baseline");
    struct system_context *const context = make(which, on, 13);
    (void)window(which, 0, context, 64);
    ck_assert(system_suite.check(which, on, context));
    context->read++; // a value read twice
    ck_assert(!system_suite.check(which, on, context));
    context->read--;
    void *const kept = on->heap->allocate(context->heap, 64); // memory that nobody gave back
    ck_assert(!system_suite.check(which, on, context));
    on->heap->release(context->heap, kept, 64);
    ck_assert(!system_suite.check(which, on, context)); // nor one allocation too many
}
END_TEST

START_TEST(an_answer_that_is_left_in_a_queue_is_found_by_the_check)
{
    const size_t which = case_of("request");
    const struct system_on *const on = on_of("optimised");
    struct system_context *const context = make(which, on, 14);
    const struct system_message left = {.bytes = 64};
    (void)window(which, 1, context, 64);
    ck_assert(system_suite.check(which, on, context));
    ck_assert_int_eq(on->ring->send(context->clients[2].from, &left, SYSTEM_MESSAGE), STATUS_OK);
    ck_assert(!system_suite.check(which, on, context));
}
END_TEST

START_TEST(a_thread_that_wrote_over_the_end_of_its_stack_is_found_by_the_check)
{
    const size_t which = case_of("request");
    const struct system_on *const on = on_of("baseline");
    struct system_context *const context = make(which, on, 20);
    struct world_thread *const threads[] = {&context->server, &context->background,
                                            &context->clients[0].thread,
                                            &context->clients[SYSTEM_CLIENTS - 1].thread};
    (void)window(which, 0, context, 64);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++) {
        ck_assert(system_suite.check(which, on, context));
        threads[i]->thread.context.stack[0] ^= 1;
        ck_assert(!system_suite.check(which, on, context));
        threads[i]->thread.context.stack[0] ^= 1;
    }
}
END_TEST

// The disk never answers: nobody can go on, and the window says so instead of hanging.
static enum status take_and_lose(void *driver, unsigned queue, struct block_request *request)
{
    (void)driver;
    (void)queue;
    (void)request;
    return STATUS_OK;
}

START_TEST(a_window_in_which_nobody_can_go_on_fails)
{
    const size_t which = case_of("request");
    struct system_context *const context = make(which, on_of("baseline"), 15);
    struct block_device_ops losing = ram_disk_ops;
    losing.submit = take_and_lose;
    context->world.device.config.ops = &losing;
    ck_assert_uint_eq(system_suite.bodies[which](context, 64), BENCH_FAILED);
    ck_assert(context->world.stuck);
}
END_TEST

// A heap that is full fails the window, in a client as in the server.
START_TEST(a_heap_without_memory_fails_the_window)
{
    const size_t which = case_of("request");
    const struct system_on *const on = on_of("heap");
    struct system_context *const context = make(which, on, 16);
    while (on->heap->allocate(context->heap, 2048) != NULL)
        continue;
    while (on->heap->allocate(context->heap, 64) != NULL)
        continue;
    const size_t variant = (size_t)(variant_of("heap") - system_suite.variants);
    const size_t body = variant * system_suite.case_count + which;
    ck_assert_uint_eq(system_suite.bodies[body](context, 64), BENCH_FAILED);
    ck_assert(context->failed);
}
END_TEST

START_TEST(memory_that_does_not_suffice_is_no_context)
{
    static const size_t lengths[] = {4096, 64u << 10, sizeof(struct system_context),
                                     sizeof(struct system_context) + (32u << 10)};
    for (size_t v = 0; v < system_suite.variant_count; v++)
        for (size_t i = 0; i < ARRAY_COUNT(lengths); i++)
            ck_assert_ptr_null(
                system_suite.prepare(0, system_suite.variants[v].ops, memory, lengths[i], 1));
}
END_TEST

static void nothing(void *unused)
{
    (void)unused;
}

START_TEST(a_thread_more_than_a_world_has_stacks_for_panics)
{
    static struct world_thread more[WORLD_THREADS + 1];
    struct system_context *const context = make(0, on_of("baseline"), 18);
    for (unsigned i = 0; i < ARRAY_COUNT(more); i++)
        (void)world_add(&context->world, &more[i], "more", nothing, NULL);
}
END_TEST

// ---- counters -----------------------------------------------------------------------------------

struct told {
    unsigned count;
    bool polling, idle;
    uint64_t reads, requests;
};

static void tell(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit)
{
    struct told *const told = context;
    ck_assert_uint_gt(denominator, 0);
    told->count++;
    if (strcmp(name, "polling") == 0)
        told->polling = numerator == denominator;
    if (strcmp(name, "reads") == 0) {
        told->reads = numerator;
        told->requests = denominator;
        ck_assert_str_eq(unit, "ratio");
    }
    if (strcmp(name, "idle_share") == 0)
        told->idle = numerator > 0;
}

START_TEST(counters_say_how_the_disk_was_waited_for_and_how_often_it_was_asked)
{
    const size_t which = case_of("request");
    const uint64_t counted = system_suite.cases[which].counted_operations;
    for (unsigned v = 0; v < 2; v++) {
        bool as_said = false;
        for (unsigned i = 0; i < PASSES && !as_said; i++) {
            struct told told = {0};
            const struct bench_counters out = {.emit = tell, .context = &told};
            struct system_context *const context = make(which, system_suite.variants[v].ops, 17);
            (void)window(which, v, context, counted);
            system_suite.counters(which, system_suite.variants[v].ops, context, &out);
            ck_assert_uint_eq(told.count, 5);
            ck_assert_int_eq(told.idle, context->world.idle > context->warm.idle);
            as_said = told.polling == (v == 1);
        }
        ck_assert(as_said);
    }
}
END_TEST

// A round's first window begins with nothing in memory, and those that are measured do not.
START_TEST(counters_are_those_of_windows_behind_the_ones_that_warm_up)
{
    const size_t which = case_of("request");
    const struct system_on *const on = on_of("baseline");
    struct told told = {0};
    const struct bench_counters out = {.emit = tell, .context = &told};
    const uint64_t windows = system_suite.cases[which].counted_operations / 64;
    ck_assert_uint_eq(windows, SYSTEM_WARM + system_suite.cases[which].samples_exact);
    struct system_context *context = make(which, on, 19);
    (void)window(which, 0, context, windows * 64);
    system_suite.counters(which, on, context, &out);
    uint64_t reads[2] = {0};
    context = make(which, on, 19);
    for (uint64_t i = 0; i < windows; i++) {
        const uint64_t before = context->read;
        (void)window(which, 0, context, 64);
        reads[i >= SYSTEM_WARM] += context->read - before;
    }
    ck_assert_uint_eq(told.reads, reads[1]);
    ck_assert_uint_eq(told.requests, (windows - SYSTEM_WARM) * 64);
    ck_assert_uint_gt(reads[0] * told.requests, reads[1] * SYSTEM_WARM * 64); // fewer, once warm
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites: system");
    TCase *tests = tcase_create("set-ups, windows, failures");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, baseline_is_every_mechanism_s_baseline_and_optimised_none_of_them);
    tcase_add_test(
        tests, each_mechanism_is_switched_alone_on_from_the_baselines_and_off_from_the_optimised);
    tcase_add_loop_test(tests, every_variant_does_the_same_work_in_every_window, 0,
                        (int)system_suite.case_count);
    tcase_add_test(tests, a_prepared_row_begins_anew_whatever_ran_there_before);
    tcase_add_test(tests,
                   the_disk_is_slept_for_by_interrupt_and_looked_at_by_the_controller_s_choice);
    tcase_add_test(tests, the_slowest_request_took_as_long_as_switches_around_it_say);
    tcase_add_test(tests, a_wrong_word_on_the_disk_is_seen_in_the_sum);
    tcase_add_test(tests, a_client_that_is_left_out_is_seen_in_the_sum);
    tcase_add_test(tests, work_that_differs_from_what_the_requests_need_is_found_by_the_check);
    tcase_add_test(tests, an_answer_that_is_left_in_a_queue_is_found_by_the_check);
    tcase_add_test(tests, a_thread_that_wrote_over_the_end_of_its_stack_is_found_by_the_check);
    tcase_add_test(tests, a_window_in_which_nobody_can_go_on_fails);
    tcase_add_test(tests, a_heap_without_memory_fails_the_window);
    tcase_add_test(tests, memory_that_does_not_suffice_is_no_context);
    tcase_add_test(tests, counters_say_how_the_disk_was_waited_for_and_how_often_it_was_asked);
    tcase_add_test(tests, counters_are_those_of_windows_behind_the_ones_that_warm_up);
    tcase_add_test_raise_signal(tests, a_thread_more_than_a_world_has_stacks_for_panics, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
