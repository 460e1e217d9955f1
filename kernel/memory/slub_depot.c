// SPDX-License-Identifier: MIT
// Slabs and depots: cuts blocks of pages into objects, keeps slabs by how full they are, moves
// objects in batches to and from the lists of CPUs.
#include "slub_depot.h"

#include "heap_trace.h"

_Static_assert(offsetof(struct slub_slab, link) == 0, "a link is its slab");
_Static_assert(SLUB_LISTED_NOWHERE <= UINT8_MAX, "fits the slab");

// ---- pages --------------------------------------------------------------------------------------

static bool take_of(struct slub_cpu *cpu, struct slub_node *node, unsigned order,
                    uintptr_t *address)
{
    trace_begin(TRACE_HEAP_PAGES, 1u << order);
    const bool found = node->pages.allocate(node->pages.context, order, address);
    trace_end(TRACE_HEAP_PAGES);
    if (!found)
        return false;
    const uint64_t page = (*address - node->base) >> PAGE_SHIFT;
    assert(*address % ((uintptr_t)PAGE_SIZE << order) == 0);
    assert(page < node->page_count && (1ull << order) <= node->page_count - page);
    cpu->pages_taken += 1ull << order;
    return true;
}

void slub_pages_give(struct slub_cpu *cpu, struct slub_node *node, uintptr_t address,
                     unsigned order)
{
    cpu->pages_returned += 1ull << order;
    trace_begin(TRACE_HEAP_PAGES, 1u << order);
    node->pages.release(node->pages.context, address, order);
    trace_end(TRACE_HEAP_PAGES);
}

struct slub_node *slub_pages_take(struct slub_cpu *cpu, unsigned order, uintptr_t *address)
{
    struct slub *slub = cpu->slub;
    const struct slub_node *own = &slub->nodes[cpu->node];
    for (unsigned i = 0; i < own->nearest_count; i++) {
        struct slub_node *node = &slub->nodes[own->nearest[i]];
        if (take_of(cpu, node, order, address))
            return node;
    }
    return NULL;
}

// ---- where a slab is listed; under the depot's lock ---------------------------------------------

static void unlist(struct slub_depot *depot, struct slub_slab *slab)
{
    if (slab->listed == SLUB_LISTED_NOWHERE)
        return;
    list_remove(&slab->link);
    if (slab->listed == SLUB_LISTED_EMPTY)
        depot->empties--;
    else if (list_empty(&depot->partial[slab->listed]))
        depot->nonempty &= ~(1u << slab->listed);
    slab->listed = SLUB_LISTED_NOWHERE;
}

static void place(struct slub_depot *depot, struct slub_slab *slab)
{
    const unsigned used = slab->carved - slab->free_count;
    unsigned where = used >> slab->shift;
    if (used == 0)
        where = SLUB_LISTED_EMPTY;
    else if (used == slab->capacity)
        where = SLUB_LISTED_NOWHERE;
    if (where == slab->listed)
        return;
    unlist(depot, slab);
    if (where == SLUB_LISTED_NOWHERE)
        return;
    slab->listed = (uint8_t)where;
    if (where == SLUB_LISTED_EMPTY) {
        depot->empties++;
        list_insert_after(&depot->empty, &slab->link);
    } else {
        depot->nonempty |= 1u << where;
        list_insert_after(&depot->partial[where], &slab->link);
    }
}

// The slab to take from next: the fullest, so that sparse ones run dry; NULL if there is none.
static struct slub_slab *fullest(const struct slub_depot *depot)
{
    if (depot->nonempty != 0)
        return (struct slub_slab *)(void *)depot->partial[log2_u64(depot->nonempty)].next;
    if (depot->empties != 0)
        return (struct slub_slab *)(void *)depot->empty.next;
    return NULL;
}

// ---- slabs --------------------------------------------------------------------------------------

static unsigned shift_for(unsigned capacity)
{
    unsigned shift = 0;
    while ((capacity - 1) >> shift >= SLUB_FULLNESS)
        shift++;
    return shift;
}

// A new slab that nobody else knows yet; NULL if the node has no pages. Smaller than the cache
// would like it where only that is to be had.
static struct slub_slab *slab_make(struct slub_cpu *cpu, struct slub_node *node,
                                   const struct slub_cache *cache)
{
    uintptr_t start = 0;
    unsigned order = cache->order;
    while (!take_of(cpu, node, order, &start))
        if (order-- == cache->order_least)
            return NULL;
    const uint64_t page = (start - node->base) >> PAGE_SHIFT;
    struct slub_slab *slab = &node->slabs[page];
    const unsigned capacity = (PAGE_SIZE << order) / cache->slot;
    *slab = (struct slub_slab){.capacity = (uint16_t)capacity,
                               .listed = SLUB_LISTED_NOWHERE,
                               .shift = (uint8_t)shift_for(capacity),
                               .cache = (uint8_t)cache->number,
                               .order = (uint8_t)order,
                               .kind = SLUB_KIND_SLAB};
    for (unsigned i = 0; i < 1u << order; i++) {
        node->slabs[page + i].back = (uint8_t)i;
        node->map[page + i] = (uint8_t)cache->number;
    }
    return slab;
}

// Where the first object begins: as many places as the rest that cutting leaves has room for, one
// after the other. Under the depot's lock.
static void paint(const struct slub_cache *cache, struct slub_depot *depot, struct slub_slab *slab)
{
    const uint32_t rest = (PAGE_SIZE << slab->order) - slab->capacity * cache->slot;
    const uint32_t range = (uint32_t)min_u64(rest, cache->slub->settings.colour_range);
    slab->first = (uint16_t)(depot->colour++ % (range / cache->align + 1) * cache->align);
}

// Of a slab that is in no list any more.
static void slab_discard(struct slub_cpu *cpu, struct slub_node *node, struct slub_slab *slab)
{
    const uintptr_t start = slub_slab_start(node, slab);
    const uint64_t page = (uint64_t)(slab - node->slabs);
    slab->kind = SLUB_KIND_FREE;
    for (unsigned i = 0; i < 1u << slab->order; i++)
        node->map[page + i] = SLUB_NONE;
    slub_pages_give(cpu, node, start, slab->order);
}

// Takes empty slabs out of the depot until `keep` are left and chains them up. Under the lock.
static void retire(struct slub_depot *depot, uint64_t keep, struct list *retired)
{
    while (depot->empties > keep) {
        struct slub_slab *slab = (struct slub_slab *)(void *)depot->empty.next;
        unlist(depot, slab);
        depot->slabs--;
        depot->pages -= 1u << slab->order;
        list_insert_after(retired, &slab->link);
    }
}

static void discard_all(struct slub_cpu *cpu, struct slub_node *node, struct list *retired)
{
    while (!list_empty(retired)) {
        struct slub_slab *slab = (struct slub_slab *)(void *)retired->next;
        list_remove(&slab->link);
        slab_discard(cpu, node, slab);
    }
}

static uint64_t share(uint64_t whole, unsigned percent)
{
    return (whole * percent + 99) / 100;
}

void slub_release_empties(struct slub_cpu *cpu, struct slub_node *node, unsigned number,
                          unsigned percent, uint64_t keep)
{
    struct slub_depot *depot = &node->depots[number];
    struct list retired;
    list_init(&retired);
    slub_lock(cpu, &depot->lock);
    retire(depot, max_u64(keep, depot->empties - share(depot->empties, percent)), &retired);
    spinlock_release(&depot->lock);
    discard_all(cpu, node, &retired);
}

// ---- out of slabs -------------------------------------------------------------------------------

// Objects that came back, in front of the chain.
static uint64_t take_returned(struct slub_slab *slab, uint64_t want, struct slub_chain *chain)
{
    const uint64_t count = min_u64(want, slab->free_count);
    if (count == 0)
        return 0;
    struct heap_object *const first = slab->free, *last = first;
    for (uint64_t i = 1; i < count; i++) {
        last = last->next;
        cpu_prefetch(last->next);
    }
    slab->free = last->next;
    slab->free_count = (uint16_t)(slab->free_count - count);
    last->next = chain->head;
    chain->head = first;
    return count;
}

// Cuts new objects off; the lowest is the first to be handed out.
static uint64_t take_new(const struct slub_cache *cache, const struct slub_node *node,
                         struct slub_slab *slab, uint64_t want, struct slub_chain *chain)
{
    const uint64_t count = min_u64(want, (uint64_t)(slab->capacity - slab->carved));
    uintptr_t at = slub_slab_start(node, slab) + slab->first + (slab->carved + count) * cache->slot;
    for (uint64_t i = 0; i < count; i++) {
        at -= cache->slot;
        struct heap_object *const object = (struct heap_object *)at;
        if (cache->checked)
            slub_checked_new(cache, object);
        object->next = chain->head;
        chain->head = object;
    }
    slab->carved = (uint16_t)(slab->carved + count);
    return count;
}

// Of the slabs that are there. Under the lock.
static uint64_t take_listed(const struct slub_cache *cache, const struct slub_node *node,
                            struct slub_depot *depot, uint64_t want, struct slub_chain *chain)
{
    uint64_t moved = 0;
    while (moved < want) {
        struct slub_slab *slab = fullest(depot);
        if (slab == NULL)
            break;
        moved += take_returned(slab, want - moved, chain);
        moved += take_new(cache, node, slab, want - moved, chain);
        place(depot, slab);
    }
    chain->count += moved;
    return moved;
}

// Of one node: what is there, or one new slab.
static uint64_t take_from(struct slub_cpu *cpu, struct slub_node *node,
                          const struct slub_cache *cache, uint64_t want, struct slub_chain *chain)
{
    struct slub_depot *depot = &node->depots[cache->number];
    slub_lock(cpu, &depot->lock);
    uint64_t moved = take_listed(cache, node, depot, want, chain);
    spinlock_release(&depot->lock);
    if (moved != 0)
        return moved;
    struct slub_slab *slab = slab_make(cpu, node, cache);
    if (slab == NULL)
        return 0;
    slub_lock(cpu, &depot->lock);
    paint(cache, depot, slab);
    depot->slabs++;
    depot->pages += 1u << slab->order;
    place(depot, slab);
    moved = take_listed(cache, node, depot, want, chain);
    spinlock_release(&depot->lock);
    return moved;
}

static uint64_t take_anywhere(struct slub_cpu *cpu, const struct slub_cache *cache, uint64_t want,
                              struct slub_chain *chain)
{
    struct slub *slub = cpu->slub;
    const struct slub_node *own = &slub->nodes[cpu->node];
    uint64_t moved = 0;
    for (unsigned i = 0; i < own->nearest_count && moved == 0; i++)
        moved = take_from(cpu, &slub->nodes[own->nearest[i]], cache, want, chain);
    return moved;
}

void slub_declare_emergency(struct slub_cpu *cpu)
{
    // Relaxed: the others only see that it changed. This CPU knows.
    cpu->emergencies = __atomic_add_fetch(&cpu->slub->emergencies, 1, __ATOMIC_RELAXED);
    cpu->locked++;
}

uint64_t slub_gather(struct slub_cpu *cpu, unsigned number, uint64_t want, struct slub_chain *chain)
{
    const struct slub_cache *cache = &cpu->slub->caches[number];
    const uint64_t most = min_u64(want, SLUB_BULK_MOST);
    uint64_t moved = take_anywhere(cpu, cache, most, chain);
    if (UNLIKELY(moved == 0)) {
        slub_declare_emergency(cpu);
        slub_shrink(cpu, 100);
        moved = take_anywhere(cpu, cache, 1, chain);
    }
    return moved;
}

uint64_t slub_fill(struct slub_cpu *cpu, unsigned number, uint64_t want)
{
    const struct slub_cache *cache = &cpu->slub->caches[number];
    struct slub_list *list = &cpu->lists[number];
    struct slub_chain chain = {0};
    const bool timed = cache->flags & SLUB_PROFILE;
    const uint64_t start = timed ? cpu_ticks() : 0;
    trace_begin(TRACE_HEAP_REFILL, (uint32_t)want);
    slub_list_open(list, cache);
    slub_gather(cpu, number, want, &chain);
    if (chain.count != 0) {
        list->head = chain.head;
        slub_list_moved(list, (int64_t)chain.count);
        list->refills++;
        list->primed = 1;
    }
    trace_end(TRACE_HEAP_REFILL);
    list->refill_ticks += timed ? cpu_ticks() - start : 0;
    return chain.count;
}

// ---- back into slabs ----------------------------------------------------------------------------

// All that came back to a slab is in it. Under the lock of its depot.
static void settle(const struct slub_cache *cache, struct slub_depot *depot, struct slub_slab *slab)
{
    if (slab->free_count == slab->carved && !cache->checked) {
        // Cutting it anew is cheaper than walking the list of what came back, and in order. A
        // checked slab remembers what was poisoned.
        slab->free = NULL;
        slab->free_count = slab->carved = 0;
    }
    place(depot, slab);
}

// What is wrong with an object that is said to be of this slab; NULL if nothing is.
static const char *wrong_with(const struct slub_cache *cache, const struct slub_node *node,
                              const struct slub_slab *slab, const struct heap_object *object)
{
    if (UNLIKELY(slab->kind != SLUB_KIND_SLAB || slab->cache != cache->number))
        return "double free"; // its slab was given back since
    if (UNLIKELY(!slub_slab_has(cache, node, slab, object)))
        return slub_slab_at(cache, node, slab, object) ? "double free" : "misaligned free";
    return UNLIKELY(slab->free_count == slab->carved) ? "double free" : NULL;
}

// Puts the chain's first objects back, as long as they are of this node, and not for ever. Objects
// of one slab behind each other are placed once. Under the lock.
static void put_back(const struct slub_cache *cache, const struct slub_node *node,
                     struct slub_depot *depot, struct slub_chain *chain)
{
    struct slub_slab *slab = NULL;
    for (unsigned i = 0; i < SLUB_BULK_MOST && chain->count > 0; i++) {
        struct heap_object *const object = chain->head;
        if (((uintptr_t)object - node->base) >> PAGE_SHIFT >= node->page_count)
            break;
        struct slub_slab *const of = slub_slab_of(node, object);
        if (of != slab && slab != NULL)
            settle(cache, depot, slab);
        slab = of;
        const char *const wrong = wrong_with(cache, node, slab, object);
        if (UNLIKELY(wrong != NULL)) {
            spinlock_release(&depot->lock);
            slub_misuse(cache, wrong, object, NULL);
        }
        chain->head = object->next;
        chain->count--;
        cpu_prefetch(chain->head);
        object->next = slab->free;
        slab->free = object;
        slab->free_count++;
    }
    if (slab != NULL)
        settle(cache, depot, slab);
}

static uint64_t empties_allowed(const struct slub *slub, const struct slub_depot *depot)
{
    return share(depot->slabs, slub->settings.empty_percent);
}

void slub_give(struct slub_cpu *cpu, unsigned number, struct slub_chain chain)
{
    struct slub *slub = cpu->slub;
    const struct slub_cache *cache = &slub->caches[number];
    while (chain.count > 0) {
        struct slub_node *node = slub_node_of(slub, (uintptr_t)chain.head);
        struct slub_depot *depot = &node->depots[number];
        struct list retired;
        list_init(&retired);
        slub_lock(cpu, &depot->lock);
        put_back(cache, node, depot, &chain);
        retire(depot, empties_allowed(slub, depot), &retired);
        spinlock_release(&depot->lock);
        discard_all(cpu, node, &retired);
    }
}

void slub_cut(struct slub_cpu *cpu, struct slub_cpu *whose, unsigned number, uint64_t keep)
{
    struct slub_list *list = &whose->lists[number];
    const uint64_t objects = slub_list_objects(list);
    if (objects > keep) {
        const bool timed = cpu->slub->caches[number].flags & SLUB_PROFILE;
        const uint64_t start = timed ? cpu_ticks() : 0;
        struct slub_chain chain = {.head = list->head, .count = objects - keep};
        trace_begin(TRACE_HEAP_SURPLUS, (uint32_t)chain.count);
        if (keep == 0) {
            list->head = NULL;
        } else {
            struct heap_object *last = list->head;
            for (uint64_t i = 1; i < keep; i++)
                last = last->next;
            chain.head = last->next;
            last->next = NULL;
        }
        slub_list_moved(list, -(int64_t)chain.count);
        list->returns++;
        slub_give(cpu, number, chain);
        trace_end(TRACE_HEAP_SURPLUS);
        list->return_ticks += timed ? cpu_ticks() - start : 0;
    }
}

void slub_give_remote(struct slub_cpu *cpu, struct slub_cpu *whose, unsigned number)
{
    struct slub_list *list = &whose->lists[number];
    const struct slub_chain chain = {.head = list->remote, .count = list->remote_count};
    list->remote = NULL;
    list->remote_count = 0;
    if (chain.count != 0)
        trace_instant(TRACE_HEAP_REMOTE, chain.count * cpu->slub->caches[number].size);
    slub_give(cpu, number, chain);
}

// ---- emergencies --------------------------------------------------------------------------------

// Up to `most` objects of the list that lie in sparse slabs of this node: without them, these slabs
// may become empty.
static void give_sparse(struct slub_cpu *cpu, unsigned number, uint64_t most)
{
    struct slub_node *node = &cpu->slub->nodes[cpu->node];
    struct slub_depot *depot = &node->depots[number];
    struct slub_list *list = &cpu->lists[number];
    struct slub_chain chain = {0};
    struct heap_object **at = &list->head;
    slub_lock(cpu, &depot->lock);
    while (*at != NULL && chain.count < most) {
        struct heap_object *const object = *at;
        const bool near = ((uintptr_t)object - node->base) >> PAGE_SHIFT < node->page_count;
        if (near && slub_slab_of(node, object)->listed == 0) {
            *at = object->next;
            object->next = chain.head;
            chain.head = object;
            chain.count++;
        } else {
            at = &object->next;
        }
    }
    spinlock_release(&depot->lock);
    slub_list_moved(list, -(int64_t)chain.count);
    slub_give(cpu, number, chain);
}

// Of one cache: this CPU's list, and empty slabs. Under the registry's lock.
static void shrink_one(struct slub_cpu *cpu, unsigned number, unsigned percent)
{
    struct slub *slub = cpu->slub;
    const uint64_t objects = slub_list_objects(&cpu->lists[number]);
    const uint64_t keep = objects - share(objects, percent);
    if (objects > 0 && keep > 0)
        give_sparse(cpu, number, objects - keep);
    slub_cut(cpu, cpu, number, keep);
    slub_give_remote(cpu, cpu, number);
    for (unsigned i = 0; i < slub->node_count; i++)
        slub_release_empties(cpu, &slub->nodes[i], number, percent, 0);
}

void slub_serve_emergency(struct slub_cpu *cpu, uint32_t emergencies)
{
    struct slub *slub = cpu->slub;
    cpu->locked++; // the try
    cpu->since = 0;
    if (!spinlock_try_acquire(&slub->registry))
        return;
    cpu->emergencies = emergencies;
    for (unsigned number = 0; number < SLUB_CACHES_MOST; number++) {
        const struct slub_list *list = &cpu->lists[number];
        if (slub->caches[number].users != 0 &&
            (slub_list_objects(list) > 0 || list->remote_count > 0))
            shrink_one(cpu, number, slub->settings.emergency_percent);
    }
    spinlock_release(&slub->registry);
}

size_t slub_shrink(struct slub_cpu *cpu, unsigned percent)
{
    struct slub *slub = cpu->slub;
    const uint64_t before = cpu->pages_returned;
    // Cache by cache, so that who waits for the registry waits for one of them.
    for (unsigned number = 0; number < SLUB_CACHES_MOST; number++) {
        slub_lock(cpu, &slub->registry);
        if (slub->caches[number].users != 0)
            shrink_one(cpu, number, percent);
        spinlock_release(&slub->registry);
    }
    return (cpu->pages_returned - before) << PAGE_SHIFT;
}
