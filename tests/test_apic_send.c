// SPDX-License-Identifier: MIT
// kernel/hardware/apic: messages to other CPUs, against the model of the registers.
#include <check.h>
#include <stdlib.h>

#include "apic.h"
#include "apic_model.h"
#include "compiler.h"
#include "run_checks.h"

static void check_sent(unsigned index, uint64_t destination, uint32_t command)
{
    ck_assert_uint_gt(model.sent_count, index);
    ck_assert_uint_eq(model.sent[index], destination << 32 | command);
}

START_TEST(each_message_has_its_command)
{
    start(_i);
    ck_assert_int_eq(apic_send(&apic, 7, 0x41), STATUS_OK);
    ck_assert_int_eq(apic_send_nmi(&apic, 8), STATUS_OK);
    ck_assert_int_eq(apic_send_init(&apic, 9), STATUS_OK);
    ck_assert_int_eq(apic_send_startup(&apic, 10, 0x8000), STATUS_OK);
    ck_assert_uint_eq(model.sent_count, 4);
    check_sent(0, 7, 0x4041);
    check_sent(1, 8, 0x4400);
    check_sent(2, 9, 0xc500);
    check_sent(3, 10, 0x4608);
}
END_TEST

START_TEST(messages_to_all_others_use_the_shorthand)
{
    start(_i);
    ck_assert_int_eq(apic_send_others(&apic, 0x42), STATUS_OK);
    ck_assert_int_eq(apic_send_nmi_others(&apic), STATUS_OK);
    ck_assert_uint_eq(model.sent_count, 2);
    check_sent(0, 0, 0xc4042);
    check_sent(1, 0, 0xc4400);
}
END_TEST

START_TEST(messages_to_all_others_leave_the_destination_register)
{
    start(XAPIC);
    model.registers[0x31] = 0x33000000; // of a sender that an NMI interrupted
    ck_assert_int_eq(apic_send_nmi_others(&apic), STATUS_OK);
    ck_assert_uint_eq(entry(0x310), 0x33000000);
}
END_TEST

START_TEST(the_end_of_init_exists_in_xapic_mode_only)
{
    start(XAPIC);
    ck_assert_int_eq(apic_send_init_end(&apic, 9), STATUS_OK);
    ck_assert_uint_eq(model.sent_count, 1);
    check_sent(0, 9, 0x8500);
    start(X2APIC);
    ck_assert_int_eq(apic_send_init_end(&apic, 9), STATUS_OK);
    ck_assert_uint_eq(model.sent_count, 0);
}
END_TEST

START_TEST(large_ids_are_addressed_in_x2apic_mode_only)
{
    start(X2APIC);
    ck_assert_int_eq(apic_send(&apic, 0xfffe, 0x41), STATUS_OK);
    check_sent(0, 0xfffe, 0x4041);
    start(XAPIC);
    ck_assert_int_eq(apic_send(&apic, 254, 0x41), STATUS_OK);
    check_sent(0, 254, 0x4041);
    ck_assert_int_eq(apic_send(&apic, 255, 0x41), STATUS_INVALID);
    ck_assert_int_eq(apic_send_nmi(&apic, 256), STATUS_INVALID);
    ck_assert_int_eq(apic_send_init(&apic, UINT32_MAX), STATUS_INVALID);
    ck_assert_int_eq(apic_send_startup(&apic, 0x107, 0x1000), STATUS_INVALID);
    ck_assert_uint_eq(model.sent_count, 1);
}
END_TEST

START_TEST(a_sender_waits_for_the_message_before)
{
    // The model ends the test at a command written too early.
    start(XAPIC);
    model.slow = 20;
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(apic_send(&apic, 1, 0x41), STATUS_OK);
        ck_assert_int_eq(apic_send_others(&apic, 0x41), STATUS_OK);
    }
    ck_assert_uint_eq(model.sent_count, 6);
    ck_assert_int_eq(apic_wait_sent(&apic), STATUS_OK);
    ck_assert_uint_eq(model.looks_left, 0);
}
END_TEST

START_TEST(a_message_that_stays_is_given_up)
{
    start(XAPIC);
    model.slow = MODEL_STUCK;
    ck_assert_int_eq(apic_send(&apic, 1, 0x41), STATUS_OK);
    model.looks = 0;
    ck_assert_int_eq(apic_wait_sent(&apic), STATUS_FULL);
    ck_assert_uint_eq(model.looks, APIC_READS_MOST);
    ck_assert_int_eq(apic_send(&apic, 2, 0x41), STATUS_FULL);
    ck_assert_int_eq(apic_send_others(&apic, 0x41), STATUS_FULL);
    ck_assert_int_eq(apic_send_nmi(&apic, 2), STATUS_FULL);
    ck_assert_int_eq(apic_send_nmi_others(&apic), STATUS_FULL);
    ck_assert_int_eq(apic_send_init(&apic, 2), STATUS_FULL);
    ck_assert_int_eq(apic_send_init_end(&apic, 2), STATUS_FULL);
    ck_assert_int_eq(apic_send_startup(&apic, 2, 0), STATUS_FULL);
    ck_assert_uint_eq(model.sent_count, 1);
}
END_TEST

START_TEST(x2apic_mode_waits_for_nothing)
{
    start(X2APIC);
    model.slow = MODEL_STUCK;
    ck_assert_int_eq(apic_send(&apic, 1, 0x41), STATUS_OK);
    ck_assert_int_eq(apic_send(&apic, 1, 0x41), STATUS_OK);
    ck_assert_int_eq(apic_wait_sent(&apic), STATUS_OK);
    ck_assert_uint_eq(model.looks, 0);
}
END_TEST

// ---- starting a CPU -----------------------------------------------------------------------------

static unsigned delays[8];    // microseconds
static unsigned delays_at[8]; // messages sent by then
static unsigned delay_count;

static void delay(void *context, uint32_t us)
{
    ck_assert_ptr_eq(context, &model);
    ck_assert_uint_lt(delay_count, ARRAY_COUNT(delays));
    delays[delay_count] = us;
    delays_at[delay_count++] = model.sent_count;
}

START_TEST(a_cpu_is_started_by_init_and_two_startups_with_delays)
{
    const bool x2 = _i == X2APIC;
    start(_i);
    delay_count = 0;
    model.slow = 3;
    ck_assert_int_eq(apic_start_cpu(&apic, 3, 0x7000, delay, &model), STATUS_OK);
    unsigned at = 0;
    check_sent(at++, 3, 0xc500);
    if (!x2)
        check_sent(at++, 3, 0x8500);
    check_sent(at++, 3, 0x4607);
    check_sent(at++, 3, 0x4607);
    ck_assert_uint_eq(model.sent_count, at);
    ck_assert_uint_eq(delay_count, 3);
    ck_assert(delays[0] == 10000 && delays[1] == 200 && delays[2] == 200);
    ck_assert(delays_at[0] == 1 && delays_at[1] == at - 1 && delays_at[2] == at);
}
END_TEST

START_TEST(a_start_ends_at_the_first_message_that_stays)
{
    start(XAPIC);
    delay_count = 0;
    model.slow = MODEL_STUCK;
    ck_assert_int_eq(apic_start_cpu(&apic, 3, 0x7000, delay, &model), STATUS_FULL);
    ck_assert_uint_eq(model.sent_count, 1);
    ck_assert_uint_eq(delay_count, 0);
    start(XAPIC);
    ck_assert_int_eq(apic_start_cpu(&apic, 300, 0x7000, delay, &model), STATUS_INVALID);
    ck_assert_uint_eq(model.sent_count + delay_count, 0);
}
END_TEST

static bool last_startup_stuck;

static void delay_then_stick(void *context, uint32_t us)
{
    delay(context, us);
    if (us == 200 && delay_count == 3) {
        model.looks_left = MODEL_STUCK;
        last_startup_stuck = true;
    }
}

START_TEST(a_last_startup_that_stays_is_reported)
{
    start(XAPIC);
    delay_count = 0;
    ck_assert_int_eq(apic_start_cpu(&apic, 3, 0x7000, delay_then_stick, &model), STATUS_FULL);
    ck_assert(last_startup_stuck);
}
END_TEST

#define BOTH(test) tcase_add_loop_test(cases, test, 0, MODES)

static Suite *suite(void)
{
    Suite *suite = suite_create("apic_send");
    TCase *cases = tcase_create("apic_send");
    suite_add_tcase(suite, cases);
    BOTH(each_message_has_its_command);
    BOTH(messages_to_all_others_use_the_shorthand);
    tcase_add_test(cases, messages_to_all_others_leave_the_destination_register);
    tcase_add_test(cases, the_end_of_init_exists_in_xapic_mode_only);
    tcase_add_test(cases, large_ids_are_addressed_in_x2apic_mode_only);
    tcase_add_test(cases, a_sender_waits_for_the_message_before);
    tcase_add_test(cases, a_message_that_stays_is_given_up);
    tcase_add_test(cases, x2apic_mode_waits_for_nothing);
    BOTH(a_cpu_is_started_by_init_and_two_startups_with_delays);
    tcase_add_test(cases, a_start_ends_at_the_first_message_that_stays);
    tcase_add_test(cases, a_last_startup_that_stays_is_reported);
    return suite;
}

int main(void)
{
    return run_checks(suite());
}
