// SPDX-License-Identifier: MIT
// The interface every message queue offers, so that one test body and one benchmark body serve all.
//
// Rules for callers
//   threads    one producer and one consumer unless a variant says more; both may be the same
//   memory     the caller hands over the object and its slots; nothing is allocated
//   messages   0 to 56 bytes of payload inline; a message is delivered once, whole, in order
//   failure    a status; no call waits
//
// A variant NAME is two files, ring_NAME.h and ring_NAME.c, and two lines in ring_variants.h. It
// defines `static const struct ring_ops ring_NAME_ops` in its header, with the fast paths inline.
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "variant.h"

#define RING_PAYLOAD_MOST  56u
#define RING_SLOTS_DEFAULT 4096u

// A message outside a ring. Payload bytes past `length` are undefined.
struct ring_message {
    uint64_t length; // 0 .. RING_PAYLOAD_MOST
    uint64_t payload[RING_PAYLOAD_MOST / 8];
};

_Static_assert(sizeof(struct ring_message) == 64, "one cache line");

struct ring_statistics {
    uint64_t sent;
    uint64_t received;
    uint64_t refused_full;
    uint64_t fences;   // release operations of the last batch send: what publishes it
    uint64_t acquires; // acquire operations of the batch send with the most: what looks for room
};

struct ring_ops {
    struct variant about;
    size_t state_bytes; // of the ring object without its slots; the caller aligns it to 4096
    size_t slot_bytes;  // of one slot

    // `slots` is a power of two from 2 to 2^20; `memory` holds slots * slot_bytes, 4096-aligned.
    enum status (*init)(void *ring, void *memory, size_t slots);
    // STATUS_OK, STATUS_FULL, or STATUS_TOO_LARGE for more than 56 bytes. `payload` is 8-aligned.
    enum status (*send)(void *ring, const void *payload, size_t length);
    // STATUS_OK or STATUS_EMPTY. `payload` has room for 56 bytes, 8-aligned.
    enum status (*receive)(void *ring, void *payload, size_t *length);
    // Sends as many of `count` messages as fit and publishes them with one release store; says how
    // many in *sent. STATUS_INVALID for an empty batch or one larger than the ring,
    // STATUS_TOO_LARGE if a message is (nothing is sent then), STATUS_FULL if none fitted.
    enum status (*send_batch)(void *ring, const struct ring_message *messages, size_t count,
                              size_t *sent);
    // Receives up to `count` messages; STATUS_EMPTY if there was none, how many in *received.
    enum status (*receive_batch)(void *ring, struct ring_message *messages, size_t count,
                                 size_t *received);
    size_t (*free_slots)(const void *ring);
    void (*statistics)(const void *ring, struct ring_statistics *statistics);
    // Walks all invariants while nobody sends or receives; false if one is broken.
    bool (*check)(const void *ring);
};

#endif
