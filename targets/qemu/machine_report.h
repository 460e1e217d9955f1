// SPDX-License-Identifier: MIT
// What is found out about the machine in front of the benchmarks, and what is done for them: the
// CPU's frequency is held, and time that is taken away from it is looked for. Where a hypervisor
// runs below, only what it promises is asked.
//
//   hold=off   frequencies stay as they are
//   gaps=MS    looks for gaps so long, at most a minute; 0: not. A second where clock=tsc says that
//              the counter is a real one, else not at all
#ifndef MACHINE_REPORT_H
#define MACHINE_REPORT_H

#include <stdbool.h>

// Both, on all CPUs that run, with interrupts on. Once, last before the benchmarks. False: one of
// the two words is not understood.
bool machine_report_prepare(void);

// Gives back what machine_report_prepare has set: on this CPU, any context; on all, at the end of a
// run.
void machine_report_restore_here(void);
void machine_report_restore(void);

// Its part of platform_describe.
void machine_report_describe(void (*emit)(void *context, const char *key, const char *value),
                             void *context);

#endif
