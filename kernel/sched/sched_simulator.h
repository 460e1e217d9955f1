// SPDX-License-Identifier: MIT
// A machine that exists in virtual time only, for the scheduler as it is: CPU operations over
// events in an order that a seed decides, and threads that are scripts. The same seed and
// configuration give the same events, bit by bit; `hash` says so.
//
//   step    one thing a thread does: runs for so long, blocks, wakes another ...
//   debt    time that a thread pays first when it runs again: the switch, cold caches
//   choice  where more than one CPU could go on at a time, one is chosen: by the seed, or by the
//           caller, who may try all (a model checker)
//
// Rules for callers
//   threads  one OS thread drives a simulator, on any CPU: cpu_local() is not asked, but by the
//            checks of locks in test builds. Several simulators may run at once in several threads
//   memory   the caller's: simulator, threads, steps, log; nothing else is used
//   limits   the number of events of a run is bounded by the configuration; a run can be continued
//   times    of the scheduler itself are not simulated, but for `costs`: what an operation of the
//            scheduler costs on a real CPU is measured elsewhere
#ifndef SCHED_SIMULATOR_H
#define SCHED_SIMULATOR_H

#include "random.h"
#include "sched.h"

enum sched_sim_op {
    SCHED_SIM_RUN,    // for `ns` of CPU time
    SCHED_SIM_RANDOM, // for 1..`ns` of CPU time, by the seed
    SCHED_SIM_BLOCK,  // until woken, or a permit
    SCHED_SIM_SLEEP,  // for `ns`, or until woken
    SCHED_SIM_PERIOD, // until `ns` after the end of the last period; counts a miss if that is past
    SCHED_SIM_WAKE,   // wakes thread `number`
    SCHED_SIM_DOWN,   // takes one from semaphore `number`; blocks until there is one
    SCHED_SIM_UP,     // adds one to semaphore `number` and wakes who waits there
    SCHED_SIM_YIELD,  //
    SCHED_SIM_START,  // starts thread `number`, which was added to be started later
    SCHED_SIM_JOIN,   // waits for the end of thread `number`, which has been started
    SCHED_SIM_LOOP,   // the steps from `to` to here are done `number` times in all; 0: for ever
    SCHED_SIM_EXIT,   // as the end of the script
};

struct sched_sim_step {
    uint32_t op; // enum sched_sim_op
    uint32_t number;
    uint32_t to; // SCHED_SIM_LOOP: below this step
    uint64_t ns;
};

#define SCHED_SIM_SEMAPHORES 16u
#define SCHED_SIM_WAITERS    16u // of one semaphore
#define SCHED_SIM_LOOPS      4u  // of one script, inside of each other or not

// What a run came to.
enum sched_sim_outcome {
    SCHED_SIM_DONE,   // every thread has finished
    SCHED_SIM_TIME,   // `until_ns` is reached
    SCHED_SIM_STUCK,  // nothing can happen any more, and threads live: they wait for each other
    SCHED_SIM_LIMIT,  // events_most
    SCHED_SIM_BROKEN, // sched_check (config.check) or config.observe found something wrong
};

struct sched_sim_thread {
    struct sched_thread thread;
    const struct sched_sim_step *steps;
    uint32_t step_count, number;
    // The simulator's:
    uint32_t at;        // step
    bool begun;         // the step at `at`: its time is set, or its first half is done
    uint64_t left_ns;   // of a RUN
    uint64_t debt_ns;   // to be paid before
    uint64_t period_ns; // when the last period ended
    uint32_t loop_at[SCHED_SIM_LOOPS], loop_turns[SCHED_SIM_LOOPS];
    uint64_t misses, periods;
    uint64_t steps_done;
    uint64_t work_ns; // of RUN steps, without debts
};

struct sched_sim_costs {
    uint64_t switch_ns;     // of every switch to another thread
    uint64_t migration_ns;  // debt of a thread that runs on another CPU than last
    uint64_t cold_ns;       // debt of one that was away for cold_after_ns or longer
    uint64_t cold_after_ns; // 0: never
    uint64_t kick_ns;       // from a kick to its interrupt
    uint64_t jitter_ns;     // at most this more, by the seed
};

struct sched_sim;

struct sched_sim_config {
    unsigned cpus;
    const struct sched_policy_ops *policy;
    uint64_t quantum_ns, balance_ns; // as sched_config
    uint64_t seed;
    struct sched_sim_costs costs;
    uint64_t events_most;    // of one sched_sim_run
    bool check;              // sched_check after every event: slow
    struct sched_event *log; // the first log_capacity events of the scheduler; may be NULL
    size_t log_capacity;
    // Chooses one of `count` (2 or more) possible next events, whose order is always the same; time
    // is no reason to prefer one then, so interrupts may come as late as they like. NULL: the
    // earliest, the seed decides among equals.
    unsigned (*choose)(void *context, unsigned count);
    // Told of every event of the scheduler; false ends the run as BROKEN. NULL: nobody.
    bool (*observe)(void *context, struct sched_sim *sim, const struct sched_event *event);
    void *context;
};

struct sched_sim_cpu {
    bool waits; // in idle()
    bool kicked;
    uint64_t kick_at_ns; // when the kick arrives
    uint64_t timer_ns;   // SCHED_NEVER: not set
    uint64_t free_ns;    // until then it does what was decided
    uint64_t running_ns; // since when the current step of the current thread has been paid for
};

struct sched_sim {
    struct sched_sim_config config;
    struct sched sched;
    struct sched_sim_thread **threads; // by number
    uint32_t thread_count, threads_most;
    uint64_t now_ns;
    unsigned acting; // the CPU whose turn it is
    bool broken;
    struct random random;
    uint64_t events;   // of all runs
    uint64_t switches; // of the scheduler, to other than idle threads
    uint64_t logged;   // events of the scheduler; those beyond log_capacity are not kept
    uint64_t hash;     // of all of them
    struct sched_sim_cpu cpus[CPU_MOST];
    struct {
        uint64_t count;
        uint32_t waiters[SCHED_SIM_WAITERS], waiter_count;
    } semaphores[SCHED_SIM_SEMAPHORES];
};

// Bytes of memory, 64-byte aligned, for this many CPUs and threads.
size_t sched_sim_bytes(unsigned cpus, uint32_t threads_most);

// Makes a simulator at time 0 whose CPUs have all joined. STATUS_INVALID, STATUS_NO_MEMORY as
// sched_init.
enum status sched_sim_init(struct sched_sim *sim, const struct sched_sim_config *config,
                           uint32_t threads_most, void *memory, size_t bytes);

// Adds a thread, whose number is how many were added before, and starts it unless `later`. `steps`
// lives as long as the simulator. STATUS_FULL: threads_most; STATUS_INVALID: as sched_create, or a
// step is malformed.
enum status sched_sim_add(struct sched_sim *sim, struct sched_sim_thread *thread,
                          const struct sched_attributes *attributes,
                          const struct sched_sim_step *steps, uint32_t step_count, bool later);

// Lets time pass. May be called again after TIME and LIMIT.
enum sched_sim_outcome sched_sim_run(struct sched_sim *sim, uint64_t until_ns);

// Adds the time until now to the statistics of what runs (the scheduler does it at its next call).
// After the last run.
void sched_sim_settle(struct sched_sim *sim);

// An interrupt handler of CPU `cpu` wakes thread `number` now, between two runs.
void sched_sim_wake(struct sched_sim *sim, unsigned cpu, uint32_t number);

#endif
