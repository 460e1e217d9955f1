// SPDX-License-Identifier: MIT
// kernel/hardware/cpu_report, cpu_frequency: processors of several kinds as models that refuse what
// CPUID does not promise; what is changed is given back.
#include <stdio.h>
#include <string.h>

#include "compiler.h"
#include "cpu_frequency.h"
#include "run_checks.h"

#define LEAVES_MOST    16u
#define REGISTERS_MOST 8u

struct leaf {
    uint32_t leaf;
    struct cpu_cpuid value;
};

// Registers that are there; an access to another one fails the test, if it is no try to read.
struct cpu {
    struct leaf leaves[LEAVES_MOST];
    struct {
        uint32_t msr;
        uint64_t value;
        bool fixed; // a write changes nothing: microcode
    } registers[REGISTERS_MOST];
    unsigned writes;
    unsigned refused_write; // from 1; 0: none
};

static struct cpu cpu;
static struct cpu_report report;
static struct cpu_frequency frequency;

static struct cpu_cpuid give(void *context, uint32_t leaf, uint32_t subleaf)
{
    ck_assert_ptr_eq(context, &cpu);
    ck_assert_uint_eq(subleaf, 0);
    for (unsigned i = 0; i < LEAVES_MOST; i++) {
        if (cpu.leaves[i].leaf == leaf && (i > 0 || leaf == 0))
            return cpu.leaves[i].value;
    }
    return (struct cpu_cpuid){0};
}

static int find(uint32_t msr)
{
    for (unsigned i = 0; i < REGISTERS_MOST; i++) {
        if (cpu.registers[i].msr == msr)
            return (int)i;
    }
    return -1;
}

static bool read_register(void *context, uint32_t msr, uint64_t *value)
{
    const int at = find(msr);
    ck_assert_ptr_eq(context, &cpu);
    if (at >= 0)
        *value = cpu.registers[at].value;
    return at >= 0;
}

static bool write_register(void *context, uint32_t msr, uint64_t value)
{
    const int at = find(msr);
    ck_assert_ptr_eq(context, &cpu);
    ck_assert_msg(at >= 0, "a write to %x, which is not there", msr);
    if (++cpu.writes == cpu.refused_write)
        return false;
    if (!cpu.registers[at].fixed)
        cpu.registers[at].value = value;
    return true;
}

static const struct cpu_questions questions = {&cpu, give, {&cpu, read_register, write_register}};

static uint64_t value_of(uint32_t msr)
{
    ck_assert_int_ge(find(msr), 0);
    return cpu.registers[find(msr)].value;
}

#define INTEL_NAME 0x756e6547, 0x6c65746e, 0x49656e69 // EBX, ECX, EDX
#define AMD_NAME   0x68747541, 0x444d4163, 0x69746e65

// A server's core of 2017 and one of 2022, a desktop's of 2019, and an emulator's.
static const struct cpu skylake = {.leaves = {{0, {22, INTEL_NAME}},
                                              {1, {0x50654, 0, 1u << 7, 1u << 28}},
                                              {6, {2, 0, 1, 0}},
                                              {7, {0, 0, 0, 1u << 26 | 1u << 29}},
                                              {0xb, {1, 2, 1u << 8, 0}}},
                                   .registers = {{0x8b, (uint64_t)0x2006e05 << 32, true},
                                                 {0x10a, 1u << 0 | 1u << 5, true},
                                                 {0x48, 1, false},
                                                 {0x1a0, 1u << 16, false},
                                                 {0xce, 28 << 8, true},
                                                 {0x199, 37 << 8, false}}};
static const struct cpu raptor = {.leaves = {{0, {32, INTEL_NAME}},
                                             {1, {0xb0671, 0, 1u << 7, 1u << 28}},
                                             {6, {1u << 7 | 1u << 1, 0, 1, 0}},
                                             {7, {0, 0, 0, 1u << 15}},
                                             {0xb, {1, 1, 1u << 8, 0}},
                                             {0x1a, {0x20000001, 0, 0, 0}}},
                                  .registers = {{0x8b, (uint64_t)0x11d << 32, true},
                                                {0x770, 1, true},
                                                {0x771, 0x0b152235, true},
                                                {0x774, 0x8000ff01, false}}};
static const struct cpu zen = {.leaves = {{0, {16, AMD_NAME}},
                                          {1, {0x870f10, 0, 0, 1u << 28}},
                                          {0x80000000, {0x8000001f, 0, 0, 0}},
                                          {0x80000001, {0, 0, 1u << 22, 0}},
                                          {0x80000007, {0, 0, 0, 1u << 7 | 1u << 9}},
                                          {0x80000008, {0, 1u << 14, 0, 0}},
                                          {0x8000001e, {0, 1u << 8, 0, 0}}},
                               .registers = {{0x8b, 0x8701030, true},
                                             {0x48, 4, false},
                                             {0xc0010015, 0x10, false},
                                             {0xc0010061, 0x20, true},
                                             {0xc0010062, 2, false}}};

static void make(const struct cpu *model)
{
    cpu = *model;
    cpu_report_read(&report, &questions);
}

static const char *mitigations(void)
{
    static char text[160];
    cpu_report_mitigations(&report, text, sizeof(text));
    return text;
}

START_TEST(processors_are_told_as_they_are)
{
    make(&skylake);
    ck_assert(report.maker == CPU_OF_INTEL && report.microcode_known);
    ck_assert_uint_eq(report.family, 6);
    ck_assert_uint_eq(report.model, 0x55);
    ck_assert_uint_eq(report.stepping, 4);
    ck_assert_uint_eq(report.microcode, 0x2006e05);
    ck_assert_uint_eq(report.threads, 2);
    ck_assert_str_eq(cpu_report_turbo(&report), "on");
    ck_assert_str_eq(mitigations(), "not affected by meltdown mds; on: ibrs");
    ck_assert_ptr_null(report.core);
    make(&raptor);
    ck_assert_uint_eq(report.threads, 1);
    ck_assert_str_eq(report.core, "efficient");
    ck_assert_str_eq(mitigations(), "not affected by unknown; on: unknown");
    make(&zen);
    ck_assert(report.maker == CPU_OF_AMD);
    ck_assert_uint_eq(report.family, 0x17);
    ck_assert_uint_eq(report.model, 0x71);
    ck_assert_uint_eq(report.microcode, 0x8701030);
    ck_assert_uint_eq(report.threads, 2);
    ck_assert_str_eq(cpu_report_turbo(&report), "on");
    ck_assert_str_eq(mitigations(), "not affected by unknown; on: ssbd");
    ck_assert_uint_eq(cpu.writes, 0);
}
END_TEST

START_TEST(turbo_that_is_off_is_told_from_none)
{
    struct cpu model = skylake;
    model.leaves[2].value.eax = 0;
    make(&model);
    ck_assert_str_eq(cpu_report_turbo(&report), "none");
    model.registers[3].value |= (uint64_t)1 << 38;
    make(&model);
    ck_assert_str_eq(cpu_report_turbo(&report), "off");
    model = zen;
    model.registers[2].value |= 1u << 25;
    make(&model);
    ck_assert_str_eq(cpu_report_turbo(&report), "off");
    model.leaves[4].value.edx = 0;
    make(&model);
    ck_assert_str_eq(cpu_report_turbo(&report), "none");
}
END_TEST

START_TEST(under_a_hypervisor_no_register_of_a_model_is_touched)
{
    const struct cpu *const models[] = {&skylake, &raptor, &zen};
    for (unsigned i = 0; i < ARRAY_COUNT(models); i++) {
        struct cpu model = *models[i];
        model.leaves[1].value.ecx |= 1u << 31;
        make(&model);
        ck_assert(report.hypervisor && !report.microcode_known);
        ck_assert_str_eq(cpu_report_turbo(&report), "unknown");
        ck_assert(!cpu_frequency_hold(&frequency, &report, &questions));
        ck_assert_str_eq(frequency.why, "a hypervisor runs below");
        ck_assert_uint_eq(cpu.writes, 0);
    }
}
END_TEST

START_TEST(a_cpu_of_another_maker_is_asked_nothing)
{
    make(&(struct cpu){
        .leaves = {{0, {1, 0x746e6543, 0x736c7561, 0x48727561}}, {1, {0x6f1, 0, 1u << 7, 0}}}});
    ck_assert(report.maker == CPU_OF_OTHERS && !report.microcode_known);
    ck_assert_uint_eq(report.threads, 1);
    ck_assert(!cpu_frequency_hold(&frequency, &report, &questions));
    ck_assert_uint_eq(cpu.writes, 0);
}
END_TEST

START_TEST(a_text_is_cut_where_it_does_not_fit)
{
    char text[24];
    make(&skylake);
    ck_assert_uint_eq(cpu_report_mitigations(&report, text, sizeof(text)), sizeof(text) - 1);
    ck_assert_str_eq(text, "not affected by meltdow");
}
END_TEST

// ---- frequency ----------------------------------------------------------------------------------

START_TEST(a_frequency_is_held_by_what_there_is_and_given_back)
{
    static const struct {
        const struct cpu *model;
        const char *by;
        unsigned state, saved;
        struct {
            uint32_t msr;
            uint64_t held;
        } registers[2];
    } cases[] = {
        {&skylake, "PERF_CTL", 28, 1, {{0x199, (uint64_t)1 << 32 | 28 << 8}}},
        {&raptor, "HWP", 0x22, 1, {{0x774, 0x80002222 & ~(uint64_t)0xff0000}}},
        {&zen, "P-states", 0, 2, {{0xc0010062, 0}, {0xc0010015, 0x10 | 1u << 25}}},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        make(cases[i].model);
        const unsigned writes = cpu.writes; // that of microcode
        ck_assert(cpu_frequency_hold(&frequency, &report, &questions));
        ck_assert_str_eq(frequency.by, cases[i].by);
        ck_assert_uint_eq(frequency.state, cases[i].state);
        ck_assert_uint_eq(cpu.writes - writes, cases[i].saved);
        for (unsigned k = 0; k < cases[i].saved; k++)
            ck_assert_uint_eq(value_of(cases[i].registers[k].msr), cases[i].registers[k].held);
        cpu_frequency_restore(&frequency, &questions.msr);
        ck_assert_mem_eq(cpu.registers, cases[i].model->registers, sizeof(cpu.registers));
        cpu_frequency_restore(&frequency, &questions.msr); // nothing is left
        ck_assert_uint_eq(cpu.writes - writes, 2 * cases[i].saved);
        ck_assert_ptr_null(frequency.by);
    }
}
END_TEST

START_TEST(what_is_held_twice_is_given_back_as_it_was_before_the_first_time)
{
    const struct cpu *const models[] = {&skylake, &raptor, &zen};
    for (unsigned i = 0; i < ARRAY_COUNT(models); i++) {
        make(models[i]);
        ck_assert(cpu_frequency_hold(&frequency, &report, &questions));
        const struct cpu_frequency first = frequency;
        const unsigned writes = cpu.writes;
        ck_assert(cpu_frequency_hold(&frequency, &report, &questions));
        ck_assert_uint_eq(cpu.writes, writes);
        ck_assert_uint_eq(frequency.saved, first.saved);
        cpu_frequency_restore(&frequency, &questions.msr);
        ck_assert_mem_eq(cpu.registers, models[i]->registers, sizeof(cpu.registers));
    }
}
END_TEST

START_TEST(what_is_held_already_is_not_written)
{
    struct cpu model = skylake;
    model.registers[5].value = (uint64_t)1 << 32 | 28 << 8;
    make(&model);
    const unsigned writes = cpu.writes;
    ck_assert(cpu_frequency_hold(&frequency, &report, &questions));
    cpu_frequency_restore(&frequency, &questions.msr);
    ck_assert_uint_eq(cpu.writes, writes);
}
END_TEST

START_TEST(a_write_that_is_refused_leaves_everything_as_it_was)
{
    for (unsigned refused = 1; refused <= 2; refused++) {
        make(&zen);
        cpu.refused_write = refused;
        ck_assert(!cpu_frequency_hold(&frequency, &report, &questions));
        ck_assert_str_eq(frequency.why, "P-states take no change");
        ck_assert_mem_eq(cpu.registers, zen.registers, sizeof(cpu.registers));
    }
}
END_TEST

START_TEST(where_it_cannot_be_held_it_is_said_why)
{
    static const struct {
        const struct cpu *model;
        unsigned leaf;   // to be emptied; 0: none
        uint32_t absent; // register
        const char *why;
    } cases[] = {
        {&skylake, 0, 0x1a0, "firmware has turned SpeedStep off"},
        {&skylake, 0, 0xce, "the registers of SpeedStep cannot be read"},
        {&raptor, 0, 0x771, "the registers of HWP cannot be read"},
        {&raptor, 0, 0x770, "firmware has turned SpeedStep off"},
        {&zen, 4, 0, "this CPU has no P-states of its own"},
        {&zen, 0, 0xc0010015, "the registers of P-states cannot be read"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct cpu model = *cases[i].model;
        if (cases[i].leaf != 0)
            model.leaves[cases[i].leaf].value = (struct cpu_cpuid){0};
        for (unsigned k = 0; k < REGISTERS_MOST; k++)
            model.registers[k].msr =
                model.registers[k].msr == cases[i].absent ? 0 : model.registers[k].msr;
        make(&model);
        const unsigned writes = cpu.writes;
        ck_assert(!cpu_frequency_hold(&frequency, &report, &questions));
        ck_assert_str_eq(frequency.why, cases[i].why);
        ck_assert_uint_eq(cpu.writes, writes);
    }
    // A CPU from before PLATFORM_INFO: the last Core 2.
    struct cpu model = skylake;
    model.leaves[1].value.eax = 0x1067a;
    make(&model);
    ck_assert(!cpu_frequency_hold(&frequency, &report, &questions));
    ck_assert_str_eq(frequency.why, "this CPU has no registers for it that are known here");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_report");
    TCase *tests = tcase_create("cpu");
    tcase_add_test(tests, processors_are_told_as_they_are);
    tcase_add_test(tests, turbo_that_is_off_is_told_from_none);
    tcase_add_test(tests, under_a_hypervisor_no_register_of_a_model_is_touched);
    tcase_add_test(tests, a_cpu_of_another_maker_is_asked_nothing);
    tcase_add_test(tests, a_text_is_cut_where_it_does_not_fit);
    tcase_add_test(tests, a_frequency_is_held_by_what_there_is_and_given_back);
    tcase_add_test(tests, what_is_held_twice_is_given_back_as_it_was_before_the_first_time);
    tcase_add_test(tests, what_is_held_already_is_not_written);
    tcase_add_test(tests, a_write_that_is_refused_leaves_everything_as_it_was);
    tcase_add_test(tests, where_it_cannot_be_held_it_is_said_why);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
