// SPDX-License-Identifier: MIT
// trace/: the recorder, the encoder against golden files, losses, clocks, compression.
#include <asm/prctl.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inflate.h"
#include "run_checks.h"
#include "seed.h"
#include "trace_made.h"

static void open_trace(bool compress)
{
    made_open(compress, 1000000000, 2, 1000);
}

// ---- buffers made by hand -----------------------------------------------------------------------

#define ENTRIES_MOST 200000u

static struct trace_buffer *new_buffer(void)
{
    struct trace_buffer *buffer =
        malloc(sizeof(*buffer) + ENTRIES_MOST * sizeof(struct trace_entry));
    ck_assert_ptr_nonnull(buffer);
    *buffer = (struct trace_buffer){.capacity = ENTRIES_MOST};
    return buffer;
}

static void add(struct trace_buffer *buffer, uint64_t ticks, enum trace_event event,
                enum trace_phase phase, int32_t value)
{
    ck_assert_uint_lt(buffer->used, buffer->capacity);
    buffer->entries[buffer->used++] = (struct trace_entry){.ticks = ticks,
                                                           .value = (uint32_t)value,
                                                           .event = (uint16_t)event,
                                                           .phase = (uint16_t)phase};
}

// An allocation that takes 10 ticks and goes down `levels`.
static void allocate(struct trace_buffer *buffer, uint64_t ticks, int32_t size, unsigned levels)
{
    add(buffer, ticks, TRACE_HEAP_ALLOCATE, TRACE_PHASE_BEGIN, size);
    if (levels > 0)
        add(buffer, ticks + 1, TRACE_HEAP_REFILL, TRACE_PHASE_BEGIN, 32);
    if (levels > 1) {
        add(buffer, ticks + 2, TRACE_HEAP_PAGES, TRACE_PHASE_BEGIN, 1);
        add(buffer, ticks + 7, TRACE_HEAP_PAGES, TRACE_PHASE_END, 0);
    }
    if (levels > 0)
        add(buffer, ticks + 8, TRACE_HEAP_REFILL, TRACE_PHASE_END, 0);
    add(buffer, ticks + 9, TRACE_HEAP_OBJECTS, TRACE_PHASE_ADD, 1);
    add(buffer, ticks + 9, TRACE_HEAP_BYTES, TRACE_PHASE_ADD, size);
    add(buffer, ticks + 10, TRACE_HEAP_ALLOCATE, TRACE_PHASE_END, 0);
}

static void release(struct trace_buffer *buffer, uint64_t ticks, int32_t size)
{
    add(buffer, ticks, TRACE_HEAP_RELEASE, TRACE_PHASE_BEGIN, size);
    add(buffer, ticks + 3, TRACE_HEAP_OBJECTS, TRACE_PHASE_ADD, -1);
    add(buffer, ticks + 3, TRACE_HEAP_BYTES, TRACE_PHASE_ADD, -size);
    add(buffer, ticks + 4, TRACE_HEAP_RELEASE, TRACE_PHASE_END, 0);
}

static void message(struct trace_buffer *buffer, uint64_t ticks, enum trace_event event,
                    int32_t number)
{
    const bool out_going = event == TRACE_RING_SEND;
    add(buffer, ticks, event, out_going ? TRACE_PHASE_BEGIN_OUT : TRACE_PHASE_BEGIN_IN, number);
    add(buffer, ticks + 3, TRACE_RING_MESSAGES, TRACE_PHASE_ADD, out_going ? 1 : -1);
    add(buffer, ticks + 4, event, TRACE_PHASE_END, 0);
}

static const struct perfetto_thread heap_threads[] = {
    {.pid = 0x1000, .tid = 0x1001, .process = "heap", .name = "hybrid"},
};
static const struct perfetto_thread ipc_threads[] = {
    {.pid = 0x1100, .tid = 0x1101, .process = "ipc", .name = "producer"},
    {.pid = 0x1100, .tid = 0x1102, .process = "ipc", .name = "consumer"},
};

static void write_row(uint32_t number, const char *name, const struct perfetto_thread *ran,
                      uint64_t begin, uint64_t end, struct trace_buffer *const *buffers,
                      size_t count)
{
    struct perfetto_recording recordings[2];
    struct perfetto_phase phases[2] = {
        {.event = TRACE_BENCH_PREPARE, .begin = begin, .end = begin + 50},
        {.event = TRACE_BENCH_RUN,
         .begin = begin + 50,
         .end = end,
         .notes = {{.name = "operations", .number = 3}, {.name = "p50", .text = "12.5 ticks"}},
         .note_count = 2},
    };
    for (size_t i = 0; i < count; i++)
        recordings[i] =
            (struct perfetto_recording){.buffer = buffers[i], .cpu = (uint32_t)i, .thread = ran[i]};
    const struct perfetto_row row = {.number = number,
                                     .name = name,
                                     .what = "what it measures",
                                     .phases = phases,
                                     .phase_count = 2,
                                     .recordings = recordings,
                                     .recording_count = count};
    perfetto_row(&perfetto, &row);
}

// ---- the recorder -------------------------------------------------------------------------------

static struct cpu_local local = {.self = &local};

static void be_a_cpu(void)
{
    ck_assert_int_eq(syscall(SYS_arch_prctl, ARCH_SET_GS, &local), 0);
}

START_TEST(an_event_is_recorded_as_it_was_said)
{
    _Alignas(64) uint8_t bytes[1024];
    be_a_cpu();
    struct trace_buffer *buffer = trace_start(bytes, sizeof(bytes));
    const uint64_t before = cpu_ticks();
    trace_record(TRACE_HEAP_REFILL, TRACE_PHASE_BEGIN, 32);
    trace_record(TRACE_HEAP_BYTES, TRACE_PHASE_ADD, (uint32_t)-64);
    trace_stop();
    trace_record(TRACE_HEAP_REFILL, TRACE_PHASE_END, 0);
    ck_assert_uint_eq(buffer->used, 2);
    ck_assert_uint_ge(buffer->entries[0].ticks, before);
    ck_assert_uint_ge(buffer->entries[1].ticks, buffer->entries[0].ticks);
    ck_assert_uint_eq(buffer->entries[0].value, 32);
    ck_assert_uint_eq(buffer->entries[0].event, TRACE_HEAP_REFILL);
    ck_assert_uint_eq(buffer->entries[1].phase, TRACE_PHASE_ADD);
    ck_assert_int_eq((int32_t)buffer->entries[1].value, -64);
    ck_assert_uint_eq(buffer->lost, 0);
}
END_TEST

START_TEST(a_full_buffer_counts_what_it_loses_and_keeps_the_first)
{
    _Alignas(64) uint8_t bytes[sizeof(struct trace_buffer) + 10 * sizeof(struct trace_entry)];
    be_a_cpu();
    struct trace_buffer *buffer = trace_start(bytes, sizeof(bytes));
    for (uint32_t i = 0; i < 100; i++)
        trace_record(TRACE_PROBE, TRACE_PHASE_INSTANT, i);
    trace_stop();
    ck_assert_uint_eq(buffer->used, 10);
    ck_assert_uint_eq(buffer->lost, 90);
    for (uint32_t i = 0; i < 10; i++)
        ck_assert_uint_eq(buffer->entries[i].value, i);
}
END_TEST

// ---- clocks -------------------------------------------------------------------------------------

START_TEST(ticks_become_nanoseconds_within_one_a_millisecond)
{
    static const uint64_t frequencies[] = {1000000,    14318180,   999999999,
                                           1000000000, 1799999999, 2494139000,
                                           2500000000, 3999999937, 4700000000};
    struct random random = seeded_for("clock");
    for (unsigned i = 0; i < sizeof(frequencies) / sizeof(frequencies[0]); i++) {
        const uint64_t hz = frequencies[i], multiplier = perfetto_multiplier(hz);
        for (unsigned k = 0; k < 10000; k++) {
            // Up to a month.
            const uint64_t ticks = random_below(&random, hz * 86400 * 31);
            const uint64_t exact = (uint64_t)((unsigned __int128)ticks * 1000000000 / hz);
            const uint64_t ns = perfetto_ticks_to_ns(multiplier, ticks);
            const uint64_t apart = ns > exact ? ns - exact : exact - ns;
            ck_assert_uint_le(apart, 1 + exact / 1000000);
            // And from one event to the next, a millisecond later.
            const uint64_t apart_ns = hz / 1000 * 1000000000 / hz;
            const uint64_t later = perfetto_ticks_to_ns(multiplier, ticks + hz / 1000) - ns;
            ck_assert_uint_ge(later + 1, apart_ns);
            ck_assert_uint_le(later, apart_ns + 1);
        }
    }
    ck_assert_uint_eq(perfetto_ticks_to_ns(perfetto_multiplier(0), 12345), 12345);
}
END_TEST

// ---- golden files -------------------------------------------------------------------------------

START_TEST(operations_nest_and_counters_follow)
{
    struct trace_buffer *buffer = new_buffer();
    allocate(buffer, 2000, 64, 2);
    allocate(buffer, 2050, 64, 0);
    release(buffer, 2070, 64);
    allocate(buffer, 2080, 2048, 1);
    open_trace(false);
    perfetto_attribute_text(&perfetto, "clock_class", "insn");
    perfetto_attribute_number(&perfetto, "tsc_khz", 1000000);
    perfetto_thread(&perfetto, heap_threads);
    write_row(3, "heap/pair_64/hybrid", heap_threads, 1990, 2100, &buffer, 1);
    perfetto_close(&perfetto);
    made_compare_golden("one_row");
    ck_assert_uint_eq(perfetto.counts.lost, 0);
    // 7 slices on the thread, 2 phases: begin and end of each; 4 times two counters.
    ck_assert_uint_eq(perfetto.counts.events, 2 * 7 + 2 * 2 + 4 * 2);
    free(buffer);
}
END_TEST

START_TEST(two_cpus_have_sequences_of_their_own_and_flows_across)
{
    struct trace_buffer *buffers[2] = {new_buffer(), new_buffer()};
    for (int32_t i = 0; i < 40; i++) {
        message(buffers[0], 5000 + (uint64_t)i * 20, TRACE_RING_SEND, i);
        message(buffers[1], 5011 + (uint64_t)i * 20, TRACE_RING_RECEIVE, i);
    }
    open_trace(false);
    perfetto_thread(&perfetto, &ipc_threads[0]);
    perfetto_thread(&perfetto, &ipc_threads[1]);
    write_row(0, "ipc/pair_56/fusion_spsc", ipc_threads, 4900, 6000, buffers, 2);
    perfetto_close(&perfetto);
    made_compare_golden("two_cpus");
    ck_assert_uint_eq(perfetto.cpus_seen, 3);
    free(buffers[0]);
    free(buffers[1]);
}
END_TEST

// The second message is sent after its receiver began, the third one never; numbers whose flows
// are drawn.
START_TEST(a_message_that_comes_late_arrives_where_its_receiver_is_done)
{
    struct trace_buffer *buffers[2] = {new_buffer(), new_buffer()};
    message(buffers[0], 5000, TRACE_RING_SEND, 0);
    message(buffers[1], 5010, TRACE_RING_RECEIVE, 0);
    add(buffers[1], 5020, TRACE_RING_RECEIVE, TRACE_PHASE_BEGIN_IN, 16);
    message(buffers[0], 5030, TRACE_RING_SEND, 16);
    add(buffers[1], 5040, TRACE_RING_RECEIVE, TRACE_PHASE_END, TRACE_END_DONE);
    message(buffers[1], 5050, TRACE_RING_RECEIVE, 32);
    open_trace(false);
    write_row(0, "ipc/pair_56/fusion_spsc", ipc_threads, 4900, 6000, buffers, 2);
    perfetto_close(&perfetto);
    made_save("late");
    free(buffers[0]);
    free(buffers[1]);
}
END_TEST

// Rings there and back: message 16 of each. Who sent it waits for the other's at once.
START_TEST(a_number_that_two_senders_have_ends_its_flow_where_its_receiver_is_done)
{
    struct trace_buffer *buffers[2] = {new_buffer(), new_buffer()};
    message(buffers[0], 5000, TRACE_RING_SEND, 16);
    add(buffers[0], 5010, TRACE_RING_RECEIVE, TRACE_PHASE_BEGIN_IN, 16);
    add(buffers[1], 5012, TRACE_RING_RECEIVE, TRACE_PHASE_BEGIN_IN, 16);
    add(buffers[1], 5020, TRACE_RING_RECEIVE, TRACE_PHASE_END, TRACE_END_DONE);
    message(buffers[1], 5030, TRACE_RING_SEND, 16);
    add(buffers[0], 5050, TRACE_RING_RECEIVE, TRACE_PHASE_END, TRACE_END_DONE);
    open_trace(false);
    write_row(0, "ipc/round_trip_56/fusion_spsc", ipc_threads, 4900, 6000, buffers, 2);
    perfetto_close(&perfetto);
    made_save("there_and_back");
    free(buffers[0]);
    free(buffers[1]);
}
END_TEST

START_TEST(slow_windows_lie_in_the_run_and_smis_between_them)
{
    struct trace_buffer *buffer = new_buffer();
    for (unsigned i = 0; i < 40; i++)
        allocate(buffer, 3000 + 20 * i, 64, i == 37 ? 2 : 0);
    static const struct perfetto_phase phases[] = {
        {.event = TRACE_BENCH_PREPARE, .begin = 2900, .end = 2990},
        {.event = TRACE_BENCH_RUN, .begin = 2990, .end = 4000},
        {.event = TRACE_BENCH_SLOW, .begin = 3100, .end = 3300},
        {.event = TRACE_BENCH_SLOW,
         .begin = 3700,
         .end = 3800,
         .notes = {{.name = "of the round", .text = "max"}},
         .note_count = 1},
    };
    static const struct perfetto_instant instants[] = {
        {.event = TRACE_SMI, .ticks = 3050, .value = 1},
        {.event = TRACE_SMI, .ticks = 3300, .value = 2},
    };
    const struct perfetto_recording recording = {.buffer = buffer, .thread = heap_threads[0]};
    const struct perfetto_row row = {.name = "heap/pair_64/hybrid",
                                     .what = "what it measures",
                                     .phases = phases,
                                     .phase_count = 4,
                                     .instants = instants,
                                     .instant_count = 2,
                                     .recordings = &recording,
                                     .recording_count = 1};
    open_trace(false);
    perfetto_row(&perfetto, &row);
    perfetto_close(&perfetto);
    made_compare_golden("slow");
    free(buffer);
}
END_TEST

// Of thousands that are alike, those that took the longest are drawn wherever they are.
START_TEST(the_longest_operation_of_a_phase_is_drawn)
{
    struct trace_buffer *buffer = new_buffer();
    uint64_t at = 10000;
    for (unsigned i = 0; i < 1000; i++, at += 40)
        allocate(buffer, at, i == 900 ? 4095 : 64, 0);
    buffer->entries[900 * 4 + 3].ticks += 25;
    open_trace(false);
    write_row(0, "heap/alloc_64/hybrid", heap_threads, 9000, at, &buffer, 1);
    perfetto_close(&perfetto);
    made_save("longest");
    ck_assert_uint_eq(perfetto.counts.left_out, 1000 - PERFETTO_LEAVES_DRAWN - 1);
    free(buffer);
}
END_TEST

// ---- losses -------------------------------------------------------------------------------------

START_TEST(what_a_full_buffer_lost_is_told_exactly_and_slices_are_closed)
{
    struct trace_buffer *buffer = new_buffer();
    allocate(buffer, 3000, 64, 0);
    allocate(buffer, 3020, 64, 2);
    buffer->used -= 4; // within refill
    buffer->lost = 4321;
    open_trace(false);
    write_row(0, "heap/pair_64/hybrid", heap_threads, 2990, 3100, &buffer, 1);
    perfetto_close(&perfetto);
    made_compare_golden("overflow");
    ck_assert_uint_eq(perfetto.counts.lost, 4321);
    ck_assert_uint_eq(perfetto.lost[0], 4321);
    free(buffer);
}
END_TEST

START_TEST(an_end_without_a_begin_is_not_written)
{
    struct trace_buffer *buffer = new_buffer();
    add(buffer, 1100, TRACE_HEAP_REFILL, TRACE_PHASE_END, 0);
    allocate(buffer, 1200, 64, 0);
    open_trace(false);
    write_row(0, "heap/pair_64/hybrid", heap_threads, 1090, 1300, &buffer, 1);
    perfetto_close(&perfetto);
    made_save("orphan");
    // The allocation, its two counters, two phases.
    ck_assert_uint_eq(perfetto.counts.events, 2 + 2 + 2 * 2);
    free(buffer);
}
END_TEST

START_TEST(of_thousands_of_operations_the_first_are_drawn_and_the_others_counted)
{
    struct trace_buffer *buffer = new_buffer();
    uint64_t at = 10000;
    for (unsigned i = 0; i < 5000; i++, at += 40) {
        allocate(buffer, at, 64, i % 10 == 0 ? 2 : 0);
        release(buffer, at + 20, 64);
    }
    open_trace(true);
    write_row(0, "heap/mixed_100k/hybrid", heap_threads, 9000, at, &buffer, 1);
    perfetto_close(&perfetto);
    made_save("thinned");
    ck_assert_uint_eq(perfetto.counts.left_out, 10000 - PERFETTO_LEAVES_DRAWN -
                                                    PERFETTO_NESTED_DRAWN - PERFETTO_SLOWEST_DRAWN);
    free(buffer);
}
END_TEST

START_TEST(a_long_trace_is_cut_into_chunks_that_end_between_packets)
{
    struct trace_buffer *buffer = new_buffer();
    struct random random = seeded_for("chunks");
    uint64_t at = 10000;
    for (unsigned row = 0; row < 60; row++) {
        const uint64_t begin = at;
        buffer->used = 0;
        for (unsigned i = 0; i < 300; i++) {
            allocate(buffer, at, (int32_t)random_below(&random, 4096), i % 3);
            release(buffer, at + 20, 64);
            at += 30 + random_below(&random, 3000);
        }
        if (row == 0)
            open_trace(true);
        char name[32];
        snprintf(name, sizeof(name), "heap/row_%u/hybrid", row);
        write_row(row, name, heap_threads, begin, at, &buffer, 1);
    }
    perfetto_close(&perfetto);
    made_save("chunks");
    ck_assert_uint_gt(out.chunks, 20);
    // Compressed, a chunk is one packet: 0x0a and a length of three bytes say where it ends.
    for (size_t i = 0, start = 0; i < out.chunks; start = out.ends[i++]) {
        const uint8_t *packet = out.bytes + start;
        const size_t length =
            (packet[1] & 0x7f) | (size_t)(packet[2] & 0x7f) << 7 | (size_t)packet[3] << 14;
        ck_assert_uint_eq(packet[0], 0x0a);
        ck_assert_uint_eq(start + 4 + length, out.ends[i]);
    }
    ck_assert_uint_lt(out.length, perfetto.counts.events * 6);
    free(buffer);
}
END_TEST

// ---- protocol buffers ---------------------------------------------------------------------------

START_TEST(a_message_gets_its_length_when_it_is_closed)
{
    uint8_t bytes[64];
    struct proto proto = proto_into(bytes, sizeof(bytes));
    const size_t outer = proto_open(&proto, 1, 2);
    proto_number(&proto, 8, 300);
    const size_t inner = proto_open(&proto, 11, 1);
    proto_text(&proto, 2, "ab");
    proto_close(&proto, inner, 1);
    proto_fixed64(&proto, 47, 0x0102030405060708);
    proto_close(&proto, outer, 2);
    static const uint8_t expected[] = {0x0a, 0x93, 0x00, 0x40, 0xac, 0x02, 0x5a, 0x04,
                                       0x12, 0x02, 'a',  'b',  0xf9, 0x02, 8,    7,
                                       6,    5,    4,    3,    2,    1};
    ck_assert(!proto.full);
    ck_assert_mem_eq(bytes, expected, sizeof(expected));
    ck_assert_uint_eq(proto.length, sizeof(expected));
}
END_TEST

START_TEST(what_does_not_fit_is_not_written_and_said)
{
    uint8_t bytes[8] = {0};
    struct proto proto = proto_into(bytes, 4);
    proto_text(&proto, 1, "abcdef");
    ck_assert(proto.full);
    ck_assert_uint_le(proto.length, 4);
    ck_assert_uint_eq(bytes[4] | bytes[5] | bytes[6] | bytes[7], 0);

    uint8_t more[256];
    proto = proto_into(more, sizeof(more));
    const size_t mark = proto_open(&proto, 1, 1);
    for (unsigned i = 0; i < 128; i++)
        proto_raw(&proto, "x", 1);
    proto_close(&proto, mark, 1);
    ck_assert(proto.full);
}
END_TEST

// ---- compression --------------------------------------------------------------------------------

START_TEST(what_is_compressed_comes_back)
{
    static uint8_t in[DEFLATE_INPUT_MOST], packed[2 * DEFLATE_INPUT_MOST],
        back[DEFLATE_INPUT_MOST + 1];
    static struct deflate state;
    struct random random = seeded_for("deflate");
    for (unsigned round = 0; round < 60; round++) {
        const size_t length = round < 20 ? round : random_below(&random, DEFLATE_INPUT_MOST + 1);
        const uint64_t letters = 1 + random_below(&random, 256);
        const uint64_t repeat = random_below(&random, 4);
        for (size_t i = 0; i < length; i++) {
            // Pieces of what stands before, at any distance, between random bytes.
            const size_t from = i > 0 ? random_below(&random, i) : 0;
            const size_t run = random_below(&random, 300);
            for (size_t k = 0; repeat > 0 && i > 0 && k < run && i + 1 < length; k++, i++)
                in[i] = in[from + k];
            in[i] = (uint8_t)random_below(&random, letters);
        }
        const size_t bytes = deflate_zlib(&state, in, length, packed);
        ck_assert_uint_le(bytes, deflate_bound(length));
        ck_assert_uint_eq(inflate_zlib(packed, bytes, back, sizeof(back)), length);
        ck_assert_mem_eq(in, back, length);
    }
}
END_TEST

START_TEST(repetition_becomes_short)
{
    static uint8_t in[DEFLATE_INPUT_MOST], packed[2 * DEFLATE_INPUT_MOST];
    static struct deflate state;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = "packet of a trace, "[i % 19];
    ck_assert_uint_lt(deflate_zlib(&state, in, sizeof(in), packed), sizeof(in) / 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("perfetto");
    TCase *trace = tcase_create("traces"), *others = tcase_create("encoder");
    tcase_set_timeout(trace, 120);
    tcase_set_timeout(others, 120);
    tcase_set_tags(others, NO_TRACES);
    tcase_add_test(others, an_event_is_recorded_as_it_was_said);
    tcase_add_test(others, a_full_buffer_counts_what_it_loses_and_keeps_the_first);
    tcase_add_test(others, ticks_become_nanoseconds_within_one_a_millisecond);
    tcase_add_test(trace, operations_nest_and_counters_follow);
    tcase_add_test(trace, two_cpus_have_sequences_of_their_own_and_flows_across);
    tcase_add_test(trace, a_message_that_comes_late_arrives_where_its_receiver_is_done);
    tcase_add_test(trace, a_number_that_two_senders_have_ends_its_flow_where_its_receiver_is_done);
    tcase_add_test(trace, slow_windows_lie_in_the_run_and_smis_between_them);
    tcase_add_test(trace, the_longest_operation_of_a_phase_is_drawn);
    tcase_add_test(trace, what_a_full_buffer_lost_is_told_exactly_and_slices_are_closed);
    tcase_add_test(trace, an_end_without_a_begin_is_not_written);
    tcase_add_test(trace, of_thousands_of_operations_the_first_are_drawn_and_the_others_counted);
    tcase_add_test(trace, a_long_trace_is_cut_into_chunks_that_end_between_packets);
    tcase_add_test(others, a_message_gets_its_length_when_it_is_closed);
    tcase_add_test(others, what_does_not_fit_is_not_written_and_said);
    tcase_add_test(others, what_is_compressed_comes_back);
    tcase_add_test(others, repetition_becomes_short);
    suite_add_tcase(suite, trace);
    suite_add_tcase(suite, others);
    return run_checks(suite);
}
