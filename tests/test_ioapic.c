// SPDX-License-Identifier: MIT
// kernel/hardware/ioapic against a model of the registers that ends the test at every access the
// data sheet forbids.
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "compiler.h"
#include "ioapic.h"
#include "run_checks.h"
#include "seed.h"

#define ENTRIES 24u
#define FIRST   16u
#define MASKED  0x10000u

struct model {
    uint32_t version;
    uint32_t index;
    uint64_t entries[256];
    unsigned id_bits;
    bool unmasked_change; // a change of where an interrupt goes while it may come
};

static struct model model;
static struct ioapic ioapic;

static unsigned entry_count(void)
{
    return (model.version >> 16 & 0xff) + 1;
}

static uint32_t read_model(void *context, unsigned offset)
{
    ck_assert_ptr_eq(context, &model);
    if (offset == 0x00)
        return model.index;
    ck_assert_uint_eq(offset, 0x10);
    if (model.index == 1)
        return model.version;
    const unsigned at = model.index - 0x10;
    ck_assert_msg(model.index >= 0x10 && at / 2 < entry_count(), "register %x", model.index);
    return (uint32_t)(model.entries[at / 2] >> (at % 2 * 32));
}

static void write_model(void *context, unsigned offset, uint32_t value)
{
    ck_assert_ptr_eq(context, &model);
    if (offset == 0x00) {
        ck_assert_uint_le(value, 0xff);
        model.index = value;
        return;
    }
    ck_assert_uint_eq(offset, 0x10);
    const unsigned at = model.index - 0x10;
    ck_assert_msg(model.index >= 0x10 && at / 2 < entry_count(), "register %x", model.index);
    uint64_t *const entry = &model.entries[at / 2];
    if (at % 2 == 1) {
        ck_assert_uint_eq(value & 0xffffff, 0);
        model.unmasked_change |= (*entry & MASKED) == 0;
        const uint64_t id = value >> 24 & ((1u << model.id_bits) - 1);
        *entry = id << 56 | (uint32_t)*entry;
        return;
    }
    ck_assert_uint_eq(value & 0xfffe0000, 0);
    model.unmasked_change |= ((*entry | value) & MASKED) == 0 && (uint32_t)*entry != value;
    const uint32_t read_only = 0x1000 | (value & 0x8000 ? 0x4000 : 0); // edges end remote IRR
    *entry = (*entry & 0xffffffff00000000u) | (*entry & read_only) | (value & ~0x5000u);
}

static const struct ioapic_access access_of_model = {
    .context = &model, .read = read_model, .write = write_model};

static void start(void)
{
    model = (struct model){.version = (ENTRIES - 1) << 16 | 0x20, .id_bits = 8};
    ck_assert_int_eq(ioapic_init(&ioapic, &access_of_model, FIRST), STATUS_OK);
}

START_TEST(init_masks_every_line)
{
    static const unsigned counts[] = {1, 16, 24, 119, 120};
    const unsigned count = counts[_i];
    model = (struct model){.version = (count - 1) << 16 | 0x11, .id_bits = 8};
    for (unsigned i = 0; i < count; i++)
        model.entries[i] = 0x0100000000000000 | 0xc000 | (0x30u + i);
    ck_assert_int_eq(ioapic_init(&ioapic, &access_of_model, 0), STATUS_OK);
    ck_assert_uint_eq(ioapic.entries, count);
    ck_assert_uint_eq(ioapic.version, 0x11);
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq((uint32_t)model.entries[i], MASKED);
}
END_TEST

START_TEST(registers_that_make_no_sense_are_no_ioapic)
{
    static const uint32_t versions[] = {0, ~0u, 120u << 16 | 0x20};
    model = (struct model){.version = versions[_i]};
    ck_assert_int_eq(ioapic_init(&ioapic, &access_of_model, 0), STATUS_EMPTY);
}
END_TEST

START_TEST(lines_do_not_wrap_around)
{
    model = (struct model){.version = (ENTRIES - 1) << 16 | 0x20};
    ck_assert_int_eq(ioapic_init(&ioapic, &access_of_model, UINT32_MAX - ENTRIES), STATUS_OK);
    ck_assert_int_eq(ioapic_init(&ioapic, &access_of_model, UINT32_MAX - ENTRIES + 1),
                     STATUS_EMPTY);
}
END_TEST

START_TEST(a_line_is_routed_as_it_signals)
{
    static const uint32_t bits[] = {0, 0x2000, 0x8000, 0xa000};
    start();
    for (uint32_t i = 0; i < 4; i++) {
        const struct ioapic_line line = {
            .number = FIRST + 3 + i, .active_low = i & 1, .level = (i & 2) != 0};
        ck_assert_int_eq(ioapic_route(&ioapic, line, (uint8_t)(0x50 + i), 200 + i), STATUS_OK);
        ck_assert_uint_eq(model.entries[3 + i], (uint64_t)(200 + i) << 56 | bits[i] | (0x50 + i));
    }
    ck_assert_uint_eq(model.entries[2], MASKED);
    ck_assert_uint_eq(model.entries[7], MASKED);
}
END_TEST

START_TEST(an_entry_is_masked_while_it_changes)
{
    start();
    const struct ioapic_line line = {.number = FIRST};
    ck_assert_int_eq(ioapic_route(&ioapic, line, 0x50, 1), STATUS_OK);
    ck_assert_int_eq(ioapic_route(&ioapic, line, 0x51, 2), STATUS_OK);
    ck_assert(!model.unmasked_change);
    ck_assert_uint_eq(model.entries[0], (uint64_t)2 << 56 | 0x51);
}
END_TEST

START_TEST(lines_of_others_are_refused)
{
    static const uint32_t numbers[] = {0, FIRST - 1, FIRST + ENTRIES, UINT32_MAX};
    start();
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        const struct ioapic_line line = {.number = numbers[i]};
        ck_assert_int_eq(ioapic_route(&ioapic, line, 0x50, 1), STATUS_INVALID);
        ck_assert_int_eq(ioapic_mask(&ioapic, numbers[i], true), STATUS_INVALID);
        ck_assert_ptr_null(ioapic_of(&ioapic, 1, numbers[i]));
    }
    ck_assert_ptr_eq(ioapic_of(&ioapic, 1, FIRST), &ioapic);
    ck_assert_ptr_eq(ioapic_of(&ioapic, 1, FIRST + ENTRIES - 1), &ioapic);
    ck_assert_ptr_null(ioapic_of(&ioapic, 0, FIRST));
}
END_TEST

START_TEST(each_line_has_its_ioapic)
{
    struct ioapic all[3] = {
        {.first = 0, .entries = 24}, {.first = 24, .entries = 8}, {.first = 64, .entries = 120}};
    ck_assert_ptr_eq(ioapic_of(all, 3, 23), &all[0]);
    ck_assert_ptr_eq(ioapic_of(all, 3, 24), &all[1]);
    ck_assert_ptr_null(ioapic_of(all, 3, 32));
    ck_assert_ptr_eq(ioapic_of(all, 3, 183), &all[2]);
}
END_TEST

START_TEST(an_id_that_cannot_be_addressed_leaves_the_line_masked)
{
    static const uint32_t ids[] = {255, 256, 0x10000005, 16};
    start();
    model.id_bits = 4;
    for (unsigned i = 0; i < ARRAY_COUNT(ids); i++) {
        const struct ioapic_line line = {.number = FIRST};
        ck_assert_int_eq(ioapic_route(&ioapic, line, 0x50, 3), STATUS_OK);
        ck_assert_int_eq(ioapic_route(&ioapic, line, 0x50, ids[i]), STATUS_INVALID);
        ck_assert_uint_eq(model.entries[0] & MASKED, MASKED);
    }
}
END_TEST

START_TEST(masking_keeps_the_route)
{
    start();
    const struct ioapic_line line = {.number = FIRST + 9, .active_low = true, .level = true};
    ck_assert_int_eq(ioapic_route(&ioapic, line, 0x60, 7), STATUS_OK);
    const uint64_t routed = model.entries[9];
    ck_assert_int_eq(ioapic_mask(&ioapic, FIRST + 9, true), STATUS_OK);
    ck_assert_uint_eq(model.entries[9], routed | MASKED);
    ck_assert_int_eq(ioapic_mask(&ioapic, FIRST + 9, false), STATUS_OK);
    ck_assert_uint_eq(model.entries[9], routed);
}
END_TEST

START_TEST(a_line_without_route_stays_masked)
{
    start();
    ck_assert_int_eq(ioapic_mask(&ioapic, FIRST, false), STATUS_INVALID);
    ck_assert_uint_eq(model.entries[0], MASKED);
}
END_TEST

START_TEST(isa_interrupts_follow_the_overrides)
{
    static const struct ioapic_override overrides[] = {
        {.irq = 0, .line = 2, .flags = 0},     {.irq = 5, .line = 5, .flags = 0xd},
        {.irq = 9, .line = 20, .flags = 0xf},  {.irq = 10, .line = 10, .flags = 0x7},
        {.irq = 11, .line = 11, .flags = 0xa}, {.irq = 9, .line = 99, .flags = 0},
    };
    static const struct {
        uint32_t line;
        bool active_low, level;
    } expected[16] = {
        {2, false, false},  {1, false, false},  {2, false, false},  {3, false, false},
        {4, false, false},  {5, false, true},   {6, false, false},  {7, false, false},
        {8, false, false},  {20, true, true},   {10, true, false},  {11, false, false},
        {12, false, false}, {13, false, false}, {14, false, false}, {15, false, false},
    };
    for (unsigned irq = 0; irq < 16; irq++) {
        const struct ioapic_line line = ioapic_isa_line(irq, overrides, ARRAY_COUNT(overrides));
        ck_assert_uint_eq(line.number, expected[irq].line);
        ck_assert_int_eq(line.active_low, expected[irq].active_low);
        ck_assert_int_eq(line.level, expected[irq].level);
        ck_assert_uint_eq(ioapic_isa_line(irq, NULL, 0).number, irq);
    }
}
END_TEST

START_TEST(any_order_of_calls_keeps_the_other_lines)
{
    struct random random = seeded_for("any_order_of_calls_keeps_the_other_lines");
    uint64_t expected[ENTRIES];
    start();
    for (unsigned i = 0; i < ENTRIES; i++)
        expected[i] = MASKED;
    for (unsigned i = 0; i < 5000; i++) {
        const uint32_t at = (uint32_t)random_below(&random, ENTRIES);
        const uint8_t vector = (uint8_t)(32 + random_below(&random, 224));
        const uint32_t id = (uint32_t)random_below(&random, 255);
        const struct ioapic_line line = {.number = FIRST + at};
        if (random_below(&random, 2) == 0) {
            ck_assert_int_eq(ioapic_route(&ioapic, line, vector, id), STATUS_OK);
            expected[at] = (uint64_t)id << 56 | vector;
        } else {
            ck_assert_int_eq(ioapic_mask(&ioapic, FIRST + at, true), STATUS_OK);
            expected[at] |= MASKED;
        }
        for (unsigned j = 0; j < ENTRIES; j++) {
            if (model.entries[j] != expected[j])
                ck_abort_msg("entry %u after %u calls", j, i + 1);
        }
    }
    ck_assert(!model.unmasked_change);
}
END_TEST

START_TEST(a_broken_precondition_panics)
{
    start();
    if (_i == 0)
        ioapic_route(&ioapic, (struct ioapic_line){.number = FIRST}, 31, 1);
    else
        ioapic_isa_line(16, NULL, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("ioapic");
    TCase *cases = tcase_create("ioapic");
    suite_add_tcase(suite, cases);
    tcase_add_loop_test(cases, init_masks_every_line, 0, 5);
    tcase_add_loop_test(cases, registers_that_make_no_sense_are_no_ioapic, 0, 3);
    tcase_add_test(cases, lines_do_not_wrap_around);
    tcase_add_test(cases, a_line_is_routed_as_it_signals);
    tcase_add_test(cases, an_entry_is_masked_while_it_changes);
    tcase_add_test(cases, lines_of_others_are_refused);
    tcase_add_test(cases, each_line_has_its_ioapic);
    tcase_add_test(cases, an_id_that_cannot_be_addressed_leaves_the_line_masked);
    tcase_add_test(cases, masking_keeps_the_route);
    tcase_add_test(cases, a_line_without_route_stays_masked);
    tcase_add_test(cases, isa_interrupts_follow_the_overrides);
    tcase_add_test(cases, any_order_of_calls_keeps_the_other_lines);
    tcase_add_loop_test_raise_signal(cases, a_broken_precondition_panics, SIGABRT, 0, 2);
    return suite;
}

int main(void)
{
    return run_checks(suite());
}
