// SPDX-License-Identifier: MIT
#include "thread.h"

#include "assert.h"
#include "compiler.h"
#include "switch_full.h"

// In the lowest word of a stack: whoever overruns it writes over this first, unless a guard page
// below has caught it.
#define STACK_END 0x57ac6e0d57ac6e0du

static uint64_t *stack_end(const struct thread *thread)
{
    return (uint64_t *)align_up((uintptr_t)thread->stack, sizeof(uint64_t));
}

// Behind a switch, on the stack that was switched to: nothing needs the other stack any more.
static void arrive(struct thread *self)
{
    struct thread *const before = self->before;
    const uint32_t becomes = self->before_becomes;
    fiber_arrive(&self->fiber, &before->fiber, becomes == THREAD_FINISHED);
    // Release: who finds it ready or finished finds its context and its stack as they were left.
    __atomic_store_n(&before->state, becomes, __ATOMIC_RELEASE);
}

// The first instructions of every thread.
static void begin(void *thread)
{
    struct thread *const self = thread;
    arrive(self);
    cpu_preempt_enable();
    self->entry(self->argument);
    cpu_preempt_disable();
    thread_exit();
}

void thread_adopt(struct thread *thread, const char *name)
{
    assert(cpu_local()->thread == NULL);
    *thread = (struct thread){.name = name, .state = THREAD_RUNNING};
    fiber_adopt(&thread->fiber);
    cpu_local()->thread = thread;
    cpu_local()->idle_thread = thread;
}

enum status thread_create(struct thread *thread, const char *name, void *stack, size_t stack_bytes,
                          void (*entry)(void *argument), void *argument)
{
    if (stack_bytes < THREAD_STACK_LEAST)
        return STATUS_INVALID;
    *thread = (struct thread){.stack = stack,
                              .stack_bytes = stack_bytes,
                              .name = name,
                              .entry = entry,
                              .argument = argument,
                              .state = THREAD_READY};
    *stack_end(thread) = STACK_END;
    fiber_make(&thread->fiber, stack, stack_bytes);
    switch_full_make(&thread->context, (uint8_t *)stack + stack_bytes, begin, thread, false);
    return STATUS_OK;
}

static void go_on_with(struct thread *next, enum thread_state left)
{
    struct thread *self = thread_current();
    assert(cpu_local()->preempt_count == 1);
    assert(self != next);
    assert(__atomic_load_n(&next->state, __ATOMIC_RELAXED) == THREAD_READY);
    if (self->stack != NULL && *stack_end(self) != STACK_END)
        platform_panic("a thread has written over the end of its stack", self->name, 0);
    __atomic_store_n(&next->state, THREAD_RUNNING, __ATOMIC_RELAXED);
    cpu_local()->thread = next;
    next->before = self;
    next->before_becomes = left;
    fiber_leave(&self->fiber, &next->fiber, left == THREAD_FINISHED);
    (void)switch_full_jmp(&self->context, &next->context);
    arrive(self);
}

void thread_switch(struct thread *next)
{
    go_on_with(next, THREAD_READY);
}

_Noreturn void thread_finish(struct thread *next)
{
    assert(cpu_local()->thread != cpu_local()->idle_thread);
    go_on_with(next, THREAD_FINISHED);
    platform_panic("a finished thread was switched to", __FILE__, __LINE__);
}

_Noreturn void thread_exit(void)
{
    thread_finish(cpu_local()->idle_thread);
}
