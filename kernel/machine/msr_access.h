// SPDX-License-Identifier: MIT
// Model-specific registers of the running CPU, for logic that takes them as functions.
#ifndef MSR_ACCESS_H
#define MSR_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

// The context is not used. A read of a register that is not there is false, with *value 0; a write
// to one, or of a value that it does not take, is false and changes nothing. What takes it may
// still be wrong for the machine: only what CPUID promises may be written.
bool msr_access_read(void *context, uint32_t msr, uint64_t *value);
bool msr_access_write(void *context, uint32_t msr, uint64_t value);

#endif
