// SPDX-License-Identifier: MIT
#include "format.h"

#include <stdbool.h>
#include <stdint.h>

#include "assert.h"
#include "compiler.h"
#include "string.h"

#define DIGITS_MOST 20 // of a 64-bit number in decimal

// The text so far. Characters past the capacity are dropped.
struct sink {
    char *buffer;
    size_t capacity;
    size_t length;
};

// One conversion between `%` and its letter.
struct conversion {
    bool left;
    bool zero;
    bool wide; // `l` or `z`: the argument has 64 bits
    size_t width;
    size_t precision; // of a string; SIZE_MAX if none is given
};

// A va_list is an array on some machines, which a function cannot take by address; in a struct it
// can.
struct arguments {
    va_list list;
};

static void put(struct sink *sink, char c)
{
    if (sink->length + 1 < sink->capacity)
        sink->buffer[sink->length++] = c;
}

static void put_run(struct sink *sink, char c, size_t count)
{
    const size_t room = sink->capacity - 1 - sink->length;
    for (count = min_u64(count, room); count > 0; count--)
        put(sink, c);
}

// Reads decimal digits; a number that large is cut with the text, so where it saturates is all one.
static size_t read_number(const char **how)
{
    size_t number = 0;
    for (; **how >= '0' && **how <= '9'; (*how)++) {
        if (number < SIZE_MAX / 16)
            number = number * 10 + (size_t)(**how - '0');
    }
    return number;
}

// From the argument of `.*`; a negative one counts as none.
static size_t precision_from(int argument)
{
    return argument < 0 ? SIZE_MAX : (size_t)argument;
}

static const char *read_conversion(const char *how, struct conversion *conversion,
                                   struct arguments *arguments)
{
    *conversion = (struct conversion){.precision = SIZE_MAX};
    for (; *how == '-' || *how == '0'; how++) {
        if (*how == '-')
            conversion->left = true;
        else
            conversion->zero = true;
    }
    conversion->width = read_number(&how);
    if (how[0] == '.' && how[1] == '*') {
        how += 2;
        conversion->precision = precision_from(va_arg(arguments->list, int));
    } else if (*how == '.') {
        how++;
        conversion->precision = read_number(&how);
    }
    if (*how == 'l' || *how == 'z') {
        conversion->wide = true;
        how++;
    }
    return how;
}

static void put_text(struct sink *sink, const struct conversion *conversion, const char *text,
                     size_t length)
{
    const size_t padding = conversion->width > length ? conversion->width - length : 0;
    if (!conversion->left)
        put_run(sink, ' ', padding);
    for (size_t i = 0; i < length; i++)
        put(sink, text[i]);
    if (conversion->left)
        put_run(sink, ' ', padding);
}

static void put_integer(struct sink *sink, const struct conversion *conversion, uint64_t magnitude,
                        bool negative, unsigned base)
{
    assert(conversion->precision == SIZE_MAX); // only strings have one here
    char digits[DIGITS_MOST];
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[magnitude % base];
        magnitude /= base;
    } while (magnitude != 0);

    const size_t length = count + negative;
    const size_t padding = conversion->width > length ? conversion->width - length : 0;
    const bool zeros = conversion->zero && !conversion->left;
    if (!conversion->left && !zeros)
        put_run(sink, ' ', padding);
    if (negative)
        put(sink, '-');
    if (zeros)
        put_run(sink, '0', padding);
    while (count > 0)
        put(sink, digits[--count]);
    if (conversion->left)
        put_run(sink, ' ', padding);
}

static void convert(struct sink *sink, char letter, const struct conversion *conversion,
                    struct arguments *arguments)
{
    if (letter == 's') {
        const char *text = va_arg(arguments->list, const char *);
        if (text == NULL) // a panic report that prints a broken struct must not fault itself
            text = "(null)";
        put_text(sink, conversion, text, string_length(text, conversion->precision));
    } else if (letter == 'c') {
        const char c = (char)va_arg(arguments->list, int);
        put_text(sink, conversion, &c, 1);
    } else if (letter == 'd') {
        const int64_t value =
            conversion->wide ? va_arg(arguments->list, int64_t) : va_arg(arguments->list, int);
        const uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
        put_integer(sink, conversion, magnitude, value < 0, 10);
    } else if (letter == 'u' || letter == 'x') {
        const uint64_t value = conversion->wide ? va_arg(arguments->list, uint64_t)
                                                : va_arg(arguments->list, unsigned);
        put_integer(sink, conversion, value, false, letter == 'u' ? 10 : 16);
    } else {
        assert(letter == '%'); // any other letter is not understood
        put(sink, '%');
    }
}

size_t format_list(char *buffer, size_t capacity, const char *how, va_list list)
{
    assert(capacity > 0);
    struct sink sink = {.buffer = buffer, .capacity = capacity};
    struct arguments arguments;
    va_copy(arguments.list, list);
    while (*how != '\0') {
        if (*how != '%') {
            put(&sink, *how++);
            continue;
        }
        struct conversion conversion;
        how = read_conversion(how + 1, &conversion, &arguments);
        convert(&sink, *how, &conversion, &arguments);
        how++; // never past the terminator: convert() refuses it
    }
    va_end(arguments.list);
    buffer[sink.length] = '\0';
    return sink.length;
}

size_t format(char *buffer, size_t capacity, const char *how, ...)
{
    va_list arguments;
    va_start(arguments, how);
    const size_t length = format_list(buffer, capacity, how, arguments);
    va_end(arguments);
    return length;
}
