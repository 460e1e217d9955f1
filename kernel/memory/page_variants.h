// SPDX-License-Identifier: MIT
// Every implementation of page tables, once.
#ifndef PAGE_VARIANTS_H
#define PAGE_VARIANTS_H

#include "page_floor.h"
#include "page_scan.h"
#include "page_tables.h"

#define PAGE_VARIANTS(X) X(scan) X(tables) X(floor)

#endif
