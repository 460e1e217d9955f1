// SPDX-License-Identifier: MIT
// The hybrid allocator of page frames: a lock-free bitmap for small requests, a buddy for large
// ones, a stack of single frames for each CPU in front; zones, NUMA nodes, watermarks.
//
//   frame    4 KiB; a run: frames behind each other. Small: fewer than 512 (2 MiB), else large
//   region   frames of one zone on one node without a hole the map knows of. Its buddy owns them
//   all
//            and serves large runs; its bitmap serves small ones out of chunks of 512 frames that
//            the buddy lends it, and gives chunks back that are free as a whole when it has more
//            than `keep` of them, or when the buddy needs them
//   zone     what an address is good for: frames_zone below
//   pool     the regions of one zone on one node
//   stack    at most 128 single frames of the zone `normal` of its CPU's own node, last in first
//            out; 64 are moved at a time. It belongs to its CPU
//   map      a byte a frame: who has it (FRAMES_MAP_*)
//   marks    of a pool: what is free when reclaim wakes (low), callers help (min), callers reclaim
//            at once (critical), and what only FRAMES_RESERVE may touch (reserve)
//
// Rules for callers
//   threads    any number, on the CPUs 0 to cpus - 1, also migrating between calls; never from
//              interrupt handlers, never inside cpu_leaf_enter()
//   frames     are never touched: any addresses, unmapped ones too
//   locks      one for each region, around its buddy. A call holds at most one, with preemption
//   off,
//              and calls nothing of the caller's then. The bitmap takes none. Not one an order:
//              blocks join across orders, so a free would take up to 21 of them in turn, and what
//              comes to the buddy is one request in some hundred
//   misuse     a double free, a foreign or misaligned address is a status, nothing changed. A frame
//              in a stack is caught by its byte in the map, at once, by every CPU. Not told apart:
//              two frees of one frame that run at the very same time on two CPUs (it would cost
//              every free a locked instruction): a panic when the second stack gives the frame
//              back, if nobody was handed it before; what was freed and handed out again
//   partial    any part of what was allocated may be released, and the rest later; also the parts
//              of neighbouring runs at once
//   withheld   frames in another CPU's stack serve nobody else: at most 128 a CPU. A request that
//              finds nothing asks for them (frames_cpu_serve) and does not wait
//   bounds     single frames: 64 at a time. Small runs: one turn over the summaries, at most 32
//              chunks before the buddy is asked; where it has no chunk, one turn over those lent.
//              Large ones: 21 orders, and the chunks lent if it has none; with a highest address
//              the bitmaps of the orders up to it. A release of a whole run: 21 orders
//   none       "none now" is certain while no other call is inside. Else it may be said while the
//              frame that would have done is on its way: reserved by a call that finds no run, or
//              held by compaction
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "numa.h"
#include "status.h"

#define FRAMES_LARGE        512u // frames from which on a run comes from the buddy
#define FRAMES_LARGEST      (1ull << 20)
#define FRAMES_STACK        128u // frames a CPU's stack holds
#define FRAMES_BATCH        64u
#define FRAMES_REGIONS_MOST 64u
#define FRAMES_CALLBACKS    16u
#define FRAMES_MARK_WHOLE   1024u // marks are given in parts of this

enum frames_zone {
    FRAMES_ZONE_NORMAL, // what the kernel can use; falls back on DMA when no node has any
    FRAMES_ZONE_DMA,    // below 16 MiB on a PC: serves those who need it, the others last
    FRAMES_ZONE_HIGH,   // beyond what the kernel has mapped at all times; falls back on NORMAL
    FRAMES_ZONE_DEVICE, // memory of a device: only for who asks for it
    FRAMES_ZONES,
};

// A request's flags.
#define FRAMES_HUGE       1u  // `count` is in units of 2 MiB, aligned to that
#define FRAMES_GIANT      2u  // of 1 GiB
#define FRAMES_RESERVE    4u  // may draw on the emergency reserve
#define FRAMES_MOVABLE    8u  // compaction may move them, where frames_compact() is told how
#define FRAMES_ON_NODE    16u // `node` is wanted first, not the CPU's own
#define FRAMES_NODE_ONLY  32u // no other node will do
#define FRAMES_NO_RECLAIM 64u // the caller holds what call-backs may want: they are not called
#define FRAMES_FLAGS      127u

struct frames_request {
    uint64_t count; // at least 1
    uint64_t
        alignment;     // bytes, a power of two; 0: the length if that is a power of two, else 4 KiB
    uintptr_t highest; // last address the run may have; 0: any
    uint8_t zone;      // enum frames_zone
    uint8_t node;      // with FRAMES_ON_NODE
    uint16_t flags;
};

// Memory handed over: whole pages of it are used, but never the page at address 0.
struct frames_range {
    uintptr_t start;
    uint64_t length; // bytes
    bool device;     // of the zone DEVICE
};

// In parts of FRAMES_MARK_WHOLE of what a pool has: low >= min >= critical >= reserve.
struct frames_marks {
    uint16_t low, min, critical, reserve;
};

struct frames_config {
    const struct numa *numa; // outlives the allocator, unchanged
    unsigned cpus;           // 1 to CPU_MOST
    uintptr_t dma_end;       // the zone DMA lies below; 0: there is none
    uintptr_t high_start;    // the zone HIGH lies from here on; 0: there is none
    struct frames_marks marks;
    unsigned lend_order; // 9 (a chunk) to 13: what the buddy lends at a time if it can
    uint16_t keep;       // chunks a region's bitmap keeps, in 1024ths of its chunks; 2 at least
    // Called once when a pool falls below its low mark, and again only after frames_reclaim():
    // wakes the thread that calls that. It must not allocate. NULL: nobody is woken.
    void (*wake)(void *context);
    void *wake_context;
};

// A PC: DMA below 16 MiB, no high memory; wakes below 4/256, helps below 2/256, reclaims at once
// below 1.5/256, keeps 1/256.
#define FRAMES_CONFIG_PC                                                                           \
    .dma_end = 16u << 20, .marks = {16, 8, 6, 4}, .lend_order = 9, .keep = FRAMES_MARK_WHOLE / 4

// Values of the map. The lowest bit says that a caller has it.
#define FRAMES_MAP_FREE    0u // free, or the buddy knows
#define FRAMES_MAP_HANDED  1u
#define FRAMES_MAP_STACK   2u // in some CPU's stack
#define FRAMES_MAP_MOVABLE 3u // a caller has it, and it may be moved

// One for each CPU.
struct frames_cache {
    // Written by the own CPU only, with preemption off; `state` is read by all.
    uint64_t state; // depth of the stack in the low byte, frames ever popped above: one store each
    // The stack's frames all belong to one region: what a free must look up stands here.
    uintptr_t origin; // address of its frame 0
    uint64_t frame_limit;
    uint8_t *map;
    struct frames_region *region;
    uint32_t drain_wanted; // by all: another CPU asks for what is in the stack

    // Counts of the slow paths, written likewise, read by all.
    uint32_t unused;
    uint64_t moved_in, moved_out; // frames into the stack and out of it, other than one by one
    uint64_t slow_allocations, slow_releases, failures;
    uint64_t remote; // of the allocations: served by another node than the one wanted
    uint64_t refills, drains;

    uint32_t numbers[FRAMES_STACK]; // of frames, in the region
} CACHE_ALIGNED;

_Static_assert(sizeof(struct frames_cache) == 640, "two lines and the stack");

// What one zone has on one node.
struct frames_pool {
    int64_t available; // any CPU, atomically: frames neither handed out nor in a stack
    uint64_t present;  // from here on: written at init
    int64_t low, min, critical, reserve;
    struct frames_region *first;
    uint8_t node, zone;
} CACHE_ALIGNED;

enum frames_level { FRAMES_ENOUGH, FRAMES_LOW, FRAMES_MIN, FRAMES_CRITICAL };

enum frames_callback_kind {
    FRAMES_SHRINK,   // frees from a cache; called from LOW on
    FRAMES_EVICT,    // takes from users: writes out, throws away; called from MIN on
    FRAMES_PRESSURE, // is told the level, when that is another than it was told last
};

// A call-back frees what it can, towards `wanted` frames, and returns how many it freed. It runs
// with no lock held and preemption on, on the CPU of who found memory short, and is never
// re-entered: neither by an allocation of its own nor by another CPU. It may allocate and release.
struct frames_callback {
    enum frames_callback_kind kind;
    unsigned priority; // the lower the sooner; of equal ones who was registered first
    uint64_t (*function)(void *context, enum frames_level level, uint64_t wanted);
    void *context;
};

struct frames {
    // Written at init, then read only.
    uint32_t ready; // released last: before, there are no statistics but zeroes
    unsigned cpus;
    unsigned node_count;
    unsigned region_count;
    struct frames_cache *cache_of[CPU_MOST]; // by the index of the CPU
    struct frames_region *regions;
    struct frames_config config;
    size_t metadata_bytes;
    uint8_t nearest[NUMA_NODES_MOST][NUMA_NODES_MOST]; // [node]: where to look, in this order
    uint8_t nearest_count[NUMA_NODES_MOST];

    // Any CPU, atomically.
    uint32_t busy CACHE_ALIGNED; // somebody is in the call-backs or changes their table
    uint32_t woken;
    uint32_t compacting;
    uint32_t told; // enum frames_level: what FRAMES_PRESSURE was told last
    uint64_t reclaims, reclaimed, wakes, migrated, compacted;

    // By who set `busy`.
    unsigned callback_count;
    struct frames_callback callbacks[FRAMES_CALLBACKS]; // by priority

    struct frames_pool pools[NUMA_NODES_MOST][FRAMES_ZONES];
};

// Bytes of metadata for these ranges, which are ascending and disjoint; 0 if they or the
// configuration break a rule, or there are more than FRAMES_REGIONS_MOST regions in them.
size_t frames_metadata_bytes(const struct frames_config *config, const struct frames_range *ranges,
                             unsigned count);

// All frames of the ranges are free then. `metadata` is page aligned and belongs to the object from
// here on; it lies outside of the ranges. STATUS_INVALID as above, STATUS_NO_MEMORY if it is short.
// One thread; others may read statistics meanwhile, of an object that was zeroed.
enum status frames_init(struct frames *frames, const struct frames_config *config,
                        const struct frames_range *ranges, unsigned count, void *metadata,
                        size_t metadata_length);

// STATUS_NO_MEMORY: there is none now that suits. STATUS_TOO_LARGE: longer than FRAMES_LARGEST, or
// aligned to more than that. STATUS_INVALID: the request breaks a rule. The wanted node first, then
// the others from near to far, with all that the request asks for but the node; on each, the wanted
// zone and then those it falls back on, DMA on no node before all others were asked.
enum status frames_allocate(struct frames *frames, const struct frames_request *request,
                            uintptr_t *address);

// `count` frames, of `node` if it has any, else of the nearest that has.
enum status frames_allocate_on_node(struct frames *frames, unsigned node, uint64_t count,
                                    uintptr_t *address);

// Where a task's memory is to come from. The caller's; `next` is counted atomically.
struct frames_policy {
    enum { FRAMES_LOCAL, FRAMES_BIND, FRAMES_INTERLEAVE } kind;
    uint16_t nodes; // a bit a node, at least one: bind to these, interleave over these
    uint32_t next;  // of interleave: 0 at first
};

// BIND: only the policy's nodes, nearest first. INTERLEAVE: one after the other, the other nodes of
// the machine when that one has nothing. STATUS_INVALID also for a policy without nodes.
enum status frames_allocate_policy(struct frames *frames, struct frames_policy *policy,
                                   const struct frames_request *request, uintptr_t *address);

// Gives `count` frames back. STATUS_FOREIGN: not all of them were handed over at init.
// STATUS_DOUBLE: some are free. STATUS_INVALID: `address` is not page aligned, or count is 0.
enum status frames_release(struct frames *frames, uintptr_t address, uint64_t count);

// ---- single frames: the fast paths --------------------------------------------------------------

// Out of line, for the two below only.
enum status frames_allocate_one_slow(struct frames *frames, uintptr_t *address);
enum status frames_release_one_slow(struct frames *frames, uintptr_t address);

// Frames in a CPU's stack; exact on that CPU with preemption off, or while it makes no call.
ALWAYS_INLINE unsigned frames_cache_depth(const struct frames_cache *cache)
{
    return (uint8_t)__atomic_load_n(&cache->state, __ATOMIC_RELAXED);
}

ALWAYS_INLINE struct frames_cache *frames_cache_here(struct frames *frames)
{
    const size_t cpu = cpu_index();
    assert_slow(cpu < frames->cpus);
    return frames->cache_of[cpu];
}

// A frame as frames_allocate() gives for {.count = 1}. 16 instructions, none locked: 2 for the
// leaf, 2 to find the CPU's cache, 4 for the depth and its test, 3 to pop and count, 2 for the map,
// 2 for the address, 1 to hand it over.
ALWAYS_INLINE enum status frames_allocate_one(struct frames *frames, uintptr_t *address)
{
    cpu_leaf_enter();
    struct frames_cache *cache = frames_cache_here(frames);
    const uint64_t state = __atomic_load_n(&cache->state, __ATOMIC_RELAXED);
    const uint64_t depth = state & 0xff; // of 64 bits: the - 1 below is then part of the address
    if (UNLIKELY(depth == 0)) {
        cpu_leaf_leave();
        return frames_allocate_one_slow(frames, address);
    }
    const uint64_t number = cache->numbers[depth - 1];
    // One fewer in the stack, one more popped. Relaxed, here and below: only statistics read these
    // on other CPUs; the map is read by who was handed the frame, which orders it.
    __atomic_store_n(&cache->state, state + 255, __ATOMIC_RELAXED);
    __atomic_store_n(&cache->map[number], FRAMES_MAP_HANDED, __ATOMIC_RELAXED);
    *address = cache->origin + (number << PAGE_SHIFT);
    cpu_leaf_leave();
    return STATUS_OK;
}

// The same as frames_release(frames, address, 1). 21 instructions, none locked: 2 for the leaf, 2
// to find the CPU's cache, 5 to find the frame and test range and alignment at once, 3 for the
// depth and its test, 4 to test that a caller has it, 1 to mark it, 4 to push and count.
ALWAYS_INLINE enum status frames_release_one(struct frames *frames, uintptr_t address)
{
    cpu_leaf_enter();
    struct frames_cache *cache = frames_cache_here(frames);
    const uint64_t offset = address - cache->origin;
    // A rotation: the bits below a page come out on top, and no misaligned address passes the test.
    const uint64_t number = offset >> PAGE_SHIFT | offset << (64 - PAGE_SHIFT);
    const uint64_t state = __atomic_load_n(&cache->state, __ATOMIC_RELAXED);
    if (UNLIKELY(number >= cache->frame_limit) || UNLIKELY((state & FRAMES_STACK) != 0) ||
        UNLIKELY((__atomic_load_n(&cache->map[number], __ATOMIC_RELAXED) & 1) == 0)) {
        cpu_leaf_leave();
        return frames_release_one_slow(frames, address);
    }
    __atomic_store_n(&cache->map[number], FRAMES_MAP_STACK, __ATOMIC_RELAXED);
    cache->numbers[state & 0xff] = (uint32_t)number;
    __atomic_store_n(&cache->state, state + 1, __ATOMIC_RELAXED);
    cpu_leaf_leave();
    return STATUS_OK;
}

_Static_assert(FRAMES_STACK == 128, "a full stack is one bit of the depth");

// ---- stacks -------------------------------------------------------------------------------------

// Gives back what the stack of the CPU that calls holds.
void frames_cpu_drain(struct frames *frames);

// The same if another CPU has asked for it, as every slow path does: for CPUs that keep to fast
// paths or do nothing, now and then, say before they idle. True if it was asked.
bool frames_cpu_serve(struct frames *frames);

// Asks all CPUs for what their stacks hold; they give it on their next slow path or
// frames_cpu_serve(). A request that finds nothing does this by itself.
void frames_ask_for_stacks(struct frames *frames);

// The same as frames_cpu_drain() for a CPU that runs no code any more, or none that calls, from any
// other one; the caller has synchronised with its last call.
void frames_cpu_leave(struct frames *frames, unsigned cpu);

// ---- pressure -----------------------------------------------------------------------------------

// Puts a call-back in. STATUS_FULL: there are FRAMES_CALLBACKS, or call-backs are running: again.
enum status frames_register(struct frames *frames, const struct frames_callback *callback);

// Takes it out: function and context are compared. Afterwards it is not called any more.
// STATUS_FULL while call-backs are running, STATUS_EMPTY if it is not there.
enum status frames_unregister(struct frames *frames, const struct frames_callback *callback);

// The level of the pool that is worst off, of those of the zones NORMAL and HIGH that have frames.
enum frames_level frames_level(const struct frames *frames);

// One turn of the reclaim thread: calls the call-backs once each, by priority, until every pool is
// back at its low mark, and lets the thread be woken again. Returns the frames freed.
uint64_t frames_reclaim(struct frames *frames);

// ---- compaction ---------------------------------------------------------------------------------

// Moves the contents of one frame and everything that refers to it; false: not now, or no such
// frame. Its owner decides under a lock of its own: it may have released `from` a moment ago, and
// then somebody else may have it. After true `from` belongs to the allocator and `to` to the owner.
// Called with no lock held.
struct frames_migration {
    bool (*move)(void *context, uintptr_t from, uintptr_t to);
    void *context;
};

// One step, periodically: looks at up to `chunks_most` chunks, from where the last step ended, and
// empties those in which at most `frames_most` frames, all movable, are in use, into others of the
// same region that are in use too. Returns the chunks that became whole: each is a huge frame, and
// joins with its neighbours. One caller at a time; another gets 0. Frames whose request named a
// highest address are never moved.
unsigned frames_compact(struct frames *frames, const struct frames_migration *migration,
                        unsigned chunks_most, unsigned frames_most);

// ---- what there is ------------------------------------------------------------------------------

// Exact while no call is inside, near to it otherwise. Takes no lock: from anywhere, at any time
// from the zeroed object on, also from a call-back or while another CPU is in the middle of init.
struct frames_statistics {
    uint64_t present;
    uint64_t free;                       // in all levels: buddies, bitmaps, stacks
    uint64_t stacked;                    // of those, in stacks
    uint64_t lent;                       // chunks the bitmaps have
    uint64_t allocations, releases;      // calls served
    uint64_t failures;                   // requests with STATUS_NO_MEMORY or _TOO_LARGE
    uint64_t remote;                     // allocations served by another node than wanted
    uint64_t locks;                      // taken
    uint64_t refills, drains;            // batches
    uint64_t rollbacks;                  // small runs that lost a word to another CPU
    uint64_t wakes, reclaims, reclaimed; // calls of `wake`; call-backs called; frames they freed
    uint64_t migrated, compacted;        // frames moved, chunks made whole
    uint64_t metadata_bytes;             // with the object itself
    unsigned nodes, regions;
};

void frames_statistics(const struct frames *frames, struct frames_statistics *statistics);

// Frames of one zone on one node: all, and those not handed out nor in a stack. node < node_count.
void frames_pool_count(const struct frames *frames, unsigned node, enum frames_zone zone,
                       uint64_t *present, uint64_t *available);

// Of free frames wherever they are kept. Walks all regions, each chunk under its lock; exact while
// no call is inside.
struct frames_fragmentation {
    uint64_t free;
    uint64_t runs;              // that no free frame adjoins
    uint64_t largest;           // frames
    uint64_t average;           // frames, rounded down
    uint64_t external_permille; // 1000 * (1 - largest / free); 0 if nothing is free
};

void frames_fragmentation(const struct frames *frames, struct frames_fragmentation *fragmentation);

// Walks all invariants; false if one is broken. While no call is inside.
bool frames_check(const struct frames *frames);

#endif
