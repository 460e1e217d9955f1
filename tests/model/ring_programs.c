// SPDX-License-Identifier: MIT
// Two slots, three messages; one producer, one consumer, and somebody who looks on; or several.
#include "ring_programs.h"

#include "ring_actions.h"
#include "ring_fusion_mpmc_in_place.h"
#include "ring_variants.h"

void ring_programs_use(const struct ring_model *used)
{
    model = used;
}

// ---- Beginnings. Memory is junk, as no ring may rely on zeros.

static void begin_at_0(void)
{
    begin_at(0);
}

static void begin_before_2_32(void)
{
    begin_at(((uint64_t)1 << 32) - 2);
}

static void begin_before_2_64(void)
{
    begin_at(-(uint64_t)2);
}

// One message has come and gone: the credit is short.
static void begin_with_one_gone(void)
{
    struct ring_message message = message_of(0);
    begin_at(0);
    model_require(model->ops->send(RING, message.payload, message.length) == STATUS_OK &&
                      model->ops->receive(RING, message.payload, &message.length) == STATUS_OK,
                  "nothing comes and goes");
}

// ---- One producer

static void send_three(void)
{
    send_each(0, MESSAGES);
}

static void send_three_in_batches(void)
{
    send_batches(0, MESSAGES);
}

static void send_one_and_a_batch(void)
{
    send_each(0, 1);
    send_batches(1, MESSAGES);
}

static void send_a_batch_and_one(void)
{
    send_batches(0, MESSAGES - 1);
    send_each(MESSAGES - 1, MESSAGES);
}

static void send_and_withdraw(void)
{
    send_too_large();
    send_each(0, 1);
    send_too_large();
    send_batches(1, MESSAGES);
}

// ---- One consumer

static void receive_three(void)
{
    receive_each(MESSAGES);
}

static void receive_two(void)
{
    receive_each(2);
}

static void receive_three_in_batches(void)
{
    receive_batches(MESSAGES);
}

// ---- In place, kinds, closing

static void send_in_place(void)
{
    for (uint64_t i = 0; i < MESSAGES; i++) {
        const struct ring_message message = message_of(i);
        void *payload;
        MODEL_UNTIL(model->ops->reserve(RING, &payload) == STATUS_OK);
        for (unsigned word = 0; word < ARRAY_COUNT(message.payload); word++)
            ((uint64_t *)payload)[word] = message.payload[word];
        model_require(model->ops->commit(RING, payload, message.length) == STATUS_OK, "no commit");
    }
}

static void receive_in_place(void)
{
    for (uint64_t i = 0; i < MESSAGES; i++) {
        struct ring_message message;
        const void *payload;
        MODEL_UNTIL(model->ops->peek(RING, &payload, &message.length) == STATUS_OK);
        for (unsigned word = 0; word < ARRAY_COUNT(message.payload); word++)
            message.payload[word] = ((const uint64_t *)payload)[word];
        require_message(&message, i);
        model->ops->release(RING, payload);
    }
}

// A reservation that comes to nothing, whose slot another producer builds its message in, a lap
// later.
static void abandon_one(void)
{
    void *payload;
    MODEL_UNTIL(model->ops->reserve(RING, &payload) == STATUS_OK);
    *(uint64_t *)payload = 99;
    model->ops->abandon(RING, payload);
}

static void send_two_in_place(void)
{
    const struct ring_message message = message_of(0);
    for (uint64_t i = 0; i < 2; i++) {
        void *payload;
        MODEL_UNTIL(model->ops->reserve(RING, &payload) == STATUS_OK);
        *(uint64_t *)payload = message.payload[0] + i;
        model_require(model->ops->commit(RING, payload, 8) == STATUS_OK, "no commit");
    }
}

static void abandon_and_send(void)
{
    abandon_one();
    send_two_in_place();
}

// Two of them share the credit that one of them renews. Once: each refusal is counted where the
// other one counts, so that neither would wait.
static void send_one_if_there_is_room(void)
{
    void *payload;
    model_begin();
    if (model->ops->reserve(RING, &payload) != STATUS_OK)
        return;
    *(uint64_t *)payload = 1;
    model->ops->commit(RING, payload, 8);
}

static void begin_full(void)
{
    begin_at(0);
    send_two_in_place();
}

static void receive_past_the_abandoned(void)
{
    const struct ring_message message = message_of(0);
    for (uint64_t i = 0; i < 2; i++) {
        const void *payload;
        size_t length;
        MODEL_UNTIL(model->ops->peek(RING, &payload, &length) == STATUS_OK);
        model_require(length == 8 && *(const uint64_t *)payload == message.payload[0] + i,
                      "a message is not whole");
        model->ops->release(RING, payload);
    }
}

static void send_kinds(void)
{
    for (uint64_t i = 0; i < MESSAGES; i++) {
        const struct ring_message message = message_of(i);
        const enum ring_kind kind = i == 1 ? RING_INLINE : RING_DESCRIPTOR;
        MODEL_UNTIL(model->ops->send_kind(RING, message.payload, message.length, kind) ==
                    STATUS_OK);
    }
}

static void receive_kinds(void)
{
    struct ring_message message;
    enum ring_kind kind;
    for (uint64_t i = 0; i < MESSAGES; i++) {
        MODEL_UNTIL(model->ops->receive_kind(RING, message.payload, &message.length, &kind) ==
                    STATUS_OK);
        require_message(&message, i);
        model_require(kind == (i == 1 ? RING_INLINE : RING_DESCRIPTOR), "another kind");
    }
}

static void send_and_close(void)
{
    send_each(0, MESSAGES);
    model->ops->close(RING);
}

// All that was sent before the ring was closed arrives, and then the end.
static void receive_to_the_end(void)
{
    struct ring_message message;
    enum status status;
    for (uint64_t i = 0;; i++) {
        MODEL_UNTIL((status = model->ops->receive(RING, message.payload, &message.length)) !=
                    STATUS_EMPTY);
        if (status == STATUS_CLOSED) {
            model_require(i == MESSAGES, "a message was lost when the ring was closed");
            return;
        }
        model_require(status == STATUS_OK, "a receive has another status");
        require_message(&message, i);
    }
}

// A consumer that has had enough.
static void receive_one_and_close(void)
{
    receive_each(1);
    model->ops->close(RING);
}

// Whatever arrives before the end is whole and in order, however the closing falls.
static void receive_until_closed(void)
{
    struct ring_message message;
    enum status status;
    for (uint64_t i = 0;; i++) {
        MODEL_UNTIL((status = model->ops->receive(RING, message.payload, &message.length)) !=
                    STATUS_EMPTY);
        if (status == STATUS_CLOSED)
            return;
        model_require(status == STATUS_OK, "a receive has another status");
        require_message(&message, i);
    }
}

static void close_it(void)
{
    model->ops->close(RING);
}

// A full ring that nobody empties: the producer hears of it.
static void send_until_closed(void)
{
    enum status status;
    for (uint64_t i = 0; i < MESSAGES + SLOTS; i++) {
        const struct ring_message message = message_of(i);
        MODEL_UNTIL((status = model->ops->send(RING, message.payload, message.length)) !=
                    STATUS_FULL);
        if (status == STATUS_CLOSED)
            return;
        model_require(status == STATUS_OK, "a send has another status");
    }
    model_require(false, "a closed ring took more than it holds");
}

// A consumer that closes a full ring and receives what is left: that makes no room any more.
static void close_and_receive_the_rest(void)
{
    model->ops->close(RING);
    receive_until_closed();
}

static void finish_within_the_room(void)
{
    struct ring_statistics end;
    model->ops->statistics(RING, &end);
    model_require(end.sent <= SLOTS, "a closed ring took more than there was room for");
}

// ---- Several producers, several consumers

// A producer that is the consumer too, and so renews a credit that the second one lives on.
static void send_and_receive_by_turns(void)
{
    uint64_t next[2] = {0, 0};
    for (uint64_t i = 0; i < MESSAGES; i++) {
        send_each(i, i + 1);
        receive_next_of_two(next);
    }
    receive_next_of_two(next);
    model_require(next[0] == MESSAGES && next[1] == 1, "not all came");
}

static void send_as_second(void)
{
    send_each(OTHER, OTHER + 1);
}

static void send_first(void)
{
    send_each(0, 1);
}

static void send_two(void)
{
    send_each(0, 2);
}

static void send_two_in_a_batch(void)
{
    send_batches(0, 2);
}

static void receive_two_of_two(void)
{
    receive_of_two(2);
}

static void receive_three_of_two(void)
{
    receive_of_two(3);
}

static void receive_kind_once(void)
{
    receive_any_kind(1);
}

static void receive_batch_of_one(void)
{
    struct ring_message message;
    size_t received;
    MODEL_UNTIL(model->ops->receive_batch(RING, &message, 1, &received) == STATUS_OK);
    require_message(&message, length_of(0) == message.length ? 0 : 1);
}

static void receive_one_as_one_of_two(void)
{
    receive_as_one_of_two(1);
}

// ---- Somebody else

static void look_on(void)
{
    struct ring_statistics seen;
    model->ops->statistics(RING, &seen);
    model_require(seen.received <= seen.sent, "more was received than sent");
    model_require(seen.sent <= MESSAGES, "more was sent than there is");
}

static void look_for_room(void)
{
    const size_t first = model->ops->free_slots(RING);
    model_require(first <= SLOTS, "more slots are free than there are");
}

static void finish_after_three(void)
{
    finish_after(MESSAGES);
}

static void finish_after_two(void)
{
    finish_after(2);
}

static const struct model_program singly = {
    "singly", 2, begin_at_0, {send_three, receive_three}, finish_after_three};
static const struct model_program over_32 = {
    "over 2^32", 2, begin_before_2_32, {send_three, receive_three}, finish_after_three};
static const struct model_program over_64 = {
    "over 2^64", 2, begin_before_2_64, {send_three, receive_three}, finish_after_three};
static const struct model_program in_batches = {"in batches",
                                                2,
                                                begin_at_0,
                                                {send_three_in_batches, receive_three_in_batches},
                                                finish_after_three};
static const struct model_program sent_in_batches = {
    "sent in batches", 2, begin_at_0, {send_a_batch_and_one, receive_three}, finish_after_three};
static const struct model_program mixed = {"mixed",
                                           2,
                                           begin_before_2_32,
                                           {send_one_and_a_batch, receive_three_in_batches},
                                           finish_after_three};
static const struct model_program withdrawn = {
    "withdrawn", 2, begin_at_0, {send_and_withdraw, receive_three}, finish_after_three};
static const struct model_program looked_on = {
    "looked on", 3, begin_at_0, {send_two, receive_two, look_on}, finish_after_two};
static const struct model_program room = {
    "room", 3, begin_at_0, {send_two, receive_two, look_for_room}, finish_after_two};
static const struct model_program looked_on_longer = {
    "looked on longer", 3, begin_at_0, {send_three, receive_three, look_on}, finish_after_three};
static const struct model_program room_longer = {
    "room longer", 3, begin_at_0, {send_three, receive_three, look_for_room}, finish_after_three};

static const struct model_program in_place = {
    "in place", 2, begin_at_0, {send_in_place, receive_in_place}, finish_after_three};
static const struct model_program kinds = {
    "kinds", 2, begin_at_0, {send_kinds, receive_kinds}, finish_after_three};
static const struct model_program closed = {
    "closed", 2, begin_at_0, {send_and_close, receive_to_the_end}, NULL};
static const struct model_program closed_by_another = {
    "closed by another", 3, begin_at_0, {send_first, receive_until_closed, close_it}, NULL};
static const struct model_program kinds_for_two = {
    "kinds for two",
    3,
    begin_at_0,
    {send_two_in_a_batch, receive_kind_once, receive_kind_once},
    finish_after_two};
static const struct model_program batches_for_two = {
    "batches for two",
    3,
    begin_at_0,
    {send_two_in_a_batch, receive_batch_of_one, receive_batch_of_one},
    finish_after_two};
static const struct model_program singles_for_two = {
    "singles for two",
    3,
    begin_at_0,
    {send_two_in_a_batch, receive_one_as_one_of_two, receive_one_as_one_of_two},
    finish_after_two};
static const struct model_program given_up = {
    "given up", 2, begin_at_0, {send_until_closed, receive_one_and_close}, NULL};
static const struct model_program no_more_room = {"no more room",
                                                  2,
                                                  begin_at_0,
                                                  {send_until_closed, close_and_receive_the_rest},
                                                  finish_within_the_room};
static const struct model_program abandoned = {
    "abandoned", 2, begin_before_2_32, {abandon_and_send, receive_past_the_abandoned}, NULL};
static const struct model_program credit_of_one = {
    "credit of one",
    3,
    begin_full,
    {send_one_if_there_is_room, send_one_if_there_is_room, receive_past_the_abandoned},
    NULL};
static const struct model_program abandoned_by_another = {
    "abandoned by another",
    3,
    begin_at_0,
    {abandon_one, send_two_in_place, receive_past_the_abandoned},
    NULL};
static const struct model_program one_each = {"one each",
                                              3,
                                              begin_before_2_32,
                                              {send_first, send_as_second, receive_two_of_two},
                                              finish_after_two};
static const struct model_program shared_credit = {
    "shared credit", 2, begin_at_0, {send_and_receive_by_turns, send_as_second}, NULL};
static const struct model_program credit_of_another = {
    "credit of another",
    3,
    begin_with_one_gone,
    {send_two, send_as_second, receive_three_of_two},
    NULL};
static const struct model_program a_batch_and_one = {
    "a batch and one",
    3,
    begin_before_2_32,
    {send_two_in_a_batch, send_as_second, receive_three_of_two},
    finish_after_three};

const struct ring_model ring_models[] = {
    {
        .ops = &ring_fusion_mpmc_ops,
        .weakenings = 19,
        .init_at = ring_fusion_mpmc_init_at,
        .programs = {&singly, &in_batches, &kinds, &given_up, &one_each, &singles_for_two,
                     &kinds_for_two, &batches_for_two, &closed_by_another, &shared_credit, &closed,
                     &no_more_room},
        .soak = {&a_batch_and_one, &credit_of_another},
        .harmless = {{"ring_fusion_mpmc_claim: compare release",
                      "for who looks for holes: see holes_programs.c"}},
    },
    {
        .ops = &ring_fusion_mpmc_in_place_ops,
        .init_at = ring_fusion_mpmc_init_at,
        .programs = {&in_place, &abandoned, &abandoned_by_another, &one_each, &kinds,
                     &closed_by_another, &no_more_room, &closed, &credit_of_one},
        .soak = {&a_batch_and_one, &credit_of_another},
        .weakenings = 18,
        .harmless = {{"ring_fusion_mpmc_claim: compare release",
                      "for who looks for holes: see holes_programs.c"},
                     {"receive_any: load acquire", "the one consumer's own position"},
                     {"find_sent: load acquire #2", "the one consumer's own position"}},
    },
    {
        .ops = &ring_fusion_stream_ops,
        .weakenings = 11,
        .init_at = ring_fusion_stream_init_at,
        .programs = {&singly, &over_32, &over_64, &in_batches, &sent_in_batches, &mixed, &withdrawn,
                     &looked_on, &room, &closed, &closed_by_another, &given_up, &no_more_room},
        .soak = {&looked_on_longer, &room_longer},
    },
    {
        .ops = &ring_fusion_spsc_in_place_ops,
        .init_at = ring_fusion_spsc_init_at,
        .programs = {&in_place, &abandoned, &kinds, &closed, &closed_by_another, &no_more_room},
        .soak = {&given_up},
        .weakenings = 14,
    },
    {
        .ops = &ring_fusion_spsc_ops,
        .init_at = ring_fusion_spsc_init_at,
        .programs = {&singly, &over_32, &over_64, &in_batches, &sent_in_batches, &mixed, &withdrawn,
                     &looked_on, &room, &kinds, &closed, &closed_by_another, &given_up,
                     &no_more_room},
        .soak = {&looked_on_longer, &room_longer},
        .weakenings = 17,
    },
    {
        .ops = &ring_floor_ops,
        .init_at = ring_floor_init_at,
        .programs = {&singly, &over_32, &over_64, &in_batches, &sent_in_batches, &mixed, &looked_on,
                     &room},
        .soak = {&looked_on_longer, &room_longer},
        .weakenings = 9,
    },
    {
        .ops = &ring_locked_queue_ops,
        .init_at = ring_locked_queue_init_at,
        .turns = 2, // test-and-set: a waiter may lose any number of times
        .programs = {&singly, &in_batches, &mixed, &withdrawn, &given_up, &no_more_room},
        .soak = {&closed},
        .weakenings = 2,
    },
};
const size_t ring_model_count = ARRAY_COUNT(ring_models);
