// SPDX-License-Identifier: MIT
// How long CPU 0 waits for the other CPUs of a row, over all of the row's windows and rounds: on a
// machine whose CPUs others use as well, each wait may end well within its own bound and all of
// them together take minutes.
//
// Rules for callers
//   threads   one object for each row, CPU 0's
//   use       crew_patient() for each turn of a wait, counted from 0; false: give up. The first
//             1024 turns are nobody's, so that a row on a machine of its own uses up nothing
#ifndef CREW_PATIENCE_H
#define CREW_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "cpu.h"

// Ticks of RDTSC, whatever runs here meanwhile: 10 s at 1.7 GHz, 5 s at 3.4 GHz.
#define CREW_PATIENCE  (UINT64_C(1) << 34)
#define CREW_LONG_WAIT 1024u // turns, some ten microseconds

struct crew_patience {
    uint64_t spent; // ticks in long waits so far
    uint64_t since; // of which the last part began here
};

ALWAYS_INLINE bool crew_patient(struct crew_patience *patience, uint32_t turn)
{
    cpu_pause();
    if (LIKELY((turn + 1) % CREW_LONG_WAIT != 0))
        return true;
    const uint64_t now = __builtin_ia32_rdtsc();
    if (turn + 1 == CREW_LONG_WAIT)
        patience->since = now;
    patience->spent += now - patience->since;
    patience->since = now;
    return patience->spent < CREW_PATIENCE;
}

#endif
