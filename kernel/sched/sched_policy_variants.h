// SPDX-License-Identifier: MIT
// Every scheduling policy, once. A new one is two files (sched_policy_NAME.h, .c) and two lines
// here.
#ifndef SCHED_POLICY_VARIANTS_H
#define SCHED_POLICY_VARIANTS_H

#include "sched_policy_deadline.h"
#include "sched_policy_fifo.h"
#include "sched_policy_predictive.h"

#define SCHED_POLICY_VARIANTS(X)                                                                   \
    X(fifo)                                                                                        \
    X(predictive)                                                                                  \
    X(deadline)

#endif
