// SPDX-License-Identifier: MIT
// A preemption after 1, 2, 3... instructions of what threads call, until it comes when all is over:
// through yielding, waking and blocking, sleeping, starting and joining. For machines whose timer
// counts instructions.
#include "deeds_sched.h"

#include "compiler.h"
#include "deeds.h"
#include "format.h"
#include "interrupts.h"
#include "machine_cpu.h"
#include "platform.h"
#include "string.h"
#include "timer.h"

#define STEPS_MOST  20000u
#define SLEEP_NS    3000u
#define SLEEP_STEPS 6000u // the sleeper waits for the step that comes late: it never comes too late
#define PLACES_MOST 4096u
#define CROWD       4u // number of the first thread that only takes time

enum kind { KIND_PASS, KIND_BLOCK, KIND_SLEEP, KIND_JOIN, KINDS };
static const char *const kind_names[KINDS] = {"pass", "block", "sleep", "join"};

static struct {
    struct sched_cpu_ops ops;
    enum kind kind;
    bool stop, answered, stepping;
    uint64_t at_ns; // when the scheduler wants its timer
    uint64_t came;  // steps' interrupts
    uint64_t changed, wrong, joined;
    uint64_t steps[KINDS], preemptions[KINDS];
    // Where interrupts came, each once, in any order.
    unsigned places;
    uint64_t place[PLACES_MOST];
} step;

// ---- the timer ----------------------------------------------------------------------------------

// While a step is to come the timer is its own; the handler sets the scheduler's then.
static void set_timer(void *machine, uint64_t at_ns)
{
    (void)machine;
    step.at_ns = at_ns;
    if (step.stepping || at_ns == SCHED_NEVER)
        return;
    const uint64_t now = sched_deed_now();
    (void)timer_after_ns(at_ns > now ? at_ns - now : 0);
}

static void remember(uint64_t rip)
{
    for (unsigned i = 0; i < step.places; i++) {
        if (step.place[i] == rip)
            return;
    }
    if (step.places < PLACES_MOST)
        step.place[step.places++] = rip;
}

static void on_timer(void *context, const struct trap_frame *frame)
{
    struct sched_cpu *cpu = &deed_sched.cpus[0];
    (void)context;
    if (step.stepping) {
        step.stepping = false;
        step.came++;
        remember(frame->rip);
        cpu->current->slice_left_ns = 0; // it ends right here
        set_timer(NULL, step.at_ns);
    }
    sched_interrupt(&deed_sched, step.at_ns <= sched_deed_now());
}

static void begin_step(uint32_t instructions)
{
    const bool on = interrupts_off();
    step.stepping = true;
    apic_timer_one_shot(&machine_cpu_here()->apic, instructions);
    interrupts_restore(on);
}

// True if the interrupt came. If not, it never will.
static bool end_step(uint64_t before)
{
    const bool on = interrupts_off(), came = step.came != before;
    step.stepping = false;
    if (!came)
        set_timer(NULL, step.at_ns);
    interrupts_restore(on);
    return came;
}

// ---- threads ------------------------------------------------------------------------------------

static void answer(void *argument)
{
    (void)argument;
    while (!step.stop) {
        if (step.kind == KIND_PASS)
            sched_pass(&deed_sched);
        else
            sched_block(&deed_sched);
        step.answered = true;
        sched_wake(&deed_sched, &deed_threads[0]);
    }
}

static void end_at_once(void *argument)
{
    ++*(uint64_t *)argument;
}

static void take_time(void *argument)
{
    for (uint64_t seed = 1; !step.stop; seed++) {
        step.changed += patterns_hold(1, seed);
        sched_pass(&deed_sched);
    }
    (void)argument;
}

static void call(enum kind kind)
{
    const uint64_t joined = step.joined;
    uint64_t until;
    switch (kind) {
    case KIND_PASS:
        sched_pass(&deed_sched);
        break;
    case KIND_BLOCK:
        step.answered = false;
        sched_wake(&deed_sched, &deed_threads[1]);
        while (!step.answered)
            sched_block(&deed_sched);
        break;
    case KIND_SLEEP:
        until = sched_deed_now() + SLEEP_NS;
        while (sched_deed_now() < until)
            sched_sleep_until(&deed_sched, until);
        break;
    default:
        sched_deed_spawn(2, "short", end_at_once, &step.joined, 0);
        sched_join(&deed_sched, &deed_threads[2]);
        step.wrong += step.joined != joined + 1;
        break;
    }
}

// With a dozen values live across the call and a stack full of patterns.
static NOINLINE void call_holding(enum kind kind, uint64_t seed)
{
    uint64_t stack[16];
    for (unsigned i = 0; i < ARRAY_COUNT(stack); i++)
        stack[i] = seed * (i + 1);
    uint64_t a = seed, b = seed + 1, c = seed + 2, d = seed + 3, e = seed + 4, f = seed + 5;
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f) : : "memory");
    call(kind);
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f) : : "memory");
    bool good = a == seed && b == seed + 1 && c == seed + 2 && d == seed + 3 && e == seed + 4 &&
                f == seed + 5;
    for (unsigned i = 0; i < ARRAY_COUNT(stack); i++)
        good = good && stack[i] == seed * (i + 1);
    step.changed += !good;
}

static void look_at_order(void)
{
    const bool on = interrupts_off();
    step.wrong += !sched_check(&deed_sched) || deed_sched.cpus[0].current != &deed_threads[0];
    interrupts_restore(on);
}

static uint64_t preemptions_so_far(void)
{
    return deed_sched.cpus[0].statistics.preemptions;
}

static void step_through(void *argument)
{
    (void)argument;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        uint32_t steps = 0;
        bool came = true;
        step.kind = (enum kind)kind;
        sched_wake(&deed_sched, &deed_threads[1]); // it may wait in another kind's way
        call_holding(step.kind, 1);
        const uint64_t preemptions = preemptions_so_far();
        while (came && steps < (kind == KIND_SLEEP ? SLEEP_STEPS : STEPS_MOST)) {
            const uint64_t before = step.came;
            begin_step(++steps);
            call_holding(step.kind, steps);
            came = end_step(before);
            look_at_order();
        }
        step.steps[kind] = steps;
        step.preemptions[kind] = preemptions_so_far() - preemptions;
    }
    step.stop = true;
    sched_wake(&deed_sched, &deed_threads[1]);
}

// ---- all of it ----------------------------------------------------------------------------------

static void say_places(void)
{
    char line[24];
    platform_line_write("probe sched.places=", 19);
    for (unsigned i = 0; i < step.places; i++)
        platform_line_write(line, format(line, sizeof(line), "%lx ", step.place[i]));
    platform_line_write("\n", 1);
}

static void one(const struct sched_policy_ops *policy, bool crowd)
{
    char key[48];
    sched_deed_begin(policy, &step.ops, 1, 10 * NS_PER_MS);
    interrupt_handle(INTERRUPT_TIMER, on_timer, NULL);
    step.stop = step.stepping = false;
    step.at_ns = SCHED_NEVER;
    sched_deed_spawn(0, "steps", step_through, NULL, 0);
    sched_deed_spawn(1, "answers", answer, NULL, 0);
    for (unsigned i = 0; crowd && i < 2; i++)
        sched_deed_spawn(CROWD + i, "crowd", take_time, NULL, 0);
    sched_deed_run();
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const char *in = crowd ? "crowd_" : "";
        format(key, sizeof(key), "steps.%s%s", in, kind_names[kind]);
        sched_deed_say(policy, key, step.steps[kind]);
        format(key, sizeof(key), "preemptions.%s%s", in, kind_names[kind]);
        sched_deed_say(policy, key, step.preemptions[kind]);
    }
}

// all=1: every policy also with other threads that wait for the CPU.
void sched_steps_deed(void)
{
    const bool all = deeds_option("all", 0) != 0;
    step.ops = *sched_deed_ops();
    step.ops.set_timer = set_timer;
    for (unsigned p = 0; sched_deed_policy(p) != NULL; p++) {
        one(sched_deed_policy(p), false);
        if (all || p == 0)
            one(sched_deed_policy(p), true);
    }
    deeds_say("sched.steps_changed", step.changed);
    deeds_say("sched.steps_wrong", step.wrong);
    deeds_say("sched.steps_came", step.came);
    deeds_say("sched.steps_joined", step.joined);
    say_places();
}
