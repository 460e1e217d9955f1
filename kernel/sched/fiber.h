// SPDX-License-Identifier: MIT
// Tells the sanitisers of test builds that another stack runs from now on: they keep shadows of
// stacks and would take a switch for damage. CONFIG_FIBERS says which one the build has; without
// one nothing is left of these calls. Interfaces: compiler-rt, sanitizer/common_interface_defs.h,
// asan_interface.h and tsan_interface.h.
//
// Rules for callers: fiber_leave right in front of the switch, fiber_arrive first thing behind it
// and in a new fiber, both on the CPU that switches.
#ifndef FIBER_H
#define FIBER_H

#include <stdbool.h>
#include <stddef.h>

#define FIBERS_NONE    0
#define FIBERS_ADDRESS 1 // AddressSanitizer
#define FIBERS_THREADS 2 // ThreadSanitizer

struct fiber {
    const void *bottom; // of the stack; NULL: not known as yet
    size_t bytes;
    void *kept; // the sanitiser's own
};

void __sanitizer_start_switch_fiber(void **kept, const void *bottom, size_t bytes);
void __sanitizer_finish_switch_fiber(void *kept, const void **bottom, size_t *bytes);
void __asan_unpoison_memory_region(const volatile void *memory, size_t bytes);
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);

// What runs, on the stack it has.
static inline void fiber_adopt(struct fiber *fiber)
{
    *fiber = (struct fiber){.bottom = NULL};
    if (CONFIG_FIBERS == FIBERS_THREADS)
        fiber->kept = __tsan_get_current_fiber();
}

static inline void fiber_make(struct fiber *fiber, const void *stack, size_t bytes)
{
    *fiber = (struct fiber){.bottom = stack, .bytes = bytes};
    // Frames of a thread that was left there for good are no frames of this one's.
    if (CONFIG_FIBERS == FIBERS_ADDRESS)
        __asan_unpoison_memory_region(stack, bytes);
    if (CONFIG_FIBERS == FIBERS_THREADS)
        fiber->kept = __tsan_create_fiber(0);
}

// `for_good`: nobody comes back to `self`.
static inline __attribute__((always_inline)) void
fiber_leave(struct fiber *self, const struct fiber *next, bool for_good)
{
    if (CONFIG_FIBERS == FIBERS_ADDRESS)
        __sanitizer_start_switch_fiber(for_good ? NULL : &self->kept, next->bottom, next->bytes);
    if (CONFIG_FIBERS == FIBERS_THREADS)
        __tsan_switch_to_fiber(next->kept, 0);
}

// On `self`, which `from` was left for.
static inline __attribute__((always_inline)) void
fiber_arrive(const struct fiber *self, struct fiber *from, bool left_for_good)
{
    if (CONFIG_FIBERS == FIBERS_ADDRESS)
        __sanitizer_finish_switch_fiber(self->kept, &from->bottom, &from->bytes);
    if (CONFIG_FIBERS == FIBERS_THREADS && left_for_good)
        __tsan_destroy_fiber(from->kept);
}

#endif
