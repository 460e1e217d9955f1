// SPDX-License-Identifier: MIT
// Nodes and zones: memory maps of three architectures as data, which node serves whom and in which
// order, policies, and that nothing outside RAM is ever handed out.
#include "frames_subject.h"
#include "memory_maps.h"

static struct frames frames;
static struct numa numa;

static void frames_of_map(const struct memory_map_of *map)
{
    const struct frames_config config = memory_map_config(map, &numa);
    frames_over(&frames, &config, map->ranges, memory_map_ranges(map));
}

// ---- maps --------------------------------------------------------------------------------------

// Whole pages of RAM (or of devices) of a map, without the one at address 0.
static uint64_t pages_of(const struct memory_map_of *map, bool device)
{
    uint64_t pages = 0;
    for (unsigned i = 0; i < memory_map_ranges(map); i++) {
        const struct frames_range *range = &map->ranges[i];
        uint64_t first = (range->start + PAGE_SIZE - 1) / PAGE_SIZE;
        first = first == 0 ? 1 : first;
        pages += range->device == device ? (range->start + range->length) / PAGE_SIZE - first : 0;
    }
    return pages;
}

static bool lies_inside(const struct memory_map_of *map, uintptr_t address, uint64_t count,
                        bool device)
{
    const uintptr_t end = address + count * PAGE_SIZE;
    uintptr_t at = address;
    for (unsigned i = 0; i < memory_map_ranges(map); i++) {
        const struct frames_range *range = &map->ranges[i];
        if (range->device == device && at >= range->start && at < range->start + range->length)
            at = range->start + range->length;
    }
    return address != 0 && at >= end;
}

struct run {
    uintptr_t address;
    uint64_t count;
};

// Everything a zone's requests can get, in runs of falling length; checks that each lies in RAM.
static uint64_t take_all(const struct memory_map_of *map, uint8_t zone, struct run *runs,
                         unsigned *run_count)
{
    static const uint64_t counts[] = {1u << 18, 1u << 14, 700, 512, 33, 1};
    uint64_t sum = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        const struct frames_request request = {.count = counts[i], .zone = zone};
        struct run *run = &runs[*run_count];
        while (frames_allocate(&frames, &request, &run->address) == STATUS_OK) {
            run->count = counts[i];
            if (!lies_inside(map, run->address, run->count, zone == FRAMES_ZONE_DEVICE))
                ck_abort_msg("%s: %lu frames at %#lx", map->name, (unsigned long)run->count,
                             (unsigned long)run->address);
            sum += run->count;
            run = &runs[++*run_count];
        }
    }
    return sum;
}

START_TEST(nothing_outside_ram_is_handed_out_and_all_of_it_is)
{
    const struct memory_map_of *map = &memory_maps[_i];
    static struct run runs[100000];
    unsigned count = 0;
    frames_of_map(map);
    const uint64_t ram = pages_of(map, false), device = pages_of(map, true);
    ck_assert_uint_eq(statistics_of(&frames).present, ram + device);
    const uint8_t widest = map->high_start != 0 ? FRAMES_ZONE_HIGH : FRAMES_ZONE_NORMAL;
    ck_assert_uint_eq(take_all(map, widest, runs, &count), ram);
    ck_assert_uint_eq(take_all(map, FRAMES_ZONE_DEVICE, runs, &count), device);
    ck_assert_uint_eq(statistics_of(&frames).free, 0);
    ck_assert(frames_check(&frames));
    // No two overlap: each is released once, and then all is there.
    while (count-- > 0)
        ck_assert_int_eq(frames_release(&frames, runs[count].address, runs[count].count),
                         STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(holes_devices_and_the_first_page_are_foreign)
{
    for (unsigned m = 0; m < ARRAY_COUNT(memory_maps); m++) {
        const struct memory_map_of *map = &memory_maps[m];
        frames_of_map(map);
        ck_assert_int_eq(frames_release(&frames, 0, 1), STATUS_FOREIGN);
        for (unsigned i = 0; i < memory_map_ranges(map); i++) {
            const uintptr_t end =
                (map->ranges[i].start + map->ranges[i].length) & ~(uintptr_t)(PAGE_SIZE - 1);
            const bool touched = i + 1 < memory_map_ranges(map) && map->ranges[i + 1].start == end;
            ck_assert_int_eq(frames_release(&frames, end, 1),
                             touched ? STATUS_DOUBLE : STATUS_FOREIGN);
            ck_assert_int_eq(frames_release_one(&frames, end - PAGE_SIZE), STATUS_DOUBLE);
        }
        ck_assert(frames_check(&frames));
    }
}
END_TEST

START_TEST(metadata_of_every_map_is_below_one_percent)
{
    for (unsigned m = 0; m < ARRAY_COUNT(memory_maps); m++) {
        frames_of_map(&memory_maps[m]);
        const struct frames_statistics s = statistics_of(&frames);
        if (s.metadata_bytes * 100 >= s.present * PAGE_SIZE)
            ck_abort_msg("%s: %lu bytes", memory_maps[m].name, (unsigned long)s.metadata_bytes);
    }
}
END_TEST

START_TEST(zones_lie_where_the_map_says)
{
    const struct memory_map_of *map = &memory_maps[2];
    uint64_t present, available;
    frames_of_map(map);
    frames_pool_count(&frames, 0, FRAMES_ZONE_DMA, &present, &available);
    ck_assert_uint_eq(present, (0x9e000 + M(15)) / PAGE_SIZE);
    frames_pool_count(&frames, 0, FRAMES_ZONE_NORMAL, &present, &available);
    ck_assert_uint_eq(present, M(880) / PAGE_SIZE);
    frames_pool_count(&frames, 0, FRAMES_ZONE_HIGH, &present, &available);
    ck_assert_uint_eq(present, M(1152) / PAGE_SIZE);
    ck_assert_uint_eq(available, present);
    static const uint8_t zones[] = {FRAMES_ZONE_DMA, FRAMES_ZONE_NORMAL, FRAMES_ZONE_HIGH};
    for (unsigned i = 0; i < ARRAY_COUNT(zones); i++) {
        const struct frames_request request = {.count = 1, .zone = zones[i]};
        uintptr_t address;
        ck_assert_int_eq(frames_allocate(&frames, &request, &address), STATUS_OK);
        ck_assert((address < M(16)) == (zones[i] == FRAMES_ZONE_DMA));
        ck_assert((address >= M(896)) == (zones[i] == FRAMES_ZONE_HIGH));
    }
    const struct frames_request device = {.count = 1, .zone = FRAMES_ZONE_DEVICE};
    uintptr_t address;
    ck_assert_int_eq(frames_allocate(&frames, &device, &address), STATUS_NO_MEMORY);
}
END_TEST

// ---- nodes -------------------------------------------------------------------------------------

#define FOUR_NODES (&memory_maps[6])
#define TWO_NODES  (&memory_maps[1])

static unsigned node_of(uintptr_t address)
{
    return numa_node_of_address(&numa, address);
}

static uint64_t left_on(unsigned node)
{
    uint64_t present, available;
    frames_pool_count(&frames, node, FRAMES_ZONE_NORMAL, &present, &available);
    return available;
}

START_TEST(each_cpu_gets_single_frames_of_its_own_node)
{
    frames_of_map(FOUR_NODES);
    for (unsigned cpu = 0; cpu < 4; cpu++) {
        uintptr_t got[300];
        test_cpu_enter(cpu);
        for (unsigned i = 0; i < 300; i++) {
            ck_assert_int_eq(frames_allocate_one(&frames, &got[i]), STATUS_OK);
            ck_assert_uint_eq(node_of(got[i]), cpu);
        }
        // Freed on another node, they go home, and not into that CPU's stack.
        test_cpu_enter((cpu + 1) % 4);
        for (unsigned i = 0; i < 300; i++)
            ck_assert_int_eq(frames_release_one(&frames, got[i]), STATUS_OK);
        uintptr_t address;
        ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
        ck_assert_uint_eq(node_of(address), (cpu + 1) % 4);
        ck_assert_int_eq(frames_release_one(&frames, address), STATUS_OK);
    }
    ck_assert_uint_eq(statistics_of(&frames).remote, 0);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_full_node_falls_back_on_the_nearest_and_keeps_what_was_asked_for)
{
    static const unsigned order[] = {3, 2, 1, 0}; // from node 3
    frames_of_map(FOUR_NODES);
    uint64_t served = 0;
    for (unsigned i = 0; i < 4; i++) {
        while (left_on(order[i]) >= 1u << 14) {
            const struct frames_request request = {
                .count = 32, .node = 3, .flags = FRAMES_ON_NODE | FRAMES_HUGE};
            uintptr_t address;
            if (frames_allocate(&frames, &request, &address) != STATUS_OK)
                break;
            if (address % (2 * MIB) != 0)
                ck_abort_msg("%#lx is not huge", (unsigned long)address);
            if (node_of(address) != order[i])
                ck_abort_msg("node %u instead of %u", node_of(address), order[i]);
            served += i > 0;
        }
    }
    ck_assert_uint_eq(statistics_of(&frames).remote, served);
    ck_assert_uint_gt(served, 0);
}
END_TEST

START_TEST(only_that_node_means_only_that_node)
{
    frames_of_map(FOUR_NODES);
    struct frames_request request = {
        .count = 1u << 18, .node = 2, .flags = FRAMES_ON_NODE | FRAMES_NODE_ONLY};
    uintptr_t address;
    ck_assert_int_eq(frames_allocate(&frames, &request, &address), STATUS_OK);
    ck_assert_uint_eq(node_of(address), 2);
    request.count = 1;
    ck_assert_int_eq(frames_allocate(&frames, &request, &address), STATUS_NO_MEMORY);
    request.flags = FRAMES_ON_NODE;
    ck_assert_int_eq(frames_allocate(&frames, &request, &address), STATUS_OK);
    ck_assert_uint_eq(node_of(address), 1); // as far as 3, the lower number
    ck_assert_int_eq(frames_allocate_on_node(&frames, 3, 5, &address), STATUS_OK);
    ck_assert_uint_eq(node_of(address), 3);
    ck_assert_int_eq(frames_allocate_on_node(&frames, 4, 5, &address), STATUS_INVALID);
}
END_TEST

START_TEST(dma_memory_is_left_alone_until_no_node_has_any_other)
{
    frames_of_map(TWO_NODES);
    uint64_t dma, present;
    uintptr_t address;
    frames_pool_count(&frames, 0, FRAMES_ZONE_DMA, &present, &dma);
    ck_assert_uint_eq(dma, present);
    const struct frames_request chunk = {.count = 512}, frame = {.count = 1};
    while (left_on(0) + left_on(1) > 2 * 512 && frames_allocate(&frames, &chunk, &address) == 0)
        ck_assert_uint_ge(address, M(16));
    while (left_on(0) + left_on(1) > 0) {
        ck_assert_int_eq(frames_allocate(&frames, &frame, &address), STATUS_OK);
        ck_assert_uint_ge(address, M(16));
    }
    ck_assert_int_eq(frames_allocate(&frames, &frame, &address), STATUS_OK);
    ck_assert_uint_lt(address, M(16));
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
    ck_assert_uint_lt(address, M(16));
    ck_assert_int_eq(frames_release_one(&frames, address), STATUS_OK);
    frames_pool_count(&frames, 0, FRAMES_ZONE_DMA, &present, &dma);
    ck_assert_uint_eq(dma, present - 1);
}
END_TEST

START_TEST(a_node_without_memory_is_served_by_the_nearest)
{
    const struct frames_range range = {.start = 64 * MIB, .length = 16 * MIB};
    struct frames_config config = plain_config(2);
    numa_set_nodes(&subject_numa, 3);
    subject_numa.distance[0][2] = 15;
    subject_numa.cpu_node[1] = 1;
    numa_add_range(&subject_numa, 64 * MIB, 80 * MIB, 2, false);
    frames_over(&frames, &config, &range, 1);
    for (unsigned cpu = 0; cpu < 2; cpu++) {
        uintptr_t address;
        test_cpu_enter(cpu);
        for (unsigned i = 0; i < 100; i++)
            ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
        ck_assert_uint_eq(numa_node_of_address(&subject_numa, address), 2);
    }
    ck_assert_uint_eq(statistics_of(&frames).refills, 4); // by stacks, not one by one
}
END_TEST

// ---- policies ----------------------------------------------------------------------------------

START_TEST(interleave_goes_round_its_nodes_and_bind_stays_on_them)
{
    static const unsigned turn[] = {0, 2, 3};
    frames_of_map(FOUR_NODES);
    const struct frames_request request = {.count = 4};
    struct frames_policy interleave = {.kind = FRAMES_INTERLEAVE, .nodes = 0xd};
    uintptr_t address;
    for (unsigned i = 0; i < 60; i++) {
        ck_assert_int_eq(frames_allocate_policy(&frames, &interleave, &request, &address),
                         STATUS_OK);
        ck_assert_uint_eq(node_of(address), turn[i % 3]);
    }
    struct frames_policy bind = {.kind = FRAMES_BIND, .nodes = 0x6};
    const struct frames_request half = {.count = 1u << 17};
    unsigned got[4] = {0};
    while (frames_allocate_policy(&frames, &bind, &half, &address) == STATUS_OK)
        got[node_of(address)]++;
    ck_assert_uint_eq(got[0] + got[3], 0);
    ck_assert_uint_ge(got[1], 3); // 2 GiB, less a chunk or so
    ck_assert_uint_ge(got[2], 1);
    ck_assert_uint_gt(left_on(0), 1u << 17);
    // The flags of the request stay: a node outside of the policy's has nothing.
    const struct frames_request outside = {
        .count = 1, .node = 0, .flags = FRAMES_ON_NODE | FRAMES_NODE_ONLY};
    ck_assert_int_eq(frames_allocate_policy(&frames, &bind, &outside, &address), STATUS_NO_MEMORY);
    struct frames_policy local = {.kind = FRAMES_LOCAL};
    test_cpu_enter(3);
    ck_assert_int_eq(frames_allocate_policy(&frames, &local, &request, &address), STATUS_OK);
    ck_assert_uint_eq(node_of(address), 3);
}
END_TEST

START_TEST(a_policy_without_nodes_is_refused)
{
    frames_of_map(FOUR_NODES);
    const struct frames_request request = {.count = 1};
    struct frames_policy none = {.kind = FRAMES_BIND, .nodes = 0xfff0};
    uintptr_t address;
    ck_assert_int_eq(frames_allocate_policy(&frames, &none, &request, &address), STATUS_INVALID);
    none.kind = FRAMES_INTERLEAVE;
    ck_assert_int_eq(frames_allocate_policy(&frames, &none, &request, &address), STATUS_INVALID);
}
END_TEST

START_TEST(an_interleave_falls_back_when_its_node_is_full)
{
    frames_of_map(FOUR_NODES);
    const struct frames_request request = {.count = 1u << 17};
    struct frames_policy interleave = {.kind = FRAMES_INTERLEAVE, .nodes = 0xc};
    unsigned got[4] = {0};
    uintptr_t address;
    while (frames_allocate_policy(&frames, &interleave, &request, &address) == STATUS_OK)
        got[node_of(address)]++;
    ck_assert_uint_eq(got[2], 2);
    ck_assert_uint_eq(got[3], 2);
    ck_assert_uint_ge(got[0] + got[1], 6);
}
END_TEST

START_TEST(more_regions_than_there_may_be_are_refused)
{
    struct frames_range ranges[FRAMES_REGIONS_MOST + 1];
    for (unsigned i = 0; i <= FRAMES_REGIONS_MOST; i++)
        ranges[i] = (struct frames_range){.start = (i + 1) * MIB, .length = 8 * KIB};
    const struct frames_config config = plain_config(1);
    ck_assert_uint_gt(frames_metadata_bytes(&config, ranges, FRAMES_REGIONS_MOST), 0);
    ck_assert_uint_eq(frames_metadata_bytes(&config, ranges, FRAMES_REGIONS_MOST + 1), 0);
    frames_over(&frames, &config, ranges, FRAMES_REGIONS_MOST);
    ck_assert_uint_eq(statistics_of(&frames).regions, FRAMES_REGIONS_MOST);
    uintptr_t address;
    for (unsigned i = 0; i < 2 * FRAMES_REGIONS_MOST; i++)
        ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_NO_MEMORY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frames_numa");
    TCase *tests = tcase_create("frames_numa");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, NULL, subject_tear_down);
    tcase_add_loop_test(tests, nothing_outside_ram_is_handed_out_and_all_of_it_is, 0,
                        ARRAY_COUNT(memory_maps));
    tcase_add_test(tests, holes_devices_and_the_first_page_are_foreign);
    tcase_add_test(tests, metadata_of_every_map_is_below_one_percent);
    tcase_add_test(tests, zones_lie_where_the_map_says);
    tcase_add_test(tests, each_cpu_gets_single_frames_of_its_own_node);
    tcase_add_test(tests, a_full_node_falls_back_on_the_nearest_and_keeps_what_was_asked_for);
    tcase_add_test(tests, only_that_node_means_only_that_node);
    tcase_add_test(tests, dma_memory_is_left_alone_until_no_node_has_any_other);
    tcase_add_test(tests, a_node_without_memory_is_served_by_the_nearest);
    tcase_add_test(tests, interleave_goes_round_its_nodes_and_bind_stays_on_them);
    tcase_add_test(tests, a_policy_without_nodes_is_refused);
    tcase_add_test(tests, an_interleave_falls_back_when_its_node_is_full);
    tcase_add_test(tests, more_regions_than_there_may_be_are_refused);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
