// SPDX-License-Identifier: MIT
// The two 8259 interrupt controllers of a PC: kept silent, because the IO-APICs do their work.
#ifndef PIC_H
#define PIC_H

#include <stdbool.h>
#include <stdint.h>

#define PIC_VECTOR  0x20u // the first of
#define PIC_VECTORS 16u   // theirs

// Moves their interrupts away from the exceptions' vectors, to PIC_VECTOR.., and masks them all.
// Harmless where there are none. On one CPU, interrupts masked.
void pic_init(void);

// In the handler of one of their vectors. An 8259 that is asked when its line has gone again names
// line 7 (15 for the second) all the same, even while it is masked: true for such a spurious one.
// Whatever came is ended as it must be, and only if it must.
bool pic_take(unsigned vector);

#endif
