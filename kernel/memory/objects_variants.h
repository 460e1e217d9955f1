// SPDX-License-Identifier: MIT
// Every allocator of objects, once.
#ifndef OBJECTS_VARIANTS_H
#define OBJECTS_VARIANTS_H

#include "objects_classic_slab.h"
#include "objects_slub.h"
#include "objects_slub_tuned.h"

#define OBJECTS_VARIANTS(X)                                                                        \
    X(classic_slab)                                                                                \
    X(slub)                                                                                        \
    X(slub_tuned)

#endif
