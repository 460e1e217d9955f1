// SPDX-License-Identifier: MIT
// The end of an NVMe controller's use: told, waited for, bounded.
#include <check.h>

#include "nvme_subject.h"
#include "run_checks.h"

// Without the word the controller counts an unsafe shutdown, and may lose what it keeps for itself.
START_TEST(shutting_down_is_announced_waited_for_and_ends_all_access)
{
    struct subject subject;
    subject_begin(&subject);
    ck_assert_int_eq(subject_read(&subject, 0, 1), STATUS_OK);
    ck_assert_int_eq(nvme_shut_down(subject.nvme), STATUS_OK);
    ck_assert(!subject.fake->enabled && !subject.fake->master);
    ck_assert_uint_eq(subject.fake->ends, 1);
    subject_free(&subject);
}
END_TEST

// As long as it asks for, but not for ever.
START_TEST(a_controller_that_does_not_shut_down_is_disabled_in_time)
{
    static const struct {
        uint32_t asked_us;
        uint64_t waited_ns;
    } tried[] = {{0, NVME_DOWN_NS_LEAST}, {2500000, 2500000000}, {UINT32_MAX, NVME_DOWN_NS_MOST}};
    struct subject subject;
    subject_prepare(&subject);
    subject_hurry(&subject);
    subject.fake->down_us = tried[_i].asked_us;
    subject_start(&subject);
    subject.fake->never_down = true;
    const uint64_t start = subject.fake->now;
    ck_assert_int_eq(nvme_shut_down(subject.nvme), STATUS_TIMEOUT);
    ck_assert_uint_ge(subject.fake->now - start, tried[_i].waited_ns);
    ck_assert_uint_lt(subject.fake->now - start, tried[_i].waited_ns + 100 * MILLISECOND);
    ck_assert(!subject.fake->enabled && !subject.fake->master);
    ck_assert_uint_eq(subject.fake->ends, 0);
    subject_free(&subject);
}
END_TEST

// It would not listen: its fatal status ends with the reset, and one that is gone is not waited
// for.
START_TEST(a_controller_that_has_failed_or_is_gone_is_not_told_of_the_end)
{
    struct subject subject;
    subject_begin(&subject);
    subject.fake->fatal = _i == 0;
    subject.fake->gone = _i == 1;
    const uint64_t start = subject.fake->now;
    ck_assert_int_eq(nvme_shut_down(subject.nvme), _i == 0 ? STATUS_OK : STATUS_CLOSED);
    ck_assert_uint_lt(subject.fake->now - start, 100 * MILLISECOND);
    ck_assert(!subject.fake->master);
    ck_assert_uint_eq(subject.fake->ends, 0);
    subject_free(&subject);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nvme_shutdown");
    TCase *cases = tcase_create("shutdown");
    tcase_add_test(cases, shutting_down_is_announced_waited_for_and_ends_all_access);
    tcase_add_loop_test(cases, a_controller_that_does_not_shut_down_is_disabled_in_time, 0, 3);
    tcase_add_loop_test(cases, a_controller_that_has_failed_or_is_gone_is_not_told_of_the_end, 0,
                        2);
    suite_add_tcase(suite, cases);
    return run_checks(suite);
}
