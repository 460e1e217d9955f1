// SPDX-License-Identifier: MIT
// The tables QEMU 7.2 and its firmware leave (tests/fuzz/make_acpi_corpus.py has the machines) are
// read as the machines were made. Runs at the top of the repository.
#include <stdio.h>

#include "acpi_builder.h"
#include "run_checks.h"

#define FOLDER "tests/fuzz/corpus_acpi/"
#define MIB    ((uint64_t)1 << 20)

static struct acpi_info info;

static const struct {
    const char *file, *tables;
    unsigned cpus, nodes, segments;
    bool hpet, flags;
} machines[] = {
    {"pc", "RSDT,FACP,APIC,HPET,WAET", 1, 1, 0, true, false},
    {"pc_no_hpet", "RSDT,FACP,APIC,WAET", 2, 1, 0, false, false},
    {"pc_numa", "RSDT,FACP,APIC,HPET,SRAT,SLIT,WAET", 4, 2, 0, true, false},
    {"q35", "RSDT,FACP,APIC,HPET,MCFG,WAET", 4, 1, 1, true, true},
    {"q35_numa", "RSDT,FACP,APIC,HPET,SRAT,SLIT,MCFG,WAET", 8, 3, 1, true, true},
    {"q35_uefi", "XSDT,FACP,APIC,HPET,MCFG,WAET", 2, 1, 1, true, true},
};

static void read_machine(const char *name)
{
    char path[64];
    struct build build = {.used = 0};
    snprintf(path, sizeof(path), FOLDER "%s.bin", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        ck_abort_msg("%s: run this at the top of the repository", path);
    ck_assert_int_eq(fgetc(file), 0); // the fuzzer's flags
    build.used = fread(build.bytes, 1, BUILD_BYTES, file);
    fclose(file);
    read_build(&build, &info, BUILD_BASE);
}

START_TEST(real_tables_are_read_as_the_machine_was_made)
{
    char tables[64];
    read_machine(machines[_i].file);
    acpi_tables_text(&info, tables, sizeof(tables));
    ck_assert_str_eq(tables, machines[_i].tables);
    ck_assert_uint_eq(info.problems, 0);
    ck_assert_uint_eq(info.cpus.enabled_count, machines[_i].cpus);
    for (unsigned cpu = 0; cpu < machines[_i].cpus; cpu++)
        ck_assert_uint_eq(info.cpus.cpus[cpu].apic_id, cpu);
    ck_assert(info.cpus.has_pics && info.cpus.apic_address == ACPI_APIC_ADDRESS);
    ck_assert(info.cpus.ioapic_count == 1 && info.cpus.ioapics[0].address == 0xfec00000);
    ck_assert_uint_eq(info.cpus.irqs[0].gsi, 2);
    ck_assert(info.cpus.irqs[9].gsi == 9 && info.cpus.irqs[9].level && !info.cpus.irqs[9].low);
    ck_assert(info.cpus.local_nmi_count == 1 && info.cpus.local_nmis[0].uid == ACPI_UID_ALL);
    ck_assert_uint_eq(info.cpus.local_nmis[0].lint, 1);
    ck_assert_uint_eq(info.numa.node_count, machines[_i].nodes);
    ck_assert_uint_eq(info.devices.segment_count, machines[_i].segments);
    ck_assert_uint_eq(info.devices.hpet.address, machines[_i].hpet ? 0xfed00000 : 0);
    const struct acpi_fixed *fixed = &info.devices.fixed;
    ck_assert(fixed->sci == 9 && fixed->pm_timer.space == ACPI_SPACE_PORT && !fixed->pm_timer_32);
    ck_assert(fixed->flags_told == machines[_i].flags && fixed->has_8042 == machines[_i].flags);
    ck_assert_uint_eq(fixed->reset.address, machines[_i].flags ? 0xcf9 : 0);
}
END_TEST

START_TEST(real_nodes_have_their_cpus_memory_and_distances)
{
    read_machine("q35_numa"); // 32, 32 and 64 MiB; the last node has no CPU
    const struct numa *numa = &info.numa;
    for (unsigned cpu = 0; cpu < 8; cpu++)
        ck_assert_uint_eq(numa->cpu_node[cpu], cpu / 4);
    static const uint64_t ends[] = {32 * MIB, 64 * MIB, 128 * MIB};
    for (unsigned node = 0; node < 3; node++)
        ck_assert_uint_eq(numa_node_of_address(numa, ends[node] - 1), node);
    static const uint8_t distances[3][3] = {{10, 21, 255}, {21, 10, 31}, {255, 31, 10}};
    for (unsigned from = 0; from < 3; from++) {
        for (unsigned to = 0; to < 3; to++)
            ck_assert_uint_eq(numa->distance[from][to], distances[from][to]);
    }
    // Where memory may be plugged in.
    ck_assert(numa->ranges[numa->range_count - 1].hot_pluggable);
    ck_assert_uint_ge(numa->ranges[numa->range_count - 1].start, 4096 * MIB);
}
END_TEST

static Suite *real_suite(void)
{
    Suite *suite = suite_create("acpi_real");
    TCase *all = tcase_create("QEMU");
    tcase_add_loop_test(all, real_tables_are_read_as_the_machine_was_made, 0,
                        ARRAY_COUNT(machines));
    tcase_add_test(all, real_nodes_have_their_cpus_memory_and_distances);
    suite_add_tcase(suite, all);
    return suite;
}

int main(void)
{
    return run_checks(real_suite());
}
