// SPDX-License-Identifier: MIT
// SLUB: objects of one size cut from slabs of pages, per-CPU lists of free ones in front of them.
// After Bonwick, "The Slab Allocator" (1994), Bonwick and Adams, "Magazines and Vmem" (2001), and
// the unqueued allocator of Linux, whose name it has.
//
//   cache    objects of one size: a class of slub_allocate, or one made by slub_cache_create
//   slab     1 to 8 pages of one cache; described outside of itself, nothing of it is in the pages
//   depot    the slabs of one cache on one node: those with objects to give by how full they are
//   list     the free objects of one cache that a CPU holds, freed last first to go: the hot list
//   map      one byte a page: the cache whose slab it belongs to, SLUB_NONE for all others
//   node     one range of memory with its own source of pages; a CPU is near one of them
//   source   struct slub_pages: a buddy, or whatever a caller puts there
//   slow     a cache whose lists stay empty, so that every call goes to functions of its own: those
//            that are checked, and the classes while sizes are recorded. The fast path asks nothing
//
// Rules for callers
//   threads    any number, on any of the CPUs given at init; what a CPU owns is used with
//   preemption
//              off. Never from interrupt handlers: entering a slow path twice on a CPU panics
//   at rest    calls marked so want no other call on the object to run
//   locks      one for each depot, never held while another is taken or a source is called. The
//              registry's (caches made and destroyed, emergencies) comes before all of them. Only
//              who made or destroys a cache, asks for memory back or is about to fail waits for it
//   others     a request that finds no memory asks the other CPUs to give back what they hold. A
//   fail       CPU does so in every SLUB_PAUSE-th of its slow paths at the most, however many
//              requests fail, only while the registry is open (else in a later slow path), and goes
//              to the depots of those caches alone that it has objects of: one try for a lock where
//              it has none
//   memory     all of it comes from the sources and from what init is given. Objects do not move
//   failure    NULL and false: not now. What a caller did wrong panics with one line: the cache,
//   what
//              it was, the address, and who allocated and freed it where that is kept
//   checks     a foreign address, the wrong cache and the object freed here last are found on every
//              free; other double frees and addresses inside objects when they leave the list, or
//              at once in a checked cache or with CONFIG_ASSERT_SLOW
#ifndef SLUB_H
#define SLUB_H

#include "compiler.h"
#include "cpu.h"
#include "heap_size_class.h" // struct heap_object
#include "list.h"
#include "numa.h"
#include "spinlock.h"
#include "status.h"

#define SLUB_CLASSES       11u // 8, 16, ... 8192 bytes
#define SLUB_CLASS_LARGEST 8192u
#define SLUB_LISTS         32u
#define SLUB_CACHES_MOST   31u // classes among them
#define SLUB_NONE          31u // "cache" of pages that hold no objects
#define SLUB_ANY           32u // where a cache may be named: whichever it is
#define SLUB_EXTRA_MOST    8u
#define SLUB_ORDER_MOST    3u // of a slab
#define SLUB_PER_CPU_MOST  1024u
#define SLUB_BULK_MOST     256u         // objects moved under one lock
#define SLUB_LIST_BYTES    (32u * 1024) // a list of large objects is shorter, 2 objects at least
#define SLUB_NAME_MOST     24u
#define SLUB_FULLNESS      8u  // lists of a depot
#define SLUB_PAUSE         16u // slow paths of a CPU between two emergencies that it serves
#define SLUB_WORDS         (SLUB_CLASS_LARGEST / 8 + 1)

// Of an allocation.
#define SLUB_ZERO 1u

// Of a cache, fixed when it is made. The first four make it checked, which means slow.
#define SLUB_RED_ZONES 1u  // bytes around the object that must stay as they are
#define SLUB_POISON    2u  // what is free is filled, and looked at when it is used again
#define SLUB_OWNERS    4u  // return addresses of who allocated and who freed it
#define SLUB_STATES    8u  // every double free and address inside an object: part of those above
#define SLUB_PROFILE   16u // ticks of refills and returns
#define SLUB_NO_MERGE  32u
#define SLUB_CHECKED   (SLUB_RED_ZONES | SLUB_POISON | SLUB_OWNERS | SLUB_STATES)

// Where a node's pages come from. Blocks of 2^order pages, aligned to their size, inside the node's
// range. Called on any CPU, with no depot's lock held.
struct slub_pages {
    void *context;
    bool (*allocate)(void *context, unsigned order, uintptr_t *address);
    void (*release)(void *context, uintptr_t address, unsigned order);
};

struct slub_settings {
    uint32_t per_cpu_objects;   // most on a list, 2 to SLUB_PER_CPU_MOST; see SLUB_LIST_BYTES
    uint32_t preload_objects;   // what a CPU's first miss of a cache moves, if that is more than
                                // bulk_objects; 0 to per_cpu_objects
    uint32_t bulk_objects;      // moved by every other miss, 1 to min(per_cpu, SLUB_BULK_MOST)
    uint32_t release_percent;   // of a full list that goes back, coldest first; 1 to 100
    uint32_t empty_percent;     // of a depot's slabs that may lie empty, rounded up; 0 to 100
    uint32_t emergency_percent; // of what lies idle that an emergency gives back; 1 to 100
    uint32_t colour_range; // bytes the first object may lie behind its slab's start; 0 to 4096.
                           // Only what cutting leaves over is used
    uint32_t class_flags;  // SLUB_... of the classes
    uint64_t seed;         // of the colours
    uint32_t extra_count;  // further classes, 0 to SLUB_EXTRA_MOST
    uint32_t extra[SLUB_EXTRA_MOST];      // bytes: multiples of 16, ascending, below 8192,
                                          // no powers of two
    uint32_t class_objects[SLUB_CLASSES]; // per_cpu_objects of a class; 0: as above
};

// Describes the slab or large block that starts at a page, and says of the pages behind it how far
// they are from it. A slab's fields are under the lock of its depot.
struct slub_slab {
    struct list link;         // in the depot's list `listed`
    struct heap_object *free; // objects that came back
    uint16_t free_count;
    uint16_t carved; // objects ever cut off the front
    uint16_t capacity;
    uint16_t first; // offset of the first object: its colour
    uint8_t listed; // 0..SLUB_FULLNESS - 1, or one of slub_depot.h
    uint8_t shift;  // objects in use >> shift: which list
    uint8_t cache;
    uint8_t order;
    uint8_t kind;
    uint8_t back; // of each page: pages to the one that starts the slab
};

_Static_assert(sizeof(struct slub_slab) <= 40, "a hundredth of a page");

struct slub_depot {
    struct spinlock lock;
    // Under the lock, all of it.
    uint32_t slabs, empties;
    uint32_t pages;                     // of its slabs
    uint32_t nonempty;                  // bit k: partial[k] has slabs
    uint32_t colour;                    // of the next slab
    struct list partial[SLUB_FULLNESS]; // fullest last
    struct list empty;
} CACHE_ALIGNED;

struct slub_node {
    uintptr_t base;
    uint64_t page_count;
    uint8_t *map;              // [page]
    struct slub_slab *slabs;   // [page]
    struct slub_depot *depots; // [cache]
    struct slub_pages pages;
    uint32_t nearest_count;
    uint8_t nearest[NUMA_NODES_MOST]; // itself first
};

// What a CPU has of a cache. Objects and calls since init.
struct slub_list {
    // Written on the fast paths.
    struct heap_object *head;
    uint64_t taken; // allocations out of the list
    int32_t room;   // limit - length: below 0 after a batch that was larger
    // Written on slow paths.
    uint32_t limit;             // 0: not used yet, or the cache is slow
    uint64_t moved;             // objects that came from slabs minus those sent back
    struct heap_object *remote; // freed here, of other nodes
    uint32_t remote_count;
    uint32_t primed; // it was filled before
    uint64_t failures;
    uint64_t direct, direct_frees; // past the list
    uint64_t remote_frees;
    uint64_t misses, refills, returns;
    uint64_t refill_ticks, return_ticks; // SLUB_PROFILE
} CACHE_ALIGNED;

_Static_assert(sizeof(struct slub_list) == 2 * CACHE_LINE, "the fast paths use the first");

struct slub;

struct slub_cpu {
    // Read by every free, written at init: of the CPU's own node, so that a free of another node's
    // object leaves the fast path without being asked.
    uintptr_t base;
    uint64_t page_count;
    const uint8_t *map;
    struct slub *slub;
    uint32_t index, node;
    // Written on slow paths.
    uint32_t used;        // it was here: a CPU's first call takes a slow path
    uint32_t inside;      // a slow path runs
    uint32_t emergencies; // of the SLUB's, that this CPU has heard of
    uint32_t since;       // slow paths since it served one, up to SLUB_PAUSE
    uint64_t locked;      // locked instructions executed
    uint64_t pages_taken, pages_returned;
    uint64_t large_allocations, large_frees, large_bytes_allocated, large_bytes_freed;
    uint64_t large_failures;
    struct slub_list lists[SLUB_LISTS];
} CACHE_ALIGNED;

struct slub_cache {
    struct slub *slub;
    char name[SLUB_NAME_MOST]; // of whoever made it first
    uint32_t number;
    uint32_t users; // 0: no such cache. Under the registry's lock
    uint32_t size;  // bytes the user may use: asked for, and rounded up unless it is checked
    uint32_t slot;  // distance between two objects
    uint32_t reciprocal;
    uint32_t align;
    uint32_t flags;
    uint32_t before;               // checked: bytes of a slot in front of the object
    uint32_t order, order_least;   // of its slabs
    uint32_t limit, bulk, preload; // objects
    bool checked, slow;
};

// Exact since init.
struct slub_statistics {
    uint64_t allocations, frees, failures;
    uint64_t hits, misses; // of the lists; together allocations
    uint64_t remote_frees; // of other nodes' objects, among `frees`
    uint64_t refills, returns;
    uint64_t refill_ticks, return_ticks; // with SLUB_PROFILE
    uint64_t cached;                     // objects in lists now
    uint64_t slabs, empty_slabs;         // now
    uint64_t slab_bytes;                 // of them
};

struct slub {
    struct slub_cpu *cpus[CPU_MOST]; // by index; those that are not part of it point to nobody's
    struct slub_cache caches[SLUB_CACHES_MOST];
    uint8_t class_of[SLUB_WORDS]; // by size in words, rounded up
    struct slub_node nodes[NUMA_NODES_MOST];
    struct slub_settings settings;
    uint32_t node_count, cpu_count;
    uint32_t emergencies; // atomic
    uint32_t recording;
    struct spinlock registry;
    struct slub_statistics retired; // of caches that were destroyed. Under the registry's lock
    uint64_t retired_bytes;         // allocated and freed by them
    uint32_t sizes[SLUB_WORDS];     // atomic: how often each was asked for while it was recorded
    uint32_t run[SLUB_CLASSES + SLUB_EXTRA_MOST];     // atomic: allocations without a free so far
    uint32_t longest[SLUB_CLASSES + SLUB_EXTRA_MOST]; // atomic: the longest such run
};

// ---- init ---------------------------------------------------------------------------------------

// The memory of a node: [start, start + length), page aligned both.
struct slub_range {
    uintptr_t start;
    uint64_t length;
    struct slub_pages pages;
};

struct slub_setup {
    const struct slub_settings *settings; // NULL: slub_defaults
    const struct slub_range *ranges;      // of each node
    unsigned node_count;                  // 1 to NUMA_NODES_MOST
    const struct numa *numa;   // distances, and the node of each CPU; NULL: all CPUs near node 0
    struct slub_cpu *cpus;     // cpu_count of them, 64-byte aligned
    unsigned cpu_count;        // CPUs 0..cpu_count - 1 may call; 1 to CPU_MOST
    struct slub_depot *depots; // node_count * SLUB_CACHES_MOST of them
    void *metadata;            // 64-byte aligned
    size_t metadata_bytes;
};

extern const struct slub_settings slub_defaults;

// STATUS_INVALID if one of them is outside its range.
enum status slub_settings_check(const struct slub_settings *settings);

// Bytes of metadata for these ranges; 0 if they are invalid.
size_t slub_metadata_bytes(const struct slub_range *ranges, unsigned node_count);

// STATUS_INVALID: a setting, a range or an alignment; STATUS_NO_MEMORY: too little metadata.
enum status slub_init(struct slub *slub, const struct slub_setup *setup);

// ---- out of line, for the fast paths below only -------------------------------------------------

void *slub_miss(struct slub *slub, unsigned number, size_t size);
void slub_free_slow(struct slub *slub, void *pointer, unsigned expected);
void slub_assert_live(struct slub *slub, const void *pointer);
void *slub_zeroed(void *object, size_t size);

// ---- objects of any size ------------------------------------------------------------------------

// The class of a size by the powers of two alone. 0 counts as 1.
ALWAYS_INLINE unsigned slub_class(size_t size)
{
    if (size > SLUB_CLASS_LARGEST)
        return SLUB_NONE;
    return size <= 8 ? 0 : log2_u64(size - 1) - 2;
}

// A hit: 12 instructions for a known number, 1 of them for the statistics, 2 for preemption, 3 to
// find what the CPU has. No locked one.
ALWAYS_INLINE void *slub_take(struct slub *slub, unsigned number, size_t size)
{
    cpu_preempt_disable();
    struct slub_list *const list = &slub->cpus[cpu_local()->index]->lists[number];
    struct heap_object *const object = list->head;
    if (UNLIKELY(object == NULL))
        return slub_miss(slub, number, size);
    list->head = object->next;
    list->taken++;
    list->room++;
    cpu_preempt_enable();
    return object;
}

// A hit: 21 instructions: 2 for preemption, 3 for what the CPU has, 7 for the page and whose it is,
// 2 for the list, 3 to compare with the object freed last, 2 for room and statistics, 2 to link. No
// locked one. Pages without objects have a list without room, so that nothing asks for them.
ALWAYS_INLINE void slub_put(struct slub *slub, void *pointer, unsigned expected)
{
    struct heap_object *const object = pointer;
    if (CONFIG_ASSERT_SLOW)
        slub_assert_live(slub, pointer);
    cpu_preempt_disable();
    struct slub_cpu *const cpu = slub->cpus[cpu_local()->index];
    const uint64_t page = ((uintptr_t)pointer - cpu->base) >> PAGE_SHIFT;
    if (UNLIKELY(page >= cpu->page_count)) {
        slub_free_slow(slub, pointer, expected);
        return;
    }
    const unsigned number = cpu->map[page];
    if (expected != SLUB_ANY && UNLIKELY(number != expected)) {
        slub_free_slow(slub, pointer, expected);
        return;
    }
    struct slub_list *const list = &cpu->lists[number];
    struct heap_object *const head = list->head;
    // In this order the compiler counts the room down in memory and looks at the sign.
    if (UNLIKELY(head == object) || UNLIKELY(--list->room < 0)) {
        slub_free_slow(slub, pointer, expected);
        return;
    }
    object->next = head;
    list->head = object;
    cpu_preempt_enable();
}

// The cache that serves `size` bytes, extra classes included; SLUB_NONE above the largest.
ALWAYS_INLINE unsigned slub_number(const struct slub *slub, size_t size)
{
    return size > SLUB_CLASS_LARGEST ? SLUB_NONE : slub->class_of[(size + 7) / 8];
}

// Memory for `size` bytes, 8-byte aligned, 16 if the size is a multiple of 16; above
// SLUB_CLASS_LARGEST whole blocks of pages. `flags`: SLUB_ZERO or 0.
ALWAYS_INLINE void *slub_allocate(struct slub *slub, size_t size, uint32_t flags)
{
    void *const object = slub_take(slub, slub_number(slub, size), size);
    return flags & SLUB_ZERO ? slub_zeroed(object, size) : object;
}

// Frees what any slub_..allocate.. of this object gave.
ALWAYS_INLINE void slub_free(struct slub *slub, void *pointer)
{
    slub_put(slub, pointer, SLUB_ANY);
}

// The same for what slub_allocate gave, where the caller knows what was asked for: another size,
// that another cache serves, panics.
ALWAYS_INLINE void slub_free_sized(struct slub *slub, void *pointer, size_t size)
{
    slub_put(slub, pointer, slub_number(slub, size));
}

// `align`: a power of two, up to the largest block there is. NULL if it is none.
void *slub_allocate_aligned(struct slub *slub, size_t size, size_t align, uint32_t flags);

// Up to `count` objects of `size` <= SLUB_CLASS_LARGEST at once, into `objects`; returns how many.
size_t slub_allocate_bulk(struct slub *slub, size_t size, size_t count, void **objects,
                          uint32_t flags);
// Any pointers, of any sizes; those of one cache behind each other are cheapest.
void slub_free_bulk(struct slub *slub, size_t count, void *const *objects);

// ---- caches of one type -------------------------------------------------------------------------

// A cache for objects of `size` bytes, 1 to SLUB_CLASS_LARGEST; `align` a power of two up to 4096,
// or 0 for what slub_allocate promises. NULL: there are SLUB_CACHES_MOST, or an argument is
// invalid. A cache made before with the same slots and flags is handed out again, unless one of
// them says SLUB_NO_MERGE or is checked; it is destroyed with the last of its users.
struct slub_cache *slub_cache_create(struct slub *slub, const char *name, size_t size, size_t align,
                                     uint32_t flags);

ALWAYS_INLINE void *slub_cache_allocate(struct slub_cache *cache, uint32_t flags)
{
    void *const object = slub_take(cache->slub, cache->number, cache->size);
    return flags & SLUB_ZERO ? slub_zeroed(object, cache->size) : object;
}

ALWAYS_INLINE void slub_cache_free(struct slub_cache *cache, void *pointer)
{
    slub_put(cache->slub, pointer, cache->number);
}

size_t slub_cache_allocate_bulk(struct slub_cache *cache, size_t count, void **objects,
                                uint32_t flags);
void slub_cache_free_bulk(struct slub_cache *cache, size_t count, void *const *objects);

#define SLUB_REPORT_MOST 8u

// Objects of a cache that are still out.
struct slub_leaks {
    uint64_t count;
    uint32_t shown; // the first of them, by address
    struct {
        const void *object;
        const void *allocator; // a return address, or NULL where no owners are kept
    } first[SLUB_REPORT_MOST];
};

// Gives up one use of the cache; the last one frees all it has. STATUS_FULL: objects are out, which
// `leaks` (may be NULL) lists, and nothing happened. At rest as far as this cache goes: no call for
// one of its objects runs.
enum status slub_cache_destroy(struct slub_cache *cache, struct slub_leaks *leaks);

// ---- memory back --------------------------------------------------------------------------------

// Gives back emergency_percent of what lies idle: of this CPU's lists, sparse slabs' objects first,
// and of all depots' empty slabs. Other CPUs do their part on a slow path soon: see "others fail".
// Returns the
// bytes that went to the sources.
size_t slub_emergency_shrink(struct slub *slub);

// The same of everything, but for other CPUs' lists. What slub_..allocate.. does before it fails.
size_t slub_trim(struct slub *slub);

// Empties all lists of all CPUs into the slabs. At rest.
void slub_flush(struct slub *slub);

// Nodes that keep more empty slabs of a cache than their share of all give the rest back. Returns
// the bytes.
size_t slub_balance(struct slub *slub);

// ---- tuning -------------------------------------------------------------------------------------

// From now on, or no more, sizes and runs are recorded: all calls then take slow paths. At rest.
void slub_record(struct slub *slub, bool on);

// Settings for what was recorded, beginning with those in use: the extra classes that save most,
// at most `extra_most`, and each class's per-CPU objects. Returns the bytes that the extra classes
// save of all that was asked for. Deterministic. At rest.
uint64_t slub_tune(const struct slub *slub, unsigned extra_most, struct slub_settings *proposal);

// ---- numbers ------------------------------------------------------------------------------------

// All at rest.

// One cache on one CPU. Slabs belong to no CPU: those numbers stay 0.
void slub_cpu_statistics(const struct slub *slub, unsigned cpu, unsigned number,
                         struct slub_statistics *statistics);
void slub_cache_statistics(const struct slub_cache *cache, struct slub_statistics *statistics);

struct slub_totals {
    struct slub_statistics objects;        // of all caches and of blocks of pages
    uint64_t bytes_allocated, bytes_freed; // after rounding to the caches' sizes
    uint64_t pages_taken, pages_returned;
    uint64_t locked_instructions;
};

void slub_statistics(const struct slub *slub, struct slub_totals *totals);

// Walks all invariants; false if one is broken. Slow.
bool slub_check(const struct slub *slub);

// Objects of a cache that are out. Slow.
void slub_leaks(const struct slub_cache *cache, struct slub_leaks *leaks);

// Calls `line` for each line of text of the report: one for each cache that has objects out, and
// one for each of its first objects.
void slub_leak_report(const struct slub *slub, void (*line)(void *context, const char *text),
                      void *context);
// Two lines for each cache that was used: what it holds; hot and cold paths, counts and ticks.
void slub_usage_report(const struct slub *slub, void (*line)(void *context, const char *text),
                       void *context);

#endif
