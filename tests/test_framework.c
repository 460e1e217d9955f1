// SPDX-License-Identifier: MIT
// bench/framework: records, options, the table's arithmetic.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "random.h"
#include "record.h"
#include "run_checks.h"
#include "seed.h"
#include "table.h"

// ---- records ------------------------------------------------------------------------------------

static uint8_t memory[RECORD_PAYLOAD_MOST + 64];

static struct record_writer writing(void)
{
    struct record_writer writer;
    record_writer_init(&writer, memory, sizeof(memory));
    return writer;
}

START_TEST(numbers_come_back_at_every_width)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int delta = -1; delta <= 1; delta++) {
            const uint64_t value = ((uint64_t)1 << shift) + (uint64_t)(int64_t)delta;
            struct record_writer writer = writing();
            struct record_reader reader;
            record_put_u64(&writer, value);
            record_put_i64(&writer, (int64_t)value);
            record_put_i64(&writer, -(int64_t)(value >> 1));
            record_reader_init(&reader, memory, writer.length);
            ck_assert_uint_eq(record_get_u64(&reader), value);
            ck_assert_int_eq(record_get_i64(&reader), (int64_t)value);
            ck_assert_int_eq(record_get_i64(&reader), -(int64_t)(value >> 1));
            ck_assert(!reader.failed && reader.position == writer.length);
        }
    }
}
END_TEST

START_TEST(samples_come_back_whatever_their_shape)
{
    struct random random = seeded_for("samples");
    int64_t values[500], read[500];
    for (unsigned i = 0; i < 2000; i++) {
        const size_t count = random_below(&random, 500);
        const uint64_t kind = random_below(&random, 4),
                       spread = 1 + random_below(&random, 1u << 20);
        for (size_t k = 0; k < count; k++)
            values[k] = kind == 0   ? 42
                        : kind == 1 ? (int64_t)(k * 3)
                        : kind == 2 ? (int64_t)random_below(&random, spread) - 100
                                    : (int64_t)(random_u64(&random) >> 3);
        struct record_writer writer = writing();
        struct record_reader reader;
        record_put_samples(&writer, values, count);
        ck_assert(!writer.failed);
        record_reader_init(&reader, memory, writer.length);
        record_get_samples(&reader, read, count);
        ck_assert(!reader.failed && reader.position == writer.length);
        ck_assert_mem_eq(read, values, count * sizeof(values[0]));
    }
}
END_TEST

START_TEST(a_constant_series_takes_a_few_bytes)
{
    int64_t values[4096];
    for (unsigned i = 0; i < 4096; i++)
        values[i] = 130001;
    struct record_writer writer = writing();
    record_put_samples(&writer, values, 4096);
    ck_assert_uint_le(writer.length, 8);
}
END_TEST

START_TEST(a_run_longer_than_the_series_is_refused)
{
    int64_t values[4] = {0};
    struct record_writer writer = writing();
    struct record_reader reader;
    record_put_u64(&writer, 2 << 1 | 1);
    record_put_u64(&writer, 4);
    record_reader_init(&reader, memory, writer.length);
    record_get_samples(&reader, values, 4);
    ck_assert(reader.failed);
}
END_TEST

START_TEST(cut_records_fail_instead_of_reading_on)
{
    struct record_writer writer = writing();
    record_put_text(&writer, "heap/pair_64");
    record_put_u64(&writer, UINT64_MAX);
    for (size_t length = 0; length < writer.length; length++) {
        char text[RECORD_NAME_MOST + 1];
        struct record_reader reader;
        record_reader_init(&reader, memory, length);
        record_get_text(&reader, text, RECORD_NAME_MOST, true);
        record_get_u64(&reader);
        ck_assert(reader.failed);
        ck_assert_uint_eq(record_get_u64(&reader), 0);
        ck_assert_uint_le(reader.position, length);
    }
}
END_TEST

START_TEST(names_and_texts_outside_their_charset_are_refused)
{
    const char *const wrong[] = {"a b", "a<b", "a\x1b[m", "\xc3\xa4", "a'b"};
    for (unsigned i = 0; i < 5; i++) {
        char text[65];
        struct record_reader reader;
        uint8_t bytes[70] = {(uint8_t)strlen(wrong[i])};
        memcpy(bytes + 1, wrong[i], strlen(wrong[i]));
        record_reader_init(&reader, bytes, 1 + strlen(wrong[i]));
        record_get_text(&reader, text, 64, true);
        ck_assert_msg(reader.failed, "%s", wrong[i]);
        ck_assert_str_eq(text, "");
    }
    char text[65];
    uint8_t control[] = {2, 'a', 7};
    struct record_reader reader;
    record_reader_init(&reader, control, 3);
    record_get_text(&reader, text, 64, false);
    ck_assert(reader.failed);
    uint8_t longer[70] = {65};
    memset(longer + 1, 'a', 65);
    record_reader_init(&reader, longer, 66);
    record_get_text(&reader, text, 64, true);
    ck_assert(reader.failed);
}
END_TEST

START_TEST(a_varint_of_more_than_64_bits_is_refused)
{
    uint8_t bytes[11];
    struct record_reader reader;
    memset(bytes, 0xff, sizeof(bytes));
    record_reader_init(&reader, bytes, sizeof(bytes));
    ck_assert_uint_eq(record_get_u64(&reader), 0);
    ck_assert(reader.failed);
    bytes[9] = 2;
    record_reader_init(&reader, bytes, sizeof(bytes));
    record_get_u64(&reader);
    ck_assert(reader.failed);
}
END_TEST

START_TEST(a_writer_without_room_says_so_and_stays_inside)
{
    struct record_writer writer;
    memset(memory, 0xaa, sizeof(memory));
    record_writer_init(&writer, memory, 10);
    record_open(&writer, RECORD_FACT);
    record_put_text(&writer, "more than ten bytes of text");
    record_close(&writer);
    ck_assert(writer.failed);
    ck_assert_uint_le(writer.length, 10);
    ck_assert_uint_eq(memory[10], 0xaa);
}
END_TEST

START_TEST(unprintable_text_is_written_as_dots)
{
    char text[RECORD_TEXT_MOST + 1];
    struct record_writer writer = writing();
    struct record_reader reader;
    record_put_text(&writer, "a\x1b[2J\xff z");
    record_reader_init(&reader, memory, writer.length);
    record_get_text(&reader, text, RECORD_TEXT_MOST, false);
    ck_assert(!reader.failed);
    ck_assert_str_eq(text, "a.[2J. z");
}
END_TEST

START_TEST(hash_is_the_published_one)
{
    // FNV-1a 64: the empty text, "a", "foobar" from the authors' test suite.
    ck_assert_uint_eq(record_hash(RECORD_HASH_START, "", 0), 0xcbf29ce484222325u);
    ck_assert_uint_eq(record_hash(RECORD_HASH_START, "a", 1), 0xaf63dc4c8601ec8cu);
    ck_assert_uint_eq(record_hash(RECORD_HASH_START, "foobar", 6), 0x85944171f73967e8u);
}
END_TEST

// ---- options ------------------------------------------------------------------------------------

START_TEST(words_are_read)
{
    struct options options;
    char why[256] = "";
    ck_assert_msg(
        options_read("image session=4000000000 boot=3 output=framed suites=ipc,heap "
                     "filter=heap/* rounds=7 samples=9 seed=11 size=full trace=off clock=insn",
                     &options, why, sizeof(why)),
        "%s", why);
    ck_assert_uint_eq(options.session, 4000000000u);
    ck_assert_uint_eq(options.boot, 3);
    ck_assert_int_eq(options.output, OUTPUT_FRAMED);
    ck_assert_str_eq(options.suites, "ipc,heap");
    ck_assert_str_eq(options.filter, "heap/*");
    ck_assert_uint_eq(options.rounds, 7);
    ck_assert_uint_eq(options.samples, 9);
    ck_assert_uint_eq(options.seed, 11);
    ck_assert(options.full && !options.trace);
}
END_TEST

START_TEST(nothing_said_means_the_defaults)
{
    struct options options;
    char why[256];
    ck_assert(options_read("", &options, why, sizeof(why)));
    ck_assert_int_eq(options.output, OUTPUT_TEXT);
    ck_assert(!options.full && options.trace && !options.smoke);
    ck_assert_uint_eq(options.rounds, 0);
}
END_TEST

// What is wrong, and a word its one line must have.
static const char *const wrong_words[][2] = {
    {"suites=hepa", "heap"}, {"suites=heap,x", "ipc"},
    {"rounds=0", "1"},       {"rounds=1025", "1024"},
    {"rounds=-1", "number"}, {"rounds=1x", "number"},
    {"samples=", "number"},  {"seed=99999999999999999999", "number"},
    {"size=small", "quick"}, {"output=html", "framed"},
    {"trace=maybe", "on"},   {"session=4294967296", "0"},
    {"foo=1", "suites"},     {"roundss=3", "rounds"},
};

START_TEST(a_wrong_word_gets_one_line_that_names_the_choices)
{
    struct options options;
    char why[256] = "";
    const char *const *wrong = wrong_words[_i];
    ck_assert(!options_read(wrong[0], &options, why, sizeof(why)));
    ck_assert_msg(strstr(why, wrong[1]) != NULL, "%s: %s", wrong[0], why);
    ck_assert_ptr_null(strchr(why, '\n'));
}
END_TEST

START_TEST(a_refusal_already_carries_the_session)
{
    struct options options;
    char why[256];
    ck_assert(!options_read("session=77 output=framed foo=1", &options, why, sizeof(why)));
    ck_assert_uint_eq(options.session, 77);
    ck_assert_int_eq(options.output, OUTPUT_FRAMED);
}
END_TEST

static unsigned selected(const char *words)
{
    struct options options;
    char why[256];
    unsigned count = 0;
    ck_assert(options_read(words, &options, why, sizeof(why)));
    for (unsigned s = 0; bench_suites[s] != NULL; s++)
        for (size_t c = 0; c < bench_suites[s]->case_count; c++)
            for (size_t v = 0; v < bench_suites[s]->variant_count; v++)
                count += options_select(&options, bench_suites[s], &bench_suites[s]->cases[c],
                                        &bench_suites[s]->variants[v]);
    return count;
}

START_TEST(selection_is_by_suite_and_by_pattern)
{
    const unsigned heap = selected("suites=heap"), ipc = selected("suites=ipc");
    unsigned all = 0;
    for (unsigned s = 0; bench_suites[s] != NULL; s++) {
        char words[64];
        unsigned first = 0;
        while (strcmp(bench_suites[first]->name, bench_suites[s]->name) != 0)
            first++;
        if (first < s)
            continue; // a name that several have selects all of them
        snprintf(words, sizeof(words), "suites=%s", bench_suites[s]->name);
        ck_assert_uint_gt(selected(words), 0);
        all += selected(words);
    }
    ck_assert_uint_eq(all, selected(""));
    ck_assert_uint_eq(selected("suites=ipc,heap"), heap + ipc);
    ck_assert_uint_eq(selected("filter=heap/pair_64/linked_list"), 1);
    ck_assert_uint_eq(selected("filter=heap/*/hybrid suites=ipc"), 0);
    ck_assert_uint_eq(selected("filter=heap/pair_64/*"), selected("filter=heap/pair_64"));
    ck_assert_uint_eq(selected("filter=no_such_row"), 0);
}
END_TEST

// ---- table --------------------------------------------------------------------------------------

START_TEST(percentiles_are_nearest_rank)
{
    static const uint8_t tags[1000];
    int64_t samples[1000];
    struct table_line line;
    for (int i = 0; i < 1000; i++)
        samples[i] = 1000 - i; // 1 .. 1000, backwards
    table_summarise(samples, tags, 1000, 5, 1, &line);
    ck_assert_int_eq(line.min, 1);
    ck_assert_int_eq(line.p50, 500);
    ck_assert_int_eq(line.p90, 900);
    ck_assert_int_eq(line.p99, 990);
    ck_assert_int_eq(line.max, 1000);
    ck_assert_int_eq(line.mean, 500);
    ck_assert_int_eq(line.cold, 5);
    int64_t one[1] = {-3};
    table_summarise(one, tags, 1, 0, 1, &line);
    ck_assert_int_eq(line.p50, -3);
    ck_assert_int_eq(line.p99, -3);
}
END_TEST

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Nearest rank, by another way to say it: at least this share does not exceed it.
static int64_t rank(const int64_t *sorted, size_t count, unsigned per_cent)
{
    size_t i = 0;
    while ((i + 1) * 100 < count * per_cent)
        i++;
    return sorted[i];
}

START_TEST(clean_is_what_has_no_tag_and_all_is_everything)
{
    struct random random = seeded_for("clean");
    for (unsigned turn = 0; turn < 500; turn++) {
        int64_t samples[300], all[300], clean[300];
        uint8_t tags[300];
        uint32_t tagged[RECORD_TAG_CAUSES] = {0};
        struct table_line line;
        size_t clean_count = 0;
        const size_t count = 1 + random_below(&random, 300);
        const uint64_t share = random_below(&random, 5); // 0: every sample is tagged
        for (size_t i = 0; i < count; i++) {
            samples[i] = all[i] = (int64_t)random_below(&random, 1000) - 10;
            tags[i] = 0;
            if (random_below(&random, 4) >= share)
                tags[i] = (uint8_t)(1 + random_below(&random, RECORD_TAGS - 1));
            else
                clean[clean_count++] = samples[i];
            for (unsigned cause = 0; cause < RECORD_TAG_CAUSES; cause++)
                tagged[cause] += tags[i] >> cause & 1;
        }
        qsort(all, count, sizeof(all[0]), by_value);
        qsort(clean, clean_count, sizeof(clean[0]), by_value);
        table_summarise(samples, tags, count, 5, 1, &line);
        ck_assert_mem_eq(samples, all, count * sizeof(all[0])); // nothing is lost
        ck_assert_uint_eq(line.n, count);
        ck_assert_int_eq(line.p50, rank(all, count, 50));
        ck_assert_int_eq(line.p90, rank(all, count, 90));
        ck_assert_int_eq(line.max, all[count - 1]);
        ck_assert_uint_eq(line.clean_n, clean_count);
        ck_assert_mem_eq(line.tagged, tagged, sizeof(tagged));
        ck_assert_int_eq(line.clean_p50, clean_count > 0 ? rank(clean, clean_count, 50) : 0);
    }
}
END_TEST

START_TEST(a_line_tells_both_medians_and_how_many_were_tagged_by_what)
{
    int64_t samples[5] = {10, 90, 11, 95, 12};
    const uint8_t tags[5] = {0, RECORD_TAG_INTERRUPT | RECORD_TAG_STEAL, 0, RECORD_TAG_INTERRUPT,
                             0};
    const uint8_t none[5] = {0}, every[5] = {16, 16, 16, 16, 16};
    struct table_line line;
    char text[512], header[512];
    table_header("ticks", header, sizeof(header));
    table_summarise(samples, tags, 5, 7, 1, &line);
    table_format(&line, "a/b/c", "ticks", text, sizeof(text));
    const char *const all = strstr(header, "p50 all"), *const clean = strstr(header, "p50 clean");
    ck_assert(all != NULL && clean != NULL);
    ck_assert_int_eq(strncmp(text + (all - header) + 7 - 2, "12", 2), 0);
    ck_assert_int_eq(strncmp(text + (clean - header) + 9 - 2, "11", 2), 0);
    ck_assert_msg(strstr(text, "  ticks, tagged 2: interrupt 2, steal 1\n") != NULL, "%s", text);
    table_summarise(samples, none, 5, 7, 1, &line);
    table_format(&line, "a/b/c", "ticks", text, sizeof(text));
    ck_assert_msg(strstr(text, "  ticks\n") != NULL, "%s", text);
    table_summarise(samples, every, 5, 7, 1, &line);
    table_format(&line, "a/b/c", "ticks", text, sizeof(text));
    ck_assert_msg(strstr(text, "      none ") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "ticks, tagged 5: NMI 5\n") != NULL, "%s", text);
}
END_TEST

START_TEST(a_value_is_one_operation_s_share_and_never_below_nothing)
{
    char text[24];
    table_value(5000, 1, text, sizeof(text));
    ck_assert_str_eq(text, "5000");
    table_value(5049, 1000, text, sizeof(text));
    ck_assert_str_eq(text, "5.0");
    table_value(5050, 1000, text, sizeof(text));
    ck_assert_str_eq(text, "5.1");
    table_value(0, 1000, text, sizeof(text));
    ck_assert_str_eq(text, "below resolution");
    table_value(-7, 1, text, sizeof(text));
    ck_assert_str_eq(text, "below resolution");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("framework");
    TCase *tests = tcase_create("records, options, table");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, numbers_come_back_at_every_width);
    tcase_add_test(tests, samples_come_back_whatever_their_shape);
    tcase_add_test(tests, a_constant_series_takes_a_few_bytes);
    tcase_add_test(tests, a_run_longer_than_the_series_is_refused);
    tcase_add_test(tests, cut_records_fail_instead_of_reading_on);
    tcase_add_test(tests, names_and_texts_outside_their_charset_are_refused);
    tcase_add_test(tests, a_varint_of_more_than_64_bits_is_refused);
    tcase_add_test(tests, a_writer_without_room_says_so_and_stays_inside);
    tcase_add_test(tests, unprintable_text_is_written_as_dots);
    tcase_add_test(tests, hash_is_the_published_one);
    tcase_add_test(tests, words_are_read);
    tcase_add_test(tests, nothing_said_means_the_defaults);
    tcase_add_loop_test(tests, a_wrong_word_gets_one_line_that_names_the_choices, 0,
                        sizeof(wrong_words) / sizeof(wrong_words[0]));
    tcase_add_test(tests, a_refusal_already_carries_the_session);
    tcase_add_test(tests, selection_is_by_suite_and_by_pattern);
    tcase_add_test(tests, percentiles_are_nearest_rank);
    tcase_add_test(tests, clean_is_what_has_no_tag_and_all_is_everything);
    tcase_add_test(tests, a_line_tells_both_medians_and_how_many_were_tagged_by_what);
    tcase_add_test(tests, a_value_is_one_operation_s_share_and_never_below_nothing);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
