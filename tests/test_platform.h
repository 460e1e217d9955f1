// SPDX-License-Identifier: MIT
// What a test may put in place of the unit tests' platform: the line, and a machine without a
// clock. One thread.
#ifndef TEST_PLATFORM_H
#define TEST_PLATFORM_H

#include "platform.h"

// NULL: what is written goes to standard output, and nothing ever arrives.
extern size_t (*test_line_write)(const void *bytes, size_t length);
extern size_t (*test_line_read)(void *bytes, size_t capacity);

// platform_clock_ns gives 0, as on a target that has no clock but the one it measures with.
extern bool test_clock_stopped;

// What platform_build_id gives; none while the length is 0.
extern uint8_t test_build_id[20];
extern size_t test_build_id_length;

#endif
