// SPDX-License-Identifier: MIT
#include "kernel_memory.h"

#include "assert.h"
#include "kmalloc.h"

enum status kernel_stack_allocate(void *handle, size_t bytes, struct kernel_stack *stack)
{
    if (bytes == 0 || bytes > KERNEL_STACK_MOST - PAGE_SIZE)
        return STATUS_INVALID;
    uint8_t *const block = kmalloc(handle, bytes + PAGE_SIZE);
    if (block == NULL)
        return STATUS_NO_MEMORY;
    *stack = (struct kernel_stack){.guard = block,
                                   .start = block + PAGE_SIZE,
                                   .bytes = kmalloc_usable(handle, block) - PAGE_SIZE};
    return STATUS_OK;
}

void kernel_stack_free(void *handle, struct kernel_stack *stack)
{
    assert(stack->guard + PAGE_SIZE == stack->start); // freed before, else
    kfree(handle, stack->guard);
    *stack = (struct kernel_stack){0};
}

enum status kernel_ring_allocate(void *handle, size_t object_bytes, size_t slots, size_t slot_bytes,
                                 struct kernel_ring *ring)
{
    if (object_bytes == 0 || slots == 0 || slot_bytes == 0 || object_bytes > KERNEL_RING_MOST ||
        slot_bytes > KERNEL_RING_MOST || slots > KERNEL_RING_MOST / slot_bytes)
        return STATUS_INVALID;
    const size_t slots_at = align_up(object_bytes, PAGE_SIZE);
    const size_t bytes = slots_at + slots * slot_bytes;
    if (bytes > KERNEL_RING_MOST)
        return STATUS_INVALID;
    uint8_t *const block = kzalloc(handle, bytes);
    if (block == NULL)
        return STATUS_NO_MEMORY;
    *ring = (struct kernel_ring){.object = block, .slots = block + slots_at};
    return STATUS_OK;
}

void kernel_ring_free(void *handle, struct kernel_ring *ring)
{
    assert(ring->object != NULL); // freed before, else
    kfree(handle, ring->object);
    *ring = (struct kernel_ring){0};
}
