// SPDX-License-Identifier: MIT
// Every heap, once. A new one is two files (heap_NAME.h, heap_NAME.c) and two lines here.
#ifndef HEAP_VARIANTS_H
#define HEAP_VARIANTS_H

#include "heap_classic_slab.h"
#include "heap_floor.h"
#include "heap_hybrid.h"
#include "heap_hybrid_out_of_line.h"
#include "heap_kmalloc.h"
#include "heap_linked_list.h"
#include "heap_slob.h"
#include "heap_slub.h"
#include "heap_variants_outside.h" // generated from variants=FOLDER, usually empty

#define HEAP_VARIANTS(X)                                                                           \
    X(linked_list)                                                                                 \
    X(hybrid)                                                                                      \
    X(hybrid_out_of_line)                                                                          \
    X(kmalloc)                                                                                     \
    X(slob)                                                                                        \
    X(slub)                                                                                        \
    X(classic_slab)                                                                                \
    X(floor)                                                                                       \
    HEAP_VARIANTS_OUTSIDE(X)

#endif
