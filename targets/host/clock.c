// SPDX-License-Identifier: MIT
// The frequency of the time stamp counter by sources other than measuring it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "host.h"

// CPUID 15h: ratio of the counter to the crystal, and the crystal's frequency (Intel SDM vol. 2).
static uint64_t from_crystal(void)
{
    if (cpu_cpuid(0, 0).eax < 0x15)
        return 0;
    const struct cpu_cpuid r = cpu_cpuid(0x15, 0);
    return r.eax != 0 && r.ebx != 0 ? (uint64_t)r.ecx * r.ebx / r.eax : 0;
}

// Leaf 40000010h: kHz, offered by several hypervisors (VMware, KVM, Xen).
static uint64_t from_hypervisor(void)
{
    if (!cpu_under_hypervisor() || cpu_cpuid(0x40000000, 0).eax < 0x40000010)
        return 0;
    return (uint64_t)cpu_cpuid(0x40000010, 0).eax * 1000;
}

// BogoMIPS on x86 with a TSC is twice the frequency the kernel calibrated, in MHz.
static uint64_t from_kernel(void)
{
    char line[256];
    uint64_t hz = 0;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && hz == 0 && fgets(line, sizeof(line), file) != NULL) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "bogomips", 8) == 0 && value != NULL)
            hz = (uint64_t)(strtod(value + 1, NULL) * 500000.0);
    }
    if (file != NULL)
        fclose(file);
    return hz;
}

uint64_t host_clock_hz(const char **source)
{
    const struct {
        const char *name;
        uint64_t hz;
    } sources[] = {{"CPUID 15h", from_crystal()},
                   {"CPUID 40000010h", from_hypervisor()},
                   {"calibration of the host's kernel (BogoMIPS)", from_kernel()}};
    for (unsigned i = 0; i < 3; i++) {
        *source = sources[i].name;
        if (sources[i].hz != 0)
            return sources[i].hz;
    }
    *source = "unknown";
    return 0;
}
