// SPDX-License-Identifier: MIT
// Memory and string functions. The four mem* functions are those the compiler itself may call.
#ifndef STRING_H
#define STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict destination, const void *restrict source, size_t length);
void *memmove(void *destination, const void *source, size_t length);
void *memset(void *destination, int value, size_t length);
int memcmp(const void *a, const void *b, size_t length);

// Length of `text`, at most `limit`.
size_t string_length(const char *text, size_t limit);
bool string_equal(const char *a, const char *b);

// True if `text` begins with `prefix`.
bool string_starts(const char *text, const char *prefix);

// True if `pattern` occurs in `text`; in the pattern, `*` stands for any run of characters.
// A pattern without `*` matches anywhere in the text; with one, it must match the whole text.
bool string_matches(const char *pattern, const char *text);

// Finds `name=` among space-separated words and copies its value, cut to capacity - 1 characters
// and terminated. False if it is absent (then `value` is the empty string). The last one wins.
bool string_option(const char *words, const char *name, char *value, size_t capacity);

// Reads an unsigned decimal number that fills the whole text; false if it is anything else or
// exceeds `highest`.
bool string_to_u64(const char *text, uint64_t highest, uint64_t *value);

#endif
