// SPDX-License-Identifier: MIT
// Rings of the traced flavour: with several senders and receivers at a time, the number that is
// recorded is the position that was taken, so that every flow has both its ends. With
// TICKMARK_TRACES=FOLDER a trace of each ring is written there.
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "ring_many_variants.h"
#include "run_checks.h"
#include "single_step.h"
#include "test_platform.h"
#include "trace_made.h"

#define VARIANT_ENTRY(name) &ring_##name##_ops,
static const struct ring_ops *const many[] = {RING_MANY_VARIANTS(VARIANT_ENTRY)};

#define SENDERS    3u
#define RECEIVERS  2u
#define TRADERS    (SENDERS + RECEIVERS)
#define EACH       2000u // messages of a sender
#define ALL        (SENDERS * EACH)
#define SLOTS      16u
#define BATCH_MOST 4u
// Of an operation four entries at most; refused ones are kept few by yielding.
#define BUFFER_BYTES (32u << 20)

struct market {
    const struct ring_ops *ops;
    void *ring, *slots;
    bool batches;
    unsigned taken; // atomic
};

struct trader {
    struct market *market;
    unsigned cpu;
    struct trace_buffer *buffer;
};

static enum status send_some(struct market *market, size_t wanted, size_t *sent)
{
    struct ring_message messages[BATCH_MOST] = {{.length = RING_PAYLOAD_MOST}};
    *sent = 1;
    if (wanted == 1)
        return market->ops->send(market->ring, messages[0].payload, RING_PAYLOAD_MOST);
    return market->ops->send_batch(market->ring, messages, wanted, sent);
}

static void *sell(void *argument)
{
    struct trader *trader = argument;
    test_cpu_enter(trader->cpu);
    void *memory = aligned_alloc(64, BUFFER_BYTES);
    trader->buffer = trace_start(memory, BUFFER_BYTES);
    for (unsigned done = 0; done < EACH;) {
        const size_t most = trader->market->batches ? BATCH_MOST : 1;
        size_t sent;
        if (send_some(trader->market, min_u64(most, EACH - done), &sent) == STATUS_OK)
            done += (unsigned)sent;
        else
            sched_yield();
    }
    trace_stop();
    return NULL;
}

static void *buy(void *argument)
{
    struct trader *trader = argument;
    struct market *market = trader->market;
    struct ring_message messages[BATCH_MOST];
    test_cpu_enter(trader->cpu);
    void *memory = aligned_alloc(64, BUFFER_BYTES);
    trader->buffer = trace_start(memory, BUFFER_BYTES);
    while (__atomic_load_n(&market->taken, __ATOMIC_RELAXED) < ALL) {
        size_t received = 1;
        const enum status status =
            market->batches
                ? market->ops->receive_batch(market->ring, messages, BATCH_MOST, &received)
                : market->ops->receive(market->ring, messages[0].payload, &messages[0].length);
        if (status == STATUS_OK)
            __atomic_fetch_add(&market->taken, (unsigned)received, __ATOMIC_RELAXED);
        else
            sched_yield();
    }
    trace_stop();
    return NULL;
}

static void trade(struct market *market, struct trader *traders)
{
    pthread_t threads[TRADERS];
    for (unsigned i = 0; i < TRADERS; i++) {
        traders[i] = (struct trader){.market = market, .cpu = 1 + i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, i < SENDERS ? sell : buy, &traders[i]),
                         0);
    }
    for (unsigned i = 0; i < TRADERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

// ---- what was recorded --------------------------------------------------------------------------

// Marks the messages of all operations of one side that were not refused.
static void mark(const struct trace_buffer *buffer, enum trace_event event, uint8_t *seen)
{
    uint32_t number = 0;
    int32_t count = 0;
    ck_assert_uint_eq(buffer->lost, 0);
    for (uint32_t i = 0; i < buffer->used; i++) {
        const struct trace_entry *entry = &buffer->entries[i];
        if (entry->phase == TRACE_PHASE_ADD) {
            count = (int32_t)entry->value;
        } else if (entry->phase != TRACE_PHASE_END) {
            ck_assert_uint_eq(entry->event, event);
            number = entry->value;
        } else if (entry->value == TRACE_END_DONE) {
            for (uint32_t k = 0; k < (uint32_t)abs(count); k++) {
                ck_assert_uint_lt(number + k, ALL);
                ck_assert_msg(seen[number + k]++ == 0, "position %u twice", number + k);
            }
        }
    }
}

static void check_positions(const struct trader *traders)
{
    static uint8_t sent[ALL], received[ALL];
    memset(sent, 0, sizeof(sent));
    memset(received, 0, sizeof(received));
    for (unsigned i = 0; i < TRADERS; i++)
        mark(traders[i].buffer, i < SENDERS ? TRACE_RING_SEND : TRACE_RING_RECEIVE,
             i < SENDERS ? sent : received);
    for (unsigned i = 0; i < ALL; i++)
        ck_assert_msg(sent[i] == 1 && received[i] == 1, "position %u is missing", i);
}

// ---- a trace ------------------------------------------------------------------------------------

static void write_trace(const struct market *market, const struct trader *traders)
{
    struct perfetto_recording recordings[TRADERS];
    char made[64];
    made_open(true, 0, 6, 0);
    uint64_t begin = UINT64_MAX, end = 0;
    for (unsigned i = 0; i < TRADERS; i++) {
        const struct trace_buffer *buffer = traders[i].buffer;
        if (buffer->used > 0) { // a busy machine may leave all to the other one
            begin = min_u64(begin, buffer->entries[0].ticks);
            end = max_u64(end, buffer->entries[buffer->used - 1].ticks);
        }
        recordings[i] = (struct perfetto_recording){
            .buffer = traders[i].buffer,
            .cpu = i,
            .thread = {.pid = 0x1100, .tid = 0x1101 + i, .process = "ipc", .name = "trader"}};
        perfetto_thread(&perfetto, &recordings[i].thread);
    }
    const struct perfetto_phase phase = {.event = TRACE_BENCH_RUN, .begin = begin, .end = end};
    const struct perfetto_row row = {.name = "ipc/several/ring",
                                     .what = "several senders and receivers",
                                     .phases = &phase,
                                     .phase_count = 1,
                                     .recordings = recordings,
                                     .recording_count = TRADERS};
    perfetto_row(&perfetto, &row);
    perfetto_close(&perfetto);
    snprintf(made, sizeof(made), "many_%s", market->ops->about.name);
    made_save(made);
}

// ---- tests --------------------------------------------------------------------------------------

static struct market new_market(const struct ring_ops *ops, bool batches)
{
    return (struct market){
        .ops = ops,
        .ring = aligned_alloc(PAGE_SIZE, align_up(ops->state_bytes, PAGE_SIZE)),
        .slots = aligned_alloc(PAGE_SIZE, align_up(SLOTS * ops->slot_bytes, PAGE_SIZE)),
        .batches = batches};
}

static void run(const struct ring_ops *ops, bool batches)
{
    struct market market = new_market(ops, batches);
    struct trader traders[TRADERS];
    ck_assert_int_eq(ops->init(market.ring, market.slots, SLOTS), STATUS_OK);
    trade(&market, traders);
    check_positions(traders);
    if (!batches)
        write_trace(&market, traders);
    for (unsigned i = 0; i < TRADERS; i++)
        free(traders[i].buffer);
    free(market.ring);
    free(market.slots);
}

START_TEST(each_position_is_recorded_once_by_who_sent_and_once_by_who_received)
{
    run(many[_i], false);
}
END_TEST

START_TEST(so_it_is_with_batches)
{
    if (many[_i]->send_batch != NULL)
        run(many[_i], true);
}
END_TEST

// ---- one CPU in the middle of another one's operation -------------------------------------------

#define SCRIPT_BYTES 4096u
#define STEPS_MOST   20000u
#define TRAP_FLAG    0x100
#define STRIDE       7u // what lies between guess and position is longer

static struct {
    const struct ring_ops *ops;
    void *ring;
    bool receives;
    unsigned steps, at; // instructions so far; behind which one the other CPU comes
    bool done;
    unsigned failed; // operations
} other;

// Without a call that is not the ring's: it would be stepped through, too.
static void move_one(bool receives)
{
    static struct ring_message message = {.length = RING_PAYLOAD_MOST};
    const enum status status =
        receives ? other.ops->receive(other.ring, message.payload, &message.length)
                 : other.ops->send(other.ring, message.payload, RING_PAYLOAD_MOST);
    other.failed += status != STATUS_OK;
}

// Behind each instruction of CPU 1. CPU 2 would wait for a lock that is held.
static void step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    const bool locked =
        other.ops == &ring_locked_queue_ops && ((struct ring_locked_queue *)other.ring)->lock.held;
    if (other.done || other.steps++ < other.at || locked)
        return;
    other.done = true;
    test_cpu_enter(2);
    move_one(other.receives);
    test_cpu_enter(1);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG; // that was all
}

// The number of the one operation that was recorded; *mended: not the one it began with.
static uint32_t number_of(const struct trace_buffer *buffer, bool *mended)
{
    uint32_t number = UINT32_MAX;
    for (uint32_t i = 0; i < buffer->used; i++) {
        const struct trace_entry *entry = &buffer->entries[i];
        if (entry->phase <= TRACE_PHASE_BEGIN_IN || entry->phase == TRACE_PHASE_NUMBER)
            number = entry->value;
        *mended = *mended || entry->phase == TRACE_PHASE_NUMBER;
    }
    return number;
}

// True while there is an instruction number `at` in the operation.
static bool interfere(struct market *market, unsigned at, bool receives, bool *mended)
{
    static _Alignas(64) uint8_t memory[2][SCRIPT_BYTES];
    struct trace_buffer *buffers[2];
    ck_assert_int_eq(market->ops->init(market->ring, market->slots, SLOTS), STATUS_OK);
    memset(&other, 0, sizeof(other));
    other.ops = market->ops;
    other.ring = market->ring;
    other.at = at;
    other.receives = receives;
    for (unsigned i = 0; i < 2 && receives; i++)
        move_one(false);
    for (unsigned i = 2; i > 0; i--) {
        test_cpu_enter(i);
        buffers[i - 1] = trace_start(memory[i - 1], SCRIPT_BYTES);
    }
    single_step(true);
    move_one(receives);
    single_step(false);
    trace_stop();
    ck_assert_uint_eq(other.failed, 0);
    const uint32_t numbers[2] = {number_of(buffers[0], mended), number_of(buffers[1], mended)};
    if (other.done)
        ck_assert_msg(numbers[0] + numbers[1] == 1, "behind instruction %u: %u and %u", at,
                      numbers[0], numbers[1]);
    return other.done;
}

START_TEST(whenever_another_one_comes_between_both_record_what_they_took)
{
    struct market market = new_market(many[_i], false);
    struct sigaction old, action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    ck_assert_int_eq(sigaction(SIGTRAP, &action, &old), 0);
    for (unsigned receives = 0; receives < 2; receives++) {
        bool mended = false;
        unsigned at = 0;
        while (at < STEPS_MOST && interfere(&market, at, receives != 0, &mended))
            at += STRIDE;
        ck_assert_uint_lt(at, STEPS_MOST);
        ck_assert_msg(mended, "none came between the guess and the position");
    }
    ck_assert_int_eq(sigaction(SIGTRAP, &old, NULL), 0);
    free(market.ring);
    free(market.slots);
}
END_TEST

START_TEST(a_number_is_recorded_only_where_the_first_one_was_wrong)
{
    _Alignas(64) uint8_t memory[sizeof(struct trace_buffer) + 8 * sizeof(struct trace_entry)];
    test_cpu_enter(1);
    struct trace_buffer *buffer = trace_start(memory, sizeof(memory));
    trace_begin_out(TRACE_RING_SEND, 5);
    trace_number(TRACE_RING_SEND, 5);
    ck_assert_uint_eq(buffer->used, 1);
    trace_number(TRACE_RING_SEND, 6);
    ck_assert_uint_eq(buffer->used, 2);
    ck_assert_uint_eq(buffer->entries[1].phase, TRACE_PHASE_NUMBER);
    ck_assert_uint_eq(buffer->entries[1].value, 6);
    // Another one's begin with that number is not this one's.
    trace_begin_in(TRACE_RING_RECEIVE, 7);
    trace_number(TRACE_RING_SEND, 7);
    ck_assert_uint_eq(buffer->used, 4);
    trace_stop();
    trace_number(TRACE_RING_SEND, 8);
    ck_assert_uint_eq(buffer->used, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("traced rings");
    TCase *traces = tcase_create("traces"), *others = tcase_create("positions");
    tcase_set_timeout(traces, 60);
    tcase_set_timeout(others, 60);
    tcase_set_tags(others, NO_TRACES);
    tcase_add_loop_test(traces, each_position_is_recorded_once_by_who_sent_and_once_by_who_received,
                        0, ARRAY_COUNT(many));
    tcase_add_loop_test(others, so_it_is_with_batches, 0, ARRAY_COUNT(many));
    tcase_add_loop_test(others, whenever_another_one_comes_between_both_record_what_they_took, 0,
                        ARRAY_COUNT(many));
    tcase_add_test(others, a_number_is_recorded_only_where_the_first_one_was_wrong);
    suite_add_tcase(suite, traces);
    suite_add_tcase(suite, others);
    return run_checks(suite);
}
