// SPDX-License-Identifier: MIT
// From what schedulers recorded to Perfetto's native rows of CPUs: who ran, how it was left, who
// woke whom; and whose the CPUs' other entries are.
//
// Outside of a scheduler the first CPU runs the row's own thread while the row lasts and the thread
// "framework" between rows; the others run their idle threads, which stand for those of all
// schedulers.
#include "assert.h"
#include "compiler.h"
#include "format.h"
#include "perfetto.h"
#include "perfetto_fields.h"
#include "string.h"

#define COLUMN_WIDTH 2u
#define BUNDLE_BYTES (16u << 10) // more than a bundle ever needs; a packet's length has two bytes

static const struct perfetto_thread framework = {.pid = PERFETTO_PID_BENCH,
                                                 .tid = PERFETTO_PID_BENCH + 1,
                                                 .process = "bench",
                                                 .name = "framework"};
static const char idle[] = "idle";     // and no other process
static const char others[] = "others"; // the role of all that there is no place for

const struct trace_entry *perfetto_entry(struct perfetto_cursor *cursor)
{
    while (cursor->buffer != NULL && cursor->at == cursor->buffer->used) {
        cursor->buffer = cursor->of_thread ? cursor->buffer->of_thread : cursor->buffer->next;
        cursor->at = 0;
    }
    return cursor->buffer == NULL ? NULL : &cursor->buffer->entries[cursor->at];
}

bool perfetto_is_scheduled(const struct perfetto_row *row)
{
    for (size_t i = 0; i < row->recording_count && row->threads != NULL; i++) {
        const struct trace_buffer *events = row->recordings[i].events;
        if (events != NULL && events->thread != 0)
            return true;
    }
    return false;
}

// ---- who is who ---------------------------------------------------------------------------------

static struct perfetto_thread idle_thread(uint32_t cpu, struct perfetto_texts *room)
{
    format(room->name, sizeof(room->name), "idle/%u", cpu);
    return (struct perfetto_thread){.pid = PERFETTO_PID_IDLE,
                                    .tid = PERFETTO_TID_IDLE(cpu),
                                    .process = idle,
                                    .name = room->name,
                                    .idle = true};
}

// What the thread `name` is there for.
static void role_of(const char *name, char role[TRACE_NAME_MOST + 1])
{
    size_t length = 0;
    while (name[length] != '\0' && name[length] != ' ' && name[length] != '/' &&
           name[length] != '.' && (name[length] < '0' || name[length] > '9'))
        length++;
    while (length > 0 && (name[length - 1] == '_' || name[length - 1] == '-'))
        length--;
    if (length == 0)
        format(role, TRACE_NAME_MOST + 1, "thread");
    else
        format(role, TRACE_NAME_MOST + 1, "%.*s", (int)length, name);
}

// A role has one pid in the whole trace. The last one is for all that there is no place for.
static uint32_t pid_of(struct perfetto *perfetto, const struct perfetto_row *row, const char *role)
{
    uint32_t i = 0;
    if (string_equal(role, row->recordings[0].thread.process))
        return row->recordings[0].thread.pid;
    if (string_equal(role, framework.process))
        return framework.pid;
    while (i < perfetto->roles && !string_equal(role, perfetto->role[i]))
        i++;
    if (i == PERFETTO_ROLES_MOST - 1 || string_equal(role, others) || string_equal(role, idle))
        return PERFETTO_PID_ROLE(PERFETTO_ROLES_MOST - 1);
    if (i == perfetto->roles)
        format(perfetto->role[perfetto->roles++], sizeof(perfetto->role[i]), "%s", role);
    return PERFETTO_PID_ROLE(i);
}

static const char *process_of(const struct perfetto *perfetto, const struct perfetto_row *row,
                              uint32_t pid)
{
    if (pid == row->recordings[0].thread.pid)
        return row->recordings[0].thread.process;
    if (pid == PERFETTO_PID_ROLE(PERFETTO_ROLES_MOST - 1))
        return others;
    return pid == framework.pid ? framework.process : perfetto->role[pid - PERFETTO_OWN_FIRST];
}

struct perfetto_thread perfetto_scheduled(const struct perfetto *perfetto,
                                          const struct perfetto_row *row, uint32_t number,
                                          struct perfetto_texts *room)
{
    const uint32_t tid = perfetto->tid_before + number;
    if (number >= row->threads->capacity) {
        format(room->name, sizeof(room->name), "thread %u", number);
        return (struct perfetto_thread){.pid = PERFETTO_PID_ROLE(PERFETTO_ROLES_MOST - 1),
                                        .tid = tid,
                                        .process = others,
                                        .name = room->name};
    }
    const struct trace_thread *thread = &row->threads->threads[number];
    if (thread->idle != 0)
        return idle_thread(thread->idle - 1, room);
    format(room->process, sizeof(room->process), "%s", process_of(perfetto, row, thread->pid));
    if (thread->name[0] != '\0')
        format(room->name, sizeof(room->name), "%s", thread->name);
    else
        format(room->name, sizeof(room->name), "thread %u", number);
    return (struct perfetto_thread){
        .pid = thread->pid, .tid = tid, .process = room->process, .name = room->name};
}

static void append(struct trace_buffer **first, struct trace_buffer **last,
                   struct trace_buffer *stretch)
{
    if (*first == NULL)
        *first = stretch;
    else
        (*last)->of_thread = stretch;
    *last = stretch;
}

// Hands every stretch to its thread, in the order of time over all CPUs; those outside of a
// scheduler stay the recording's.
static void share_out(const struct perfetto_row *row)
{
    struct trace_buffer *at[PERFETTO_CPUS_MOST], *outside[PERFETTO_CPUS_MOST];
    for (size_t i = 0; i < row->recording_count; i++) {
        outside[i] = row->recordings[i].buffer;
        at[i] = outside[i]->next;
    }
    for (;;) {
        size_t earliest = row->recording_count;
        for (size_t i = 0; i < row->recording_count; i++) {
            if (at[i] != NULL &&
                (earliest == row->recording_count || at[i]->began < at[earliest]->began))
                earliest = i;
        }
        if (earliest == row->recording_count)
            return;
        struct trace_buffer *stretch = at[earliest];
        at[earliest] = stretch->next;
        if (stretch->thread == 0) {
            outside[earliest]->of_thread = stretch;
            outside[earliest] = stretch;
        } else if (stretch->thread < row->threads->capacity) {
            struct trace_thread *thread = &row->threads->threads[stretch->thread];
            append(&thread->first, &thread->last, stretch);
        }
    }
}

// One more than the highest number of the row, told or not.
static uint32_t numbers_of(const struct perfetto_row *row)
{
    uint32_t next = row->threads->next;
    for (size_t i = 0; i < row->recording_count; i++) {
        const struct trace_buffer *events = row->recordings[i].events;
        for (uint32_t k = 0; events != NULL && k < events->used; k++) {
            const struct trace_entry *entry = &events->entries[k];
            if (entry->event == TRACE_SCHED_SWITCH || entry->event == TRACE_SCHED_WAKE)
                next = (uint32_t)max_u64(next, trace_value_number(entry->value) + 1);
        }
    }
    return next;
}

void perfetto_scheduled_threads(struct perfetto *perfetto, const struct perfetto_row *row)
{
    struct trace_threads *threads = row->threads;
    assert(row->recording_count <= PERFETTO_CPUS_MOST);
    if (!perfetto_is_scheduled(row))
        return;
    share_out(row);
    threads->next = numbers_of(row);
    for (uint32_t i = 1; i < threads->next; i++) {
        struct trace_thread *thread = i < threads->capacity ? &threads->threads[i] : NULL;
        char role[TRACE_NAME_MOST + 1];
        struct perfetto_texts room;
        if (thread != NULL && thread->idle != 0)
            continue;
        role_of(thread != NULL ? thread->name : "others", role);
        const uint32_t pid = pid_of(perfetto, row, role);
        if (thread != NULL)
            thread->pid = pid;
        const struct perfetto_thread about = perfetto_scheduled(perfetto, row, i, &room);
        perfetto_thread(perfetto, &about);
    }
}

// ---- a bundle -----------------------------------------------------------------------------------

// A CPU's row while it is gone through.
struct native {
    struct perfetto *perfetto;
    const struct perfetto_row *row;
    const struct perfetto_recording *recording;
    struct perfetto_thread outside;
    struct perfetto_texts idle_texts;
    uint32_t running; // tid; 0 before the first
    bool idles;       // it is an idle thread
    bool waits;       // for interrupts, as far as was recorded
    uint64_t last_ns;
    bool lost; // the next bundle says so
};

static struct perfetto_bundle *bundle_of(struct native *native)
{
    return &native->perfetto->memory->bundle;
}

// A column of numbers `offset` bytes into each of `count` structs of `size` bytes.
static void put_column(struct proto *out, enum compact_field field, const void *first, size_t size,
                       uint32_t count)
{
    const uint8_t *at = first;
    const size_t column = proto_open(out, field, COLUMN_WIDTH);
    for (uint32_t i = 0; i < count; i++)
        proto_varint(out, *(const uint32_t *)(const void *)(at + i * size));
    proto_close(out, column, COLUMN_WIDTH);
}

static void put_times(struct proto *out, enum compact_field field, const void *first, size_t size,
                      uint32_t count)
{
    const uint8_t *at = first;
    uint64_t before = 0;
    const size_t column = proto_open(out, field, COLUMN_WIDTH);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t ns = *(const uint64_t *)(const void *)(at + i * size);
        proto_varint(out, ns - before);
        before = ns;
    }
    proto_close(out, column, COLUMN_WIDTH);
}

static void put_switches(struct proto *out, const struct perfetto_bundle *bundle)
{
    const struct perfetto_switch *first = bundle->switched;
    const size_t size = sizeof(*first);
    const uint32_t count = bundle->switches;
    if (count == 0)
        return;
    put_times(out, COMPACT_SWITCH_TIME, &first->ns, size, count);
    put_column(out, COMPACT_SWITCH_LEFT, &first->left, size, count);
    put_column(out, COMPACT_SWITCH_NEXT, &first->tid, size, count);
    put_column(out, COMPACT_SWITCH_PRIORITY, &first->priority, size, count);
    put_column(out, COMPACT_SWITCH_NAME, &first->name, size, count);
}

static void put_wakings(struct proto *out, const struct perfetto_bundle *bundle)
{
    const struct perfetto_waking *first = bundle->woken;
    const size_t size = sizeof(*first);
    const uint32_t count = bundle->wakings;
    if (count == 0)
        return;
    put_times(out, COMPACT_WAKING_TIME, &first->ns, size, count);
    put_column(out, COMPACT_WAKING_THREAD, &first->tid, size, count);
    put_column(out, COMPACT_WAKING_CPU, &first->cpu, size, count);
    put_column(out, COMPACT_WAKING_PRIORITY, &first->priority, size, count);
    put_column(out, COMPACT_WAKING_NAME, &first->name, size, count);
    put_column(out, COMPACT_WAKING_FLAGS, &first->flags, size, count);
}

static void put_idle(struct proto *out, const struct perfetto_idle *wait, uint32_t cpu)
{
    const size_t event = proto_open(out, BUNDLE_EVENT, 1);
    proto_number(out, FTRACE_TIME, wait->ns);
    proto_number(out, FTRACE_PID, wait->tid);
    const size_t body = proto_open(out, FTRACE_CPU_IDLE, 1);
    proto_number(out, CPU_IDLE_STATE, wait->state);
    proto_number(out, CPU_IDLE_CPU, cpu);
    proto_close(out, body, 1);
    proto_close(out, event, 1);
}

static void flush(struct native *native)
{
    struct perfetto *perfetto = native->perfetto;
    struct perfetto_bundle *bundle = bundle_of(native);
    struct proto *out = &perfetto->chunk;
    const uint32_t cpu = native->recording->cpu;
    if (bundle->switches + bundle->wakings + bundle->idles == 0 && !native->lost)
        return;
    perfetto_make_room(perfetto, BUNDLE_BYTES);
    const size_t packet = perfetto_packet_open(perfetto, PERFETTO_SEQUENCE_BENCH);
    const size_t outer = proto_open(out, PACKET_FTRACE, PACKET_WIDTH);
    proto_number(out, BUNDLE_CPU, cpu);
    for (uint32_t i = 0; i < bundle->idles; i++)
        put_idle(out, &bundle->idled[i], cpu);
    if (native->lost)
        proto_number(out, BUNDLE_LOST, 1);
    const size_t compact = proto_open(out, BUNDLE_COMPACT, PACKET_WIDTH);
    for (uint32_t i = 0; i < bundle->names; i++)
        proto_text(out, COMPACT_NAMES, bundle->name[i]);
    put_switches(out, bundle);
    put_wakings(out, bundle);
    proto_close(out, compact, PACKET_WIDTH);
    proto_close(out, outer, PACKET_WIDTH);
    perfetto_packet_close(perfetto, packet);
    perfetto->counts.switches += bundle->switches;
    perfetto->counts.wakings += bundle->wakings;
    perfetto->counts.events += bundle->switches + bundle->wakings + bundle->idles;
    bundle->switches = bundle->wakings = bundle->idles = bundle->names = 0;
    native->lost = false;
}

// Where the thread's name stands in the bundle; there is room for it.
static uint32_t name_in(struct perfetto_bundle *bundle, const struct perfetto_thread *thread)
{
    uint32_t i = 0;
    while (i < bundle->names && bundle->tids[i] != thread->tid)
        i++;
    if (i == bundle->names) {
        bundle->names++;
        bundle->tids[i] = thread->tid;
        format(bundle->name[i], sizeof(bundle->name[i]), "%s", thread->name);
    }
    return i;
}

static uint64_t time_of(struct native *native, uint64_t ticks)
{
    const uint64_t ns = perfetto_ticks_to_ns(native->perfetto->multiplier, ticks);
    if (ns > native->last_ns)
        native->last_ns = ns;
    return native->last_ns;
}

static void prepare(struct native *native)
{
    const struct perfetto_bundle *bundle = bundle_of(native);
    if (bundle->switches == PERFETTO_BUNDLE_MOST || bundle->wakings == PERFETTO_BUNDLE_MOST ||
        bundle->idles == PERFETTO_BUNDLE_MOST || bundle->names == PERFETTO_NAMES_MOST)
        flush(native);
}

// ---- events -------------------------------------------------------------------------------------

static void switch_to(struct native *native, uint64_t ticks, const struct perfetto_thread *next,
                      uint32_t left, uint32_t priority)
{
    struct perfetto_bundle *bundle = bundle_of(native);
    const uint64_t ns = time_of(native, ticks);
    if (next->tid == native->running)
        return; // this trace has one idle thread a CPU for all schedulers
    prepare(native);
    bundle->switched[bundle->switches++] =
        (struct perfetto_switch){.ns = ns,
                                 .tid = next->tid,
                                 .left = native->idles ? (uint32_t)LEFT_RUNNABLE : left,
                                 .priority = priority,
                                 .name = name_in(bundle, next)};
    native->running = next->tid;
    native->idles = next->idle;
}

static uint32_t left_as(enum trace_left left)
{
    switch (left) {
    case TRACE_LEFT_NOBODY:
    case TRACE_LEFT_YIELDED:
        break;
    case TRACE_LEFT_PREEMPTED:
        return LEFT_PREEMPTED;
    case TRACE_LEFT_BLOCKED:
    case TRACE_LEFT_SLEEPING:
        return LEFT_INTERRUPTIBLE;
    case TRACE_LEFT_JOINING:
        return LEFT_UNINTERRUPTIBLE;
    case TRACE_LEFT_ENDED:
        return LEFT_DEAD;
    }
    return LEFT_RUNNABLE;
}

static void idle_to(struct native *native, uint64_t ticks, bool waits)
{
    struct perfetto_bundle *bundle = bundle_of(native);
    prepare(native);
    bundle->idled[bundle->idles++] = (struct perfetto_idle){
        .ns = time_of(native, ticks), .tid = native->running, .state = waits ? 0 : CPU_IDLE_NOT};
    native->waits = waits;
}

static void take(struct native *native, const struct trace_entry *entry)
{
    struct perfetto_bundle *bundle = bundle_of(native);
    const uint32_t number = trace_value_number(entry->value);
    struct perfetto_texts room;
    struct perfetto_thread thread = native->outside;
    // Others have another value: an idle CPU's, and those of devices.
    if (number != 0 && (entry->event == TRACE_SCHED_SWITCH || entry->event == TRACE_SCHED_WAKE))
        thread = perfetto_scheduled(native->perfetto, native->row, number, &room);
    if (entry->event == TRACE_SCHED_SWITCH) {
        switch_to(native, entry->ticks, &thread, left_as(trace_value_left(entry->value)),
                  trace_value_priority(entry->value));
    } else if (entry->event == TRACE_SCHED_WAKE) {
        prepare(native);
        bundle->woken[bundle->wakings++] = (struct perfetto_waking){
            .ns = time_of(native, entry->ticks),
            .tid = thread.tid,
            .cpu = trace_value_cpu(entry->value),
            .priority = trace_sched_priority(entry),
            .flags = trace_value_to(entry->value) != 0 ? WAKING_IN_INTERRUPT : 0,
            .name = name_in(bundle, &thread)};
    } else if (entry->event == TRACE_SCHED_IDLE) {
        idle_to(native, entry->ticks, entry->value != 0);
    }
}

// Before its first switch in a trace a CPU's row says nothing: Perfetto takes that one only for who
// ran since.
static void begin_row(struct native *native, bool first_cpu)
{
    struct perfetto *perfetto = native->perfetto;
    const uint32_t cpu = native->recording->cpu;
    const uint64_t bit = (uint64_t)1 << cpu, begin = native->row->phases[0].begin;
    native->outside = idle_thread(cpu, &native->idle_texts);
    const struct perfetto_thread waits = native->outside;
    const struct perfetto_thread *between = first_cpu ? &framework : &waits;
    if (first_cpu)
        native->outside = native->recording->thread;
    if ((perfetto->scheduled & bit) == 0) {
        perfetto_thread(perfetto, &waits);
        if (first_cpu)
            perfetto_thread(perfetto, &framework);
        switch_to(native, begin, between, LEFT_RUNNABLE, 0);
    }
    perfetto->scheduled |= bit;
    native->running = between->tid;
    native->idles = between->idle;
    if (first_cpu)
        switch_to(native, begin, &native->outside, LEFT_RUNNABLE, 0);
}

void perfetto_schedule(struct perfetto *perfetto, const struct perfetto_row *row,
                       const struct perfetto_recording *recording)
{
    const struct trace_buffer *events = recording->events;
    const bool first_cpu = recording == row->recordings;
    struct native native = {.perfetto = perfetto, .row = row, .recording = recording};
    if (!perfetto_is_scheduled(row) || events == NULL || (events->thread == 0 && !first_cpu))
        return;
    struct perfetto_bundle *bundle = bundle_of(&native);
    bundle->switches = bundle->wakings = bundle->idles = bundle->names = 0;
    assert(recording->cpu < PERFETTO_CPUS_MOST && row->phase_count > 0);
    begin_row(&native, first_cpu);
    for (uint32_t i = 0; i < events->used; i++)
        take(&native, &events->entries[i]);
    // What was lost, was lost at the end: it is not known who ran then.
    if (events->lost > 0) {
        flush(&native);
        native.lost = true;
    }
    const uint64_t last = events->used > 0 ? events->entries[events->used - 1].ticks : 0;
    if (native.waits) // its end was lost, or came when nothing was recorded any more
        idle_to(&native, last, false);
    switch_to(&native, last, &native.outside, LEFT_RUNNABLE, 0);
    if (first_cpu)
        switch_to(&native, row->phases[row->phase_count - 1].end, &framework, LEFT_RUNNABLE, 0);
    flush(&native);
}
