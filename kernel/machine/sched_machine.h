// SPDX-License-Identifier: MIT
// The scheduler's CPU operations (struct sched_cpu_ops of sched.h) on this machine: the APIC timer,
// interrupts of one CPU by another, HLT.
//
//   preemption  sched_interrupt runs in the handler; a switch follows when the interrupt is over
//               and the preempt count is 0, else at the cpu_preempt_enable that makes it so
//   leaf        cpu_leaf_leave tests nothing: who is to be preempted inside a leaf goes on one
//               instruction at a time (RFLAGS.TF, Intel SDM vol. 3, 18.3.1.4), and is preempted
//               behind the one that ends it. That is a debug exception for each instruction that
//               the leaf has left, and nothing is waited for beyond that
//   timer       is set when the scheduler wants it earlier than it is set already; what comes too
//               early for it that way sets it anew. With nothing to wait for it fires once, for
//               nothing, at most
//
// Rules for callers
//   registers   x87's, SSE's and AVX's are not kept: threads use none, as the kernel's C code
//   interrupts  a CPU in the scheduler gives its timer away: timer.h is not for its threads. What
//               timer_every_us set before goes on after the CPU has left
//   vectors     INTERRUPT_TIMER and INTERRUPT_WAKE are handled here from sched_machine on; on a CPU
//               without a scheduler nothing follows from them
#ifndef SCHED_MACHINE_H
#define SCHED_MACHINE_H

#include <stddef.h>

#include "sched.h"
#include "status.h"
#include "traps.h"

// The operations; NULL where this machine's clock or timer is not known. Interrupts of a scheduler
// that runs already are not disturbed. One CPU at a time.
const struct sched_cpu_ops *sched_machine(void);

// For a thread that is going to be created: the lowest page of `memory` (4 KiB aligned, a multiple
// of that, three pages at the least) becomes a guard page, the rest its stack. Who runs into the
// page ends the run with a report that has attributes->name. Statuses of stacks_add_thread;
// serialised with all changes of the map. sched_machine_free_stack, when the thread has finished,
// makes all of it memory again.
enum status sched_machine_make_stack(struct sched_attributes *attributes, void *memory,
                                     size_t length);
enum status sched_machine_free_stack(void *memory);

// A debug exception: true if it was a step through a leaf. Called by traps.c.
bool sched_machine_stepped(struct trap_frame *frame);

#endif
