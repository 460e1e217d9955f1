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
//   void cpu_preempt_disable(void)    may nest; one instruction on the CPU's own counter
//   void cpu_preempt_enable(void)
//   void *cpu_new_stack(void *top, void (*entry)(void))   a stack pointer to switch to: `entry`
//                                     then runs on that stack and never returns
//   void cpu_switch_stacks(void **save, void *load, uint32_t *state, uint32_t left)
//                                     keeps what a call must keep on this stack, its pointer in
//                                     *save, goes on on the other; then, when nothing of this stack
//                                     is needed any more, *state = left as a release
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
};

#define CPU_LOCAL_OFFSET_SELF    0
#define CPU_LOCAL_OFFSET_PREEMPT 12

_Static_assert(offsetof(struct cpu_local, self) == CPU_LOCAL_OFFSET_SELF, "read by assembly");
_Static_assert(offsetof(struct cpu_local, preempt_count) == CPU_LOCAL_OFFSET_PREEMPT,
               "counted by assembly");

#if defined(__x86_64__)
#include "x86_64/cpu_x86_64.h"
// Behind it: uses what it declares.
#include "x86_64/cpu_switch_x86_64.h"
#else
#error "no instructions for this architecture: add kernel/arch/NAME/cpu_NAME.h"
#endif

#endif
