// SPDX-License-Identifier: MIT
// Calls between threads: a caller sends a request and sleeps until its reply is there.
//
//   channel  a ring for the requests, at which servers wait, and a seat for each caller
//   seat     a caller's own line, into which its reply is written: a reply passes through no queue,
//            and nobody takes another's
//   ticket   names the seat and the call; a server that is late finds its ticket stale
//
// Rules for callers
//   threads   one caller a seat at a time; servers as many as the ring has receivers, callers as
//             many as it has senders. Outside of interrupt handlers, with preemption enabled
//   memory    channel, ring and seats are the caller's own and outlive all threads' calls
//   time      a call whose time is up is left: its seat takes no further call until the server has
//             answered in vain, or the channel has ended
//   end       call_end wakes all, callers and servers; all further calls end with its status
//   CPU       where the waiter can hand a CPU over (ring_waiter.h), a request without an end to its
//             time takes the caller's CPU along to a server that sleeps, and call_answer_and_next
//             takes it back with the reply. Threads that call and serve so live until the channel
//             has ended. call_answer wakes its caller like any other wake-up
#ifndef CALL_H
#define CALL_H

#include "compiler.h"
#include "ring_wait.h"

#define CALL_PAYLOAD_MOST 40u // bytes of a request and of a reply
#define CALL_SEATS_MOST   1024u

struct call_seat {
    uint64_t state CACHE_ALIGNED; // atomic: which call, and how far it is
    void *who;                    // the caller, while it sleeps
    uint64_t length;
    uint64_t reply[CALL_PAYLOAD_MOST / 8];
};

_Static_assert(sizeof(struct call_seat) == CACHE_LINE, "one line for each caller");

struct call_ticket {
    uint32_t seat, call;
};

struct call_channel {
    struct ring_wait *requests;
    struct call_seat *seats;
    uint32_t seat_count;
    uint64_t end CACHE_ALIGNED; // atomic: 0, or the status that ends all calls, negated
};

// `requests` has been made and is the channel's only. STATUS_INVALID: no seats, or too many.
enum status call_init(struct call_channel *channel, struct ring_wait *requests,
                      struct call_seat *seats, uint32_t seat_count);

// The caller's: sends a request and waits for the reply, which has room for 40 bytes, 8-aligned.
// STATUS_FULL: the last call from this seat was left and is not answered yet. STATUS_TOO_LARGE;
// STATUS_TIMEOUT; STATUS_CLOSED, STATUS_DEAD: the channel has ended.
enum status call_ask(struct call_channel *channel, uint32_t seat, const void *request,
                     size_t length, void *reply, size_t *reply_length, uint64_t until_ns);

// The server's: the next request. STATUS_CORRUPT: somebody else has sent something into the ring;
// the rest as ring_wait_receive.
enum status call_next(struct call_channel *channel, void *request, size_t *length,
                      struct call_ticket *ticket, uint64_t until_ns);

// The server's: answers. STATUS_STALE: the caller waits no longer; STATUS_TOO_LARGE: nothing is
// done, and it still waits.
enum status call_answer(struct call_channel *channel, struct call_ticket ticket, const void *reply,
                        size_t length);

// The server's: call_answer and call_next without an end to its time, of which the second follows
// whatever the first says. Returns what call_next does.
enum status call_answer_and_next(struct call_channel *channel, struct call_ticket answered,
                                 const void *reply, size_t reply_length, void *request,
                                 size_t *length, struct call_ticket *ticket);

// Any thread: `status` is STATUS_CLOSED, or STATUS_DEAD where the servers have died. The first end
// stays.
void call_end(struct call_channel *channel, enum status status);

#endif
