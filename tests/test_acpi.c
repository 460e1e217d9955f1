// SPDX-License-Identifier: MIT
// kernel/hardware/acpi and acpi_root: from the root pointer to everything, whole, with one thing
// wrong, and damaged at random.
#include <signal.h>

#include "acpi_builder.h"
#include "acpi_sound.h"
#include "run_checks.h"
#include "seed.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static struct acpi_info info;

// ---- a whole machine ---------------------------------------------------------------------------

enum table { FACP, APIC, SRAT, SLIT, SSDT, MCFG, HPET, TABLES };
static const char *const names[TABLES] = {"FACP", "APIC", "SRAT", "SLIT", "SSDT", "MCFG", "HPET"};

static void put_cpus_and_nodes(struct build *build)
{
    uint64_t at = begin_madt(build);
    put_xapic(build, 0, 0, 1);
    put_xapic(build, 1, 2, 1);
    put_x2apic(build, 300, 300, 1);
    put_ioapic(build, 3, 0xfec00000, 0);
    put_override(build, 0, 0, 2, 0);
    end_table(build, at);
    at = begin_srat(build, 3);
    put_cpu_of(build, 1, 0, 1);
    put_cpu_of(build, 0, 2, 1);
    put_x2cpu_of(build, 0, 300, 1);
    put_memory_of(build, 1, 0, GIB, 1);
    put_memory_of(build, 0, GIB, GIB, 1);
    end_table(build, at);
    at = begin_table(build, "SLIT", 1);
    put(build, 2, 8);
    put(build, 0x0a111f0a, 4);
    end_table(build, at);
}

// Tables of all kinds; the root tables and the root pointer follow. Offsets go to `at`.
static struct build machine(uint64_t at[TABLES])
{
    struct build build = {.used = 0};
    const uint64_t fadt = begin_table(&build, "FACP", 1);
    put(&build, 0, ACPI_FADT_LEAST - ACPI_HEADER_BYTES);
    put_at(&build, fadt + 76, 0x608, 4);
    put_at(&build, fadt + 91, 4, 1);
    end_table(&build, fadt);
    put_cpus_and_nodes(&build);
    const uint64_t ssdt = begin_table(&build, "SSDT", 1);
    put(&build, 0, 31);
    end_table(&build, ssdt);
    const uint64_t mcfg = begin_table(&build, "MCFG", 1);
    put(&build, 0, 8);
    put(&build, 0xb0000000, 8);
    put(&build, 0xff000000, 8);
    end_table(&build, mcfg);
    const uint64_t hpet = begin_table(&build, "HPET", 1);
    put(&build, 0x8086a201, 4);
    put_register(&build, 0, 64, 0xfed00000);
    put(&build, 0, 4);
    end_table(&build, hpet);
    for (unsigned i = 0; i < TABLES; i++)
        at[i] = build.tables[i] - BUILD_BASE;
    return build;
}

static const struct acpi_table *listed(const char *signature)
{
    for (unsigned i = 0; i < info.table_count; i++) {
        if (strcmp(info.tables[i].signature, signature) == 0)
            return &info.tables[i];
    }
    ck_abort_msg("no %s in the list", signature);
    return NULL;
}

static void expect_everything(void)
{
    ck_assert_uint_eq(info.problems, 0);
    ck_assert_uint_eq(heard_count, 0);
    ck_assert(info.cpus.described && info.cpus.enabled_count == 3);
    ck_assert(info.cpus.ioapic_count == 1 && info.cpus.irqs[0].gsi == 2);
    ck_assert_uint_eq(info.numa.node_count, 2);
    ck_assert(info.numa.cpu_node[0] == 0 && info.numa.cpu_node[1] == 1);
    ck_assert_uint_eq(info.numa.cpu_node[2], 1);
    // Domain 1 is node 0: the matrix has its rows the other way round.
    ck_assert(info.numa.distance[0][1] == 0x11 && info.numa.distance[1][0] == 0x1f);
    ck_assert_uint_eq(numa_node_of_address(&info.numa, GIB), 1);
    ck_assert_uint_eq(info.devices.fixed.pm_timer.address, 0x608);
    ck_assert(info.devices.segment_count == 1 && info.devices.segments[0].base == 0xb0000000);
    ck_assert_uint_eq(info.devices.hpet.address, 0xfed00000);
}

// After every reading, whatever was read.
static void check_sound(void)
{
    ck_assert(acpi_info_sound(&info));
    ck_assert_uint_eq(heard_count, min_u64(info.problems, ACPI_LINES_MOST));
}

START_TEST(a_whole_machine_is_read_through_either_root_table)
{
    for (unsigned old = 0; old < 2; old++) {
        uint64_t at[TABLES];
        char text[128];
        struct build build = machine(at);
        const uint64_t rsdp = old ? put_rsdp(&build, 0, put_root(&build, "RSDT", 4))
                                  : put_rsdp(&build, put_root(&build, "XSDT", 8), 0);
        read_build(&build, &info, rsdp);
        check_sound();
        expect_everything();
        ck_assert_uint_eq(info.rsdp, rsdp);
        ck_assert_uint_eq(info.table_count, TABLES + 1);
        for (unsigned i = 0; i < TABLES; i++) {
            const struct acpi_table *table = listed(names[i]);
            ck_assert_int_eq(table->status, i == SSDT ? ACPI_TABLE_UNKNOWN : ACPI_TABLE_OK);
            ck_assert_uint_eq(table->address, BUILD_BASE + at[i]);
            ck_assert_uint_eq(table->length, table_at(&build, at[i]).length);
            ck_assert_str_eq(table->oem, "OEM");
        }
        acpi_tables_text(&info, text, sizeof(text));
        ck_assert_str_eq(text, old ? "RSDT,FACP,APIC,SRAT,SLIT,SSDT,MCFG,HPET"
                                   : "XSDT,FACP,APIC,SRAT,SLIT,SSDT,MCFG,HPET");
    }
}
END_TEST

START_TEST(nobody_has_to_listen)
{
    uint64_t at[TABLES];
    struct build build = machine(at);
    const uint64_t rsdp = put_roots(&build);
    const struct boot_memory memory = {build.bytes, BUILD_BASE, build.used};
    build.bytes[at[SLIT] + 20] ^= 1;
    acpi_read(&info, memory, rsdp, NULL, NULL);
    ck_assert_uint_eq(info.problems, 1);
    ck_assert_uint_eq(info.cpus.enabled_count, 3);
}
END_TEST

// ---- tables with one thing wrong ---------------------------------------------------------------

// After that table `i` was damaged: it is named, and whatever else there is was read.
static void expect_without(const struct build *build, uint64_t rsdp, unsigned i,
                           enum acpi_table_status status)
{
    read_build(build, &info, rsdp);
    check_sound();
    unsigned wrong = 0;
    for (unsigned k = 0; k < info.table_count; k++)
        wrong += info.tables[k].status > ACPI_TABLE_TWICE;
    ck_assert_uint_eq(wrong, 1);
    ck_assert_int_eq(listed(names[i])->status, status);
    ck_assert(was_said(names[i]) && was_said(acpi_table_status_text(status)));
    char whole[128];
    acpi_tables_text(&info, whole, sizeof(whole));
    ck_assert_ptr_null(strstr(whole, names[i]));
    ck_assert_int_eq(info.cpus.described, i != APIC);
    ck_assert_uint_eq(info.numa.node_count, i == SRAT ? 1 : 2);
    // Without nodes nobody asks for their distances.
    ck_assert_int_eq(info.numa.distance[0][1] == 0x11, i != SRAT && i != SLIT);
    ck_assert_int_eq(info.devices.fixed.described, i != FACP);
    ck_assert_int_eq(info.devices.segment_count == 1, i != MCFG);
    ck_assert_int_eq(info.devices.hpet.address != 0, i != HPET);
}

START_TEST(a_wrong_checksum_costs_that_table_only)
{
    uint64_t at[TABLES];
    struct build build = machine(at);
    const uint64_t rsdp = put_roots(&build);
    const uint32_t length = table_at(&build, at[_i]).length;
    for (uint32_t byte = 9; byte < length; byte++) { // behind signature, length and revision
        struct build changed = build;
        changed.bytes[at[_i] + byte] ^= 0x10;
        expect_without(&changed, rsdp, (unsigned)_i, ACPI_TABLE_CHECKSUM);
    }
}
END_TEST

START_TEST(a_wrong_length_costs_that_table_only)
{
    static const struct {
        uint32_t length;
        enum acpi_table_status status;
    } cases[] = {
        {0, ACPI_TABLE_LENGTH},
        {ACPI_HEADER_BYTES - 1, ACPI_TABLE_LENGTH},
        {ACPI_TABLE_BYTES_MOST + 1, ACPI_TABLE_LENGTH},
        {UINT32_MAX, ACPI_TABLE_LENGTH},
        {ACPI_TABLE_BYTES_MOST, ACPI_TABLE_UNREADABLE},
        {BUILD_BYTES, ACPI_TABLE_UNREADABLE},
    };
    uint64_t at[TABLES];
    struct build build = machine(at);
    const uint64_t rsdp = put_roots(&build);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build changed = build;
        put_at(&changed, at[_i] + AT_LENGTH, cases[i].length, 4);
        expect_without(&changed, rsdp, (unsigned)_i, cases[i].status);
    }
}
END_TEST

START_TEST(a_table_too_short_for_its_kind_is_not_read)
{
    static const uint32_t least[TABLES] = {
        [FACP] = ACPI_FADT_LEAST, [APIC] = ACPI_MADT_LEAST, [SRAT] = ACPI_SRAT_LEAST,
        [SLIT] = ACPI_SLIT_LEAST, [MCFG] = ACPI_MCFG_LEAST, [HPET] = ACPI_HPET_LEAST};
    uint64_t at[TABLES];
    struct build build = machine(at);
    const uint64_t rsdp = put_roots(&build);
    if (least[_i] == 0)
        return; // of no kind that is read
    put_at(&build, at[_i] + AT_LENGTH, least[_i] - 1, 4);
    seal(&build, at[_i]);
    expect_without(&build, rsdp, (unsigned)_i, ACPI_TABLE_LENGTH);
    put_at(&build, at[_i] + AT_LENGTH, least[_i], 4);
    seal(&build, at[_i]);
    read_build(&build, &info, rsdp);
    ck_assert_int_ne(listed(names[_i])->status, ACPI_TABLE_LENGTH);
}
END_TEST

START_TEST(a_table_broken_inside_is_named_and_used_as_far_as_it_goes)
{
    static const struct {
        enum table table;
        unsigned offset, value;
    } cases[] = {{APIC, 44 + 8 + 1, 0}, {SRAT, 48 + 16 + 1, 0}, {SLIT, 44, 11},
                 {MCFG, 44 + 11, 0},    {HPET, 40, 1},          {FACP, 91, 1}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t at[TABLES];
        struct build build = machine(at);
        const uint64_t rsdp = put_roots(&build);
        put_at(&build, at[cases[i].table] + cases[i].offset, cases[i].value, 1);
        if (cases[i].table == MCFG)
            put_at(&build, at[MCFG] + 44 + 10, 1, 1); // the first bus behind the last
        seal(&build, at[cases[i].table]);
        read_build(&build, &info, rsdp);
        check_sound();
        ck_assert_int_eq(listed(names[cases[i].table])->status, ACPI_TABLE_CONTENT);
        char used[128];
        acpi_tables_text(&info, used, sizeof(used));
        ck_assert_ptr_nonnull(strstr(used, names[cases[i].table]));
        ck_assert_uint_gt(heard_count, 0);
        ck_assert(was_said(names[cases[i].table]));
        ck_assert(info.cpus.described);
        ck_assert_uint_eq(info.cpus.enabled_count, cases[i].table == APIC ? 1 : 3);
    }
}
END_TEST

START_TEST(the_second_table_of_a_kind_is_not_read)
{
    uint64_t at[TABLES];
    struct build build = machine(at);
    const uint64_t second = begin_madt(&build);
    put_xapic(&build, 9, 9, 1);
    end_table(&build, second);
    build.tables[build.count++] = BUILD_BASE + at[HPET]; // the same one again
    read_build(&build, &info, put_roots(&build));
    check_sound();
    ck_assert_uint_eq(info.problems, 2);
    ck_assert_uint_eq(info.cpus.enabled_count, 3);
    ck_assert_int_eq(info.tables[TABLES + 1].status, ACPI_TABLE_TWICE);
    ck_assert_int_eq(info.tables[TABLES + 2].status, ACPI_TABLE_TWICE);
    ck_assert_int_eq(listed("APIC")->status, ACPI_TABLE_OK);
}
END_TEST

START_TEST(signatures_and_makers_are_printable)
{
    struct build build = {.used = 0};
    char text[128];
    const uint64_t at = begin_table(&build, "~\n\x80 ", 7);
    build.bytes[at + 10] = 0x1b;
    build.bytes[at + 12] = 0;
    end_table(&build, at);
    read_build(&build, &info, put_roots(&build));
    ck_assert_str_eq(info.tables[1].signature, "~??");
    ck_assert_str_eq(info.tables[1].oem, "?E");
    acpi_table_text(&info.tables[1], text, sizeof(text));
    ck_assert_str_eq(text, "~?? at f0000, 36 bytes, revision 7, ?E: unknown");
    ck_assert_str_eq(acpi_table_status_text(ACPI_TABLE_STATUSES), "?");
}
END_TEST

START_TEST(the_log_stops_and_the_count_goes_on)
{
    struct build build = {.used = 0};
    for (unsigned i = 0; i < ACPI_LINES_MOST + 5; i++)
        build.tables[build.count++] = 0x80000000 + i;
    read_build(&build, &info, put_roots(&build));
    check_sound();
    ck_assert_uint_eq(heard_count, ACPI_LINES_MOST);
    ck_assert_uint_eq(info.problems, ACPI_LINES_MOST + 5 + 1); // and no table of the CPUs
}
END_TEST

// ---- root tables -------------------------------------------------------------------------------

START_TEST(pointers_that_lead_nowhere_are_passed_over)
{
    uint64_t at[TABLES];
    struct build build = machine(at);
    const uint64_t nowhere[] = {0, 0, 0x1000, UINT64_MAX, BUILD_BASE - 1, BUILD_BASE + BUILD_BYTES};
    memmove(build.tables + ARRAY_COUNT(nowhere), build.tables, TABLES * sizeof(build.tables[0]));
    memcpy(build.tables, nowhere, sizeof(nowhere));
    build.count += ARRAY_COUNT(nowhere);
    const uint64_t xsdt = put_root(&build, "XSDT", 8);
    read_build(&build, &info, put_rsdp(&build, xsdt, 0));
    check_sound();
    ck_assert_uint_eq(info.problems, 4 + 1);
    ck_assert(was_said("???? at ffffffffffffffff, 0 bytes") && was_said("unreadable"));
    ck_assert(was_said("2 pointers of the XSDT are empty"));
    ck_assert(info.cpus.enabled_count == 3 && info.devices.hpet.address != 0);
}
END_TEST

START_TEST(one_empty_pointer_is_a_line)
{
    uint64_t at[TABLES];
    struct build build = machine(at);
    build.tables[build.count++] = 0;
    read_build(&build, &info, put_roots(&build));
    ck_assert_uint_eq(info.problems, 1);
    ck_assert(was_said("1 pointers of the XSDT are empty"));
}
END_TEST

START_TEST(a_root_table_that_points_at_itself_is_a_table_like_others)
{
    uint64_t at[TABLES];
    struct build build = machine(at);
    const uint64_t itself = align_up(build.used, 16) + BUILD_BASE;
    build.tables[build.count++] = itself;
    const uint64_t xsdt = put_root(&build, "XSDT", 8);
    ck_assert_uint_eq(xsdt, itself);
    read_build(&build, &info, put_rsdp(&build, xsdt, 0));
    expect_everything();
    ck_assert_int_eq(info.tables[TABLES + 1].status, ACPI_TABLE_UNKNOWN);
}
END_TEST

START_TEST(tables_without_room_are_counted)
{
    uint64_t at[TABLES];
    struct build build = machine(at);
    while (build.count < BUILD_TABLES - 1)
        build.tables[build.count++] = BUILD_BASE + at[SSDT];
    read_build(&build, &info, put_roots(&build));
    check_sound();
    ck_assert_uint_eq(info.table_count, ACPI_TABLES_MOST);
    ck_assert_uint_eq(info.tables_left_out, BUILD_TABLES - 1 - (ACPI_TABLES_MOST - 1));
    ck_assert_uint_eq(info.problems, 1);
    ck_assert(was_said("16 tables are left out"));
    ck_assert_uint_eq(info.cpus.enabled_count, 3);
}
END_TEST

START_TEST(without_a_whole_xsdt_the_rsdt_is_read)
{
    for (unsigned how = 0; how < 5; how++) {
        uint64_t at[TABLES];
        struct build build = machine(at);
        const uint64_t rsdt = put_root(&build, "RSDT", 4), xsdt = put_root(&build, "XSDT", 8);
        const uint64_t there = xsdt - BUILD_BASE;
        const uint32_t length = table_at(&build, there).length;
        if (how == 0)
            build.bytes[there + 40] ^= 1;
        else if (how < 3)
            put_at(&build, there + AT_LENGTH, how == 1 ? 35 : length - 4, 4);
        else if (how == 3)
            memcpy(build.bytes + there, "XXDT", 4);
        if (how >= 2)
            seal(&build, there);
        read_build(&build, &info, put_rsdp(&build, how == 4 ? 0x1234 : xsdt, rsdt));
        check_sound();
        ck_assert_uint_eq(info.problems, 1);
        ck_assert(was_said(how == 4 ? "????" : how == 3 ? "no XSDT stands" : "XSDT"));
        ck_assert_uint_eq(info.table_count, TABLES + 2);
        ck_assert(info.cpus.enabled_count == 3 && info.devices.hpet.address != 0);
    }
}
END_TEST

START_TEST(without_any_root_table_one_cpu_is_assumed)
{
    for (unsigned how = 0; how < 3; how++) {
        uint64_t at[TABLES];
        struct build build = machine(at);
        const uint64_t rsdt = put_root(&build, "RSDT", 4), xsdt = put_root(&build, "XSDT", 8);
        build.bytes[rsdt - BUILD_BASE + 40] ^= 1;
        build.bytes[xsdt - BUILD_BASE + 40] ^= 1;
        const uint64_t rsdp = put_rsdp(&build, how == 0 ? xsdt : 0, how == 2 ? 0 : rsdt);
        read_build(&build, &info, rsdp);
        check_sound();
        // Each root table, and no table of the CPUs.
        ck_assert_uint_eq(info.problems, how == 0 ? 3 : 2);
        ck_assert(!info.cpus.described && info.cpus.cpu_count == 1 && info.numa.node_count == 1);
        ck_assert(was_said("one is assumed") && was_said("no root table") == (how == 2));
    }
}
END_TEST

// ---- damage at random --------------------------------------------------------------------------

// Makes the table add up again as long as it says it is, if that is possible.
static void mend(struct build *build, uint64_t at)
{
    uint32_t length;
    memcpy(&length, build->bytes + at + AT_LENGTH, sizeof(length));
    if (length >= ACPI_HEADER_BYTES && length <= build->used - at)
        add_up(build, at, length, at + AT_CHECKSUM);
}

// One to four changes in one table; mostly with a checksum that is right again, since nothing
// behind that would be reached otherwise.
static void damage(struct random *random, struct build *build, uint64_t table, uint32_t length)
{
    for (uint64_t left = 1 + random_below(random, 4); left > 0; left--) {
        const uint64_t edges[] = {0,          1,          7,          8,      40,  UINT64_MAX,
                                  BUILD_BASE, UINT32_MAX, length - 1, length, 255, BUILD_BYTES};
        const uint64_t value = random_below(random, 2) != 0
                                   ? edges[random_below(random, ARRAY_COUNT(edges))]
                                   : random_u64(random);
        const uint64_t at = table + random_below(random, length);
        const unsigned bytes = 1u << random_below(random, 4);
        put_at(build, at, value, (unsigned)min_u64(bytes, build->used - at));
    }
    if (random_below(random, 8) != 0)
        mend(build, table);
}

START_TEST(damaged_tables_never_lead_outside)
{
    struct random random = seeded_for("damaged_tables_never_lead_outside");
    uint64_t at[TABLES + 2];
    struct build whole = machine(at);
    at[TABLES] = align_up(whole.used, 16);
    put_root(&whole, "RSDT", 4);
    at[TABLES + 1] = align_up(whole.used, 16);
    put_root(&whole, "XSDT", 8);
    const uint64_t rsdp = put_rsdp(&whole, BUILD_BASE + at[TABLES + 1], BUILD_BASE + at[TABLES]);
    unsigned clean = 0, described = 0, nodes = 0, inside = 0;
    for (unsigned turn = 0; turn < 20000; turn++) {
        struct build build = whole;
        for (uint64_t left = random_below(&random, 3); left < 3; left++) {
            const uint64_t table = at[random_below(&random, TABLES + 2)];
            damage(&random, &build, table, table_at(&whole, table).length);
        }
        read_build(&build, &info, rsdp);
        check_sound();
        clean += info.problems == 0;
        described += info.cpus.described;
        nodes += info.numa.node_count > 2;
        for (unsigned i = 0; i < info.table_count; i++)
            inside += info.tables[i].status == ACPI_TABLE_CONTENT;
    }
    // Neither all nor nothing: the damage has reached what it should and not only that.
    ck_assert(clean > 200 && clean < 15000 && described > 2000 && described < 19800);
    ck_assert(nodes > 20 && inside > 1000);
}
END_TEST

static Suite *acpi_suite(void)
{
    Suite *suite = suite_create("acpi");
    TCase *whole = tcase_create("whole");
    tcase_add_test(whole, a_whole_machine_is_read_through_either_root_table);
    tcase_add_test(whole, nobody_has_to_listen);
    suite_add_tcase(suite, whole);

    TCase *tables = tcase_create("tables");
    tcase_add_loop_test(tables, a_wrong_checksum_costs_that_table_only, 0, TABLES);
    tcase_add_loop_test(tables, a_wrong_length_costs_that_table_only, 0, TABLES);
    tcase_add_loop_test(tables, a_table_too_short_for_its_kind_is_not_read, 0, TABLES);
    tcase_add_test(tables, a_table_broken_inside_is_named_and_used_as_far_as_it_goes);
    tcase_add_test(tables, the_second_table_of_a_kind_is_not_read);
    tcase_add_test(tables, signatures_and_makers_are_printable);
    tcase_add_test(tables, the_log_stops_and_the_count_goes_on);
    suite_add_tcase(suite, tables);

    TCase *roots = tcase_create("roots");
    tcase_add_test(roots, pointers_that_lead_nowhere_are_passed_over);
    tcase_add_test(roots, one_empty_pointer_is_a_line);
    tcase_add_test(roots, a_root_table_that_points_at_itself_is_a_table_like_others);
    tcase_add_test(roots, tables_without_room_are_counted);
    tcase_add_test(roots, without_a_whole_xsdt_the_rsdt_is_read);
    tcase_add_test(roots, without_any_root_table_one_cpu_is_assumed);
    suite_add_tcase(suite, roots);

    TCase *random = tcase_create("random");
    tcase_set_timeout(random, 60);
    tcase_add_test(random, damaged_tables_never_lead_outside);
    suite_add_tcase(suite, random);
    return suite;
}

int main(void)
{
    return run_checks(acpi_suite());
}
