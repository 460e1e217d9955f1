// SPDX-License-Identifier: MIT
// The ACPI power management timer (ACPI 6.5, 4.8.3.3): 3.579545 MHz, 24 or 32 bits.
#ifndef PM_TIMER_H
#define PM_TIMER_H

#include "ruler.h"

// `port`: of FADT, X_PM_TMR_BLK or PM_TMR_BLK, in I/O space. `wide`: FADT's flag TMR_VAL_EXT.
struct ruler pm_timer_ruler(uint16_t port, bool wide);

#endif
