// SPDX-License-Identifier: MIT
#include "line_host.h"

#include "clocks.h"
#include "cpu.h"
#include "format.h"
#include "kernel.h"
#include "last_words.h"
#include "meet.h"
#include "platform.h"
#include "string.h"
#include "x86.h"

#define SECOND_NS         1000000000u
#define WAIT_SECONDS      3600u
#define WAIT_SECONDS_MOST 86400u
// MC146818: an index register and the clock's seconds, minutes, hours, day, month and year.
#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71

static const uint8_t cmos_time[] = {0, 2, 4, 7, 8, 9};

bool line_host_speed(void)
{
    char word[16];
    uint64_t speed;
    if (!string_option(kernel.boot.arguments, "speed", word, sizeof(word)) || !kernel.line.present)
        return true;
    return string_to_u64(word, UINT32_MAX, &speed) && uart_set_speed(&kernel.line, (uint32_t)speed);
}

static bool set_speed(uint32_t speed)
{
    return uart_set_speed(&kernel.line, speed);
}

// A machine without a clock has at least the counter; the waiting is then only about as long as it
// should be.
static uint64_t now_ns(void)
{
    const uint64_t ns = clocks_ns();
    return ns != 0 ? ns : cpu_ticks();
}

// Another number at each start: by what time it is, and how long the firmware took.
static uint32_t boot_number(void)
{
    uint64_t number = cpu_ticks();
    for (unsigned i = 0; i < sizeof(cmos_time); i++) {
        x86_out8(CMOS_INDEX, cmos_time[i]);
        number = (number ^ x86_in8(CMOS_DATA)) * 0x9e3779b97f4a7c15u;
    }
    return (uint32_t)(number >> 32) | 1;
}

// False if they do not fit.
static bool add_words(const char *words)
{
    char *arguments = kernel.boot.arguments;
    const size_t length = string_length(arguments, BOOT_ARGUMENTS_MOST);
    const size_t more = string_length(words, BOOT_ARGUMENTS_MOST);
    if (length + 1 + more >= BOOT_ARGUMENTS_MOST)
        return false;
    arguments[length] = ' ';
    memcpy(arguments + length + 1, words, more + 1);
    return true;
}

bool line_host_meet(void)
{
    static struct meet meet;
    static struct meet_line line;
    uint8_t id[MEET_BUILD_ID_MOST];
    char word[16];
    uint64_t seconds = WAIT_SECONDS;
    const bool waits = string_option(kernel.boot.arguments, "wait", word, sizeof(word));
    if (waits && !string_to_u64(word, WAIT_SECONDS_MOST, &seconds))
        last_words_refused("wait= is seconds, 86400 at the most");
    const bool told = string_option(kernel.boot.arguments, "session", word, sizeof(word));
    if (told || !(kernel.framed || waits) || !kernel.line.present)
        return false;
    line = (struct meet_line){.write = platform_line_write,
                              .read = platform_line_read,
                              .set_speed = set_speed,
                              .clock_ns = now_ns,
                              .fastest = kernel.line.fastest,
                              .speed = kernel.line.speed};
    meet_init(&meet, &line, boot_number(), id, platform_build_id(id, sizeof(id)));
    const bool met = meet_host(&meet, seconds * SECOND_NS);
    if (!met && !kernel.framed)
        return false; // it goes on with what it was told
    if (!add_words(met ? meet.words : "output=text"))
        last_words_refused("the recorder's words are too long beside those of the boot loader");
    return true;
}

bool line_host_flow(void)
{
    char word[8];
    if (!string_option(kernel.boot.arguments, "flow", word, sizeof(word)))
        return true;
    const bool on = string_equal(word, "on");
    uart_wait_for_cts(&kernel.line, on);
    return on || string_equal(word, "off");
}

static const char *flow(void)
{
    if (!kernel.line.waits_cts)
        return "none";
    return kernel.line.deafened == 0 ? "CTS is waited for" : "CTS was off for longer than a second";
}

void line_host_describe(void (*emit)(void *context, const char *key, const char *value),
                        void *context)
{
    char text[16];
    format(text, sizeof(text), "%u", kernel.line.speed);
    emit(context, "line.speed", text);
    format(text, sizeof(text), "%u", kernel.line.fastest);
    emit(context, "line.fastest", text);
    emit(context, "line.flow", flow());
}
