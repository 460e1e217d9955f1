// SPDX-License-Identifier: MIT
// A test that is stopped behind each single instruction: SIGTRAP's handler plays whatever could run
// between two of them. Linux on x86-64.
#ifndef SINGLE_STEP_H
#define SINGLE_STEP_H

#include <stdbool.h>

// The processor's trap flag, behind a red zone that may be in use.
static inline void single_step(bool on)
{
    if (on)
        __asm__ volatile("leaq -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
                         "leaq 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
    else
        __asm__ volatile("leaq -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;"
                         "leaq 128(%%rsp), %%rsp" ::
                             : "memory", "cc");
}

#endif
