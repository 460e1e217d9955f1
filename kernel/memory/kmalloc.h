// SPDX-License-Identifier: MIT
// kmalloc: how the kernel asks for memory. The names everybody knows, over a handle of the kmalloc
// heap (heap_kmalloc.h: init makes the first handle, join one for each further thread).
//
// Rules for callers, beyond those of heap.h and heap_kmalloc.h
//   handle    the calling thread's own; a pointer may be freed or resized through any
//   pointers  aligned to their size rounded up to a power of two (a page above 4 KiB: to the block)
//   NULL      "not now": kfree(NULL) is a programmer's error; krealloc(NULL, n) is kmalloc(n)
//   0 bytes   the smallest object, of its own, from kmalloc and krealloc alike: what krealloc(p, 0)
//             gives has to be freed
//   traced    by the bytes an object takes, since a free does not know what was asked for
#ifndef KMALLOC_H
#define KMALLOC_H

#include "heap_kmalloc.h"
#include "string.h"

// Memory of unknown contents; NULL if there is none now, or ever above HEAP_KMALLOC_LARGEST. A
// constant size costs nothing to look up.
ALWAYS_INLINE void *kmalloc(void *handle, size_t size)
{
    heap_trace_allocate(size);
    void *object = heap_kmalloc_thread_allocate((struct heap_kmalloc_thread *)handle, size);
    heap_trace_allocated(object, heap_kmalloc_usable(handle, object));
    return object;
}

// The same, `size` bytes of it zeroed.
static inline void *kzalloc(void *handle, size_t size)
{
    void *object = kmalloc(handle, size);
    return object == NULL ? NULL : memset(object, 0, size);
}

// Takes back what any handle of the heap gave. Not NULL.
ALWAYS_INLINE void kfree(void *handle, void *pointer)
{
    const size_t bytes = CONFIG_TRACE ? heap_kmalloc_usable(handle, pointer) : 0;
    heap_trace_release(bytes);
    heap_kmalloc_thread_release((struct heap_kmalloc_thread *)handle, pointer);
    heap_trace_released(bytes);
}

// Bytes that the object really has: the next power of two.
static inline size_t kmalloc_usable(void *handle, const void *pointer)
{
    return heap_kmalloc_usable(handle, pointer);
}

// An object of `size` bytes with the contents of the old one, as far as both reach; the old pointer
// is gone then, unless it is the result. NULL: there was no memory, the old one stands as it was;
// never when it shrinks. It stays where it is while it fits and uses a quarter; above 4 KiB a block
// gives its tail back in place and grows into what lies free behind it. Else it is copied.
static inline void *krealloc(void *handle, void *pointer, size_t size)
{
    const size_t had = CONFIG_TRACE && pointer != NULL ? heap_kmalloc_usable(handle, pointer) : 0;
    void *const object = heap_kmalloc_resize(handle, pointer, size);
    if (CONFIG_TRACE && object != NULL) {
        trace_add(TRACE_HEAP_OBJECTS, pointer == NULL);
        trace_add(TRACE_HEAP_BYTES, heap_kmalloc_usable(handle, object) - had);
    }
    return object;
}

#endif
