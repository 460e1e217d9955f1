// SPDX-License-Identifier: MIT
// A row: what was recorded of it, then its phases on its own track, what lies inside of them, and
// what happened to it from outside.
#include "assert.h"
#include "compiler.h"
#include "perfetto.h"
#include "perfetto_fields.h"

#define PHASES_MOST  8u
#define INSTANT_MOST 64u // bytes of one

static void put_note(struct proto *out, const struct perfetto_note *note)
{
    const size_t annotation = proto_open(out, EVENT_ANNOTATION, PACKET_WIDTH);
    proto_text(out, ANNOTATION_NAME, note->name);
    if (note->text != NULL)
        proto_text(out, ANNOTATION_STRING, note->text);
    else
        proto_number(out, ANNOTATION_INT, (uint64_t)note->number);
    proto_close(out, annotation, PACKET_WIDTH);
}

struct open_packet {
    size_t packet, event;
};

static struct open_packet open_event(struct perfetto *perfetto, const struct perfetto_row *row,
                                     uint64_t ticks, enum event_type type)
{
    struct proto *out = &perfetto->chunk;
    struct open_packet open = {.packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_BENCH)};
    proto_number(out, PACKET_SEQUENCE_FLAGS, SEQUENCE_NEEDS);
    proto_number(out, PACKET_TIMESTAMP, perfetto_ticks_to_ns(perfetto->multiplier, ticks));
    open.event = proto_open(out, PACKET_TRACK_EVENT, PACKET_WIDTH);
    proto_number(out, EVENT_TYPE, type);
    proto_number(out, EVENT_TRACK, PERFETTO_UUID_ROW(row->number));
    return open;
}

static void put_name(struct perfetto *perfetto, enum trace_event event)
{
    proto_number(&perfetto->chunk, EVENT_CATEGORY_IID, perfetto->category_iid[event]);
    proto_number(&perfetto->chunk, EVENT_NAME_IID, event + 1);
}

static void close_event(struct perfetto *perfetto, struct open_packet open)
{
    proto_close(&perfetto->chunk, open.event, PACKET_WIDTH);
    perfetto_packet_close(perfetto, open.packet);
    perfetto->counts.events++;
}

// ---- phases -------------------------------------------------------------------------------------

static void put_begin(struct perfetto *perfetto, const struct perfetto_row *row,
                      const struct perfetto_phase *phase, uint64_t left_out)
{
    const struct perfetto_note not_drawn = {.name = "operations not drawn",
                                            .number = (int64_t)left_out};
    const struct open_packet open = open_event(perfetto, row, phase->begin, TYPE_BEGIN);
    put_name(perfetto, phase->event);
    for (size_t i = 0; i < phase->note_count; i++)
        put_note(&perfetto->chunk, &phase->notes[i]);
    if (left_out > 0)
        put_note(&perfetto->chunk, &not_drawn);
    close_event(perfetto, open);
}

// Those until `ticks` that were not put yet.
static void put_instants(struct perfetto *perfetto, const struct perfetto_row *row, size_t *next,
                         uint64_t ticks)
{
    struct proto *out = &perfetto->chunk;
    for (; *next < row->instant_count && row->instants[*next].ticks <= ticks; ++*next) {
        const struct perfetto_instant *one = &row->instants[*next];
        const struct open_packet open = open_event(perfetto, row, one->ticks, TYPE_INSTANT);
        put_name(perfetto, one->event);
        const size_t annotation = proto_open(out, EVENT_ANNOTATION, PACKET_WIDTH);
        proto_number(out, ANNOTATION_NAME_IID, one->event + 1);
        proto_number(out, ANNOTATION_UINT, one->value);
        proto_close(out, annotation, PACKET_WIDTH);
        close_event(perfetto, open);
    }
}

static void put_end(struct perfetto *perfetto, const struct perfetto_row *row, size_t phase,
                    size_t *instant)
{
    const uint64_t ticks = row->phases[phase].end;
    put_instants(perfetto, row, instant, ticks);
    close_event(perfetto, open_event(perfetto, row, ticks, TYPE_END));
}

// A phase that begins before the one in front of it ends lies inside of that. On a track, the
// file's order is that of time.
static void put_phases(struct perfetto *perfetto, const struct perfetto_row *row,
                       const uint64_t *left_out)
{
    size_t open[PHASES_MOST], depth = 0, instant = 0;
    for (size_t i = 0; i < row->phase_count; i++) {
        const struct perfetto_phase *phase = &row->phases[i];
        while (depth > 0 && row->phases[open[depth - 1]].end <= phase->begin)
            put_end(perfetto, row, open[--depth], &instant);
        assert(depth == 0 || phase->end <= row->phases[open[depth - 1]].end);
        put_instants(perfetto, row, &instant, phase->begin);
        put_begin(perfetto, row, phase, left_out[i]);
        open[depth++] = i;
    }
    while (depth > 0)
        put_end(perfetto, row, open[--depth], &instant);
    put_instants(perfetto, row, &instant, UINT64_MAX);
}

// ---- a row --------------------------------------------------------------------------------------

static uint64_t counters_of(const struct perfetto_row *row)
{
    uint64_t found = 0;
    for (size_t i = 0; i < row->recording_count; i++) {
        struct perfetto_cursor cursor = {.buffer = row->recordings[i].buffer};
        const struct trace_entry *entry;
        for (; (entry = perfetto_entry(&cursor)) != NULL; cursor.at++) {
            if (entry->phase == TRACE_PHASE_ADD)
                found |= (uint64_t)1 << entry->event;
        }
    }
    return found;
}

void perfetto_row(struct perfetto *perfetto, const struct perfetto_row *row)
{
    uint64_t left_out[PHASES_MOST] = {0};
    assert(row->phase_count <= PHASES_MOST && row->recording_count > 0);
    assert(row->instant_count <= PERFETTO_INSTANTS_MOST);
    const uint64_t counters = counters_of(row);
    perfetto_scheduled_threads(perfetto, row);
    perfetto_flows(perfetto, row);
    for (size_t i = 0; i < row->recording_count; i++)
        perfetto_schedule(perfetto, row, &row->recordings[i]);
    perfetto_devices(perfetto, row, left_out);
    perfetto_record(perfetto, row, counters, left_out);
    if (perfetto_is_scheduled(row))
        perfetto->tid_before += row->threads->next;
    // All phases in one chunk, with what they need.
    perfetto_make_room(perfetto, 2 * PERFETTO_PROLOGUE_BYTES +
                                     row->phase_count * 2 * PERFETTO_PACKET_MOST +
                                     row->instant_count * INSTANT_MOST);
    perfetto_resync_bench(perfetto);
    perfetto_row_tracks(perfetto, PERFETTO_SEQUENCE_BENCH, row, 0, NULL);
    put_phases(perfetto, row, left_out);
}
