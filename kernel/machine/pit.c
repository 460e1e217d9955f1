// SPDX-License-Identifier: MIT
// Intel 8254 data sheet, "Programming the 8254"; the gate is the PC's own.
#include "pit.h"

#include "x86.h"

#define CHANNEL_2 0x42u
#define COMMAND   0x43u
#define SPEAKER   0x61u

#define COMMAND_MODE_0  0xb0 // channel 2, low byte then high, mode 0, binary
#define COMMAND_LATCH_2 0x80
#define SPEAKER_GATE    0x01
#define SPEAKER_DATA    0x02

#define HZ   1193182u
#define BITS 16u

// It counts down; in mode 0 it goes on from FFFFh below zero.
static uint64_t read(void *context)
{
    (void)context;
    x86_out8(COMMAND, COMMAND_LATCH_2);
    const unsigned low = x86_in8(CHANNEL_2);
    return 0xffff - (low | (unsigned)x86_in8(CHANNEL_2) << 8);
}

struct ruler pit_ruler(void)
{
    x86_out8(SPEAKER, (uint8_t)((x86_in8(SPEAKER) & ~SPEAKER_DATA) | SPEAKER_GATE));
    x86_out8(COMMAND, COMMAND_MODE_0);
    x86_out8(CHANNEL_2, 0xff);
    x86_out8(CHANNEL_2, 0xff);
    return (struct ruler){
        .counter = {.name = "PIT", .read = read, .bits = BITS},
        .hz_numerator = HZ,
        .hz_denominator = 1,
    };
}
