// SPDX-License-Identifier: MIT
// The cases of the suite `ipc` whose threads sleep. What a window is, the file that includes it
// says:
//   IPC_WAIT_WINDOW(context, operations)
#ifndef IPC_WAIT_CASES_H
#define IPC_WAIT_CASES_H

#include "body.h"
#include "compiler.h"
#include "ipc_pair.h"
#include "ring.h"

#define SUITE           ipc
#define SUITE_MECHANISM ring

#define SUITE_CASES(X, v)                                                                          \
    X(v, wake_56, 256, true, 30, 0, 32, 2, 60,                                                     \
      "56 B to a thread that sleeps, on one CPU: sent, woken, received; two take turns")           \
    X(v, wake_56_cpus, 32, true, 1, 0, 32, 1, 120,                                                 \
      "the same with a CPU each, both asleep in turn")                                             \
    X(v, call_1, 256, true, 60, 0, 32, 2, 60,                                                      \
      "a call: a request, a server that wakes, a reply, its caller woken, on one CPU")             \
    X(v, call_2, 64, true, 1, 0, 32, 1, 120,                                                       \
      "the same with a CPU each; both look for a while before they sleep")

ALWAYS_INLINE uint64_t wake_56(const struct ring_ops *ops, void *context, uint64_t operations)
{
    (void)ops;
    return ((const struct ipc_pair *)context)->window(operations);
}

#define wake_56_cpus wake_56
#define call_1       wake_56
#define call_2       wake_56

#endif
