// SPDX-License-Identifier: MIT
// What the probe's kernel can be made to do with privilege (tests/boot/deeds*.c).
#ifndef DEEDS_H
#define DEEDS_H

#include <stdint.h>

// Deeds that do not end the run: storms and switches. Returns if the word is none of them.
void deeds_do(const char *kind);

// deeds_pci.c
void pci_msi_deed(void);
void pci_msix_deed(void);
void pci_ecam_deed(void);

// deeds_block.c
void block_read_deed(void);
void block_errors_deed(void);
void block_late_deed(void);
void block_gone_deed(void);

// deeds_paging.c
void paging_walk_deed(void);
void paging_storm_deed(void);
void paging_late_deed(void);
void paging_lazy_deed(void);
void paging_lazy_bad_deed(void);
void paging_contexts_deed(void);

// deeds_switch.c
void switch_storm_deed(void);
void switch_steps_deed(void);
void thread_overflow_deed(void);
uint64_t deeds_descend(uint64_t depth); // until the stack is used up
void vectors_lazy_deed(void);

// deeds_sched.c, deeds_sched_steps.c, deeds_sched_storm.c
void sched_meet_deed(void);
void sched_greedy_deed(void);
void sched_leaf_deed(void);
void sched_ticks_deed(void);
void sched_late_deed(void);
void sched_overflow_deed(void);
void sched_steps_deed(void);
void sched_storm_deed(void);

// The number that `name=` on the command line gives.
uint64_t deeds_option(const char *name, uint64_t otherwise);

// patterns.S: in how many of the rounds a register or flag did not hold its value.
uint64_t patterns_hold(uint64_t rounds, uint64_t seed);

// One line `probe KEY=VALUE`, as probe.c writes them.
void deeds_say(const char *key, uint64_t value);

#endif
