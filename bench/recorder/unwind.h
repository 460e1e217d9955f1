// SPDX-License-Identifier: MIT
// Names the place where a program stopped, from its registers, a copy of its stack and the ELF file
// with .eh_frame and DWARF. Nothing is asked of the running program, and no other file is looked
// for.
#ifndef UNWIND_H
#define UNWIND_H

#include <stdbool.h>
#include <stdint.h>

#include "common.h"
#include "record.h"

#define UNWIND_FRAMES_MOST 64u

struct machine_state {
    uint64_t rip, rflags, cr2, cr3;
    uint64_t
        registers[RECORD_REGISTERS];  // in the order of PANIC: rax rbx rcx rdx rsi rdi rbp rsp..
    uint8_t stack[RECORD_STACK_MOST]; // from rsp up
    size_t stack_length;
    bool named; // false: the addresses are not those of the image
};

enum { STATE_RSP = 7 };

// Appends registers and "#0 0x... function file:line" lines to `text`; `place` gets "function
// (file:line)" of the first frame, or the bare address.
void unwind(const char *image, const struct machine_state *state, struct buffer *text, char *place,
            size_t capacity);

#endif
