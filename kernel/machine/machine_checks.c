// SPDX-License-Identifier: MIT
#include "machine_checks.h"

#include "cpu.h"
#include "format.h"
#include "machine_check.h"
#include "x86.h"

static uint64_t read_msr(void *context, uint32_t msr)
{
    (void)context;
    return x86_read_msr(msr);
}

static void write_msr(void *context, uint32_t msr, uint64_t value)
{
    (void)context;
    x86_write_msr(msr, value);
}

static const struct msr_access access = {NULL, read_msr, write_msr};

// MCE and MCA.
static bool has_banks(void)
{
    const uint32_t features = cpu_cpuid(1, 0).edx;
    return (features >> 7 & 1) != 0 && (features >> 14 & 1) != 0;
}

void machine_checks_enable(void)
{
    if (has_banks())
        machine_check_enable(&access);
}

size_t machine_checks_text(char *text, size_t capacity)
{
    struct machine_check check;
    if (!has_banks())
        return format(text, capacity, "machine check: this CPU does not say which");
    machine_check_read(&access, &check);
    return machine_check_text(&check, text, capacity);
}
