// SPDX-License-Identifier: MIT
// From a CPU's buffer to packets: slices, instants, counters and flows of one row.
//
// Thousands of operations are all alike: of those in which nothing nests (leaves: a begin, changes
// of counters, the end) and of those that went a level down, the first ones of each phase are
// drawn; of the others only what they change in counters, and how many they were. Messages whose
// flow is drawn are always there.
//
// Where a scheduler ran, a thread is walked through all its stretches, whatever CPU they are of.
#include "assert.h"
#include "compiler.h"
#include "perfetto.h"
#include "perfetto_fields.h"

#define EVENT_WIDTH 1u // bytes for the length of a packet with an event: below 128

struct walk {
    struct perfetto *perfetto;
    const struct perfetto_row *row;
    const struct perfetto_recording *recording;
    const struct perfetto_thread *scheduled; // who is walked; NULL: what is not scheduled
    struct perfetto_moves *moves;            // its and others'
    uint32_t number;                         // its
    struct perfetto_cursor cursor;
    uint64_t counters;   // the row's
    uint64_t now_ns;     // where the sequence's clock stands
    uint64_t last_ticks; // of this walk: CPUs' clocks may be apart a little
    uint32_t depth;
    size_t phase;                    // of the row
    uint32_t leaves, nested, others; // so far in this phase, and in all
    uint32_t slow;                   // drawn in this phase because it took the longest
    uint64_t longest;                // ticks of an operation of this phase
    uint32_t awaited; // depth of a receiver whose message is sent after it began; 0: none
    uint32_t number_awaited;
    uint64_t changed; // bit for each counter with changes that were not written
    int64_t sums[TRACE_EVENT_COUNT];
};

// ---- packets ------------------------------------------------------------------------------------

static void resync(struct walk *walk, uint64_t ticks, uint32_t dropped)
{
    walk->now_ns = perfetto_resync(walk->perfetto, walk->recording, ticks, dropped);
    perfetto_row_tracks(walk->perfetto, PERFETTO_SEQUENCE_CPU + walk->recording->cpu, walk->row,
                        walk->counters, walk->scheduled);
}

// Between operations a new chunk is begun in good time; inside one only if it must be.
static bool has_room(const struct walk *walk)
{
    const struct proto *chunk = &walk->perfetto->chunk;
    const size_t room = chunk->capacity - chunk->length;
    return room >= 4 * PERFETTO_PACKET_MOST || (walk->depth > 0 && room >= PERFETTO_PACKET_MOST);
}

static void look_for_room(struct walk *walk, uint64_t ticks)
{
    if (has_room(walk))
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
    if (walk->scheduled != NULL)
        proto_number(out, EVENT_TRACK, PERFETTO_UUID_THREAD(walk->scheduled->tid));
    return event;
}

static void close_event(struct walk *walk, size_t packet, size_t event, uint64_t ticks)
{
    struct perfetto *perfetto = walk->perfetto;
    walk->last_ticks = max_u64(walk->last_ticks, ticks);
    const uint64_t ns = perfetto_ticks_to_ns(perfetto->multiplier, walk->last_ticks);
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

static void put_number(struct walk *walk, const char *name, uint64_t value)
{
    struct proto *out = &walk->perfetto->chunk;
    const size_t annotation = proto_open(out, EVENT_ANNOTATION, EVENT_WIDTH);
    proto_text(out, ANNOTATION_NAME, name);
    proto_number(out, ANNOTATION_UINT, value);
    proto_close(out, annotation, EVENT_WIDTH);
}

// Rows number their messages from 0 each.
static uint64_t flow_id(const struct walk *walk, uint32_t number)
{
    return (uint64_t)(walk->row->number + 1) << 32 | number;
}

static bool begins(const struct trace_entry *entry)
{
    return entry->phase <= TRACE_PHASE_BEGIN_IN;
}

// An operation that begins where the walk is.
struct operation {
    const struct trace_entry *end; // NULL: it does not, or none begins
    uint32_t count;                // entries
    uint32_t number;               // as it was at last
    bool leaf;
};

static struct operation operation_of(const struct walk *walk)
{
    struct perfetto_cursor cursor = walk->cursor;
    struct operation operation = {.leaf = true};
    const struct trace_entry *entry;
    uint32_t depth = 0;
    for (; (entry = perfetto_entry(&cursor)) != NULL; cursor.at++) {
        if (operation.count == 0 || (entry->phase == TRACE_PHASE_NUMBER && depth == 1))
            operation.number = entry->value;
        operation.leaf = operation.leaf && (operation.count == 0 || !begins(entry));
        operation.count++;
        depth += begins(entry);
        if (depth == 0)
            break;
        depth -= entry->phase == TRACE_PHASE_END;
        if (depth == 0) {
            operation.end = entry;
            break;
        }
    }
    return operation;
}

// Whether a flow is drawn from or to the operation that begins with `entry`, where the walk is: not
// one that was refused.
static bool has_flow(const struct operation *operation, const struct trace_entry *entry)
{
    return (entry->phase == TRACE_PHASE_BEGIN_OUT || entry->phase == TRACE_PHASE_BEGIN_IN) &&
           operation->number % PERFETTO_FLOW_EVERY == 0 &&
           (operation->end == NULL || operation->end->value == TRACE_END_DONE);
}

static void put_begin(struct walk *walk, const struct trace_entry *entry)
{
    size_t packet;
    const struct operation operation = operation_of(walk);
    const size_t event = open_event(walk, &packet, TYPE_BEGIN);
    if (has_flow(&operation, entry)) {
        const bool comes = entry->phase == TRACE_PHASE_BEGIN_IN;
        // Of two senders it is the other's, for all that is known, until the receiver has it.
        const bool early =
            comes && (perfetto_is_sent_by_two(walk->perfetto, operation.number) ||
                      !perfetto_was_sent(walk->perfetto, operation.number, entry->ticks));
        walk->awaited = early ? walk->depth + 1 : walk->awaited;
        walk->number_awaited = early ? operation.number : walk->number_awaited;
        if (!early)
            proto_fixed64(&walk->perfetto->chunk, comes ? EVENT_FLOW_ENDS : EVENT_FLOW,
                          flow_id(walk, operation.number));
    }
    put_name(walk, entry->event, operation.number);
    close_event(walk, packet, event, entry->ticks);
    walk->depth++;
}

// The message that was sent while its receiver was at it already.
static void put_arrival(struct walk *walk, uint64_t ticks)
{
    size_t packet;
    if (walk->awaited == 0 || walk->depth != walk->awaited)
        return;
    walk->awaited = 0;
    if (!perfetto_was_sent(walk->perfetto, walk->number_awaited, ticks))
        return;
    const size_t event = open_event(walk, &packet, TYPE_INSTANT);
    proto_fixed64(&walk->perfetto->chunk, EVENT_FLOW_ENDS, flow_id(walk, walk->number_awaited));
    put_name(walk, TRACE_RING_ARRIVED, walk->number_awaited);
    close_event(walk, packet, event, ticks);
}

static void put_end(struct walk *walk, uint64_t ticks)
{
    size_t packet;
    put_arrival(walk, ticks);
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

// Moves of the thread to other CPUs, until then.
static void put_moves(struct walk *walk, uint64_t until)
{
    const struct trace_entry *move;
    while (walk->moves != NULL &&
           (move = perfetto_move(walk->moves, walk->row, walk->number, until)) != NULL) {
        look_for_room(walk, move->ticks);
        size_t packet;
        const size_t event = open_event(walk, &packet, TYPE_INSTANT);
        put_name(walk, TRACE_SCHED_MIGRATE, walk->number);
        put_number(walk, "from", trace_value_cpu(move->value));
        put_number(walk, "to", trace_value_to(move->value));
        close_event(walk, packet, event, move->ticks);
    }
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

// What several CPUs count together is put together when all have been walked.
static bool counts_alone(const struct perfetto_row *row)
{
    return row->recording_count == 1 && !perfetto_is_scheduled(row);
}

static void add(struct walk *walk, const struct trace_entry *entry)
{
    walk->sums[entry->event] += (int32_t)entry->value;
    walk->changed |= (uint64_t)1 << entry->event;
}

// How many entries from `entry` on, where the walk is, are an operation that is not drawn; 0 if it
// is.
static uint32_t not_drawn(struct walk *walk, const struct trace_entry *entry)
{
    if (walk->depth != 0)
        return 0;
    const struct operation operation = operation_of(walk);
    if (operation.end == NULL || has_flow(&operation, entry))
        return 0;
    const bool first = operation.leaf ? walk->leaves++ < PERFETTO_LEAVES_DRAWN
                                      : walk->nested++ < PERFETTO_NESTED_DRAWN;
    if (first || (operation.end->ticks - entry->ticks >= walk->longest &&
                  walk->slow++ < PERFETTO_SLOWEST_DRAWN))
        return 0;
    return operation.count;
}

// Takes the operation of `count` entries without drawing it.
static void leave_out(struct walk *walk, uint32_t count, uint64_t *left_out)
{
    uint64_t ticks = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct trace_entry *entry = perfetto_entry(&walk->cursor);
        walk->cursor.at++;
        ticks = entry->ticks;
        if (entry->phase == TRACE_PHASE_ADD && counts_alone(walk->row))
            add(walk, entry);
    }
    if (++walk->others % PERFETTO_OTHERS_SAMPLED == 0)
        put_counters(walk, ticks);
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
    } else if (entry->phase == TRACE_PHASE_ADD && counts_alone(walk->row)) {
        add(walk, entry);
    }
}

static uint64_t begin_of(const struct walk *walk, size_t phase)
{
    return phase < walk->row->phase_count ? walk->row->phases[phase].begin : UINT64_MAX;
}

// What the longest operation takes that begins in the phase, from where the walk is on.
static uint64_t longest_of_phase(const struct walk *walk)
{
    struct walk ahead = *walk;
    const struct trace_entry *entry;
    uint64_t longest = 1;
    while ((entry = perfetto_entry(&ahead.cursor)) != NULL &&
           entry->ticks < begin_of(walk, walk->phase + 1)) {
        const struct operation operation = operation_of(&ahead);
        if (operation.end != NULL)
            longest = max_u64(longest, operation.end->ticks - entry->ticks);
        for (uint32_t i = 0; i < max_u64(operation.count, 1); i++) {
            (void)perfetto_entry(&ahead.cursor);
            ahead.cursor.at++;
        }
    }
    return longest;
}

// The phase that `ticks` lies in, or the last one that began before.
static void follow_phases(struct walk *walk, uint64_t ticks)
{
    const size_t before = walk->phase;
    while (ticks >= begin_of(walk, walk->phase + 1))
        walk->phase++;
    if (walk->phase == before && walk->longest != 0)
        return;
    walk->leaves = walk->nested = walk->slow = 0;
    walk->longest = longest_of_phase(walk);
}

// What is open is closed where the thread was last seen.
static void close_slices(struct walk *walk, uint64_t last)
{
    while (walk->depth > 0) {
        look_for_room(walk, last);
        put_end(walk, last);
    }
    look_for_room(walk, last);
    put_counters(walk, last);
}

static void walk_entries(struct walk *walk, uint64_t *left_out)
{
    const struct trace_entry *entry;
    uint64_t last = 0;
    while ((entry = perfetto_entry(&walk->cursor)) != NULL) {
        last = entry->ticks;
        look_for_room(walk, last);
        put_moves(walk, last);
        follow_phases(walk, last);
        const uint32_t others = not_drawn(walk, entry);
        if (others > 0) {
            leave_out(walk, others, left_out);
        } else {
            take(walk, entry);
            walk->cursor.at++;
        }
    }
    close_slices(walk, max_u64(last, walk->last_ticks));
}

// ---- recordings ---------------------------------------------------------------------------------

uint64_t perfetto_lost_by(const struct perfetto_recording *recording, uint64_t *last)
{
    uint64_t lost = 0;
    *last = 0;
    for (const struct trace_buffer *at = recording->buffer; at != NULL; at = at->next) {
        lost += at->lost;
        if (at->used > 0)
            *last = max_u64(*last, at->entries[at->used - 1].ticks);
        *last = max_u64(*last, at->began);
    }
    if (recording->full != NULL)
        lost += recording->full->lost;
    if (recording->events != NULL) {
        lost += recording->events->lost;
        if (recording->events->used > 0)
            *last = max_u64(*last, recording->events->entries[recording->events->used - 1].ticks);
    }
    return lost;
}

// What a CPU recorded outside of a scheduler, and what it lost: to Perfetto's counts, and as an
// instant on the track.
static void record_cpu(struct perfetto *perfetto, const struct perfetto_row *row,
                       const struct perfetto_recording *recording, uint64_t counters,
                       uint64_t *left_out)
{
    struct walk walk = {.perfetto = perfetto,
                        .row = row,
                        .recording = recording,
                        .cursor = {.buffer = recording->buffer, .of_thread = true},
                        .counters = counters};
    uint64_t last;
    const uint64_t lost = perfetto_lost_by(recording, &last);
    assert(recording->cpu < PERFETTO_CPUS_MOST);
    perfetto->lost[recording->cpu] += lost;
    perfetto->counts.lost += lost;
    const struct trace_entry *entry = perfetto_entry(&walk.cursor);
    if (entry != NULL) {
        resync(&walk, entry->ticks, 0);
        walk_entries(&walk, left_out);
    }
    if (lost == 0)
        return;
    resync(&walk, last, DROPPED_PRESENT | DROPPED_BUFFER_FULL);
    put_instant(&walk, TRACE_LOST, lost, last);
}

// What the threads of schedulers recorded. All go through one sequence, one after the other.
static void record_threads(struct perfetto *perfetto, const struct perfetto_row *row,
                           uint64_t counters, uint64_t *left_out)
{
    struct perfetto_moves moves = perfetto_moves(row);
    bool begun = false;
    uint64_t now_ns = 0;
    for (uint32_t i = 1; i < row->threads->next && i < row->threads->capacity; i++) {
        struct perfetto_texts texts;
        const struct perfetto_thread thread = perfetto_scheduled(perfetto, row, i, &texts);
        struct walk walk = {.perfetto = perfetto,
                            .row = row,
                            .recording = row->recordings,
                            .scheduled = &thread,
                            .moves = &moves,
                            .number = i,
                            .cursor = {.buffer = row->threads->threads[i].first, .of_thread = true},
                            .counters = counters,
                            .now_ns = now_ns};
        if (perfetto_entry(&walk.cursor) == NULL && !perfetto_has_move(&moves, row, i))
            continue;
        if (begun && has_room(&walk))
            perfetto_thread_tracks(perfetto, PERFETTO_SEQUENCE_CPU + walk.recording->cpu, &thread);
        else
            resync(&walk, row->phases[0].begin, 0);
        begun = true;
        walk_entries(&walk, left_out);
        put_moves(&walk, UINT64_MAX);
        now_ns = walk.now_ns;
    }
}

// ---- counters of several CPUs -------------------------------------------------------------------

// The earliest change of a counter that was not taken yet; NULL after the last one. `next` is where
// each recording stands.
static const struct trace_entry *next_change(const struct perfetto_row *row,
                                             struct perfetto_cursor *next)
{
    const struct trace_entry *earliest = NULL;
    size_t from = 0;
    for (size_t i = 0; i < row->recording_count; i++) {
        const struct trace_entry *entry;
        while ((entry = perfetto_entry(&next[i])) != NULL && entry->phase != TRACE_PHASE_ADD)
            next[i].at++;
        if (entry == NULL)
            continue;
        if (earliest == NULL || entry->ticks < earliest->ticks) {
            earliest = entry;
            from = i;
        }
    }
    if (earliest != NULL)
        next[from].at++;
    return earliest;
}

static void record_counters(struct perfetto *perfetto, const struct perfetto_row *row,
                            uint64_t counters)
{
    struct perfetto_cursor next[PERFETTO_CPUS_MOST];
    struct walk walk = {
        .perfetto = perfetto, .row = row, .recording = &row->recordings[0], .counters = counters};
    assert(row->recording_count <= PERFETTO_CPUS_MOST);
    for (size_t i = 0; i < row->recording_count; i++)
        next[i] = (struct perfetto_cursor){.buffer = row->recordings[i].buffer};
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

void perfetto_record(struct perfetto *perfetto, const struct perfetto_row *row, uint64_t counters,
                     uint64_t *left_out)
{
    for (size_t i = 0; i < row->recording_count; i++)
        record_cpu(perfetto, row, &row->recordings[i], counters, left_out);
    if (perfetto_is_scheduled(row))
        record_threads(perfetto, row, counters, left_out);
    if (!counts_alone(row))
        record_counters(perfetto, row, counters);
}
