// SPDX-License-Identifier: MIT
// How one CPU makes others drop translations: who asks whom, and how everybody learns of the
// answer. The protocol alone; interrupts, time and the TLB are behind three functions.
//
//   sender   writes its shot, marks itself in the mailbox of each target, kicks those whose mailbox
//            was empty, and waits
//   target   takes all marks at once and serves those senders, each of whom waits until the last
//            target has cleared its bit
//
// Rules for callers
//   threads    any CPU sends, one shot at a time, with preemption disabled and from no interrupt
//              handler; a CPU answers from the handler of the kick, or by polling
//   waiting    never for ever while others wait for us: who waits for an answer answers itself
//              (`wait`), so CPUs that shoot at each other both go on. Who waits for a lock with
//              interrupts masked does the same, if its holder may shoot. With interrupts on the
//              kick's handler does it, also in the middle of a wait for any spinlock. What is left
//              is a CPU that keeps interrupts masked and polls nothing: it is waited for until
//              `wait` loses patience
#ifndef SHOOTDOWN_H
#define SHOOTDOWN_H

#include "compiler.h"
#include "cpu.h"
#include "tlb_ops.h"

struct shootdown_ops {
    void *context;
    // Makes the CPU call shootdown_answer soon.
    void (*kick)(void *context, unsigned cpu);
    // Does what the shot asks, on the running CPU.
    void (*receive)(void *context, const struct tlb_shot *shot);
    // One turn of a wait: answers what others ask, and lets some time pass. False: this takes too
    // long. *since is 0 at the first turn and for `wait` to use.
    bool (*wait)(void *context, uint64_t *since);
    // The CPU did not answer. Does not return.
    void (*late)(void *context, unsigned cpu);
};

struct shootdown_cpu {
    // Set by senders, taken by the CPU itself: who has a shot for it.
    CACHE_ALIGNED uint64_t asked;
    // Of this CPU as a sender: written by it before it marks its targets, cleared by them.
    CACHE_ALIGNED uint64_t pending;
    struct tlb_shot shot;
};

struct shootdown {
    struct shootdown_ops ops;
    struct shootdown_cpu cpus[CPU_MOST];
};

_Static_assert(CPU_MOST <= 64, "a bit for each CPU");

void shootdown_init(struct shootdown *shootdown, const struct shootdown_ops *ops);

// Returns when all CPUs of the mask, this one not among them, have received the shot: what they did
// before that is visible then. Returns how many were kicked.
unsigned shootdown_send(struct shootdown *shootdown, uint64_t cpus, const struct tlb_shot *shot);

// Receives all shots waiting for this CPU; returns how many. With interrupts masked, or where the
// kick cannot come in between.
unsigned shootdown_answer(struct shootdown *shootdown);

#endif
