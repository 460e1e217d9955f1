// SPDX-License-Identifier: MIT
// Block devices: what each way of waiting for them costs, in time and in CPU time.
#include "driver_on.h"
#include "format.h"

#define SUITE_VARIANTS(X)                                                                          \
    X(interrupt)                                                                                   \
    X(polling)                                                                                     \
    X(hybrid)                                                                                      \
    X(batch)                                                                                       \
    X(adaptive)                                                                                    \
    X(floor)                                                                                       \
    X(polling_always)                                                                              \
    X(interrupt_virtio)                                                                            \
    X(polling_virtio)                                                                              \
    X(hybrid_virtio)                                                                               \
    X(batch_virtio)                                                                                \
    X(adaptive_virtio)                                                                             \
    X(floor_virtio)                                                                                \
    X(interrupt_simulated)                                                                         \
    X(polling_simulated)                                                                           \
    X(hybrid_simulated)                                                                            \
    X(batch_simulated)                                                                             \
    X(adaptive_simulated)                                                                          \
    X(floor_simulated)
#define DRIVER_WAYS DRIVER_VARIANTS

#include "driver_cases.h"

SUITE_TABLES

#include "driver_prepare.h"

// ---- what becomes of loads in virtual time
// --------------------------------------------------------

static void emit_point(const struct bench_counters *out, const char *curve, uint64_t x,
                       uint64_t numerator, uint64_t denominator, const char *unit)
{
    char name[64];
    format(name, sizeof(name), "%s@%lu", curve, x);
    out->emit(out->context, name, numerator, max_u64(denominator, 1), unit);
}

// A stretch of virtual time.
struct stretch {
    uint64_t at, away, requests, latency;
};

static struct stretch stretch_now(const struct driver_context *context)
{
    return (struct stretch){.at = context->virtual_ns,
                            .away = driver_away(context),
                            .requests = context->load.requests,
                            .latency = context->load.latency};
}

// A load until virtual time `until`; false if a request failed.
static bool load_until(struct driver_context *context, uint64_t rate, uint64_t until)
{
    context->load.due = max_u64(context->load.due, context->virtual_ns);
    while (context->load.due + DEVICE_SECOND_NS / rate <= until)
        if (model_load(context->on->way, context, 1, rate) == BENCH_FAILED)
            return false;
    driver_sleep_until(context, until);
    return true;
}

// Latency, and the CPU's share, of the requests since `from`.
static void emit_stretch(const struct driver_context *context, const struct stretch *from,
                         const struct bench_counters *out, const char *const curves[2], uint64_t x)
{
    const struct stretch to = stretch_now(context);
    const uint64_t elapsed = to.at - from->at, away = to.away - from->away;
    emit_point(out, curves[0], x, to.latency - from->latency, to.requests - from->requests,
               "count");
    emit_point(out, curves[1], x, elapsed - away, elapsed, "percent");
}

#define SETTLE_NS  110000000u // the controller decides after the first tenth of a second
#define MEASURE_NS 50000000u
#define BUSY_NS    10000000u // enough of many

static void count_load(struct driver_context *context, const struct bench_counters *out)
{
    static const char *const curves[] = {"latency_ns_by_load", "cpu_share_by_load"};
    static const uint64_t rates[] = {100, 1000, 5000, 10000, 20000, 50000};
    for (size_t i = 0; i < ARRAY_COUNT(rates); i++) {
        if (!begin_simulated(context))
            return;
        // A fixed mode has nothing to learn.
        const uint64_t settled = context->on->way->adaptive ? SETTLE_NS : 0;
        if (!load_until(context, rates[i], settled))
            return;
        const struct stretch from = stretch_now(context);
        const uint64_t measured = rates[i] > BLOCK_RATE_HIGH ? BUSY_NS : MEASURE_NS;
        if (!load_until(context, rates[i], settled + measured))
            return;
        emit_stretch(context, &from, out, curves, rates[i]);
    }
}

// Virtual nanoseconds of so many requests in bursts; 0 if one failed.
static uint64_t bursts_ns(struct driver_context *context, unsigned depth, uint32_t bytes,
                          uint64_t operations)
{
    context->depth = depth;
    context->bytes = bytes;
    context->count = bytes / context->device->facts.block_bytes;
    context->next = 0;
    make_order(context);
    make_slots(context, context->room, (uintptr_t)context->room);
    if (!begin_simulated(context))
        return 0;
    const uint64_t start = context->virtual_ns;
    const uint64_t sum = driver_bursts(context->on->way, context, operations);
    return sum != BENCH_FAILED ? context->virtual_ns - start : 0;
}

// Operations a second by depth, MB a second by size.
static void count_depth(struct driver_context *context, const struct bench_counters *out)
{
    static const struct {
        size_t which;
        const char *curve;
    } orders[] = {{CASE_sim_depth, "random_by_depth"}, {CASE_sequential, "sequential_by_depth"}};
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        context->which = orders[i].which;
        for (unsigned depth = 1; depth <= DRIVER_SLOTS; depth *= 2) {
            const uint64_t operations = 2 * DRIVER_SLOTS;
            const uint64_t ns = bursts_ns(context, depth, DRIVER_PIECE, operations);
            if (ns > 0)
                emit_point(out, orders[i].curve, depth, operations * DEVICE_SECOND_NS / ns, 1,
                           "count");
        }
    }
    context->which = CASE_sim_depth;
    for (uint32_t bytes = 512; bytes <= 128u << 10; bytes *= 2) {
        const uint64_t operations = 16, ns = bursts_ns(context, 4, bytes, operations);
        if (ns > 0)
            emit_point(out, "mb_a_second_by_bytes", bytes, operations * bytes * 1000 / ns, 1,
                       "count");
    }
}

#define PHASE_STEP_NS 200000000u

// The load changes while the controller looks: each fifth of a second a point.
static void count_phases(struct driver_context *context, const struct bench_counters *out)
{
    static const char *const curves[] = {"latency_ns_by_ms", "cpu_percent_by_ms"};
    static const struct {
        uint64_t rate, until_ns;
    } phases[] = {{MODEL_RATE_INTERRUPT, 1000000000},
                  {MODEL_RATE_HYBRID, 2000000000},
                  {MODEL_RATE_POLLING, 2400000000},
                  {MODEL_RATE_INTERRUPT, 5000000000}};
    struct block_controller_statistics decided;
    if (!begin_simulated(context))
        return;
    for (size_t phase = 0, step = 1; phase < ARRAY_COUNT(phases); step++) {
        const uint64_t until = step * PHASE_STEP_NS, ms = until / 1000000;
        const struct stretch from = stretch_now(context);
        if (!load_until(context, phases[phase].rate, until))
            return;
        emit_stretch(context, &from, out, curves, ms);
        emit_point(out, "load_by_ms", ms, phases[phase].rate, 1, "count");
        emit_point(out, "mode_priority_by_ms", ms,
                   block_mode_priority(block_mode(context->device, DRIVER_QUEUE)), 1, "count");
        phase += until >= phases[phase].until_ns;
    }
    block_queue_controller(context->device, DRIVER_QUEUE, &decided);
    out->emit(out->context, "switches", decided.switches, 1, "count");
    for (unsigned mode = 0; mode < BLOCK_MODES; mode++) {
        char name[32];
        format(name, sizeof(name), "ms_in_%s", block_mode_name((enum block_mode)mode));
        out->emit(out->context, name, decided.ticks_in[mode] / 1000000, 1, "count");
        format(name, sizeof(name), "operations_in_%s", block_mode_name((enum block_mode)mode));
        out->emit(out->context, name, decided.operations_in[mode], 1, "count");
    }
}

// Whether it was this mode: over several boots, the share of those.
static void emit_mode(const struct bench_counters *out, uint64_t ms, enum block_mode found)
{
    for (unsigned mode = 0; mode < BLOCK_MODES; mode++) {
        char curve[32];
        format(curve, sizeof(curve), "mode_%s_by_ms", block_mode_name((enum block_mode)mode));
        emit_point(out, curve, ms, mode == found, 1, "observed");
    }
}

// The time line of the counted pass.
static void count_phases_of_disk(const struct driver_context *context,
                                 const struct bench_counters *out)
{
    const struct device_clock *const clock = &context->device->config.clock;
    for (uint64_t i = 0; i < DRIVER_SLICES; i++) {
        const struct driver_slice *const slice = &context->line[i];
        const uint64_t ms = (i + 1) * (DRIVER_SLICE_NS / 1000000);
        const uint64_t us = device_ns_of(clock, slice->elapsed) / 1000;
        emit_point(out, "asked_by_ms", ms, slice->asked, 1, "observed");
        emit_point(out, "load_by_ms", ms, slice->requests * 1000000, us, "observed");
        emit_point(out, "left_out_by_ms", ms, slice->left_out, 1, "observed");
        emit_mode(out, ms, slice->mode);
        emit_point(out, "latency_ns_by_ms", ms, device_ns_of(clock, slice->latency),
                   slice->requests, "observed");
        emit_point(out, "device_ns_by_ms", ms, device_ns_of(clock, slice->device), slice->requests,
                   "observed");
        emit_point(out, "cpu_percent_by_ms", ms, slice->busy * 100, slice->elapsed, "observed");
    }
}

static void counters(size_t which, const void *on, const void *context_,
                     const struct bench_counters *out)
{
    // Its state was made for this pass.
    struct driver_context *const context = (struct driver_context *)(uintptr_t)context_;
    (void)on;
    if (which == CASE_sim_load)
        count_load(context, out);
    else if (which == CASE_sim_depth)
        count_depth(context, out);
    else if (which == CASE_sim_phases)
        count_phases(context, out);
    else if (which == CASE_phases)
        count_phases_of_disk(context, out);
    else
        count_disk(which, context, out);
}

const struct bench_suite driver_suite = {
    DRIVER_SUITE,
    .counters = counters,
};
