// SPDX-License-Identifier: MIT
// A time stamp counter that a test writes: while a script is set, every RDTSC and RDTSCP of this
// thread faults (prctl PR_SET_TSC) and is answered with what the script gives. What is tested is
// the code as it is, with its own instructions, and its numbers are exact on a busy machine too.
// One thread; a script must not read the counter itself.
#ifndef SCRIPTED_TICKS_H
#define SCRIPTED_TICKS_H

#include <check.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <ucontext.h>

static uint64_t (*scripted_ticks)(void);
static uint64_t scripted_ticks_ordered; // RDTSCP among the reads so far

static void scripted_ticks_fault(int number, siginfo_t *information, void *context)
{
    static const uint8_t rdtsc[] = {0x0f, 0x31}, rdtscp[] = {0x0f, 0x01, 0xf9};
    greg_t *const registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const void *const at = (const void *)registers[REG_RIP];
    (void)information;
    if (memcmp(at, rdtsc, sizeof(rdtsc)) == 0) {
        registers[REG_RIP] += sizeof(rdtsc);
    } else if (memcmp(at, rdtscp, sizeof(rdtscp)) == 0) {
        registers[REG_RIP] += sizeof(rdtscp);
        registers[REG_RCX] = 0;
        scripted_ticks_ordered++;
    } else {
        signal(number, SIG_DFL); // another fault: it comes again and ends the test
        return;
    }
    const uint64_t ticks = scripted_ticks();
    registers[REG_RAX] = (greg_t)(ticks & UINT32_MAX);
    registers[REG_RDX] = (greg_t)(ticks >> 32);
}

// NULL: the CPU's own counter again.
static inline void scripted_ticks_set(uint64_t (*script)(void))
{
    struct sigaction action = {.sa_sigaction = scripted_ticks_fault, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    scripted_ticks = script;
    if (script != NULL)
        ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
    ck_assert_int_eq(prctl(PR_SET_TSC, script != NULL ? PR_TSC_SIGSEGV : PR_TSC_ENABLE), 0);
}

#endif
