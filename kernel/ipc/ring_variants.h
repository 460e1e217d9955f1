// SPDX-License-Identifier: MIT
// Every message queue, once. A new one is two files (ring_NAME.h, ring_NAME.c) and two lines here.
#ifndef RING_VARIANTS_H
#define RING_VARIANTS_H

#include "ring_floor.h"
#include "ring_fusion_mpmc.h"
#include "ring_fusion_spsc.h"
#include "ring_fusion_spsc_in_place.h"
#include "ring_fusion_stream.h"
#include "ring_locked_queue.h"
#include "ring_variants_outside.h" // generated from variants=FOLDER, usually empty

#define RING_VARIANTS(X)                                                                           \
    X(locked_queue)                                                                                \
    X(fusion_spsc)                                                                                 \
    X(fusion_spsc_in_place)                                                                        \
    X(fusion_stream)                                                                               \
    X(fusion_mpmc)                                                                                 \
    X(floor)                                                                                       \
    RING_VARIANTS_OUTSIDE(X)

#endif
