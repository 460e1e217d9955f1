// SPDX-License-Identifier: MIT
// Programs over rings for the checker, and what it must find when their source is weakened.
//
// Rules for callers: ring_programs_use() says which ring the programs are about, then model_run().
#ifndef RING_PROGRAMS_H
#define RING_PROGRAMS_H

#include "model.h"
#include "ring.h"

// A weakening that nothing notices, and why that is right.
struct ring_harmless {
    const char *weakening; // as weakenings.h names them
    const char *why;
};

#define RING_PROGRAMS_MOST 16
#define RING_HARMLESS_MOST 16

struct ring_model {
    const struct ring_ops *ops;
    enum status (*init_at)(void *ring, void *memory, size_t slots, uint64_t position);
    const struct model_program *programs[RING_PROGRAMS_MOST]; // NULL behind the last
    const struct model_program *soak[RING_PROGRAMS_MOST];     // larger ones
    unsigned turns;      // struct model_limits; 0: everything is explored
    unsigned weakenings; // how many the source has room for: none disappears unnoticed
    struct ring_harmless harmless[RING_HARMLESS_MOST]; // NULL behind the last
};

extern const struct ring_model ring_models[];
extern const size_t ring_model_count;

void ring_programs_use(const struct ring_model *model);

#endif
