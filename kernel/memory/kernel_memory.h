// SPDX-License-Identifier: MIT
// What the kernel takes from kmalloc that has a shape of its own: stacks of threads, and rings.
//
//   stack   whole pages, with a guard page below the lowest byte
//   guard   a page of the stack's that nothing uses. Here it is memory like any other: a machine
//           that has page tables unmaps it after kernel_stack_allocate, and maps it again before
//           kernel_stack_free
//   ring    the object of a message queue and its slots behind it (ring.h), each aligned to a page
//
// Rules for callers
//   handle    of kmalloc, the calling thread's own; any handle of the heap takes back
//   memory    of unknown contents in a stack, zeroed in a ring; a power of two pages each, all of
//             it usable: `bytes` says how much a stack has
//   failure   a status, and nothing is allocated: STATUS_INVALID for what cannot be asked for,
//             STATUS_NO_MEMORY. Freeing twice is a programmer's error, as with kfree
#ifndef KERNEL_MEMORY_H
#define KERNEL_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define KERNEL_STACK_MOST (1u << 20) // bytes of a stack, its guard included
#define KERNEL_RING_MOST  (8u << 20) // bytes of a ring, object and slots

// The caller's; given back as it was filled in.
struct kernel_stack {
    uint8_t *guard; // a page; what was allocated
    uint8_t *start; // lowest byte, page aligned: `stack` of thread_create
    size_t bytes;   // from there up, whole pages
};

struct kernel_ring {
    void *object; // what was allocated
    void *slots;
};

// A stack of at least `bytes` > 0.
enum status kernel_stack_allocate(void *handle, size_t bytes, struct kernel_stack *stack);
// The thread has left it for good.
void kernel_stack_free(void *handle, struct kernel_stack *stack);

// Room for an object of `object_bytes` > 0 and `slots` slots of `slot_bytes` > 0: what a ring's
// init wants. `slots` is what ring.h allows.
enum status kernel_ring_allocate(void *handle, size_t object_bytes, size_t slots, size_t slot_bytes,
                                 struct kernel_ring *ring);
// Nobody sends or receives any more.
void kernel_ring_free(void *handle, struct kernel_ring *ring);

#endif
