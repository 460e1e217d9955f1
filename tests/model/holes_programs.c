// SPDX-License-Identifier: MIT
// Holes of dead producers under the checker, closed by the rule of ring_fusion_mpmc.h: what the
// dead one wrote troubles no later lap, and no live producer's message is taken for a hole.
#include <string.h>

#include "beside_programs.h"
#include "compiler.h"
#include "ring_fusion_mpmc.h"
#include "ring_fusion_mpmc_in_place.h"
#include "ring_seats.h"

#define SLOTS    2u
#define RING     ((struct ring_fusion_mpmc *)(void *)model_memory)
#define SLOTS_AT ((struct ring_fusion_slot *)(void *)(model_memory + 8 * PAGE_SIZE))
#define SEATS    ((struct ring_seats *)(void *)(model_memory + 9 * PAGE_SIZE))
#define STOPPED  ((uint64_t *)(void *)(model_memory + 12 * PAGE_SIZE))
#define FOUND    ((uint64_t *)(void *)(model_memory + 12 * PAGE_SIZE + 512))
#define TICKET   ((struct ring_ticket *)(void *)(model_memory + 13 * PAGE_SIZE))

static void begin(void)
{
    memset(model_memory, 0xa5, MODEL_MEMORY_BYTES);
    model_require(ring_fusion_mpmc_init(RING, SLOTS_AT, SLOTS) == STATUS_OK, "no ring");
    ring_seats_init(SEATS);
    model_require(ring_seats_take(SEATS, TICKET) == STATUS_OK, "no seat");
    *STOPPED = *FOUND = 0;
}

static void claim(uint64_t count)
{
    uint64_t position = 0;
    begin();
    model_require(ring_fusion_mpmc_claim(RING, &position, count), "nothing is claimed");
}

static void begin_claimed(void)
{
    claim(1);
}

static void begin_claimed_two(void)
{
    claim(2);
}

static void begin_reserved(void)
{
    void *place;
    begin();
    model_require(ring_fusion_mpmc_reserve(RING, &place) == STATUS_OK, "nothing is reserved");
}

static void send_number(uint64_t number)
{
    MODEL_UNTIL(ring_fusion_mpmc_send(RING, &number, sizeof(number)) == STATUS_OK);
}

static void receive_number(uint64_t number)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    size_t length;
    MODEL_UNTIL(ring_fusion_mpmc_receive(RING, payload, &length) == STATUS_OK);
    model_require(length == 8 && payload[0] == number, "a message is not whole");
}

static void stop(void)
{
    __atomic_store_n(STOPPED, 1, __ATOMIC_RELEASE);
}

// ---- The dead

static void write_and_die(void)
{
    static const uint64_t text[RING_PAYLOAD_MOST / 8] = {99};
    ring_fusion_mpmc_write(SLOTS_AT, text, 1);
    stop();
}

// Plain, as a message that is built in place.
static void build_and_die(void)
{
    SLOTS_AT[0].payload[0] = 99;
    stop();
}

// As publish() does with all messages of a batch but the first.
static void write_second_and_die(void)
{
    static const uint64_t text[RING_PAYLOAD_MOST / 8] = {5};
    ring_fusion_mpmc_write(&SLOTS_AT[1], text, 1);
    __atomic_store_n(&SLOTS_AT[1].control, ring_fusion_control(1, 8), __ATOMIC_RELAXED);
    stop();
}

// ---- Who knows of it

static void close_hole(void)
{
    uint64_t position = 9;
    MODEL_UNTIL(__atomic_load_n(STOPPED, __ATOMIC_ACQUIRE) == 1);
    model_begin();
    model_require(ring_fusion_mpmc_hole(RING, &position) && position == 0, "the hole is not found");
    model_begin();
    model_require(ring_fusion_mpmc_void(RING, position), "the hole is not closed");
    model_begin();
    model_require(!ring_fusion_mpmc_void(RING, position), "the hole is closed twice");
}

// ---- Others

// Behind the hole, and in its slot a lap later.
static void trade_over_the_hole(void)
{
    send_number(1);
    receive_number(1);
    send_number(2);
    receive_number(2);
}

static void receive_second_of_batch(void)
{
    receive_number(5);
}

// The same, read in its slot by the one consumer.
static void trade_in_place(void)
{
    for (uint64_t i = 1; i < 3; i++) {
        const uint64_t *seen;
        const void *found;
        void *place;
        size_t length;
        MODEL_UNTIL(ring_fusion_mpmc_reserve(RING, &place) == STATUS_OK);
        *(uint64_t *)place = i;
        ring_fusion_mpmc_commit(RING, place, 8);
        MODEL_UNTIL(ring_fusion_mpmc_peek(RING, &found, &length) == STATUS_OK);
        seen = found;
        model_require(length == 8 && *seen == i, "a message is not whole");
        ring_fusion_mpmc_release(RING, found);
    }
}

// ---- A hole of somebody who lives

// The first slot is reserved, the second one's message there: no payloads, as what is looked at is
// control words.
static void begin_reserved_and_sent(void)
{
    void *place;
    begin_reserved();
    model_require(ring_fusion_mpmc_reserve(RING, &place) == STATUS_OK &&
                      ring_fusion_mpmc_commit(RING, place, 0) == STATUS_OK,
                  "nothing is sent");
}

// Ends its call, is in no call, and sends again, a lap later in the same slot.
static void commit_beat_send(void)
{
    void *place;
    model_begin();
    ring_fusion_mpmc_commit(RING, SLOTS_AT[0].payload, 0);
    ring_seats_beat(SEATS, *TICKET);
    MODEL_UNTIL(ring_fusion_mpmc_reserve(RING, &place) == STATUS_OK);
    ring_fusion_mpmc_commit(RING, place, 0);
    ring_seats_leave(SEATS, *TICKET);
}

// A beat, a call, a beat: the first one does not say that the call is over, however late it is
// seen.
static void beat_send_beat(void)
{
    void *place;
    model_begin();
    ring_seats_beat(SEATS, *TICKET);
    MODEL_UNTIL(ring_fusion_mpmc_reserve(RING, &place) == STATUS_OK);
    ring_fusion_mpmc_commit(RING, place, 0);
    ring_seats_beat(SEATS, *TICKET);
    ring_seats_leave(SEATS, *TICKET);
}

static void receive_first(void)
{
    const void *place;
    size_t length;
    MODEL_UNTIL(ring_fusion_mpmc_peek(RING, &place, &length) == STATUS_OK);
    ring_fusion_mpmc_release(RING, place);
}

static void find_and_wait(void)
{
    struct ring_watch watch = {0};
    const uint32_t seat = TICKET->seat;
    uint64_t position;
    enum status status;
    model_begin();
    if (!ring_fusion_mpmc_hole(RING, &position))
        return;
    *FOUND = 1;
    model_begin();
    ring_seats_watch(SEATS, seat, &watch, &status);
    MODEL_UNTIL(status == STATUS_STALE || ring_seats_watch(SEATS, seat, &watch, &status) == 0);
    model_begin();
    model_require(!ring_fusion_mpmc_void(RING, position), "a live producer's message was closed");
}

static void send_one(void)
{
    send_number(1);
}

static void receive_one(void)
{
    receive_number(1);
}

static void find(void)
{
    uint64_t position;
    model_begin();
    if (ring_fusion_mpmc_hole(RING, &position))
        *FOUND = position + 1;
}

// ---- Ends

static void finish(void)
{
    model_require(ring_fusion_mpmc_check(RING), "an invariant is broken at the end");
    model_outcome(*FOUND);
}

static void finish_claimed(void)
{
    finish();
    model_require(*FOUND <= 1, "a hole that nobody claimed");
}

static const struct model_program passed_over = {
    "passed over", 3, begin_claimed, {write_and_die, close_hole, trade_over_the_hole}, finish};
static const struct model_program reservation = {
    "reservation", 3, begin_reserved, {build_and_die, close_hole, trade_in_place}, finish};
static const struct model_program rest_of_a_batch = {
    "rest of a batch",
    3,
    begin_claimed_two,
    {write_second_and_die, close_hole, receive_second_of_batch},
    finish};
static const struct model_program live = {
    "live", 3, begin_reserved_and_sent, {commit_beat_send, receive_first, find_and_wait}, finish};
static const struct model_program beaten_before = {
    "beaten before", 2, begin, {beat_send_beat, find_and_wait}, finish};
static const struct model_program none = {
    "none", 3, begin, {send_one, receive_one, find}, finish_claimed};

const struct model_set holes_set = {
    .name = "holes",
    .programs = {&passed_over, &reservation, &rest_of_a_batch, &none, &live, &beaten_before},
    .functions = {"is_hole", "ring_fusion_mpmc_hole", "ring_fusion_mpmc_void",
                  "ring_fusion_mpmc_claim"},
    .weakenings = 5,
};
