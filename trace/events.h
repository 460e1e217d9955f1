// SPDX-License-Identifier: MIT
// Every event of the system, once: X(NAME, category, text, kind, value). A new event is a line here
// and its call.
//
//   PHASE   a slice on the track of the benchmark that runs: begin and end
//   SPAN    a slice on the thread's track, nested in the one that is open: begin and end
//   MARK    an instant on the thread's track
//   STATE   what something of the row's is in, until the next one
//   COUNT   a counter, BYTES the same in bytes: changes are recorded, sums are shown
//
// `value` names the number that comes with begin or instant; "" if there is none to be shown.
#ifndef EVENTS_H
#define EVENTS_H

#define TRACE_EVENTS(X)                                                                            \
    X(BENCH_PREPARE, "bench", "prepare", PHASE, "")                                                \
    X(BENCH_WARM_UP, "bench", "warm-up", PHASE, "")                                                \
    X(BENCH_RUN, "bench", "run", PHASE, "")                                                        \
    X(BENCH_SLOW, "bench", "slow window", PHASE, "")                                               \
    X(HEAP_ALLOCATE, "heap", "allocate", SPAN, "size")                                             \
    X(HEAP_RELEASE, "heap", "release", SPAN, "size")                                               \
    X(HEAP_REFILL, "heap", "refill", SPAN, "objects")                                              \
    X(HEAP_SURPLUS, "heap", "surplus", SPAN, "objects")                                            \
    X(HEAP_PAGES, "heap", "pages", SPAN, "")                                                       \
    X(HEAP_REMOTE, "heap", "remote free", MARK, "bytes")                                           \
    X(HEAP_OBJECTS, "heap", "objects in use", COUNT, "")                                           \
    X(HEAP_BYTES, "heap", "bytes in use", BYTES, "")                                               \
    X(BUDDY_SPLIT, "memory", "block split", MARK, "orders")                                        \
    X(BUDDY_JOIN, "memory", "blocks joined", MARK, "orders")                                       \
    X(RING_SEND, "ipc", "send", SPAN, "message")                                                   \
    X(RING_RECEIVE, "ipc", "receive", SPAN, "message")                                             \
    X(RING_ARRIVED, "ipc", "arrived", MARK, "message")                                             \
    X(RING_MESSAGES, "ipc", "messages in the ring", COUNT, "")                                     \
    X(SCHED_SWITCH, "sched", "switch", MARK, "next")                                               \
    X(SCHED_WAKE, "sched", "wake", MARK, "thread")                                                 \
    X(SCHED_MIGRATE, "sched", "migrate", MARK, "thread")                                           \
    X(SCHED_IDLE, "sched", "idle", MARK, "waits")                                                  \
    X(SCHED_EXIT, "sched", "exit", MARK, "thread")                                                 \
    X(BLOCK_WAIT, "block", "wait for request", SPAN, "block")                                      \
    X(BLOCK_QUEUED, "block", "queued", STATE, "")                                                  \
    X(BLOCK_SUBMITTED, "block", "submitted", STATE, "request")                                     \
    X(BLOCK_INTERRUPT, "block", "interrupt", STATE, "requests")                                    \
    X(BLOCK_DONE, "block", "done", STATE, "status")                                                \
    X(BLOCK_TAKEN, "block", "taken", MARK, "request")                                              \
    X(BLOCK_LEFT_OUT, "block", "requests left out", MARK, "requests")                              \
    X(BLOCK_BY_INTERRUPT, "block", "interrupt", STATE, "")                                         \
    X(BLOCK_BY_POLLING, "block", "polling", STATE, "")                                             \
    X(BLOCK_BY_HYBRID, "block", "hybrid", STATE, "")                                               \
    X(BLOCK_BY_BATCH, "block", "batch", STATE, "")                                                 \
    X(INTERRUPT, "machine", "interrupt", MARK, "vector")                                           \
    X(SMI, "machine", "SMI", MARK, "times")                                                        \
    X(PROBE, "trace", "probe", MARK, "number")                                                     \
    X(LOST, "trace", "events lost", MARK, "events")

enum trace_event {
#define TRACE_EVENT_NAME(name, category, text, kind, value) TRACE_##name,
    TRACE_EVENTS(TRACE_EVENT_NAME)
#undef TRACE_EVENT_NAME
        TRACE_EVENT_COUNT,
};

enum trace_kind {
    TRACE_KIND_PHASE,
    TRACE_KIND_SPAN,
    TRACE_KIND_MARK,
    TRACE_KIND_STATE,
    TRACE_KIND_COUNT,
    TRACE_KIND_BYTES,
};

#endif
