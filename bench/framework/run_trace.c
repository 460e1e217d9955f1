// SPDX-License-Identifier: MIT
#include "run.h"

#include "trace.h"

#define TRACE_BYTES (4u << 20)

static void trace_case(struct bench_run *run, struct row *rows, size_t count, uint32_t number)
{
    (void)number;
    for (size_t i = 0; i < count; i++) {
        char id[RECORD_NAME_MOST + 1];
        if (rows[i].aa)
            continue;
        struct trace_buffer *buffer = trace_start(run->memory, TRACE_BYTES);
        struct measure measure = run->measure;
        measure.memory = run->memory + TRACE_BYTES;
        measure.length = run->length - TRACE_BYTES;
        const bool whole = measure_once(&measure, &rows[i]);
        trace_stop();
        bench_row_id(rows[i].suite, rows[i].bench_case, rows[i].variant, id);
        report_log(&run->report, "traced %s: %u events, %lu lost%s", id, buffer->used, buffer->lost,
                   whole ? "" : ", and it failed");
        run->success = run->success && whole;
    }
}

void run_trace(struct bench_run *run)
{
    run_for_each_case(run, trace_case);
}
