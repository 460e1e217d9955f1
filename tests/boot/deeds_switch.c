// SPDX-License-Identifier: MIT
// Every context switch in every form under interrupts: at random distances, on several CPUs at
// once, and one instruction after the other. The interrupt's handler switches away itself, to a
// context that leaves nothing in the registers as it was, and back.
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "deeds.h"
#include "format.h"
#include "interrupts.h"
#include "machine_cpu.h"
#include "platform.h"
#include "random.h"
#include "stacks.h"
#include "string.h"
#include "switch_patterns.h"
#include "thread.h"
#include "vectors.h"

#define CREWS          8u // CPUs
#define CONTEXTS       3u
#define STACK_BYTES    8192u
#define CONTEXT_BYTES  2048u
#define DISTANCE_LEAST 2000u  // ticks of the timer: nanoseconds in QEMU
#define DISTANCE_MOST  60000u // likewise
#define WAIT_MS        7200000u
#define STEPS_MOST     8000u
#define HIT_WORDS      16u // a bit for each byte of the code that is stepped through

#define INTERRUPTS_LEAST 8u   // of each storm
#define MORE_TURNS       100u // times as many as asked for, until they have come

#define VARIANT_OPS(name) &switch_##name##_ops,
static const struct switch_ops *const variants[] = {SWITCH_VARIANTS(VARIANT_OPS)};

struct one {
    uint8_t context[CONTEXT_BYTES] CACHE_ALIGNED;
    struct crew *crew;
    struct one *next;
    uint64_t seed, rounds;
    struct random random;
    unsigned number;
};

// What one CPU works with. The handler runs on the same CPU, inside of what it interrupts.
struct crew {
    struct one ones[CONTEXTS];
    void (*work)(struct one *one);
    const struct switch_ops *ops;
    void *(*leave)(void *from, void *to);
    const struct function *function;
    uint64_t count, changed, switches;
    struct cpu_full interrupted, intruder;
    struct random distances;
    bool again; // the timer is set anew by its handler
    uint64_t interrupts;
    uint64_t last_rip;
};

static struct crew crews[CREWS];
static uint8_t stacks[CREWS][CONTEXTS + 1][STACK_BYTES] __attribute__((aligned(16)));

static struct crew *own_crew(void)
{
    return &crews[cpu_local()->index];
}

// ---- the interrupt ------------------------------------------------------------------------------

// Begins, and goes on each time, with what the handler left in the registers.
static void intrude(void *argument)
{
    struct crew *const crew = argument;
    for (;;) {
        __asm__ volatile("movq $-1, %%rbx; movq %%rbx, %%r12; movq %%rbx, %%r13;"
                         "movq %%rbx, %%r14; movq %%rbx, %%r15"
                         :
                         :
                         : "rbx", "r12", "r13", "r14", "r15");
        (void)cpu_full_jmp(&crew->intruder, &crew->interrupted);
    }
}

static void on_timer(void *context, const struct trap_frame *frame)
{
    struct crew *const crew = own_crew();
    (void)context;
    crew->interrupts++;
    crew->last_rip = frame->rip;
    (void)cpu_full_jmp(&crew->interrupted, &crew->intruder);
    if (crew->again)
        apic_timer_one_shot(&machine_cpu_here()->apic,
                            DISTANCE_LEAST +
                                (uint32_t)random_below(&crew->distances, DISTANCE_MOST));
}

static void set_timer(uint32_t ticks)
{
    const bool on = interrupts_off();
    apic_timer_one_shot(&machine_cpu_here()->apic, ticks);
    interrupts_restore(on);
}

static void stop_timer(struct crew *crew)
{
    const bool on = interrupts_off();
    crew->again = false;
    apic_timer_stop(&machine_cpu_here()->apic);
    interrupts_restore(on);
    cpu_pause(); // one that is on its way arrives
}

// ---- contexts that check themselves -------------------------------------------------------------

static bool vectors_as(uint32_t mxcsr, uint64_t number)
{
    uint64_t low;
    __asm__ volatile("movq %%xmm7, %0" : "=r"(low));
    return read_mxcsr() == mxcsr && low == number;
}

// A dozen values live across the switch and a stack full of patterns; another rounding mode in each
// context and another number in a vector register, where the switch keeps these.
static void hold_live(struct one *one)
{
    struct crew *const crew = one->crew;
    const uint32_t mxcsr = MXCSR_USUAL | (one->number % 4) << 13;
    const uint64_t seed = one->seed + one->rounds;
    uint64_t stack[24];
    for (unsigned i = 0; i < ARRAY_COUNT(stack); i++)
        stack[i] = seed * (i + 1);
    uint64_t a = seed, b = seed + 1, c = seed + 2, d = seed + 3, e = seed + 4, f = seed + 5;
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f) : : "memory");
    if (keeps_vectors(crew->ops)) {
        set_mxcsr(mxcsr);
        __asm__ volatile("movq %0, %%xmm7" : : "r"(seed));
    }
    const void *const own = crew->leave(one->context, one->next->context);
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f) : : "memory");
    bool good = own == one->context && a == seed && b == seed + 1 && c == seed + 2 &&
                d == seed + 3 && e == seed + 4 && f == seed + 5;
    for (unsigned i = 0; i < ARRAY_COUNT(stack); i++)
        good = good && stack[i] == seed * (i + 1);
    good = good && (!keeps_vectors(crew->ops) || vectors_as(mxcsr, seed));
    crew->changed += !good;
    crew->switches++;
    one->rounds++;
}

// All registers and flags, where a function keeps them by itself.
static void hold_registers(struct one *one)
{
    struct registers in, out = {0};
    struct crew *const crew = one->crew;
    uint64_t *const word = &in.rax;
    for (unsigned i = 0; i < sizeof(in) / sizeof(uint64_t); i++)
        word[i] = random_u64(&one->random);
    in.flags = (in.flags & FLAGS_SEEN) | FLAGS_ON;
    with_registers(&in, &out, one->context, one->next->context, crew->function->function);
    crew->changed += what_changed(crew->function->kept, &in, &out) != NULL;
    crew->switches++;
    one->rounds++;
}

static void work_for_ever(void *argument)
{
    struct one *const one = argument;
    for (;;)
        one->crew->work(one);
}

// ---- one CPU's crew -----------------------------------------------------------------------------

// The code of each form, in a function of its own.
#define LEAVE(name)                                                                                \
    static NOINLINE void *leave_##name##_inline(void *from, void *to)                              \
    {                                                                                              \
        return switch_##name##_ops.inline_(from, to);                                              \
    }                                                                                              \
    static NOINLINE void *leave_##name##_jmp(void *from, void *to)                                 \
    {                                                                                              \
        return switch_##name##_ops.jmp(from, to);                                                  \
    }                                                                                              \
    static NOINLINE void *leave_##name##_ret(void *from, void *to)                                 \
    {                                                                                              \
        return switch_##name##_ops.ret(from, to);                                                  \
    }
SWITCH_VARIANTS(LEAVE)

#define LEAVES(name) {leave_##name##_inline, leave_##name##_jmp, leave_##name##_ret},
static void *(*const leaves[][FORMS])(void *from, void *to) = {SWITCH_VARIANTS(LEAVES)};

static void gather(struct crew *crew, const struct switch_ops *ops, enum form form,
                   void (*work)(struct one *one))
{
    const unsigned cpu = (unsigned)(crew - crews);
    crew->ops = ops;
    crew->work = work;
    for (unsigned i = 0; i < CONTEXTS; i++) {
        struct one *const one = &crew->ones[i];
        memset(one->context, 0, sizeof(one->context));
        one->crew = crew;
        one->next = &crew->ones[(i + 1) % CONTEXTS];
        one->number = i + 1;
        one->rounds = 0;
        one->seed = 0x9e3779b97f4a7c15u * (cpu * CONTEXTS + i + 1);
        one->random = random_seeded(one->seed);
        if (i > 0)
            ops->make(one->context, stacks[cpu][i] + STACK_BYTES, work_for_ever, one,
                      form == FORM_RET);
    }
    switch_full_ops.make(&crew->intruder, stacks[cpu][CONTEXTS] + STACK_BYTES, intrude, crew,
                         false);
}

static void gather_live(struct crew *crew, size_t variant, enum form form)
{
    crew->leave = leaves[variant][form];
    gather(crew, variants[variant], form, hold_live);
}

static void gather_registers(struct crew *crew, const struct function *function)
{
    crew->function = function;
    gather(crew, function->ops, function->form, hold_registers);
}

static bool works(const struct switch_ops *ops)
{
    return ops->works == NULL || ops->works();
}

// ---- storms -------------------------------------------------------------------------------------

// Whether there is more to do after `turns` of `count`: a computer that others use lets time pass
// without interrupts, so some have to come, too; not for ever.
static bool goes_on(const struct crew *crew, uint64_t turns, uint64_t count, uint64_t interrupts)
{
    return turns < count || (turns < MORE_TURNS * count &&
                             __atomic_load_n(&crew->interrupts, __ATOMIC_RELAXED) < interrupts);
}

static void storm(struct crew *crew)
{
    const uint64_t enough = crew->interrupts + INTERRUPTS_LEAST;
    crew->again = true;
    set_timer(DISTANCE_LEAST);
    for (uint64_t i = 0; goes_on(crew, i, crew->count / CONTEXTS, enough); i++)
        crew->work(&crew->ones[0]);
    stop_timer(crew);
    set_mxcsr(MXCSR_USUAL);
}

// All of them on this CPU.
static void storm_here(void *argument)
{
    struct crew *const crew = own_crew();
    crew->count = *(const uint64_t *)argument;
    crew->distances = random_seeded(deeds_option("seed", 1) + cpu_local()->index);
    for (size_t v = 0; v < ARRAY_COUNT(variants); v++) {
        for (unsigned form = 0; form < FORMS && works(variants[v]); form++) {
            gather_live(crew, v, (enum form)form);
            storm(crew);
        }
    }
    for (unsigned i = 0; i < ARRAY_COUNT(functions); i++) {
        gather_registers(crew, &functions[i]);
        storm(crew);
    }
}

// count= switches of each variant and form, on all CPUs.
void switch_storm_deed(void)
{
    static uint64_t count;
    uint64_t changed = 0, switches = 0, least = UINT64_MAX, most = 0;
    const unsigned cpus = (unsigned)min_u64(platform_cpu_count(), CREWS);
    count = deeds_option("count", 10000);
    interrupt_handle(INTERRUPT_TIMER, on_timer, NULL);
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        platform_cpu_start(cpu, storm_here, &count);
    storm_here(&count);
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        platform_cpu_wait(cpu, WAIT_MS);
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        changed += crews[cpu].changed;
        switches += crews[cpu].switches;
        least = min_u64(least, crews[cpu].interrupts);
        most = max_u64(most, crews[cpu].interrupts);
    }
    deeds_say("switch.cpus", cpus);
    deeds_say("switch.xsave", cpu_has_xsave());
    deeds_say("switch.switches", switches);
    deeds_say("switch.changed", changed);
    deeds_say("switch.interrupts_least", least);
    deeds_say("switch.interrupts_most", most);
}

// ---- one instruction after the other ------------------------------------------------------------

// An interrupt after 1, 2, 3... ticks of a clock that counts instructions, until one comes only
// when a whole turn of all contexts is over. Says at which bytes of `code` interrupts came.
static void step_through(const char *name, const char *form, uintptr_t code)
{
    struct crew *const crew = own_crew();
    uint64_t hits[HIT_WORDS] = {0};
    char line[512];
    uint32_t steps = 0;
    bool came = true;
    crew->changed = 0;
    crew->work(&crew->ones[0]); // all contexts have begun
    while (came && steps < STEPS_MOST) {
        const uint64_t before = crew->interrupts;
        set_timer(++steps);
        crew->work(&crew->ones[0]);
        came = crew->interrupts != before;
        stop_timer(crew);
        const uint64_t at = crew->last_rip - code;
        if (came && at < 64 * HIT_WORDS)
            hits[at / 64] |= (uint64_t)1 << at % 64;
    }
    set_mxcsr(MXCSR_USUAL);
    size_t length = format(line, sizeof(line), "probe step.%s.%s=%lx %u %lu", name, form, code,
                           steps, crew->changed);
    for (unsigned i = 0; i < HIT_WORDS; i++)
        length += format(line + length, sizeof(line) - length, " %lx", hits[i]);
    line[length++] = '\n';
    platform_line_write(line, length);
}

static uintptr_t address_of(void (*function)(void))
{
    return (uintptr_t)function;
}

void switch_steps_deed(void)
{
    struct crew *const crew = own_crew();
    const uintptr_t windows[FORMS] = {0, address_of(cpu_window_jmp_function),
                                      address_of(cpu_window_ret_function)};
    interrupt_handle(INTERRUPT_TIMER, on_timer, NULL);
    for (size_t v = 0; v < ARRAY_COUNT(variants); v++) {
        for (unsigned form = 0; form < FORMS && works(variants[v]); form++) {
            const bool window = form != FORM_INLINE && variants[v] == &switch_windowed_ops;
            gather_live(crew, v, (enum form)form);
            step_through(variants[v]->about.name, form_names[form],
                         window ? windows[form] : (uintptr_t)leaves[v][form]);
        }
    }
    for (unsigned i = 0; i < ARRAY_COUNT(functions); i++) {
        gather_registers(crew, &functions[i]);
        step_through(functions[i].ops == &switch_full_ops ? "full_function" : "classic_function",
                     form_names[functions[i].form], address_of(functions[i].function));
    }
}

// ---- a thread's stack ---------------------------------------------------------------------------

static struct thread boot_thread, deep_thread;
static uint8_t deep_stack[16384] __attribute__((aligned(PAGE_SIZE)));

NOINLINE uint64_t deeds_descend(uint64_t depth)
{
    volatile uint8_t room[512];
    room[depth % sizeof(room)] = (uint8_t)depth;
    return depth == UINT64_MAX ? 0 : deeds_descend(depth + 1) + room[0];
}

static void be_deep(void *argument)
{
    *(uint64_t *)argument = deeds_descend(0);
}

// A thread that needs more stack than it has, above a guard page.
void thread_overflow_deed(void)
{
    static uint64_t result;
    const size_t room = sizeof(deep_stack) - PAGE_SIZE;
    if (stacks_add_thread("deep", deep_stack, sizeof(deep_stack)) != STATUS_OK)
        platform_panic("no guard page", __FILE__, __LINE__);
    thread_adopt(&boot_thread, "boot");
    thread_create(&deep_thread, "deep", deep_stack + PAGE_SIZE, room, be_deep, &result);
    interrupts_off();
    cpu_preempt_disable();
    thread_switch(&deep_thread);
}

// ---- vector state, handed over lazily -----------------------------------------------------------

struct holder {
    struct cpu_full context;
    struct vectors state;
    struct holder *next;
    uint64_t number;
    unsigned every; // uses vector registers in each so manyth turn; 0: never
};

static struct holder holders[4];
static uint64_t lazy_changed, lazy_uses;

static void hold_vectors(struct holder *own, uint64_t turn)
{
    const uint32_t mxcsr = MXCSR_USUAL | (uint32_t)(own->number % 4) << 13;
    const bool uses = own->every != 0 && turn % own->every == 0;
    if (uses && turn > 0) { // as it was left `every` turns ago
        lazy_uses++;
        lazy_changed += !vectors_as(mxcsr, own->number * 1000000 + turn - own->every);
    }
    if (uses) {
        set_mxcsr(mxcsr);
        __asm__ volatile("movq %0, %%xmm7" : : "r"(own->number * 1000000 + turn));
    }
    const bool on = interrupts_off();
    vectors_lazy_switch(&own->next->state);
    (void)cpu_full_jmp(&own->context, &own->next->context);
    interrupts_restore(on);
}

static void hold_for_ever(void *argument)
{
    interrupts_on();
    for (uint64_t turn = 0;; turn++)
        hold_vectors(argument, turn);
}

// count= turns of four threads, one of which uses no vector registers, under the timer. xsave= how.
void vectors_lazy_deed(void)
{
    static const unsigned uses[] = {1, 0, 2, 3};
    struct crew *const crew = own_crew();
    const uint64_t count = deeds_option("count", 1000);
    const bool xsave = deeds_option("xsave", 0) != 0 && cpu_has_xsave();
    for (unsigned i = 0; i < ARRAY_COUNT(holders); i++) {
        holders[i].next = &holders[(i + 1) % ARRAY_COUNT(holders)];
        holders[i].number = i + 1;
        holders[i].every = uses[i];
        vectors_reset(&holders[i].state);
        if (i > 0)
            switch_full_ops.make(&holders[i].context, stacks[i][0] + STACK_BYTES, hold_for_ever,
                                 &holders[i], false);
    }
    gather_live(crew, 0, FORM_INLINE); // for its intruder
    interrupt_handle(INTERRUPT_TIMER, on_timer, NULL);
    vectors_lazy_begin(&holders[0].state, xsave);
    crew->again = true;
    set_timer(DISTANCE_LEAST);
    for (uint64_t turn = 0; goes_on(crew, turn, count, 3 * INTERRUPTS_LEAST); turn++)
        hold_vectors(&holders[0], turn);
    stop_timer(crew);
    const uint64_t handed = vectors_lazy[0].handed;
    vectors_lazy_end();
    set_mxcsr(MXCSR_USUAL);
    deeds_say("lazy.xsave", xsave);
    deeds_say("lazy.uses", lazy_uses);
    deeds_say("lazy.changed", lazy_changed);
    deeds_say("lazy.handed", handed);
    deeds_say("lazy.interrupts", crew->interrupts);
}
