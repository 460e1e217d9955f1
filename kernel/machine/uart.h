// SPDX-License-Identifier: MIT
// A 16550 serial port, polled. No interrupts, no lock: one user at a time; a panic may take over in
// the middle of a write and loses nothing but that write's rest.
#ifndef UART_H
#define UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uart {
    uint16_t port;
    uint16_t burst;             // bytes the transmitter takes at once when it is empty
    bool present;               // the loopback test passed
    bool stalled;               // the last write gave up: the next one does not wait again
    uint64_t dropped;           // bytes given up since init
    uint64_t (*clock_ns)(void); // not RDTSC; gives 0 while there is none
};

// Sets the port up: 115200 baud, 8 data bits, no parity, 1 stop bit, FIFOs on, and tests it through
// its own loopback. False if there is no port; writes are then counted as dropped.
bool uart_init(struct uart *uart, uint16_t port, uint64_t (*clock_ns)(void));

// Returns when all bytes are out or the line took none for a second by the clock, or for
// UART_READS_MOST reads of the status register, whichever comes first. What is left then counts as
// dropped. Once given up, writes do not wait until the line takes bytes again.
void uart_write(struct uart *uart, const void *bytes, size_t length);
// Two to three seconds under instruction counting, where there is no other clock. Elsewhere a read
// takes up to 20 us (nested virtualisation) and the clock ends the wait.
#define UART_READS_MOST 8000000u

// Waits until the last bit has left, with the same bounds.
void uart_flush(struct uart *uart);

// Copies what has arrived, at most `capacity` bytes; never waits.
size_t uart_read(struct uart *uart, void *bytes, size_t capacity);

#endif
