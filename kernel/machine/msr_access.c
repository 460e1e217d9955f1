// SPDX-License-Identifier: MIT
#include "msr_access.h"

#include "traps.h"

bool msr_access_read(void *context, uint32_t msr, uint64_t *value)
{
    (void)context;
    return trap_try_read_msr(msr, value);
}

bool msr_access_write(void *context, uint32_t msr, uint64_t value)
{
    (void)context;
    return trap_try_write_msr(msr, value);
}
