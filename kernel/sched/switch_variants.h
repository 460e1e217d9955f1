// SPDX-License-Identifier: MIT
// Every context switch, once. A new one is a header (switch_NAME.h) and two lines here.
#ifndef SWITCH_VARIANTS_H
#define SWITCH_VARIANTS_H

#include "switch_classic.h"
#include "switch_classic_fxsave.h"
#include "switch_classic_xsave.h"
#include "switch_floor.h"
#include "switch_full.h"
#include "switch_windowed.h"

#define SWITCH_VARIANTS(X)                                                                         \
    X(classic)                                                                                     \
    X(classic_fxsave)                                                                              \
    X(classic_xsave)                                                                               \
    X(full)                                                                                        \
    X(windowed)                                                                                    \
    X(floor)

#endif
