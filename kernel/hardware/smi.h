// SPDX-License-Identifier: MIT
// System management interrupts: the firmware takes the CPU away and only a counter tells.
#ifndef SMI_H
#define SMI_H

#include <stdbool.h>
#include <stdint.h>

#define SMI_COUNT_MSR 0x34u // MSR_SMI_COUNT, bits 31:0 (Intel SDM vol. 4, tables 2-6 and 2-15)

// Is there such a register? By vendor ("GenuineIntel"), signature (CPUID 1, EAX) and whether a
// hypervisor runs below. Under one it is never read: most refuse it, and those that do not show
// what a virtual firmware did.
bool smi_is_counted(const char *vendor, uint32_t signature, bool hypervisor);

#endif
