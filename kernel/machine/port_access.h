// SPDX-License-Identifier: MIT
// A device's registers in I/O space, as memory_access.h wants them.
#ifndef PORT_ACCESS_H
#define PORT_ACCESS_H

#include "memory_access.h"

// The registers at ports [first, first + length), accessed a byte at a time.
struct memory_access port_access(uint16_t first, uint16_t length);

#endif
