// SPDX-License-Identifier: MIT
// Words: Intel 8259A data sheet, "Programming the 8259A".
#include "pic.h"

#include "assert.h"
#include "x86.h"

#define FIRST  0x20u // ports: commands here, data behind it
#define SECOND 0xa0u
#define DATA   1u

#define ICW1_INIT     0x11 // edges, cascaded, four words
#define ICW3_FIRST    0x04 // the second one hangs at line 2
#define ICW3_SECOND   0x02
#define ICW4_8086     0x01
#define OCW1_ALL      0xff
#define OCW2_END      0x60 // of line ..., specific
#define OCW3_SERVICED 0x0b // the next read gives the lines in service
#define CASCADE       2u
#define LINES         8u
#define LAST_LINE     7u

static void set_up(uint16_t port, uint8_t vector, uint8_t cascade)
{
    x86_out8(port, ICW1_INIT);
    x86_out8(port + DATA, vector);
    x86_out8(port + DATA, cascade);
    x86_out8(port + DATA, ICW4_8086);
    x86_out8(port + DATA, OCW1_ALL);
}

void pic_init(void)
{
    // Masked first: nothing may come in between with half of this done.
    x86_out8(FIRST + DATA, OCW1_ALL);
    x86_out8(SECOND + DATA, OCW1_ALL);
    set_up(FIRST, PIC_VECTOR, ICW3_FIRST);
    set_up(SECOND, PIC_VECTOR + LINES, ICW3_SECOND);
}

static bool in_service(uint16_t port, unsigned line)
{
    x86_out8(port, OCW3_SERVICED);
    return x86_in8(port) >> line & 1;
}

bool pic_take(unsigned vector)
{
    assert(vector >= PIC_VECTOR && vector < PIC_VECTOR + PIC_VECTORS);
    const unsigned number = vector - PIC_VECTOR, line = number % LINES;
    const uint16_t port = number < LINES ? FIRST : SECOND;
    const bool spurious = line == LAST_LINE && !in_service(port, line);
    if (!spurious)
        x86_out8(port, (uint8_t)(OCW2_END | line));
    // The first one saw a true interrupt at the cascade, also where the second one's was spurious.
    if (port == SECOND)
        x86_out8(FIRST, OCW2_END | CASCADE);
    return spurious;
}
