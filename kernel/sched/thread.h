// SPDX-License-Identifier: MIT
// Threads at their lowest level: a stack, a place to go on, and the switch between two. No queue,
// no policy, no clock: what lies above decides who is next.
//
// Rules: a thread runs on one CPU at a time; all functions concern the running CPU. A switch
// happens with preemption disabled exactly once (cpu_preempt_disable), and with interrupts masked
// where there are any; the count is the CPU's, so a thread that is switched to comes back with
// preemption disabled once as well, and enables it. A new thread begins by doing that itself,
// interrupts still masked.
#ifndef THREAD_H
#define THREAD_H

#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "fiber.h"
#include "status.h"

#define THREAD_STACK_LEAST 1024u // bytes

enum thread_state {
    THREAD_READY,    // may be switched to
    THREAD_RUNNING,  // is a CPU's current one
    THREAD_FINISHED, // has left its stack for good: memory may be used again
};

// The caller owns it and the stack, until THREAD_FINISHED.
struct thread {
    struct cpu_full context; // while it does not run
    // Who ran here before, and what becomes of it: written by that one when it leaves, used by this
    // one when it arrives, on the same CPU.
    struct thread *before;
    uint32_t before_becomes; // enum thread_state
    struct fiber fiber;
    uint8_t *stack; // lowest byte; NULL for an adopted one
    size_t stack_bytes;
    const char *name; // for reports; lives as long as the thread
    void (*entry)(void *argument);
    void *argument;
    uint32_t state; // enum thread_state; atomic, since others wait for FINISHED
};

// What runs on this CPU now becomes `thread`, on the stack it has, and the one that thread_exit
// goes to: the CPU's idle thread. Once for each CPU, before its first switch.
void thread_adopt(struct thread *thread, const char *name);

// Makes a thread that calls entry(argument) when it is first switched to, with preemption enabled,
// and ends when that returns. STATUS_INVALID: less than THREAD_STACK_LEAST bytes of stack.
enum status thread_create(struct thread *thread, const char *name, void *stack, size_t stack_bytes,
                          void (*entry)(void *argument), void *argument);

// Goes on with `next`, which is READY; the running thread becomes READY. Returns when somebody
// switches back. Panics when the running thread has written over the end of its stack.
void thread_switch(struct thread *next);

// Ends the running thread and goes on with the CPU's idle thread. Not in the idle thread.
// Preemption disabled once.
_Noreturn void thread_exit(void);

// The same, going on with `next`, which is READY.
_Noreturn void thread_finish(struct thread *next);

// The thread that runs on this CPU; NULL before thread_adopt.
static inline struct thread *thread_current(void)
{
    return cpu_local()->thread;
}

#endif
