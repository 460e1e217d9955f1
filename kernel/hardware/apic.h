// SPDX-License-Identifier: MIT
// The local APIC: the interrupt controller in each CPU, in xAPIC mode (a page of registers) or in
// x2APIC mode (model-specific registers). Logic only: what is privileged stands behind apic_access.
//
// Rules: each CPU has a `struct apic` of its own, and only that CPU uses it, with interrupts masked
// wherever a comment does not say otherwise. Vectors are 32..255. Time is counted in ticks of the
// timer, which runs undivided. All CPUs are in the same mode: apic_init of the others gets
// `x2_allowed` from the boot CPU's `x2`.
//
// Source: Intel SDM vol. 3, chapter "Advanced Programmable Interrupt Controller (APIC)": sections
// are named as 11.n, as in editions since 2022; AMD64 vol. 2, chapter 16 agrees.
#ifndef APIC_H
#define APIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "status.h"

// Looks of the delivery status before a sender gives up: some 10 ms at the least, where one takes a
// few microseconds.
#define APIC_READS_MOST 100000u

#define APIC_ID_ALL     255u // xAPIC: the broadcast, nobody's own id
#define APIC_TICKS_MOST UINT32_MAX

// How the registers are reached. `offset` is that of xAPIC mode, a multiple of 16 below 4096; the
// page is mapped uncached. The MSRs used: 1Bh, 6E0h and 800h..83Fh. A write of 6E0h or 830h must
// not overtake earlier stores: in these two cases WRMSR itself does not see to it (11.12.3).
struct apic_access {
    void *context;
    uint32_t (*read)(void *context, unsigned offset);
    void (*write)(void *context, unsigned offset, uint32_t value);
    uint64_t (*read_msr)(void *context, uint32_t msr);
    void (*write_msr)(void *context, uint32_t msr, uint64_t value);
};

// What CPUID says.
struct apic_features {
    bool present;
    bool x2;
    bool deadline; // the timer can wait for a value of the TSC
};

struct apic_setup {
    uint64_t address; // physical, of the mapped page: apic_address() of the boot CPU
    bool x2_allowed;  // ACPI tables and firmware have nothing against it
    uint8_t spurious; // vector; its low four bits are ones (11.9)
    uint8_t error;    // vector of the APIC's own errors
    uint8_t timer;    // vector
};

enum apic_timer_mode { // bits 18:17 of the timer's register (11.5.4)
    APIC_TIMER_ONE_SHOT = 0,
    APIC_TIMER_PERIODIC = 1,
    APIC_TIMER_DEADLINE = 2,
};

struct apic {
    struct apic_access access;
    struct apic_features features;
    bool x2;          // mode
    uint32_t id;      // 8 bits in xAPIC mode
    uint32_t version; // register 30h
    unsigned entries; // of the local vector table
    uint8_t timer;    // vector
    bool timer_on;    // in timer_mode, unmasked
    enum apic_timer_mode timer_mode;
};

// From the registers of CPUID leaf 1.
struct apic_features apic_features_of(struct cpu_cpuid leaf_1);

// Where this CPU has its page, physical: to be mapped before the boot CPU's apic_init.
uint64_t apic_address(const struct apic_access *access);

// Turns this CPU's APIC on: x2APIC mode where the CPU has it and it is allowed, or where firmware
// chose it (there is no way back from it but through off). All local vectors are masked, but for a
// thermal one that firmware takes as SMI; the error vector is on; priority is 0; interrupts left in
// service by firmware are ended. STATUS_EMPTY: there is none, or its registers make no sense;
// STATUS_INVALID: it did not enter the mode. `apic` is then unusable.
enum status apic_init(struct apic *apic, const struct apic_access *access,
                      struct apic_features features, const struct apic_setup *setup);

// Ends the interrupt in service. Not after a spurious one, not after an NMI. In interrupt handlers.
void apic_end(struct apic *apic);

// Vectors of a class (vector / 16) at or below `class_most` wait from now on; 0: none does. 0..15.
void apic_set_priority(struct apic *apic, unsigned class_most);

// Passes NMIs of the machine's line LINT`line` (0, 1) on to this CPU, as MADT's types 4 and 0Ah
// name it. Edge-triggered, as NMIs are whatever is asked for (11.5.1).
void apic_nmi_line(struct apic *apic, unsigned line, bool active_low);

// ---- to other CPUs ------------------------------------------------------------------------------
// All return STATUS_FULL when an earlier one was still on its way after APIC_READS_MOST looks
// (xAPIC only): nothing is sent then. STATUS_INVALID: xAPIC mode cannot address `id`. What goes to
// all others may be called from an NMI handler that interrupted any of these functions: it disturbs
// nothing but the wait.

enum status apic_send(struct apic *apic, uint32_t id, uint8_t vector);
enum status apic_send_others(struct apic *apic, uint8_t vector);
enum status apic_send_nmi(struct apic *apic, uint32_t id);
enum status apic_send_nmi_others(struct apic *apic);
enum status apic_send_init(struct apic *apic, uint32_t id);
// Ends the level that apic_send_init began. Nothing in x2APIC mode, which has no such level.
enum status apic_send_init_end(struct apic *apic, uint32_t id);
// `entry`: physical address of the first instruction, in real mode: a page below 1 MiB, outside
// A0000h..BFFFFh, whose vectors are reserved (MultiProcessor Specification 1.4, B.4).
enum status apic_send_startup(struct apic *apic, uint32_t id, uint32_t entry);

// Waits until what was sent last was accepted. STATUS_FULL after APIC_READS_MOST looks.
enum status apic_wait_sent(struct apic *apic);

// Starts a CPU by INIT, 10 ms, STARTUP, 200 us, STARTUP, 200 us (MultiProcessor Specification 1.4,
// B.4), with the delays made by `delay_us`. The second one is for CPUs that lost the first; a CPU
// that runs ignores it. OK says that the messages left, not that the CPU came up.
enum status apic_start_cpu(struct apic *apic, uint32_t id, uint32_t entry,
                           void (*delay_us)(void *context, uint32_t us), void *context);

// ---- timer --------------------------------------------------------------------------------------

// Interrupts once after `ticks`, 1..APIC_TICKS_MOST. Replaces what was set before, as do the
// others.
void apic_timer_one_shot(struct apic *apic, uint32_t ticks);

// Interrupts every `ticks`.
void apic_timer_periodic(struct apic *apic, uint32_t ticks);

// Interrupts once when the TSC reaches `tsc` (> 0), at once if it has. Needs features.deadline.
void apic_timer_deadline(struct apic *apic, uint64_t tsc);

// An interrupt that is already on its way still arrives.
void apic_timer_stop(struct apic *apic);

// Counts from now on, for at most APIC_TICKS_MOST ticks, and does not interrupt.
void apic_timer_count(struct apic *apic);

// Ticks since apic_timer_count.
uint32_t apic_timer_counted(struct apic *apic);

// ---- errors -------------------------------------------------------------------------------------

// Bits of the error status register that came since the last call; resets them.
uint32_t apic_errors(struct apic *apic);

// What the bits mean, separated by ", "; "none" for 0. Returns the length.
size_t apic_error_text(uint32_t errors, char *text, size_t capacity);

#endif
