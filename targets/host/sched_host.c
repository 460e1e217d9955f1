// SPDX-License-Identifier: MIT
#include "sched_host.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "host_time.h"
#include "platform.h"
#include "sched.h"

#define LEAF_NS 20000u // until the next look at a thread that was in a leaf when it should go

// Bits of a CPU's latch.
#define KICKED  1u // and not yet interrupted for it
#define WAITING 2u // in the futex, or about to be
#define AWAY    4u // takes no kicks

struct CACHE_ALIGNED host_cpu_slot {
    // Atomic, any CPU's:
    uint32_t latch;
    uint32_t senders; // that are about to send a signal here
    // Written by the CPU while it joins, read by those that kick it:
    pid_t tid;
    // The CPU's own, and its handler's. Relaxed atomics: unmask may look at those of a CPU that its
    // thread was taken from a moment ago.
    bool masked CACHE_ALIGNED;
    bool came;           // a note: a signal came while masked, or a preemption was put off
    bool unset;          // a note: the timer should go off earlier than it will
    bool blocked;        // in the handler: the kernel keeps further signals back
    struct sched *sched; // NULL: has not joined
    uint64_t timer_ns;   // when sched_interrupt is wanted
    uint64_t retry_ns;   // when to look at a leaf again
    uint64_t armed_ns;   // when the timer goes off, as far as was told
    timer_t timer;
    stack_t alternate; // the OS thread's, for its faults
    int slack_ns;      // the OS thread's, of its waits
};

static struct host_cpu_slot slots[CPU_MOST] = {[0 ... CPU_MOST - 1] = {.latch = AWAY}};

// ---- whose is what ------------------------------------------------------------------------------

// The running CPU's. Masked, or in the handler, or with preemption disabled: it stays that one.
static struct host_cpu_slot *here(void)
{
    return &slots[cpu_index()];
}

static bool get(const bool *note)
{
    return __atomic_load_n(note, __ATOMIC_RELAXED);
}

static void set(bool *note, bool value)
{
    __atomic_store_n(note, value, __ATOMIC_RELAXED);
    // The handler of this CPU sees it in the order of the program; nobody else reads it.
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static unsigned host_cpu(void *machine)
{
    (void)machine;
    return (unsigned)cpu_index();
}

static uint64_t host_now(void *machine)
{
    (void)machine;
    return host_time_ns();
}

static bool host_preemptible(void *machine)
{
    (void)machine;
    return cpu_local()->preempt_count == 0;
}

static bool idle_runs(void)
{
    return cpu_local()->thread == cpu_local()->idle_thread;
}

// ---- the timer ----------------------------------------------------------------------------------

static uint64_t wanted_ns(const struct host_cpu_slot *cpu)
{
    return min_u64(cpu->timer_ns, cpu->retry_ns);
}

// A timer that goes off too early stays: it costs less than two system calls. One that is late, or
// none, is noted, and set when interrupts are let in to a thread: an idle CPU needs none.
static void note_timer(struct host_cpu_slot *cpu)
{
    set(&cpu->unset, wanted_ns(cpu) < cpu->armed_ns);
}

static void arm(struct host_cpu_slot *cpu)
{
    const uint64_t at = wanted_ns(cpu), now = host_time_ns();
    const uint64_t until = host_time_of_kernel_ns() + (at > now ? at - now : 0);
    const struct itimerspec once = {.it_value = host_timespec(until)};
    cpu->armed_ns = at;
    if (SCHED_HOST_SIGNALS && timer_settime(cpu->timer, TIMER_ABSTIME, &once, NULL) != 0)
        platform_panic("timer_settime", __FILE__, __LINE__);
}

static void host_set_timer(void *machine, uint64_t at_ns)
{
    struct host_cpu_slot *cpu = here();
    (void)machine;
    cpu->timer_ns = at_ns;
    note_timer(cpu);
}

// ---- interrupts ---------------------------------------------------------------------------------

static bool is_kicked(const struct host_cpu_slot *cpu)
{
    return __atomic_load_n(&cpu->latch, __ATOMIC_RELAXED) & KICKED;
}

static bool is_due(const struct host_cpu_slot *cpu)
{
    return wanted_ns(cpu) != SCHED_NEVER && wanted_ns(cpu) <= host_time_ns();
}

// What is due: the scheduler's interrupt, which may switch. Masked.
static void interrupt(struct host_cpu_slot *cpu)
{
    struct sched *const sched = cpu->sched;
    const uint64_t now = wanted_ns(cpu) != SCHED_NEVER ? host_time_ns() : 0;
    bool timer = false, kicked = false;
    // Acquire: what was done before the kick is seen by the interrupt for it.
    if (is_kicked(cpu))
        kicked = __atomic_fetch_and(&cpu->latch, ~KICKED, __ATOMIC_ACQUIRE) & KICKED;
    if (cpu->retry_ns <= now) {
        cpu->retry_ns = SCHED_NEVER;
        kicked = true;
    }
    if (cpu->timer_ns <= now) {
        cpu->timer_ns = SCHED_NEVER;
        timer = true;
    }
    note_timer(cpu);
    if (kicked || timer) {
        sched->interrupt(sched, timer);
    } else if (cpu_local()->preempt_wanted != NULL && cpu_local()->preempt_count == 0) {
        cpu_local()->preempt_wanted = NULL;
        sched->preempt(sched);
    }
}

// Does what was noted, before a thread goes on with interrupts let in. The idle thread is about to
// wait, and needs no timer. Masked; on return too, perhaps on another CPU.
static void attend(void)
{
    for (;;) {
        struct host_cpu_slot *cpu = here();
        if (cpu->sched == NULL) { // left, or not joined yet
            set(&cpu->came, false);
            set(&cpu->unset, false);
            return;
        }
        if (get(&cpu->came) || (!SCHED_HOST_SIGNALS && (is_kicked(cpu) || is_due(cpu)))) {
            set(&cpu->came, false);
            interrupt(cpu);
        } else if (SCHED_HOST_SIGNALS && get(&cpu->unset) && !idle_runs()) {
            set(&cpu->unset, false);
            arm(cpu);
        } else {
            return;
        }
    }
}

// The kernel keeps further signals of ours back until this returns, or a switch lets them in: so a
// stack carries two frames at most, that of a preemption and one of a signal that came while
// masked.
static void on_signal(int signal, siginfo_t *info, void *context)
{
    struct host_cpu_slot *cpu = here();
    (void)signal;
    if (info->si_code == SI_TIMER)
        cpu->armed_ns = SCHED_NEVER;
    set(&cpu->came, true);
    if (get(&cpu->masked) || cpu->sched == NULL)
        return;
    set(&cpu->masked, true);
    set(&cpu->blocked, true);
    attend();
    cpu = here(); // the thread may have come back on another CPU, in another thread of the process
    set(&cpu->blocked, false);
    set(&cpu->masked, false);
    // The return from here sets the alternate stack of whichever thread it is in.
    ((ucontext_t *)context)->uc_stack = cpu->alternate;
}

// ---- masking ------------------------------------------------------------------------------------

static bool host_mask(void *machine)
{
    (void)machine;
    // So that the flag that is found is still this CPU's when it is set.
    cpu_preempt_disable();
    struct host_cpu_slot *cpu = here();
    const bool let_in = !get(&cpu->masked);
    set(&cpu->masked, true);
    // A preemption that comes due here is done at once, in spite of the flag: nothing has begun.
    cpu_preempt_enable();
    return let_in;
}

static void host_unmask(void *machine, bool let_in)
{
    while (let_in) {
        struct host_cpu_slot *cpu = here();
        if (UNLIKELY(!SCHED_HOST_SIGNALS || get(&cpu->came) || get(&cpu->unset))) {
            attend();
            cpu = here();
        }
        set(&cpu->masked, false);
        // A signal between the last look and this has left a note only. If the thread was taken
        // elsewhere since, this is a note of another CPU's, which then costs a turn for nothing.
        if (LIKELY(!get(&cpu->came)))
            return;
        (void)host_mask(machine);
    }
}

// ---- kicks --------------------------------------------------------------------------------------

static void futex(uint32_t *word, int operation, uint32_t value, const struct timespec *until)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, until, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

static void host_kick(void *machine, unsigned index)
{
    struct host_cpu_slot *cpu = &slots[index];
    (void)machine;
    // In one order with the leaving CPU's AWAY and its look at `senders`: either this sees the one
    // or that waits for the other.
    __atomic_fetch_add(&cpu->senders, 1, __ATOMIC_SEQ_CST);
    // Release: the interrupt for it sees what was done before it.
    const uint32_t was = __atomic_fetch_or(&cpu->latch, KICKED, __ATOMIC_SEQ_CST);
    if ((was & (KICKED | AWAY)) == 0) {
        if (was & WAITING)
            futex(&cpu->latch, FUTEX_WAKE, 1, NULL);
        else if (SCHED_HOST_SIGNALS)
            syscall(SYS_tgkill, getpid(), cpu->tid, SIGRTMIN);
    }
    __atomic_fetch_sub(&cpu->senders, 1, __ATOMIC_RELEASE);
}

// Returns at a kick, when the timer is due, or for no reason. Whoever kicks changes the latch
// first, and the futex does not wait for a latch that has changed.
static void wait_for_kick(struct host_cpu_slot *cpu)
{
    const uint64_t at = wanted_ns(cpu), now = at != SCHED_NEVER ? host_time_ns() : 0;
    uint32_t open = 0;
    if (at <= now || !__atomic_compare_exchange_n(&cpu->latch, &open, WAITING, false,
                                                  __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return;
    if (at == SCHED_NEVER) {
        futex(&cpu->latch, FUTEX_WAIT_BITSET, WAITING, NULL);
    } else {
        const struct timespec until = host_timespec(host_time_of_kernel_ns() + (at - now));
        futex(&cpu->latch, FUTEX_WAIT_BITSET, WAITING, &until);
    }
    __atomic_fetch_and(&cpu->latch, ~WAITING, __ATOMIC_RELAXED);
}

static void host_idle(void *machine)
{
    struct host_cpu_slot *cpu = here();
    (void)machine;
    if (!get(&cpu->came))
        wait_for_kick(cpu);
    set(&cpu->came, false);
    interrupt(cpu);
}

static void preempt_late(void)
{
    // Preemption may strike here as well; then the scheduler is the same one on another CPU.
    struct sched *const sched = __atomic_load_n(&here()->sched, __ATOMIC_RELAXED);
    if (sched != NULL)
        sched->preempt(sched);
}

static void host_defer(void *machine)
{
    struct host_cpu_slot *cpu = here();
    const uint32_t count = cpu_local()->preempt_count;
    (void)machine;
    cpu_local()->preempt_wanted = preempt_late;
    if (count == 0) {
        set(&cpu->came, true); // masked only: unmask looks
    } else if (count >> 24 != 0) {
        // In a leaf, whose end has no test.
        cpu->retry_ns = host_time_ns() + LEAF_NS;
        note_timer(cpu);
    }
}

// ---- threads and CPUs ---------------------------------------------------------------------------

static size_t stack_least; // bytes

// The vector state that a signal frame holds, in XSAVE's standard form (Intel SDM vol. 1, 13.4).
// Components 17 and up (AMX) are there only for processes that asked the kernel for them.
static size_t vector_bytes(void)
{
    uint64_t bytes = 512 + 64;
    if (cpu_cpuid(0, 0).eax < 13 || !cpu_has_xsave())
        return bytes;
    for (unsigned component = 2; component < 17; component++) {
        const struct cpu_cpuid at = cpu_cpuid(13, component);
        bytes = max_u64(bytes, (uint64_t)at.ebx + at.eax);
    }
    return bytes;
}

// Beside the vector state, a frame has registers and signal information, and skips the red zone.
static size_t frame_bytes(void)
{
    return vector_bytes() + sizeof(ucontext_t) + sizeof(siginfo_t) + 128 + 2 * CACHE_LINE;
}

static void host_make(void *machine, struct sched_thread *thread, void (*entry)(void *argument))
{
    assert(thread->context.stack_bytes >= stack_least);
    sched_make_context(machine, thread, entry);
}

static void keep_signal_back(bool back)
{
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGRTMIN);
    pthread_sigmask(back ? SIG_BLOCK : SIG_UNBLOCK, &only, NULL);
}

// Out of the handler, to a thread that has none on its stack or will keep signals back again
// itself.
static void host_switch_to(void *machine, struct sched_thread *from, struct sched_thread *to,
                           enum thread_state left)
{
    const bool blocked = get(&here()->blocked);
    if (blocked) {
        set(&here()->blocked, false);
        keep_signal_back(false);
    }
    sched_switch_context(machine, from, to, left);
    if (blocked) {
        keep_signal_back(true);
        set(&here()->blocked, true);
    }
}

static void begin_signals(struct host_cpu_slot *cpu)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
    event._sigev_un._tid = cpu->tid;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGRTMIN, &action, NULL) != 0 || sigaltstack(NULL, &cpu->alternate) != 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &cpu->timer) != 0)
        platform_panic("no timer for a CPU of the scheduler", __FILE__, __LINE__);
    keep_signal_back(false);
}

static void host_enter(void *machine, struct sched_thread *idle)
{
    struct host_cpu_slot *cpu = here();
    assert(cpu->sched == NULL);
    assert(stack_least > 0); // sched_host was called
    cpu->tid = (pid_t)syscall(SYS_gettid);
    // The kernel lets waits of ordinary threads come 50 us late.
    cpu->slack_ns = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, 1ul);
    cpu->timer_ns = cpu->retry_ns = cpu->armed_ns = SCHED_NEVER;
    if (SCHED_HOST_SIGNALS)
        begin_signals(cpu);
    __atomic_store_n(&cpu->sched, idle->sched, __ATOMIC_RELAXED);
    // Release: who kicks this CPU knows its thread.
    __atomic_store_n(&cpu->latch, 0, __ATOMIC_RELEASE);
    sched_enter_context(machine, idle);
}

static void host_leave(void *machine, struct sched_thread *idle)
{
    struct host_cpu_slot *cpu = here();
    __atomic_fetch_or(&cpu->latch, AWAY, __ATOMIC_SEQ_CST);
    // Bounded by a system call of theirs. Behind it, what they sent is in this thread's queue.
    while (__atomic_load_n(&cpu->senders, __ATOMIC_SEQ_CST) != 0)
        sched_yield();
    if (SCHED_HOST_SIGNALS)
        timer_delete(cpu->timer);
    prctl(PR_SET_TIMERSLACK, (unsigned long)cpu->slack_ns);
    // The kernel has handed over what was in the queue when it returned from these calls.
    __atomic_store_n(&cpu->sched, NULL, __ATOMIC_RELAXED);
    cpu_local()->preempt_wanted = NULL;
    set(&cpu->came, false);
    set(&cpu->unset, false);
    sched_leave_context(machine, idle);
}

static const struct sched_cpu_ops host_ops = {
    .name = "host",
    .cpu = host_cpu,
    .now_ns = host_now,
    .kick = host_kick,
    .set_timer = host_set_timer,
    .idle = host_idle,
    .mask = host_mask,
    .unmask = host_unmask,
    .preemptible = host_preemptible,
    .defer = host_defer,
    .make = host_make,
    .switch_to = host_switch_to,
    .enter = host_enter,
    .leave = host_leave,
};

const struct sched_cpu_ops *sched_host(void **machine)
{
    host_time_init();
    if (stack_least == 0)
        stack_least = align_up(2 * frame_bytes() + SCHED_STACK_LEAST, CACHE_LINE);
    *machine = NULL;
    return &host_ops;
}

size_t sched_host_stack_bytes(void)
{
    void *machine;
    (void)sched_host(&machine);
    return stack_least;
}
