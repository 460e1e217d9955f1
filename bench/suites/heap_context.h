// SPDX-License-Identifier: MIT
// What the heap suite's bodies work on: a participant's own objects, and, where a case wants
// several CPUs, its crew.
#ifndef HEAP_CONTEXT_H
#define HEAP_CONTEXT_H

#include "bench.h"
#include "compiler.h"
#include "crew.h"
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

    struct crew *crew; // NULL: this CPU alone
    struct heap_stream *stream;
    bool is_worker;
};

// ---- several CPUs -------------------------------------------------------------------------------
// Where a case wants other CPUs, each member of its crew (crew.h) does its part with the same body,
// so that its calls are as direct as ours.

#define STREAM_SLOTS 256u
#define STREAM_BATCH 16u // messages that are told of at once: the queue is not what is measured

// The queue of `stream`: messages that the producer, CPU 0, put in and the consumer took out.
struct heap_stream {
    uint64_t sent CACHE_ALIGNED;
    uint64_t received CACHE_ALIGNED;
    void *slots[STREAM_SLOTS] CACHE_ALIGNED;
} CACHE_ALIGNED;

#endif
