// SPDX-License-Identifier: MIT
// kernel/hardware/screen_text, screen_pager, keyboard: what stands on the screen against a plain
// list of lines.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "compiler.h"
#include "run_checks.h"
#include "screen_pager.h"
#include "seed.h"

#define COLUMNS   20u
#define ROWS      9u // of text; the title is below
#define LINES     4000u
#define KEPT_MOST 4096u

static struct screen screen;
static struct screen_text text;
static uint8_t memory[(ROWS + 1) * COLUMNS * 2];
static char kept[KEPT_MOST];

// The model: everything that was added, as rows of the screen.
static char rows[LINES][COLUMNS + 1];
static unsigned row_count;

static void open_screen(void)
{
    const struct screen_surface surface = {.kind = SCREEN_TEXT,
                                           .address = 0xb8000,
                                           .pitch = 2 * COLUMNS,
                                           .width = COLUMNS,
                                           .height = ROWS + 1};
    screen_open(&screen, &surface, memory);
}

static void start(size_t capacity)
{
    open_screen();
    screen_text_init(&text, &screen, kept, capacity);
    row_count = 0;
}

// What stands in a row, without the blanks behind it.
static const char *row_of(unsigned row)
{
    static char said[COLUMNS + 1];
    unsigned length = 0;
    for (unsigned i = 0; i < COLUMNS; i++) {
        said[i] = (char)memory[2 * (row * COLUMNS + i)];
        length = said[i] != ' ' ? i + 1 : length;
    }
    said[length] = '\0';
    return said;
}

static void add(const char *line)
{
    screen_text_add(&text, line, strlen(line));
}

// Tells the model of a whole line.
static void note(const char *line)
{
    do {
        ck_assert_uint_lt(row_count, LINES);
        const size_t length = strnlen(line, COLUMNS);
        memcpy(rows[row_count], line, length);
        rows[row_count++][length] = '\0';
        line += length;
    } while (*line != '\0');
}

static void add_line(const char *line)
{
    add(line);
    add("\n");
    note(line);
}

static void add_numbers(unsigned count)
{
    char line[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(line, sizeof(line), "line %u", i);
        add_line(line);
    }
}

// The screen shows an end of the model, and at least half a screen of it if there is as much.
static void check_newest(void)
{
    unsigned shown = 0;
    while (shown < ROWS && row_of(shown)[0] != '\0')
        shown++;
    ck_assert_uint_ge(shown, row_count < ROWS / 2 ? row_count : ROWS / 2);
    ck_assert_uint_le(shown, row_count);
    for (unsigned i = 0; i < shown; i++)
        ck_assert_str_eq(row_of(i), rows[row_count - shown + i]);
    for (unsigned i = shown; i < ROWS; i++)
        ck_assert_str_eq(row_of(i), "");
}

static void check_pages(void)
{
    const unsigned pages = screen_text_pages(&text);
    ck_assert_uint_eq(pages, row_count == 0 ? 1 : (row_count + ROWS - 1) / ROWS);
    for (unsigned page = 0; page < pages; page++) {
        screen_text_show(&text, page);
        for (unsigned i = 0; i < ROWS; i++)
            ck_assert_str_eq(row_of(i), page * ROWS + i < row_count ? rows[page * ROWS + i] : "");
    }
}

static void random_line(struct random *random, char *line, unsigned most)
{
    const unsigned length = 1 + (unsigned)random_below(random, most);
    for (unsigned i = 0; i < length; i++)
        line[i] = (char)('!' + random_below(random, 94));
    line[length] = '\0';
}

START_TEST(the_newest_lines_stand_on_the_screen_and_pages_have_them_all)
{
    struct random random = seeded_for("screen_text");
    for (unsigned turn = 0; turn < 60; turn++) {
        char line[3 * COLUMNS + 1];
        start(sizeof(kept));
        const unsigned lines = (unsigned)random_below(&random, 40);
        for (unsigned i = 0; i < lines; i++) {
            random_line(&random, line, 3 * COLUMNS);
            add_line(line);
            check_newest();
        }
        check_pages();
        // What comes behind a page shows the newest again.
        add_line("behind");
        check_newest();
    }
}
END_TEST

START_TEST(a_line_goes_on_after_a_page_was_shown)
{
    for (unsigned length = 1; length <= 2 * COLUMNS + 1; length++) {
        char line[2 * COLUMNS + 8] = "";
        start(sizeof(kept));
        add_numbers(12);
        memset(line, 'x', length);
        line[length] = '\0';
        add(line);
        screen_text_show(&text, 0);
        add("yz\n");
        strcat(line, "yz");
        note(line);
        check_newest();
        check_pages();
    }
}
END_TEST

START_TEST(the_oldest_lines_go_when_the_memory_is_full)
{
    start(SCREEN_TEXT_LEAST);
    add_numbers(400);
    ck_assert_uint_gt(text.lines_lost, 250);
    const unsigned left = 400 - (unsigned)text.lines_lost;
    ck_assert_uint_eq(screen_text_pages(&text), (left + ROWS - 1) / ROWS);
    screen_text_show(&text, 0);
    ck_assert_str_eq(row_of(0), rows[text.lines_lost]);
    screen_text_show(&text, 1000);
    ck_assert_str_eq(row_of((left - 1) % ROWS), "line 399");
}
END_TEST

START_TEST(one_line_longer_than_the_memory_leaves_its_end)
{
    start(SCREEN_TEXT_LEAST);
    for (unsigned i = 0; i < SCREEN_TEXT_LEAST + 7; i++)
        screen_text_add(&text, "a", 1);
    ck_assert_uint_eq(text.used, 7);
    ck_assert_uint_eq(text.lines_lost, 1);
}
END_TEST

START_TEST(what_is_not_printable_is_a_question_mark)
{
    start(sizeof(kept));
    add("a\tb\r\n\x1b[1m\xff\x7f~\n");
    ck_assert_str_eq(row_of(0), "a b");
    ck_assert_str_eq(row_of(1), "?[1m??~");
}
END_TEST

START_TEST(text_is_kept_until_there_is_a_screen)
{
    screen = (struct screen){.memory = NULL};
    screen_text_init(&text, &screen, kept, sizeof(kept));
    row_count = 0;
    add_line("before");
    screen_text_title(&text, "nowhere");
    screen_text_show(&text, 0);
    ck_assert_uint_eq(screen_text_pages(&text), 1);
    open_screen();
    screen_text_newest(&text);
    ck_assert_str_eq(row_of(0), "before");
    add_line("after");
    ck_assert_str_eq(row_of(1), "after");
}
END_TEST

START_TEST(the_title_is_dark_on_light_and_stays)
{
    start(sizeof(kept));
    screen_text_title(&text, "a title that is longer than the row");
    add_numbers(50);
    ck_assert_str_eq(row_of(ROWS), "a title that is long");
    ck_assert_int_eq(memory[2 * ROWS * COLUMNS + 1], 0x70);
    screen_text_title(&text, "short");
    ck_assert_str_eq(row_of(ROWS), "short");
    ck_assert_int_eq(memory[2 * (ROWS * COLUMNS + 19) + 1], 0x70);
}
END_TEST

// ---- turning ------------------------------------------------------------------------------------

START_TEST(pages_turn_by_themselves_until_a_key_is_pressed)
{
    struct screen_pager pager;
    start(sizeof(kept));
    add_numbers(3 * ROWS);
    screen_pager_open(&pager, &text, "done", false);
    ck_assert_str_eq(row_of(0), "line 0");
    ck_assert_str_eq(row_of(ROWS), " done: page 1 of 3");
    for (unsigned turn = 1; turn < 7; turn++) {
        screen_pager_step(&pager, KEYBOARD_NONE, SCREEN_PAGER_MS - 1);
        ck_assert_uint_eq(pager.page, (turn - 1) % 3);
        screen_pager_step(&pager, KEYBOARD_NONE, 1);
        ck_assert_uint_eq(pager.page, turn % 3);
    }
    screen_pager_step(&pager, KEYBOARD_OTHER, 1);
    screen_pager_step(&pager, KEYBOARD_NONE, UINT32_MAX);
    screen_pager_step(&pager, KEYBOARD_NONE, UINT32_MAX);
    ck_assert_uint_eq(pager.page, 0);
    static const struct {
        enum keyboard_key key;
        unsigned page;
    } keys[] = {{KEYBOARD_BACK, 0}, {KEYBOARD_NEXT, 1}, {KEYBOARD_NEXT, 2}, {KEYBOARD_NEXT, 2},
                {KEYBOARD_BACK, 1}, {KEYBOARD_LAST, 2}, {KEYBOARD_FIRST, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        screen_pager_step(&pager, keys[i].key, 1);
        ck_assert_uint_eq(pager.page, keys[i].page);
        ck_assert_str_eq(row_of(0), rows[keys[i].page * ROWS]);
    }
}
END_TEST

START_TEST(the_last_page_stays)
{
    struct screen_pager pager;
    start(sizeof(kept));
    add_numbers(2 * ROWS);
    screen_pager_open(&pager, &text, "panic", true);
    ck_assert_str_eq(row_of(ROWS - 1), "line 17");
    screen_pager_step(&pager, KEYBOARD_NONE, 10 * SCREEN_PAGER_MS);
    ck_assert_uint_eq(pager.page, 1);
    screen_pager_step(&pager, KEYBOARD_BACK, 1);
    ck_assert_str_eq(row_of(0), "line 0");
}
END_TEST

// ---- keys ---------------------------------------------------------------------------------------

static enum keyboard_key last_of(const uint8_t *codes, unsigned count)
{
    struct keyboard keyboard = {.skipped = 0};
    enum keyboard_key key = KEYBOARD_NONE;
    for (unsigned i = 0; i < count; i++)
        key = keyboard_take(&keyboard, codes[i]);
    return key;
}

START_TEST(keys_are_what_they_are_named)
{
    static const struct {
        uint8_t codes[6];
        unsigned count;
        enum keyboard_key key;
    } cases[] = {
        {{0x39}, 1, KEYBOARD_NEXT},
        {{0xb9}, 1, KEYBOARD_NONE},
        {{0x1c}, 1, KEYBOARD_NEXT},
        {{0xe0, 0x1c}, 2, KEYBOARD_NEXT},
        {{0xe0, 0x51}, 2, KEYBOARD_NEXT},
        {{0xe0, 0xd1}, 2, KEYBOARD_NONE},
        {{0xe0, 0x49}, 2, KEYBOARD_BACK},
        {{0xe0, 0x48}, 2, KEYBOARD_BACK},
        {{0x30}, 1, KEYBOARD_BACK},
        {{0x0e}, 1, KEYBOARD_BACK},
        {{0xe0, 0x47}, 2, KEYBOARD_FIRST},
        {{0xe0, 0x4f}, 2, KEYBOARD_LAST},
        {{0x1e}, 1, KEYBOARD_OTHER},
        {{0x2a}, 1, KEYBOARD_OTHER},
        {{0xe0, 0x2a}, 2, KEYBOARD_NONE},
        {{0xe0, 0x2a, 0xe0}, 3, KEYBOARD_NONE},
        {{0x00}, 1, KEYBOARD_NONE},
        {{0xff}, 1, KEYBOARD_NONE},
        {{0xfa}, 1, KEYBOARD_NONE},
        {{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}, 6, KEYBOARD_NONE},
        {{0xe1, 0x1d, 0x45, 0x39}, 4, KEYBOARD_NEXT},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        ck_assert_msg(last_of(cases[i].codes, cases[i].count) == cases[i].key, "case %u", i);
}
END_TEST

START_TEST(too_little_memory_dies)
{
    screen_text_init(&text, &screen, kept, SCREEN_TEXT_LEAST - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("screen_text");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, the_newest_lines_stand_on_the_screen_and_pages_have_them_all);
    tcase_add_test(tests, a_line_goes_on_after_a_page_was_shown);
    tcase_add_test(tests, the_oldest_lines_go_when_the_memory_is_full);
    tcase_add_test(tests, one_line_longer_than_the_memory_leaves_its_end);
    tcase_add_test(tests, what_is_not_printable_is_a_question_mark);
    tcase_add_test(tests, text_is_kept_until_there_is_a_screen);
    tcase_add_test(tests, the_title_is_dark_on_light_and_stays);
    tcase_add_test(tests, pages_turn_by_themselves_until_a_key_is_pressed);
    tcase_add_test(tests, the_last_page_stays);
    tcase_add_test(tests, keys_are_what_they_are_named);
    tcase_add_test_raise_signal(tests, too_little_memory_dies, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
