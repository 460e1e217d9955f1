// SPDX-License-Identifier: MIT
// What address spaces ask of the CPUs that walk their tables: the machine implements it, and so
// does a fake under tests.
//
//   shot   one change of one address space, as far as the CPUs' translations (the TLB) are
//   concerned pcid   process context identifier: translations of several contexts stand beside each
//   other
//          (Intel SDM vol. 3, 4.10.1). 0 is the kernel's own
#ifndef TLB_OPS_H
#define TLB_OPS_H

#include <stdbool.h>
#include <stdint.h>

struct address_space;

struct tlb_shot {
    struct address_space *space; // NULL: the kernel's own map, which every space shares
    uint64_t address, length;    // multiples of 4 KiB; length 0: all there is
    uint64_t generation;         // of the space, after the change
};

// All act on the running CPU but `shootdown`, which is called with preemption disabled.
struct tlb_ops {
    void *context;
    // Drops what is known of one page in the context in use, of tables on the way to it as well.
    void (*invalidate_page)(void *context, uint64_t address);
    // Drops all that is not global of the context in use; `everything`: of all contexts, global
    // or not.
    void (*flush)(void *context, bool everything);
    // Goes over to the tables at `root`, translations under `pcid` (0 where there are none of
    // these). `keep`: what is known under it stays, else all of it that is not global goes.
    void (*load)(void *context, uint64_t root, unsigned pcid, bool keep);
    // Returns when each CPU of the mask has called address_space_receive with the shot. The running
    // CPU is not in it. Bounded: a CPU that does not answer ends the run.
    void (*shootdown)(void *context, uint64_t cpus, const struct tlb_shot *shot);
    // Answers what other CPUs ask of this one: called in each turn of a wait for a lock, which may
    // be one with interrupts masked for somebody who waits for this CPU.
    void (*poll)(void *context);
    // Keeps interrupts, and with them shots, out; `mask` returns what `unmask` is to be given.
    bool (*mask)(void *context);
    void (*unmask)(void *context, bool before);
};

#endif
