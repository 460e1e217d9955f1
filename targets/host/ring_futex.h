// SPDX-License-Identifier: MIT
// Waiting at rings as a thread of a Linux process, where no scheduler of ours runs.
//
// Rules for callers
//   threads   each has entered a CPU of its own (cpu_local()): preemption is counted there
#ifndef RING_FUTEX_H
#define RING_FUTEX_H

#include <stdbool.h>

#include "ring_waiter.h"

#define RING_FUTEX_LOOKS 256u

// Fills in `waiter`. `sleepers_pay`: with membarrier(2), where the kernel has it; else, and where
// it has not, those who send and receive pay. False: it has not.
bool ring_futex(struct ring_waiter *waiter, bool sleepers_pay);

#endif
