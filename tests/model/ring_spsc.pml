// SPDX-License-Identifier: MIT
// The protocol of ring_fusion_spsc.h, a step for each access that the other side sees: flags in the
// slots, credit, batches published by their first slot. Sequentially consistent: that the orders in
// the source give that is for the other checker (model.h). The lines of the source that a step
// stands for are quoted behind "code:"; a test looks for them.
//
// MUTATION breaks one step: 1 the flag before the payload, 2 the slot freed before it is read, 3
// credit for one slot too many, 4 a batch published before its first slot is written, 5 the flag of
// the lap before taken for this one's.
#ifndef MUTATION
#define MUTATION 0
#endif
#define SLOTS    2
#define MESSAGES 6
#define WRAP     8 /* of sequences and positions: more than twice the slots, as 2^32 is */

byte control[SLOTS];   // sequence of the message in the slot
byte payload[SLOTS];   // number of the message, in two halves, written one after the other
byte payload_2[SLOTS];
byte taken;            // consumer.position
byte sent, received;   // for the assertions: does not wrap

#define SLOT(position)     ((position) % SLOTS)
#define SEQUENCE(position) (((position) + 1) % WRAP)
#define BEFORE(position)   SEQUENCE((position) + WRAP - SLOTS)

proctype producer()
{
    byte position, limit = SLOTS, count, i;
    do
    :: sent == MESSAGES -> break
    :: sent < MESSAGES && position == limit ->
        // code: const uint64_t received = __atomic_load_n(&consumer->position, __ATOMIC_ACQUIRE);
        // code: producer->limit = received + slots;
        (taken + SLOTS) % WRAP != position; // full until then
        limit = (taken + SLOTS + (MUTATION == 3)) % WRAP
    :: sent < MESSAGES && position != limit ->
        if // send; or send_batch of two, where there is room
        :: count = 1
        :: (limit + WRAP - position) % WRAP >= 2 && sent + 2 <= MESSAGES -> count = 2
        fi;
        i = count;
        do
        :: i == 0 -> break
        :: i > 0 -> // the first slot last
            i--;
            if
            :: MUTATION == 1 -> control[SLOT(position + i)] = SEQUENCE(position + i)
            :: MUTATION == 4 && i == 1 -> control[SLOT(position)] = SEQUENCE(position)
            :: else
            fi;
            // code: ring_copy_in(slot->payload, payload, length);
            // code: ring_copy_whole(slot->payload, messages[0].payload);
            payload[SLOT(position + i)] = sent + i;
            payload_2[SLOT(position + i)] = sent + i;
            // code: __atomic_store_n(&slot->control, ring_fusion_control_of_kind(position, length, kind),
            // code: release_word(&slot->control, ring_fusion_control(first, messages[0].length), &releases);
            control[SLOT(position + i)] = SEQUENCE(position + i)
        od;
        atomic { position = (position + count) % WRAP; sent = sent + count }
    od
}

proctype consumer()
{
    byte position;
    do
    :: received == MESSAGES -> break
    :: received < MESSAGES ->
        // code: const uint64_t past_empty = ring_fusion_past_empty(control, position);
        control[SLOT(position)] == SEQUENCE(position) ||
            (MUTATION == 5 && control[SLOT(position)] == BEFORE(position)); // empty until then
        if
        :: MUTATION == 2 -> taken = (position + 1) % WRAP
        :: else
        fi;
        // code: ring_copy_whole(payload, slot->payload);
        assert(payload[SLOT(position)] == received);   // in order, once,
        assert(payload_2[SLOT(position)] == received); // whole
        // code: __atomic_store_n(&ring->consumer.position, position + 1, __ATOMIC_RELEASE);
        position = (position + 1) % WRAP;
        taken = position;
        received++
    od
}

init {
    byte i;
    atomic {
        // code: slot_of(ring, position + i)->control = control_of_lap_before(ring, position + i);
        for (i : 0 .. SLOTS - 1) {
            control[i] = BEFORE(i)
        }
        run producer();
        run consumer()
    }
}
