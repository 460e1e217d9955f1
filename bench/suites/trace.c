// SPDX-License-Identifier: MIT
// The tracer itself: what recording an event costs, and what it costs to be able to.
//
// The bodies use the recorder of trace.h as kernel code does, but for the switch CONFIG_TRACE,
// which is on here: one object code for all rows.
#include "trace.h"

#include "body.h"
#include "compiler.h"
#include "definitions_trace.h"

#define SUITE             trace
#define SUITE_MECHANISM   trace
#define SUITE_VARIANTS(X) X(out) X(recorder) X(floor)

// An operation is one event.
#define SUITE_CASES(X, v)                                                                          \
    X(v, event, 1024, false, 6, 0, 16, 4, 30, "one event recorded, with its time stamp")           \
    X(v, off, 8192, false, 2, 0, 16, 4, 30, "one event passed while nothing is traced")

struct trace_context {
    struct trace_buffer *buffer; // empty before each window
    uint64_t operations;         // of the last window
};

enum trace_way { WAY_FLOOR, WAY_RECORDER, WAY_OUT };

struct trace_way_ops {
    struct variant about;
    enum trace_way way;
};

static const struct trace_way_ops trace_floor_ops = {
    .about = {.name = "floor",
              .what = "a time stamp and 16 bytes stored, nothing asked; a bound, not a product",
              .role = VARIANT_FLOOR},
    .way = WAY_FLOOR};
static const struct trace_way_ops trace_recorder_ops = {
    .about = {.name = "recorder",
              .what = "the recorder: the CPU's buffer found, its end looked for, 16 bytes stored",
              .role = VARIANT_PRODUCT},
    .way = WAY_RECORDER};
static const struct trace_way_ops trace_out_ops = {
    .about = {.name = "out",
              .what = "compiled out: the loop alone, which is part of the other rows, too",
              .role = VARIANT_BASELINE},
    .way = WAY_OUT};

// ---- bodies -------------------------------------------------------------------------------------

// The CPU's own buffer is put aside: whatever else is traced does not mix with this.
ALWAYS_INLINE uint64_t record_into(struct trace_buffer *buffer, uint64_t operations)
{
    void *const aside = cpu_local()->trace_buffer;
    cpu_local()->trace_buffer = buffer;
    for (uint64_t i = 0; i < operations; i++) {
        BODY_HIDE_VALUE(i);
        trace_record(TRACE_PROBE, TRACE_PHASE_INSTANT, (uint32_t)i);
    }
    cpu_local()->trace_buffer = aside;
    return buffer == NULL ? operations : buffer->used;
}

ALWAYS_INLINE uint64_t store_only(struct trace_entry *entries, uint64_t operations)
{
    struct trace_entry *at = entries;
    for (uint64_t i = 0; i < operations; i++) {
        BODY_HIDE_VALUE(i);
        *at++ = (struct trace_entry){.ticks = cpu_ticks(),
                                     .value = (uint32_t)i,
                                     .event = TRACE_PROBE,
                                     .phase = TRACE_PHASE_INSTANT};
    }
    return (uint64_t)(at - entries);
}

ALWAYS_INLINE uint64_t event(const struct trace_way_ops *ops, struct trace_context *context,
                             uint64_t operations)
{
    if (ops->way == WAY_OUT)
        return 0; // no such row: see applies()
    return ops->way == WAY_FLOOR ? store_only(context->buffer->entries, operations)
                                 : record_into(context->buffer, operations);
}

ALWAYS_INLINE uint64_t off(const struct trace_way_ops *ops, struct trace_context *context,
                           uint64_t operations)
{
    uint64_t passed = 0;
    (void)context;
    if (ops->way == WAY_FLOOR)
        return 0; // no such row
    if (ops->way == WAY_RECORDER)
        return record_into(NULL, operations);
    for (uint64_t i = 0; i < operations; i++) {
        BODY_HIDE_VALUE(i);
        trace_instant(TRACE_PROBE, i);
        passed = i + 1;
    }
    return passed;
}

SUITE_TABLES

// ---- preparation --------------------------------------------------------------------------------

static bool applies(size_t which, const void *ops)
{
    const enum trace_way without = which == CASE_event ? WAY_OUT : WAY_FLOOR;
    return ((const struct trace_way_ops *)ops)->way != without;
}

static void *prepare(size_t which, const void *ops, void *memory, size_t length, uint64_t seed)
{
    struct trace_context *context = memory;
    (void)which, (void)ops, (void)seed;
    if (length < 2 * PAGE_SIZE)
        return NULL;
    context->buffer = (struct trace_buffer *)(void *)((uint8_t *)memory + PAGE_SIZE);
    context->buffer->capacity =
        (uint32_t)((length - PAGE_SIZE - sizeof(struct trace_buffer)) / sizeof(struct trace_entry));
    return context;
}

static void before(size_t which, const void *ops, void *context_, uint64_t operations)
{
    struct trace_context *context = context_;
    (void)which, (void)ops;
    context->buffer->used = 0;
    context->buffer->lost = 0;
    context->operations = operations;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which, (void)context;
    return operations;
}

// What was recorded is what happened: every event, in order, at times that do not go back.
static bool check(size_t which, const void *ops, const void *context_)
{
    const struct trace_context *context = context_;
    const struct trace_entry *entries = context->buffer->entries;
    (void)ops;
    if (which != CASE_event)
        return context->buffer->used == 0;
    for (uint64_t i = 0; i < context->operations; i++) {
        if (entries[i].value != (uint32_t)i || entries[i].event != TRACE_PROBE ||
            (i > 0 && entries[i].ticks < entries[i - 1].ticks))
            return false;
    }
    return context->buffer->lost == 0;
}

const struct bench_suite trace_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "what tracing costs",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .check = check,
};
