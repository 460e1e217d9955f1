// SPDX-License-Identifier: MIT
// The scheduler: threads on CPUs, with a run queue for each CPU and a policy that orders it.
//
//   CPU operations  what the scheduler asks of the place it runs in (struct sched_cpu_ops): the
//                   machine, the host process, the simulator
//   policy          who is next on a queue (sched_policy.h; sched_policy_variants.h lists them)
//   queue           struct sched_cpu: what one CPU runs and has waiting, behind one lock
//   run             from the moment a thread goes on of its own accord until it gives the CPU up
//                   of its own accord (block, sleep, join, yield, exit); preemption interrupts it
//   slice           how long a thread may run while others wait for its CPU
//   permit          a wake-up that found its thread awake; the next sched_block or
//   sched_sleep_until
//                   of that thread takes it and returns at once
//
// Rules for callers
//   threads     sched_pass, _block, _sleep_until, _join, _exit are for threads of this scheduler,
//               with preemption enabled, outside of interrupt handlers. sched_wake may be called
//               from interrupt handlers too, and by threads with preemption disabled
//   waiting     the one who waits: `while (!condition) sched_block(sched);`; the one who wakes
//   makes
//               the condition true, then calls sched_wake. No wake-up is lost, and sched_block may
//               return without one (an old permit): hence the loop. What was written before
//               sched_wake is visible to the thread that it wakes
//   memory      the caller owns a thread and its stack from sched_create until a sched_join of it
//               has returned or sched_finished says true. Nothing is allocated
//   locks       one lock a queue. Two are taken in the order of their CPUs' indexes, or the second
//               is only tried. They are held with preemption interrupts masked, never over a
//               switch. No lock of the caller's may be held in a call that may switch
//   fields      of the structs below: for reading, by statistics and tests, while all is at rest
//   times       nanoseconds of ops->now_ns
#ifndef SCHED_H
#define SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "cpu.h"
#include "list.h"
#include "sched_tree.h"
#include "spinlock.h"
#include "status.h"
#include "thread.h"

#define SCHED_NEVER         UINT64_MAX // a time
#define SCHED_ANYWHERE      UINT64_MAX // an affinity mask: every CPU
#define SCHED_STACK_LEAST   4096u      // bytes: the scheduler runs on the stacks of its threads
#define SCHED_QUANTUM_NS    10000000u  // default
#define SCHED_BALANCE_NS    40000000u  // default
#define SCHED_ID_MOST       0xfffffu   // ids fit the values of trace events; then they begin anew
#define SCHED_NICE_LEAST    (-20)      // the largest share
#define SCHED_NICE_MOST     19
#define SCHED_THREAD_WORDS  8u  // of a policy's own state in a thread
#define SCHED_QUEUE_WORDS   24u // and in a queue
#define SCHED_BALANCE_LOOKS 16u // threads looked at for one to be moved, at most

struct sched;
struct sched_cpu;
struct sched_policy_ops;
struct sched_thread;

enum sched_state {
    SCHED_NEW,      // created, not started
    SCHED_READY,    // in exactly one queue
    SCHED_RUNNING,  // is a CPU's current thread
    SCHED_BLOCKED,  // until sched_wake
    SCHED_SLEEPING, // until its time or sched_wake
    SCHED_JOINING,  // until another thread has finished
    SCHED_EXITING,  // has ended, may still be on its stack
    SCHED_FINISHED, // memory and stack may be used again
};

// What happened: for the simulator's log and for traces. `thread` 0 is nobody.
enum sched_event_kind {
    SCHED_EVENT_SWITCH,  // `thread` runs from now on; `other` ran before and was left in `state`
    SCHED_EVENT_WAKE,    // `thread` is READY on CPU `to`; `other` woke it, 0: the time it slept for
    SCHED_EVENT_MIGRATE, // `thread` moves from the queue of CPU `from` to that of CPU `to`
    SCHED_EVENT_IDLE,    // the CPU waits for interrupts (to 1); has found work again (to 0)
    SCHED_EVENT_EXIT,    // `thread` has ended
};

struct sched_event {
    uint64_t now_ns;
    uint32_t kind; // enum sched_event_kind
    uint32_t cpu;  // on which it happened
    uint32_t thread, other;
    uint32_t state;    // enum sched_state of `other`
    uint32_t priority; // of `thread`, as its policy sees it
    uint32_t from, to;
    bool yielded; // `other` is READY because it gave its CPU up, not because it was preempted
};

// What the scheduler asks of the place it runs in. `machine` is the implementer's own object. All
// functions but kick concern the running CPU. "Interrupts" are those that end in sched_interrupt:
// the CPU's timer and kicks; others only if their handlers call sched_wake. sched_interrupt and
// sched_preempt are called by the pointers in struct sched.
struct sched_cpu_ops {
    const char *name;
    bool stackless; // threads have no stacks: the simulator
    // This CPU's index, before it has joined too. The scheduler never asks cpu_local(): in the
    // simulator one OS thread is several CPUs.
    unsigned (*cpu)(void *machine);
    // The same clock on all CPUs, monotonic on each.
    uint64_t (*now_ns)(void *machine);
    // Interrupts CPU `cpu`, which calls sched_interrupt(sched, false) then. A kick is latched: one
    // that comes while interrupts are masked there arrives when they are not, or ends its idle();
    // several may arrive as one. `cpu` may be the running one, or have left meanwhile: then the
    // kick is dropped. Any CPU; locks may be held.
    void (*kick)(void *machine, unsigned cpu);
    // One timer: interrupts this CPU at `at_ns` or as soon as possible after it, at once if that is
    // past; sched_interrupt(sched, true) is called then. Replaces what was set. SCHED_NEVER: none.
    // An interrupt that was already on its way may still come. Interrupts masked.
    void (*set_timer)(void *machine, uint64_t at_ns);
    // Waits for the next interrupt. Called masked, after a look at what there is to run; lets
    // interrupts in and waits in one step, so that one that came in between ends the wait, and
    // returns after its sched_interrupt, masked again. May return without reason. Such an interrupt
    // may switch to another thread: then this returns when the idle thread runs again.
    void (*idle)(void *machine);
    // Keeps interrupts out; true if they were let in before. Nests: unmask(machine, what it said).
    bool (*mask)(void *machine);
    void (*unmask)(void *machine, bool let_in);
    // The running thread may be switched away from: preempt count 0, and no interrupt handler.
    bool (*preemptible)(void *machine);
    // It should be, and is not preemptible or has interrupts masked: sees to it that sched_preempt
    // is called on this CPU once it is (cpu_preempt_wanted of cpu.h). More often does no harm.
    void (*defer)(void *machine);
    // Makes the context of a thread that begins with entry(argument) on thread->context's stack.
    void (*make)(void *machine, struct sched_thread *thread, void (*entry)(void *argument));
    // Leaves `from` for `to`, interrupts masked, no lock held; returns when somebody switches back
    // to `from`, which may be on another CPU. When nothing of from's stack is needed any more, sets
    // from->context.state, as a release, to `left`: THREAD_READY or, when it is never switched to
    // again, THREAD_FINISHED. sched_switch_context does all of it for real stacks. The simulator
    // returns at once, as somebody else: nothing is done behind a switch that is the thread's.
    void (*switch_to)(void *machine, struct sched_thread *from, struct sched_thread *to,
                      enum thread_state left);
    // The running CPU joins: what runs on it becomes `idle`, as thread_adopt does it; and leaves
    // again, when sched_start_cpu is about to return. Interrupts masked.
    void (*enter)(void *machine, struct sched_thread *idle);
    void (*leave)(void *machine, struct sched_thread *idle);
    // Told of every event, a lock held or not; NULL: nobody wants to know.
    void (*event)(void *machine, const struct sched_event *event);
};

// Exact, since sched_start.
struct sched_thread_statistics {
    uint64_t dispatches;    // times it was switched to
    uint64_t runs;          // that have ended
    uint64_t preemptions;   // times it was switched away from while it could go on
    uint64_t wakeups;       // times it was made ready after it had waited
    uint64_t permits;       // waits that a permit ended before they began
    uint64_t migrations;    // moves to another CPU's queue
    uint64_t run_ns;        // on a CPU
    uint64_t ready_ns;      // in a queue; what waits there now is not in it yet
    uint64_t ready_most_ns; // longest time in a queue at a stretch
};

struct sched_cpu_statistics {
    uint64_t switches;      // to another thread, the idle one included
    uint64_t preemptions;   // of those, away from a thread that could go on
    uint64_t picks;         // decisions about who is next
    uint64_t interrupts;    // sched_interrupt calls
    uint64_t timers_set;    // set_timer calls with a time
    uint64_t kicks;         // sent by this CPU
    uint64_t wakeups;       // made ready by this CPU
    uint64_t migrations_in; // threads that came here from another queue
    uint64_t pulled_idle;   // of those, because this CPU had nothing to do
    uint64_t pulled_period; // of those, by periodic balancing
    uint64_t busy_ns;       // a thread was current; sums to the threads' run_ns
    uint64_t idle_ns;       // the idle thread was
};

struct sched_thread {
    struct thread context; // stack, and whether somebody is on it; sched_cpu_ops.switch_to's
    struct sched *sched;
    const char *name; // lives as long as the scheduler
    uint32_t id;      // 1.., unique among the first SCHED_ID_MOST; idle threads have the first ones
    int8_t nice;
    void (*entry)(void *argument);
    void *argument;
    void *user; // the caller's; the simulator's script
    uint64_t affinity;

    // Home: the CPU whose queue's lock protects what follows. Changes with both locks held.
    uint32_t cpu;
    uint32_t state; // enum sched_state; read by others without the lock
    bool permit;
    struct sched_thread *joiners;     // who waits for this one
    struct sched_thread *next_joiner; // among those who wait for the same one
    uint64_t ready_at_ns;             // when it came into a queue
    uint64_t slice_left_ns;
    uint64_t run_so_far_ns;         // of the run that has not ended
    uint32_t last_cpu;              // where it ran last
    uint64_t last_ran_ns;           // until when
    struct sched_tree_node sleeper; // key: wake-up time
    struct list link;               // for policies: in a queue
    struct sched_tree_node node;    // for policies: in a queue
    uint64_t policy[SCHED_THREAD_WORDS];
    struct sched_thread_statistics statistics;
};

struct CACHE_ALIGNED sched_cpu {
    struct spinlock lock;
    uint32_t index;
    struct sched *sched;
    // Behind `lock`:
    struct sched_thread *current; // NULL until the CPU has joined
    uint32_t ready;               // threads in the queue; read by others without the lock
    bool resched;                 // somebody should run in place of `current`
    uint64_t charged_ns;          // until when `current` has been charged
    uint64_t timer_at_ns;         // what is set
    uint64_t balance_at_ns;       // not before
    struct sched_tree sleepers;   // by wake-up time
    uint64_t policy[SCHED_QUEUE_WORDS];
    struct sched_cpu_statistics statistics;
    // The CPU's own, interrupts masked:
    struct sched_thread *leaving; // has ended; nobody was told yet
    bool waits;                   // in ops->idle, as far as was told
    struct sched_thread idle;
};

struct sched_config {
    unsigned cpus; // 1..CPU_MOST
    const struct sched_cpu_ops *ops;
    void *machine;
    const struct sched_policy_ops *policy;
    uint64_t quantum_ns; // 0: SCHED_QUANTUM_NS
    uint64_t balance_ns; // between two looks of a busy CPU at the others; 0: SCHED_BALANCE_NS
    unsigned names;      // whose names sched_name knows: ids below this; 0: none
    bool trace; // record what happens (sched_trace.h) where the traced flavour runs and the CPUs
                // record; not in a simulation: its clock is another
};

struct CACHE_ALIGNED sched {
    struct sched_config config;
    const struct sched_cpu_ops *ops;
    const struct sched_policy_ops *policy;
    void *machine;
    struct sched_cpu *cpus;
    const char **names;
    // sched_interrupt and sched_preempt for CPU operations, which may be linked apart from this
    // code: a program can hold it more than once, plain and traced.
    void (*interrupt)(struct sched *sched, bool timer);
    void (*preempt)(struct sched *sched);
    uint32_t trace_before; // number in a trace before those of its threads
    // Atomic:
    uint64_t idle_mask CACHE_ALIGNED; // CPUs whose current thread is the idle one
    uint64_t online_mask;             // CPUs that have joined
    uint64_t live;                    // threads started that have not finished
    uint32_t next_id;
    uint32_t stopping;
};

struct sched_attributes {
    const char *name;  // lives as long as the scheduler
    int nice;          // SCHED_NICE_LEAST..MOST; shares of the CPU where a policy has them
    uint64_t affinity; // CPUs it may run on; 0: SCHED_ANYWHERE
    void *stack;       // not looked at by the simulator
    size_t stack_bytes;
    void (*entry)(void *argument);
    void *argument;
    void *user;
};

// ---- the scheduler ------------------------------------------------------------------------------

// Bytes of memory, 64-byte aligned, that sched_init wants for this configuration.
size_t sched_bytes(const struct sched_config *config);

// Makes a scheduler without threads; `memory` is its own until the last CPU has left.
// STATUS_INVALID: a count out of range. STATUS_NO_MEMORY: `bytes` is less than sched_bytes.
enum status sched_init(struct sched *sched, const struct sched_config *config, void *memory,
                       size_t bytes);

// The running CPU joins: what runs on it becomes its idle thread and waits for work. Returns after
// sched_stop when no thread lives. Each CPU once; those that do not join run no threads, so the
// affinity of every thread must have one that does. Preemption enabled.
void sched_start_cpu(struct sched *sched);

// Asks all CPUs to leave when the last thread has finished. Any CPU, any number of times.
void sched_stop(struct sched *sched);

// The three parts of sched_start_cpu, for the simulator, which has several CPUs to take turns:
// join; one turn of the idle thread, false when it is time to leave; leave.
void sched_join_cpu(struct sched *sched);
bool sched_idle_turn(struct sched *sched);
void sched_leave_cpu(struct sched *sched);

// At the end of each interrupt by this CPU's timer (`timer`) or a kick, masked, with no lock of the
// scheduler's held by what was interrupted. Switches to another thread before it returns if that is
// due and the running one is preemptible; else asks for it by ops->defer.
void sched_interrupt(struct sched *sched, bool timer);

// Preemption that was put off is possible now (ops->defer): preempt count 0. Masked or not. Nothing
// happens on a CPU that has not joined.
void sched_preempt(struct sched *sched);

// Walks all invariants while no CPU is in a call: each ready thread in its own CPU's queue once,
// counts, orders. False if one is broken. Slow.
bool sched_check(struct sched *sched);

// The name of the thread with this id; NULL if config.names was too small.
const char *sched_name(const struct sched *sched, uint32_t id);

// ---- threads ------------------------------------------------------------------------------------

// Makes a thread, not started. STATUS_INVALID: an attribute out of range, no CPU in the affinity
// mask, or a stack below SCHED_STACK_LEAST.
enum status sched_create(struct sched *sched, struct sched_thread *thread,
                         const struct sched_attributes *attributes);

// Makes a created thread ready. Any CPU, in the scheduler or before it has begun.
void sched_start(struct sched_thread *thread);

// The thread that runs on this CPU; the idle thread of a CPU that has joined.
struct sched_thread *sched_current(struct sched *sched);

// Yields: lets others that wait for this CPU run first, where the policy agrees. (libc has
// sched_yield; its callers must not land here.)
void sched_pass(struct sched *sched);

// Waits for sched_wake; see the rules. Consumes a permit, then or at once.
void sched_block(struct sched *sched);

// Makes a thread that blocks or sleeps ready; one that does neither gets a permit. `thread` has
// been started and is the caller's to name: it lives through the call. Any CPU, any context but a
// lock of the scheduler's.
void sched_wake(struct sched *sched, struct sched_thread *thread);

// Wakes `thread` and waits as sched_block does, in one step: where nobody else waits for this CPU
// and `thread` waits on it, it runs next, with no timer set and no decision in between. Else the
// two calls one after the other. Consumes a permit: then it only wakes.
void sched_hand_over(struct sched *sched, struct sched_thread *thread);

// A barrier on all CPUs, paid by who calls it (sched_barrier.c): true when every other CPU that had
// joined has been interrupted since the call, and so has done a full barrier. What its threads
// stored before that is visible to the caller; what they load behind it sees what the caller stored
// before. False: a CPU did not answer within SCHED_BARRIER_LOOKS looks. Threads; costs each other
// CPU that runs something an interrupt.
#define SCHED_BARRIER_LOOKS 16384u
bool sched_barrier(struct sched *sched);

// Waits until ops->now_ns is `at_ns` or more, or for sched_wake, whichever is first.
void sched_sleep_until(struct sched *sched, uint64_t at_ns);

// Waits until `thread`, which was started, has finished; its memory is the caller's again. Any
// number of threads may wait for one. A permit stays: only the end of `thread` ends this.
void sched_join(struct sched *sched, struct sched_thread *thread);

// Ends the running thread. Does not return where threads have stacks. A thread whose entry returns
// does this by itself.
void sched_exit(struct sched *sched);

// The share of a CPU that a nice value asks for: 1024 for 0, a quarter more for each step down.
uint32_t sched_weight(int nice);

// Whether `thread` has left its stack for good; what it wrote is visible then. From outside of the
// scheduler, in place of sched_join.
static inline bool sched_finished(const struct sched_thread *thread)
{
    return __atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) == SCHED_FINISHED;
}

// ---- for CPU operations over real stacks (sched_context.c) --------------------------------------

// What `make`, `switch_to`, `enter` and `leave` do of a CPU with cpu_local(); `machine` is not
// used.
void sched_make_context(void *machine, struct sched_thread *thread, void (*entry)(void *argument));
void sched_switch_context(void *machine, struct sched_thread *from, struct sched_thread *to,
                          enum thread_state left);
void sched_enter_context(void *machine, struct sched_thread *idle);
void sched_leave_context(void *machine, struct sched_thread *idle);

#endif
