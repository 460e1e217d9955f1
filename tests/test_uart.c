// SPDX-License-Identifier: MIT
// kernel/hardware/uart over a model of a 16550: what is sent and when, what is kept, and that all
// waiting ends.
#include <string.h>

#include "compiler.h"
#include "run_checks.h"
#include "soak.h"
#include "uart.h"

// Registers: PC16550D data sheet, 8.
enum { DATA, INTERRUPTS, FIFO, LINE_CONTROL, MODEM_CONTROL, LINE_STATUS, MODEM_STATUS };
#define DIVISOR_ACCESS 0x80u
#define LOOPBACK       0x10u
#define READY          0x01u
#define EMPTY          0x60u // room, and all of it has left
#define CLEAR_TO_SEND  0x10u
#define FIFO_BYTES     16u
#define SENT_MOST      4096u
#define NEVER          UINT64_MAX
#define STEP_NS        50000u // that a look at a status register takes

// One port. Time passes when a status register is read.
static struct model {
    bool absent, stuck; // nothing decodes the address; the transmitter takes nothing
    uint8_t line_control, modem_control;
    uint8_t looped[FIFO_BYTES];
    unsigned looped_count;
    uint8_t sent[SENT_MOST];
    unsigned sent_count, sent_while_off;
    uint64_t looks;            // at status registers
    uint64_t off_from, off_to; // looks between which CTS is off
    uint64_t comes_at;         // look at which `coming` begins to come, a byte each
    const char *coming;
    unsigned divisor;
} model;
static struct uart uart;
static uint64_t step_ns, first_ns;

static uint64_t clock_ns(void)
{
    return first_ns + model.looks * step_ns;
}

static bool is_clear(void)
{
    return model.looks < model.off_from || model.looks >= model.off_to;
}

static bool has_come(void)
{
    return model.coming != NULL && *model.coming != '\0' && model.looks >= model.comes_at;
}

static uint8_t take(void)
{
    if (model.looped_count == 0)
        return has_come() ? (uint8_t)*model.coming++ : 0;
    const uint8_t byte = model.looped[0];
    memmove(model.looped, model.looped + 1, --model.looped_count);
    return byte;
}

static uint32_t read_register(void *context, uint64_t offset, unsigned bytes)
{
    ck_assert(context == &model && bytes == 1);
    if (model.absent)
        return 0xff;
    switch (offset) {
    case DATA:
        return take();
    case FIFO:
        return 0xc1;
    case LINE_STATUS:
        model.looks++;
        return (model.stuck ? 0 : EMPTY) | (model.looped_count > 0 || has_come() ? READY : 0);
    case MODEM_STATUS:
        model.looks++;
        return is_clear() ? CLEAR_TO_SEND : 0;
    default:
        return 0;
    }
}

static void send(uint8_t byte)
{
    if ((model.modem_control & LOOPBACK) != 0) {
        ck_assert_uint_lt(model.looped_count, FIFO_BYTES);
        model.looped[model.looped_count++] = byte;
        return;
    }
    ck_assert_uint_lt(model.sent_count, SENT_MOST);
    model.sent[model.sent_count++] = byte;
    model.sent_while_off += !is_clear();
}

static void write_register(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    ck_assert(context == &model && bytes == 1);
    const bool divides = (model.line_control & DIVISOR_ACCESS) != 0;
    if (offset == LINE_CONTROL)
        model.line_control = (uint8_t)value;
    else if (offset == MODEM_CONTROL)
        model.modem_control = (uint8_t)value;
    else if (offset == DATA && divides)
        model.divisor = value;
    else if (offset == DATA)
        send((uint8_t)value);
    else if (offset == FIFO)
        model.looped_count = 0;
}

static bool open_port(void)
{
    const struct serial_place place = {.stride = 1, .width = 1, .address = 0x3f8};
    const struct memory_access registers = {&model, serial_place_bytes(&place), read_register,
                                            write_register};
    step_ns = STEP_NS;
    first_ns = 5;
    return uart_init(&uart, &place, &registers, clock_ns);
}

static void begin(void)
{
    model = (struct model){.off_from = NEVER, .off_to = NEVER};
    ck_assert(open_port());
    uart_wait_for_cts(&uart, true);
}

static uint8_t text[1000];

static void write_text(size_t length)
{
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 7);
    uart_write(&uart, text, length);
}

static void check_sent(size_t count)
{
    ck_assert_uint_eq(model.sent_count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(model.sent[i], text[i % sizeof(text)]);
}

START_TEST(nothing_is_sent_while_cts_is_off_and_all_of_it_afterwards)
{
    begin();
    // Off at some moment, for some time: the burst that has begun goes out, no other.
    model.off_from = model.looks + 20;
    model.off_to = model.off_from + 5000;
    write_text(sizeof(text));
    check_sent(sizeof(text));
    ck_assert_uint_eq(model.sent_while_off, 0);
    ck_assert_uint_ge(model.looks, model.off_to);
    ck_assert_uint_eq(uart.dropped, 0);
    ck_assert_uint_eq(uart.deafened, 0);
}
END_TEST

START_TEST(cts_between_two_bursts_stops_the_second)
{
    begin();
    model.off_from = model.looks + 3; // the second burst's look at it
    model.off_to = model.off_from + 100;
    write_text(2 * FIFO_BYTES);
    check_sent(2 * FIFO_BYTES);
    ck_assert_uint_eq(model.sent_while_off, 0);
    ck_assert_uint_ge(model.looks, model.off_to);
}
END_TEST

START_TEST(who_was_not_asked_to_does_not_look_at_cts)
{
    begin();
    uart_wait_for_cts(&uart, false);
    model.off_from = 0;
    const uint64_t looks = model.looks;
    write_text(sizeof(text));
    check_sent(sizeof(text));
    ck_assert_uint_eq(model.looks - looks, (sizeof(text) + FIFO_BYTES - 1) / FIFO_BYTES);
}
END_TEST

START_TEST(cts_that_stays_off_costs_a_second_once_and_no_byte)
{
    begin();
    model.off_from = 0;
    uint64_t start = clock_ns();
    write_text(sizeof(text));
    check_sent(sizeof(text));
    ck_assert_uint_ge(clock_ns() - start, 1000000000);
    ck_assert_uint_lt(clock_ns() - start, 1200000000);
    ck_assert_uint_eq(uart.deafened, 1);
    start = clock_ns();
    write_text(sizeof(text));
    check_sent(2 * sizeof(text));
    ck_assert_uint_lt(clock_ns() - start, 100000000);
    ck_assert_uint_eq(uart.dropped, 0);
    ck_assert_uint_eq(uart.deafened, 1);
}
END_TEST

START_TEST(cts_that_comes_back_is_waited_for_again)
{
    begin();
    model.off_from = 0;
    write_text(1);
    model.off_to = model.looks; // on
    write_text(1);
    model.off_from = model.looks;
    model.off_to = model.looks + 1000;
    model.sent_while_off = 0;
    write_text(1);
    ck_assert_uint_eq(model.sent_count, 3);
    ck_assert_uint_eq(model.sent_while_off, 0);
    ck_assert_uint_eq(uart.deafened, 1);
}
END_TEST

// There is none, and one that stands still.
START_TEST(waiting_ends_without_a_clock)
{
    begin();
    step_ns = 0;
    first_ns = _i == 0 ? 0 : 5;
    model.off_from = 0;
    const uint64_t looks = model.looks;
    write_text(FIFO_BYTES);
    check_sent(FIFO_BYTES);
    // Both registers are looked at, and the clock once in 1024 turns.
    ck_assert_uint_le(model.looks - looks, 2 * (UART_BLIND_MOST + 1024));
    ck_assert_uint_eq(uart.deafened, 1);
}
END_TEST

START_TEST(what_comes_while_cts_is_off_is_kept)
{
    uint8_t heard[32] = {0};
    begin();
    model.off_from = 0;
    model.off_to = model.looks + 200;
    model.comes_at = model.looks + 100;
    model.coming = "go on, but slowly";
    write_text(FIFO_BYTES);
    check_sent(FIFO_BYTES);
    ck_assert_uint_eq(uart_read(&uart, heard, sizeof(heard)), 17);
    ck_assert_str_eq((const char *)heard, "go on, but slowly");
}
END_TEST

START_TEST(transmitter_that_takes_nothing_is_given_up_after_a_second)
{
    begin();
    model.stuck = true;
    uint64_t start = clock_ns();
    write_text(100);
    ck_assert_uint_eq(uart.dropped, 100);
    ck_assert_uint_lt(clock_ns() - start, 1200000000);
    start = clock_ns();
    write_text(100);
    ck_assert_uint_eq(uart.dropped, 200);
    ck_assert_uint_lt(clock_ns() - start, 100000000);
    model.stuck = false;
    write_text(100);
    check_sent(100);
    ck_assert_uint_eq(uart.dropped, 200);
}
END_TEST

START_TEST(port_that_is_none_drops_what_is_written)
{
    model = (struct model){.absent = true};
    ck_assert(!open_port());
    write_text(9);
    ck_assert_uint_eq(uart.dropped, 9);
    ck_assert_uint_eq(uart_read(&uart, text, sizeof(text)), 0);
    ck_assert(!uart_set_speed(&uart, 9600));
}
END_TEST

START_TEST(speeds_are_what_the_clock_can_be_divided_to)
{
    begin();
    ck_assert_uint_eq(model.divisor, 1);
    ck_assert(uart_set_speed(&uart, 9600));
    ck_assert_uint_eq(model.divisor, 12);
    ck_assert(!uart_set_speed(&uart, 230400));
    ck_assert_uint_eq(uart.speed, 9600);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uart");
    TCase *tests = tcase_create("uart");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, nothing_is_sent_while_cts_is_off_and_all_of_it_afterwards);
    tcase_add_test(tests, cts_between_two_bursts_stops_the_second);
    tcase_add_test(tests, who_was_not_asked_to_does_not_look_at_cts);
    tcase_add_test(tests, cts_that_stays_off_costs_a_second_once_and_no_byte);
    tcase_add_test(tests, cts_that_comes_back_is_waited_for_again);
    if (is_soak()) // eight million pauses, each of which may leave a guest
        tcase_add_loop_test(tests, waiting_ends_without_a_clock, 0, 2);
    tcase_add_test(tests, what_comes_while_cts_is_off_is_kept);
    tcase_add_test(tests, transmitter_that_takes_nothing_is_given_up_after_a_second);
    tcase_add_test(tests, port_that_is_none_drops_what_is_written);
    tcase_add_test(tests, speeds_are_what_the_clock_can_be_divided_to);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
