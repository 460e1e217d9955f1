// SPDX-License-Identifier: MIT
// The part of the CPU operations that the machine and the host process have in common: real stacks,
// switched by thread.h.
#include "assert.h"
#include "sched.h"

void sched_make_context(void *machine, struct sched_thread *thread, void (*entry)(void *argument))
{
    (void)machine;
    // sched_create has looked at the size.
    const enum status made = thread_create(&thread->context, thread->name, thread->context.stack,
                                           thread->context.stack_bytes, entry, thread);
    assert(made == STATUS_OK);
}

void sched_switch_context(void *machine, struct sched_thread *from, struct sched_thread *to,
                          enum thread_state left)
{
    (void)machine;
    assert(&from->context == thread_current());
    // thread.h wants preemption disabled once, and the count is the CPU's.
    cpu_preempt_disable();
    if (left == THREAD_FINISHED)
        thread_finish(&to->context);
    thread_switch(&to->context);
    cpu_preempt_enable();
}

void sched_enter_context(void *machine, struct sched_thread *idle)
{
    (void)machine;
    thread_adopt(&idle->context, idle->name);
}

void sched_leave_context(void *machine, struct sched_thread *idle)
{
    (void)machine;
    assert(&idle->context == thread_current());
    cpu_local()->thread = cpu_local()->idle_thread = NULL;
}
