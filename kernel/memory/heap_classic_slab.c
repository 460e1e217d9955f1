// SPDX-License-Identifier: MIT
#include "heap_classic_slab.h"

#include "assert.h"
#include "heap_trace.h"
#include "string.h"

#define CLASSES       HEAP_CLASSIC_SLAB_CLASSES
#define CLASS_NONE    CLASSES
#define CLASS_LARGEST 8192u
#define FIRST_APART   6u      // class of 512 bytes: from here on heads lie elsewhere
#define LAST          0xffffu // bufctl: no further free object
#define OUT           0xfffeu // bufctl of an object that is out

struct heap_classic_slab_head {
    struct list link; // in one of its class's lists
    uint8_t *first;   // object
    uintptr_t start;
    uint16_t out;
    uint16_t capacity;
    uint16_t free; // number of the first free object, or LAST
    uint8_t class;
    uint8_t order;
    uint16_t bufctl[];
};

typedef struct heap_classic_slab_head slab;
typedef struct heap_classic_slab_class slab_class;

_Static_assert(offsetof(slab, link) == 0, "a link is its slab");
_Static_assert(sizeof(slab) + 8 * sizeof(uint16_t) <= 64, "heads that lie apart are small");

static unsigned class_of(size_t size)
{
    if (size > CLASS_LARGEST)
        return CLASS_NONE;
    return size <= 8 ? 0 : log2_u64(size - 1) - 2;
}

static size_t bytes_of(unsigned class)
{
    return 8u << class;
}

static unsigned order_of(unsigned class)
{
    return bytes_of(class) > PAGE_SIZE;
}

static bool is_apart(unsigned class)
{
    return class >= FIRST_APART;
}

static unsigned capacity_of(unsigned class)
{
    if (is_apart(class))
        return (PAGE_SIZE << order_of(class)) / bytes_of(class);
    return (PAGE_SIZE - sizeof(slab)) / (bytes_of(class) + sizeof(uint16_t));
}

static size_t head_bytes(unsigned class)
{
    return align_up(sizeof(slab) + capacity_of(class) * sizeof(uint16_t), 8);
}

static void lock_class(slab_class *class)
{
    spinlock_acquire(&class->lock);
    class->locks++;
}

static void lock_pages(struct heap_classic_slab *heap)
{
    spinlock_acquire(&heap->lock);
    heap->locks++;
}

// ---- pages --------------------------------------------------------------------------------------

static bool pages_take(struct heap_classic_slab *heap, unsigned order, uintptr_t *address)
{
    lock_pages(heap);
    const bool found = buddy_allocate(&heap->buddy, order, address);
    spinlock_release(&heap->lock);
    return found;
}

static void pages_give(struct heap_classic_slab *heap, uintptr_t address, unsigned order)
{
    lock_pages(heap);
    const enum status status = buddy_free(&heap->buddy, address, order);
    spinlock_release(&heap->lock);
    assert(status == STATUS_OK);
}

// ---- objects of a slab; under its class's lock --------------------------------------------------

// Where it belongs by what is out of it.
static void place(slab_class *class, slab *one)
{
    struct list *where = &class->partial;
    if (one->out == 0)
        where = &class->empty;
    else if (one->out == one->capacity)
        where = &class->full;
    list_remove(&one->link);
    list_insert_after(where, &one->link);
}

static void *take(slab_class *class, bool head)
{
    slab *one;
    if (!list_empty(&class->partial))
        one = (slab *)(void *)class->partial.next;
    else if (!list_empty(&class->empty))
        one = (slab *)(void *)class->empty.next;
    else
        return NULL;
    const unsigned number = one->free;
    one->free = one->bufctl[number];
    one->bufctl[number] = OUT;
    one->out++;
    if (one->out == 1 || one->out == one->capacity)
        place(class, one);
    class->heads += head;
    class->allocations += !head;
    return one->first + number * bytes_of(one->class);
}

static void put(slab_class *class, slab *one, const uint8_t *object, bool head)
{
    const size_t offset = (size_t)(object - one->first);
    const size_t number = offset >> (one->class + 3);
    assert(object >= one->first && number < one->capacity); // not an object, else
    assert(number << (one->class + 3) == offset);           // inside an object, else
    assert(one->bufctl[number] == OUT);                     // freed twice, else
    one->bufctl[number] = one->free;
    one->free = (uint16_t)number;
    one->out--;
    if (one->out == 0 || one->out + 1 == one->capacity)
        place(class, one);
    class->heads -= head;
    class->frees += !head;
}

// ---- slabs --------------------------------------------------------------------------------------

static void *allocate_of(struct heap_classic_slab *heap, unsigned class, bool head);
static void free_of(struct heap_classic_slab *heap, slab *one, void *object, bool head);

// A slab that no list has yet; NULL if there are no pages. One of a small class may be made on the
// way, for the head.
static slab *slab_make(struct heap_classic_slab *heap, unsigned class)
{
    const unsigned order = order_of(class);
    const size_t bytes = (size_t)PAGE_SIZE << order;
    uintptr_t start = 0;
    if (!pages_take(heap, order, &start))
        return NULL;
    slab *one = (slab *)(start + bytes - head_bytes(class));
    if (is_apart(class)) {
        one = allocate_of(heap, class_of(head_bytes(class)), true);
        if (one == NULL) {
            pages_give(heap, start, order);
            return NULL;
        }
    }
    *one = (slab){.first = (uint8_t *)start,
                  .start = start,
                  .capacity = (uint16_t)capacity_of(class),
                  .class = (uint8_t) class,
                  .order = (uint8_t)order};
    for (unsigned i = 0; i < one->capacity; i++)
        one->bufctl[i] = (uint16_t)(i + 1);
    one->bufctl[one->capacity - 1] = LAST;
    for (unsigned i = 0; i < 1u << order; i++)
        heap->slab_of[((start - heap->base) >> PAGE_SHIFT) + i] = one;
    return one;
}

// Under the lock of its class.
static void colour(slab_class *class, slab *one)
{
    const size_t used =
        one->capacity * bytes_of(one->class) + (is_apart(one->class) ? 0 : head_bytes(one->class));
    const size_t lines = ((PAGE_SIZE << one->order) - used) / CACHE_LINE;
    one->first += class->colour++ % (lines + 1) * CACHE_LINE;
}

static void slab_discard(struct heap_classic_slab *heap, slab *one)
{
    const uintptr_t start = one->start;
    const uint64_t page = (start - heap->base) >> PAGE_SHIFT;
    const unsigned order = one->order;
    for (unsigned i = 0; i < 1u << order; i++)
        heap->slab_of[page + i] = NULL;
    if (is_apart(one->class))
        free_of(heap, heap->slab_of[((uintptr_t)one - heap->base) >> PAGE_SHIFT], one, true);
    pages_give(heap, start, order);
}

// Gives all empty slabs back; returns the bytes. Large classes first: their heads are small
// objects.
static size_t reap(struct heap_classic_slab *heap)
{
    size_t bytes = 0;
    for (unsigned i = CLASSES; i-- > 0;) {
        slab_class *class = &heap->classes[i];
        for (;;) {
            slab *one = NULL;
            lock_class(class);
            if (!list_empty(&class->empty)) {
                one = (slab *)(void *)class->empty.next;
                list_remove(&one->link);
            }
            spinlock_release(&class->lock);
            if (one == NULL)
                break;
            bytes += (size_t)PAGE_SIZE << one->order;
            slab_discard(heap, one);
        }
    }
    return bytes;
}

// ---- the interface ------------------------------------------------------------------------------

static void *allocate_of(struct heap_classic_slab *heap, unsigned number, bool head)
{
    slab_class *class = &heap->classes[number];
    lock_class(class);
    void *object = take(class, head);
    spinlock_release(&class->lock);
    if (object != NULL)
        return object;
    slab *one = slab_make(heap, number);
    lock_class(class);
    if (one != NULL) {
        colour(class, one);
        list_insert_after(&class->empty, &one->link);
    }
    object = take(class, head); // another CPU may have freed something meanwhile
    spinlock_release(&class->lock);
    return object;
}

static void free_of(struct heap_classic_slab *heap, slab *one, void *object, bool head)
{
    slab_class *class = &heap->classes[one->class];
    lock_class(class);
    put(class, one, object, head);
    spinlock_release(&class->lock);
}

static void *allocate_small(struct heap_classic_slab *heap, unsigned number)
{
    void *object = allocate_of(heap, number, false);
    if (object == NULL && reap(heap) > 0)
        object = allocate_of(heap, number, false);
    if (object == NULL) {
        slab_class *class = &heap->classes[number];
        lock_class(class);
        class->failures++;
        spinlock_release(&class->lock);
    }
    return object;
}

static void *allocate_large(struct heap_classic_slab *heap, size_t size)
{
    uintptr_t address = 0;
    const unsigned order = size <= HEAP_CLASSIC_SLAB_LARGEST ? buddy_order(size) : 0;
    bool found = false;
    if (size <= HEAP_CLASSIC_SLAB_LARGEST)
        found = pages_take(heap, order, &address) ||
                (reap(heap) > 0 && pages_take(heap, order, &address));
    lock_pages(heap);
    heap->large_allocations += found;
    heap->large_failures += !found;
    heap->large_bytes_allocated += found ? (uint64_t)PAGE_SIZE << order : 0;
    spinlock_release(&heap->lock);
    return found ? (void *)address : NULL;
}

void *heap_classic_slab_allocate(void *heap, size_t size)
{
    const unsigned class = class_of(size);
    heap_trace_allocate(size);
    cpu_preempt_disable();
    void *object = class == CLASS_NONE ? allocate_large(heap, size) : allocate_small(heap, class);
    cpu_preempt_enable();
    heap_trace_allocated(object, size);
    return object;
}

void heap_classic_slab_release(void *heap_, void *pointer, size_t size)
{
    struct heap_classic_slab *heap = heap_;
    const uint64_t page = ((uintptr_t)pointer - heap->base) >> PAGE_SHIFT;
    (void)size; // but for the trace
    heap_trace_release(size);
    cpu_preempt_disable();
    assert(page < heap->page_count); // a foreign pointer, else
    slab *one = heap->slab_of[page];
    if (one != NULL) {
        free_of(heap, one, pointer, false);
    } else {
        unsigned order = 0;
        lock_pages(heap);
        const enum status status = buddy_free_unit(&heap->buddy, (uintptr_t)pointer, &order);
        heap->large_frees++;
        heap->large_bytes_freed += (uint64_t)PAGE_SIZE << order;
        spinlock_release(&heap->lock);
        assert(status == STATUS_OK); // free, or inside a block
    }
    cpu_preempt_enable();
    heap_trace_released(size);
}

void *heap_classic_slab_join(void *heap, void *memory)
{
    (void)memory;
    return heap;
}

void heap_classic_slab_leave(void *handle)
{
    (void)handle;
}

size_t heap_classic_slab_trim(void *handle)
{
    cpu_preempt_disable();
    const size_t bytes = reap(handle);
    cpu_preempt_enable();
    return bytes;
}

enum status heap_classic_slab_init(void *heap_, void *memory, size_t length)
{
    struct heap_classic_slab *heap = heap_;
    const uintptr_t base = (uintptr_t)memory;
    if (base == 0 || base % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length < 64 * 1024 ||
        length > BUDDY_SPAN_LIMIT)
        return STATUS_INVALID;
    const uint64_t pages = length >> PAGE_SHIFT;
    const size_t table_bytes = pages * sizeof(slab *);
    const size_t buddy_bytes = buddy_metadata_bytes(base, length, HEAP_CLASSIC_SLAB_ORDER);
    const size_t metadata_bytes = align_up(table_bytes + buddy_bytes, PAGE_SIZE);
    *heap = (struct heap_classic_slab){.base = base, .page_count = pages, .slab_of = memory};
    memset(memory, 0, table_bytes);
    spinlock_init(&heap->lock);
    for (unsigned i = 0; i < CLASSES; i++) {
        slab_class *class = &heap->classes[i];
        spinlock_init(&class->lock);
        list_init(&class->full);
        list_init(&class->partial);
        list_init(&class->empty);
    }
    const enum status status = buddy_init(&heap->buddy, base, length, HEAP_CLASSIC_SLAB_ORDER,
                                          (char *)memory + table_bytes, buddy_bytes);
    if (status != STATUS_OK)
        return status;
    return buddy_add(&heap->buddy, base + metadata_bytes, length - metadata_bytes);
}

uint64_t heap_classic_slab_locked(const void *heap_)
{
    const struct heap_classic_slab *heap = heap_;
    uint64_t locks = heap->locks;
    for (unsigned i = 0; i < CLASSES; i++)
        locks += heap->classes[i].locks;
    return locks;
}

void heap_classic_slab_statistics(const void *heap_, struct heap_statistics *statistics)
{
    const struct heap_classic_slab *heap = heap_;
    *statistics = (struct heap_statistics){
        .allocations = heap->large_allocations,
        .frees = heap->large_frees,
        .failures = heap->large_failures,
        .bytes_allocated = heap->large_bytes_allocated,
        .bytes_freed = heap->large_bytes_freed,
        .pages_taken = heap->buddy.frames_allocated,
        .pages_returned = heap->buddy.frames_freed,
        .locked_instructions = heap_classic_slab_locked(heap),
    };
    for (unsigned i = 0; i < CLASSES; i++) {
        const slab_class *class = &heap->classes[i];
        statistics->allocations += class->allocations;
        statistics->frees += class->frees;
        statistics->failures += class->failures;
        statistics->bytes_allocated += class->allocations * bytes_of(i);
        statistics->bytes_freed += class->frees * bytes_of(i);
    }
}

// ---- invariants ---------------------------------------------------------------------------------

// The free list is as long as it must be and leads past no object that is out.
static bool check_slab(const struct heap_classic_slab *heap, const slab *one)
{
    unsigned left = one->capacity - one->out, marked = 0;
    unsigned at = one->free;
    for (; left > 0 && at < one->capacity && one->bufctl[at] != OUT; left--)
        at = one->bufctl[at];
    for (unsigned i = 0; i < one->capacity; i++)
        marked += one->bufctl[i] == OUT;
    for (unsigned i = 0; i < 1u << one->order; i++)
        if (heap->slab_of[((one->start - heap->base) >> PAGE_SHIFT) + i] != one)
            return false;
    return left == 0 && at == LAST && marked == one->out;
}

static bool check_list(const struct heap_classic_slab *heap, unsigned class,
                       const struct list *head, uint64_t *out, uint64_t *pages)
{
    const slab_class *of = &heap->classes[class];
    uint64_t most = heap->page_count;
    for (const struct list *at = head->next; at != head; at = at->next) {
        const slab *one = (const slab *)(const void *)at;
        const struct list *where = one->out == 0               ? &of->empty
                                   : one->out == one->capacity ? &of->full
                                                               : &of->partial;
        if (most-- == 0 || at->next->previous != at || where != head || one->class != class ||
            !check_slab(heap, one))
            return false;
        *out += one->out;
        *pages += 1ull << one->order;
    }
    return true;
}

bool heap_classic_slab_check(const void *heap_)
{
    const struct heap_classic_slab *heap = heap_;
    uint64_t pages = (heap->large_bytes_allocated - heap->large_bytes_freed) >> PAGE_SHIFT;
    for (unsigned i = 0; i < CLASSES; i++) {
        const slab_class *class = &heap->classes[i];
        uint64_t out = 0;
        if (!check_list(heap, i, &class->full, &out, &pages) ||
            !check_list(heap, i, &class->partial, &out, &pages) ||
            !check_list(heap, i, &class->empty, &out, &pages) ||
            out != class->allocations - class->frees + class->heads)
            return false;
    }
    return buddy_check(&heap->buddy) &&
           heap->buddy.frames_allocated - heap->buddy.frames_freed == pages;
}
