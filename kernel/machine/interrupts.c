// SPDX-License-Identifier: MIT
#include "interrupts.h"

#include "assert.h"
#include "machine_cpu.h"
#include "pic.h"
#include "trace_device.h"

_Static_assert(PIC_VECTOR == TRAP_VECTORS && PIC_VECTOR + PIC_VECTORS == INTERRUPT_DEVICE_FIRST,
               "the old controllers have the vectors between exceptions and devices");

static struct {
    interrupt_handler *handler;
    void *context;
} handlers[TRAP_GATES];

static void (*end_of_interrupt)(void);
static void (*preempt)(void);

void interrupts_init(void (*end)(void), void (*switch_threads)(void))
{
    end_of_interrupt = end;
    preempt = switch_threads;
}

void interrupt_handle(unsigned vector, interrupt_handler *handler, void *context)
{
    assert(vector >= TRAP_VECTORS && vector < TRAP_GATES);
    handlers[vector].context = context;
    // Release: an interrupt on another CPU that finds the handler finds its context.
    __atomic_store_n(&handlers[vector].handler, handler, __ATOMIC_RELEASE);
}

unsigned interrupt_claim(interrupt_handler *handler, void *context)
{
    for (unsigned vector = INTERRUPT_DEVICE_FIRST; vector < INTERRUPT_DEVICE_END; vector++) {
        if (handlers[vector].handler == NULL) {
            interrupt_handle(vector, handler, context);
            return vector;
        }
    }
    return 0;
}

void interrupt_release(unsigned vector)
{
    assert(vector >= INTERRUPT_DEVICE_FIRST && vector < INTERRUPT_DEVICE_END);
    interrupt_handle(vector, NULL, NULL);
}

void interrupt_only_count(void *context, const struct trap_frame *frame)
{
    (void)context;
    (void)frame;
}

static void count(struct interrupt_counts *counts, unsigned vector, bool claimed)
{
    counts->all++;
    if (vector == INTERRUPT_SPURIOUS || vector < INTERRUPT_DEVICE_FIRST)
        counts->spurious++;
    else if (!claimed)
        counts->unexpected++;
    else if (vector == INTERRUPT_TIMER)
        counts->timer++;
    else if (vector == INTERRUPT_WAKE || vector == INTERRUPT_CALL)
        counts->ipi++;
    else
        counts->device++;
}

static COLD void record(unsigned vector, bool begins)
{
    const enum trace_interrupt which =
        vector == INTERRUPT_TIMER                                         ? TRACE_INTERRUPT_TIMER
        : vector == INTERRUPT_WAKE || vector == INTERRUPT_CALL            ? TRACE_INTERRUPT_CALL
        : vector < INTERRUPT_DEVICE_FIRST || vector == INTERRUPT_SPURIOUS ? TRACE_INTERRUPT_OTHER
                                                                          : TRACE_INTERRUPT_DEVICE;
    trace_device(TRACE_INTERRUPT, which, begins, vector);
}

void interrupt_arrived(const struct trap_frame *frame)
{
    struct machine_cpu *cpu = machine_cpu_here();
    const unsigned vector = (unsigned)frame->vector;
    interrupt_handler *handler = __atomic_load_n(&handlers[vector].handler, __ATOMIC_ACQUIRE);
    count(&cpu->counts, vector, handler != NULL);
    const bool traced = cpu->local.trace_cpu != NULL;
    if (traced)
        record(vector, true);
    // A handler may be interrupted by nothing but must not be switched away from either.
    cpu_preempt_disable();
    if (handler != NULL)
        handler(handlers[vector].context, frame);
    // A withdrawn interrupt is not in service: ending it would end another one.
    if (vector < INTERRUPT_DEVICE_FIRST)
        (void)pic_take(vector);
    else if (vector != INTERRUPT_SPURIOUS && end_of_interrupt != NULL)
        end_of_interrupt();
    if (traced)
        record(vector, false);
    cpu_preempt_enable();
    if (preempt != NULL && cpu->local.preempt_count == 0)
        preempt();
}
