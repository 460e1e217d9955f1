// SPDX-License-Identifier: MIT
// From a CPU's buffer to packets: slices, instants, counters and flows of one row.
//
// Thousands of operations are all alike: of those in which nothing nests (leaves: a begin, changes
// of counters, the end) and of those that went a level down, the first ones of each phase are
// drawn; of the others only what they change in counters, and how many they were. Messages whose
// flow is drawn are always there.
#include "assert.h"
#include "compiler.h"
#include "perfetto.h"
#include "perfetto_fields.h"

#define EVENT_WIDTH 1u // bytes for the length of a packet with an event: below 128

struct walk {
    struct perfetto *perfetto;
    const struct perfetto_row *row;
    const struct perfetto_recording *recording;
    const struct trace_buffer *buffer; // its
    uint64_t counters;                 // the row's
    uint64_t now_ns;                   // where the sequence's clock stands
    uint32_t depth;
    size_t phase;                    // of the row
    uint32_t leaves, nested, others; // so far in this phase, and in all
    uint64_t changed;                // bit for each counter with changes that were not written
    int64_t sums[TRACE_EVENT_COUNT];
};

// ---- packets ------------------------------------------------------------------------------------

static void resync(struct walk *walk, uint64_t ticks, uint32_t dropped)
{
    walk->now_ns = perfetto_resync(walk->perfetto, walk->recording, ticks, dropped);
    perfetto_row_tracks(walk->perfetto, PERFETTO_SEQUENCE_CPU + walk->recording->cpu, walk->row,
                        walk->counters);
}

// Between operations a new chunk is begun in good time; inside one only if it must be.
static void look_for_room(struct walk *walk, uint64_t ticks)
{
    const struct proto *chunk = &walk->perfetto->chunk;
    const size_t room = chunk->capacity - chunk->length;
    if (room >= 4 * PERFETTO_PACKET_MOST || (walk->depth > 0 && room >= PERFETTO_PACKET_MOST))
        return;
    perfetto_flush(walk->perfetto);
    resync(walk, ticks, 0);
}

// What repeats stands first and what differs last, where compression likes it.
static size_t open_event(struct walk *walk, size_t *packet, enum event_type type)
{
    struct proto *out = &walk->perfetto->chunk;
    *packet = proto_open(out, TRACE_PACKET, EVENT_WIDTH);
    proto_number(out, PACKET_SEQUENCE_ID, PERFETTO_SEQUENCE_CPU + walk->recording->cpu);
    proto_number(out, PACKET_SEQUENCE_FLAGS, SEQUENCE_NEEDS);
    const size_t event = proto_open(out, PACKET_TRACK_EVENT, EVENT_WIDTH);
    proto_number(out, EVENT_TYPE, type);
    return event;
}

static void close_event(struct walk *walk, size_t packet, size_t event, uint64_t ticks)
{
    struct perfetto *perfetto = walk->perfetto;
    const uint64_t ns = perfetto_ticks_to_ns(perfetto->multiplier, ticks);
    proto_close(&perfetto->chunk, event, EVENT_WIDTH);
    proto_number(&perfetto->chunk, PACKET_TIMESTAMP, ns - walk->now_ns);
    proto_close(&perfetto->chunk, packet, EVENT_WIDTH);
    assert(!perfetto->chunk.full);
    walk->now_ns = ns;
    perfetto->counts.events++;
    perfetto->counts.packets++;
}

static void put_name(struct walk *walk, uint32_t event, uint64_t value)
{
    struct proto *out = &walk->perfetto->chunk;
    proto_number(out, EVENT_CATEGORY_IID, walk->perfetto->category_iid[event]);
    proto_number(out, EVENT_NAME_IID, event + 1);
    if (perfetto_events[event].value[0] == '\0')
        return;
    const size_t annotation = proto_open(out, EVENT_ANNOTATION, EVENT_WIDTH);
    proto_number(out, ANNOTATION_NAME_IID, event + 1);
    proto_number(out, ANNOTATION_UINT, value);
    proto_close(out, annotation, EVENT_WIDTH);
}

// Rows number their messages from 0 each.
static uint64_t flow_id(const struct walk *walk, uint32_t number)
{
    return (uint64_t)(walk->row->number + 1) << 32 | number;
}

static bool has_flow(const struct trace_entry *entry)
{
    return (entry->phase == TRACE_PHASE_BEGIN_OUT || entry->phase == TRACE_PHASE_BEGIN_IN) &&
           entry->value % PERFETTO_FLOW_EVERY == 0;
}

static void put_begin(struct walk *walk, const struct trace_entry *entry)
{
    size_t packet;
    const size_t event = open_event(walk, &packet, TYPE_BEGIN);
    if (has_flow(entry))
        proto_fixed64(&walk->perfetto->chunk,
                      entry->phase == TRACE_PHASE_BEGIN_OUT ? EVENT_FLOW : EVENT_FLOW_ENDS,
                      flow_id(walk, entry->value));
    put_name(walk, entry->event, entry->value);
    close_event(walk, packet, event, entry->ticks);
    walk->depth++;
}

static void put_end(struct walk *walk, uint64_t ticks)
{
    size_t packet;
    const size_t event = open_event(walk, &packet, TYPE_END);
    close_event(walk, packet, event, ticks);
    walk->depth--;
}

static void put_instant(struct walk *walk, uint32_t which, uint64_t value, uint64_t ticks)
{
    size_t packet;
    const size_t event = open_event(walk, &packet, TYPE_INSTANT);
    put_name(walk, which, value);
    close_event(walk, packet, event, ticks);
}

static void put_counters(struct walk *walk, uint64_t ticks)
{
    struct proto *out = &walk->perfetto->chunk;
    for (uint32_t i = 0; i < TRACE_EVENT_COUNT; i++) {
        size_t packet;
        if ((walk->changed >> i & 1) == 0)
            continue;
        const size_t event = open_event(walk, &packet, TYPE_COUNTER);
        proto_number(out, EVENT_TRACK, PERFETTO_UUID_COUNTER(walk->row->number, i));
        proto_number(out, EVENT_COUNTER_VALUE, (uint64_t)walk->sums[i]);
        close_event(walk, packet, event, ticks);
    }
    walk->changed = 0;
}

// ---- entries ------------------------------------------------------------------------------------

static bool begins(const struct trace_entry *entry)
{
    return entry->phase <= TRACE_PHASE_BEGIN_IN;
}

// What several CPUs count together is put together when all have been walked.
static bool counts_alone(const struct walk *walk)
{
    return walk->row->recording_count == 1;
}

static void add(struct walk *walk, const struct trace_entry *entry)
{
    walk->sums[entry->event] += (int32_t)entry->value;
    walk->changed |= (uint64_t)1 << entry->event;
}

// How many entries the operation that begins at `first` has, and whether it is a leaf; 0 if none
// begins there, or it does not end.
static uint32_t operation_entries(const struct walk *walk, uint32_t first, bool *leaf)
{
    const struct trace_entry *entries = walk->buffer->entries;
    uint32_t depth = 0;
    *leaf = true;
    for (uint32_t at = first; at < walk->buffer->used; at++) {
        *leaf = *leaf && (at == first || !begins(&entries[at]));
        depth += begins(&entries[at]);
        if (depth == 0)
            return 0;
        depth -= entries[at].phase == TRACE_PHASE_END;
        if (depth == 0)
            return at + 1 - first;
    }
    return 0;
}

// How many entries from `first` on are an operation that is not drawn; 0 if it is.
static uint32_t not_drawn(struct walk *walk, uint32_t first)
{
    bool leaf;
    const uint32_t count = walk->depth == 0 ? operation_entries(walk, first, &leaf) : 0;
    if (count == 0 || has_flow(&walk->buffer->entries[first]))
        return 0;
    if (leaf)
        return walk->leaves++ < PERFETTO_LEAVES_DRAWN ? 0 : count;
    return walk->nested++ < PERFETTO_NESTED_DRAWN ? 0 : count;
}

// Takes the operation at `first` without drawing it.
static void leave_out(struct walk *walk, uint32_t first, uint32_t count, uint64_t *left_out)
{
    const struct trace_entry *entries = walk->buffer->entries + first;
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].phase == TRACE_PHASE_ADD && counts_alone(walk))
            add(walk, &entries[i]);
    }
    if (++walk->others % PERFETTO_OTHERS_SAMPLED == 0)
        put_counters(walk, entries[count - 1].ticks);
    left_out[walk->phase]++;
    walk->perfetto->counts.left_out++;
}

static void take(struct walk *walk, const struct trace_entry *entry)
{
    if (begins(entry)) {
        put_begin(walk, entry);
    } else if (entry->phase == TRACE_PHASE_END && walk->depth > 0) {
        put_end(walk, entry->ticks);
        put_counters(walk, entry->ticks);
    } else if (entry->phase == TRACE_PHASE_INSTANT) {
        put_instant(walk, entry->event, entry->value, entry->ticks);
    } else if (entry->phase == TRACE_PHASE_ADD && counts_alone(walk)) {
        add(walk, entry);
    }
}

// The phase that `ticks` lies in, or the last one that began before.
static void follow_phases(struct walk *walk, uint64_t ticks)
{
    while (walk->phase + 1 < walk->row->phase_count &&
           ticks >= walk->row->phases[walk->phase + 1].begin) {
        walk->phase++;
        walk->leaves = walk->nested = 0;
    }
}

// What was recorded before the buffer was full is closed where it was last seen; then the loss is
// told: to Perfetto's counts, and as an instant on the track.
static void finish(struct walk *walk)
{
    const struct trace_buffer *buffer = walk->buffer;
    const uint64_t last = buffer->entries[buffer->used - 1].ticks;
    while (walk->depth > 0) {
        look_for_room(walk, last);
        put_end(walk, last);
    }
    look_for_room(walk, last);
    put_counters(walk, last);
    if (buffer->lost == 0)
        return;
    resync(walk, last, DROPPED_PRESENT | DROPPED_BUFFER_FULL);
    put_instant(walk, TRACE_LOST, buffer->lost, last);
}

void perfetto_record(struct perfetto *perfetto, const struct perfetto_row *row,
                     const struct perfetto_recording *recording, uint64_t counters,
                     uint64_t *left_out)
{
    const struct trace_buffer *buffer = recording->buffer;
    struct walk walk = {.perfetto = perfetto,
                        .row = row,
                        .recording = recording,
                        .buffer = buffer,
                        .counters = counters};
    assert(recording->cpu < PERFETTO_CPUS_MOST);
    perfetto->lost[recording->cpu] += buffer->lost;
    perfetto->counts.lost += buffer->lost;
    if (buffer->used == 0)
        return;
    resync(&walk, buffer->entries[0].ticks, 0);
    for (uint32_t i = 0; i < buffer->used;) {
        const struct trace_entry *entry = &buffer->entries[i];
        look_for_room(&walk, entry->ticks);
        follow_phases(&walk, entry->ticks);
        const uint32_t others = not_drawn(&walk, i);
        if (others > 0) {
            leave_out(&walk, i, others, left_out);
            i += others;
        } else {
            take(&walk, entry);
            i++;
        }
    }
    finish(&walk);
}

// ---- counters of several CPUs -------------------------------------------------------------------

// The earliest change of a counter that was not taken yet; NULL after the last one. `next` is where
// each recording stands.
static const struct trace_entry *next_change(const struct perfetto_row *row, uint32_t *next)
{
    const struct trace_entry *earliest = NULL;
    size_t from = 0;
    for (size_t i = 0; i < row->recording_count; i++) {
        const struct trace_buffer *buffer = row->recordings[i].buffer;
        while (next[i] < buffer->used && buffer->entries[next[i]].phase != TRACE_PHASE_ADD)
            next[i]++;
        if (next[i] == buffer->used)
            continue;
        const struct trace_entry *entry = &buffer->entries[next[i]];
        if (earliest == NULL || entry->ticks < earliest->ticks) {
            earliest = entry;
            from = i;
        }
    }
    if (earliest != NULL)
        next[from]++;
    return earliest;
}

void perfetto_counters(struct perfetto *perfetto, const struct perfetto_row *row, uint64_t counters)
{
    uint32_t next[PERFETTO_CPUS_MOST] = {0};
    struct walk walk = {.perfetto = perfetto,
                        .row = row,
                        .recording = &row->recordings[0],
                        .buffer = row->recordings[0].buffer,
                        .counters = counters};
    assert(row->recording_count <= PERFETTO_CPUS_MOST);
    const struct trace_entry *entry = next_change(row, next);
    if (entry == NULL)
        return;
    resync(&walk, entry->ticks, 0);
    for (uint32_t changes = 0; entry != NULL; changes++) {
        const uint64_t ticks = entry->ticks;
        add(&walk, entry);
        entry = next_change(row, next);
        look_for_room(&walk, ticks);
        if (changes < PERFETTO_LEAVES_DRAWN || changes % PERFETTO_OTHERS_SAMPLED == 0 ||
            entry == NULL)
            put_counters(&walk, ticks);
    }
}
