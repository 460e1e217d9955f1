// SPDX-License-Identifier: MIT
// kernel/hardware/pmu.c and smi.c over registers that a test writes.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pmu.h"
#include "run_checks.h"
#include "seed.h"
#include "smi.h"

// ---- a processor --------------------------------------------------------------------------------

#define FIXED_CTR0     0x309u
#define FIXED_CTR_CTRL 0x38du
#define GLOBAL_CTRL    0x38fu

// Registers that count as they are told to: a fixed counter moves with each access if its control
// says ring 0 and the global control enables it.
static struct {
    uint64_t counters[3], control, global;
    unsigned width;
    uint64_t steps[3];       // of each counter with an access
    uint64_t still_until;    // accesses without a step
    uint64_t refused_access; // from 1; 0: none
    uint64_t accesses;
} cpu;

static bool access_next(void)
{
    cpu.accesses++;
    for (unsigned i = 0; i < 3; i++) {
        const bool enabled = (cpu.control >> (4 * i) & 0xf) == 1 && cpu.global >> (32 + i) & 1;
        if (enabled && cpu.accesses > cpu.still_until)
            cpu.counters[i] = (cpu.counters[i] + cpu.steps[i]) & (UINT64_MAX >> (64 - cpu.width));
    }
    return cpu.accesses != cpu.refused_access;
}

static uint64_t *cpu_register(uint32_t msr)
{
    if (msr >= FIXED_CTR0 && msr < FIXED_CTR0 + 3)
        return &cpu.counters[msr - FIXED_CTR0];
    ck_assert(msr == FIXED_CTR_CTRL || msr == GLOBAL_CTRL);
    return msr == GLOBAL_CTRL ? &cpu.global : &cpu.control;
}

static bool read_register(void *context, uint32_t msr, uint64_t *value)
{
    ck_assert_ptr_eq(context, &cpu);
    *value = *cpu_register(msr);
    return access_next();
}

static bool write_register(void *context, uint32_t msr, uint64_t value)
{
    ck_assert_ptr_eq(context, &cpu);
    *cpu_register(msr) = value;
    return access_next();
}

static const struct msr_access registers = {&cpu, read_register, write_register};
static struct pmu pmu;
static struct cpu_cpuid leaf;

// As of a recent Core: version 5, eight events in EBX's vector, fixed counters of 48 bits.
static void set_up(void)
{
    memset(&cpu, 0, sizeof(cpu));
    cpu.width = 48;
    cpu.steps[0] = 7;
    cpu.steps[1] = 5;
    cpu.steps[2] = 3;
    leaf = (struct cpu_cpuid){.eax = 5 | 8 << 8 | 48 << 16 | 8 << 24, .edx = 3 | 48 << 5};
    memset(&pmu, 0xaa, sizeof(pmu));
}

static void described(const char *words)
{
    char text[128];
    const size_t length = pmu_describe(&pmu, text, sizeof(text));
    ck_assert_uint_eq(length, strlen(text));
    ck_assert_str_eq(text, words);
}

static void start(void)
{
    ck_assert(pmu_decide(&pmu, PMU_CPUID_LEAF, &leaf));
    ck_assert(pmu_start(&pmu, &registers));
}

// ---- what CPUID promises ------------------------------------------------------------------------

START_TEST(counters_that_cpuid_promises_are_used)
{
    ck_assert(pmu_decide(&pmu, 0x16, &leaf));
    described("not available: not started");
    ck_assert_uint_eq(cpu.accesses, 0);
    ck_assert(pmu_start(&pmu, &registers));
    described("fixed 3x48");
}
END_TEST

static const struct {
    uint32_t highest;
    struct cpu_cpuid leaf;
    const char *why;
} absent[] = {
    {9, {5 | 8u << 24, 0, 0, 3 | 48 << 5}, "CPUID ends before leaf 0Ah"},
    {0, {5 | 8u << 24, 0, 0, 3 | 48 << 5}, "CPUID ends before leaf 0Ah"},
    {16, {0, 0, 0, 0}, "CPUID 0Ah names no performance counters"}, // AMD, QEMU's TCG
    {16, {0 | 8u << 24, 0, 0, 3 | 48 << 5}, "CPUID 0Ah names no performance counters"},
    {16, {1 | 7u << 24, 0, 0, 3 | 48 << 5}, "version 1 has no fixed counters"},
    {16, {2 | 7u << 24, 0, 0, 0 | 40 << 5}, "fewer than two fixed counters"},
    {16, {2 | 7u << 24, 0, 0, 1 | 40 << 5}, "fewer than two fixed counters"},
    {16, {4 | 7u << 24, 0, 3, 1 | 40 << 5}, "fewer than two fixed counters"}, // ECX is not yet
    {16, {5 | 7u << 24, 0, 1, 0 | 40 << 5}, "fewer than two fixed counters"},
    {16, {2 | 7u << 24, 1, 0, 3 | 40 << 5}, "cycles or instructions are not counted"},
    {16, {2 | 7u << 24, 2, 0, 3 | 40 << 5}, "cycles or instructions are not counted"},
    {16, {2 | 1u << 24, 0, 0, 3 | 40 << 5}, "cycles or instructions are not counted"},
    {16, {2 | 7u << 24, 0, 0, 3 | 0 << 5}, "the fixed counters have an impossible width"},
    {16, {2 | 7u << 24, 0, 0, 3 | 31 << 5}, "the fixed counters have an impossible width"},
    {16, {2 | 7u << 24, 0, 0, 3 | 65 << 5}, "the fixed counters have an impossible width"},
};

START_TEST(what_cpuid_does_not_promise_is_never_touched)
{
    char words[128];
    uint64_t totals[PMU_COUNTERS];
    ck_assert(!pmu_decide(&pmu, absent[_i].highest, &absent[_i].leaf));
    snprintf(words, sizeof(words), "not available: %s", absent[_i].why);
    described(words);
    ck_assert(!pmu_start(&pmu, &registers));
    ck_assert(!pmu_read(&pmu, totals));
    described(words);
    ck_assert_uint_eq(cpu.accesses, 0);
}
END_TEST

static const struct {
    struct cpu_cpuid leaf;
    const char *words;
} present[] = {
    {{2 | 7u << 24, 0, 0, 3 | 40 << 5}, "fixed 3x40"},
    {{2 | 2u << 24, 0, 0, 3 | 40 << 5}, "fixed 2x40"}, // reference cycles beyond the vector
    {{2 | 7u << 24, 4, 0, 3 | 40 << 5}, "fixed 2x40"}, // not available
    {{2 | 7u << 24, 0, 0, 2 | 32 << 5}, "fixed 2x32"},
    {{4 | 7u << 24, 0, 4, 2 | 48 << 5}, "fixed 2x48"}, // ECX is not yet
    {{5 | 7u << 24, 0, 4, 2 | 48 << 5}, "fixed 3x48"},
    {{5 | 7u << 24, 0, 7, 0 | 64 << 5}, "fixed 3x64"},
    {{6 | 12u << 24, 0, 0, 4 | 48 << 5}, "fixed 3x48"}, // a fourth, of slots, is not used
};

START_TEST(version_number_and_lists_decide_how_many_are_used)
{
    leaf = present[_i].leaf;
    start();
    described(present[_i].words);
    ck_assert_uint_eq(cpu.global, pmu.counters == 3 ? 7ull << 32 : 3ull << 32);
    ck_assert_uint_eq(cpu.control, pmu.counters == 3 ? 0x111 : 0x11);
}
END_TEST

// ---- registers ----------------------------------------------------------------------------------

START_TEST(what_others_use_of_the_pmu_stays_as_it_is)
{
    cpu.control = 0xb000;          // the fourth fixed counter
    cpu.global = 0xf | 8ull << 32; // general counters, the fourth fixed one
    cpu.control |= 0xb3b;          // and what somebody left in ours
    cpu.counters[0] = 0x7fffffffffff;
    start();
    ck_assert_uint_eq(cpu.control, 0xb111);
    ck_assert_uint_eq(cpu.global, 0xf | 15ull << 32);
    uint64_t totals[PMU_COUNTERS];
    ck_assert(pmu_read(&pmu, totals));
    ck_assert_uint_lt(totals[PMU_INSTRUCTIONS], 1000); // from 0, not from what was in it
}
END_TEST

START_TEST(each_counter_is_read_from_its_own_register)
{
    uint64_t before[PMU_COUNTERS], after[PMU_COUNTERS];
    start();
    ck_assert(pmu_read(&pmu, before));
    const uint64_t accesses = cpu.accesses;
    ck_assert(pmu_read(&pmu, after));
    ck_assert_uint_eq(cpu.accesses - accesses, 3);
    ck_assert_uint_eq(after[PMU_INSTRUCTIONS] - before[PMU_INSTRUCTIONS], 3 * 7);
    ck_assert_uint_eq(after[PMU_CORE_CYCLES] - before[PMU_CORE_CYCLES], 3 * 5);
    ck_assert_uint_eq(after[PMU_REFERENCE_CYCLES] - before[PMU_REFERENCE_CYCLES], 3 * 3);
}
END_TEST

START_TEST(a_counter_that_there_is_not_reads_nothing)
{
    uint64_t totals[PMU_COUNTERS] = {1, 1, 1};
    leaf.edx = 2 | 48 << 5;
    start();
    cpu.counters[2] = 12345;
    ck_assert(pmu_read(&pmu, totals));
    ck_assert_uint_eq(totals[PMU_REFERENCE_CYCLES], 0);
    ck_assert_uint_gt(totals[PMU_CORE_CYCLES], 0);
}
END_TEST

static const unsigned widths[] = {32, 40, 48, 63, 64};

// Registers that stop counting, so that the test says what is in them.
START_TEST(totals_go_on_where_a_counter_wraps)
{
    uint64_t before[PMU_COUNTERS], after[PMU_COUNTERS];
    const unsigned width = widths[_i];
    const uint64_t most = UINT64_MAX >> (64 - width);
    leaf.edx = 3 | width << 5;
    cpu.width = width;
    start();
    cpu.still_until = UINT64_MAX;
    cpu.counters[1] = most - 9;
    ck_assert(pmu_read(&pmu, before));
    cpu.counters[1] = 10;
    ck_assert(pmu_read(&pmu, after));
    ck_assert_uint_eq(after[PMU_CORE_CYCLES] - before[PMU_CORE_CYCLES], 20);
    ck_assert_uint_eq(after[PMU_INSTRUCTIONS], before[PMU_INSTRUCTIONS]);
    cpu.counters[1] = 9; // a whole turn less one
    ck_assert(pmu_read(&pmu, after));
    ck_assert_uint_eq(after[PMU_CORE_CYCLES] - before[PMU_CORE_CYCLES], 20 + most);
}
END_TEST

START_TEST(bits_above_the_width_are_not_believed)
{
    uint64_t before[PMU_COUNTERS], after[PMU_COUNTERS];
    start();
    cpu.still_until = UINT64_MAX;
    ck_assert(pmu_read(&pmu, before));
    cpu.counters[0] = (before[PMU_INSTRUCTIONS] + 100) | 0xabcull << 48;
    ck_assert(pmu_read(&pmu, after));
    ck_assert_uint_eq(after[PMU_INSTRUCTIONS] - before[PMU_INSTRUCTIONS], 100);
}
END_TEST

START_TEST(random_steps_add_up_whatever_the_width)
{
    struct random random = seeded_for("pmu");
    uint64_t sum = 0, before[PMU_COUNTERS], after[PMU_COUNTERS];
    cpu.width = 40;
    leaf.edx = 3 | 40 << 5;
    start();
    cpu.still_until = UINT64_MAX;
    ck_assert(pmu_read(&pmu, before));
    for (unsigned i = 0; i < 10000; i++) {
        const uint64_t step = random_u64(&random) >> (24 + random_below(&random, 40));
        cpu.counters[0] = (cpu.counters[0] + step) & 0xffffffffff;
        sum += step;
        ck_assert(pmu_read(&pmu, after));
        ck_assert_uint_eq(after[PMU_INSTRUCTIONS] - before[PMU_INSTRUCTIONS], sum);
    }
}
END_TEST

// ---- processors that break their promise --------------------------------------------------------

START_TEST(counters_that_stand_still_are_not_available)
{
    uint64_t totals[PMU_COUNTERS];
    if (_i == 2)
        cpu.still_until = UINT64_MAX;
    else
        cpu.steps[_i] = 0;
    ck_assert(pmu_decide(&pmu, PMU_CPUID_LEAF, &leaf));
    ck_assert(!pmu_start(&pmu, &registers));
    described("not available: the counters stand still");
    ck_assert(!pmu_read(&pmu, totals));
    ck_assert_uint_lt(cpu.accesses, 10000);
}
END_TEST

START_TEST(counters_may_take_a_moment_to_move)
{
    cpu.still_until = 500;
    start();
}
END_TEST

START_TEST(a_register_that_is_refused_ends_the_attempt)
{
    uint64_t totals[PMU_COUNTERS];
    start();
    const uint64_t needed = cpu.accesses;
    for (uint64_t refused = 1; refused <= needed; refused++) {
        set_up();
        cpu.refused_access = refused;
        ck_assert(pmu_decide(&pmu, PMU_CPUID_LEAF, &leaf));
        ck_assert(!pmu_start(&pmu, &registers));
        ck_assert_uint_eq(cpu.accesses, refused);
        described("not available: the CPU refuses the registers that CPUID 0Ah promises");
        ck_assert(!pmu_read(&pmu, totals));
    }
}
END_TEST

START_TEST(a_read_that_is_refused_is_no_number)
{
    uint64_t totals[PMU_COUNTERS];
    start();
    cpu.refused_access = cpu.accesses + 1 + (uint64_t)_i;
    ck_assert(!pmu_read(&pmu, totals));
}
END_TEST

// ---- system management interrupts ---------------------------------------------------------------

static const struct {
    const char *vendor;
    uint32_t signature;
    bool hypervisor, counted;
} processors[] = {
    {"GenuineIntel", 0x000106a5, false, true},  // Nehalem, model 1Ah
    {"GenuineIntel", 0x000106a5, true, false},  // the same as a guest
    {"GenuineIntel", 0x000306c3, false, true},  // Haswell, 3Ch
    {"GenuineIntel", 0x00030678, false, true},  // Silvermont, 37h
    {"GenuineIntel", 0x000906ea, false, true},  // Coffee Lake, 9Eh
    {"GenuineIntel", 0x000806f8, false, true},  // Sapphire Rapids, 8Fh
    {"GenuineIntel", 0x00000633, false, false}, // Pentium II, 3
    {"GenuineIntel", 0x000006fb, false, false}, // Core 2, 0Fh
    {"GenuineIntel", 0x0001067a, false, false}, // Core 2, 17h
    {"GenuineIntel", 0x000106d1, false, false}, // Core 2 for servers, 1Dh
    {"GenuineIntel", 0x000106c2, false, false}, // Atom, 1Ch
    {"GenuineIntel", 0x00020661, false, false}, // Atom, 26h
    {"GenuineIntel", 0x00020671, false, false}, // Atom, 27h
    {"GenuineIntel", 0x00030650, false, false}, // Atom, 35h
    {"GenuineIntel", 0x00030661, false, false}, // Atom, 36h
    {"GenuineIntel", 0x00000f4a, false, false}, // Pentium 4
    {"GenuineIntel", 0x000105a9, false, false}, // family 5
    {"AuthenticAMD", 0x000106a5, false, false},
    {"AuthenticAMD", 0x00a20f10, false, false},
    {"", 0x000106a5, false, false},
};

START_TEST(system_management_interrupts_are_counted_by_intel_from_nehalem_on_without_hypervisor)
{
    ck_assert_int_eq(
        smi_is_counted(processors[_i].vendor, processors[_i].signature, processors[_i].hypervisor),
        processors[_i].counted);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tests, test, 0, sizeof(table) / sizeof((table)[0]))

int main(void)
{
    Suite *checks = suite_create("pmu");
    TCase *tests = tcase_create("performance counters, SMIs");
    tcase_set_timeout(tests, 30);
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, counters_that_cpuid_promises_are_used);
    LOOP(what_cpuid_does_not_promise_is_never_touched, absent);
    LOOP(version_number_and_lists_decide_how_many_are_used, present);
    tcase_add_test(tests, what_others_use_of_the_pmu_stays_as_it_is);
    tcase_add_test(tests, each_counter_is_read_from_its_own_register);
    tcase_add_test(tests, a_counter_that_there_is_not_reads_nothing);
    LOOP(totals_go_on_where_a_counter_wraps, widths);
    tcase_add_test(tests, bits_above_the_width_are_not_believed);
    tcase_add_test(tests, random_steps_add_up_whatever_the_width);
    tcase_add_loop_test(tests, counters_that_stand_still_are_not_available, 0, 3);
    tcase_add_test(tests, counters_may_take_a_moment_to_move);
    tcase_add_test(tests, a_register_that_is_refused_ends_the_attempt);
    tcase_add_loop_test(tests, a_read_that_is_refused_is_no_number, 0, 3);
    LOOP(system_management_interrupts_are_counted_by_intel_from_nehalem_on_without_hypervisor,
         processors);
    suite_add_tcase(checks, tests);
    return run_checks(checks);
}
