// SPDX-License-Identifier: MIT
#include "trace_round.h"

#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "disturbances.h"
#include "platform.h"
#include "string.h"

#define WINDOWS_QUICK 64u
#define BUDGET_QUICK  300u // us, of the whole round
#define BUDGET_FULL   20000u
#define SPARE_ENTRIES (4 * (TRACE_ROUND_KEPT + 1)) // for changes of counters

// ---- one window ---------------------------------------------------------------------------------

static void sum(const struct trace_buffer *buffer, struct traced_window *window)
{
    memcpy(window->after, window->before, sizeof(window->after));
    for (uint32_t i = window->first; i < window->last; i++) {
        const struct trace_entry *entry = &buffer->entries[i];
        if (entry->phase == TRACE_PHASE_ADD)
            window->after[entry->event] += (int32_t)entry->value;
    }
}

// An SMI leaves no trace but a count and a gap.
static void look_for_smis(struct trace_round *round, const struct traced_window *window,
                          const struct platform_events *before, const struct platform_events *after)
{
    if ((window->tags & RECORD_TAG_SMI) == 0 || round->instant_count == PERFETTO_INSTANTS_MOST)
        return;
    round->instants[round->instant_count++] = (struct perfetto_instant){
        .event = TRACE_SMI, .ticks = window->end, .value = after->smis - before->smis};
}

static bool run_window(struct trace_round *round, struct traced_window *window)
{
    const struct bench_suite *suite = round->row->suite;
    const size_t which = (size_t)(round->row->bench_case - suite->cases);
    const bool own = suite->interrupts != NULL && suite->interrupts(which);
    struct platform_events before, after;
    window->since = cpu_ticks();
    if (suite->before != NULL)
        suite->before(which, round->row->variant->ops, round->context, round->operations);
    const uint64_t expected = suite->expected(which, round->context, round->operations);
    platform_events(&before);
    window->begin = cpu_ticks();
    const struct window measured =
        clock_window(round->clock, round->body, round->context, round->operations);
    window->end = cpu_ticks();
    platform_events(&after);
    const uint64_t part =
        suite->ticks != NULL ? suite->ticks(which, round->context) : BENCH_WHOLE_WINDOW;
    window->sample = part != BENCH_WHOLE_WINDOW
                         ? (int64_t)part
                         : (int64_t)measured.ticks - (int64_t)round->clock->pair_min;
    window->tags = disturbances_tags(&before, &after) & ~(own ? (int64_t)RECORD_TAG_INTERRUPT : 0);
    look_for_smis(round, window, &before, &after);
    return measured.checksum == expected;
}

// ---- what is kept -------------------------------------------------------------------------------

static size_t kept_most(uint32_t windows)
{
    return 1 + windows / 1000;
}

// Only this CPU has recorded, and nothing but its interrupts beside what the row did.
static bool is_alone(const struct trace_round *round)
{
    const struct trace_cpu *here = &round->cpus[0];
    if (cpu_trace_buffer() != here->first)
        return false;
    for (unsigned cpu = 1; cpu < CPU_MOST; cpu++) {
        if ((round->others >> cpu & 1) != 0 && trace_cpu_worked(&round->cpus[cpu]))
            return false;
    }
    return !trace_cpu_has_events(here);
}

// Takes the entries of a kept window out of the buffer.
static void take_out(struct trace_round *round, struct trace_buffer *buffer, size_t which)
{
    const struct traced_window gone = round->kept[which];
    // The first window stays where it is: it shows what the row does.
    const uint32_t length = gone.index == 0 ? 0 : gone.last - gone.first;
    memmove(&buffer->entries[gone.first], &buffer->entries[gone.first + length],
            (buffer->used - gone.first - length) * sizeof(struct trace_entry));
    buffer->used -= length;
    round->dropped += length;
    for (size_t i = which + 1; i < round->kept_count; i++) {
        round->kept[i - 1] = round->kept[i];
        round->kept[i - 1].first -= length;
        round->kept[i - 1].last -= length;
    }
    round->kept_count--;
}

// Keeps the window, which is the last in the buffer, or takes it out.
static void choose(struct trace_round *round, struct trace_buffer *buffer, uint32_t planned,
                   struct traced_window *window, uint64_t lost)
{
    size_t least = 0; // the last of equals: of windows as slow, the first stay
    for (size_t i = 1; i < round->kept_count; i++) {
        if (round->kept[i].sample <= round->kept[least].sample)
            least = i;
    }
    const bool room = round->kept_count < kept_most(planned);
    if (!room && window->sample <= round->kept[least].sample) {
        if (window->index != 0) {
            round->dropped += window->last - window->first + (buffer->lost - lost);
            buffer->used = window->first;
            buffer->lost = lost;
        }
        return;
    }
    if (!room) {
        const uint32_t used = buffer->used;
        take_out(round, buffer, least);
        window->first -= used - buffer->used;
        window->last -= used - buffer->used;
    }
    round->kept[round->kept_count++] = *window;
}

// Writes what changed from `from` to `to` at entry `at`, backwards from it; returns how many.
static uint32_t put_changes(struct trace_buffer *buffer, uint32_t at, uint64_t ticks,
                            const int64_t *from, const int64_t *to)
{
    uint32_t count = 0;
    for (uint32_t i = TRACE_EVENT_COUNT; i-- > 0;) {
        if (to[i] == from[i])
            continue;
        count++;
        buffer->entries[at - count] = (struct trace_entry){.ticks = ticks,
                                                           .value = (uint32_t)(to[i] - from[i]),
                                                           .event = (uint16_t)i,
                                                           .phase = TRACE_PHASE_ADD};
    }
    return count;
}

static uint32_t count_changes(const int64_t *from, const int64_t *to)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TRACE_EVENT_COUNT; i++)
        count += to[i] != from[i];
    return count;
}

// What windows changed that were taken out, in front of each that stays, and at the end.
static void tell_changes(struct trace_round *round, struct trace_buffer *buffer,
                         const struct traced_window *first, const struct traced_window *last)
{
    struct traced_window *kept = round->kept;
    uint32_t extra = 0;
    const int64_t *after = first->after;
    for (size_t i = 0; i < round->kept_count; i++) {
        if (kept[i].index == 0)
            continue;
        extra += count_changes(after, kept[i].before);
        after = kept[i].after;
    }
    extra += count_changes(after, last->after);
    if (extra == 0 || buffer->capacity - buffer->used < extra)
        return;
    uint32_t to = buffer->used + extra;
    buffer->used = to;
    to -= put_changes(buffer, to, last->end, after, last->after);
    for (size_t i = round->kept_count; i-- > 0;) {
        if (kept[i].index == 0)
            continue;
        const uint32_t length = kept[i].last - kept[i].first;
        memmove(&buffer->entries[to - length], &buffer->entries[kept[i].first],
                length * sizeof(struct trace_entry));
        to -= length;
        after = i > 0 && kept[i - 1].index != 0 ? kept[i - 1].after : first->after;
        to -= put_changes(buffer, to, kept[i].since, after, kept[i].before);
    }
}

// ---- a round ------------------------------------------------------------------------------------

bool trace_round_run(struct trace_round *round)
{
    static struct traced_window first, window, last;
    struct trace_buffer *buffer = round->cpus[0].first;
    const uint32_t planned = round->full ? TRACE_ROUND_WINDOWS_MOST : WINDOWS_QUICK;
    const uint64_t hz = clock_hz(round->clock);
    const uint64_t budget = hz / 1000000 * (round->full ? BUDGET_FULL : BUDGET_QUICK);
    const uint64_t start = cpu_ticks();
    bool whole = true, more = true;
    memset(&last, 0, sizeof(last));
    for (uint32_t i = 0; more && whole; i++) {
        window = (struct traced_window){.index = i, .first = buffer->used};
        memcpy(window.before, last.after, sizeof(window.before));
        const uint64_t lost = buffer->lost;
        whole = run_window(round, &window);
        window.last = buffer->used;
        round->windows++;
        sum(buffer, &window);
        last = window;
        if (i == 0)
            first = window;
        round->least = i == 0 || window.sample < round->least ? window.sample : round->least;
        choose(round, buffer, planned, &window, lost);
        const uint64_t spare = buffer->capacity - buffer->used;
        more = round->windows < planned && cpu_ticks() - start < budget && buffer->lost == 0 &&
               spare > 2 * (uint64_t)(first.last - first.first) + SPARE_ENTRIES && is_alone(round);
    }
    if (round->windows > 1)
        tell_changes(round, buffer, &first, &last);
    return whole;
}

unsigned trace_round_rank(const struct trace_round *round, const struct traced_window *window)
{
    unsigned rank = 1;
    for (size_t i = 0; i < round->kept_count; i++)
        rank += round->kept[i].sample > window->sample ||
                (round->kept[i].sample == window->sample && &round->kept[i] < window);
    return rank;
}

const char *trace_round_name(const struct trace_round *round, const struct traced_window *window)
{
    // By the nearest rank: the sample that 999 of 1000 are no greater than.
    const uint32_t at = (uint32_t)(((uint64_t)round->windows * 999 + 999) / 1000);
    const unsigned rank = trace_round_rank(round, window);
    return rank == 1 ? "max" : rank == round->windows - at + 1 ? "p99.9" : NULL;
}
