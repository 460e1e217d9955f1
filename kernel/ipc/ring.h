// SPDX-License-Identifier: MIT
// The interface every message queue offers, so that one test body and one benchmark body serve all.
//
// Rules for callers
//   threads    one producer and one consumer unless a variant says more; both may be the same
//   memory     the caller hands over the object and its slots; nothing is allocated
//   messages   0 to 56 bytes of payload inline; a message is delivered once, whole, in order
//   failure    a status; no call waits
//   closing    calls of a closed ring end with STATUS_CLOSED: a receive when nothing is left, a
//              send at the latest when all slots that were free at the closing are used: what is
//              received later makes no room. What is sent behind the last receive is lost. Whoever
//              was told leaves its seat (ring_seats.h); when all have left, the memory may go
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

// What a message's payload is.
enum ring_kind {
    RING_INLINE,     // the message itself
    RING_DESCRIPTOR, // struct ring_descriptor: bytes in a page of a pool
    RING_PAGES,      // struct ring_pages: several pages of a pool
    RING_VOID,       // nothing: its sender died; no receiver ever sees it
    RING_KINDS
};

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
    // Release operations of the last batch send: what publishes it, and, where producers share
    // their credit, what hands on a look for room.
    uint64_t fences;
    uint64_t acquires; // acquire operations of the batch send with the most: what looks for room
};

struct ring_ops {
    struct variant about;
    size_t state_bytes; // of the ring object without its slots; the caller aligns it to 4096
    size_t slot_bytes;  // of one slot
    bool several;       // any number of producers and of consumers; else one of each

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

    // ---- what not every variant has: all of a group, or NULL for each of it

    // In place: the message is built in its slot and read there. `reserve` gives room for 56
    // bytes, 8-aligned: STATUS_OK, STATUS_FULL, STATUS_CLOSED. `commit` sends what stands there:
    // STATUS_OK or, with the reservation still held, STATUS_TOO_LARGE. `abandon` ends a reservation
    // without a message; a variant may allow to just forget it. `peek` gives the payload:
    // STATUS_OK, STATUS_EMPTY, STATUS_CLOSED, or STATUS_INVALID if the message is not inline, for
    // which receive_kind is there; it stays until `release`. A thread has one reservation or one
    // peek at a time and makes no other call in between.
    enum status (*reserve)(void *ring, void **payload);
    enum status (*commit)(void *ring, void *payload, size_t length);
    void (*abandon)(void *ring, void *payload);
    enum status (*peek)(void *ring, const void **payload, size_t *length);
    void (*release)(void *ring, const void *payload);

    // As send and receive, with what the payload is. A plain receive takes any kind and does not
    // tell. STATUS_INVALID for RING_VOID and beyond. Every receive of a ring that has these ends
    // with STATUS_CORRUPT for a message that no send wrote, and takes it out: somebody has written
    // into the slots. So does a send that finds a position nobody can have reached.
    enum status (*send_kind)(void *ring, const void *payload, size_t length, enum ring_kind kind);
    enum status (*receive_kind)(void *ring, void *payload, size_t *length, enum ring_kind *kind);

    // Any thread, once or more often.
    void (*close)(void *ring);
};

#endif
