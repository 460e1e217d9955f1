// SPDX-License-Identifier: MIT
// A recorder on the line that did not start this machine: what it asks for (trace/meet.h).
#ifndef LINE_HOST_H
#define LINE_HOST_H

#include <stdbool.h>

// `speed=` of the command line: what the line begins at. False if the port that is the line cannot
// have it. Without the word, or without a port, nothing changes.
bool line_host_speed(void);

// With frames asked for, or `wait=` given, and no session, calls for a recorder, `wait=` seconds at
// the most (an hour without that word), and adds the words that it says to the command line: the
// last of a name counts. Nobody there: the results go where the command line says, but will not be
// frames. True if words were added. A `wait=` that is no time, and words that do not fit, are
// refused and end the run. Once, before the benchmarks; the clocks must be known.
bool line_host_meet(void);

// `flow=on`: what is sent waits for CTS (uart_wait_for_cts). A recorder says so whose own end does
// the same. False if the word is neither on nor off.
bool line_host_flow(void);

// Its part of platform_describe.
void line_host_describe(void (*emit)(void *context, const char *key, const char *value),
                        void *context);

#endif
