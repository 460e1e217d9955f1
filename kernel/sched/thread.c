// SPDX-License-Identifier: MIT
#include "thread.h"

#include "assert.h"
#include "compiler.h"

// In the lowest word of a stack: whoever overruns it writes over this first, unless a guard page
// below has caught it.
#define STACK_END 0x57ac6e0d57ac6e0du

static uint64_t *stack_end(const struct thread *thread)
{
    return (uint64_t *)align_up((uintptr_t)thread->stack, sizeof(uint64_t));
}

// The first instructions of every thread. What the switch left in the registers does not matter.
static _Noreturn void begin(void)
{
    struct thread *self = thread_current();
    cpu_preempt_enable();
    self->entry(self->argument);
    cpu_preempt_disable();
    thread_exit();
}

void thread_adopt(struct thread *thread, const char *name)
{
    assert(cpu_local()->thread == NULL);
    *thread = (struct thread){.name = name, .state = THREAD_RUNNING};
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
    thread->stack_pointer = cpu_new_stack((uint8_t *)stack + stack_bytes, begin);
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
    cpu_switch_stacks(&self->stack_pointer, next->stack_pointer, &self->state, left);
}

void thread_switch(struct thread *next)
{
    go_on_with(next, THREAD_READY);
}

_Noreturn void thread_exit(void)
{
    struct cpu_local *cpu = cpu_local();
    assert(cpu->thread != cpu->idle_thread);
    go_on_with(cpu->idle_thread, THREAD_FINISHED);
    platform_panic("a finished thread was switched to", __FILE__, __LINE__);
}
