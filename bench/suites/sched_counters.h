// SPDX-License-Identifier: MIT
// What schedules of the simulator came to. Virtual times and counts, the same on every target.
// Included behind SUITE_TABLES, which it uses.
#ifndef SCHED_COUNTERS_H
#define SCHED_COUNTERS_H

#include "format.h"
#include "sched_cases.h"
#include "sched_policy_predictive.h"

#define CURVE_MS 1500u // of virtual time, for each point

static void emit(const struct bench_counters *out, const char *name, uint64_t numerator,
                 uint64_t denominator, const char *unit)
{
    out->emit(out->context, name, numerator, max_u64(denominator, 1), unit);
}

static void emit_point(const struct bench_counters *out, const char *curve, uint64_t x,
                       uint64_t numerator, uint64_t denominator, const char *unit)
{
    char name[64];
    format(name, sizeof(name), "%s@%lu", curve, x);
    emit(out, name, numerator, denominator, unit);
}

// Another mix in the same memory; false if it cannot begin.
static bool mix_other(struct mix_context *context, const struct mix *mix)
{
    context->mix = mix;
    return mix_begin(context);
}

// ---- fairness -----------------------------------------------------------------------------------

// Jain's index (Jain, Chiu, Hawe: A Quantitative Measure of Fairness, DEC-TR-301) of CPU time by
// weight: 1 if all get the same, 1/n if one gets all.
static void jain(struct mix_context *context, bool batch_only, uint64_t *numerator,
                 uint64_t *denominator)
{
    uint64_t sum = 0, squares = 0, count = 0;
    sched_sim_settle(&context->sim);
    for (uint32_t i = 0; i < context->sim.thread_count; i++) {
        const struct sched_thread *const thread = &context->threads[i].thread;
        if (batch_only && context->kinds[i] != KIND_BATCH)
            continue;
        const uint64_t share = thread->statistics.run_ns / US * 16 / sched_weight(thread->nice);
        sum += share;
        squares += share * share;
        count++;
    }
    *numerator = sum * sum;
    *denominator = count * squares;
}

static void count_fairness(struct mix_context *context, const struct bench_counters *out)
{
    static const struct mix equal = {.cpus = 1, .part_count = 1, .parts = {{KIND_BATCH, 6, 0}}};
    static const struct mix nice = {
        .cpus = 1,
        .part_count = 3,
        .parts = {{KIND_BATCH, 2, -5}, {KIND_BATCH, 2, 0}, {KIND_BATCH, 2, 5}}};
    const struct mix *const mixed = context->mix;
    uint64_t numerator, denominator, least = UINT64_MAX, all = 0;
    jain(context, false, &numerator, &denominator);
    emit(out, "jain", numerator, denominator, "ratio");
    for (uint32_t i = 0; i < context->sim.thread_count; i++) {
        const uint64_t ran = context->threads[i].thread.statistics.run_ns;
        least = min_u64(least, ran);
        all += ran;
    }
    emit(out, "least_share", least * context->sim.thread_count, all, "percent");
    if (mix_other(context, &equal) && mix_run(context, 8000 * MS)) {
        jain(context, false, &numerator, &denominator);
        emit(out, "jain_of_equal_threads", numerator, denominator, "ratio");
    }
    if (mix_other(context, &nice) && mix_run(context, 8000 * MS)) {
        jain(context, false, &numerator, &denominator);
        emit(out, "jain_by_nice_values", numerator, denominator, "ratio");
    }
    if (!mix_other(context, mixed))
        return;
    for (uint64_t ms = 125; ms <= 16000 && mix_run(context, ms * MS); ms *= 2) {
        jain(context, false, &numerator, &denominator);
        emit_point(out, "jain_by_ms", ms, numerator, denominator, "ratio");
    }
}

// ---- classes ------------------------------------------------------------------------------------

static enum sched_class right_class(const struct mix_context *context, uint32_t number)
{
    const bool late = context->threads[number].at >= 3; // in the second phase of its script
    switch (context->kinds[number]) {
    case KIND_NORMAL:
        return SCHED_NORMAL;
    case KIND_COLD:
    case KIND_BATCH:
        return SCHED_COLD;
    case KIND_TURNS_COLD:
        return late ? SCHED_COLD : SCHED_HOT;
    case KIND_TURNS_HOT:
        return late ? SCHED_HOT : SCHED_COLD;
    default:
        return SCHED_HOT;
    }
}

static uint64_t right_classes(const struct mix_context *context)
{
    uint64_t right = 0;
    for (uint32_t i = 0; i < context->sim.thread_count; i++)
        right += sched_predictive_of(&context->threads[i].thread)->class ==
                 (uint32_t)right_class(context, i);
    return right;
}

static void count_classes(struct mix_context *context, const struct bench_counters *out)
{
    static const struct mix changing = {
        .cpus = 2, .part_count = 2, .parts = {{KIND_TURNS_COLD, 4, 0}, {KIND_TURNS_HOT, 4, 0}}};
    static const uint64_t looks[] = {100, 300, 600, 1000, 1500, 2000, 3000, 4000, 8000, 16000};
    const struct mix *const constant = context->mix;
    struct sched_predictive_statistics statistics;
    uint64_t picks = 0;
    sched_predictive_statistics(&context->sim.sched, SCHED_PREDICTIVE_ALL, &statistics);
    for (unsigned i = 0; i < SCHED_CLASSES; i++)
        picks += statistics.scheduled[i];
    emit(out, "right", right_classes(context), context->sim.thread_count, "percent");
    emit(out, "picked_hot", statistics.scheduled[SCHED_HOT], picks, "percent");
    emit(out, "picked_normal", statistics.scheduled[SCHED_NORMAL], picks, "percent");
    emit(out, "picked_cold", statistics.scheduled[SCHED_COLD], picks, "percent");
    emit(out, "picked_for_age", statistics.aged, picks, "percent");
    emit(out, "affinity_hits", statistics.affinity_hits, picks, "percent");
    emit(out, "reclassified", statistics.reclassifications, 1, "count");
    for (unsigned pass = 0; pass < 2; pass++) {
        if (!mix_other(context, pass == 0 ? constant : &changing))
            return;
        for (unsigned i = 0; i < ARRAY_COUNT(looks) && mix_run(context, looks[i] * MS); i++)
            emit_point(out, pass == 0 ? "right_by_ms" : "right_of_changing_by_ms", looks[i],
                       right_classes(context), context->sim.thread_count, "percent");
    }
}

// ---- latencies ----------------------------------------------------------------------------------

static void count_wakeup(struct mix_context *context, const struct bench_counters *out)
{
    int64_t *const waits = context->waits, *const responses = context->responses;
    emit(out, "wakeups", context->wait_count, 1, "count");
    emit(out, "wait_p50_us", percentile(waits, context->wait_count, 50) / US, 1, "count");
    emit(out, "wait_p99_us", percentile(waits, context->wait_count, 99) / US, 1, "count");
    emit(out, "wait_most_us", percentile(waits, context->wait_count, 100) / US, 1, "count");
    emit(out, "response_p50_us", percentile(responses, context->response_count, 50) / US, 1,
         "count");
    emit(out, "response_p99_us", percentile(responses, context->response_count, 99) / US, 1,
         "count");
    for (unsigned batches = 0; batches <= 32; batches = batches == 0 ? 1 : 2 * batches) {
        struct mix mix = *context->mix;
        mix.parts[0].count = batches;
        if (!mix_other(context, &mix) || !mix_run(context, CURVE_MS * MS))
            return;
        emit_point(out, "wait_p50_us_by_batch_threads", batches,
                   percentile(waits, context->wait_count, 50) / US, 1, "count");
        emit_point(out, "wait_p99_us_by_batch_threads", batches,
                   percentile(waits, context->wait_count, 99) / US, 1, "count");
    }
}

// ---- work ---------------------------------------------------------------------------------------

static void count_throughput(struct mix_context *context, const struct bench_counters *out)
{
    uint64_t work = 0, of_batch = 0, migrations = 0, numerator, denominator;
    sched_sim_settle(&context->sim);
    const uint64_t time = context->sim.now_ns * context->mix->cpus;
    for (uint32_t i = 0; i < context->sim.thread_count; i++) {
        work += context->threads[i].work_ns;
        of_batch += context->kinds[i] == KIND_BATCH ? context->threads[i].work_ns : 0;
        migrations += context->threads[i].thread.statistics.migrations;
    }
    emit(out, "work", work / US, time / US, "percent");
    emit(out, "work_of_batch", of_batch / US, time / US, "percent");
    jain(context, true, &numerator, &denominator);
    emit(out, "jain_of_batch", numerator, denominator, "ratio");
    emit(out, "switches", context->sim.switches, 1, "count");
    emit(out, "migrations", migrations, 1, "count");
    emit(out, "wait_p99_us", percentile(context->waits, context->wait_count, 99) / US, 1, "count");
}

static void missed(const struct mix_context *context, uint64_t *misses, uint64_t *periods)
{
    *misses = *periods = 0;
    for (uint32_t i = 0; i < context->sim.thread_count; i++) {
        *misses += context->threads[i].misses;
        *periods += context->threads[i].periods;
    }
}

static void count_deadlines(struct mix_context *context, const struct bench_counters *out)
{
    uint64_t misses, periods;
    missed(context, &misses, &periods);
    emit(out, "periods", periods, 1, "count");
    emit(out, "missed", misses, periods, "percent");
    // Short ones take 20 % of the CPU, each of the others 10 %.
    for (unsigned others = 0; others <= 8; others++) {
        struct mix mix = *context->mix;
        mix.parts[1].count = others;
        if (!mix_other(context, &mix) || !mix_run(context, CURVE_MS * MS))
            return;
        missed(context, &misses, &periods);
        emit_point(out, "missed_by_percent_of_load", 20 + 10 * others, misses, periods, "percent");
    }
}

static void count_queue(const struct sched_policy_ops *ops, const struct queue_context *context,
                        uint64_t picks, const struct bench_counters *out)
{
    if (ops != &sched_predictive_ops)
        return;
    const struct sched_predictive_queue *const queue =
        (const struct sched_predictive_queue *)context->cpu.policy;
    emit(out, "picked_for_age", queue->aged, picks, "percent");
    emit(out, "picked_past_the_head", queue->passed_over, picks, "percent");
}

// The context is this pass's own: what comes behind the schedule itself may use it again.
static void counters(size_t which, const void *ops, const void *context,
                     const struct bench_counters *out)
{
    struct mix_context *const mix = (struct mix_context *)(uintptr_t)context;
    if (is_queue(which))
        count_queue(ops, context, cases[which].counted_operations, out);
    else if (which == CASE_sim_fairness)
        count_fairness(mix, out);
    else if (which == CASE_sim_classes)
        count_classes(mix, out);
    else if (which == CASE_sim_wakeup)
        count_wakeup(mix, out);
    else if (which == CASE_sim_throughput)
        count_throughput(mix, out);
    else if (which == CASE_sim_deadlines)
        count_deadlines(mix, out);
}

#endif
