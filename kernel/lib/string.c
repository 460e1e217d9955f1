// SPDX-License-Identifier: MIT
// The build compiles this file with -fno-tree-loop-distribute-patterns: otherwise the compiler
// recognises the loops of memcpy and memset and replaces them by calls to themselves.
#include "string.h"

#include "assert.h"
#include "compiler.h"

// Eight bytes anywhere in memory, whatever type the caller stored there.
typedef uint64_t word_anywhere __attribute__((aligned(1), may_alias));

#define WORD_BYTES sizeof(uint64_t)

ALWAYS_INLINE uint64_t load_word(const unsigned char *from)
{
    return *(const word_anywhere *)from;
}

ALWAYS_INLINE void store_word(unsigned char *to, uint64_t word)
{
    *(word_anywhere *)to = word;
}

// Lowest address first: right for ranges that do not overlap, and for those that do when `to` is
// below `from`. The last word is read before anything is written, because it overlaps the word
// before it and may be overwritten by then.
ALWAYS_INLINE void copy_upwards(unsigned char *to, const unsigned char *from, size_t length)
{
    if (length < WORD_BYTES) {
        for (size_t i = 0; i < length; i++)
            to[i] = from[i];
        return;
    }
    const size_t last = length - WORD_BYTES;
    const uint64_t last_word = load_word(from + last);
    size_t i = 0;
    for (; i + 4 * WORD_BYTES <= length; i += 4 * WORD_BYTES) {
        const uint64_t a = load_word(from + i);
        const uint64_t b = load_word(from + i + WORD_BYTES);
        const uint64_t c = load_word(from + i + 2 * WORD_BYTES);
        const uint64_t d = load_word(from + i + 3 * WORD_BYTES);
        store_word(to + i, a);
        store_word(to + i + WORD_BYTES, b);
        store_word(to + i + 2 * WORD_BYTES, c);
        store_word(to + i + 3 * WORD_BYTES, d);
    }
    for (; i < last; i += WORD_BYTES)
        store_word(to + i, load_word(from + i));
    store_word(to + last, last_word);
}

// Highest address first, for ranges that overlap with `to` above `from`.
ALWAYS_INLINE void copy_downwards(unsigned char *to, const unsigned char *from, size_t length)
{
    if (length < WORD_BYTES) {
        while (length-- > 0)
            to[length] = from[length];
        return;
    }
    const uint64_t first_word = load_word(from);
    size_t i = length;
    for (; i > WORD_BYTES; i -= WORD_BYTES)
        store_word(to + i - WORD_BYTES, load_word(from + i - WORD_BYTES));
    store_word(to, first_word);
}

void *memcpy(void *restrict destination, const void *restrict source, size_t length)
{
    copy_upwards(destination, source, length);
    return destination;
}

void *memmove(void *destination, const void *source, size_t length)
{
    // One comparison for "below, or too far above to overlap": the distance wraps when it is below.
    if ((uintptr_t)destination - (uintptr_t)source >= length)
        copy_upwards(destination, source, length);
    else
        copy_downwards(destination, source, length);
    return destination;
}

void *memset(void *destination, int value, size_t length)
{
    unsigned char *to = destination;
    if (length < WORD_BYTES) {
        for (size_t i = 0; i < length; i++)
            to[i] = (unsigned char)value;
        return destination;
    }
    const uint64_t word = (unsigned char)value * (uint64_t)0x0101010101010101;
    const size_t last = length - WORD_BYTES;
    for (size_t i = 0; i < last; i += WORD_BYTES)
        store_word(to + i, word);
    store_word(to + last, word);
    return destination;
}

int memcmp(const void *a, const void *b, size_t length)
{
    const unsigned char *left = a;
    const unsigned char *right = b;
    size_t i = 0;
    while (i + WORD_BYTES <= length && load_word(left + i) == load_word(right + i))
        i += WORD_BYTES;
    for (; i < length; i++) {
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    }
    return 0;
}

size_t string_length(const char *text, size_t limit)
{
    size_t length = 0;
    while (length < limit && text[length] != '\0')
        length++;
    return length;
}

bool string_equal(const char *a, const char *b)
{
    while (*a == *b && *a != '\0') {
        a++;
        b++;
    }
    return *a == *b;
}

bool string_starts(const char *text, const char *prefix)
{
    while (*prefix != '\0' && *text == *prefix) {
        text++;
        prefix++;
    }
    return *prefix == '\0';
}

static bool contains_star(const char *pattern)
{
    while (*pattern != '\0' && *pattern != '*')
        pattern++;
    return *pattern == '*';
}

// Only the newest `*` is ever tried again: an earlier one that took more characters could not make
// a match that the newest one cannot. So the time is at most pattern * text, without recursion.
static bool matches_whole(const char *pattern, const char *text)
{
    const char *after_star = NULL; // the pattern behind the newest `*`
    const char *resume = NULL;     // where in the text that part is tried
    while (*text != '\0') {
        if (*pattern == '*') {
            after_star = ++pattern;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (after_star != NULL) {
            pattern = after_star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool string_matches(const char *pattern, const char *text)
{
    if (contains_star(pattern))
        return matches_whole(pattern, text);
    for (;; text++) {
        if (string_starts(text, pattern))
            return true;
        if (*text == '\0')
            return false;
    }
}

// Copies the word at `from` up to a space or the end, cut to capacity - 1 characters.
static void copy_value(char *value, const char *from, size_t capacity)
{
    size_t length = 0;
    while (length + 1 < capacity && from[length] != '\0' && from[length] != ' ') {
        value[length] = from[length];
        length++;
    }
    value[length] = '\0';
}

bool string_option(const char *words, const char *name, char *value, size_t capacity)
{
    assert(capacity > 0);
    const size_t name_length = string_length(name, SIZE_MAX);
    bool found = false;
    value[0] = '\0';
    while (*words != '\0') {
        if (string_starts(words, name) && words[name_length] == '=') {
            copy_value(value, words + name_length + 1, capacity);
            found = true;
        }
        while (*words != '\0' && *words != ' ')
            words++;
        while (*words == ' ')
            words++;
    }
    return found;
}

bool string_to_u64(const char *text, uint64_t highest, uint64_t *value)
{
    if (*text == '\0')
        return false;
    uint64_t sum = 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        const uint64_t digit = (uint64_t)(*text - '0');
        // sum * 10 + digit <= highest, put so that neither side can overflow.
        if (digit > highest || sum > (highest - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}
