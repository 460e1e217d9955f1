// SPDX-License-Identifier: MIT
// Model-specific registers of the running CPU, for logic that takes them as functions. Only what
// CPUID promises may be asked for: anything else ends the run as a general protection fault.
#ifndef MSR_ACCESS_H
#define MSR_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

// Always true; the context is not used.
bool msr_access_read(void *context, uint32_t msr, uint64_t *value);
bool msr_access_write(void *context, uint32_t msr, uint64_t value);

#endif
