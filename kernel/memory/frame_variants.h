// SPDX-License-Identifier: MIT
// Every frame allocator, once. A new one is two files (frame_NAME.h, frame_NAME.c) and two lines
// here.
#ifndef FRAME_VARIANTS_H
#define FRAME_VARIANTS_H

#include "frame_bitmap_scan.h"
#include "frame_buddy.h"
#include "frame_floor.h"
#include "frame_hybrid.h"
#include "frame_textbook_buddy.h"

#define FRAME_VARIANTS(X)                                                                          \
    X(textbook_buddy)                                                                              \
    X(hybrid)                                                                                      \
    X(buddy)                                                                                       \
    X(bitmap_scan)                                                                                 \
    X(floor)

#endif
