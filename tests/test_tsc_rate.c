// SPDX-License-Identifier: MIT
// kernel/hardware/tsc_rate: leaves of CPUID as CPUs have them, and sources that agree or do not.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "run_checks.h"
#include "tsc_rate.h"

#define INTEL 0x756e6547u

static char lines[8][160];
static unsigned line_count;

static void keep_line(void *context, const char *line)
{
    ck_assert_ptr_eq(context, lines);
    ck_assert_uint_lt(line_count, ARRAY_COUNT(lines));
    strncpy(lines[line_count++], line, sizeof(lines[0]) - 1);
}

static struct tsc_rate choose(const struct tsc_source *sources, unsigned count)
{
    memset(lines, 0, sizeof(lines));
    line_count = 0;
    return tsc_rate_choose(sources, count, keep_line, lines);
}

START_TEST(cpuid_tells_what_its_leaves_hold)
{
    static const struct {
        struct tsc_leaves leaves;
        struct tsc_told told;
    } cases[] = {
        // Nothing.
        {{.basic = {0xd, INTEL, 0, 0}}, {0}},
        // A crystal of 38.4 MHz, as since Tiger Lake.
        {{.basic = {0x1b, INTEL, 0, 0}, .crystal = {2, 130, 38400000, 0}, .base = {2500, 0, 0, 0}},
         {.crystal = 38400000, .by_crystal = 2496000000, .by_base = 2500000000}},
        // Known by the model: Skylake, Kaby Lake, Xeon Scalable, Goldmont.
        {{.basic = {0x16, INTEL, 0, 0}, .version = {.eax = 0x506e3}, .crystal = {2, 284, 0, 0}},
         {.crystal = 24000000, .crystal_by_table = true, .by_crystal = 3408000000}},
        {{.basic = {0x16, INTEL, 0, 0}, .version = {.eax = 0x806ea}, .crystal = {2, 166, 0, 0}},
         {.crystal = 24000000, .crystal_by_table = true, .by_crystal = 1992000000}},
        {{.basic = {0x16, INTEL, 0, 0}, .version = {.eax = 0x50654}, .crystal = {2, 168, 0, 0}},
         {.crystal = 25000000, .crystal_by_table = true, .by_crystal = 2100000000}},
        {{.basic = {0x15, INTEL, 0, 0}, .version = {.eax = 0x506c9}, .crystal = {3, 171, 0, 0}},
         {.crystal = 19200000, .crystal_by_table = true, .by_crystal = 1094400000}},
        {{.basic = {0x16, INTEL, 0, 0}, .version = {.eax = 0x406e3}, .crystal = {2, 200, 0, 0}},
         {.crystal = 24000000, .crystal_by_table = true, .by_crystal = 2400000000}},
        {{.basic = {0x16, INTEL, 0, 0}, .version = {.eax = 0x906e9}, .crystal = {2, 300, 0, 0}},
         {.crystal = 24000000, .crystal_by_table = true, .by_crystal = 3600000000}},
        // Models that are not in the table, another family, another vendor.
        {{.basic = {0x16, INTEL, 0, 0}, .version = {.eax = 0x906ff}, .crystal = {2, 284, 0, 0}},
         {.crystal_by_table = true}},
        {{.basic = {0x16, INTEL, 0, 0}, .version = {.eax = 0x406f1}, .crystal = {2, 284, 0, 0}},
         {.crystal_by_table = true}},
        {{.basic = {0x16, INTEL, 0, 0}, .version = {.eax = 0x50fe3}, .crystal = {2, 284, 0, 0}},
         {.crystal_by_table = true}},
        {{.basic = {0x16, 1, 0, 0}, .version = {.eax = 0x506e3}, .crystal = {2, 284, 0, 0}},
         {.crystal_by_table = true}},
        // Half a ratio is none.
        {{.crystal = {0, 284, 24000000, 0}}, {0}},
        {{.crystal = {2, 0, 24000000, 0}}, {0}},
        // The hypervisor's leaf, in kHz; only 16 bits of leaf 16h count.
        {{.hypervisor = {.eax = 2399998}, .base = {.eax = 0xffff0bb8}},
         {.hypervisor = 2399998000, .by_base = 3000000000}},
        // Nonsense stays in bounds.
        {{.crystal = {1, ~0u, ~0u, 0}},
         {.crystal = UINT32_MAX, .by_crystal = (uint64_t)UINT32_MAX * UINT32_MAX}},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct tsc_told told = tsc_told_by(&cases[i].leaves);
        ck_assert_uint_eq(told.hypervisor, cases[i].told.hypervisor);
        ck_assert_uint_eq(told.crystal, cases[i].told.crystal);
        ck_assert_int_eq(told.crystal_by_table, cases[i].told.crystal_by_table);
        ck_assert_uint_eq(told.by_crystal, cases[i].told.by_crystal);
        ck_assert_uint_eq(told.by_base, cases[i].told.by_base);
    }
}
END_TEST

START_TEST(leaves_that_do_not_exist_are_zeros)
{
    const struct tsc_leaves leaves = tsc_leaves_read();
    ck_assert_uint_eq(leaves.version.eax, cpu_signature());
    if (leaves.basic.eax < 0x15)
        ck_assert_uint_eq(leaves.crystal.eax | leaves.crystal.ebx | leaves.crystal.ecx, 0);
    else
        ck_assert_uint_eq(leaves.crystal.eax, cpu_cpuid(0x15, 0).eax);
    if (leaves.basic.eax < 0x16)
        ck_assert_uint_eq(leaves.base.eax, 0);
    else
        ck_assert_uint_eq(leaves.base.eax, cpu_cpuid(0x16, 0).eax);
    if (!cpu_under_hypervisor() || cpu_cpuid(0x40000000, 0).eax < 0x40000010)
        ck_assert_uint_eq(leaves.hypervisor.eax, 0);
}
END_TEST

START_TEST(a_base_frequency_is_good_to_half_a_mhz)
{
    ck_assert_uint_eq(tsc_base_error_ppm(2500000000), 200);
    ck_assert_uint_eq(tsc_base_error_ppm(1000000), 500000);
    ck_assert_uint_eq(tsc_base_error_ppm(0), UINT32_MAX);
}
END_TEST

START_TEST(the_first_source_that_speaks_is_taken)
{
    static const struct tsc_source sources[] = {
        {"CPUID 15h", 0, 0}, {"HPET", 2400000100, 40}, {"ACPI timer", 2400100000, 150}};
    const struct tsc_rate rate = choose(sources, ARRAY_COUNT(sources));
    ck_assert_uint_eq(rate.hz, 2400000100);
    ck_assert_uint_eq(rate.error_ppm, 40);
    ck_assert_str_eq(rate.source, "HPET");
    ck_assert_uint_eq(rate.sources, 2);
    ck_assert_uint_eq(rate.disagreements, 0);
    ck_assert_uint_eq(line_count, 1);
    ck_assert_str_eq(lines[0], "TSC: 2400000100 Hz by HPET, to 40 ppm");
}
END_TEST

START_TEST(no_source_is_told)
{
    static const struct tsc_source silent = {"HPET", 0, 0};
    for (unsigned count = 0; count < 2; count++) {
        const struct tsc_rate rate = choose(&silent, count);
        ck_assert_uint_eq(rate.hz + rate.sources + rate.disagreements, 0);
        ck_assert_str_eq(rate.source, "none");
        ck_assert_uint_eq(line_count, 1);
        ck_assert_str_eq(lines[0], "TSC: no source of its frequency");
    }
}
END_TEST

START_TEST(each_pair_that_disagrees_is_told)
{
    static const struct tsc_source sources[] = {
        {"A", 2000000000, 10}, {"B", 2002000000, 10}, {"C", 0, 0}, {"D", 2002000000, 10}};
    const struct tsc_rate rate = choose(sources, ARRAY_COUNT(sources));
    ck_assert_uint_eq(rate.disagreements, 2);
    ck_assert_uint_eq(rate.hz, 2000000000);
    ck_assert_uint_eq(line_count, 3);
    ck_assert_str_eq(lines[0], "TSC: 2000000000 Hz by A, 2002000000 Hz by B: 999 ppm apart");
    ck_assert_str_eq(lines[1], "TSC: 2000000000 Hz by A, 2002000000 Hz by D: 999 ppm apart");
}
END_TEST

START_TEST(sources_agree_up_to_500_ppm_or_what_they_may_err)
{
    static const struct {
        uint64_t hz;
        uint32_t error_a, error_b;
        unsigned disagreements;
    } cases[] = {
        {1000000000, 0, 0, 0},         {999500000, 0, 0, 0},
        {999499000, 0, 0, 1},          {999000000, 400, 599, 1},
        {999000000, 400, 600, 0},      {999000000, 0, UINT32_MAX, 0},
        {999000000, 1, UINT32_MAX, 0}, {999000000, UINT32_MAX, UINT32_MAX, 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct tsc_source sources[] = {{"A", 1000000000, cases[i].error_a},
                                             {"B", cases[i].hz, cases[i].error_b}};
        ck_assert_uint_eq(choose(sources, 2).disagreements, cases[i].disagreements);
        const struct tsc_source turned[] = {sources[1], sources[0]};
        ck_assert_uint_eq(choose(turned, 2).disagreements, cases[i].disagreements);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("tsc_rate");
    TCase *cases = tcase_create("tsc_rate");
    suite_add_tcase(suite, cases);
    tcase_add_test(cases, cpuid_tells_what_its_leaves_hold);
    tcase_add_test(cases, leaves_that_do_not_exist_are_zeros);
    tcase_add_test(cases, a_base_frequency_is_good_to_half_a_mhz);
    tcase_add_test(cases, the_first_source_that_speaks_is_taken);
    tcase_add_test(cases, no_source_is_told);
    tcase_add_test(cases, each_pair_that_disagrees_is_told);
    tcase_add_test(cases, sources_agree_up_to_500_ppm_or_what_they_may_err);
    return suite;
}

int main(void)
{
    return run_checks(suite());
}
