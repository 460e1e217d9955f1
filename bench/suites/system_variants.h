// SPDX-License-Identifier: MIT
// Who is asked in the suite `system`: one of each mechanism's variants, all together.
//
//   baseline    the variant of each mechanism that its own suite calls the baseline
//   optimised   of each mechanism the variant that a published design stands for
//   MECHANISM   the baseline with that mechanism alone switched to the optimised one: what it gains
//   without_M   the optimised one with mechanism M alone switched back: what is lost without it
#ifndef SYSTEM_VARIANTS_H
#define SYSTEM_VARIANTS_H

#include "driver_modes.h"
#include "heap_hybrid.h"
#include "heap_linked_list.h"
#include "ring_fusion_spsc.h"
#include "ring_locked_queue.h"
#include "sched_policy_fifo.h"
#include "sched_policy_predictive.h"
#include "switch_classic.h"
#include "switch_windowed.h"

struct system_on {
    struct variant about;
    const struct heap_ops *heap;
    const struct ring_ops *ring;
    const struct switch_ops *context;
    const struct sched_policy_ops *policy;
    const struct driver_ops *driver;
};

#define SYSTEM_ON(name_, h, r, c, p, d, role_, what_)                                              \
    static const struct system_on system_##name_##_ops = {                                         \
        .about = {.name = #name_, .what = what_, .role = role_},                                   \
        .heap = &heap_##h##_ops,                                                                   \
        .ring = &ring_##r##_ops,                                                                   \
        .context = &switch_##c##_ops,                                                              \
        .policy = &sched_##p##_ops,                                                                \
        .driver = &driver_##d##_ops};

SYSTEM_ON(baseline, linked_list, locked_queue, classic, fifo, interrupt, VARIANT_BASELINE,
          "linked_list, locked_queue, classic, fifo, interrupt: all baselines")
SYSTEM_ON(optimised, hybrid, fusion_spsc, windowed, predictive, adaptive, VARIANT_PRODUCT,
          "hybrid, fusion_spsc, windowed, predictive, adaptive: all optimised")
SYSTEM_ON(heap, hybrid, locked_queue, classic, fifo, interrupt, VARIANT_PRODUCT,
          "all baselines but the heap: hybrid")
SYSTEM_ON(ipc, linked_list, fusion_spsc, classic, fifo, interrupt, VARIANT_PRODUCT,
          "all baselines but the queues: fusion_spsc")
SYSTEM_ON(switch, linked_list, locked_queue, windowed, fifo, interrupt, VARIANT_PRODUCT,
          "all baselines but the context switch: windowed")
SYSTEM_ON(sched, linked_list, locked_queue, classic, predictive, interrupt, VARIANT_PRODUCT,
          "all baselines but the scheduler's policy: predictive")
SYSTEM_ON(driver, linked_list, locked_queue, classic, fifo, adaptive, VARIANT_PRODUCT,
          "all baselines but the way to wait for the disk: adaptive")
SYSTEM_ON(without_heap, linked_list, fusion_spsc, windowed, predictive, adaptive, VARIANT_PRODUCT,
          "all optimised but the heap: linked_list")
SYSTEM_ON(without_ipc, hybrid, locked_queue, windowed, predictive, adaptive, VARIANT_PRODUCT,
          "all optimised but the queues: locked_queue")
SYSTEM_ON(without_switch, hybrid, fusion_spsc, classic, predictive, adaptive, VARIANT_PRODUCT,
          "all optimised but the context switch: classic")
SYSTEM_ON(without_sched, hybrid, fusion_spsc, windowed, fifo, adaptive, VARIANT_PRODUCT,
          "all optimised but the scheduler's policy: fifo")
SYSTEM_ON(without_driver, hybrid, fusion_spsc, windowed, predictive, interrupt, VARIANT_PRODUCT,
          "all optimised but the way to wait for the disk: interrupt")

#define SYSTEM_VARIANTS(X)                                                                         \
    X(baseline)                                                                                    \
    X(optimised)                                                                                   \
    X(heap)                                                                                        \
    X(ipc)                                                                                         \
    X(switch)                                                                                      \
    X(sched)                                                                                       \
    X(driver)                                                                                      \
    X(without_heap)                                                                                \
    X(without_ipc)                                                                                 \
    X(without_switch)                                                                              \
    X(without_sched)                                                                               \
    X(without_driver)

#endif
