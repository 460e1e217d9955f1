// SPDX-License-Identifier: MIT
// What the tests of bench/framework/measure.c measure: a suite whose bodies take the time and give
// the answers that a test writes down, and what was reported about it. One thread.
#ifndef MEASURE_SUBJECT_H
#define MEASURE_SUBJECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "record.h"
#include "scripted_ticks.h"
#include "test_platform.h"

#define VARIANTS     3u
#define PAIR         24u // ticks between the two reads of a window
#define MEMORY_BYTES (24u << 20)
#define SEEN_MOST    100000u

// ---- the scripted suite -------------------------------------------------------------------------

// What a variant does; its table of functions, as far as the framework knows.
struct script {
    uint64_t each;    // ticks of an operation
    uint64_t cold;    // further ticks of the first window after `prepare`
    uint64_t warming; // of the next two
    uint64_t hiccup;  // of every second window
    uint64_t later;   // of window `later_window` after the `later_prepare`th `prepare`, from 1
    unsigned later_window, later_prepare;
    unsigned tagged_from;   // window of a round whose events are 0, then 1, 2, 3, ... as bits
    uint64_t wrong_at;      // operations whose checksum is wrong by one
    unsigned wrong_prepare; // only after this `prepare`, from 1; 0: always
    uint64_t failed_at;     // operations that are answered with BENCH_FAILED
    bool unprepared, broken;
    unsigned prepared, windows, checked, before; // counts; windows since `prepare`
    unsigned finished, unfinished;               // contexts; the most that were alive at once
};

static struct script scripts[VARIANTS];
static uint64_t now;
static struct platform_events events;

// What happened, in order: a letter for each `prepare`, of which variant; where; windows likewise.
static char prepared[SEEN_MOST];
static void *places[SEEN_MOST];
static uint64_t seeds[SEEN_MOST], window_operations[SEEN_MOST];
static size_t prepared_count, window_count;

static uint64_t read_ticks(void)
{
    now += PAIR;
    return now;
}

static void read_events(struct platform_events *out)
{
    *out = events;
}

static uint64_t body(void *context, uint64_t operations)
{
    struct script *script = *(struct script **)context;
    const unsigned window = script->windows++;
    now += script->each * operations;
    now += window == 0 ? script->cold : window <= 2 ? script->warming : 0;
    now += window % 2 == 1 ? script->hiccup : 0;
    now += script->prepared == script->later_prepare && window == script->later_window
               ? script->later
               : 0;
    if (script->tagged_from > 0 && window >= script->tagged_from) {
        const unsigned bits = window - script->tagged_from;
        events.interrupts += bits & 1;
        events.page_faults += bits >> 1 & 1;
        events.migrations += bits >> 2 & 1;
        events.preemptions += bits >> 3 & 1;
        events.nmis += bits >> 4 & 1;
        events.smis += bits >> 5 & 1;
        events.steal_ns += (bits >> 6 & 1) * 10000000;
    }
    ck_assert_uint_lt(window_count, SEEN_MOST);
    window_operations[window_count++] = operations;
    if (operations == script->failed_at)
        return BENCH_FAILED;
    const bool wrong_now = script->wrong_prepare == 0 || script->wrong_prepare == script->prepared;
    return operations * 3 + (operations == script->wrong_at && wrong_now);
}

// The body of the case that nobody asked for.
static uint64_t other_body(void *context, uint64_t operations)
{
    (void)context;
    (void)operations;
    ck_abort_msg("a body of another case was called");
    return 0;
}

static void *prepare(size_t which, const void *ops, void *memory, size_t length, uint64_t seed)
{
    struct script *script = &scripts[(const struct script *)ops - scripts];
    ck_assert_uint_eq(which, 1);
    ck_assert_uint_gt(length, 0);
    ck_assert_uint_lt(prepared_count, SEEN_MOST);
    prepared[prepared_count] = (char)('A' + (script - scripts));
    places[prepared_count] = memory;
    seeds[prepared_count++] = seed;
    script->prepared++;
    script->windows = 0;
    if (script->unprepared)
        return NULL;
    if (script->prepared - script->finished > script->unfinished)
        script->unfinished = script->prepared - script->finished;
    *(struct script **)memory = script;
    return memory;
}

static void before(size_t which, const void *ops, void *context, uint64_t operations)
{
    (void)which;
    (void)ops;
    (void)operations;
    (*(struct script **)context)->before++;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which;
    (void)context;
    return operations * 3;
}

static void counters(size_t which, const void *ops, const void *context,
                     const struct bench_counters *out)
{
    (void)which;
    (void)ops;
    out->emit(out->context, "windows", (*(struct script *const *)context)->windows, 7, "ratio");
}

static bool check(size_t which, const void *ops, const void *context)
{
    struct script *script = *(struct script *const *)context;
    (void)which;
    (void)ops;
    script->checked++;
    return !script->broken;
}

static void finish(size_t which, const void *ops, void *context)
{
    struct script *script = *(struct script **)context;
    ck_assert_uint_eq(which, 1);
    ck_assert_ptr_eq(ops, script);
    script->finished++;
}

// Bodies of the second variant have measured a part of their window, the others have not.
static inline uint64_t said_ticks(size_t which, const void *context)
{
    ck_assert_uint_eq(which, 1);
    return *(struct script *const *)context == &scripts[1] ? 33 : BENCH_WHOLE_WINDOW;
}

static const struct variant about[VARIANTS] = {{"a", "the first", VARIANT_BASELINE},
                                               {"b", "the second", VARIANT_PRODUCT},
                                               {"c", "the third", VARIANT_FLOOR}};
static const struct bench_variant variants[VARIANTS] = {
    {&about[0], &scripts[0], 7}, {&about[1], &scripts[1], 8}, {&about[2], &scripts[2], 9}};
static bench_body *const bodies[2 * VARIANTS] = {other_body, body,       other_body,
                                                 body,       other_body, body};
static struct bench_case cases[2];
static struct bench_suite suite = {.name = "scripted",
                                   .what = "whatever a test wants",
                                   .cases = cases,
                                   .case_count = 2,
                                   .variants = variants,
                                   .variant_count = VARIANTS,
                                   .bodies = bodies,
                                   .prepare = prepare,
                                   .before = before,
                                   .expected = expected,
                                   .counters = counters,
                                   .check = check,
                                   .finish = finish};

// ---- one run ------------------------------------------------------------------------------------

static struct options options;
static struct clock fake_clock;
static struct row rows[VARIANTS + 1];
static struct report report;
static uint8_t *stream; // what the report writes to
static void *memory;
static size_t memory_length;

static size_t swallow(const void *bytes, size_t length)
{
    (void)bytes;
    (void)length;
    return 0;
}

static inline void set_up(void)
{
    stream = aligned_alloc(4096, 4u << 20);
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    ck_assert(stream != NULL && memory != NULL);
    memory_length = MEMORY_BYTES;
    memset(scripts, 0, sizeof(scripts));
    events = (struct platform_events){.known = RECORD_TAGS - 1};
    for (unsigned i = 0; i < VARIANTS; i++)
        scripts[i].each = 10;
    now = prepared_count = window_count = 0;
    cases[1] = (struct bench_case){.name = "second",
                                   .what = "the case that is measured",
                                   .operations = 8,
                                   .samples_exact = 3,
                                   .seconds = 9};
    cases[0] = cases[1];
    cases[0].name = "first";
    options = (struct options){.output = OUTPUT_FRAMED, .seed = 1};
    fake_clock = (struct clock){.class = PLATFORM_CLOCK_INSN, .ordered_stop = true};
    fake_clock.pair_min = PAIR;
    test_line_write = swallow;
    test_events = read_events;
    test_counters = NULL;
    suite.ticks = NULL;
    suite.interrupts = NULL;
    report_open(&report, &options, &fake_clock, stream, 4u << 20);
    for (unsigned i = 0; i < VARIANTS + 1; i++)
        rows[i] = (struct row){.index = i,
                               .suite = &suite,
                               .bench_case = &cases[1],
                               .variant = &variants[i % VARIANTS],
                               .aa = i == VARIANTS};
}

static inline void tear_down(void)
{
    free(stream);
    free(memory);
}

static inline struct measure measuring(void)
{
    return (struct measure){.options = &options,
                            .clock = &fake_clock,
                            .report = &report,
                            .memory = memory,
                            .length = memory_length};
}

static inline void run(size_t count)
{
    const struct measure measure = measuring();
    scripted_ticks_set(read_ticks);
    measure_case(&measure, rows, count);
    scripted_ticks_set(NULL);
}

// A sampled clock: every number a multiple of `each`, and windows as they were declared.
static inline void sampled(void)
{
    fake_clock.class = PLATFORM_CLOCK_TSC;
    fake_clock.hz = 1000000000;
    cases[1].fixed = true;
}

// ---- what was reported --------------------------------------------------------------------------

struct reported {
    uint64_t operations, count;
    int64_t overhead, cold;
    int64_t samples[128], tags[128];
};

// Finds the `skip`ped-over next record of this type and row; false if there is none.
static inline bool find(enum record_type type, uint64_t row, unsigned skip,
                        struct record_reader *reader)
{
    size_t at = 0;
    while (at < report.stream.length) {
        const uint8_t *record = report.stream.bytes + at;
        const size_t length = (size_t)(record[1] | record[2] << 8);
        at += RECORD_HEADER_BYTES + length;
        record_reader_init(reader, record + RECORD_HEADER_BYTES, length);
        if (record[0] == type && record_get_u64(reader) == row && skip-- == 0)
            return true;
    }
    return false;
}

static inline struct reported round_of(uint64_t row, unsigned round)
{
    struct reported got;
    struct record_reader reader;
    ck_assert(find(RECORD_SAMPLES, row, round, &reader));
    ck_assert_uint_eq(record_get_u64(&reader), round);
    got.operations = record_get_u64(&reader);
    got.overhead = record_get_i64(&reader);
    got.cold = record_get_i64(&reader);
    got.count = record_get_u64(&reader);
    ck_assert_uint_le(got.count, 128);
    record_get_samples(&reader, got.samples, got.count);
    record_get_samples(&reader, got.tags, got.count);
    ck_assert(!reader.failed && reader.position == reader.length);
    return got;
}

static inline unsigned count_of(enum record_type type, uint64_t row)
{
    struct record_reader reader;
    unsigned count = 0;
    while (find(type, row, count, &reader))
        count++;
    return count;
}

static inline void ended(uint64_t row, enum record_row_status status, const char *words)
{
    char detail[RECORD_TEXT_MOST + 1];
    struct record_reader reader;
    ck_assert_uint_eq(count_of(RECORD_FINISH, row), 1);
    ck_assert(find(RECORD_FINISH, row, 0, &reader));
    ck_assert_uint_eq(record_get_u64(&reader), status);
    record_get_text(&reader, detail, RECORD_TEXT_MOST, false);
    ck_assert_msg(strstr(detail, words) != NULL, "%s", detail);
    ck_assert_int_eq(rows[row].status, status);
}

#endif
