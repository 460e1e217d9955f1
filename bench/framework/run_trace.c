// SPDX-License-Identifier: MIT
// The traced pass: every row once more, short, with the recorder on.
#include "run.h"

#include "compiler.h"
#include "cpu.h"
#include "format.h"
#include "perfetto.h"
#include "platform.h"
#include "string.h"

#define BUFFER_BYTES  (4u << 20)
#define MEMORY_UNIT   (2u << 20) // of the arena
#define CONTEXT_BYTES (32u << 20)
#define PID_FIRST     0x1000u // of the suites; their variants are threads
#define PIDS_A_SUITE  0x100u
#define COST_EVENTS   4096u // recorded to learn what one costs
#define BUILD_ID_MOST 64u
#define PHASES        3u // prepare, warm-up, run
#define PICOSECONDS   1000u

struct tracer {
    struct bench_run *run;
    struct perfetto perfetto;
    void *buffer;
    void *memory; // of contexts
    size_t length;
    uint32_t rows;
};

static void send(void *context, const void *packets, size_t length)
{
    struct tracer *tracer = context;
    report_trace(&tracer->run->report, packets, length);
}

static struct perfetto_thread thread_of(const struct bench_suite *suite, size_t variant)
{
    uint32_t number = 0;
    while (bench_suites[number] != suite)
        number++;
    const uint32_t pid = PID_FIRST + number * PIDS_A_SUITE;
    return (struct perfetto_thread){.pid = pid,
                                    .tid = pid + 1 + (uint32_t)variant,
                                    .process = suite->name,
                                    .name = suite->variants[variant].about->name};
}

// ---- the trace's head ---------------------------------------------------------------------------

static void build_id_text(char *text, size_t capacity)
{
    uint8_t id[BUILD_ID_MOST];
    const size_t length = platform_build_id(id, sizeof(id));
    size_t end = 0;
    text[0] = '\0';
    for (size_t i = 0; i < length; i++)
        end += format(text + end, capacity - end, "%02x", id[i]);
}

// What the recorder itself costs here, time stamp included: it stretches every slice.
static uint64_t event_picoseconds(struct tracer *tracer)
{
    trace_start(tracer->buffer, BUFFER_BYTES);
    const uint64_t start = cpu_ticks();
    for (uint32_t i = 0; i < COST_EVENTS; i++)
        trace_instant(TRACE_PROBE, i);
    const uint64_t ticks = cpu_ticks() - start;
    trace_stop();
    return perfetto_ticks_to_ns(tracer->perfetto.multiplier, ticks * PICOSECONDS) / COST_EVENTS;
}

static void open_trace(struct tracer *tracer)
{
    struct perfetto *perfetto = &tracer->perfetto;
    const struct bench_run *run = tracer->run;
    char id[2 * BUILD_ID_MOST + 1], brand[64];
    build_id_text(id, sizeof(id));
    cpu_brand(brand, sizeof(brand));
    const struct perfetto_system system = {.name = "Tickmark",
                                           .release = id,
                                           .machine = "x86_64",
                                           .machine_name = brand[0] != '\0' ? brand : "unknown",
                                           .cpus = 1,
                                           .ticks = cpu_ticks()};
    perfetto_open(perfetto, &system);
    perfetto_attribute_text(perfetto, "build_id", id);
    perfetto_attribute_text(perfetto, "clock_class", clock_class_name(run->clock.class));
    perfetto_attribute_number(perfetto, "tsc_khz", clock_hz(&run->clock) / 1000);
    perfetto_attribute_number(perfetto, "trace_event_picoseconds", event_picoseconds(tracer));
    perfetto_attribute_number(perfetto, "seed", run->options.seed);
    perfetto_attribute_text(perfetto, "size", run->options.full ? "full" : "quick");
    for (unsigned s = 0; bench_suites[s] != NULL; s++) {
        for (size_t v = 0; v < bench_suites[s]->variant_count; v++) {
            const struct perfetto_thread thread = thread_of(bench_suites[s], v);
            perfetto_thread(perfetto, &thread);
        }
    }
}

static bool is_common(const struct bench_suite *suite)
{
    for (unsigned s = 0; bench_suites[s] != NULL; s++)
        if (bench_suites[s] == suite)
            return true;
    return false;
}

// ---- rows ---------------------------------------------------------------------------------------

static void note(struct perfetto_phase *phase, const char *name, const char *text, int64_t number)
{
    if (phase->note_count < PERFETTO_NOTES_MOST)
        phase->notes[phase->note_count++] =
            (struct perfetto_note){.name = name, .text = text, .number = number};
}

// What the plain pass measured stands beside the slices of traced code, which took longer.
static void note_measured(struct perfetto_phase *phase, const struct bench_run *run,
                          const struct row *row, char *value, size_t capacity)
{
    const struct table_line *line = &run->report.lines[row->index];
    if (line->n == 0)
        return;
    const size_t length = table_value(line->p50, line->operations, value, capacity);
    format(value + length, capacity - length, " %s", clock_unit(run->clock.class));
    note(phase, "measured an operation, p50", value, 0);
    note(phase, "measured windows", NULL, (int64_t)line->n);
    note(phase, "measured rounds", NULL, (int64_t)measure_rounds(&run->options, &run->clock));
    note(phase, "operations in a window", NULL, (int64_t)line->operations);
    note(phase, "window min", NULL, line->min);
    note(phase, "window p50", NULL, line->p50);
    note(phase, "window p99", NULL, line->p99);
    note(phase, "window max", NULL, line->max);
}

// False if the body did not do its work.
static bool window(const struct row *row, bench_body *body, void *context, uint64_t operations)
{
    const struct bench_suite *suite = row->suite;
    const size_t which = (size_t)(row->bench_case - suite->cases);
    if (suite->before != NULL)
        suite->before(which, row->variant->ops, context, operations);
    const uint64_t expected = suite->expected(which, context, operations);
    return body(context, operations) == expected;
}

static bool trace_row(struct tracer *tracer, const struct row *row)
{
    const struct bench_suite *suite = row->suite;
    const size_t which = (size_t)(row->bench_case - suite->cases);
    const size_t variant = (size_t)(row->variant - suite->variants);
    bench_body *const body = suite->bodies[variant * suite->case_count + which];
    const uint64_t operations = row->bench_case->traced_operations != 0
                                    ? row->bench_case->traced_operations
                                    : row->bench_case->operations;
    char name[RECORD_NAME_MOST + 1], value[64];
    uint64_t ticks[PHASES + 1];

    struct trace_buffer *buffer = trace_start(tracer->buffer, BUFFER_BYTES);
    ticks[0] = cpu_ticks();
    void *context = suite->prepare(which, row->variant->ops, tracer->memory, tracer->length,
                                   tracer->run->options.seed);
    ticks[1] = cpu_ticks();
    bool whole = context != NULL && window(row, body, context, operations);
    ticks[2] = cpu_ticks();
    whole = whole && window(row, body, context, operations);
    ticks[3] = cpu_ticks();
    trace_stop();
    if (whole && suite->finish != NULL)
        suite->finish(which, row->variant->ops, context);

    struct perfetto_phase phases[PHASES] = {
        {.event = TRACE_BENCH_PREPARE}, {.event = TRACE_BENCH_WARM_UP}, {.event = TRACE_BENCH_RUN}};
    for (unsigned i = 0; i < PHASES; i++) {
        phases[i].begin = ticks[i];
        phases[i].end = ticks[i + 1];
        if (i > 0)
            note(&phases[i], "operations", NULL, (int64_t)operations);
    }
    note_measured(&phases[PHASES - 1], tracer->run, row, value, sizeof(value));
    bench_row_id(suite, row->bench_case, row->variant, name);
    const struct perfetto_recording recording = {
        .buffer = buffer, .cpu = cpu_local()->index, .thread = thread_of(suite, variant)};
    const struct perfetto_row about = {.number = row->index,
                                       .name = name,
                                       .what = row->bench_case->what,
                                       .phases = phases,
                                       .phase_count = PHASES,
                                       .recordings = &recording,
                                       .recording_count = 1};
    perfetto_row(&tracer->perfetto, &about);
    if (!whole)
        report_log(&tracer->run->report, "traced %s: its work was not done", name);
    tracer->rows++;
    return whole;
}

// Visited without a context of its own: the run carries it.
static void trace_case(struct bench_run *run, struct row *rows, size_t count, uint32_t number)
{
    (void)number;
    for (size_t i = 0; i < count; i++) {
        // What only the target has is compiled once, without the recorder.
        if (!rows[i].aa && is_common(rows[i].suite))
            run->success = trace_row(run->tracer, &rows[i]) && run->success;
    }
}

void run_trace(struct bench_run *run)
{
    const size_t fixed = align_up(BUFFER_BYTES + sizeof(struct perfetto_memory), MEMORY_UNIT);
    static struct tracer tracer;
    if (run->length < fixed + MEMORY_UNIT) {
        report_log(&run->report, "no trace: %lu bytes of memory are too few", run->length);
        return;
    }
    uint8_t *memory = run->memory;
    tracer = (struct tracer){.run = run,
                             .buffer = memory,
                             .memory = memory + fixed,
                             .length = min_u64(run->length - fixed, CONTEXT_BYTES)};
    perfetto_init(&tracer.perfetto, (struct perfetto_memory *)(void *)(memory + BUFFER_BYTES), true,
                  clock_hz(&run->clock), (struct perfetto_sink){&tracer, send});
    run->tracer = &tracer;
    open_trace(&tracer);
    run_for_each_case(run, trace_case);
    perfetto_close(&tracer.perfetto);
    const struct perfetto_counts *counts = &tracer.perfetto.counts;
    report_log(&run->report,
               "trace: %u rows, %lu events in %lu bytes, %lu operations not drawn, %lu events lost",
               tracer.rows, counts->events, counts->bytes, counts->left_out, counts->lost);
}
