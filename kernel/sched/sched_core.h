// SPDX-License-Identifier: MIT
// Between sched.c (what callers call) and sched_core.c (queues, decisions, the switch). For those
// two only.
//
// Masked: interrupts are kept out by ops->mask. Locked: so, and the queue's lock is held.
#ifndef SCHED_CORE_H
#define SCHED_CORE_H

#include "sched.h"
#include "sched_policy.h"

// The running CPU's queue. Masked.
struct sched_cpu *sched_here(struct sched *sched);

// Masks and takes the running CPU's lock; *let_in is for sched_end.
struct sched_cpu *sched_begin(struct sched *sched, bool *let_in);

// Reports an event to the CPU operations and the trace.
void sched_tell(struct sched *sched, const struct sched_event *event);

// What an event that only a trace asks for it says of a thread's priority. Its queue is locked.
static inline uint32_t sched_told_priority(const struct sched_thread *thread)
{
    return CONFIG_TRACE ? thread->sched->policy->priority(thread) : 0;
}

// The idle thread waits, or somebody else runs: told once each. Masked.
void sched_tell_idle(struct sched_cpu *cpu, bool waits, uint64_t now_ns);

// Two queues, locked in the order of their indexes; they may be the same.
void sched_lock_two(struct sched_cpu *a, struct sched_cpu *b);
void sched_unlock_two(struct sched_cpu *a, struct sched_cpu *b);

// Locks the queue that `thread` is at home in. Masked.
struct sched_cpu *sched_lock_home(struct sched_thread *thread);

// Which CPU a thread that becomes ready goes to. Masked; a guess from counts that may be old.
struct sched_cpu *sched_place(struct sched *sched, const struct sched_thread *thread);

// Puts `thread`, at home in `queue`, into it. Locked. True: the CPU of `queue` must be made to look
// (sched_ask), since somebody else should run there, or its timer does not fit any more.
bool sched_make_ready(struct sched_cpu *queue, struct sched_thread *thread, enum sched_enqueue why,
                      uint64_t now_ns);

// Charges the current thread for the time until now. Locked.
void sched_charge(struct sched_cpu *cpu, uint64_t now_ns);

// The current thread's run is over. Locked, charged.
void sched_end_run(struct sched_cpu *cpu, uint64_t now_ns);

// The current thread could go on, and goes back into the queue; the idle thread does not. Locked,
// charged.
void sched_put_back(struct sched_cpu *cpu, enum sched_enqueue why, uint64_t now_ns);

// Chooses who runs next and goes on with it: the current thread is in a queue, or waits, or ends.
// Locked on entry, not on return, which is when somebody switches back.
void sched_go_on(struct sched_cpu *cpu, uint64_t now_ns);

// Sets the CPU's timer to when it is needed next. Locked.
void sched_set_timer(struct sched_cpu *cpu);

// What is to be done on the new thread's side of a switch. Masked.
void sched_arrived(struct sched *sched);

// Makes sleepers whose time has come ready. Locked. True: as sched_make_ready, for this CPU.
bool sched_wake_sleepers(struct sched_cpu *cpu, uint64_t now_ns);

// The CPU of `queue` should look at it: kicks it, or sets this CPU's timer; if this one is to be
// preempted and the caller's sched_end cannot do it (`let_in`: what it will be told), asks for it
// later. Masked, no lock held.
void sched_ask(struct sched *sched, struct sched_cpu *queue, bool let_in);

// Preempts the running thread if that is wanted and possible, then unmasks. No lock held.
void sched_end(struct sched *sched, bool let_in);

// The current thread makes room for another. Locked on entry, not on return.
void sched_give_way(struct sched_cpu *cpu, uint64_t now_ns);

// Takes a thread from another queue: for an idle CPU, or a busy one that looks at the others.
// Locked. True: it took one. *now_ns becomes a time that lies behind all that was done there.
bool sched_pull(struct sched_cpu *cpu, bool idle, uint64_t *now_ns);

// Could CPU `to`, whose queue has `ready` threads, take one that waits in this queue. Locked.
bool sched_could_give(struct sched_cpu *cpu, unsigned to, uint32_t ready, uint64_t now_ns);

// Makes an idle CPU that could take a thread from this one's queue look, if there is one. Locked.
void sched_kick_idle(struct sched_cpu *cpu, uint64_t now_ns);

#endif
