// SPDX-License-Identifier: MIT
// The interface every context switch offers, so that one test body and one benchmark body serve
// them all.
//
//   context   what a switch keeps while somebody else runs
//   form      where the code of a switch stands and how it leaves (cpu.h): inline, or a function
//             that leaves by JMP, or one that leaves by RET
//
// Rules for callers
//   threads    a context runs on one CPU at a time; its stack too
//   order      a context is entered by the form that it was left by, the first time by the form it
//              was made for. What runs already has a context by switching away from it
//   registers  after a switch, what the form keeps is as it was; what it does not keep is declared
//              lost to the compiler, so C code sees no difference. x87 and SSE state is kept by the
//              variants that say so only
//   memory     context and stack are the caller's
//
// A variant NAME is a header switch_NAME.h and two lines in switch_variants.h.
#ifndef SWITCH_H
#define SWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "variant.h"

#define SWITCH_STACK_LEAST 1024u // bytes

struct switch_ops {
    struct variant about;
    size_t context_bytes;     // multiple of its alignment
    size_t context_alignment; // power of two, at most 64
    unsigned register_bytes;  // of registers that a context keeps; as designs count, without flags
                              // and without x87 and SSE state
    // False: this CPU cannot. NULL: every CPU can.
    bool (*works)(void);
    // A context that runs function(argument), which never returns, on a stack that ends at `top`,
    // SWITCH_STACK_LEAST bytes at least. `by_ret`: to be entered by ret() first, else by one of the
    // others. Not between save and restore of anything of the CPU's: it takes the flags that are.
    void (*make)(void *context, void *top, void (*function)(void *argument), void *argument,
                 bool by_ret);
    // Leave what runs in *from, go on with *to. Return when somebody goes on with *from, and return
    // `from`: a caller that goes on with that value need not keep its own copy across the switch.
    void *(*inline_)(void *from, void *to);
    void *(*jmp)(void *from, void *to);
    void *(*ret)(void *from, void *to);
};

#endif
