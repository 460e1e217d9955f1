// SPDX-License-Identifier: MIT
// Small programs with known outcomes, which test the checker itself. The names are the customary
// ones (Alglave, Maranget, Tautschnig 2014).
#ifndef LITMUS_H
#define LITMUS_H

#include "model.h"

// Outcomes are what `finish` computes: registers and final values, four bits each, in the order in
// which the program's comment names them, the first on top.
struct litmus {
    struct model_program program;
    const char *expected; // the set of outcomes, hexadecimal; or the beginning of the failure
    const char *what;     // of the outcomes: what is allowed and forbidden
};

extern const struct litmus litmus_tests[];
extern const size_t litmus_count;

#endif
