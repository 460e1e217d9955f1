// SPDX-License-Identifier: MIT
// What becomes of memory at init, which pools a request asks, in which order, and how often.
#include "frames.h"

#include "assert.h"
#include "frames_zone.h"
#include "string.h"

// ---- regions out of ranges ----------------------------------------------------------------------

struct piece {
    uintptr_t start, end;
    unsigned node;
    enum frames_zone zone;
};

struct cursor {
    unsigned range;
    uintptr_t at; // 0: at the beginning of the range
};

static uintptr_t page_up(uintptr_t address)
{
    return (address + PAGE_SIZE - 1) & ~(uintptr_t)(PAGE_SIZE - 1);
}

static uintptr_t page_down(uintptr_t address)
{
    return address & ~(uintptr_t)(PAGE_SIZE - 1);
}

// Cuts `end` down to `at` if that lies inside.
static uintptr_t cut(uintptr_t start, uintptr_t end, uint64_t at)
{
    return at > start && at < end ? (uintptr_t)at : end;
}

// Cuts a piece so that all of it is of one zone and one node.
static void cut_piece(const struct frames_config *config, bool device, struct piece *piece)
{
    const struct numa *numa = config->numa;
    const uintptr_t start = piece->start;
    uintptr_t end = cut(start, piece->end, start + BUDDY_SPAN_LIMIT);
    piece->zone = FRAMES_ZONE_DEVICE;
    if (!device) {
        end = cut(start, end, config->dma_end);
        end = cut(start, end, config->high_start);
        piece->zone = start < config->dma_end ? FRAMES_ZONE_DMA : FRAMES_ZONE_NORMAL;
        if (config->high_start != 0 && start >= config->high_start)
            piece->zone = FRAMES_ZONE_HIGH;
    }
    piece->node = numa_node_of_address(numa, start);
    for (unsigned i = 0; i < numa->range_count; i++) {
        const uint64_t bounds[] = {page_up(numa->ranges[i].start), page_down(numa->ranges[i].end)};
        for (unsigned k = 0; k < ARRAY_COUNT(bounds); k++)
            if (numa_node_of_address(numa, bounds[k]) != piece->node)
                end = cut(start, end, bounds[k]);
    }
    piece->end = end;
}

// The next frames that make a region; false at the end. Ranges that touch are one.
static bool next_piece(const struct frames_config *config, const struct frames_range *ranges,
                       unsigned count, struct cursor *cursor, struct piece *piece)
{
    for (; cursor->range < count; cursor->range++, cursor->at = 0) {
        const struct frames_range *range = &ranges[cursor->range];
        piece->start = page_up(max_u64(cursor->at != 0 ? cursor->at : range->start, PAGE_SIZE));
        uintptr_t end = range->start + range->length;
        for (unsigned i = cursor->range + 1;
             i < count && ranges[i].start == end && ranges[i].device == range->device; i++) {
            end += ranges[i].length;
            cursor->range = i;
        }
        piece->end = page_down(end);
        if (piece->start >= piece->end)
            continue;
        cut_piece(config, range->device, piece);
        if (piece->end < page_down(end)) {
            cursor->at = piece->end;
        } else {
            cursor->range++;
            cursor->at = 0;
        }
        return true;
    }
    return false;
}

static bool valid(const struct frames_config *config, const struct frames_range *ranges,
                  unsigned count)
{
    const struct frames_marks *marks = &config->marks;
    if (config->numa == NULL || config->cpus == 0 || config->cpus > CPU_MOST ||
        config->dma_end % PAGE_SIZE != 0 || config->high_start % PAGE_SIZE != 0 ||
        config->lend_order < FRAMES_CHUNK_ORDER || config->lend_order > 13)
        return false;
    if (config->high_start != 0 && config->high_start < config->dma_end)
        return false;
    if (marks->low > FRAMES_MARK_WHOLE || marks->min > marks->low || marks->critical > marks->min ||
        marks->reserve > marks->critical)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (ranges[i].length > UINTPTR_MAX - ranges[i].start)
            return false;
        if (i > 0 && ranges[i].start < ranges[i - 1].start + ranges[i - 1].length)
            return false;
    }
    return true;
}

// Number of regions, and the bytes of metadata for all in `bytes`; 0 regions if it cannot be.
static unsigned plan(const struct frames_config *config, const struct frames_range *ranges,
                     unsigned count, size_t *bytes)
{
    struct cursor cursor = {0};
    struct piece piece;
    unsigned regions = 0;
    if (!valid(config, ranges, count))
        return 0;
    *bytes = config->cpus * sizeof(struct frames_cache);
    while (next_piece(config, ranges, count, &cursor, &piece)) {
        if (++regions > FRAMES_REGIONS_MOST)
            return 0;
        *bytes += frames_region_metadata_bytes(piece.start, piece.end - piece.start) +
                  sizeof(struct frames_region);
    }
    return regions;
}

size_t frames_metadata_bytes(const struct frames_config *config, const struct frames_range *ranges,
                             unsigned count)
{
    size_t bytes = 0;
    return plan(config, ranges, count, &bytes) == 0 ? 0 : bytes;
}

// ---- init ---------------------------------------------------------------------------------------

static int64_t mark(const struct frames_pool *pool, uint16_t parts)
{
    return (int64_t)(pool->present * parts / FRAMES_MARK_WHOLE);
}

static void init_pools(struct frames *frames)
{
    const struct numa *numa = frames->config.numa;
    frames->node_count = numa->node_count;
    for (unsigned node = 0; node < numa->node_count; node++) {
        frames->nearest_count[node] = (uint8_t)numa_nearest(numa, node, frames->nearest[node]);
        for (unsigned zone = 0; zone < FRAMES_ZONES; zone++) {
            struct frames_pool *pool = &frames->pools[node][zone];
            pool->node = (uint8_t)node;
            pool->zone = (uint8_t)zone;
        }
    }
    // Regions are linked from the last on, so that a pool has them ascending.
    for (unsigned i = frames->region_count; i-- > 0;) {
        struct frames_region *region = &frames->regions[i];
        struct frames_pool *pool = frames_pool_of(frames, region);
        region->next = pool->first;
        pool->first = region;
        pool->present += (region->end - region->start) >> PAGE_SHIFT;
        pool->available = (int64_t)pool->present;
        pool->low = mark(pool, frames->config.marks.low);
        pool->min = mark(pool, frames->config.marks.min);
        pool->critical = mark(pool, frames->config.marks.critical);
        pool->reserve = mark(pool, frames->config.marks.reserve);
    }
}

enum status frames_init(struct frames *frames, const struct frames_config *config,
                        const struct frames_range *ranges, unsigned count, void *metadata,
                        size_t metadata_length)
{
    size_t bytes = 0;
    const unsigned regions = plan(config, ranges, count, &bytes);
    char *at = metadata;
    if (regions == 0 || (uintptr_t)metadata % CACHE_LINE != 0)
        return STATUS_INVALID;
    if (metadata_length < bytes)
        return STATUS_NO_MEMORY;
    // Not an assignment of the whole: others may be reading `ready`.
    __atomic_store_n(&frames->ready, 0, __ATOMIC_RELAXED);
    memset((char *)frames + sizeof(frames->ready), 0, sizeof(*frames) - sizeof(frames->ready));
    frames->config = *config;
    frames->cpus = config->cpus;
    frames->metadata_bytes = bytes + sizeof(*frames);
    for (unsigned cpu = 0; cpu < config->cpus; cpu++, at += sizeof(struct frames_cache)) {
        frames->cache_of[cpu] = (struct frames_cache *)(void *)at;
        memset(at, 0, sizeof(struct frames_cache));
    }
    frames->regions = (struct frames_region *)(void *)at;
    frames->region_count = regions;
    at += regions * sizeof(struct frames_region);
    struct cursor cursor = {0};
    struct piece piece;
    for (unsigned i = 0; i < regions && next_piece(config, ranges, count, &cursor, &piece); i++) {
        struct frames_region *region = &frames->regions[i];
        frames_region_init(region, piece.start, piece.end - piece.start, at);
        at += frames_region_metadata_bytes(piece.start, piece.end - piece.start);
        region->node = (uint8_t)piece.node;
        region->zone = (uint8_t)piece.zone;
        region->lend_order = config->lend_order;
        region->keep = (uint32_t)max_u64(2, (uint64_t)region->bitmap.chunk_count * config->keep /
                                                FRAMES_MARK_WHOLE);
    }
    init_pools(frames);
    // Release: who reads that the object is ready, for statistics, sees all of it.
    __atomic_store_n(&frames->ready, 1, __ATOMIC_RELEASE);
    return STATUS_OK;
}

struct frames_region *frames_region_of(const struct frames *frames, uintptr_t address)
{
    unsigned low = 0, high = frames->region_count; // regions are ascending
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        struct frames_region *region = &frames->regions[middle];
        if (address < region->start)
            high = middle;
        else if (address >= region->end)
            low = middle + 1;
        else
            return region;
    }
    return NULL;
}

// ---- which pool ---------------------------------------------------------------------------------

uint64_t frames_pool_reserve(struct frames_pool *pool, uint64_t least, uint64_t most, int64_t floor)
{
    int64_t available = frames_pool_available(pool);
    for (;;) {
        const int64_t above = available - floor;
        if (above < (int64_t)least)
            return 0;
        const uint64_t count = min_u64((uint64_t)above, most);
        // Relaxed: it is a number; the frames themselves are claimed from buddy or bitmap.
        if (__atomic_compare_exchange_n(&pool->available, &available, available - (int64_t)count,
                                        true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return count;
    }
}

static bool take_from_pool(struct frames_pool *pool, const struct frames_wish *wish,
                           uintptr_t *address)
{
    const int64_t floor = (wish->flags & FRAMES_RESERVE) != 0 ? 0 : pool->reserve;
    if (frames_pool_reserve(pool, wish->count, wish->count, floor) == 0)
        return false;
    for (struct frames_region *region = pool->first; region != NULL; region = region->next)
        if (region->start <= wish->last && frames_region_take(region, wish, address))
            return true;
    frames_pool_add(pool, wish->count);
    return false;
}

// The zones a request may be served from on a node, the wanted one first; the same for all nodes.
// DMA comes in a second round over the nodes, where it was not wanted.
static unsigned zones_of(unsigned zone, bool second, uint8_t zones[2])
{
    if (second) {
        zones[0] = FRAMES_ZONE_DMA;
        return zone == FRAMES_ZONE_NORMAL || zone == FRAMES_ZONE_HIGH;
    }
    zones[0] = (uint8_t)zone;
    zones[1] = FRAMES_ZONE_NORMAL;
    return zone == FRAMES_ZONE_HIGH ? 2 : 1;
}

bool frames_take(struct frames *frames, const struct frames_wish *wish, uintptr_t *address)
{
    const uint8_t *nearest = frames->nearest[wish->node];
    uint8_t zones[2];
    for (unsigned second = 0; second < 2; second++) {
        const unsigned zone_count = zones_of(wish->zone, second, zones);
        for (unsigned i = 0; zone_count > 0 && i < frames->nearest_count[wish->node]; i++) {
            if ((wish->nodes >> nearest[i] & 1) == 0)
                continue;
            for (unsigned k = 0; k < zone_count; k++) {
                if (!take_from_pool(&frames->pools[nearest[i]][zones[k]], wish, address))
                    continue;
                FRAMES_COUNT(frames, slow_allocations, 1);
                if (nearest[i] != wish->node)
                    FRAMES_COUNT(frames, remote, 1);
                return true;
            }
        }
    }
    return false;
}

// ---- requests -----------------------------------------------------------------------------------

_Static_assert(NUMA_NODES_MOST == 16, "a wish has a bit a node");

static enum status wish_of(const struct frames *frames, const struct frames_request *request,
                           struct frames_wish *wish)
{
    const uint16_t flags = request->flags;
    const unsigned shift = (flags & FRAMES_GIANT) != 0 ? 18 : (flags & FRAMES_HUGE) != 0 ? 9 : 0;
    const uint64_t alignment = request->alignment >> PAGE_SHIFT;
    if (request->count == 0 || (flags & ~FRAMES_FLAGS) != 0 || request->zone >= FRAMES_ZONES ||
        (flags & (FRAMES_HUGE | FRAMES_GIANT)) == (FRAMES_HUGE | FRAMES_GIANT) ||
        (request->alignment & (request->alignment - 1)) != 0 ||
        ((flags & FRAMES_ON_NODE) != 0 && request->node >= frames->node_count))
        return STATUS_INVALID;
    if (request->count > FRAMES_LARGEST >> shift || alignment > FRAMES_LARGEST)
        return STATUS_TOO_LARGE;
    wish->count = request->count << shift;
    const bool power = (wish->count & (wish->count - 1)) == 0;
    wish->alignment = alignment;
    if (request->alignment == 0 && power)
        wish->alignment = wish->count;
    wish->alignment = max_u64(wish->alignment, 1ull << shift);
    wish->last = request->highest != 0 ? request->highest : UINTPTR_MAX;
    wish->zone = request->zone;
    wish->flags = flags;
    wish->nodes = UINT16_MAX;
    wish->mark = (flags & FRAMES_MOVABLE) != 0 && request->highest == 0 ? FRAMES_MAP_MOVABLE
                                                                        : FRAMES_MAP_HANDED;
    // The CPU may change from here on: then it is the node of a moment ago.
    wish->node =
        (flags & FRAMES_ON_NODE) != 0 ? request->node : frames->config.numa->cpu_node[cpu_index()];
    if ((flags & FRAMES_NODE_ONLY) != 0)
        wish->nodes = (uint16_t)(1u << wish->node);
    return STATUS_OK;
}

// Counts a request that can never be served among those that were not.
static enum status refuse(struct frames *frames, enum status status)
{
    if (status == STATUS_TOO_LARGE)
        FRAMES_COUNT(frames, failures, 1);
    return status;
}

static enum status serve(struct frames *frames, const struct frames_wish *wish, uintptr_t *address)
{
    struct frames_pool *pool = &frames->pools[wish->node][wish->zone];
    frames_cpu_serve(frames);
    bool served = frames_take(frames, wish, address);
    if (!served) {
        // What lies in stacks may be what is missing: this CPU's at once, others' when they come
        // by.
        frames_cpu_drain(frames);
        frames_ask_for_stacks(frames);
        served = frames_take(frames, wish, address);
    }
    if (!served && (wish->flags & FRAMES_NO_RECLAIM) == 0 &&
        frames_pressure_help(frames, FRAMES_CRITICAL, wish->count) > 0) {
        frames_cpu_drain(frames); // call-backs release into this CPU's stack
        served = frames_take(frames, wish, address);
    }
    if (served)
        frames_pressure_look(frames, pool, wish->flags);
    else
        FRAMES_COUNT(frames, failures, 1);
    return served ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status frames_allocate(struct frames *frames, const struct frames_request *request,
                            uintptr_t *address)
{
    struct frames_wish wish;
    const enum status status = wish_of(frames, request, &wish);
    return status != STATUS_OK ? refuse(frames, status) : serve(frames, &wish, address);
}

enum status frames_allocate_on_node(struct frames *frames, unsigned node, uint64_t count,
                                    uintptr_t *address)
{
    const struct frames_request request = {
        .count = count, .node = (uint8_t)min_u64(node, UINT8_MAX), .flags = FRAMES_ON_NODE};
    return frames_allocate(frames, &request, address);
}

enum status frames_allocate_policy(struct frames *frames, struct frames_policy *policy,
                                   const struct frames_request *request, uintptr_t *address)
{
    struct frames_wish wish;
    const enum status status = wish_of(frames, request, &wish);
    const uint16_t nodes = policy->nodes & (uint16_t)((1u << frames->node_count) - 1);
    if (status != STATUS_OK)
        return refuse(frames, status);
    if (policy->kind != FRAMES_LOCAL && nodes == 0)
        return STATUS_INVALID;
    if (policy->kind == FRAMES_BIND) {
        wish.nodes &= nodes;
    } else if (policy->kind == FRAMES_INTERLEAVE) {
        // The turn-th node of the set.
        uint32_t turn = __atomic_fetch_add(&policy->next, 1, __ATOMIC_RELAXED);
        uint16_t left = nodes;
        for (turn %= (uint32_t)__builtin_popcount(nodes); turn > 0; turn--)
            left &= (uint16_t)(left - 1);
        wish.node = (uint8_t)__builtin_ctz(left);
        if ((wish.flags & FRAMES_NODE_ONLY) != 0)
            wish.nodes = (uint16_t)(1u << wish.node);
    }
    return serve(frames, &wish, address);
}

enum status frames_release(struct frames *frames, uintptr_t address, uint64_t count)
{
    struct frames_region *region = frames_region_of(frames, address);
    uint64_t released = 0;
    if (address % PAGE_SIZE != 0 || count == 0)
        return region == NULL && count != 0 ? STATUS_FOREIGN : STATUS_INVALID;
    if (region == NULL || count > (region->end - address) >> PAGE_SHIFT)
        return STATUS_FOREIGN;
    const enum status status = frames_region_release(region, address, count, &released);
    if (released > 0)
        frames_pool_add(frames_pool_of(frames, region), released);
    if (status == STATUS_OK)
        FRAMES_COUNT(frames, slow_releases, 1);
    frames_cpu_serve(frames);
    return status;
}
