// SPDX-License-Identifier: MIT
// Every way to weaken one atomic access of the source by one step. An access that the compiler put
// in several places is weakened in all of them at once, as an edit of the source would.
#ifndef WEAKENINGS_H
#define WEAKENINGS_H

#include "model.h"

#define WEAKENINGS_MOST 96u
#define WEAKENING_NAME  160u

struct named_weakening {
    char name[WEAKENING_NAME]; // "function: load acquire", "function: compare acq_rel as acquire";
                               // with " #2" where the function has another one of these
    struct model_place place;
    struct model_weakening weakening;
};

struct weakenings {
    struct named_weakening all[WEAKENINGS_MOST]; // in the order of file and line
    size_t count;
};

// Adds what the sites of an unweakened run leave room for.
void weakenings_add(struct weakenings *weakenings, const struct model_result *result);

// After all were added: orders them and gives them their names.
void weakenings_name(struct weakenings *weakenings);

#endif
