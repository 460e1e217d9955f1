// SPDX-License-Identifier: MIT
#include "measure.h"

#include "compiler.h"
#include "core_ratio.h"
#include "cpu.h"
#include "disturbances.h"
#include "format.h"
#include "platform.h"
#include "processor.h"
#include "random.h"
#include "record.h"
#include "string.h"

#define ROUNDS_EXACT     2u
#define ROUNDS_SAMPLED   20u
#define ROUNDS_FULL      40u
#define ROUNDS_EMULATED  2u // an emulator takes long, and no claim rests on what it says
#define SAMPLES_SAMPLED  50u
#define SAMPLES_EMULATED 20u
#define SAMPLES_LEAST    10u
#define SAMPLES_FEW      5u // emulated: the least, and what a case gets that waits for other CPUs
#define SAMPLES_SCARCE   2u // of a case whose windows take long
#define ROUND_BUDGET_MS                                                                            \
    50u // of the slowest participant, on sampled clocks, unless samples= says more
#define WARM_UP_WINDOWS   2u
#define TIMER_SHARE       100u // the window must be this many times the timer's cost
#define OPERATIONS_MOST   (1u << 20)
#define CONTEXT_ALIGNMENT (2u << 20)
// No machine in sight finishes this many instructions in one tick, not even of those that cost
// nothing (a core at twice the reference clock that retires eight fused pairs a cycle).
#define INSTRUCTIONS_A_TICK 32u

// One row of the case and where its work lives.
struct participant {
    struct row *row;
    bench_body *body;
    size_t which; // case
    void *memory;
    size_t length;
    void *context;    // made anew each round
    int64_t *samples; // of all rounds
    uint8_t *tags;    // likewise
    int64_t cold;     // of the first round
    struct core_ratio ratio;
    size_t taken;
};

struct field {
    const struct measure *measure;
    const struct bench_case *bench_case;
    struct participant participants[MEASURE_ROWS_MOST];
    size_t count;
    uint64_t rounds;
    uint64_t samples; // windows a round
    uint64_t operations;
    int64_t *tags;              // of one round
    struct processor processor; // its counters, if it has some
    uint8_t *memory;            // of all participants, cut into slices
    size_t slice;               // bytes
};

// ---- parameters ---------------------------------------------------------------------------------

uint64_t measure_rounds(const struct options *options, const struct clock *clock)
{
    if (options->smoke)
        return 1;
    if (options->rounds != 0)
        return options->rounds;
    if (clock->class == PLATFORM_CLOCK_INSN)
        return ROUNDS_EXACT;
    if (clock->class == PLATFORM_CLOCK_EMULATED)
        return options->full ? ROUNDS_SAMPLED : ROUNDS_EMULATED;
    return options->full ? ROUNDS_FULL : ROUNDS_SAMPLED;
}

uint64_t measure_samples(const struct options *options, const struct clock *clock,
                         const struct bench_case *bench_case)
{
    if (options->smoke)
        return 1;
    if (options->samples != 0)
        return options->samples;
    if (clock->class == PLATFORM_CLOCK_INSN)
        return max_u64(bench_case->samples_exact, 1) * (options->full ? 4 : 1);
    if (bench_case->samples_exact == 0)
        return options->full ? SAMPLES_LEAST : SAMPLES_SCARCE;
    if (clock->class == PLATFORM_CLOCK_EMULATED && !options->full && bench_case->samples_exact == 1)
        return SAMPLES_FEW;
    // A case that is about its tail wants many windows on every clock.
    if (clock->class == PLATFORM_CLOCK_EMULATED && !options->full)
        return max_u64(SAMPLES_EMULATED, bench_case->samples_exact);
    // Rounds tell more than windows where each of them has to call other CPUs.
    if (!options->full && bench_case->samples_exact == 1)
        return SAMPLES_EMULATED;
    return max_u64(SAMPLES_SAMPLED, bench_case->samples_exact);
}

// Windows behind the cold one. Where they take long, that one is warm-up enough.
static uint64_t warm_up_windows(const struct bench_case *bench_case)
{
    return bench_case->samples_exact == 0 ? 0 : WARM_UP_WINDOWS;
}

uint64_t measure_definition(const struct bench_case *bench_case,
                            const struct bench_variant *variant, uint64_t seed)
{
    const uint64_t parameters[] = {bench_case->source_hash,
                                   bench_case->operations,
                                   bench_case->fixed,
                                   warm_up_windows(bench_case),
                                   TIMER_SHARE,
                                   seed};
    uint64_t hash = record_hash(RECORD_HASH_START, parameters, sizeof(parameters));
    hash = record_hash(hash, bench_case->name, string_length(bench_case->name, RECORD_NAME_MOST));
    return (hash ^ hash >> 32) << 32 | variant->source_hash;
}

// ---- windows ------------------------------------------------------------------------------------

static COLD void fail(struct row *row, enum record_row_status status, const char *detail)
{
    if (row->status != RECORD_ROW_OK)
        return; // the first failure explains the later ones
    row->status = status;
    format(row->detail, sizeof(row->detail), "%s", detail);
}

static bool prepare(const struct field *field, struct participant *one)
{
    one->context = one->row->suite->prepare(one->which, one->row->variant->ops, one->memory,
                                            one->length, field->measure->options->seed);
    if (one->context == NULL)
        fail(one->row, RECORD_ROW_FAILED, "could not be prepared in its memory");
    return one->context != NULL;
}

// The end of what `prepare` made.
static void finish(struct participant *one)
{
    const struct bench_suite *suite = one->row->suite;
    if (suite->finish != NULL && one->row->status == RECORD_ROW_OK)
        suite->finish(one->which, one->row->variant->ops, one->context);
}

static void check_sum(struct row *row, uint64_t checksum, uint64_t expected)
{
    char detail[128];
    if (checksum == expected)
        return;
    if (checksum == BENCH_FAILED) {
        fail(row, RECORD_ROW_FAILED,
             "the body could not get what it needs: memory, room, or another CPU in time");
        return;
    }
    format(detail, sizeof(detail), "checksum %lx, the work gives %lx", checksum, expected);
    fail(row, RECORD_ROW_CHECKSUM, detail);
}

// A body that took less time than its work can did not do the work. In an emulator the two stamps
// may have cost less this time than they ever did when they were calibrated, but not less than
// nothing.
static void check_time(const struct field *field, struct row *row, int64_t ticks)
{
    char detail[128];
    const uint64_t each = field->bench_case->least_instructions;
    const uint64_t least = field->operations * each;
    const bool exact = field->measure->clock->class == PLATFORM_CLOCK_INSN;
    const bool emulated = field->measure->clock->class == PLATFORM_CLOCK_EMULATED;
    const int64_t stamps = emulated ? (int64_t)field->measure->clock->pair_min : 0;
    if (ticks + stamps >= (int64_t)(exact ? least : least / INSTRUCTIONS_A_TICK))
        return;
    format(detail, sizeof(detail), "%ld for %lu operations of at least %lu instructions each",
           ticks, field->operations, each);
    fail(row, RECORD_ROW_DELETED, detail);
}

static int64_t run_window(const struct field *field, struct participant *one, uint64_t overhead)
{
    const struct bench_suite *suite = one->row->suite;
    if (suite->before != NULL)
        suite->before(one->which, one->row->variant->ops, one->context, field->operations);
    const uint64_t expected = suite->expected(one->which, one->context, field->operations);
    const struct window window =
        clock_window(field->measure->clock, one->body, one->context, field->operations);
    const uint64_t part =
        suite->ticks != NULL ? suite->ticks(one->which, one->context) : BENCH_WHOLE_WINDOW;
    const int64_t ticks =
        part != BENCH_WHOLE_WINDOW ? (int64_t)part : (int64_t)window.ticks - (int64_t)overhead;
    check_sum(one->row, window.checksum, expected);
    check_time(field, one->row, ticks);
    return ticks;
}

// On an exact clock every round repeats the first one, window for window.
static void check_repetition(const struct field *field, struct participant *one,
                             const int64_t *samples)
{
    if (field->measure->clock->class != PLATFORM_CLOCK_INSN)
        return;
    for (uint64_t i = 0; i < field->samples; i++) {
        char detail[96];
        // What an interrupt takes is no part of what must repeat.
        if (samples[i] == one->samples[i] || one->tags[i] != 0 || field->tags[i] != 0)
            continue;
        format(detail, sizeof(detail), "window %lu took %ld in the first round, then %ld", i,
               one->samples[i], samples[i]);
        fail(one->row, RECORD_ROW_UNSTEADY, detail);
    }
}

// ---- rounds -------------------------------------------------------------------------------------

static void run_round(const struct field *field, struct participant *one, uint32_t number)
{
    const struct measure *measure = field->measure;
    const struct bench_suite *suite = one->row->suite;
    if (one->row->status != RECORD_ROW_OK || !prepare(field, one))
        return;
    const uint64_t overhead = measure->clock->pair_min;
    struct round round = {
        .number = number, .operations = field->operations, .overhead = (int64_t)overhead};
    int64_t *samples = one->samples + one->taken;
    round.cold = run_window(field, one, overhead);
    const uint64_t warm_up = measure->options->smoke ? 0 : warm_up_windows(field->bench_case);
    for (uint64_t i = 0; i < warm_up; i++)
        run_window(field, one, overhead);
    const bool own = suite->interrupts != NULL && suite->interrupts(one->which);
    for (uint64_t i = 0; i < field->samples; i++) {
        struct platform_events before, after;
        platform_events(&before);
        samples[i] = run_window(field, one, overhead);
        platform_events(&after);
        field->tags[i] =
            disturbances_tags(&before, &after) & ~(own ? (int64_t)RECORD_TAG_INTERRUPT : 0);
        one->tags[one->taken + i] = (uint8_t)field->tags[i];
    }
    check_repetition(field, one, samples);
    if (suite->check != NULL && !suite->check(one->which, one->row->variant->ops, one->context))
        fail(one->row, RECORD_ROW_FAILED, "an invariant is broken after the round");
    finish(one);
    round.samples = samples;
    round.tags = field->tags;
    round.count = field->samples;
    one->cold = one->taken == 0 ? round.cold : one->cold;
    one->taken += field->samples;
    report_round(measure->report, one->row, &round);
}

// Round r runs the participants in a seeded order, rotated by r / 2 and reversed in every second
// round (A B C C B A, then B C A A C B ...): a linear drift cancels inside a pair of rounds, and
// over a multiple of 2 * count rounds each one stands at each place equally often. On sampled
// clocks the memories take turns as well: which physical pages a participant got must not be its
// fortune.
static void run_rounds(struct field *field)
{
    size_t order[MEASURE_ROWS_MOST];
    struct random random = random_seeded(field->measure->options->seed);
    for (size_t i = 0; i < field->count; i++) {
        const size_t swap = random_below(&random, i + 1);
        order[i] = order[swap];
        order[swap] = i;
    }
    for (uint32_t round = 0; round < field->rounds; round++) {
        for (size_t i = 0; i < field->count; i++) {
            const size_t place = round % 2 == 0 ? i : field->count - 1 - i;
            const size_t which = order[(place + round / 2) % field->count];
            const bool exact = field->measure->clock->class == PLATFORM_CLOCK_INSN;
            const size_t slice = exact ? which : (which + round) % field->count;
            field->participants[which].memory = field->memory + slice * field->slice;
            core_ratio_begin(&field->participants[which].ratio);
            run_round(field, &field->participants[which], round);
            core_ratio_end(&field->participants[which].ratio);
        }
    }
}

// A baseline that takes a thousand times longer than the rest must not take all the time: a round
// then has fewer windows, of every participant alike.
static void limit_samples(struct field *field, int64_t slowest)
{
    const struct measure *measure = field->measure;
    const uint64_t budget = clock_hz(measure->clock) / 1000 * ROUND_BUDGET_MS;
    if (measure->options->samples != 0 || measure->options->full || budget == 0 || slowest <= 0)
        return;
    const bool emulated = measure->clock->class == PLATFORM_CLOCK_EMULATED;
    const uint64_t affordable =
        max_u64(budget / (uint64_t)slowest, emulated ? SAMPLES_FEW : SAMPLES_LEAST);
    field->samples = min_u64(field->samples, affordable);
}

// Doubles the operations until the fastest participant's window dwarfs the timer. Exact clocks need
// no such thing, and a fixed window is what it is.
static void calibrate(struct field *field)
{
    const struct clock *clock = field->measure->clock;
    const uint64_t overhead = clock->pair_min;
    int64_t slowest = 0;
    field->operations = field->bench_case->operations;
    if (clock->class == PLATFORM_CLOCK_INSN || field->measure->options->smoke)
        return;
    for (size_t i = 0; i < field->count; i++) {
        struct participant *one = &field->participants[i];
        int64_t least = INT64_MAX;
        if (!prepare(field, one))
            continue;
        run_window(field, one, overhead);
        while (one->row->status == RECORD_ROW_OK) {
            least = INT64_MAX;
            for (unsigned k = 0; k < 3; k++) {
                const int64_t ticks = run_window(field, one, overhead);
                least = ticks < least ? ticks : least;
            }
            if (field->bench_case->fixed || field->operations >= OPERATIONS_MOST ||
                least >= (int64_t)(overhead * TIMER_SHARE))
                break;
            field->operations *= 2;
        }
        finish(one);
        slowest = one->row->status == RECORD_ROW_OK && least > slowest ? least : slowest;
    }
    limit_samples(field, slowest);
}

// ---- counters -----------------------------------------------------------------------------------

struct counter_target {
    struct report *report;
    const struct row *row;
};

static void emit_counter(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                         const char *unit)
{
    const struct counter_target *target = context;
    report_counter(target->report, target->row, name, numerator, denominator, unit);
}

// Untimed and of a fixed length, so that counters are the same on every clock.
static void run_counted(struct field *field, struct participant *one)
{
    const struct bench_suite *suite = one->row->suite;
    const uint64_t operations = suite->counted != NULL
                                    ? suite->counted(one->which, field->measure->options->full)
                                    : field->bench_case->counted_operations;
    if (one->row->aa || operations == 0 || suite->counters == NULL ||
        one->row->status != RECORD_ROW_OK || !prepare(field, one))
        return;
    if (suite->before != NULL)
        suite->before(one->which, one->row->variant->ops, one->context, operations);
    const uint64_t expected = suite->expected(one->which, one->context, operations);
    check_sum(one->row, one->body(one->context, operations), expected);
    if (one->row->status != RECORD_ROW_OK)
        return;
    struct counter_target target = {.report = field->measure->report, .row = one->row};
    const struct bench_counters counters = {.emit = emit_counter, .context = &target};
    suite->counters(one->which, one->row->variant->ops, one->context, &counters);
    finish(one);
}

// One more round, not timed: what the processor's own counters say of windows like the measured
// ones. The reads stand right around the body, so that nothing of the framework is counted, and in
// a round of their own, so that no measured window comes behind one.
static void run_processor(struct field *field, struct participant *one)
{
    struct processor *processor = &field->processor;
    if (!processor->works || one->row->aa || one->row->status != RECORD_ROW_OK ||
        !prepare(field, one))
        return;
    const struct bench_suite *suite = one->row->suite;
    const uint64_t operations = field->operations;
    // Of a window only a part of which is the sample, they would tell another story.
    if (suite->ticks != NULL && suite->ticks(one->which, one->context) != BENCH_WHOLE_WINDOW) {
        finish(one);
        return;
    }
    const uint64_t warm_up =
        field->measure->options->smoke ? 0 : 1 + warm_up_windows(field->bench_case);
    processor->taken = 0;
    for (uint64_t i = 0; i < warm_up + field->samples; i++) {
        if (suite->before != NULL)
            suite->before(one->which, one->row->variant->ops, one->context, operations);
        const uint64_t expected = suite->expected(one->which, one->context, operations);
        const uint64_t checksum =
            i < warm_up ? one->body(one->context, operations)
                        : processor_window(processor, one->body, one->context, operations);
        check_sum(one->row, checksum, expected);
    }
    if (one->row->status == RECORD_ROW_OK)
        processor_report(processor, field->measure->report, one->row, operations);
    finish(one);
}

// ---- one case -----------------------------------------------------------------------------------

// Cuts the memory: samples and tags first, then a slice for each participant.
static void share_memory(struct field *field, struct row *rows)
{
    const struct measure *measure = field->measure;
    const size_t windows = field->rounds * field->samples;
    const size_t counts = field->processor.works ? PROCESSOR_COUNTS * field->samples : 0;
    const size_t numbers = field->count * windows + field->samples + counts;
    const size_t used =
        align_up(numbers * sizeof(int64_t) + field->count * windows, CONTEXT_ALIGNMENT);
    if (used >= measure->length)
        platform_panic("no memory for so many samples", __FILE__, __LINE__);
    const size_t slice =
        (measure->length - used) / field->count / CONTEXT_ALIGNMENT * CONTEXT_ALIGNMENT;
    int64_t *next = measure->memory;
    uint8_t *next_tags = (uint8_t *)(next + numbers);
    for (size_t i = 0; i < field->count; i++) {
        struct participant *one = &field->participants[i];
        const struct bench_suite *suite = rows[i].suite;
        const size_t variant = (size_t)(rows[i].variant - suite->variants);
        one->row = &rows[i];
        one->which = (size_t)(rows[i].bench_case - suite->cases);
        one->body = suite->bodies[variant * suite->case_count + one->which];
        one->samples = next;
        one->tags = next_tags;
        one->memory = (uint8_t *)measure->memory + used + i * slice;
        one->length = slice;
        next += windows;
        next_tags += windows;
    }
    field->tags = next;
    for (unsigned k = 0; k < PROCESSOR_COUNTS; k++)
        field->processor.counts[k] = next + (1 + k) * field->samples;
    field->processor.windows = field->samples;
    field->memory = (uint8_t *)measure->memory + used;
    field->slice = slice;
}

void measure_case(const struct measure *measure, struct row *rows, size_t count)
{
    struct field field = {
        .measure = measure,
        .bench_case = rows[0].bench_case,
        .count = count,
        .rounds = measure_rounds(measure->options, measure->clock),
        .samples = measure_samples(measure->options, measure->clock, rows[0].bench_case)};
    processor_open(&field.processor);
    share_memory(&field, rows);
    calibrate(&field);
    run_rounds(&field);
    for (size_t i = 0; i < count; i++) {
        struct participant *one = &field.participants[i];
        run_counted(&field, one);
        run_processor(&field, one);
        core_ratio_report(&one->ratio, measure->report, one->row);
        one->row->operations = field.operations;
        report_finish(measure->report, one->row, one->samples, one->tags, one->taken, one->cold);
    }
}
