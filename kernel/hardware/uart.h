// SPDX-License-Identifier: MIT
// A 16550 serial port, polled. No interrupts, no lock: one user at a time; a panic may take over in
// the middle of a write and loses nothing but that write's rest. Its registers are functions
// (memory_access.h): ports, memory, a model in tests.
#ifndef UART_H
#define UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory_access.h"
#include "serial_place.h"

#define UART_HEARD_MOST 1024u // a power of two

struct uart {
    struct serial_place place;
    struct memory_access registers;
    uint16_t burst;             // bytes the transmitter takes at once when it is empty
    bool present;               // the loopback test passed
    bool stalled;               // the last write gave up: the next one does not wait again
    bool waits_cts;             // uart_wait_for_cts
    bool deaf;                  // CTS was off for too long: not waited for until it is seen again
    uint64_t dropped;           // bytes given up since init
    uint32_t deafened;          // times that CTS was off for too long
    uint64_t (*clock_ns)(void); // gives 0 while there is none
    uint32_t fastest;           // bits a second when its clock is divided by 1
    uint32_t speed;
    // What came while something was written, until it is read: a port keeps 16 bytes and no more.
    uint32_t heard_in, heard_out; // count up
    uint8_t heard[UART_HEARD_MOST];
};

// Sets the port up: 115200 baud, 8 data bits, no parity, 1 stop bit, FIFOs on, and tests it through
// its own loopback. `registers` are those at `place`, serial_place_bytes() of them. False if there
// is no port; writes are then counted as dropped.
bool uart_init(struct uart *uart, const struct serial_place *place,
               const struct memory_access *registers, uint64_t (*clock_ns)(void));

// A port's speed if nobody says otherwise, and what the clock of a PC's own ports gives at most.
#define UART_SPEED 115200u

// Goes to a speed once all that was written has left. False, and it stays where it is, if its clock
// cannot be divided to that.
bool uart_set_speed(struct uart *uart, uint32_t speed);

// Finds out what its clock gives, for what is no port of a PC may have another: by how long
// characters take in its own loopback. What is no clock that is known on such cards, an emulator's
// for instance, is taken for a PC's. Sets UART_SPEED by it. A present port, before it is used; some
// 6 ms.
void uart_measure(struct uart *uart);

// Returns when all bytes are out or the line took none for a second by the clock, or for
// UART_READS_MOST reads of the status register, whichever comes first. What is left then counts as
// dropped. Once given up, writes do not wait until the line takes bytes again.
void uart_write(struct uart *uart, const void *bytes, size_t length);
// Two to three seconds under instruction counting, where there is no other clock. Elsewhere a read
// takes up to 20 us (nested virtualisation) and the clock ends the wait.
#define UART_READS_MOST 8000000u

// From now on the other end may stop what is sent: it is sent while CTS is on. A CTS that stays off
// for a second, or for UART_READS_MOST reads of the modem's status (UART_BLIND_MOST, and up to 1023
// more, without a clock that goes), is taken for a wire that is not there or an end that is gone:
// what is to be sent then goes out all the same, and CTS is waited for again after it was seen on.
// Nothing is dropped by this; what the other end has no room for is its to ask for again. Frames,
// not text, if that matters.
void uart_wait_for_cts(struct uart *uart, bool wait);
// A wire that is not there costs two seconds then if a look at both registers takes 20 us.
#define UART_BLIND_MOST 100000u

// Waits until the last bit has left, with the same bounds.
void uart_flush(struct uart *uart);

// Copies what has arrived, at most `capacity` bytes; never waits. What comes while uart_write waits
// is kept, UART_HEARD_MOST bytes at the most.
size_t uart_read(struct uart *uart, void *bytes, size_t capacity);

#endif
