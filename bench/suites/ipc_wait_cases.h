// SPDX-License-Identifier: MIT
// The cases of the suite `ipc` whose threads sleep. What a window is, the file that includes it
// says:
//   IPC_WAIT_WINDOW(context, operations)
#ifndef IPC_WAIT_CASES_H
#define IPC_WAIT_CASES_H

#include "body.h"
#include "compiler.h"
#include "definitions_ipc.h"
#include "ipc_pair.h"
#include "ring.h"

#define SUITE           ipc
#define SUITE_MECHANISM ring

#define SUITE_CASES(X, v)                                                                          \
    X(v, wake_56, 256, true, 30, 0, 32, 2, 60,                                                     \
      "56 B to a thread that sleeps, on one CPU: sent, woken, received; two take turns")           \
    X(v, wake_56_cpus, 32, true, 1, 0, 32, 1, 120,                                                 \
      "the same with a CPU each, both asleep in turn")                                             \
    X(v, wake_56_cpus_barrier, 32, true, 1, 0, 32, 1, 120,                                         \
      "the same where who sleeps pays for the order: an interrupt of the other CPU each time")     \
    X(v, call_1, 256, true, 60, 0, 32, 2, 60,                                                      \
      "a call: a request, a server that wakes, a reply, its caller woken, on one CPU")             \
    X(v, call_1_direct, 256, true, 60, 0, 32, 2, 60,                                               \
      "a call on one CPU whose request takes the CPU along, and whose reply takes it back")        \
    X(v, call_2, 64, true, 1, 0, 32, 1, 120,                                                       \
      "the same with a CPU each; both look for a while before they sleep")                         \
    X(v, crowd_1x1, 128, true, 8, 1024, 128, 1, 120,                                               \
      "56 B over a queue of 8, one thread to one, all awake at first, on at most 2 CPUs")          \
    X(v, crowd_2x1, 128, true, 8, 1024, 128, 1, 120, "the same from 2 threads to one")             \
    X(v, crowd_4x1, 128, true, 8, 1024, 128, 1, 120, "the same from 4 threads to one")             \
    X(v, crowd_8x1, 128, true, 8, 1024, 128, 1, 120, "the same from 8 threads to one")             \
    X(v, crowd_1x2, 128, true, 8, 1024, 128, 1, 120, "the same from one thread to 2")              \
    X(v, crowd_1x4, 128, true, 8, 1024, 128, 1, 120, "the same from one thread to 4")              \
    X(v, crowd_1x8, 128, true, 8, 1024, 128, 1, 120, "the same from one thread to 8")              \
    X(v, crowd_2x2, 128, true, 8, 1024, 128, 1, 120, "the same from 2 threads to 2")               \
    X(v, crowd_4x4, 128, true, 8, 1024, 128, 1, 120, "the same from 4 threads to 4")               \
    X(v, crowd_8x8, 128, true, 8, 1024, 128, 1, 120, "the same from 8 threads to 8")

ALWAYS_INLINE uint64_t wake_56(const struct ring_ops *ops, void *context, uint64_t operations)
{
    (void)ops;
    return ((const struct ipc_pair *)context)->window(operations);
}

#define wake_56_cpus         wake_56
#define wake_56_cpus_barrier wake_56
#define call_1               wake_56
#define call_1_direct        wake_56
#define call_2               wake_56
#define crowd_1x1            wake_56
#define crowd_2x1            wake_56
#define crowd_4x1            wake_56
#define crowd_8x1            wake_56
#define crowd_1x2            wake_56
#define crowd_1x4            wake_56
#define crowd_1x8            wake_56
#define crowd_2x2            wake_56
#define crowd_4x4            wake_56
#define crowd_8x8            wake_56

#endif
