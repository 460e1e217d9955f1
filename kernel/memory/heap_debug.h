// SPDX-License-Identifier: MIT
// Debug mode of any heap: a heap around a heap, which finds misuse and names it.
//
//   front      48 bytes in front of an object: 16 that the inner heap may use once the object is
//              its own again, then size, who allocated, who freed, and a guard
//   red zone   16 bytes and more behind an object
//   poison     what the bytes of a free object are filled with
//   quarantine free objects, first in first out, that wait before the inner heap gets them back. A
//              write to one is found when it leaves, or by heap_debug_check
//   owner      the address behind the call that allocated, or freed
//
// Which addresses are objects, and which were, is told by two bit maps outside of the objects: a
// wild pointer is never followed. They take 1/32 of the memory.
//
// Found at once: a wild free (outside, never handed out, inside an object), a misaligned one, a
// double free (until the memory is part of another object), a size that is not what was asked for.
// Found when the object is freed or checked: an overrun, an underrun. Found when it leaves the
// quarantine or is checked: use after free. Each is a panic of one line:
//
//   heap_debug: double free of 0x7f10 (64 bytes), allocated at 0x401a2b, freed at 0x401b00: hybrid
//
// Rules for callers
//   threads    as heap.h: a handle belongs to one thread at a time, each call takes one lock; check
//              and leaks want all handles at rest
//   memory     the inner heap's state and the memory are the caller's; the inner heap is used
//              through this one only
//   contents   new memory is filled with HEAP_DEBUG_NEW
#ifndef HEAP_DEBUG_H
#define HEAP_DEBUG_H

#include "heap.h"
#include "spinlock.h"

#define HEAP_DEBUG_FRONT           48  // bytes in front of an object
#define HEAP_DEBUG_RED             16  // bytes behind it at least
#define HEAP_DEBUG_QUARANTINE_MOST 256 // objects
#define HEAP_DEBUG_NEW             0xcd
#define HEAP_DEBUG_FREE            0xdd
#define HEAP_DEBUG_RED_BYTE        0xfd

struct heap_debug;

struct heap_debug_handle {
    struct heap_debug *debug;
    void *inner; // handle of the inner heap
};

struct heap_debug {
    struct heap_debug_handle first;
    // Written at init.
    const struct heap_ops *ops; // of the inner heap
    uintptr_t start, end;       // of the memory it got
    unsigned depth;             // of the quarantine
    // Under the lock.
    struct spinlock lock;
    uint64_t *live;  // bit i: an object starts 8 * i bytes behind `start`
    uint64_t *freed; // bit i: one started there, and no other object covers the place yet
    void *quarantine[HEAP_DEBUG_QUARANTINE_MOST];
    unsigned oldest, waiting;
    uint64_t allocations, frees, failures, bytes_allocated, bytes_freed;
};

// One object that is in use.
struct heap_debug_object {
    const void *pointer;
    size_t size;       // as asked for
    const void *owner; // address behind the call that allocated it
};

// Makes a heap of the kind `ops` in `inner_state` (ops->state_bytes, 64-byte aligned) over the
// memory, which is page aligned and of at least 128 KiB. `quarantine`: 0 to
// HEAP_DEBUG_QUARANTINE_MOST objects. STATUS_INVALID, and what the inner heap answers.
enum status heap_debug_init(struct heap_debug *debug, const struct heap_ops *ops, void *inner_state,
                            void *memory, size_t length, unsigned quarantine);

// A further handle, for another thread; `memory` is for the inner heap's. False if the inner heap
// is for one thread or has none to give.
bool heap_debug_join(struct heap_debug *debug, struct heap_debug_handle *handle, void *memory);
void heap_debug_leave(struct heap_debug_handle *handle);

// As heap.h. `size` on release is what was asked for, exactly.
void *heap_debug_allocate(struct heap_debug_handle *handle, size_t size);
void heap_debug_release(struct heap_debug_handle *handle, void *pointer, size_t size);

// Gives the inner heap what waits in the quarantine.
void heap_debug_flush(struct heap_debug_handle *handle);

// Panics on the first object whose guard, red zone or poison is broken; then the inner heap's own
// check. Slow.
bool heap_debug_check(struct heap_debug *debug);

// Tells every object that is in use, lowest address first, through `emit` (may be NULL); returns
// how many there are. Slow.
uint64_t heap_debug_leaks(const struct heap_debug *debug,
                          void (*emit)(void *context, const struct heap_debug_object *object),
                          void *context);

// The inner heap's, but objects and bytes as the callers of this one see them; header_bytes are all
// bytes around an object.
void heap_debug_statistics(const struct heap_debug *debug, struct heap_statistics *statistics);

#endif
