// SPDX-License-Identifier: MIT
// kernel/lib: string, format, sort. The build gives our mem* functions other names here (lib_*), so
// that they do not replace the ones of the C library and of the sanitizers.
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "format.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "sort.h"
#include "string.h"

#define AREA 256

static void fill_random(struct random *random, unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)random_u64(random);
}

// Check writes a mark for every assertion, so there is none for a byte that is right.
static void expect_bytes(const unsigned char *actual, const unsigned char *expected, size_t count,
                         const char *what)
{
    for (size_t i = 0; i < count; i++) {
        if (actual[i] != expected[i])
            ck_abort_msg("%s: byte %zu is %02x, not %02x", what, i, actual[i], expected[i]);
    }
}

// Copies within one area from `f` to `t` and looks at every byte of it.
static void expect_copy(struct random *random, bool overlapping, size_t t, size_t f, size_t length)
{
    unsigned char area[AREA], expected[AREA];
    fill_random(random, area, AREA);
    for (size_t i = 0; i < AREA; i++)
        expected[i] = area[i >= t && i < t + length ? f + i - t : i];
    void *(*const copy)(void *, const void *, size_t) = overlapping ? memmove : memcpy;
    ck_assert_ptr_eq(copy(area + t, area + f, length), area + t);
    expect_bytes(area, expected, AREA, overlapping ? "memmove" : "memcpy");
}

START_TEST(memcpy_copies_every_length_at_every_alignment)
{
    struct random random = seeded_for("memcpy");
    for (size_t length = 0; length <= 100; length++) {
        for (unsigned offsets = 0; offsets < 64; offsets++)
            expect_copy(&random, false, 8 + offsets / 8, 128 + offsets % 8, length);
    }
}
END_TEST

START_TEST(memmove_moves_overlapping_ranges_both_ways)
{
    struct random random = seeded_for("memmove");
    for (size_t length = 0; length <= 100; length++) {
        for (size_t t = 8; t <= 120; t++)
            expect_copy(&random, true, t, 64, length);
    }
}
END_TEST

START_TEST(memset_fills_exactly_the_range_with_the_low_byte)
{
    struct random random = seeded_for("memset");
    unsigned char area[AREA], expected[AREA];
    const int values[] = {0, 0x5a, 0xff, -1, 0x1234};
    for (size_t v = 0; v < ARRAY_COUNT(values); v++) {
        for (size_t length = 0; length <= 100; length++) {
            for (size_t start = 8; start < 16; start++) {
                fill_random(&random, area, AREA);
                for (size_t i = 0; i < AREA; i++)
                    expected[i] = i >= start && i < start + length ? values[v] & 0xff : area[i];
                ck_assert_ptr_eq(memset(area + start, values[v], length), area + start);
                expect_bytes(area, expected, AREA, "memset");
            }
        }
    }
}
END_TEST

START_TEST(memcmp_orders_by_the_first_differing_byte_as_unsigned)
{
    unsigned char a[AREA], b[AREA];
    struct random random = seeded_for("memcmp");
    for (size_t length = 0; length <= 70; length++) {
        fill_random(&random, a, length);
        for (size_t i = 0; i < length; i++)
            b[i] = a[i];
        a[length] = 1; // what follows the range does not count
        b[length] = 2;
        ck_assert_int_eq(memcmp(a, b, length), 0);
        for (size_t at = 0; at < length; at++) {
            const unsigned char kept = b[at];
            b[at] = (unsigned char)(kept + 1 + random_below(&random, 255));
            const int expected = a[at] < b[at] ? -1 : 1;
            // A later difference the other way round must not win.
            const unsigned char last = b[length - 1];
            if (at + 1 < length)
                b[length - 1] = expected < 0 ? 0 : 255;
            ck_assert_int_eq(memcmp(a, b, length) < 0, expected < 0);
            ck_assert_int_eq(memcmp(a, b, length) > 0, expected > 0);
            b[length - 1] = last;
            b[at] = kept;
        }
    }
}
END_TEST

// The address sanitizer watches the ends of these blocks.
START_TEST(memory_functions_stay_inside_exact_blocks)
{
    for (size_t length = 1; length <= 80; length++) {
        unsigned char *a = malloc(length), *b = malloc(length);
        memset(a, 7, length);
        memcpy(b, a, length);
        ck_assert_int_eq(memcmp(a, b, length), 0);
        memmove(b, a, length);
        memmove(a + length / 2, a, length - length / 2);
        memmove(a, a + length / 2, length - length / 2);
        ck_assert_int_eq(memcmp(a, b, length), 0);
        free(a);
        free(b);
    }
}
END_TEST

START_TEST(length_stops_at_the_limit)
{
    ck_assert_uint_eq(string_length("", 5), 0);
    ck_assert_uint_eq(string_length("abc", 5), 3);
    ck_assert_uint_eq(string_length("abc", 3), 3);
    ck_assert_uint_eq(string_length("abc", 2), 2);
    ck_assert_uint_eq(string_length((const char[]){'a', 'b'}, 2), 2);
    ck_assert_uint_eq(string_length(NULL, 0), 0);
}
END_TEST

START_TEST(equal_and_starts_compare_whole_texts_and_prefixes)
{
    ck_assert(string_equal("", ""));
    ck_assert(string_equal("heap", "heap"));
    ck_assert(!string_equal("heap", "hea"));
    ck_assert(!string_equal("hea", "heap"));
    ck_assert(!string_equal("heap", "heat"));
    ck_assert(string_starts("heap", ""));
    ck_assert(string_starts("heap", "he"));
    ck_assert(string_starts("heap", "heap"));
    ck_assert(!string_starts("heap", "heaps"));
    ck_assert(!string_starts("", "h"));
    ck_assert(!string_starts("heap", "ea"));
}
END_TEST

static const struct match_case {
    const char *pattern, *text;
    bool matches;
} match_cases[] = {
    {"", "", true},
    {"", "anything", true},
    {"pair", "heap/pair_64/hybrid", true},
    {"heap/pair_64/hybrid", "heap/pair_64/hybrid", true},
    {"hybrid", "heap/pair_64/hybrid", true},
    {"hybrids", "heap/pair_64/hybrid", false},
    {"aab", "aaab", true},
    {"a", "", false},
    {"*", "", true},
    {"*", "anything", true},
    {"**", "x", true},
    {"heap/*", "heap/pair_64/hybrid", true},
    {"pair*", "heap/pair_64/hybrid", false},
    {"*pair", "heap/pair_64/hybrid", false},
    {"*pair*", "heap/pair_64/hybrid", true},
    {"*/hybrid", "heap/pair_64/hybrid", true},
    {"heap/*/hybrid", "heap/pair_64/hybrid", true},
    {"heap/*/hybrid", "heap/hybrid", false},
    {"a*b*c", "abbbc", true},
    {"a*b*c", "acb", false},
    {"*ab", "aaab", true},
    {"*aab*", "aaab", true},
    {"a*a", "a", false},
    {"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
};

START_TEST(a_pattern_matches_anywhere_and_with_a_star_the_whole)
{
    const struct match_case *c = &match_cases[_i];
    ck_assert_msg(string_matches(c->pattern, c->text) == c->matches, "'%s' in '%s'", c->pattern,
                  c->text);
}
END_TEST

// The definition itself, exponential and obviously right.
static bool matches_by_definition(const char *pattern, const char *text)
{
    if (*pattern == '\0')
        return *text == '\0';
    if (*pattern == '*')
        return matches_by_definition(pattern + 1, text) ||
               (*text != '\0' && matches_by_definition(pattern, text + 1));
    return *pattern == *text && matches_by_definition(pattern + 1, text + 1);
}

START_TEST(star_patterns_match_as_their_definition_says)
{
    struct random random = seeded_for("string_matches");
    unsigned matched = 0;
    for (unsigned round = 0; round < 50000; round++) {
        char pattern[8] = "", text[10] = "";
        const size_t pattern_length = random_below(&random, sizeof(pattern));
        const size_t text_length = random_below(&random, sizeof(text));
        bool star = false;
        for (size_t i = 0; i < pattern_length; i++) {
            pattern[i] = "ab*"[random_below(&random, 3)];
            star |= pattern[i] == '*';
        }
        for (size_t i = 0; i < text_length; i++)
            text[i] = "ab"[random_below(&random, 2)];
        char whole[16];
        snprintf(whole, sizeof(whole), star ? "%s" : "*%s*", pattern);
        const bool expected = matches_by_definition(whole, text);
        matched += expected;
        if (string_matches(pattern, text) != expected)
            ck_abort_msg("'%s' in '%s'", pattern, text);
    }
    ck_assert_uint_gt(matched, 1000);
}
END_TEST

static const struct option_case {
    const char *words, *name, *value; // NULL: absent
} option_cases[] = {
    {"", "cpus", NULL},
    {"cpus=4", "cpus", "4"},
    {"a=1 cpus=4 b=2", "cpus", "4"},
    {"  a=1   cpus=4  ", "cpus", "4"},
    {"xcpus=4", "cpus", NULL},
    {"cpus", "cpus", NULL},
    {"cpus =4", "cpus", NULL},
    {"cpusx=4", "cpus", NULL},
    {"cpus=", "cpus", ""},
    {"cpus=4 cpus=8", "cpus", "8"},
    {"cpus=400 cpus=", "cpus", ""},
    {"use=a:b,c:d", "use", "a:b,c:d"},
    {"filter=a=b", "filter", "a=b"},
    {"filter=a=b", "a", NULL},
    {"name=0123456789abcdef", "name", "0123456"},
};

START_TEST(an_option_is_the_last_whole_word_of_its_name)
{
    const struct option_case *c = &option_cases[_i];
    char value[8] = "before";
    ck_assert_msg(string_option(c->words, c->name, value, sizeof(value)) == (c->value != NULL),
                  "'%s' in '%s'", c->name, c->words);
    ck_assert_str_eq(value, c->value != NULL ? c->value : "");
    ck_assert(string_option(c->words, c->name, value, 1) == (c->value != NULL));
    ck_assert_int_eq(value[0], '\0'); // room for the terminator only
}
END_TEST

START_TEST(an_option_without_room_for_the_terminator_dies)
{
    char value[1];
    string_option("cpus=4", "cpus", value, 0);
}
END_TEST

START_TEST(numbers_are_read_up_to_the_highest_and_no_further)
{
    const struct {
        const char *text;
        uint64_t highest, value;
    } good[] =
        {
            {"0", 0, 0},
            {"42", 42, 42},
            {"00042", 42, 42},
            {"18446744073709551615", UINT64_MAX, UINT64_MAX},
        },
      above[] = {
          {"1", 0, 0}, {"43", 42, 0}, {"420", 42, 0},
          {"5", 4, 0}, {"10", 9, 0},  {"4294967296", UINT32_MAX, 0},
      };
    const char *bad[] = {"",
                         " 1",
                         "1 ",
                         "-1",
                         "+1",
                         "0x1",
                         "1a",
                         "18446744073709551616",
                         "18446744073709551620",
                         "99999999999999999999999999"};
    uint64_t value = 77;
    for (size_t i = 0; i < ARRAY_COUNT(above); i++)
        ck_assert(!string_to_u64(above[i].text, above[i].highest, &value));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        ck_assert_msg(!string_to_u64(bad[i], UINT64_MAX, &value), "'%s'", bad[i]);
    ck_assert_uint_eq(value, 77);
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        ck_assert_msg(string_to_u64(good[i].text, good[i].highest, &value), "'%s'", good[i].text);
        ck_assert_uint_eq(value, good[i].value);
    }
}
END_TEST

#define TEXT_MOST 96

// A random conversion of `letter`: flags, width, precision (strings only), length modifier.
static void random_conversion(struct random *random, char *how, char letter, const char *modifier)
{
    size_t n = 0;
    how[n++] = '%';
    const bool number = letter != 's' && letter != 'c';
    if (random_below(random, 2) != 0)
        how[n++] = '-';
    else if (number && random_below(random, 2) != 0)
        how[n++] = '0';
    if (random_below(random, 2) != 0)
        n += (size_t)sprintf(how + n, "%u", 1 + (unsigned)random_below(random, 30));
    if (letter == 's' && random_below(random, 2) != 0)
        n += (size_t)sprintf(how + n, ".%u", (unsigned)random_below(random, 12));
    sprintf(how + n, "%s%c", modifier, letter);
}

// Numbers of every magnitude, the extremes included.
static uint64_t random_number(struct random *random)
{
    const uint64_t extremes[] = {0,          1,         INT32_MAX,         1ull << 31,
                                 UINT64_MAX, INT64_MAX, (uint64_t)1 << 63, UINT32_MAX};
    if (random_below(random, 4) == 0)
        return extremes[random_below(random, ARRAY_COUNT(extremes))];
    return random_u64(random) >> random_below(random, 64);
}

#define FORMAT_BOTH(argument)                                                                      \
    do {                                                                                           \
        ours = format(our_text, capacity, how, argument);                                          \
        theirs = snprintf(libc_text, capacity, how, argument);                                     \
    } while (0)

START_TEST(format_writes_what_snprintf_writes)
{
    struct random random = seeded_for("format");
    const char *modifiers[] = {"", "l", "z"};
    const char letters[] = {'d', 'u', 'x', 's', 'c'};
    for (unsigned round = 0; round < 200000; round++) {
        const char letter = letters[random_below(&random, ARRAY_COUNT(letters))];
        const bool number = letter == 'd' || letter == 'u' || letter == 'x';
        const char *modifier = number ? modifiers[random_below(&random, 3)] : "";
        char how[32], our_text[TEXT_MOST], libc_text[TEXT_MOST];
        how[0] = '<';
        random_conversion(&random, how + 1, letter, modifier);
        strcat(how, ">%%");
        const size_t capacity = 1 + random_below(&random, random_below(&random, 2) ? 12 : 90);
        const uint64_t value = random_number(&random);
        size_t ours;
        int theirs;
        if (letter == 's')
            FORMAT_BOTH((const char *)&"a text to cut"[value % 14]);
        else if (letter == 'c')
            FORMAT_BOTH((int)(' ' + value % 95));
        else if (*modifier != '\0')
            FORMAT_BOTH((unsigned long)value);
        else
            FORMAT_BOTH((unsigned)value);
        const size_t length = min_u64((uint64_t)theirs, capacity - 1);
        if (theirs < 0 || strcmp(our_text, libc_text) != 0 || ours != length)
            ck_abort_msg("'%s': '%s' of length %zu, not '%s'", how, our_text, ours, libc_text);
    }
}
END_TEST

START_TEST(format_takes_many_arguments_of_mixed_kinds)
{
    char text[TEXT_MOST];
    const size_t length =
        format(text, sizeof(text), "%s/%-6s|%5d|%05ld|%zu|%lx|%c|%d%%|%x|%.3s|%u", "heap", "pair",
               -42, -7L, (size_t)1 << 40, 0xfeedfacecafebeeful, 'q', 80, 0u, "hybrid", 4294967295u);
    ck_assert_str_eq(text, "heap/pair  |  -42|-0007|1099511627776|feedfacecafebeef|q|80%|0|hyb|"
                           "4294967295");
    ck_assert_uint_eq(length, strlen(text));
}
END_TEST

__attribute__((format(printf, 3, 4))) static size_t format_twice(char *buffer, size_t capacity,
                                                                 const char *how, ...)
{
    va_list arguments;
    va_start(arguments, how);
    const size_t first = format_list(buffer, capacity, how, arguments);
    // The list is the caller's still: format_list reads a copy.
    const size_t second = format_list(buffer + first, capacity - first, how, arguments);
    va_end(arguments);
    return first + second;
}

START_TEST(format_takes_a_precision_from_the_arguments)
{
    char text[TEXT_MOST];
    const char unterminated[] = {'a', 'b', 'c'};
    format(text, sizeof(text), "[%.*s|%-5.*s|%4.*s|%.*s]%d", 3, unterminated, 2, "xyz", 0, "xyz",
           -1, "whole", 9);
    ck_assert_str_eq(text, "[abc|xy   |    |whole]9");
}
END_TEST

START_TEST(format_list_leaves_the_list_to_the_caller)
{
    char text[TEXT_MOST];
    ck_assert_uint_eq(format_twice(text, sizeof(text), "%d %s;", 5, "x"), 8);
    ck_assert_str_eq(text, "5 x;5 x;");
}
END_TEST

START_TEST(format_prints_a_null_text_and_cuts_an_absurd_width)
{
    char text[12];
    const char *volatile nothing = NULL; // volatile: the compiler would warn
    format(text, sizeof(text), "[%s]", nothing);
    ck_assert_str_eq(text, "[(null)]");
    ck_assert_uint_eq(format(text, sizeof(text), "%2000000000d", 1), 11);
    ck_assert_str_eq(text, "           ");
}
END_TEST

START_TEST(format_without_room_for_the_terminator_dies)
{
    char text[1];
    format(text, 0, "x");
}
END_TEST

// An unknown letter, an unfinished conversion, a number with a precision.
static const char *const not_understood[] = {"%q", "100%", "%.3d"};

START_TEST(format_of_what_is_not_understood_dies)
{
    char text[TEXT_MOST];
    format(text, sizeof(text), not_understood[_i], 1);
}
END_TEST

static int compare_i64(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void expect_sorted(int64_t *values, size_t count, const char *what)
{
    int64_t *expected = malloc(count * sizeof(*values) + 1);
    memcpy(expected, values, count * sizeof(*values));
    qsort(expected, count, sizeof(*expected), compare_i64);
    sort_i64(values, count);
    for (size_t i = 0; i < count; i++) {
        if (values[i] != expected[i])
            ck_abort_msg("%s, %zu values: at %zu", what, count, i);
    }
    free(expected);
}

START_TEST(sort_orders_random_values_of_every_small_count)
{
    struct random random = seeded_for("sort");
    for (size_t count = 0; count <= 200; count++) {
        for (unsigned round = 0; round < 20; round++) {
            int64_t *values = malloc(count * sizeof(*values) + 1); // exact: the sanitizer watches
            const unsigned shift = (unsigned)random_below(&random, 64); // few or many equal ones
            for (size_t i = 0; i < count; i++)
                values[i] = (int64_t)random_u64(&random) >> shift;
            expect_sorted(values, count, "random");
            free(values);
        }
    }
}
END_TEST

START_TEST(sort_orders_shapes_that_hurt_other_sorts)
{
    static int64_t values[20000];
    const int64_t count = ARRAY_COUNT(values);
    const char *names[] = {"ascending", "descending", "equal", "organ pipe", "extremes"};
    for (size_t shape = 0; shape < ARRAY_COUNT(names); shape++) {
        for (int64_t i = 0; i < count; i++) {
            const int64_t shapes[] = {i, -i, 7, i < count / 2 ? i : count - i,
                                      i % 2 != 0 ? INT64_MIN : INT64_MAX};
            values[i] = shapes[shape];
        }
        expect_sorted(values, (size_t)count, names[shape]);
    }
}
END_TEST

static Suite *lib_suite(void)
{
    Suite *suite = suite_create("lib");
    TCase *string = tcase_create("string");
    tcase_set_timeout(string, 30);
    tcase_add_test(string, memcpy_copies_every_length_at_every_alignment);
    tcase_add_test(string, memmove_moves_overlapping_ranges_both_ways);
    tcase_add_test(string, memset_fills_exactly_the_range_with_the_low_byte);
    tcase_add_test(string, memcmp_orders_by_the_first_differing_byte_as_unsigned);
    tcase_add_test(string, memory_functions_stay_inside_exact_blocks);
    tcase_add_test(string, length_stops_at_the_limit);
    tcase_add_test(string, equal_and_starts_compare_whole_texts_and_prefixes);
    tcase_add_loop_test(string, a_pattern_matches_anywhere_and_with_a_star_the_whole, 0,
                        ARRAY_COUNT(match_cases));
    tcase_add_test(string, star_patterns_match_as_their_definition_says);
    tcase_add_loop_test(string, an_option_is_the_last_whole_word_of_its_name, 0,
                        ARRAY_COUNT(option_cases));
    tcase_add_test_raise_signal(string, an_option_without_room_for_the_terminator_dies, SIGABRT);
    tcase_add_test(string, numbers_are_read_up_to_the_highest_and_no_further);
    suite_add_tcase(suite, string);

    TCase *text = tcase_create("format");
    tcase_set_timeout(text, 30);
    tcase_add_test(text, format_writes_what_snprintf_writes);
    tcase_add_test(text, format_takes_many_arguments_of_mixed_kinds);
    tcase_add_test(text, format_takes_a_precision_from_the_arguments);
    tcase_add_test(text, format_list_leaves_the_list_to_the_caller);
    tcase_add_test(text, format_prints_a_null_text_and_cuts_an_absurd_width);
    tcase_add_test_raise_signal(text, format_without_room_for_the_terminator_dies, SIGABRT);
    tcase_add_loop_test_raise_signal(text, format_of_what_is_not_understood_dies, SIGABRT, 0,
                                     ARRAY_COUNT(not_understood));
    suite_add_tcase(suite, text);

    TCase *sort = tcase_create("sort");
    tcase_set_timeout(sort, 30);
    tcase_add_test(sort, sort_orders_random_values_of_every_small_count);
    tcase_add_test(sort, sort_orders_shapes_that_hurt_other_sorts);
    suite_add_tcase(suite, sort);
    return suite;
}

int main(void)
{
    return run_checks(lib_suite());
}
