// SPDX-License-Identifier: MIT
// kernel/hardware/apic against a model of the registers that ends the test at every access the
// manual forbids. Most tests run in both modes.
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "apic.h"
#include "apic_model.h"
#include "compiler.h"
#include "run_checks.h"
#include "seed.h"

// ---- start --------------------------------------------------------------------------------------

START_TEST(features_come_from_the_bits_of_leaf_1)
{
    struct apic_features features = apic_features_of((struct cpu_cpuid){.edx = 1u << 9});
    ck_assert(features.present && !features.x2 && !features.deadline);
    features = apic_features_of((struct cpu_cpuid){.ecx = 1u << 21});
    ck_assert(!features.present && features.x2 && !features.deadline);
    features = apic_features_of((struct cpu_cpuid){.ecx = 1u << 24});
    ck_assert(!features.present && !features.x2 && features.deadline);
    features = apic_features_of((struct cpu_cpuid){
        .eax = ~0u, .ebx = ~0u, .ecx = ~(1u << 21 | 1u << 24), .edx = ~(1u << 9)});
    ck_assert(!features.present && !features.x2 && !features.deadline);
}
END_TEST

START_TEST(a_cpu_without_apic_is_left_alone)
{
    model = model_after_reset();
    model.base = 0;
    ck_assert_int_eq(init((struct apic_features){.x2 = true}, true), STATUS_EMPTY);
    ck_assert_uint_eq(model.base, 0);
}
END_TEST

START_TEST(address_is_what_the_msr_says)
{
    model = model_after_reset();
    model.base = 0x9abcde000 | MODEL_ON | MODEL_BSP;
    const struct apic_access access = model_access(&model);
    ck_assert_uint_eq(apic_address(&access), 0x9abcde000);
}
END_TEST

START_TEST(init_leaves_one_state_in_either_mode)
{
    start(_i);
    ck_assert_uint_eq(apic.id, 5);
    ck_assert_uint_eq(apic.entries, 6);
    ck_assert_uint_eq(apic.version, 0x50014);
    ck_assert_uint_eq(entry(0x0f0), 0x100 | SPURIOUS_VECTOR);
    ck_assert_uint_eq(entry(0x370), ERROR_VECTOR);
    for (unsigned number = 0x330; number <= 0x360; number += 16)
        ck_assert_uint_eq(entry(number), MODEL_MASKED | SPURIOUS_VECTOR);
    ck_assert_uint_eq(entry(0x320), MODEL_MASKED | TIMER_VECTOR);
    ck_assert_uint_eq(entry(0x3e0), 0xb);
    ck_assert_uint_eq(entry(0x080), 0);
    ck_assert_uint_eq(model.errors | entry(0x280), 0);
    ck_assert_uint_eq(model.ends, 0);
    ck_assert_uint_eq(model.base,
                      MODEL_ADDRESS | MODEL_BSP | MODEL_ON | (_i == X2APIC ? MODEL_X2 : 0));
}
END_TEST

START_TEST(init_cleans_up_after_firmware)
{
    model = model_after_reset();
    if (_i == X2APIC)
        model.base |= MODEL_X2;
    model.registers[0x3] = 0x60015;
    model.registers[0xf] = 0x1ff;
    model.registers[0x08] = 0x70;
    model.registers[0x35] = 0x700; // external, as the 8259s are passed on
    model.registers[0x36] = 0x400; // NMI
    model.registers[0x32] = 0x40030;
    model.registers[0x34] = 0x31;
    model.registers[0x33] = 0x32;
    model.registers[0x2f] = 0x33;
    model.registers[0x3e] = 0x3;
    model.registers[0x11] = 0x80000001; // 32 and 63 in service
    model.registers[0x17] = 0x10;       // 228
    model.errors = 0x80;
    model.deadline = 77;
    ck_assert_int_eq(init(everything, _i == X2APIC), STATUS_OK);
    for (unsigned number = 0x330; number <= 0x360; number += 16)
        ck_assert_uint_eq(entry(number), MODEL_MASKED | SPURIOUS_VECTOR);
    ck_assert_uint_eq(entry(0x2f0), MODEL_MASKED | SPURIOUS_VECTOR);
    ck_assert_uint_eq(entry(0x320), MODEL_MASKED | TIMER_VECTOR);
    ck_assert_uint_eq(entry(0x080), 0);
    ck_assert_uint_eq(entry(0x3e0), 0xb);
    ck_assert_uint_eq(model.ends, 3);
    ck_assert_uint_eq(entry(0x110) | entry(0x170), 0);
    ck_assert_uint_eq(model.deadline, 0);
    ck_assert_uint_eq(apic_errors(&apic), 0);
}
END_TEST

START_TEST(init_ends_when_an_interrupt_stays_in_service)
{
    model = model_after_reset();
    model.registers[0x10] = model.registers[0x17] = 1u << 31;
    model.endless = true;
    ck_assert_int_eq(init(everything, _i == X2APIC), STATUS_OK);
    ck_assert_uint_eq(model.ends, 256);
}
END_TEST

START_TEST(a_thermal_interrupt_of_firmware_stays)
{
    model = model_after_reset();
    model.registers[0x33] = 0x200;
    ck_assert_int_eq(init(everything, _i == X2APIC), STATUS_OK);
    ck_assert_uint_eq(entry(0x330), 0x200);
}
END_TEST

START_TEST(only_entries_that_exist_are_touched)
{
    // The model ends the test at a register the version does not have.
    for (unsigned last = 3; last <= 6; last++) {
        model = model_after_reset();
        model.registers[0x3] = last << 16 | 0x10;
        ck_assert_int_eq(init(everything, _i == X2APIC), STATUS_OK);
        ck_assert_uint_eq(apic.entries, last + 1);
    }
}
END_TEST

START_TEST(an_apic_that_is_off_is_turned_on_step_by_step)
{
    model = model_after_reset();
    model.base = MODEL_ADDRESS;
    ck_assert_int_eq(init(everything, _i == X2APIC), STATUS_OK);
    ck_assert_uint_eq(model.base, MODEL_ADDRESS | MODEL_ON | (_i == X2APIC ? MODEL_X2 : 0));
}
END_TEST

START_TEST(x2apic_mode_of_firmware_is_kept_even_when_not_allowed)
{
    model = model_after_reset();
    model.base |= MODEL_X2;
    model.id = 0x12345;
    ck_assert_int_eq(init(everything, false), STATUS_OK);
    ck_assert(apic.x2);
    ck_assert_uint_eq(apic.id, 0x12345);
}
END_TEST

START_TEST(a_cpu_without_x2apic_stays_in_xapic_mode)
{
    model = model_after_reset();
    model.has_x2 = false;
    ck_assert_int_eq(init((struct apic_features){.present = true}, true), STATUS_OK);
    ck_assert(!apic.x2);
}
END_TEST

START_TEST(the_page_is_moved_to_where_it_is_mapped)
{
    model = model_after_reset();
    model.base = 0xfed10000 | MODEL_ON;
    ck_assert_int_eq(init(everything, false), STATUS_OK);
    ck_assert_uint_eq(model.base, MODEL_ADDRESS | MODEL_ON);
}
END_TEST

START_TEST(a_mode_that_is_not_entered_is_reported)
{
    static const struct {
        uint64_t base;
        bool x2_allowed;
    } cases[] = {
        {MODEL_ADDRESS, false},           // stays off
        {MODEL_ADDRESS | MODEL_ON, true}, // stays xAPIC
        {0xfed10000u | MODEL_ON, false},  // stays elsewhere
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        model = model_after_reset();
        model.base = cases[i].base;
        model.locked = true;
        // Each step is legal by what the register should hold, not by what it holds.
        if (cases[i].base != MODEL_ADDRESS)
            ck_assert_int_eq(init(everything, cases[i].x2_allowed), STATUS_INVALID);
        else
            ck_assert_int_eq(init((struct apic_features){.present = true}, false), STATUS_INVALID);
    }
}
END_TEST

START_TEST(registers_that_make_no_sense_are_no_apic)
{
    static const uint32_t versions[] = {0, ~0u, 0x5000f, 0x50020, 0x20014};
    for (unsigned i = 0; i < ARRAY_COUNT(versions); i++) {
        model = model_after_reset();
        model.registers[0x3] = versions[i];
        ck_assert_int_eq(init(everything, _i == X2APIC), STATUS_EMPTY);
        ck_assert_uint_eq(entry(0x0f0), 0xff); // nothing was written
    }
}
END_TEST

START_TEST(the_broadcast_is_nobodys_id)
{
    model = model_after_reset();
    model.id = 255;
    ck_assert_int_eq(init(everything, false), STATUS_EMPTY);
    model = model_after_reset();
    model.id = 255;
    ck_assert_int_eq(init(everything, true), STATUS_OK);
}
END_TEST

START_TEST(an_end_takes_the_highest_interrupt_from_service)
{
    start(_i);
    model.registers[0x12] = 0x5;
    apic_end(&apic);
    ck_assert_uint_eq(entry(0x120), 0x1);
    ck_assert_uint_eq(model.ends, 1);
}
END_TEST

START_TEST(priority_is_written_as_a_class)
{
    start(_i);
    apic_set_priority(&apic, 15);
    ck_assert_uint_eq(entry(0x080), 0xf0);
    apic_set_priority(&apic, 0);
    ck_assert_uint_eq(entry(0x080), 0);
}
END_TEST

START_TEST(a_line_becomes_an_nmi)
{
    start(_i);
    apic_nmi_line(&apic, 1, false);
    ck_assert_uint_eq(entry(0x360), 0x400);
    ck_assert_uint_eq(entry(0x350), MODEL_MASKED | SPURIOUS_VECTOR);
    apic_nmi_line(&apic, 0, true);
    ck_assert_uint_eq(entry(0x350), 0x2400);
}
END_TEST

// ---- timer --------------------------------------------------------------------------------------

START_TEST(each_mode_of_the_timer_is_set_from_each)
{
    for (unsigned from = 0; from < 4; from++) {
        for (unsigned to = 0; to < 4; to++) {
            start(_i);
            const unsigned order[2] = {from, to};
            for (unsigned i = 0; i < 2; i++) {
                switch (order[i]) {
                case 0:
                    apic_timer_one_shot(&apic, 1000 + i);
                    ck_assert_uint_eq(entry(0x320), TIMER_VECTOR);
                    ck_assert_uint_eq(entry(0x390), 1000 + i);
                    ck_assert_uint_eq(model.deadline, 0);
                    break;
                case 1:
                    apic_timer_periodic(&apic, APIC_TICKS_MOST - i);
                    ck_assert_uint_eq(entry(0x320), 0x20000 | TIMER_VECTOR);
                    ck_assert_uint_eq(entry(0x390), APIC_TICKS_MOST - i);
                    ck_assert_uint_eq(model.deadline, 0);
                    break;
                case 2:
                    apic_timer_deadline(&apic, 0x123456789ab + i);
                    ck_assert_uint_eq(entry(0x320), 0x40000 | TIMER_VECTOR);
                    ck_assert_uint_eq(model.deadline, 0x123456789ab + i);
                    ck_assert_uint_eq(entry(0x390), 0);
                    break;
                default:
                    apic_timer_stop(&apic);
                    ck_assert_uint_eq(entry(0x320), MODEL_MASKED | TIMER_VECTOR);
                    ck_assert_uint_eq(entry(0x390), 0);
                    ck_assert_uint_eq(model.deadline, 0);
                }
            }
        }
    }
}
END_TEST

START_TEST(a_timer_without_deadline_never_touches_its_msr)
{
    // The model ends the test at the MSR.
    model = model_after_reset();
    model.has_deadline = false;
    ck_assert_int_eq(init((struct apic_features){.present = true, .x2 = true}, _i == X2APIC),
                     STATUS_OK);
    apic_timer_one_shot(&apic, 10);
    apic_timer_periodic(&apic, 10);
    apic_timer_stop(&apic);
    apic_timer_count(&apic);
}
END_TEST

START_TEST(counting_is_silent_and_counts_up)
{
    start(_i);
    apic_timer_periodic(&apic, 5);
    const unsigned writes = model.writes;
    apic_timer_periodic(&apic, 6); // in this mode already
    ck_assert_uint_eq(model.writes, writes + 1);
    apic_timer_count(&apic);
    ck_assert_uint_eq(entry(0x320), MODEL_MASKED | TIMER_VECTOR);
    ck_assert_uint_eq(apic_timer_counted(&apic), 0);
    model.ticks_per_look = 1000;
    ck_assert_uint_eq(apic_timer_counted(&apic), 1000);
    ck_assert_uint_eq(apic_timer_counted(&apic), 2000);
    model.ticks_per_look = UINT32_MAX;
    ck_assert_uint_eq(apic_timer_counted(&apic), APIC_TICKS_MOST);
    ck_assert_uint_eq(apic_timer_counted(&apic), APIC_TICKS_MOST); // ran out: it stays
}
END_TEST

// ---- errors -------------------------------------------------------------------------------------

START_TEST(errors_are_shown_once)
{
    start(_i);
    model.errors = 0xa0;
    ck_assert_uint_eq(apic_errors(&apic), 0xa0);
    ck_assert_uint_eq(apic_errors(&apic), 0);
}
END_TEST

START_TEST(each_error_has_its_name)
{
    static const struct {
        uint32_t errors;
        const char *text;
    } cases[] = {
        {0, "none"},
        {1u << 0, "send checksum"},
        {1u << 1, "receive checksum"},
        {1u << 2, "send accept"},
        {1u << 3, "receive accept"},
        {1u << 4, "redirectable IPI"},
        {1u << 5, "send illegal vector"},
        {1u << 6, "received illegal vector"},
        {1u << 7, "illegal register address"},
        {1u << 31, "reserved"},
        {1u << 5 | 1u << 7, "send illegal vector, illegal register address"},
    };
    char text[256];
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const size_t length = apic_error_text(cases[i].errors, text, sizeof(text));
        ck_assert_str_eq(text, cases[i].text);
        ck_assert_uint_eq(length, strlen(text));
    }
}
END_TEST

START_TEST(a_text_of_errors_is_cut_where_its_room_ends)
{
    char whole[512], text[512];
    const size_t length = apic_error_text(~0u, whole, sizeof(whole));
    for (size_t capacity = 1; capacity <= length + 1; capacity++) {
        char *exact = malloc(capacity); // the sanitizer sees what goes beyond
        const size_t got = apic_error_text(~0u, exact, capacity);
        ck_assert_uint_eq(got, capacity - 1);
        ck_assert_uint_eq(strlen(exact), got);
        memcpy(text, whole, got);
        text[got] = '\0';
        ck_assert_str_eq(exact, text);
        free(exact);
    }
}
END_TEST

// ---- random use ---------------------------------------------------------------------------------

// Any order of calls keeps to the rules of the model, which checks every access.
START_TEST(any_order_of_calls_is_legal)
{
    struct random random = seeded_for("any_order_of_calls_is_legal");
    start(_i);
    for (unsigned i = 0; i < 20000; i++) {
        const uint32_t number = (uint32_t)random_below(&random, 254) + 1;
        const uint8_t vector = (uint8_t)(32 + random_below(&random, 224));
        model.sent_count = 0;
        model.slow = (uint32_t)random_below(&random, 4);
        switch (random_below(&random, 12)) {
        case 0:
            apic_send(&apic, number, vector);
            break;
        case 1:
            apic_send_others(&apic, vector);
            break;
        case 2:
            apic_send_nmi(&apic, number);
            break;
        case 3:
            apic_send_nmi_others(&apic);
            break;
        case 4:
            apic_send_init(&apic, number);
            break;
        case 5:
            apic_send_init_end(&apic, number);
            break;
        case 6:
            apic_timer_one_shot(&apic, number);
            ck_assert_uint_eq(entry(0x390), number);
            break;
        case 7:
            apic_timer_periodic(&apic, number);
            ck_assert_uint_eq(entry(0x390), number);
            break;
        case 8:
            apic_timer_deadline(&apic, number);
            ck_assert_uint_eq(model.deadline, number);
            break;
        case 9:
            apic_timer_stop(&apic);
            break;
        case 10:
            ck_assert_int_eq(init(everything, random_below(&random, 2) != 0), STATUS_OK);
            break;
        default:
            apic_end(&apic);
        }
    }
}
END_TEST

// ---- preconditions ------------------------------------------------------------------------------

static void init_with(uint64_t address, uint8_t spurious, uint8_t error, uint8_t timer)
{
    const struct apic_access access = model_access(&model);
    const struct apic_setup setup = {
        .address = address, .spurious = spurious, .error = error, .timer = timer};
    apic_init(&apic, &access, everything, &setup);
}

START_TEST(a_broken_precondition_panics)
{
    start(XAPIC);
    switch (_i) {
    case 0:
        init_with(MODEL_ADDRESS, 0xfe, 0xfe, 0xe0);
        break;
    case 1:
        init_with(MODEL_ADDRESS, 0x1f, 0xfe, 0xe0);
        break;
    case 2:
        init_with(MODEL_ADDRESS, 0xff, 31, 0xe0);
        break;
    case 3:
        init_with(MODEL_ADDRESS, 0xff, 0xfe, 31);
        break;
    case 4:
        init_with(MODEL_ADDRESS + 1, 0xff, 0xfe, 0xe0);
        break;
    case 5:
        apic_set_priority(&apic, 16);
        break;
    case 6:
        apic_nmi_line(&apic, 2, false);
        break;
    case 7:
        apic_send(&apic, 1, 31);
        break;
    case 8:
        apic_send_others(&apic, 31);
        break;
    case 9:
        apic_send_startup(&apic, 1, 0x8001);
        break;
    case 10:
        apic_send_startup(&apic, 1, 0x100000);
        break;
    case 11:
        apic_send_startup(&apic, 1, 0xa0000);
        break;
    case 12:
        apic_send_startup(&apic, 1, 0xbf000);
        break;
    case 13:
        apic_timer_one_shot(&apic, 0);
        break;
    case 14:
        apic_timer_periodic(&apic, 0);
        break;
    case 15:
        apic_timer_deadline(&apic, 0);
        break;
    default:
        apic.features.deadline = false;
        apic_timer_deadline(&apic, 1);
    }
}
END_TEST

#define BOTH(test) tcase_add_loop_test(cases, test, 0, MODES)

static Suite *suite(void)
{
    Suite *suite = suite_create("apic");
    TCase *cases = tcase_create("apic");
    suite_add_tcase(suite, cases);
    tcase_add_test(cases, features_come_from_the_bits_of_leaf_1);
    tcase_add_test(cases, a_cpu_without_apic_is_left_alone);
    tcase_add_test(cases, address_is_what_the_msr_says);
    BOTH(init_leaves_one_state_in_either_mode);
    BOTH(init_cleans_up_after_firmware);
    BOTH(init_ends_when_an_interrupt_stays_in_service);
    BOTH(a_thermal_interrupt_of_firmware_stays);
    BOTH(only_entries_that_exist_are_touched);
    BOTH(an_apic_that_is_off_is_turned_on_step_by_step);
    tcase_add_test(cases, x2apic_mode_of_firmware_is_kept_even_when_not_allowed);
    tcase_add_test(cases, a_cpu_without_x2apic_stays_in_xapic_mode);
    tcase_add_test(cases, the_page_is_moved_to_where_it_is_mapped);
    tcase_add_test(cases, a_mode_that_is_not_entered_is_reported);
    BOTH(registers_that_make_no_sense_are_no_apic);
    tcase_add_test(cases, the_broadcast_is_nobodys_id);
    BOTH(an_end_takes_the_highest_interrupt_from_service);
    BOTH(priority_is_written_as_a_class);
    BOTH(a_line_becomes_an_nmi);
    BOTH(each_mode_of_the_timer_is_set_from_each);
    BOTH(a_timer_without_deadline_never_touches_its_msr);
    BOTH(counting_is_silent_and_counts_up);
    BOTH(errors_are_shown_once);
    tcase_add_test(cases, each_error_has_its_name);
    tcase_add_test(cases, a_text_of_errors_is_cut_where_its_room_ends);
    BOTH(any_order_of_calls_is_legal);
    tcase_add_loop_test_raise_signal(cases, a_broken_precondition_panics, SIGABRT, 0, 17);
    return suite;
}

int main(void)
{
    return run_checks(suite());
}
