// SPDX-License-Identifier: MIT
// Who is asked in the suite `driver`: a way of driving a device (driver.h) on a device.
//
//   NAME            on the target's first block device (platform_block), which claims are judged on
//   NAME_virtio     on the one named virtio, where that is not the first
//   NAME_simulated  on the RAM disk: on a clock that counts instructions, where there is no other,
//                   and for what is measured without waiting for a disk
#ifndef DRIVER_ON_H
#define DRIVER_ON_H

#include "driver_variants.h"

enum driver_place {
    DRIVER_ON_FIRST,
    DRIVER_ON_VIRTIO,
    DRIVER_ON_SIMULATED,
};

struct driver_on {
    struct variant about;
    const struct driver_ops *way;
    enum driver_place place;
    bool always; // looks on between requests that come at their time, instead of sleeping
};

#define DRIVER_ON(name_, suffix_, place_, role_, what_)                                            \
    static const struct driver_on driver_on_##name_##suffix_##_ops = {                             \
        .about = {.name = #name_ #suffix_, .what = what_, .role = role_},                          \
        .way = &driver_##name_##_ops,                                                              \
        .place = place_};

#define DRIVER_ON_ALL(name_, role_, what_)                                                         \
    DRIVER_ON(name_, , DRIVER_ON_FIRST, role_, what_)                                              \
    DRIVER_ON(name_, _virtio, DRIVER_ON_VIRTIO, role_, what_ "; on virtio")                        \
    DRIVER_ON(name_, _simulated, DRIVER_ON_SIMULATED, role_, what_ "; on a simulated disk")

DRIVER_ON_ALL(interrupt, VARIANT_BASELINE, "sleeps until the device interrupts")
DRIVER_ON_ALL(polling, VARIANT_PRODUCT, "looks at the device until it is done")
DRIVER_ON_ALL(hybrid, VARIANT_PRODUCT, "looks for 5 us at most, then sleeps")
DRIVER_ON_ALL(batch, VARIANT_PRODUCT, "gathers up to 32, sorts and merges them")
DRIVER_ON_ALL(adaptive, VARIANT_PRODUCT, "the mode that suits the load of the last second")
DRIVER_ON_ALL(floor, VARIANT_FLOOR, "the device's functions called directly, polling")

// The poller that `polling` saves from: the CPU is its own, whatever the load.
static const struct driver_on driver_on_polling_always_ops = {
    .about = {.name = "polling_always",
              .what = "looks at the device all the time, also between requests",
              .role = VARIANT_PRODUCT},
    .way = &driver_polling_ops,
    .place = DRIVER_ON_FIRST,
    .always = true};

#endif
