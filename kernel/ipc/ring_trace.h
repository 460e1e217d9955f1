// SPDX-License-Identifier: MIT
// What a message queue records when it is traced: sending and receiving, how many messages are
// under way, and which receive belongs to which send. Macros for the reason trace.h gives.
//
// `position` is that of the message, or of the first of a batch, and the same at both ends. Where
// several send or receive, what is said at first is a guess, and whoever then takes a position says
// which (ring_trace_took_...).
#ifndef RING_TRACE_H
#define RING_TRACE_H

#include "status.h"
#include "trace.h"

#define ring_trace_send(position) trace_begin_out(TRACE_RING_SEND, position)

#define ring_trace_took_to_send(position) trace_number(TRACE_RING_SEND, position)

#define ring_trace_sent(status, count)                                                             \
    do {                                                                                           \
        if (CONFIG_TRACE && (status) == STATUS_OK)                                                 \
            trace_add(TRACE_RING_MESSAGES, count);                                                 \
        trace_end_if(TRACE_RING_SEND, (status) == STATUS_OK);                                      \
    } while (0)

#define ring_trace_receive(position) trace_begin_in(TRACE_RING_RECEIVE, position)

#define ring_trace_took_to_receive(position) trace_number(TRACE_RING_RECEIVE, position)

#define ring_trace_received(status, count)                                                         \
    do {                                                                                           \
        if (CONFIG_TRACE && (status) == STATUS_OK)                                                 \
            trace_add(TRACE_RING_MESSAGES, -(count));                                              \
        trace_end_if(TRACE_RING_RECEIVE, (status) == STATUS_OK);                                   \
    } while (0)

#endif
