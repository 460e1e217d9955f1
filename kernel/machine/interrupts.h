// SPDX-License-Identifier: MIT
// Interrupts: who handles which vector, and how often each CPU was interrupted.
//
// A handler runs with interrupts masked, on the interrupted stack, on the CPU that the interrupt
// came to. It must not allocate, wait, or take a lock that code with interrupts on takes too. The
// end of interrupt is sent after it returns.
#ifndef INTERRUPTS_H
#define INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "traps.h"

// Vectors below belong to the old controllers (pic.h), which are masked: what comes is spurious.
#define INTERRUPT_DEVICE_FIRST 0x30u // handed out by interrupt_claim
#define INTERRUPT_DEVICE_END   0xe0u
#define INTERRUPT_TIMER        0xf0u // this CPU's APIC timer
#define INTERRUPT_WAKE         0xf1u // IPI: look for work
#define INTERRUPT_CALL         0xf2u // IPI: shootdowns (tlb.h)
#define INTERRUPT_APIC_ERROR   0xfeu
#define INTERRUPT_SPURIOUS     0xffu // lowest four bits set, as old APICs demand

typedef void interrupt_handler(void *context, const struct trap_frame *frame);

// A handler for interrupts whose coming is all there is to them: they are counted, and wake a CPU.
interrupt_handler interrupt_only_count;

// Handles `vector` (20h..FFh) from now on, on every CPU; NULL takes the handler away. The caller
// sees to it that the interrupt cannot come while this changes.
void interrupt_handle(unsigned vector, interrupt_handler *handler, void *context);

// Finds a free device vector and gives it this handler; 0 if there is none left. Any CPU, one at
// a time.
unsigned interrupt_claim(interrupt_handler *handler, void *context);
void interrupt_release(unsigned vector);

// How an end of interrupt is sent, and what is asked when an interrupt is over and nothing forbids
// switching to another thread (preempt count 0). Before the first interrupt is let in. Either may
// be NULL.
void interrupts_init(void (*end_of_interrupt)(void), void (*preempt)(void));

// Called by traps.c.
void interrupt_arrived(const struct trap_frame *frame);

// Lets interrupts in, and keeps them out, on this CPU. interrupts_off returns whether they were on.
static inline void interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static inline bool interrupts_off(void)
{
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
    return flags >> 9 & 1; // RFLAGS.IF
}

static inline void interrupts_restore(bool on)
{
    if (on)
        interrupts_on();
}

// Waits for the next interrupt, which is let in: the instruction after STI is not interrupted, so
// none gets lost between a look for work with interrupts masked and the HLT. They are on
// afterwards.
static inline void interrupts_wait(void)
{
    __asm__ volatile("sti; hlt" : : : "memory");
}

#endif
