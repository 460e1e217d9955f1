// SPDX-License-Identifier: MIT
// The cases of the suite `frames` that work on the machine's own memory map with its nodes
// (platform_memory): all RAM there is, as addresses. None of it is touched, so what others use, and
// the arena itself, may be in it. For the hybrid allocator only: the others know of no nodes.
#ifndef FRAMES_MACHINE_H
#define FRAMES_MACHINE_H

#include "bench.h"
#include "compiler.h"
#include "format.h"
#include "frame.h"
#include "frames.h"
#include "frames_cases.h"
#include "memory_map.h"
#include "platform.h"
#include "string.h"

static bool of_machine(size_t which)
{
    return which == CASE_machine_map || which == CASE_node_local || which == CASE_node_remote;
}

static bool applies_to_machine(size_t which, const struct frame_ops *ops)
{
    return string_equal(ops->about.name, "hybrid") &&
           (which == CASE_machine_map || platform_memory()->numa.node_count > 1);
}

// RAM and the arena, joined where they adjoin; returns how many ranges there are.
static unsigned ram_of(const struct memory_map *map, struct frames_range *ranges)
{
    unsigned count = 0;
    for (unsigned i = 0; i < map->range_count; i++) {
        const struct memory_range *range = &map->ranges[i];
        struct frames_range *const last = count > 0 ? &ranges[count - 1] : NULL;
        if (range->kind != MEMORY_RAM && range->kind != MEMORY_ARENA)
            continue;
        if (last != NULL && last->start + last->length == range->start)
            last->length += range->length;
        else
            ranges[count++] = (struct frames_range){.start = range->start, .length = range->length};
    }
    return count;
}

// The farthest node that has memory and can be reached, or the only one.
static unsigned farthest(const struct frames *machine, const struct numa *numa, unsigned from)
{
    uint8_t order[NUMA_NODES_MOST];
    for (unsigned i = numa_nearest(numa, from, order); i-- > 1;) {
        uint64_t present, available;
        frames_pool_count(machine, order[i], FRAMES_ZONE_NORMAL, &present, &available);
        if (present > CENSUS)
            return order[i];
    }
    return from;
}

// The allocator of the whole machine behind `next`; false if it does not fit in front of `end`.
static bool set_up_machine(size_t which, struct frames_context *context, uint8_t *next,
                           const uint8_t *end)
{
    const struct memory_map *map = platform_memory();
    const struct frames_config config = {
        .numa = &map->numa, .cpus = platform_cpu_count(), FRAMES_CONFIG_PC};
    struct frames_range ranges[MEMORY_RANGES_MOST];
    const unsigned count = ram_of(map, ranges);
    context->machine = (struct frames *)align_up((uintptr_t)next, CACHE_LINE);
    uint8_t *const metadata =
        (uint8_t *)align_up((uintptr_t)context->machine + sizeof(struct frames), PAGE_SIZE);
    const size_t bytes = frames_metadata_bytes(&config, ranges, count);
    if (bytes == 0 || metadata > end || bytes > (size_t)(end - metadata))
        return false;
    memset(context->machine, 0, sizeof(struct frames));
    if (frames_init(context->machine, &config, ranges, count, metadata, bytes) != STATUS_OK)
        return false;
    const unsigned here = map->numa.cpu_node[cpu_local()->index];
    context->node = which == CASE_node_remote ? farthest(context->machine, &map->numa, here) : here;
    return true;
}

// ---- a look at what is handed out ---------------------------------------------------------------

static bool is_ram(const struct memory_map *map, uintptr_t address, uint64_t bytes)
{
    struct frames_range ranges[MEMORY_RANGES_MOST];
    const unsigned count = ram_of(map, ranges);
    for (unsigned i = 0; i < count; i++)
        if (address >= ranges[i].start && address - ranges[i].start < ranges[i].length)
            return bytes <= ranges[i].length - (address - ranges[i].start);
    return false;
}

static void release_all(struct frames *machine, struct run *runs, uint64_t count)
{
    while (count-- > 0)
        frames_release(machine, runs[count].address, runs[count].count);
}

// Some runs of all sizes: all of them RAM, and none shares a frame with another.
static bool check_machine(const struct frames_context *context)
{
    const struct memory_map *map = platform_memory();
    struct run *const runs = context->live;
    bool sound = true;
    uint64_t taken = 0;
    for (; taken < CENSUS / 4; taken++) {
        struct run *const run = &runs[taken];
        run->count = 1 + taken * 3;
        if (frames_allocate_on_node(context->machine, context->node, run->count, &run->address) !=
            STATUS_OK)
            break;
        const uint64_t bytes = run->count * PAGE_SIZE;
        sound = is_ram(map, run->address, bytes) && run->address % PAGE_SIZE == 0 && sound;
        for (uint64_t i = 0; i < taken; i++)
            sound = sound && (runs[i].address >= run->address + bytes ||
                              run->address >= runs[i].address + runs[i].count * PAGE_SIZE);
    }
    release_all(context->machine, runs, taken);
    return sound && taken > 0 && frames_check(context->machine);
}

// ---- counters -----------------------------------------------------------------------------------

// Takes all memory, wanted from one node, in large runs: which nodes give theirs in which order?
// As many of them as stand where the distances put them, of all that gave some.
static void count_fall_back(const struct frames_context *context, const struct bench_counters *out)
{
    const struct numa *numa = &platform_memory()->numa;
    uint8_t near[NUMA_NODES_MOST], seen[NUMA_NODES_MOST];
    const unsigned reachable = numa_nearest(numa, context->node, near);
    unsigned given = 0, in_order = 0, expected_next = 0;
    uint64_t taken = 0;
    for (; taken < RUNS_MOST; taken++) {
        struct run *const run = &context->live[taken];
        run->count = HUGE;
        if (frames_allocate_on_node(context->machine, context->node, HUGE, &run->address) !=
            STATUS_OK)
            break;
        const uint8_t node = (uint8_t)numa_node_of_address(numa, run->address);
        bool known = false;
        for (unsigned i = 0; i < given; i++)
            known = known || seen[i] == node;
        if (known)
            continue;
        seen[given++] = node;
        while (expected_next < reachable && near[expected_next] != node)
            expected_next++; // nodes without memory give none
        in_order += expected_next < reachable;
    }
    release_all(context->machine, context->live, taken);
    out->emit(out->context, "nodes_in_order", in_order, given > 0 ? given : 1, "percent");
}

static void count_map(const struct frames_context *context, const struct bench_counters *out)
{
    const struct memory_map *map = platform_memory();
    struct frames_statistics now;
    char name[32];
    frames_statistics(context->machine, &now);
    out->emit(out->context, "simulated", map->simulated, 1, "count");
    out->emit(out->context, "nodes", map->numa.node_count, 1, "count");
    out->emit(out->context, "frames", now.present, 1, "count");
    for (unsigned node = 0; node < map->numa.node_count; node++) {
        uint64_t frames = 0;
        for (unsigned zone = 0; zone < FRAMES_ZONES; zone++) {
            uint64_t present, available;
            frames_pool_count(context->machine, node, (enum frames_zone)zone, &present, &available);
            frames += present;
        }
        format(name, sizeof(name), "frames_node_%u", node);
        out->emit(out->context, name, frames, 1, "count");
    }
    out->emit(out->context, "metadata_share", now.metadata_bytes, now.present * PAGE_SIZE,
              "percent");
    count_fall_back(context, out);
}

// How many of some frames come from the node that was wanted.
static void count_wanted(const struct frames_context *context, const struct bench_counters *out)
{
    const struct numa *numa = &platform_memory()->numa;
    struct frames_statistics start, end;
    uint64_t wanted = 0, taken = 0;
    frames_statistics(context->machine, &start);
    for (; taken < CENSUS; taken++) {
        struct run *const run = &context->live[taken];
        run->count = 1;
        if (frames_allocate_on_node(context->machine, context->node, 1, &run->address) != STATUS_OK)
            break;
        wanted += numa_node_of_address(numa, run->address) == context->node;
    }
    frames_statistics(context->machine, &end);
    release_all(context->machine, context->live, taken);
    out->emit(out->context, "of_wanted_node", wanted, taken > 0 ? taken : 1, "percent");
    out->emit(out->context, "fall_backs", end.remote - start.remote, 1, "count");
    out->emit(out->context, "distance",
              numa->distance[numa->cpu_node[cpu_local()->index]][context->node], 1, "count");
    out->emit(out->context, "simulated", platform_memory()->simulated, 1, "count");
}

#endif
