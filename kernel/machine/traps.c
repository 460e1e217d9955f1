// SPDX-License-Identifier: MIT
#include "traps.h"

#include "interrupts.h"
#include "machine_cpu.h"
#include "sched_machine.h"
#include "vectors.h"
#include "x86.h"

static void (*reporter)(const struct trap_frame *frame);
static void (*before_stop)(void);

void trap_handle(struct trap_frame *frame); // called by traps.S

// ---- exceptions that are answered --------------------------------------------------------------

extern const uint8_t trap_read_msr_at[], trap_read_msr_failed[]; // traps.S
extern const uint8_t trap_write_msr_at[], trap_write_msr_failed[];
uint64_t trap_read_msr(uint32_t msr, bool *there);
bool trap_write_msr(uint32_t msr, uint64_t value);

bool trap_try_read_msr(uint32_t msr, uint64_t *value)
{
    bool there;
    *value = trap_read_msr(msr, &there);
    return there;
}

bool trap_try_write_msr(uint32_t msr, uint64_t value)
{
    return trap_write_msr(msr, value);
}

static bool was_a_try(struct trap_frame *frame)
{
    if (frame->vector != TRAP_GENERAL)
        return false;
    if (frame->rip == (uintptr_t)trap_read_msr_at)
        frame->rip = (uintptr_t)trap_read_msr_failed;
    else if (frame->rip == (uintptr_t)trap_write_msr_at)
        frame->rip = (uintptr_t)trap_write_msr_failed;
    else
        return false;
    return true;
}

// ---- page faults that somebody handles ----------------------------------------------------------

// Free where `handler` is NULL, which is written last and cleared first.
static struct fault_range {
    uint64_t start, end;
    trap_fault_handler *handler;
    void *context;
} fault_ranges[TRAP_FAULT_RANGES];

enum status trap_handle_faults(uint64_t start, uint64_t end, trap_fault_handler *handler,
                               void *context)
{
    struct fault_range *free = NULL;
    for (unsigned i = 0; i < TRAP_FAULT_RANGES; i++) {
        struct fault_range *one = &fault_ranges[i];
        if (one->handler == NULL)
            free = one;
        else if (start < one->end && end > one->start)
            return STATUS_INVALID;
    }
    if (start >= end)
        return STATUS_INVALID;
    if (free == NULL)
        return STATUS_FULL;
    free->start = start;
    free->end = end;
    free->context = context;
    // Release: a fault on another CPU that finds the handler finds its range.
    __atomic_store_n(&free->handler, handler, __ATOMIC_RELEASE);
    return STATUS_OK;
}

void trap_forget_faults(uint64_t start)
{
    for (unsigned i = 0; i < TRAP_FAULT_RANGES; i++) {
        if (fault_ranges[i].handler != NULL && fault_ranges[i].start == start)
            __atomic_store_n(&fault_ranges[i].handler, NULL, __ATOMIC_RELEASE);
    }
}

// First of all: whatever faults next writes over CR2.
static bool is_handled(struct trap_frame *frame)
{
    const uint64_t address = x86_read_cr2();
    bool handled = false;
    for (unsigned i = 0; i < TRAP_FAULT_RANGES && !handled; i++) {
        const struct fault_range *one = &fault_ranges[i];
        trap_fault_handler *handler = __atomic_load_n(&one->handler, __ATOMIC_ACQUIRE);
        if (handler == NULL || address < one->start || address >= one->end)
            continue;
        cpu_preempt_disable();
        handled = handler(one->context, address, frame);
        cpu_preempt_enable();
        machine_cpu_here()->faults_handled += handled;
        break;
    }
    return handled;
}

// An NMI that another CPU announced never returns: the run is at its end.
static void answer_nmi(const struct trap_frame *frame)
{
    struct machine_cpu *cpu = machine_cpu_identify();
    cpu->counts.nmi++;
    // Acquire: pairs with the sender's release, which comes before it sends.
    const uint32_t meaning = __atomic_load_n(&cpu->nmi_meaning, __ATOMIC_ACQUIRE);
    if (meaning == MACHINE_NMI_UNASKED)
        return;
    cpu->shown = *frame;
    if (before_stop != NULL)
        before_stop();
    // Release: who sees the answer sees the copy.
    __atomic_store_n(&cpu->nmi_answered, 1, __ATOMIC_RELEASE);
    x86_stop();
}

void trap_handle(struct trap_frame *frame)
{
    if (frame->vector >= TRAP_VECTORS) {
        interrupt_arrived(frame);
        return;
    }
    if (was_a_try(frame) || (frame->vector == TRAP_PAGE_FAULT && is_handled(frame)) ||
        (frame->vector == TRAP_NO_DEVICE && vectors_hand_over()) ||
        (frame->vector == TRAP_DEBUG && sched_machine_stepped(frame)))
        return;
    if (frame->vector == TRAP_NMI)
        answer_nmi(frame);
    reporter(frame);
    x86_stop();
}

void traps_init(void (*report)(const struct trap_frame *frame))
{
    reporter = report;
}

void traps_before_stop(void (*function)(void))
{
    before_stop = function;
}

const char *trap_name(uint64_t vector)
{
    // AMD64 vol. 2, table 8-1.
    static const char *const names[TRAP_VECTORS] = {
        [0] = "divide error",
        [1] = "debug exception",
        [2] = "non-maskable interrupt",
        [3] = "breakpoint",
        [4] = "overflow exception",
        [5] = "bound range exceeded",
        [6] = "invalid opcode",
        [7] = "device not available",
        [8] = "double fault",
        [10] = "invalid TSS",
        [11] = "segment not present",
        [12] = "stack fault",
        [13] = "general protection",
        [14] = "page fault",
        [16] = "x87 exception",
        [17] = "alignment check",
        [18] = "machine check",
        [19] = "SIMD exception",
        [20] = "virtualization exception",
        [21] = "control protection",
    };
    const char *name = vector < TRAP_VECTORS ? names[vector] : NULL;
    return name != NULL ? name : "exception";
}
