// SPDX-License-Identifier: MIT
// The registers of an IO-APIC in memory (kernel/hardware/ioapic.h).
#ifndef IOAPIC_ACCESS_H
#define IOAPIC_ACCESS_H

#include "ioapic.h"

// `page`: where the registers are mapped, uncached: index and window would mean nothing otherwise.
struct ioapic_access ioapic_access(volatile void *page);

#endif
