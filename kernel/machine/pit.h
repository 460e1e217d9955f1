// SPDX-License-Identifier: MIT
// Channel 2 of the 8254 interval timer, which no interrupt hangs on: 1.193182 MHz, 16 bits.
#ifndef PIT_H
#define PIT_H

#include "ruler.h"

// Starts it, with the speaker off. It turns around every 55 ms.
struct ruler pit_ruler(void);

#endif
