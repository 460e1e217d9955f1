// SPDX-License-Identifier: MIT
// Objects that change their size.
#include "assert.h"
#include "heap_kmalloc.h"
#include "string.h"

size_t heap_kmalloc_usable(void *handle, const void *pointer)
{
    struct heap_kmalloc *heap = ((struct heap_kmalloc_thread *)handle)->heap;
    const uint64_t page = heap_kmalloc_page_of(heap, pointer);
    assert(page < heap->page_count); // not this heap's, else
    const unsigned kind = heap->map[page];
    assert(kind != HEAP_KMALLOC_NONE); // nothing that is allocated starts in this page, else
    if (kind != HEAP_KMALLOC_BLOCK)
        return heap_kmalloc_class_bytes(kind);
    cpu_preempt_disable();
    const unsigned order = heap_kmalloc_block_order(heap, pointer);
    cpu_preempt_enable();
    return (size_t)PAGE_SIZE << order;
}

// Where it stands; false: it has to move.
static bool resize_in_place(struct heap_kmalloc *heap, void *pointer, size_t has, size_t size)
{
    if (has <= PAGE_SIZE || size <= PAGE_SIZE)
        return size <= has && (size > has / 4 || has == heap_kmalloc_class_bytes(0));
    cpu_preempt_disable();
    const bool done = heap_kmalloc_block_resize(heap, pointer, buddy_order(size));
    cpu_preempt_enable();
    return done;
}

void *heap_kmalloc_resize(void *handle, void *pointer, size_t size)
{
    struct heap_kmalloc_thread *thread = handle;
    if (pointer == NULL)
        return heap_kmalloc_thread_allocate(thread, size);
    const size_t has = heap_kmalloc_usable(handle, pointer);
    if (CONFIG_ASSERT_SLOW) { // it must be live
        heap_kmalloc_note_freed(thread, pointer);
        heap_kmalloc_note_allocated(thread, pointer);
    }
    if (size <= HEAP_KMALLOC_LARGEST && resize_in_place(thread->heap, pointer, has, size))
        return pointer;
    void *const moved = heap_kmalloc_thread_allocate(thread, size);
    if (moved == NULL)
        return size <= has ? pointer : NULL; // what shrinks needs no memory
    memcpy(moved, pointer, min_u64(has, size));
    heap_kmalloc_thread_release(thread, pointer);
    return moved;
}

void *heap_kmalloc_resize_traced(void *handle, void *pointer, size_t had, size_t size)
{
    void *const object = heap_kmalloc_resize(handle, pointer, size);
    if (CONFIG_TRACE && object != NULL) {
        trace_add(TRACE_HEAP_OBJECTS, pointer == NULL);
        trace_add(TRACE_HEAP_BYTES, size - had);
    }
    return object;
}
