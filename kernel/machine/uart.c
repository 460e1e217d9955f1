// SPDX-License-Identifier: MIT
// Registers: National Semiconductor PC16550D data sheet, 8.
#include "uart.h"

#include "cpu.h"
#include "x86.h"

#define DATA           0 // transmit and receive; low byte of the divisor while DIVISOR_ACCESS
#define INTERRUPTS     1 // enable bits; high byte of the divisor while DIVISOR_ACCESS
#define FIFO           2 // written: control; read: identification
#define LINE_CONTROL   3
#define MODEM_CONTROL  4
#define LINE_STATUS    5
#define DIVISOR_ACCESS 0x80
#define EIGHT_BITS     0x03 // no parity, one stop bit
#define FIFO_ENABLE    0x07 // on, both cleared
#define FIFO_WORKS     0xc0
#define FIFO_BYTES     16
#define DTR_RTS        0x03
#define LOOPBACK       0x10
#define DATA_READY     0x01
#define HOLDING_EMPTY  0x20 // THRE
#define ALL_EMPTY      0x40 // TEMT
#define DIVISOR_115200 1
#define SECOND_NS      1000000000u
#define LOOPBACK_READS 100000u // a character takes 87 us at 115200 baud

static uint8_t get(const struct uart *uart, uint16_t offset)
{
    return x86_in8((uint16_t)(uart->port + offset));
}

static void put(const struct uart *uart, uint16_t offset, uint8_t value)
{
    x86_out8((uint16_t)(uart->port + offset), value);
}

static bool loopback_works(const struct uart *uart)
{
    // Two patterns, so that a bus that remembers the last byte written does not pass for a port.
    static const uint8_t patterns[] = {0xae, 0x51};
    put(uart, MODEM_CONTROL, LOOPBACK | DTR_RTS);
    unsigned passed = 0;
    for (unsigned i = 0; i < sizeof(patterns); i++) {
        put(uart, DATA, patterns[i]);
        (void)get(uart, LINE_CONTROL); // another value on the bus
        for (unsigned reads = 0; reads < LOOPBACK_READS; reads++) {
            if ((get(uart, LINE_STATUS) & DATA_READY) != 0) {
                passed += get(uart, DATA) == patterns[i];
                break;
            }
        }
    }
    put(uart, MODEM_CONTROL, DTR_RTS);
    return passed == sizeof(patterns);
}

bool uart_init(struct uart *uart, uint16_t port, uint64_t (*clock_ns)(void))
{
    *uart = (struct uart){.port = port, .burst = 1, .clock_ns = clock_ns};
    put(uart, INTERRUPTS, 0);
    put(uart, LINE_CONTROL, DIVISOR_ACCESS | EIGHT_BITS);
    put(uart, DATA, DIVISOR_115200);
    put(uart, INTERRUPTS, 0);
    put(uart, LINE_CONTROL, EIGHT_BITS);
    put(uart, FIFO, FIFO_ENABLE);
    if (get(uart, LINE_STATUS) == 0xff)
        return false; // nothing decodes the address
    if ((get(uart, FIFO) & FIFO_WORKS) == FIFO_WORKS)
        uart->burst = FIFO_BYTES;
    uart->present = loopback_works(uart);
    return uart->present;
}

// Waits for one of `bits` of the line status. False when the bounds are reached.
static bool wait_for(struct uart *uart, uint8_t bits)
{
    uint64_t start = 0;
    for (uint32_t reads = 0; reads < UART_READS_MOST; reads++) {
        if ((get(uart, LINE_STATUS) & bits) != 0) {
            uart->stalled = false;
            return true;
        }
        if (uart->stalled)
            return false;
        // The clock is read now and then: it may be slower than the port.
        if (reads % 1024 == 1023) {
            const uint64_t now = uart->clock_ns();
            if (start == 0)
                start = now;
            else if (now - start > SECOND_NS)
                break;
        }
        cpu_pause();
    }
    uart->stalled = true;
    return false;
}

void uart_write(struct uart *uart, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        // The transmitter is asked before every burst: written blindly, most bytes would be lost.
        if (!uart->present || !wait_for(uart, HOLDING_EMPTY)) {
            uart->dropped += length;
            return;
        }
        for (unsigned i = 0; i < uart->burst && length > 0; i++, length--)
            put(uart, DATA, *at++);
    }
}

void uart_flush(struct uart *uart)
{
    if (uart->present)
        wait_for(uart, ALL_EMPTY);
}

size_t uart_read(struct uart *uart, void *bytes, size_t capacity)
{
    uint8_t *at = bytes;
    size_t count = 0;
    while (uart->present && count < capacity && (get(uart, LINE_STATUS) & DATA_READY) != 0)
        at[count++] = get(uart, DATA);
    return count;
}
