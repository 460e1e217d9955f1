// SPDX-License-Identifier: MIT
// Other people's context switches: called through pointers that the loader filled in, which is what
// a call through a program's table of imports costs. Where ours has an inlined form, theirs is
// called too: they have no other.
//
// Rules for callers, beyond those of switch.h
//   fcontext   the callee-saved registers, MXCSR and the x87 control word, on the stack that is
//              left; leaves by JMP. It hands the place left over to who comes next, who has to keep
//              it for a third one: one store a switch, in this header
//   ucontext   swapcontext also keeps the signal mask, by a system call; leaves by RET
//   futex      each context but the first is a thread of the operating system on the CPU of the
//              first; one wakes the other and sleeps. Its stack is its own. switch_futex_stop ends
//              the thread when nobody goes on with the context any more
//   threads    all of it on one thread, apart from futex's own
#ifndef SWITCH_PEERS_H
#define SWITCH_PEERS_H

#include "compiler.h"
#include "library.h"
#include "switch.h"

#define SWITCH_PEERS(X)                                                                            \
    X(fcontext)                                                                                    \
    X(ucontext)                                                                                    \
    X(futex)
#define SWITCH_PEERS_COUNT 3

// Rows are listed, not measured: those of libraries that are not here, too.
extern bool switch_peers_only_listed;

extern struct library switch_peers_libraries[SWITCH_PEERS_COUNT];

// ---- fcontext -----------------------------------------------------------------------------------

struct switch_fcontext {
    void *place; // where it was left
} __attribute__((aligned(16)));

// transfer_t of boost/context/detail/fcontext.hpp.
struct switch_transfer {
    void *place; // that was left
    void *data;  // what who left handed over
};

// jump_fcontext; NULL while the library is not loaded. Filled in at start, once.
extern struct switch_transfer (*switch_fcontext_jump)(void *place, void *data);

ALWAYS_INLINE void *switch_fcontext(void *from, void *to)
{
    const struct switch_transfer came =
        switch_fcontext_jump(((struct switch_fcontext *)to)->place, from);
    ((struct switch_fcontext *)came.data)->place = came.place;
    return from;
}

void switch_fcontext_make(void *context, void *top, void (*function)(void *argument),
                          void *argument, bool by_ret);

static const struct switch_ops switch_fcontext_ops = {
    .about = {.name = "fcontext",
              .what = "Boost.Context's jump_fcontext, as packaged",
              .role = VARIANT_PEER},
    .context_bytes = sizeof(struct switch_fcontext),
    .context_alignment = _Alignof(struct switch_fcontext),
    .register_bytes = 64,
    .make = switch_fcontext_make,
    .inline_ = switch_fcontext,
    .jmp = switch_fcontext,
    .ret = switch_fcontext,
};

// ---- ucontext -----------------------------------------------------------------------------------

struct switch_ucontext {
    uint8_t kept[1024]; // a ucontext_t
} __attribute__((aligned(16)));

// swapcontext.
extern int (*switch_ucontext_swap)(void *from, const void *to);

ALWAYS_INLINE void *switch_ucontext(void *from, void *to)
{
    switch_ucontext_swap(from, to);
    return from;
}

void switch_ucontext_make(void *context, void *top, void (*function)(void *argument),
                          void *argument, bool by_ret);

static const struct switch_ops switch_ucontext_ops = {
    .about = {.name = "ucontext",
              .what = "swapcontext of the C library, as packaged: with the signal mask",
              .role = VARIANT_PEER},
    .context_bytes = sizeof(struct switch_ucontext),
    .context_alignment = _Alignof(struct switch_ucontext),
    .make = switch_ucontext_make,
    .inline_ = switch_ucontext,
    .jmp = switch_ucontext,
    .ret = switch_ucontext,
};

// ---- futex --------------------------------------------------------------------------------------

struct switch_futex {
    uint32_t turn;  // atomic; 1: this one may go on
    uint32_t ended; // written before `turn`
    unsigned long thread;
    void (*function)(void *argument);
    void *argument;
    void *end; // where the thread ends: a jmp_buf on its stack
} CACHE_ALIGNED;

void *switch_futex(void *from, void *to);
void switch_futex_make(void *context, void *top, void (*function)(void *argument), void *argument,
                       bool by_ret);
void switch_futex_stop(void *context);

static const struct switch_ops switch_futex_ops = {
    .about = {.name = "futex",
              .what = "two threads of the operating system on one CPU, by futex",
              .role = VARIANT_PEER},
    .context_bytes = sizeof(struct switch_futex),
    .context_alignment = _Alignof(struct switch_futex),
    .make = switch_futex_make,
    .inline_ = switch_futex,
    .jmp = switch_futex,
    .ret = switch_futex,
};

#endif
