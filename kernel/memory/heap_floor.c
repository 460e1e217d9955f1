// SPDX-License-Identifier: MIT
#include "heap_floor.h"

static size_t slot_bytes(unsigned class)
{
    return class < HEAP_CLASSES ? heap_class_bytes[class]
                                : (size_t)HEAP_CLASS_LARGEST << (class - HEAP_CLASSES + 1);
}

enum status heap_floor_init(void *heap, void *memory, size_t length)
{
    struct heap_floor *floor = heap;
    if (length < 64 * 1024 || length % PAGE_SIZE != 0 || (uintptr_t)memory % PAGE_SIZE != 0)
        return STATUS_INVALID;
    *floor = (struct heap_floor){
        .start = (uintptr_t)memory, .next = (uintptr_t)memory, .end = (uintptr_t)memory + length};
    return STATUS_OK;
}

// Objects of 8 bytes are cut in pairs and those of 24 with a tail, so that what follows stays
// aligned to 16.
NOINLINE void *heap_floor_cut(struct heap_floor *heap, size_t size)
{
    const unsigned class = heap_floor_class(size);
    const size_t length = align_up(slot_bytes(class), 16);
    if (length > heap->end - heap->next)
        return NULL;
    struct heap_object *object = (struct heap_object *)heap->next;
    heap->next += length;
    if (class == 0)
        heap_floor_release(heap, (char *)object + 8, 8);
    return object;
}

// Counting would cost more than the rest: all stay 0.
void heap_floor_statistics(const void *heap, struct heap_statistics *statistics)
{
    (void)heap;
    *statistics = (struct heap_statistics){0};
}

bool heap_floor_check(const void *heap)
{
    const struct heap_floor *floor = heap;
    uint64_t waiting = 0;
    for (unsigned class = 0; class < HEAP_FLOOR_CLASSES; class ++) {
        const size_t slot = slot_bytes(class);
        for (const struct heap_object *object = floor->free[class]; object != NULL;
             object = object->next) {
            const uintptr_t at = (uintptr_t)object;
            if (at < floor->start || at >= floor->next || at % (class == 0 ? 8 : 16) != 0)
                return false;
            waiting += slot;
            if (waiting > floor->next - floor->start)
                return false; // more waits than was ever cut: a cycle, or something twice
        }
    }
    return floor->next <= floor->end;
}
