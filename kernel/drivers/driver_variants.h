// SPDX-License-Identifier: MIT
// Every way of driving a block device, once.
#ifndef DRIVER_VARIANTS_H
#define DRIVER_VARIANTS_H

#include "driver_floor.h"
#include "driver_modes.h"

#define DRIVER_VARIANTS(X)                                                                         \
    X(interrupt)                                                                                   \
    X(polling)                                                                                     \
    X(hybrid)                                                                                      \
    X(batch)                                                                                       \
    X(adaptive)                                                                                    \
    X(floor)

#endif
