// SPDX-License-Identifier: MIT
// Boost's functions as ring_boost_spsc.h and ring_boost_queue.h call them: written in C++.
//
// Rules for callers
//   threads   spsc: one that pushes, one that pops; queue: any number of both
//   making    one after the other: CPU 0's
//   memory    RING_BOOST_STATE bytes for the object and RING_BOOST_SLOT bytes for each slot,
//             64-aligned; nothing is allocated elsewhere, and nothing has to be given back
#ifndef RING_BOOST_H
#define RING_BOOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_BOOST_PAYLOAD    56u
#define RING_BOOST_STATE      1024u
#define RING_BOOST_SLOTS_MOST 4096u
#define RING_BOOST_SLOT       128u // at most

void ring_boost_spsc_make(void *ring, void *memory, size_t slots);
void ring_boost_queue_make(void *ring, void *memory, size_t slots);

// False: full. 56 bytes, 8-aligned.
bool ring_boost_spsc_push(void *ring, const void *payload);
bool ring_boost_queue_push(void *ring, const void *payload);

// False: empty.
bool ring_boost_spsc_pop(void *ring, void *payload);
bool ring_boost_queue_pop(void *ring, void *payload);

#endif
