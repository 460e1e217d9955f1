// SPDX-License-Identifier: MIT
// The CPU slab and its pages: cuts blocks of the buddy into objects of one class.
//
// A slab is in one of three places: in its CPU's list `partial` while it has objects to give and
// some are out; nowhere while all are out; `spare`, or gone, while none is. An object on its way
// back, in `remote`, is still out.
#include "assert.h"
#include "heap_hybrid_parts.h"

// How a class is cut. Two pages where the tail of one would waste more than an eighth of it.
struct shape {
    uint16_t slot;       // bytes
    uint16_t capacity;   // objects of a slab
    uint32_t reciprocal; // 2^32 / slot, rounded up: (offset * reciprocal) >> 32 is offset / slot
                         // for offsets in a slab, exactly, as the tests show for all of them
    uint32_t slab_bytes;
    uint32_t order; // of the slab's block
};

#define SHAPE(slot_, order_)                                                                       \
    {                                                                                              \
        .slot = slot_, .capacity = (PAGE_SIZE << (order_)) / (slot_),                              \
        .reciprocal = (uint32_t)(((1ull << 32) + (slot_)-1) / (slot_)),                            \
        .slab_bytes = PAGE_SIZE << (order_), .order = order_                                       \
    }
static const struct shape shapes[HEAP_CLASSES] = {
    SHAPE(8, 0),   SHAPE(16, 0),   SHAPE(24, 0),   SHAPE(32, 0),   SHAPE(48, 0),  SHAPE(64, 0),
    SHAPE(96, 0),  SHAPE(128, 0),  SHAPE(192, 0),  SHAPE(256, 0),  SHAPE(384, 0), SHAPE(512, 0),
    SHAPE(768, 0), SHAPE(1024, 0), SHAPE(1536, 1), SHAPE(2048, 0),
};

static inline unsigned capacity(unsigned class)
{
    return shapes[class].capacity;
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

// Where the slab of an object starts: slabs are blocks of the buddy, aligned to their size in the
// address space.
static inline uintptr_t start_of(const struct shape *shape, const void *object)
{
    return (uintptr_t)object & ~((uintptr_t)shape->slab_bytes - 1);
}

static inline struct heap_hybrid_slab *slab_at(const struct heap_hybrid_pages *pages,
                                               uintptr_t start)
{
    return &pages->slabs[(start - pages->base) >> PAGE_SHIFT];
}

// True if an object starts that far into a slab, and was ever cut off.
static inline bool has(const struct shape *shape, const struct heap_hybrid_slab *slab,
                       uint64_t offset)
{
    const uint64_t number = offset * shape->reciprocal >> 32;
    return number < slab->carved && number * shape->slot == offset;
}

const struct heap_hybrid_slab *heap_hybrid_slab_of(const struct heap_hybrid_pages *pages,
                                                   const void *object)
{
    const unsigned class = pages->map[((uintptr_t)object - pages->base) >> PAGE_SHIFT];
    return slab_at(pages, start_of(&shapes[class], object));
}

bool heap_hybrid_slab_has(const struct heap_hybrid_pages *pages,
                          const struct heap_hybrid_slab *slab, const void *object)
{
    return has(&shapes[slab->class], slab, (uintptr_t)object - slab_start(pages, slab));
}

static void count_slab(struct heap_hybrid_cpu *cpu, unsigned class, uint64_t more)
{
    cpu->classes[class].slabs += more;
    // Relaxed: others only guess from it whether a look is worth while.
    __atomic_store_n(&cpu->slabs_held, cpu->slabs_held + more, __ATOMIC_RELAXED);
}

static struct heap_hybrid_slab *slab_create(struct heap_hybrid_cache *cache,
                                            struct heap_hybrid_cpu *cpu, unsigned class)
{
    struct heap_hybrid_pages *pages = cache->pages;
    const unsigned order = shapes[class].order;
    const uintptr_t start = heap_hybrid_block_take(cache, order);
    if (start == 0)
        return NULL;
    const uint64_t page = (start - pages->base) >> PAGE_SHIFT;
    struct heap_hybrid_slab *slab = &pages->slabs[page];
    *slab = (struct heap_hybrid_slab){
        .class = (uint8_t) class, .order = (uint8_t)order, .cpu = (uint16_t)cpu->index};
    list_init(&slab->link);
    for (unsigned i = 0; i < 1u << order; i++)
        pages->map[page + i] = (uint8_t) class;
    count_slab(cpu, class, 1);
    return slab;
}

static void slab_destroy(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu,
                         struct heap_hybrid_slab *slab)
{
    struct heap_hybrid_pages *pages = cache->pages;
    const uint64_t page = (uint64_t)(slab - pages->slabs);
    for (unsigned i = 0; i < 1u << slab->order; i++)
        pages->map[page + i] = HEAP_CLASS_NONE;
    count_slab(cpu, slab->class, (uint64_t)-1);
    heap_hybrid_block_give(cache, slab_start(pages, slab), slab->order);
}

// A slab with objects to give, at the front of the list; NULL if memory is used up.
static struct heap_hybrid_slab *slab_to_use(struct heap_hybrid_cache *cache,
                                            struct heap_hybrid_cpu *cpu, unsigned class)
{
    struct list *partial = &cpu->classes[class].partial;
    if (!list_empty(partial))
        return (struct heap_hybrid_slab *)(void *)partial->next;
    struct heap_hybrid_slab *slab = cpu->classes[class].spare;
    cpu->classes[class].spare = NULL;
    if (slab == NULL)
        slab = slab_create(cache, cpu, class);
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

struct heap_object *heap_hybrid_cpu_take(struct heap_hybrid_cache *cache,
                                         struct heap_hybrid_cpu *cpu, unsigned class, size_t count,
                                         struct heap_object *chain, size_t *moved)
{
    size_t done = 0;
    while (done < count) {
        struct heap_hybrid_slab *slab = slab_to_use(cache, cpu, class);
        if (slab == NULL)
            break;
        size_t part = 0;
        chain = take_returned(slab, count - done, chain, &part);
        done += part;
        chain = take_new(cache->pages, slab, count - done, chain, &part);
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
static NOINLINE void retire(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu,
                            struct heap_hybrid_slab *slab)
{
    const unsigned class = slab->class;
    list_remove(&slab->link);
    list_init(&slab->link);
    if (cpu->classes[class].spare != NULL) {
        slab_destroy(cache, cpu, slab);
        return;
    }
    // Cutting it anew is cheaper than walking the list of what came back, and in order.
    slab->free = NULL;
    slab->free_count = 0;
    slab->carved = 0;
    cpu->classes[class].spare = slab;
}

// Takes an object back into its slab, which is this CPU's.
ALWAYS_INLINE void put(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu,
                       const struct shape *shape, struct heap_hybrid_slab *slab,
                       struct heap_object *object)
{
    const unsigned carved = slab->carved, before = slab->free_count;
    // A pointer into the middle of an object, or an object freed twice, else.
    assert(has(shape, slab, (uintptr_t)object - start_of(shape, object)) && before < carved);
    if (UNLIKELY(before == 0) && carved == shape->capacity)
        list_insert_after(&cpu->classes[slab->class].partial, &slab->link);
    object->next = slab->free;
    slab->free = object;
    slab->free_count = (uint16_t)(before + 1);
    if (UNLIKELY(before + 1 == carved))
        retire(cache, cpu, slab);
}

// ---- from CPU to CPU ----------------------------------------------------------------------------

// The word `remote`: bytes / 8 in the upper 24 bits, as many as that says at most; below them the
// first object's offset / 8 + 1, or 0.
#define OFFSET_BITS 40
#define OFFSET_MASK ((1ull << OFFSET_BITS) - 1)
#define AMOUNT_MOST ((1ull << 24) - 1)

_Static_assert(BUDDY_SPAN_LIMIT / 8 < OFFSET_MASK, "every offset fits");

struct heap_object *heap_hybrid_remote_first(const struct heap_hybrid_pages *pages, uint64_t word)
{
    const uint64_t offset = word & OFFSET_MASK;
    return offset == 0 ? NULL : (struct heap_object *)(pages->base + (offset - 1) * 8);
}

uint64_t heap_hybrid_remote_amount(uint64_t word)
{
    return word >> OFFSET_BITS;
}

// Objects on their way to one CPU.
struct batch {
    struct heap_object *first, *last;
    uint64_t amount; // of their bytes, in 8
    uint32_t cpu;
};

// Objects of one batch of a cache rarely come from more CPUs than this; then a batch is split.
#define BATCHES 4

struct outgoing {
    struct batch batches[BATCHES];
    unsigned used;
    uint64_t objects;
    uint64_t over; // bit i: the list of CPU i was longer than it should be
};

static void send(struct heap_hybrid_cache *cache, struct outgoing *out, const struct batch *batch)
{
    const struct heap_hybrid_pages *pages = cache->pages;
    uint64_t *const remote = &cache->pages->cpus[batch->cpu].remote;
    uint64_t before = __atomic_load_n(remote, __ATOMIC_RELAXED), amount;
    bool sent = false;
    while (!sent) {
        batch->last->next = heap_hybrid_remote_first(pages, before);
        amount = min_u64(AMOUNT_MOST, heap_hybrid_remote_amount(before) + batch->amount);
        const uint64_t offset = ((uintptr_t)batch->first - pages->base) / 8 + 1;
        // Release: the links of this batch, and what the objects' last users did with them, come
        // before it, for the CPU whose exchange takes the list.
        sent = __atomic_compare_exchange_n(remote, &before, amount << OFFSET_BITS | offset, false,
                                           __ATOMIC_RELEASE, __ATOMIC_RELAXED);
        cache->locked++;
    }
    trace_instant(TRACE_HEAP_REMOTE, batch->amount * 8);
    if (amount > pages->remote_limit)
        out->over |= 1ull << batch->cpu;
}

// Adds a list of `count` objects of a class, from `first` to `last`.
static void add_to_batch(struct heap_hybrid_cache *cache, struct outgoing *out, uint32_t cpu,
                         struct heap_object *first, struct heap_object *last, uint64_t count,
                         unsigned class)
{
    const uint64_t amount = count * (heap_class_bytes[class] / 8);
    unsigned i = 0;
    out->objects += count;
    while (i < out->used && out->batches[i].cpu != cpu)
        i++;
    if (i < out->used) {
        out->batches[i].last->next = first;
        out->batches[i].last = last;
        out->batches[i].amount += amount;
        return;
    }
    if (i == BATCHES)
        send(cache, out, &out->batches[i = 0]);
    else
        out->used++;
    out->batches[i] = (struct batch){first, last, amount, cpu};
}

static void send_all(struct heap_hybrid_cache *cache, struct outgoing *out)
{
    for (unsigned i = 0; i < out->used; i++)
        send(cache, out, &out->batches[i]);
}

// The CPU whose slab an object lies in.
ALWAYS_INLINE uint32_t owner_of(const struct heap_hybrid_slab *slab, unsigned class)
{
    assert(slab->class == class);
    // Relaxed: who adopts the slab in this moment finds the object in the list of the CPU it had
    // before, which sends it on.
    return __atomic_load_n(&slab->cpu, __ATOMIC_RELAXED);
}

// Sends off the objects at the front of a chain that are not of CPU `here`, the first of `owner`,
// up to `count`; says how many, and returns what follows them.
static struct heap_object *send_run(struct heap_hybrid_cache *cache, unsigned class,
                                    struct heap_object *chain, uint32_t owner, size_t *count,
                                    struct outgoing *out)
{
    const struct shape *const shape = &shapes[class];
    struct heap_object *last = chain;
    uintptr_t start = start_of(shape, last);
    size_t run = 1;
    for (; run < *count; run++) {
        struct heap_object *const object = last->next;
        // Neighbours in a chain are mostly of one slab: then it need not be looked at.
        if (start_of(shape, object) != start) {
            start = start_of(shape, object);
            if (owner_of(slab_at(cache->pages, start), class) != owner)
                break;
        }
        last = object;
    }
    struct heap_object *const rest = last->next;
    add_to_batch(cache, out, owner, chain, last, run, class);
    *count = run;
    return rest;
}

// Another CPU's list has become too long: empties it in that CPU's place, unless somebody is just
// working on its slab, who sees to it himself or leaves it to the next sender.
static NOINLINE void relieve(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu)
{
    cpu_preempt_disable();
    const bool claimed = spinlock_try_acquire(&cpu->claim);
    cache->locked++;
    if (claimed) {
        heap_hybrid_cpu_collect(cache, cpu);
        spinlock_release(&cpu->claim);
    }
    cpu_preempt_enable();
}

struct heap_hybrid_cpu *heap_hybrid_cpu_enter(struct heap_hybrid_cache *cache)
{
    cpu_preempt_disable();
    struct heap_hybrid_cpu *cpu = &cache->pages->cpus[cpu_local()->index];
    spinlock_acquire(&cpu->claim);
    cache->locked++;
    return cpu;
}

void heap_hybrid_cpu_leave(struct heap_hybrid_cpu *cpu)
{
    spinlock_release(&cpu->claim);
    cpu_preempt_enable();
}

struct heap_object *heap_hybrid_give(struct heap_hybrid_cache *cache, unsigned class, size_t count,
                                     struct heap_object *chain)
{
    const struct shape shape = shapes[class];
    const size_t all = count;
    struct outgoing out;
    out.used = 0;
    out.objects = out.over = 0;
    cpu_preempt_disable();
    struct heap_hybrid_cpu *const cpu = &cache->pages->cpus[cpu_local()->index];
    const bool claimed = spinlock_try_acquire(&cpu->claim);
    cache->locked++;
    // What is claimed by somebody else gets its objects as other CPUs do.
    const uint32_t here = claimed ? cpu->index : CPU_MOST;
    while (count > 0) {
        struct heap_object *const object = chain;
        struct heap_hybrid_slab *const slab = slab_at(cache->pages, start_of(&shape, object));
        const uint32_t owner = owner_of(slab, class);
        size_t run = 1;
        if (LIKELY(owner == here)) {
            chain = object->next;
            put(cache, cpu, &shape, slab, object);
        } else {
            run = count;
            chain = send_run(cache, class, chain, owner, &run, &out);
        }
        count -= run;
    }
    if (LIKELY(claimed)) {
        cpu->classes[class].frees += all - out.objects;
        heap_hybrid_cpu_collect(cache, cpu);
        spinlock_release(&cpu->claim);
    }
    send_all(cache, &out);
    cpu_preempt_enable();
    for (; UNLIKELY(out.over != 0); out.over &= out.over - 1)
        relieve(cache, &cache->pages->cpus[__builtin_ctzll(out.over)]);
    return chain;
}

static NOINLINE size_t collect(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu)
{
    const struct heap_hybrid_pages *pages = cache->pages;
    struct outgoing out;
    out.used = 0;
    out.objects = out.over = 0;
    // Acquire: what the senders did before their release comes before what is done here with the
    // objects.
    const uint64_t word = __atomic_exchange_n(&cpu->remote, 0, __ATOMIC_ACQUIRE);
    struct heap_object *chain = heap_hybrid_remote_first(pages, word);
    cache->locked++;
    while (chain != NULL) {
        struct heap_object *const object = chain;
        const unsigned class = pages->map[((uintptr_t)object - pages->base) >> PAGE_SHIFT];
        chain = object->next;
        assert(class < HEAP_CLASSES);
        struct heap_hybrid_slab *const slab = slab_at(pages, start_of(&shapes[class], object));
        const uint32_t owner = owner_of(slab, class);
        if (LIKELY(owner == cpu->index)) {
            put(cache, cpu, &shapes[class], slab, object);
            cpu->classes[class].frees++;
        } else {
            add_to_batch(cache, &out, owner, object, object, 1, class);
        }
    }
    // What is too long now is found by the next sender.
    send_all(cache, &out);
    return out.objects;
}

size_t heap_hybrid_cpu_collect(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu)
{
    // Relaxed: what comes a moment later is taken in the next time.
    if (LIKELY(__atomic_load_n(&cpu->remote, __ATOMIC_RELAXED) == 0))
        return 0;
    return collect(cache, cpu);
}

// ---- memory is short ----------------------------------------------------------------------------

void heap_hybrid_cpu_trim(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu)
{
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        struct heap_hybrid_slab *spare = cpu->classes[class].spare;
        cpu->classes[class].spare = NULL;
        if (spare != NULL)
            slab_destroy(cache, cpu, spare);
    }
}

// A guess that errs only for what happens at the same time.
static bool has_something(const struct heap_hybrid_cpu *cpu)
{
    return __atomic_load_n(&cpu->slabs_held, __ATOMIC_RELAXED) != 0 ||
           __atomic_load_n(&cpu->remote, __ATOMIC_RELAXED) != 0;
}

void heap_hybrid_reclaim_all(struct heap_hybrid_cache *cache)
{
    size_t sent_on = 1;
    // A second turn for what the first sent on to a CPU it had already seen.
    for (unsigned turn = 0; turn < 2 && sent_on != 0; turn++) {
        sent_on = 0;
        for (unsigned i = 0; i < CPU_MOST; i++) {
            struct heap_hybrid_cpu *const cpu = &cache->pages->cpus[i];
            if (!has_something(cpu))
                continue;
            cpu_preempt_disable();
            spinlock_acquire(&cpu->claim);
            cache->locked++;
            sent_on += heap_hybrid_cpu_collect(cache, cpu);
            heap_hybrid_cpu_trim(cache, cpu);
            heap_hybrid_cpu_leave(cpu);
        }
    }
}

// Moves a slab between the lists of two CPUs, both claimed.
static bool move_slab(struct heap_hybrid_cpu *from, struct heap_hybrid_cpu *to, unsigned class)
{
    if (list_empty(&from->classes[class].partial))
        return false;
    struct heap_hybrid_slab *slab =
        (struct heap_hybrid_slab *)(void *)from->classes[class].partial.next;
    list_remove(&slab->link);
    // Relaxed: see owner_of().
    __atomic_store_n(&slab->cpu, (uint16_t)to->index, __ATOMIC_RELAXED);
    list_insert_after(&to->classes[class].partial, &slab->link);
    count_slab(from, class, (uint64_t)-1);
    count_slab(to, class, 1);
    return true;
}

bool heap_hybrid_adopt_slab(struct heap_hybrid_cache *cache, unsigned class)
{
    bool moved = false;
    cpu_preempt_disable();
    struct heap_hybrid_cpu *const cpus = cache->pages->cpus;
    const unsigned here = cpu_local()->index;
    for (unsigned i = 0; i < CPU_MOST && !moved; i++) {
        if (i == here || !has_something(&cpus[i]))
            continue;
        const unsigned low = i < here ? i : here, high = i < here ? here : i;
        spinlock_acquire(&cpus[low].claim);
        spinlock_acquire(&cpus[high].claim);
        cache->locked += 2;
        moved = move_slab(&cpus[i], &cpus[here], class);
        spinlock_release(&cpus[high].claim);
        spinlock_release(&cpus[low].claim);
    }
    cpu_preempt_enable();
    return moved;
}
