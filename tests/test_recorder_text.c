// SPDX-License-Identifier: MIT
// What the recorder reads as text: QMP, monitors, names, numbers; and places in a program.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "qmp.h"
#include "run_checks.h"
#include "unwind.h"

// ---- JSON --------------------------------------------------------------------------------------

struct json_case {
    const char *json, *path, *value; // value NULL: none
};

static const struct json_case json_cases[] = {
    {"{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}",
     "data.reason", "guest-reset"},
    {"{\"a\": {\"reason\": \"x\"}, \"data\": {\"reason\": \"y\"}}", "data.reason", "y"},
    {"{\"return\": \"RAX=1\\r\\nRBX=\\u0032 \\\"q\\\" \\\\ \\/ \\t\"}", "return",
     "RAX=1\r\nRBX=2 \"q\" \\ / \t"},
    {"{\"id\": 17, \"return\": {}}", "id", "17"},
    {"{\"id\": 17, \"return\": {}}", "return", "{}"},
    {"{\"list\": [1, [2, {\"id\": 3}], \"]\"], \"id\": 4}", "id", "4"},
    {"{\"text\": \"\\\"id\\\": 5\", \"id\": 6}", "id", "6"},
    {"{\"idle\": 1, \"id\": 2}", "id", "2"},
    {"  {\"a\" : null}  ", "a", "null"},
    {"{\"a\": \"\\u00e9\\u0000\"}", "a", "??"},
    {"{\"a\": 1}", "b", NULL},
    {"{\"a\": 1}", "a.b", NULL},
    {"{\"a\": 1", "a", NULL},
    {"{\"a\": 1} x", "a", NULL},
    {"{\"a\": }", "a", NULL},
    {"{\"a\" 1}", "a", NULL},
    {"{\"a\": \"x", "a", NULL},
    {"{\"a\": \"\\", "a", NULL},
    {"{\"a\": \"\\u12\"}", "a", NULL},
    {"{\"a\": \"\\x\"}", "a", NULL},
    {"{a: 1}", "a", NULL},
    {"", "a", NULL},
    {"{", "a", NULL},
    {"[", "a", NULL},
    {"\"", "a", NULL},
};

START_TEST(json_values_are_found)
{
    const struct json_case *test = &json_cases[_i];
    struct buffer value = {0};
    const bool found = qmp_json(test->json, test->path, &value);
    ck_assert_int_eq(found, test->value != NULL);
    if (found)
        ck_assert_str_eq((char *)value.bytes, test->value);
    buffer_free(&value);
}
END_TEST

START_TEST(json_nested_without_end_is_refused)
{
    static char deep[100001];
    struct buffer value = {0};
    memset(deep, '[', sizeof(deep) - 1);
    ck_assert(!qmp_json(deep, "a", &value));
    buffer_free(&value);
}
END_TEST

// ---- the monitor -------------------------------------------------------------------------------

START_TEST(registers_of_long_mode_are_read)
{
    static const char text[] =
        "CPU#0\r\nRAX=ffffffff81000000 RBX=0000000000000002 RCX=3 RDX=4\r\n"
        "RSI=5 RDI=6 RBP=7 RSP=0000000000107f98\r\nR8 =8 R9 =9 R10=a R11=b\r\n"
        "R12=c R13=d R14=e R15=f\r\nRIP=000000000010070c RFL=00000046 [---Z-P-] CPL=0\r\n"
        "CR0=80010011 CR2=ffff800000dead00 CR3=0000000000105000 CR4=00000020\r\n";
    struct machine_state state;
    ck_assert(qmp_registers(text, &state));
    ck_assert_uint_eq(state.rip, 0x10070c);
    ck_assert_uint_eq(state.rflags, 0x46);
    ck_assert_uint_eq(state.cr2, 0xffff800000dead00);
    ck_assert_uint_eq(state.cr3, 0x105000);
    ck_assert_uint_eq(state.registers[0], 0xffffffff81000000);
    ck_assert_uint_eq(state.registers[STATE_RSP], 0x107f98);
    for (unsigned i = 8; i < 16; i++)
        ck_assert_uint_eq(state.registers[i], i);
}
END_TEST

START_TEST(registers_of_protected_mode_are_read)
{
    struct machine_state state;
    ck_assert(
        qmp_registers("EAX=00000001 EBX=2\r\nESP=00006f00\r\nEIP=0000fff0 EFL=2\r\n", &state));
    ck_assert_uint_eq(state.rip, 0xfff0);
    ck_assert_uint_eq(state.registers[STATE_RSP], 0x6f00);
    ck_assert(!qmp_registers("unknown command: 'info registers'\r\n", &state));
    ck_assert(!qmp_registers("RIP=1 RAX=2\r\n", &state));
    ck_assert(!qmp_registers("", &state));
}
END_TEST

START_TEST(memory_words_are_read)
{
    uint8_t bytes[24];
    ck_assert_uint_eq(qmp_words("0000000000107f98: 0x0000000000000001 0x8877665544332211\r\n"
                                "0000000000107fa8: 0x00000000000000ff 0x1\r\n",
                                bytes, sizeof(bytes)),
                      24);
    const uint8_t expected[24] = {1,    0,    0,    0,    0,    0, 0, 0, 0x11, 0x22, 0x33, 0x44,
                                  0x55, 0x66, 0x77, 0x88, 0xff, 0, 0, 0, 0,    0,    0,    0};
    ck_assert_mem_eq(bytes, expected, 24);
    ck_assert_uint_eq(qmp_words("0000000000000000: Cannot access memory\r\n", bytes, 24), 0);
    ck_assert_uint_eq(qmp_words("Cannot access memory at address 0x1234\r\n", bytes, 24), 0);
    ck_assert_uint_eq(qmp_words("", bytes, 24), 0);
}
END_TEST

// ---- words -------------------------------------------------------------------------------------

START_TEST(text_is_cleaned)
{
    char out[16];
    text_clean(out, sizeof(out), "a\x1b[0m\xff\tb\r\n", 10);
    ck_assert_str_eq(out, "a.[0m. b");
    text_clean(out, 4, "abcdef", 6);
    ck_assert_str_eq(out, "abc");
    text_clean(out, 1, "abc", 3);
    ck_assert_str_eq(out, "");
    text_clean(out, sizeof(out), "a\0b", 3);
    ck_assert_str_eq(out, "a.b");
}
END_TEST

START_TEST(names_and_numbers_are_strict)
{
    uint64_t value;
    char longest[RECORD_NAME_MOST + 2];
    memset(longest, 'a', sizeof(longest));
    longest[RECORD_NAME_MOST + 1] = '\0';
    ck_assert(!text_is_name(longest));
    longest[RECORD_NAME_MOST] = '\0';
    ck_assert(text_is_name(longest));
    ck_assert(text_is_name("a/b:c.d_e-F9"));
    ck_assert(!text_is_name("") && !text_is_name("a b") && !text_is_name("a\n"));
    ck_assert(text_is_folder_name("20261121T101500Z-1a2b3c4"));
    ck_assert(!text_is_folder_name("..") && !text_is_folder_name("a/b"));
    ck_assert(!text_is_folder_name("-rf"));
    ck_assert(text_number("18446744073709551615", UINT64_MAX, &value) && value == UINT64_MAX);
    ck_assert(!text_number("18446744073709551616", UINT64_MAX, &value));
    ck_assert(!text_number("", 9, &value) && !text_number("10", 9, &value));
    ck_assert(!text_number("+1", 9, &value) && !text_number("1 ", 9, &value));
}
END_TEST

// ---- places ------------------------------------------------------------------------------------

static void unwind_text(const struct machine_state *state, char *place, struct buffer *text)
{
    unwind("/proc/self/exe", state, text, place, 200);
    buffer_add(text, "", 1);
}

START_TEST(wild_addresses_are_no_crash)
{
    static const uint64_t wild[] = {0, 1, 0xffff800000000000, UINT64_MAX, 0x400000};
    struct machine_state state = {.named = true};
    struct buffer text = {0};
    char place[200];
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        for (size_t k = 0; k < sizeof(wild) / sizeof(wild[0]); k++) {
            state.rip = wild[i];
            state.registers[STATE_RSP] = wild[k];
            state.stack_length = k % 2 == 0 ? sizeof(state.stack) : 3;
            memset(state.stack, (int)(17 * i), sizeof(state.stack));
            text.length = 0;
            unwind_text(&state, place, &text);
            ck_assert_ptr_nonnull(strstr((char *)text.bytes, "#0  0x"));
            ck_assert_ptr_nonnull(strstr(place, "0x"));
        }
    }
    buffer_free(&text);
}
END_TEST

START_TEST(an_image_that_is_no_program_is_no_crash)
{
    const struct machine_state state = {.named = true, .rip = 0x1000};
    struct buffer text = {0};
    uint8_t id[20];
    char place[200], why[DETAIL_MOST] = "";
    unwind("/dev/null", &state, &text, place, sizeof(place));
    ck_assert_ptr_nonnull(strstr(place, "0x1000"));
    ck_assert_uint_eq(facts_build_id("/dev/null", id, sizeof(id), why, sizeof(why)), 0);
    ck_assert_ptr_nonnull(strstr(why, "no ELF file"));
    buffer_free(&text);
}
END_TEST

static Suite *text_suite(void)
{
    Suite *suite = suite_create("recorder_text");
    TCase *tests = tcase_create("text");
    tcase_set_timeout(tests, 30);
    tcase_add_loop_test(tests, json_values_are_found, 0,
                        (int)(sizeof(json_cases) / sizeof(json_cases[0])));
    tcase_add_test(tests, json_nested_without_end_is_refused);
    tcase_add_test(tests, registers_of_long_mode_are_read);
    tcase_add_test(tests, registers_of_protected_mode_are_read);
    tcase_add_test(tests, memory_words_are_read);
    tcase_add_test(tests, text_is_cleaned);
    tcase_add_test(tests, names_and_numbers_are_strict);
    tcase_add_test(tests, wild_addresses_are_no_crash);
    tcase_add_test(tests, an_image_that_is_no_program_is_no_crash);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    return run_checks(text_suite());
}
