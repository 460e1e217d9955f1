// SPDX-License-Identifier: MIT
#include "last_words.h"

#include "compiler.h"
#include "fault_text.h"
#include "format.h"
#include "kernel.h"
#include "kernel_map.h"
#include "linker.h"
#include "machine_checks.h"
#include "machine_cpu.h"
#include "platform.h"
#include "record.h"
#include "screen_line.h"
#include "smp.h"
#include "stacks.h"
#include "string.h"
#include "wire.h"
#include "x86.h"

// Far above what a run's own control frames reach: the recorder never takes a report's frame for a
// repetition of one of them.
#define REPORT_SEQUENCE 0x80000000u

static struct wire_sender sender;
static uint8_t payload[WIRE_PAYLOAD_MOST];
static char text[512];
static uint32_t reporting; // 0, or 1 + the number of the CPU that reports

// One CPU reports, and only one is left running when it does.
static void begin(void)
{
    const uint32_t own = 1 + machine_cpu_identify()->local.index;
    uint32_t reporter = 0;
    if (!__atomic_compare_exchange_n(&reporting, &reporter, own, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        // Here already: the report itself has failed. The exit code has to say it alone.
        if (reporter == own)
            kernel_stop(KERNEL_EXIT_FAILURE);
        // Another CPU was first, and waits for this one to say that it has stopped.
        __atomic_store_n(&machine_cpu_identify()->nmi_answered, 1, __ATOMIC_RELEASE);
        x86_stop();
    }
    (void)smp_stop_others(); // one that does not answer cannot be helped
    wire_sender_init(&sender, kernel.session, platform_line_write);
    sender.sequence[WIRE_CONTROL] = REPORT_SEQUENCE;
}

// To people, on the line and on the screen.
static void tell(size_t length)
{
    platform_line_write(text, length);
    screen_line_last_words(text, length);
}

void last_words_refused(const char *why)
{
    begin();
    for (unsigned copy = 0; kernel.framed && copy < WIRE_COPIES; copy++)
        wire_send(&sender, WIRE_CONTROL, WIRE_REFUSED, why, string_length(why, WIRE_PAYLOAD_MOST));
    const size_t length = format(text, sizeof(text), "\nREFUSED: %s\n", why);
    if (!kernel.framed)
        tell(length);
    else
        screen_line_last_words(text, length);
    platform_exit(false);
}

// ---- PANIC -------------------------------------------------------------------------------------

static void send_panic(const struct trap_frame *frame, const char *reason, unsigned cpu)
{
    const struct record_panic panic = {
        .reason = reason,
        .vector = frame->vector,
        .error = frame->error,
        .rip = frame->rip,
        .rsp = frame->rsp,
        .rflags = frame->rflags,
        .cr2 = x86_read_cr2(),
        .cr3 = x86_read_cr3(),
        .cpu = cpu,
        .registers = {frame->rax, frame->rbx, frame->rcx, frame->rdx, frame->rsi, frame->rdi,
                      frame->rbp, frame->rsp, frame->r8, frame->r9, frame->r10, frame->r11,
                      frame->r12, frame->r13, frame->r14, frame->r15}};
    struct record_writer writer;
    record_writer_init(&writer, payload, sizeof(payload));
    record_put_panic(&writer, &panic);
    wire_send(&sender, WIRE_CONTROL, WIRE_PANIC, payload, writer.length);
}

// ---- STACK -------------------------------------------------------------------------------------

// What may be read of the stack that `rsp` points into: never beyond its top, never an unmapped
// page. Empty if `rsp` points into no memory of ours.
static struct boot_range stack_in_use(uint64_t rsp)
{
    struct stack stack;
    struct boot_range range = {rsp, rsp};
    if (stack_at(rsp, &stack)) {
        // In the guard page: what lies above it is the stack that has overflowed.
        range.start = max_u64(rsp, stack.bottom);
        range.end = stack.top;
    } else if (rsp >= kernel.arena.start && rsp < kernel.arena.end) {
        range.end = kernel.arena.end;
    } else if (rsp >= (uintptr_t)linker_data && rsp < (uintptr_t)linker_image_end) {
        range.end = (uintptr_t)linker_image_end;
    }
    const uint64_t most = min_u64(range.end, range.start + RECORD_STACK_MOST);
    range.end = range.start;
    while (range.end < most && kernel_map_present(range.end))
        range.end = min_u64(most, align_up(range.end + 1, PAGE_SIZE));
    return range;
}

static void send_stack(uint64_t rsp)
{
    const struct boot_range range = stack_in_use(rsp);
    if (range.start == range.end)
        return;
    // Offsets of STACK frames count from RSP.
    sender.offset[WIRE_CONTROL] = (uint32_t)(range.start - rsp);
    wire_send(&sender, WIRE_CONTROL, WIRE_STACK, (const void *)(uintptr_t)range.start,
              range.end - range.start);
}

// ---- both --------------------------------------------------------------------------------------

static _Noreturn void report(const struct trap_frame *frame, const char *reason, unsigned cpu)
{
    // More than once: nobody will be there to send again what gets lost.
    for (unsigned copy = 0; kernel.framed && copy < WIRE_COPIES; copy++) {
        send_panic(frame, reason, cpu);
        send_stack(frame->rsp);
    }
    const size_t length =
        format(text, sizeof(text), "\npanic: %s\npanic: CPU %u rip %016lx rsp %016lx cr2 %016lx\n",
               reason, cpu, frame->rip, frame->rsp, x86_read_cr2());
    tell(length);
    platform_exit(false);
}

static void describe_page_fault(const struct trap_frame *frame, char *reason, size_t capacity)
{
    const uint64_t address = x86_read_cr2();
    struct stack stack;
    const bool found = stack_at(address, &stack);
    fault_text(reason, capacity, frame->error, address, found ? &stack : NULL);
}

void last_words_trap(const struct trap_frame *frame)
{
    static char reason[RECORD_TEXT_MOST];
    begin();
    if (frame->vector == TRAP_PAGE_FAULT)
        describe_page_fault(frame, reason, sizeof(reason));
    else if (frame->vector == TRAP_MACHINE_CHECK)
        machine_checks_text(reason, sizeof(reason));
    else
        format(reason, sizeof(reason), "%s (vector %lu, error code %lx)", trap_name(frame->vector),
               frame->vector, frame->error);
    report(frame, reason, machine_cpu_identify()->local.index);
}

void last_words_late(unsigned cpu)
{
    static char reason[RECORD_TEXT_MOST];
    const struct machine_cpu *late = &machine_cpus[cpu];
    // Before the others are stopped: they answer one NMI only.
    const bool shown = smp_show(cpu);
    begin();
    format(reason, sizeof(reason), "CPU %u does not finish%s", cpu,
           shown ? "" : " and does not answer an NMI");
    report(&late->shown, reason, cpu);
}

uint64_t last_words_stack(void)
{
    return stack_top(machine_cpu_identify()->local.index, STACK_PANIC);
}

void last_words_panic(const struct trap_frame *frame, const char *reason, const char *file,
                      unsigned line)
{
    static char where[RECORD_TEXT_MOST];
    begin();
    // The place first: it must survive the cut of a long reason.
    format(where, sizeof(where), "%s:%u: %s", file, line, reason);
    report(frame, where, machine_cpu_identify()->local.index);
}
