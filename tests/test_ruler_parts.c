// SPDX-License-Identifier: MIT
// kernel/hardware/ruler: what calibration and clocks are made of.
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "compiler.h"
#include "ruler.h"
#include "run_checks.h"
#include "seed.h"

START_TEST(scaling_is_that_of_wide_numbers)
{
    struct random random = seeded_for("scaling_is_that_of_wide_numbers");
    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t a = random_u64(&random) >> random_below(&random, 64);
        const uint64_t b = random_u64(&random) >> random_below(&random, 64);
        const uint64_t c = (random_u64(&random) >> random_below(&random, 64)) | 1;
        const unsigned __int128 exact = ((unsigned __int128)a * b + c / 2) / c;
        const uint64_t expected = exact > UINT64_MAX ? UINT64_MAX : (uint64_t)exact;
        if (ruler_scale(a, b, c) != expected)
            ck_abort_msg("%lu * %lu / %lu", (unsigned long)a, (unsigned long)b, (unsigned long)c);
    }
    ck_assert_uint_eq(ruler_scale(UINT64_MAX, UINT64_MAX, UINT64_MAX), UINT64_MAX);
    ck_assert_uint_eq(ruler_scale(1, 1, 2), 1);
    ck_assert_uint_eq(ruler_scale(1, 1, 3), 0);
}
END_TEST

START_TEST(the_tsc_is_read_in_order)
{
    uint64_t last = counter_tsc.read(NULL);
    for (unsigned i = 0; i < 1000; i++) {
        const uint64_t now = counter_tsc.read(NULL);
        ck_assert_uint_ge(now, last);
        last = now;
    }
    ck_assert_uint_eq(counter_tsc.bits, 64);
}
END_TEST

static const uint32_t *script;
static unsigned script_at, script_length;

static uint64_t read_script(void *context)
{
    (void)context;
    return script[script_at++ % script_length];
}

START_TEST(a_value_caught_in_a_change_is_not_taken)
{
    static const struct {
        uint32_t values[6];
        uint32_t expected;
        unsigned reads;
    } cases[] = {
        {{10, 11, 12}, 11, 3},
        {{10, 10, 10}, 10, 3},
        {{10, 0x1ff, 12, 13, 14, 15}, 14, 6},         // the second too high
        {{10, 3, 12, 13, 14, 15}, 14, 6},             // too low
        {{0x1ff, 11, 12, 13, 14, 15}, 14, 6},         // the first too high
        {{3, 11, 12}, 11, 3},                         // harmless
        {{0xfffffe, 0xffffff, 0}, 0xffffff, 3},       // a wrap
        {{0xabfffffe, 0xab000001, 0xcd000002}, 1, 3}, // bits above do not matter
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        script = cases[i].values;
        script_at = 0;
        script_length = ARRAY_COUNT(cases[i].values);
        ck_assert_uint_eq(ruler_read_steady(read_script, NULL, 24), cases[i].expected);
        ck_assert_uint_eq(script_at, cases[i].reads);
    }
}
END_TEST

START_TEST(a_counter_never_steady_is_given_up)
{
    static const uint32_t values[] = {30, 20, 10};
    script = values;
    script_at = 0;
    script_length = 3;
    ck_assert_uint_eq(ruler_read_steady(read_script, NULL, 24), 20);
    ck_assert_uint_eq(script_at, 30);
}
END_TEST

START_TEST(a_narrow_counter_is_extended_over_its_turns)
{
    uint64_t state = 0xfffffff0, expected = 0xfffffff0;
    for (unsigned i = 0; i < 1000; i++) {
        expected += 0x3fffffff;
        ck_assert_uint_eq(ruler_extend(&state, expected & UINT32_MAX, 32), expected);
    }
    // A thread that read a little earlier and comes late.
    ck_assert_uint_eq(ruler_extend(&state, (expected - 5) & UINT32_MAX, 32), expected);
    ck_assert_uint_eq(state, expected);
}
END_TEST

static uint64_t extended, shared_count;

static void *extend_along(void *context)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t count = __atomic_add_fetch(&shared_count, 7, __ATOMIC_RELAXED);
        const uint64_t now = ruler_extend(&extended, count & 0xffffff, 24);
        if (now < last || now < count)
            *(bool *)context = true;
        last = now;
    }
    return NULL;
}

START_TEST(threads_extend_one_counter_together)
{
    pthread_t threads[3];
    bool wrong[3] = {false};
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, extend_along, &wrong[i]), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert(!wrong[0] && !wrong[1] && !wrong[2]);
    ck_assert_uint_eq(extended, 3 * 100000 * 7);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("ruler_parts");
    TCase *cases = tcase_create("ruler_parts");
    suite_add_tcase(suite, cases);
    tcase_add_test(cases, scaling_is_that_of_wide_numbers);
    tcase_add_test(cases, the_tsc_is_read_in_order);
    tcase_add_test(cases, a_value_caught_in_a_change_is_not_taken);
    tcase_add_test(cases, a_counter_never_steady_is_given_up);
    tcase_add_test(cases, a_narrow_counter_is_extended_over_its_turns);
    tcase_add_test(cases, threads_extend_one_counter_together);
    return suite;
}

int main(void)
{
    return run_checks(suite());
}
