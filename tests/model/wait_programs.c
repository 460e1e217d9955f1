// SPDX-License-Identifier: MIT
// Sleeping at a ring, without a barrier: who sends pays for a locked instruction (ring_wait.h).
#include "wait_programs.h"

#include <string.h>

#include "compiler.h"
#include "model_parts.h"
#include "ring_fusion_spsc.h"
#include "ring_wait.h"

#define SLOTS    2u
#define RING     ((void *)model_memory)
#define SLOTS_AT (model_memory + 8 * PAGE_SIZE)
#define WAIT     ((struct ring_wait *)(void *)(model_memory + 9 * PAGE_SIZE))
#define WANTED   ((struct ring_wanted *)(void *)(model_memory + 11 * PAGE_SIZE))
#define PERMITS  ((uint32_t *)(void *)(model_memory + 10 * PAGE_SIZE)) // a word a thread

static uint64_t now_ns(void *place)
{
    (void)place;
    return 0;
}

static void *current(void *place)
{
    (void)place;
    return &PERMITS[model_self];
}

static void block(void *place, uint64_t until_ns)
{
    uint32_t *const permit = &PERMITS[model_self];
    (void)place;
    (void)until_ns;
    MODEL_UNTIL(__atomic_load_n(permit, __ATOMIC_ACQUIRE) != 0);
    __atomic_store_n(permit, 0, __ATOMIC_RELAXED);
}

static void wake(void *place, void *who)
{
    (void)place;
    // Release: as a waiter must, the thread that it wakes sees what was done before.
    __atomic_store_n((uint32_t *)who, 1, __ATOMIC_RELEASE);
}

static const struct ring_waiter waiter = {
    .name = "model", .now_ns = now_ns, .current = current, .block = block, .wake = wake};

static void begin(void)
{
    memset(model_memory, 0xa5, MODEL_MEMORY_BYTES);
    memset(PERMITS, 0, PAGE_SIZE);
    model_require(ring_fusion_spsc_init(RING, SLOTS_AT, SLOTS) == STATUS_OK, "no ring");
    ring_wait_init(WAIT, &ring_fusion_spsc_ops, RING, SLOTS, &waiter);
}

static void send_number(uint64_t number)
{
    model_begin();
    model_require(ring_wait_send(&ring_fusion_spsc_ops, WAIT, &number, 8, RING_FOREVER) ==
                      STATUS_OK,
                  "not sent");
}

static void send_one(void)
{
    send_number(1);
}

// As ring_wait_receive does where it finds nothing at first; who sleeps stands in shared memory.
static enum status receive(uint64_t *payload)
{
    *WANTED = (struct ring_wanted){.side = RING_RECEIVERS, .to = payload, .until_ns = RING_FOREVER};
    model_begin();
    return ring_wait_slowly(WAIT, WANTED);
}

static void receive_one(void)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8] = {0};
    model_require(receive(payload) == STATUS_OK, "not received");
    model_require(payload[0] == 1 && WANTED->length == 8, "another message");
}

static void die(void)
{
    model_begin();
    ring_wait_died(WAIT, RING_SENDERS);
}

static void receive_the_end(void)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8] = {0};
    model_require(receive(payload) == STATUS_DEAD, "another end");
}

static void finish(void)
{
    model_require(list_empty(&WAIT->sides[RING_RECEIVERS].list), "somebody is left in the list");
    model_require(WAIT->sides[RING_RECEIVERS].watch == RING_WATCH_PAYS, "the count is wrong");
}

const struct model_program wait_programs[WAIT_PROGRAMS] = {
    {"a message", 2, begin, {send_one, receive_one}, finish},
    {"death of the sender", 2, begin, {die, receive_the_end}, finish},
};
