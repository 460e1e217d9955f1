// SPDX-License-Identifier: MIT
// Settings, init, the registry of caches, statistics.
#include "assert.h"
#include "random.h"
#include "slub.h"
#include "slub_depot.h"
#include "string.h"

const struct slub_settings slub_defaults = {
    .per_cpu_objects = 64,
    .preload_objects = 0,
    .bulk_objects = 32,
    .release_percent = 25, // a free that overflows is four times as short as one that gives all
    .empty_percent = 10,
    .emergency_percent = 50,
    .colour_range = PAGE_SIZE,
};

static bool within(uint64_t value, uint64_t least, uint64_t most)
{
    return value >= least && value <= most;
}

enum status slub_settings_check(const struct slub_settings *settings)
{
    const uint32_t known = SLUB_CHECKED | SLUB_PROFILE | SLUB_NO_MERGE;
    const uint32_t per_cpu = settings->per_cpu_objects;
    if (!within(per_cpu, 2, SLUB_PER_CPU_MOST) || settings->preload_objects > per_cpu ||
        !within(settings->bulk_objects, 1, min_u64(per_cpu, SLUB_BULK_MOST)) ||
        !within(settings->release_percent, 1, 100) || settings->empty_percent > 100 ||
        !within(settings->emergency_percent, 1, 100) || settings->colour_range > PAGE_SIZE ||
        (settings->class_flags & ~known) != 0 || settings->extra_count > SLUB_EXTRA_MOST)
        return STATUS_INVALID;
    for (unsigned i = 0; i < SLUB_CLASSES; i++)
        if (settings->class_objects[i] != 0 &&
            !within(settings->class_objects[i], 2, SLUB_PER_CPU_MOST))
            return STATUS_INVALID;
    for (unsigned i = 0; i < settings->extra_count; i++) {
        const uint32_t size = settings->extra[i];
        if (size % 16 != 0 || size >= SLUB_CLASS_LARGEST || (size & (size - 1)) == 0 ||
            (i > 0 && size <= settings->extra[i - 1]))
            return STATUS_INVALID;
    }
    return STATUS_OK;
}

// ---- caches -------------------------------------------------------------------------------------

// The smallest slab that wastes no more than an eighth and holds four objects; a quarter of that
// where pages are short.
static void choose_orders(struct slub_cache *cache)
{
    unsigned order = 0;
    for (; order < SLUB_ORDER_MOST; order++) {
        const uint32_t bytes = PAGE_SIZE << order;
        if (bytes / cache->slot >= 4 && bytes % cache->slot <= bytes / 8)
            break;
    }
    cache->order = order;
    cache->order_least = 0;
    while (PAGE_SIZE << cache->order_least < cache->slot)
        cache->order_least++;
}

static void set_up_cache(struct slub *slub, unsigned number, const char *name, uint32_t size,
                         uint32_t align, uint32_t flags, uint32_t per_cpu)
{
    struct slub_cache *cache = &slub->caches[number];
    const struct slub_settings *settings = &slub->settings;
    const size_t length = string_length(name, SLUB_NAME_MOST - 1);
    *cache = (struct slub_cache){.slub = slub,
                                 .number = number,
                                 .users = 1,
                                 .size = size,
                                 .align = align,
                                 .flags = flags,
                                 .checked = flags & SLUB_CHECKED};
    memcpy(cache->name, name, length);
    cache->slow = cache->checked;
    if (cache->checked)
        slub_checked_layout(cache);
    else
        cache->size = cache->slot = (uint32_t)align_up(size, align); // all of it is the user's
    cache->reciprocal = (uint32_t)(((1ull << 32) + cache->slot - 1) / cache->slot);
    choose_orders(cache);
    cache->limit = (uint32_t)min_u64(per_cpu, max_u64(SLUB_LIST_BYTES / cache->slot, 2));
    cache->bulk = (uint32_t)min_u64(settings->bulk_objects, max_u64(cache->limit / 2, 1));
    cache->preload = (uint32_t)min_u64(settings->preload_objects, cache->limit);
    for (unsigned i = 0; i < slub->cpu_count; i++) {
        struct slub_list *list = &slub->cpus[i]->lists[number];
        // No room yet: the first free here takes the slow path, as the first allocation does.
        *list = (struct slub_list){0};
    }
    struct random random = random_seeded(settings->seed + number);
    for (unsigned i = 0; i < slub->node_count; i++) {
        struct slub_depot *depot = &slub->nodes[i].depots[number];
        *depot = (struct slub_depot){.colour = (uint32_t)random_below(&random, PAGE_SIZE)};
        for (unsigned k = 0; k < SLUB_FULLNESS; k++)
            list_init(&depot->partial[k]);
        list_init(&depot->empty);
    }
}

static void make_classes(struct slub *slub)
{
    static const char names[SLUB_CLASSES][SLUB_NAME_MOST] = {
        "size-8",   "size-16",   "size-32",   "size-64",   "size-128",  "size-256",
        "size-512", "size-1024", "size-2048", "size-4096", "size-8192",
    };
    const struct slub_settings *settings = &slub->settings;
    for (unsigned i = 0; i < SLUB_CLASSES; i++) {
        const uint32_t size = 8u << i;
        const bool checked = settings->class_flags & SLUB_CHECKED;
        const uint32_t objects = settings->class_objects[i];
        // In a slab of its own size or more, a power of two lies at a multiple of itself, unless
        // something stands in front of it or it is coloured: nothing is left over to colour with.
        set_up_cache(slub, i, names[i], size, checked ? (uint32_t)min_u64(size, 16) : size,
                     settings->class_flags, objects != 0 ? objects : settings->per_cpu_objects);
    }
    for (unsigned i = 0; i < settings->extra_count; i++)
        set_up_cache(slub, SLUB_CLASSES + i, "extra", settings->extra[i], 16, settings->class_flags,
                     settings->per_cpu_objects);
    for (size_t words = 0; words < SLUB_WORDS; words++) {
        unsigned best = slub_class(words * 8);
        for (unsigned i = 0; i < settings->extra_count; i++)
            if (settings->extra[i] >= words * 8 && settings->extra[i] < slub->caches[best].size)
                best = SLUB_CLASSES + i;
        slub->class_of[words] = (uint8_t)best;
    }
}

struct slub_cache *slub_cache_create(struct slub *slub, const char *name, size_t size, size_t align,
                                     uint32_t flags)
{
    const uint32_t known = SLUB_CHECKED | SLUB_PROFILE | SLUB_NO_MERGE;
    if (align == 0)
        align = size % 16 == 0 ? 16 : 8;
    if (size == 0 || size > SLUB_CLASS_LARGEST || (align & (align - 1)) != 0 || align > PAGE_SIZE ||
        (flags & ~known) != 0)
        return NULL;
    align = max_u64(align, 8);
    const uint64_t slot = align_up(size, align);
    struct slub_cache *found = NULL;
    cpu_preempt_disable();
    struct slub_cpu *here = slub_enter(slub);
    slub_lock(here, &slub->registry);
    const unsigned first = SLUB_CLASSES + slub->settings.extra_count;
    const bool alone = flags & (SLUB_NO_MERGE | SLUB_CHECKED);
    for (unsigned i = first; i < SLUB_CACHES_MOST && found == NULL && !alone; i++) {
        struct slub_cache *cache = &slub->caches[i];
        if (cache->users > 0 && cache->slot == slot && cache->align >= align &&
            cache->flags == flags) {
            found = cache;
            cache->users++;
        }
    }
    for (unsigned i = first; i < SLUB_CACHES_MOST && found == NULL; i++) {
        if (slub->caches[i].users == 0) {
            found = &slub->caches[i];
            set_up_cache(slub, i, name, (uint32_t)size, (uint32_t)align, flags,
                         slub->settings.per_cpu_objects);
        }
    }
    spinlock_release(&slub->registry);
    slub_leave(here);
    cpu_preempt_enable();
    return found;
}

// Nothing of it is out: its pages go back, its numbers stay in the totals.
static void dissolve(struct slub *slub, struct slub_cpu *here, struct slub_cache *cache)
{
    struct slub_statistics numbers;
    for (unsigned i = 0; i < slub->cpu_count; i++) {
        if (!slub_cpu_used(slub->cpus[i]))
            continue;
        slub_cut(here, slub->cpus[i], cache->number, 0);
        slub_give_remote(here, slub->cpus[i], cache->number);
    }
    for (unsigned i = 0; i < slub->node_count; i++)
        slub_release_empties(here, &slub->nodes[i], cache->number, 100, 0);
    slub_cache_statistics(cache, &numbers);
    slub_statistics_add(&slub->retired, &numbers);
    slub->retired_bytes += numbers.allocations * cache->size;
    cache->users = 0;
}

enum status slub_cache_destroy(struct slub_cache *cache, struct slub_leaks *leaks)
{
    struct slub *slub = cache->slub;
    struct slub_leaks found = {0};
    assert(cache->users > 0);
    assert(cache->number >= SLUB_CLASSES + slub->settings.extra_count); // a class, else
    cpu_preempt_disable();
    struct slub_cpu *here = slub_enter(slub);
    slub_lock(here, &slub->registry);
    if (cache->users > 1) {
        cache->users--;
    } else {
        slub_leaks(cache, &found);
        if (found.count == 0)
            dissolve(slub, here, cache);
    }
    spinlock_release(&slub->registry);
    slub_leave(here);
    cpu_preempt_enable();
    if (leaks != NULL)
        *leaks = found;
    return found.count == 0 ? STATUS_OK : STATUS_FULL;
}

// ---- init ---------------------------------------------------------------------------------------

static size_t node_bytes(const struct slub_range *range)
{
    const uint64_t pages = range->length >> PAGE_SHIFT;
    return align_up(pages * sizeof(struct slub_slab) + pages, CACHE_LINE);
}

size_t slub_metadata_bytes(const struct slub_range *ranges, unsigned node_count)
{
    size_t bytes = 0;
    if (!within(node_count, 1, NUMA_NODES_MOST))
        return 0;
    for (unsigned i = 0; i < node_count; i++) {
        if (ranges[i].start == 0 || ranges[i].start % PAGE_SIZE != 0 || ranges[i].length == 0 ||
            ranges[i].length % PAGE_SIZE != 0 ||
            ranges[i].start + ranges[i].length < ranges[i].start ||
            ranges[i].pages.allocate == NULL || ranges[i].pages.release == NULL)
            return 0;
        for (unsigned k = 0; k < i; k++)
            if (ranges[i].start < ranges[k].start + ranges[k].length &&
                ranges[k].start < ranges[i].start + ranges[i].length)
                return 0;
        bytes += node_bytes(&ranges[i]);
    }
    return bytes;
}

static void set_up_node(struct slub_node *node, const struct slub_range *range,
                        struct slub_depot *depots, void *metadata)
{
    const uint64_t pages = range->length >> PAGE_SHIFT;
    *node = (struct slub_node){.base = range->start,
                               .page_count = pages,
                               .depots = depots,
                               .slabs = metadata,
                               .pages = range->pages};
    node->map = (uint8_t *)(node->slabs + pages);
    memset(depots, 0, SLUB_CACHES_MOST * sizeof(struct slub_depot));
    memset(node->slabs, 0, pages * sizeof(struct slub_slab));
    memset(node->map, SLUB_NONE, pages);
    for (unsigned number = 0; number < SLUB_CACHES_MOST; number++) {
        for (unsigned k = 0; k < SLUB_FULLNESS; k++)
            list_init(&depots[number].partial[k]);
        list_init(&depots[number].empty);
    }
}

static void set_up_cpu(struct slub *slub, struct slub_cpu *cpu, unsigned index,
                       const struct numa *numa)
{
    const unsigned node = numa == NULL ? 0 : numa->cpu_node[index];
    const struct slub_node *near = &slub->nodes[node];
    memset(cpu, 0, sizeof(*cpu));
    cpu->base = near->base;
    cpu->page_count = near->page_count;
    cpu->map = near->map;
    cpu->slub = slub;
    cpu->index = index;
    cpu->node = node;
    cpu->since = SLUB_PAUSE; // the first emergency is served at once
    slub->cpus[index] = cpu;
}

// Of CPUs that are no part of it: lists without objects or room, so that only slow paths, which
// assert, are ever entered, and nothing is written.
static const struct slub_cpu nobody;

static bool setup_sound(const struct slub_setup *setup)
{
    if (slub_metadata_bytes(setup->ranges, setup->node_count) == 0 ||
        !within(setup->cpu_count, 1, CPU_MOST) || (uintptr_t)setup->cpus % CACHE_LINE != 0 ||
        setup->depots == NULL || (uintptr_t)setup->depots % CACHE_LINE != 0 ||
        (uintptr_t)setup->metadata % CACHE_LINE != 0)
        return false;
    if (setup->numa == NULL)
        return true;
    if (setup->numa->node_count != setup->node_count)
        return false;
    for (unsigned i = 0; i < setup->cpu_count; i++)
        if (setup->numa->cpu_node[i] >= setup->node_count)
            return false;
    return true;
}

enum status slub_init(struct slub *slub, const struct slub_setup *setup)
{
    const struct slub_settings *settings =
        setup->settings != NULL ? setup->settings : &slub_defaults;
    if (slub_settings_check(settings) != STATUS_OK || !setup_sound(setup))
        return STATUS_INVALID;
    if (setup->metadata_bytes < slub_metadata_bytes(setup->ranges, setup->node_count))
        return STATUS_NO_MEMORY;
    memset(slub, 0, sizeof(*slub));
    slub->settings = *settings;
    slub->node_count = setup->node_count;
    slub->cpu_count = setup->cpu_count;
    spinlock_init(&slub->registry);
    struct numa plain;
    const struct numa *numa = setup->numa;
    if (numa == NULL) {
        numa_init(&plain);
        numa_set_nodes(&plain, setup->node_count);
        numa = &plain;
    }
    uint8_t *next = setup->metadata;
    for (unsigned i = 0; i < setup->node_count; i++) {
        struct slub_node *node = &slub->nodes[i];
        set_up_node(node, &setup->ranges[i], setup->depots + i * SLUB_CACHES_MOST, next);
        node->nearest_count = numa_nearest(numa, i, node->nearest);
        next += node_bytes(&setup->ranges[i]);
    }
    for (unsigned i = 0; i < CPU_MOST; i++)
        slub->cpus[i] = (struct slub_cpu *)&nobody;
    for (unsigned i = 0; i < setup->cpu_count; i++)
        set_up_cpu(slub, &setup->cpus[i], i, setup->numa);
    make_classes(slub);
    return STATUS_OK;
}
