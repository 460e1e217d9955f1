// SPDX-License-Identifier: MIT
// SLUB on several nodes: local first, nearest next; objects go home; balancing.
#include <check.h>
#include <signal.h>

#include "run_checks.h"
#include "slub_subject.h"

#define NODES      3u
#define NODE_BYTES (1u << 20)

static struct subject s;

// CPU n is near node n. From node 0 node 2 is nearer than node 1.
static void open_with(const struct slub_settings *settings)
{
    struct numa numa;
    numa_init(&numa);
    numa_set_nodes(&numa, NODES);
    for (unsigned i = 0; i < NODES; i++)
        numa.cpu_node[i] = (uint8_t)i;
    numa.distance[0][1] = 40;
    subject_open(&s, NODES, NODE_BYTES, NODES, settings, &numa);
}

static void close_all(void)
{
    test_cpu_enter(0);
    subject_close(&s);
}

static unsigned node_of(const void *object)
{
    return (unsigned)(((uintptr_t)object - (uintptr_t)s.arena) / NODE_BYTES);
}

static struct slub_statistics numbers_of(unsigned cpu, unsigned number)
{
    struct slub_statistics n;
    slub_cpu_statistics(s.slub, cpu, number, &n);
    return n;
}

START_TEST(memory_comes_from_the_node_of_the_cpu)
{
    static const size_t sizes[] = {8, 100, 1000, 8192, 30000};
    open_with(NULL);
    for (unsigned cpu = 0; cpu < NODES; cpu++) {
        test_cpu_enter(cpu);
        for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
            ck_assert_uint_eq(node_of(slub_allocate(s.slub, sizes[i], 0)), cpu);
            ck_assert_uint_eq(node_of(slub_allocate_aligned(s.slub, sizes[i], 64, 0)), cpu);
        }
    }
    ck_assert(slub_check(s.slub));
    close_all();
}
END_TEST

START_TEST(a_node_that_is_used_up_is_helped_by_the_nearest)
{
    unsigned from[NODES] = {0};
    unsigned last = 0;
    open_with(NULL);
    for (;;) {
        void *object = slub_allocate(s.slub, 2048, 0);
        if (object == NULL)
            break;
        const unsigned node = node_of(object);
        from[node]++;
        // 0, then 2, then 1; the order never turns back.
        EXPECT(node == 0 ? last == 0 : node == 2 ? last != 1 : true);
        last = node;
    }
    for (unsigned i = 0; i < NODES; i++)
        ck_assert_uint_eq(from[i], NODE_BYTES / 2048);
    ck_assert(slub_check(s.slub));
    close_all();
}
END_TEST

START_TEST(a_node_that_cannot_be_reached_is_not_asked)
{
    struct numa numa;
    unsigned count = 0;
    numa_init(&numa);
    numa_set_nodes(&numa, NODES);
    numa.distance[0][1] = NUMA_UNREACHABLE;
    subject_open(&s, NODES, NODE_BYTES, 1, NULL, &numa);
    for (void *object; (object = slub_allocate(s.slub, 8192, 0)) != NULL; count++)
        EXPECT(node_of(object) != 1);
    ck_assert_uint_eq(count, 2 * NODE_BYTES / 8192);
    close_all();
}
END_TEST

START_TEST(objects_freed_far_away_go_home_in_batches)
{
    void *objects[70];
    open_with(NULL);
    for (unsigned i = 0; i < 70; i++)
        objects[i] = slub_allocate(s.slub, 64, 0);
    test_cpu_enter(1);
    for (unsigned i = 0; i < 70; i++) {
        slub_free(s.slub, objects[i]);
        // Never more than a batch waits here.
        EXPECT(numbers_of(1, 3).cached == (i + 1) % 32);
    }
    ck_assert_uint_eq(numbers_of(1, 3).remote_frees, 70);
    ck_assert_uint_eq(numbers_of(1, 3).frees, 70);
    // They do not serve this CPU: its own node does.
    ck_assert_uint_eq(node_of(slub_allocate(s.slub, 64, 0)), 1);
    ck_assert(slub_check(s.slub));
    test_cpu_enter(0);
    for (unsigned i = 0; i < 26 + 64; i++) // the list's, then those that came home
        ck_assert_uint_eq(node_of(slub_allocate(s.slub, 64, 0)), 0);
    ck_assert_uint_eq(s.slub->nodes[0].depots[3].slabs, 2);
    close_all();
}
END_TEST

START_TEST(one_batch_of_several_nodes_objects_goes_to_each_of_them)
{
    void *objects[40];
    open_with(NULL);
    for (unsigned i = 0; i < 40; i++) {
        test_cpu_enter(1 + i % 2);
        objects[i] = slub_allocate(s.slub, 64, 0);
    }
    test_cpu_enter(0);
    for (unsigned i = 0; i < 40; i++)
        slub_free(s.slub, objects[i]);
    ck_assert_uint_eq(numbers_of(0, 3).remote_frees, 40);
    ck_assert_uint_eq(numbers_of(0, 3).cached, 8);
    ck_assert(slub_check(s.slub));
    subject_expect_all_back(&s);
    close_all();
}
END_TEST

START_TEST(a_list_that_holds_other_nodes_objects_gives_them_home)
{
    void *objects[100];
    unsigned count = 0;
    open_with(NULL);
    s.sources[0].closed = true;
    for (; count < 100; count++) {
        objects[count] = slub_allocate(s.slub, 64, 0);
        EXPECT(node_of(objects[count]) == 2);
    }
    for (unsigned i = 0; i < 100; i++)
        slub_free(s.slub, objects[i]);
    ck_assert(slub_check(s.slub));
    slub_flush(s.slub);
    ck_assert_uint_eq(numbers_of(0, 3).cached, 0);
    subject_expect_all_back(&s);
    close_all();
}
END_TEST

START_TEST(a_large_block_is_freed_from_any_cpu)
{
    open_with(NULL);
    void *block = slub_allocate(s.slub, 100000, 0);
    test_cpu_enter(2);
    slub_free(s.slub, block);
    subject_expect_all_back(&s);
    close_all();
}
END_TEST

static void free_far_twice(void *object)
{
    slub_free(s.slub, object);
    slub_free(s.slub, object);
}

START_TEST(a_double_free_far_away_is_found)
{
    char line[160];
    open_with(NULL);
    void *object = slub_allocate(s.slub, 64, 0);
    test_cpu_enter(1);
    snprintf(line, sizeof line, "slub size-64: double free at 0x%lx, owners unknown",
             (unsigned long)object);
    expect_panic(free_far_twice, object, line);
    close_all();
}
END_TEST

START_TEST(balancing_leaves_no_node_more_than_its_share_of_empty_slabs)
{
    struct slub_settings settings = slub_defaults;
    void *objects[80];
    settings.empty_percent = 100;
    settings.per_cpu_objects = 2;
    settings.bulk_objects = 1;
    open_with(&settings);
    for (unsigned i = 0; i < 80; i++) // 20 slabs on node 0
        objects[i] = slub_allocate(s.slub, 2048, 0);
    slub_free_bulk(s.slub, 80, objects);
    test_cpu_enter(1);
    for (unsigned i = 0; i < 12; i++) // 3 on node 1
        objects[i] = slub_allocate(s.slub, 2048, 0);
    slub_free_bulk(s.slub, 12, objects);
    slub_flush(s.slub);
    ck_assert_uint_eq(s.slub->nodes[0].depots[8].empties, 20);
    ck_assert_uint_eq(s.slub->nodes[1].depots[8].empties, 3);
    // 23 of three nodes: 8 each at the most.
    ck_assert_uint_eq(slub_balance(s.slub), 12 * 2 * PAGE_SIZE);
    ck_assert_uint_eq(s.slub->nodes[0].depots[8].empties, 8);
    ck_assert_uint_eq(s.slub->nodes[1].depots[8].empties, 3);
    ck_assert(slub_check(s.slub));
    subject_expect_all_back(&s);
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slub, nodes");
    TCase *tests = tcase_create("several nodes");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, memory_comes_from_the_node_of_the_cpu);
    tcase_add_test(tests, a_node_that_is_used_up_is_helped_by_the_nearest);
    tcase_add_test(tests, a_node_that_cannot_be_reached_is_not_asked);
    tcase_add_test(tests, objects_freed_far_away_go_home_in_batches);
    tcase_add_test(tests, one_batch_of_several_nodes_objects_goes_to_each_of_them);
    tcase_add_test(tests, a_list_that_holds_other_nodes_objects_gives_them_home);
    tcase_add_test(tests, a_large_block_is_freed_from_any_cpu);
    tcase_add_test(tests, a_double_free_far_away_is_found);
    tcase_add_test(tests, balancing_leaves_no_node_more_than_its_share_of_empty_slabs);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
