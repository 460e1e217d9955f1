// SPDX-License-Identifier: MIT
// What the deeds with address spaces share (deeds_paging.c): memory, a space, accesses that may
// fault.
#ifndef DEEDS_SPACE_H
#define DEEDS_SPACE_H

#include "address_space.h"
#include "anonymous.h"
#include "clocks.h"
#include "compiler.h"
#include "deeds.h"
#include "interrupts.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "platform.h"
#include "random.h"
#include "smp.h"
#include "string.h"
#include "tlb.h"
#include "traps.h"

#define DEEDS_HIGH     ((uint64_t)0xffff900000000000)
#define DEEDS_WINDOW   ((uint64_t)8 << 20) // of frames: four pages of 2 MiB
#define DEEDS_NO_FAULT UINT64_MAX

enum deeds_way { DEEDS_READ, DEEDS_WRITE, DEEDS_EXECUTE };

// The kernel in its low half, nothing else. Frames and faults are set up.
extern struct address_space deeds_space;
void deeds_space_begin(void);
void deeds_space_make(struct address_space *space, struct address_spaces *all);

// Physical, of DEEDS_WINDOW bytes; each frame begins with its number.
uint64_t deeds_frames(void);

// The error code of the fault, DEEDS_NO_FAULT without one; *value is what was read or is written.
uint64_t deeds_try(enum deeds_way way, uint64_t address, uint64_t *value);

// Where the last fault of such an access on this CPU was.
uint64_t deeds_fault_address(void);

#endif
