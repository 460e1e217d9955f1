// SPDX-License-Identifier: MIT
// Every event of the system, once: X(NAME, category, text). A new event is a line here and its
// call.
#ifndef EVENTS_H
#define EVENTS_H

#define TRACE_EVENTS(X)                                                                            \
    X(ROUND, "bench", "round")                                                                     \
    X(HEAP_REFILL, "heap", "refill")                                                               \
    X(HEAP_SURPLUS, "heap", "surplus")                                                             \
    X(HEAP_PAGES, "heap", "pages")

enum trace_event {
#define TRACE_EVENT_NAME(name, category, text) TRACE_##name,
    TRACE_EVENTS(TRACE_EVENT_NAME)
#undef TRACE_EVENT_NAME
        TRACE_EVENT_COUNT,
};

#endif
