// SPDX-License-Identifier: MIT
// The CPU slab and its pages: cuts blocks of the buddy into objects of one class.
//
// A slab is in one of three places: in its CPU's list `partial` while it has objects to give and
// some are out; nowhere while all are out; `spare`, or back in the buddy, while none is.
#include "heap_hybrid.h"

#include "assert.h"

// Pages of a slab, as an order: two where the tail of one would waste more than an eighth of it.
static const uint8_t slab_order[HEAP_CLASSES] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
};

// 2^32 / slot, rounded up: (offset * reciprocal) >> 32 is offset / slot for offsets in a slab,
// exactly, as the tests show for all of them.
#define RECIPROCAL(slot) (uint32_t)(((1ull << 32) + (slot)-1) / (slot))
static const uint32_t reciprocal[HEAP_CLASSES] = {
    RECIPROCAL(8),   RECIPROCAL(16),   RECIPROCAL(24),   RECIPROCAL(32),
    RECIPROCAL(48),  RECIPROCAL(64),   RECIPROCAL(96),   RECIPROCAL(128),
    RECIPROCAL(192), RECIPROCAL(256),  RECIPROCAL(384),  RECIPROCAL(512),
    RECIPROCAL(768), RECIPROCAL(1024), RECIPROCAL(1536), RECIPROCAL(2048),
};

static inline unsigned capacity(unsigned class)
{
    return (PAGE_SIZE << slab_order[class]) / heap_class_bytes[class];
}

unsigned heap_hybrid_slab_capacity(const struct heap_hybrid_slab *slab)
{
    return capacity(slab->class);
}

static inline uintptr_t slab_start(const struct heap_hybrid_pages *pages,
                                   const struct heap_hybrid_slab *slab)
{
    return pages->base + ((uintptr_t)(slab - pages->slabs) << PAGE_SHIFT);
}

// Slabs are blocks of the buddy, aligned to their size in the address space.
static inline struct heap_hybrid_slab *slab_of(const struct heap_hybrid_pages *pages,
                                               unsigned class, const void *object)
{
    const uintptr_t start = (uintptr_t)object & ~(((uintptr_t)PAGE_SIZE << slab_order[class]) - 1);
    return &pages->slabs[(start - pages->base) >> PAGE_SHIFT];
}

const struct heap_hybrid_slab *heap_hybrid_slab_of(const struct heap_hybrid_pages *pages,
                                                   const void *object)
{
    const unsigned class = pages->map[((uintptr_t)object - pages->base) >> PAGE_SHIFT];
    return slab_of(pages, class, object);
}

bool heap_hybrid_slab_has(const struct heap_hybrid_pages *pages,
                          const struct heap_hybrid_slab *slab, const void *object)
{
    const uint64_t offset = (uintptr_t)object - slab_start(pages, slab);
    const uint64_t number = offset * reciprocal[slab->class] >> 32;
    return number < slab->carved && number * heap_class_bytes[slab->class] == offset;
}

static struct heap_hybrid_slab *slab_create(struct heap_hybrid_cpu *cpu, unsigned class)
{
    struct heap_hybrid_pages *pages = cpu->pages;
    const unsigned order = slab_order[class];
    uintptr_t start = 0;
    trace_begin(TRACE_HEAP_PAGES, 1u << order);
    const bool found = buddy_allocate(&pages->buddy, order, &start);
    trace_end(TRACE_HEAP_PAGES);
    if (!found)
        return NULL;
    const uint64_t page = (start - pages->base) >> PAGE_SHIFT;
    struct heap_hybrid_slab *slab = &pages->slabs[page];
    *slab = (struct heap_hybrid_slab){
        .class = (uint8_t) class, .order = (uint8_t)order, .cpu = (uint16_t)cpu->index};
    list_init(&slab->link);
    for (unsigned i = 0; i < 1u << order; i++)
        pages->map[page + i] = (uint8_t) class;
    cpu->classes[class].slabs++;
    return slab;
}

static void slab_destroy(struct heap_hybrid_cpu *cpu, struct heap_hybrid_slab *slab)
{
    struct heap_hybrid_pages *pages = cpu->pages;
    const uint64_t page = (uint64_t)(slab - pages->slabs);
    for (unsigned i = 0; i < 1u << slab->order; i++)
        pages->map[page + i] = HEAP_CLASS_NONE;
    cpu->classes[slab->class].slabs--;
    trace_begin(TRACE_HEAP_PAGES, 1u << slab->order);
    const enum status status = buddy_free(&pages->buddy, slab_start(pages, slab), slab->order);
    trace_end(TRACE_HEAP_PAGES);
    assert(status == STATUS_OK);
}

// A slab with objects to give, at the front of the list; NULL if memory is used up.
static struct heap_hybrid_slab *slab_to_use(struct heap_hybrid_cpu *cpu, unsigned class)
{
    struct list *partial = &cpu->classes[class].partial;
    if (!list_empty(partial))
        return (struct heap_hybrid_slab *)(void *)partial->next;
    struct heap_hybrid_slab *slab = cpu->classes[class].spare;
    cpu->classes[class].spare = NULL;
    if (slab == NULL)
        slab = slab_create(cpu, class);
    if (slab != NULL)
        list_insert_after(partial, &slab->link);
    return slab;
}

_Static_assert(offsetof(struct heap_hybrid_slab, link) == 0, "a link is its slab");

// Moves up to `wanted` of the objects that came back in front of the chain.
static struct heap_object *take_returned(struct heap_hybrid_slab *slab, size_t wanted,
                                         struct heap_object *chain, size_t *moved)
{
    const size_t count = min_u64(wanted, slab->free_count);
    *moved = count;
    if (count == 0)
        return chain;
    struct heap_object *const first = slab->free, *last = first;
    for (size_t i = 1; i < count; i++)
        last = last->next;
    slab->free = last->next;
    slab->free_count = (uint16_t)(slab->free_count - count);
    last->next = chain;
    return first;
}

// Cuts up to `wanted` new objects off; the lowest is the first to be handed out.
static struct heap_object *take_new(const struct heap_hybrid_pages *pages,
                                    struct heap_hybrid_slab *slab, size_t wanted,
                                    struct heap_object *chain, size_t *moved)
{
    const size_t count = min_u64(wanted, capacity(slab->class) - slab->carved);
    const size_t slot = heap_class_bytes[slab->class];
    uintptr_t at = slab_start(pages, slab) + (slab->carved + count) * slot;
    for (size_t i = 0; i < count; i++) {
        at -= slot;
        ((struct heap_object *)at)->next = chain;
        chain = (struct heap_object *)at;
    }
    slab->carved = (uint16_t)(slab->carved + count);
    *moved = count;
    return chain;
}

struct heap_object *heap_hybrid_cpu_take(struct heap_hybrid_cpu *cpu, unsigned class, size_t count,
                                         struct heap_object *chain, size_t *moved)
{
    size_t done = 0;
    while (done < count) {
        struct heap_hybrid_slab *slab = slab_to_use(cpu, class);
        if (slab == NULL)
            break;
        size_t part = 0;
        chain = take_returned(slab, count - done, chain, &part);
        done += part;
        chain = take_new(cpu->pages, slab, count - done, chain, &part);
        done += part;
        if (slab->free_count == 0 && slab->carved == capacity(class)) {
            list_remove(&slab->link);
            list_init(&slab->link);
        }
    }
    cpu->classes[class].allocations += done;
    *moved = done;
    return chain;
}

// Nothing of the slab is out any more: it becomes the spare one, or its pages go back.
static NOINLINE void retire(struct heap_hybrid_cpu *cpu, struct heap_hybrid_slab *slab)
{
    const unsigned class = slab->class;
    list_remove(&slab->link);
    list_init(&slab->link);
    if (cpu->classes[class].spare != NULL) {
        slab_destroy(cpu, slab);
        return;
    }
    // Cutting it anew is cheaper than walking the list of what came back, and in order.
    slab->free = NULL;
    slab->free_count = 0;
    slab->carved = 0;
    cpu->classes[class].spare = slab;
}

struct heap_object *heap_hybrid_cpu_give(struct heap_hybrid_cpu *cpu, unsigned class, size_t count,
                                         struct heap_object *chain)
{
    const struct heap_hybrid_pages *pages = cpu->pages;
    for (size_t i = 0; i < count; i++) {
        struct heap_object *const object = chain;
        struct heap_hybrid_slab *const slab = slab_of(pages, class, object);
        chain = object->next;
        // A pointer into the middle of an object, or an object freed twice, else.
        assert(heap_hybrid_slab_has(pages, slab, object) && slab->free_count < slab->carved);
        assert(slab->class == class && slab->cpu == cpu->index);
        if (slab->free_count == 0 && slab->carved == capacity(class))
            list_insert_after(&cpu->classes[class].partial, &slab->link);
        object->next = slab->free;
        slab->free = object;
        if (++slab->free_count == slab->carved)
            retire(cpu, slab);
    }
    cpu->classes[class].frees += count;
    return chain;
}

void heap_hybrid_cpu_trim(struct heap_hybrid_cpu *cpu)
{
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        struct heap_hybrid_slab *spare = cpu->classes[class].spare;
        cpu->classes[class].spare = NULL;
        if (spare != NULL)
            slab_destroy(cpu, spare);
    }
}

void heap_hybrid_cpu_attach(struct heap_hybrid_cpu *cpu, struct heap_hybrid_pages *pages,
                            unsigned index)
{
    assert(index <= UINT16_MAX);
    *cpu = (struct heap_hybrid_cpu){.pages = pages, .index = index};
    for (unsigned class = 0; class < HEAP_CLASSES; class ++)
        list_init(&cpu->classes[class].partial);
}
