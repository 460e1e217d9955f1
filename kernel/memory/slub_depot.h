// SPDX-License-Identifier: MIT
// Between the files of SLUB (slub.h): slabs, depots, and what CPUs move to and from them. All calls
// with preemption off, on the CPU they name.
#ifndef SLUB_DEPOT_H
#define SLUB_DEPOT_H

#include "assert.h"
#include "slub.h"

// slub_slab.kind
#define SLUB_KIND_FREE  0u
#define SLUB_KIND_SLAB  1u
#define SLUB_KIND_LARGE 2u

// slub_slab.listed
#define SLUB_LISTED_EMPTY   SLUB_FULLNESS
#define SLUB_LISTED_NOWHERE (SLUB_FULLNESS + 1)

ALWAYS_INLINE void slub_lock(struct slub_cpu *cpu, struct spinlock *lock)
{
    cpu->locked++; // the exchange; what waits for it only reads
    spinlock_acquire(lock);
}

// The node an address lies on; NULL: none of ours.
static inline struct slub_node *slub_node_of(struct slub *slub, uintptr_t address)
{
    for (unsigned i = 0; i < slub->node_count; i++)
        if ((address - slub->nodes[i].base) >> PAGE_SHIFT < slub->nodes[i].page_count)
            return &slub->nodes[i];
    return NULL;
}

static inline struct slub_slab *slub_slab_of(const struct slub_node *node, const void *object)
{
    const uint64_t page = ((uintptr_t)object - node->base) >> PAGE_SHIFT;
    return &node->slabs[page - node->slabs[page].back];
}

static inline uintptr_t slub_slab_start(const struct slub_node *node, const struct slub_slab *slab)
{
    return node->base + ((uintptr_t)(slab - node->slabs) << PAGE_SHIFT);
}

// Which slot of its slab starts at the address; at least its capacity if none does.
static inline uint64_t slub_slot_number(const struct slub_cache *cache,
                                        const struct slub_node *node, const struct slub_slab *slab,
                                        const void *object)
{
    const uint64_t offset = (uintptr_t)object - slub_slab_start(node, slab) - slab->first;
    if (offset >= PAGE_SIZE << SLUB_ORDER_MOST)
        return UINT64_MAX;
    // Exact: offset * slot < 2^32.
    const uint64_t number = offset * cache->reciprocal >> 32;
    return number * cache->slot == offset ? number : UINT64_MAX;
}

static inline bool slub_slab_at(const struct slub_cache *cache, const struct slub_node *node,
                                const struct slub_slab *slab, const void *object)
{
    return slub_slot_number(cache, node, slab, object) < slab->capacity;
}

// The same for one that was ever cut off. Under the depot's lock.
static inline bool slub_slab_has(const struct slub_cache *cache, const struct slub_node *node,
                                 const struct slub_slab *slab, const void *object)
{
    return slub_slot_number(cache, node, slab, object) < slab->carved;
}

// How many objects a list holds, and the frees into it so far.
static inline uint64_t slub_list_objects(const struct slub_list *list)
{
    return (uint64_t)((int64_t)list->limit - list->room);
}

static inline uint64_t slub_list_frees(const struct slub_list *list)
{
    return slub_list_objects(list) - list->moved + list->taken;
}

// Objects came from slabs, or went back (a negative number).
static inline void slub_list_moved(struct slub_list *list, int64_t objects)
{
    list->moved += (uint64_t)objects;
    list->room -= (int32_t)objects;
}

// A list has no limit, and so no room, until its CPU uses it first; that of a slow cache never.
static inline void slub_list_open(struct slub_list *list, const struct slub_cache *cache)
{
    if (list->limit == 0)
        list->limit = (uint32_t)(list->room = (int32_t)cache->limit);
}

struct slub_chain {
    struct heap_object *head;
    uint64_t count;
};

// Up to `want` objects in front of the chain: from the CPU's node, from other nodes, nearest first,
// and if there is nothing anywhere, from what a trim gave back. Returns how many.
uint64_t slub_gather(struct slub_cpu *cpu, unsigned number, uint64_t want,
                     struct slub_chain *chain);
// All objects of the chain back to their slabs, whichever node they are on.
void slub_give(struct slub_cpu *cpu, unsigned number, struct slub_chain chain);
// Fills the CPU's list, which is empty; how many there are then.
uint64_t slub_fill(struct slub_cpu *cpu, unsigned number, uint64_t want);
// All but the `keep` objects freed last go from `whose` list back to the slabs. If that is another
// CPU, it must not touch the list meanwhile.
void slub_cut(struct slub_cpu *cpu, struct slub_cpu *whose, unsigned number, uint64_t keep);
void slub_give_remote(struct slub_cpu *cpu, struct slub_cpu *whose, unsigned number);
// That part of the empty slabs goes back to the source, but `keep` of them stay.
void slub_release_empties(struct slub_cpu *cpu, struct slub_node *node, unsigned number,
                          unsigned percent, uint64_t keep);
// Tells the other CPUs to give back what they keep, when they come by.
void slub_declare_emergency(struct slub_cpu *cpu);
static inline bool slub_cpu_used(const struct slub_cpu *cpu)
{
    // Relaxed: who must know for certain is at rest.
    return __atomic_load_n(&cpu->used, __ATOMIC_RELAXED);
}

// What another CPU's emergency asks of this one: that part of its lists goes back, and of the empty
// slabs where it gave something. Nothing, and to be asked again, while the registry is in use.
void slub_serve_emergency(struct slub_cpu *cpu, uint32_t emergencies);
// This CPU's part of its own emergency, under the registry's lock: no cache comes or goes
// meanwhile; bytes that went to the sources.
size_t slub_shrink(struct slub_cpu *cpu, unsigned percent);
// A block of pages of any node, the CPU's first; NULL if there is none.
struct slub_node *slub_pages_take(struct slub_cpu *cpu, unsigned order, uintptr_t *address);
void slub_pages_give(struct slub_cpu *cpu, struct slub_node *node, uintptr_t address,
                     unsigned order);

void slub_statistics_add(struct slub_statistics *sum, const struct slub_statistics *one);

// The CPU that runs here, in a slow path until slub_leave; preemption is off.
struct slub_cpu *slub_enter(struct slub *slub);
static inline void slub_leave(struct slub_cpu *cpu)
{
    cpu->inside = 0;
}

// ---- checked caches (slub_debug.c) --------------------------------------------------------------

// Lays out the slots: sets `slot` and `before` for a size and an alignment.
void slub_checked_layout(struct slub_cache *cache);
// A slot from the depot becomes an object; panics if it was written to while it was free.
void *slub_checked_open(struct slub_cache *cache, struct heap_object *slot, const void *caller);
// The slot of an object that is freed; panics if it is none, or was harmed.
struct heap_object *slub_checked_close(struct slub_cache *cache, struct slub_node *node,
                                       void *pointer, const void *caller);
// Marks a slot that is cut off a slab for the first time.
void slub_checked_new(const struct slub_cache *cache, struct heap_object *slot);
bool slub_checked_is_out(const struct slub_cache *cache, const struct heap_object *slot,
                         const void **allocator);

// Panics with one line. `slot` is NULL where no owners are known.
_Noreturn void slub_misuse(const struct slub_cache *cache, const char *what, const void *address,
                           const struct heap_object *slot);

#endif
