// SPDX-License-Identifier: MIT
// The instruction seam: unprivileged instructions, inline. This header is the only ISA selector.
//
// An architecture's header provides, all as static inline functions:
//   uint64_t cpu_ticks_start(void)    opens a measured window: earlier loads and stores are done
//   uint64_t cpu_ticks_stop(void)     closes it: the window's instructions are done; needs
//                                     cpu_has_ordered_stop()
//   uint64_t cpu_ticks_stop_fenced(void)   the same without that requirement, a little dearer
//   uint64_t cpu_ticks(void)          the counter, unordered: time stamps of trace events
//   bool cpu_has_ordered_stop(void)   asked once at start, never near a window
//   bool cpu_has_baseline(void)       the CPU has the instructions the object code was built for
//   void cpu_pause(void)              in spin loops
//   void cpu_prefetch(const void *)   hint: this line is read soon
//   struct cpu_local *cpu_local(void) the running CPU's data (one load through the CPU base)
//   size_t cpu_index(void)            its number: cpu_local()->index in one load instead of two
//   void *cpu_trace_buffer(void)      cpu_local()->trace_buffer in one load, which no switch
//   divides void cpu_preempt_disable(void)    may nest; one instruction on the CPU's own counter
//   void cpu_preempt_enable(void)     at the outermost level calls cpu_local()->preempt_wanted if
//                                     there is one; one test more where there is none
//   void cpu_leaf_enter(void)         the same by a store into the counter's top byte, which waits
//                                     for nothing: where two counts follow each other closely, each
//                                     waits for the store of the one before. Never inside another
//                                     leaf; inside of it nothing is called that could enter one
//   void cpu_leaf_leave(void)
//   struct cpu_window, cpu_full, cpu_classic   a context: what a switch keeps of a CPU
//   void cpu_X_inline(from, to), cpu_X_jmp(from, to), cpu_X_ret(from, to)   switches between two
//                                     such contexts, X one of window, full, classic
//   void *cpu_new_context(void *top, void (*function)(void *), void *argument, void **rsp,
//                         void **rip)   where a new one begins
//   void cpu_fx_save(void *), cpu_fx_restore(const void *), cpu_xsave_save, cpu_xsave_restore,
//   bool cpu_has_xsave(void)          the state that these contexts leave out
//   size_t cpu_brand(char *, size_t)  the CPU's name, terminated
//   uint32_t cpu_signature(void)      family, model, stepping as the CPU packs them
//   bool cpu_has_invariant_ticks(void), cpu_under_hypervisor(void)
//   void cpu_straight_run_100(void)   exactly 100 instructions without a branch
#ifndef CPU_H
#define CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_MOST 64u // of one machine; what it has beyond that is reported and left out

struct thread;

// What each CPU owns. The target sets the CPU base to point at it before anything portable runs.
// Fields are written by their own CPU only.
struct cpu_local {
    struct cpu_local *self;
    uint32_t index;
    uint32_t preempt_count;
    void *trace_buffer;         // struct trace_buffer of trace.h, NULL while nothing is traced
    struct thread *thread;      // the one that runs here (thread.h); NULL before the first
    struct thread *idle_thread; // runs when no other can
    // Called, and taken away first, when preemption is enabled again; NULL: nobody wants to run in
    // place of this thread. Set by an interrupt handler of this CPU or with preemption disabled.
    void (*preempt_wanted)(void);
    void *trace_cpu; // struct trace_cpu of trace_sched.h, NULL as trace_buffer
};

#define CPU_LOCAL_OFFSET_SELF    0
#define CPU_LOCAL_OFFSET_INDEX   8
#define CPU_LOCAL_OFFSET_PREEMPT 12
#define CPU_LOCAL_OFFSET_LEAF    15 // the counter's top byte, little-endian
#define CPU_LOCAL_OFFSET_TRACE   16
#define CPU_LOCAL_OFFSET_WANTED  40

_Static_assert(offsetof(struct cpu_local, self) == CPU_LOCAL_OFFSET_SELF, "read by assembly");
_Static_assert(offsetof(struct cpu_local, index) == CPU_LOCAL_OFFSET_INDEX, "read by assembly");
_Static_assert(offsetof(struct cpu_local, preempt_count) == CPU_LOCAL_OFFSET_PREEMPT,
               "counted by assembly");
_Static_assert(offsetof(struct cpu_local, trace_buffer) == CPU_LOCAL_OFFSET_TRACE,
               "read by assembly");
_Static_assert(offsetof(struct cpu_local, preempt_wanted) == CPU_LOCAL_OFFSET_WANTED,
               "tested by assembly");

#if defined(__x86_64__)
#include "x86_64/cpu_x86_64.h"
// Behind it: uses what it declares.
#include "x86_64/cpu_switch_x86_64.h"
#else
#error "no instructions for this architecture: add kernel/arch/NAME/cpu_NAME.h"
#endif

#endif
