// SPDX-License-Identifier: MIT
// Predictive (Exo-OS phase 4): how long a thread runs is foretold from how long it ran. Short runs
// go first.
//
//   EMA       exponential moving average of a thread's runs in microseconds, alpha 1/4, integers,
//             rounded down; the first run sets it
//   class     hot below 10 ms, normal below 100 ms, cold from there on; by the EMA or the run that
//             has not ended, whichever is longer, so a thread that never gives its CPU up is found
//             out. Reclassified after each run and whenever it is preempted
//   run       as sched.h says; one that reaches 100 ms counts then, and again after further 100 ms;
//             its rest does not
//   priority  hot 3, normal 2, cold 1: a queue each, first in, first out. A wake-up preempts
//   whoever
//             is less urgent
//   ageing    the head of a queue that has waited SCHED_PREDICTIVE_AGE_NS goes first, the longest
//             wait first, and no wake-up preempts it before its slice is used up. Hence the bound,
//             sched_predictive_wait_most_ns: twice that time and a quantum for each thread there is
//   affinity  100 for the CPU that the thread ran on last, up to 50 ms after it did, then falling
//             linearly to 10 at 500 ms; 10 for every other CPU. Within the queue that is next, the
//             first one whose score is above 80 is taken, among the first SCHED_PREDICTIVE_LOOKS;
//             else the head. One that yielded or used its slice up passes nobody, and one that
//             never ran, which has nothing to lose anywhere, is passed by nobody. Balancing moves
//             one with the least score
#ifndef SCHED_POLICY_PREDICTIVE_H
#define SCHED_POLICY_PREDICTIVE_H

#include "sched_policy.h"

#define SCHED_PREDICTIVE_HOT_US    10000u  // below: hot
#define SCHED_PREDICTIVE_COLD_US   100000u // from here on: cold
#define SCHED_PREDICTIVE_AGE_NS    200000000ull
#define SCHED_PREDICTIVE_LOOKS     8u
#define SCHED_PREDICTIVE_WARM      80u // scores above are preferred
#define SCHED_PREDICTIVE_SCORE     100u
#define SCHED_PREDICTIVE_SCORE_LOW 10u
#define SCHED_PREDICTIVE_FRESH_NS  50000000ull
#define SCHED_PREDICTIVE_STALE_NS  500000000ull

enum sched_class { SCHED_COLD, SCHED_NORMAL, SCHED_HOT, SCHED_CLASSES };

struct __attribute__((may_alias)) sched_predictive_thread {
    uint64_t ema_us;
    uint64_t learnt;     // runs that went into it
    uint64_t counted_us; // of this run, that did already: it reached SCHED_PREDICTIVE_COLD_US
    uint64_t since_ns;   // waits since then, as ageing sees it: being preempted begins no new wait
    uint64_t reclassified;
    uint32_t class; // enum sched_class: whose queue it is in or goes to
    bool aged;      // runs because it had waited too long
    bool gave_way;  // yielded or used its slice up: passes nobody for its score
};

struct __attribute__((may_alias)) sched_predictive_queue {
    struct list classes[SCHED_CLASSES];
    uint64_t lengths[SCHED_CLASSES];
    // Statistics, exact.
    uint64_t scheduled[SCHED_CLASSES]; // picked, by class
    uint64_t affinity_hits;            // of those, with a score above SCHED_PREDICTIVE_WARM
    uint64_t passed_over;              // times one behind the head was taken for its score
    uint64_t aged;                     // picked because it had waited too long
    uint64_t reclassifications;
};

// What the specification counts, for one CPU or, with SCHED_PREDICTIVE_ALL, for all.
struct sched_predictive_statistics {
    uint64_t scheduled[SCHED_CLASSES];
    uint64_t affinity_hits, affinity_permille; // of all that were scheduled
    uint64_t passed_over, aged, reclassifications;
    uint64_t waiting[SCHED_CLASSES]; // in the queues now: the class distribution
};

#define SCHED_PREDICTIVE_ALL UINT32_MAX

// ema + (run - ema) / 4, rounded down; `runs`: how many went into it before.
static inline uint64_t sched_predictive_ema(uint64_t ema_us, uint64_t runs, uint64_t run_us)
{
    return runs == 0 ? run_us : (ema_us * 3 + run_us) / 4;
}

static inline enum sched_class sched_predictive_class(uint64_t us)
{
    if (us < SCHED_PREDICTIVE_HOT_US)
        return SCHED_HOT;
    return us < SCHED_PREDICTIVE_COLD_US ? SCHED_NORMAL : SCHED_COLD;
}

// The score of a thread that ran last on CPU `last`, until `away_ns` ago, for CPU `cpu`.
static inline unsigned sched_predictive_affinity(unsigned last, unsigned cpu, uint64_t away_ns)
{
    const unsigned range = SCHED_PREDICTIVE_SCORE - SCHED_PREDICTIVE_SCORE_LOW;
    if (last != cpu || away_ns >= SCHED_PREDICTIVE_STALE_NS)
        return SCHED_PREDICTIVE_SCORE_LOW;
    if (away_ns <= SCHED_PREDICTIVE_FRESH_NS)
        return SCHED_PREDICTIVE_SCORE;
    return SCHED_PREDICTIVE_SCORE -
           (unsigned)((away_ns - SCHED_PREDICTIVE_FRESH_NS) * range /
                      (SCHED_PREDICTIVE_STALE_NS - SCHED_PREDICTIVE_FRESH_NS));
}

// The thread's own part of a predictive scheduler, for reading.
static inline const struct sched_predictive_thread *
sched_predictive_of(const struct sched_thread *thread)
{
    return (const struct sched_predictive_thread *)thread->policy;
}

// While all is at rest.
void sched_predictive_statistics(const struct sched *sched, uint32_t cpu,
                                 struct sched_predictive_statistics *statistics);

void sched_predictive_queue_init(struct sched_cpu *queue);
void sched_predictive_thread_init(struct sched_thread *thread);
void sched_predictive_enqueue(struct sched_cpu *queue, struct sched_thread *thread,
                              enum sched_enqueue why, uint64_t now_ns);
void sched_predictive_dequeue(struct sched_cpu *queue, struct sched_thread *thread,
                              uint64_t now_ns);
struct sched_thread *sched_predictive_pick(struct sched_cpu *queue, uint64_t now_ns);
void sched_predictive_charge(struct sched_cpu *queue, struct sched_thread *thread, uint64_t ran_ns,
                             uint64_t now_ns);
void sched_predictive_run_ended(struct sched_cpu *queue, struct sched_thread *thread,
                                uint64_t now_ns);
uint64_t sched_predictive_slice(struct sched_cpu *queue, struct sched_thread *thread);
bool sched_predictive_preempts(struct sched_cpu *queue, const struct sched_thread *woken,
                               const struct sched_thread *current, uint64_t now_ns);
struct sched_thread *sched_predictive_candidate(struct sched_cpu *queue, unsigned to,
                                                unsigned length, uint64_t now_ns);
unsigned sched_predictive_priority(const struct sched_thread *thread);
uint64_t sched_predictive_wait_most_ns(const struct sched_load *load);
bool sched_predictive_check(const struct sched_cpu *queue);

static const struct sched_policy_ops sched_predictive_ops = {
    .about = {.name = "predictive",
              .what = "short runs first, as foretold from the runs before; ageing; affinity",
              .role = VARIANT_PRODUCT},
    .queue_init = sched_predictive_queue_init,
    .thread_init = sched_predictive_thread_init,
    .enqueue = sched_predictive_enqueue,
    .dequeue = sched_predictive_dequeue,
    .pick = sched_predictive_pick,
    .charge = sched_predictive_charge,
    .run_ended = sched_predictive_run_ended,
    .slice = sched_predictive_slice,
    .preempts = sched_predictive_preempts,
    .candidate = sched_predictive_candidate,
    .priority = sched_predictive_priority,
    .wait_most_ns = sched_predictive_wait_most_ns,
    .check = sched_predictive_check,
};

#endif
