// SPDX-License-Identifier: MIT
// The scheduler on CPUs of this process under pressure: wake-ups that race with their threads'
// going to sleep, preemption anywhere, kicks out of the blue.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "random.h"
#include "sched_host_subject.h"
#include "seed.h"

#include "boot/switch_patterns.h"
#include "soak.h"

#define POLICIES  ((int)ARRAY_COUNT(subject_policies))
#define PLAYERS   12u
#define SPIN_MOST 2000u // turns

// ---- kicks out of the blue ----------------------------------------------------------------------

static struct {
    pthread_t thread;
    bool stop; // atomic
    uint64_t seed, sent;
} gremlin;

static void *kick_at_random(void *unused)
{
    struct random random = random_seeded(gremlin.seed);
    (void)unused;
    while (!__atomic_load_n(&gremlin.stop, __ATOMIC_ACQUIRE)) {
        subject.ops->kick(subject.machine, (unsigned)random_below(&random, SUBJECT_CPUS));
        gremlin.sent++;
        usleep((useconds_t)random_below(&random, 200));
    }
    return NULL;
}

static void start_gremlin(uint64_t seed)
{
    gremlin.stop = false;
    gremlin.sent = 0;
    gremlin.seed = seed;
    ck_assert_int_eq(pthread_create(&gremlin.thread, NULL, kick_at_random, NULL), 0);
}

static void stop_gremlin(void)
{
    __atomic_store_n(&gremlin.stop, true, __ATOMIC_RELEASE);
    pthread_join(gremlin.thread, NULL);
    ck_assert_uint_gt(gremlin.sent, 0);
}

// ---- tokens -------------------------------------------------------------------------------------

static struct {
    uint64_t seed, rounds_most;
    bool strict;
    uint64_t rounds; // atomic
    // Who has one passes it on; the tokens of all are as many as there were at first.
    uint64_t tokens[PLAYERS]; // atomic
} game;

static void spin(struct random *random)
{
    for (uint64_t turns = random_below(random, SPIN_MOST); turns > 0; turns--)
        cpu_pause();
}

static void act_at_random(struct random *random)
{
    switch (random_below(random, 8)) {
    case 0:
        sched_pass(&subject.sched);
        break;
    case 1:
        sched_sleep_until(&subject.sched, subject_now() + random_below(random, 300000));
        break;
    case 2:
        spin(random);
        break;
    case 3:
        cpu_preempt_disable();
        spin(random);
        sched_wake(&subject.sched, &subject.threads[random_below(random, PLAYERS)]);
        cpu_preempt_enable();
        break;
    case 4:
        cpu_leaf_enter();
        spin(random);
        cpu_leaf_leave();
        break;
    case 5:
        sched_wake(&subject.sched, &subject.threads[random_below(random, PLAYERS)]);
        break;
    default:
        sched_block(&subject.sched);
        break;
    }
}

static void play(void *number)
{
    const unsigned me = (unsigned)(uintptr_t)number, next = (me + 1) % PLAYERS;
    struct random random = random_seeded(game.seed + me);
    while (__atomic_load_n(&game.rounds, __ATOMIC_RELAXED) < game.rounds_most) {
        if (__atomic_load_n(&game.tokens[me], __ATOMIC_ACQUIRE) > 0) {
            __atomic_sub_fetch(&game.tokens[me], 1, __ATOMIC_RELAXED);
            __atomic_add_fetch(&game.rounds, 1, __ATOMIC_RELAXED);
            __atomic_add_fetch(&game.tokens[next], 1, __ATOMIC_RELEASE);
            sched_wake(&subject.sched, &subject.threads[next]);
        } else if (game.strict) {
            // Nobody is woken but by a token: a wake-up that got lost would be missed for ever.
            if (random_below(&random, 4) == 0)
                spin(&random);
            sched_block(&subject.sched);
        } else {
            act_at_random(&random);
        }
    }
    sched_wake(&subject.sched, &subject.threads[next]); // so that it sees the end too
}

// The alternate stack that the running thread of the process has for its faults.
static void *alternate(void)
{
    stack_t now;
    return sigaltstack(NULL, &now) == 0 ? now.ss_sp : NULL;
}

static void run_game(const struct sched_policy_ops *policy, unsigned cpus, unsigned tokens)
{
    subject_begin(policy, cpus, 200000);
    game.rounds = 0;
    for (uintptr_t i = 0; i < PLAYERS; i++) {
        game.tokens[i] = i % (PLAYERS / tokens) == 0;
        subject_create((unsigned)i, play, (void *)i, i % 5 == 1 ? 1ull << (i % cpus) : 0);
    }
    subject.count = PLAYERS;
    for (unsigned i = 0; i < PLAYERS; i++)
        sched_start(&subject.threads[i]);
    void *const before = alternate();
    if (!game.strict)
        start_gremlin(game.seed);
    subject_run();
    if (!game.strict)
        stop_gremlin();
    ck_assert_ptr_eq(alternate(), before);
    uint64_t left = 0, migrations = 0;
    for (unsigned i = 0; i < PLAYERS; i++) {
        left += game.tokens[i];
        migrations += subject.threads[i].statistics.migrations;
    }
    ck_assert_uint_eq(left, tokens);
    ck_assert_uint_ge(game.rounds, game.rounds_most);
    ck_assert_uint_gt(migrations, 0);
}

START_TEST(no_wake_up_is_lost_however_it_races_with_its_thread)
{
    game.seed = seeded_for("no_wake_up_is_lost_however_it_races_with_its_thread").state;
    game.strict = true;
    // In all: 10^5, in soaks 10^7.
    game.rounds_most = (is_soak() ? 10000000 : 100000) / POLICIES + 1;
    run_game(subject_policies[_i], 2, 3);
}
END_TEST

START_TEST(everything_at_once_leaves_all_in_order)
{
    game.seed = seeded_for("everything_at_once_leaves_all_in_order").state;
    game.strict = false;
    game.rounds_most = is_soak() ? 1000000 : 10000;
    run_game(subject_policies[_i / 2], _i % 2 == 0 ? 2 : 4, 4);
}
END_TEST

// ---- what a preempted thread keeps --------------------------------------------------------------

// Nothing but time passes: all registers and flags are as they were, and hold their patterns.
__attribute__((naked, noinline)) static void pass_time(void)
{
    __asm__("pushfq; pushq $1000;"
            "1: pushfq; decq 8(%rsp); jz 2f; popfq; .rept 50; nop; .endr; jmp 1b;"
            "2: popfq; leaq 8(%rsp), %rsp; popfq; ret");
}

struct vectors {
    uint8_t registers[32][64];
    uint32_t mxcsr;
    uint16_t x87_control, unused;
    double x87;
};
_Static_assert(offsetof(struct vectors, mxcsr) == 2048, "used by assembly");
_Static_assert(offsetof(struct vectors, x87) == 2056, "used by assembly");

// Loads *in, lets time pass, stores into *out.
#define WITH_VECTORS(name, numbers, move, bytes, kind)                                             \
    __attribute__((naked, noinline)) static void name(__attribute__((unused))                      \
                                                      const struct vectors *in,                    \
                                                      __attribute__((unused)) struct vectors *out) \
    {                                                                                              \
        __asm__("subq $16, %rsp; stmxcsr (%rsp); fnstcw 8(%rsp);"                                  \
                "ldmxcsr 2048(%rdi); fldcw 2052(%rdi); fldl 2056(%rdi);"                           \
                ".irp n, " numbers "; " move " \\n*" bytes "(%rdi), %" kind "\\n; .endr;"          \
                "movq $20000, %rdx; 1: decq %rdx; jnz 1b;"                                         \
                ".irp n, " numbers "; " move " %" kind "\\n, \\n*" bytes "(%rsi); .endr;"          \
                "stmxcsr 2048(%rsi); fnstcw 2052(%rsi); fstpl 2056(%rsi);"                         \
                "ldmxcsr (%rsp); fldcw 8(%rsp); addq $16, %rsp; ret");                             \
    }

WITH_VECTORS(with_sse, "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", "movups", "16", "xmm")
WITH_VECTORS(
    with_avx512,
    "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "vmovups", "64", "zmm")

static struct {
    uint64_t seed, preemptions_least;    // of one thread
    bool wide;                           // AVX-512
    uint32_t done;                       // somebody was preempted often enough
    unsigned registers, vectors, stacks; // that have changed, atomic
} kept;

static void fill(struct random *random, void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
        const uint64_t word = random_u64(random);
        memcpy((uint8_t *)bytes + i, &word, sizeof(word));
    }
}

static void count_if(unsigned *counter, bool changed)
{
    if (changed)
        __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static void look_at_registers(struct random *random)
{
    struct registers in, out;
    fill(random, &in, sizeof(in));
    in.flags = (in.flags & FLAGS_SEEN) | FLAGS_ON;
    memset(&out, 0, sizeof(out));
    with_registers(&in, &out, NULL, NULL, pass_time);
    count_if(&kept.registers, what_changed(KEEPS_ALL, &in, &out) != NULL);
}

static void look_at_vectors(struct random *random)
{
    struct vectors in, out;
    memset(&in, 0, sizeof(in));
    memset(&out, 0, sizeof(out));
    fill(random, in.registers, kept.wide ? 2048 : 256);
    in.mxcsr = 0x1f80 | (uint32_t)random_below(random, 4) << 13;
    in.x87_control = (uint16_t)(0x037f | random_below(random, 4) << 10);
    in.x87 = (double)(random_u64(random) >> 12);
    if (kept.wide)
        with_avx512(&in, &out);
    else
        with_sse(&in, &out);
    count_if(&kept.vectors, memcmp(&in, &out, sizeof(in)) != 0);
}

static void look_at_stack(struct random *random)
{
    uint64_t in[128], out[128];
    fill(random, in, sizeof(in));
    memcpy(out, in, sizeof(in));
    __asm__ volatile("" : : "r"(in), "r"(out) : "memory");
    for (unsigned turns = 0; turns < 20000; turns++)
        __asm__ volatile("" : : : "memory");
    count_if(&kept.stacks, memcmp(in, out, sizeof(in)) != 0);
}

static void be_preempted(void *number)
{
    struct random random = random_seeded(kept.seed + (uintptr_t)number);
    const uint64_t *preemptions = &subject.threads[(uintptr_t)number].statistics.preemptions;
    while (!flag_is_up(&kept.done)) {
        look_at_registers(&random);
        look_at_vectors(&random);
        look_at_stack(&random);
        if (__atomic_load_n(preemptions, __ATOMIC_RELAXED) >= kept.preemptions_least)
            raise_flag(&kept.done);
    }
}

START_TEST(preempted_thread_keeps_its_registers_vectors_and_stack)
{
    memset(&kept, 0, sizeof(kept));
    kept.seed = seeded_for("preempted_thread_keeps_its_registers_vectors_and_stack").state;
    kept.preemptions_least = is_soak() ? 100000 : 1000;
    kept.wide = __builtin_cpu_supports("avx512f") && _i % 2 != 0;
    subject_begin(subject_policies[_i / 2], 2, 50000);
    start_gremlin(kept.seed);
    for (uintptr_t i = 0; i < 6; i++)
        subject_add(be_preempted, (void *)i, i % 3);
    subject_run();
    stop_gremlin();
    ck_assert_uint_eq(kept.registers, 0);
    ck_assert_uint_eq(kept.vectors, 0);
    ck_assert_uint_eq(kept.stacks, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_host_storm");
    TCase *tests = tcase_create("storm");
    (void)form_names;
    (void)functions; // of the header, for tests of the switches
    tcase_set_timeout(tests, 3600);
    tcase_add_loop_test(tests, no_wake_up_is_lost_however_it_races_with_its_thread, 0, POLICIES);
    tcase_add_loop_test(tests, everything_at_once_leaves_all_in_order, 0, 2 * POLICIES);
    if (SCHED_HOST_SIGNALS)
        tcase_add_loop_test(tests, preempted_thread_keeps_its_registers_vectors_and_stack, 0,
                            2 * POLICIES);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
