// SPDX-License-Identifier: MIT
// Registers: National Semiconductor PC16550D data sheet, 8.
#include "uart.h"

#include "compiler.h"
#include "cpu.h"
#include "meet.h"

#define DATA           0 // transmit and receive; low byte of the divisor while DIVISOR_ACCESS
#define INTERRUPTS     1 // enable bits; high byte of the divisor while DIVISOR_ACCESS
#define FIFO           2 // written: control; read: identification
#define LINE_CONTROL   3
#define MODEM_CONTROL  4
#define LINE_STATUS    5
#define MODEM_STATUS   6
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
#define CLEAR_TO_SEND  0x10
#define SECOND_NS      1000000000u
#define LOOPBACK_READS 100000u // a character takes 87 us at 115200 baud

static uint8_t get(const struct uart *uart, uint16_t offset)
{
    const uint64_t at = (uint64_t)offset * uart->place.stride;
    return (uint8_t)uart->registers.read(uart->registers.context, at, uart->place.width);
}

static void put(const struct uart *uart, uint16_t offset, uint8_t value)
{
    const uint64_t at = (uint64_t)offset * uart->place.stride;
    uart->registers.write(uart->registers.context, at, uart->place.width, value);
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

static void put_divisor(const struct uart *uart, uint32_t divisor)
{
    put(uart, LINE_CONTROL, DIVISOR_ACCESS | EIGHT_BITS);
    put(uart, DATA, (uint8_t)divisor);
    put(uart, INTERRUPTS, (uint8_t)(divisor >> 8));
    put(uart, LINE_CONTROL, EIGHT_BITS);
}

bool uart_init(struct uart *uart, const struct serial_place *place,
               const struct memory_access *registers, uint64_t (*clock_ns)(void))
{
    *uart = (struct uart){.place = *place,
                          .registers = *registers,
                          .burst = 1,
                          .clock_ns = clock_ns,
                          .fastest = UART_SPEED,
                          .speed = UART_SPEED};
    put(uart, INTERRUPTS, 0);
    put_divisor(uart, 1);
    put(uart, FIFO, FIFO_ENABLE);
    if (get(uart, LINE_STATUS) == 0xff)
        return false; // nothing decodes the address
    if ((get(uart, FIFO) & FIFO_WORKS) == FIFO_WORKS)
        uart->burst = FIFO_BYTES;
    uart->present = loopback_works(uart);
    return uart->present;
}

// What there is no room for is lost, as it would be in the port.
static void keep_heard(struct uart *uart)
{
    const uint8_t byte = get(uart, DATA);
    if (uart->heard_in - uart->heard_out < UART_HEARD_MOST)
        uart->heard[uart->heard_in++ % UART_HEARD_MOST] = byte;
}

// Of something that is waited for, at most a second by the clock.
struct patience {
    uint32_t blind_most; // turns while the clock stands still, or there is none
    uint32_t turns;
    uint64_t start;
};

// True once it is over. The clock is read now and then: it may be slower than the port.
static bool is_over(const struct uart *uart, struct patience *patience)
{
    if (++patience->turns % 1024 == 0) {
        const uint64_t now = uart->clock_ns();
        if (patience->start == 0)
            patience->start = now;
        if (now == patience->start)
            return patience->turns >= patience->blind_most;
        if (now - patience->start > SECOND_NS)
            return true;
    }
    return patience->turns >= UART_READS_MOST;
}

// Waits for one of `bits` of the line status. False when the bounds are reached.
static bool wait_for(struct uart *uart, uint8_t bits)
{
    struct patience patience = {.blind_most = UART_READS_MOST};
    do {
        const uint8_t status = get(uart, LINE_STATUS);
        if ((status & DATA_READY) != 0 && status != 0xff)
            keep_heard(uart);
        if ((status & bits) != 0) {
            uart->stalled = false;
            return true;
        }
        if (uart->stalled)
            return false;
        cpu_pause();
    } while (!is_over(uart, &patience));
    uart->stalled = true;
    return false;
}

// Meanwhile what comes is kept: the other end may say something, and hold us back for that.
static void wait_for_clear(struct uart *uart)
{
    struct patience patience = {.blind_most = UART_BLIND_MOST};
    while ((get(uart, MODEM_STATUS) & CLEAR_TO_SEND) == 0) {
        const uint8_t status = get(uart, LINE_STATUS);
        if ((status & DATA_READY) != 0 && status != 0xff)
            keep_heard(uart);
        if (uart->deaf)
            return;
        if (is_over(uart, &patience)) {
            uart->deaf = true;
            uart->deafened++;
            return;
        }
        cpu_pause();
    }
    uart->deaf = false;
}

void uart_wait_for_cts(struct uart *uart, bool wait)
{
    uart->waits_cts = wait;
    uart->deaf = false;
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
        if (uart->waits_cts)
            wait_for_clear(uart);
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
    while (count < capacity && uart->heard_out != uart->heard_in)
        at[count++] = uart->heard[uart->heard_out++ % UART_HEARD_MOST];
    while (uart->present && count < capacity && (get(uart, LINE_STATUS) & DATA_READY) != 0)
        at[count++] = get(uart, DATA);
    return count;
}

// ---- speed -------------------------------------------------------------------------------------

bool uart_set_speed(struct uart *uart, uint32_t speed)
{
    const uint32_t divisor = meet_divisor(uart->fastest, speed);
    if (!uart->present || divisor == 0)
        return false;
    uart_flush(uart);
    put_divisor(uart, divisor);
    uart->speed = speed;
    return true;
}

#define MEASURED_BYTES 64u // 5.6 ms at 115200 baud, 160 us of the fastest
#define BITS_A_BYTE    10u // start and stop bit with it
#define NEAR           90u // one part of so many off is the same clock

// 1.8432 MHz / 16 and its multiples; Oxford Semiconductor's 62.5 MHz / 16 and 4 MHz; FTDI's and
// others' 24 and 48 MHz / 16.
static const uint32_t clocks_known[] = {115200,  230400,  460800,  921600,  1500000,
                                        1843200, 3000000, 3686400, 3906250, 4000000};

// Nanoseconds from the first to the last byte in the loopback; 0 if they do not come.
static uint64_t time_bytes(struct uart *uart)
{
    uint64_t first = 0;
    unsigned sent = 0, back = 0;
    for (uint32_t reads = 0; reads < LOOPBACK_READS && back < MEASURED_BYTES; reads++) {
        const uint8_t status = get(uart, LINE_STATUS);
        if ((status & DATA_READY) != 0) {
            (void)get(uart, DATA);
            first = back++ == 0 ? uart->clock_ns() : first;
        }
        // Never empty, never more than fits.
        if (sent < MEASURED_BYTES && sent - back < 2)
            put(uart, DATA, (uint8_t)sent++);
    }
    return back == MEASURED_BYTES && first != 0 ? uart->clock_ns() - first : 0;
}

void uart_measure(struct uart *uart)
{
    put(uart, MODEM_CONTROL, LOOPBACK | DTR_RTS);
    put(uart, FIFO, FIFO_ENABLE);
    const uint64_t ns = time_bytes(uart);
    put(uart, FIFO, FIFO_ENABLE);
    put(uart, MODEM_CONTROL, DTR_RTS);
    const uint64_t bits = (uint64_t)(MEASURED_BYTES - 1) * BITS_A_BYTE * 1000000000u;
    for (unsigned i = 0; ns > 0 && i < ARRAY_COUNT(clocks_known); i++) {
        const uint64_t made = bits / ns, known = clocks_known[i];
        if ((made > known ? made - known : known - made) * NEAR <= known)
            uart->fastest = clocks_known[i];
    }
    uart_set_speed(uart, UART_SPEED);
}
