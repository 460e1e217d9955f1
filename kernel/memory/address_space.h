// SPDX-License-Identifier: MIT
// Address spaces: page tables (page_map.h) together with what CPUs remember of them.
//
//   live         a CPU whose tables these are now. Only those are told of changes at once
//   generation   number of changes that CPUs have to know of. A CPU that comes back to a space and
//                knows an older one drops what it remembers, so nobody else ever waits for it
//   pcids        each CPU numbers the spaces it meets, from 1. When its numbers are used up it
//   drops
//                everything, once, and begins anew: a number is never given again before that
//   shot         see tlb_ops.h. A CPU drops the pages one by one, or all where there are more than
//                `batch`. A CPU that is live misses none: only its load of the tables skips some
//
// Rules for callers
//   threads      any CPU calls anything for any space at any time, from threads only: no call from
//                interrupt handlers, but the handler of a page fault may. A thread that waits for a
//                space's lock answers shots meanwhile, so it may have interrupts masked
//   locks        one a space, inside; held during a shootdown. The functions of page_memory are
//                called with it held
//   what stays   after a change returned no CPU translates by what was there before, and a frame
//                that was unmapped is nobody's
//   global       pages are not: those belong to the kernel's own map
#ifndef ADDRESS_SPACE_H
#define ADDRESS_SPACE_H

#include "compiler.h"
#include "cpu.h"
#include "page_map.h"
#include "spinlock.h"
#include "tlb_ops.h"

#define ADDRESS_SPACE_PCIDS_LEAST 16u
#define ADDRESS_SPACE_PCIDS_MOST  4096u

// Since init, of one CPU.
struct address_space_counts {
    uint64_t pages_here, flushes_here; // dropped because of this CPU's own changes: pages, and all
    uint64_t shots_sent, cpus_shot;    // changes that others had to know of; how many CPUs in all
    uint64_t shots_received;           // from others
    uint64_t pages_received, flushes_received; // dropped because of those
    uint64_t loads, loads_kept; // of tables; and how many without dropping what was remembered
    uint64_t recycled;          // times that all numbers were used up
};

struct address_space_cpu {
    // Written by the CPU they belong to, `current` with interrupts masked.
    CACHE_ALIGNED struct address_space *current; // NULL: the kernel's own
    uint64_t pcid_generation;
    unsigned pcid_next;
    struct address_space_counts counts;
};

// All spaces of one machine.
struct address_spaces {
    const struct tlb_ops *tlb;
    uint64_t root;  // of the kernel's own map
    unsigned pcids; // 0: this machine has none
    uint64_t batch; // pages
    struct address_space_cpu cpus[CPU_MOST];
};

// What a CPU knows of a space. Written by that CPU.
struct address_space_slot {
    uint64_t pcid_generation; // that `pcid` is of; 0: none yet
    uint64_t generation;      // of the space, that this CPU's translations are true to
    unsigned pcid;
};

struct address_space {
    struct address_spaces *all;
    struct page_memory memory; // as handed over
    struct page_map map;       // changed by the holder of `lock`
    struct spinlock lock;
    uint64_t live;       // a bit for each CPU, atomic
    uint64_t generation; // atomic; changed by the holder of `lock`
    struct address_space_slot slots[CPU_MOST];
};

// `root`: what CPUs use where they use no space, under PCID 0. `pcids`: how many numbers to use,
// that 0 among them, 16 to 4096; 0 where CR4.PCIDE is not set. `batch`: of how many pages a change
// may be for them to be dropped one by one, at least 1. STATUS_INVALID otherwise.
enum status address_spaces_init(struct address_spaces *all, const struct tlb_ops *tlb,
                                uint64_t root, unsigned pcids, uint64_t batch);

// An empty space; `memory` gives the tables, its `invalidate` is not used. Statuses of
// page_map_init.
enum status address_space_init(struct address_space *space, struct address_spaces *all,
                               const struct page_memory *memory, struct page_limits limits);

// The space is live nowhere.
void address_space_destroy(struct address_space *space);

// This CPU goes over to the space, or with NULL back to the kernel's own map. The code, stack and
// data it goes on with are mapped there: page_map_share_low.
void address_space_enter(struct address_spaces *all, struct address_space *space);

// The space this CPU uses; NULL: the kernel's own map.
struct address_space *address_space_here(const struct address_spaces *all);

// Changes: as the functions of page_map.h of these names. STATUS_INVALID for a global page as well.
enum status address_space_map(struct address_space *space, uint64_t address, uint64_t physical,
                              uint64_t length, struct page_kind kind);
enum status address_space_map_page(struct address_space *space, uint64_t address, uint64_t physical,
                                   uint64_t bytes, struct page_kind kind);
enum status address_space_unmap_page(struct address_space *space, uint64_t address, uint64_t bytes,
                                     uint64_t *physical);
enum status address_space_unmap(struct address_space *space, uint64_t address, uint64_t length);
enum status address_space_protect(struct address_space *space, uint64_t address, uint64_t length,
                                  struct page_kind kind);
enum status address_space_split(struct address_space *space, uint64_t address, uint64_t bytes);
enum status address_space_merge(struct address_space *space, uint64_t address, uint64_t bytes);

// Questions: as page_translate and page_map_next, serialised with changes.
bool address_space_translate(struct address_space *space, uint64_t address, uint64_t *physical);
bool address_space_next(struct address_space *space, uint64_t address, struct page *page);

// Makes all CPUs drop what they know of one page of the space, and of all its pages: for who writes
// entries himself. `address` is a multiple of 4 KiB.
void page_flush_tlb(struct address_space *space, uint64_t address);
void page_flush_tlb_all(struct address_space *space);

// On a CPU that was shot at, with interrupts masked: tlb_ops.shootdown.
void address_space_receive(struct address_spaces *all, const struct tlb_shot *shot);

// Takes a lock whose holder may be waiting for this CPU to answer a shot; preemption is off then.
void address_spaces_acquire(struct address_spaces *all, struct spinlock *lock);
void address_spaces_release(struct spinlock *lock);

// The sum over all CPUs; exact while no call is inside.
void address_spaces_count(const struct address_spaces *all, struct address_space_counts *counts);

#endif
