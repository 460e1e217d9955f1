// SPDX-License-Identifier: MIT
// One run on a target, from the command line to END.
#include "answer.h"
#include "assert.h"
#include "bench.h"
#include "compiler.h"
#include "cpu.h"
#include "disturbances.h"
#include "format.h"
#include "list_rows.h"
#include "platform.h"
#include "run.h"
#include "string.h"
#include "suites.h"

#define STREAM_BYTES      (8u << 20)
#define STREAM_UNIT       (2u << 20) // and the least
#define STREAM_SHARE      16u        // of a small arena
#define ROW_BYTES_MOST    16384u     // of samples on the line
#define ROW_OTHER_MOST    8192u      // plan, counters, finish
#define CASE_SECONDS_FULL 8u         // how many times longer the full size may take
#define DIE_SECONDS       2u

void *run_take(struct bench_run *run, size_t length)
{
    assert(length % (2u << 20) == 0);
    assert(length < run->length);
    void *memory = run->memory;
    run->memory += length;
    run->length -= length;
    return memory;
}

// ---- selection ----------------------------------------------------------------------------------

// Adds the selected participants of a case, `count` until then; returns how many there are now. On
// sampled clocks the baseline takes part twice.
static size_t select_rows(const struct bench_run *run, const struct bench_suite *suite,
                          const struct bench_case *bench_case, uint32_t first, struct row *rows,
                          size_t count)
{
    const size_t which = (size_t)(bench_case - suite->cases);
    for (size_t v = 0; v < suite->variant_count; v++) {
        const struct bench_variant *variant = &suite->variants[v];
        if ((suite->applies != NULL && !suite->applies(which, variant->ops)) ||
            !options_select(&run->options, suite, bench_case, variant))
            continue;
        const bool twin = variant->about->role == VARIANT_BASELINE && !run->options.smoke &&
                          run->clock.class != PLATFORM_CLOCK_INSN;
        for (unsigned aa = 0; aa <= twin; aa++) {
            assert(count < MEASURE_ROWS_MOST);
            rows[count] = (struct row){
                .index = first + (uint32_t)count,
                .suite = suite,
                .bench_case = bench_case,
                .variant = variant,
                .aa = aa != 0,
                .definition = measure_definition(bench_case, variant, run->options.seed)};
            count++;
        }
    }
    return count;
}

struct bench_plan run_for_each_case(struct bench_run *run,
                                    void (*visit)(struct bench_run *run, struct row *rows,
                                                  size_t count, uint32_t number))
{
    static struct row rows[MEASURE_ROWS_MOST];
    struct bench_plan plan = {0};
    const struct bench_suite *suite;
    for (size_t s = 0; (suite = suites_at(s)) != NULL; s++) {
        const struct bench_suite *const more = suites_more(suite);
        for (size_t c = 0; c < suite->case_count; c++) {
            const struct bench_case *const one = &suite->cases[c];
            const struct bench_case *const twin =
                more != NULL ? suites_case(more, one->name) : NULL;
            size_t count = select_rows(run, suite, one, plan.rows, rows, 0);
            if (twin != NULL)
                count = select_rows(run, more, twin, plan.rows, rows, count);
            if (count == 0)
                continue;
            if (visit != NULL)
                visit(run, rows, count, plan.cases);
            plan.rows += (uint32_t)count;
            plan.cases++;
        }
    }
    return plan;
}

// ---- steps --------------------------------------------------------------------------------------

static void plan_case(struct bench_run *run, struct row *rows, size_t count, uint32_t number)
{
    (void)number;
    const uint64_t rounds = measure_rounds(&run->options, &run->clock);
    for (size_t i = 0; i < count; i++)
        report_plan_row(&run->report, &rows[i], rounds,
                        measure_samples(&run->options, &run->clock, rows[i].bench_case));
}

// Failures on purpose, when the first case has begun: the recorder must tell them apart.
static void die(const char *kind)
{
    if (string_equal(kind, "panic"))
        platform_panic("asked to (die=panic)", __FILE__, __LINE__);
    if (string_equal(kind, "hang"))
        for (;;)
            cpu_pause();
    if (kind[0] != '\0') {
        platform_die(kind);
        platform_panic("die=: no such kind of failure here", __FILE__, __LINE__);
    }
}

static void run_case(struct bench_run *run, struct row *rows, size_t count, uint32_t number)
{
    char id[RECORD_NAME_MOST + 1];
    uint32_t seconds = rows[0].bench_case->seconds * (run->options.full ? CASE_SECONDS_FULL : 1);
    if (run->options.die[0] != '\0')
        seconds = DIE_SECONDS;
    bench_row_id(rows[0].suite, rows[0].bench_case, NULL, id);
    report_begin(&run->report, number, id, rows[0].index, (uint32_t)count, seconds);
    die(run->options.die);
    measure_case(&run->measure, rows, count);
    answer_between(&run->report);
}

// What the results may take: a small machine's memory is needed for what is measured.
static size_t stream_bytes(size_t arena)
{
    const size_t share = arena / STREAM_SHARE / STREAM_UNIT * STREAM_UNIT;
    return max_u64(STREAM_UNIT, min_u64(STREAM_BYTES, share));
}

// Options and clock; everything that is wrong with either is one line to the recorder.
static bool open_run(struct bench_run *run)
{
    char why[256], clock_why[256];
    const bool options_right = options_read(platform_arguments(), &run->options, why, sizeof(why));
    const bool clock_right = clock_prove(&run->clock, clock_why, sizeof(clock_why));
    const size_t stream = stream_bytes(run->length);
    report_open(&run->report, &run->options, &run->clock, run_take(run, stream), stream);
    run->opened = true;
    if (!options_right)
        report_refuse(&run->report, why);
    else if (!clock_right && run->options.output != OUTPUT_LIST)
        report_refuse(&run->report, clock_why);
    else
        return true;
    return false;
}

static bool measure_all(struct bench_run *run)
{
    const struct bench_plan plan = run_for_each_case(run, NULL);
    if (plan.rows == 0) {
        report_refuse(&run->report, "no row matches suites= and filter=; the list command shows "
                                    "them all");
        return false;
    }
    struct platform_events start;
    platform_events_of_run(&start);
    report_facts(&run->report);
    disturbances_report_counted(&run->report);
    report_plan(&run->report, plan.rows, plan.cases,
                (uint64_t)plan.rows * (ROW_BYTES_MOST + ROW_OTHER_MOST));
    run_for_each_case(run, plan_case);
    run->measure = (struct measure){.options = &run->options,
                                    .clock = &run->clock,
                                    .report = &run->report,
                                    .memory = run->memory,
                                    .length = run->length};
    run_for_each_case(run, run_case);
    disturbances_report_totals(&run->report, &start);
    run->success = run->report.rows_finished == plan.rows && run->report.rows_failed == 0;
    return true;
}

bool run_is_traced(const struct bench_run *run)
{
    const struct options *options = &run->options;
    return options->trace && options->output == OUTPUT_FRAMED && options->boot == 0 &&
           !options->smoke;
}

int bench_main(struct bench_run *run)
{
    if (run->ended)
        return run->success ? 0 : 1;
    if (!CONFIG_TRACE) {
        run->memory = platform_arena(&run->length);
        if (!open_run(run) || (run->options.output != OUTPUT_LIST && !measure_all(run))) {
            run->ended = true;
            return 1;
        }
        if (run->options.output == OUTPUT_LIST) {
            run->ended = run->success = true;
            return list_rows(&run->options);
        }
    } else {
        run_trace(run);
    }
    // A run that failed is not traced: the target calls no second pass then.
    if (CONFIG_TRACE || !run->success || !run_is_traced(run)) {
        report_end(&run->report, run->success);
        run->ended = true;
    }
    return run->success ? 0 : 1;
}
