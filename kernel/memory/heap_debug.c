// SPDX-License-Identifier: MIT
#include "heap_debug.h"

#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "format.h"
#include "string.h"

#define GRAIN     8 // bytes a bit of the maps
#define WORD_BITS 64
#define GUARD     0x5afe9a7d0f5afe11ull

// In front of every object. The inner heap writes its links into the first two words of what it
// owns: while an object waits in the quarantine they are still ours.
struct front {
    uint64_t unused[2];
    uint64_t size;
    const void *owner, *freer;
    uint64_t guard;
};

_Static_assert(sizeof(struct front) == HEAP_DEBUG_FRONT, "what the header promises");
_Static_assert(HEAP_DEBUG_FRONT % 16 == 0 && HEAP_DEBUG_RED >= 16, "objects stay aligned to 16");

static struct front *front_of(const void *pointer)
{
    return (struct front *)((uintptr_t)pointer - sizeof(struct front));
}

// Another value for each place and size, so that a copied front is no sound one.
static uint64_t guard_of(const void *pointer, uint64_t size)
{
    return GUARD ^ (uintptr_t)pointer ^ size << 32;
}

// Bytes of the inner heap's object for one of `size`.
static size_t whole(size_t size)
{
    return HEAP_DEBUG_FRONT + align_up(size + HEAP_DEBUG_RED, 16);
}

// ---- the maps -----------------------------------------------------------------------------------

static size_t bit_of(const struct heap_debug *debug, const void *pointer)
{
    return ((uintptr_t)pointer - debug->start) / GRAIN;
}

static bool bit(const uint64_t *map, size_t i)
{
    return map[i / WORD_BITS] >> i % WORD_BITS & 1;
}

static void set_bit(uint64_t *map, size_t i)
{
    map[i / WORD_BITS] |= 1ull << i % WORD_BITS;
}

static void clear_bit(uint64_t *map, size_t i)
{
    map[i / WORD_BITS] &= ~(1ull << i % WORD_BITS);
}

static void clear_bits(uint64_t *map, size_t from, size_t to)
{
    while (from < to) {
        if (from % WORD_BITS == 0 && to - from >= WORD_BITS) {
            map[from / WORD_BITS] = 0;
            from += WORD_BITS;
        } else {
            clear_bit(map, from++);
        }
    }
}

// The next object in use at bit `from` or behind it; `limit` if there is none.
static size_t next_live(const struct heap_debug *debug, size_t from, size_t limit)
{
    while (from < limit) {
        const uint64_t rest = debug->live[from / WORD_BITS] >> from % WORD_BITS;
        if (rest != 0)
            return min_u64(limit, from + (unsigned)__builtin_ctzll(rest));
        from = (from / WORD_BITS + 1) * WORD_BITS;
    }
    return limit;
}

// The object in use that holds the address, or NULL.
static const void *object_around(const struct heap_debug *debug, const void *pointer)
{
    for (size_t i = bit_of(debug, pointer) + 1; i-- > 0;) {
        if (!bit(debug->live, i))
            continue;
        const void *object = (const void *)(debug->start + i * GRAIN);
        const uintptr_t offset = (uintptr_t)pointer - (uintptr_t)object;
        return offset < front_of(object)->size ? object : NULL;
    }
    return NULL;
}

// ---- what is wrong ------------------------------------------------------------------------------

static COLD _Noreturn void report(const struct heap_debug *debug, const char *what,
                                  const void *pointer, const struct front *front)
{
    static char reason[256];
    size_t end =
        format(reason, sizeof(reason), "heap_debug: %s 0x%lx", what, (uint64_t)(uintptr_t)pointer);
    if (front != NULL)
        end += format(reason + end, sizeof(reason) - end, " (%lu bytes), allocated at 0x%lx",
                      front->size, (uint64_t)(uintptr_t)front->owner);
    if (front != NULL && front->freer != NULL)
        end += format(reason + end, sizeof(reason) - end, ", freed at 0x%lx",
                      (uint64_t)(uintptr_t)front->freer);
    format(reason + end, sizeof(reason) - end, ": %s", debug->ops->about.name);
    platform_panic(reason, __FILE__, __LINE__);
}

static bool is_waiting(const struct heap_debug *debug, const void *pointer)
{
    for (unsigned i = 0; i < debug->waiting; i++)
        if (debug->quarantine[(debug->oldest + i) % HEAP_DEBUG_QUARANTINE_MOST] == pointer)
            return true;
    return false;
}

// The first byte of [bytes, bytes + length) that is not `value`; NULL if all are.
static const uint8_t *other_byte(const uint8_t *bytes, size_t length, uint8_t value)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != value)
            return &bytes[i];
    return NULL;
}

// Guard and red zone of an object whose front cannot be wrong otherwise.
static void check_around(const struct heap_debug *debug, const void *pointer)
{
    const struct front *front = front_of(pointer);
    // The size is believed only if the guard is right.
    if (front->guard != guard_of(pointer, front->size))
        report(debug, "underrun below", pointer, NULL);
    const size_t behind = whole(front->size) - HEAP_DEBUG_FRONT - front->size;
    if (other_byte((const uint8_t *)pointer + front->size, behind, HEAP_DEBUG_RED_BYTE) != NULL)
        report(debug, "overrun behind", pointer, front);
}

static void check_poison(const struct heap_debug *debug, const void *pointer)
{
    const struct front *front = front_of(pointer);
    check_around(debug, pointer);
    if (other_byte(pointer, front->size, HEAP_DEBUG_FREE) != NULL)
        report(debug, "use after free of", pointer, front);
}

// A pointer that is no object in use: says what it is.
static COLD _Noreturn void report_pointer(const struct heap_debug *debug, const void *pointer)
{
    const uintptr_t at = (uintptr_t)pointer;
    if (at < debug->start || at >= debug->end)
        report(debug, "wild free outside of the heap of", pointer, NULL);
    const void *const around = object_around(debug, pointer);
    if (around != NULL)
        report(debug, at % GRAIN != 0 ? "misaligned free of" : "free inside an object of", pointer,
               front_of(around));
    if (at % GRAIN != 0)
        report(debug, "misaligned free of", pointer, NULL);
    if (bit(debug->freed, bit_of(debug, pointer)))
        report(debug, "double free of", pointer,
               is_waiting(debug, pointer) ? front_of(pointer) : NULL);
    report(debug, "wild free of what was never handed out,", pointer, NULL);
}

// ---- objects ------------------------------------------------------------------------------------

static void lock(struct heap_debug *debug)
{
    cpu_preempt_disable();
    spinlock_acquire(&debug->lock);
}

static void unlock(struct heap_debug *debug)
{
    spinlock_release(&debug->lock);
    cpu_preempt_enable();
}

// Takes the oldest object out of the quarantine; NULL if `most` or fewer wait there.
static void *take_oldest(struct heap_debug *debug, unsigned most)
{
    void *pointer = NULL;
    lock(debug);
    if (debug->waiting > most) {
        pointer = debug->quarantine[debug->oldest];
        debug->oldest = (debug->oldest + 1) % HEAP_DEBUG_QUARANTINE_MOST;
        debug->waiting--;
        check_poison(debug, pointer);
    }
    unlock(debug);
    return pointer;
}

// Gives the inner heap what is too much for the quarantine.
static void shrink(struct heap_debug_handle *handle, unsigned most)
{
    const struct heap_ops *ops = handle->debug->ops;
    for (void *pointer; (pointer = take_oldest(handle->debug, most)) != NULL;)
        ops->release(handle->inner, front_of(pointer), whole(front_of(pointer)->size));
}

void heap_debug_flush(struct heap_debug_handle *handle)
{
    shrink(handle, 0);
}

static void *allocate_inner(struct heap_debug_handle *handle, size_t size)
{
    const struct heap_ops *ops = handle->debug->ops;
    void *block = NULL;
    if (size < ops->largest - whole(0)) {
        block = ops->allocate(handle->inner, whole(size));
        if (block == NULL) { // what waits could serve
            shrink(handle, 0);
            block = ops->allocate(handle->inner, whole(size));
        }
    }
    return block;
}

NOINLINE void *heap_debug_allocate(struct heap_debug_handle *handle, size_t size)
{
    struct heap_debug *debug = handle->debug;
    struct front *front = allocate_inner(handle, size);
    if (front == NULL) {
        lock(debug);
        debug->failures++;
        unlock(debug);
        return NULL;
    }
    uint8_t *const pointer = (uint8_t *)(front + 1);
    *front = (struct front){
        .size = size, .owner = __builtin_return_address(0), .guard = guard_of(pointer, size)};
    memset(pointer, HEAP_DEBUG_NEW, size);
    memset(pointer + size, HEAP_DEBUG_RED_BYTE, whole(size) - HEAP_DEBUG_FRONT - size);
    lock(debug);
    const size_t first = bit_of(debug, front), here = bit_of(debug, pointer);
    const bool overlaps =
        next_live(debug, first, first + whole(size) / GRAIN) != first + whole(size) / GRAIN;
    clear_bits(debug->freed, first, first + whole(size) / GRAIN);
    set_bit(debug->live, here);
    debug->allocations++;
    debug->bytes_allocated += size;
    unlock(debug);
    assert(!overlaps); // the inner heap handed out memory that is in use
    return pointer;
}

NOINLINE void heap_debug_release(struct heap_debug_handle *handle, void *pointer, size_t size)
{
    struct heap_debug *debug = handle->debug;
    const uintptr_t at = (uintptr_t)pointer;
    lock(debug);
    if (at < debug->start || at >= debug->end || at % GRAIN != 0 ||
        !bit(debug->live, bit_of(debug, pointer)))
        report_pointer(debug, pointer);
    struct front *const front = front_of(pointer);
    check_around(debug, pointer);
    if (front->size != size)
        report(debug, "free by a wrong size of", pointer, front);
    front->freer = __builtin_return_address(0);
    memset(pointer, HEAP_DEBUG_FREE, size);
    clear_bit(debug->live, bit_of(debug, pointer));
    set_bit(debug->freed, bit_of(debug, pointer));
    debug->frees++;
    debug->bytes_freed += size;
    // Others may have filled the quarantine since this call began: it has a place more than that.
    const bool place = debug->depth > 0 && debug->waiting < HEAP_DEBUG_QUARANTINE_MOST;
    if (place)
        debug->quarantine[(debug->oldest + debug->waiting++) % HEAP_DEBUG_QUARANTINE_MOST] =
            pointer;
    unlock(debug);
    if (!place)
        debug->ops->release(handle->inner, front, whole(size));
    shrink(handle, debug->depth);
}

// ---- the heap -----------------------------------------------------------------------------------

enum status heap_debug_init(struct heap_debug *debug, const struct heap_ops *ops, void *inner_state,
                            void *memory, size_t length, unsigned quarantine)
{
    if (quarantine > HEAP_DEBUG_QUARANTINE_MOST || (uintptr_t)memory % PAGE_SIZE != 0 ||
        length % PAGE_SIZE != 0 || length < 128 * 1024)
        return STATUS_INVALID;
    const size_t map_bytes = align_up(length / GRAIN / 8, sizeof(uint64_t));
    const size_t inner_bytes = length - align_up(2 * map_bytes, PAGE_SIZE);
    const enum status status = ops->init(inner_state, memory, inner_bytes);
    if (status != STATUS_OK)
        return status;
    *debug = (struct heap_debug){
        .first = {.debug = debug, .inner = inner_state},
        .ops = ops,
        .start = (uintptr_t)memory,
        .end = (uintptr_t)memory + inner_bytes,
        .depth = quarantine,
        .live = (uint64_t *)((uintptr_t)memory + inner_bytes),
        .freed = (uint64_t *)((uintptr_t)memory + inner_bytes + map_bytes),
    };
    memset(debug->live, 0, 2 * map_bytes);
    return STATUS_OK;
}

bool heap_debug_join(struct heap_debug *debug, struct heap_debug_handle *handle, void *memory)
{
    void *inner = debug->ops->join != NULL ? debug->ops->join(debug->first.inner, memory) : NULL;
    *handle = (struct heap_debug_handle){.debug = debug, .inner = inner};
    return inner != NULL;
}

void heap_debug_leave(struct heap_debug_handle *handle)
{
    handle->debug->ops->leave(handle->inner);
    handle->inner = NULL;
}

uint64_t heap_debug_leaks(const struct heap_debug *debug,
                          void (*emit)(void *context, const struct heap_debug_object *object),
                          void *context)
{
    const size_t limit = (debug->end - debug->start) / GRAIN;
    uint64_t count = 0;
    for (size_t i = next_live(debug, 0, limit); i < limit; i = next_live(debug, i + 1, limit)) {
        const void *const pointer = (const void *)(debug->start + i * GRAIN);
        const struct heap_debug_object object = {
            .pointer = pointer, .size = front_of(pointer)->size, .owner = front_of(pointer)->owner};
        if (emit != NULL)
            emit(context, &object);
        count++;
    }
    return count;
}

static void check_object(void *context, const struct heap_debug_object *object)
{
    check_around(context, object->pointer);
}

bool heap_debug_check(struct heap_debug *debug)
{
    const uint64_t live = heap_debug_leaks(debug, check_object, debug);
    for (unsigned i = 0; i < debug->waiting; i++)
        check_poison(debug, debug->quarantine[(debug->oldest + i) % HEAP_DEBUG_QUARANTINE_MOST]);
    return live == debug->allocations - debug->frees && debug->ops->check(debug->first.inner);
}

void heap_debug_statistics(const struct heap_debug *debug, struct heap_statistics *statistics)
{
    debug->ops->statistics(debug->first.inner, statistics);
    statistics->allocations = debug->allocations;
    statistics->frees = debug->frees;
    statistics->failures = debug->failures;
    statistics->bytes_allocated = debug->bytes_allocated;
    statistics->bytes_freed = debug->bytes_freed;
    statistics->header_bytes += HEAP_DEBUG_FRONT + HEAP_DEBUG_RED;
}
