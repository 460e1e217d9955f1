// SPDX-License-Identifier: MIT
// Model-specific registers of one CPU as functions: the machine puts instructions behind them, a
// test puts a model.
#ifndef MSR_H
#define MSR_H

#include <stdbool.h>
#include <stdint.h>

// False: the CPU refused.
struct msr_access {
    void *context;
    bool (*read)(void *context, uint32_t msr, uint64_t *value);
    bool (*write)(void *context, uint32_t msr, uint64_t value);
};

#endif
