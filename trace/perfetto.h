// SPDX-License-Identifier: MIT
// Native Perfetto traces, written by the kernel itself with integers only.
//
// The writer gathers packets in memory of the caller and hands them to a sink in chunks. A chunk
// stands for itself: it begins by declaring everything it uses (clock, names, tracks) and the
// slices it begins it ends, so that any chunk may be lost and the rest is still a valid trace.
//
//   sequence  a FIFO of packets with names and clock of its own: PERFETTO_SEQUENCE_BENCH for what
//             the framework says, PERFETTO_SEQUENCE_CPU + cpu for what a CPU recorded
//   row       a track below "Benchmarks" with the phases of one benchmark and its counters, and a
//             thread track with the operations
//   schedule  where a scheduler ran during the row: native rows of the CPUs with wakers and states
//   of
//             threads, and a thread track for each thread that recorded something
//   number    pids and tids. Suites' pids and tids are the caller's, below PERFETTO_OWN_FIRST; a
//             role (what a thread is called, up to the first digit, space, '/' or '.') is a process
//   time      nanoseconds of BOOTTIME, made from ticks here: Perfetto has no clock with a rate
//
// Rules for callers
//   order     init, open, rows..., close; attributes, processes and threads between open and the
//             first row
//   threads   one at a time; the buffers read here are recorded into by nobody meanwhile
//   memory    all of the caller's; texts need to live during the call only
#ifndef PERFETTO_H
#define PERFETTO_H

#include "deflate.h"
#include "proto.h"
#include "trace_sched.h"

#define PERFETTO_SEQUENCE_BENCH 1u
#define PERFETTO_SEQUENCE_CPU   2u // plus the CPU's index
#define PERFETTO_CPUS_MOST      64u
#define PERFETTO_ROLES_MOST     32u
#define PERFETTO_BUNDLE_MOST    192u // of one kind of scheduler's event in a packet
#define PERFETTO_NAMES_MOST     64u  // of threads in a packet
#define PERFETTO_CHUNK_BYTES    DEFLATE_INPUT_MOST
#define PERFETTO_FLOW_EVERY     16u // one message in so many has its flow drawn
// In one phase of a row so many operations are drawn of those without anything nested, and of those
// with; of the others, one in so many still shows the counters.
#define PERFETTO_LEAVES_DRAWN   192u
#define PERFETTO_NESTED_DRAWN   256u
#define PERFETTO_OTHERS_SAMPLED 64u
#define PERFETTO_SLOWEST_DRAWN  16u   // besides, of those that took as long as the longest
#define PERFETTO_FLOWS_MOST     4096u // of a row that have an arrival
#define PERFETTO_INSTANTS_MOST  32u   // of a row
// Requests of devices: drawn of one phase, tracks for those on their way, and of those that one
// interrupt finds, how many have a flow over it.
#define PERFETTO_REQUESTS_DRAWN   128u
#define PERFETTO_REQUESTS_AT_ONCE 16u
#define PERFETTO_INTERRUPT_FLOWS  16u
#define PERFETTO_DEVICE_TRACKS    1040u
#define PERFETTO_LANES_MOST       256u

// Receives whole packets in the order of the file. Called from within the writer's functions.
struct perfetto_sink {
    void *context;
    void (*send)(void *context, const void *packets, size_t length);
};

// Scheduler's events of one CPU that become one packet.
struct perfetto_switch {
    uint64_t ns;
    uint32_t tid, left, priority, name;
};
struct perfetto_waking {
    uint64_t ns;
    uint32_t tid, cpu, priority, flags, name;
};
struct perfetto_idle {
    uint64_t ns;
    uint32_t tid, state;
};
struct perfetto_bundle {
    uint32_t switches, wakings, idles, names;
    struct perfetto_switch switched[PERFETTO_BUNDLE_MOST];
    struct perfetto_waking woken[PERFETTO_BUNDLE_MOST];
    struct perfetto_idle idled[PERFETTO_BUNDLE_MOST];
    uint32_t tids[PERFETTO_NAMES_MOST];
    char name[PERFETTO_NAMES_MOST][TRACE_NAME_MOST + 1];
};

// What devices do, while a row is written.
struct perfetto_request {
    uint32_t key, serial;
    uint32_t state; // enum trace_event; 0: nothing is drawn here
    bool flows;
    uint64_t last; // ns
};
struct perfetto_interrupt {
    bool open;
    size_t recording;     // whose CPU sees to it
    uint64_t begin, last; // ns
    uint32_t found;       // requests that are drawn
    uint32_t serials[PERFETTO_INTERRUPT_FLOWS];
};
struct perfetto_devices {
    uint8_t declared[PERFETTO_DEVICE_TRACKS]; // in this chunk
    struct perfetto_request requests[PERFETTO_REQUESTS_AT_ONCE];
    struct perfetto_interrupt interrupts[PERFETTO_LANES_MOST]; // of devices' queues
    uint32_t modes[PERFETTO_LANES_MOST];                       // enum trace_event; 0: not known
    uint64_t began[PERFETTO_LANES_MOST]; // ticks + 1 of handlers of one CPU; 0: none
};

// Messages with a flow, by number.
struct perfetto_sent {
    uint8_t known[PERFETTO_FLOWS_MOST];
    uint8_t both[PERFETTO_FLOWS_MOST]; // two senders have this number: rings there and back
    uint8_t sender[PERFETTO_FLOWS_MOST];
    uint32_t number[PERFETTO_FLOWS_MOST];
    uint64_t ticks[PERFETTO_FLOWS_MOST];
};

// What the writer needs. `deflate` may be NULL: then chunks are sent as they are.
struct perfetto_memory {
    uint8_t chunk[PERFETTO_CHUNK_BYTES];
    uint8_t squeezed[PERFETTO_CHUNK_BYTES + PERFETTO_CHUNK_BYTES / 8 + 64];
    struct deflate deflate;
    struct perfetto_bundle bundle;
    struct perfetto_devices devices;
    struct perfetto_sent sent;
};

struct perfetto_counts {
    uint64_t events;   // written: begins, ends, instants, counter values
    uint64_t switches; // of CPUs from one thread to another
    uint64_t wakings;
    uint64_t left_out;     // recorded operations that are not drawn
    uint64_t packets;      // before compression
    uint64_t packet_bytes; // of them
    uint64_t bytes;        // handed to the sink
    uint64_t lost;         // recorded too late: the buffers were full
};

struct perfetto {
    struct perfetto_memory *memory;
    struct perfetto_sink sink;
    struct proto chunk;
    bool compress;
    uint64_t multiplier;     // of ticks, for PERFETTO_CLOCK_SHIFT
    uint64_t snapshot_ticks; // of the last clock snapshot: they must not go backwards
    uint64_t cpus_seen;      // bit for each CPU with a sequence
    uint32_t category_iid[TRACE_EVENT_COUNT]; // of each event: a category's is its first event's
    uint64_t lost[PERFETTO_CPUS_MOST];
    bool bench_begun;    // that sequence has its first packet
    uint64_t scheduled;  // bit for each CPU whose native row has begun
    uint32_t tid_before; // of the next row's scheduled threads
    uint32_t roles;
    char role[PERFETTO_ROLES_MOST][TRACE_NAME_MOST + 1];
    struct perfetto_counts counts;
};

#define PERFETTO_CLOCK_SHIFT 32

// Nanoseconds of `ticks`, rounded down; hz as for perfetto_multiplier. Off by less than ticks /
// 2^32
// + 1 ns, which is below 1 ns a millisecond from 1 MHz to 4 GHz and beyond.
static inline uint64_t perfetto_ticks_to_ns(uint64_t multiplier, uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * multiplier >> PERFETTO_CLOCK_SHIFT);
}

// For ticks of `hz` a second, 1 to 2^40; 0 (unknown) counts a tick as a nanosecond.
uint64_t perfetto_multiplier(uint64_t hz);

void perfetto_init(struct perfetto *perfetto, struct perfetto_memory *memory, bool compress,
                   uint64_t hz, struct perfetto_sink sink);

struct perfetto_system {
    const char *name;    // of the system that runs
    const char *release; // its build
    const char *machine; // the architecture
    const char *machine_name;
    uint32_t cpus;
    uint64_t ticks; // now
};

// The trace's first packets: clock and system.
void perfetto_open(struct perfetto *perfetto, const struct perfetto_system *system);

// A fact about the trace, shown as trace_attribute.KEY.
void perfetto_attribute_number(struct perfetto *perfetto, const char *key, uint64_t value);
void perfetto_attribute_text(struct perfetto *perfetto, const char *key, const char *value);

// A process's name must have no space: Perfetto cuts it there. pid and tid from 1, of one number
// space, the pid up to 65535.
struct perfetto_thread {
    uint32_t pid, tid;
    const char *process, *name;
    bool idle; // runs when no other can
};
void perfetto_thread(struct perfetto *perfetto, const struct perfetto_thread *thread);

// Shown with a slice: `text` if it is not NULL, else the number.
struct perfetto_note {
    const char *name;
    const char *text;
    int64_t number;
};

#define PERFETTO_NOTES_MOST 12u

// Operations are drawn, and left out, by phase: the last one that has begun.
struct perfetto_phase {
    enum trace_event event;
    uint64_t begin, end; // ticks
    struct perfetto_note notes[PERFETTO_NOTES_MOST];
    size_t note_count;
};

// What happened to the row from outside.
struct perfetto_instant {
    enum trace_event event; // a MARK
    uint64_t ticks, value;
};

struct perfetto_recording {
    struct trace_buffer *buffer; // the first one; the others by `next`
    // The scheduler's events and devices', and what there was no room for; NULL: there are none.
    // Their entries are moved about when the row is written.
    struct trace_buffer *events, *full;
    uint32_t cpu;
    struct perfetto_thread thread; // what ran there outside of a scheduler
};

struct perfetto_row {
    uint32_t number;  // its place below "Benchmarks", unique
    const char *name; // suite/case/variant
    const char *what;
    // In the order of their begins; one that begins before another has ended lies inside of it.
    const struct perfetto_phase *phases;
    size_t phase_count;
    const struct perfetto_instant *instants; // in order
    size_t instant_count;
    // One for each CPU, one at least, first the one that ran the benchmark; of one process.
    const struct perfetto_recording *recordings;
    size_t recording_count;
    struct trace_threads *threads; // that were scheduled; NULL: none
};

// Writes a row: what the CPUs recorded, then its phases.
void perfetto_row(struct perfetto *perfetto, const struct perfetto_row *row);

// The losses, and what is left of the last chunk.
void perfetto_close(struct perfetto *perfetto);

// ---- between the files of the writer ------------------------------------------------------------

struct perfetto_event_about {
    const char *name, *category, *value;
    enum trace_kind kind;
};
extern const struct perfetto_event_about perfetto_events[TRACE_EVENT_COUNT];

// Packets: open returns the mark for close. A packet of an event never needs more than
// PERFETTO_PACKET_MOST bytes.
#define PERFETTO_PACKET_MOST 1024u
size_t perfetto_packet_open(struct perfetto *perfetto, uint32_t sequence);
void perfetto_packet_close(struct perfetto *perfetto, size_t mark);
void perfetto_flush(struct perfetto *perfetto);
// Begins anew on a CPU's sequence: forgets names and clock and declares them, from `ticks` on.
// `dropped`: 0, or why packets are missing in front. Returns the time the sequence's clock stands
// at.
uint64_t perfetto_resync(struct perfetto *perfetto, const struct perfetto_recording *recording,
                         uint64_t ticks, uint32_t dropped);
// Declares the row's tracks and those above them; the room was made by perfetto_resync.
// `scheduled`: a thread besides those of the recordings; may be NULL.
void perfetto_row_tracks(struct perfetto *perfetto, uint32_t sequence,
                         const struct perfetto_row *row, uint64_t counters,
                         const struct perfetto_thread *scheduled);
void perfetto_thread_tracks(struct perfetto *perfetto, uint32_t sequence,
                            const struct perfetto_thread *thread); // process and thread
void perfetto_make_room(struct perfetto *perfetto, size_t length);
#define PERFETTO_PROLOGUE_BYTES 4096u // a row's declarations, its longest texts included
// Learns when the row's messages were sent; then, whether a message with a flow was until `ticks`.
void perfetto_flows(struct perfetto *perfetto, const struct perfetto_row *row);
bool perfetto_was_sent(const struct perfetto *perfetto, uint32_t number, uint64_t ticks);
bool perfetto_is_sent_by_two(const struct perfetto *perfetto, uint32_t number);
// What a recording tells of the schedule: bundles of its CPU's events.
void perfetto_schedule(struct perfetto *perfetto, const struct perfetto_row *row,
                       const struct perfetto_recording *recording);
// Declares the threads that were scheduled, and gives each its stretches.
void perfetto_scheduled_threads(struct perfetto *perfetto, const struct perfetto_row *row);
// The thread of that number; its texts live in `room`.
struct perfetto_texts {
    char process[TRACE_NAME_MOST + 1], name[TRACE_NAME_MOST + 1];
};
struct perfetto_thread perfetto_scheduled(const struct perfetto *perfetto,
                                          const struct perfetto_row *row, uint32_t number,
                                          struct perfetto_texts *room);
// What drivers recorded; adds the requests that are not drawn, by phase.
void perfetto_devices(struct perfetto *perfetto, const struct perfetto_row *row,
                      uint64_t *left_out);
void perfetto_device_track(struct perfetto *perfetto, const struct perfetto_row *row,
                           uint32_t which, const char *name, bool state);
// Begins anew on the framework's sequence: forgets names and declares them.
void perfetto_resync_bench(struct perfetto *perfetto);
// False if what the scheduler says was not recorded in this row.
bool perfetto_is_scheduled(const struct perfetto_row *row);

// Moves of threads from one CPU to another, to be asked for with rising numbers.
struct perfetto_moves {
    uint32_t at[PERFETTO_CPUS_MOST];
};
struct perfetto_moves perfetto_moves(const struct perfetto_row *row);
bool perfetto_has_move(struct perfetto_moves *moves, const struct perfetto_row *row,
                       uint32_t number);
// Takes the thread's next one until that time; NULL if there is none.
const struct trace_entry *perfetto_move(struct perfetto_moves *moves,
                                        const struct perfetto_row *row, uint32_t number,
                                        uint64_t until);

// Where one is in a chain of buffers.
struct perfetto_cursor {
    const struct trace_buffer *buffer;
    uint32_t at;
    bool of_thread; // by of_thread; else by next
};
// The entry there; NULL at the end.
const struct trace_entry *perfetto_entry(struct perfetto_cursor *cursor);

// All that a CPU lost, events; and when it recorded last, ticks.
uint64_t perfetto_lost_by(const struct perfetto_recording *recording, uint64_t *last);

// Everything else that was recorded: what threads did, counters, losses.
void perfetto_record(struct perfetto *perfetto, const struct perfetto_row *row, uint64_t counters,
                     uint64_t *left_out);

// Numbers that this writer gives out itself.
#define PERFETTO_OWN_FIRST      0xe000u
#define PERFETTO_PID_ROLE(role) (PERFETTO_OWN_FIRST + (role))
#define PERFETTO_PID_BENCH      0xfd00u // what runs outside of the rows
#define PERFETTO_PID_IDLE       0xfe00u
#define PERFETTO_TID_IDLE(cpu)  (PERFETTO_PID_IDLE + 1 + (cpu))
#define PERFETTO_TID_SCHEDULED  0x200000u // the first, and what is below is the caller's again

#define PERFETTO_UUID_ROOT         1u
#define PERFETTO_UUID_SUITE(pid)   (0x10000u + (pid))
#define PERFETTO_UUID_PROCESS(pid) (0x20000u + (pid))
#define PERFETTO_UUID_THREAD(tid)                                                                  \
    ((tid) < 0x10000u ? 0x40000u + (uint64_t)(tid) : 0x10000000u + (uint64_t)(tid))
#define PERFETTO_UUID_ROW(number)            (0x100000u + (uint64_t)(number)*64)
#define PERFETTO_UUID_COUNTER(number, event) (PERFETTO_UUID_ROW(number) + 1 + (event))

#define PERFETTO_UUID_DEVICE(number, track) (((uint64_t)(number) << 11) + 0x4000000000u + (track))

_Static_assert(TRACE_EVENT_COUNT < 63, "a row and its counters share 64 numbers, and a mask");

#endif
