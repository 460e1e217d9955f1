// SPDX-License-Identifier: MIT
// The privileged side of the local APIC (kernel/hardware/apic.h).
#ifndef APIC_ACCESS_H
#define APIC_ACCESS_H

#include "apic.h"

// `page`: where the registers' page is mapped, the same on all CPUs, uncached (PCD and PWT set, or
// an MTRR that says so): a cached page would swallow writes and repeat old values. Unused in
// x2APIC mode.
struct apic_access apic_access(volatile void *page);

#endif
