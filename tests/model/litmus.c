// SPDX-License-Identifier: MIT
#include "litmus.h"

#include "compiler.h"

struct shared {
    uint64_t x, y, z;
    uint64_t data; // plain
    uint64_t r[6]; // registers of the threads, read at the end
};

#define S ((struct shared *)(void *)model_memory)

#define READ(place, order)         __atomic_load_n(&S->place, __ATOMIC_##order)
#define WRITE(place, value, order) __atomic_store_n(&S->place, value, __ATOMIC_##order)
#define ADD(place, order)          __atomic_fetch_add(&S->place, 1, __ATOMIC_##order)
#define FENCE(order)               __atomic_thread_fence(__ATOMIC_##order)

static void nothing(void)
{
}

static void show_two(void)
{
    model_outcome(S->r[0] << 4 | S->r[1]);
}

static void show_four(void)
{
    model_outcome(S->r[0] << 12 | S->r[1] << 8 | S->r[2] << 4 | S->r[3]);
}

static void show_x(void)
{
    model_outcome(S->x);
}

static void show_register_and_x(void)
{
    model_outcome(S->r[0] << 4 | S->x);
}

static void show_x_y(void)
{
    model_outcome(S->x << 4 | S->y);
}

#define DO(name, ...)                                                                              \
    static void name(void)                                                                         \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

// ---- MP: a message and its flag; outcome flag, message
DO(write_x_y_relaxed, WRITE(x, 1, RELAXED); WRITE(y, 1, RELAXED);)
DO(write_x_y_release, WRITE(x, 1, RELAXED); WRITE(y, 1, RELEASE);)
DO(write_x_fence_y, WRITE(x, 1, RELAXED); FENCE(RELEASE); WRITE(y, 1, RELAXED);)
DO(read_y_x_relaxed, S->r[0] = READ(y, RELAXED); S->r[1] = READ(x, RELAXED);)
DO(read_y_x_acquire, S->r[0] = READ(y, ACQUIRE); S->r[1] = READ(x, RELAXED);)
DO(read_y_fence_x, S->r[0] = READ(y, RELAXED); FENCE(ACQUIRE); S->r[1] = READ(x, RELAXED);)
DO(write_data_y_release, S->data = 1; WRITE(y, 1, RELEASE);)
DO(write_data_y_relaxed, S->data = 1; WRITE(y, 1, RELAXED);)
DO(read_y_data_acquire, S->r[0] = READ(y, ACQUIRE); if (S->r[0] == 1) S->r[1] = S->data;)
DO(read_y_data_relaxed, S->r[0] = READ(y, RELAXED); if (S->r[0] == 1) S->r[1] = S->data;)

// ---- SB: each writes and then looks at the other's
DO(sb_0_relaxed, WRITE(x, 1, RELAXED); S->r[0] = READ(y, RELAXED);)
DO(sb_1_relaxed, WRITE(y, 1, RELAXED); S->r[1] = READ(x, RELAXED);)
DO(sb_0_release, WRITE(x, 1, RELEASE); S->r[0] = READ(y, ACQUIRE);)
DO(sb_1_release, WRITE(y, 1, RELEASE); S->r[1] = READ(x, ACQUIRE);)
DO(sb_0_seq_cst, WRITE(x, 1, SEQ_CST); S->r[0] = READ(y, SEQ_CST);)
DO(sb_1_seq_cst, WRITE(y, 1, SEQ_CST); S->r[1] = READ(x, SEQ_CST);)
DO(sb_0_fence, WRITE(x, 1, RELAXED); FENCE(SEQ_CST); S->r[0] = READ(y, RELAXED);)
DO(sb_1_fence, WRITE(y, 1, RELAXED); FENCE(SEQ_CST); S->r[1] = READ(x, RELAXED);)
DO(sb_0_weak_fence, WRITE(x, 1, RELAXED); FENCE(ACQ_REL); S->r[0] = READ(y, RELAXED);)
DO(sb_1_weak_fence, WRITE(y, 1, RELAXED); FENCE(ACQ_REL); S->r[1] = READ(x, RELAXED);)

// ---- LB: each reads and then writes what the other reads
DO(lb_0_relaxed, S->r[0] = READ(x, RELAXED); WRITE(y, 1, RELAXED);)
DO(lb_1_relaxed, S->r[1] = READ(y, RELAXED); WRITE(x, 1, RELAXED);)
DO(lb_0_acquire, S->r[0] = READ(x, ACQUIRE); WRITE(y, 1, RELEASE);)
DO(lb_1_acquire, S->r[1] = READ(y, ACQUIRE); WRITE(x, 1, RELEASE);)

// ---- IRIW: two writers, two readers that look in opposite orders
DO(write_x_release, WRITE(x, 1, RELEASE);)
DO(write_y_release, WRITE(y, 1, RELEASE);)
DO(write_x_seq_cst, WRITE(x, 1, SEQ_CST);)
DO(write_y_seq_cst, WRITE(y, 1, SEQ_CST);)
DO(iriw_2_acquire, S->r[0] = READ(x, ACQUIRE); S->r[1] = READ(y, ACQUIRE);)
DO(iriw_3_acquire, S->r[2] = READ(y, ACQUIRE); S->r[3] = READ(x, ACQUIRE);)
DO(iriw_2_seq_cst, S->r[0] = READ(x, SEQ_CST); S->r[1] = READ(y, SEQ_CST);)
DO(iriw_3_seq_cst, S->r[2] = READ(y, SEQ_CST); S->r[3] = READ(x, SEQ_CST);)
DO(iriw_2_fence, S->r[0] = READ(x, RELAXED); FENCE(SEQ_CST); S->r[1] = READ(y, RELAXED);)
DO(iriw_3_fence, S->r[2] = READ(y, RELAXED); FENCE(SEQ_CST); S->r[3] = READ(x, RELAXED);)

// ---- Coherence: one location
DO(write_x_1_2, WRITE(x, 1, RELAXED); WRITE(x, 2, RELAXED);)
DO(write_x_1, WRITE(x, 1, RELAXED);)
DO(write_x_2, WRITE(x, 2, RELAXED);)
DO(read_x_x_0, S->r[0] = READ(x, RELAXED); S->r[1] = READ(x, RELAXED);)
DO(read_x_x_2, S->r[2] = READ(x, RELAXED); S->r[3] = READ(x, RELAXED);)
DO(write_1_read_x, WRITE(x, 1, RELAXED); S->r[0] = READ(x, RELAXED);)
DO(read_write_x_1, S->r[0] = READ(x, RELAXED); WRITE(x, 1, RELAXED);)

// ---- 2+2W: two writers of two locations in opposite orders; outcome the last values of x and y
DO(w22_0_relaxed, WRITE(x, 1, RELAXED); WRITE(y, 2, RELAXED);)
DO(w22_1_relaxed, WRITE(y, 1, RELAXED); WRITE(x, 2, RELAXED);)
DO(w22_0_seq_cst, WRITE(x, 1, SEQ_CST); WRITE(y, 2, SEQ_CST);)
DO(w22_1_seq_cst, WRITE(y, 1, SEQ_CST); WRITE(x, 2, SEQ_CST);)

// ---- S: a write behind a read, against two writes; outcome register, last value of x
DO(s_0_release, WRITE(x, 2, RELAXED); WRITE(y, 1, RELEASE);)
DO(s_1_acquire, S->r[0] = READ(y, ACQUIRE); WRITE(x, 1, RELAXED);)
DO(s_0_relaxed, WRITE(x, 2, RELAXED); WRITE(y, 1, RELAXED);)
DO(s_1_relaxed, S->r[0] = READ(y, RELAXED); WRITE(x, 1, RELAXED);)

// ---- Release sequences; outcome the flag, the message
DO(write_data_x_release, S->data = 1; WRITE(x, 1, RELEASE);)
DO(add_x_if_1, uint64_t one = 1;
   __atomic_compare_exchange_n(&S->x, &one, 2, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);)
DO(write_x_2_if_1, if (READ(x, RELAXED) == 1) WRITE(x, 2, RELAXED);)
DO(write_data_x_release_x_relaxed, S->data = 1; WRITE(x, 1, RELEASE); WRITE(x, 2, RELAXED);)
DO(read_x_data, S->r[0] = READ(x, ACQUIRE); if (S->r[0] == 2) S->r[1] = S->data;)

// ---- ISA2: three threads hand a message on; outcome the last flag, the message
DO(isa2_1, S->r[2] = READ(y, ACQUIRE); if (S->r[2] == 1) WRITE(z, 1, RELEASE);)
DO(isa2_1_relaxed, S->r[2] = READ(y, RELAXED); if (S->r[2] == 1) WRITE(z, 1, RELEASE);)
DO(isa2_2, S->r[0] = READ(z, ACQUIRE); S->r[1] = READ(x, RELAXED);)

// ---- Changes are atomic
DO(add_x_0, S->r[0] = ADD(x, RELAXED);)
DO(add_x_1, S->r[1] = ADD(x, RELAXED);)
DO(compare_x_0, uint64_t expected = 0;
   S->r[0] = __atomic_compare_exchange_n(&S->x, &expected, 1, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED);)
DO(compare_x_1, uint64_t expected = 0;
   S->r[1] = __atomic_compare_exchange_n(&S->x, &expected, 2, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED);)

// ---- Waiting
DO(wait_y_read_data, MODEL_UNTIL(READ(y, ACQUIRE) == 1); S->r[0] = 1; S->r[1] = S->data;)
DO(wait_y_write_x, MODEL_UNTIL(READ(y, RELAXED) == 1); WRITE(x, 1, RELAXED);)
DO(wait_x_write_y, MODEL_UNTIL(READ(x, RELAXED) == 1); WRITE(y, 1, RELAXED);)
DO(lock_and_add, MODEL_UNTIL(__atomic_exchange_n(&S->z, 1, __ATOMIC_ACQUIRE) == 0); S->data++;
   WRITE(z, 0, RELEASE);)
DO(lock_and_add_relaxed, MODEL_UNTIL(__atomic_exchange_n(&S->z, 1, __ATOMIC_RELAXED) == 0);
   S->data++; WRITE(z, 0, RELEASE);)
DO(show_data, model_outcome(S->data);)

// ---- What is wrong whatever the model
DO(read_without_end, for (uint64_t i = 0;; i++) __atomic_load_n(&(&S->x)[i % 2], __ATOMIC_RELAXED);)
uint64_t litmus_elsewhere;
DO(write_elsewhere, litmus_elsewhere = 1;)
DO(require_x_0, model_require(READ(x, RELAXED) == 0, "x changed");)

#define TWO(name, shows, first, second)                                                            \
    {                                                                                              \
        name, 2, nothing, {first, second}, shows                                                   \
    }
#define THREE(name, shows, first, second, third)                                                   \
    {                                                                                              \
        name, 3, nothing, {first, second, third}, shows                                            \
    }
#define FOUR(name, shows, first, second, third, fourth)                                            \
    {                                                                                              \
        name, 4, nothing, {first, second, third, fourth}, shows                                    \
    }

const struct litmus litmus_tests[] = {
    {TWO("MP relaxed", show_two, write_x_y_relaxed, read_y_x_relaxed), "0 1 10 11",
     "the flag may come before the message"},
    {TWO("MP release acquire", show_two, write_x_y_release, read_y_x_acquire), "0 1 11",
     "the message comes with the flag"},
    {TWO("MP release relaxed", show_two, write_x_y_release, read_y_x_relaxed), "0 1 10 11",
     "release alone orders nothing"},
    {TWO("MP relaxed acquire", show_two, write_x_y_relaxed, read_y_x_acquire), "0 1 10 11",
     "acquire alone orders nothing"},
    {TWO("MP fences", show_two, write_x_fence_y, read_y_fence_x), "0 1 11",
     "fences do what release and acquire do"},
    {TWO("MP fence acquire", show_two, write_x_fence_y, read_y_x_acquire), "0 1 11",
     "a fence meets an acquire"},
    {TWO("MP release fence", show_two, write_x_y_release, read_y_fence_x), "0 1 11",
     "a release meets a fence"},
    {TWO("MP one fence", show_two, write_x_fence_y, read_y_x_relaxed), "0 1 10 11",
     "one fence orders nothing"},
    {TWO("MP plain", show_two, write_data_y_release, read_y_data_acquire), "0 11",
     "plain data behind a flag is no race"},
    {TWO("MP plain relaxed", show_two, write_data_y_relaxed, read_y_data_acquire), "data race",
     "plain data behind a relaxed store is one"},
    {TWO("MP plain read relaxed", show_two, write_data_y_release, read_y_data_relaxed), "data race",
     "and behind a relaxed load"},
    {TWO("SB relaxed", show_two, sb_0_relaxed, sb_1_relaxed), "0 1 10 11", "both may be late"},
    {TWO("SB release acquire", show_two, sb_0_release, sb_1_release), "0 1 10 11",
     "release and acquire do not order a store before a load"},
    {TWO("SB seq_cst", show_two, sb_0_seq_cst, sb_1_seq_cst), "1 10 11", "one sees the other"},
    {TWO("SB fences", show_two, sb_0_fence, sb_1_fence), "1 10 11", "one sees the other"},
    {TWO("SB one fence", show_two, sb_0_fence, sb_1_relaxed), "0 1 10 11",
     "both sides need the fence"},
    {TWO("SB weak fences", show_two, sb_0_weak_fence, sb_1_weak_fence), "0 1 10 11",
     "only a sequentially consistent fence orders a store before a load"},
    {TWO("LB relaxed", show_two, lb_0_relaxed, lb_1_relaxed), "0 1 10",
     "C11 allows 11, RC11 and this checker do not: the one limit on its weakness"},
    {TWO("LB acquire", show_two, lb_0_acquire, lb_1_acquire), "0 1 10", "11 is forbidden"},
    {FOUR("IRIW acquire", show_four, write_x_release, write_y_release, iriw_2_acquire,
          iriw_3_acquire),
     "0 1 10 11 100 101 110 111 1000 1001 1010 1011 1100 1101 1110 1111",
     "readers may disagree on the order of the writers"},
    {FOUR("IRIW seq_cst", show_four, write_x_seq_cst, write_y_seq_cst, iriw_2_seq_cst,
          iriw_3_seq_cst),
     "0 1 10 11 100 101 110 111 1000 1001 1011 1100 1101 1110 1111", "they may not"},
    {FOUR("IRIW fences", show_four, write_x_release, write_y_release, iriw_2_fence, iriw_3_fence),
     "0 1 10 11 100 101 110 111 1000 1001 1011 1100 1101 1110 1111", "they may not"},
    {TWO("CoRR", show_two, write_x_1_2, read_x_x_0), "0 1 2 11 12 22", "never backwards"},
    {FOUR("CoRR of two writers", show_four, write_x_1, write_x_2, read_x_x_0, read_x_x_2),
     "0 1 2 11 12 21 22 100 101 102 111 112 121 122 200 201 202 211 212 221 222 "
     "1100 1101 1102 1111 1112 1121 1122 1200 1201 1202 1211 1212 1222 "
     "2100 2101 2102 2111 2121 2122 2200 2201 2202 2211 2212 2221 2222",
     "readers agree on the order of one location's stores"},
    {TWO("CoWR", show_two, write_1_read_x, write_x_2), "10 20",
     "never what is older than one's own"},
    {TWO("CoRW", show_register_and_x, read_write_x_1, write_x_2), "1 2 21",
     "a store stands behind what its thread has read"},
    {TWO("2+2W relaxed", show_x_y, w22_0_relaxed, w22_1_relaxed), "11 12 21 22",
     "both first stores may be last"},
    {TWO("2+2W seq_cst", show_x_y, w22_0_seq_cst, w22_1_seq_cst), "12 21 22", "they may not"},
    {TWO("S relaxed", show_register_and_x, s_0_relaxed, s_1_relaxed), "1 2 11 12",
     "the store behind the read may be older"},
    {TWO("S release acquire", show_register_and_x, s_0_release, s_1_acquire), "1 2 11",
     "it may not"},
    {THREE("release sequence", show_two, write_data_x_release, add_x_if_1, read_x_data), "0 10 21",
     "a relaxed change carries the release on"},
    {THREE("no release sequence", show_two, write_data_x_release, write_x_2_if_1, read_x_data),
     "data race", "another thread's relaxed store does not"},
    {TWO("own relaxed store", show_two, write_data_x_release_x_relaxed, read_x_data), "data race",
     "nor does one's own, as C++20 has it; C11 lets it"},
    {THREE("ISA2", show_two, write_x_y_release, isa2_1, isa2_2), "0 1 11",
     "happens-before goes from hand to hand"},
    {THREE("ISA2 relaxed", show_two, write_x_y_release, isa2_1_relaxed, isa2_2), "0 1 10 11",
     "not past a relaxed load"},
    {TWO("add twice", show_two, add_x_0, add_x_1), "1 10",
     "no addition reads what the other reads"},
    {TWO("final sum", show_x, add_x_0, add_x_1), "2", "and none is lost"},
    {TWO("compare twice", show_two, compare_x_0, compare_x_1), "1 10", "one of them wins"},
    {TWO("wait", show_two, write_data_y_release, wait_y_read_data), "11",
     "a store is seen at last"},
    {TWO("wait for each other", show_two, wait_y_write_x, wait_x_write_y), "deadlock",
     "values do not come out of nothing"},
    {TWO("lock", show_data, lock_and_add, lock_and_add), "2", "a lock excludes"},
    {TWO("lock relaxed", show_data, lock_and_add_relaxed, lock_and_add_relaxed), "data race",
     "a relaxed one does not"},
    {TWO("no end", nothing, read_without_end, write_x_1), "no end", "executions are finite"},
    {TWO("elsewhere", nothing, write_elsewhere, write_x_1), "a write outside",
     "all that is shared is seen"},
    {TWO("requirement", nothing, write_x_1, require_x_0), "x changed", "a requirement fails"},
};

const size_t litmus_count = ARRAY_COUNT(litmus_tests);
