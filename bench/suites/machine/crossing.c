// SPDX-License-Identifier: MIT
// What else a kernel crosses where it switches: into another address space, into a handler and back
// out of it, into the thread that an interrupt woke.
//
// The interrupts are the CPU's own, sent to itself: from the instructions that send one (a masked
// write to the interrupt controller) to the first one of the handler, or of the thread, all is in
// the window. They count as what disturbs a window, too, so these two rows have no undisturbed
// ones.
#include "body.h"
#include "compiler.h"
#include "definitions_crossing.h"
#include "interrupts.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "platform.h"
#include "string.h"
#include "tlb.h"

#define WOKEN        32u // threads in a row, each woken by the one before it
#define STACK_BYTES  4096u
#define TABLES       8u // of two address spaces that have nothing but the kernel in them
#define TURNS_MOST   100000000u
#define PCID_HIGHEST 4095u // two of these are used: address_space.c hands them out from 1

#define SUITE             crossing
#define SUITE_MECHANISM   crossing
#define SUITE_VARIANTS(X) X(live)

#define SUITE_CASES(X, v)                                                                          \
    X(v, same_space, 512, false, 7, 512, 0, 2, 60,                                                 \
      "two contexts in turn, full switch leaving by JMP, all in one address space")                \
    X(v, space_reload, 512, false, 8, 512, 0, 2, 60,                                               \
      "the same, each in a space of its own: CR3 loaded, translations dropped")                    \
    X(v, space_keep, 512, false, 8, 512, 0, 2, 60,                                                 \
      "the same with a PCID each: CR3 loaded, none dropped; only where the CPU has PCIDs")         \
    X(v, interrupt, 64, true, 40, 64, 0, 2, 60,                                                    \
      "an interrupt sent to oneself, its entry, an empty handler, its end and the return")         \
    X(v, interrupt_thread, WOKEN, true, 40, WOKEN, 0, 2, 60,                                       \
      "an interrupt sent to oneself, to the first instruction of the thread that it wakes")

struct crossing_live_ops {
    struct variant about;
};

static const struct crossing_live_ops crossing_live_ops = {
    .about = {.name = "live",
              .what = "on this machine's CPU: its interrupt controller and its page tables",
              .role = VARIANT_PRODUCT}};

struct side {
    struct cpu_full context;
    struct side *next;
    uint64_t turns, root;
    unsigned pcid;
};

static struct crossing {
    bool made;
    struct side sides[2];
    uint64_t start; // sides[1].turns before the window
    bench_body *body;
    struct page_map maps[2];
    unsigned tables, vector;
    // Written by the handler and by who it interrupts, on one CPU.
    volatile uint64_t seen;
    volatile bool wake;               // the next thread is to run when the interrupt is over
    struct cpu_full woken[WOKEN + 1]; // 0: who began
    unsigned running;
    uint64_t length; // of the row of threads
    volatile uint64_t arrived;
} live;

static uint8_t tables[TABLES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t stacks[WOKEN + 1][STACK_BYTES] __attribute__((aligned(PAGE_SIZE)));

// ---- bodies -------------------------------------------------------------------------------------

enum space { SPACE_SAME, SPACE_RELOAD, SPACE_KEEP };

ALWAYS_INLINE struct side *leave(struct side *me, enum space space)
{
    struct side *const next = me->next;
    if (space != SPACE_SAME)
        tlb_machine_ops()->load(NULL, next->root, next->pcid, space == SPACE_KEEP);
    return (struct side *)cpu_full_jmp(&me->context, &next->context);
}

// `operations` is 0 for the side that never returns.
ALWAYS_INLINE uint64_t turns(struct crossing *one, uint64_t operations, enum space space)
{
    struct side *me = &one->sides[operations == 0];
    uint64_t left = operations == 0 ? UINT64_MAX : operations / 2;
    do {
        me->turns++;
        me = leave(me, space);
    } while (--left != 0);
    return 2 * (one->sides[1].turns - one->start);
}

ALWAYS_INLINE uint64_t same_space(const struct crossing_live_ops *ops, struct crossing *one,
                                  uint64_t operations)
{
    (void)ops;
    return turns(one, operations, SPACE_SAME);
}

ALWAYS_INLINE uint64_t space_reload(const struct crossing_live_ops *ops, struct crossing *one,
                                    uint64_t operations)
{
    (void)ops;
    return turns(one, operations, SPACE_RELOAD);
}

ALWAYS_INLINE uint64_t space_keep(const struct crossing_live_ops *ops, struct crossing *one,
                                  uint64_t operations)
{
    (void)ops;
    return turns(one, operations, SPACE_KEEP);
}

// With interrupts masked the controller is this code's alone.
ALWAYS_INLINE bool interrupt_oneself(const struct crossing *one)
{
    struct machine_cpu *const cpu = machine_cpu_here();
    interrupts_off();
    const enum status status = apic_send(&cpu->apic, cpu->apic_id, (uint8_t)one->vector);
    interrupts_on();
    return status == STATUS_OK;
}

ALWAYS_INLINE uint64_t interrupt(const struct crossing_live_ops *ops, struct crossing *one,
                                 uint64_t operations)
{
    const uint64_t first = one->seen;
    (void)ops;
    for (uint64_t i = 1; i <= operations; i++) {
        if (!interrupt_oneself(one))
            return BENCH_FAILED;
        for (uint64_t turn = 0; one->seen - first < i; turn++) {
            if (turn == TURNS_MOST)
                return BENCH_FAILED;
            cpu_pause();
        }
    }
    return one->seen - first;
}

// Waits for the interrupt that takes the CPU away for good, or until the last one gives it back.
ALWAYS_INLINE uint64_t interrupt_thread(const struct crossing_live_ops *ops, struct crossing *one,
                                        uint64_t operations)
{
    (void)ops;
    if (!interrupt_oneself(one))
        return BENCH_FAILED;
    for (uint64_t turn = 0; one->arrived < operations; turn++) {
        if (turn == TURNS_MOST)
            return BENCH_FAILED;
        cpu_pause();
    }
    return one->arrived;
}

SUITE_TABLES

// ---- threads that interrupts wake ---------------------------------------------------------------

static void be_woken(void *argument)
{
    struct crossing *const one = argument;
    one->arrived++;
    if (one->arrived == one->length)
        (void)cpu_full_jmp(&one->woken[one->running], &one->woken[0]);
    if (!interrupt_oneself(one))
        platform_panic("no interrupt can be sent to oneself", __FILE__, __LINE__);
    for (uint64_t turn = 0; turn < TURNS_MOST; turn++)
        cpu_pause();
    platform_panic("an interrupt sent to oneself does not arrive", __FILE__, __LINE__);
}

static void on_interrupt(void *context, const struct trap_frame *frame)
{
    struct crossing *const one = context;
    (void)frame;
    one->seen++;
    one->wake = one->length > 0;
}

// When the interrupt is over.
static void switch_to_woken(void)
{
    if (!live.wake)
        return;
    live.wake = false;
    const unsigned from = live.running++;
    (void)cpu_full_jmp(&live.woken[from], &live.woken[from + 1]);
}

static void end_of_interrupt(void)
{
    apic_end(&machine_cpu_here()->apic);
}

// ---- preparation --------------------------------------------------------------------------------

static uint64_t allocate(void *unused)
{
    (void)unused;
    if (live.tables == TABLES)
        return 0;
    memset(tables[live.tables], 0, PAGE_SIZE);
    return (uintptr_t)tables[live.tables++];
}

static void release(void *unused, uint64_t table)
{
    (void)unused;
    (void)table; // all at once, when the spaces are made again
}

static void unmake(void)
{
    if (live.made) {
        tlb_machine_ops()->load(NULL, kernel_map_pages()->root, 0, false);
        interrupts_init(end_of_interrupt, NULL);
        interrupt_release(live.vector);
    }
    memset(&live, 0, sizeof(live));
}

static bool make_spaces(void)
{
    static const struct page_memory of_tables = {.allocate = allocate, .release = release};
    for (unsigned i = 0; i < ARRAY_COUNT(live.maps); i++) {
        if (page_map_init(&live.maps[i], &of_tables, kernel_map_pages()->limits) != STATUS_OK ||
            page_map_share_low(&live.maps[i], kernel_map_pages()) != STATUS_OK)
            return false;
        live.sides[i].root = live.maps[i].root;
        live.sides[i].pcid = tlb_features().pcid ? PCID_HIGHEST - i : 0;
    }
    return true;
}

static void run_for_ever(void *argument)
{
    struct crossing *const one = argument;
    one->body(one, 0);
}

static void *prepare(size_t which, const void *ops, void *memory, size_t length, uint64_t seed)
{
    (void)ops;
    (void)memory;
    (void)length;
    (void)seed;
    unmake();
    live.vector = interrupt_claim(on_interrupt, &live);
    live.made = live.vector != 0;
    if (!live.made || !make_spaces())
        return NULL;
    live.body = bodies[which];
    live.sides[0].next = &live.sides[1];
    live.sides[1].next = &live.sides[0];
    (void)cpu_new_context(stacks[0] + STACK_BYTES, run_for_ever, &live, &live.sides[1].context.rsp,
                          &live.sides[1].context.rip);
    interrupts_init(end_of_interrupt, switch_to_woken);
    return &live;
}

static void before(size_t which, const void *ops, void *unused, uint64_t operations)
{
    (void)ops;
    (void)unused;
    live.start = live.sides[1].turns;
    live.arrived = live.running = 0;
    live.length = which == CASE_interrupt_thread ? operations : 0;
    for (unsigned i = 1; i <= live.length; i++)
        (void)cpu_new_context(stacks[i] + STACK_BYTES, be_woken, &live, &live.woken[i].rsp,
                              &live.woken[i].rip);
}

static uint64_t expected(size_t which, const void *unused, uint64_t operations)
{
    (void)which;
    (void)unused;
    return operations;
}

static bool applies(size_t which, const void *ops)
{
    (void)ops;
    if (which == CASE_interrupt || which == CASE_interrupt_thread)
        return machine_cpu_here()->apic.version != 0;
    return which != CASE_space_keep || tlb_features().pcid;
}

static bool check(size_t which, const void *ops, const void *unused)
{
    (void)ops;
    (void)unused;
    // A thread that was woken runs when the last window is over; and who began has its CPU back.
    return live.sides[0].turns == live.sides[1].turns &&
           (which != CASE_interrupt_thread || live.arrived == live.running);
}

static void finish(size_t which, const void *ops, void *unused)
{
    (void)which;
    (void)ops;
    (void)unused;
    unmake();
}

const struct bench_suite crossing_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "into another address space, into an interrupt's handler, into the thread it wakes",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .check = check,
    .finish = finish,
};
