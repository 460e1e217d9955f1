// SPDX-License-Identifier: MIT
// Slow paths of allocation and free, blocks of pages, bulk transfer, memory back.
#include "slub.h"

#include "assert.h"
#include "slub_depot.h"
#include "string.h"

// ---- entering -----------------------------------------------------------------------------------

struct slub_cpu *slub_enter(struct slub *slub)
{
    const unsigned index = cpu_local()->index;
    assert(index < slub->cpu_count); // a CPU that init was not told of
    struct slub_cpu *cpu = slub->cpus[index];
    assert(!cpu->inside); // from an interrupt handler
    cpu->inside = 1;
    __atomic_store_n(&cpu->used, 1, __ATOMIC_RELAXED); // others look, in slow paths of their own
    // Relaxed: only that it changed matters, and what is given back is this CPU's own.
    const uint32_t emergencies = __atomic_load_n(&slub->emergencies, __ATOMIC_RELAXED);
    if (cpu->since < SLUB_PAUSE)
        cpu->since++;
    else if (UNLIKELY(cpu->emergencies != emergencies))
        slub_serve_emergency(cpu, emergencies);
    return cpu;
}

static struct slub_cpu *enter(struct slub *slub)
{
    cpu_preempt_disable();
    return slub_enter(slub);
}

static void leave(struct slub_cpu *cpu)
{
    slub_leave(cpu);
    cpu_preempt_enable();
}

void *slub_zeroed(void *object, size_t size)
{
    return object == NULL ? NULL : memset(object, 0, size);
}

// ---- blocks of pages ----------------------------------------------------------------------------

// Smallest order that holds `bytes` > 0; 64 where there is none.
static unsigned order_of(size_t bytes)
{
    const uint64_t last = (bytes - 1) >> PAGE_SHIFT;
    return last == 0 ? 0 : log2_u64(last) + 1;
}

static void *allocate_large(struct slub_cpu *cpu, unsigned order)
{
    uintptr_t address = 0;
    struct slub_node *node = NULL;
    if (order < 32) {
        node = slub_pages_take(cpu, order, &address);
        if (node == NULL) {
            slub_declare_emergency(cpu);
            slub_shrink(cpu, 100);
            node = slub_pages_take(cpu, order, &address);
        }
    }
    if (node == NULL) {
        cpu->large_failures++;
        return NULL;
    }
    struct slub_slab *block = &node->slabs[(address - node->base) >> PAGE_SHIFT];
    *block = (struct slub_slab){.order = (uint8_t)order};
    // Release: a double free on another CPU reads a whole description, or none.
    __atomic_store_n(&block->kind, SLUB_KIND_LARGE, __ATOMIC_RELEASE);
    cpu->large_allocations++;
    cpu->large_bytes_allocated += (uint64_t)PAGE_SIZE << order;
    return (void *)address;
}

static void free_large(struct slub_cpu *cpu, struct slub_node *node, void *pointer)
{
    struct slub_slab *block = &node->slabs[((uintptr_t)pointer - node->base) >> PAGE_SHIFT];
    if ((uintptr_t)pointer % PAGE_SIZE != 0)
        slub_misuse(NULL, "wild free", pointer, NULL);
    // The exchange lets one of two who free the same block through.
    cpu->locked++;
    if (__atomic_exchange_n(&block->kind, SLUB_KIND_FREE, __ATOMIC_ACQ_REL) != SLUB_KIND_LARGE)
        slub_misuse(NULL, "wild free", pointer, NULL);
    cpu->large_frees++;
    cpu->large_bytes_freed += (uint64_t)PAGE_SIZE << block->order;
    slub_pages_give(cpu, node, (uintptr_t)pointer, block->order);
}

// ---- one object ---------------------------------------------------------------------------------

// Notes a request while sizes are recorded; the number is a class's or an extra one's.
static void record(struct slub *slub, unsigned number, size_t size)
{
    if (number >= SLUB_CLASSES + slub->settings.extra_count)
        return;
    __atomic_fetch_add(&slub->sizes[(size + 7) / 8], 1, __ATOMIC_RELAXED);
    const uint32_t run = __atomic_add_fetch(&slub->run[number], 1, __ATOMIC_RELAXED);
    // Two CPUs may both write: recording is for one workload, and a run is a guess on several.
    if (run > __atomic_load_n(&slub->longest[number], __ATOMIC_RELAXED))
        __atomic_store_n(&slub->longest[number], run, __ATOMIC_RELAXED);
}

static void *slow_allocate(struct slub_cpu *cpu, struct slub_cache *cache, size_t size,
                           const void *caller)
{
    struct slub_list *list = &cpu->lists[cache->number];
    struct slub_chain chain = {0};
    if (cpu->slub->recording)
        record(cpu->slub, cache->number, size);
    if (slub_gather(cpu, cache->number, 1, &chain) == 0) {
        list->failures++;
        return NULL;
    }
    list->direct++;
    list->misses++;
    return cache->checked ? slub_checked_open(cache, chain.head, caller) : chain.head;
}

static void *allocate_missed(struct slub_cpu *cpu, unsigned number)
{
    const struct slub_cache *cache = &cpu->slub->caches[number];
    struct slub_list *list = &cpu->lists[number];
    const uint64_t want = list->primed ? cache->bulk : max_u64(cache->bulk, cache->preload);
    if (list->head == NULL && slub_fill(cpu, number, want) == 0) {
        list->failures++;
        return NULL;
    }
    struct heap_object *const object = list->head;
    list->head = object->next;
    list->taken++;
    list->room++;
    list->misses++;
    return object;
}

NOINLINE void *slub_miss(struct slub *slub, unsigned number, size_t size)
{
    struct slub_cpu *cpu = slub_enter(slub);
    void *object = NULL;
    if (number == SLUB_NONE)
        object = allocate_large(cpu, order_of(size));
    else if (slub->caches[number].slow)
        object = slow_allocate(cpu, &slub->caches[number], size, __builtin_return_address(0));
    else
        object = allocate_missed(cpu, number);
    leave(cpu);
    return object;
}

static void slow_free(struct slub_cpu *cpu, struct slub_cache *cache, struct slub_node *node,
                      void *pointer, const void *caller)
{
    struct slub_list *list = &cpu->lists[cache->number];
    struct slub_chain chain = {.head = pointer, .count = 1};
    if (cpu->slub->recording && cache->number < ARRAY_COUNT(cpu->slub->run))
        __atomic_store_n(&cpu->slub->run[cache->number], 0, __ATOMIC_RELAXED);
    if (cache->checked)
        chain.head = slub_checked_close(cache, node, pointer, caller);
    slub_give(cpu, cache->number, chain);
    list->direct_frees++;
}

// Into this CPU's list, whose room is used up or which begins with this object.
static void free_listed(struct slub_cpu *cpu, const struct slub_cache *cache,
                        struct heap_object *object)
{
    struct slub_list *list = &cpu->lists[cache->number];
    if (list->head == object)
        slub_misuse(cache, "double free", object, NULL);
    slub_list_open(list, cache);
    const uint64_t objects = slub_list_objects(list);
    if (objects >= list->limit) {
        const unsigned percent = cpu->slub->settings.release_percent;
        const uint64_t back = max_u64((uint64_t)list->limit * percent / 100, 1);
        slub_cut(cpu, cpu, cache->number, objects - min_u64(back, objects));
    }
    object->next = list->head;
    list->head = object;
    list->room--;
}

// Another node's: waits with others of its kind until they are worth a lock.
static void free_remote(struct slub_cpu *cpu, const struct slub_cache *cache,
                        struct heap_object *object)
{
    struct slub_list *list = &cpu->lists[cache->number];
    if (list->remote == object)
        slub_misuse(cache, "double free", object, NULL);
    object->next = list->remote;
    list->remote = object;
    list->remote_count++;
    list->remote_frees++;
    if (list->remote_count >= cache->bulk)
        slub_give_remote(cpu, cpu, cache->number);
}

static void free_entered(struct slub_cpu *cpu, void *pointer, unsigned expected, const void *caller)
{
    struct slub *slub = cpu->slub;
    struct slub_cache *wanted = expected < SLUB_NONE ? &slub->caches[expected] : NULL;
    struct slub_node *node = slub_node_of(slub, (uintptr_t)pointer);
    if (node == NULL)
        slub_misuse(wanted, "wild free", pointer, NULL);
    const unsigned number = node->map[((uintptr_t)pointer - node->base) >> PAGE_SHIFT];
    if (expected != SLUB_ANY && number != expected)
        slub_misuse(wanted, number == SLUB_NONE ? "wild free" : "free of another cache's object",
                    pointer, NULL);
    if (number == SLUB_NONE) {
        free_large(cpu, node, pointer);
        return;
    }
    struct slub_cache *cache = &slub->caches[number];
    if (cache->slow)
        slow_free(cpu, cache, node, pointer, caller);
    else if (node == &slub->nodes[cpu->node])
        free_listed(cpu, cache, pointer);
    else
        free_remote(cpu, cache, pointer);
}

NOINLINE void slub_free_slow(struct slub *slub, void *pointer, unsigned expected)
{
    struct slub_cpu *cpu = slub->cpus[cpu_local()->index];
    const uint64_t page = ((uintptr_t)pointer - cpu->base) >> PAGE_SHIFT;
    // The fast path counted a free into the list that has not happened.
    if (page < cpu->page_count && (expected == SLUB_ANY || cpu->map[page] == expected))
        cpu->lists[cpu->map[page]].room++;
    cpu = slub_enter(slub);
    free_entered(cpu, pointer, expected, __builtin_return_address(0));
    leave(cpu);
}

void *slub_allocate_aligned(struct slub *slub, size_t size, size_t align, uint32_t flags)
{
    void *object = NULL;
    if (align == 0 || (align & (align - 1)) != 0)
        return NULL;
    // Slots of a class lie at multiples of its alignment, which is its size unless it is checked.
    for (unsigned number = slub_class(max_u64(size, align)); number < SLUB_CLASSES; number++) {
        if (slub->caches[number].align < align)
            continue;
        object = slub_take(slub, number, size);
        return flags & SLUB_ZERO ? slub_zeroed(object, size) : object;
    }
    struct slub_cpu *cpu = enter(slub);
    object = allocate_large(cpu, order_of(max_u64(max_u64(size, align), 1)));
    leave(cpu);
    return flags & SLUB_ZERO ? slub_zeroed(object, size) : object;
}

// ---- many objects -------------------------------------------------------------------------------

static size_t take_bulk(struct slub *slub, unsigned number, size_t size, size_t count,
                        void **objects)
{
    const void *const caller = __builtin_return_address(0);
    size_t done = 0;
    struct slub_cpu *cpu = enter(slub);
    struct slub_cache *cache = &slub->caches[number];
    struct slub_list *list = &cpu->lists[number];
    while (done < count) {
        if (cache->slow) {
            objects[done] = slow_allocate(cpu, cache, size, caller);
            if (objects[done] == NULL)
                break;
            done++;
            continue;
        }
        if (list->head == NULL) {
            if (slub_fill(cpu, number, count - done) == 0) {
                list->failures++;
                break;
            }
            list->misses++; // the first of each batch
        }
        for (; list->head != NULL && done < count; done++) {
            struct heap_object *const object = list->head;
            list->head = object->next;
            cpu_prefetch(object->next);
            list->taken++;
            list->room++;
            objects[done] = object;
        }
    }
    leave(cpu);
    return done;
}

static size_t zero_all(size_t done, size_t size, void **objects, uint32_t flags)
{
    for (size_t i = 0; i < done && (flags & SLUB_ZERO) != 0; i++)
        slub_zeroed(objects[i], size);
    return done;
}

size_t slub_allocate_bulk(struct slub *slub, size_t size, size_t count, void **objects,
                          uint32_t flags)
{
    const unsigned number = slub_number(slub, size);
    if (number == SLUB_NONE)
        return 0;
    return zero_all(take_bulk(slub, number, size, count, objects), size, objects, flags);
}

size_t slub_cache_allocate_bulk(struct slub_cache *cache, size_t count, void **objects,
                                uint32_t flags)
{
    return zero_all(take_bulk(cache->slub, cache->number, cache->size, count, objects), cache->size,
                    objects, flags);
}

// How many pointers from the first on are objects of one plain cache on this CPU's node.
static size_t run_of(const struct slub_cpu *cpu, size_t count, void *const *objects,
                     unsigned *number)
{
    size_t length = 0;
    for (; length < count && length < SLUB_BULK_MOST; length++) {
        const uint64_t page = ((uintptr_t)objects[length] - cpu->base) >> PAGE_SHIFT;
        if (page >= cpu->page_count || cpu->map[page] == SLUB_NONE ||
            cpu->slub->caches[cpu->map[page]].slow || (length > 0 && cpu->map[page] != *number))
            break;
        *number = cpu->map[page];
    }
    return length;
}

// The list takes what it has place for, the rest goes to the slabs under few locks.
static void give_run(struct slub_cpu *cpu, unsigned number, size_t length, void *const *objects)
{
    const struct slub_cache *cache = &cpu->slub->caches[number];
    struct slub_list *list = &cpu->lists[number];
    struct slub_chain chain = {0};
    slub_list_open(list, cache);
    const uint64_t held = slub_list_objects(list);
    const uint64_t place = held >= list->limit ? 0 : list->limit - held;
    for (size_t i = 0; i < length; i++) {
        struct heap_object *const object = objects[i];
        if (i + 1 < length)
            cpu_prefetch(objects[i + 1]);
        if (list->head == object || chain.head == object)
            slub_misuse(cache, "double free", object, NULL);
        if (i < place) {
            object->next = list->head;
            list->head = object;
            slub_list_moved(list, 1);
        } else {
            object->next = chain.head;
            chain.head = object;
            chain.count++;
        }
        list->direct_frees++;
    }
    slub_give(cpu, number, chain);
}

static void free_bulk(struct slub *slub, unsigned expected, size_t count, void *const *objects)
{
    const void *const caller = __builtin_return_address(0);
    struct slub_cpu *cpu = enter(slub);
    while (count > 0) {
        unsigned number = SLUB_NONE;
        size_t length = run_of(cpu, count, objects, &number);
        if (length > 0 && (expected == SLUB_ANY || number == expected)) {
            give_run(cpu, number, length, objects);
        } else {
            free_entered(cpu, objects[0], expected, caller);
            length = 1;
        }
        objects += length;
        count -= length;
    }
    leave(cpu);
}

void slub_free_bulk(struct slub *slub, size_t count, void *const *objects)
{
    free_bulk(slub, SLUB_ANY, count, objects);
}

void slub_cache_free_bulk(struct slub_cache *cache, size_t count, void *const *objects)
{
    free_bulk(cache->slub, cache->number, count, objects);
}

// ---- memory back --------------------------------------------------------------------------------

static size_t shrink(struct slub *slub, unsigned percent)
{
    struct slub_cpu *cpu = enter(slub);
    slub_declare_emergency(cpu);
    const size_t bytes = slub_shrink(cpu, percent);
    leave(cpu);
    return bytes;
}

size_t slub_emergency_shrink(struct slub *slub)
{
    return shrink(slub, slub->settings.emergency_percent);
}

size_t slub_trim(struct slub *slub)
{
    return shrink(slub, 100);
}

void slub_flush(struct slub *slub)
{
    struct slub_cpu *here = enter(slub);
    for (unsigned i = 0; i < slub->cpu_count; i++)
        for (unsigned number = 0; slub_cpu_used(slub->cpus[i]) && number < SLUB_CACHES_MOST;
             number++) {
            slub_cut(here, slub->cpus[i], number, 0);
            slub_give_remote(here, slub->cpus[i], number);
        }
    leave(here);
}

static uint64_t empties_of(struct slub_cpu *cpu, struct slub_depot *depot)
{
    slub_lock(cpu, &depot->lock);
    const uint64_t empties = depot->empties;
    spinlock_release(&depot->lock);
    return empties;
}

size_t slub_balance(struct slub *slub)
{
    struct slub_cpu *cpu = enter(slub);
    const uint64_t before = cpu->pages_returned;
    slub_lock(cpu, &slub->registry);
    for (unsigned number = 0; number < SLUB_CACHES_MOST; number++) {
        uint64_t all = 0;
        for (unsigned i = 0; i < slub->node_count; i++)
            all += empties_of(cpu, &slub->nodes[i].depots[number]);
        const uint64_t share = (all + slub->node_count - 1) / slub->node_count;
        for (unsigned i = 0; i < slub->node_count; i++)
            slub_release_empties(cpu, &slub->nodes[i], number, 100, share);
    }
    spinlock_release(&slub->registry);
    const size_t bytes = (cpu->pages_returned - before) << PAGE_SHIFT;
    leave(cpu);
    return bytes;
}

void slub_record(struct slub *slub, bool on)
{
    slub_flush(slub);
    slub->recording = on;
    for (unsigned number = 0; number < SLUB_CLASSES + slub->settings.extra_count; number++) {
        struct slub_cache *cache = &slub->caches[number];
        cache->slow = cache->checked || on;
        for (unsigned i = 0; i < slub->cpu_count; i++) {
            struct slub_list *list = &slub->cpus[i]->lists[number];
            list->limit = 0; // until it is used again
            list->room = 0;
        }
    }
}
