// SPDX-License-Identifier: MIT
// The contract of targets/platform.h, checked on the target that this is linked into, in place of
// the benchmarks. Says as KTAP on the line what holds; fails if something does not. `plant=NAME`
// makes the platform break it (plants.c); `do=panic` ends in platform_panic.
//
// Every check is bounded: in turns, never by a clock that may stand still.
#include "compiler.h"
#include "format.h"
#include "memory_map.h"
#include "record.h"
#include "sched.h"
#include "seam.h"
#include "string.h"

#define TURNS          1000u
#define WAIT_TURNS     10000000u // for a clock to move on
#define AGREE_NS       20000000u // over which clock and counter are compared
#define AGREE_PERCENT  10u
#define ARENA_LEAST    ((size_t)16 << 20)
#define ALIGNMENT      ((size_t)2 << 20)
#define ARGUMENTS_MOST 4096u
#define ID_LEAST       8u
#define ID_MOST        64u
#define FACTS_MOST     128u

struct bench_run; // the benchmarks' own
int bench_main(struct bench_run *run);

// What a check says: NULL if the contract holds, else what is wrong.
typedef const char *check_body(void);
const char seam_skipped[] = "SKIP";

// ---- clock --------------------------------------------------------------------------------------

static const char *clock_never_runs_backwards(void)
{
    uint64_t last = seam.clock_ns();
    const bool there = last != 0;
    for (unsigned i = 0; i < TURNS; i++) {
        const uint64_t now = seam.clock_ns();
        if ((now != 0) != there)
            return "it is there and then it is not";
        if (now < last)
            return "an earlier time came after a later one";
        last = now;
    }
    return NULL;
}

static const char *clock_moves_on(void)
{
    const uint64_t start = seam.clock_ns();
    if (start == 0)
        return seam_skipped;
    for (unsigned i = 0; i < WAIT_TURNS; i++) {
        if (seam.clock_ns() > start)
            return NULL;
        cpu_pause();
    }
    return "it stands still";
}

// Only where the counter's frequency is more than a model's name plate.
static const char *clock_agrees_with_the_counter(void)
{
    const uint64_t hz = seam.clock_hz(), start_ns = seam.clock_ns(), start = cpu_ticks();
    if (seam.clock_class() != PLATFORM_CLOCK_TSC || hz == 0 || start_ns == 0)
        return seam_skipped;
    uint64_t ns = 0;
    for (unsigned i = 0; i < WAIT_TURNS && ns < AGREE_NS; i++)
        ns = seam.clock_ns() - start_ns;
    // Ticks of 20 ms and a little: far below 2^64 / 100 at any frequency there is.
    const uint64_t wanted = hz / 1000 * (ns / 1000) / 1000, ticks = cpu_ticks() - start;
    const uint64_t apart = max_u64(ticks, wanted) - min_u64(ticks, wanted);
    return ns < AGREE_NS                          ? "it stands still"
           : apart > wanted / 100 * AGREE_PERCENT ? "its seconds are not those of the counter"
                                                  : NULL;
}

static const char *clock_class_is_known_and_stays(void)
{
    const enum platform_clock class = seam.clock_class();
    if (class != PLATFORM_CLOCK_TSC && class != PLATFORM_CLOCK_INSN &&
        class != PLATFORM_CLOCK_EMULATED)
        return "there is no such class";
    for (unsigned i = 0; i < TURNS; i++) {
        if (seam.clock_class() != class)
            return "it changed";
    }
    return NULL;
}

static const char *clock_hz_stays(void)
{
    const uint64_t hz = seam.clock_hz();
    for (unsigned i = 0; i < TURNS; i++) {
        if (seam.clock_hz() != hz)
            return "it changed";
    }
    return NULL;
}

// ---- line ---------------------------------------------------------------------------------------

static const char *line_drops_nothing(void)
{
    // More than any FIFO holds. The other end looks whether all of it came.
    static char bytes[4096];
    memset(bytes, 'a', sizeof(bytes));
    memcpy(bytes, "# line ", 7);
    for (unsigned i = 7; i < sizeof(bytes) - 1; i++)
        bytes[i] = (char)('a' + i % 26);
    bytes[sizeof(bytes) - 1] = '\n';
    return seam.line_write(bytes, 0) != 0               ? "of nothing, something was dropped"
           : seam.line_write(bytes, sizeof(bytes)) != 0 ? "bytes were dropped"
                                                        : NULL;
}

static const char *line_reads_nothing_when_nothing_came(void)
{
    uint8_t bytes[16];
    for (unsigned i = 0; i < TURNS; i++) {
        memset(bytes, 0xa5, sizeof(bytes));
        if (seam.line_read(bytes, sizeof(bytes)) != 0 || seam.line_read(bytes, 0) != 0)
            return "bytes came";
        for (unsigned k = 0; k < sizeof(bytes); k++) {
            if (bytes[k] != 0xa5)
                return "the buffer was written to";
        }
    }
    return NULL;
}

// ---- memory -------------------------------------------------------------------------------------

static const char *arena_is_large_and_aligned(void)
{
    size_t length = 0;
    const uintptr_t start = (uintptr_t)seam.arena(&length);
    return start == 0 || start % ALIGNMENT != 0 ? "it is not aligned"
           : length < ARENA_LEAST               ? "it is too short"
                                                : NULL;
}

// The first look at its contents, so no check before it may write there.
static const char *arena_is_zeroed(void)
{
    size_t length;
    const uint64_t *arena = seam.arena(&length);
    uint64_t any = 0;
    for (size_t i = 0; i < length / sizeof(*arena); i++)
        any |= arena[i];
    return any != 0 ? "it has bytes that are not 0" : NULL;
}

static const char *arena_stays_and_keeps_what_was_written(void)
{
    size_t length, again;
    uint64_t *arena = seam.arena(&length);
    uint64_t *last = arena + length / sizeof(*arena) - 1;
    *arena = 0x1122334455667788u;
    *last = 0x99aabbccddeeff00u;
    for (unsigned i = 0; i < 3; i++) {
        if (seam.arena(&again) != arena || again != length)
            return "it is another one";
        if (*arena != 0x1122334455667788u || *last != 0x99aabbccddeeff00u)
            return "what was written is gone";
    }
    *arena = *last = 0;
    return NULL;
}

// True if some of the arena lies in a range of another kind than its own.
static bool gives_the_arena_away(const struct memory_map *map)
{
    size_t length;
    const uintptr_t arena = (uintptr_t)seam.arena(&length);
    for (unsigned i = 0; i < map->range_count; i++) {
        const struct memory_range *range = &map->ranges[i];
        if (range->kind != MEMORY_ARENA && range->start < arena + length &&
            range->start + range->length > arena)
            return true;
    }
    return false;
}

static const char *memory_map_is_sound_and_stays(void)
{
    const struct memory_map *map = seam.memory();
    static struct memory_map first;
    if (map == NULL || !memory_map_check(map))
        return "its ranges or nodes contradict each other";
    if (memory_map_bytes(map, MEMORY_RAM) + memory_map_bytes(map, MEMORY_ARENA) == 0)
        return "there is no RAM";
    if (!map->simulated && gives_the_arena_away(map))
        return "the arena is somebody else's";
    memcpy(&first, map, sizeof(first));
    for (unsigned i = 0; i < 3; i++) {
        if (seam.memory() != map || memcmp(map, &first, sizeof(first)) != 0)
            return "it changed";
    }
    return NULL;
}

// ---- words and bytes ----------------------------------------------------------------------------

static const char *arguments_stay_and_can_be_printed(void)
{
    const char *words = seam.arguments();
    const size_t length = string_length(words, ARGUMENTS_MOST);
    if (length == ARGUMENTS_MOST)
        return "they have no end";
    for (size_t i = 0; i < length; i++) {
        if (words[i] < 0x20 || words[i] > 0x7e)
            return "they hold what is no printable ASCII";
    }
    return seam.arguments() != words ? "they moved" : NULL;
}

static const char *build_id_stays_and_fits_into_its_buffer(void)
{
    uint8_t first[ID_MOST + 1], again[ID_MOST + 1];
    memset(first, 0xa5, sizeof(first));
    const size_t length = seam.build_id(first, ID_MOST);
    if (length < ID_LEAST || length > ID_MOST)
        return "it has no length of an id";
    for (size_t capacity = 0; capacity <= ID_MOST; capacity++) {
        memset(again, 0xa5, sizeof(again));
        const size_t given = seam.build_id(again, capacity);
        if (given > capacity)
            return "it is longer than its buffer";
        if (memcmp(again, first, given) != 0)
            return "it changed";
        for (size_t i = capacity; i < sizeof(again); i++) {
            if (again[i] != 0xa5)
                return "it was written beyond its buffer";
        }
    }
    return NULL;
}

// ---- facts --------------------------------------------------------------------------------------

struct facts {
    unsigned count;
    const char *wrong;
    uint64_t hash;
    char keys[FACTS_MOST][RECORD_NAME_MOST + 1];
};

static bool is_in_names(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == ':' || c == '/' || c == '-';
}

static uint64_t hash_text(uint64_t hash, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u; // FNV-1a
    return (hash ^ 0xff) * 0x100000001b3u;
}

static const char *wrong_with(struct facts *facts, const char *key, const char *value)
{
    const size_t key_length = string_length(key, RECORD_NAME_MOST + 1);
    const size_t value_length = string_length(value, RECORD_TEXT_MOST + 1);
    if (key_length == 0 || key_length > RECORD_NAME_MOST)
        return "a key is empty or too long";
    for (size_t i = 0; i < key_length; i++) {
        if (!is_in_names(key[i]))
            return "a key has characters that names have not";
    }
    if (value_length == 0 || value_length > RECORD_TEXT_MOST)
        return "a value is empty or too long";
    for (size_t i = 0; i < value_length; i++) {
        if (value[i] < 0x20 || value[i] > 0x7e)
            return "a value is not printable ASCII";
    }
    if (facts->count == FACTS_MOST)
        return "they are too many";
    for (unsigned i = 0; i < facts->count; i++) {
        if (string_equal(facts->keys[i], key))
            return "a key comes twice";
    }
    memcpy(facts->keys[facts->count++], key, key_length + 1);
    facts->hash = hash_text(hash_text(facts->hash, key, key_length), value, value_length);
    return NULL;
}

static unsigned lost_facts; // given with another context

static void take_fact(void *context, const char *key, const char *value)
{
    struct facts *facts = context;
    if (facts == NULL) {
        lost_facts++;
        return;
    }
    const char *wrong = wrong_with(facts, key, value);
    facts->wrong = facts->wrong == NULL ? wrong : facts->wrong;
}

static const char *facts_are_names_with_values_and_stay(void)
{
    static struct facts first, again;
    first.hash = again.hash = 0xcbf29ce484222325u;
    seam.describe(take_fact, &first);
    seam.describe(take_fact, &again);
    return lost_facts > 0        ? "they came with another context"
           : first.wrong != NULL ? first.wrong
           : first.count == 0    ? "there are none"
           : first.count != again.count || first.hash != again.hash ? "they changed"
                                                                    : NULL;
}

// ---- the CPU ------------------------------------------------------------------------------------

static const char *events_are_never_fewer(void)
{
    struct platform_events last = {0}, now;
    for (unsigned i = 0; i < TURNS; i++) {
        seam.events(&now);
        if (now.interrupts < last.interrupts || now.page_faults < last.page_faults ||
            now.migrations < last.migrations || now.preemptions < last.preemptions)
            return "a count went down";
        last = now;
    }
    return NULL;
}

static const char *cpu_base_points_at_itself(void)
{
    const struct cpu_local *local = seam.local();
    return local->self != local          ? "it points elsewhere"
           : seam.local() != local       ? "it changed"
           : local->index != 0           ? "the first CPU has another index than 0"
           : local->trace_buffer != NULL ? "something is traced"
                                         : NULL;
}

static const char *preemption_nests(void)
{
    const uint32_t before = cpu_local()->preempt_count;
    for (uint32_t depth = 1; depth <= 3; depth++) {
        seam.preempt_disable();
        if (cpu_local()->preempt_count != before + depth) {
            cpu_local()->preempt_count = before;
            return "one step is not one";
        }
    }
    for (uint32_t depth = 3; depth > 0; depth--)
        cpu_preempt_enable();
    return cpu_local()->preempt_count != before ? "it did not come back" : NULL;
}

static const char *unknown_way_to_die_returns(void)
{
    seam.die("");
    seam.die("of_no_known_kind");
    return NULL; // and here we are
}

// ---- further CPUs -------------------------------------------------------------------------------

#define CPU_WAIT_MS 20000u

static const char *cpus_are_counted_and_stay(void)
{
    const unsigned count = seam.cpu_count();
    if (count < 1 || count > CPU_MOST)
        return "there are none, or more than there can be";
    for (unsigned i = 0; i < TURNS; i++) {
        if (seam.cpu_count() != count)
            return "their number changes";
    }
    return NULL;
}

// Written by the CPU it is about, read after the wait for it.
static struct {
    unsigned calls, index;
    bool base, preemptible;
    uint64_t payload;
} seen[CPU_MOST];

static void look(void *argument)
{
    const unsigned index = cpu_local()->index;
    const unsigned cpu = (unsigned)(uintptr_t)argument % CPU_MOST;
    seen[cpu].calls++;
    seen[cpu].index = index;
    seen[cpu].base = cpu_local()->self == cpu_local();
    seen[cpu].preemptible = cpu_local()->preempt_count == 0;
    seen[cpu].payload = (uintptr_t)argument;
}

static const char *every_cpu_does_what_it_is_given(void)
{
    const unsigned count = seam.cpu_count();
    for (unsigned turn = 1; turn <= 3; turn++) {
        for (unsigned cpu = 1; cpu < count; cpu++) {
            if (!seam.cpu_start(cpu, look, (void *)(uintptr_t)(turn * CPU_MOST + cpu)))
                return "one does not take it";
        }
        for (unsigned cpu = 1; cpu < count; cpu++) {
            seam.cpu_wait(cpu, CPU_WAIT_MS);
            if (seen[cpu].calls != turn || seen[cpu].payload != turn * CPU_MOST + cpu)
                return "one did not do it, or not once";
            if (seen[cpu].index != cpu || !seen[cpu].base || !seen[cpu].preemptible)
                return "it was done by another one, or in a state no CPU should be in";
        }
    }
    return count == 1 ? seam_skipped : NULL;
}

static uint32_t go_on;

static void wait_for_it(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < WAIT_TURNS && __atomic_load_n(&go_on, __ATOMIC_ACQUIRE) == 0; i++)
        cpu_pause();
}

static const char *cpu_that_is_busy_or_not_there_is_refused(void)
{
    const unsigned count = seam.cpu_count();
    bool taken = false;
    if (seam.cpu_start(0, look, NULL) || seam.cpu_start(count, look, NULL) ||
        seam.cpu_start(UINT32_MAX, look, NULL))
        return "one that cannot be given anything takes it";
    seam.cpu_wait(count, 0); // nothing to wait for
    if (count == 1)
        return NULL;
    if (!seam.cpu_start(1, wait_for_it, NULL))
        return "one that has nothing to do does not take it";
    taken = seam.cpu_start(1, look, NULL);
    __atomic_store_n(&go_on, 1, __ATOMIC_RELEASE);
    seam.cpu_wait(1, CPU_WAIT_MS);
    return taken ? "one that is busy takes more" : NULL;
}

// ---- all of them --------------------------------------------------------------------------------

static const struct {
    const char *name;
    check_body *body;
} checks[] = {
    {"clock_never_runs_backwards", clock_never_runs_backwards},
    {"clock_moves_on", clock_moves_on},
    {"clock_agrees_with_the_counter", clock_agrees_with_the_counter},
    {"clock_class_is_known_and_stays", clock_class_is_known_and_stays},
    {"clock_hz_stays", clock_hz_stays},
    {"line_drops_nothing", line_drops_nothing},
    {"line_reads_nothing_when_nothing_came", line_reads_nothing_when_nothing_came},
    {"arena_is_large_and_aligned", arena_is_large_and_aligned},
    {"arena_is_zeroed", arena_is_zeroed},
    {"arena_stays_and_keeps_what_was_written", arena_stays_and_keeps_what_was_written},
    {"memory_map_is_sound_and_stays", memory_map_is_sound_and_stays},
    {"arguments_stay_and_can_be_printed", arguments_stay_and_can_be_printed},
    {"build_id_stays_and_fits_into_its_buffer", build_id_stays_and_fits_into_its_buffer},
    {"facts_are_names_with_values_and_stay", facts_are_names_with_values_and_stay},
    {"events_are_never_fewer", events_are_never_fewer},
    {"cpu_base_points_at_itself", cpu_base_points_at_itself},
    {"preemption_nests", preemption_nests},
    {"scheduler_is_whole_and_stays", scheduler_is_whole_and_stays},
    {"scheduler_runs_threads_on_every_cpu", scheduler_runs_threads_on_every_cpu},
    {"cpus_are_counted_and_stay", cpus_are_counted_and_stay},
    {"every_cpu_does_what_it_is_given", every_cpu_does_what_it_is_given},
    {"cpu_that_is_busy_or_not_there_is_refused", cpu_that_is_busy_or_not_there_is_refused},
    {"unknown_way_to_die_returns", unknown_way_to_die_returns},
};

// Past the seam: what is planted must not keep the report from coming.
__attribute__((format(printf, 1, 2))) static void say(const char *how, ...)
{
    char line[ARGUMENTS_MOST];
    va_list arguments;
    va_start(arguments, how);
    const size_t length = format_list(line, sizeof(line), how, arguments);
    va_end(arguments);
    platform_line_write(line, length);
}

static void say_build_id(void)
{
    uint8_t id[ID_MOST];
    char text[2 * ID_MOST + 1] = "";
    const size_t length = platform_build_id(id, sizeof(id));
    for (size_t i = 0; i < length; i++)
        format(text + 2 * i, sizeof(text) - 2 * i, "%02x", id[i]);
    say("# build_id %s\n", text);
}

static const char *name_of_scheduler(void)
{
    void *machine;
    const struct sched_cpu_ops *ops = platform_sched(&machine);
    return ops != NULL ? ops->name : "none";
}

int bench_main(struct bench_run *run)
{
    char word[32];
    bool whole = true;
    (void)run;
    if (CONFIG_TRACE)
        return 0; // the plain flavour has said it all
    say("KTAP version 1\n1..%u\n# arguments %s\n", (unsigned)ARRAY_COUNT(checks),
        platform_arguments());
    say_build_id();
    say("# cpus %u\n# scheduler %s\n", platform_cpu_count(), name_of_scheduler());
    if (string_option(platform_arguments(), "plant", word, sizeof(word)) && !seam_plant(word)) {
        say("Bail out! plant=%s: no such plant\n", word);
        return 1;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(checks); i++) {
        const char *wrong = checks[i].body();
        if (wrong == NULL || wrong == seam_skipped)
            say("ok %u %s%s\n", i + 1, checks[i].name, wrong == NULL ? "" : " # SKIP");
        else
            say("not ok %u %s # %s\n", i + 1, checks[i].name, wrong);
        whole = whole && (wrong == NULL || wrong == seam_skipped);
    }
    if (string_option(platform_arguments(), "do", word, sizeof(word)) &&
        string_equal(word, "panic"))
        platform_panic("asked to", __FILE__, __LINE__);
    say("# contract-end\n");
    return whole ? 0 : 1;
}
