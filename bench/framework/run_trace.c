// SPDX-License-Identifier: MIT
// The traced pass: every row once more, short, with the recorder on.
#include "run.h"

#include "compiler.h"
#include "cpu.h"
#include "disturbances.h"
#include "format.h"
#include "perfetto.h"
#include "platform.h"
#include "string.h"
#include "trace_round.h"

#define BUFFER_BYTES  (4u << 20) // of the CPU that runs the benchmarks
#define OTHER_BYTES   (1u << 20) // of each other CPU
#define EVENTS_SHARE  2u         // of each, for the events of schedulers and devices
#define THREADS_MOST  2048u      // of schedulers in a row, that have names and tracks
#define OTHER_WAIT_MS 10000u     // in which a CPU that is free does what it is told
#define MEMORY_UNIT   (2u << 20) // of the arena
#define CONTEXT_BYTES (32u << 20)
#define PID_FIRST     0x1000u // of the suites; their variants are threads
#define PIDS_A_SUITE  0x100u
#define TID_OTHERS    0x10000u // of what other CPUs do outside of schedulers
#define COST_EVENTS   4096u    // recorded to learn what one costs
#define BUILD_ID_MOST 64u
enum { PREPARE, WARM_UP, RUN, PHASES };
#define PICOSECONDS 1000u

struct tracer {
    struct bench_run *run;
    struct perfetto perfetto;
    uint8_t *buffer;  // of the CPUs, one behind the other
    unsigned others;  // CPUs besides this one that there is memory for
    uint64_t present; // bit for each that records in this row
    struct trace_cpu cpus[CPU_MOST];
    struct trace_threads *threads;
    void *memory; // of contexts
    size_t length;
    uint32_t rows;
    uint64_t recorded; // events, those that were taken out or lost as well
    uint64_t taken_out;
};

static void send(void *context, const void *packets, size_t length)
{
    struct tracer *tracer = context;
    report_trace(&tracer->run->report, packets, length);
}

static struct perfetto_thread thread_of(const struct bench_suite *suite, size_t variant)
{
    // Several may be of one name, and are one process: the variants of each have tids of their own.
    uint32_t number = 0, first = 0;
    while (bench_suites[number] != suite)
        number++;
    while (!string_equal(bench_suites[first]->name, suite->name))
        first++;
    const uint32_t pid = PID_FIRST + first * PIDS_A_SUITE;
    return (struct perfetto_thread){.pid = pid,
                                    .tid =
                                        PID_FIRST + number * PIDS_A_SUITE + 1 + (uint32_t)variant,
                                    .process = suite->name,
                                    .name = suite->variants[variant].about->name};
}

// Perfetto wants a thread for whatever another CPU does.
static struct perfetto_thread other_thread(struct perfetto_thread thread, unsigned cpu, char *name,
                                           size_t capacity)
{
    format(name, capacity, "%s/%u", thread.name, cpu);
    thread.tid = TID_OTHERS + (thread.tid - PID_FIRST) * CPU_MOST + cpu;
    thread.name = name;
    return thread;
}

// ---- CPUs ---------------------------------------------------------------------------------------

static void start_here(void *tracer_)
{
    struct tracer *tracer = tracer_;
    const unsigned cpu = cpu_local()->index;
    const size_t offset = cpu == 0 ? 0 : BUFFER_BYTES + (cpu - 1) * (size_t)OTHER_BYTES;
    const size_t length = cpu == 0 ? BUFFER_BYTES : OTHER_BYTES;
    trace_cpu_start(&tracer->cpus[cpu], tracer->buffer + offset, length, length / EVENTS_SHARE,
                    tracer->threads);
}

static void stop_here(void *tracer)
{
    (void)tracer;
    trace_cpu_stop();
}

static void start_recording(struct tracer *tracer)
{
    trace_threads_init(tracer->threads, THREADS_MOST);
    tracer->present = 1;
    for (unsigned cpu = 1; cpu <= tracer->others; cpu++) {
        if (!platform_cpu_start(cpu, start_here, tracer))
            continue; // it is still busy with a row that failed
        platform_cpu_wait(cpu, OTHER_WAIT_MS);
        tracer->present |= 1ull << cpu;
    }
    start_here(tracer);
}

// A CPU that is not done with the row would go on recording: what it did is left out.
static void stop_recording(struct tracer *tracer)
{
    stop_here(tracer);
    for (unsigned cpu = 1; cpu <= tracer->others; cpu++) {
        if ((tracer->present >> cpu & 1) == 0)
            continue;
        if (platform_cpu_start(cpu, stop_here, tracer))
            platform_cpu_wait(cpu, OTHER_WAIT_MS);
        else
            tracer->present &= ~(1ull << cpu);
    }
}

// What the CPUs recorded, this one first; returns how many there are. `names` are of the others.
static size_t recordings_of(struct tracer *tracer, struct perfetto_thread thread,
                            struct perfetto_recording recordings[CPU_MOST],
                            char names[CPU_MOST][RECORD_NAME_MOST + 1])
{
    size_t count = 0;
    for (unsigned cpu = 0; cpu <= tracer->others; cpu++) {
        const struct trace_cpu *one = &tracer->cpus[cpu];
        if ((tracer->present >> cpu & 1) == 0)
            continue;
        if (cpu > 0 && !trace_cpu_worked(one))
            continue;
        recordings[count++] = (struct perfetto_recording){
            .buffer = one->first,
            .events = one->events,
            .full = one->full,
            .cpu = cpu,
            .thread =
                cpu == 0 ? thread : other_thread(thread, cpu, names[cpu], sizeof(names[cpu]))};
    }
    return count;
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

// How far two sources of one rate are apart: the error that is known of.
static uint64_t apart_ppm(uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) * 1000000 / max_u64(a, b);
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
                                           .cpus = 1 + tracer->others,
                                           .ticks = cpu_ticks()};
    perfetto_open(perfetto, &system);
    perfetto_attribute_text(perfetto, "build_id", id);
    perfetto_attribute_text(perfetto, "clock_class", clock_class_name(run->clock.class));
    perfetto_attribute_number(perfetto, "tsc_khz", clock_hz(&run->clock) / 1000);
    if (run->clock.hz != 0 && run->clock.hz_measured != 0)
        perfetto_attribute_number(perfetto, "tsc_error_ppm",
                                  apart_ppm(run->clock.hz, run->clock.hz_measured));
    perfetto_attribute_text(perfetto, "compiler", "GCC " __VERSION__);
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

// What a row went through: prepared, warmed up, a round, all of it recorded. False if its work was
// not done.
struct traced {
    uint64_t ticks[PHASES + 1];
    struct trace_round round;
    bool finished; // nothing is left to be finished
};

static bool run_row(struct tracer *tracer, const struct row *row, struct traced *traced)
{
    const struct bench_suite *suite = row->suite;
    const size_t which = (size_t)(row->bench_case - suite->cases);
    const size_t variant = (size_t)(row->variant - suite->variants);
    uint64_t *const ticks = traced->ticks;
    struct trace_round *const round = &traced->round;
    *traced = (struct traced){.round = {.row = row,
                                        .body = suite->bodies[variant * suite->case_count + which],
                                        .operations = row->bench_case->traced_operations != 0
                                                          ? row->bench_case->traced_operations
                                                          : row->bench_case->operations,
                                        .clock = &tracer->run->clock,
                                        .full = tracer->run->options.full,
                                        .cpus = tracer->cpus}};
    start_recording(tracer);
    round->others = tracer->present & ~(uint64_t)1;
    ticks[PREPARE] = cpu_ticks();
    round->context = suite->prepare(which, row->variant->ops, tracer->memory, tracer->length,
                                    tracer->run->options.seed);
    ticks[WARM_UP] = cpu_ticks();
    bool whole =
        round->context != NULL && window(row, round->body, round->context, round->operations);
    ticks[RUN] = cpu_ticks();
    whole = whole && trace_round_run(round);
    ticks[PHASES] = cpu_ticks();
    // Other CPUs that take part in windows are done with it when this has returned.
    if (whole && tracer->others > 0 && suite->check != NULL)
        whole = suite->check(which, row->variant->ops, round->context);
    // They may be in a scheduler until the row is finished.
    traced->finished = whole && tracer->others > 0 && suite->finish != NULL;
    if (traced->finished)
        suite->finish(which, row->variant->ops, round->context);
    stop_recording(tracer);
    return whole;
}

// The slow windows, each a phase within the run, and to whoever reads the results.
static void tell_outliers(struct tracer *tracer, const struct traced *traced,
                          struct perfetto_phase *phases, size_t *count)
{
    const struct trace_round *round = &traced->round;
    const uint64_t multiplier = tracer->perfetto.multiplier;
    for (size_t i = 0; i < round->kept_count; i++) {
        const struct traced_window *one = &round->kept[i];
        const char *name = trace_round_name(round, one);
        if (name == NULL)
            continue;
        const struct outlier outlier = {.name = name,
                                        .window = one->index,
                                        .windows = round->windows,
                                        .operations = round->operations,
                                        .sample = one->sample,
                                        .least = round->least,
                                        .tags = (uint64_t)one->tags,
                                        .begin_ns = perfetto_ticks_to_ns(multiplier, one->begin),
                                        .end_ns = perfetto_ticks_to_ns(multiplier, one->end)};
        report_outlier(&tracer->run->report, round->row, &outlier);
        struct perfetto_phase *phase = &phases[(*count)++];
        *phase = (struct perfetto_phase){
            .event = TRACE_BENCH_SLOW, .begin = one->begin, .end = one->end};
        note(phase, "of the round", name, 0);
        note(phase, clock_unit(tracer->run->clock.class), NULL, one->sample);
        note(phase, "operations", NULL, (int64_t)round->operations);
        note(phase, "window", NULL, one->index);
        for (unsigned cause = 0; cause < RECORD_TAG_CAUSES; cause++) {
            if ((one->tags >> cause & 1) != 0)
                note(phase, "overlapped by", disturbances_name(cause), 0);
        }
    }
}

static bool trace_row(struct tracer *tracer, const struct row *row)
{
    static struct traced traced;
    const struct bench_suite *suite = row->suite;
    const size_t which = (size_t)(row->bench_case - suite->cases);
    const bool whole = run_row(tracer, row, &traced);
    const struct trace_round *round = &traced.round;
    char name[RECORD_NAME_MOST + 1], value[64];

    static struct perfetto_phase phases[PHASES + TRACE_ROUND_KEPT];
    static const enum trace_event events[PHASES] = {TRACE_BENCH_PREPARE, TRACE_BENCH_WARM_UP,
                                                    TRACE_BENCH_RUN};
    size_t phase_count = PHASES;
    for (unsigned i = 0; i < PHASES; i++) {
        phases[i] = (struct perfetto_phase){
            .event = events[i], .begin = traced.ticks[i], .end = traced.ticks[i + 1]};
        if (i > PREPARE)
            note(&phases[i], "operations", NULL, (int64_t)round->operations);
    }
    if (round->windows > 1)
        note(&phases[RUN], "windows, of which the trace has the first and the slowest", NULL,
             round->windows);
    note_measured(&phases[RUN], tracer->run, row, value, sizeof(value));
    if (whole)
        tell_outliers(tracer, &traced, phases, &phase_count);
    bench_row_id(suite, row->bench_case, row->variant, name);
    static struct perfetto_recording recordings[CPU_MOST];
    static char names[CPU_MOST][RECORD_NAME_MOST + 1];
    const struct perfetto_thread thread =
        thread_of(suite, (size_t)(row->variant - suite->variants));
    const size_t count = recordings_of(tracer, thread, recordings, names);
    for (size_t i = 0; i < count; i++) {
        const struct trace_cpu *cpu = &tracer->cpus[recordings[i].cpu];
        tracer->recorded += trace_cpu_used(cpu) + trace_cpu_lost(cpu);
    }
    tracer->recorded += round->dropped;
    tracer->taken_out += round->dropped;
    const struct perfetto_row about = {.number = row->index,
                                       .name = name,
                                       .what = row->bench_case->what,
                                       .phases = phases,
                                       .phase_count = phase_count,
                                       .instants = round->instants,
                                       .instant_count = round->instant_count,
                                       .recordings = recordings,
                                       .recording_count = count,
                                       .threads = tracer->threads};
    perfetto_row(&tracer->perfetto, &about);
    if (whole && !traced.finished && suite->finish != NULL)
        suite->finish(which, row->variant->ops, round->context);
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

// Memory of the pass: what the encoder needs, the CPUs' buffers (of as many as there is room for),
// and behind it the contexts'.
static bool share_memory(struct tracer *tracer, uint8_t *memory, size_t length)
{
    const size_t table = align_up(sizeof(struct perfetto_memory), CACHE_LINE);
    const size_t cpus = table + align_up(trace_threads_bytes(THREADS_MOST), CACHE_LINE);
    size_t fixed = align_up(cpus + BUFFER_BYTES, MEMORY_UNIT);
    if (length < fixed + MEMORY_UNIT)
        return false;
    const size_t spare = length - fixed - min_u64(length - fixed, CONTEXT_BYTES);
    tracer->others = (unsigned)min_u64(platform_cpu_count() - 1, spare / OTHER_BYTES / 2);
    fixed = align_up(cpus + BUFFER_BYTES + tracer->others * (size_t)OTHER_BYTES, MEMORY_UNIT);
    tracer->threads = (struct trace_threads *)(void *)(memory + table);
    tracer->buffer = memory + cpus;
    tracer->memory = memory + fixed;
    tracer->length = min_u64(length - fixed, CONTEXT_BYTES);
    return true;
}

void run_trace(struct bench_run *run)
{
    static struct tracer tracer;
    tracer = (struct tracer){.run = run};
    if (!share_memory(&tracer, run->memory, run->length)) {
        report_log(&run->report, "no trace: %lu bytes of memory are too few", run->length);
        return;
    }
    perfetto_init(&tracer.perfetto, (struct perfetto_memory *)(void *)run->memory, true,
                  clock_hz(&run->clock), (struct perfetto_sink){&tracer, send});
    run->tracer = &tracer;
    open_trace(&tracer);
    run_for_each_case(run, trace_case);
    perfetto_close(&tracer.perfetto);
    const struct perfetto_counts *counts = &tracer.perfetto.counts;
    report_log(&run->report,
               "trace: %u rows, %lu events in %lu bytes, %lu operations not drawn, %lu events lost",
               tracer.rows, counts->events, counts->bytes, counts->left_out, counts->lost);
    report_log(&run->report,
               "trace: %lu events recorded, of them %lu in windows that are not kept; %lu bytes "
               "before compression",
               tracer.recorded, tracer.taken_out, counts->packet_bytes);
}
