// SPDX-License-Identifier: MIT
// How a suite turns cases and variants into bodies: each body is written once, inlined over a
// variant's constant table, and gets a symbol SUITE_CASE__VARIANT that a debugger finds.
//
// A suite defines SUITE_CASES(X, v) with a line X(v, case, ...) for each case and an ALWAYS_INLINE
// function for each case; its BODY and BODY_ENTRY make the table of bodies from both.
#ifndef BODY_H
#define BODY_H

#include "bench.h"
#include "compiler.h"

// Hides where a pointer comes from and what it points to, so that stores through it are done and
// loads from it are real.
#define BODY_HIDE(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

// Makes the compiler believe that `value` may be anything.
#define BODY_HIDE_VALUE(value) __asm__ volatile("" : "+r"(value))

// Ends an operation: what it wrote is in memory and what the next one reads comes from there.
// Without it the compiler carries a mechanism's state from one turn of the loop to the next in
// registers, which no caller outside a loop would see.
#define BODY_SETTLE() __asm__ volatile("" : : : "memory")

#endif
