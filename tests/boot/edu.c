// SPDX-License-Identifier: MIT
#include "edu.h"

#define IDENTIFICATION 0x00u // RRrr00edh: version
#define LIVENESS       0x04u // reads the complement of what was written
#define STATUS         0x24u
#define RAISE          0x60u
#define ACKNOWLEDGE    0x64u

static uint32_t read(const struct edu *edu, unsigned offset)
{
    return edu->registers.read(edu->registers.context, offset, 4);
}

static void write(struct edu *edu, unsigned offset, uint32_t value)
{
    edu->registers.write(edu->registers.context, offset, 4, value);
}

bool edu_open(struct edu *edu, struct memory_access registers)
{
    const uint32_t token = 0x5a17c0de;
    edu->registers = registers;
    if ((read(edu, IDENTIFICATION) & 0xffff) != 0x00ed)
        return false;
    write(edu, LIVENESS, token);
    return read(edu, LIVENESS) == ~token;
}

void edu_raise(struct edu *edu, uint32_t bits)
{
    write(edu, RAISE, bits);
}

uint32_t edu_status(const struct edu *edu)
{
    return read(edu, STATUS);
}

void edu_acknowledge(struct edu *edu, uint32_t bits)
{
    write(edu, ACKNOWLEDGE, bits);
}
