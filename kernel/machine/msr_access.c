// SPDX-License-Identifier: MIT
#include "msr_access.h"

#include "x86.h"

bool msr_access_read(void *context, uint32_t msr, uint64_t *value)
{
    (void)context;
    *value = x86_read_msr(msr);
    return true;
}

bool msr_access_write(void *context, uint32_t msr, uint64_t value)
{
    (void)context;
    x86_write_msr(msr, value);
    return true;
}
