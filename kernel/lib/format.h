// SPDX-License-Identifier: MIT
// Text formatting into a caller's buffer.
#ifndef FORMAT_H
#define FORMAT_H

#include <stdarg.h>
#include <stddef.h>

// Formats into `buffer` (capacity > 0), always terminated, cut when it does not fit. Returns the
// number of characters written, the terminator not counted.
// Understood: %s %.Ns %.*s %c %% and %d %u %x with optional `l` (64 bits) or `z`, width, `-`, `0`.
__attribute__((format(printf, 3, 4))) size_t format(char *buffer, size_t capacity, const char *how,
                                                    ...);
size_t format_list(char *buffer, size_t capacity, const char *how, va_list arguments);

#endif
