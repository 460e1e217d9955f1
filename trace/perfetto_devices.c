// SPDX-License-Identifier: MIT
// From what drivers recorded to tracks of a row: the state of each request, how each queue is
// waited for, interrupts, and flows from a request's submission over the interrupt that found it to
// its completion. And rows of interrupts for the CPUs.
//
// A request is drawn on the first free one of a few tracks. It is drawn whole, in one chunk, or not
// at all: chunks are begun while no request is drawn, and a request is only begun where there is
// room for all that it can need.
#include "assert.h"
#include "compiler.h"
#include "format.h"
#include "perfetto.h"
#include "perfetto_fields.h"
#include "string.h"
#include "trace_device.h"

#define CLOSING_BYTES 6144u // ends what is open, whatever that is
#define BEGIN_BYTES   (CLOSING_BYTES + PERFETTO_REQUESTS_AT_ONCE * 384u)
#define BUNDLE_BYTES  (16u << 10)
#define HANDLERS_MOST 160u // in a bundle
#define MODES_MOST    64u  // lanes whose mode is drawn: a chunk must take them all

// Tracks of a row: requests, then four of each queue.
enum { OF_MODE, OF_SUBMISSIONS, OF_INTERRUPTS, OF_COMPLETIONS, OF_QUEUE };

static uint32_t track_of(uint32_t lane, uint32_t which)
{
    return PERFETTO_REQUESTS_AT_ONCE + lane * OF_QUEUE + which;
}

_Static_assert(PERFETTO_LANES_MOST == TRACE_LANES_MOST, "each lane has its tracks");
_Static_assert(PERFETTO_REQUESTS_AT_ONCE + PERFETTO_LANES_MOST * OF_QUEUE == PERFETTO_DEVICE_TRACKS,
               "what a row's numbers are kept free for");

struct draw {
    struct perfetto *perfetto;
    const struct perfetto_row *row;
    struct perfetto_devices *state;
    uint32_t at[PERFETTO_CPUS_MOST]; // entry of each recording's events
    uint64_t now;                    // ns
    size_t phase;
    uint32_t drawn, live; // requests: in this phase, and now
    uint32_t serial;      // of the row's drawn requests
    uint32_t modes;       // lanes whose mode is drawn
};

// ---- packets ------------------------------------------------------------------------------------

static size_t room(const struct draw *draw)
{
    return draw->perfetto->chunk.capacity - draw->perfetto->chunk.length;
}

static void declare(struct draw *draw, uint32_t track)
{
    static const char *const names[OF_QUEUE] = {"mode", "submissions", "interrupts", "completions"};
    char name[40];
    uint8_t *declared = &draw->state->declared[track];
    if (*declared)
        return;
    *declared = 1;
    const bool request = track < PERFETTO_REQUESTS_AT_ONCE;
    const uint32_t of_queue = track - PERFETTO_REQUESTS_AT_ONCE, lane = of_queue / OF_QUEUE;
    if (request)
        format(name, sizeof(name), "request %u", track);
    else if (lane < CPU_MOST)
        format(name, sizeof(name), "queue %u: %s", lane, names[of_queue % OF_QUEUE]);
    else
        format(name, sizeof(name), "device %u, queue %u: %s", lane / CPU_MOST, lane % CPU_MOST,
               names[of_queue % OF_QUEUE]);
    perfetto_device_track(draw->perfetto, draw->row, track, name,
                          request || of_queue % OF_QUEUE == OF_MODE);
}

struct open_packet {
    size_t packet, event;
};

static struct open_packet open_event(struct draw *draw, uint32_t track, uint64_t ns,
                                     enum event_type type)
{
    struct proto *out = &draw->perfetto->chunk;
    struct open_packet open;
    declare(draw, track);
    open.packet = perfetto_packet_open(draw->perfetto, PERFETTO_SEQUENCE_BENCH);
    proto_number(out, PACKET_SEQUENCE_FLAGS, SEQUENCE_NEEDS);
    proto_number(out, PACKET_TIMESTAMP, ns);
    open.event = proto_open(out, PACKET_TRACK_EVENT, PACKET_WIDTH);
    proto_number(out, EVENT_TYPE, type);
    proto_number(out, EVENT_TRACK, PERFETTO_UUID_DEVICE(draw->row->number, track));
    return open;
}

static void close_event(struct draw *draw, struct open_packet open)
{
    proto_close(&draw->perfetto->chunk, open.event, PACKET_WIDTH);
    perfetto_packet_close(draw->perfetto, open.packet);
    draw->perfetto->counts.events++;
}

static void put_name(struct draw *draw, enum trace_event event)
{
    struct proto *out = &draw->perfetto->chunk;
    proto_number(out, EVENT_CATEGORY_IID, draw->perfetto->category_iid[event]);
    proto_number(out, EVENT_NAME_IID, event + 1);
}

static void put_note(struct draw *draw, enum trace_event event, uint64_t value)
{
    struct proto *out = &draw->perfetto->chunk;
    const size_t annotation = proto_open(out, EVENT_ANNOTATION, PACKET_WIDTH);
    proto_number(out, ANNOTATION_NAME_IID, event + 1);
    proto_number(out, ANNOTATION_UINT, value);
    proto_close(out, annotation, PACKET_WIDTH);
}

// `event`: TRACE_EVENT_COUNT for none any more.
static void put_state(struct draw *draw, uint32_t track, uint64_t ns, enum trace_event event)
{
    const struct open_packet open = open_event(draw, track, ns, TYPE_STATE);
    if (event != TRACE_EVENT_COUNT)
        put_name(draw, event);
    close_event(draw, open);
}

// Messages' flows have the first bit clear.
static uint64_t flow_of(const struct draw *draw, uint32_t serial)
{
    return (uint64_t)1 << 63 | (uint64_t)(draw->row->number + 1) << 32 | serial;
}

static void put_instant(struct draw *draw, uint32_t track, enum trace_event event, uint64_t note,
                        enum event_field flow, uint32_t serial)
{
    const struct open_packet open = open_event(draw, track, draw->now, TYPE_INSTANT);
    put_name(draw, event);
    put_note(draw, event, note);
    proto_fixed64(&draw->perfetto->chunk, flow, flow_of(draw, serial));
    close_event(draw, open);
}

// ---- chunks -------------------------------------------------------------------------------------

static void begin_chunk(struct draw *draw)
{
    memset(draw->state->declared, 0, sizeof(draw->state->declared));
    perfetto_resync_bench(draw->perfetto);
    perfetto_row_tracks(draw->perfetto, PERFETTO_SEQUENCE_BENCH, draw->row, 0, NULL);
}

static void put_modes(struct draw *draw, bool end)
{
    for (uint32_t i = 0; i < PERFETTO_LANES_MOST; i++) {
        const uint32_t mode = draw->state->modes[i];
        if (mode != 0)
            put_state(draw, track_of(i, OF_MODE), draw->now,
                      end ? TRACE_EVENT_COUNT : (enum trace_event)mode);
    }
}

// No request is drawn now.
static void cut(struct draw *draw)
{
    put_modes(draw, true);
    perfetto_flush(draw->perfetto);
    begin_chunk(draw);
    put_modes(draw, false);
}

// ---- requests -----------------------------------------------------------------------------------

static void set_state(struct draw *draw, struct perfetto_request *request, uint64_t ns,
                      enum trace_event event)
{
    if (request->state == event || (event != TRACE_EVENT_COUNT && room(draw) < CLOSING_BYTES))
        return;
    request->last = max_u64(request->last, ns);
    request->state = event == TRACE_EVENT_COUNT ? 0 : event;
    draw->live -= event == TRACE_EVENT_COUNT;
    put_state(draw, (uint32_t)(request - draw->state->requests), request->last, event);
}

static struct perfetto_request *find(struct draw *draw, uint32_t key)
{
    for (uint32_t i = 0; i < PERFETTO_REQUESTS_AT_ONCE; i++) {
        struct perfetto_request *request = &draw->state->requests[i];
        if (request->state != 0 && request->key == key)
            return request;
    }
    return NULL;
}

static void queued(struct draw *draw, const struct trace_entry *entry, uint64_t *left_out)
{
    struct perfetto_request *request = find(draw, entry->value);
    if (request != NULL && request->state != TRACE_BLOCK_DONE) {
        set_state(draw, request, draw->now, TRACE_BLOCK_QUEUED); // it is tried again
        return;
    }
    if (request != NULL)
        set_state(draw, request, draw->now, TRACE_EVENT_COUNT);
    if (draw->live == 0 && room(draw) < BEGIN_BYTES)
        cut(draw);
    uint32_t i = 0;
    while (i < PERFETTO_REQUESTS_AT_ONCE && draw->state->requests[i].state != 0)
        i++;
    if (i == PERFETTO_REQUESTS_AT_ONCE || room(draw) < BEGIN_BYTES ||
        draw->drawn == PERFETTO_REQUESTS_DRAWN) {
        left_out[draw->phase]++;
        draw->perfetto->counts.left_out++;
        return;
    }
    draw->drawn++;
    draw->live++;
    const uint64_t last = draw->state->requests[i].last;
    draw->state->requests[i] =
        (struct perfetto_request){.key = entry->value, .serial = draw->serial++, .last = last};
    set_state(draw, &draw->state->requests[i], draw->now, TRACE_BLOCK_QUEUED);
}

static void submitted(struct draw *draw, const struct trace_entry *entry)
{
    struct perfetto_request *request = find(draw, entry->value);
    if (request == NULL || request->state != TRACE_BLOCK_QUEUED || room(draw) < CLOSING_BYTES)
        return;
    set_state(draw, request, draw->now, TRACE_BLOCK_SUBMITTED);
    request->flows = true;
    put_instant(draw, track_of(trace_lane(entry), OF_SUBMISSIONS), TRACE_BLOCK_SUBMITTED,
                request->serial, EVENT_FLOW, request->serial);
}

// The interrupt that is being seen to on that CPU for that queue.
static struct perfetto_interrupt *interrupt_of(struct draw *draw, size_t recording, uint32_t lane)
{
    struct perfetto_interrupt *interrupt = &draw->state->interrupts[lane];
    return interrupt->open && interrupt->recording == recording ? interrupt : NULL;
}

static void done(struct draw *draw, const struct trace_entry *entry, size_t recording)
{
    struct perfetto_request *request = find(draw, entry->value);
    const uint32_t lane = trace_lane(entry), detail = trace_device_detail(entry);
    if (request == NULL || request->state == TRACE_BLOCK_DONE || room(draw) < CLOSING_BYTES)
        return;
    struct perfetto_interrupt *interrupt = interrupt_of(draw, recording, lane);
    if (interrupt != NULL && request->state == TRACE_BLOCK_SUBMITTED) {
        set_state(draw, request, interrupt->begin, TRACE_BLOCK_INTERRUPT);
        if (interrupt->found < PERFETTO_INTERRUPT_FLOWS)
            interrupt->serials[interrupt->found++] = request->serial;
    }
    set_state(draw, request, draw->now, TRACE_BLOCK_DONE);
    if (request->flows)
        put_instant(draw, track_of(lane, OF_COMPLETIONS), TRACE_BLOCK_DONE,
                    detail & ~TRACE_DONE_IS_TAKEN, EVENT_FLOW_ENDS, request->serial);
    if ((detail & TRACE_DONE_IS_TAKEN) != 0)
        set_state(draw, request, draw->now, TRACE_EVENT_COUNT);
}

static void interrupt(struct draw *draw, const struct trace_entry *entry, size_t recording)
{
    const uint32_t lane = trace_lane(entry), track = track_of(lane, OF_INTERRUPTS);
    struct perfetto_interrupt *one = &draw->state->interrupts[lane];
    if (trace_device_detail(entry) != 0) {
        *one = (struct perfetto_interrupt){
            .open = true, .recording = recording, .begin = max_u64(draw->now, one->last)};
        return;
    }
    if (interrupt_of(draw, recording, lane) == NULL)
        return;
    one->open = false;
    one->last = max_u64(one->begin, draw->now);
    // One that found nothing that is drawn would make the others hard to find.
    if (one->found == 0 || room(draw) < CLOSING_BYTES)
        return;
    struct open_packet open = open_event(draw, track, one->begin, TYPE_BEGIN);
    put_name(draw, TRACE_BLOCK_INTERRUPT);
    put_note(draw, TRACE_BLOCK_INTERRUPT, entry->value);
    for (uint32_t i = 0; i < one->found; i++)
        proto_fixed64(&draw->perfetto->chunk, EVENT_FLOW, flow_of(draw, one->serials[i]));
    close_event(draw, open);
    open = open_event(draw, track, one->last, TYPE_END);
    close_event(draw, open);
}

static void mode(struct draw *draw, const struct trace_entry *entry)
{
    uint32_t *now = &draw->state->modes[trace_lane(entry)];
    if (*now == entry->event || (*now == 0 && draw->modes == MODES_MOST))
        return;
    if (draw->live == 0 && room(draw) < 2 * CLOSING_BYTES)
        cut(draw);
    if (room(draw) < CLOSING_BYTES)
        return;
    draw->modes += *now == 0;
    *now = entry->event;
    put_state(draw, track_of(trace_lane(entry), OF_MODE), draw->now, entry->event);
}

static void take(struct draw *draw, const struct trace_entry *entry, size_t recording,
                 uint64_t *left_out)
{
    struct perfetto_request *request;
    switch ((enum trace_event)entry->event) {
    case TRACE_BLOCK_QUEUED:
        queued(draw, entry, left_out);
        break;
    case TRACE_BLOCK_SUBMITTED:
        submitted(draw, entry);
        break;
    case TRACE_BLOCK_INTERRUPT:
        interrupt(draw, entry, recording);
        break;
    case TRACE_BLOCK_DONE:
        done(draw, entry, recording);
        break;
    case TRACE_BLOCK_TAKEN:
        request = find(draw, entry->value);
        if (request != NULL && request->state == TRACE_BLOCK_DONE)
            set_state(draw, request, draw->now, TRACE_EVENT_COUNT);
        break;
    case TRACE_BLOCK_LEFT_OUT: // to the trace, as others that are not drawn
        left_out[draw->phase] += entry->value;
        draw->perfetto->counts.left_out += entry->value;
        break;
    default:
        mode(draw, entry);
    }
}

// ---- all CPUs -----------------------------------------------------------------------------------

// The earliest event that was not taken yet; NULL after the last one.
static const struct trace_entry *next_event(const struct perfetto_row *row, uint32_t *at,
                                            size_t *recording)
{
    const struct trace_entry *earliest = NULL;
    for (size_t i = 0; i < row->recording_count; i++) {
        const struct trace_buffer *events = row->recordings[i].events;
        while (events != NULL && at[i] < events->used &&
               !trace_is_of_device(&events->entries[at[i]]))
            at[i]++;
        if (events == NULL || at[i] == events->used)
            continue;
        if (earliest == NULL || events->entries[at[i]].ticks < earliest->ticks) {
            earliest = &events->entries[at[i]];
            *recording = i;
        }
    }
    return earliest;
}

static void follow_phases(struct draw *draw, uint64_t ticks)
{
    while (draw->phase + 1 < draw->row->phase_count &&
           ticks >= draw->row->phases[draw->phase + 1].begin) {
        draw->phase++;
        draw->drawn = 0;
    }
}

static uint64_t ns_of(const struct draw *draw, uint64_t ticks)
{
    return perfetto_ticks_to_ns(draw->perfetto->multiplier, ticks);
}

// A request that has not ended by now stays on its way in the trace: that is a finding.
static void end(struct draw *draw)
{
    draw->now = max_u64(draw->now, ns_of(draw, draw->row->phases[draw->row->phase_count - 1].end));
    for (uint32_t i = 0; i < PERFETTO_REQUESTS_AT_ONCE; i++) {
        if (draw->state->requests[i].state != 0)
            set_state(draw, &draw->state->requests[i], draw->now, TRACE_EVENT_COUNT);
    }
    put_modes(draw, true);
}

// ---- CPUs' rows of interrupts -------------------------------------------------------------------

// A handler's begin or its end, as its CPU's row has it.
struct handler {
    uint64_t ns;
    uint32_t tid, number;
    const char *name; // NULL: it ends
    bool handled;
};

static void put_handler(struct proto *out, const struct handler *handler)
{
    const bool begins = handler->name != NULL;
    const size_t event = proto_open(out, BUNDLE_EVENT, PACKET_WIDTH);
    proto_number(out, FTRACE_TIME, handler->ns);
    proto_number(out, FTRACE_PID, handler->tid);
    const size_t body = proto_open(out, begins ? FTRACE_IRQ_ENTRY : FTRACE_IRQ_EXIT, PACKET_WIDTH);
    proto_number(out, IRQ_NUMBER, handler->number);
    if (begins)
        proto_text(out, IRQ_NAME, handler->name);
    else
        proto_number(out, IRQ_HANDLED, handler->handled);
    proto_close(out, body, PACKET_WIDTH);
    proto_close(out, event, PACKET_WIDTH);
}

// What the machine interrupts a CPU with, and the work that devices ask for in it.
static void put_pair(struct draw *draw, const struct trace_entry *last, uint32_t tid,
                     uint64_t began)
{
    static const char *const names[TRACE_INTERRUPTS] = {"timer", "call", "device", "other"};
    struct proto *out = &draw->perfetto->chunk;
    const uint32_t lane = trace_lane(last);
    const bool device = last->event == TRACE_BLOCK_INTERRUPT;
    char name[16];
    struct handler handler = {
        .ns = ns_of(draw, began), .tid = tid, .number = device ? lane : last->value, .name = name};
    if (!device)
        format(name, sizeof(name), "%s", names[lane]);
    else if (lane < CPU_MOST)
        format(name, sizeof(name), "block/%u", lane);
    else
        format(name, sizeof(name), "block%u/%u", lane / CPU_MOST, lane % CPU_MOST);
    put_handler(out, &handler);
    handler.ns = ns_of(draw, last->ticks);
    handler.name = NULL;
    handler.handled = !device || last->value > 0;
    put_handler(out, &handler);
}

// Up to so many whole pairs of `which` from entry number *at on; false: there are none any more.
// What nests in another one of its kind ends first and is written first: Perfetto sorts.
static bool put_handlers(struct draw *draw, const struct perfetto_recording *recording,
                         enum trace_event which, uint32_t *at)
{
    struct proto *out = &draw->perfetto->chunk;
    uint64_t *began = draw->state->began;
    uint32_t count = 0;
    perfetto_make_room(draw->perfetto, BUNDLE_BYTES);
    const size_t before = out->length;
    const size_t packet = perfetto_packet_open(draw->perfetto, PERFETTO_SEQUENCE_BENCH);
    const size_t bundle = proto_open(out, PACKET_FTRACE, PACKET_WIDTH);
    proto_number(out, BUNDLE_CPU, recording->cpu);
    for (; *at < recording->events->used && count < HANDLERS_MOST; ++*at) {
        const struct trace_entry *entry = &recording->events->entries[*at];
        const uint32_t lane = trace_lane(entry);
        if (entry->event != which)
            continue;
        if (trace_device_detail(entry) != 0) {
            began[lane] = entry->ticks + 1;
        } else if (began[lane] != 0) {
            put_pair(draw, entry, recording->thread.tid, began[lane] - 1);
            began[lane] = 0;
            count++;
        }
    }
    proto_close(out, bundle, PACKET_WIDTH);
    if (count == 0)
        out->length = before;
    else
        perfetto_packet_close(draw->perfetto, packet);
    draw->perfetto->counts.events += 2 * count;
    return count > 0;
}

static void put_all_handlers(struct draw *draw, const struct perfetto_recording *recording,
                             enum trace_event which)
{
    uint32_t at = 0;
    memset(draw->state->began, 0, sizeof(draw->state->began));
    while (recording->events != NULL && put_handlers(draw, recording, which, &at))
        continue;
}

// ---- a row --------------------------------------------------------------------------------------

static bool has_devices(const struct perfetto_row *row)
{
    uint32_t at[PERFETTO_CPUS_MOST] = {0};
    size_t recording;
    return next_event(row, at, &recording) != NULL;
}

void perfetto_devices(struct perfetto *perfetto, const struct perfetto_row *row, uint64_t *left_out)
{
    struct draw draw = {.perfetto = perfetto, .row = row, .state = &perfetto->memory->devices};
    const struct trace_entry *entry;
    size_t recording;
    assert(row->recording_count <= PERFETTO_CPUS_MOST);
    memset(draw.state, 0, sizeof(*draw.state));
    for (size_t i = 0; i < row->recording_count; i++) {
        // Of two that begin or end in one nanosecond, the outer one is the machine's.
        put_all_handlers(&draw, &row->recordings[i], TRACE_INTERRUPT);
        put_all_handlers(&draw, &row->recordings[i], TRACE_BLOCK_INTERRUPT);
    }
    if (!has_devices(row))
        return;
    perfetto_flush(perfetto);
    begin_chunk(&draw);
    while ((entry = next_event(row, draw.at, &recording)) != NULL) {
        draw.now = max_u64(draw.now, ns_of(&draw, entry->ticks));
        follow_phases(&draw, entry->ticks);
        take(&draw, entry, recording, left_out);
        draw.at[recording]++;
    }
    end(&draw);
}
