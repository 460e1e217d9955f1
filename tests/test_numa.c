// SPDX-License-Identifier: MIT
// kernel/lib/numa: nodes of addresses and the order in which they are asked, against plain arrays.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "numa.h"
#include "run_checks.h"
#include "seed.h"

static struct numa numa;

START_TEST(a_machine_has_one_node_with_everything_until_told_otherwise)
{
    uint8_t order[NUMA_NODES_MOST];
    memset(&numa, 0xee, sizeof(numa));
    numa_init(&numa);
    ck_assert_uint_eq(numa.node_count, 1);
    ck_assert_uint_eq(numa.range_count, 0);
    ck_assert_uint_eq(numa.distance[0][0], NUMA_DISTANCE_LOCAL);
    for (unsigned cpu = 0; cpu < CPU_MOST; cpu++)
        ck_assert_uint_eq(numa.cpu_node[cpu], 0);
    ck_assert_uint_eq(numa_node_of_address(&numa, 0), 0);
    ck_assert_uint_eq(numa_node_of_address(&numa, UINT64_MAX), 0);
    ck_assert_uint_eq(numa_nearest(&numa, 0, order), 1);
    ck_assert_uint_eq(order[0], 0);
}
END_TEST

START_TEST(nodes_are_near_themselves_and_far_from_others)
{
    numa_init(&numa);
    numa.distance[1][2] = 77;
    numa_set_nodes(&numa, NUMA_NODES_MOST);
    ck_assert_uint_eq(numa.node_count, NUMA_NODES_MOST);
    for (unsigned from = 0; from < NUMA_NODES_MOST; from++) {
        for (unsigned to = 0; to < NUMA_NODES_MOST; to++)
            ck_assert_uint_eq(numa.distance[from][to], from == to ? 10 : 20);
    }
}
END_TEST

static const unsigned no_counts[] = {0, NUMA_NODES_MOST + 1};

START_TEST(a_number_of_nodes_that_cannot_be_dies)
{
    numa_init(&numa);
    numa_set_nodes(&numa, no_counts[_i]);
}
END_TEST

START_TEST(asking_for_the_neighbours_of_no_node_dies)
{
    uint8_t order[NUMA_NODES_MOST];
    numa_init(&numa);
    numa_nearest(&numa, 1, order);
}
END_TEST

START_TEST(ranges_that_cannot_be_are_refused)
{
    numa_init(&numa);
    numa_set_nodes(&numa, 2);
    ck_assert_int_eq(numa_add_range(&numa, 100, 200, 1, true), STATUS_OK);
    ck_assert_int_eq(numa_add_range(&numa, 300, 300, 1, false), STATUS_INVALID);
    ck_assert_int_eq(numa_add_range(&numa, 301, 300, 1, false), STATUS_INVALID);
    ck_assert_int_eq(numa_add_range(&numa, 300, 400, 2, false), STATUS_INVALID);
    const uint64_t overlaps[][2] = {{100, 200}, {50, 101}, {199, 300}, {50, 300}, {120, 130}};
    for (unsigned i = 0; i < ARRAY_COUNT(overlaps); i++)
        ck_assert_int_eq(numa_add_range(&numa, overlaps[i][0], overlaps[i][1], 0, false),
                         STATUS_DOUBLE);
    ck_assert_uint_eq(numa.range_count, 1);
    ck_assert_int_eq(numa_add_range(&numa, 200, 300, 0, false), STATUS_OK); // touching is fine
    ck_assert_int_eq(numa_add_range(&numa, 50, 100, 0, false), STATUS_OK);
    ck_assert_uint_eq(numa.range_count, 3);
    ck_assert(numa.ranges[1].hot_pluggable && !numa.ranges[0].hot_pluggable);
}
END_TEST

START_TEST(there_is_room_for_so_many_ranges_and_no_more)
{
    numa_init(&numa);
    for (unsigned i = NUMA_RANGES_MOST; i > 0; i--)
        ck_assert_int_eq(numa_add_range(&numa, i * 10, i * 10 + 5, 0, false), STATUS_OK);
    ck_assert_int_eq(numa_add_range(&numa, 5, 6, 0, false), STATUS_FULL);
    ck_assert_uint_eq(numa.range_count, NUMA_RANGES_MOST);
    ck_assert_uint_eq(numa_node_of_address(&numa, UINT64_MAX), 0);
}
END_TEST

// A map of single units beside it.
START_TEST(every_address_has_the_node_of_its_range)
{
    enum { UNITS = 200, TURNS = 300 };
    struct random random = seeded_for("every_address_has_the_node_of_its_range");
    unsigned refused = 0;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        int node_of[UNITS];
        numa_init(&numa);
        numa_set_nodes(&numa, 4);
        for (unsigned i = 0; i < UNITS; i++)
            node_of[i] = -1;
        for (unsigned tries = 0; tries < 20; tries++) {
            const unsigned start = (unsigned)random_below(&random, UNITS - 1);
            const unsigned length = (unsigned)random_below(&random, min_u64(UNITS - start, 20));
            const unsigned node = (unsigned)random_below(&random, 4);
            bool free = length > 0;
            for (unsigned i = start; i < start + length; i++)
                free = free && node_of[i] < 0;
            const enum status status =
                numa_add_range(&numa, start, start + length, node, node == 3);
            ck_assert_int_eq(status == STATUS_OK, free);
            refused += !free;
            for (unsigned i = start; free && i < start + length; i++)
                node_of[i] = (int)node;
        }
        for (unsigned i = 0; i < UNITS; i++)
            ck_assert_uint_eq(numa_node_of_address(&numa, i), node_of[i] < 0 ? 0 : node_of[i]);
        for (unsigned i = 1; i < numa.range_count; i++)
            ck_assert_uint_le(numa.ranges[i - 1].end, numa.ranges[i].start);
        for (unsigned i = 0; i < numa.range_count; i++)
            ck_assert(numa.ranges[i].hot_pluggable == (numa.ranges[i].node == 3));
    }
    ck_assert_uint_gt(refused, TURNS);
}
END_TEST

START_TEST(the_nearest_nodes_come_first_and_unreachable_ones_never)
{
    struct random random = seeded_for("the_nearest_nodes_come_first_and_unreachable_ones_never");
    for (unsigned turn = 0; turn < 3000; turn++) {
        uint8_t order[NUMA_NODES_MOST];
        numa_init(&numa);
        numa_set_nodes(&numa, 1 + (unsigned)random_below(&random, NUMA_NODES_MOST));
        const unsigned node = (unsigned)random_below(&random, numa.node_count);
        unsigned reachable = 1;
        for (unsigned to = 0; to < numa.node_count; to++) {
            const uint8_t choices[] = {10, 11, 20, 30, 254, NUMA_UNREACHABLE};
            if (to == node)
                continue;
            numa.distance[node][to] = choices[random_below(&random, ARRAY_COUNT(choices))];
            reachable += numa.distance[node][to] != NUMA_UNREACHABLE;
        }
        ck_assert_uint_eq(numa_nearest(&numa, node, order), reachable);
        ck_assert_uint_eq(order[0], node);
        bool seen[NUMA_NODES_MOST] = {false};
        for (unsigned i = 0; i < reachable; i++) {
            ck_assert(order[i] < numa.node_count && !seen[order[i]]);
            seen[order[i]] = true;
            const uint8_t here = numa.distance[node][order[i]];
            ck_assert_uint_ne(here, NUMA_UNREACHABLE);
            if (i < 2)
                continue;
            const uint8_t before = numa.distance[node][order[i - 1]];
            ck_assert(before < here || (before == here && order[i - 1] < order[i]));
        }
    }
}
END_TEST

static Suite *numa_suite(void)
{
    Suite *suite = suite_create("numa");
    TCase *all = tcase_create("numa");
    tcase_set_timeout(all, 30);
    tcase_add_test(all, a_machine_has_one_node_with_everything_until_told_otherwise);
    tcase_add_test(all, nodes_are_near_themselves_and_far_from_others);
    tcase_add_loop_test_raise_signal(all, a_number_of_nodes_that_cannot_be_dies, SIGABRT, 0,
                                     ARRAY_COUNT(no_counts));
    tcase_add_test_raise_signal(all, asking_for_the_neighbours_of_no_node_dies, SIGABRT);
    tcase_add_test(all, ranges_that_cannot_be_are_refused);
    tcase_add_test(all, there_is_room_for_so_many_ranges_and_no_more);
    tcase_add_test(all, every_address_has_the_node_of_its_range);
    tcase_add_test(all, the_nearest_nodes_come_first_and_unreachable_ones_never);
    suite_add_tcase(suite, all);
    return suite;
}

int main(void)
{
    return run_checks(numa_suite());
}
