// SPDX-License-Identifier: MIT
#include "processor.h"

#include "assert.h"
#include "compiler.h"
#include "sort.h"

#define OVERHEAD_READS 64u

static NOINLINE uint64_t window(bench_body *body, void *context, uint64_t operations,
                                struct platform_counters *before, struct platform_counters *after,
                                bool *works)
{
    *works = platform_counters(before);
    const uint64_t checksum = body(context, operations);
    *works = platform_counters(after) && *works;
    return checksum;
}

static uint64_t empty_body(void *context, uint64_t operations)
{
    (void)context;
    (void)operations;
    return 0;
}

static void difference(const struct platform_counters *before,
                       const struct platform_counters *after, int64_t counts[PROCESSOR_COUNTS])
{
    counts[0] = (int64_t)(after->core_cycles - before->core_cycles);
    counts[1] = (int64_t)(after->instructions - before->instructions);
}

void processor_open(struct processor *processor)
{
    struct platform_counters before, after;
    *processor = (struct processor){.works = platform_counters(&before)};
    for (unsigned k = 0; k < PROCESSOR_COUNTS; k++)
        processor->overhead[k] = INT64_MAX;
    for (unsigned i = 0; i < OVERHEAD_READS && processor->works; i++) {
        int64_t counts[PROCESSOR_COUNTS];
        window(empty_body, NULL, 1, &before, &after, &processor->works);
        difference(&before, &after, counts);
        for (unsigned k = 0; k < PROCESSOR_COUNTS; k++)
            if (counts[k] < processor->overhead[k])
                processor->overhead[k] = counts[k];
    }
}

uint64_t processor_window(struct processor *processor, bench_body *body, void *context,
                          uint64_t operations)
{
    struct platform_counters before, after;
    int64_t counts[PROCESSOR_COUNTS];
    bool works;
    assert(processor->taken < processor->windows);
    const uint64_t checksum = window(body, context, operations, &before, &after, &works);
    processor->works = processor->works && works;
    difference(&before, &after, counts);
    for (unsigned k = 0; k < PROCESSOR_COUNTS; k++)
        processor->counts[k][processor->taken] = counts[k];
    processor->taken++;
    return checksum;
}

void processor_report(struct processor *processor, struct report *report, const struct row *row,
                      uint64_t operations)
{
    static const char *const names[PROCESSOR_COUNTS] = {"core_cycles", "instructions"};
    static const char *const units[PROCESSOR_COUNTS] = {"cycles", "instructions"};
    for (unsigned k = 0; k < PROCESSOR_COUNTS && processor->works && processor->taken > 0; k++) {
        sort_i64(processor->counts[k], processor->taken);
        // Nearest rank, as the table's p50.
        const int64_t median = processor->counts[k][(processor->taken - 1) / 2];
        const int64_t left = median - processor->overhead[k];
        report_counter(report, row, names[k], left > 0 ? (uint64_t)left : 0, operations, units[k]);
    }
}
