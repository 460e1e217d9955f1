// SPDX-License-Identifier: MIT
// What the heap suite's bodies work on: a participant's own objects, and, where a case wants
// several CPUs, its crew.
#ifndef HEAP_CONTEXT_H
#define HEAP_CONTEXT_H

#include "bench.h"
#include "compiler.h"
#include "crew_patience.h"
#include "heap.h"
#include "random.h"

#define SIZE_SMALL   64u
#define DEPTH        64u          // of the LIFO case: what a thread cache may hold
#define HITS         48u          // allocations in a row that a filled cache serves
#define HEAPS        8u           // that take turns in alloc_64
#define FIRSTS       (HEAPS - 1u) // heaps of first_64; the last one is ahead of them
#define FIRSTS_HELD  (OBJECTS_MOST / HEAPS)
#define TABLE        5000u // steps of the mixed cases; 100 000 = 20 turns
#define LIVE_MOST    1000u
#define POLLUTION    500u
#define POLLUTED     1000u // pairs after the pollution
#define MISSES       4096u // allocations in a row that no cache holds
#define REMOTE       1024u // objects that cross from one CPU to another in a window
#define OBJECTS_MOST 4096u

struct step {
    uint16_t slot;
    uint16_t unused;
    uint32_t size;
};

// One point of the curves of `fragmentation`, all in bytes.
#define HEAP_POINTS 32u
struct heap_point {
    uint64_t asked;   // live, as asked for
    uint64_t rounded; // live, as handed out
    uint64_t taken;   // from the page level
};

// A participant's own: everything a body needs, in front of the heap's memory. A worker of a crew
// has one as well, with a handle of the same heap.
struct heap_context {
    void *heap;
    void *heaps[HEAPS];            // of alloc_64 and first_64; the first is `heap`
    void **objects;                // live ones, by slot
    uint32_t *sizes;               // what was asked for, by slot
    uint32_t *ids;                 // what stands in an object's first and last word, by slot
    struct step *steps;            // TABLE of them
    uint64_t turn_sum;             // checksum of one turn through the steps
    size_t live;                   // slots that are always taken
    size_t held;                   // objects the last window left allocated
    uint32_t mark;                 // of the first of them; the others follow
    uint64_t position;             // operations, or marks, since prepare
    struct heap_statistics before; // at the last `before`
    bool damaged;                  // an object did not hold what was stored in it

    struct random random; // of `fragmentation`, and the rest of it
    uint64_t phase, phase_length, phase_left;
    uint64_t asked; // bytes live
    struct heap_point points[HEAP_POINTS];
    uint64_t point_operations; // from one point to the next

    uint64_t capacity; // objects of `exhaustion` until there was no more
    bool uneven;       // another time there were more, or fewer

    struct heap_crew *crew; // NULL: this CPU alone
    bool is_worker;
};

// ---- several CPUs -------------------------------------------------------------------------------
// A window that wants other CPUs talks to workers, one on each, that were started in front of it.
// They spin until it begins, do their part with the same body, and end. Every wait is bounded: a
// worker that does not come fails the window, a window that does not come ends the workers. All
// that CPU 0 waits for in a row has a bound, too (crew_patience.h).

// Of a wait: seconds, whatever a pause takes; more than a CPU that others use as well is away.
#define CREW_TURNS   (1u << 26)
#define CREW_MS      120000u // a worker that waits and works within its bounds has ended long ago
#define CREW_DROPPED UINT64_MAX

struct heap_worker {
    // Written by CPU 0 while the worker is at rest.
    struct heap_context *context;
    struct heap_crew *crew;
    bench_body *body;
    uint64_t operations;
    // Written by the worker.
    uint64_t ready CACHE_ALIGNED; // window it waits for
    uint64_t done;                // window it has done its part of
    uint64_t sum;                 // what that gave
    uint32_t cpu;                 // where it ran
} CACHE_ALIGNED;

#define STREAM_SLOTS 256u
#define STREAM_BATCH 16u // messages that are told of at once: the queue is not what is measured

struct heap_crew {
    // Written by CPU 0 while the workers are at rest.
    struct heap_worker *workers; // [0] is of CPU 1
    size_t count;
    uint64_t window;                // number of the last one, from 1
    bool failed;                    // somebody did not come
    uint32_t turns;                 // of each wait, CREW_TURNS unless a test is in a hurry
    struct crew_patience *patience; // of the row, over its rounds: CPU 0's alone
    // Written by CPU 0: window that has begun, or CREW_DROPPED.
    uint64_t go CACHE_ALIGNED;
    // The queue of `stream`: messages that the producer, CPU 0, put in and the consumer took out.
    uint64_t sent CACHE_ALIGNED;
    uint64_t received CACHE_ALIGNED;
    void *slots[STREAM_SLOTS] CACHE_ALIGNED;
} CACHE_ALIGNED;

#endif
