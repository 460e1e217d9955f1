// SPDX-License-Identifier: MIT
// Stands in for the benchmarks in tests of the boot code and of the platform seam: reports, as
// text, what the kernel found, then does what `do=` on the command line says.
#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "format.h"
#include "platform.h"
#include "string.h"

struct bench_run; // the benchmarks' own: the probe has no use for it
int bench_main(struct bench_run *run);

void say(const char *key, const char *value)
{
    char line[256];
    platform_line_write(line, format(line, sizeof(line), "probe %s=%s\n", key, value));
}

void say_number(const char *key, uint64_t value)
{
    char text[32];
    format(text, sizeof(text), "%lu", value);
    say(key, text);
}

static void emit(void *context, const char *key, const char *value)
{
    *(unsigned *)context += 1;
    say(key, value);
}

static void say_build_id(void)
{
    uint8_t id[32];
    char text[2 * sizeof(id) + 1] = "";
    const size_t length = platform_build_id(id, sizeof(id));
    for (size_t i = 0; i < length; i++)
        format(text + 2 * i, sizeof(text) - 2 * i, "%02x", id[i]);
    say("build_id", text);
}

static void say_arena(void)
{
    size_t length, again;
    const uint64_t *arena = platform_arena(&length);
    size_t dirty = 0;
    for (size_t i = 0; i < length / sizeof(*arena); i += PAGE_SIZE / sizeof(*arena))
        dirty += arena[i] != 0 || arena[i + PAGE_SIZE / sizeof(*arena) - 1] != 0;
    say_number("arena.start", (uintptr_t)arena);
    say_number("arena.bytes", length);
    say_number("arena.dirty_pages", dirty);
    say_number("arena.same", platform_arena(&again) == arena && again == length);
}

static void say_clock(void)
{
    say_number("clock.class", platform_clock_class());
    say_number("clock.hz", platform_clock_hz());
    const uint64_t ns = platform_clock_ns(), ticks = cpu_ticks();
    while (cpu_ticks() - ticks < 2000000)
        cpu_pause();
    say_number("clock.ns_of_2m_ticks", platform_clock_ns() - ns);
    const uint64_t start = cpu_ticks_start();
    cpu_straight_run_100();
    say_number("clock.ticks_of_100", cpu_ticks_stop() - start);
}

static void say_events(void)
{
    struct platform_events events, of_run;
    struct platform_counters counters;
    platform_events(&events);
    platform_events_of_run(&of_run);
    say_number("events.known", events.known);
    say_number("events.of_run_known", of_run.known);
    say_number("events.smis", events.smis);
    say_number("events.steal_ns", of_run.steal_ns);
    say_number("counters", platform_counters(&counters));
}

// ---- `do=` -------------------------------------------------------------------------------------

// A call chain with frames of its own, for the unwinder.
static NOINLINE uint64_t fail_deeply(uint64_t depth)
{
    volatile uint64_t kept[4] = {depth};
    assert(depth < 5);
    return depth == UINT64_MAX ? 0 : fail_deeply(depth + 1) + kept[0];
}

static void write_to_text(void)
{
    *(volatile uint8_t *)(uintptr_t)bench_main = 0;
}

// `at=`, the address of the next three.
static uint64_t chosen_address(void)
{
    char word[32];
    uint64_t address = 0;
    string_option(platform_arguments(), "at", word, sizeof(word));
    assert(string_to_u64(word, UINT64_MAX, &address));
    return address;
}

static void read_at(void)
{
    say_number("read", *(volatile uint8_t *)(uintptr_t)chosen_address());
}

static void write_at(void)
{
    volatile uint64_t *place = (volatile uint64_t *)(uintptr_t)chosen_address();
    *place = 0x123456789abcdef0;
    say_number("written", *place == 0x123456789abcdef0);
}

static void call_at(void)
{
    void (*function)(void) = (void (*)(void))(uintptr_t)chosen_address();
    function();
}

static void execute_data(void)
{
    static uint8_t code[1] = {0xc3};
    void (*function)(void) = (void (*)(void))(uintptr_t)code;
    function();
}

static void call_null(void)
{
    void (*volatile function)(void) = NULL;
    function();
}

// Neither ours nor mapped: the report must do without the stack.
static void lose_stack(void)
{
    __asm__ volatile("movabsq $0xffff8000beef0000, %rsp; ud2");
}

// The report reads its reason here and faults itself.
static void panic_in_panic(void)
{
    platform_panic((const char *)0xffff8000beef0000u, __FILE__, __LINE__);
}

// Sends back what comes until a line feed.
static void echo(void)
{
    uint8_t bytes[64];
    for (bool more = true; more;) {
        const size_t count = platform_line_read(bytes, sizeof(bytes));
        for (size_t i = 0; i < count; i++)
            more = more && bytes[i] != '\n';
        platform_line_write(bytes, count);
    }
}

// 256 KiB in which every four bytes say where they stand.
static void flood(void)
{
    static uint32_t words[256];
    for (uint32_t at = 0; at < 65536; at += ARRAY_COUNT(words)) {
        for (uint32_t i = 0; i < ARRAY_COUNT(words); i++)
            words[i] = at + i;
        platform_line_write(words, sizeof(words));
    }
}

// To the transmitter of COM1 without asking whether it has room: a strict machine complains.
static void overrun(void)
{
    for (unsigned i = 0; i < 64; i++)
        __asm__ volatile("outb %0, %1" : : "a"((uint8_t)'.'), "Nd"((uint16_t)0x3f8));
}

static const struct {
    const char *name;
    void (*what)(void);
} deeds[] = {
    {"write_text", write_to_text},
    {"read_at", read_at},
    {"write_at", write_at},
    {"call_at", call_at},
    {"execute_data", execute_data},
    {"call_null", call_null},
    {"lose_stack", lose_stack},
    {"panic_in_panic", panic_in_panic},
    {"echo", echo},
    {"flood", flood},
    {"overrun", overrun},
};

int bench_main(struct bench_run *run)
{
    char word[32];
    unsigned facts = 0;
    (void)run;
    if (CONFIG_TRACE)
        return 0; // the plain flavour has said it all
    say("arguments", platform_arguments());
    platform_describe(emit, &facts);
    say_number("facts", facts);
    say_build_id();
    say_arena();
    say_clock();
    say_events();
    say("ready", "1");
    string_option(platform_arguments(), "do", word, sizeof(word));
    if (string_equal(word, "panic"))
        fail_deeply(0);
    for (unsigned i = 0; i < ARRAY_COUNT(deeds); i++) {
        if (string_equal(word, deeds[i].name))
            deeds[i].what();
    }
    platform_die(word);
    say("end", "1");
    return string_equal(word, "fail") ? 1 : 0;
}
