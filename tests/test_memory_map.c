// SPDX-License-Identifier: MIT
// kernel/lib/memory_map.h against an array that says of every page what it is.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "memory_map.h"
#include "platform.h"
#include "run_checks.h"
#include "seed.h"

#define PAGES 160u
#define NONE  0xffu

static struct memory_map map;

static uint8_t kind_at(uint64_t address)
{
    for (unsigned i = 0; i < map.range_count; i++)
        if (address >= map.ranges[i].start && address - map.ranges[i].start < map.ranges[i].length)
            return (uint8_t)map.ranges[i].kind;
    return NONE;
}

// Each page is what the model says, and no two neighbouring ranges could be one.
static void expect(const uint8_t *model)
{
    ck_assert(memory_map_check(&map));
    for (unsigned page = 0; page < PAGES; page++)
        if (kind_at(page * PAGE_SIZE) != model[page] ||
            kind_at(page * PAGE_SIZE + PAGE_SIZE - 1) != model[page])
            ck_abort_msg("page %u is %u, not %u", page, kind_at(page * PAGE_SIZE), model[page]);
    for (unsigned i = 1; i < map.range_count; i++)
        if (map.ranges[i - 1].start + map.ranges[i - 1].length == map.ranges[i].start &&
            map.ranges[i - 1].kind == map.ranges[i].kind)
            ck_abort_msg("ranges %u and %u adjoin and are of one kind", i - 1, i);
    uint64_t bytes[4] = {0};
    for (unsigned page = 0; page < PAGES; page++)
        if (model[page] != NONE)
            bytes[model[page]] += PAGE_SIZE;
    unsigned ranges = 0;
    for (unsigned kind = 0; kind < 4; kind++) {
        ck_assert_uint_eq(memory_map_bytes(&map, kind), bytes[kind]);
        ranges += memory_map_count(&map, kind);
    }
    ck_assert_uint_eq(ranges, map.range_count);
}

static void set_model(uint8_t *model, uint64_t start, uint64_t end, enum memory_kind kind)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        const uint64_t first = page * PAGE_SIZE, behind = first + PAGE_SIZE;
        if (kind == MEMORY_RAM ? first >= start && behind <= end : first < end && behind > start)
            model[page] = (uint8_t)kind;
    }
}

START_TEST(whatever_is_set_in_whatever_order_every_page_is_what_was_said_last)
{
    struct random random = seeded_for("memory map");
    for (unsigned turn = 0; turn < 300; turn++) {
        uint8_t model[PAGES];
        memset(model, NONE, sizeof(model));
        memory_map_init(&map);
        for (unsigned i = 0; i < 40; i++) {
            const uint64_t start = random_below(&random, PAGES * PAGE_SIZE);
            const uint64_t end = start + random_below(&random, PAGES * PAGE_SIZE - start + 1);
            const enum memory_kind kind = (enum memory_kind)random_below(&random, 4);
            ck_assert_int_eq(memory_map_set(&map, start, end, kind), STATUS_OK);
            if (start < end)
                set_model(model, start, end, kind);
        }
        expect(model);
    }
}
END_TEST

START_TEST(an_empty_range_sets_nothing_even_inside_a_page)
{
    memory_map_init(&map);
    for (unsigned kind = 0; kind < 4; kind++)
        ck_assert_int_eq(memory_map_set(&map, PAGE_SIZE + 7, PAGE_SIZE + 7, kind), STATUS_OK);
    ck_assert_uint_eq(map.range_count, 0);
}
END_TEST

START_TEST(ram_shrinks_to_whole_pages_and_what_is_taken_grows_to_them)
{
    memory_map_init(&map);
    ck_assert_int_eq(memory_map_set(&map, 1, 4 * PAGE_SIZE - 1, MEMORY_RAM), STATUS_OK);
    ck_assert_uint_eq(map.range_count, 1);
    ck_assert_uint_eq(map.ranges[0].start, PAGE_SIZE);
    ck_assert_uint_eq(map.ranges[0].length, 2 * PAGE_SIZE);
    ck_assert_int_eq(memory_map_set(&map, PAGE_SIZE - 1, PAGE_SIZE + 1, MEMORY_RESERVED),
                     STATUS_OK);
    ck_assert_uint_eq(map.ranges[0].kind, MEMORY_RESERVED);
    ck_assert_uint_eq(map.ranges[0].start, 0);
    ck_assert_uint_eq(map.ranges[0].length, 2 * PAGE_SIZE);
    ck_assert_int_eq(memory_map_set(&map, PAGE_SIZE, 2 * PAGE_SIZE - 1, MEMORY_RAM), STATUS_OK);
    ck_assert_uint_eq(memory_map_bytes(&map, MEMORY_RAM), PAGE_SIZE);
}
END_TEST

START_TEST(what_does_not_fit_changes_nothing)
{
    memory_map_init(&map);
    for (unsigned i = 0; i < MEMORY_RANGES_MOST; i++)
        ck_assert_int_eq(
            memory_map_set(&map, 3ull * i * PAGE_SIZE, (3ull * i + 2) * PAGE_SIZE, MEMORY_RAM),
            STATUS_OK);
    const struct memory_map before = map;
    ck_assert_int_eq(memory_map_set(&map, 0, PAGE_SIZE, MEMORY_DEVICE), STATUS_FULL);
    ck_assert_int_eq(memory_map_set(&map, 1000 * PAGE_SIZE, 1001 * PAGE_SIZE, MEMORY_RAM),
                     STATUS_FULL);
    ck_assert_mem_eq(&map, &before, sizeof(map));
    // Joining two makes room for one.
    ck_assert_int_eq(memory_map_set(&map, 2 * PAGE_SIZE, 3 * PAGE_SIZE, MEMORY_RAM), STATUS_OK);
    ck_assert_int_eq(memory_map_set(&map, 1000 * PAGE_SIZE, 1001 * PAGE_SIZE, MEMORY_RAM),
                     STATUS_OK);
    ck_assert(memory_map_check(&map));
}
END_TEST

START_TEST(ranges_that_wrap_around_are_refused)
{
    memory_map_init(&map);
    ck_assert_int_eq(memory_map_set(&map, 2, 1, MEMORY_RAM), STATUS_INVALID);
    ck_assert_int_eq(memory_map_set(&map, 0, UINT64_MAX, MEMORY_RESERVED), STATUS_INVALID);
    ck_assert_uint_eq(map.range_count, 0);
}
END_TEST

START_TEST(a_map_that_breaks_a_rule_is_told)
{
    const struct memory_range good = {PAGE_SIZE, PAGE_SIZE, MEMORY_RAM};
    const struct memory_range wrong[] = {{PAGE_SIZE + 1, PAGE_SIZE, MEMORY_RAM},
                                         {PAGE_SIZE, 0, MEMORY_RAM},
                                         {PAGE_SIZE, 1, MEMORY_RAM},
                                         {0, PAGE_SIZE, (enum memory_kind)9},
                                         {-(uint64_t)PAGE_SIZE, 2 * PAGE_SIZE, MEMORY_RAM}};
    for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
        memory_map_init(&map);
        map.range_count = 1;
        map.ranges[0] = wrong[i];
        ck_assert(!memory_map_check(&map));
    }
    memory_map_init(&map);
    map.range_count = 2;
    map.ranges[0] = map.ranges[1] = good;
    ck_assert(!memory_map_check(&map));
    map.range_count = 1;
    ck_assert(memory_map_check(&map));
    map.numa.cpu_node[3] = 1; // there is no node 1
    ck_assert(!memory_map_check(&map));
}
END_TEST

START_TEST(the_unit_tests_machine_has_two_nodes_and_says_that_it_is_simulated)
{
    const struct memory_map *machine = platform_memory();
    ck_assert(memory_map_check(machine));
    ck_assert(machine->simulated);
    ck_assert_uint_eq(machine->numa.node_count, 2);
    ck_assert_ptr_eq(platform_memory(), machine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_map");
    TCase *tests = tcase_create("ranges");
    tcase_add_test(tests, whatever_is_set_in_whatever_order_every_page_is_what_was_said_last);
    tcase_add_test(tests, an_empty_range_sets_nothing_even_inside_a_page);
    tcase_add_test(tests, ram_shrinks_to_whole_pages_and_what_is_taken_grows_to_them);
    tcase_add_test(tests, what_does_not_fit_changes_nothing);
    tcase_add_test(tests, ranges_that_wrap_around_are_refused);
    tcase_add_test(tests, a_map_that_breaks_a_rule_is_told);
    tcase_add_test(tests, the_unit_tests_machine_has_two_nodes_and_says_that_it_is_simulated);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
