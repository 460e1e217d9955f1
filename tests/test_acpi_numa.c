// SPDX-License-Identifier: MIT
// kernel/hardware/acpi_numa: SRATs and SLITs, whole and with one thing wrong in them.
#include <signal.h>

#include "acpi_builder.h"
#include "run_checks.h"

#define GIB ((uint64_t)1 << 30)

static struct acpi_cpus cpus;
static struct numa numa;
static struct acpi_domains domains;

static bool read_srat(struct build *build, uint64_t at, unsigned problems)
{
    struct acpi_log log = listener();
    end_table(build, at);
    const struct acpi_bytes srat = alone(build, at);
    numa_init(&numa);
    const bool right = acpi_srat_read(&numa, &domains, &cpus, &srat, &log);
    free((void *)srat.bytes);
    ck_assert_msg(log.problems == problems, "%u problems, the last '%s'", log.problems,
                  heard_count > 0 ? heard[heard_count - 1] : "");
    return right;
}

// CPUs with the APIC ids 0 to count - 1.
static void have_cpus(unsigned count)
{
    acpi_cpus_init(&cpus);
    cpus.described = true;
    cpus.cpu_count = cpus.enabled_count = count;
    for (unsigned i = 0; i < count; i++)
        cpus.cpus[i] = (struct acpi_cpu){.apic_id = i, .enabled = true};
}

START_TEST(domains_become_nodes_in_the_order_they_appear)
{
    struct build build = {.used = 0};
    have_cpus(3);
    cpus.cpus[2].apic_id = 0x10000;
    const uint64_t at = begin_srat(&build, 3);
    put_cpu_of(&build, 5, 9, 0); // not enabled: no node of its own
    put_cpu_of(&build, 0xabcdef12, 0, 1);
    put_cpu_of(&build, 0xabcdef13, 1, 1);
    put_cpu_of(&build, 0xabcdef13, 77, 1); // a CPU that is not there
    put_x2cpu_of(&build, 0xabcdef12, 0x10000, 1);
    put_memory_of(&build, 7, 8 * GIB, GIB, 0); // not enabled
    put_memory_of(&build, 4, 4 * GIB, 2 * GIB, 3);
    put_memory_of(&build, 0xabcdef13, GIB, 2 * GIB, 1);
    put_memory_of(&build, 0xabcdef12, 0, GIB, 1);
    put_memory_of(&build, 0xabcdef12, 9 * GIB, 0, 1); // empty
    put(&build, 0x0463, 4);                           // nobody knows that
    ck_assert(read_srat(&build, at, 0));
    ck_assert_uint_eq(numa.node_count, 3);
    ck_assert(domains.count == 3 && domains.domain[0] == 0xabcdef12 &&
              domains.domain[1] == 0xabcdef13 && domains.domain[2] == 4);
    ck_assert(numa.cpu_node[0] == 0 && numa.cpu_node[1] == 1 && numa.cpu_node[2] == 0);
    ck_assert_uint_eq(numa.range_count, 3);
    ck_assert_uint_eq(numa_node_of_address(&numa, GIB - 1), 0);
    ck_assert_uint_eq(numa_node_of_address(&numa, GIB), 1);
    ck_assert_uint_eq(numa_node_of_address(&numa, 6 * GIB - 1), 2);
    ck_assert(numa.ranges[2].hot_pluggable && !numa.ranges[1].hot_pluggable);
    ck_assert_uint_eq(numa.distance[0][2], NUMA_DISTANCE_REMOTE);
}
END_TEST

START_TEST(an_old_table_has_domains_of_eight_bits)
{
    struct build build = {.used = 0};
    have_cpus(2);
    const uint64_t at = begin_srat(&build, 1);
    put_cpu_of(&build, 0x55555501, 0, 1); // what is now the upper half was reserved
    put_cpu_of(&build, 0x66666602, 1, 1);
    put_memory_of(&build, 0x77777701, 0, GIB, 1);
    ck_assert(read_srat(&build, at, 0));
    ck_assert_uint_eq(numa.node_count, 2);
    ck_assert(domains.domain[0] == 1 && domains.domain[1] == 2);
}
END_TEST

START_TEST(memory_that_cannot_be_is_left_out)
{
    struct build build = {.used = 0};
    have_cpus(1);
    const uint64_t at = begin_srat(&build, 3);
    put_cpu_of(&build, 0, 0, 1);
    put_memory_of(&build, 0, GIB, GIB, 1);
    put_memory_of(&build, 1, GIB + 4096, 4096, 1);    // inside the first
    put_memory_of(&build, 1, UINT64_MAX - 1, GIB, 1); // wraps around
    ck_assert(read_srat(&build, at, 2));
    ck_assert(was_said("is listed twice") && was_said("wraps around"));
    ck_assert(numa.range_count == 1 && numa.node_count == 2);
}
END_TEST

START_TEST(memory_without_room_is_left_out)
{
    struct build build = {.used = 0};
    have_cpus(1);
    const uint64_t at = begin_srat(&build, 3);
    put_cpu_of(&build, 0, 0, 1);
    for (unsigned i = 0; i < NUMA_RANGES_MOST + 2; i++)
        put_memory_of(&build, 0, i * GIB, GIB, 1);
    ck_assert(read_srat(&build, at, 2));
    ck_assert(was_said("memory at 1000000000 is left out"));
    ck_assert_uint_eq(numa.range_count, NUMA_RANGES_MOST);
}
END_TEST

START_TEST(domains_without_room_are_counted_to_node_0)
{
    struct build build = {.used = 0};
    have_cpus(20);
    const uint64_t at = begin_srat(&build, 3);
    for (unsigned i = 0; i < 20; i++)
        put_cpu_of(&build, 100 + i, (uint8_t)i, 1);
    ck_assert(read_srat(&build, at, 2)); // the domains, and the CPUs on them
    ck_assert(was_said("4 entries are left out") && was_said("4 CPUs have no node"));
    ck_assert_uint_eq(numa.node_count, NUMA_NODES_MOST);
    ck_assert(numa.cpu_node[15] == 15 && numa.cpu_node[16] == 0);
}
END_TEST

START_TEST(one_domain_without_room_is_enough_for_a_line)
{
    struct build build = {.used = 0};
    have_cpus(0);
    const uint64_t at = begin_srat(&build, 3);
    for (unsigned i = 0; i < NUMA_NODES_MOST + 1; i++)
        put_memory_of(&build, i, i * GIB, GIB, 1);
    ck_assert(read_srat(&build, at, 1));
    ck_assert(was_said("1 entries are left out"));
    ck_assert_uint_eq(numa.range_count, NUMA_NODES_MOST);
}
END_TEST

START_TEST(a_single_cpu_without_node_is_a_line)
{
    struct build build = {.used = 0};
    have_cpus(2);
    const uint64_t at = begin_srat(&build, 3);
    put_cpu_of(&build, 3, 1, 1);
    ck_assert(read_srat(&build, at, 1));
    ck_assert(was_said("1 CPUs have no node"));
}
END_TEST

START_TEST(a_broken_affinity_entry_ends_the_table)
{
    static const struct {
        uint8_t type, length;
    } broken[] = {{0, 0}, {0, 1}, {0, 15}, {1, 39}, {2, 23}, {99, 1}, {99, 200}};
    struct build build = {.used = 0};
    have_cpus(2);
    const uint64_t at = begin_srat(&build, 3);
    put_cpu_of(&build, 3, 0, 1);
    put(&build, broken[_i].type, 1);
    put(&build, broken[_i].length, 1);
    put(&build, 0, 60);
    ck_assert(!read_srat(&build, at, 2)); // and the second CPU has no node
    ck_assert(was_said("entry at byte 64 is broken"));
    ck_assert(numa.node_count == 1 && domains.domain[0] == 3);
}
END_TEST

START_TEST(a_table_without_entries_leaves_one_node)
{
    struct build build = {.used = 0};
    have_cpus(2);
    ck_assert(read_srat(&build, begin_srat(&build, 3), 0));
    ck_assert(numa.node_count == 1 && domains.count == 0);
}
END_TEST

// A matrix of `localities` with 10 on its diagonal and else 10 * (from + 1) + to + 10.
static uint64_t put_slit(struct build *build, uint64_t localities)
{
    const uint64_t at = begin_table(build, "SLIT", 1);
    put(build, localities, 8);
    for (uint64_t from = 0; from < localities; from++) {
        for (uint64_t to = 0; to < localities; to++)
            put(build, from == to ? 10 : 10 * (from + 1) + to + 10, 1);
    }
    end_table(build, at);
    return at;
}

static bool read_slit(const struct build *build, uint64_t at)
{
    struct acpi_log log = listener();
    const struct acpi_bytes slit = alone(build, at);
    numa_init(&numa);
    numa_set_nodes(&numa, domains.count);
    const bool right = acpi_slit_read(&numa, &domains, &slit, &log);
    free((void *)slit.bytes);
    ck_assert_uint_eq(log.problems, right ? 0 : 1);
    for (unsigned from = 0; !right && from < domains.count; from++) {
        for (unsigned to = 0; to < domains.count; to++)
            ck_assert_uint_eq(numa.distance[from][to], from == to ? 10 : 20);
    }
    return right;
}

START_TEST(distances_are_those_of_the_domains)
{
    struct build build = {.used = 0};
    domains = (struct acpi_domains){.count = 3, .domain = {3, 0, 2}};
    const uint64_t at = put_slit(&build, 4);
    put_at(&build, at + 44 + 4 * 3 + 2, 255, 1); // from domain 3 to 2
    ck_assert(read_slit(&build, at));
    static const uint8_t expected[3][3] = {{10, 50, 255}, {23, 10, 22}, {43, 40, 10}};
    for (unsigned from = 0; from < 3; from++) {
        for (unsigned to = 0; to < 3; to++)
            ck_assert_uint_eq(numa.distance[from][to], expected[from][to]);
    }
}
END_TEST

START_TEST(as_many_nodes_as_there_may_be_have_their_distances)
{
    struct build build = {.used = 0};
    domains = (struct acpi_domains){.count = NUMA_NODES_MOST};
    for (unsigned node = 0; node < NUMA_NODES_MOST; node++)
        domains.domain[node] = NUMA_NODES_MOST - 1 - node;
    ck_assert(read_slit(&build, put_slit(&build, NUMA_NODES_MOST)));
    ck_assert_uint_eq(numa.distance[15][0], 10 * (0 + 1) + 15 + 10);
    ck_assert_uint_eq(numa.distance[14][15], 10 * (1 + 1) + 0 + 10);
}
END_TEST

START_TEST(distances_that_cannot_be_are_not_taken)
{
    struct build build = {.used = 0};
    domains = (struct acpi_domains){.count = 2, .domain = {0, 1}};
    const uint64_t at = put_slit(&build, 2);
    static const struct {
        unsigned place, value;
        bool right;
    } cases[] = {{0, 11, false}, {3, 9, false}, {0, 255, false}, {1, 9, false},
                 {2, 0, false},  {1, 10, true}, {2, 254, true}};
    ck_assert(read_slit(&build, at));
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build changed = build;
        put_at(&changed, at + 44 + cases[i].place, cases[i].value, 1);
        ck_assert_int_eq(read_slit(&changed, at), cases[i].right);
    }
    domains.domain[1] = 2; // a domain it does not know
    ck_assert(!read_slit(&build, at));
}
END_TEST

START_TEST(a_matrix_of_the_wrong_size_is_not_taken)
{
    static const uint64_t sizes[] = {
        0, 1, 3, 17, 0x10000, (uint64_t)1 << 32, UINT64_MAX, ((uint64_t)1 << 63) + 2};
    struct build build = {.used = 0};
    domains = (struct acpi_domains){.count = 2, .domain = {0, 1}};
    const uint64_t at = put_slit(&build, 2);
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct build changed = build;
        put_at(&changed, at + 36, sizes[i], 8);
        ck_assert(!read_slit(&changed, at));
    }
    for (unsigned length = 44; length <= 50; length++) {
        struct build changed = build;
        put_at(&changed, at + AT_LENGTH, length, 4);
        ck_assert_int_eq(read_slit(&changed, at), length == 48);
    }
}
END_TEST

START_TEST(a_table_shorter_than_its_fixed_part_dies)
{
    struct build build = {.used = 0};
    struct acpi_log log = listener();
    end_table(&build, begin_table(&build, _i == 0 ? "SRAT" : "SLIT", 1));
    const struct acpi_bytes table = table_at(&build, 0);
    acpi_cpus_init(&cpus);
    numa_init(&numa);
    if (_i == 0)
        acpi_srat_read(&numa, &domains, &cpus, &table, &log);
    else
        acpi_slit_read(&numa, &domains, &table, &log);
}
END_TEST

static Suite *numa_suite(void)
{
    Suite *suite = suite_create("acpi_numa");
    TCase *nodes = tcase_create("SRAT and SLIT");
    tcase_add_test(nodes, domains_become_nodes_in_the_order_they_appear);
    tcase_add_test(nodes, an_old_table_has_domains_of_eight_bits);
    tcase_add_test(nodes, memory_that_cannot_be_is_left_out);
    tcase_add_test(nodes, memory_without_room_is_left_out);
    tcase_add_test(nodes, domains_without_room_are_counted_to_node_0);
    tcase_add_test(nodes, one_domain_without_room_is_enough_for_a_line);
    tcase_add_test(nodes, a_single_cpu_without_node_is_a_line);
    tcase_add_loop_test(nodes, a_broken_affinity_entry_ends_the_table, 0, 7);
    tcase_add_test(nodes, a_table_without_entries_leaves_one_node);
    tcase_add_test(nodes, distances_are_those_of_the_domains);
    tcase_add_test(nodes, as_many_nodes_as_there_may_be_have_their_distances);
    tcase_add_test(nodes, distances_that_cannot_be_are_not_taken);
    tcase_add_test(nodes, a_matrix_of_the_wrong_size_is_not_taken);
    tcase_add_loop_test_raise_signal(nodes, a_table_shorter_than_its_fixed_part_dies, SIGABRT, 0,
                                     2);
    suite_add_tcase(suite, nodes);
    return suite;
}

int main(void)
{
    return run_checks(numa_suite());
}
