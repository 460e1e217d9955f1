// SPDX-License-Identifier: MIT
#include "call.h"

#include "assert.h"
#include "string.h"

// A seat's state: number of the call 32 | one of these.
enum {
    FREE,
    ASKED,     // the caller looks by itself
    ASLEEP,    // `who` is to be woken
    ANSWERING, // the server's, for the length of a copy: preemption is disabled
    ANSWERED,  // the reply is there
    LEFT,      // the caller has gone; the server frees the seat
    ENDED,     // the channel has, while the caller slept
};

#define STATE_BITS       3u
#define STATE(call, how) ((uint64_t)(uint32_t)(call) << STATE_BITS | (how))
#define HOW(state)       ((state) & ((1u << STATE_BITS) - 1))
#define CALL(state)      ((uint32_t)((state) >> STATE_BITS))

struct request {
    uint64_t ticket; // seat 32 | call 32
    uint64_t payload[RING_PAYLOAD_MOST / 8 - 1];
};

_Static_assert(sizeof(struct request) == RING_PAYLOAD_MOST, "a receive writes all of a message");
_Static_assert(CALL_PAYLOAD_MOST <= RING_PAYLOAD_MOST - 8, "a ticket stands in front of it");

enum status call_init(struct call_channel *channel, struct ring_wait *requests,
                      struct call_seat *seats, uint32_t seat_count)
{
    assert(requests != NULL && seats != NULL);
    if (seat_count == 0 || seat_count > CALL_SEATS_MOST)
        return STATUS_INVALID;
    *channel =
        (struct call_channel){.requests = requests, .seats = seats, .seat_count = seat_count};
    for (uint32_t i = 0; i < seat_count; i++)
        seats[i] = (struct call_seat){.state = STATE(0, FREE)};
    return STATUS_OK;
}

static enum status end_of(const struct call_channel *channel)
{
    return (enum status) - (int64_t)__atomic_load_n(&channel->end, __ATOMIC_ACQUIRE);
}

static uint64_t state_of(const struct call_seat *seat)
{
    // Acquire, with the release in change() and settle(): the reply behind ANSWERED is written.
    return __atomic_load_n(&seat->state, __ATOMIC_ACQUIRE);
}

// Both orders: whoever changes the state next sees what this thread did before, and this one what
// the last one did. All changes are of one word, so nobody has to look behind a store.
static bool change(struct call_seat *seat, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(&seat->state, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

// ---- who calls ----------------------------------------------------------------------------------

// Leaves a call that is not answered; false: it is being answered.
static bool leave(struct call_seat *seat, uint32_t call)
{
    return change(seat, STATE(call, ASKED), STATE(call, LEFT)) ||
           change(seat, STATE(call, ASLEEP), STATE(call, LEFT));
}

static bool is_past(const struct ring_waiter *waiter, uint64_t until_ns)
{
    return until_ns != RING_FOREVER &&
           (until_ns == 0 || (int64_t)(until_ns - waiter->now_ns(waiter->place)) <= 0);
}

// Until the call is answered, ended or left; how it is then. *heir, NULL: nobody, is woken with the
// first sleep; it stays if there is none.
static unsigned wait_for_answer(struct call_channel *channel, struct call_seat *seat, uint32_t call,
                                uint64_t until_ns, void **heir)
{
    const struct ring_waiter *const waiter = channel->requests->waiter;
    uint32_t looks = waiter->looks;
    for (;;) {
        const unsigned how = HOW(state_of(seat));
        if (how == ANSWERED || how == ENDED)
            return how;
        if (how == ANSWERING || (how == ASKED && looks > 0)) {
            looks -= looks > 0;
            cpu_pause();
        } else if (end_of(channel) != STATUS_OK || is_past(waiter, until_ns)) {
            if (leave(seat, call))
                return LEFT;
        } else if (how == ASKED) {
            seat->who = waiter->current(waiter->place);
            // Fails if the answer has come meanwhile. An end that comes in between is seen by the
            // next look, or sees this.
            (void)change(seat, STATE(call, ASKED), STATE(call, ASLEEP));
        } else if (*heir != NULL) {
            void *const who = *heir;
            *heir = NULL;
            waiter->hand_over(waiter->place, who);
        } else {
            waiter->block(waiter->place, until_ns);
        }
    }
}

static enum status send_request(struct call_channel *channel, const struct request *message,
                                size_t length, uint64_t until_ns, void **heir)
{
    struct ring_wait *const requests = channel->requests;
    if (requests->waiter->hand_over != NULL && until_ns == RING_FOREVER)
        return ring_wait_send_quietly(requests, message, length, heir);
    return ring_wait_send(requests->ops, requests, message, length, until_ns);
}

enum status call_ask(struct call_channel *channel, uint32_t number, const void *request,
                     size_t length, void *reply, size_t *reply_length, uint64_t until_ns)
{
    assert(number < channel->seat_count);
    struct call_seat *const seat = &channel->seats[number];
    struct request message = {0};
    if (length > CALL_PAYLOAD_MOST)
        return STATUS_TOO_LARGE;
    if (end_of(channel) != STATUS_OK)
        return end_of(channel);
    const uint64_t state = state_of(seat);
    if (HOW(state) != FREE)
        return STATUS_FULL;
    const uint32_t call = CALL(state) + 1;
    message.ticket = (uint64_t)number << 32 | call;
    memcpy(message.payload, request, length);
    // Relaxed: the server has the ticket from the ring, behind its release.
    __atomic_store_n(&seat->state, STATE(call, ASKED), __ATOMIC_RELAXED);
    void *heir = NULL;
    const enum status sent =
        send_request(channel, &message, sizeof(message.ticket) + length, until_ns, &heir);
    if (sent != STATUS_OK) {
        __atomic_store_n(&seat->state, STATE(call, FREE), __ATOMIC_RELAXED);
        return sent;
    }
    const unsigned how = wait_for_answer(channel, seat, call, until_ns, &heir);
    if (heir != NULL)
        channel->requests->waiter->wake(channel->requests->waiter->place, heir);
    if (how == LEFT)
        return end_of(channel) != STATUS_OK ? end_of(channel) : STATUS_TIMEOUT;
    if (how == ANSWERED) {
        *reply_length = seat->length;
        memcpy(reply, seat->reply, seat->length);
    }
    __atomic_store_n(&seat->state, STATE(call, FREE), __ATOMIC_RELEASE);
    return how == ANSWERED ? STATUS_OK : end_of(channel);
}

// ---- who answers --------------------------------------------------------------------------------

// Takes a message of `received` bytes apart.
static enum status open_request(const struct call_channel *channel, const struct request *message,
                                size_t received, void *request, size_t *length,
                                struct call_ticket *ticket)
{
    *ticket = (struct call_ticket){.seat = (uint32_t)(message->ticket >> 32),
                                   .call = (uint32_t)message->ticket};
    if (received < sizeof(message->ticket) ||
        received > sizeof(message->ticket) + CALL_PAYLOAD_MOST ||
        ticket->seat >= channel->seat_count)
        return STATUS_CORRUPT;
    *length = received - sizeof(message->ticket);
    memcpy(request, message->payload, *length);
    return STATUS_OK;
}

enum status call_next(struct call_channel *channel, void *request, size_t *length,
                      struct call_ticket *ticket, uint64_t until_ns)
{
    struct request message;
    size_t received;
    const enum status status =
        ring_wait_receive(channel->requests->ops, channel->requests, &message, &received, until_ns);
    return status != STATUS_OK ? status
                               : open_request(channel, &message, received, request, length, ticket);
}

// Wakes the caller, if it sleeps, before it can find the call over and go; `was` ASKED or ASLEEP,
// is `how` from now on. Preemption disabled; returns who is to be woken late, or, `quietly`, at
// all.
static void *settle(const struct call_channel *channel, struct call_seat *seat, uint64_t was,
                    unsigned how, bool quietly)
{
    const struct ring_waiter *const waiter = channel->requests->waiter;
    void *const who = HOW(was) == ASLEEP ? seat->who : NULL;
    if (who != NULL && !quietly)
        waiter->wake(waiter->place, who);
    // Release: with it the reply is there, and the seat the caller's again.
    __atomic_store_n(&seat->state, STATE(CALL(was), how), __ATOMIC_RELEASE);
    return who;
}

static void wake_late(const struct call_channel *channel, void *who)
{
    const struct ring_waiter *const waiter = channel->requests->waiter;
    if (who != NULL && waiter->wake_late != NULL)
        waiter->wake_late(waiter->place, who);
}

// `heir` NULL: the caller is woken. Else *heir is who sleeps for this answer, or NULL.
static enum status answer(struct call_channel *channel, struct call_ticket ticket,
                          const void *reply, size_t length, void **heir)
{
    assert(ticket.seat < channel->seat_count);
    struct call_seat *const seat = &channel->seats[ticket.seat];
    if (length > CALL_PAYLOAD_MOST)
        return STATUS_TOO_LARGE;
    cpu_preempt_disable();
    for (;;) {
        const uint64_t was = state_of(seat);
        const unsigned how = HOW(was);
        const bool waits = how == ASKED || how == ASLEEP;
        if (CALL(was) != ticket.call || (!waits && how != LEFT)) {
            cpu_preempt_enable();
            return STATUS_STALE;
        }
        // Each time it fails the caller has taken a step towards sleep or leaving, of which there
        // are two.
        if (!change(seat, was, STATE(ticket.call, waits ? ANSWERING : FREE)))
            continue;
        if (!waits) {
            cpu_preempt_enable();
            return STATUS_STALE;
        }
        seat->length = length;
        memcpy(seat->reply, reply, length);
        void *const who = settle(channel, seat, was, ANSWERED, heir != NULL);
        cpu_preempt_enable();
        if (heir != NULL)
            *heir = who;
        else
            wake_late(channel, who);
        return STATUS_OK;
    }
}

enum status call_answer(struct call_channel *channel, struct call_ticket ticket, const void *reply,
                        size_t length)
{
    return answer(channel, ticket, reply, length, NULL);
}

enum status call_answer_and_next(struct call_channel *channel, struct call_ticket answered,
                                 const void *reply, size_t reply_length, void *request,
                                 size_t *length, struct call_ticket *ticket)
{
    struct request message;
    size_t received;
    void *heir = NULL;
    if (channel->requests->waiter->hand_over == NULL) {
        (void)call_answer(channel, answered, reply, reply_length);
        return call_next(channel, request, length, ticket, RING_FOREVER);
    }
    (void)answer(channel, answered, reply, reply_length, &heir);
    const enum status status = ring_wait_receive_for(channel->requests, &message, &received, heir);
    return status != STATUS_OK ? status
                               : open_request(channel, &message, received, request, length, ticket);
}

void call_end(struct call_channel *channel, enum status status)
{
    assert(status == STATUS_CLOSED || status == STATUS_DEAD);
    uint64_t none = 0;
    // In one order with the callers' changes to ASLEEP, behind which they look at this: either this
    // finds them asleep or they find the end.
    __atomic_compare_exchange_n(&channel->end, &none, (uint64_t) - (int64_t)status, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    if (status == STATUS_DEAD)
        ring_wait_died(channel->requests, RING_RECEIVERS);
    ring_wait_close(channel->requests);
    for (uint32_t i = 0; i < channel->seat_count; i++) {
        struct call_seat *const seat = &channel->seats[i];
        cpu_preempt_disable();
        // A change to the same value: reads the latest, and who changes it later sees the end.
        const uint64_t was = __atomic_fetch_or(&seat->state, 0, __ATOMIC_ACQ_REL);
        void *who = NULL;
        if (HOW(was) == ASLEEP && change(seat, was, STATE(CALL(was), ANSWERING)))
            who = settle(channel, seat, was, ENDED, false);
        cpu_preempt_enable();
        wake_late(channel, who);
    }
}
