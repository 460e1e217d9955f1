// SPDX-License-Identifier: MIT
// Platforms that break the contract, each in one point: a check that none of them turns red checks
// nothing. tests/contract/test_contract.py has the list of what must turn which red.
#include "seam.h"

#include "compiler.h"
#include "memory_map.h"
#include "sched.h"
#include "string.h"

static void preempt_disable(void)
{
    cpu_preempt_disable();
}

static struct cpu_local *local(void)
{
    return cpu_local();
}

struct seam seam = {
    .clock_ns = platform_clock_ns,
    .clock_class = platform_clock_class,
    .clock_hz = platform_clock_hz,
    .line_write = platform_line_write,
    .line_read = platform_line_read,
    .arena = platform_arena,
    .memory = platform_memory,
    .arguments = platform_arguments,
    .build_id = platform_build_id,
    .describe = platform_describe,
    .events = platform_events,
    .cpu_count = platform_cpu_count,
    .cpu_start = platform_cpu_start,
    .cpu_wait = platform_cpu_wait,
    .sched = platform_sched,
    .die = platform_die,
    .local = local,
    .preempt_disable = preempt_disable,
};

// How often a lie was told: most are told once only, in the middle.
static uint64_t calls;

// ---- clock --------------------------------------------------------------------------------------

static uint64_t clock_backwards(void)
{
    return platform_clock_ns() - (++calls == 500 ? 1000000000u : 0);
}

static uint64_t clock_stuck(void)
{
    return 1000000000u;
}

static uint64_t clock_fast(void)
{
    return 2 * platform_clock_ns();
}

static uint64_t clock_comes_and_goes(void)
{
    return ++calls == 100 ? 0 : platform_clock_ns();
}

static enum platform_clock class_changes(void)
{
    return ++calls % 64 == 0 ? PLATFORM_CLOCK_INSN : PLATFORM_CLOCK_EMULATED;
}

static enum platform_clock class_unknown(void)
{
    return (enum platform_clock)7;
}

static uint64_t hz_changes(void)
{
    return 1000000000u + ++calls;
}

// ---- line ---------------------------------------------------------------------------------------

static size_t write_drops(const void *bytes, size_t length)
{
    const size_t half = length / 2, gap = length > 100 ? 1 : 0;
    return platform_line_write(bytes, half) + gap +
           platform_line_write((const uint8_t *)bytes + half + gap, length - half - gap);
}

static size_t read_noise(void *bytes, size_t capacity)
{
    if (capacity == 0)
        return 0;
    *(uint8_t *)bytes = 'x';
    return 1;
}

static size_t read_scribbles(void *bytes, size_t capacity)
{
    if (capacity > 0)
        ((uint8_t *)bytes)[capacity - 1] = 'x';
    return 0;
}

// ---- memory -------------------------------------------------------------------------------------

static void *arena_dirty(size_t *length)
{
    uint8_t *arena = platform_arena(length);
    if (calls++ == 0)
        arena[*length / 2 + 12345] = 1;
    return arena;
}

static void *arena_moves(size_t *length)
{
    uint8_t *arena = platform_arena(length);
    *length -= (size_t)8 << 20;
    return arena + (++calls % 2) * ((size_t)2 << 20);
}

static void *arena_unaligned(size_t *length)
{
    uint8_t *arena = platform_arena(length);
    *length -= (size_t)2 << 20;
    return arena + PAGE_SIZE;
}

static void *arena_short(size_t *length)
{
    void *arena = platform_arena(length);
    *length = (size_t)14 << 20;
    return arena;
}

static void *arena_cleared_again(size_t *length)
{
    uint8_t *arena = platform_arena(length);
    memset(arena, 0, PAGE_SIZE);
    return arena;
}

static struct memory_map maps[2];

static const struct memory_map *memory_moves(void)
{
    struct memory_map *copy = &maps[++calls % 2];
    *copy = *platform_memory();
    return copy;
}

static const struct memory_map *memory_changes(void)
{
    maps[0] = *platform_memory();
    maps[0].ranges[maps[0].range_count - 1].length += ++calls * PAGE_SIZE;
    return maps;
}

static const struct memory_map *memory_overlaps(void)
{
    maps[0] = *platform_memory();
    maps[0].ranges[0].length = 1ull << 50;
    return maps;
}

static const struct memory_map *memory_without_ram(void)
{
    maps[0] = *platform_memory();
    for (unsigned i = 0; i < maps[0].range_count; i++)
        maps[0].ranges[i].kind = MEMORY_RESERVED;
    return maps;
}

// As if nobody used it.
static const struct memory_map *memory_of_the_arena(void)
{
    size_t length;
    const uintptr_t arena = (uintptr_t)platform_arena(&length);
    maps[0] = *platform_memory();
    maps[0].simulated = false;
    memory_map_set(&maps[0], arena, arena + length, MEMORY_RAM);
    return maps;
}

// ---- words and bytes ----------------------------------------------------------------------------

static const char *arguments_move(void)
{
    static char copies[2][64];
    return copies[++calls % 2];
}

static const char *arguments_control(void)
{
    return "clock=emulated\tnote=x";
}

static size_t id_overflows(uint8_t *bytes, size_t capacity)
{
    const size_t length = platform_build_id(bytes, capacity);
    bytes[capacity] ^= 1;
    return length;
}

static size_t id_longer_than_asked(uint8_t *bytes, size_t capacity)
{
    const size_t length = platform_build_id(bytes, capacity);
    return length < capacity ? length : capacity + 1;
}

static size_t id_changes(uint8_t *bytes, size_t capacity)
{
    const size_t length = platform_build_id(bytes, capacity);
    if (length > 0)
        bytes[0] ^= (uint8_t)++calls;
    return length;
}

static size_t id_none(uint8_t *bytes, size_t capacity)
{
    (void)bytes;
    (void)capacity;
    return 0;
}

// ---- facts --------------------------------------------------------------------------------------

static void describe_bad_key(emit_fact *emit, void *context)
{
    platform_describe(emit, context);
    emit(context, "a key with spaces", "1");
}

static void describe_bad_value(emit_fact *emit, void *context)
{
    platform_describe(emit, context);
    emit(context, "value", "two\nlines");
}

static void describe_empty_value(emit_fact *emit, void *context)
{
    platform_describe(emit, context);
    emit(context, "value", "");
}

static void describe_twice(emit_fact *emit, void *context)
{
    platform_describe(emit, context);
    platform_describe(emit, context);
}

static void describe_changes(emit_fact *emit, void *context)
{
    platform_describe(emit, context);
    emit(context, "value", ++calls % 2 == 0 ? "0" : "1");
}

static void describe_nothing(emit_fact *emit, void *context)
{
    (void)emit;
    (void)context;
}

static void describe_to_nobody(emit_fact *emit, void *context)
{
    (void)context;
    platform_describe(emit, NULL);
}

// ---- the CPU ------------------------------------------------------------------------------------

static void events_backwards(struct platform_events *events)
{
    platform_events(events);
    events->preemptions += 1000 - ++calls % 300;
}

static void disable_twice(void)
{
    cpu_preempt_disable();
    cpu_local()->preempt_count++;
}

static void disable_never(void)
{
    __asm__ volatile("" : : : "memory");
}

static struct cpu_local *local_copy(void)
{
    static struct cpu_local copy;
    copy = *cpu_local();
    return &copy;
}

static struct cpu_local *local_second(void)
{
    static struct cpu_local second = {.self = &second, .index = 1};
    return &second;
}

static struct cpu_local *local_traced(void)
{
    static struct cpu_local traced = {.self = &traced, .trace_buffer = &traced};
    return &traced;
}

// ---- further CPUs -------------------------------------------------------------------------------

static unsigned no_cpus(void)
{
    return 0;
}

static unsigned cpus_change(void)
{
    return platform_cpu_count() + (++calls == 300);
}

static bool start_nothing(unsigned cpu, void (*function)(void *argument), void *argument)
{
    return platform_cpu_start(cpu, function, argument) && false;
}

static void do_nothing(void *argument)
{
    (void)argument;
}

static bool start_something_else(unsigned cpu, void (*function)(void *argument), void *argument)
{
    (void)function;
    return platform_cpu_start(cpu, do_nothing, argument);
}

static bool start_here(unsigned cpu, void (*function)(void *argument), void *argument)
{
    if (cpu > 0 && cpu < platform_cpu_count() && argument != NULL)
        function(argument);
    return cpu > 0 && cpu < platform_cpu_count() && argument != NULL;
}

static bool start_whatever(unsigned cpu, void (*function)(void *argument), void *argument)
{
    return platform_cpu_start(cpu, function, argument) || cpu >= platform_cpu_count();
}

static bool start_busy(unsigned cpu, void (*function)(void *argument), void *argument)
{
    return platform_cpu_start(cpu, function, argument) || (cpu > 0 && cpu < platform_cpu_count());
}

// ---- the scheduler's CPUs -----------------------------------------------------------------------

static struct sched_cpu_ops false_ops[2];

static struct sched_cpu_ops *copy_of_ops(void **machine)
{
    const struct sched_cpu_ops *own = platform_sched(machine);
    if (own == NULL)
        return NULL;
    false_ops[0] = *own;
    return &false_ops[0];
}

static const struct sched_cpu_ops *sched_without_kicks(void **machine)
{
    struct sched_cpu_ops *ops = copy_of_ops(machine);
    if (ops != NULL)
        ops->kick = NULL;
    return ops;
}

static const struct sched_cpu_ops *sched_moves(void **machine)
{
    struct sched_cpu_ops *ops = copy_of_ops(machine);
    false_ops[1] = false_ops[0];
    return ops != NULL ? &false_ops[++calls % 2] : NULL;
}

static uint64_t now_backwards(void *machine)
{
    (void)machine;
    return UINT64_MAX / 2 - ++calls;
}

static const struct sched_cpu_ops *sched_backwards(void **machine)
{
    struct sched_cpu_ops *ops = copy_of_ops(machine);
    if (ops != NULL)
        ops->now_ns = now_backwards;
    return ops;
}

static bool mask_forgets(void *machine)
{
    (void)machine;
    return true;
}

static const struct sched_cpu_ops *sched_forgets(void **machine)
{
    struct sched_cpu_ops *ops = copy_of_ops(machine);
    if (ops != NULL)
        ops->mask = mask_forgets;
    return ops;
}

// The threads of the first CPU do nothing.
static void make_idler(void *machine, struct sched_thread *thread, void (*entry)(void *argument))
{
    if (thread->affinity == 1)
        thread->entry = do_nothing;
    platform_sched(&machine)->make(machine, thread, entry);
}

static const struct sched_cpu_ops *sched_idles(void **machine)
{
    struct sched_cpu_ops *ops = copy_of_ops(machine);
    if (ops != NULL)
        ops->make = make_idler;
    return ops;
}

// ---- all of them --------------------------------------------------------------------------------

#define PLANT(name, field, function)                                                               \
    {                                                                                              \
        name, {.field = (function)}, offsetof(struct seam, field)                                  \
    }

static const struct {
    const char *name;
    struct seam lie; // with one field
    size_t at;
} plants[] = {
    PLANT("clock_backwards", clock_ns, clock_backwards),
    PLANT("clock_stuck", clock_ns, clock_stuck),
    PLANT("clock_fast", clock_ns, clock_fast),
    PLANT("clock_comes_and_goes", clock_ns, clock_comes_and_goes),
    PLANT("class_changes", clock_class, class_changes),
    PLANT("class_unknown", clock_class, class_unknown),
    PLANT("hz_changes", clock_hz, hz_changes),
    PLANT("write_drops", line_write, write_drops),
    PLANT("read_noise", line_read, read_noise),
    PLANT("read_scribbles", line_read, read_scribbles),
    PLANT("arena_dirty", arena, arena_dirty),
    PLANT("arena_moves", arena, arena_moves),
    PLANT("arena_unaligned", arena, arena_unaligned),
    PLANT("arena_short", arena, arena_short),
    PLANT("arena_cleared_again", arena, arena_cleared_again),
    PLANT("memory_moves", memory, memory_moves),
    PLANT("memory_changes", memory, memory_changes),
    PLANT("memory_overlaps", memory, memory_overlaps),
    PLANT("memory_without_ram", memory, memory_without_ram),
    PLANT("memory_of_the_arena", memory, memory_of_the_arena),
    PLANT("arguments_move", arguments, arguments_move),
    PLANT("arguments_control", arguments, arguments_control),
    PLANT("id_overflows", build_id, id_overflows),
    PLANT("id_longer_than_asked", build_id, id_longer_than_asked),
    PLANT("id_changes", build_id, id_changes),
    PLANT("id_none", build_id, id_none),
    PLANT("describe_bad_key", describe, describe_bad_key),
    PLANT("describe_bad_value", describe, describe_bad_value),
    PLANT("describe_empty_value", describe, describe_empty_value),
    PLANT("describe_twice", describe, describe_twice),
    PLANT("describe_changes", describe, describe_changes),
    PLANT("describe_nothing", describe, describe_nothing),
    PLANT("describe_to_nobody", describe, describe_to_nobody),
    PLANT("events_backwards", events, events_backwards),
    PLANT("no_cpus", cpu_count, no_cpus),
    PLANT("cpus_change", cpu_count, cpus_change),
    PLANT("start_nothing", cpu_start, start_nothing),
    PLANT("start_something_else", cpu_start, start_something_else),
    PLANT("start_here", cpu_start, start_here),
    PLANT("start_whatever", cpu_start, start_whatever),
    PLANT("start_busy", cpu_start, start_busy),
    PLANT("disable_twice", preempt_disable, disable_twice),
    PLANT("disable_never", preempt_disable, disable_never),
    PLANT("local_copy", local, local_copy),
    PLANT("local_second", local, local_second),
    PLANT("local_traced", local, local_traced),
    PLANT("sched_without_kicks", sched, sched_without_kicks),
    PLANT("sched_moves", sched, sched_moves),
    PLANT("sched_backwards", sched, sched_backwards),
    PLANT("sched_forgets", sched, sched_forgets),
    PLANT("sched_idles", sched, sched_idles),
};

bool seam_plant(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(plants); i++) {
        if (!string_equal(name, plants[i].name))
            continue;
        memcpy((uint8_t *)&seam + plants[i].at, (const uint8_t *)&plants[i].lie + plants[i].at,
               sizeof(void (*)(void)));
        return true;
    }
    return false;
}
