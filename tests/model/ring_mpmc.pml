// SPDX-License-Identifier: MIT
// The protocol of ring_fusion_mpmc.h, a step for each access that others see: two producers that
// claim positions on a credit they share, two consumers that read a slot and then claim it.
// Sequentially consistent; quotes behind "code:" as in ring_spsc.pml.
//
// MUTATION breaks one step: 1 the flag before the payload, 2 the claim of a consumer before its
// reading, 3 credit for one slot too many, 4 a producer's claim in two steps, 5 a consumer's claim in
// two steps.
#ifndef MUTATION
#define MUTATION 0
#endif
#define SLOTS    2
#define EACH     2 /* messages of each producer */
#define MESSAGES 4
#define WRAP     8

byte control[SLOTS];
byte payload[SLOTS];   // producer * 16 + number of the message + 1, in two halves
byte payload_2[SLOTS];
byte claimed, limit, taken; // producer.position, producer.limit, consumer.position
byte received;
byte next[2];  // number of the message that is next of each producer, in the order of claims

#define SLOT(position)     ((position) % SLOTS)
#define SEQUENCE(position) (((position) + 1) % WRAP)
#define AHEAD(a, b)        (((a) + WRAP - (b)) % WRAP) /* above SLOTS: it is behind */

proctype producer(byte self)
{
    byte position, number, seen;
    do
    :: number == EACH -> break
    :: number < EACH ->
        // code: uint64_t position = __atomic_load_n(&ring->producer.position, __ATOMIC_RELAXED);
        position = claimed;
retry:  if
        :: AHEAD(limit, position) == 0 || AHEAD(limit, position) > SLOTS ->
            // code: uint64_t received = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
renew:      seen = taken;
            // code: *position = __atomic_load_n(&ring->producer.position, __ATOMIC_RELAXED);
            position = claimed;
            if
            :: AHEAD(seen + SLOTS, position) == 0 || AHEAD(seen + SLOTS, position) > SLOTS ->
                taken != seen; // full until then
                goto renew
            :: else
            fi;
            // code: __atomic_store_n(&ring->producer.limit, limit, __ATOMIC_RELEASE);
            limit = (seen + SLOTS + (MUTATION == 3)) % WRAP;
            goto retry
        :: else
        fi;
        // code: return __atomic_compare_exchange_n(&ring->producer.position, position, *position + count, false,
        if
        :: MUTATION == 4 -> claimed == position; claimed = (position + 1) % WRAP
        :: else ->
            atomic {
                if
                :: claimed == position -> claimed = (position + 1) % WRAP
                :: else -> position = claimed; goto retry
                fi
            }
        fi;
        if
        :: MUTATION == 1 -> control[SLOT(position)] = SEQUENCE(position)
        :: else
        fi;
        // code: ring_fusion_mpmc_write_any(slot, payload, length);
        payload[SLOT(position)] = self * 16 + number + 1;
        payload_2[SLOT(position)] = self * 16 + number + 1;
        // code: __atomic_store_n(&slot->control, ring_fusion_control_of_kind(position, length, kind),
        control[SLOT(position)] = SEQUENCE(position);
        number++
    od
}

proctype consumer()
{
    byte position, first, second;
    do
    :: received == MESSAGES -> break
    :: received < MESSAGES ->
        // code: uint64_t position = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
        position = taken;
retry:  // code: const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
        if
        :: control[SLOT(position)] == SEQUENCE(position)
        :: taken != position -> position = taken; goto retry
        :: received == MESSAGES -> break
        fi;
        if
        :: MUTATION == 2 -> goto claim
        :: else
        fi;
        // code: ring_fusion_mpmc_read(payload, slot);
        first = payload[SLOT(position)];
        second = payload_2[SLOT(position)];
        // code: return __atomic_compare_exchange_n(&ring->consumer.position, position, *position + count, false,
claim:  if
        :: MUTATION == 5 -> taken == position; taken = (position + 1) % WRAP
        :: else ->
            atomic {
                if
                :: taken == position ->
                    taken = (position + 1) % WRAP;
                    if
                    :: MUTATION != 2 ->
                        assert(first == second); // whole
                        assert(first % 16 == next[first / 16] + 1); // in order, once
                        next[first / 16]++
                    :: else
                    fi
                :: else -> position = taken; goto retry
                fi
            }
        fi;
        if
        :: MUTATION == 2 ->
            first = payload[SLOT(position)];
            second = payload_2[SLOT(position)];
            assert(first == second)
        :: MUTATION == 5 ->
            d_step {
                assert(first % 16 == next[first / 16] + 1);
                next[first / 16]++
            }
        :: else
        fi;
        received++
    od
}

init {
    byte i;
    atomic {
        // code: slot_of(ring, position + i)->control = ring_fusion_control(position + i - slots, 0);
        for (i : 0 .. SLOTS - 1) {
            control[i] = (i + 1 + WRAP - SLOTS) % WRAP
        }
        limit = SLOTS;
        run producer(0);
        run producer(1);
        run consumer();
        run consumer()
    }
}
