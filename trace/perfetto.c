// SPDX-License-Identifier: MIT
// Packets of Perfetto: what a trace declares, its chunks, losses.
#include "perfetto.h"

#include "assert.h"
#include "compiler.h"
#include "perfetto_fields.h"
#include "string.h"

#define SMALL_WIDTH 1u // bytes for the length of what is below 128 bytes
#define CHUNK_WIDTH 3u // below 2 MiB

#define EVENT_ABOUT(name_, category_, text_, kind_, value_)                                        \
    {.name = text_, .category = category_, .value = value_, .kind = TRACE_KIND_##kind_},
const struct perfetto_event_about perfetto_events[TRACE_EVENT_COUNT] = {TRACE_EVENTS(EVENT_ABOUT)};

uint64_t perfetto_multiplier(uint64_t hz)
{
    const uint64_t second = (uint64_t)1000000000 << PERFETTO_CLOCK_SHIFT;
    return hz == 0 ? (uint64_t)1 << PERFETTO_CLOCK_SHIFT : (second + hz / 2) / hz;
}

static uint64_t to_ns(const struct perfetto *perfetto, uint64_t ticks)
{
    return perfetto_ticks_to_ns(perfetto->multiplier, ticks);
}

// ---- chunks and packets -------------------------------------------------------------------------

static void begin_chunk(struct perfetto *perfetto)
{
    perfetto->chunk = proto_into(perfetto->memory->chunk, sizeof(perfetto->memory->chunk));
}

// Perfetto takes a packet that holds a zlib stream of packets for those packets.
static size_t squeeze(struct perfetto *perfetto)
{
    struct perfetto_memory *memory = perfetto->memory;
    struct proto out = proto_into(memory->squeezed, sizeof(memory->squeezed));
    const size_t packet = proto_open(&out, TRACE_PACKET, CHUNK_WIDTH);
    const size_t stream = proto_open(&out, PACKET_COMPRESSED, CHUNK_WIDTH);
    assert(deflate_bound(perfetto->chunk.length) <= out.capacity - out.length);
    out.length += deflate_zlib(&memory->deflate, perfetto->chunk.bytes, perfetto->chunk.length,
                               out.bytes + out.length);
    proto_close(&out, stream, CHUNK_WIDTH);
    proto_close(&out, packet, CHUNK_WIDTH);
    assert(!out.full);
    return out.length;
}

void perfetto_flush(struct perfetto *perfetto)
{
    const uint8_t *bytes = perfetto->chunk.bytes;
    size_t length = perfetto->chunk.length;
    if (length == 0)
        return;
    perfetto->counts.packet_bytes += length;
    if (perfetto->compress) {
        length = squeeze(perfetto);
        bytes = perfetto->memory->squeezed;
    }
    perfetto->counts.bytes += length;
    perfetto->sink.send(perfetto->sink.context, bytes, length);
    begin_chunk(perfetto);
}

size_t perfetto_packet_open(struct perfetto *perfetto, uint32_t sequence)
{
    const size_t mark = proto_open(&perfetto->chunk, TRACE_PACKET, PACKET_WIDTH);
    proto_number(&perfetto->chunk, PACKET_SEQUENCE_ID, sequence);
    return mark;
}

// Callers keep the room free that a packet needs: one that does not fit is a mistake here.
void perfetto_packet_close(struct perfetto *perfetto, size_t mark)
{
    proto_close(&perfetto->chunk, mark, PACKET_WIDTH);
    assert(!perfetto->chunk.full);
    perfetto->counts.packets++;
}

void perfetto_make_room(struct perfetto *perfetto, size_t length)
{
    if (perfetto->chunk.capacity - perfetto->chunk.length < length)
        perfetto_flush(perfetto);
}

// ---- what sequences declare ---------------------------------------------------------------------

static void put_clock(struct proto *out, uint32_t id, uint64_t timestamp, bool incremental)
{
    const size_t clock = proto_open(out, SNAPSHOT_CLOCKS, SMALL_WIDTH);
    proto_number(out, CLOCK_ID, id);
    proto_number(out, CLOCK_TIMESTAMP, timestamp);
    if (incremental)
        proto_number(out, CLOCK_INCREMENTAL, 1);
    proto_close(out, clock, SMALL_WIDTH);
}

static void put_interned(struct proto *out, uint32_t field, uint32_t iid, const char *text)
{
    const size_t string = proto_open(out, field, SMALL_WIDTH);
    proto_number(out, INTERNED_IID, iid);
    proto_text(out, INTERNED_STRING, text);
    proto_close(out, string, SMALL_WIDTH);
}

// All names there are: few, and the same each time, so that compression makes them next to nothing.
static void put_names(struct perfetto *perfetto)
{
    struct proto *out = &perfetto->chunk;
    const size_t interned = proto_open(out, PACKET_INTERNED_DATA, PACKET_WIDTH);
    for (uint32_t i = 0; i < TRACE_EVENT_COUNT; i++) {
        const struct perfetto_event_about *about = &perfetto_events[i];
        if (perfetto->category_iid[i] == i + 1)
            put_interned(out, INTERNED_CATEGORIES, i + 1, about->category);
        put_interned(out, INTERNED_NAMES, i + 1, about->name);
        if (about->value[0] != '\0')
            put_interned(out, INTERNED_ANNOTATIONS, i + 1, about->value);
    }
    proto_close(out, interned, PACKET_WIDTH);
}

// The clock of a CPU's sequence counts from packet to packet. It stands where BOOTTIME stands, so
// that no conversion can go wrong; a snapshot of BOOTTIME must not be earlier than the last one.
static uint64_t put_snapshot(struct perfetto *perfetto, uint64_t ticks)
{
    struct proto *out = &perfetto->chunk;
    perfetto->snapshot_ticks = max_u64(perfetto->snapshot_ticks, ticks);
    const uint64_t ns = to_ns(perfetto, perfetto->snapshot_ticks);
    const size_t snapshot = proto_open(out, PACKET_CLOCK_SNAPSHOT, SMALL_WIDTH);
    put_clock(out, CLOCK_BOOTTIME, ns, false);
    put_clock(out, CLOCK_TSC, perfetto->snapshot_ticks, false);
    put_clock(out, CLOCK_OF_SEQUENCE, ns, true);
    proto_number(out, SNAPSHOT_PRIMARY, CLOCK_BOOTTIME);
    proto_close(out, snapshot, SMALL_WIDTH);
    return ns;
}

uint64_t perfetto_resync(struct perfetto *perfetto, const struct perfetto_recording *recording,
                         uint64_t ticks, uint32_t dropped)
{
    struct proto *out = &perfetto->chunk;
    const uint64_t bit = (uint64_t)1 << recording->cpu;
    perfetto_make_room(perfetto, 2 * PERFETTO_PROLOGUE_BYTES); // with the tracks, in one chunk
    const size_t packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_CPU + recording->cpu);
    proto_number(out, PACKET_SEQUENCE_FLAGS, SEQUENCE_CLEARED);
    if ((perfetto->cpus_seen & bit) == 0)
        proto_number(out, PACKET_FIRST_ON_SEQUENCE, 1);
    perfetto->cpus_seen |= bit;
    if (dropped != 0)
        proto_number(out, PACKET_PREVIOUS_DROPPED, dropped);
    const uint64_t ns = put_snapshot(perfetto, ticks);
    const size_t defaults = proto_open(out, PACKET_DEFAULTS, SMALL_WIDTH);
    const size_t event = proto_open(out, DEFAULTS_TRACK_EVENT, SMALL_WIDTH);
    proto_number(out, EVENT_TRACK, PERFETTO_UUID_THREAD(recording->thread.tid));
    proto_close(out, event, SMALL_WIDTH);
    proto_number(out, DEFAULTS_CLOCK, CLOCK_OF_SEQUENCE);
    proto_close(out, defaults, SMALL_WIDTH);
    put_names(perfetto);
    perfetto_packet_close(perfetto, packet);
    return ns;
}

void perfetto_resync_bench(struct perfetto *perfetto)
{
    struct proto *out = &perfetto->chunk;
    const size_t packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_BENCH);
    proto_number(out, PACKET_SEQUENCE_FLAGS, SEQUENCE_CLEARED);
    if (!perfetto->bench_begun)
        proto_number(out, PACKET_FIRST_ON_SEQUENCE, 1);
    perfetto->bench_begun = true;
    put_names(perfetto);
    perfetto_packet_close(perfetto, packet);
}

// ---- tracks -------------------------------------------------------------------------------------

struct track {
    uint64_t uuid, parent;
    const char *name, *description;
    uint32_t rank;
    bool ordered; // its children stand in the order of their ranks
    uint32_t counter_unit;
    bool state;
    const struct perfetto_thread *process, *thread;
};

static void put_process(struct proto *out, const struct perfetto_thread *thread)
{
    const size_t process = proto_open(out, TRACK_PROCESS, SMALL_WIDTH);
    proto_number(out, PROCESS_PID, thread->pid);
    proto_text(out, PROCESS_NAME, thread->process);
    proto_close(out, process, SMALL_WIDTH);
}

static void put_thread(struct proto *out, const struct perfetto_thread *about)
{
    const size_t thread = proto_open(out, TRACK_THREAD, SMALL_WIDTH);
    proto_number(out, THREAD_PID, about->pid);
    proto_number(out, THREAD_TID, about->tid);
    proto_text(out, THREAD_NAME, about->name);
    proto_close(out, thread, SMALL_WIDTH);
}

static void put_track(struct perfetto *perfetto, uint32_t sequence, const struct track *track)
{
    struct proto *out = &perfetto->chunk;
    const size_t packet = perfetto_packet_open(perfetto, sequence);
    const size_t descriptor = proto_open(out, PACKET_TRACK_DESCRIPTOR, PACKET_WIDTH);
    proto_number(out, TRACK_UUID, track->uuid);
    if (track->name != NULL)
        proto_text(out, TRACK_NAME, track->name);
    if (track->process != NULL)
        put_process(out, track->process);
    if (track->thread != NULL)
        put_thread(out, track->thread);
    if (track->parent != 0)
        proto_number(out, TRACK_PARENT, track->parent);
    if (track->counter_unit != 0) {
        const size_t counter = proto_open(out, TRACK_COUNTER, SMALL_WIDTH);
        proto_number(out, COUNTER_UNIT, track->counter_unit);
        proto_close(out, counter, SMALL_WIDTH);
    }
    if (track->state)
        proto_text(out, TRACK_STATE, "");
    if (track->ordered)
        proto_number(out, TRACK_CHILD_ORDERING, ORDERING_EXPLICIT);
    if (track->parent != 0)
        proto_number(out, TRACK_RANK, track->rank);
    if (track->description != NULL)
        proto_text(out, TRACK_DESCRIPTION, track->description);
    proto_close(out, descriptor, PACKET_WIDTH);
    perfetto_packet_close(perfetto, packet);
}

static void put_thread_track(struct perfetto *perfetto, uint32_t sequence,
                             const struct perfetto_thread *thread)
{
    const struct track track = {.uuid = PERFETTO_UUID_THREAD(thread->tid), .thread = thread};
    put_track(perfetto, sequence, &track);
}

void perfetto_thread_tracks(struct perfetto *perfetto, uint32_t sequence,
                            const struct perfetto_thread *thread)
{
    const struct track process = {.uuid = PERFETTO_UUID_PROCESS(thread->pid), .process = thread};
    put_track(perfetto, sequence, &process);
    put_thread_track(perfetto, sequence, thread);
}

void perfetto_row_tracks(struct perfetto *perfetto, uint32_t sequence,
                         const struct perfetto_row *row, uint64_t counters,
                         const struct perfetto_thread *scheduled)
{
    const struct perfetto_thread *thread = &row->recordings[0].thread;
    const uint64_t suite = PERFETTO_UUID_SUITE(thread->pid);
    const struct track tracks[] = {
        {.uuid = PERFETTO_UUID_ROOT,
         .name = "Benchmarks",
         .description =
             "One track for each row of the traced pass: its phases, and counters below. "
             "The times are those of traced code; what a row costs is in its notes, "
             "measured without tracing.",
         .ordered = true},
        {.uuid = suite,
         .parent = PERFETTO_UUID_ROOT,
         .name = thread->process,
         .rank = thread->pid,
         .ordered = true},
        {.uuid = PERFETTO_UUID_ROW(row->number),
         .parent = suite,
         .name = row->name,
         .description = row->what,
         .rank = row->number,
         .ordered = true},
        {.uuid = PERFETTO_UUID_PROCESS(thread->pid), .process = thread},
    };
    for (size_t i = 0; i < ARRAY_COUNT(tracks); i++)
        put_track(perfetto, sequence, &tracks[i]);
    for (size_t i = 0; i < row->recording_count; i++) {
        struct perfetto_cursor cursor = {.buffer = row->recordings[i].buffer, .of_thread = true};
        uint64_t last;
        // What was lost is told on the track, even if nothing else is.
        if (i == 0 || perfetto_entry(&cursor) != NULL ||
            perfetto_lost_by(&row->recordings[i], &last) > 0)
            put_thread_track(perfetto, sequence, &row->recordings[i].thread);
    }
    if (scheduled != NULL)
        perfetto_thread_tracks(perfetto, sequence, scheduled);
    for (uint32_t i = 0; i < TRACE_EVENT_COUNT; i++) {
        const bool bytes = perfetto_events[i].kind == TRACE_KIND_BYTES;
        const struct track counter = {.uuid = PERFETTO_UUID_COUNTER(row->number, i),
                                      .parent = PERFETTO_UUID_ROW(row->number),
                                      .name = perfetto_events[i].name,
                                      .rank = i,
                                      .counter_unit = bytes ? UNIT_BYTES : UNIT_COUNT};
        if ((counters >> i & 1) != 0)
            put_track(perfetto, sequence, &counter);
    }
}

void perfetto_device_track(struct perfetto *perfetto, const struct perfetto_row *row,
                           uint32_t which, const char *name, bool state)
{
    const struct track track = {.uuid = PERFETTO_UUID_DEVICE(row->number, which),
                                .parent = PERFETTO_UUID_ROW(row->number),
                                .name = name,
                                .rank = TRACE_EVENT_COUNT + which,
                                .state = state};
    put_track(perfetto, PERFETTO_SEQUENCE_BENCH, &track);
}

// ---- the beginning ------------------------------------------------------------------------------

void perfetto_init(struct perfetto *perfetto, struct perfetto_memory *memory, bool compress,
                   uint64_t hz, struct perfetto_sink sink)
{
    *perfetto = (struct perfetto){.memory = memory,
                                  .sink = sink,
                                  .compress = compress,
                                  .multiplier = perfetto_multiplier(hz),
                                  .tid_before = PERFETTO_TID_SCHEDULED};
    for (uint32_t i = 0; i < TRACE_EVENT_COUNT; i++) {
        uint32_t first = 0;
        while (!string_equal(perfetto_events[first].category, perfetto_events[i].category))
            first++;
        perfetto->category_iid[i] = first + 1;
    }
    begin_chunk(perfetto);
}

void perfetto_open(struct perfetto *perfetto, const struct perfetto_system *system)
{
    struct proto *out = &perfetto->chunk;
    perfetto->snapshot_ticks = system->ticks;
    perfetto_resync_bench(perfetto);
    size_t packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_BENCH);
    const size_t snapshot = proto_open(out, PACKET_CLOCK_SNAPSHOT, SMALL_WIDTH);
    put_clock(out, CLOCK_BOOTTIME, to_ns(perfetto, system->ticks), false);
    put_clock(out, CLOCK_TSC, system->ticks, false);
    proto_number(out, SNAPSHOT_PRIMARY, CLOCK_BOOTTIME);
    proto_close(out, snapshot, SMALL_WIDTH);
    perfetto_packet_close(perfetto, packet);

    packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_BENCH);
    const size_t info = proto_open(out, PACKET_SYSTEM_INFO, PACKET_WIDTH);
    const size_t names = proto_open(out, SYSTEM_UTSNAME, PACKET_WIDTH);
    proto_text(out, UTSNAME_SYSTEM, system->name);
    proto_text(out, UTSNAME_RELEASE, system->release);
    proto_text(out, UTSNAME_MACHINE, system->machine);
    proto_close(out, names, PACKET_WIDTH);
    proto_number(out, SYSTEM_CPUS, system->cpus);
    proto_text(out, SYSTEM_MACHINE_NAME, system->machine_name);
    proto_close(out, info, PACKET_WIDTH);
    perfetto_packet_close(perfetto, packet);
}

static void put_attribute(struct perfetto *perfetto, const char *key, const char *text,
                          uint64_t number)
{
    struct proto *out = &perfetto->chunk;
    perfetto_make_room(perfetto, PERFETTO_PACKET_MOST);
    const size_t packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_BENCH);
    const size_t attributes = proto_open(out, PACKET_ATTRIBUTES, PACKET_WIDTH);
    perfetto_put_attribute(out, key, text, number);
    proto_close(out, attributes, PACKET_WIDTH);
    perfetto_packet_close(perfetto, packet);
}

void perfetto_attribute_number(struct perfetto *perfetto, const char *key, uint64_t value)
{
    put_attribute(perfetto, key, NULL, value);
}

void perfetto_attribute_text(struct perfetto *perfetto, const char *key, const char *value)
{
    put_attribute(perfetto, key, value, 0);
}

void perfetto_thread(struct perfetto *perfetto, const struct perfetto_thread *thread)
{
    struct proto *out = &perfetto->chunk;
    perfetto_make_room(perfetto, PERFETTO_PACKET_MOST);
    const size_t packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_BENCH);
    const size_t tree = proto_open(out, PACKET_PROCESS_TREE, PACKET_WIDTH);
    const size_t process = proto_open(out, TREE_PROCESS, PACKET_WIDTH);
    proto_number(out, TREE_PROCESS_PID, thread->pid);
    proto_text(out, TREE_PROCESS_COMMAND, thread->process);
    proto_close(out, process, PACKET_WIDTH);
    const size_t one = proto_open(out, TREE_THREAD, PACKET_WIDTH);
    proto_number(out, TREE_THREAD_TID, thread->tid);
    proto_number(out, TREE_THREAD_PID, thread->pid);
    proto_text(out, TREE_THREAD_NAME, thread->name);
    if (thread->idle)
        proto_number(out, TREE_THREAD_IDLE, 1);
    proto_close(out, one, PACKET_WIDTH);
    proto_close(out, tree, PACKET_WIDTH);
    perfetto_packet_close(perfetto, packet);
}

// ---- the end ------------------------------------------------------------------------------------

static void put_writer(struct proto *out, uint32_t sequence, uint32_t buffer)
{
    const size_t writer = proto_open(out, STATS_WRITER, SMALL_WIDTH);
    proto_number(out, WRITER_SEQUENCE, sequence);
    proto_number(out, WRITER_BUFFER, buffer);
    proto_close(out, writer, SMALL_WIDTH);
}

// A "buffer" for each CPU; what the framework says is never lost and counts to the first one.
void perfetto_close(struct perfetto *perfetto)
{
    struct proto *out = &perfetto->chunk;
    const uint32_t cpus = perfetto->cpus_seen == 0 ? 1 : log2_u64(perfetto->cpus_seen) + 1;
    perfetto_make_room(perfetto, PERFETTO_PROLOGUE_BYTES);
    const size_t packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_BENCH);
    const size_t stats = proto_open(out, PACKET_TRACE_STATS, PACKET_WIDTH);
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        const size_t buffer = proto_open(out, STATS_BUFFER, SMALL_WIDTH);
        proto_number(out, BUFFER_WRITER_LOSS, perfetto->lost[cpu]);
        proto_close(out, buffer, SMALL_WIDTH);
    }
    put_writer(out, PERFETTO_SEQUENCE_BENCH, 0);
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        if ((perfetto->cpus_seen >> cpu & 1) != 0)
            put_writer(out, PERFETTO_SEQUENCE_CPU + cpu, cpu);
    }
    proto_close(out, stats, PACKET_WIDTH);
    perfetto_packet_close(perfetto, packet);
    perfetto_flush(perfetto);
}
