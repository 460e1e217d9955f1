// SPDX-License-Identifier: MIT
// What threads of the programs over rings do, with whatever ring is chosen (ring_programs_use), and
// what they require.
#ifndef RING_ACTIONS_H
#define RING_ACTIONS_H

#include <string.h>

#include "compiler.h"
#include "ring_programs.h"

#define SLOTS    2u
#define MESSAGES 3u
#define RING     ((void *)model_memory)
#define SLOTS_AT (model_memory + 8 * PAGE_SIZE)
#define TALLY    ((uint64_t *)(void *)(model_memory + 9 * PAGE_SIZE)) // a word a message
#define OTHER    33u // what the second producer adds to its messages' numbers

static const struct ring_model *model; // what is looked at

// Lengths that take each of the ways of copying: whole, with a tail, nothing.
static inline size_t length_of(uint64_t number)
{
    static const size_t lengths[] = {RING_PAYLOAD_MOST, 13, 0};
    return lengths[number % ARRAY_COUNT(lengths)];
}

static inline struct ring_message message_of(uint64_t number)
{
    struct ring_message message = {.length = length_of(number)};
    for (unsigned i = 0; i < ARRAY_COUNT(message.payload); i++)
        message.payload[i] = (number + 1) * 0x0101010101010101u + i;
    return message;
}

static inline void require_message(const struct ring_message *message, uint64_t number)
{
    const struct ring_message expected = message_of(number);
    model_require(message->length == expected.length, "a message has another length");
    model_require(memcmp(message->payload, expected.payload, expected.length) == 0,
                  "a message is not whole");
}

static inline void begin_at(uint64_t position)
{
    memset(model_memory, 0xa5, MODEL_MEMORY_BYTES);
    memset(TALLY, 0, 2 * OTHER * sizeof(*TALLY));
    model_require(model->init_at(RING, SLOTS_AT, SLOTS, position) == STATUS_OK, "no ring");
}

static inline void send_each(uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++) {
        const struct ring_message message = message_of(i);
        MODEL_UNTIL(model->ops->send(RING, message.payload, message.length) == STATUS_OK);
    }
}

static inline void send_batches(uint64_t first, uint64_t end)
{
    struct ring_message messages[SLOTS];
    while (first < end) {
        const size_t count = min_u64(end - first, SLOTS);
        size_t sent = 0;
        for (size_t i = 0; i < count; i++)
            messages[i] = message_of(first + i);
        MODEL_UNTIL(model->ops->send_batch(RING, messages, count, &sent) == STATUS_OK);
        model_require(sent >= 1 && sent <= count, "a batch sent another number");
        first += sent;
    }
}

// A batch whose last message is too large leaves no trace, whoever looks at the ring meanwhile.
static inline void send_too_large(void)
{
    struct ring_message messages[SLOTS] = {message_of(7), message_of(8)};
    size_t sent = 9;
    messages[SLOTS - 1].length = RING_PAYLOAD_MOST + 1;
    model_begin();
    model_require(model->ops->send_batch(RING, messages, SLOTS, &sent) == STATUS_TOO_LARGE &&
                      sent == 0,
                  "a batch that is too large was sent");
}

static inline void receive_each(uint64_t end)
{
    struct ring_message message;
    for (uint64_t i = 0; i < end; i++) {
        MODEL_UNTIL(model->ops->receive(RING, message.payload, &message.length) == STATUS_OK);
        require_message(&message, i);
    }
}

static inline void receive_batches(uint64_t end)
{
    struct ring_message messages[MESSAGES];
    for (uint64_t i = 0; i < end;) {
        size_t received = 0;
        MODEL_UNTIL(model->ops->receive_batch(RING, messages, MESSAGES, &received) == STATUS_OK);
        model_require(received >= 1 && received <= end - i, "too many were received");
        for (size_t j = 0; j < received; j++)
            require_message(&messages[j], i++);
    }
}

// The next message of one of two producers; each one's are in order, in between each other's.
static inline void receive_next_of_two(uint64_t next[2])
{
    struct ring_message message;
    MODEL_UNTIL(model->ops->receive(RING, message.payload, &message.length) == STATUS_OK);
    const uint64_t second = message.length != length_of(next[0]) ||
                            (message.length > 0 && message.payload[0] >> 56 > OTHER);
    require_message(&message, second * OTHER + next[second]);
    next[second]++;
}

static inline void receive_of_two(uint64_t count)
{
    uint64_t next[2] = {0, 0};
    for (uint64_t i = 0; i < count; i++)
        receive_next_of_two(next);
}

// One of several consumers: whole messages, none twice, in order as far as one sees.
static inline void receive_as_one_of_two(uint64_t count)
{
    struct ring_message message;
    uint64_t last = 0;
    for (uint64_t i = 0; i < count; i++) {
        MODEL_UNTIL(model->ops->receive(RING, message.payload, &message.length) == STATUS_OK);
        uint64_t number = 0;
        while (number < MESSAGES && length_of(number) != message.length)
            number++;
        require_message(&message, number);
        model_require(i == 0 || number > last, "messages are out of order");
        model_require(TALLY[number] == 0, "a message came twice");
        TALLY[number] = 1;
        last = number;
    }
}

// As one of several consumers too, by the calls for batches and for kinds.
static inline void receive_any_kind(uint64_t count)
{
    struct ring_message message;
    enum ring_kind kind;
    for (uint64_t i = 0; i < count; i++) {
        MODEL_UNTIL(model->ops->receive_kind(RING, message.payload, &message.length, &kind) ==
                    STATUS_OK);
        require_message(&message, length_of(0) == message.length ? 0 : 1);
    }
}

static inline void finish_after(uint64_t messages)
{
    struct ring_statistics end;
    struct ring_message message;
    model->ops->statistics(RING, &end);
    model_require(model->ops->check(RING), "an invariant is broken at the end");
    model_require(end.sent == messages && end.received == messages, "the statistics are wrong");
    model_require(model->ops->free_slots(RING) == SLOTS, "a slot is lost");
    model_require(model->ops->receive(RING, message.payload, &message.length) == STATUS_EMPTY,
                  "a message is left");
}

#endif
