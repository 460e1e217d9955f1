// SPDX-License-Identifier: MIT
// The message queues for many producers and consumers, once: those of ring_variants.h whose table
// says `several`, and their own bound.
#ifndef RING_MANY_VARIANTS_H
#define RING_MANY_VARIANTS_H

#include "ring_floor_mpmc.h"
#include "ring_fusion_mpmc.h"
#include "ring_locked_queue.h"

#define RING_MANY_VARIANTS(X)                                                                      \
    X(locked_queue)                                                                                \
    X(fusion_mpmc)                                                                                 \
    X(floor_mpmc)

#endif
