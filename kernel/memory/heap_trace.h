// SPDX-License-Identifier: MIT
// What a heap records when it is traced: the operations, and the objects and bytes in use. Macros
// for the reason trace.h gives.
#ifndef HEAP_TRACE_H
#define HEAP_TRACE_H

#include "trace.h"

#define heap_trace_allocate(size) trace_begin(TRACE_HEAP_ALLOCATE, size)

// The end of an allocation: `object` may be NULL.
#define heap_trace_allocated(object, size)                                                         \
    do {                                                                                           \
        if (CONFIG_TRACE && (object) != NULL) {                                                    \
            trace_add(TRACE_HEAP_OBJECTS, 1);                                                      \
            trace_add(TRACE_HEAP_BYTES, size);                                                     \
        }                                                                                          \
        trace_end(TRACE_HEAP_ALLOCATE);                                                            \
    } while (0)

#define heap_trace_release(size) trace_begin(TRACE_HEAP_RELEASE, size)

#define heap_trace_released(size)                                                                  \
    do {                                                                                           \
        trace_add(TRACE_HEAP_OBJECTS, -1);                                                         \
        trace_add(TRACE_HEAP_BYTES, -(size));                                                      \
        trace_end(TRACE_HEAP_RELEASE);                                                             \
    } while (0)

#endif
