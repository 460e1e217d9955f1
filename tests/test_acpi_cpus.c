// SPDX-License-Identifier: MIT
// kernel/hardware/acpi_cpus: MADTs, whole and with one thing wrong in them.
#include <signal.h>
#include <stdio.h>

#include "acpi_builder.h"
#include "run_checks.h"

static struct acpi_cpus cpus;

static bool read_madt(const struct build *build, uint64_t at, unsigned *problems)
{
    struct acpi_log log = listener();
    const struct acpi_bytes madt = alone(build, at);
    acpi_cpus_init(&cpus);
    const bool right = acpi_cpus_read(&cpus, &madt, &log);
    free((void *)madt.bytes);
    *problems = log.problems;
    return right;
}

// Reads what was built and demands a number of problems.
static void expect_madt(struct build *build, uint64_t at, bool right, unsigned problems)
{
    unsigned found;
    end_table(build, at);
    ck_assert_int_eq(read_madt(build, at, &found), right);
    ck_assert_msg(found == problems, "%u problems, the last '%s'", found,
                  heard_count > 0 ? heard[heard_count - 1] : "");
}

START_TEST(without_a_table_there_is_one_cpu_of_a_pc)
{
    memset(&cpus, 0xee, sizeof(cpus));
    acpi_cpus_init(&cpus);
    ck_assert(!cpus.described && cpus.has_pics && cpus.cpus[0].enabled);
    ck_assert(cpus.cpu_count == 1 && cpus.enabled_count == 1 && cpus.left_out == 0);
    ck_assert_uint_eq(cpus.apic_address, 0xfee00000);
    ck_assert(cpus.ioapic_count == 0 && cpus.local_nmi_count == 0 && cpus.nmi_source_count == 0);
    for (unsigned irq = 0; irq < ACPI_ISA_IRQS; irq++)
        ck_assert(cpus.irqs[irq].gsi == irq && !cpus.irqs[irq].low && !cpus.irqs[irq].level);
}
END_TEST

START_TEST(enabled_cpus_come_first_and_those_that_may_be_added_last)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 10, 2); // online capable
    put_xapic(&build, 1, 11, 1);
    put_xapic(&build, 2, 12, 0); // neither: not there
    put_x2apic(&build, 0x1003, 0x12345, 1);
    put_x2apic(&build, 0x1004, 0x12346, 2);
    put_xapic(&build, 5, 15, 3);
    expect_madt(&build, at, true, 0);
    ck_assert(cpus.described && cpus.has_pics);
    ck_assert_uint_eq(cpus.cpu_count, 5);
    ck_assert_uint_eq(cpus.enabled_count, 3);
    const struct acpi_cpu expected[] = {{11, 1, true, false},
                                        {0x12345, 0x1003, true, true},
                                        {15, 5, true, false},
                                        {10, 0, false, false},
                                        {0x12346, 0x1004, false, true}};
    for (unsigned i = 0; i < ARRAY_COUNT(expected); i++) {
        const struct acpi_cpu *cpu = &cpus.cpus[i];
        ck_assert(cpu->apic_id == expected[i].apic_id && cpu->uid == expected[i].uid);
        ck_assert(cpu->enabled == expected[i].enabled && cpu->x2apic == expected[i].x2apic);
        ck_assert_uint_eq(acpi_cpu_of(&cpus, expected[i].apic_id), i);
    }
    ck_assert_uint_eq(acpi_cpu_of(&cpus, 12), 5);
}
END_TEST

START_TEST(a_cpu_listed_by_both_kinds_of_entry_is_one)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 4, 1);
    put_xapic(&build, 1, 6, 0); // enabled by its other entry only
    put_x2apic(&build, 0, 4, 1);
    put_x2apic(&build, 1, 6, 1);
    expect_madt(&build, at, true, 0);
    ck_assert_uint_eq(cpus.cpu_count, 2);
    ck_assert(cpus.cpus[0].apic_id == 4 && cpus.cpus[1].apic_id == 6);
}
END_TEST

START_TEST(a_cpu_listed_twice_by_the_same_kind_is_a_problem)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 4, 1);
    put_xapic(&build, 1, 4, 1);
    expect_madt(&build, at, true, 1);
    ck_assert_uint_eq(cpus.cpu_count, 1);
    ck_assert(was_said("APIC id 4 is listed twice"));
}
END_TEST

START_TEST(the_id_of_all_cpus_is_no_cpu)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 0xff, 1);
    put_x2apic(&build, 0, UINT32_MAX, 1);
    put_xapic(&build, 0, 0xff, 0);  // a place holder: fine
    put_x2apic(&build, 0, 0xff, 1); // an id like others in x2APIC mode
    expect_madt(&build, at, true, 2);
    ck_assert(cpus.cpu_count == 1 && cpus.cpus[0].apic_id == 0xff);
}
END_TEST

START_TEST(cpus_without_room_are_counted_and_enabled_ones_go_first)
{
    for (unsigned more = 0; more < 4; more++) {
        char line[32];
        struct build build = {.used = 0};
        const uint64_t at = begin_madt(&build);
        put_x2apic(&build, 999, 999, 2); // without room, but not missed
        for (unsigned i = 0; i < CPU_MOST + more; i++)
            put_x2apic(&build, i, i, 1);
        expect_madt(&build, at, true, more > 0);
        ck_assert_uint_eq(cpus.cpu_count, CPU_MOST);
        ck_assert_uint_eq(cpus.enabled_count, CPU_MOST);
        ck_assert_uint_eq(cpus.left_out, more);
        snprintf(line, sizeof(line), "%u CPUs are left out", more);
        ck_assert_int_eq(was_said(line), more > 0);
    }
}
END_TEST

START_TEST(a_table_without_enabled_cpu_leaves_the_one_assumed)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 4, 2);
    expect_madt(&build, at, true, 1);
    ck_assert(!cpus.described && cpus.cpu_count == 1 && cpus.enabled_count == 1);
    ck_assert(cpus.cpus[0].enabled && cpus.cpus[0].apic_id == 0);
}
END_TEST

START_TEST(interrupts_of_the_isa_bus_are_redirected)
{
    // Polarity: as the bus, high, reserved, low; trigger mode: as the bus, edge, reserved, level.
    static const struct {
        uint16_t flags;
        bool low, level;
    } cases[] = {{0, 0, 0},  {1, 0, 0},  {3, 1, 0}, {4, 0, 0},
                 {12, 0, 1}, {15, 1, 1}, {2, 0, 0}, {8, 0, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build build = {.used = 0};
        const uint64_t at = begin_madt(&build);
        put_xapic(&build, 0, 0, 1);
        put_override(&build, 0, 15, 0x12345678, cases[i].flags);
        expect_madt(&build, at, true, 0);
        ck_assert_uint_eq(cpus.irqs[15].gsi, 0x12345678);
        ck_assert(cpus.irqs[15].low == cases[i].low && cpus.irqs[15].level == cases[i].level);
        ck_assert_uint_eq(cpus.irqs[14].gsi, 14);
    }
}
END_TEST

START_TEST(interrupts_of_no_isa_bus_are_a_problem)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 0, 1);
    put_override(&build, 1, 2, 7, 0);
    put_override(&build, 0, 16, 7, 0);
    expect_madt(&build, at, true, 2);
    ck_assert(was_said("interrupt 2 of bus 1") && was_said("interrupt 16 of bus 0"));
    ck_assert_uint_eq(cpus.irqs[2].gsi, 2);
}
END_TEST

START_TEST(io_apics_are_kept_up_to_a_limit)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 0, 1);
    put_ioapic(&build, 9, 0, 0);          // no address
    put_ioapic(&build, 9, 0xfec00008, 0); // not one of an IO-APIC
    for (unsigned i = 0; i < ACPI_IOAPICS_MOST + 1; i++)
        put_ioapic(&build, (uint8_t)(i + 1), 0xfec00000 + 0x1000 * i, 24 * i);
    expect_madt(&build, at, true, 3);
    ck_assert_uint_eq(cpus.ioapic_count, ACPI_IOAPICS_MOST);
    for (unsigned i = 0; i < ACPI_IOAPICS_MOST; i++)
        ck_assert(cpus.ioapics[i].id == i + 1 &&
                  cpus.ioapics[i].address == 0xfec00000 + 0x1000 * i &&
                  cpus.ioapics[i].gsi_base == 24 * i);
}
END_TEST

START_TEST(non_maskable_interrupts_are_kept_up_to_a_limit)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 0, 1);
    put(&build, 0x0604, 2), put(&build, 0xff, 1), put(&build, 15, 2), put(&build, 1, 1);
    put(&build, 0x0604, 2), put(&build, 7, 1), put(&build, 0, 2), put(&build, 0, 1);
    put(&build, 0x0604, 2), put(&build, 7, 1), put(&build, 0, 2), put(&build, 2, 1); // no LINT2
    put(&build, 0x0c0a, 2), put(&build, 3, 2), put(&build, 0x1234, 4), put(&build, 1, 4);
    for (unsigned i = 0; i < ACPI_NMI_SOURCES_MOST + 1; i++)
        put(&build, 0x0803, 2), put(&build, 12, 2), put(&build, 100 + i, 4);
    for (unsigned i = 3; i < ACPI_LOCAL_NMIS_MOST + 1; i++)
        put(&build, 0x0604, 2), put(&build, i, 1), put(&build, 0, 2), put(&build, 1, 1);
    expect_madt(&build, at, true, 3);
    const struct acpi_local_nmi *local = cpus.local_nmis;
    ck_assert_uint_eq(cpus.local_nmi_count, ACPI_LOCAL_NMIS_MOST);
    ck_assert(local[0].uid == ACPI_UID_ALL && local[0].lint == 1 && local[0].low && local[0].level);
    ck_assert(local[1].uid == 7 && local[1].lint == 0 && !local[1].low && !local[1].level);
    ck_assert(local[2].uid == 0x1234 && local[2].lint == 1 && local[2].low && !local[2].level);
    ck_assert_uint_eq(cpus.nmi_source_count, ACPI_NMI_SOURCES_MOST);
    ck_assert(cpus.nmi_sources[1].gsi == 101 && cpus.nmi_sources[1].level);
    ck_assert(!cpus.nmi_sources[1].low);
}
END_TEST

START_TEST(the_address_of_the_local_apics_may_be_overridden)
{
    struct build build = {.used = 0};
    uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 0, 1);
    put(&build, 0x0c05, 4), put(&build, 0x1fee00000, 8);
    put(&build, 0x0c05, 4), put(&build, 0x1fee00010, 8); // not a page
    expect_madt(&build, at, true, 1);
    ck_assert_uint_eq(cpus.apic_address, 0x1fee00000);

    build = (struct build){.used = 0};
    at = begin_madt(&build);
    put_xapic(&build, 0, 0, 1);
    put_at(&build, at + 36, 0, 4);
    put_at(&build, at + 40, 0, 4);
    expect_madt(&build, at, true, 1);
    ck_assert_uint_eq(cpus.apic_address, ACPI_APIC_ADDRESS);
    ck_assert(!cpus.has_pics);
}
END_TEST

// Lengths of entries of every type, and of one nobody knows: one byte less is damage.
static const struct {
    uint8_t type, least;
} entries[] = {{0, 8}, {1, 12}, {2, 10}, {3, 8}, {4, 6}, {5, 12}, {9, 16}, {10, 12}, {200, 2}};

START_TEST(an_entry_may_have_its_least_length_and_more_but_not_less)
{
    const uint8_t type = entries[_i].type, least = entries[_i].least;
    for (unsigned length = 0; length <= least + 3u; length++) {
        struct build build = {.used = 0};
        const uint64_t at = begin_madt(&build);
        put_xapic(&build, 0, 3, 1);
        put(&build, type, 1);
        put(&build, length, 1);
        put(&build, 0, length > 2 ? length - 2 : 0);
        put_xapic(&build, 1, 5, 1);
        end_table(&build, at);
        unsigned problems;
        ck_assert_int_eq(read_madt(&build, at, &problems), length >= least);
        ck_assert_int_eq(was_said("entry at byte 52 is broken"), length < least);
        ck_assert_uint_eq(acpi_cpu_of(&cpus, 3), 0); // what stands before is kept
        ck_assert_int_eq(acpi_cpu_of(&cpus, 5) < cpus.cpu_count, length >= least);
    }
}
END_TEST

START_TEST(the_last_entry_may_be_a_head_and_nothing_else)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    put_xapic(&build, 0, 3, 1);
    put(&build, 0x02c8, 2);
    expect_madt(&build, at, true, 0);
}
END_TEST

START_TEST(a_table_cut_anywhere_gives_what_is_left)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_madt(&build);
    for (unsigned i = 0; i < 4; i++)
        put_xapic(&build, (uint8_t)i, (uint8_t)i, 1);
    end_table(&build, at);
    for (unsigned length = ACPI_MADT_LEAST; length <= ACPI_MADT_LEAST + 32; length++) {
        unsigned problems;
        const unsigned whole = (length - ACPI_MADT_LEAST) / 8;
        put_at(&build, at + AT_LENGTH, length, 4);
        ck_assert_int_eq(read_madt(&build, at, &problems), length % 8 == ACPI_MADT_LEAST % 8);
        ck_assert_uint_eq(cpus.enabled_count, whole > 0 ? whole : 1);
        ck_assert_int_eq(cpus.described, whole > 0);
    }
}
END_TEST

START_TEST(a_table_shorter_than_its_fixed_part_dies)
{
    struct build build = {.used = 0};
    struct acpi_log log = listener();
    end_table(&build, begin_table(&build, "APIC", 1));
    const struct acpi_bytes madt = table_at(&build, 0);
    acpi_cpus_init(&cpus);
    acpi_cpus_read(&cpus, &madt, &log);
}
END_TEST

static Suite *cpus_suite(void)
{
    Suite *suite = suite_create("acpi_cpus");
    TCase *madt = tcase_create("MADT");
    tcase_add_test(madt, without_a_table_there_is_one_cpu_of_a_pc);
    tcase_add_test(madt, enabled_cpus_come_first_and_those_that_may_be_added_last);
    tcase_add_test(madt, a_cpu_listed_by_both_kinds_of_entry_is_one);
    tcase_add_test(madt, a_cpu_listed_twice_by_the_same_kind_is_a_problem);
    tcase_add_test(madt, the_id_of_all_cpus_is_no_cpu);
    tcase_add_test(madt, cpus_without_room_are_counted_and_enabled_ones_go_first);
    tcase_add_test(madt, a_table_without_enabled_cpu_leaves_the_one_assumed);
    tcase_add_test(madt, interrupts_of_the_isa_bus_are_redirected);
    tcase_add_test(madt, interrupts_of_no_isa_bus_are_a_problem);
    tcase_add_test(madt, io_apics_are_kept_up_to_a_limit);
    tcase_add_test(madt, non_maskable_interrupts_are_kept_up_to_a_limit);
    tcase_add_test(madt, the_address_of_the_local_apics_may_be_overridden);
    tcase_add_loop_test(madt, an_entry_may_have_its_least_length_and_more_but_not_less, 0,
                        ARRAY_COUNT(entries));
    tcase_add_test(madt, the_last_entry_may_be_a_head_and_nothing_else);
    tcase_add_test(madt, a_table_cut_anywhere_gives_what_is_left);
    tcase_add_test_raise_signal(madt, a_table_shorter_than_its_fixed_part_dies, SIGABRT);
    suite_add_tcase(suite, madt);
    return suite;
}

int main(void)
{
    return run_checks(cpus_suite());
}
