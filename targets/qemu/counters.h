// SPDX-License-Identifier: MIT
// What this CPU counts by itself: its performance counters (platform_counters
// and platform_core_clock are here) and system
// management interrupts. Found out at the first question, which must not come near a window.
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

// False: not counted here.
bool counters_smis(uint64_t *smis);

// Emits the fact `pmu`.
void counters_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context);

#endif
