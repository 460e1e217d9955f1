// SPDX-License-Identifier: MIT
// One run on a target, from the command line to END.
#include "assert.h"
#include "bench.h"
#include "clock.h"
#include "compiler.h"
#include "format.h"
#include "list_rows.h"
#include "measure.h"
#include "options.h"
#include "platform.h"
#include "report.h"
#include "string.h"
#include "trace.h"

#define STREAM_BYTES      (8u << 20)
#define TRACE_BYTES       (16u << 20)
#define ROW_BYTES_MOST    16384u // of samples on the line
#define ROW_OTHER_MOST    1024u  // plan, counters, finish
#define CASE_SECONDS_FULL 8u     // how much longer the full size may take

static struct options options;
static struct clock clock;
static struct report report;
static struct measure measure;

struct arena {
    uint8_t *memory;
    size_t length;
};

static void *take(struct arena *arena, size_t length)
{
    assert(length % (2u << 20) == 0 && length < arena->length);
    void *memory = arena->memory;
    arena->memory += length;
    arena->length -= length;
    return memory;
}

// ---- selection
// -----------------------------------------------------------------------------------

// The selected participants of a case; on sampled clocks the baseline takes part twice.
static size_t select_rows(const struct bench_suite *suite, const struct bench_case *bench_case,
                          uint32_t first, struct row *rows)
{
    const size_t which = (size_t)(bench_case - suite->cases);
    size_t count = 0;
    for (size_t v = 0; v < suite->variant_count; v++) {
        const struct bench_variant *variant = &suite->variants[v];
        if ((suite->applies != NULL && !suite->applies(which, variant->ops)) ||
            !options_select(&options, suite, bench_case, variant))
            continue;
        const bool twin = variant->about->role == VARIANT_BASELINE && !options.smoke &&
                          clock.class != PLATFORM_CLOCK_INSN;
        for (unsigned aa = 0; aa <= twin; aa++) {
            assert(count < MEASURE_ROWS_MOST);
            rows[count] = (struct row){.index = first + (uint32_t)count,
                                       .suite = suite,
                                       .bench_case = bench_case,
                                       .variant = variant,
                                       .aa = aa != 0,
                                       .definition = measure_definition(suite, bench_case),
                                       .operations = bench_case->operations};
            count++;
        }
    }
    return count;
}

static void case_id(const struct row *row, char *id)
{
    bench_row_id(row->suite, row->bench_case, NULL, id);
}

struct plan {
    uint32_t rows, cases;
};

// Walks all selected cases; `visit` gets each with its rows.
static struct plan for_each_case(void (*visit)(struct row *rows, size_t count, uint32_t number))
{
    static struct row rows[MEASURE_ROWS_MOST];
    struct plan plan = {0};
    for (unsigned s = 0; bench_suites[s] != NULL; s++) {
        for (size_t c = 0; c < bench_suites[s]->case_count; c++) {
            const size_t count =
                select_rows(bench_suites[s], &bench_suites[s]->cases[c], plan.rows, rows);
            if (count == 0)
                continue;
            if (visit != NULL)
                visit(rows, count, plan.cases);
            plan.rows += (uint32_t)count;
            plan.cases++;
        }
    }
    return plan;
}

// ---- steps
// ---------------------------------------------------------------------------------------

static void plan_case(struct row *rows, size_t count, uint32_t number)
{
    (void)number;
    const uint64_t rounds = measure_rounds(&options, &clock);
    for (size_t i = 0; i < count; i++)
        report_plan_row(&report, &rows[i], rounds,
                        measure_samples(&options, &clock, rows[i].bench_case));
}

// Failures on purpose, when the first case has begun: the recorder must tell them apart.
static void die(void)
{
    if (string_equal(options.die, "panic"))
        platform_panic("asked to (die=panic)", __FILE__, __LINE__);
    if (string_equal(options.die, "hang"))
        for (;;)
            cpu_pause();
    if (options.die[0] != '\0')
        platform_die(options.die);
}

static void run_case(struct row *rows, size_t count, uint32_t number)
{
    char id[RECORD_NAME_MOST + 1];
    const uint32_t seconds = options.die[0] != '\0' ? 2
                                                    : rows[0].bench_case->seconds *
                                                          (options.full ? CASE_SECONDS_FULL : 1);
    case_id(&rows[0], id);
    report_begin(&report, number, id, rows[0].index, (uint32_t)count, seconds);
    die();
    measure_case(&measure, rows, count);
}

static bool start(struct arena *arena)
{
    char why[256];
    const bool options_right = options_read(platform_arguments(), &options, why, sizeof(why));
    const bool clock_right =
        clock_prove(&clock, options_right ? why : (char[8]){0}, options_right ? sizeof(why) : 8);
    report_open(&report, &options, &clock, take(arena, STREAM_BYTES), STREAM_BYTES);
    if (!options_right || (!clock_right && options.output != OUTPUT_LIST)) {
        report_refuse(&report, why);
        return false;
    }
    return true;
}

int bench_main(void)
{
    struct arena arena;
    arena.memory = platform_arena(&arena.length);
    if (!start(&arena))
        return 1;
    if (options.output == OUTPUT_LIST)
        return list_rows(&options);
    const struct plan plan = for_each_case(NULL);
    if (plan.rows == 0) {
        report_refuse(&report, "no row matches suites= and filter=; `scons list` shows them all");
        return 1;
    }
    report_facts(&report);
    report_plan(&report, plan.rows, plan.cases,
                (uint64_t)plan.rows * (ROW_BYTES_MOST + ROW_OTHER_MOST));
    for_each_case(plan_case);
    if (CONFIG_TRACE)
        trace_start(take(&arena, TRACE_BYTES), TRACE_BYTES);
    measure = (struct measure){.options = &options,
                               .clock = &clock,
                               .report = &report,
                               .memory = arena.memory,
                               .length = arena.length};
    for_each_case(run_case);
    const bool success = report.rows_finished == plan.rows && report.rows_failed == 0;
    report_end(&report, success);
    return success ? 0 : 1;
}
