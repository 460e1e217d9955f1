// SPDX-License-Identifier: MIT
// What SLUB says about itself: statistics, invariants, leaks, reports. All at rest.
#include "assert.h"
#include "format.h"
#include "slub.h"
#include "slub_depot.h"
#include "string.h"

// ---- statistics ---------------------------------------------------------------------------------

void slub_cpu_statistics(const struct slub *slub, unsigned cpu, unsigned number,
                         struct slub_statistics *statistics)
{
    assert(cpu < slub->cpu_count && number < SLUB_CACHES_MOST);
    const struct slub_list *list = &slub->cpus[cpu]->lists[number];
    *statistics = (struct slub_statistics){
        .allocations = list->taken + list->direct,
        .frees = slub_list_frees(list) + list->direct_frees + list->remote_frees,
        .failures = list->failures,
        .hits = list->taken + list->direct - list->misses,
        .misses = list->misses,
        .remote_frees = list->remote_frees,
        .refills = list->refills,
        .returns = list->returns,
        .refill_ticks = list->refill_ticks,
        .return_ticks = list->return_ticks,
        .cached = slub_list_objects(list) + list->remote_count,
    };
}

void slub_statistics_add(struct slub_statistics *sum, const struct slub_statistics *one)
{
    sum->allocations += one->allocations;
    sum->frees += one->frees;
    sum->failures += one->failures;
    sum->hits += one->hits;
    sum->misses += one->misses;
    sum->remote_frees += one->remote_frees;
    sum->refills += one->refills;
    sum->returns += one->returns;
    sum->refill_ticks += one->refill_ticks;
    sum->return_ticks += one->return_ticks;
    sum->cached += one->cached;
    sum->slabs += one->slabs;
    sum->empty_slabs += one->empty_slabs;
    sum->slab_bytes += one->slab_bytes;
}

// The slab that starts at a page and belongs to the cache (SLUB_ANY: to any), or NULL.
static const struct slub_slab *slab_at(const struct slub_node *node, uint64_t page, unsigned number)
{
    const struct slub_slab *slab = &node->slabs[page];
    if (node->map[page] == SLUB_NONE || slab->back != 0)
        return NULL;
    return number == SLUB_ANY || node->map[page] == number ? slab : NULL;
}

void slub_cache_statistics(const struct slub_cache *cache, struct slub_statistics *statistics)
{
    const struct slub *slub = cache->slub;
    *statistics = (struct slub_statistics){0};
    for (unsigned cpu = 0; cpu < slub->cpu_count; cpu++) {
        struct slub_statistics one;
        if (!slub_cpu_used(slub->cpus[cpu]))
            continue;
        slub_cpu_statistics(slub, cpu, cache->number, &one);
        slub_statistics_add(statistics, &one);
    }
    for (unsigned i = 0; i < slub->node_count; i++) {
        const struct slub_depot *depot = &slub->nodes[i].depots[cache->number];
        statistics->slabs += depot->slabs;
        statistics->empty_slabs += depot->empties;
        statistics->slab_bytes += (uint64_t)depot->pages << PAGE_SHIFT;
    }
}

void slub_statistics(const struct slub *slub, struct slub_totals *totals)
{
    *totals = (struct slub_totals){.objects = slub->retired,
                                   .bytes_allocated = slub->retired_bytes,
                                   .bytes_freed = slub->retired_bytes};
    for (unsigned number = 0; number < SLUB_CACHES_MOST; number++) {
        const struct slub_cache *cache = &slub->caches[number];
        struct slub_statistics one;
        if (cache->users == 0)
            continue;
        slub_cache_statistics(cache, &one);
        slub_statistics_add(&totals->objects, &one);
        totals->bytes_allocated += one.allocations * cache->size;
        totals->bytes_freed += one.frees * cache->size;
    }
    for (unsigned i = 0; i < slub->cpu_count; i++) {
        const struct slub_cpu *cpu = slub->cpus[i];
        if (!slub_cpu_used(cpu))
            continue;
        totals->objects.allocations += cpu->large_allocations;
        totals->objects.frees += cpu->large_frees;
        totals->objects.failures += cpu->large_failures;
        totals->bytes_allocated += cpu->large_bytes_allocated;
        totals->bytes_freed += cpu->large_bytes_freed;
        totals->pages_taken += cpu->pages_taken;
        totals->pages_returned += cpu->pages_returned;
        totals->locked_instructions += cpu->locked;
    }
}

// ---- invariants ---------------------------------------------------------------------------------

// A list of a CPU: as long as it says, all of the cache's slots.
static bool check_list(const struct slub *slub, const struct slub_cache *cache,
                       const struct heap_object *object, uint64_t count)
{
    for (; object != NULL && count > 0; count--, object = object->next) {
        const struct slub_node *node = slub_node_of((struct slub *)slub, (uintptr_t)object);
        if (node == NULL ||
            node->map[((uintptr_t)object - node->base) >> PAGE_SHIFT] != cache->number ||
            !slub_slab_has(cache, node, slub_slab_of(node, object), object))
            return false;
    }
    return object == NULL && count == 0;
}

static bool check_lists(const struct slub *slub, const struct slub_cache *cache)
{
    for (unsigned i = 0; i < slub->cpu_count; i++) {
        const struct slub_list *list = &slub->cpus[i]->lists[cache->number];
        const uint64_t objects = slub_list_objects(list);
        const uint32_t limit = cache->slow ? 0 : cache->limit;
        if ((list->limit != 0 && list->limit != limit) || list->room > (int64_t)list->limit ||
            !check_list(slub, cache, list->head, objects) ||
            !check_list(slub, cache, list->remote, list->remote_count))
            return false;
    }
    return true;
}

static bool check_slab(const struct slub_cache *cache, const struct slub_node *node,
                       const struct slub_slab *slab)
{
    const unsigned used = slab->carved - slab->free_count;
    unsigned left = slab->free_count;
    unsigned where = used == slab->capacity ? SLUB_LISTED_NOWHERE : used >> slab->shift;
    if (used == 0)
        where = SLUB_LISTED_EMPTY;
    if (slab->kind != SLUB_KIND_SLAB || slab->cache != cache->number ||
        slab->carved > slab->capacity || slab->free_count > slab->carved || slab->listed != where ||
        slab->first + slab->capacity * cache->slot > PAGE_SIZE << slab->order)
        return false;
    for (const struct heap_object *at = slab->free; left > 0; left--, at = at->next)
        if (at == NULL || slub_slab_of(node, at) != slab || !slub_slab_has(cache, node, slab, at))
            return false;
    return true;
}

struct found {
    uint64_t slabs, empties, listed, out, pages;
};

static bool check_pages(const struct slub_cache *cache, const struct slub_node *node,
                        struct found *found)
{
    for (uint64_t page = 0; page < node->page_count; page++) {
        const struct slub_slab *slab = slab_at(node, page, cache->number);
        if (slab == NULL)
            continue;
        if (!check_slab(cache, node, slab))
            return false;
        for (uint64_t i = 0; i < 1ull << slab->order; i++)
            if (node->map[page + i] != cache->number || node->slabs[page + i].back != i)
                return false;
        found->slabs++;
        found->empties += slab->listed == SLUB_LISTED_EMPTY;
        found->listed += slab->listed < SLUB_FULLNESS;
        found->out += slab->carved - slab->free_count;
        found->pages += 1ull << slab->order;
    }
    return true;
}

static uint64_t length_of(const struct list *head, uint64_t most)
{
    uint64_t length = 0;
    for (const struct list *at = head->next; at != head && length <= most; at = at->next)
        length++;
    return length;
}

static bool check_cache(const struct slub *slub, const struct slub_cache *cache, uint64_t *pages)
{
    struct slub_statistics numbers;
    uint64_t out = 0;
    for (unsigned i = 0; i < slub->node_count; i++) {
        const struct slub_depot *depot = &slub->nodes[i].depots[cache->number];
        struct found found = {0};
        uint64_t listed = 0;
        if (!check_pages(cache, &slub->nodes[i], &found))
            return false;
        for (unsigned k = 0; k < SLUB_FULLNESS; k++) {
            listed += length_of(&depot->partial[k], found.slabs);
            if (list_empty(&depot->partial[k]) == (depot->nonempty >> k & 1))
                return false;
        }
        if (found.slabs != depot->slabs || found.pages != depot->pages ||
            found.empties != depot->empties || listed != found.listed ||
            length_of(&depot->empty, found.slabs) != found.empties)
            return false;
        out += found.out;
        *pages += found.pages;
    }
    slub_cache_statistics(cache, &numbers);
    // What is out of the slabs is in lists or in use, by the counts of either side.
    return check_lists(slub, cache) && out == numbers.cached + numbers.allocations - numbers.frees;
}

bool slub_check(const struct slub *slub)
{
    struct slub_totals totals;
    uint64_t pages = 0, large = 0;
    for (unsigned number = 0; number < SLUB_CACHES_MOST; number++)
        if (slub->caches[number].users > 0 && !check_cache(slub, &slub->caches[number], &pages))
            return false;
    for (unsigned i = 0; i < slub->cpu_count; i++) {
        const struct slub_cpu *cpu = slub->cpus[i];
        large += cpu->large_bytes_allocated - cpu->large_bytes_freed;
        if (cpu->inside || cpu->lists[SLUB_NONE].room != 0 || cpu->lists[SLUB_NONE].head != NULL)
            return false;
    }
    slub_statistics(slub, &totals);
    return totals.pages_taken - totals.pages_returned == pages + (large >> PAGE_SHIFT);
}

// A free in a test build: looks for the object among all that are free here and in its slab.
void slub_assert_live(struct slub *slub, const void *pointer)
{
    cpu_preempt_disable();
    struct slub_node *node = slub_node_of(slub, (uintptr_t)pointer);
    const uint64_t page = node == NULL ? 0 : ((uintptr_t)pointer - node->base) >> PAGE_SHIFT;
    if (node != NULL && node->map[page] != SLUB_NONE) {
        struct slub_cache *cache = &slub->caches[node->map[page]];
        struct slub_depot *depot = &node->depots[cache->number];
        const char *wrong = NULL;
        if (!cache->checked) {
            spinlock_acquire(&depot->lock);
            const struct slub_slab *slab = slub_slab_of(node, pointer);
            if (!slub_slab_at(cache, node, slab, pointer))
                wrong = "misaligned free";
            else if (!slub_slab_has(cache, node, slab, pointer))
                wrong = "double free";
            for (const struct heap_object *at = slab->free; at != NULL; at = at->next)
                wrong = at == pointer ? "double free" : wrong;
            spinlock_release(&depot->lock);
            const struct slub_list *list = &slub->cpus[cpu_local()->index]->lists[cache->number];
            for (const struct heap_object *at = list->head; at != NULL; at = at->next)
                wrong = at == pointer ? "double free" : wrong;
            for (const struct heap_object *at = list->remote; at != NULL; at = at->next)
                wrong = at == pointer ? "double free" : wrong;
        }
        if (wrong != NULL)
            slub_misuse(cache, wrong, pointer, NULL);
    }
    cpu_preempt_enable();
}

// ---- leaks --------------------------------------------------------------------------------------

#define SLOTS_MOST ((PAGE_SIZE << SLUB_ORDER_MOST) / 8)

struct marks {
    uint64_t bits[SLOTS_MOST / 64]; // slots of a slab that are free
};

static void mark(struct marks *marks, const struct slub_cache *cache, const struct slub_node *node,
                 const struct slub_slab *slab, const struct heap_object *object)
{
    for (; object != NULL; object = object->next) {
        const uint64_t offset = (uintptr_t)object - node->base;
        if (offset >> PAGE_SHIFT >= node->page_count || slub_slab_of(node, object) != slab)
            continue;
        const uint64_t number = slub_slot_number(cache, node, slab, object);
        marks->bits[number / 64] |= 1ull << (number % 64);
    }
}

static void show(struct slub_leaks *leaks, const void *object, const void *allocator)
{
    leaks->first[leaks->shown].object = object;
    leaks->first[leaks->shown].allocator = allocator;
    leaks->shown++;
}

// The objects of a slab that are neither in its list nor in a CPU's.
static void show_slab(const struct slub_cache *cache, const struct slub_node *node,
                      const struct slub_slab *slab, struct slub_leaks *leaks)
{
    struct marks marks;
    memset(&marks, 0, sizeof(marks));
    mark(&marks, cache, node, slab, slab->free);
    for (unsigned i = 0; i < cache->slub->cpu_count; i++) {
        const struct slub_list *list = &cache->slub->cpus[i]->lists[cache->number];
        mark(&marks, cache, node, slab, list->head);
        mark(&marks, cache, node, slab, list->remote);
    }
    for (unsigned n = 0; n < slab->carved && leaks->shown < SLUB_REPORT_MOST; n++) {
        const uintptr_t at = slub_slab_start(node, slab) + slab->first + n * cache->slot;
        const void *allocator = NULL;
        if (cache->checked) {
            if (slub_checked_is_out(cache, (const struct heap_object *)at, &allocator))
                show(leaks, (const char *)at + cache->before, allocator);
        } else if ((marks.bits[n / 64] >> (n % 64) & 1) == 0) {
            show(leaks, (const void *)at, NULL);
        }
    }
}

void slub_leaks(const struct slub_cache *cache, struct slub_leaks *leaks)
{
    const struct slub *slub = cache->slub;
    struct slub_statistics numbers;
    slub_cache_statistics(cache, &numbers);
    *leaks = (struct slub_leaks){.count = numbers.allocations - numbers.frees};
    for (unsigned i = 0; i < slub->node_count && leaks->count > 0; i++) {
        const struct slub_node *node = &slub->nodes[i];
        for (uint64_t page = 0; page < node->page_count; page++) {
            const struct slub_slab *slab = slab_at(node, page, cache->number);
            if (slab != NULL && leaks->shown < SLUB_REPORT_MOST)
                show_slab(cache, node, slab, leaks);
        }
    }
}

void slub_leak_report(const struct slub *slub, void (*line)(void *context, const char *text),
                      void *context)
{
    char text[160];
    for (unsigned number = 0; number < SLUB_CACHES_MOST; number++) {
        const struct slub_cache *cache = &slub->caches[number];
        struct slub_leaks leaks;
        if (cache->users == 0)
            continue;
        slub_leaks(cache, &leaks);
        if (leaks.count == 0)
            continue;
        format(text, sizeof(text), "%s: %lu objects of %u bytes are out", cache->name, leaks.count,
               cache->size);
        line(context, text);
        for (unsigned i = 0; i < leaks.shown; i++) {
            const uint64_t object = (uintptr_t)leaks.first[i].object;
            if (leaks.first[i].allocator != NULL)
                format(text, sizeof(text), "%s: 0x%lx, allocated by 0x%lx", cache->name, object,
                       (uint64_t)(uintptr_t)leaks.first[i].allocator);
            else
                format(text, sizeof(text), "%s: 0x%lx", cache->name, object);
            line(context, text);
        }
    }
}

void slub_usage_report(const struct slub *slub, void (*line)(void *context, const char *text),
                       void *context)
{
    char text[200];
    for (unsigned number = 0; number < SLUB_CACHES_MOST; number++) {
        const struct slub_cache *cache = &slub->caches[number];
        struct slub_statistics s;
        if (cache->users == 0)
            continue;
        slub_cache_statistics(cache, &s);
        if (s.allocations + s.failures == 0)
            continue;
        format(text, sizeof(text),
               "%s: %lu of %u bytes in use, %lu in lists, %lu slabs (%lu empty) of %lu bytes",
               cache->name, s.allocations - s.frees, cache->size, s.cached, s.slabs, s.empty_slabs,
               s.slab_bytes);
        line(context, text);
        format(text, sizeof(text),
               "%s: hot %lu, cold %lu, failed %lu; %lu refills in %lu ticks, %lu returns in %lu "
               "ticks",
               cache->name, s.hits, s.misses, s.failures, s.refills, s.refill_ticks, s.returns,
               s.return_ticks);
        line(context, text);
    }
}
