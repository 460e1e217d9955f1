// SPDX-License-Identifier: MIT
// What the parts of the checker know of each other.
//
//   model_hooks.c     what the compiler calls: makes operations and plain accesses of it
//   model_explore.c   threads, decisions, the states that were seen
//   model_memory.c    what an operation may read and where its store may stand
//   model_races.c     plain accesses
//   model_sites.c     where in the source a site is
//
// Clocks: each thread counts its events from 1. Entry u of a clock says up to which event of thread
// u everything happened before. What is in no thread's count (0) happened before all threads.
#ifndef MODEL_PARTS_H
#define MODEL_PARTS_H

#include "model.h"

#define MODEL_EVENTS_MOST 1000u
#define MODEL_NOBODY      0xffu // who wrote the initial store

struct model_clock {
    uint16_t at[MODEL_THREADS_MOST];
};

// An operation that a thread is about to do.
struct model_operation {
    struct model_site site;                         // with its orders as weakened
    uint64_t (*apply)(uint64_t old, uint64_t with); // of MODEL_CHANGE
    uint32_t offset, size;                          // in model_memory; bytes
    uint64_t operand, expected;
    uint64_t result;  // value read
    bool compared;    // MODEL_COMPARE: it was as expected
    uint32_t read_id; // of the store that was read
    uint32_t index;   // where the own store stands in its location's order
};

// What a thread has read at a site since model_begin.
struct model_turn {
    const void *site;
    uint32_t offset, store_id;
    uint32_t learnt; // the thread's count after that read
    uint32_t times;
};

#define MODEL_TURNS_MOST 48u

struct model_thread {
    struct model_clock now;
    struct model_clock released; // at its last release fence
    struct model_clock acquired; // what an acquire fence would learn
    uint64_t digest;             // of its events and what they read
    bool finished;
    bool saw_change;                 // of a location, since model_begin or model_again
    bool waits;                      // for others to write what it has read since model_begin
    struct model_operation *pending; // NULL: runs, or has finished
    struct model_turn turns[MODEL_TURNS_MOST];
    uint32_t turn_count;
    uint32_t learnt; // how many reads since model_begin brought something new
};

extern struct model_thread model_threads[MODEL_THREADS_MOST];
extern unsigned model_self; // the thread that runs

static inline void model_clock_join(struct model_clock *clock, const struct model_clock *other)
{
    for (unsigned t = 0; t < MODEL_THREADS_MOST; t++) {
        if (other->at[t] > clock->at[t])
            clock->at[t] = other->at[t];
    }
}

static inline uint64_t model_mix(uint64_t hash, uint64_t value)
{
    hash = ((hash ^ value) + 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu; // MurmurHash3's first
    return hash ^ hash >> 33;
}

// ---- model_memory.c
void model_memory_reset(void);
// Whether the operation has anything to read: a spinning thread may have to wait.
bool model_memory_ready(unsigned thread, const struct model_operation *operation);
// Does the operation as the thread that runs.
void model_memory_perform(struct model_operation *operation);
// The thread that runs writes these bytes with a plain access, now.
void model_memory_plain_write(uint32_t offset, uint32_t length);
uint64_t model_memory_digest(void);

// ---- model_races.c
enum model_access { MODEL_PLAIN_READ, MODEL_PLAIN_WRITE, MODEL_ATOMIC_READ, MODEL_ATOMIC_WRITE };
// Forgets all accesses, and gives the bytes that there were any to their values in `pristine`.
void model_races_reset(const unsigned char *pristine);
void model_races_touch(uint32_t offset, uint32_t length);
// Fails the execution if the access races with one there was.
void model_races_note(uint32_t offset, uint32_t length, enum model_access access);

// ---- model_explore.c
bool model_is_running(void); // a thread of an execution runs: its accesses count
unsigned model_choose(unsigned options);
void model_passed(unsigned times); // a site, in one operation: too often for the limits?
void model_operate(struct model_operation *operation);
void model_plain(const void *address, size_t length, bool writes);
void model_alone(const void *address, size_t length); // outside of threads
// The checker cannot go on: no finding.
__attribute__((noreturn)) void model_give_up(const char *what, const void *where);
// A finding: where is in model_memory, or NULL.
__attribute__((noreturn)) void model_fail(const char *what, const void *where);

#endif
