// SPDX-License-Identifier: MIT
#include "sched_machine.h"

#include "assert.h"
#include "compiler.h"
#include "interrupts.h"
#include "platform.h"
#include "smp.h"
#include "stacks.h"
#include "timer.h"

#define LEAF_SHIFT 24u // of the byte that cpu_leaf_enter writes, in the preempt count
#define RFLAGS_TF  ((uint64_t)1 << 8)

// A CPU's own, interrupts masked.
static struct CACHE_ALIGNED own {
    struct sched *sched; // NULL: the CPU is in none
    uint64_t at_ns;      // when the scheduler wants its timer
    uint64_t armed_ns;   // what the timer is set to; it may fire earlier, and say so then
    // What the interrupt that is being handled here has interrupted; NULL outside of the two
    // handlers below.
    struct trap_frame *frame;
    bool steps; // through a leaf
} cpus[CPU_MOST];

static struct own *here(void)
{
    return &cpus[cpu_index()];
}

// ---- the timer ----------------------------------------------------------------------------------

static void arm(struct own *own)
{
    if (own->armed_ns <= own->at_ns)
        return;
    const uint64_t now = timer_now_ns();
    own->armed_ns = own->at_ns;
    (void)timer_after_ns(own->at_ns > now ? own->at_ns - now : 0);
}

static void set_timer(void *machine, uint64_t at_ns)
{
    struct own *own = here();
    (void)machine;
    own->at_ns = at_ns;
    arm(own);
}

// ---- interrupts ---------------------------------------------------------------------------------

static void interrupt(struct own *own, const struct trap_frame *frame, bool timer)
{
    // It is the entry's, which lets those change it whom it knows.
    own->frame = (struct trap_frame *)(uintptr_t)frame;
    own->sched->interrupt(own->sched, timer);
    own->frame = NULL;
}

static void on_timer(void *context, const struct trap_frame *frame)
{
    struct own *own = here();
    (void)context;
    if (own->sched == NULL)
        return;
    own->armed_ns = SCHED_NEVER;
    if (own->at_ns <= timer_now_ns()) {
        own->at_ns = SCHED_NEVER;
        interrupt(own, frame, true);
    }
    arm(own);
}

static void on_wake(void *context, const struct trap_frame *frame)
{
    struct own *own = here();
    (void)context;
    if (own->sched != NULL)
        interrupt(own, frame, false);
}

static void kick(void *machine, unsigned cpu)
{
    (void)machine;
    if (!smp_interrupt(cpu, INTERRUPT_WAKE))
        platform_panic("the interrupt controller does not send a kick", __FILE__, __LINE__);
}

static void idle(void *machine)
{
    (void)machine;
    interrupts_wait();
    (void)interrupts_off();
}

static bool mask(void *machine)
{
    (void)machine;
    return interrupts_off();
}

static void unmask(void *machine, bool let_in)
{
    (void)machine;
    interrupts_restore(let_in);
}

static bool preemptible(void *machine)
{
    (void)machine;
    return cpu_local()->preempt_count == 0; // interrupt_arrived counts too
}

static void preempt_here(void)
{
    // The thread may be moved in between: in the scheduler all CPUs know the same one.
    struct sched *sched = here()->sched;
    if (sched != NULL)
        sched->preempt(sched);
}

static bool in_leaf(void)
{
    return cpu_local()->preempt_count >> LEAF_SHIFT != 0;
}

static void defer(void *machine)
{
    struct own *own = here();
    cpu_local()->preempt_wanted = preempt_here;
    if (own->frame != NULL && in_leaf()) {
        own->steps = true;
        own->frame->rflags |= RFLAGS_TF;
    } else if (preemptible(machine) || in_leaf()) {
        // Only masked: the interrupt comes when that ends. In a leaf that another interrupt's
        // handler interrupted: it comes behind that one, with a frame.
        kick(machine, (unsigned)cpu_index());
    }
}

bool sched_machine_stepped(struct trap_frame *frame)
{
    struct own *own = here();
    if (!own->steps)
        return false;
    if (!in_leaf()) {
        own->steps = false;
        frame->rflags &= ~RFLAGS_TF;
        kick(NULL, (unsigned)cpu_index());
    }
    return true;
}

// ---- CPUs ---------------------------------------------------------------------------------------

static unsigned cpu(void *machine)
{
    (void)machine;
    return (unsigned)cpu_index();
}

static uint64_t now_ns(void *machine)
{
    (void)machine;
    return timer_now_ns();
}

static void enter(void *machine, struct sched_thread *idle_thread)
{
    struct own *own = here();
    assert(own->sched == NULL);
    sched_enter_context(machine, idle_thread);
    *own = (struct own){.sched = idle_thread->sched, .at_ns = SCHED_NEVER, .armed_ns = SCHED_NEVER};
}

// Kicks and timer interrupts that are on their way still find nobody.
static void leave(void *machine, struct sched_thread *idle_thread)
{
    struct own *own = here();
    timer_resume();
    own->sched = NULL;
    cpu_local()->preempt_wanted = NULL;
    sched_leave_context(machine, idle_thread);
}

static const struct sched_cpu_ops ops = {
    .name = "machine",
    .cpu = cpu,
    .now_ns = now_ns,
    .kick = kick,
    .set_timer = set_timer,
    .idle = idle,
    .mask = mask,
    .unmask = unmask,
    .preemptible = preemptible,
    .defer = defer,
    .make = sched_make_context,
    .switch_to = sched_switch_context,
    .enter = enter,
    .leave = leave,
};

const struct sched_cpu_ops *sched_machine(void)
{
    if (!timer_ready())
        return NULL;
    interrupt_handle(INTERRUPT_TIMER, on_timer, NULL);
    interrupt_handle(INTERRUPT_WAKE, on_wake, NULL);
    return &ops;
}

// ---- stacks -------------------------------------------------------------------------------------

enum status sched_machine_make_stack(struct sched_attributes *attributes, void *memory,
                                     size_t length)
{
    if (length < PAGE_SIZE + SCHED_STACK_LEAST)
        return STATUS_INVALID;
    const enum status status = stacks_add_thread(attributes->name, memory, length);
    if (status != STATUS_OK)
        return status;
    attributes->stack = (uint8_t *)memory + PAGE_SIZE;
    attributes->stack_bytes = length - PAGE_SIZE;
    return STATUS_OK;
}

enum status sched_machine_free_stack(void *memory)
{
    return stacks_remove_thread(memory);
}
