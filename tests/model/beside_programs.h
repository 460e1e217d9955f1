// SPDX-License-Identifier: MIT
// Programs over what stands beside the rings, for the checker: the pool of pages, messages that are
// pages, seats, and the holes of dead producers.
#ifndef BESIDE_PROGRAMS_H
#define BESIDE_PROGRAMS_H

#include "model.h"

#define BESIDE_PROGRAMS_MOST  12
#define BESIDE_FUNCTIONS_MOST 8
#define BESIDE_HARMLESS_MOST  4

struct model_set {
    const char *name;
    const struct model_program *programs[BESIDE_PROGRAMS_MOST]; // NULL behind the last
    // Whose atomic accesses are weakened; those of no other are. NULL at first: everybody's.
    const char *functions[BESIDE_FUNCTIONS_MOST];
    unsigned weakenings; // how many that are: none disappears unnoticed
    struct {
        const char *weakening; // as weakenings.h names them
        const char *why;       // nothing notices it, and why that is right
    } harmless[BESIDE_HARMLESS_MOST];
};

extern const struct model_set pool_set, pages_set, seats_set, holes_set;

#endif
